//! What the scheduler keeps of the cluster, up to date with each change: nodes with their pods, and counts of pods by what
//! selectors ask for.
//!
//! # Why
//! A decision must not cost more the more pods there are. Whatever filters and scores want to know of other pods is asked by
//! a label selector (spread constraints, terms of affinity) or is a term of those others that may mean the pod at hand. Each
//! selector that was asked for once is counted on from then on, by node ([`Tally`]); equal terms of the pods of one workload
//! are one entry ([`Group`]). Both are found by a label that the selector asks for, so a pod that comes or goes touches only
//! what may concern it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use super::affinity::{Affinity, Askings};
use super::labels::{ByLabel, Handles, Selector};
use super::pod::{PodInfo, Term, Terms};
use super::quantity::{self, Resources};
use super::taints::{Taint, Toleration, tolerated};
use crate::sim::json::{Text, Value};
use crate::sim::store::{Key, Object};

pub(super) const HOST: &str = "kubernetes.io/hostname";
pub(super) const ZONE: &str = "topology.kubernetes.io/zone";

/// How many of something the node at a place has; none where it has none.
pub(super) type ByNode = BTreeMap<usize, i64>;

/// A node with what is bound to it.
#[derive(Debug, Clone, Default)]
pub(super) struct Node {
    pub name: String,
    /// Where it is among the nodes, as long as it exists.
    pub place: usize,
    /// None while only pods speak of it.
    pub object: Option<Object>,
    /// Its labels, and those that every pod asks for by themselves.
    pub labels: Value,
    host: Option<Text>,
    zone: Option<Text>,
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
        match key {
            HOST => self.host.as_deref(),
            ZONE => self.zone.as_deref(),
            _ => self.labels.get(key)?.as_str(),
        }
    }

    /// Takes in the node as it is now. True if its labels are others.
    fn read(&mut self, object: Option<&Object>) -> bool {
        let old = std::mem::replace(&mut self.object, object.cloned());
        let differs = |part: fn(&Value) -> &Value| old.as_deref().map(part) != object.map(|o| part(o));
        let labels = differs(|n| &n["metadata"]["labels"]);
        if labels {
            self.labels = object.map(|o| o["metadata"]["labels"].clone()).unwrap_or_default();
            [self.host, self.zone] = [HOST, ZONE].map(|key| self.labels.get(key)?.as_text().cloned());
        }
        if differs(|n| &n["spec"]) {
            self.is_cordoned = object.is_some_and(|o| o["spec"]["unschedulable"] == true);
            let taints = || object.into_iter().flat_map(|o| Taint::of(o));
            self.soft_taints = taints().filter(Taint::is_soft).collect();
            self.hard_taints = taints().filter(Taint::is_hard).collect();
        }
        if differs(|n| &n["status"]["allocatable"]) {
            let allocatable = object.map(|o| &o["status"]["allocatable"]).unwrap_or(&Value::Null);
            self.has = Resources::read(allocatable);
            self.most_pods = quantity::pods(allocatable);
        }
        labels
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
    by_node: ByNode,
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
    pub by_node: ByNode,
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
    /// The number of each counted pod. Only ever asked for one pod's.
    numbers: HashMap<Key, u64>,
    /// The counted pods, each with the place of its node.
    counted: BTreeMap<u64, (usize, Arc<PodInfo>)>,
    newest: u64,
    by_label: ByLabel,
    tallies: Vec<Tally>,
    /// Which of the tallies answers a question.
    answers: HashMap<TallyKey, usize>,
    tally_handles: Handles<usize>,
    askings: Askings,
    groups: BTreeMap<GroupKey, Group>,
    group_handles: Handles<GroupKey>,
    /// Pods that others were moved out for, by the node that they wait for.
    pub nominated: BTreeMap<String, BTreeMap<Key, Arc<PodInfo>>>,
}

fn change(by_node: &mut ByNode, node: usize, by: i64) {
    let count = by_node.entry(node).or_default();
    *count += by;
    if *count == 0 {
        by_node.remove(&node);
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
        self.at(*self.slots.get(name)?)
    }

    /// The node at a place, if the cluster has it.
    pub fn at(&self, place: usize) -> Option<&Node> {
        self.nodes.get(place).filter(|n| n.object.is_some())
    }

    fn place_or_new(&mut self, name: &str) -> usize {
        if let Some(place) = self.slots.get(name) {
            return *place;
        }
        let place = self.free.pop().unwrap_or_else(|| {
            self.nodes.push(Node::default());
            self.nodes.len() - 1
        });
        self.slots.insert(name.to_owned(), place);
        self.nodes[place] = Node { name: name.to_owned(), place, ..Node::default() };
        place
    }

    /// Forgets a node that is gone and has no pods left.
    fn forget_empty(&mut self, place: usize) {
        let node = &self.nodes[place];
        if node.object.is_none() && node.pods.is_empty() && self.slots.remove(&node.name).is_some() {
            self.nodes[place] = Node::default();
            self.free.push(place);
        }
    }

    /// What a pod asks of nodes; `is_named`: it names the nodes that are in question.
    pub fn affinity<'a>(&mut self, pod: &'a Value, is_named: bool) -> Affinity<'a> {
        Affinity::of(&mut self.askings, pod, is_named, &self.nodes)
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
        let place = self.place_or_new(name);
        let node = &mut self.nodes[place];
        let before = (node.object.is_some(), node.zone.clone());
        let labels_differ = node.read(object);
        let after = (node.object.is_some(), node.zone.clone());
        self.is_ordered &= before == after;
        if labels_differ || before.0 != after.0 {
            self.askings.change(place, object.map(|o| &**o));
        }
        self.forget_empty(place);
    }

    /// One of each zone in turn, so that a look at some of the nodes sees all zones.
    pub fn order_nodes(&mut self) {
        if self.is_ordered {
            return;
        }
        self.is_ordered = true;
        let mut zones: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for slot in self.slots.values().copied().filter(|slot| self.nodes[*slot].object.is_some()) {
            let zone = self.nodes[slot].zone.as_deref().unwrap_or_default();
            zones.entry(zone).or_default().push(slot);
        }
        let longest = zones.values().map(Vec::len).max().unwrap_or(0);
        let turn = |n: usize| zones.values().filter_map(move |slots| slots.get(n).copied());
        self.order = (0..longest).flat_map(turn).collect();
    }

    /// Where a pod is counted.
    pub fn place(&self, key: &Key) -> Option<&str> {
        let (place, _) = self.counted.get(self.numbers.get(key)?)?;
        Some(&self.nodes[*place].name)
    }

    /// Counts a pod on its node.
    pub fn add(&mut self, node: &str, pod: PodInfo) {
        let pod = Arc::new(pod);
        let place = self.place_or_new(node);
        self.newest += 1;
        self.numbers.insert(pod.key.clone(), self.newest);
        self.by_label.set(&pod.labels, self.newest, true);
        self.nodes[place].add(&pod);
        self.count(place, &pod, 1);
        self.counted.insert(self.newest, (place, pod));
    }

    /// Counts a pod no more.
    pub fn remove(&mut self, key: &Key) {
        let Some(number) = self.numbers.remove(key) else { return };
        let Some((place, pod)) = self.counted.remove(&number) else { return };
        self.nodes[place].remove(key);
        self.by_label.set(&pod.labels, number, false);
        self.count(place, &pod, -1);
        self.forget_empty(place);
    }

    /// Takes in a later version of a counted pod that has the labels and the spec that it had.
    pub fn renew(&mut self, key: &Key, object: &Value) {
        let counted = self.numbers.get(key).and_then(|number| self.counted.get_mut(number));
        let Some((place, pod)) = counted else { return };
        let later = Arc::new(PodInfo::clone(pod).later(object));
        for number in self.tally_handles.of(&later.labels) {
            let tally = &mut self.tallies[*number];
            let by = i64::from(tally.counts(&later)) - i64::from(tally.counts(pod));
            if by != 0 {
                change(&mut tally.by_node, *place, by);
            }
        }
        self.nodes[*place].pods.insert(key.clone(), later.clone());
        *pod = later;
    }

    fn count(&mut self, node: usize, pod: &PodInfo, by: i64) {
        for number in self.tally_handles.of(&pod.labels) {
            let tally = &mut self.tallies[*number];
            if tally.counts(pod) {
                change(&mut tally.by_node, node, by);
            }
        }
        for (says, term) in said(&pod.terms) {
            let key = (says, term.clone());
            if !self.groups.contains_key(&key) {
                self.group_handles.put(&term.selector, key.clone());
                let group = Group { term: term.clone(), says, by_node: ByNode::new() };
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

    /// The number under which [`Self::tallied`] tells how many pods that a selector selects in these namespaces (none: in all)
    /// each node has. `leaving_too`: those on their way out count. The first question looks at all that have a label; from then
    /// on the count is kept.
    pub fn tally(&mut self, namespaces: Vec<String>, selector: Selector, leaving_too: bool) -> usize {
        let key: TallyKey = (namespaces, selector, leaving_too);
        if let Some(number) = self.answers.get(&key) {
            return *number;
        }
        let (namespaces, selector, _) = key.clone();
        let mut tally = Tally { namespaces, selector, leaving_too, by_node: ByNode::new() };
        match self.by_label.candidates(&tally.selector) {
            Some(candidates) => {
                for (place, pod) in candidates.filter_map(|number| self.counted.get(&number)) {
                    if tally.counts(pod) {
                        change(&mut tally.by_node, *place, 1);
                    }
                }
            }
            None => {
                for node in &self.nodes {
                    let count = node.pods.values().filter(|p| tally.counts(p)).count() as i64;
                    if count > 0 {
                        tally.by_node.insert(node.place, count);
                    }
                }
            }
        }
        let number = self.tallies.len();
        self.tally_handles.put(&tally.selector, number);
        self.tallies.push(tally);
        self.answers.insert(key, number);
        number
    }

    /// The answer to a question asked before.
    pub fn tallied(&self, number: usize) -> &ByNode {
        &self.tallies[number].by_node
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::json::json;

    fn pod(name: &str) -> Value {
        json!({"metadata": {"name": name, "namespace": "shop", "labels": {"app": "web"}}, "spec": {}})
    }

    #[test]
    fn a_pod_on_its_way_out_counts_only_where_that_is_asked() {
        let mut cluster = Cluster::default();
        let web = || Selector::read(&json!({"matchLabels": {"app": "web"}}));
        let before = cluster.tally(vec!["shop".to_owned()], web(), false);
        for name in ["a", "b"] {
            cluster.add("w1", PodInfo::of(&pod(name)));
        }
        let all = cluster.tally(vec!["shop".to_owned()], web(), true);
        let counts = |cluster: &Cluster| [before, all].map(|n| cluster.tallied(n).values().sum::<i64>());
        assert_eq!(counts(&cluster), [2, 2]);
        let mut leaving = pod("a");
        leaving["metadata"]["deletionTimestamp"] = json!("2024-01-01T00:00:00Z");
        cluster.renew(&Key::new("shop", "a"), &leaving);
        assert_eq!(counts(&cluster), [1, 2]);
        assert_eq!(cluster.place(&Key::new("shop", "a")), Some("w1"));
        cluster.remove(&Key::new("shop", "a"));
        assert_eq!(counts(&cluster), [1, 1]);
        cluster.remove(&Key::new("shop", "b"));
        assert_eq!(counts(&cluster), [0, 0]);
        // Another node takes the place of the one that nobody speaks of any more.
        cluster.add("w2", PodInfo::of(&pod("c")));
        assert_eq!((counts(&cluster), cluster.nodes.len()), ([1, 1], 1));
    }
}
