//! Filters over topology domains: pod affinity, anti-affinity and spread.
//!
//! What they need to know of the other pods is worked out once for a pod; a node is then judged by its labels alone.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::Cluster;
use super::filter::{affine, untolerated};
use crate::sim::api::selects;
use crate::sim::store::{Object, Store};

/// A topology key and one of its values.
type Domain = (String, String);

/// One hard spread constraint with what was counted for it.
struct Spread {
    key: String,
    counts: BTreeMap<String, i64>,
    least: i64,
    /// 1 if the pod itself counts.
    own: i64,
    max_skew: i64,
}

/// What the topology filters know for one pod.
pub(super) struct Domains {
    spread: Vec<Spread>,
    affinity_keys: Vec<String>,
    /// Domains of the pods that all affinity terms mean.
    near: BTreeSet<Domain>,
    /// All affinity terms mean the pod itself: the first of a group that wants to be near itself may go anywhere.
    means_itself: bool,
    /// Domains of the pods that an anti-affinity term means.
    avoided: BTreeSet<Domain>,
    /// Domains of the pods whose anti-affinity means this pod.
    avoiding: BTreeSet<Domain>,
}

fn domain<'a>(node: &'a Value, key: &str) -> Option<&'a str> {
    node["metadata"]["labels"][key].as_str()
}

fn topology_key(term: &Value) -> &str {
    term["topologyKey"].as_str().unwrap_or_default()
}

fn is_alive(pod: &Value) -> bool {
    !matches!(pod["status"]["phase"].as_str(), Some("Succeeded" | "Failed"))
}

/// A term's label selector with what its `matchLabelKeys` and `mismatchLabelKeys` add from the owner's labels.
fn selector(term: &Value, owner: &Value) -> Value {
    let mut selector = term["labelSelector"].clone();
    for (keys, operator) in [("matchLabelKeys", "In"), ("mismatchLabelKeys", "NotIn")] {
        for key in term[keys].as_array().into_iter().flatten() {
            let value = &owner["metadata"]["labels"][key.as_str().unwrap_or_default()];
            if value.is_null() {
                continue;
            }
            if !selector["matchExpressions"].is_array() {
                selector["matchExpressions"] = json!([]);
            }
            if let Some(list) = selector["matchExpressions"].as_array_mut() {
                list.push(json!({"key": key, "operator": operator, "values": [value]}));
            }
        }
    }
    selector
}

/// Pods that an affinity term means: by namespaces, named or selected (else the owner's own), and labels.
fn meant(store: &Store, term: &Value, owner: &Value, other: &Value) -> bool {
    let namespace = &other["metadata"]["namespace"];
    let named = term["namespaces"].as_array().filter(|n| !n.is_empty());
    let selected = &term["namespaceSelector"];
    let here = if named.is_none() && selected.is_null() {
        namespace == &owner["metadata"]["namespace"]
    } else {
        let labels = || {
            let namespace = store.get("namespaces", "", namespace.as_str().unwrap_or_default());
            namespace.map_or_else(|| json!({}), |n| n["metadata"]["labels"].clone())
        };
        named.is_some_and(|n| n.contains(namespace)) || (!selected.is_null() && selects(selected, &labels()))
    };
    here && selects(&selector(term, owner), &other["metadata"]["labels"])
}

fn required<'a>(pod: &'a Value, kind: &str) -> Vec<&'a Value> {
    let terms = &pod["spec"]["affinity"][kind]["requiredDuringSchedulingIgnoredDuringExecution"];
    terms.as_array().into_iter().flatten().collect()
}

impl Domains {
    /// Counts for a pod.
    pub(super) fn of(cluster: &Cluster<'_>, pod: &Value) -> Self {
        let affinity = required(pod, "podAffinity");
        let means = |other: &Value| affinity.iter().all(|t| meant(cluster.store, t, pod, other));
        Self {
            spread: hard_spread(cluster, pod),
            affinity_keys: affinity.iter().map(|t| topology_key(t).to_owned()).collect(),
            near: near(cluster, &affinity, means),
            means_itself: means(pod),
            avoided: avoided(cluster, pod),
            avoiding: avoiding(cluster, pod),
        }
    }

    /// Spread constraints that must hold.
    pub(super) fn spread(&self, node: &Value) -> Option<String> {
        for spread in &self.spread {
            let Some(here) = domain(node, &spread.key) else {
                return Some(
                    "node(s) didn't match pod topology spread constraints (missing required label)"
                        .to_owned(),
                );
            };
            let skew = spread.counts.get(here).copied().unwrap_or(0) + spread.own - spread.least;
            if skew > spread.max_skew {
                return Some("node(s) didn't match pod topology spread constraints".to_owned());
            }
        }
        None
    }

    /// Required pod affinity and anti-affinity, the anti-affinity of pods that are there already included.
    pub(super) fn inter_pod(&self, node: &Value) -> Option<String> {
        if !self.is_near(node) {
            return Some("node(s) didn't match pod affinity rules".to_owned());
        }
        let within = |domains: &BTreeSet<Domain>| {
            domains.iter().any(|(key, value)| domain(node, key) == Some(value.as_str()))
        };
        if within(&self.avoided) {
            return Some("node(s) didn't match pod anti-affinity rules".to_owned());
        }
        within(&self.avoiding).then(|| "node(s) didn't satisfy existing pods anti-affinity rules".to_owned())
    }

    /// A node without one of the labels is near nothing.
    fn is_near(&self, node: &Value) -> bool {
        let here: Option<Vec<Domain>> =
            self.affinity_keys.iter().map(|key| Some((key.clone(), domain(node, key)?.to_owned()))).collect();
        let first = self.near.is_empty() && self.means_itself;
        here.is_some_and(|domains| first || domains.iter().all(|d| self.near.contains(d)))
    }
}

fn near(cluster: &Cluster<'_>, terms: &[&Value], means: impl Fn(&Value) -> bool) -> BTreeSet<Domain> {
    if terms.is_empty() {
        return BTreeSet::new();
    }
    let others = cluster.placed().filter(|o| means(o));
    others
        .flat_map(|other| terms.iter().filter_map(move |t| cluster.domain_of(other, topology_key(t))))
        .collect()
}

fn avoided(cluster: &Cluster<'_>, pod: &Value) -> BTreeSet<Domain> {
    let terms = required(pod, "podAntiAffinity");
    if terms.is_empty() {
        return BTreeSet::new();
    }
    let mut domains = BTreeSet::new();
    for other in cluster.placed() {
        for term in terms.iter().filter(|t| meant(cluster.store, t, pod, other)) {
            domains.extend(cluster.domain_of(other, topology_key(term)));
        }
    }
    domains
}

fn avoiding(cluster: &Cluster<'_>, pod: &Value) -> BTreeSet<Domain> {
    let mut domains = BTreeSet::new();
    for other in cluster.with_anti_affinity() {
        for term in required(other, "podAntiAffinity") {
            if meant(cluster.store, term, other, pod) {
                domains.extend(cluster.domain_of(other, topology_key(term)));
            }
        }
    }
    domains
}

fn hard_spread(cluster: &Cluster<'_>, pod: &Value) -> Vec<Spread> {
    let constraints = pod["spec"]["topologySpreadConstraints"].as_array().into_iter().flatten();
    let hard: Vec<&Value> = constraints.filter(|c| c["whenUnsatisfiable"] != "ScheduleAnyway").collect();
    // Only nodes with the labels of all constraints are counted.
    let keys: Vec<&str> = hard.iter().map(|c| topology_key(c)).collect();
    let of = |constraint: &&Value| {
        let counts = counts(cluster, pod, constraint, &keys);
        let wanted_domains = constraint["minDomains"].as_u64().unwrap_or(1) as usize;
        let enough = counts.len() >= wanted_domains;
        Spread {
            key: topology_key(constraint).to_owned(),
            least: if enough { counts.values().copied().min().unwrap_or(0) } else { 0 },
            own: i64::from(selects(&selector(constraint, pod), &pod["metadata"]["labels"])),
            max_skew: constraint["maxSkew"].as_i64().unwrap_or(1),
            counts,
        }
    };
    hard.iter().map(of).collect()
}

/// Matching pods in each domain of the nodes that count for the pod: those that it could use by its node affinity, and
/// with `nodeTaintsPolicy: Honor` by its tolerations.
pub(super) fn counts(
    cluster: &Cluster<'_>,
    pod: &Value,
    constraint: &Value,
    keys: &[&str],
) -> BTreeMap<String, i64> {
    let key = topology_key(constraint);
    let selector = selector(constraint, pod);
    // As in the real one, a selector that selects everything counts nothing.
    let all = selector.as_object().is_some_and(|parts| {
        parts.values().all(|p| {
            p.as_object().is_none_or(serde_json::Map::is_empty) && p.as_array().is_none_or(Vec::is_empty)
        })
    });
    let counts_for = |other: &Value| {
        is_alive(other)
            && other["metadata"]["namespace"] == pod["metadata"]["namespace"]
            && other["metadata"]["deletionTimestamp"].is_null()
            && selects(&selector, &other["metadata"]["labels"])
    };
    let mut counts: BTreeMap<String, i64> = BTreeMap::new();
    for node in cluster.store.list("nodes") {
        let Some(domain) = domain(node, key).filter(|_| keys.iter().all(|k| domain(node, k).is_some()))
        else {
            continue;
        };
        let by_affinity = constraint["nodeAffinityPolicy"] == "Ignore" || affine(pod, node);
        let by_taints = constraint["nodeTaintsPolicy"] != "Honor" || untolerated(pod, node).is_none();
        if by_affinity && by_taints {
            let name = node["metadata"]["name"].as_str().unwrap_or_default();
            let here = if all { 0 } else { cluster.store.pods_on(name).filter(|o| counts_for(o)).count() };
            *counts.entry(domain.to_owned()).or_default() += here as i64;
        }
    }
    counts
}

impl Cluster<'_> {
    /// Pods that are bound and not over.
    pub(super) fn placed(&self) -> impl Iterator<Item = &Object> {
        self.store
            .list("pods")
            .filter(|p| p["spec"]["nodeName"].as_str().is_some_and(|n| !n.is_empty()) && is_alive(p))
    }

    fn with_anti_affinity(&self) -> impl Iterator<Item = &Object> {
        self.anti_affine.iter().filter_map(|key| self.store.get_key("pods", key)).filter(|p| is_alive(p))
    }

    /// The domain of the node that a pod runs on.
    fn domain_of(&self, pod: &Value, key: &str) -> Option<Domain> {
        let node = self.store.get("nodes", "", pod["spec"]["nodeName"].as_str()?)?;
        domain(node, key).map(|value| (key.to_owned(), value.to_owned()))
    }
}
