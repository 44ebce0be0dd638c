package invite_test

import (
	"bytes"
	"encoding/base64"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/orgkeeper/orgkeeper/internal/invite"
)

const uid = "0c9f4f0e-6d3b-4b8e-9a53-0a4a5f6f7e11"

var (
	expires = time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)
	sample  = invite.Claims{UID: uid, Serial: 3, Expires: expires}
)

func keys(t interface{ Fatal(...any) }, seeds ...byte) *invite.Keys {
	var secrets [][]byte
	for _, s := range seeds {
		secrets = append(secrets, bytes.Repeat([]byte{s}, invite.MinKeyLength))
	}
	k, err := invite.NewKeys(secrets...)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// The token is part of what we promise: mails sent before an upgrade must open afterwards.
func TestSignIsStable(t *testing.T) {
	const want = "AAAAAwAAAABqRQFAMGM5ZjRmMGUtNmQzYi00YjhlLTlhNTMtMGE0YTVmNmY3ZTExwNwBJSlO6sHKQjHzsVmyQ_rBT5RddXpGoKmQbcWjgcs"
	got := keys(t, 'a').Sign(sample)
	if got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if again := keys(t, 'a').Sign(sample); again != got {
		t.Errorf("equal claims gave different tokens: %s and %s", got, again)
	}
}

func TestVerify(t *testing.T) {
	own := keys(t, 'a')
	token := own.Sign(sample)
	cases := map[string]struct {
		reason string
		keys   *invite.Keys
		token  string
		want   invite.Claims
		err    error
	}{
		"Own":         {"what we signed opens", own, token, sample, nil},
		"RotatedKey":  {"a new key signs, the old one still verifies", keys(t, 'b', 'a'), token, sample, nil},
		"ForeignKey":  {"another cluster's link is not ours", keys(t, 'b'), token, invite.Claims{}, invite.ErrInvalid},
		"RemovedKey":  {"a removed key voids its links", keys(t, 'b', 'c'), token, invite.Claims{}, invite.ErrInvalid},
		"Empty":       {"no token", own, "", invite.Claims{}, invite.ErrInvalid},
		"Cut":         {"a mail program broke the line", own, token[:len(token)-1], invite.Claims{}, invite.ErrInvalid},
		"CutInHalf":   {"shorter than a signature", own, token[:20], invite.Claims{}, invite.ErrInvalid},
		"Longer":      {"something was added", own, token + "A", invite.Claims{}, invite.ErrInvalid},
		"Padded":      {"padding is another spelling", own, token + "=", invite.Claims{}, invite.ErrInvalid},
		"LineBreak":   {"base64 skips line breaks; we do not", own, token[:9] + "\n" + token[9:], invite.Claims{}, invite.ErrInvalid},
		"Unstrict":    {"the two spare bits of the last character are not free", own, lastCharPlusOne(token), invite.Claims{}, invite.ErrInvalid},
		"Huge":        {"not even decoded", own, strings.Repeat("A", 1<<20), invite.Claims{}, invite.ErrInvalid},
		"OtherBase64": {"the alphabet of standard base64 is not ours", own, strings.Repeat("+/", 54), invite.Claims{}, invite.ErrInvalid},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := tc.keys.Verify(tc.token)
			if !errors.Is(err, tc.err) {
				t.Errorf("%s: got error %v, want %v", tc.reason, err, tc.err)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("%s: -want +got:\n%s", tc.reason, diff)
			}
		})
	}
}

// lastCharPlusOne changes only bits that decoding would ignore if it were not strict.
func lastCharPlusOne(token string) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	i := strings.IndexByte(alphabet, token[len(token)-1])
	return token[:len(token)-1] + string(alphabet[i|1])
}

func TestVerifyRefusesUIDOutOfBounds(t *testing.T) {
	own := keys(t, 'a')
	for _, n := range []int{0, 129, 500} {
		c := invite.Claims{UID: strings.Repeat("u", n), Expires: expires}
		if _, err := own.Verify(own.Sign(c)); !errors.Is(err, invite.ErrInvalid) {
			t.Errorf("UID of %d bytes: got %v, want ErrInvalid", n, err)
		}
	}
}

func TestSignDropsFractionsAndZone(t *testing.T) {
	own := keys(t, 'a')
	c := sample
	c.Expires = expires.Add(999 * time.Millisecond).In(time.FixedZone("CEST", 2*60*60))
	if own.Sign(c) != own.Sign(sample) {
		t.Error("the same second in another zone gave another token")
	}
}

func claims(t *rapid.T) invite.Claims {
	return invite.Claims{
		UID:     rapid.StringN(1, -1, 128).Draw(t, "uid"),
		Serial:  rapid.Int32().Draw(t, "serial"),
		Expires: time.Unix(rapid.Int64Range(-1<<33, 1<<37).Draw(t, "expires"), 0).UTC(),
	}
}

func TestRoundTrip(t *testing.T) {
	own := keys(t, 'b', 'a')
	rapid.Check(t, func(t *rapid.T) {
		want := claims(t)
		token := own.Sign(want)
		if strings.Trim(token, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
			t.Fatalf("token %q is not safe in a path", token)
		}
		got, err := own.Verify(token)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatal(diff)
		}
	})
}

func TestDifferentClaimsDifferentTokens(t *testing.T) {
	own := keys(t, 'a')
	rapid.Check(t, func(t *rapid.T) {
		a, b := claims(t), claims(t)
		if (a == b) != (own.Sign(a) == own.Sign(b)) {
			t.Fatalf("%+v and %+v: tokens %s and %s", a, b, own.Sign(a), own.Sign(b))
		}
	})
}

func TestAnyChangeVoids(t *testing.T) {
	own := keys(t, 'a')
	rapid.Check(t, func(t *rapid.T) {
		raw, err := base64.RawURLEncoding.DecodeString(own.Sign(claims(t)))
		if err != nil {
			t.Fatal(err)
		}
		i := rapid.IntRange(0, len(raw)-1).Draw(t, "byte")
		raw[i] ^= rapid.ByteMin(1).Draw(t, "flip")
		if _, err := own.Verify(base64.RawURLEncoding.EncodeToString(raw)); !errors.Is(err, invite.ErrInvalid) {
			t.Fatalf("changed byte %d: got %v", i, err)
		}
	})
}

// FuzzVerify: whatever comes in the path, Verify does not panic and accepts nothing but its own spelling of
// claims that these keys signed.
func FuzzVerify(f *testing.F) {
	current, rotated, foreign := keys(f, 'a', 'b'), keys(f, 'b'), keys(f, 'c')
	token := current.Sign(sample)
	for _, seed := range []string{
		token, token[:106], token + "A", strings.ToUpper(token), foreign.Sign(sample), rotated.Sign(sample),
		"", "=", "....", "\x00", "AAAA\nAAAA", strings.Repeat("A", 107), strings.Repeat("_", 257),
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, token string) {
		c, err := current.Verify(token)
		if err != nil {
			if !errors.Is(err, invite.ErrInvalid) || c != (invite.Claims{}) {
				t.Fatalf("got %+v, %v: want nothing and ErrInvalid", c, err)
			}
			return
		}
		if token != current.Sign(c) && token != rotated.Sign(c) {
			t.Fatalf("%q accepted as %+v, but no key spells it so", token, c)
		}
	})
}
