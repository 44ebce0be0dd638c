package portal_test

import (
	"bytes"
	"context"
	"flag"
	"image"
	"image/color"
	"image/draw"
	"image/png"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/jhillyerd/enmime/v2"

	"github.com/orgkeeper/orgkeeper/internal/mail"
	"github.com/orgkeeper/orgkeeper/internal/portal"
)

// The pictures of the documentation are made again with
//
//	go test ./internal/portal -run TestPictures -screenshots ../../docs/images
var screenshots = flag.String("screenshots", "", "folder to write the pictures of the documentation to")

// mia is invited as the samples say.
var mia = portal.Invitation{
	Status: portal.Open, Organization: "Acme S.p.A.", Role: "Member", Inviter: "jane@acme.example", Name: "Mia",
	Expires: expires, Workspaces: []string{"Web shop"},
}

// shots are the pictures of the documentation.
var shots = map[string]struct {
	width, height    int64
	scale            float64
	scheme, language string
	url              func(t *testing.T) string
	tab              bool // the focus is on the first button
}{
	"invitation":         {1280, 680, 1, "light", "en", page, false},
	"invitation-phone":   {360, 948, 1.5, "light", "it", page, false},
	"invitation-dark":    {360, 948, 1.5, "dark", "pl", page, true},
	"invitation-by-mail": {640, 790, 1.5, "light", "en", letter, false},
}

// The documentation shows what people get to see, in small files, with words for who does not see them.
func TestPictures(t *testing.T) {
	for name, shot := range shots {
		file := filepath.Join("../../docs/images", name+".png")
		if *screenshots != "" {
			file = filepath.Join(*screenshots, name+".png")
			ctx := browser(t)
			asks(t, ctx, shot.language)
			prefers(t, ctx, shot.scheme)
			steps(t, ctx, chromedp.EmulateViewport(shot.width, shot.height, chromedp.EmulateScale(shot.scale)), chromedp.Navigate(shot.url(t)))
			if shot.tab {
				steps(t, ctx, chromedp.KeyEvent(kb.Tab))
			}
			if over := value(t, ctx, chromedp.Evaluate[float64](`document.documentElement.scrollHeight - innerHeight`)); over > 0 {
				t.Errorf("%s lacks the last %v px of the page", file, over)
			}
			if err := os.WriteFile(file, picture(t, ctx), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		checkPicture(t, file, int(float64(shot.width)*shot.scale), int(float64(shot.height)*shot.scale))
	}
}

func page(t *testing.T) string {
	t.Helper()
	url, _ := site(t, &store{inv: mia})
	return url
}

// letter serves the invitation mail as a mail program shows it.
func letter(t *testing.T) string {
	t.Helper()
	m, err := (*mail.Templates)(nil).Compose(mail.Envelope{
		MessageID: "mia.1.invitation@mail.example", Date: expires.Add(-7 * 24 * time.Hour),
		From: mail.Address{Address: "orgkeeper@mail.example"}, To: mail.Address{Name: mia.Name, Address: "mia@acme.example"},
	}, mail.Invitation{
		Organization: mia.Organization, Role: mia.Role, Inviter: mia.Inviter, Expires: mia.Expires, Workspaces: mia.Workspaces,
		Message:   "Welcome to the team! The shop is waiting for you.",
		AcceptURL: "https://orgs.mail.example/i/" + newKeys(t).Sign(claims),
	})
	if err != nil {
		t.Fatal(err)
	}
	env, err := enmime.ReadEnvelope(bytes.NewReader(m.Data))
	if err != nil {
		t.Fatal(err)
	}
	return recorded(t, &http.Response{
		StatusCode: http.StatusOK, Header: http.Header{"Content-Type": {"text/html; charset=utf-8"}}, Body: io.NopCloser(strings.NewReader(env.HTML)),
	})
}

// checkPicture: of the size that it is said to be made with, below 60 kB, and shown somewhere with words in its place.
func checkPicture(t *testing.T, file string, width, height int) {
	t.Helper()
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	size, err := png.DecodeConfig(bytes.NewReader(content))
	if err != nil {
		t.Fatal(err)
	}
	if size.Width != width || size.Height != height || len(content) > 60<<10 {
		t.Errorf("%s has %d bytes and %d x %d pixels, want at most 60 KiB and %d x %d", file, len(content), size.Width, size.Height, width, height)
	}
	for _, page := range []string{"../../README.md", "../../docs/portal.md", "../../docs/mail.md"} {
		words, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(words)) {
			if strings.Contains(line, "images/"+filepath.Base(file)) && strings.Contains(line, `alt="`) && !strings.Contains(line, `alt=""`) {
				return
			}
		}
	}
	t.Errorf("%s is shown nowhere, or without words for who does not see it", file)
}

// picture is what the tab shows, as a small file: pages have few colours, so 256 of them are enough.
func picture(t *testing.T, ctx context.Context) []byte {
	t.Helper()
	shot, err := png.Decode(bytes.NewReader(value(t, ctx, chromedp.CaptureScreenshot())))
	if err != nil {
		t.Fatal(err)
	}
	bounds := shot.Bounds()
	count := map[color.Color]int{}
	for y := bounds.Min.Y; y < bounds.Max.Y; y++ {
		for x := bounds.Min.X; x < bounds.Max.X; x++ {
			count[shot.At(x, y)]++
		}
	}
	var colors color.Palette
	for c := range count {
		colors = append(colors, c)
	}
	slices.SortFunc(colors, func(a, b color.Color) int {
		if d := count[b] - count[a]; d != 0 {
			return d
		}
		return weight(a) - weight(b) // so that the same page gives the same file
	})
	small := image.NewPaletted(bounds, colors[:min(len(colors), 256)])
	draw.Draw(small, bounds, shot, bounds.Min, draw.Src)
	var b bytes.Buffer
	if err := (&png.Encoder{CompressionLevel: png.BestCompression}).Encode(&b, small); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func weight(c color.Color) int {
	r, g, b, _ := c.RGBA()
	return int(r>>8)<<16 | int(g>>8)<<8 | int(b>>8)
}
