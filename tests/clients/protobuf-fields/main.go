// Prints how Kubernetes' own kinds look on the wire in protobuf, from the struct tags of k8s.io/api: one line a message,
// its name first, then its fields as NAME:NUMBER:TYPE. The embedded cluster reads what typed Go clients send by it:
//
//	go run . > ../../../src/sim/api/protobuf/fields.txt
//
// TYPE is s (string), b (bool), i (integer), d (double), x (bytes) or a message's name; before it [ stands for a list, {
// for a map from strings, ^ for a message whose fields are its parent's in JSON, ! for a value that JSON shows though zero.
package main

import (
	"fmt"
	"os"
	"reflect"
	"sort"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/scheme"
)

// Messages with a form of their own in JSON.
var special = map[string]bool{
	"Time": true, "MicroTime": true, "Quantity": true, "IntOrString": true, "FieldsV1": true, "RawExtension": true, "Duration": true,
}

var (
	lines = map[string]string{}
	names = map[reflect.Type]string{}
	taken = map[string]reflect.Type{}
)

func name(t reflect.Type) string {
	if known, ok := names[t]; ok {
		return known
	}
	short := t.Name()
	if !special[short] {
		parts := strings.Split(t.PkgPath(), "/")
		short = parts[len(parts)-2] + "." + parts[len(parts)-1] + "." + short
	}
	if other, ok := taken[short]; ok && other != t {
		panic(short + " is two types")
	}
	names[t], taken[short] = short, t
	return short
}

func kind(t reflect.Type) string {
	switch t.Kind() {
	case reflect.String:
		return "s"
	case reflect.Bool:
		return "b"
	case reflect.Int32, reflect.Int64, reflect.Uint8, reflect.Uint32:
		return "i"
	case reflect.Float64:
		return "d"
	case reflect.Struct:
		visit(t)
		return name(t)
	case reflect.Slice:
		// A named list is a message with its items as field 1.
		visitList(t)
		return name(t)
	}
	panic("no wire type for " + t.String())
}

func visitList(t reflect.Type) {
	if _, seen := lines[name(t)]; seen {
		return
	}
	lines[name(t)] = "=:1:[" + kind(t.Elem())
}

func visit(t reflect.Type) {
	if special[t.Name()] {
		return
	}
	if _, seen := lines[name(t)]; seen {
		return
	}
	lines[name(t)] = ""
	var fields []string
	for i := range t.NumField() {
		field := t.Field(i)
		wire, ok := field.Tag.Lookup("protobuf")
		if !ok {
			continue
		}
		number := strings.Split(wire, ",")[1]
		json := strings.Split(field.Tag.Get("json"), ",")
		inner, flags := field.Type, ""
		pointer := inner.Kind() == reflect.Pointer
		if pointer {
			inner = inner.Elem()
		}
		named := inner.Name() != "" && inner.PkgPath() != ""
		switch {
		case json[0] == "" && inner.Kind() == reflect.Struct:
			flags = "^"
		case inner.Kind() == reflect.Slice && inner.Elem().Kind() == reflect.Uint8:
			fields = append(fields, fmt.Sprintf("%s:%s:x", json[0], number))
			continue
		case inner.Kind() == reflect.Slice && !named:
			flags, inner = "[", inner.Elem()
		case inner.Kind() == reflect.Slice && inner.Name() != "Verbs" && !strings.Contains(wire, ",rep,"):
		case inner.Kind() == reflect.Slice:
			flags, inner = "[", inner.Elem()
		case inner.Kind() == reflect.Map:
			flags, inner = "{", inner.Elem()
		}
		omitted := strings.Contains(field.Tag.Get("json"), "omitempty")
		if flags == "" && inner.Kind() != reflect.Struct && (pointer || !omitted) {
			flags = "!"
		}
		if inner.Kind() == reflect.Pointer {
			inner = inner.Elem()
		}
		if inner.Kind() == reflect.Slice && inner.Elem().Kind() == reflect.Uint8 {
			fields = append(fields, fmt.Sprintf("%s:%s:%sx", json[0], number, flags))
			continue
		}
		fields = append(fields, fmt.Sprintf("%s:%s:%s%s", json[0], number, flags, kind(inner)))
	}
	lines[name(t)] = strings.Join(fields, " ")
}

func main() {
	roots := []string{}
	for gvk, t := range scheme.Scheme.AllKnownTypes() {
		internal := strings.HasPrefix(t.PkgPath(), "k8s.io/apimachinery")
		if gvk.Version != "v1" || internal || strings.HasSuffix(gvk.Kind, "List") && gvk.Kind != "List" {
			continue
		}
		visit(t)
		roots = append(roots, fmt.Sprintf("%s %s %s", gvk.GroupVersion(), gvk.Kind, name(t)))
	}
	visit(reflect.TypeOf(metav1.DeleteOptions{}))
	sort.Strings(roots)
	all := []string{}
	for name, fields := range lines {
		all = append(all, name+" "+fields)
	}
	sort.Strings(all)
	fmt.Fprintln(os.Stdout, "# Made by tests/clients/protobuf-fields from k8s.io/api; see there for the form.")
	fmt.Fprintln(os.Stdout, strings.Join(roots, "\n"))
	fmt.Fprintln(os.Stdout)
	fmt.Fprintln(os.Stdout, strings.Join(all, "\n"))
}
