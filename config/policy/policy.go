// Package policy hands out the admission policies as they are shipped: the files beside this one, which are what is
// applied to a cluster as well. The stamp is not among them, since nothing rests on it.
package policy

import (
	"bufio"
	"bytes"
	"embed"
	"errors"
	"fmt"
	"io"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/yaml"
	strictyaml "sigs.k8s.io/yaml"

	"github.com/orgkeeper/orgkeeper/internal/guard"
)

//go:embed *.yaml
var files embed.FS

// kustomization names the others and is no object.
const kustomization = "kustomization.yaml"

// Shipped reads the policies and bindings that are part of this program.
func Shipped() (guard.Set, error) {
	var set guard.Set
	entries, err := files.ReadDir(".")
	if err != nil {
		return set, err
	}
	for _, entry := range entries {
		if entry.Name() == kustomization {
			continue
		}
		content, err := files.ReadFile(entry.Name())
		if err != nil {
			return set, err
		}
		if err := add(&set, content); err != nil {
			return set, fmt.Errorf("policy as shipped, %s: %w", entry.Name(), err)
		}
	}
	return set, nil
}

// add reads the objects of a file.
func add(set *guard.Set, content []byte) error {
	for documents := yaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(content))); ; {
		document, err := documents.Read()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		var is runtime.TypeMeta
		if err := strictyaml.Unmarshal(document, &is); err != nil {
			return err
		}
		var into any
		switch is.Kind {
		case guard.KindPolicy:
			set.Policies = append(set.Policies, guard.Policy{})
			into = &set.Policies[len(set.Policies)-1]
		case guard.KindBinding:
			set.Bindings = append(set.Bindings, guard.Binding{})
			into = &set.Bindings[len(set.Bindings)-1]
		case "":
			var content map[string]any
			if err := strictyaml.Unmarshal(document, &content); err != nil || len(content) > 0 {
				return errors.Join(errors.New("an object without a kind"), err)
			}
			continue // a comment
		default:
			return fmt.Errorf("%s is nothing that the operator compares", is.Kind)
		}
		if err := strictyaml.UnmarshalStrict(document, into); err != nil {
			return err
		}
	}
}
