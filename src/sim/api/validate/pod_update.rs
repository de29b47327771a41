//! What of a pod may change.

use super::Causes;
use crate::sim::json::Value;

/// Its images, a shorter deadline, more tolerations, fewer scheduling gates; nothing else.
pub(super) fn changed(old: &Value, new: &Value, causes: &mut Causes) {
    let (old, new) = (&old["spec"], &new["spec"]);
    for list in ["containers", "initContainers"] {
        let count = |v: &Value| v[list].as_array().map_or(0, Vec::len);
        if count(old) != count(new) {
            let why = "pod updates may not add or remove containers";
            causes.forbidden(format!("spec.{list}"), why);
            return;
        }
    }
    let deadline = |v: &Value| v["activeDeadlineSeconds"].as_i64();
    match (deadline(old), deadline(new)) {
        (Some(before), Some(now)) if now > before => {
            let why = "must be less than or equal to previous value";
            causes.invalid("spec.activeDeadlineSeconds", &new["activeDeadlineSeconds"], why);
            return;
        }
        (Some(_), None) => {
            let why = "must not update from a positive integer to nil value";
            causes.invalid("spec.activeDeadlineSeconds", &Value::Null, why);
        }
        _ => {}
    }
    let tolerations = |v: &Value| v["tolerations"].as_array().cloned().unwrap_or_default();
    let kept = tolerations(new);
    if tolerations(old).iter().any(|t| !kept.contains(t)) {
        let why = "existing toleration can not be modified except its tolerationSeconds";
        causes.forbidden("spec.tolerations", why);
    }
    let mut munged = new.clone();
    for list in ["containers", "initContainers"] {
        for (index, container) in
            munged.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten().enumerate()
        {
            container["image"] = old[list][index]["image"].clone();
        }
    }
    for field in ["activeDeadlineSeconds", "schedulingGates", "tolerations"] {
        match (old.get(field), munged.as_object_mut()) {
            (Some(value), Some(spec)) => {
                spec.insert(field.to_owned(), value.clone());
            }
            (None, Some(spec)) => {
                spec.remove(field);
            }
            _ => {}
        }
    }
    if munged != *old {
        let why = "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,\
                   `spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),\
                   `spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)";
        causes.forbidden("spec", why);
    }
}
