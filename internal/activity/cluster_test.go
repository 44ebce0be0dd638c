package activity

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/orgkeeper/orgkeeper/api/v1alpha1"
)

func TestOnCluster(t *testing.T) {
	l := openLab(t)
	t.Run("audit webhook", l.testAuditWebhook)
	t.Run("once for all replicas", l.testOnceForAllReplicas)
	t.Run("conflict", l.testConflict)
}

// What real people do at a real API server shows in the status of members, by way of its audit webhook and two replicas.
func (l *lab) testAuditWebhook(t *testing.T) {
	l.organization(t, "acme")
	l.create(t, namespace("gate"))
	jane := l.member(t, "acme", "jane", "jane@acme.example")
	joe := l.member(t, "acme", "joe", "joe@acme.example")
	kim := l.member(t, "acme", "kim", "kim@acme.example")
	lee := l.member(t, "acme", "lee", "lee@acme.example")
	mia := l.member(t, "acme", "mia", "mia@acme.example")
	ci := l.member(t, "acme", "ci", "system:serviceaccount:acme:ci")
	pending := &v1alpha1.OrgMember{ObjectMeta: metav1.ObjectMeta{Namespace: "acme", Name: "pat"}, Spec: v1alpha1.OrgMemberSpec{Email: "pat@acme.example"}}
	l.create(t, pending)
	l.lets(t, "acme--web", "jane@acme.example", "joe@acme.example", "lee@acme.example", "pat@acme.example", "system:serviceaccount:acme:ci")
	l.lets(t, "acme", "mia@acme.example")
	l.open(t, l.replica(t, 10*time.Minute), l.replica(t, 10*time.Minute))
	before := time.Now().Truncate(time.Second)

	// Nobody's deeds first: what comes after them is in the status before anybody looks whether these are.
	lists(t, l.client(t, l.plane.As("joe@acme.example")), "acme--web") // an admin who impersonates
	lists(t, l.person(t, "pat@acme.example"), "acme--web")             // not a member yet, whatever else she may do
	if err := l.person(t, "kim@acme.example").List(t.Context(), &corev1.PodList{}, client.InNamespace("acme--web")); !apierrors.IsForbidden(err) {
		t.Fatalf("kim lists pods: %v", err)
	}
	robot := l.client(t, l.robot(t, "acme", "ci"))
	lists(t, l.person(t, "jane@acme.example"), "acme--web")
	lists(t, robot, "acme--web")
	check(t, l.person(t, "mia@acme.example").List(t.Context(), &corev1.ConfigMapList{}, client.InNamespace("acme")))
	lists(t, l.gateway(t, "lee@acme.example"), "acme--web")

	for _, m := range []*v1alpha1.OrgMember{jane, ci, mia, lee} {
		eventually(t, m.Name+" is active", func() error {
			check(t, l.admin.Get(t.Context(), client.ObjectKeyFromObject(m), m))
			if last := m.Status.LastActiveTime; last == nil || last.Time.Before(before) || last.After(time.Now()) {
				return fmt.Errorf("last active %v", m.Status.LastActiveTime)
			}
			return nil
		})
	}
	for _, m := range []*v1alpha1.OrgMember{joe, kim, pending} {
		check(t, l.admin.Get(t.Context(), client.ObjectKeyFromObject(m), m))
		if last := m.Status.LastActiveTime; last != nil {
			t.Errorf("%s did nothing and is active at %s", m.Name, last)
		}
	}
	shown, err := l.plane.Run(t.Context(), "get", "orgmembers", "jane", "--namespace", "acme")
	check(t, err)
	t.Logf("kubectl get om:\n%s", shown)
}

// Somebody who works all the time, seen by two replicas, is written once in an interval, and never backwards.
func (l *lab) testOnceForAllReplicas(t *testing.T) {
	const short = 3 * time.Second
	l.organization(t, "often")
	m := l.member(t, "often", "jane", "jane@acme.example")
	l.lets(t, "often--web", "jane@acme.example")
	jane := l.person(t, "jane@acme.example")
	first, second := l.replica(t, short), l.replica(t, short)
	l.open(t, first, second)

	changes, err := l.admin.Watch(t.Context(), &v1alpha1.OrgMemberList{}, client.InNamespace("often"))
	check(t, err)
	defer changes.Stop()
	work, end := time.NewTicker(100*time.Millisecond), time.After(time.Minute)
	defer work.Stop()
	var writes []time.Time
	for len(writes) < 5 {
		select {
		case <-work.C:
			lists(t, jane, "often--web")
			// Both replicas hear of everything, and so have the same to write.
			b := batch{uses: map[use]seen{{"often--web", "jane@acme.example"}: {1, time.Now()}}}
			check(t, errors.Join(first.take(t.Context(), b), second.take(t.Context(), b)))
		case e := <-changes.ResultChan():
			last := e.Object.(*v1alpha1.OrgMember).Status.LastActiveTime
			if last == nil || len(writes) > 0 && last.Time.Equal(writes[len(writes)-1]) {
				continue
			}
			if n := len(writes); n > 0 && last.Sub(writes[n-1]) < short {
				t.Errorf("%s was written after %s", last, writes[n-1])
			}
			writes = append(writes, last.Time)
		case <-end:
			t.Fatalf("within a minute only %v", writes)
		}
	}
	check(t, l.admin.Get(t.Context(), client.ObjectKeyFromObject(m), m))
}

// The status as it is stands against the cache as it was: who has an old picture writes nothing.
func (l *lab) testConflict(t *testing.T) {
	l.organization(t, "rival")
	m := l.member(t, "rival", "jane", "jane@acme.example")
	old := m.DeepCopy()
	l.says(t, m, func() { m.Status.LastActiveTime = &metav1.Time{Time: time.Now().Truncate(time.Second)} })
	key := client.ObjectKeyFromObject(m)
	n := news{key, m.UID, m.Status.LastActiveTime.Add(-time.Minute)}
	stale := NewTracker(TrackerConfig{Client: oldPicture{l.operator, old}, Interval: time.Second})
	if o, err := stale.write(t.Context(), n); o != conflict {
		t.Errorf("a write from an old picture: %s, %v", o, err)
	}
	fresh := NewTracker(TrackerConfig{Client: l.operator, Interval: time.Second})
	if o, err := fresh.write(t.Context(), n); o != current || err != nil {
		t.Errorf("a write of what is known: %s, %v", o, err)
	}
	n.at = n.at.Add(time.Hour)
	if o, err := fresh.write(t.Context(), news{key, "another", n.at}); o != current || err != nil {
		t.Errorf("a write to a namesake: %s, %v", o, err)
	}
	if o, err := fresh.write(t.Context(), n); o != written || err != nil {
		t.Errorf("a write of news: %s, %v", o, err)
	}
	seen := &v1alpha1.OrgMember{}
	check(t, l.admin.Get(t.Context(), key, seen))
	if !seen.Status.LastActiveTime.Time.Equal(n.at) || seen.Status.State != v1alpha1.StateActive {
		t.Errorf("status is %+v", seen.Status)
	}
	check(t, l.admin.Delete(t.Context(), seen))
	if o, err := fresh.write(t.Context(), n); o != current || err != nil {
		t.Errorf("a write to nobody: %s, %v", o, err)
	}
	if o, err := stale.write(t.Context(), n); o != current && o != conflict { // in a moment the cache knows, too
		t.Errorf("a write to nobody, from an old picture: %s, %v", o, err)
	}
}

// oldPicture is a client whose cache lags behind.
type oldPicture struct {
	client.Client
	member *v1alpha1.OrgMember
}

func (c oldPicture) Get(_ context.Context, _ client.ObjectKey, o client.Object, _ ...client.GetOption) error {
	c.member.DeepCopyInto(o.(*v1alpha1.OrgMember))
	return nil
}

func lists(t testing.TB, c client.Client, namespace string) {
	t.Helper()
	check(t, c.List(t.Context(), &corev1.PodList{}, client.InNamespace(namespace)))
}

// gateway is what a service account that signs people in does for one of them.
func (l *lab) gateway(t testing.TB, username string) client.Client {
	t.Helper()
	config := l.robot(t, "gate", "way")
	l.create(t,
		&rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: "gateway"}, Rules: []rbacv1.PolicyRule{
			{APIGroups: []string{""}, Resources: []string{"users", "groups"}, Verbs: []string{"impersonate"}},
		}},
		&rbacv1.ClusterRoleBinding{
			ObjectMeta: metav1.ObjectMeta{Name: "gateway"},
			RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "gateway"},
			Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: "gate", Name: "way"}},
		})
	config.Impersonate = rest.ImpersonationConfig{UserName: username, Groups: []string{"system:authenticated"}}
	c := l.client(t, config)
	eventually(t, "the gateway may impersonate", func() error { // RBAC takes a moment to know
		return c.List(t.Context(), &corev1.PodList{}, client.InNamespace("acme--web"))
	})
	return c
}
