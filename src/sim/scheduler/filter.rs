//! The scheduler's filters, in the real one's order, each with the real one's words.

use serde_json::Value;

use super::Cluster;
use super::quantity::Amounts;
use super::topology::Domains;
use crate::sim::api::selects;
use crate::sim::store::Object;

/// Why a node can't take a pod; `None` if it can.
pub(super) fn refusal(
    cluster: &Cluster<'_>,
    domains: &Domains,
    pod: &Value,
    asked: &Amounts,
    node: &Value,
) -> Option<String> {
    let name = node["metadata"]["name"].as_str().unwrap_or_default();
    if let Some(wanted) = pod["spec"]["nodeName"].as_str().filter(|n| !n.is_empty() && *n != name) {
        return Some(format!("node(s) didn't match the requested node name {wanted}"));
    }
    untolerated(pod, node)
        .or_else(|| {
            (!affine(pod, node)).then(|| "node(s) didn't match Pod's node affinity/selector".to_owned())
        })
        .or_else(|| ports(cluster, pod, name))
        .or_else(|| resources(cluster, asked, node, name))
        .or_else(|| volumes(cluster, pod, node))
        .or_else(|| domains.spread(node))
        .or_else(|| domains.inter_pod(node))
}

fn tolerates(toleration: &Value, taint: &Value) -> bool {
    let effect = &toleration["effect"];
    let key = &toleration["key"];
    let same_effect = effect.is_null() || effect == "" || effect == &taint["effect"];
    let any_key = key.is_null() || key == "";
    let exists = toleration["operator"] == "Exists";
    let value = |t: &Value| t["value"].as_str().unwrap_or_default().to_owned();
    same_effect
        && ((any_key && exists) || (key == &taint["key"] && (exists || value(toleration) == value(taint))))
}

/// Whether a pod tolerates a taint.
pub(in crate::sim) fn pod_tolerates(pod: &Value, taint: &Value) -> bool {
    pod["spec"]["tolerations"].as_array().into_iter().flatten().any(|t| tolerates(t, taint))
}

/// Why a pod's tolerations keep it off a node.
pub(super) fn untolerated(pod: &Value, node: &Value) -> Option<String> {
    let taints = node["spec"]["taints"].as_array().into_iter().flatten();
    let cordon = serde_json::json!({"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"});
    if node["spec"]["unschedulable"] == true && !pod_tolerates(pod, &cordon) {
        return Some("node(s) were unschedulable".to_owned());
    }
    let mut hard = taints.filter(|t| t["effect"] == "NoSchedule" || t["effect"] == "NoExecute");
    let taint = hard.find(|t| !pod_tolerates(pod, t))?;
    let value = taint["value"].as_str().unwrap_or_default();
    Some(format!("node(s) had untolerated taint {{{}: {value}}}", taint["key"].as_str().unwrap_or_default()))
}

/// Node selector and required node affinity.
pub(in crate::sim) fn affine(pod: &Value, node: &Value) -> bool {
    let labels = &node["metadata"]["labels"];
    let mut selector = pod["spec"]["nodeSelector"].as_object().into_iter().flatten();
    if !selector.all(|(key, value)| &labels[key] == value) {
        return false;
    }
    let required = &pod["spec"]["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"];
    let Some(terms) = required["nodeSelectorTerms"].as_array() else {
        return true;
    };
    terms.iter().any(|term| node_term(term, node))
}

/// One term of a node selector: expressions over labels, and over `metadata.name`.
pub(super) fn node_term(term: &Value, node: &Value) -> bool {
    let expressions = term["matchExpressions"].as_array();
    let fields = term["matchFields"].as_array();
    if expressions.is_none_or(Vec::is_empty) && fields.is_none_or(Vec::is_empty) {
        return false;
    }
    let number = |v: &Value| v.as_str().and_then(|s| s.parse::<i64>().ok());
    let holds = |expression: &Value, actual: Option<&Value>| match expression["operator"].as_str() {
        Some("Gt") => actual.and_then(number) > number(&expression["values"][0]) && actual.is_some(),
        Some("Lt") => actual.and_then(number) < number(&expression["values"][0]) && actual.is_some(),
        _ => {
            let key = expression["key"].as_str().unwrap_or_default();
            let labels = actual.map_or_else(|| serde_json::json!({}), |v| serde_json::json!({key: v}));
            selects(&serde_json::json!({"matchExpressions": [expression]}), &labels)
        }
    };
    let label = |e: &Value| node["metadata"]["labels"].get(e["key"].as_str().unwrap_or_default()).cloned();
    expressions.into_iter().flatten().all(|e| holds(e, label(e).as_ref()))
        && fields.into_iter().flatten().all(|e| holds(e, Some(&node["metadata"]["name"])))
}

fn host_ports(pod: &Value) -> Vec<(i64, String)> {
    let containers = pod["spec"]["containers"].as_array().into_iter().flatten();
    let ports = containers.flat_map(|c| c["ports"].as_array().into_iter().flatten());
    ports
        .filter_map(|p| Some((p["hostPort"].as_i64()?, p["protocol"].as_str().unwrap_or("TCP").to_owned())))
        .collect()
}

fn ports(cluster: &Cluster<'_>, pod: &Value, node: &str) -> Option<String> {
    let wanted = host_ports(pod);
    if wanted.is_empty() {
        return None;
    }
    let taken = |other: &Object| host_ports(other).iter().any(|p| wanted.contains(p));
    cluster
        .store
        .pods_on(node)
        .any(taken)
        .then(|| "node(s) didn't have free ports for the requested pod ports".to_owned())
}

fn resources(cluster: &Cluster<'_>, asked: &Amounts, node: &Value, name: &str) -> Option<String> {
    let allocatable = super::quantity::amounts(&node["status"]["allocatable"]);
    let used = cluster.used.get(name);
    for (resource, amount) in asked.iter().filter(|(_, amount)| **amount > 0) {
        let have = allocatable.get(resource).copied().unwrap_or(if resource == "pods" { 110 } else { 0 });
        let taken = used.and_then(|u| u.get(resource)).copied().unwrap_or(0);
        if taken + amount > have {
            return Some(if resource == "pods" {
                "Too many pods".to_owned()
            } else {
                format!("Insufficient {resource}")
            });
        }
    }
    None
}

/// Volumes that are bound to some nodes only.
fn volumes(cluster: &Cluster<'_>, pod: &Value, node: &Value) -> Option<String> {
    let namespace = pod["metadata"]["namespace"].as_str().unwrap_or_default();
    for volume in pod["spec"]["volumes"].as_array().into_iter().flatten() {
        let Some(claim) = volume["persistentVolumeClaim"]["claimName"].as_str() else {
            continue;
        };
        let Some(claim) = cluster.store.get("persistentvolumeclaims", namespace, claim) else {
            return Some(format!("persistentvolumeclaim {claim:?} not found"));
        };
        let Some(bound) = claim["spec"]["volumeName"].as_str() else {
            continue;
        };
        let Some(volume) = cluster.store.get("persistentvolumes", "", bound) else {
            continue;
        };
        let terms = volume["spec"]["nodeAffinity"]["required"]["nodeSelectorTerms"].as_array();
        if terms.is_some_and(|terms| !terms.iter().any(|term| node_term(term, node))) {
            return Some("node(s) didn't match PersistentVolume's node affinity".to_owned());
        }
    }
    None
}
