//! ReplicaSets, and ReplicationControllers, which do the same.

use std::time::Duration;

use jiff::Timestamp;

use super::pods;
use crate::sim::clock::seconds_text;
use crate::sim::json::{Value, json};
use crate::sim::scheduler::set_condition;
use crate::sim::store::{DeleteOptions, Key, Object, Store};

/// A pod that was refused (by a quota) is tried again after this long.
const AGAIN: Duration = Duration::from_secs(15);

/// Makes as many pods as are wanted, or deletes the surplus; counts them.
pub(super) fn reconcile(store: &mut Store, resource: &str, key: &Key, now: Timestamp) -> Option<Duration> {
    let set = store.get_key(resource, key).cloned()?;
    if !set["metadata"]["deletionTimestamp"].is_null() {
        return None;
    }
    let mut active = active(store, &set);
    let wanted = set["spec"]["replicas"].as_i64().unwrap_or(1).max(0) as usize;
    let is_right = active.len() == wanted;
    let mut refused = None;
    for _ in active.len()..wanted {
        let mut pod = pods::from_template(&set);
        pod["metadata"]["generateName"] = json!(format!("{}-", key.name));
        if let Err(why) = pods::try_create(store, pod) {
            refused = Some(why);
            break;
        }
    }
    if active.len() > wanted {
        pods::surplus_order(&mut active);
        for pod in &active[..active.len() - wanted] {
            let _ = store.delete("pods", &Key::of(pod), &DeleteOptions::default());
        }
    }
    if !is_right {
        active = self::active(store, &set);
    }
    report(store, resource, key, &active, refused.as_deref(), now);
    let next = pods::next_available(&active, pods::min_ready_seconds(&set), now);
    refused.map(|_| AGAIN).into_iter().chain(next).min()
}

fn active(store: &Store, set: &Value) -> Vec<Object> {
    pods::of(store, set).into_iter().filter(|p| pods::is_active(p)).collect()
}

fn report(
    store: &mut Store,
    resource: &str,
    key: &Key,
    active: &[Object],
    refused: Option<&str>,
    now: Timestamp,
) {
    let Some(set) = store.get_key(resource, key).cloned() else { return };
    let least = pods::min_ready_seconds(&set);
    let ready = active.iter().filter(|p| pods::is_ready(p)).count();
    let available = active.iter().filter(|p| pods::is_available(p, least, now)).count();
    let labels = &set["spec"]["template"]["metadata"]["labels"];
    let labelled = |p: &&Object| {
        labels.as_object().into_iter().flatten().all(|(key, value)| &p["metadata"]["labels"][key] == value)
    };
    let fully = active.iter().filter(labelled).count();
    store.modify(resource, key, |set| {
        let before = set["status"]["conditions"].as_array().cloned().unwrap_or_default();
        set["status"] = json!({
            "replicas": active.len(), "fullyLabeledReplicas": fully, "readyReplicas": ready,
            "availableReplicas": available, "observedGeneration": set["metadata"]["generation"],
        });
        let kept: Vec<Value> =
            before.into_iter().filter(|c| refused.is_some() || c["type"] != "ReplicaFailure").collect();
        if !kept.is_empty() {
            set["status"]["conditions"] = json!(kept);
        }
        if let Some(why) = refused {
            let time = seconds_text(now);
            set_condition(&mut set["status"], "ReplicaFailure", "True", "FailedCreate", why, &time);
        }
    });
}
