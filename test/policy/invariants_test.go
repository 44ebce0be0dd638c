// Copyright The orgkeeper Authors.
// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"context"
	"fmt"
	"maps"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/orgkeeper/orgkeeper/api/v1alpha1"
)

// everyone are those who have every right that there is: a fellow admin, the platform and cluster-admin.
func everyone(t *testing.T, h *home) map[string]client.Client {
	t.Helper()
	pipeline := "pipeline-of-" + h.name
	platform(t, pipeline)
	return map[string]client.Client{"a fellow admin": as(t, h.user("adam")), "the platform": as(t, pipeline), "cluster-admin": admin}
}

// TestInvariants tries what holds for everyone.
func TestInvariants(t *testing.T) {
	operate(t)
	h := newHome(t, v1alpha1.AdministrationShared)
	everyone := everyone(t, h)
	t.Run("the owner stays", func(t *testing.T) { ownerStays(t, h, everyone) })
	t.Run("ownership goes to usable admins only", func(t *testing.T) { badTransfers(t, h, everyone) })
	t.Run("nobody ends their own membership", func(t *testing.T) { selfRemoval(t, h) })
	t.Run("what never changes", func(t *testing.T) { neverChanges(t, h, everyone) })
	t.Run("one organization per namespace", func(t *testing.T) { secondOrganization(t, h, everyone) })
	t.Run("not well formed", func(t *testing.T) { malformed(t, h) })
}

// inEveryWay tries a change of fields in every way.
func inEveryWay(t *testing.T, c client.Client, o client.Object, fields string, judge func(t *testing.T, way string, err error)) {
	t.Helper()
	for _, w := range append(ways, applying) {
		fresh := o.DeepCopyObject().(client.Object)
		check(t, admin.Get(t.Context(), client.ObjectKeyFromObject(o), fresh))
		before := fresh.DeepCopyObject().(client.Object)
		err := w.send(t.Context(), c, fresh, fields)
		judge(t, w.name, err)
		if err != nil || ofStatus(w.name) {
			unchanged(t, w.name, before)
		}
	}
}

// ofStatus says that a way leads through the subresource, where whoever may write it changes nothing but the status.
func ofStatus(way string) bool {
	return way == "replace of the subresource status" || way == "patch of the subresource status"
}

func ownerStays(t *testing.T, h *home, everyone map[string]client.Client) {
	jane := h.invited("jane", v1alpha1.RoleAdmin)
	for who, c := range everyone {
		for _, options := range [][]client.DeleteOption{nil, {client.DryRunAll}, {client.GracePeriodSeconds(0)}, {client.PropagationPolicy("Foreground")}} {
			refused(t, who+" removes the owner", c.Delete(t.Context(), h.invited("jane", v1alpha1.RoleAdmin), options...), "jane owns acme", "transfer ownership first")
		}
		for what, fields := range map[string]string{
			"demotes":  `{"spec":{"role":"Member"}}`,
			"suspends": `{"spec":{"suspended":true}}`,
			"ends":     `{"spec":{"expiresAt":"2199-01-01T00:00:00Z"}}`,
		} {
			inEveryWay(t, c, jane, fields, func(t *testing.T, way string, err error) {
				if ofStatus(way) && who == "cluster-admin" {
					return // may write status, which changes nothing else: unchanged looks at that
				}
				words := []string{"jane owns acme", "transfer ownership first"}
				if ofStatus(way) {
					words = []string{"orgmembers/status"}
				}
				refused(t, who+" "+what+" the owner by "+way, err, words...)
			})
		}
	}
	// All at once, which arrives without a name. Everybody else may go, so it is a dry run.
	err := admin.DeleteAllOf(t.Context(), &v1alpha1.OrgMember{}, client.InNamespace(h.name), client.DryRunAll)
	refused(t, "cluster-admin removes everybody", err, "jane owns acme")
}

func badTransfers(t *testing.T, h *home, everyone map[string]client.Client) {
	suspended, expiring := h.member("sue", v1alpha1.RoleAdmin), h.member("eve", v1alpha1.RoleAdmin)
	robot, leaving := h.member("rob", v1alpha1.RoleAdmin), h.member("lea", v1alpha1.RoleAdmin)
	robot.Spec.Email, robot.Spec.Username = "", "system:serviceaccount:"+h.name+":rob"
	leaving.Finalizers = []string{"example.com/stays"}
	h.create(suspended, expiring, robot, leaving)
	h.becomes(robot, v1alpha1.StateActive)
	for _, m := range []*v1alpha1.OrgMember{suspended, expiring, leaving} {
		h.becomes(m, v1alpha1.StateActive)
	}
	h.patch(suspended, `{"spec":{"suspended":true}}`)
	h.patch(expiring, `{"spec":{"expiresAt":"2199-01-01T00:00:00Z"}}`)
	check(t, admin.Delete(t.Context(), leaving))
	t.Cleanup(func() { h.patch(leaving, `{"metadata":{"finalizers":null}}`) })
	eventually(t, "the operator knows", func() error {
		if admins := h.organization().Status.Admins; len(admins) != 2 {
			return fmt.Errorf("admins %v", admins)
		}
		return nil
	})
	everyone = maps.Clone(everyone)
	everyone["the owner"] = as(t, h.user("jane"))
	delete(everyone, "a fellow admin") // who transfers nothing at all
	for who, c := range everyone {
		for why, name := range map[string]string{
			"unknown": "nobody", "pending": "pia", "suspended": "sue", "expiring": "eve", "a robot": "rob", "terminating": "lea", "a member": "mia",
		} {
			acme := h.organization()
			for _, w := range append(ways[:4:4], applying) {
				err := w.send(t.Context(), c, acme.DeepCopy(), fmt.Sprintf(`{"spec":{"owner":"%s"}}`, name))
				refused(t, who+" transfers to somebody "+why+" by "+w.name, err, name+" cannot own acme", "now: adam, jane")
			}
		}
		for what, fields := range map[string]string{"emptied": `{"spec":{"owner":""}}`, "removed": `{"spec":{"owner":null}}`} {
			err := c.Patch(t.Context(), h.organization(), mergePatch("%s", fields))
			if !apierrors.IsInvalid(err) {
				t.Errorf("%s: spec.owner %s: %v", who, what, err)
			}
		}
	}
	if owner := h.organization().Spec.Owner; owner != "jane" {
		t.Errorf("the owner is %q", owner)
	}
}

// becomes waits until a member's state is reported.
func (h *home) becomes(m *v1alpha1.OrgMember, state v1alpha1.MemberState) {
	h.t.Helper()
	eventually(h.t, m.Name+" becomes "+string(state), func() error {
		if err := admin.Get(h.t.Context(), client.ObjectKeyFromObject(m), m); err != nil {
			return err
		}
		if m.Status.State != state || m.Status.ObservedGeneration != m.Generation {
			return fmt.Errorf("%s is %q", m.Name, m.Status.State)
		}
		return nil
	})
}

func selfRemoval(t *testing.T, h *home) {
	platformMember := h.member("pip", v1alpha1.RoleMember)
	platformMember.Spec.Username = "pip-of-" + h.name
	platform(t, platformMember.Spec.Username)
	h.create(platformMember)
	h.becomes(platformMember, v1alpha1.StateActive)
	for name, user := range map[string]string{"adam": h.user("adam"), "pip": platformMember.Spec.Username} {
		c, self := as(t, user), h.invited(name, v1alpha1.RoleAdmin)
		words := []string{user + " is " + name, "nobody ends their own membership"}
		refused(t, name+" removes themselves", c.Delete(t.Context(), self), words...)
		for _, fields := range []string{`{"spec":{"suspended":true}}`, `{"spec":{"expiresAt":"2199-01-01T00:00:00Z"}}`} {
			for _, w := range append(ways[:4:4], applying) {
				check(t, admin.Get(t.Context(), client.ObjectKeyFromObject(self), self))
				refused(t, name+" "+fields+" by "+w.name, w.send(t.Context(), c, self.DeepCopy(), fields), words...)
			}
		}
		// What is no end of it, they may.
		if err := c.Patch(t.Context(), self, mergePatch(`{"spec":{"displayName":"Me"}}`)); err != nil {
			t.Errorf("%s renames themselves: %v", name, err)
		}
	}
	// A second object for oneself gives nothing, and may be taken back.
	double := h.invited("jane-again", v1alpha1.RoleMember)
	double.Spec.Email = v1alpha1.EmailAddress(h.user("jane"))
	check(t, as(t, h.user("jane")).Create(t.Context(), double))
	h.becomes(double, v1alpha1.StatePending) // and is reported as a duplicate by the same write
	if err := as(t, h.user("jane")).Delete(t.Context(), double); err != nil {
		t.Errorf("jane takes back her duplicate: %v", err)
	}
	// A user admin edits nobody but Members, themselves neither.
	uma := as(t, h.user("uma"))
	refused(t, "uma removes herself", uma.Delete(t.Context(), h.invited("uma", v1alpha1.RoleUserAdmin)), "uma")
	// Before the operator had a look, the email tells who it is.
	stop := h.invited("tom", v1alpha1.RoleAdmin)
	stop.Spec.Username = "tom-of-" + h.name
	platform(t, stop.Spec.Username)
	tom := as(t, stop.Spec.Username)
	check(t, tom.Create(t.Context(), stop))
	refused(t, "tom removes himself at once", tom.Delete(t.Context(), stop), "nobody ends their own membership")
	h.becomes(stop, v1alpha1.StatePending)
	refused(t, "tom removes himself while he is invited", tom.Delete(t.Context(), stop), "nobody ends their own membership")
}

func neverChanges(t *testing.T, h *home, everyone map[string]client.Client) {
	mia := h.invited("mia", v1alpha1.RoleMember)
	named := h.invited("ned", v1alpha1.RoleMember)
	named.Spec.Username = "ned-of-" + h.name
	h.create(named)
	everyone = maps.Clone(everyone)
	everyone["a user admin"] = as(t, h.user("uma"))
	for who, c := range everyone {
		for _, change := range []struct {
			what   string
			member *v1alpha1.OrgMember
			fields string
		}{
			{"the email", mia, `{"spec":{"email":"other@acme.example"}}`},
			{"the email away", named, `{"spec":{"email":null}}`},
			{"the username", named, `{"spec":{"username":"other"}}`},
			{"the username away", named, `{"spec":{"username":null}}`},
			{"in a username", mia, `{"spec":{"username":"other"}}`},
		} {
			inEveryWay(t, c, change.member, change.fields, func(t *testing.T, way string, err error) {
				// Server-side apply takes no field away that somebody else set, so nothing is asked for.
				if (way == applying.name && strings.Contains(change.fields, "null")) || (ofStatus(way) && who == "cluster-admin") {
					return
				}
				if !apierrors.IsInvalid(err) && !apierrors.IsForbidden(err) {
					t.Errorf("%s changes %s by %s: %v", who, change.what, way, err)
				}
			})
		}
		// Who invited stays as it was stamped, whatever a manifest says: so that it can be applied again and again.
		for _, fields := range []string{`{"spec":{"invitedBy":"other"}}`, `{"spec":{"invitedBy":null}}`} {
			inEveryWay(t, c, mia, fields, func(t *testing.T, way string, err error) {
				fresh := h.invited("mia", "")
				check(t, admin.Get(t.Context(), client.ObjectKeyFromObject(mia), fresh))
				if (err != nil && !ofStatus(way)) || fresh.Spec.InvitedBy != "devcluster:admin" {
					t.Errorf("%s says %s by %s: invited by %q, %v", who, fields, way, fresh.Spec.InvitedBy, err)
				}
			})
		}
	}
}

func secondOrganization(t *testing.T, h *home, everyone map[string]client.Client) {
	everyone = maps.Clone(everyone)
	everyone["the owner"] = as(t, h.user("jane"))
	for who, c := range everyone {
		second := func() *v1alpha1.Organization {
			return &v1alpha1.Organization{ObjectMeta: h.meta("second"), Spec: v1alpha1.OrganizationSpec{Owner: "mia"}}
		}
		for what, err := range map[string]error{
			"creates":                      c.Create(t.Context(), second()),
			"creates, as a dry run,":       c.Create(t.Context(), second(), client.DryRunAll),
			"applies":                      applying.send(t.Context(), c, second(), `{}`),
			"creates by generateName":      c.Create(t.Context(), generated(second())),
			"replaces what is not there, ": ignoreNotFound(c.Update(t.Context(), second())),
		} {
			refused(t, who+" "+what+" a second organization", err)
		}
	}
	refused(t, "cluster-admin", admin.Create(context.Background(), &v1alpha1.Organization{ObjectMeta: h.meta("second"), Spec: v1alpha1.OrganizationSpec{Owner: "mia"}}),
		"namespace "+h.name+" has the organization acme already")
}

func generated[T client.Object](o T) T {
	o.SetName("")
	o.SetGenerateName("second-")
	return o
}

// ignoreNotFound takes "there is no such object" for the refusal that it is: a replacement creates nothing.
func ignoreNotFound(err error) error {
	if apierrors.IsNotFound(err) {
		return apierrors.NewForbidden(v1alpha1.GroupVersion.WithResource("organizations").GroupResource(), "second", err)
	}
	return err
}

// malformed is refused by the schema, in words that say what is wrong.
func malformed(t *testing.T, h *home) {
	for words, object := range map[string]string{
		`spec: Required value`:           `{kind: Organization, metadata: {name: x}}`,
		`spec: Invalid value: "integer"`: `{kind: OrgMember, metadata: {name: x}, spec: 3}`,
		`is invalid`:                     `{kind: OrgMember, metadata: {name: x}}`,
		`email is required`:              `{kind: OrgMember, metadata: {name: x}, spec: {}}`,
		`supported values: "Admin"`:      `{kind: OrgMember, metadata: {name: x}, spec: {email: a@b.example, role: admin}}`,
		`spec.email: Invalid value`:      `{kind: OrgMember, metadata: {name: x}, spec: {email: [a]}}`,
	} {
		out, err := plane.Create(t.Context(), `{apiVersion: orgkeeper.dev/v1alpha1, `+object[1:], "-n", h.name)
		if err == nil || !strings.Contains(err.Error(), words) {
			t.Errorf("%s: want %q, got %v %s", object, words, err, out)
		}
	}
}
