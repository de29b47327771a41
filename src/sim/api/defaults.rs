//! What the API server fills into new objects, as far as scheduling, draining and controllers read it.

use serde_json::{Value, json};

use crate::sim::store::Store;

fn default(object: &mut Value, field: &str, value: Value) {
    if object[field].is_null() {
        object[field] = value;
    }
}

/// Fills in a new object's defaults.
pub fn fill(store: &Store, resource: &str, object: &mut Value) {
    match resource {
        "pods" => {
            pod_spec(&mut object["spec"], "Always");
            priority(store, &mut object["spec"]);
            tolerations(&mut object["spec"]);
            default(&mut object["status"], "phase", json!("Pending"));
        }
        "deployments.apps" => {
            workload(object);
            let spec = &mut object["spec"];
            default(spec, "strategy", json!({"type": "RollingUpdate"}));
            if spec["strategy"]["type"] == "RollingUpdate" {
                default(&mut spec["strategy"], "rollingUpdate", json!({}));
                default(&mut spec["strategy"]["rollingUpdate"], "maxSurge", json!("25%"));
                default(&mut spec["strategy"]["rollingUpdate"], "maxUnavailable", json!("25%"));
            }
            default(spec, "revisionHistoryLimit", json!(10));
            default(spec, "progressDeadlineSeconds", json!(600));
        }
        "replicasets.apps" | "replicationcontrollers" => workload(object),
        "statefulsets.apps" => {
            workload(object);
            default(&mut object["spec"], "podManagementPolicy", json!("OrderedReady"));
            default(&mut object["spec"], "updateStrategy", json!({"type": "RollingUpdate"}));
        }
        "daemonsets.apps" => {
            default(&mut object["spec"], "updateStrategy", json!({"type": "RollingUpdate"}));
            template(object, "Always");
        }
        "jobs.batch" => job(object),
        "persistentvolumeclaims" => {
            default(&mut object["spec"], "volumeMode", json!("Filesystem"));
            default(&mut object["status"], "phase", json!("Pending"));
        }
        "nodes" => {
            // What a kubelet says of itself when it registers.
            let name = object["metadata"]["name"].clone();
            let labels = &mut object["metadata"]["labels"];
            default(labels, "kubernetes.io/hostname", name);
            default(labels, "kubernetes.io/os", json!("linux"));
            default(labels, "kubernetes.io/arch", json!("amd64"));
        }
        "namespaces" => {
            default(&mut object["spec"], "finalizers", json!(["kubernetes"]));
            default(&mut object["status"], "phase", json!("Active"));
        }
        _ => {}
    }
}

fn workload(object: &mut Value) {
    default(&mut object["spec"], "replicas", json!(1));
    template(object, "Always");
}

fn template(object: &mut Value, restart_policy: &str) {
    if object["spec"]["template"].is_object() {
        pod_spec(&mut object["spec"]["template"]["spec"], restart_policy);
    }
}

fn job(object: &mut Value) {
    let uid = object["metadata"]["uid"].clone();
    let name = object["metadata"]["name"].clone();
    let spec = &mut object["spec"];
    default(spec, "parallelism", json!(1));
    default(spec, "completions", json!(1));
    default(spec, "backoffLimit", json!(6));
    if spec["selector"].is_null() {
        // The real one selects by the Job's UID, which isn't given before the object is stored: the name is unique as well.
        let label = if uid.is_null() { name.clone() } else { uid };
        spec["selector"] = json!({"matchLabels": {"batch.kubernetes.io/controller-uid": label}});
        spec["template"]["metadata"]["labels"]["batch.kubernetes.io/controller-uid"] = label;
        spec["template"]["metadata"]["labels"]["batch.kubernetes.io/job-name"] = name;
    }
    template(object, "Never");
}

fn pod_spec(spec: &mut Value, restart_policy: &str) {
    default(spec, "restartPolicy", json!(restart_policy));
    default(spec, "terminationGracePeriodSeconds", json!(30));
    default(spec, "schedulerName", json!("default-scheduler"));
    default(spec, "dnsPolicy", json!("ClusterFirst"));
    for list in ["containers", "initContainers"] {
        for container in spec[list].as_array_mut().into_iter().flatten() {
            // A limit without a request is the request.
            let limits = container["resources"]["limits"].as_object().cloned().unwrap_or_default();
            for (resource, quantity) in limits {
                default(&mut container["resources"]["requests"], &resource, quantity);
            }
        }
    }
}

fn priority(store: &Store, spec: &mut Value) {
    let named = spec["priorityClassName"].as_str();
    let value = match named {
        Some("system-node-critical") => json!(2_000_001_000),
        Some("system-cluster-critical") => json!(2_000_000_000),
        Some(name) => store
            .get("priorityclasses.scheduling.k8s.io", "", name)
            .map_or(json!(0), |class| class["value"].clone()),
        None => json!(0),
    };
    default(spec, "priority", value);
}

/// The admission plugin DefaultTolerationSeconds: five minutes on a node that isn't ready or reachable.
fn tolerations(spec: &mut Value) {
    if !spec["tolerations"].is_array() {
        spec["tolerations"] = json!([]);
    }
    let Some(list) = spec["tolerations"].as_array_mut() else {
        return;
    };
    for key in ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"] {
        let covers = |t: &Value| {
            (t["key"] == key || t["key"].is_null()) && (t["effect"] == "NoExecute" || t["effect"].is_null())
        };
        if !list.iter().any(covers) {
            list.push(
                json!({"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300}),
            );
        }
    }
}
