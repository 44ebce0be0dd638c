package mail

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/text/feature/plural"
	"golang.org/x/text/language"
)

// A tongue is a language that mails are written in: what templates cannot say by themselves.
type tongue struct {
	tag  language.Tag
	date func(time.Time) string
}

// tongues begin with the one for those who read none of the others.
var tongues = []tongue{
	{language.English, englishDate},
	{language.Italian, italianDate},
	{language.Polish, polishDate},
}

// Languages are the languages of mails, as in Envelope.Language: en, it and pl.
func Languages() []string {
	all := make([]string, 0, len(tongues))
	for _, t := range tongues {
		all = append(all, t.tag.String())
	}
	return all
}

var matcher = language.NewMatcher(func() []language.Tag {
	tags := make([]language.Tag, 0, len(tongues))
	for _, t := range tongues {
		tags = append(tags, t.tag)
	}
	return tags
}())

// Language is the language of a mail to somebody with these locales, in the order of their weight: it for it-CH, and en
// when none is of a language that mails are written in. Empty and malformed locales count for nothing.
func Language(locales ...string) string {
	for _, locale := range locales {
		tag, err := language.Parse(locale)
		if err != nil {
			continue
		}
		_, i, confidence := matcher.Match(tag)
		// The matcher also gives English to Welsh and Swahili, where the organization's language is the better guess.
		asked, _ := tag.Base()
		if given, _ := tongues[i].tag.Base(); confidence != language.No && asked == given {
			return tongues[i].tag.String()
		}
	}
	return tongues[0].tag.String()
}

func tongueOf(tag string) (tongue, error) {
	if tag == "" {
		return tongues[0], nil
	}
	i := slices.IndexFunc(tongues, func(t tongue) bool { return t.tag.String() == tag })
	if i < 0 {
		return tongue{}, errors.New("mails are not written in the language asked for")
	}
	return tongues[i], nil
}

// plural picks the form of a noun that goes with n: {{plural .More "workspace" "workspaces"}}. Languages with forms for
// one, few and many, such as Polish, take three.
func (t tongue) plural(n int, forms ...string) (string, error) {
	form := plural.Cardinal.MatchPlural(t.tag, n, 0, 0, 0, 0)
	switch few := t.tag == language.Polish; {
	case few && len(forms) != 3, !few && len(forms) != 2:
		return "", fmt.Errorf("plural has %d forms: en and it have 2, pl has 3 (1, 2, 5)", len(forms))
	case form == plural.One:
		return forms[0], nil
	case form == plural.Few:
		return forms[1], nil
	}
	return forms[len(forms)-1], nil
}

// Moments are shown to the minute, in UTC, and say so.

func englishDate(t time.Time) string { return t.UTC().Format("Monday, 2 January 2006, 15:04 MST") }

func italianDate(t time.Time) string {
	t = t.UTC()
	return italianDays[t.Weekday()] + t.Format(" 2 ") + italianMonths[t.Month()-1] + t.Format(" 2006, ore 15:04 MST")
}

func polishDate(t time.Time) string {
	t = t.UTC()
	return polishDays[t.Weekday()] + t.Format(", 2 ") + polishMonths[t.Month()-1] + t.Format(" 2006 r., godz. 15:04 MST")
}

var (
	italianDays   = [...]string{"domenica", "lunedì", "martedì", "mercoledì", "giovedì", "venerdì", "sabato"}
	italianMonths = [...]string{
		"gennaio", "febbraio", "marzo", "aprile", "maggio", "giugno",
		"luglio", "agosto", "settembre", "ottobre", "novembre", "dicembre",
	}
	polishDays = [...]string{"niedziela", "poniedziałek", "wtorek", "środa", "czwartek", "piątek", "sobota"}
	// In the genitive, as after the number of a day.
	polishMonths = [...]string{
		"stycznia", "lutego", "marca", "kwietnia", "maja", "czerwca",
		"lipca", "sierpnia", "września", "października", "listopada", "grudnia",
	}
)
