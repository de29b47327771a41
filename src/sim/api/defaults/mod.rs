//! What the API server fills into objects: the defaults of every write, and what is set when an object is new.

pub(super) mod pod;
mod workload;

use super::{custom, decode, limits};
use crate::sim::json::{Map, Value, json};
use crate::sim::store::Store;

/// Sets a field that isn't there.
fn default(object: &mut Map, field: &str, value: Value) {
    if object.get(field).is_none_or(Value::is_null) {
        object.insert(field, value);
    }
}

/// Sets a field that isn't there or is empty: where the type can't tell the two apart.
fn default_text(object: &mut Map, field: &str, value: &str) {
    if object.get(field).and_then(Value::as_str).is_none_or(str::is_empty) {
        object.insert(field.to_owned(), json!(value));
    }
}

fn part<'a>(object: &'a mut Value, field: &str) -> Option<&'a mut Map> {
    object.get_mut(field).and_then(Value::as_object_mut)
}

/// The same, made if it isn't there.
fn made<'a>(object: &'a mut Value, field: &str) -> Option<&'a mut Map> {
    let there = object.as_object_mut()?.entry(field.to_owned()).or_insert_with(|| json!({}));
    if there.is_null() {
        *there = json!({});
    }
    there.as_object_mut()
}

fn each<'a>(object: &'a mut Value, list: &str) -> impl Iterator<Item = &'a mut Value> {
    object.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten()
}

/// Brings a new object into its canonical form and fills in everything that the API server does. For what is loaded from
/// manifests and what controllers make: what comes through the API is read by the types first.
pub fn fill(store: &Store, resource: &str, object: &mut Value) {
    if object.get("kind").is_none()
        && let Some(kind) = store.resource(resource)
        && let Some(fields) = object.as_object_mut()
    {
        fields.insert("apiVersion".to_owned(), json!(kind.api_version()));
        fields.insert("kind".to_owned(), json!(kind.kind));
    }
    decode::canonical(object, &mut decode::Problems::default());
    every_write(resource, object);
    if let Some(kind) = store.resource(resource)
        && let Some(version) = kind.versions.get(&kind.version)
    {
        custom::defaults(&version.schema, object);
    }
    when_new(store, resource, object);
    if resource == "nodes" {
        registered(object);
    }
}

/// The defaults of the types: filled in whenever an object is written.
pub(super) fn every_write(resource: &str, object: &mut Value) {
    match resource {
        "pods" => pod::pod(object),
        "deployments.apps" => workload::deployment(object),
        "replicasets.apps" => workload::replica_set(object),
        "replicationcontrollers" => workload::replication_controller(object),
        "statefulsets.apps" => workload::stateful_set(object),
        "daemonsets.apps" => workload::daemon_set(object),
        "jobs.batch" => workload::job(object),
        "cronjobs.batch" => workload::cron_job(object),
        "persistentvolumeclaims" => claim(object),
        "persistentvolumes" => volume(object),
        "services" => service(object),
        "limitranges" => limits::complete(object),
        "secrets" => secret(object),
        "endpoints" => {
            for subset in each(object, "subsets") {
                each(subset, "ports")
                    .filter_map(Value::as_object_mut)
                    .for_each(|p| default_text(p, "protocol", "TCP"));
            }
        }
        "namespaces" => {
            let name = object["metadata"]["name"].clone();
            if name.as_str().is_some_and(|n| !n.is_empty())
                && let Some(labels) = object.get_mut("metadata").and_then(|m| made(m, "labels"))
            {
                labels.insert("kubernetes.io/metadata.name".to_owned(), name);
            }
            if let Some(status) = made(object, "status") {
                default_text(status, "phase", "Active");
            }
        }
        "nodes" => {
            if let Some(status) = part(object, "status")
                && !status.contains_key("allocatable")
                && let Some(capacity) = status.get("capacity").cloned()
            {
                status.insert("allocatable".to_owned(), capacity);
            }
        }
        "storageclasses.storage.k8s.io" => {
            if let Some(class) = object.as_object_mut() {
                default(class, "reclaimPolicy", json!("Delete"));
                default(class, "volumeBindingMode", json!("Immediate"));
            }
        }
        "priorityclasses.scheduling.k8s.io" => {
            if let Some(class) = object.as_object_mut() {
                default(class, "preemptionPolicy", json!("PreemptLowerPriority"));
            }
        }
        "customresourcedefinitions.apiextensions.k8s.io" => {
            if let Some(spec) = part(object, "spec") {
                default(spec, "conversion", json!({"strategy": "None"}));
            }
        }
        "csidrivers.storage.k8s.io" => driver(object),
        "rolebindings.rbac.authorization.k8s.io" | "clusterrolebindings.rbac.authorization.k8s.io" => {
            binding(object);
        }
        _ => {}
    }
}

/// What is set when an object is new: what admission plugins and the kinds' own strategies do.
pub(super) fn when_new(store: &Store, resource: &str, object: &mut Value) {
    match resource {
        "pods" => pod::admitted(store, object),
        "namespaces" => {
            if let Some(spec) = made(object, "spec") {
                default(spec, "finalizers", json!(["kubernetes"]));
            }
        }
        "jobs.batch" => workload::job_labels(object),
        "customresourcedefinitions.apiextensions.k8s.io" => {
            let versions = object["spec"]["versions"].as_array().into_iter().flatten();
            let stored: Vec<Value> =
                versions.filter(|v| v["storage"] == true).map(|v| v["name"].clone()).collect();
            if object["status"]["storedVersions"].is_null() {
                object["status"]["storedVersions"] = json!(stored);
            }
        }
        _ => {}
    }
}

fn binding(object: &mut Value) {
    if let Some(role) = part(object, "roleRef") {
        default_text(role, "apiGroup", "rbac.authorization.k8s.io");
    }
    for subject in each(object, "subjects").filter_map(Value::as_object_mut) {
        if matches!(subject.get("kind").and_then(Value::as_str), Some("User" | "Group")) {
            default_text(subject, "apiGroup", "rbac.authorization.k8s.io");
        }
    }
}

fn driver(object: &mut Value) {
    let Some(spec) = part(object, "spec") else { return };
    default(spec, "attachRequired", json!(true));
    for off in ["podInfoOnMount", "storageCapacity", "requiresRepublish", "seLinuxMount"] {
        default(spec, off, json!(false));
    }
    default(spec, "fsGroupPolicy", json!("ReadWriteOnceWithFSType"));
    default(spec, "volumeLifecycleModes", json!(["Persistent"]));
}

fn claim(object: &mut Value) {
    if let Some(spec) = part(object, "spec") {
        default(spec, "volumeMode", json!("Filesystem"));
    }
    if let Some(status) = made(object, "status") {
        default_text(status, "phase", "Pending");
    }
}

fn volume(object: &mut Value) {
    if let Some(spec) = part(object, "spec") {
        default_text(spec, "persistentVolumeReclaimPolicy", "Retain");
        default(spec, "volumeMode", json!("Filesystem"));
    }
    if let Some(path) = object.get_mut("spec").and_then(|s| part(s, "hostPath")) {
        default(path, "type", json!(""));
    }
    if let Some(reference) = object.get_mut("spec").and_then(|s| part(s, "claimRef")) {
        default_text(reference, "kind", "PersistentVolumeClaim");
        default_text(reference, "apiVersion", "v1");
    }
    if let Some(status) = made(object, "status") {
        default_text(status, "phase", "Pending");
    }
}

fn service(object: &mut Value) {
    let Some(spec) = part(object, "spec") else { return };
    default_text(spec, "sessionAffinity", "None");
    default_text(spec, "type", "ClusterIP");
    let kind = spec.get("type").and_then(Value::as_str).unwrap_or_default().to_owned();
    if spec.get("sessionAffinity").is_some_and(|a| a == "ClientIP") {
        default(spec, "sessionAffinityConfig", json!({"clientIP": {"timeoutSeconds": 10800}}));
    }
    for port in spec.get_mut("ports").and_then(Value::as_array_mut).into_iter().flatten() {
        let Some(port) = port.as_object_mut() else { continue };
        default_text(port, "protocol", "TCP");
        if port.get("targetPort").is_none_or(|t| *t == 0 || *t == "") {
            let own = port.get("port").cloned().unwrap_or_default();
            port.insert("targetPort".to_owned(), own);
        }
    }
    if matches!(kind.as_str(), "NodePort" | "LoadBalancer") {
        default_text(spec, "externalTrafficPolicy", "Cluster");
    }
    if matches!(kind.as_str(), "NodePort" | "LoadBalancer" | "ClusterIP") {
        default(spec, "internalTrafficPolicy", json!("Cluster"));
    }
    if kind == "LoadBalancer" {
        default(spec, "allocateLoadBalancerNodePorts", json!(true));
    }
}

/// `stringData` is only a way to write `data`.
fn secret(object: &mut Value) {
    let given = object.as_object_mut().and_then(|o| o.remove("stringData"));
    let given = given.and_then(|g| g.as_object().cloned()).unwrap_or_default();
    if !given.is_empty()
        && let Some(data) = made(object, "data")
    {
        let coded = |text: &Value| json!(base64(text.as_str().unwrap_or_default().as_bytes()));
        data.extend(given.iter().map(|(key, text)| (key.clone(), coded(text))));
    }
    if let Some(secret) = object.as_object_mut() {
        default_text(secret, "type", "Opaque");
    }
}

fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let group = chunk.iter().fold(0_u32, |n, b| n << 8 | u32::from(*b)) << (8 * (3 - chunk.len()));
        for place in 0..4 {
            let letter = LETTERS[(group >> (18 - 6 * place) & 63) as usize] as char;
            text.push(if place <= chunk.len() { letter } else { '=' });
        }
    }
    text
}

/// What a kubelet says of itself when it registers.
fn registered(object: &mut Value) {
    let name = object["metadata"]["name"].clone();
    if let Some(labels) = object.get_mut("metadata").and_then(|m| made(m, "labels")) {
        default(labels, "kubernetes.io/hostname", name);
        default(labels, "kubernetes.io/os", json!("linux"));
        default(labels, "kubernetes.io/arch", json!("amd64"));
    }
}
