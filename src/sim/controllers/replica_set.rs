//! ReplicaSets, and ReplicationControllers, which do the same.

use std::time::Duration;

use jiff::Timestamp;

use super::{Facts, pods, until};
use crate::sim::clock::seconds_text;
use crate::sim::json::{Value, json};
use crate::sim::scheduler::set_condition;
use crate::sim::store::{DeleteOptions, Key, Object, Store};

/// The condition of a set whose pods are refused.
pub(super) const FAILURE: &str = "ReplicaFailure";

/// Makes as many pods as are wanted, or deletes the surplus; counts them.
pub(super) fn reconcile(store: &mut Store, resource: &str, key: &Key, now: Timestamp) -> Option<Duration> {
    let set = store.get_key(resource, key).cloned()?;
    if !set["metadata"]["deletionTimestamp"].is_null() {
        return None;
    }
    let mut count = Count::of(store, &set, now);
    let wanted = set["spec"]["replicas"].as_i64().unwrap_or(1).max(0) as usize;
    let is_right = count.active == wanted;
    let mut refused = None;
    for _ in count.active..wanted {
        let mut pod = pods::from_template(&set);
        pod["metadata"]["generateName"] = json!(format!("{}-", key.name));
        if let Err(why) = pods::try_create(store, pod) {
            refused = Some(why);
            break;
        }
    }
    if count.active > wanted {
        let mut active: Vec<Object> = active(store, &set).map(|(pod, _)| pod.clone()).collect();
        pods::surplus_order(&mut active);
        for pod in &active[..active.len() - wanted] {
            let _ = store.delete("pods", &Key::of(pod), &DeleteOptions::default());
        }
    }
    if !is_right {
        count = Count::of(store, &set, now);
    }
    report(store, resource, key, &count, refused.as_deref(), now);
    count.next.map(|due| until(now, due))
}

fn active<'a>(store: &'a Store, set: &Value) -> impl Iterator<Item = (&'a Object, &'a Facts)> + use<'a> {
    let uid = set["metadata"]["uid"].as_str().unwrap_or_default();
    store.pods_owned_by(uid).filter(|(_, facts)| facts.is_active)
}

/// What a set's pods are, by number.
#[derive(Default)]
struct Count {
    active: usize,
    /// With all labels of the template.
    labelled: usize,
    ready: usize,
    available: usize,
    /// When the next becomes available.
    next: Option<Timestamp>,
}

impl Count {
    fn of(store: &Store, set: &Value, now: Timestamp) -> Self {
        let least = pods::min_ready_seconds(set);
        let labels = set["spec"]["template"]["metadata"]["labels"].as_object();
        let mut count = Self::default();
        for (_, facts) in active(store, set) {
            let labelled = labels.is_none_or(|labels| match facts.labels.as_object() {
                Some(own) => own.includes(labels),
                None => labels.is_empty(),
            });
            count.active += 1;
            count.labelled += usize::from(labelled);
            count.ready += usize::from(facts.is_ready);
            count.available += usize::from(facts.is_available(least, now));
            let due = facts.ready_for(least).filter(|due| *due > now);
            count.next = count.next.into_iter().chain(due).min();
        }
        count
    }
}

fn report(
    store: &mut Store,
    resource: &str,
    key: &Key,
    count: &Count,
    refused: Option<&str>,
    now: Timestamp,
) {
    let Some(set) = store.get_key(resource, key) else { return };
    let before = set["status"]["conditions"].as_array().into_iter().flatten();
    let kept = before.filter(|c| refused.is_some() || c["type"] != FAILURE);
    let kept: Vec<Value> = kept.cloned().collect();
    let mut status = json!({
        "replicas": count.active, "fullyLabeledReplicas": count.labelled, "readyReplicas": count.ready,
        "availableReplicas": count.available, "observedGeneration": set["metadata"]["generation"],
    });
    if !kept.is_empty() {
        status["conditions"] = json!(kept);
    }
    // It says what was refused first: the next try would only have another name.
    let is_said = status["conditions"].as_array().is_some_and(|c| c.iter().any(|c| c["type"] == FAILURE));
    if let Some(why) = refused.filter(|_| !is_said) {
        let time = seconds_text(now);
        set_condition(&mut status, FAILURE, "True", "FailedCreate", why, &time);
    }
    if set["status"] != status {
        store.modify(resource, key, |set| set["status"] = status);
    }
}
