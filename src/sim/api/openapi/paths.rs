//! The paths of a document: which kind is at which path, and what a request may say.

use crate::sim::json::{Map, Value, json};
use crate::sim::store::Resource;

/// Adds the paths of a kind.
pub(super) fn add(paths: &mut Map, resource: &Resource, version: &str, schema: &str) {
    let kind = json!({"group": resource.group, "kind": resource.kind, "version": version});
    let operation = |action: &str, parameters: &[&str]| {
        let parameters: Vec<Value> = parameters.iter().map(|name| parameter(name, "query")).collect();
        json!({
            "x-kubernetes-action": action, "x-kubernetes-group-version-kind": kind, "parameters": parameters,
            "responses": {"200": {"description": "OK", "content": {
                "application/json": {"schema": {"$ref": format!("#/components/schemas/{schema}")}},
            }}},
        })
    };
    const WRITE: [&str; 3] = ["dryRun", "fieldManager", "fieldValidation"];
    let mut patch = operation("patch", &[&WRITE[..], &["force"]].concat());
    let object = json!({"schema": {"type": "object"}});
    patch["requestBody"] = json!({"required": true, "content": {
        "application/apply-patch+yaml": object, "application/json-patch+json": object,
        "application/merge-patch+json": object,
    }});
    let root = if resource.group.is_empty() {
        format!("/api/{version}")
    } else {
        format!("/apis/{}/{version}", resource.group)
    };
    let plural = &resource.plural;
    let list = ["continue", "fieldSelector", "labelSelector", "limit", "resourceVersion", "watch"];
    let mut collection = json!({
        "get": operation("list", &list),
        "post": operation("post", &WRITE),
        "delete": operation("deletecollection", &["dryRun", "fieldSelector", "labelSelector"]),
    });
    let mut item = json!({
        "get": operation("get", &[]),
        "put": operation("put", &WRITE),
        "patch": patch.clone(),
        "delete": operation("delete", &["dryRun", "gracePeriodSeconds", "propagationPolicy"]),
    });
    let mut status = json!({"get": operation("get", &[]), "put": operation("put", &WRITE), "patch": patch});
    let mut within = root.clone();
    let mut in_path = vec![parameter("name", "path")];
    if resource.namespaced {
        within = format!("{root}/namespaces/{{namespace}}");
        in_path.push(parameter("namespace", "path"));
        collection["parameters"] = json!([parameter("namespace", "path")]);
        paths.insert(format!("{root}/{plural}"), json!({"get": operation("list", &list)}));
    }
    item["parameters"] = json!(in_path);
    status["parameters"] = json!(in_path);
    paths.insert(format!("{within}/{plural}"), collection);
    paths.insert(format!("{within}/{plural}/{{name}}"), item);
    if resource.has_status {
        paths.insert(format!("{within}/{plural}/{{name}}/status"), status);
    }
}

fn parameter(name: &str, place: &str) -> Value {
    let kind = match name {
        "force" | "watch" => "boolean",
        "limit" | "gracePeriodSeconds" => "integer",
        _ => "string",
    };
    let mut parameter = json!({"name": name, "in": place, "schema": {"type": kind, "uniqueItems": true}});
    if place == "path" {
        parameter["required"] = json!(true);
    }
    parameter
}
