package controllers

import (
	"context"
	"time"

	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/orgkeeper/orgkeeper/api/v1alpha1"
	"github.com/orgkeeper/orgkeeper/internal/facts"
	"github.com/orgkeeper/orgkeeper/internal/rbac"
)

// Deps is what the controllers work with. All fields but Unassigner and IdleCounts are required.
type Deps struct {
	// Client writes, and reads from the cache.
	Client client.Client
	// Live reads from the API server.
	Live client.Reader
	// Facts reads what the rules are asked about.
	Facts facts.Reader
	// Recorder emits Events.
	Recorder events.EventRecorder
	// Clock tells the time.
	Clock clock.PassiveClock
	// Steady measures the time that passes, whatever the clock is set to. What it shows means nothing.
	Steady clock.WithTicker
	// Roles are the ClusterRoles behind the accesses to workspaces.
	Roles rbac.Roles
	// ActivityWatched: audit events come in, so that who is not seen is not active.
	ActivityWatched bool
	// Invitations sends the invitations and other mails.
	Invitations Invitations
	// Post bounds how many mails go out, and knows whether the mail server can be used.
	Post *Post
	// Metrics counts them.
	Metrics *Metrics
	// IdleCounts is how long a count on which nothing hangs may wait for those to come; 0: not at all. It saves writes.
	IdleCounts time.Duration
	// Unassigner takes the assignee off the objects of who left. Nil: no kinds have assignees.
	Unassigner *Unassigner

	steps *clockSteps // made by Setup
}

// CacheOptions keeps the cache to what is ours: of RoleBindings, only those that carry our label, and of all objects only
// what is read, so that what tenants write elsewhere does not fill the memory.
func CacheOptions() cache.Options {
	return cache.Options{DefaultTransform: slim, ByObject: map[client.Object]cache.ByObject{
		&rbacv1.RoleBinding{}: {Label: labels.SelectorFromSet(labels.Set{v1alpha1.LabelManagedBy: v1alpha1.ManagedBy})},
	}}
}

// Setup adds the indexes and the controllers to a manager.
func Setup(ctx context.Context, mgr ctrl.Manager, d Deps) error {
	if err := facts.AddIndexes(ctx, facts.Lean{Cache: mgr.GetCache()}); err != nil {
		return err
	}
	d.steps = &clockSteps{clock: d.Clock, steady: d.Steady}
	for _, setup := range []func(ctrl.Manager) error{
		(&OrganizationReconciler{Deps: d}).SetupWithManager,
		(&OrgMemberReconciler{Deps: d}).SetupWithManager,
		(&InvitationReconciler{d}).SetupWithManager,
		(&OwnershipMailReconciler{d}).SetupWithManager,
		(&MembershipMailReconciler{d}).SetupWithManager,
		(&FarewellReconciler{d}).SetupWithManager,
		(&UnassignReconciler{d}).SetupWithManager,
		(&SubscriptionMailReconciler{d}).SetupWithManager,
		(&WorkspaceReconciler{Deps: d}).SetupWithManager,
		(&WorkspaceAssignmentReconciler{d}).SetupWithManager,
		(&PolicyReconciler{Deps: d}).SetupWithManager,
	} {
		if err := setup(mgr); err != nil {
			return err
		}
	}
	return mgr.Add(d.steps)
}
