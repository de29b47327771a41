//! DaemonSets: one pod on every eligible node, cordoned ones included.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::pods;
use crate::sim::scheduler::{affine, pod_tolerates};
use crate::sim::store::{DeleteOptions, Key, Object, Store};

/// What every DaemonSet pod tolerates.
const TOLERATED: [(&str, &str); 6] = [
    ("node.kubernetes.io/not-ready", "NoExecute"),
    ("node.kubernetes.io/unreachable", "NoExecute"),
    ("node.kubernetes.io/disk-pressure", "NoSchedule"),
    ("node.kubernetes.io/memory-pressure", "NoSchedule"),
    ("node.kubernetes.io/pid-pressure", "NoSchedule"),
    ("node.kubernetes.io/unschedulable", "NoSchedule"),
];

/// A pod of the set for any node.
fn pod_for(set: &Value) -> Value {
    let mut pod = pods::from_template(set);
    let name = set["metadata"]["name"].as_str().unwrap_or_default();
    pod["metadata"]["generateName"] = json!(format!("{name}-"));
    if !pod["spec"]["tolerations"].is_array() {
        pod["spec"]["tolerations"] = json!([]);
    }
    if let Some(list) = pod["spec"]["tolerations"].as_array_mut() {
        list.extend(
            TOLERATED.map(|(key, effect)| json!({"key": key, "operator": "Exists", "effect": effect})),
        );
    }
    pod
}

/// Pins a pod to a node. The real one does so by affinity to metadata.name, and keeps the template's own terms.
fn pinned(pod: &Value, node: &str) -> Value {
    let mut pod = pod.clone();
    let pin = json!([{"key": "metadata.name", "operator": "In", "values": [node]}]);
    let required =
        &mut pod["spec"]["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"];
    match required["nodeSelectorTerms"].as_array_mut().filter(|terms| !terms.is_empty()) {
        Some(terms) => terms.iter_mut().for_each(|term| term["matchFields"] = pin.clone()),
        None => required["nodeSelectorTerms"] = json!([{"matchFields": pin}]),
    }
    pod
}

/// Whether a node takes a pod of the set, and whether it keeps one that is there: a taint NoSchedule only keeps new ones
/// away.
fn eligible(pod: &Value, node: &Value) -> (bool, bool) {
    let refuses = |effects: &[&str]| {
        let taints = node["spec"]["taints"].as_array().into_iter().flatten();
        let mut hard = taints.filter(|t| t["effect"].as_str().is_some_and(|e| effects.contains(&e)));
        hard.any(|t| !pod_tolerates(pod, t))
    };
    let affine = affine(pod, node);
    (affine && !refuses(&["NoSchedule", "NoExecute"]), affine && !refuses(&["NoExecute"]))
}

/// The node that a pod runs on or is pinned to.
fn node_of(pod: &Value) -> Option<String> {
    let bound = pod["spec"]["nodeName"].as_str().filter(|n| !n.is_empty());
    let terms = &pod["spec"]["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"];
    bound.or_else(|| terms[0]["matchFields"][0]["values"][0].as_str()).map(str::to_owned)
}

/// One round of a DaemonSet.
pub(super) fn reconcile(store: &mut Store, key: &Key) {
    let Some(set) = store.get_key("daemonsets.apps", key).cloned() else {
        return;
    };
    if !set["metadata"]["deletionTimestamp"].is_null() {
        return;
    }
    let mut by_node: BTreeMap<String, Vec<Object>> = BTreeMap::new();
    for pod in pods::of(store, &set) {
        if let Some(node) = node_of(&pod) {
            by_node.entry(node).or_default().push(pod);
        }
    }
    let template = pod_for(&set);
    let nodes: Vec<Object> = store.list("nodes").cloned().collect();
    let (mut desired, mut ready, mut misplaced) = (0, 0, 0);
    for node in &nodes {
        let mine = by_node.remove(node["metadata"]["name"].as_str().unwrap_or_default()).unwrap_or_default();
        let runs = mine.iter().any(|p| pods::is_active(p));
        if on_node(store, &template, node, &mine) {
            desired += 1;
            ready += usize::from(mine.iter().any(|p| pods::is_active(p) && pods::is_ready(p)));
        } else {
            misplaced += usize::from(runs);
        }
    }
    for pods in by_node.into_values() {
        delete(store, &pods);
    }
    store.modify("daemonsets.apps", key, |set| {
        set["status"] = json!({
            "observedGeneration": set["metadata"]["generation"], "desiredNumberScheduled": desired,
            "currentNumberScheduled": desired, "numberReady": ready, "numberAvailable": ready,
            "updatedNumberScheduled": desired, "numberMisscheduled": misplaced,
        });
    });
}

/// Brings a node's pods of the set in order. True if the node is meant to have one.
fn on_node(store: &mut Store, template: &Value, node: &Value, mine: &[Object]) -> bool {
    let (takes, keeps) = eligible(template, node);
    if !keeps {
        delete(store, mine);
        return takes;
    }
    let is_over = |p: &&Object| matches!(p["status"]["phase"].as_str(), Some("Failed" | "Succeeded"));
    let over: Vec<Object> = mine.iter().filter(is_over).cloned().collect();
    delete(store, &over);
    if takes && mine.is_empty() {
        pods::create(store, pinned(template, node["metadata"]["name"].as_str().unwrap_or_default()));
    }
    takes
}

fn delete(store: &mut Store, pods: &[Object]) {
    for pod in pods.iter().filter(|p| p["metadata"]["deletionTimestamp"].is_null()) {
        let _ = store.delete("pods", &Key::of(pod), &DeleteOptions::default());
    }
}
