package assignee

import (
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/lru"
)

// Told remembers what the people of workspaces were told, of so many workspaces as it was made for: those it was asked about last.
// Workspaces come and go, and nobody says here which are gone. It may be used by several at once.
type Told struct{ last *lru.Cache }

// NewTold remembers nothing yet.
func NewTold(workspaces int) *Told { return &Told{lru.New(workspaces)} }

// News says whether something is to be told of a workspace that was not told last, and takes it for told. Nothing is no news.
func (t *Told) News(workspace types.UID, what string) bool {
	if what == "" {
		t.last.Remove(workspace)
		return false
	}
	before, _ := t.last.Get(workspace)
	t.last.Add(workspace, what)
	return before != what
}

// Len is of how many workspaces it knows something.
func (t *Told) Len() int { return t.last.Len() }
