package assignee_test

import (
	"fmt"
	"testing"

	"k8s.io/apimachinery/pkg/types"

	"github.com/orgkeeper/orgkeeper/internal/assignee"
)

// What was told is told again when it changed, or is forgotten: that of the workspace that nobody asked about for the longest time.
func TestTold(t *testing.T) {
	told := assignee.NewTold(2)
	for i, c := range []struct {
		reason    string
		workspace types.UID
		what      string
		want      bool
	}{
		{"the first time", "web", "contacts", true},
		{"the same again", "web", "contacts", false},
		{"something else", "web", "contacts, plates", true},
		{"what it was before", "web", "contacts", true},
		{"another workspace", "api", "contacts", true},
		{"each for itself", "web", "contacts", false},
		{"a third, for which api is forgotten", "lab", "contacts", true},
		{"web was asked about later", "web", "contacts", false},
		{"api was forgotten", "api", "contacts", true},
		{"nothing is no news", "web", "", false},
		{"the same after nothing", "web", "contacts", true},
		{"nothing, of one that is not known", "new", "", false},
	} {
		if got := told.News(c.workspace, c.what); got != c.want {
			t.Errorf("step %d, %s: news is %t", i, c.reason, got)
		}
	}
}

// However many workspaces there were, no more are remembered.
func TestToldIsBounded(t *testing.T) {
	const most = 10
	told := assignee.NewTold(most)
	for i := range 100 * most {
		if !told.News(types.UID(fmt.Sprint(i)), "contacts") {
			t.Fatalf("workspace %d was never told", i)
		}
		if told.Len() > most {
			t.Fatalf("%d workspaces are remembered", told.Len())
		}
	}
}
