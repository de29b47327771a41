//! The scheduler: filters, scores, binds; and says why it can't.
//!
//! Filters, scores, their weights and their words are those of the real default profile but for the locality of images.
//! Pods of lower priority are moved out for one that finds no place. As the real one, it looks at so many nodes only in a
//! large cluster (see [`enough`]), from where it stopped the time before.

mod affinity;
mod cluster;
mod cycle;
mod filter;
mod labels;
mod pod;
mod preemption;
mod quantity;
mod score;
mod taints;
mod volumes;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::Duration;

use crate::sim::json::{Value, json};

use cluster::Cluster;
use cycle::Cycle;
use filter::Refusal;
pub(in crate::sim) use filter::affine;
use pod::PodInfo;
pub(in crate::sim) use quantity::{requests_of, thousandths};
pub(in crate::sim) use taints::pod_tolerates;
pub(in crate::sim) use volumes::{BIND_COMPLETED, BOUND_BY_CONTROLLER, fits, is_of, waits_for_consumer};

use super::store::{Change, ChangeKind, Key, Store};

/// A pod that found no place is looked at again after this long, whatever has happened.
const FLUSH: Duration = Duration::from_secs(300);

/// The scheduler with what it knows.
#[derive(Debug, Default)]
pub(in crate::sim) struct Scheduler {
    cluster: Cluster,
    /// Pods that found no place: their priority, and whether they look at where other pods are.
    unschedulable: BTreeMap<Key, (i64, bool)>,
    /// Where the next look at nodes begins.
    start: usize,
}

/// How many nodes that would do are enough, in a cluster of so many: all up to a hundred; of more the share falls from a half
/// to a twentieth, but never below a hundred.
fn enough(nodes: usize) -> usize {
    if nodes < 100 {
        return nodes;
    }
    let percent = 50_usize.saturating_sub(nodes / 125).max(5);
    (nodes * percent / 100).max(100)
}

impl Scheduler {
    /// Keeps the counts. Returns the pods to look at because of the change, the most important first.
    pub fn observe(&mut self, change: &Change, key: &Key) -> Vec<Key> {
        match &*change.resource {
            "pods" => self.observe_pod(change, key),
            // A changed node, volume or claim may let pods in that found no place; so may a pod that left or came (below).
            "nodes" => {
                let gone = change.kind == ChangeKind::Deleted;
                let node = (!gone).then_some(&change.object);
                self.cluster.set_node(&key.name, node);
                if is_heartbeat(change) { Vec::new() } else { self.waiting(|_| true) }
            }
            "persistentvolumes" | "persistentvolumeclaims" | "storageclasses.storage.k8s.io" => {
                self.waiting(|_| true)
            }
            _ => Vec::new(),
        }
    }

    /// Pods that found no place, the most important first.
    fn waiting(&self, which: impl Fn(bool) -> bool) -> Vec<Key> {
        let mut keys: Vec<(i64, &Key)> = self
            .unschedulable
            .iter()
            .filter(|(_, (_, looks))| which(*looks))
            .map(|(k, (p, _))| (-p, k))
            .collect();
        keys.sort();
        keys.into_iter().map(|(_, key)| key.clone()).collect()
    }

    fn observe_pod(&mut self, change: &Change, key: &Key) -> Vec<Key> {
        let pod = &change.object;
        let over = matches!(pod["status"]["phase"].as_str(), Some("Succeeded" | "Failed"));
        let gone = change.kind == ChangeKind::Deleted || over;
        let node = pod["spec"]["nodeName"].as_str().filter(|n| !n.is_empty() && !gone);
        let place = self.cluster.place(key);
        let freed = place.is_some() && node.is_none();
        let came = place.is_none() && node.is_some();
        let stays = place == node;
        if place.is_some() || came {
            self.count(key, node, change, stays);
        }
        self.nominate(key, change, node.is_none() && !gone);
        if !self.unschedulable.is_empty() && (gone || node.is_some()) {
            self.unschedulable.remove(key);
        }
        let mut keys = if freed || (gone && change.kind == ChangeKind::Deleted) {
            self.waiting(|_| true)
        } else if came {
            self.waiting(|looks| looks)
        } else {
            Vec::new()
        };
        if !gone && node.is_none() && (change.kind == ChangeKind::Added || is_changed(change)) {
            keys.push(key.clone());
        }
        keys
    }

    /// Counts a pod where it is now (`stays`: where it was). Most changes are of its status alone, and change no count.
    fn count(&mut self, key: &Key, node: Option<&str>, change: &Change, stays: bool) {
        let (old, new) = (change.old.as_deref().unwrap_or(&Value::Null), &*change.object);
        if stays && old["spec"] == new["spec"] && old["metadata"]["labels"] == new["metadata"]["labels"] {
            let started = |pod: &Value| pod["status"]["startTime"].as_text().cloned();
            let leaves = |pod: &Value| !pod["metadata"]["deletionTimestamp"].is_null();
            if leaves(old) != leaves(new) || started(old) != started(new) {
                self.cluster.renew(key, new);
            }
            return;
        }
        self.cluster.remove(key);
        if let Some(node) = node {
            self.cluster.add(node, PodInfo::of(new));
        }
    }

    /// Keeps who waits for which node.
    fn nominate(&mut self, key: &Key, change: &Change, waits: bool) {
        let nominated = |pod: &Value| pod["status"]["nominatedNodeName"].as_str().map(str::to_owned);
        if let Some(node) = change.old.as_deref().and_then(nominated)
            && let Some(pods) = self.cluster.nominated.get_mut(&node)
        {
            pods.remove(key);
            if pods.is_empty() {
                self.cluster.nominated.remove(&node);
            }
        }
        if let Some(node) = nominated(&change.object).filter(|_| waits) {
            let pod = std::sync::Arc::new(PodInfo::of(&change.object));
            self.cluster.nominated.entry(node).or_default().insert(key.clone(), pod);
        }
    }

    /// Places one pod, or records why it can't be placed and when to try again.
    pub fn schedule(&mut self, store: &mut Store, key: &Key) -> Option<Duration> {
        let object = store.get_key("pods", key).cloned()?;
        let bound = object["spec"]["nodeName"].as_str().is_some_and(|n| !n.is_empty());
        let ours = object["spec"]["schedulerName"].as_str().is_none_or(|s| s == "default-scheduler");
        if bound || !ours || !object["metadata"]["deletionTimestamp"].is_null() {
            return None;
        }
        let now = store.clock().now_text();
        if object["spec"]["schedulingGates"].as_array().is_some_and(|gates| !gates.is_empty()) {
            let why = "Scheduling is blocked due to non-empty scheduling gates";
            store.modify("pods", key, |pod| {
                set_condition(&mut pod["status"], "PodScheduled", "False", "SchedulingGated", why, &now);
            });
            return None;
        }
        let pod = PodInfo::of(&object);
        self.cluster.order_nodes();
        let looks = looks_at_others(&object);
        let cycle = match Cycle::begin(&mut self.cluster, store, &pod, &object) {
            Ok(cycle) => cycle,
            Err(why) => {
                self.unschedulable.insert(key.clone(), (pod.priority, looks));
                return Some(self.nowhere(store, &pod, &format!("{why}."), &BTreeMap::new(), None, &now));
            }
        };
        let wishes = score::Wishes::of(&mut self.cluster, store, &cycle);
        let looked = look(&self.cluster, self.start, store, &cycle);
        self.start = looked.next;
        let Some(node) = score::best(&self.cluster, store, &cycle, wishes, &looked.feasible) else {
            let refusals: Refusals<'_> = looked.refusals.into_iter().collect();
            let reasons = self.reasons(&cycle, &refusals);
            self.unschedulable.insert(key.clone(), (pod.priority, looks));
            return Some(self.nowhere(store, &pod, &reasons, &refusals, Some(&cycle), &now));
        };
        cycle.claims.bind(store, node);
        let node = node.name.clone();
        self.unschedulable.remove(key);
        store.modify("pods", key, |pod| {
            pod["spec"]["nodeName"] = json!(node);
            if let Some(status) = pod["status"].as_object_mut() {
                status.remove("nominatedNodeName");
            }
            set_condition(&mut pod["status"], "PodScheduled", "True", "", "", &now);
        });
        None
    }

    fn reasons(&self, cycle: &Cycle<'_>, refusals: &Refusals<'_>) -> String {
        let mut reasons: Reasons = BTreeMap::new();
        for reason in refusals.values().flat_map(|r| &r.reasons) {
            *reasons.entry(reason.clone()).or_default() += 1;
        }
        let others = self.cluster.len() - refusals.len();
        if cycle.names.is_some() && others > 0 {
            reasons.insert("node(s) didn't satisfy plugin(s) [NodeAffinity]".into(), others);
        }
        histogram(&reasons)
    }

    /// Records that a pod found no place, and tries to make room for it.
    fn nowhere(
        &self,
        store: &mut Store,
        pod: &PodInfo,
        reasons: &str,
        refusals: &Refusals<'_>,
        cycle: Option<&Cycle<'_>>,
        now: &str,
    ) -> Duration {
        let total = self.cluster.len();
        let mut message = if total == 0 {
            "no nodes available to schedule pods".to_owned()
        } else {
            format!("0/{total} nodes are available: {reasons}")
        };
        if total > 0 {
            // What the real one's plugins for making room say in turn; nothing where one did.
            match cycle.map(|cycle| preemption::preempt(&self.cluster, store, cycle, refusals, now)) {
                None => message.push_str(" not found"),
                Some(Some(why)) => {
                    message.push_str(&format!(" no new claims to deallocate, preemption: {why}"));
                }
                Some(None) => {}
            }
        }
        store.modify("pods", &pod.key, |pod| {
            set_condition(&mut pod["status"], "PodScheduled", "False", "Unschedulable", &message, now);
        });
        FLUSH
    }
}

/// Why nodes wouldn't do, by name.
type Refusals<'a> = BTreeMap<&'a str, Refusal>;

/// How many nodes a reason holds for.
type Reasons = BTreeMap<Cow<'static, str>, usize>;

/// What a look at nodes has found.
struct Looked<'a> {
    /// The nodes that would do, enough of them.
    feasible: Vec<&'a cluster::Node>,
    /// Why the others that were looked at wouldn't, by name.
    refusals: Vec<(&'a str, Refusal)>,
    /// Where the next look begins.
    next: usize,
}

fn look<'a>(cluster: &'a Cluster, start: usize, store: &Store, cycle: &Cycle<'_>) -> Looked<'a> {
    let mut found = Looked { feasible: Vec::new(), refusals: Vec::new(), next: start };
    let total = cluster.len();
    let wanted = enough(total);
    let mut judge = |node: &'a cluster::Node| match filtered(cluster, store, cycle, node) {
        None => {
            found.feasible.push(node);
            found.feasible.len() >= wanted
        }
        Some(refusal) => {
            found.refusals.push((&node.name, refusal));
            false
        }
    };
    if let Some(names) = &cycle.names {
        for node in names.iter().filter_map(|name| cluster.node(name)) {
            judge(node);
        }
        return found;
    }
    let mut looked = 0;
    for node in cluster.nodes(start) {
        looked += 1;
        if judge(node) {
            break;
        }
    }
    found.next = if total == 0 { 0 } else { (start + looked) % total };
    found
}

/// Why a node can't take a pod, those that others were moved out for and that are as important counted as there.
fn filtered(cluster: &Cluster, store: &Store, cycle: &Cycle<'_>, node: &cluster::Node) -> Option<Refusal> {
    let expected = cluster.nominated.get(&node.name).into_iter().flatten();
    let expected: Vec<_> = expected
        .filter(|(key, p)| **key != cycle.pod.key && p.priority >= cycle.pod.priority)
        .map(|(_, p)| p)
        .collect();
    if !expected.is_empty() {
        let (mut cycle, mut node) = (cycle.clone(), node.clone());
        for pod in expected {
            node.add(pod);
            cycle.change(store, &node, pod, 1);
        }
        if let Some(refusal) = filter::refusal(store, &cycle, &node) {
            return Some(refusal);
        }
    }
    filter::refusal(store, cycle, node)
}

/// A pod that came elsewhere may make room for this one.
fn looks_at_others(pod: &Value) -> bool {
    !pod["spec"]["affinity"]["podAffinity"].is_null()
        || pod["spec"]["topologySpreadConstraints"].as_array().is_some_and(|list| !list.is_empty())
}

/// A pod that waits has other wishes than before.
fn is_changed(change: &Change) -> bool {
    let old = change.old.as_deref().unwrap_or(&Value::Null);
    let new = &*change.object;
    old["spec"] != new["spec"] || old["metadata"]["labels"] != new["metadata"]["labels"]
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

/// `1 node(s) were unschedulable, 5 Insufficient memory.`
fn histogram(reasons: &Reasons) -> String {
    let mut parts: Vec<String> = reasons.iter().map(|(reason, count)| format!("{count} {reason}")).collect();
    parts.sort();
    format!("{}.", parts.join(", "))
}

/// `0/6 nodes are available: 1 node(s) were unschedulable, 5 Insufficient memory.`
fn message(nodes: usize, reasons: &Reasons) -> String {
    format!("0/{nodes} nodes are available: {}", histogram(reasons))
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
    let at = list.iter().position(|c| c["type"] == kind);
    let old = at.map(|at| &list[at]);
    let since = old.filter(|old| old["status"] == value).map(|old| old["lastTransitionTime"].clone());
    let beat = old.and_then(|old| old.get("lastHeartbeatTime")).cloned();
    let said = |text: &str| (!text.is_empty()).then(|| json!(text));
    let fields = [
        ("lastHeartbeatTime", beat),
        ("lastTransitionTime", Some(since.unwrap_or_else(|| json!(now)))),
        ("message", said(message)),
        ("reason", said(reason)),
        ("status", Some(json!(value))),
        ("type", Some(json!(kind))),
    ];
    let fields = fields.into_iter().filter_map(|(name, value)| Some((name, value?)));
    let condition = Value::Object(fields.collect());
    match at {
        Some(at) => list[at] = condition,
        None => list.push(condition),
    }
}
