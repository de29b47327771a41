//! What is worked out once for a pod that looks for a place, before nodes are looked at one by one. A dry run of preemption
//! takes pods out of these counts and puts them back.

use std::collections::BTreeMap;

use super::affinity::Affinity;
use super::cluster::{ByNode, Cluster, Node, Says};
use super::labels::Selector;
use super::pod::{PodInfo, Term};
use super::taints::Toleration;
use super::volumes::Claims;
use crate::sim::json::Value;
use crate::sim::store::Store;

/// Counts by topology key and value.
pub(super) type Counts = BTreeMap<String, BTreeMap<String, i64>>;

/// A spread constraint.
#[derive(Debug, Clone)]
pub(super) struct Constraint {
    pub key: String,
    pub selector: Selector,
    pub max_skew: i64,
    pub least_domains: usize,
    pub by_affinity: bool,
    pub by_taints: bool,
}

impl Constraint {
    /// The constraints of a pod that must hold, or that are only wished for.
    pub fn of(pod: &Value, hard: bool) -> Vec<Self> {
        let all = pod["spec"]["topologySpreadConstraints"].as_array().into_iter().flatten();
        all.filter(|c| (c["whenUnsatisfiable"] != "ScheduleAnyway") == hard)
            .map(|c| Self::read(c, pod))
            .collect()
    }

    fn read(constraint: &Value, pod: &Value) -> Self {
        let mut selector = Selector::read(&constraint["labelSelector"]);
        for key in constraint["matchLabelKeys"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            if let Some(value) = pod["metadata"]["labels"][key].as_str().filter(|_| !selector.is_nothing()) {
                selector.add(key, true, value);
            }
        }
        Self {
            key: constraint["topologyKey"].as_str().unwrap_or_default().to_owned(),
            selector,
            max_skew: constraint["maxSkew"].as_i64().unwrap_or(1),
            least_domains: constraint["minDomains"].as_u64().unwrap_or(1) as usize,
            by_affinity: constraint["nodeAffinityPolicy"] != "Ignore",
            by_taints: constraint["nodeTaintsPolicy"] == "Honor",
        }
    }

    /// Whether a node's pods count for a pod.
    pub fn includes(&self, affinity: &Affinity<'_>, tolerations: &[Toleration], node: &Node) -> bool {
        node.object.is_some()
            && (!self.by_affinity || affinity.fits(node))
            && (!self.by_taints || node.admits(tolerations))
    }

    /// A selector that selects everything counts nothing.
    pub fn count(&self, tally: &ByNode, node: &Node) -> i64 {
        if self.selector.is_everything() { 0 } else { tally.get(&node.place).copied().unwrap_or(0) }
    }
}

/// A hard constraint and the pods that count for it, by domain.
#[derive(Debug, Clone)]
pub(super) struct Hard {
    pub constraint: Constraint,
    pub counts: BTreeMap<String, i64>,
    /// 1 if the pod itself counts.
    pub own: i64,
}

impl Hard {
    /// The fewest in any domain; none while there are fewer domains than asked for.
    pub fn least(&self) -> i64 {
        let enough = self.counts.len() >= self.constraint.least_domains;
        if enough { self.counts.values().copied().min().unwrap_or(i64::from(i32::MAX)) } else { 0 }
    }
}

/// What is known for a pod.
#[derive(Debug, Clone)]
pub(super) struct Cycle<'a> {
    pub pod: &'a PodInfo,
    /// The pod itself.
    pub object: &'a Value,
    /// What it tolerates.
    pub tolerations: Vec<Toleration>,
    pub hard: Vec<Hard>,
    /// Pods that all terms of required affinity mean.
    pub near: Counts,
    /// Pods that a term of required anti-affinity means.
    pub apart: Counts,
    /// Pods whose required anti-affinity means this one.
    pub shunned_by: Counts,
    pub means_itself: bool,
    pub claims: Claims,
    /// The node that the pod itself names.
    pub pinned: Option<&'a str>,
    /// What it asks of a node's labels or name.
    pub affinity: Affinity<'a>,
    /// The only nodes in question.
    pub names: Option<Vec<String>>,
}

fn add(counts: &mut Counts, node: &Node, key: &str, by: i64) {
    if let Some(value) = node.label(key) {
        *counts.entry(key.to_owned()).or_default().entry(value.to_owned()).or_default() += by;
    }
}

/// The count at a node's domain.
pub(super) fn at(counts: &Counts, node: &Node, key: &str) -> i64 {
    node.label(key).and_then(|value| counts.get(key)?.get(value)).copied().unwrap_or(0)
}

impl<'a> Cycle<'a> {
    /// Works it out. `Err` says why no node can do.
    pub fn begin(
        cluster: &mut Cluster,
        store: &Store,
        pod: &'a PodInfo,
        object: &'a Value,
    ) -> Result<Self, String> {
        let claims = Claims::of(store, object)?;
        let names = named(object)?;
        let tolerations = Toleration::of(object);
        let affinity = cluster.affinity(object, names.is_some());
        let hard = hard(cluster, object, &affinity, &tolerations);
        let near = near(cluster, store, pod);
        let apart = apart(cluster, store, pod);
        let mut shunned_by = Counts::new();
        for group in cluster.groups(&pod.labels) {
            if group.says == Says::MustBeApart && group.term.means(store, pod) {
                for (place, count) in &group.by_node {
                    if let Some(node) = cluster.at(*place) {
                        add(&mut shunned_by, node, &group.term.topology_key, *count);
                    }
                }
            }
        }
        let means_itself = pod.terms.near.iter().all(|t| t.means(store, pod));
        let pinned = object["spec"]["nodeName"].as_str().filter(|n| !n.is_empty());
        Ok(Self {
            pod,
            object,
            tolerations,
            hard,
            near,
            apart,
            shunned_by,
            means_itself,
            claims,
            pinned,
            affinity,
            names,
        })
    }

    /// Takes a pod on a node out of the counts (−1), or puts it back (1).
    pub fn change(&mut self, store: &Store, node: &Node, other: &PodInfo, by: i64) {
        let same = other.key.namespace == self.pod.key.namespace;
        let all_keys = self.hard.iter().all(|h| node.label(&h.constraint.key).is_some());
        for hard in self.hard.iter_mut().filter(|_| same && all_keys) {
            if hard.constraint.selector.selects(&other.labels)
                && hard.constraint.includes(&self.affinity, &self.tolerations, node)
                && let Some(value) = node.label(&hard.constraint.key)
            {
                *hard.counts.entry(value.to_owned()).or_default() += by;
            }
        }
        let terms = &self.pod.terms;
        if !terms.near.is_empty() && terms.near.iter().all(|t| t.means(store, other)) {
            terms.near.iter().for_each(|t| add(&mut self.near, node, &t.topology_key, by));
        }
        for term in terms.apart.iter().filter(|t| t.means(store, other)) {
            add(&mut self.apart, node, &term.topology_key, by);
        }
        for term in other.terms.apart.iter().filter(|t| t.means(store, self.pod)) {
            add(&mut self.shunned_by, node, &term.topology_key, by);
        }
    }
}

/// The nodes that required affinity names, where each of its terms does.
fn named(pod: &Value) -> Result<Option<Vec<String>>, String> {
    let required = &pod["spec"]["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"];
    let Some(terms) = required["nodeSelectorTerms"].as_array().filter(|t| !t.is_empty()) else {
        return Ok(None);
    };
    let mut names: Vec<String> = Vec::new();
    for term in terms {
        let mut of_term: Option<Vec<String>> = None;
        for field in term["matchFields"].as_array().into_iter().flatten() {
            if field["key"] == "metadata.name" && field["operator"] == "In" {
                let values = field["values"].as_array().into_iter().flatten();
                let values: Vec<String> = values.filter_map(Value::as_str).map(str::to_owned).collect();
                of_term = Some(match of_term {
                    Some(before) => before.into_iter().filter(|n| values.contains(n)).collect(),
                    None => values,
                });
            }
        }
        match of_term {
            Some(of_term) => names.extend(of_term),
            None => return Ok(None),
        }
    }
    names.sort();
    names.dedup();
    if names.is_empty() { Err("pod affinity terms conflict".to_owned()) } else { Ok(Some(names)) }
}

fn hard(
    cluster: &mut Cluster,
    pod: &Value,
    affinity: &Affinity<'_>,
    tolerations: &[Toleration],
) -> Vec<Hard> {
    let constraints = Constraint::of(pod, true);
    let keys: Vec<String> = constraints.iter().map(|c| c.key.clone()).collect();
    let namespace = pod["metadata"]["namespace"].as_str().unwrap_or_default();
    let of = |constraint: Constraint| {
        let tally = cluster.tally(vec![namespace.to_owned()], constraint.selector.clone(), false);
        let mut counts: BTreeMap<String, i64> = BTreeMap::new();
        let tally = cluster.tallied(tally);
        for node in cluster.nodes(0) {
            // Only nodes with the labels of all constraints are counted.
            let Some(value) =
                node.label(&constraint.key).filter(|_| keys.iter().all(|k| node.label(k).is_some()))
            else {
                continue;
            };
            if constraint.includes(affinity, tolerations, node) {
                let here = constraint.count(tally, node);
                match counts.get_mut(value) {
                    Some(count) => *count += here,
                    None => {
                        counts.insert(value.to_owned(), here);
                    }
                }
            }
        }
        let own = i64::from(constraint.selector.selects(&pod["metadata"]["labels"]));
        Hard { constraint, counts, own }
    };
    constraints.into_iter().map(of).collect()
}

/// Pods that a term means, by node.
pub(super) fn meant(cluster: &mut Cluster, store: &Store, terms: &[&Term]) -> ByNode {
    let Some(first) = terms.first() else { return ByNode::new() };
    let same =
        |t: &&Term| t.namespaces == first.namespaces && t.namespace_selector == first.namespace_selector;
    let namespaces = namespaces(store, first);
    if terms.iter().all(same) {
        let others = terms[1..].iter();
        let selector = others.fold(first.selector.clone(), |selector, t| selector.and(&t.selector));
        if namespaces.as_ref().is_some_and(Vec::is_empty) {
            return ByNode::new();
        }
        let tally = cluster.tally(namespaces.unwrap_or_default(), selector, true);
        return cluster.tallied(tally).clone();
    }
    let mut by_node = ByNode::new();
    for node in cluster.nodes(0) {
        let all = |pod: &&std::sync::Arc<PodInfo>| terms.iter().all(|t| t.means(store, pod));
        let count = node.pods.values().filter(all).count() as i64;
        if count > 0 {
            by_node.insert(node.place, count);
        }
    }
    by_node
}

/// The namespaces that a term means; `None`: all.
fn namespaces(store: &Store, term: &Term) -> Option<Vec<String>> {
    let Some(selector) = &term.namespace_selector else {
        return Some(term.namespaces.clone());
    };
    if selector.is_everything() {
        return None;
    }
    let named = store.list("namespaces").filter_map(|n| n["metadata"]["name"].as_str());
    let mut all: Vec<String> = named.filter(|n| term.means_namespace(store, n)).map(str::to_owned).collect();
    all.extend(term.namespaces.iter().cloned());
    all.sort();
    all.dedup();
    Some(all)
}

fn near(cluster: &mut Cluster, store: &Store, pod: &PodInfo) -> Counts {
    let terms: Vec<&Term> = pod.terms.near.iter().collect();
    let mut counts = Counts::new();
    for (place, count) in meant(cluster, store, &terms) {
        if let Some(node) = cluster.at(place) {
            for term in &terms {
                add(&mut counts, node, &term.topology_key, count);
            }
        }
    }
    counts
}

fn apart(cluster: &mut Cluster, store: &Store, pod: &PodInfo) -> Counts {
    let mut counts = Counts::new();
    for term in &pod.terms.apart {
        for (place, count) in meant(cluster, store, &[term]) {
            if let Some(node) = cluster.at(place) {
                add(&mut counts, node, &term.topology_key, count);
            }
        }
    }
    counts
}
