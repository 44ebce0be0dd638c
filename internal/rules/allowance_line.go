package rules

import (
	"slices"
	"sort"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/orgkeeper/orgkeeper/api/v1alpha1"
)

// Line is who of an organization waits, kept in the order of AheadInLine: to ask for a place is a search by halves, where AheadInLine
// looks at everybody. It knows no more of each than the order goes by. The zero value is an empty line.
type Line []*metav1.ObjectMeta

// Ahead is what AheadInLine says of a member and those in line.
func (l Line) Ahead(m *v1alpha1.OrgMember) int {
	return sort.Search(len(l), func(i int) bool { return !older(l[i], m, 0, 0) })
}

// Join puts a member in line, who may be in it.
func (l *Line) Join(m *v1alpha1.OrgMember) {
	if i, in := l.find(m); !in {
		*l = slices.Insert(*l, i, &metav1.ObjectMeta{Name: m.Name, CreationTimestamp: m.CreationTimestamp})
	}
}

// Leave takes a member out of the line, who may not be in it.
func (l *Line) Leave(m *v1alpha1.OrgMember) {
	if i, in := l.find(m); in {
		*l = slices.Delete(*l, i, i+1)
	}
}

// find gives a member's place, and says whether they are in it. Two members of one name are never there at a time.
func (l Line) find(m *v1alpha1.OrgMember) (int, bool) {
	i := l.Ahead(m)
	return i, i < len(l) && l[i].Name == m.Name && l[i].CreationTimestamp.Equal(&m.CreationTimestamp)
}
