//! `scale`: how many there are, how many shall be.

use super::custom;
use super::route::Route;
use crate::sim::json::{Value, json};
use crate::sim::store::Refusal;

/// What `/scale` shows of an object.
///
/// # Errors
/// 500 for a custom resource without the field of its wanted replicas.
pub(super) fn read(route: &Route, object: &Value) -> Result<Value, Refusal> {
    if let Some(paths) = route.scale_paths().filter(|p| custom::at(object, &p.spec).is_none()) {
        let why = format!("the spec replicas field {:?} does not exist", paths.spec);
        let mut refusal = Refusal::new(500, "InternalError", format!("Internal error occurred: {why}"));
        refusal.details = Some(json!({"causes": [{"message": why}]}));
        return Err(refusal);
    }
    Ok(of(route, object))
}

/// What a patch of `/scale` is applied to: wanted replicas that aren't there are the smallest number.
pub(super) fn to_patch(route: &Route, object: &Value) -> Value {
    let mut scale = of(route, object);
    if route.scale_paths().is_some_and(|p| custom::at(object, &p.spec).is_none()) {
        scale["spec"]["replicas"] = json!(i32::MIN);
    }
    scale
}

/// The scale of an object.
pub(super) fn of(route: &Route, object: &Value) -> Value {
    let metadata = &object["metadata"];
    let number = |value: Option<&Value>| value.and_then(Value::as_i64);
    let (wanted, have, selector) = match route.scale_paths() {
        Some(paths) => (
            number(custom::at(object, &paths.spec)),
            number(custom::at(object, &paths.status)),
            custom::at(object, &paths.selector).and_then(Value::as_str).unwrap_or_default().to_owned(),
        ),
        None => (
            number(object["spec"].get("replicas")),
            number(object["status"].get("replicas")),
            selector(&object["spec"]["selector"]),
        ),
    };
    let mut scale = json!({
        "kind": "Scale", "apiVersion": "autoscaling/v1",
        "metadata": {
            "name": metadata["name"], "namespace": metadata["namespace"], "uid": metadata["uid"],
            "resourceVersion": metadata["resourceVersion"], "creationTimestamp": metadata["creationTimestamp"],
        },
        "spec": {},
        "status": {"replicas": have.unwrap_or(0)},
    });
    if let Some(replicas) = wanted.filter(|n| *n != 0) {
        scale["spec"]["replicas"] = json!(replicas);
    }
    if !selector.is_empty() {
        scale["status"]["selector"] = json!(selector);
    }
    scale
}

/// A label selector as text. A plain map, as a ReplicationController's, is one of equalities.
fn selector(selector: &Value) -> String {
    let labels = selector
        .get("matchLabels")
        .or_else(|| selector.get("matchExpressions").is_none().then_some(selector));
    let mut parts: Vec<(String, String)> = Vec::new();
    for (key, value) in labels.and_then(Value::as_object).into_iter().flatten() {
        parts.push((key.to_string(), format!("{key}={}", value.as_str().unwrap_or_default())));
    }
    for expression in selector["matchExpressions"].as_array().into_iter().flatten() {
        let key = expression["key"].as_str().unwrap_or_default();
        let mut values: Vec<&str> =
            expression["values"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        values.sort_unstable();
        let text = match expression["operator"].as_str().unwrap_or_default() {
            "In" => format!("{key} in ({})", values.join(",")),
            "NotIn" => format!("{key} notin ({})", values.join(",")),
            "Exists" => key.to_owned(),
            _ => format!("!{key}"),
        };
        parts.push((key.to_owned(), text));
    }
    parts.sort();
    parts.into_iter().map(|(_, text)| text).collect::<Vec<_>>().join(",")
}
