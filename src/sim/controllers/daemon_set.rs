//! DaemonSets: one pod on every eligible node, cordoned ones included.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;

use super::pods;
use super::revision::{self, LABEL};
use crate::sim::json::{Value, json};
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

/// Which template a pod is of, by number: the older way to tell, still kept by the real one.
const GENERATION: &str = "deprecated.daemonset.template.generation";

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

/// Whether a changed node gives a set something to do. As in the real one, a node that isn't wanted any more but keeps its pod
/// doesn't: the status isn't counted anew for it.
pub(super) fn is_concerned(store: &Store, set: &Value, node: &Value) -> bool {
    let (takes, keeps) = eligible(&pod_for(set), node);
    let name = node["metadata"]["name"].as_str().unwrap_or_default();
    let mine = |p: &&Object| pods::controller(p).is_some_and(|c| c["uid"] == set["metadata"]["uid"]);
    let has = store.pods_on(name).any(|p| mine(&p));
    let misplaced = set["status"]["numberMisscheduled"].as_i64().unwrap_or(0) > 0;
    if has { !keeps || misplaced } else { takes }
}

/// One round of a DaemonSet.
pub(super) fn reconcile(store: &mut Store, key: &Key, now: Timestamp) -> Option<Duration> {
    let set = store.get_key("daemonsets.apps", key).cloned()?;
    if !set["metadata"]["deletionTimestamp"].is_null() {
        return None;
    }
    let revision = revision::current(store, &set);
    let hash = revision.strip_prefix(&format!("{}-", key.name)).unwrap_or(&revision).to_owned();
    let mut template = pod_for(&set);
    template["metadata"]["labels"][LABEL] = json!(hash);
    let generation = &set["metadata"]["annotations"][GENERATION];
    if generation.is_string() {
        template["metadata"]["labels"]["pod-template-generation"] = generation.clone();
    }
    let round = Round { set, template, hash, now };
    let mut by_node = round.by_node(store);
    let nodes: Vec<Object> = store.list("nodes").cloned().collect();
    let mut wanted = Vec::new();
    let mut misplaced = 0;
    for node in &nodes {
        let name = node["metadata"]["name"].as_str().unwrap_or_default();
        let mine = by_node.remove(name).unwrap_or_default();
        let runs = mine.iter().any(|p| pods::is_active(p));
        if round.on_node(store, node, &mine) {
            wanted.push(name.to_owned());
        } else {
            misplaced += usize::from(runs);
        }
    }
    for pods in by_node.into_values() {
        delete(store, &pods);
    }
    if round.set["spec"]["updateStrategy"]["type"] != "OnDelete" {
        round.update(store, &wanted);
    }
    round.report(store, key, &wanted, misplaced)
}

/// A set in one round.
struct Round {
    set: Object,
    template: Value,
    /// Of the newest revision.
    hash: String,
    now: Timestamp,
}

impl Round {
    fn by_node(&self, store: &Store) -> BTreeMap<String, Vec<Object>> {
        let mut by_node: BTreeMap<String, Vec<Object>> = BTreeMap::new();
        for pod in pods::of(store, &self.set) {
            if let Some(node) = node_of(&pod) {
                by_node.entry(node).or_default().push(pod);
            }
        }
        by_node
    }

    fn is_available(&self, pod: &Value) -> bool {
        pods::is_active(pod) && pods::is_available(pod, pods::min_ready_seconds(&self.set), self.now)
    }

    /// Of the newest template; a pod that was written by hand counts as such.
    fn is_new(&self, pod: &Value) -> bool {
        let label = &pod["metadata"]["labels"][LABEL];
        label.is_null() || *label == self.hash.as_str()
    }

    /// Surge and unavailability that a rolling update may cause among so many pods.
    fn limits(&self, wanted: i64) -> (i64, i64) {
        let rolling = &self.set["spec"]["updateStrategy"]["rollingUpdate"];
        let surge = pods::scaled(&rolling["maxSurge"], wanted, true);
        let most = &rolling["maxUnavailable"];
        let most = if most.is_null() { 1 } else { pods::scaled(most, wanted, true) };
        (surge, if surge == 0 && most == 0 { 1 } else { most })
    }

    /// Brings a node's pods of the set in order. True if the node is meant to have one.
    fn on_node(&self, store: &mut Store, node: &Value, mine: &[Object]) -> bool {
        let (takes, keeps) = eligible(&self.template, node);
        if !keeps {
            delete(store, mine);
            return takes;
        }
        let is_over = |p: &&Object| matches!(p["status"]["phase"].as_str(), Some("Failed" | "Succeeded"));
        let over: Vec<Object> = mine.iter().filter(is_over).cloned().collect();
        delete(store, &over);
        if takes && mine.is_empty() {
            self.create(store, node["metadata"]["name"].as_str().unwrap_or_default());
        }
        // Of two, which only a surge makes, the old one goes when the new one is available.
        let alive: Vec<&Object> = mine.iter().filter(|p| pods::is_active(p)).collect();
        if alive.len() > 1 && alive.iter().any(|p| self.is_new(p) && self.is_available(p)) {
            let old: Vec<Object> = alive.into_iter().filter(|p| !self.is_new(p)).cloned().collect();
            delete(store, &old);
        }
        takes
    }

    fn create(&self, store: &mut Store, node: &str) {
        pods::create(store, pinned(&self.template, node));
    }

    /// A rolling update: old pods that aren't available go at once, of the others as many as may be unavailable.
    fn update(&self, store: &mut Store, wanted: &[String]) {
        let (surge, most) = self.limits(wanted.len() as i64);
        let by_node = self.by_node(store);
        let (mut unavailable, mut surging) = (0, 0);
        let (mut sick, mut old, mut alone) = (Vec::new(), Vec::new(), Vec::new());
        for node in wanted {
            let mine = by_node.get(node).map(Vec::as_slice).unwrap_or_default();
            let alive: Vec<&Object> =
                mine.iter().filter(|p| p["metadata"]["deletionTimestamp"].is_null()).collect();
            let new = alive.iter().find(|p| self.is_new(p));
            let before = alive.iter().find(|p| !self.is_new(p));
            match (new, before) {
                (Some(_), Some(before)) => {
                    surging += 1;
                    unavailable += i64::from(!self.is_available(before));
                }
                (Some(new), None) => unavailable += i64::from(!self.is_available(new)),
                (None, Some(before)) if self.is_available(before) => {
                    old.push((**before).clone());
                    alone.push(node.clone());
                }
                (None, Some(before)) => {
                    sick.push((**before).clone());
                    alone.push(node.clone());
                    unavailable += 1;
                }
                (None, None) => unavailable += 1,
            }
        }
        if surge > 0 {
            for node in alone.iter().take((surge - surging).max(0) as usize) {
                self.create(store, node);
            }
            return;
        }
        delete(store, &sick);
        delete(store, &old[..old.len().min((most - unavailable).max(0) as usize)]);
    }

    fn report(&self, store: &mut Store, key: &Key, wanted: &[String], misplaced: usize) -> Option<Duration> {
        let by_node = self.by_node(store);
        let (mut current, mut ready, mut available, mut updated) = (0, 0, 0, 0);
        for node in wanted {
            let mine = by_node.get(node).map(Vec::as_slice).unwrap_or_default();
            let alive: Vec<&Object> = mine.iter().filter(|p| pods::is_active(p)).collect();
            current += usize::from(!mine.is_empty());
            ready += usize::from(alive.iter().any(|p| pods::is_ready(p)));
            available += usize::from(alive.iter().any(|p| self.is_available(p)));
            updated += usize::from(alive.iter().any(|p| self.is_new(p)));
        }
        store.modify("daemonsets.apps", key, |set| {
            let mut status = json!({
                "observedGeneration": set["metadata"]["generation"], "desiredNumberScheduled": wanted.len(),
                "currentNumberScheduled": current, "numberReady": ready, "numberMisscheduled": misplaced,
            });
            for (field, count) in [
                ("numberAvailable", available),
                ("numberUnavailable", wanted.len() - available),
                ("updatedNumberScheduled", updated),
            ] {
                if count > 0 {
                    status[field] = json!(count);
                }
            }
            set["status"] = status;
        });
        let all: Vec<Object> = by_node.into_values().flatten().collect();
        let name = |p: &Object| Some(format!("{}-{}", key.name, p["metadata"]["labels"][LABEL].as_str()?));
        let live: BTreeSet<String> =
            all.iter().filter_map(name).chain([format!("{}-{}", key.name, self.hash)]).collect();
        revision::forget(store, &self.set, &live);
        pods::next_available(&all, pods::min_ready_seconds(&self.set), self.now)
    }
}

fn delete(store: &mut Store, pods: &[Object]) {
    for pod in pods.iter().filter(|p| p["metadata"]["deletionTimestamp"].is_null()) {
        let _ = store.delete("pods", &Key::of(pod), &DeleteOptions::default());
    }
}
