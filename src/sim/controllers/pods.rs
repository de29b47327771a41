//! Making, counting and ranking the pods of a workload.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::{Controller, Work, until};
use crate::sim::api::fill_defaults;
use crate::sim::clock::parse_time;
use crate::sim::json::{Value, json};
use crate::sim::store::{Key, Object, Refused, Store};

/// What controllers ask of a pod over and over, read once for each version of it.
#[derive(Debug, Clone, Default)]
pub(in crate::sim) struct Facts {
    /// Not over and not on its way out.
    pub is_active: bool,
    /// Condition `Ready=True`.
    pub is_ready: bool,
    ready_since: Option<Timestamp>,
    /// Its labels.
    pub labels: Value,
    /// The reference to the owner that controls it.
    pub controller: Option<Value>,
}

impl Facts {
    /// Reads a pod.
    pub fn of(pod: &Value) -> Self {
        Self {
            is_active: is_active(pod),
            is_ready: is_ready(pod),
            ready_since: ready_since(pod),
            labels: pod["metadata"]["labels"].clone(),
            controller: controller(pod).cloned(),
        }
    }

    /// When it will have been ready for so many seconds.
    pub fn ready_for(&self, seconds: i64) -> Option<Timestamp> {
        Some(self.ready_since? + SignedDuration::from_secs(seconds))
    }

    /// Ready for at least so many seconds.
    pub fn is_available(&self, min_ready_seconds: i64, now: Timestamp) -> bool {
        self.is_ready
            && (min_ready_seconds == 0 || self.ready_for(min_ready_seconds).is_some_and(|due| due <= now))
    }
}

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
        "CronJob" => Controller::CronJob,
        _ => return None,
    };
    let namespace = object["metadata"]["namespace"].as_text()?.clone();
    Some((controller, Key { namespace, name: owner["name"].as_text()?.clone() }))
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

/// Fills in defaults and stores a pod. A pod that is refused says why.
pub(super) fn try_create(store: &mut Store, mut pod: Value) -> Result<Object, String> {
    fill_defaults(store, "pods", &mut pod);
    let metadata = &pod["metadata"];
    let owner = controller(&pod).cloned().unwrap_or_default();
    let (namespace, name) = (metadata["namespace"].clone(), metadata["name"].clone());
    store.create("pods", pod).map_err(|refusal| {
        if refusal.code == 403 && !refusal.is_of_terminating_namespace() {
            store.note_refused(Refused { owner, namespace, name, message: refusal.message.clone() });
        }
        refusal.message
    })
}

/// Fills in defaults and stores a pod.
pub(super) fn create(store: &mut Store, pod: Value) -> Option<Object> {
    try_create(store, pod).ok()
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

/// Since when a pod has been ready.
pub(super) fn ready_since(pod: &Value) -> Option<Timestamp> {
    let conditions = pod["status"]["conditions"].as_array()?;
    let ready = conditions.iter().find(|c| c["type"] == "Ready" && c["status"] == "True")?;
    ready["lastTransitionTime"].as_str().and_then(parse_time)
}

/// Ready for at least so many seconds.
pub(super) fn is_available(pod: &Value, min_ready_seconds: i64, now: Timestamp) -> bool {
    Facts::of(pod).is_available(min_ready_seconds, now)
}

/// When the next of these pods, which are ready, will have been so for long enough.
pub(super) fn next_available(pods: &[Object], min_ready_seconds: i64, now: Timestamp) -> Option<Duration> {
    let due = |pod: &Object| Some(ready_since(pod)? + SignedDuration::from_secs(min_ready_seconds));
    pods.iter().filter_map(due).filter(|due| *due > now).min().map(|due| until(now, due))
}

/// `spec.minReadySeconds` of a workload.
pub(super) fn min_ready_seconds(owner: &Value) -> i64 {
    owner["spec"]["minReadySeconds"].as_i64().unwrap_or(0)
}

/// The order in which surplus pods go: unassigned first, then by phase, not ready, low cost of deletion, many of a kind on a
/// node, then what became ready last, and the newest.
pub(super) fn surplus_order(pods: &mut [Object]) {
    let mut on_node: BTreeMap<String, i64> = BTreeMap::new();
    for pod in pods.iter() {
        *on_node.entry(pod["spec"]["nodeName"].as_str().unwrap_or_default().to_owned()).or_default() += 1;
    }
    let rank = |pod: &Object| {
        let node = pod["spec"]["nodeName"].as_str().unwrap_or_default();
        let phase = match pod["status"]["phase"].as_str() {
            Some("Running") => 2,
            Some("Unknown") => 1,
            _ => 0,
        };
        let cost = pod["metadata"]["annotations"]["controller.kubernetes.io/pod-deletion-cost"].as_str();
        let cost: i64 = cost.and_then(|c| c.parse().ok()).unwrap_or(0);
        (!node.is_empty(), phase, is_ready(pod), cost, Reverse(on_node.get(node).copied().unwrap_or(0)))
    };
    let age = |pod: &Object| {
        let born = pod["metadata"]["creationTimestamp"].as_str().unwrap_or_default().to_owned();
        (Reverse(ready_since(pod)), Reverse(born), Key::of(pod))
    };
    pods.sort_by_cached_key(|pod| (rank(pod), age(pod)));
}
