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

/// Brings a path, its operations and their parameters into the form of version 2.
pub(super) fn into_version_2(path: &mut Value) {
    for (name, part) in path.as_object_mut().into_iter().flatten() {
        if name.as_str() == "parameters" {
            parameters_of_2(part);
            continue;
        }
        parameters_of_2(&mut part["parameters"]);
        let body = part.as_object_mut().and_then(|operation| operation.remove("requestBody"));
        if let Some(body) = body {
            let types = body["content"].as_object().into_iter().flatten();
            part["consumes"] = types.map(|(media, _)| json!(media.as_str())).collect();
            let schema = json!({"type": "object"});
            if let Some(all) = part["parameters"].as_array_mut() {
                all.push(json!({"name": "body", "in": "body", "required": true, "schema": schema}));
            }
        }
        let answer = &mut part["responses"]["200"];
        let schema = answer["content"]["application/json"]["schema"]["$ref"].as_str().unwrap_or_default();
        let schema = schema.replace("#/components/schemas/", "#/definitions/");
        *answer = json!({"description": "OK", "schema": {"$ref": schema}});
    }
}

/// Version 2 has a parameter's type beside its name.
fn parameters_of_2(parameters: &mut Value) {
    for parameter in parameters.as_array_mut().into_iter().flatten() {
        let schema = parameter.as_object_mut().and_then(|fields| fields.remove("schema"));
        for (name, value) in schema.as_ref().and_then(Value::as_object).into_iter().flatten() {
            parameter[name.as_str()] = value.clone();
        }
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
