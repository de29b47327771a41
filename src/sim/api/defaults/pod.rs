//! Defaults of pods and of pod templates.

use super::{default, default_text, each, made, part};
use crate::sim::api::limits;
use crate::sim::json::{Map, Value, json};
use crate::sim::store::Store;

/// A pod's defaults.
pub(super) fn pod(object: &mut Value) {
    let Some(spec) = object.get_mut("spec") else { return };
    pod_spec(spec);
    for list in ["containers", "initContainers"] {
        for container in each(spec, list) {
            requests_of_limits(container);
        }
    }
    let host_network = spec["hostNetwork"] == true;
    for list in ["containers", "initContainers"] {
        for container in each(spec, list).filter(|_| host_network) {
            for port in each(container, "ports").filter_map(Value::as_object_mut) {
                let own = port.get("containerPort").cloned().unwrap_or_default();
                default(port, "hostPort", own);
            }
        }
    }
    if let Some(spec) = spec.as_object_mut() {
        default(spec, "enableServiceLinks", json!(true));
    }
}

/// A limit without a request is the request.
fn requests_of_limits(container: &mut Value) {
    let limits = container["resources"]["limits"].as_object().cloned().unwrap_or_default();
    if limits.is_empty() {
        return;
    }
    if let Some(requests) = container.get_mut("resources").and_then(|r| made(r, "requests")) {
        for (resource, quantity) in limits {
            default(requests, &resource, quantity);
        }
    }
}

/// The defaults that templates have, too.
pub(super) fn pod_spec(spec: &mut Value) {
    for volume in each(spec, "volumes") {
        volume_source(volume);
    }
    for list in ["containers", "initContainers", "ephemeralContainers"] {
        for one in each(spec, list) {
            container(one);
        }
    }
    if let Some(spec) = spec.as_object_mut() {
        default_text(spec, "dnsPolicy", "ClusterFirst");
        default_text(spec, "restartPolicy", "Always");
        default(spec, "securityContext", json!({}));
        default(spec, "terminationGracePeriodSeconds", json!(30));
        default_text(spec, "schedulerName", "default-scheduler");
        // Two names of one field.
        if let Some(account) = spec.get("serviceAccountName").or_else(|| spec.get("serviceAccount")).cloned()
        {
            spec.insert("serviceAccountName".to_owned(), account.clone());
            spec.insert("serviceAccount".to_owned(), account);
        }
    }
}

fn pull_policy(image: &str) -> &'static str {
    let name = image.rsplit('/').next().unwrap_or(image);
    let latest = !name.contains('@') && name.split_once(':').is_none_or(|(_, tag)| tag == "latest");
    if latest { "Always" } else { "IfNotPresent" }
}

fn container(one: &mut Value) {
    let policy = pull_policy(one["image"].as_str().unwrap_or_default());
    if let Some(fields) = one.as_object_mut() {
        default_text(fields, "imagePullPolicy", policy);
        default_text(fields, "terminationMessagePath", "/dev/termination-log");
        default_text(fields, "terminationMessagePolicy", "File");
    }
    for port in each(one, "ports").filter_map(Value::as_object_mut) {
        default_text(port, "protocol", "TCP");
    }
    for variable in each(one, "env") {
        if let Some(field) = variable.get_mut("valueFrom").and_then(|f| part(f, "fieldRef")) {
            default_text(field, "apiVersion", "v1");
        }
    }
    for probe in ["livenessProbe", "readinessProbe", "startupProbe"] {
        if let Some(probe) = one.get_mut(probe) {
            probe_defaults(probe);
        }
    }
    for hook in ["postStart", "preStop"] {
        if let Some(hook) = one.get_mut("lifecycle").and_then(|l| l.get_mut(hook)) {
            http_get(hook);
        }
    }
}

fn number_default(object: &mut Map, field: &str, value: i64) {
    if object.get(field).and_then(Value::as_i64).unwrap_or(0) == 0 {
        object.insert(field.to_owned(), json!(value));
    }
}

fn probe_defaults(probe: &mut Value) {
    http_get(probe);
    if let Some(grpc) = part(probe, "grpc") {
        default(grpc, "service", json!(""));
    }
    if let Some(probe) = probe.as_object_mut() {
        number_default(probe, "timeoutSeconds", 1);
        number_default(probe, "periodSeconds", 10);
        number_default(probe, "successThreshold", 1);
        number_default(probe, "failureThreshold", 3);
    }
}

fn http_get(handler: &mut Value) {
    if let Some(get) = part(handler, "httpGet") {
        default_text(get, "path", "/");
        default_text(get, "scheme", "HTTP");
    }
}

fn volume_source(volume: &mut Value) {
    let empty = volume.as_object().is_some_and(|v| v.keys().all(|k| k == "name"));
    if empty && let Some(volume) = volume.as_object_mut() {
        volume.insert("emptyDir".to_owned(), json!({}));
    }
    for source in ["secret", "configMap", "downwardAPI", "projected"] {
        if let Some(source) = part(volume, source) {
            default(source, "defaultMode", json!(420));
        }
    }
    if let Some(path) = part(volume, "hostPath") {
        default(path, "type", json!(""));
    }
    for item in volume.get_mut("downwardAPI").into_iter().flat_map(|d| each(d, "items")) {
        if let Some(field) = part(item, "fieldRef") {
            default_text(field, "apiVersion", "v1");
        }
    }
    for source in volume.get_mut("projected").into_iter().flat_map(|p| each(p, "sources")) {
        if let Some(token) = part(source, "serviceAccountToken") {
            default(token, "expirationSeconds", json!(3600));
        }
        for item in source.get_mut("downwardAPI").into_iter().flat_map(|d| each(d, "items")) {
            if let Some(field) = part(item, "fieldRef") {
                default_text(field, "apiVersion", "v1");
            }
        }
    }
    if let Some(claim) = volume
        .get_mut("ephemeral")
        .and_then(|e| e.get_mut("volumeClaimTemplate"))
        .and_then(|t| part(t, "spec"))
    {
        default(claim, "volumeMode", json!("Filesystem"));
    }
}

/// What a new pod gets: what its namespace gives those that ask for nothing, priority, tolerations for nodes that fail, its phase and class.
pub(super) fn admitted(store: &Store, object: &mut Value) {
    if store.admits() {
        limits::fill(store, object);
    }
    let class = quality(&object["spec"]);
    if let Some(spec) = object.get_mut("spec").and_then(Value::as_object_mut) {
        priority(store, spec);
        tolerations(spec);
    }
    if let Some(status) = made(object, "status") {
        default_text(status, "phase", "Pending");
        default_text(status, "qosClass", class);
    }
}

fn priority(store: &Store, spec: &mut Map) {
    let classes = "priorityclasses.scheduling.k8s.io";
    let named =
        spec.get("priorityClassName").and_then(Value::as_str).filter(|n| !n.is_empty()).map(str::to_owned);
    let class = named.as_deref().and_then(|name| store.get(classes, "", name));
    let value = match (named.as_deref(), class) {
        (_, Some(class)) => class["value"].clone(),
        (Some("system-node-critical"), _) => json!(2_000_001_000),
        (Some("system-cluster-critical"), _) => json!(2_000_000_000),
        (Some(_), None) => json!(0),
        (None, _) => {
            // The default class with the least value, if there is one.
            let defaults = store.list(classes).filter(|c| c["globalDefault"] == true);
            match defaults.min_by_key(|c| c["value"].as_i64().unwrap_or(0)) {
                Some(class) => {
                    spec.insert("priorityClassName".to_owned(), class["metadata"]["name"].clone());
                    class["value"].clone()
                }
                None => json!(0),
            }
        }
    };
    let policy =
        class.and_then(|c| c["preemptionPolicy"].as_str()).unwrap_or("PreemptLowerPriority").to_owned();
    default(spec, "priority", value);
    default(spec, "preemptionPolicy", json!(policy));
}

/// The admission plugin DefaultTolerationSeconds: five minutes on a node that isn't ready or reachable.
pub(in crate::sim::api) fn tolerations(spec: &mut Map) {
    let list = spec.entry("tolerations").or_insert_with(|| json!([]));
    if !list.is_array() {
        *list = json!([]);
    }
    let Some(list) = list.as_array_mut() else { return };
    for key in ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"] {
        let empty = |v: &Value| v.as_str().is_none_or(str::is_empty);
        let covers = |t: &Value| {
            (t["key"] == key || empty(&t["key"])) && (t["effect"] == "NoExecute" || empty(&t["effect"]))
        };
        if !list.iter().any(covers) {
            list.push(
                json!({"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300}),
            );
        }
    }
}

/// The quality of service that a pod's requests and limits give it.
fn quality(spec: &Value) -> &'static str {
    let lists = ["containers", "initContainers"].iter();
    let containers: Vec<&Value> = lists.flat_map(|l| spec[*l].as_array().into_iter().flatten()).collect();
    let counted = |c: &Value, part: &str, resource: &str| {
        c["resources"][part][resource].as_str().is_some_and(|q| !q.starts_with('0') || q.contains(['1', '5']))
    };
    let any =
        |c: &&Value| ["requests", "limits"].iter().any(|p| counted(c, p, "cpu") || counted(c, p, "memory"));
    if !containers.iter().any(any) {
        return "BestEffort";
    }
    let guaranteed = |c: &&Value| {
        ["cpu", "memory"].iter().all(|r| {
            counted(c, "limits", r) && c["resources"]["requests"][*r] == c["resources"]["limits"][*r]
        })
    };
    if containers.iter().all(guaranteed) { "Guaranteed" } else { "Burstable" }
}
