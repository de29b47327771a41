//! The kinds' own fields.

use super::workload::{count_or_percent, not_negative, selector};
use super::{Causes, limits, names, pod, service, workload};
use crate::sim::json::{Value, json};
use crate::sim::store::Resource;

/// Everything of an object but its metadata.
pub(super) fn whole(resource: &Resource, object: &Value, causes: &mut Causes) {
    let spec = &object["spec"];
    match resource.name.as_str() {
        "pods" => pod::spec(spec, "spec", causes),
        "deployments.apps" => workload::deployment(spec, causes),
        "replicasets.apps" => {
            not_negative(spec, "replicas", "spec", causes);
            not_negative(spec, "minReadySeconds", "spec", causes);
            workload::selected_template(spec, "replica set", causes);
            workload::runs_on(spec, "ReplicaSet", causes);
        }
        "statefulsets.apps" => {
            workload::claim_templates(spec, causes);
            workload::stateful_set(spec, causes);
        }
        "daemonsets.apps" => {
            workload::selected_template(spec, "daemonset", causes);
            workload::runs_on(spec, "DaemonSet", causes);
            not_negative(spec, "minReadySeconds", "spec", causes);
            workload::daemon_set_update(&spec["updateStrategy"], causes);
        }
        "jobs.batch" => workload::job(spec, causes),
        "cronjobs.batch" => {
            schedule(spec, causes);
            zone_and_policy(spec, causes);
        }
        "poddisruptionbudgets.policy" => budget(spec, causes),
        "configmaps" | "secrets" => data(resource, object, causes),
        "nodes" => node(spec, causes),
        "services" => service::service(spec, causes),
        "resourcequotas" => limits::quota(spec, causes),
        "limitranges" => limits::range(spec, causes),
        "leases.coordination.k8s.io" => lease(spec, causes),
        "persistentvolumeclaims" => claim(spec, "spec", causes),
        "persistentvolumes" => volume(spec, causes),
        "priorityclasses.scheduling.k8s.io" => priority(object, causes),
        "storageclasses.storage.k8s.io" => class(object, causes),
        "rolebindings.rbac.authorization.k8s.io" | "clusterrolebindings.rbac.authorization.k8s.io"
            if object["roleRef"]["name"].as_str().is_none_or(str::is_empty) =>
        {
            causes.required("roleRef.name", "");
        }
        "roles.rbac.authorization.k8s.io" | "clusterroles.rbac.authorization.k8s.io" => {
            for (index, rule) in object["rules"].as_array().into_iter().flatten().enumerate() {
                rights(rule, &format!("rules[{index}]"), resource.namespaced, causes);
            }
        }
        _ => {}
    }
}

/// A rule of a role.
fn rights(rule: &Value, at: &str, namespaced: bool, causes: &mut Causes) {
    let is_empty = |field: &str| rule[field].as_array().is_none_or(Vec::is_empty);
    if is_empty("verbs") {
        causes.required(format!("{at}.verbs"), "verbs must contain at least one value");
    }
    if !is_empty("nonResourceURLs") {
        let (field, urls) = (format!("{at}.nonResourceURLs"), &rule["nonResourceURLs"]);
        if namespaced {
            causes.invalid(field.as_str(), urls, "namespaced rules cannot apply to non-resource URLs");
        }
        if ["apiGroups", "resources", "resourceNames"].iter().any(|f| !is_empty(f)) {
            let why = "rules cannot apply to both regular resources and non-resource URLs";
            causes.invalid(field.as_str(), urls, why);
        }
        return;
    }
    if is_empty("apiGroups") {
        causes.required(format!("{at}.apiGroups"), "resource rules must supply at least one api group");
    }
    if is_empty("resources") {
        causes.required(format!("{at}.resources"), "resource rules must supply at least one resource");
    }
}

/// When a CronJob runs.
fn schedule(spec: &Value, causes: &mut Causes) {
    let text = spec["schedule"].as_str().unwrap_or_default();
    let fields: Vec<&str> = text.split_whitespace().collect();
    if text.is_empty() {
        causes.required("spec.schedule", "");
    } else if !text.starts_with('@') && fields.len() != 5 {
        let why = format!("expected exactly 5 fields, found {}: [{}]", fields.len(), fields.join(" "));
        causes.invalid("spec.schedule", &spec["schedule"], &why);
    } else if !text.starts_with('@')
        && let Err(why) = text.parse::<croner::Cron>()
    {
        causes.invalid("spec.schedule", &spec["schedule"], &why.to_string());
    }
}

/// A CronJob's name has to leave room for the times that its Jobs' names end with.
pub(super) fn cron_job_name(metadata: &Value, causes: &mut Causes) {
    if metadata["name"].as_str().is_some_and(|name| name.len() > 52) {
        causes.invalid("metadata.name", &metadata["name"], "must be no more than 52 characters");
    }
}

/// In which zone a CronJob counts, and what it does when one run isn't over.
fn zone_and_policy(spec: &Value, causes: &mut Causes) {
    let zone = &spec["timeZone"];
    match zone.as_str() {
        None => {}
        Some("") => causes.invalid("spec.timeZone", zone, "timeZone must be nil or non-empty string"),
        Some(name) if name.eq_ignore_ascii_case("local") => {
            let why = "timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones";
            causes.invalid("spec.timeZone", zone, why);
        }
        Some(name) if jiff::tz::TimeZone::get(name).is_err() => {
            causes.invalid("spec.timeZone", zone, &format!("unknown time zone {name}"));
        }
        Some(_) => {}
    }
    let policy = &spec["concurrencyPolicy"];
    if policy.as_str().is_some_and(|p| !["Allow", "Forbid", "Replace"].contains(&p)) {
        causes.unsupported("spec.concurrencyPolicy", policy, &["Allow", "Forbid", "Replace"]);
    }
}

/// A PodDisruptionBudget.
pub(super) fn budget(spec: &Value, causes: &mut Causes) {
    if !spec["minAvailable"].is_null() && !spec["maxUnavailable"].is_null() {
        causes.invalid("spec", spec, "minAvailable and maxUnavailable cannot be both set");
    }
    count_or_percent(spec, "minAvailable", "spec", true, causes);
    count_or_percent(spec, "maxUnavailable", "spec", true, causes);
    selector(&spec["selector"], "spec.selector", causes);
    let policy = &spec["unhealthyPodEvictionPolicy"];
    if !policy.is_null() && policy != "AlwaysAllow" && policy != "IfHealthyBudget" {
        let supported = ["AlwaysAllow", "IfHealthyBudget"];
        causes.unsupported("spec.unhealthyPodEvictionPolicy", policy, &supported);
    }
}

/// How much a ConfigMap or Secret may hold.
const MOST_DATA: usize = 1_048_576;

/// How many bytes a text in base 64 stands for.
fn decoded_size(text: &str) -> usize {
    let digits = text.bytes().filter(|b| !matches!(b, b'=' | b'\n' | b'\r')).count();
    digits * 3 / 4
}

fn data(resource: &Resource, object: &Value, causes: &mut Causes) {
    for part in ["data", "binaryData"] {
        for (key, _) in object[part].as_object().into_iter().flatten() {
            for why in names::data_key(key) {
                causes.invalid(format!("{part}[{key}]"), &json!(key), &why);
            }
        }
    }
    let size = |part: &str, of: fn(&str) -> usize| -> usize {
        let values = object[part].as_object().into_iter().flatten();
        values.filter_map(|(_, value)| value.as_str().map(of)).sum()
    };
    let (total, at) = match resource.name.as_str() {
        "secrets" => (size("data", decoded_size), "data"),
        _ => (size("data", str::len) + size("binaryData", decoded_size), "[]"),
    };
    if total > MOST_DATA {
        causes.too_long(at, MOST_DATA, "bytes");
    }
}

/// A node's taints.
pub(super) fn node(spec: &Value, causes: &mut Causes) {
    let mut seen = Vec::new();
    for (index, taint) in spec["taints"].as_array().into_iter().flatten().enumerate() {
        let at = format!("metadata.taints[{index}]");
        for why in names::qualified(taint["key"].as_str().unwrap_or_default()) {
            causes.invalid(format!("{at}.key"), &json!(taint["key"].as_str().unwrap_or_default()), &why);
        }
        for why in names::label_value(taint["value"].as_str().unwrap_or_default()) {
            causes.invalid(format!("{at}.value"), &taint["value"], &why);
        }
        let effect = taint["effect"].as_str().unwrap_or_default();
        if effect.is_empty() {
            causes.required(format!("{at}.effect"), "");
        } else if !["NoSchedule", "PreferNoSchedule", "NoExecute"].contains(&effect) {
            let supported = ["NoSchedule", "PreferNoSchedule", "NoExecute"];
            causes.unsupported(format!("{at}.effect"), &taint["effect"], &supported);
        }
        let this = (taint["key"].clone(), taint["effect"].clone());
        if seen.contains(&this) {
            causes.duplicate_because(at, taint, "taints must be unique by key and effect pair");
        }
        seen.push(this);
    }
}

/// A Lease.
pub(super) fn lease(spec: &Value, causes: &mut Causes) {
    if spec["leaseDurationSeconds"].as_i64().is_some_and(|n| n <= 0) {
        causes.invalid("spec.leaseDurationSeconds", &spec["leaseDurationSeconds"], "must be greater than 0");
    }
    if spec["leaseTransitions"].as_i64().is_some_and(|n| n < 0) {
        causes.invalid(
            "spec.leaseTransitions",
            &spec["leaseTransitions"],
            "must be greater than or equal to 0",
        );
    }
}

/// What a claim asks for; `at` is where it stands.
pub(super) fn claim(spec: &Value, at: &str, causes: &mut Causes) {
    const MODES: [&str; 4] = ["ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"];
    let modes = spec["accessModes"].as_array().cloned().unwrap_or_default();
    if modes.is_empty() {
        causes.required(format!("{at}.accessModes"), "at least 1 access mode is required");
    }
    for mode in modes.iter().filter(|m| !m.as_str().is_some_and(|m| MODES.contains(&m))) {
        causes.unsupported(format!("{at}.accessModes"), mode, &MODES);
    }
    match spec["resources"]["requests"].get("storage") {
        None => causes.required(format!("{at}.resources[storage]"), ""),
        Some(size) if size == "0" || size.as_str().is_some_and(|s| s.starts_with('-')) => {
            causes.invalid(format!("{at}.resources[storage]"), size, "must be greater than zero");
        }
        Some(_) => {}
    }
    if let Some(name) = spec["storageClassName"].as_str().filter(|n| !n.is_empty()) {
        for why in names::subdomain(name) {
            causes.invalid(format!("{at}.storageClassName"), &spec["storageClassName"], &why);
        }
    }
}

fn volume(spec: &Value, causes: &mut Causes) {
    const MODES: [&str; 4] = ["ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"];
    const OTHER: [&str; 9] = [
        "accessModes",
        "capacity",
        "claimRef",
        "mountOptions",
        "nodeAffinity",
        "persistentVolumeReclaimPolicy",
        "storageClassName",
        "volumeAttributesClassName",
        "volumeMode",
    ];
    let modes = spec["accessModes"].as_array().cloned().unwrap_or_default();
    if modes.is_empty() {
        causes.required("spec.accessModes", "");
    }
    for mode in modes.iter().filter(|m| !m.as_str().is_some_and(|m| MODES.contains(&m))) {
        causes.unsupported("spec.accessModes", mode, &MODES);
    }
    if spec["capacity"].as_object().is_none_or(crate::sim::json::Map::is_empty) {
        causes.required("spec.capacity", "");
        causes.unsupported("spec.capacity", &spec["capacity"], &["storage"]);
    }
    if !spec.as_object().into_iter().flatten().any(|(field, _)| !OTHER.contains(&field.as_str())) {
        causes.required("spec", "must specify a volume type");
    }
}

fn priority(object: &Value, causes: &mut Causes) {
    let value = object["value"].as_i64().unwrap_or(0);
    let name = object["metadata"]["name"].as_str().unwrap_or_default();
    if name.starts_with("system-") {
        let why = format!(
            "priority class names with 'system-' prefix are reserved for system use only. error: {name} is not a known \
             system priority class"
        );
        if !["system-node-critical", "system-cluster-critical"].contains(&name) {
            causes.forbidden("metadata.name", &why);
        }
    } else if value > 1_000_000_000 {
        let why = "maximum allowed value of a user defined priority is 1000000000";
        causes.forbidden("value", why);
    }
    let policy = &object["preemptionPolicy"];
    if policy != "Never" && policy != "PreemptLowerPriority" {
        causes.unsupported("preemptionPolicy", policy, &["PreemptLowerPriority", "Never"]);
    }
}

fn class(object: &Value, causes: &mut Causes) {
    if object["provisioner"].as_str().is_none_or(str::is_empty) {
        causes.required("provisioner", "");
    }
    let policy = &object["reclaimPolicy"];
    if policy != "Delete" && policy != "Retain" {
        causes.unsupported("reclaimPolicy", policy, &["Delete", "Retain"]);
    }
    let mode = &object["volumeBindingMode"];
    if mode != "Immediate" && mode != "WaitForFirstConsumer" {
        causes.unsupported("volumeBindingMode", mode, &["Immediate", "WaitForFirstConsumer"]);
    }
}
