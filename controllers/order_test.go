package controllers_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/orgkeeper/orgkeeper/api/v1alpha1"
)

// A pipeline applies objects in whatever order it likes, so every order must come to the same.
func TestOrderOfArrivalDoesNotMatter(t *testing.T) {
	o := operate(t)
	random := rand.New(rand.NewPCG(1, 2))
	orders := []struct {
		name string
		sort func([]client.Object)
	}{
		{"as written", func([]client.Object) {}},
		{"backwards: assignments first, Organization last", slices.Reverse[[]client.Object]},
	}
	for range 5 {
		orders = append(orders, struct {
			name string
			sort func([]client.Object)
		}{"random", func(objects []client.Object) {
			random.Shuffle(len(objects), func(i, j int) { objects[i], objects[j] = objects[j], objects[i] })
		}})
	}
	var all []*home
	for _, order := range orders {
		h := o.home(t)
		objects := h.samples()
		order.sort(objects)
		h.create(objects...)
		all = append(all, h)
		var names []string
		for _, object := range objects {
			names = append(names, fmt.Sprintf("%T/%s", object, object.GetName()))
		}
		t.Logf("%s, %s: %s", h.name, order.name, strings.ReplaceAll(strings.Join(names, " "), "*v1alpha1.", ""))
	}
	want := map[string]string{
		"Organization/acme":       "True/Ready owner jane, admins [jane], 5 members: 3 pending, 2 active",
		"OrgMember/jane":          "True/Active Active Admin, 2 workspaces, accepted True/ActivatedWithoutAsking, invited ",
		"OrgMember/joe":           "True/AwaitingAcceptance Pending UserAdmin, 0 workspaces, accepted Unknown/AwaitingAcceptance, invited True/InvitationSent",
		"OrgMember/bill":          "True/AwaitingAcceptance Pending BillingAdmin, 0 workspaces, accepted Unknown/AwaitingAcceptance, invited True/InvitationSent",
		"OrgMember/mia":           "True/AwaitingAcceptance Pending Member, 0 workspaces, accepted Unknown/AwaitingAcceptance, invited True/InvitationSent",
		"OrgMember/ci":            "True/Active Active Member, 2 workspaces, accepted True/Robot, invited ",
		"Workspace/web":           "True/Ready HOME--web",
		"Workspace/api":           "True/Ready HOME--api",
		"WorkspaceAssignment/mia": "True/AwaitingAcceptance web HOME--web false AwaitingAcceptance",
		"WorkspaceAssignment/ci":  "True/Granted web HOME--web true Granted; api HOME--api true Granted",
	}
	for _, h := range all {
		h.eventually(h.name+" converges", func() error {
			if diff := cmp.Diff(want, h.summary()); diff != "" {
				return errors.New(diff)
			}
			return nil
		})
		h.current()
		for _, name := range []string{"joe", "bill", "mia"} {
			if n := len(o.mail.to(h.user(name))); n != 1 {
				t.Errorf("%s: %s got %d mails, not one", h.name, name, n)
			}
		}
	}
}

// samples are config/samples for this home.
func (h *home) samples() []client.Object {
	h.t.Helper()
	files, err := filepath.Glob("../config/samples/*.yaml")
	if err != nil || len(files) == 0 {
		h.t.Fatal("no samples", err)
	}
	var objects []client.Object
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			h.t.Fatal(err)
		}
		for decoder := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(content), 1024); ; {
			u := &unstructured.Unstructured{}
			if err := decoder.Decode(u); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				h.t.Fatal(file, err)
			}
			if u.GetKind() == "Namespace" {
				continue
			}
			typed, err := scheme.New(u.GroupVersionKind())
			if err != nil {
				h.t.Fatal(err)
			}
			if err := runtime.DefaultUnstructuredConverter.FromUnstructured(u.Object, typed); err != nil {
				h.t.Fatal(err)
			}
			objects = append(objects, h.moved(typed.(client.Object)))
		}
	}
	return objects
}

// moved is a sample made part of this home.
func (h *home) moved(o client.Object) client.Object {
	o.SetNamespace(h.name)
	if m, ok := o.(*v1alpha1.OrgMember); ok {
		m.Spec.Username = strings.Replace(m.Spec.Username, "acme--", h.name+"--", 1)
		if m.Spec.Email != "" {
			m.Spec.Email = v1alpha1.EmailAddress(h.user(m.Name))
		}
	}
	return o
}

// summary is what people see of each object, without times.
func (h *home) summary() map[string]string {
	h.t.Helper()
	summary := map[string]string{}
	for _, o := range h.all() {
		text := reading(o, "Ready") + " "
		switch o := o.(type) {
		case *v1alpha1.Organization:
			if c := o.Status.Members; c != nil {
				text += fmt.Sprintf("owner %s, admins %v, %d members: %d pending, %d active", o.Status.Owner, o.Status.Admins, c.Total, c.Pending, c.Active)
			}
		case *v1alpha1.OrgMember:
			if o.Status.Workspaces != nil {
				text += fmt.Sprintf("%s %s, %d workspaces, accepted %s, invited %s", o.Status.State, o.Status.Role, *o.Status.Workspaces,
					reading(o, "Accepted"), reading(o, "InvitationSent"))
			}
		case *v1alpha1.Workspace:
			text += o.Status.Namespace
		case *v1alpha1.WorkspaceAssignment:
			var parts []string
			for _, w := range o.Status.Workspaces {
				parts = append(parts, fmt.Sprintf("%s %s %t %s", w.Name, w.Namespace, w.Granted, w.Reason))
			}
			text += strings.Join(parts, "; ")
		}
		kind := strings.TrimPrefix(fmt.Sprintf("%T", o), "*v1alpha1.")
		summary[kind+"/"+o.GetName()] = strings.ReplaceAll(text, h.name, "HOME")
	}
	return summary
}

// current fails the test unless what Flux and Argo CD go by, kstatus, calls everything in the home current.
func (h *home) current() {
	h.t.Helper()
	for _, o := range h.all() {
		if got := h.kstatus(o); got != status.CurrentStatus {
			h.t.Errorf("kstatus calls %T %s/%s %s: %s", o, h.name, o.GetName(), got, reading(o, "Ready"))
		}
	}
}

func (h *home) kstatus(o client.Object) status.Status {
	h.t.Helper()
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(o)
	if err != nil {
		h.t.Fatal(err)
	}
	result, err := status.Compute(&unstructured.Unstructured{Object: content})
	if err != nil {
		h.t.Fatal(err)
	}
	return result.Status
}

// A pipeline that looks before the operator did must not take the object for healthy.
func TestNothingIsCurrentBeforeTheFirstLook(t *testing.T) {
	o := operate(t, idle)
	h := o.home(t)
	h.found()
	h.create(h.workspace("web"), h.assignment("jane", "jane", v1alpha1.AccessView, "web"))
	all := h.all()
	if len(all) != 4 {
		t.Fatalf("%d objects", len(all))
	}
	for _, object := range all {
		if got := h.kstatus(object); got != status.InProgressStatus {
			t.Errorf("kstatus calls a new %T %s", object, got)
		}
	}
}

func TestArrival(t *testing.T) {
	together(t, map[string]func(*home){
		"assignment before all that it names": assignmentFirst,
		"organization after its members":      organizationLast,
	})
}

// What an assignment names may come later, one after the other. Each step says what is missing.
func assignmentFirst(h *home) {
	a := h.assignment("mia", "mia", v1alpha1.AccessEdit, "web")
	h.create(a)
	h.becomes(a, "Ready", "False/OrganizationNotFound")
	h.create(h.organization("acme", "jane"))
	h.becomes(a, "Ready", "False/MemberNotFound")
	mia := h.member("mia", v1alpha1.RoleMember, joined)
	h.create(mia)
	h.becomes(a, "Ready", "False/WorkspaceNotFound")

	taken := h.in("web")
	h.create(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: taken}})
	w := h.workspace("web")
	h.create(w)
	h.becomes(w, "Ready", "False/NamespaceConflict")
	h.becomes(a, "Ready", "False/WorkspaceNotReady")
	h.delete(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: taken}})
	h.becomes(w, "Ready", "True/Ready")
	h.becomes(a, "Ready", "True/Granted")
	h.has(h.user("mia"), taken, v1alpha1.AccessEdit)

	// And back: what goes takes the access with it, and the assignment says so.
	h.delete(w)
	h.becomes(a, "Ready", "False/WorkspaceNotFound")
	h.delete(mia)
	h.becomes(a, "Ready", "False/MemberNotFound")
	if in := h.named(h.user("mia")); in != nil {
		h.t.Errorf("mia is named by %v", in)
	}
}

// An organization's parts that arrive before it wait for it and heal, and get nothing meanwhile.
func organizationLast(h *home) {
	jane, mia, w := h.member("jane", v1alpha1.RoleAdmin, joined), h.member("mia", v1alpha1.RoleMember), h.workspace("web")
	h.create(jane, mia, w)
	for _, o := range []client.Object{jane, mia, w} {
		h.becomes(o, "Ready", "False/OrganizationNotFound")
		if got := h.kstatus(o); got != status.InProgressStatus {
			h.t.Errorf("kstatus calls %T without Organization %s", o, got)
		}
	}
	if mails := h.mail.to(h.user("mia")); mails != nil {
		h.t.Error("a member without Organization was invited")
	}
	org := h.organization("acme", "nobody")
	h.create(org)
	h.becomes(org, "Ready", "False/OwnerNotFound")
	h.becomes(mia, "Ready", "True/AwaitingAcceptance")
	h.becomes(w, "Ready", "True/Ready")
	h.has(h.user("jane"), h.in("web"), v1alpha1.AccessAdmin)

	h.create(h.member("nobody", v1alpha1.RoleMember, joined))
	h.becomes(org, "Ready", "True/Ready")
	h.has(h.user("nobody"), h.in("web"), v1alpha1.AccessAdmin)
}
