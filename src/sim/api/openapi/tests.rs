//! Documents as kubectl reads them.

use super::*;
use crate::sim::Clock;

fn store() -> Store {
    Store::new(Clock::starting_at(jiff::Timestamp::UNIX_EPOCH), 1, 10)
}

fn document(store: &Store, path: &str) -> Arc<Value> {
    answer(store, path, "application/json").expect("below /openapi").expect("served")
}

#[tokio::test]
async fn every_kind_has_a_schema_that_names_it_and_refers_to_nothing_missing() {
    let store = store();
    let index = document(&store, "/openapi/v3");
    let places = index["paths"].as_object().expect("paths");
    assert!(
        places["apis/apps/v1"]["serverRelativeURL"]
            .as_str()
            .is_some_and(|u| u.starts_with("/openapi/v3/apis/apps/v1?hash="))
    );
    for place in places.keys() {
        let document = document(&store, &format!("/openapi/v3/{place}"));
        let schemas = document["components"]["schemas"].as_object().expect("schemas");
        let text = document.to_string();
        for reference in text.split("\"$ref\":\"#/components/schemas/").skip(1) {
            let name = reference.split('"').next().unwrap_or_default();
            assert!(schemas.contains_key(name), "{place} refers to {name}");
        }
    }
    for resource in store.resources() {
        let place =
            if resource.group.is_empty() { "api".to_owned() } else { format!("apis/{}", resource.group) };
        let document = document(&store, &format!("/openapi/v3/{place}/{}", resource.version));
        let schemas = document["components"]["schemas"].as_object().expect("schemas");
        let kind = json!([{"group": resource.group, "kind": resource.kind, "version": resource.version}]);
        assert!(schemas.values().any(|s| s["x-kubernetes-group-version-kind"] == kind), "{}", resource.name);
    }
}

#[tokio::test]
async fn only_what_may_not_be_left_out_is_required() {
    let core = document(&store(), "/openapi/v3/api/v1");
    let required =
        |name: &str| core["components"]["schemas"][format!("io.k8s.api.core.v1.{name}")]["required"].clone();
    assert_eq!(required("LocalObjectReference"), Value::Null);
    assert_eq!(required("ConfigMapKeySelector"), json!(["key"]));
    assert_eq!(required("PodSpec"), json!(["containers"]));
}

#[tokio::test]
async fn a_custom_kinds_schema_is_its_definitions_and_a_new_definition_changes_the_hash() {
    let mut store = store();
    let crd = |more: &str| {
        json!({
            "metadata": {"name": "widgets.example.org"},
            "spec": {
                "group": "example.org", "scope": "Namespaced", "names": {"kind": "Widget", "plural": "widgets"},
                "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": {
                    "type": "object", "properties": {"spec": {"type": "object", "properties": {more: {"type": "string"}}}}}}}],
            },
        })
    };
    store.create(DEFINITIONS, crd("size")).expect("created");
    let url = |store: &Store| {
        document(store, "/openapi/v3")["paths"]["apis/example.org/v1"]["serverRelativeURL"].clone()
    };
    let before = url(&store);
    let widgets = document(&store, "/openapi/v3/apis/example.org/v1");
    let schema = &widgets["components"]["schemas"]["org.example.v1.Widget"];
    assert_eq!(schema["properties"]["spec"]["properties"]["size"]["type"], "string");
    let metadata = json!([{"$ref": "#/components/schemas/io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"}]);
    assert_eq!(schema["properties"]["metadata"]["allOf"], metadata);
    let mut changed = crd("colour");
    changed["metadata"]["name"] = json!("widgets.example.org");
    store.update(DEFINITIONS, changed, false).expect("updated");
    assert_ne!(url(&store), before);
    let widgets = document(&store, "/openapi/v3/apis/example.org/v1");
    let spec = &widgets["components"]["schemas"]["org.example.v1.Widget"]["properties"]["spec"];
    assert!(spec["properties"]["size"].is_null() && spec["properties"]["colour"].is_object(), "{spec}");
}

#[tokio::test]
async fn the_old_document_has_paths_and_is_read_by_kubectl_in_protobuf() {
    let store = store();
    let old = document(&store, "/openapi/v2");
    let patch = &old["paths"]["/api/v1/namespaces/{namespace}/pods/{name}"]["patch"];
    let validated = json!({"name": "fieldValidation", "in": "query", "type": "string", "uniqueItems": true});
    assert_eq!(patch["parameters"][2], validated);
    assert_eq!(patch["parameters"][4]["in"], "body");
    let answer = json!({"description": "OK", "schema": {"$ref": "#/definitions/io.k8s.api.core.v1.Pod"}});
    assert_eq!(patch["responses"]["200"], answer);
    // Offered here, kubectl would compute strategic patches without merge keys.
    let types =
        ["application/apply-patch+yaml", "application/json-patch+json", "application/merge-patch+json"];
    assert_eq!(patch["consumes"], json!(types));
    let kubectl = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf";
    let bytes = in_protobuf(&store, "/openapi/v2", kubectl).expect("served");
    assert!(bytes.starts_with(b"\x0a\x032.0\x12"));
    assert!(in_protobuf(&store, "/openapi/v2", "application/json").is_none());
    assert!(in_protobuf(&store, "/openapi/v3", kubectl).is_none());
}
