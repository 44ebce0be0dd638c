package facts

import (
	"context"

	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Lean adds the indexes to a cache in half the memory. The cache's own IndexField keeps each key twice, for lists of one
// namespace and for lists of all, and a key that one object has takes some 300 bytes. Here each is kept for the lists that
// are made: of one home, but for IndexUID. It follows how the cache names its indexes and their keys; if that changed, no list
// would find anything, and no test would pass.
type Lean struct{ cache.Cache }

var _ client.FieldIndexer = Lean{}

// IndexField adds one index.
func (l Lean) IndexField(ctx context.Context, kind client.Object, name string, keys client.IndexerFunc) error {
	if name == IndexNamespaceName { // lists of both sorts
		return l.Cache.IndexField(ctx, kind, name, keys)
	}
	informer, err := l.GetInformer(ctx, kind, cache.BlockUntilSynced(false))
	if err != nil {
		return err
	}
	return informer.AddIndexers(toolscache.Indexers{"field:" + name: func(o any) ([]string, error) {
		object := o.(client.Object)
		within := object.GetNamespace()
		if name == IndexUID {
			within = "__all_namespaces"
		}
		var full []string
		for _, key := range keys(object) {
			full = append(full, within+"/"+key)
		}
		return full, nil
	}})
}
