package invite_test

import (
	"fmt"
	"testing"
)

// BenchmarkSign mints a token, for each mail.
func BenchmarkSign(b *testing.B) {
	k := keys(b, 'a', 'b')
	b.ReportAllocs()
	for b.Loop() {
		if k.Sign(sample) == "" {
			b.Fatal("no token")
		}
	}
}

// BenchmarkVerify verifies a token, for each request of the page: every key is tried. What is not one is refused before that.
func BenchmarkVerify(b *testing.B) {
	seeds := []byte("abcdefgh")
	for _, n := range []int{1, 2, 8} {
		b.Run(fmt.Sprintf("keys=%d", n), func(b *testing.B) {
			k := keys(b, seeds[:n]...)
			token := k.Sign(sample)
			b.ReportAllocs()
			for b.Loop() {
				if c, err := k.Verify(token); err != nil || c != sample {
					b.Fatal(c, err)
				}
			}
		})
	}
	for _, c := range []struct{ name, token string }{
		{"Forged", keys(b, 'x').Sign(sample)}, {"Nonsense", "robots.txt"},
	} {
		b.Run(c.name, func(b *testing.B) {
			k := keys(b, 'a', 'b')
			b.ReportAllocs()
			for b.Loop() {
				if _, err := k.Verify(c.token); err == nil {
					b.Fatal("it was taken")
				}
			}
		})
	}
}
