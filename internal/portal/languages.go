package portal

import (
	"cmp"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"golang.org/x/text/language"
)

// tongue is what a language needs beside its folder of pages.
type tongue struct {
	// code is the folder's name and what the page says of itself.
	code string
	// roles are the roles in its words: those of the mails.
	roles map[string]string
	// moment writes a moment in UTC, zone and all, so that it fits wherever the pages have one. Lines do not break in the time.
	moment func(time.Time) string
}

// tongues are the languages of the pages. The first is for those who read none of them.
var tongues = []*tongue{
	{
		code:   "en",
		roles:  map[string]string{"Admin": "admin", "BillingAdmin": "billing admin", "UserAdmin": "user admin", "Member": "member"},
		moment: func(t time.Time) string { return t.Format("Monday, 2 January 2006, 15:04\u00a0MST") },
	},
	{
		code: "it",
		roles: map[string]string{
			"Admin": "amministratore", "BillingAdmin": "responsabile della fatturazione",
			"UserAdmin": "responsabile degli utenti", "Member": "membro",
		},
		moment: func(t time.Time) string {
			return fmt.Sprintf("%s %d %s %s", italianDays[t.Weekday()], t.Day(), italianMonths[t.Month()-1], t.Format("2006, ore\u00a015:04\u00a0MST"))
		},
	},
	{
		code: "pl",
		roles: map[string]string{
			"Admin": "administrator", "BillingAdmin": "administrator rozliczeń",
			"UserAdmin": "administrator użytkowników", "Member": "członek",
		},
		// Without the day of the week, whose form would depend on the words before it.
		moment: func(t time.Time) string {
			return fmt.Sprintf("%d %s %s", t.Day(), polishMonths[t.Month()-1], t.Format("2006\u00a0r., godz.\u00a015:04\u00a0MST"))
		},
	},
}

var (
	italianDays   = [...]string{"domenica", "lunedì", "martedì", "mercoledì", "giovedì", "venerdì", "sabato"}
	italianMonths = [...]string{
		"gennaio", "febbraio", "marzo", "aprile", "maggio", "giugno",
		"luglio", "agosto", "settembre", "ottobre", "novembre", "dicembre",
	}
	polishMonths = [...]string{
		"stycznia", "lutego", "marca", "kwietnia", "maja", "czerwca",
		"lipca", "sierpnia", "września", "października", "listopada", "grudnia",
	}
)

var matcher = func() language.Matcher {
	var tags []language.Tag
	for _, t := range tongues {
		tags = append(tags, language.MustParse(t.code))
	}
	return language.NewMatcher(tags)
}()

// maxWanted bounds the Accept-Language that is looked at, in bytes. Browsers send a tenth; thousands of languages would take
// milliseconds to match.
const maxWanted = 1024

// speak chooses the language of an answer: what the reader's browser asks for, else the first of the locales that we
// have, else the first of ours. The browser comes first since whoever reads has chosen it; the locales are what others
// know of them.
func speak(r *http.Request, locales ...string) *tongue {
	wanted := strings.Join(r.Header.Values("Accept-Language"), ",")
	if len(wanted) > maxWanted {
		wanted = ""
	}
	if t := match(wishes(wanted)...); t != nil {
		return t
	}
	for _, locale := range locales {
		if tag, err := language.Parse(locale); err == nil {
			if t := match(tag); t != nil {
				return t
			}
		}
	}
	return tongues[0]
}

// wishes are the languages of an Accept-Language header, the dearest first. What makes no sense does not spoil the rest.
func wishes(header string) []language.Tag {
	type wish struct {
		tag language.Tag
		q   float32
	}
	var all []wish
	for part := range strings.SplitSeq(header, ",") {
		tags, qs, err := language.ParseAcceptLanguage(part)
		if err != nil {
			continue
		}
		for i := range tags {
			all = append(all, wish{tags[i], qs[i]})
		}
	}
	slices.SortStableFunc(all, func(a, b wish) int { return cmp.Compare(b.q, a.q) })
	var tags []language.Tag
	for _, w := range all {
		tags = append(tags, w.tag)
	}
	return tags
}

// match takes the first wish that is one of ours, and is nil where none is. A language that the matcher holds to be read by
// the same people, as English by those of Swahili, is not: the next wish, or what others know of them, says more.
func match(wishes ...language.Tag) *tongue {
	for _, wish := range wishes {
		tag, i, confidence := matcher.Match(wish)
		asked, _ := wish.Base()
		if given, _ := tag.Base(); confidence != language.No && asked == given {
			return tongues[i]
		}
	}
	return nil
}
