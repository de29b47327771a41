//! Pods and pod templates.

use std::collections::BTreeSet;

use super::metadata::labels;
use super::{Causes, names};
use crate::sim::api::quantity;
use crate::sim::json::{Value, json};

/// What a volume can be, in the order in which the API server looks: of several, it takes the first.
const SOURCES: [&str; 29] = [
    "emptyDir",
    "hostPath",
    "gitRepo",
    "gcePersistentDisk",
    "awsElasticBlockStore",
    "secret",
    "nfs",
    "iscsi",
    "glusterfs",
    "flocker",
    "persistentVolumeClaim",
    "rbd",
    "cinder",
    "cephfs",
    "quobyte",
    "downwardAPI",
    "fc",
    "configMap",
    "azureFile",
    "vsphereVolume",
    "photonPersistentDisk",
    "portworxVolume",
    "azureDisk",
    "storageos",
    "projected",
    "scaleIO",
    "csi",
    "ephemeral",
    "image",
];

/// The items of a list, numbered.
pub(super) fn list<'a>(object: &'a Value, field: &str) -> impl Iterator<Item = (usize, &'a Value)> {
    object[field].as_array().into_iter().flatten().enumerate()
}

pub(super) fn text<'a>(object: &'a Value, field: &str) -> &'a str {
    object[field].as_str().unwrap_or_default()
}

/// What ports speak.
pub(super) const PROTOCOLS: [&str; 3] = ["SCTP", "TCP", "UDP"];
pub(super) const NO_PORT: &str = "must be between 1 and 65535, inclusive";

/// A value that has to be one of some.
pub(super) fn one_of(object: &Value, field: &str, at: &str, supported: &[&str], causes: &mut Causes) {
    match object[field].as_str() {
        None | Some("") => causes.required(format!("{at}.{field}"), ""),
        Some(value) if !supported.contains(&value) => {
            causes.unsupported(format!("{at}.{field}"), &object[field], supported);
        }
        Some(_) => {}
    }
}

/// The spec of a pod or of a template; `at` is where it stands.
pub(super) fn spec(spec: &Value, at: &str, causes: &mut Causes) {
    let volumes = volumes(spec, at, causes);
    let mut seen = BTreeSet::new();
    if list(spec, "containers").next().is_none() {
        causes.required(format!("{at}.containers"), "");
    }
    for (index, container) in list(spec, "containers") {
        let at = format!("{at}.containers[{index}]");
        one_container(container, &at, &volumes, &mut seen, causes);
    }
    for (index, container) in list(spec, "initContainers") {
        let at = format!("{at}.initContainers[{index}]");
        one_container(container, &at, &volumes, &mut seen, causes);
    }
    one_of(spec, "restartPolicy", at, &["Always", "OnFailure", "Never"], causes);
    one_of(spec, "dnsPolicy", at, &["ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"], causes);
    labels(&spec["nodeSelector"], &format!("{at}.nodeSelector"), causes);
    for (index, constraint) in list(spec, "topologySpreadConstraints") {
        spread(constraint, &format!("{at}.topologySpreadConstraints[{index}]"), causes);
    }
    for field in ["serviceAccountName", "nodeName"] {
        if !text(spec, field).is_empty() {
            for why in names::subdomain(text(spec, field)) {
                causes.invalid(format!("{at}.{field}"), &spec[field], &why);
            }
        }
    }
    if let Some(seconds) = spec["activeDeadlineSeconds"].as_i64()
        && !(1..=i64::from(i32::MAX)).contains(&seconds)
    {
        let why = "must be between 1 and 2147483647, inclusive";
        causes.invalid(format!("{at}.activeDeadlineSeconds"), &json!(seconds), why);
    }
    for (index, toleration) in list(spec, "tolerations") {
        tolerated(toleration, &format!("{at}.tolerations[{index}]"), causes);
    }
    if !text(spec, "priorityClassName").is_empty() {
        for why in names::subdomain(text(spec, "priorityClassName")) {
            causes.invalid(format!("{at}.priorityClassName"), &spec["priorityClassName"], &why);
        }
    }
}

fn volumes(spec: &Value, at: &str, causes: &mut Causes) -> BTreeSet<String> {
    let mut seen = BTreeSet::new();
    for (index, volume) in list(spec, "volumes") {
        let at = format!("{at}.volumes[{index}]");
        let name = text(volume, "name");
        let mut sources: Vec<&str> = volume
            .as_object()
            .into_iter()
            .flatten()
            .map(|(k, _)| k.as_str())
            .filter(|k| *k != "name")
            .collect();
        // Those that aren't in the list come last, by name.
        sources.sort_by_key(|source| SOURCES.iter().position(|s| s == source).unwrap_or(SOURCES.len()));
        for source in sources.iter().skip(1) {
            causes.forbidden(format!("{at}.{source}"), "may not specify more than 1 volume type");
        }
        if let Some(claim) = volume.get("persistentVolumeClaim")
            && text(claim, "claimName").is_empty()
        {
            causes.required(format!("{at}.persistentVolumeClaim.claimName"), "");
        }
        if let Some(path) = volume.get("hostPath")
            && text(path, "path").is_empty()
        {
            causes.required(format!("{at}.hostPath.path"), "");
        }
        if name.is_empty() {
            causes.required(format!("{at}.name"), "");
            continue;
        }
        let wrong = names::label(name);
        if !wrong.is_empty() {
            for why in &wrong {
                causes.invalid(format!("{at}.name"), &volume["name"], why);
            }
        } else if !seen.insert(name.to_owned()) {
            causes.duplicate(format!("{at}.name"), &volume["name"]);
        }
    }
    seen
}

fn one_container(
    container: &Value,
    at: &str,
    volumes: &BTreeSet<String>,
    seen: &mut BTreeSet<String>,
    causes: &mut Causes,
) {
    let name = text(container, "name");
    if name.is_empty() {
        causes.required(format!("{at}.name"), "");
    } else {
        for why in names::label(name) {
            causes.invalid(format!("{at}.name"), &container["name"], &why);
        }
    }
    let image = text(container, "image");
    if !image.is_empty() && image.trim() != image {
        causes.invalid(
            format!("{at}.image"),
            &container["image"],
            "must not have leading or trailing whitespace",
        );
    }
    one_of(container, "terminationMessagePolicy", at, &["File", "FallbackToLogsOnError"], causes);
    ports(container, at, causes);
    for (index, variable) in list(container, "env") {
        if text(variable, "name").is_empty() {
            causes.required(format!("{at}.env[{index}].name"), "");
        }
    }
    mounts(container, at, volumes, causes);
    one_of(container, "imagePullPolicy", at, &["Always", "IfNotPresent", "Never"], causes);
    for probe in ["livenessProbe", "readinessProbe", "startupProbe"] {
        let handled = |p: &Value| ["exec", "httpGet", "tcpSocket", "grpc"].iter().any(|h| !p[*h].is_null());
        if container.get(probe).is_some_and(|p| !handled(p)) {
            causes.required(format!("{at}.{probe}"), "must specify a handler type");
        }
    }
    resources(&container["resources"], &format!("{at}.resources"), causes);
    if !name.is_empty() && !seen.insert(name.to_owned()) {
        causes.duplicate(format!("{at}.name"), &container["name"]);
    }
    if image.is_empty() {
        causes.required(format!("{at}.image"), "");
    }
}

fn ports(container: &Value, at: &str, causes: &mut Causes) {
    for (index, port) in list(container, "ports") {
        let at = format!("{at}.ports[{index}]");
        let number = port["containerPort"].as_i64().unwrap_or(0);
        if number == 0 {
            causes.required(format!("{at}.containerPort"), "");
        } else if !(1..=65535).contains(&number) {
            causes.invalid(format!("{at}.containerPort"), &port["containerPort"], NO_PORT);
        }
        one_of(port, "protocol", &at, &PROTOCOLS, causes);
    }
}

fn mounts(container: &Value, at: &str, volumes: &BTreeSet<String>, causes: &mut Causes) {
    let mut paths = BTreeSet::new();
    for (index, mount) in list(container, "volumeMounts") {
        let at = format!("{at}.volumeMounts[{index}]");
        if text(mount, "name").is_empty() {
            causes.required(format!("{at}.name"), "");
        }
        if text(mount, "mountPath").is_empty() {
            causes.required(format!("{at}.mountPath"), "");
        }
        if !volumes.contains(text(mount, "name")) {
            causes.not_found(format!("{at}.name"), &mount["name"]);
        }
        if !paths.insert(text(mount, "mountPath")) {
            causes.invalid(format!("{at}.mountPath"), &mount["mountPath"], "must be unique");
        }
    }
}

fn resources(resources: &Value, at: &str, causes: &mut Causes) {
    for part in ["limits", "requests"] {
        for (name, value) in resources[part].as_object().into_iter().flatten() {
            let at = format!("{at}.{part}[{name}]");
            for why in names::qualified(name) {
                causes.invalid(&at, &json!(name), &why);
            }
            let standard = ["cpu", "memory", "ephemeral-storage"].contains(&name.as_str())
                || name.starts_with("hugepages-");
            if !name.contains('/') && !standard && names::qualified(name).is_empty() {
                causes.invalid(&at, &json!(name), "must be a standard resource type or fully qualified");
                causes.invalid(&at, &json!(name), "must be a standard resource for containers");
            }
            if value.as_str().is_some_and(|v| v.starts_with('-')) {
                causes.invalid(&at, value, "must be greater than or equal to 0");
            }
        }
    }
    for (name, value) in resources["requests"].as_object().into_iter().flatten() {
        let limit = &resources["limits"][name];
        let number = |v: &Value| v.as_str().and_then(quantity::value);
        if let (Some(asked), Some(most)) = (number(value), number(limit))
            && asked > most
        {
            let why = format!(
                "must be less than or equal to {name} limit of {}",
                limit.as_str().unwrap_or_default()
            );
            causes.invalid(format!("{at}.requests"), value, &why);
        }
    }
}

fn spread(constraint: &Value, at: &str, causes: &mut Causes) {
    if constraint["maxSkew"].as_i64().unwrap_or(0) <= 0 {
        causes.invalid(format!("{at}.maxSkew"), &constraint["maxSkew"], "must be greater than zero");
    }
    if text(constraint, "topologyKey").is_empty() {
        causes.required(format!("{at}.topologyKey"), "can not be empty");
    }
    if !["DoNotSchedule", "ScheduleAnyway"].contains(&text(constraint, "whenUnsatisfiable")) {
        let supported = ["DoNotSchedule", "ScheduleAnyway"];
        causes.unsupported(format!("{at}.whenUnsatisfiable"), &constraint["whenUnsatisfiable"], &supported);
    }
}

fn tolerated(toleration: &Value, at: &str, causes: &mut Causes) {
    let (key, operator) = (text(toleration, "key"), text(toleration, "operator"));
    if !key.is_empty() {
        for why in names::qualified(key) {
            causes.invalid(format!("{at}.key"), &toleration["key"], &why);
        }
    }
    if key.is_empty() && operator != "Exists" {
        let why =
            "operator must be Exists when `key` is empty, which means \"match all values and all keys\"";
        causes.invalid(format!("{at}.operator"), &json!(operator), why);
    }
    if !toleration["tolerationSeconds"].is_null() && text(toleration, "effect") != "NoExecute" {
        let why = "effect must be 'NoExecute' when `tolerationSeconds` is set";
        causes.invalid(format!("{at}.effect"), &json!(text(toleration, "effect")), why);
    }
    match operator {
        "" | "Equal" => {
            let wrong = names::label_value(text(toleration, "value"));
            if let Some(why) = wrong.first() {
                causes.invalid(format!("{at}.operator"), &toleration["value"], why);
            }
        }
        "Exists" => {
            if !text(toleration, "value").is_empty() {
                causes.invalid(
                    format!("{at}.operator"),
                    &toleration["value"],
                    "value must be empty when `operator` is 'Exists'",
                );
            }
        }
        _ => causes.unsupported(format!("{at}.operator"), &toleration["operator"], &["Equal", "Exists"]),
    }
    let effect = text(toleration, "effect");
    if !effect.is_empty() && !["NoSchedule", "PreferNoSchedule", "NoExecute"].contains(&effect) {
        let supported = ["NoSchedule", "PreferNoSchedule", "NoExecute"];
        causes.unsupported(format!("{at}.effect"), &toleration["effect"], &supported);
    }
}
