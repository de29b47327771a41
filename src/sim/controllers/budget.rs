//! The disruption controller: the status of PodDisruptionBudgets.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::{Facts, pods, until};
use crate::sim::clock::{parse_time, seconds_text};
use crate::sim::json::{Map, Value, json};
use crate::sim::scheduler::set_condition;
use crate::sim::store::{Key, Object, Store};

/// After this long an evicted pod that is still there is counted as healthy again.
const EXPIRY: SignedDuration = SignedDuration::from_mins(2);
const BUDGETS: &str = "poddisruptionbudgets.policy";
const CONDITION: &str = "DisruptionAllowed";
const SYNC_FAILED: &str = "SyncFailed";

/// A pod with its facts.
type Selected = (Object, Facts);

/// Recounts a budget.
pub(super) fn reconcile(store: &mut Store, key: &Key, now: Timestamp) -> Option<Duration> {
    let budget = store.get_key(BUDGETS, key).cloned()?;
    let selected = store.selected_by(&budget);
    match wanted(store, &budget, &selected) {
        Ok(counts) => count(store, key, &budget, &selected, counts, now),
        Err(why) => {
            fail_safe(store, key, &why, now);
            None
        }
    }
}

fn count(
    store: &mut Store,
    key: &Key,
    budget: &Value,
    selected: &[Selected],
    (expected, desired): (i64, i64),
    now: Timestamp,
) -> Option<Duration> {
    let (disrupted, again) = disrupted(budget, selected, now);
    let healthy = selected
        .iter()
        .filter(|(_, facts)| facts.is_active && facts.is_ready)
        .filter(|(p, _)| {
            disrupted.is_empty()
                || !disrupted.contains_key(p["metadata"]["name"].as_str().unwrap_or_default())
        })
        .count() as i64;
    // A budget that expects no pods allows nothing: the first pod may appear before it is counted.
    let allowed = if expected > 0 { (healthy - desired).max(0) } else { 0 };
    let now_text = seconds_text(now);
    store.modify(BUDGETS, key, |budget| {
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
        set_condition(&mut budget["status"], CONDITION, value, reason, "", &now_text);
        note_generation(&mut budget["status"]);
        // Conditions of this type always have a message, though an empty one.
        for condition in budget["status"]["conditions"].as_array_mut().into_iter().flatten() {
            condition["message"] = json!(condition["message"].as_str().unwrap_or_default());
        }
    });
    again
}

/// A budget's condition says which generation it is about.
fn note_generation(status: &mut Value) {
    let observed = status["observedGeneration"].clone();
    let mut conditions = status["conditions"].as_array_mut().into_iter().flatten();
    if let Some(condition) = conditions.find(|c| c["type"] == CONDITION).filter(|_| !observed.is_null()) {
        condition["observedGeneration"] = observed;
    }
}

/// The evicted pods that are still on their way out, and when the first of them counts again.
fn disrupted(budget: &Value, selected: &[Selected], now: Timestamp) -> (Map, Option<Duration>) {
    let mut disrupted = Map::new();
    let mut again = None;
    for (name, at) in budget["status"]["disruptedPods"].as_object().into_iter().flatten() {
        let alive = selected.iter().any(|(p, _)| {
            p["metadata"]["name"] == name.as_str() && p["metadata"]["deletionTimestamp"].is_null()
        });
        let due = at.as_str().and_then(parse_time).map(|t| t + EXPIRY);
        if let Some(due) = due.filter(|due| alive && *due > now) {
            disrupted.insert(name.clone(), at.clone());
            again = Some(again.map_or(until(now, due), |a: Duration| a.min(until(now, due))));
        }
    }
    (disrupted, again)
}

/// What can't be counted allows nothing. All else in the status stays as it was, the observed generation too.
fn fail_safe(store: &mut Store, key: &Key, why: &str, now: Timestamp) {
    let now = seconds_text(now);
    store.modify(BUDGETS, key, |budget| {
        budget["status"]["disruptionsAllowed"] = json!(0);
        set_condition(&mut budget["status"], CONDITION, "False", SYNC_FAILED, why, &now);
        note_generation(&mut budget["status"]);
    });
}

/// expectedPods and desiredHealthy. A whole `minAvailable` counts the pods that are there; percentages and
/// `maxUnavailable` count what the pods' controllers want. Percentages round up.
fn wanted(store: &Store, budget: &Value, selected: &[Selected]) -> Result<(i64, i64), String> {
    let (least, most) = (&budget["spec"]["minAvailable"], &budget["spec"]["maxUnavailable"]);
    if !most.is_null() {
        let expected = expected_scale(store, budget, selected)?;
        return Ok((expected, (expected - pods::scaled(most, expected, true)).max(0)));
    }
    if least.is_null() {
        return Ok((0, 0));
    }
    if least.as_str().is_none_or(|s| !s.ends_with('%')) {
        return Ok((selected.len() as i64, pods::scaled(least, 0, true)));
    }
    let expected = expected_scale(store, budget, selected)?;
    Ok((expected, pods::scaled(least, expected, true)))
}

/// The sum of the scales of the pods' controllers. Pods without a controller are left out.
fn expected_scale(store: &Store, budget: &Value, selected: &[Selected]) -> Result<i64, String> {
    let mut scales: BTreeMap<String, i64> = BTreeMap::new();
    let mut before: Option<&Value> = None;
    for (pod, facts) in selected {
        let Some(controller) = &facts.controller else { continue };
        // Most pods have the controller of the one before.
        if before.replace(controller) == Some(controller) {
            continue;
        }
        let text = |field: &str| controller[field].as_str().unwrap_or_default();
        if store.resource_of(text("apiVersion"), text("kind")).is_none()
            && let Some(expected) = counted_before(budget)
        {
            // A copy of a cluster doesn't have this kind: what the real controller counted stands.
            return Ok(expected);
        }
        let (uid, scale) = scale(store, pod, controller)?;
        scales.insert(uid, scale);
    }
    Ok(scales.into_values().sum())
}

fn counted_before(budget: &Value) -> Option<i64> {
    let conditions = budget["status"]["conditions"].as_array().into_iter().flatten();
    let failed = conditions.into_iter().any(|c| c["type"] == CONDITION && c["reason"] == SYNC_FAILED);
    budget["status"]["expectedPods"].as_i64().filter(|expected| *expected > 0 && !failed)
}

/// UID and scale of a pod's controller: of its Deployment where that is a ReplicaSet, else of the controller itself,
/// which needs the subresource `scale`.
fn scale(store: &Store, pod: &Value, controller: &Value) -> Result<(String, i64), String> {
    let namespace = pod["metadata"]["namespace"].as_str().unwrap_or_default();
    let text = |field: &str| controller[field].as_str().unwrap_or_default();
    let Some(resource) = store.resource_of(text("apiVersion"), text("kind")) else {
        return Err(format!("no matches for kind {:?} in version {:?}", text("kind"), text("apiVersion")));
    };
    let name = pod["metadata"]["name"].as_str().unwrap_or_default();
    let found = named(store, &resource.name, namespace, controller);
    if !resource.has_scale {
        return Err(format!("{} does not implement the scale subresource", resource.name));
    }
    let found = found.ok_or_else(|| format!("found no controllers for pod {name:?}"))?;
    let deployment = pods::controller(found)
        .filter(|above| resource.name == "replicasets.apps" && above["kind"] == "Deployment")
        .and_then(|above| named(store, "deployments.apps", namespace, above));
    let scaled = deployment.unwrap_or(found);
    let uid = scaled["metadata"]["uid"].as_str().unwrap_or_default().to_owned();
    Ok((uid, scaled["spec"]["replicas"].as_i64().unwrap_or(0)))
}

/// The very object that a reference means.
fn named<'a>(store: &'a Store, resource: &str, namespace: &str, reference: &Value) -> Option<&'a Object> {
    let object = store.get(resource, namespace, reference["name"].as_str()?)?;
    (object["metadata"]["uid"] == reference["uid"]).then_some(object)
}
