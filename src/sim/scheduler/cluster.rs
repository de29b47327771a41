//! What the scheduler keeps of the cluster, up to date with each change: nodes with their pods, and counts of pods by what
//! selectors ask for.
//!
//! # Why
//! A decision must not cost more the more pods there are. Whatever filters and scores want to know of other pods is asked by
//! a label selector (spread constraints, terms of affinity) or is a term of those others that may mean the pod at hand. Each
//! selector that was asked for once is counted on from then on, by node ([`Tally`]); equal terms of the pods of one workload
//! are one entry ([`Group`]). Both are found by a label that the selector asks for, so a pod that comes or goes touches only
//! what may concern it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::labels::{ByLabel, Handles, Selector};
use super::pod::{PodInfo, Term, Terms};
use super::quantity::{self, Resources};
use super::taints::{Taint, Toleration, tolerated};
use crate::sim::json::Value;
use crate::sim::store::{Key, Object};

/// A node with what is bound to it.
#[derive(Debug, Clone, Default)]
pub(super) struct Node {
    pub name: String,
    /// None while only pods speak of it.
    pub object: Option<Object>,
    /// Its labels.
    pub labels: Value,
    /// `spec.unschedulable`.
    pub is_cordoned: bool,
    /// Taints that keep pods off.
    pub hard_taints: Vec<Taint>,
    /// Taints that only speak against it.
    pub soft_taints: Vec<Taint>,
    pub has: Resources,
    pub most_pods: i64,
    pub used: Resources,
    pub weight: (i64, i64),
    pub pods: BTreeMap<Key, Arc<PodInfo>>,
}

impl Node {
    pub fn label(&self, key: &str) -> Option<&str> {
        self.labels.get(key)?.as_str()
    }

    /// Whether all taints that keep pods off are tolerated.
    pub fn admits(&self, tolerations: &[Toleration]) -> bool {
        self.hard_taints.iter().all(|taint| tolerated(tolerations, taint))
    }

    pub fn add(&mut self, pod: &Arc<PodInfo>) {
        self.used.add(&pod.asked);
        self.weight = (self.weight.0 + pod.weight.0, self.weight.1 + pod.weight.1);
        self.pods.insert(pod.key.clone(), pod.clone());
    }

    pub fn remove(&mut self, key: &Key) {
        if let Some(pod) = self.pods.remove(key) {
            self.used.remove(&pod.asked);
            self.weight = (self.weight.0 - pod.weight.0, self.weight.1 - pod.weight.1);
        }
    }
}

/// Pods that are counted by node.
#[derive(Debug)]
struct Tally {
    /// Empty: of all namespaces.
    namespaces: Vec<String>,
    selector: Selector,
    /// Pods on their way out count, too.
    leaving_too: bool,
    by_node: BTreeMap<String, i64>,
}

impl Tally {
    fn counts(&self, pod: &PodInfo) -> bool {
        (self.leaving_too || !pod.is_leaving)
            && (self.namespaces.is_empty() || self.namespaces.iter().any(|n| *n == pod.key.namespace))
            && self.selector.selects(&pod.labels)
    }
}

/// What a term of pods that are there says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Says {
    /// Must be near: a pod that is meant is welcome.
    MustBeNear,
    /// Must not be near.
    MustBeApart,
    /// Wants to be near (or away, below zero) with this weight.
    Wants(i64),
}

/// Equal terms of pods that are there.
#[derive(Debug)]
pub(super) struct Group {
    pub term: Term,
    pub says: Says,
    /// How many pods with it a node has.
    pub by_node: BTreeMap<String, i64>,
}

type TallyKey = (Vec<String>, Selector, bool);
type GroupKey = (Says, Term);

/// The scheduler's picture of the cluster.
#[derive(Debug, Default)]
pub(super) struct Cluster {
    nodes: Vec<Node>,
    /// Where each node is in `nodes`.
    slots: BTreeMap<String, usize>,
    /// Places in `nodes` that are free.
    free: Vec<usize>,
    /// Places of the nodes, a zone after the other in turn.
    order: Vec<usize>,
    is_ordered: bool,
    /// Where each counted pod is, and its number in `by_label`.
    places: BTreeMap<Key, (String, u64)>,
    numbers: u64,
    by_label: ByLabel<(String, Arc<PodInfo>)>,
    tallies: BTreeMap<TallyKey, Tally>,
    tally_handles: Handles<TallyKey>,
    groups: BTreeMap<GroupKey, Group>,
    group_handles: Handles<GroupKey>,
    /// Pods that others were moved out for, by the node that they wait for.
    pub nominated: BTreeMap<String, BTreeMap<Key, Arc<PodInfo>>>,
}

fn change(by_node: &mut BTreeMap<String, i64>, node: &str, by: i64) {
    let count = by_node.entry(node.to_owned()).or_default();
    *count += by;
    if *count == 0 {
        by_node.remove(node);
    }
}

/// All terms of a pod with what they say.
fn said(terms: &Terms) -> impl Iterator<Item = (Says, &Term)> {
    let near = terms.near.iter().map(|t| (Says::MustBeNear, t));
    let apart = terms.apart.iter().map(|t| (Says::MustBeApart, t));
    let wants = terms.prefers_near.iter().map(|(weight, t)| (Says::Wants(*weight), t));
    let shuns = terms.prefers_apart.iter().map(|(weight, t)| (Says::Wants(-weight), t));
    near.chain(apart).chain(wants).chain(shuns)
}

impl Cluster {
    /// The node of that name, if the cluster has it.
    pub fn node(&self, name: &str) -> Option<&Node> {
        self.entry(name).filter(|n| n.object.is_some())
    }

    fn entry(&self, name: &str) -> Option<&Node> {
        self.nodes.get(*self.slots.get(name)?)
    }

    fn entry_or_new(&mut self, name: &str) -> &mut Node {
        let slot = match self.slots.get(name) {
            Some(slot) => *slot,
            None => {
                let slot = self.free.pop().unwrap_or_else(|| {
                    self.nodes.push(Node::default());
                    self.nodes.len() - 1
                });
                self.slots.insert(name.to_owned(), slot);
                self.nodes[slot] = Node { name: name.to_owned(), ..Node::default() };
                slot
            }
        };
        &mut self.nodes[slot]
    }

    /// Forgets a node that is gone and has no pods left.
    fn forget_empty(&mut self, name: &str) {
        let is_empty = self.entry(name).is_some_and(|n| n.object.is_none() && n.pods.is_empty());
        if is_empty && let Some(slot) = self.slots.remove(name) {
            self.nodes[slot] = Node::default();
            self.free.push(slot);
        }
    }

    /// All nodes, from the `start`th on and around.
    pub fn nodes(&self, start: usize) -> impl Iterator<Item = &Node> {
        let (before, after) = self.order.split_at(start.min(self.order.len()));
        after.iter().chain(before).map(|slot| &self.nodes[*slot])
    }

    /// How many nodes there are.
    pub fn len(&self) -> usize {
        self.order.len()
    }

    /// Takes in a node as it is now, or that it is gone.
    pub fn set_node(&mut self, name: &str, object: Option<&Object>) {
        let zone = |node: &Node| node.label("topology.kubernetes.io/zone").map(str::to_owned);
        let node = self.entry_or_new(name);
        let before = (node.object.is_some(), zone(node));
        node.object = object.cloned();
        node.labels = object.map(|o| o["metadata"]["labels"].clone()).unwrap_or_default();
        node.is_cordoned = object.is_some_and(|o| o["spec"]["unschedulable"] == true);
        let taints: Vec<Taint> = object.into_iter().flat_map(|o| Taint::of(o)).collect();
        node.soft_taints = taints.iter().filter(|t| t.is_soft()).cloned().collect();
        node.hard_taints = taints.into_iter().filter(Taint::is_hard).collect();
        let allocatable = object.map(|o| &o["status"]["allocatable"]).unwrap_or(&Value::Null);
        node.has = Resources::read(allocatable);
        node.most_pods = quantity::pods(allocatable);
        let after = (node.object.is_some(), zone(node));
        self.is_ordered &= before == after;
        self.forget_empty(name);
    }

    /// One of each zone in turn, so that a look at some of the nodes sees all zones.
    pub fn order_nodes(&mut self) {
        if self.is_ordered {
            return;
        }
        self.is_ordered = true;
        let mut zones: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for slot in self.slots.values().copied().filter(|slot| self.nodes[*slot].object.is_some()) {
            let zone = self.nodes[slot].label("topology.kubernetes.io/zone").unwrap_or_default();
            zones.entry(zone).or_default().push(slot);
        }
        let longest = zones.values().map(Vec::len).max().unwrap_or(0);
        let turn = |n: usize| zones.values().filter_map(move |slots| slots.get(n).copied());
        self.order = (0..longest).flat_map(turn).collect();
    }

    /// Where a pod is counted.
    pub fn place(&self, key: &Key) -> Option<&str> {
        self.places.get(key).map(|(node, _)| node.as_str())
    }

    /// Counts a pod on its node.
    pub fn add(&mut self, node: &str, pod: PodInfo) {
        let pod = Arc::new(pod);
        self.numbers += 1;
        self.places.insert(pod.key.clone(), (node.to_owned(), self.numbers));
        self.by_label.set(&pod.labels, self.numbers, Some(&(node.to_owned(), pod.clone())));
        self.entry_or_new(node).add(&pod);
        self.count(node, &pod, 1);
    }

    /// Counts a pod no more.
    pub fn remove(&mut self, key: &Key) {
        let Some((node, number)) = self.places.remove(key) else { return };
        let Some(slot) = self.slots.get(&node).copied() else { return };
        let Some(pod) = self.nodes[slot].pods.get(key).cloned() else { return };
        self.nodes[slot].remove(key);
        self.forget_empty(&node);
        self.by_label.set(&pod.labels, number, None);
        self.count(&node, &pod, -1);
    }

    fn count(&mut self, node: &str, pod: &PodInfo, by: i64) {
        let mut met: Vec<TallyKey> = self.tally_handles.of(&pod.labels).cloned().collect();
        met.dedup();
        for key in met {
            if let Some(tally) = self.tallies.get_mut(&key).filter(|t| t.counts(pod)) {
                change(&mut tally.by_node, node, by);
            }
        }
        for (says, term) in said(&pod.terms) {
            let key = (says, term.clone());
            if !self.groups.contains_key(&key) {
                self.group_handles.put(&term.selector, key.clone());
                let group = Group { term: term.clone(), says, by_node: BTreeMap::new() };
                self.groups.insert(key.clone(), group);
            }
            let Some(group) = self.groups.get_mut(&key) else { continue };
            change(&mut group.by_node, node, by);
            if group.by_node.is_empty() {
                self.groups.remove(&key);
                self.group_handles.take(&term.selector, &key);
            }
        }
    }

    /// The terms of pods that are there which may mean a pod with these labels, in a fixed order.
    pub fn groups(&self, labels: &Value) -> Vec<&Group> {
        let keys: BTreeSet<&GroupKey> = self.group_handles.of(labels).collect();
        keys.into_iter().filter_map(|key| self.groups.get(key)).collect()
    }

    /// How many pods that a selector selects in these namespaces (none: in all) each node has. `leaving_too`: those on their
    /// way out count. The first question looks at all that have a label; from then on the count is kept.
    pub fn tally(
        &mut self,
        namespaces: &[String],
        selector: &Selector,
        leaving_too: bool,
    ) -> &BTreeMap<String, i64> {
        let key: TallyKey = (namespaces.to_vec(), selector.clone(), leaving_too);
        if !self.tallies.contains_key(&key) {
            let mut tally = Tally {
                namespaces: key.0.clone(),
                selector: selector.clone(),
                leaving_too,
                by_node: BTreeMap::new(),
            };
            match self.by_label.candidates(selector) {
                Some(candidates) => {
                    for (node, pod) in &candidates {
                        if tally.counts(pod) {
                            change(&mut tally.by_node, node, 1);
                        }
                    }
                }
                None => {
                    for node in self.slots.values().map(|slot| &self.nodes[*slot]) {
                        let count = node.pods.values().filter(|p| tally.counts(p)).count() as i64;
                        if count > 0 {
                            tally.by_node.insert(node.name.clone(), count);
                        }
                    }
                }
            }
            self.tally_handles.put(selector, key.clone());
            self.tallies.insert(key.clone(), tally);
        }
        &self.tallies[&key].by_node
    }

    /// A node's pods that are counted by a question asked before, without changing anything.
    pub fn tallied(
        &self,
        namespaces: &[String],
        selector: &Selector,
        leaving_too: bool,
    ) -> Option<&BTreeMap<String, i64>> {
        self.tallies.get(&(namespaces.to_vec(), selector.clone(), leaving_too)).map(|t| &t.by_node)
    }
}
