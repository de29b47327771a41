//! Making, counting and ranking the pods of a workload.

use serde_json::{Value, json};

use super::{Controller, Work};
use crate::sim::api::fill_defaults;
use crate::sim::store::{Key, Object, Store};

/// The controller that an object's controlling owner belongs to.
pub(super) fn owner(object: &Value) -> Option<Work> {
    let owner = controller(object)?;
    let controller = match owner["kind"].as_str()? {
        "Deployment" => Controller::Deployment,
        "ReplicaSet" => Controller::ReplicaSet,
        "ReplicationController" => Controller::Replication,
        "StatefulSet" => Controller::StatefulSet,
        "DaemonSet" => Controller::DaemonSet,
        "Job" => Controller::Job,
        _ => return None,
    };
    let namespace = object["metadata"]["namespace"].as_str()?;
    Some((controller, Key::new(namespace, owner["name"].as_str()?)))
}

/// The reference to the owner that controls an object.
pub(super) fn controller(object: &Value) -> Option<&Value> {
    object["metadata"]["ownerReferences"].as_array()?.iter().find(|o| o["controller"] == true)
}

/// A reference to a controlling owner.
pub(super) fn reference(owner: &Value) -> Value {
    json!({
        "apiVersion": owner["apiVersion"], "kind": owner["kind"], "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"], "controller": true, "blockOwnerDeletion": true,
    })
}

/// A pod of a workload's template, not stored yet.
pub(super) fn from_template(owner: &Value) -> Value {
    let template = &owner["spec"]["template"];
    let mut metadata = template["metadata"].clone();
    if !metadata.is_object() {
        metadata = json!({});
    }
    metadata["namespace"] = owner["metadata"]["namespace"].clone();
    metadata["ownerReferences"] = json!([reference(owner)]);
    json!({"metadata": metadata, "spec": template["spec"]})
}

/// Fills in defaults and stores a pod.
pub(super) fn create(store: &mut Store, mut pod: Value) -> Option<Object> {
    fill_defaults(store, "pods", &mut pod);
    store.create("pods", pod).ok()
}

/// Pods that this object controls.
pub(super) fn of(store: &Store, owner: &Value) -> Vec<Object> {
    let uid = owner["metadata"]["uid"].as_str().unwrap_or_default();
    store.owned_by(uid, "pods").cloned().collect()
}

/// Not over and not on its way out.
pub(super) fn is_active(pod: &Value) -> bool {
    !matches!(pod["status"]["phase"].as_str(), Some("Succeeded" | "Failed"))
        && pod["metadata"]["deletionTimestamp"].is_null()
}

/// Condition `Ready=True`.
pub(super) fn is_ready(pod: &Value) -> bool {
    condition(pod, "Ready") == Some("True")
}

/// The status of a condition.
pub(super) fn condition<'a>(object: &'a Value, kind: &str) -> Option<&'a str> {
    let conditions = object["status"]["conditions"].as_array()?;
    conditions.iter().find(|c| c["type"] == kind)?["status"].as_str()
}

/// A count or a percentage of `total`, rounded up or down.
pub(super) fn scaled(value: &Value, total: i64, up: bool) -> i64 {
    match value.as_str().and_then(|s| s.strip_suffix('%')).and_then(|p| p.parse::<i64>().ok()) {
        Some(percent) => (total * percent + if up { 99 } else { 0 }) / 100,
        None => value.as_i64().or_else(|| value.as_str().and_then(|s| s.parse().ok())).unwrap_or(0),
    }
}

/// The order in which surplus pods go: unassigned first, then not ready, then the newest.
pub(super) fn surplus_order(pods: &mut [Object]) {
    let rank = |pod: &Object| {
        let bound = pod["spec"]["nodeName"].as_str().is_some_and(|n| !n.is_empty());
        (bound, is_ready(pod))
    };
    let age = |pod: &Object| pod["metadata"]["creationTimestamp"].as_str().unwrap_or_default().to_owned();
    let name = |pod: &Object| Key::of(pod);
    pods.sort_by(|a, b| rank(a).cmp(&rank(b)).then(age(b).cmp(&age(a))).then(name(a).cmp(&name(b))));
}
