package activity

import (
	"strings"
	"testing"
	"time"
)

func TestValidate(t *testing.T) {
	with := func(alter ...func(*Config)) Config {
		c := Defaults()
		c.Address, c.CertFile, c.KeyFile, c.TokenFile = ":8082", "tls.crt", "tls.key", "token"
		for _, a := range alter {
			a(&c)
		}
		return c
	}
	plain := func(c *Config) { c.CertFile, c.KeyFile = "", "" }
	cases := map[string]struct {
		config Config
		fault  string // part of it; empty for none
	}{
		"off":                    {Config{}, ""},
		"token":                  {with(), ""},
		"client certificates":    {with(func(c *Config) { c.TokenFile, c.ClientCAFile, c.ClientNames = "", "ca.crt", []string{"kube-apiserver"} }), ""},
		"plain on loopback":      {with(plain, func(c *Config) { c.Address = "[::1]:8082" }), ""},
		"plain on localhost":     {with(plain, func(c *Config) { c.Address = "localhost:8082" }), ""},
		"plain":                  {with(plain), "loopback"},
		"plain on an address":    {with(plain, func(c *Config) { c.Address = "192.0.2.1:8082" }), "loopback"},
		"plain and certificates": {with(plain, func(c *Config) { c.Address, c.ClientCAFile = "127.0.0.1:1", "ca.crt" }), "need TLS"},
		"no port":                {with(func(c *Config) { c.Address = "8082" }), "host:port"},
		"empty port":             {with(func(c *Config) { c.Address = "localhost:" }), "host:port"},
		"half a certificate":     {with(func(c *Config) { c.KeyFile = "" }), "belong together"},
		"anybody":                {with(func(c *Config) { c.TokenFile = "" }), "who may send"},
		"names for nothing":      {with(func(c *Config) { c.ClientNames = []string{"a"} }), "no effect"},
		"empty name":             {with(func(c *Config) { c.ClientCAFile, c.ClientNames = "ca.crt", []string{""} }), "client's name"},
		"empty impersonator":     {with(func(c *Config) { c.Impersonators = []string{"a", ""} }), "impersonator's name"},
		"tiny batches":           {with(func(c *Config) { c.MaxBody = 1 }), "batch"},
		"endless batches":        {with(func(c *Config) { c.MaxBody = 1 << 40 }), "batch"},
		"no interval":            {with(func(c *Config) { c.Interval = 0 }), "interval"},
		"a day":                  {with(func(c *Config) { c.Interval = 24 * time.Hour }), "interval"},
		"no rate":                {with(func(c *Config) { c.Rate = 0 }), "second"},
		"any rate":               {with(func(c *Config) { c.Rate = 1 << 30 }), "second"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			err := c.config.Validate()
			switch {
			case err == nil && c.fault != "":
				t.Errorf("taken, want a fault about %q", c.fault)
			case err != nil && (c.fault == "" || !strings.Contains(err.Error(), c.fault) || strings.Contains(err.Error(), "\n")):
				t.Errorf("got %v, want the one fault about %q", err, c.fault)
			}
		})
	}
}

// What is wrong with the files stops the start.
func TestCheck(t *testing.T) {
	authority := newSigner(t, "friends")
	for name, c := range map[string]struct {
		config Config
		fault  string
	}{
		"good":              {Config{Address: ":1", TokenFile: file(t, "t", []byte(token)), ClientCAFile: file(t, "c", authority.pem)}, ""},
		"off":               {Config{TokenFile: "/nowhere"}, ""},
		"no file":           {Config{Address: ":1", TokenFile: "/nowhere"}, "nowhere"},
		"no token":          {Config{Address: ":1", TokenFile: file(t, "t", []byte(" \n\n"))}, "has none"},
		"short token":       {Config{Address: ":1", TokenFile: file(t, "t", []byte(token+"\nhunter2\n"))}, "less than 16 bytes"},
		"large file":        {Config{Address: ":1", TokenFile: file(t, "t", []byte(strings.Repeat(token+"\n", 10000)))}, "more than"},
		"no CA file":        {Config{Address: ":1", ClientCAFile: "/nowhere"}, "nowhere"},
		"CA file of a poem": {Config{Address: ":1", ClientCAFile: file(t, "c", []byte("roses"))}, "no certificate"},
	} {
		t.Run(name, func(t *testing.T) {
			err := c.config.Check()
			if (err == nil) != (c.fault == "") || err != nil && (!strings.Contains(err.Error(), c.fault) || strings.Contains(err.Error(), "hunter2")) {
				t.Errorf("got %v, want %q", err, c.fault)
			}
		})
	}
}
