package controllers

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/orgkeeper/orgkeeper/api/v1alpha1"
	"github.com/orgkeeper/orgkeeper/internal/facts"
	"github.com/orgkeeper/orgkeeper/internal/rbac"
)

// world is a home without workspaces, as its cache and its API server show it. The two may differ for a moment, which no real ones
// do when a test wants it.
type world struct {
	mu            sync.Mutex
	leaving       []v1alpha1.OrgMember
	cached, bound map[string]bool // users

	lists atomic.Int64
	// during is called in each live list, after what it is to show was read and before it is answered.
	during func(ctx context.Context, list int64) error
}

type fromCache struct {
	client.Reader
	*world
}

func (c fromCache) List(_ context.Context, list client.ObjectList, _ ...client.ListOption) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch l := list.(type) {
	case *v1alpha1.OrgMemberList:
		l.Items = slices.Clone(c.leaving)
	case *rbacv1.RoleBindingList:
		l.Items = bindingOf(c.cached)
	case *v1alpha1.WorkspaceList:
	}
	return nil
}

type fromServer struct {
	client.Reader
	*world
}

func (s fromServer) List(ctx context.Context, list client.ObjectList, _ ...client.ListOption) error {
	s.mu.Lock()
	list.(*rbacv1.RoleBindingList).Items = bindingOf(s.bound)
	s.mu.Unlock()
	return s.during(ctx, s.lists.Add(1))
}

func bindingOf(users map[string]bool) []rbacv1.RoleBinding {
	b := rbacv1.RoleBinding{ObjectMeta: metav1.ObjectMeta{
		Namespace: "acme", Name: rbac.HomeBindings[0], Labels: map[string]string{v1alpha1.LabelOrganization: "acme"},
	}}
	for user := range users {
		b.Subjects = append(b.Subjects, rbac.Subject(user))
	}
	return []rbacv1.RoleBinding{b}
}

func newWorld(during func(ctx context.Context, list int64) error) (*world, *OrgMemberReconciler) {
	w := &world{cached: map[string]bool{}, bound: map[string]bool{}, during: during}
	return w, &OrgMemberReconciler{Deps: Deps{Live: fromServer{world: w}, Facts: facts.Reader{Reader: fromCache{world: w}}, Steady: clock.RealClock{}}}
}

// leaves is a member who begins to leave, seen by the cache to have no access any more. Named: by the API server they have it yet.
func (w *world) leaves(name string, named bool) *v1alpha1.OrgMember {
	m := v1alpha1.OrgMember{
		ObjectMeta: metav1.ObjectMeta{Namespace: "acme", Name: name, UID: types.UID(name), DeletionTimestamp: &metav1.Time{Time: time.Now()}},
		Spec:       v1alpha1.OrgMemberSpec{Username: name},
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if named {
		w.bound[name] = true
	}
	w.leaving = append(w.leaving, m)
	return &m
}

// However many leave at once, those who come while a list is under way share the next one. None is let go by a list that began
// before they left: it may not show yet what was given to them.
func TestLastLooksAreShared(t *testing.T) {
	const many, oneIn = 300, 30
	began, all := make(chan struct{}), make(chan struct{})
	w, r := newWorld(func(_ context.Context, list int64) error {
		if list == 1 { // before all but one of them left
			close(began)
			<-all
		}
		return nil
	})
	var came atomic.Int64
	var leaving sync.WaitGroup
	for i := range many {
		leaving.Go(func() {
			if i > 0 {
				<-began
			}
			name, named := fmt.Sprintf("m%03d", i), i%oneIn == 1
			m := w.leaves(name, named)
			if came.Add(1) == many {
				close(all)
			}
			in, err := r.accessLeft(t.Context(), m, name)
			if err != nil || named != (len(in) > 0) {
				t.Errorf("%s, of whom it is %t that they are named: by %v, %v", name, named, in, err)
			}
		})
	}
	leaving.Wait()
	// The first one's, the one that all share, and one of each who is named and has to ask for themselves.
	if lists, most := w.lists.Load(), int64(2+many/oneIn); lists > most {
		t.Errorf("%d lists, where %d do", lists, most)
	}
	if len(r.looks.turns) > 0 {
		t.Errorf("%d turns are kept when nobody asks", len(r.looks.turns))
	}
}

var errList = errors.New("no lists now")

// A list that fails counts for nobody: who waited makes one of their own, and is told if that fails as well. Who is told to stop
// while another lists stops.
func TestLastLookFails(t *testing.T) {
	began, end := make(chan struct{}), make(chan struct{})
	w, r := newWorld(func(_ context.Context, list int64) error {
		switch list {
		case 1:
			close(began)
			<-end
			return errList
		case 2:
			return errList
		}
		return nil
	})
	ann, bob, cat := w.leaves("ann", false), w.leaves("bob", false), w.leaves("cat", false)
	ask := func(ctx context.Context, m *v1alpha1.OrgMember) chan error {
		told := make(chan error, 1)
		go func() {
			in, err := r.accessLeft(ctx, m, m.Name)
			if len(in) > 0 {
				t.Errorf("%s is named by %v", m.Name, in)
			}
			told <- err
		}()
		return told
	}
	first := ask(t.Context(), ann)
	<-began
	ctx, stop := context.WithCancel(t.Context())
	stopped := ask(ctx, cat)
	stop()
	if err := <-stopped; !errors.Is(err, context.Canceled) {
		t.Errorf("told to stop: %v", err)
	}
	second := ask(t.Context(), bob)
	close(end)
	for _, told := range []chan error{first, second} {
		if err := <-told; !errors.Is(err, errList) {
			t.Errorf("a list that failed: %v", err)
		}
	}
	if err := <-ask(t.Context(), ann); err != nil || w.lists.Load() != 3 {
		t.Errorf("%v after %d lists", err, w.lists.Load())
	}
	if err := <-ask(t.Context(), bob); err != nil || w.lists.Load() != 3 {
		t.Errorf("%v after %d lists, the last of them for both", err, w.lists.Load())
	}
	if len(r.looks.turns) > 0 {
		t.Errorf("%d turns are kept when nobody asks", len(r.looks.turns))
	}
}

// What a list found counts once, for that member under that username, for a while, and not after they were named again.
func TestLookKept(t *testing.T) {
	began := time.Now()
	for _, c := range []struct {
		reason string
		name   string
		change func(looks *lastLooks, m *v1alpha1.OrgMember)
		after  time.Duration
		want   bool
	}{
		{"who was found free", "mia", nil, time.Second, true},
		{"under another name", "max", nil, time.Second, false},
		{"too long ago", "mia", nil, lookCounts, false},
		{"found once, asked twice", "mia", func(l *lastLooks, m *v1alpha1.OrgMember) { l.take(m, "mia", began) }, time.Second, false},
		{"named again", "mia", (*lastLooks).forget, time.Second, false},
		{"not by the next list", "mia", func(l *lastLooks, _ *v1alpha1.OrgMember) { l.keep("acme", look{began, nil}, began) }, time.Second, false},
		{"whatever was found elsewhere", "mia", func(l *lastLooks, _ *v1alpha1.OrgMember) { l.keep("initech", look{began, nil}, began) }, time.Second, true},
	} {
		looks := &lastLooks{}
		mia := &v1alpha1.OrgMember{ObjectMeta: metav1.ObjectMeta{Namespace: "acme", Name: "mia", UID: "1"}}
		looks.keep("acme", look{began, map[types.UID]string{"1": "mia"}}, began)
		if c.change != nil {
			c.change(looks, mia)
		}
		if got := looks.take(mia, c.name, began.Add(c.after)); got != c.want {
			t.Errorf("%s: %t", c.reason, got)
		}
		if len(looks.seen) > 0 {
			t.Errorf("%s: what was asked for is kept: %v", c.reason, looks.seen)
		}
		looks.keep("acme", look{began, map[types.UID]string{"1": "mia"}}, began)
		looks.keep("initech", look{began.Add(lookCounts), nil}, began.Add(lookCounts))
		if len(looks.seen) > 0 {
			t.Errorf("%s: what nobody asked for is kept: %v", c.reason, looks.seen)
		}
	}
}

// users finds exactly those whom naming does, in whatever form somebody wrote them.
func TestUsersAreThoseNamed(t *testing.T) {
	bindings := []rbacv1.RoleBinding{{ObjectMeta: metav1.ObjectMeta{Namespace: "acme"}, Subjects: []rbacv1.Subject{
		{Kind: rbacv1.UserKind, Name: "mia"}, {Kind: rbacv1.GroupKind, Name: "staff"},
		{Kind: rbacv1.UserKind, Name: "system:serviceaccount:acme:typed"},
		{Kind: rbacv1.ServiceAccountKind, Name: "here"}, {Kind: rbacv1.ServiceAccountKind, Namespace: "there", Name: "ci"},
	}}}
	for _, username := range []string{
		"mia", "max", "staff", "", "here", "ci", "system:serviceaccount:acme:typed", "system:serviceaccount:acme:here",
		"system:serviceaccount:there:here", "system:serviceaccount:there:ci", "system:serviceaccount:acme:ci",
	} {
		if got, want := users(bindings).Has(username), len(naming(bindings, username)) > 0; got != want && username != "" {
			t.Errorf("%q: %t, not %t", username, got, want)
		}
	}
}
