package controllers

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"

	authorizationv1 "k8s.io/api/authorization/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/util/workqueue"

	"github.com/orgkeeper/orgkeeper/api/v1alpha1"
	"github.com/orgkeeper/orgkeeper/internal/assignee"
)

// unassignAtOnce is how many objects of a home are written at a time.
const unassignAtOnce = 4

// round goes once through the kinds in the workspaces of a home, for some who leave it. A kind that fails in one place keeps the
// others from nothing.
type round struct {
	*Unassigner
	members  []string
	selector string
	kinds    []schema.GroupVersionResource
	// silent are the groups whose kinds the API server cannot tell, with why.
	silent map[string]error
	// blind is why the operator may not know any kinds; nil when it may.
	blind error

	mu sync.Mutex
	// unanswered counts the requests about a kind that got no good answer: see maxUnanswered.
	unanswered map[schema.GroupVersionResource]int
	// found is what was taken off, by member and workspace.
	found map[string]map[string]assignee.Counts
	// faults are those of a member, by workspace and kind; under everybody, those of all.
	faults map[string]map[string]map[string]error
}

// maxUnanswered is after how many requests that nobody answered, or something behind the API server failed to, a kind is left for
// the next round: each may have taken as long as an answer may take, and others wait.
const maxUnanswered = 5

// everybody stands for all members of a round. It is no name.
const everybody = ""

// newRound asks which kinds there are, at this moment. An operator that may not ask does not know that there are none.
func (u *Unassigner) newRound(ctx context.Context, members []string) (*round, error) {
	selector, err := assignee.Selector(members)
	if err != nil {
		return nil, err
	}
	kinds, silent, err := u.served(ctx)
	var blind error
	if apierrors.IsForbidden(err) {
		blind, err = errors.New("get on /api and /apis, which tell the kinds, is forbidden; bind the ClusterRole system:discovery to orgkeeper's service account"), nil
	}
	return &round{
		Unassigner: u, members: members, selector: selector, kinds: kinds, silent: silent, blind: blind, unanswered: map[schema.GroupVersionResource]int{},
		found: map[string]map[string]assignee.Counts{}, faults: map[string]map[string]map[string]error{},
	}, err
}

// served are the kinds that there are, and the groups that may have some but do not answer, with why.
func (u *Unassigner) served(ctx context.Context) ([]schema.GroupVersionResource, map[string]error, error) {
	served, err := discovery.ServerPreferredNamespacedResourcesWithContext(ctx, u.discovery)
	versions, partial := discovery.GroupDiscoveryFailedErrorGroups(err)
	if err != nil && !partial {
		return nil, nil, fmt.Errorf("ask which kinds there are: %w", err)
	}
	silent := map[string]error{}
	for version, err := range versions {
		if u.Kinds.WantsOf(version.Group) {
			silent[version.Group] = err
		}
	}
	core := func(list *metav1.APIResourceList) bool { return list.GroupVersion == "v1" }
	if _, known := silent[""]; !known && u.Kinds.WantsOf("") && !slices.ContainsFunc(served, core) {
		silent[""] = errors.New("the API server tells none of them at /api") // client-go takes that for an answer
	}
	return u.Kinds.Among(served), silent, nil
}

// workspace goes through the kinds in the namespace of a workspace. It gives the kinds named that may not be touched there.
func (r *round) workspace(ctx context.Context, w *v1alpha1.Workspace, namespace string) (forbidden []string, err error) {
	if r.blind != nil {
		r.fault(everybody, w, "all kinds", r.blind)
		return nil, ctx.Err()
	}
	review, err := r.reviews.SelfSubjectRulesReviews().Create(ctx, &authorizationv1.SelfSubjectRulesReview{
		Spec: authorizationv1.SelfSubjectRulesReviewSpec{Namespace: namespace},
	}, metav1.CreateOptions{})
	if apierrors.IsForbidden(err) {
		// Where nobody may ask (a cluster may take that from system:basic-user) it stays so: that must keep nobody for ever.
		r.fault(everybody, w, "all kinds", fmt.Errorf("ask what may be done: %w; bind the ClusterRole system:basic-user to orgkeeper's service account", err))
		return nil, ctx.Err()
	}
	if err != nil {
		return nil, fmt.Errorf("ask what may be done in namespace %s: %w", namespace, err)
	}
	granted := review.Status.ResourceRules
	for group, err := range r.silent {
		if all := (schema.GroupResource{Group: group, Resource: "*"}); assignee.Granted(granted, all) {
			r.fault(everybody, w, all.String(), err)
		}
	}
	for _, kind := range r.kinds {
		switch {
		case !assignee.Granted(granted, kind.GroupResource()):
			forbidden = append(forbidden, kindOf(kind))
		case r.down(kind):
			r.fault(everybody, w, kindOf(kind), errors.New("not tried, since it failed elsewhere"))
		default:
			if err := r.unassign(ctx, w, kind, r.metadata.Resource(kind).Namespace(namespace)); err != nil {
				r.judge(kind, err)
				r.fault(everybody, w, kindOf(kind), err)
			}
		}
	}
	if r.Kinds.All {
		forbidden = nil // all that is granted, and nothing else, was asked for
	}
	return forbidden, ctx.Err()
}

// unassign goes through the objects of a kind, read from the API server page by page.
func (r *round) unassign(ctx context.Context, w *v1alpha1.Workspace, kind schema.GroupVersionResource, objects metadata.ResourceInterface) error {
	options := metav1.ListOptions{LabelSelector: r.selector, Limit: r.Page}
	for first := ""; ; {
		page, err := objects.List(ctx, options)
		if apierrors.IsNotFound(err) {
			return nil // the kind is gone, and its objects with it
		}
		if err != nil {
			return fmt.Errorf("list: %w", err)
		}
		if len(page.Items) > 0 {
			if page.Items[0].Name == first {
				return errors.New("list: the same page comes again and again") // from an API server of somebody's
			}
			first = page.Items[0].Name
		}
		workqueue.ParallelizeUntil(ctx, unassignAtOnce, len(page.Items), func(i int) {
			o := &page.Items[i]
			member := o.Labels[v1alpha1.LabelAssignee]
			if r.down(kind) || !slices.Contains(r.members, member) { // an API server of somebody's may know no selectors
				return
			}
			switch taken, err := take(ctx, objects, o.Name, member); {
			case err != nil:
				r.judge(kind, err)
				r.fault(member, w, kindOf(kind), fmt.Errorf("patch %s: %w", o.Name, discreet(err)))
			case taken:
				r.count(member, w, kind)
			}
		})
		if page.Continue == "" || r.down(kind) {
			return ctx.Err()
		}
		options.Continue = page.Continue
	}
}

// take takes the label off an object, if it is there and still names the member. The API server tells a label that says something
// else by now from a change that it refuses by nothing but words, so the object is looked at again: by a list, which is granted.
func take(ctx context.Context, objects metadata.ResourceInterface, name, member string) (taken bool, err error) {
	patch, err := assignee.Patch(member)
	if err != nil {
		return false, err
	}
	_, err = objects.Patch(ctx, name, types.JSONPatchType, patch, metav1.PatchOptions{})
	if !apierrors.IsInvalid(err) {
		return err == nil, ignoreGone(err)
	}
	still, lookErr := objects.List(ctx, metav1.ListOptions{
		FieldSelector: fields.OneTermEqualSelector(metav1.ObjectNameField, name).String(),
		LabelSelector: labels.Set{v1alpha1.LabelAssignee: member}.String(),
	})
	if lookErr == nil && len(still.Items) == 0 {
		return false, nil
	}
	return false, err
}

// discreet is an error without what an object says: of a field that the API server finds invalid it quotes the value, which is for
// those alone who may read the object, and not for all who may read the OrgMember.
func discreet(err error) error {
	var status apierrors.APIStatus
	if !apierrors.IsInvalid(err) || !errors.As(err, &status) || status.Status().Details == nil {
		return err
	}
	var invalid []string
	for _, cause := range status.Status().Details.Causes {
		if cause.Field != "" && !slices.Contains(invalid, cause.Field) {
			invalid = append(invalid, cause.Field)
		}
	}
	if invalid == nil {
		return err // an admission policy's own words
	}
	return fmt.Errorf("the object is invalid in %s", strings.Join(invalid, ", "))
}

func ignoreGone(err error) error {
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}

func (r *round) count(member string, w *v1alpha1.Workspace, kind schema.GroupVersionResource) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.found[member] == nil {
		r.found[member] = map[string]assignee.Counts{}
	}
	if r.found[member][w.Name] == nil {
		r.found[member][w.Name] = assignee.Counts{}
	}
	r.found[member][w.Name][kind.GroupResource()]++
}

func (r *round) fault(member string, w *v1alpha1.Workspace, kind string, err error) {
	if request, ok := errors.AsType[*url.Error](err); ok {
		err = request.Err // the address helps nobody
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.faults[member] == nil {
		r.faults[member] = map[string]map[string]error{}
	}
	if r.faults[member][w.Name] == nil {
		r.faults[member][w.Name] = map[string]error{}
	}
	if r.faults[member][w.Name][kind] == nil {
		r.faults[member][w.Name][kind] = err
	}
}

// troubles are the faults that concern a member, by workspace.
func (r *round) troubles(member string) map[string]string {
	troubles := map[string]string{}
	for _, of := range []string{everybody, member} {
		for workspace, faults := range r.faults[of] {
			var lines []string
			for kind, err := range faults {
				lines = append(lines, kind+": "+err.Error())
			}
			slices.Sort(lines)
			if troubles[workspace] != "" {
				lines = append([]string{troubles[workspace]}, lines...)
			}
			troubles[workspace] = strings.Join(lines, "; ")
		}
	}
	return troubles
}

// trouble is all of that in a line; empty when there is none.
func (r *round) trouble(member string) string {
	var lines []string
	for workspace, trouble := range r.troubles(member) {
		lines = append(lines, "in "+workspace+", "+trouble)
	}
	slices.Sort(lines)
	return strings.Join(lines, "; ")
}

// judge counts an error about a kind, unless it is one that comes at once and concerns one object.
func (r *round) judge(kind schema.GroupVersionResource, err error) {
	var status apierrors.APIStatus
	if errors.As(err, &status) && status.Status().Code < http.StatusInternalServerError && !apierrors.IsTooManyRequests(err) {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.unanswered[kind]++
}

// down says that nobody seems to answer for a kind.
func (r *round) down(kind schema.GroupVersionResource) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.unanswered[kind] >= maxUnanswered
}
