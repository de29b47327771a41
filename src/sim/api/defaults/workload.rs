//! Defaults of the kinds that make pods.

use super::{default, default_text, made, part, pod};
use crate::sim::json::{Map, Value, json};

fn template(object: &mut Value) {
    if let Some(spec) =
        object.get_mut("spec").and_then(|s| s.get_mut("template")).and_then(|t| t.get_mut("spec"))
    {
        pod::pod_spec(spec);
    }
}

pub(super) fn deployment(object: &mut Value) {
    template(object);
    let Some(spec) = part(object, "spec") else { return };
    default(spec, "replicas", json!(1));
    default(spec, "revisionHistoryLimit", json!(10));
    default(spec, "progressDeadlineSeconds", json!(600));
    default(spec, "strategy", json!({}));
    if let Some(strategy) = spec.get_mut("strategy").and_then(Value::as_object_mut) {
        default_text(strategy, "type", "RollingUpdate");
        if strategy.get("type").is_some_and(|t| t == "RollingUpdate") {
            default(strategy, "rollingUpdate", json!({}));
            if let Some(rolling) = strategy.get_mut("rollingUpdate").and_then(Value::as_object_mut) {
                default(rolling, "maxSurge", json!("25%"));
                default(rolling, "maxUnavailable", json!("25%"));
            }
        }
    }
}

pub(super) fn replica_set(object: &mut Value) {
    template(object);
    if let Some(spec) = part(object, "spec") {
        default(spec, "replicas", json!(1));
    }
}

/// It takes selector and labels from its template.
pub(super) fn replication_controller(object: &mut Value) {
    replica_set(object);
    let labels = object["spec"]["template"]["metadata"]["labels"].clone();
    if labels.as_object().is_none_or(Map::is_empty) {
        return;
    }
    if let Some(spec) = part(object, "spec") {
        default(spec, "selector", labels.clone());
    }
    if let Some(metadata) = part(object, "metadata") {
        default(metadata, "labels", labels);
    }
}

pub(super) fn stateful_set(object: &mut Value) {
    template(object);
    let Some(spec) = part(object, "spec") else { return };
    default(spec, "replicas", json!(1));
    default(spec, "revisionHistoryLimit", json!(10));
    default_text(spec, "podManagementPolicy", "OrderedReady");
    default(spec, "updateStrategy", json!({}));
    if let Some(strategy) = spec.get_mut("updateStrategy").and_then(Value::as_object_mut) {
        default_text(strategy, "type", "RollingUpdate");
        if strategy.get("type").is_some_and(|t| t == "RollingUpdate") {
            default(strategy, "rollingUpdate", json!({"partition": 0}));
            if let Some(rolling) = strategy.get_mut("rollingUpdate").and_then(Value::as_object_mut) {
                default(rolling, "partition", json!(0));
            }
        }
    }
    default(spec, "persistentVolumeClaimRetentionPolicy", json!({}));
    if let Some(policy) = spec.get_mut("persistentVolumeClaimRetentionPolicy").and_then(Value::as_object_mut)
    {
        default_text(policy, "whenDeleted", "Retain");
        default_text(policy, "whenScaled", "Retain");
    }
    for claim in spec.get_mut("volumeClaimTemplates").and_then(Value::as_array_mut).into_iter().flatten() {
        if let Some(claim) = claim.as_object_mut() {
            default_text(claim, "apiVersion", "v1");
            default_text(claim, "kind", "PersistentVolumeClaim");
        }
        super::claim(claim);
    }
}

pub(super) fn daemon_set(object: &mut Value) {
    template(object);
    let generation = object["metadata"]["annotations"]["deprecated.daemonset.template.generation"].clone();
    let Some(spec) = part(object, "spec") else { return };
    default(spec, "revisionHistoryLimit", json!(10));
    default(spec, "updateStrategy", json!({}));
    if let Some(strategy) = spec.get_mut("updateStrategy").and_then(Value::as_object_mut) {
        default_text(strategy, "type", "RollingUpdate");
        if strategy.get("type").is_some_and(|t| t == "RollingUpdate") {
            default(strategy, "rollingUpdate", json!({}));
            if let Some(rolling) = strategy.get_mut("rollingUpdate").and_then(Value::as_object_mut) {
                default(rolling, "maxSurge", json!(0));
                default(rolling, "maxUnavailable", json!(1));
            }
        }
    }
    if generation.is_null()
        && let Some(annotations) = object.get_mut("metadata").and_then(|m| made(m, "annotations"))
    {
        annotations.insert("deprecated.daemonset.template.generation".to_owned(), json!("1"));
    }
}

fn job_spec(spec: &mut Map) {
    if spec.get("completions").is_none() && spec.get("parallelism").is_none() {
        default(spec, "completions", json!(1));
    }
    default(spec, "parallelism", json!(1));
    let per_index = spec.contains_key("backoffLimitPerIndex");
    default(spec, "backoffLimit", if per_index { json!(i32::MAX) } else { json!(6) });
    default(spec, "completionMode", json!("NonIndexed"));
    default(spec, "suspend", json!(false));
    default(spec, "manualSelector", json!(false));
    let policy = if spec.contains_key("podFailurePolicy") { "Failed" } else { "TerminatingOrFailed" };
    default(spec, "podReplacementPolicy", json!(policy));
}

pub(super) fn job(object: &mut Value) {
    template(object);
    if let Some(spec) = part(object, "spec") {
        job_spec(spec);
    }
    // A new one takes over those, too, that its template is about to get.
    let is_selected = object["spec"]["manualSelector"] == true || !object["spec"]["selector"].is_null();
    let labels = object["spec"]["template"]["metadata"]["labels"].clone();
    if is_selected
        && labels.is_object()
        && let Some(metadata) = part(object, "metadata")
    {
        default(metadata, "labels", labels);
    }
}

/// A new Job selects its pods by its UID.
pub(super) fn job_labels(object: &mut Value) {
    let (uid, name) = (object["metadata"]["uid"].clone(), object["metadata"]["name"].clone());
    if object["spec"]["manualSelector"] == true || !object["spec"]["selector"].is_null() {
        return;
    }
    // A manifest that is loaded has no UID yet: its name is unique as well.
    let label = if uid.is_null() { name.clone() } else { uid };
    let Some(spec) = object.get_mut("spec") else { return };
    if let Some(labels) = spec
        .get_mut("template")
        .and_then(|t| t.as_object_mut())
        .map(|t| t.entry("metadata").or_insert_with(|| json!({})))
        .and_then(|m| made(m, "labels"))
    {
        for (key, value) in [
            ("batch.kubernetes.io/controller-uid", &label),
            ("batch.kubernetes.io/job-name", &name),
            ("controller-uid", &label),
            ("job-name", &name),
        ] {
            labels.insert(key.to_owned(), value.clone());
        }
    }
    if let Some(spec) = spec.as_object_mut() {
        spec.insert(
            "selector".to_owned(),
            json!({"matchLabels": {"batch.kubernetes.io/controller-uid": label}}),
        );
    }
    let labels = object["spec"]["template"]["metadata"]["labels"].clone();
    if let Some(metadata) = part(object, "metadata") {
        default(metadata, "labels", labels);
    }
}

pub(super) fn cron_job(object: &mut Value) {
    let Some(spec) = object.get_mut("spec") else { return };
    if let Some(job) = spec.get_mut("jobTemplate") {
        template(job);
    }
    let Some(spec) = spec.as_object_mut() else { return };
    default_text(spec, "concurrencyPolicy", "Allow");
    default(spec, "suspend", json!(false));
    default(spec, "successfulJobsHistoryLimit", json!(3));
    default(spec, "failedJobsHistoryLimit", json!(1));
}
