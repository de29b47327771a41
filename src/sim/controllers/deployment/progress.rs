//! What a Deployment's status says: counts, whether enough is available, whether the rollout gets on.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::{DEPLOYMENTS, Rollout, asked, counted};
use crate::sim::clock::{parse_time, seconds_text};
use crate::sim::controllers::replica_set::FAILURE;
use crate::sim::controllers::until;
use crate::sim::json::{Value, json};
use crate::sim::scheduler::set_condition;
use crate::sim::store::{Key, Object, Store};

const PROGRESSING: &str = "Progressing";
const AVAILABLE: &str = "NewReplicaSetAvailable";
const EXCEEDED: &str = "ProgressDeadlineExceeded";
const PAUSED: &str = "DeploymentPaused";

fn condition<'a>(deployment: &'a Value, kind: &str) -> Option<&'a Value> {
    deployment["status"]["conditions"].as_array()?.iter().find(|c| c["type"] == kind)
}

/// Writes a condition, and puts it last; one that says the same stays as it is, unless it is to be renewed.
fn write(
    status: &mut Value,
    kind: &str,
    (value, reason): (&str, &str),
    message: &str,
    now: &str,
    renew: bool,
) {
    let list = status["conditions"].as_array().into_iter().flatten();
    let same = list.into_iter().any(|c| c["type"] == kind && c["status"] == value && c["reason"] == reason);
    if same && !renew {
        return;
    }
    set_condition(status, kind, value, reason, message, now);
    let Some(list) = status["conditions"].as_array_mut() else { return };
    if let Some(at) = list.iter().position(|c| c["type"] == kind) {
        let mut condition = list.remove(at);
        condition["lastUpdateTime"] = json!(now);
        list.push(condition);
    }
}

/// A pause, and its end, are conditions, so that the deadline doesn't count it.
pub(super) fn note_pause(store: &mut Store, key: &Key, now: Timestamp) {
    let reason = |deployment: &Value| condition(deployment, PROGRESSING).map(|c| c["reason"].clone());
    let says = |d: &Value| (d["spec"]["paused"] == true) == reason(d).is_some_and(|r| r == PAUSED);
    if store.get_key(DEPLOYMENTS, key).is_none_or(|d| says(d)) {
        return;
    }
    let text = seconds_text(now);
    store.modify(DEPLOYMENTS, key, |deployment| {
        let paused = deployment["spec"]["paused"] == true;
        let reason = reason(deployment).unwrap_or_default();
        if reason == EXCEEDED || deployment["spec"]["progressDeadlineSeconds"].is_null() {
            return;
        }
        let status = &mut deployment["status"];
        if paused && reason != PAUSED {
            write(status, PROGRESSING, ("Unknown", PAUSED), "Deployment is paused", &text, false);
        } else if !paused && reason == PAUSED {
            write(
                status,
                PROGRESSING,
                ("Unknown", "DeploymentResumed"),
                "Deployment is resumed",
                &text,
                false,
            );
        }
    });
}

/// The rollout begins.
pub(super) fn note_new_set(store: &mut Store, key: &Key, set: &str, now: Timestamp) {
    let text = seconds_text(now);
    let message = format!("Created new replica set {set:?}");
    store.modify(DEPLOYMENTS, key, |deployment| {
        write(
            &mut deployment["status"],
            PROGRESSING,
            ("True", "NewReplicaSetCreated"),
            &message,
            &text,
            false,
        );
    });
}

/// All pods are of the present template and available, and none besides.
pub(super) fn is_complete(store: &Store, key: &Key) -> bool {
    store.get_key(DEPLOYMENTS, key).is_some_and(|d| {
        let wanted = d["spec"]["replicas"].as_i64().unwrap_or(1);
        ["updatedReplicas", "replicas", "availableReplicas"].iter().all(|field| counted(d, field) == wanted)
    })
}

/// Writes the status. Returns when the deadline has to be looked at.
pub(super) fn report(store: &mut Store, key: &Key, rollout: &Rollout, now: Timestamp) -> Option<Duration> {
    let sum = |field: &str| rollout.all().map(|s| counted(s, field)).sum::<i64>();
    let wanted = rollout.wanted();
    let counts = json!({
        "observedGeneration": rollout.deployment["metadata"]["generation"], "replicas": sum("replicas"),
        "readyReplicas": sum("readyReplicas"), "availableReplicas": sum("availableReplicas"),
        "updatedReplicas": rollout.new.as_ref().map_or(0, |s| counted(s, "replicas")),
        "unavailableReplicas": (rollout.all().map(|s| asked(s)).sum::<i64>() - sum("availableReplicas")).max(0),
    });
    let enough = sum("availableReplicas") >= wanted - rollout.limits().1;
    let text = seconds_text(now);
    let set = rollout.new.as_ref().map(|s| s["metadata"]["name"].as_str().unwrap_or_default().to_owned());
    let failing = |set: &Object| condition(set, FAILURE).cloned();
    // The present set's, or else another's.
    let failure = rollout.new.iter().chain(&rollout.old).find_map(failing);
    let deployment = store.modify(DEPLOYMENTS, key, |deployment| {
        let before = deployment.clone();
        let conditions = before["status"]["conditions"].clone();
        // Counts of none are left out, as by their type.
        let counts = counts.as_object().into_iter().flatten().filter(|(_, count)| **count != 0);
        deployment["status"] = Value::Object(counts.map(|(n, c)| (n.clone(), c.clone())).collect());
        if conditions.is_array() {
            deployment["status"]["conditions"] = conditions;
        }
        let status = &mut deployment["status"];
        if enough {
            let said = ("True", "MinimumReplicasAvailable");
            write(status, "Available", said, "Deployment has minimum availability.", &text, false);
        } else {
            let said = ("False", "MinimumReplicasUnavailable");
            write(status, "Available", said, "Deployment does not have minimum availability.", &text, false);
        }
        mirror_failure(status, failure);
        if let Some(seconds) = before["spec"]["progressDeadlineSeconds"].as_i64() {
            progress(deployment, &before, set.as_deref(), seconds, now);
        }
    })?;
    let seconds = deployment["spec"]["progressDeadlineSeconds"].as_i64()?;
    let progressing = condition(&deployment, PROGRESSING)?;
    let reason = progressing["reason"].as_str().unwrap_or_default();
    let from = progressing["lastUpdateTime"].as_str().and_then(parse_time)?;
    let open = reason != AVAILABLE && reason != EXCEEDED && reason != PAUSED;
    open.then(|| until(now, from + SignedDuration::from_secs(seconds + 1)))
}

/// A Deployment says of its pods that they are refused, as its set does, and for as long.
fn mirror_failure(status: &mut Value, failure: Option<Value>) {
    let Some(list) = status["conditions"].as_array_mut() else { return };
    let Some(mut failure) = failure else { return list.retain(|c| c["type"] != FAILURE) };
    failure["lastUpdateTime"] = failure["lastTransitionTime"].clone();
    let is_said = |c: &Value| ["type", "status", "reason"].iter().all(|field| c[*field] == failure[*field]);
    if !list.iter().any(is_said) {
        list.retain(|c| c["type"] != FAILURE);
        list.push(failure);
    }
}

/// Whether the rollout is done, gets on, or has stood still for too long.
fn progress(deployment: &mut Value, before: &Value, set: Option<&str>, seconds: i64, now: Timestamp) {
    let current = condition(before, PROGRESSING).cloned();
    let reason = current.as_ref().and_then(|c| c["reason"].as_str()).unwrap_or_default().to_owned();
    let (old, new) = (|field: &str| counted(before, field), deployment["status"].clone());
    let count = |field: &str| new[field].as_i64().unwrap_or(0);
    if reason == AVAILABLE && count("replicas") == count("updatedReplicas") {
        return;
    }
    let wanted = before["spec"]["replicas"].as_i64().unwrap_or(1);
    let complete = ["updatedReplicas", "replicas", "availableReplicas"].iter().all(|f| count(f) == wanted);
    let gets_on = count("updatedReplicas") > old("updatedReplicas")
        || count("replicas") - count("updatedReplicas") < old("replicas") - old("updatedReplicas")
        || count("readyReplicas") > old("readyReplicas")
        || count("availableReplicas") > old("availableReplicas");
    let name = set.map_or_else(
        || format!("Deployment {:?}", before["metadata"]["name"].as_str().unwrap_or_default()),
        |set| format!("ReplicaSet {set:?}"),
    );
    let text = seconds_text(now);
    let status = &mut deployment["status"];
    if complete {
        let message = format!("{name} has successfully progressed.");
        write(status, PROGRESSING, ("True", AVAILABLE), &message, &text, false);
    } else if gets_on {
        let message = format!("{name} is progressing.");
        write(status, PROGRESSING, ("True", "ReplicaSetUpdated"), &message, &text, true);
    } else if let Some(current) = current {
        let from = current["lastUpdateTime"].as_str().and_then(parse_time).unwrap_or(now);
        let late = reason != AVAILABLE && now > from + SignedDuration::from_secs(seconds);
        if late && before["spec"]["paused"] != true {
            let message = format!("{name} has timed out progressing.");
            write(status, PROGRESSING, ("False", EXCEEDED), &message, &text, false);
        }
    } else {
        write(
            status,
            PROGRESSING,
            ("True", "FoundNewReplicaSet"),
            &format!("Found new replica set {:?}", set.unwrap_or_default()),
            &text,
            false,
        );
    }
}
