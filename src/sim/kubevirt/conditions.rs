//! Conditions and phases in a status.

use crate::sim::json::{Value, json};

pub(super) use crate::sim::scheduler::set_condition as set;

/// A condition of an object.
pub(super) fn get<'a>(object: &'a Value, kind: &str) -> Option<&'a Value> {
    object["status"]["conditions"].as_array()?.iter().find(|c| c["type"] == kind)
}

/// Condition of this type is `True`.
pub(super) fn is_true(object: &Value, kind: &str) -> bool {
    get(object, kind).is_some_and(|c| c["status"] == "True")
}

/// Takes a condition away.
pub(super) fn remove(status: &mut Value, kind: &str) {
    if status["conditions"].as_array().is_some_and(|list| list.iter().all(|c| c["type"] != kind)) {
        return;
    }
    if let Some(list) = status["conditions"].as_array_mut() {
        list.retain(|c| c["type"] != kind);
    }
}

/// Enters a phase, with its time in `phaseTransitionTimestamps`.
pub(super) fn enter(status: &mut Value, phase: &str, now: &str) {
    if status["phase"] == phase {
        return;
    }
    let before = std::mem::replace(&mut status["phase"], json!(phase));
    if !status["phaseTransitionTimestamps"].is_array() {
        // A manifest may state a phase and nothing of its history, which others judge by.
        let past = before.is_string().then(|| json!({"phase": before, "phaseTransitionTimestamp": now}));
        status["phaseTransitionTimestamps"] = json!(past.into_iter().collect::<Vec<_>>());
    }
    if let Some(list) = status["phaseTransitionTimestamps"].as_array_mut() {
        list.push(json!({"phase": phase, "phaseTransitionTimestamp": now}));
    }
}

/// Whether it has ever been in a phase.
pub(super) fn has_been(object: &Value, phase: &str) -> bool {
    let stamps = object["status"]["phaseTransitionTimestamps"].as_array();
    object["status"]["phase"] == phase || stamps.is_some_and(|s| s.iter().any(|t| t["phase"] == phase))
}
