//! The scheduler: filters, scores, binds; and says why it can't.
//!
//! Filters and scores are those of the real default profile as far as placement in maintenance depends on them: taints,
//! node affinity, ports, resources, volumes bound to nodes, topology spread, pod affinity. Not modelled: preemption, image
//! locality, several schedulers, scheduling gates.

mod filter;
mod quantity;
mod score;
mod topology;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::{Value, json};

pub(in crate::sim) use filter::{affine, pod_tolerates};
use quantity::Amounts;
pub(in crate::sim) use quantity::thousandths;

use super::store::{Change, ChangeKind, Key, Store};

/// A pod that found no place is looked at again after this long, whatever has happened.
const FLUSH: Duration = Duration::from_secs(300);

/// What a decision looks at.
pub(super) struct Cluster<'a> {
    pub store: &'a Store,
    pub used: &'a BTreeMap<String, Amounts>,
    pub anti_affine: &'a BTreeSet<Key>,
}

/// The scheduler with what it has counted.
#[derive(Debug, Default)]
pub(in crate::sim) struct Scheduler {
    used: BTreeMap<String, Amounts>,
    counted: BTreeMap<Key, (String, Amounts)>,
    anti_affine: BTreeSet<Key>,
    /// Pods that found no place, and whether they look at where other pods are.
    unschedulable: BTreeMap<Key, bool>,
}

impl Scheduler {
    /// Keeps the counts. Returns the pods to look at because of the change.
    pub fn observe(&mut self, change: &Change) -> Vec<Key> {
        match &*change.resource {
            "pods" => self.observe_pod(change),
            // A changed node, volume or claim may let pods in that found no place; so may a pod that left or came (below).
            "nodes" if is_heartbeat(change) => Vec::new(),
            "nodes" | "persistentvolumes" | "persistentvolumeclaims" => {
                self.unschedulable.keys().cloned().collect()
            }
            _ => Vec::new(),
        }
    }

    fn observe_pod(&mut self, change: &Change) -> Vec<Key> {
        let key = change.key();
        let pod = &change.object;
        let over = matches!(pod["status"]["phase"].as_str(), Some("Succeeded" | "Failed"));
        let gone = change.kind == ChangeKind::Deleted || over;
        let node = pod["spec"]["nodeName"].as_str().filter(|n| !n.is_empty() && !gone);
        let freed = self.uncount(&key, node);
        let came = node.is_some() && !self.counted.contains_key(&key);
        if let Some(node) = node.filter(|_| !self.counted.contains_key(&key)) {
            let asked = quantity::requests(pod);
            let used = self.used.entry(node.to_owned()).or_default();
            for (resource, amount) in &asked {
                *used.entry(resource.clone()).or_default() += amount;
            }
            self.counted.insert(key.clone(), (node.to_owned(), asked));
            if !pod["spec"]["affinity"]["podAntiAffinity"].is_null() {
                self.anti_affine.insert(key.clone());
            }
        }
        if gone || node.is_some() {
            self.unschedulable.remove(&key);
        }
        let mut keys = Vec::new();
        if freed {
            keys.extend(self.unschedulable.keys().cloned());
        } else if came {
            keys.extend(self.unschedulable.iter().filter(|(_, looks)| **looks).map(|(key, _)| key.clone()));
        }
        if !gone && node.is_none() && change.kind == ChangeKind::Added {
            keys.push(key);
        }
        keys
    }

    fn uncount(&mut self, key: &Key, still_on: Option<&str>) -> bool {
        if self.counted.get(key).is_none_or(|(node, _)| still_on == Some(node)) {
            return false;
        }
        let Some((node, asked)) = self.counted.remove(key) else {
            return false;
        };
        self.anti_affine.remove(key);
        if let Some(used) = self.used.get_mut(&node) {
            for (resource, amount) in asked {
                *used.entry(resource).or_default() -= amount;
            }
        }
        true
    }

    /// Places one pod, or records why it can't be placed and when to try again.
    pub fn schedule(&mut self, store: &mut Store, key: &Key) -> Option<Duration> {
        let pod = store.get_key("pods", key).cloned()?;
        let bound = pod["spec"]["nodeName"].as_str().is_some_and(|n| !n.is_empty());
        let ours = pod["spec"]["schedulerName"].as_str().is_none_or(|s| s == "default-scheduler");
        if bound || !ours || !pod["metadata"]["deletionTimestamp"].is_null() {
            return None;
        }
        let asked = quantity::requests(&pod);
        let cluster = Cluster { store, used: &self.used, anti_affine: &self.anti_affine };
        let domains = topology::Domains::of(&cluster, &pod);
        let mut feasible = Vec::new();
        let mut reasons: BTreeMap<String, usize> = BTreeMap::new();
        for node in store.list("nodes") {
            match filter::refusal(&cluster, &domains, &pod, &asked, node) {
                None => feasible.push(node.clone()),
                Some(reason) => *reasons.entry(reason).or_default() += 1,
            }
        }
        let now = store.clock().now_text();
        let Some(node) = score::best(&cluster, &pod, &asked, &feasible, store.seed()) else {
            self.unschedulable.insert(key.clone(), looks_at_others(&pod));
            let message = message(store.list("nodes").count(), &reasons);
            store.modify("pods", key, |pod| {
                set_condition(&mut pod["status"], "PodScheduled", "False", "Unschedulable", &message, &now);
            });
            return Some(FLUSH);
        };
        self.unschedulable.remove(key);
        store.modify("pods", key, |pod| {
            pod["spec"]["nodeName"] = json!(node);
            set_condition(&mut pod["status"], "PodScheduled", "True", "", "", &now);
        });
        None
    }
}

/// A pod that came elsewhere may make room for this one.
fn looks_at_others(pod: &Value) -> bool {
    !pod["spec"]["affinity"]["podAffinity"].is_null()
        || pod["spec"]["topologySpreadConstraints"].as_array().is_some_and(|list| !list.is_empty())
}

/// A change of a node that no filter sees.
fn is_heartbeat(change: &Change) -> bool {
    let Some(old) = change.old.as_deref().filter(|_| change.kind == ChangeKind::Modified) else {
        return false;
    };
    let new = &*change.object;
    let ready = |node: &Value| {
        let conditions = node["status"]["conditions"].as_array().into_iter().flatten();
        conditions.into_iter().find(|c| c["type"] == "Ready").map(|c| c["status"].clone())
    };
    old["spec"] == new["spec"]
        && old["metadata"]["labels"] == new["metadata"]["labels"]
        && old["status"]["allocatable"] == new["status"]["allocatable"]
        && ready(old) == ready(new)
}

/// `0/6 nodes are available: 1 node(s) were unschedulable, 5 Insufficient memory.`
fn message(nodes: usize, reasons: &BTreeMap<String, usize>) -> String {
    let mut parts: Vec<String> = reasons.iter().map(|(reason, count)| format!("{count} {reason}")).collect();
    parts.sort();
    format!("0/{nodes} nodes are available: {}.", parts.join(", "))
}

/// Sets a condition; its transition time moves only when the status changes.
pub(in crate::sim) fn set_condition(
    status: &mut Value,
    kind: &str,
    value: &str,
    reason: &str,
    message: &str,
    now: &str,
) {
    if !status["conditions"].is_array() {
        status["conditions"] = json!([]);
    }
    let Some(list) = status["conditions"].as_array_mut() else {
        return;
    };
    let mut condition = json!({"type": kind, "status": value, "lastTransitionTime": now});
    if !reason.is_empty() {
        condition["reason"] = json!(reason);
    }
    if !message.is_empty() {
        condition["message"] = json!(message);
    }
    match list.iter_mut().find(|c| c["type"] == kind) {
        Some(old) => {
            if old["status"] == value {
                condition["lastTransitionTime"] = old["lastTransitionTime"].clone();
            }
            if let Some(beat) = old.get("lastHeartbeatTime") {
                condition["lastHeartbeatTime"] = beat.clone();
            }
            *old = condition;
        }
        None => list.push(condition),
    }
}
