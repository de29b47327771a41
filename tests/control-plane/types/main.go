// Prints what the API's types say of their fields, for the embedded cluster's API server: one line a struct, then one line a
// field with its JSON name, its type, whether it is a pointer or left out when empty, how a strategic merge patch merges it,
// and how server-side apply does. Run by hand after a new Kubernetes version: go run ./types > ../../src/sim/api/types.txt
package main

import (
	"fmt"
	"reflect"
	"sort"
	"strings"

	extensions "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/applyconfigurations"
	"k8s.io/client-go/kubernetes/scheme"
	smd "sigs.k8s.io/structured-merge-diff/v6/schema"
)

var kinds = map[schema.GroupVersion][]string{
	{Version: "v1"}: {"Namespace", "Node", "Pod", "Service", "Endpoints", "ConfigMap", "Secret", "ServiceAccount", "Event",
		"PersistentVolume", "PersistentVolumeClaim", "ReplicationController", "ResourceQuota", "LimitRange", "Binding"},
	{Group: "apps", Version: "v1"}:                         {"Deployment", "ReplicaSet", "StatefulSet", "DaemonSet", "ControllerRevision"},
	{Group: "batch", Version: "v1"}:                        {"Job", "CronJob"},
	{Group: "policy", Version: "v1"}:                       {"PodDisruptionBudget", "Eviction"},
	{Group: "coordination.k8s.io", Version: "v1"}:          {"Lease"},
	{Group: "storage.k8s.io", Version: "v1"}:               {"StorageClass", "VolumeAttachment", "CSINode", "CSIDriver"},
	{Group: "scheduling.k8s.io", Version: "v1"}:            {"PriorityClass"},
	{Group: "discovery.k8s.io", Version: "v1"}:             {"EndpointSlice"},
	{Group: "events.k8s.io", Version: "v1"}:                {"Event"},
	{Group: "autoscaling", Version: "v1"}:                  {"Scale"},
	{Group: "networking.k8s.io", Version: "v1"}:            {"Ingress", "NetworkPolicy"},
	{Group: "rbac.authorization.k8s.io", Version: "v1"}:    {"Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding"},
	{Group: "admissionregistration.k8s.io", Version: "v1"}: {"ValidatingWebhookConfiguration"},
	{Group: "apiextensions.k8s.io", Version: "v1"}:         {"CustomResourceDefinition"},
}

type printer struct {
	seen  map[reflect.Type]bool
	queue []reflect.Type
}

// name is short where it can be: the last part of the package's path and the type's name.
func (p *printer) name(t reflect.Type) string {
	parts := strings.Split(t.PkgPath(), "/")
	short := parts[len(parts)-1]
	if len(parts) > 1 {
		short = parts[len(parts)-2] + "/" + short
	}
	return short + "." + t.Name()
}

// Types that write themselves: what JSON they take.
func special(t reflect.Type) string {
	switch t.PkgPath() + "." + t.Name() {
	case "k8s.io/apimachinery/pkg/apis/meta/v1.Time":
		return "time"
	case "k8s.io/apimachinery/pkg/apis/meta/v1.MicroTime":
		return "microtime"
	case "k8s.io/apimachinery/pkg/api/resource.Quantity":
		return "quantity"
	case "k8s.io/apimachinery/pkg/util/intstr.IntOrString":
		return "intorstring"
	case "k8s.io/apimachinery/pkg/apis/meta/v1.FieldsV1", "k8s.io/apimachinery/pkg/runtime.RawExtension",
		"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1.JSON":
		return "raw"
	case "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1.JSONSchemaPropsOrArray",
		"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1.JSONSchemaPropsOrBool",
		"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1.JSONSchemaPropsOrStringArray":
		return "raw"
	case "k8s.io/apimachinery/pkg/apis/meta/v1.Duration":
		return "string"
	}
	return ""
}

func (p *printer) kind(t reflect.Type) string {
	if s := special(t); s != "" {
		return s
	}
	switch t.Kind() {
	case reflect.Ptr:
		return p.kind(t.Elem())
	case reflect.Slice:
		if t.Elem().Kind() == reflect.Uint8 {
			return "bytes"
		}
		return "[" + p.kind(t.Elem())
	case reflect.Map:
		return "{" + p.kind(t.Elem())
	case reflect.Struct:
		if !p.seen[t] {
			p.seen[t] = true
			p.queue = append(p.queue, t)
		}
		return "@" + p.name(t)
	}
	name := t.Name()
	if t.PkgPath() != "" {
		return t.Kind().String() + ":" + name
	}
	return t.Kind().String()
}

func (p *printer) fields(t reflect.Type) {
	for i := 0; i < t.NumField(); i++ {
		f := t.Field(i)
		tag := strings.Split(f.Tag.Get("json"), ",")
		if strings.Contains(f.Tag.Get("json"), "inline") || (f.Anonymous && tag[0] == "") {
			if f.Type.Name() != "TypeMeta" {
				inner := f.Type
				if inner.Kind() == reflect.Ptr {
					inner = inner.Elem()
				}
				p.fields(inner)
			}
			continue
		}
		if tag[0] == "" || tag[0] == "-" {
			continue
		}
		flags := ""
		if f.Type.Kind() == reflect.Ptr {
			flags += "*"
		}
		for _, option := range tag[1:] {
			if option == "omitempty" {
				flags += "o"
			}
			if option == "omitzero" {
				flags += "z"
			}
		}
		line := fmt.Sprintf(" %s %s %s", tag[0], p.kind(f.Type), flags)
		if strategy := f.Tag.Get("patchStrategy"); strategy != "" {
			line += " patch=" + strategy
			if key := f.Tag.Get("patchMergeKey"); key != "" {
				line += ":" + key
			}
		}
		fmt.Println(strings.TrimRight(line, " ") + p.apply(t, tag[0]))
	}
}

var atoms = map[string]smd.Map{}

func smdName(t reflect.Type) string {
	return "io.k8s." + strings.ReplaceAll(strings.TrimPrefix(t.PkgPath(), "k8s.io/"), "/", ".") + "." + t.Name()
}

// apply is how server-side apply merges the field: a list by keys or as a set, or a struct or map as one.
func (p *printer) apply(t reflect.Type, field string) string {
	{
		for _, f := range atoms[smdName(t)].Fields {
			if f.Name != field {
				continue
			}
			if f.Type.Inlined.List != nil && f.Type.Inlined.List.ElementRelationship == smd.Associative {
				if len(f.Type.Inlined.List.Keys) == 0 {
					return " set"
				}
				return " keys=" + strings.Join(f.Type.Inlined.List.Keys, ",")
			}
			if f.Type.Inlined.Map != nil && f.Type.Inlined.Map.ElementRelationship == smd.Atomic {
				return " atomic"
			}
			if f.Type.ElementRelationship != nil && *f.Type.ElementRelationship == smd.Atomic {
				return " atomic"
			}
			if f.Type.NamedType != nil {
				if a, ok := atoms[*f.Type.NamedType]; ok && a.ElementRelationship == smd.Atomic {
					return " atomic"
				}
			}
		}
	}
	return ""
}

func main() {
	_ = extensions.AddToScheme(scheme.Scheme)
	converter := applyconfigurations.NewTypeConverter(scheme.Scheme)
	pod, err := scheme.Scheme.New(schema.GroupVersionKind{Version: "v1", Kind: "Pod"})
	if err != nil {
		panic(err)
	}
	pod.GetObjectKind().SetGroupVersionKind(schema.GroupVersionKind{Version: "v1", Kind: "Pod"})
	typed, err := converter.ObjectToTyped(pod)
	if err != nil {
		panic(err)
	}
	for _, t := range typed.Schema().Types {
		if t.Map != nil {
			atoms[t.Name] = *t.Map
		}
	}
	p := &printer{seen: map[reflect.Type]bool{}}
	versions := []schema.GroupVersion{}
	for gv := range kinds {
		versions = append(versions, gv)
	}
	sort.Slice(versions, func(i, j int) bool { return versions[i].String() < versions[j].String() })
	for _, gv := range versions {
		for _, kind := range kinds[gv] {
			object, err := scheme.Scheme.New(gv.WithKind(kind))
			if err != nil {
				panic(err)
			}
			var _ runtime.Object = object
			fmt.Printf("kind %s %s %s\n", gv.String(), kind, strings.TrimPrefix(p.kind(reflect.TypeOf(object)), "@"))
		}
	}
	for len(p.queue) > 0 {
		t := p.queue[0]
		p.queue = p.queue[1:]
		fmt.Println(p.name(t))
		p.fields(t)
	}
}
