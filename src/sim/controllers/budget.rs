//! The disruption controller: the status of PodDisruptionBudgets.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::{pods, until};
use crate::sim::api::selects;
use crate::sim::clock::{parse_time, seconds_text};
use crate::sim::scheduler::set_condition;
use crate::sim::store::{Key, Object, Store};

/// After this long an evicted pod that is still there is counted as healthy again.
const EXPIRY: SignedDuration = SignedDuration::from_mins(2);

/// Recounts a budget.
pub(super) fn reconcile(store: &mut Store, key: &Key, now: Timestamp) -> Option<Duration> {
    let budget = store.get_key("poddisruptionbudgets.policy", key).cloned()?;
    let selected: Vec<Object> = store
        .list_in("pods", &key.namespace)
        .filter(|p| selects(&budget["spec"]["selector"], &p["metadata"]["labels"]))
        .cloned()
        .collect();
    let mut disrupted = serde_json::Map::new();
    let mut again = None;
    for (name, at) in budget["status"]["disruptedPods"].as_object().into_iter().flatten() {
        let alive = selected
            .iter()
            .any(|p| p["metadata"]["name"] == name.as_str() && p["metadata"]["deletionTimestamp"].is_null());
        let due = at.as_str().and_then(parse_time).map(|t| t + EXPIRY);
        if let Some(due) = due.filter(|due| alive && *due > now) {
            disrupted.insert(name.clone(), at.clone());
            again = Some(again.map_or(until(now, due), |a: Duration| a.min(until(now, due))));
        }
    }
    let healthy = selected
        .iter()
        .filter(|p| pods::is_active(p) && pods::is_ready(p))
        .filter(|p| !disrupted.contains_key(p["metadata"]["name"].as_str().unwrap_or_default()))
        .count() as i64;
    let (expected, desired) = wanted(store, &budget, &selected);
    let allowed = if healthy > desired { healthy - desired } else { 0 };
    let now_text = seconds_text(now);
    store.modify("poddisruptionbudgets.policy", key, |budget| {
        let conditions = budget["status"]["conditions"].clone();
        budget["status"] = json!({
            "observedGeneration": budget["metadata"]["generation"], "expectedPods": expected, "desiredHealthy": desired,
            "currentHealthy": healthy, "disruptionsAllowed": allowed,
        });
        if !disrupted.is_empty() {
            budget["status"]["disruptedPods"] = Value::Object(disrupted);
        }
        if conditions.is_array() {
            budget["status"]["conditions"] = conditions;
        }
        let (value, reason) = if allowed > 0 { ("True", "SufficientPods") } else { ("False", "InsufficientPods") };
        set_condition(&mut budget["status"], "DisruptionAllowed", value, reason, "", &now_text);
    });
    again
}

/// expectedPods and desiredHealthy. A whole `minAvailable` counts the pods that are there; percentages and
/// `maxUnavailable` count what the pods' owners want. Percentages round up.
fn wanted(store: &Store, budget: &Value, selected: &[Object]) -> (i64, i64) {
    let spec = &budget["spec"];
    let is_whole = |v: &Value| v.as_i64().is_some() || v.as_str().is_some_and(|s| !s.ends_with('%'));
    if !spec["maxUnavailable"].is_null() {
        let expected = of_owners(store, selected);
        return (expected, (expected - pods::scaled(&spec["maxUnavailable"], expected, true)).max(0));
    }
    if is_whole(&spec["minAvailable"]) {
        return (selected.len() as i64, pods::scaled(&spec["minAvailable"], 0, true));
    }
    let expected = of_owners(store, selected);
    let minimum = if spec["minAvailable"].is_null() { json!(1) } else { spec["minAvailable"].clone() };
    (expected, pods::scaled(&minimum, expected, true))
}

/// The sum of the scales of the pods' controllers.
fn of_owners(store: &Store, selected: &[Object]) -> i64 {
    let mut seen = BTreeSet::new();
    let mut total = 0;
    for pod in selected {
        let owners = pod["metadata"]["ownerReferences"].as_array();
        let Some(owner) = owners.into_iter().flatten().find(|o| o["controller"] == true) else {
            continue;
        };
        let namespace = pod["metadata"]["namespace"].as_str().unwrap_or_default();
        let Some((resource, owner)) = scaled_owner(store, namespace, owner) else {
            continue;
        };
        if seen.insert((resource, owner["metadata"]["uid"].to_string())) {
            total += owner["spec"]["replicas"].as_i64().unwrap_or(0);
        }
    }
    total
}

/// The owner that has a scale: a ReplicaSet's Deployment rather than the ReplicaSet.
fn scaled_owner(store: &Store, namespace: &str, reference: &Value) -> Option<(String, Object)> {
    let resource = store.resource_of(reference["apiVersion"].as_str()?, reference["kind"].as_str()?)?.clone();
    let owner = store.get(&resource.name, namespace, reference["name"].as_str()?)?.clone();
    let above = owner["metadata"]["ownerReferences"].as_array();
    let above = above.into_iter().flatten().find(|o| o["controller"] == true);
    match above.and_then(|reference| scaled_owner(store, namespace, reference)) {
        Some(found) => Some(found),
        None => resource.has_scale.then(|| (resource.name.clone(), owner)),
    }
}
