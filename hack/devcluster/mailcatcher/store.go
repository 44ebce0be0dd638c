// Copyright The orgkeeper Authors.
// SPDX-License-Identifier: Apache-2.0

package mailcatcher

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"regexp"
	"slices"
	"sync/atomic"
	"time"

	"github.com/jhillyerd/enmime/v2"
)

// store is a directory of mails, one a file. The root keeps every name inside it, whatever the name says.
type store struct {
	root  *os.Root
	count atomic.Uint32
}

// mailName is what the store calls a mail: the time it came (UTC) and a number, so that names sort by age.
var mailName = regexp.MustCompile(`^\d{8}T\d{6}\.\d{3}Z-\d{4,}\.eml$`)

// add writes a mail as it came, in one step: whoever lists the directory never sees half of one.
func (s *store) add(content []byte, now time.Time) error {
	name := fmt.Sprintf("%s-%04d.eml", now.UTC().Format("20060102T150405.000Z"), s.count.Add(1))
	temp := "." + name
	if err := s.root.WriteFile(temp, content, 0o600); err != nil {
		return err
	}
	return s.root.Rename(temp, name)
}

// list names up to limit mails, the newest first, of those older than before (all when that is empty); more tells whether
// there are others.
func (s *store) list(before string, limit int) (names []string, more bool, err error) {
	entries, err := fs.ReadDir(s.root.FS(), ".")
	if err != nil {
		return nil, false, err
	}
	for _, entry := range slices.Backward(entries) { // ReadDir sorts by name
		name := entry.Name()
		if !mailName.MatchString(name) || before != "" && name >= before {
			continue
		}
		if len(names) == limit {
			return names, true, nil
		}
		names = append(names, name)
	}
	return names, false, nil
}

// raw returns a mail as it came.
func (s *store) raw(name string) ([]byte, error) {
	if !mailName.MatchString(name) {
		return nil, fs.ErrNotExist
	}
	return s.root.ReadFile(name)
}

// mail is what a reader shows of a message.
type mail struct {
	Name, From, To, Subject string
	Received                time.Time
	Text, HTML              string
	Problems                []string // what is wrong with the message itself
}

func (s *store) read(name string) (mail, error) {
	content, err := s.raw(name)
	if err != nil {
		return mail{}, err
	}
	m := mail{Name: name}
	if m.Received, err = time.Parse("20060102T150405.000Z", name[:len("20060102T150405.000Z")]); err != nil {
		return mail{}, fs.ErrNotExist // digits, but no date
	}
	envelope, malformed := enmime.ReadEnvelope(bytes.NewReader(content))
	if malformed != nil {
		m.Problems = []string{malformed.Error()}
		return m, nil //nolint:nilerr // a mail that cannot be read is shown with what is wrong with it
	}
	m.From, m.To, m.Subject = envelope.GetHeader("From"), envelope.GetHeader("To"), envelope.GetHeader("Subject")
	m.Text, m.HTML = envelope.Text, envelope.HTML
	for _, problem := range envelope.Errors {
		m.Problems = append(m.Problems, problem.Error())
	}
	return m, nil
}
