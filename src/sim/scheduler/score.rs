//! Scores: which of the nodes that would do is best, by weights and formulas of the real default profile (without the
//! locality of images, which nodes here don't have).

use std::collections::BTreeMap;

use super::cluster::{ByNode, Cluster, HOST, Node, Says, ZONE};
use super::cycle::{Constraint, Counts, Cycle, at, meant};
use super::filter::node_term;
use super::labels::Selector;
use super::taints::tolerated;
use crate::sim::json::Value;
use crate::sim::store::{Store, mix_text};

const BEST: i64 = 100;

/// What a pod wishes for, asked before nodes are looked at one by one.
pub(super) struct Wishes {
    preferences: Preferences,
    /// Each with the number of its tally.
    spread: Vec<(Constraint, usize)>,
}

impl Wishes {
    pub fn of(cluster: &mut Cluster, store: &Store, cycle: &Cycle<'_>) -> Self {
        let preferences = Preferences::of(cluster, store, cycle);
        let mut tallied = |constraint: Constraint| {
            let namespaces = vec![cycle.pod.key.namespace.to_string()];
            let tally = cluster.tally(namespaces, constraint.selector.clone(), false);
            (constraint, tally)
        };
        let spread = constraints(store, cycle.object).into_iter().map(&mut tallied).collect();
        Self { preferences, spread }
    }
}

/// The best of these nodes; ties are broken by a hash of seed and pod, so that they are spread but repeatable.
pub(super) fn best<'a>(
    cluster: &Cluster,
    store: &Store,
    cycle: &Cycle<'_>,
    wishes: Wishes,
    nodes: &[&'a Node],
) -> Option<&'a Node> {
    if nodes.len() < 2 {
        return nodes.first().copied();
    }
    let spread = Soft::of(cluster, cycle, &wishes.spread, nodes);
    let mut totals: Vec<i64> =
        nodes.iter().map(|node| least_allocated(cycle, node) + balanced(cycle, node)).collect();
    let mut add = |weight: i64, scores: Option<Vec<i64>>| {
        for (total, score) in totals.iter_mut().zip(scores.into_iter().flatten()) {
            *total += weight * score;
        }
    };
    add(3, Some(taints(cycle, nodes)));
    add(2, node_affinity(cycle, nodes));
    add(2, spread.map(|s| s.scores()));
    add(2, wishes.preferences.scores(nodes));
    let most = totals.iter().copied().max()?;
    let pod = &cycle.pod.key;
    let first = nodes.iter().zip(&totals).filter(|(_, total)| **total == most).map(|(node, _)| *node);
    first.max_by_key(|node| {
        (mix_text(store.seed(), &[&pod.namespace, &pod.name, &node.name]), node.name.as_str())
    })
}

/// The share of CPU and memory that stays free, 0 to 100.
fn least_allocated(cycle: &Cycle<'_>, node: &Node) -> i64 {
    let free = |used: i64, more: i64, has: i64| match has {
        0 => None,
        has if used + more > has => Some(0),
        has => Some((has - used - more) * BEST / has),
    };
    let (cpu, memory) = cycle.pod.weight;
    let scores = [free(node.weight.0, cpu, node.has.cpu), free(node.weight.1, memory, node.has.memory)];
    let count = scores.iter().flatten().count() as i64;
    if count == 0 { 0 } else { scores.iter().flatten().sum::<i64>() / count }
}

/// Whether the pod evens out the use of CPU and memory: 75 if nothing changes. A pod that asks for neither isn't scored.
fn balanced(cycle: &Cycle<'_>, node: &Node) -> i64 {
    let asked = &cycle.pod.asked;
    if asked.cpu == 0 && asked.memory == 0 {
        return 0;
    }
    let evenness = |cpu: i64, memory: i64| {
        let fraction = |used: i64, has: i64| (used as f64 / has as f64).min(1.0);
        let deviation = if node.has.cpu > 0 && node.has.memory > 0 {
            ((fraction(cpu, node.has.cpu) - fraction(memory, node.has.memory)) / 2.0).abs()
        } else {
            0.0
        };
        ((1.0 - deviation) * BEST as f64) as i64
    };
    let with = evenness(node.used.cpu + asked.cpu, node.used.memory + asked.memory);
    let without = evenness(node.used.cpu, node.used.memory);
    BEST / 2 + (BEST / 2 + with - without) / 2
}

/// Scaled so that the highest is 100, or turned round.
fn normalised(scores: Vec<i64>, reverse: bool) -> Vec<i64> {
    let highest = scores.iter().copied().max().unwrap_or(0);
    let scaled = |score: i64| if highest == 0 { 0 } else { BEST * score / highest };
    scores.into_iter().map(|s| if reverse { BEST - scaled(s) } else { scaled(s) }).collect()
}

/// The fewer soft taints that the pod doesn't tolerate, the better.
fn taints(cycle: &Cycle<'_>, nodes: &[&Node]) -> Vec<i64> {
    let count =
        |node: &&Node| node.soft_taints.iter().filter(|t| !tolerated(&cycle.tolerations, t)).count() as i64;
    normalised(nodes.iter().map(count).collect(), true)
}

/// The weights of the preferred terms that a node meets.
fn node_affinity(cycle: &Cycle<'_>, nodes: &[&Node]) -> Option<Vec<i64>> {
    let affinity = &cycle.object["spec"]["affinity"]["nodeAffinity"];
    let terms =
        affinity["preferredDuringSchedulingIgnoredDuringExecution"].as_array().filter(|t| !t.is_empty())?;
    let met = |node: &&Node| {
        let object = node.object.as_deref().unwrap_or(&Value::Null);
        // A preference that asks for nothing is met by all.
        let empty = |t: &Value| {
            let none = |f: &str| t["preference"][f].as_array().is_none_or(Vec::is_empty);
            none("matchExpressions") && none("matchFields")
        };
        let met = terms.iter().filter(|t| !empty(t) && node_term(&t["preference"], object));
        met.map(|t| t["weight"].as_i64().unwrap_or(0)).sum()
    };
    Some(normalised(nodes.iter().map(met).collect(), false))
}

/// Preferences for and against other pods, the pod's own and theirs.
struct Preferences {
    counts: Counts,
}

impl Preferences {
    fn of(cluster: &mut Cluster, store: &Store, cycle: &Cycle<'_>) -> Self {
        let mut counts = Counts::new();
        let mut add = |cluster: &Cluster, by_node: &ByNode, key: &str, weight: i64| {
            for (place, count) in by_node {
                let Some(value) = cluster.at(*place).and_then(|n| n.label(key)) else { continue };
                *counts.entry(key.to_owned()).or_default().entry(value.to_owned()).or_default() +=
                    weight * count;
            }
        };
        let terms = &cycle.pod.terms;
        for (sign, list) in [(1, &terms.prefers_near), (-1, &terms.prefers_apart)] {
            for (weight, term) in list {
                let by_node = meant(cluster, store, &[term]);
                add(cluster, &by_node, &term.topology_key, sign * weight);
            }
        }
        for group in cluster.groups(&cycle.pod.labels) {
            let weight = match group.says {
                Says::MustBeNear => 1,
                Says::MustBeApart => continue,
                Says::Wants(weight) => weight,
            };
            if group.term.means(store, cycle.pod) {
                add(cluster, &group.by_node, &group.term.topology_key, weight);
            }
        }
        Self { counts }
    }

    /// Between the worst, 0, and the best, 100.
    fn scores(&self, nodes: &[&Node]) -> Option<Vec<i64>> {
        if self.counts.is_empty() {
            return None;
        }
        let scores: Vec<i64> = nodes
            .iter()
            .map(|node| self.counts.keys().map(|key| at(&self.counts, node, key)).sum())
            .collect();
        let (worst, best) = (scores.iter().copied().min()?, scores.iter().copied().max()?);
        let scaled = |s: i64| {
            if best == worst {
                0
            } else {
                (BEST as f64 * ((s - worst) as f64 / (best - worst) as f64)) as i64
            }
        };
        Some(scores.into_iter().map(scaled).collect())
    }
}

/// A pod with constraints of its own.
fn has_constraints(pod: &Value) -> bool {
    pod["spec"]["topologySpreadConstraints"].as_array().is_some_and(|all| !all.is_empty())
}

/// The spread constraints that are only wished for.
fn constraints(store: &Store, pod: &Value) -> Vec<Constraint> {
    if has_constraints(pod) { Constraint::of(pod, false) } else { by_default(store, pod) }
}

/// What a spread constraint says of the nodes in question.
struct Spread {
    /// How many pods there are in the domain of each; `None` for one without the label.
    counts: Vec<Option<i64>>,
    /// Of its topology.
    weight: f64,
    max_skew: i64,
}

/// All spread constraints that are only wished for.
struct Soft {
    spreads: Vec<Spread>,
    /// Which of the nodes are scored: those with the labels of all constraints, if they are the pod's own.
    scored: Vec<bool>,
}

impl Soft {
    fn of(
        cluster: &Cluster,
        cycle: &Cycle<'_>,
        constraints: &[(Constraint, usize)],
        nodes: &[&Node],
    ) -> Option<Self> {
        if constraints.is_empty() {
            return None;
        }
        let needs_all = has_constraints(cycle.object);
        let is_scored =
            |node: &Node| !needs_all || constraints.iter().all(|(c, _)| node.label(&c.key).is_some());
        let scored: Vec<bool> = nodes.iter().map(|node| is_scored(node)).collect();
        let spread = |(constraint, tally): &(Constraint, usize)| {
            let tally = cluster.tallied(*tally);
            if constraint.key == HOST {
                return by_host(constraint, tally, nodes, &scored);
            }
            let with_pods = tally.keys().filter_map(|place| cluster.at(*place));
            let counted = with_pods.filter(|node| {
                is_scored(node) && constraint.includes(&cycle.affinity, &cycle.tolerations, node)
            });
            by_domain(constraint, counted.map(|node| (node, constraint.count(tally, node))), nodes, &scored)
        };
        Some(Self { spreads: constraints.iter().map(spread).collect(), scored })
    }

    fn scores(&self) -> Vec<i64> {
        let each = self.scored.iter().enumerate();
        let raw: Vec<Option<i64>> = each.map(|(at, scored)| scored.then(|| self.raw(at))).collect();
        let least = raw.iter().flatten().copied().min().unwrap_or(0);
        let most = raw.iter().flatten().copied().max().unwrap_or(0);
        let scaled = |raw: Option<i64>| match raw {
            None => 0,
            Some(_) if most == 0 => BEST,
            Some(raw) => BEST * (most + least - raw) / most,
        };
        raw.into_iter().map(scaled).collect()
    }

    fn raw(&self, at: usize) -> i64 {
        let mut score = 0.0;
        for spread in &self.spreads {
            let Some(count) = spread.counts[at] else { continue };
            score += count as f64 * spread.weight + (spread.max_skew - 1) as f64;
        }
        score.round() as i64
    }
}

/// Every node is a domain of its own.
fn by_host(constraint: &Constraint, tally: &ByNode, nodes: &[&Node], scored: &[bool]) -> Spread {
    let count = |node: &&Node| node.label(HOST).map(|_| constraint.count(tally, node));
    let domains = scored.iter().filter(|scored| **scored).count();
    Spread {
        counts: nodes.iter().map(count).collect(),
        weight: (domains as f64 + 2.0).ln(),
        max_skew: constraint.max_skew,
    }
}

/// Domains are those of the nodes that are scored. `counted`: nodes with pods, and how many.
fn by_domain<'a>(
    constraint: &Constraint,
    counted: impl Iterator<Item = (&'a Node, i64)>,
    nodes: &[&'a Node],
    scored: &[bool],
) -> Spread {
    let domain = |node: &'a Node| node.label(&constraint.key);
    let mut numbers: BTreeMap<&str, usize> = BTreeMap::new();
    let mut number = |(node, scored): (&&'a Node, &bool)| {
        let next = numbers.len();
        scored.then(|| *numbers.entry(domain(node).unwrap_or_default()).or_insert(next))
    };
    let domains: Vec<Option<usize>> = nodes.iter().zip(scored).map(&mut number).collect();
    let mut pods = vec![0; numbers.len()];
    for (node, count) in counted {
        if let Some(number) = numbers.get(domain(node).unwrap_or_default()) {
            pods[*number] += count;
        }
    }
    let count = |(node, number): (&&'a Node, Option<usize>)| domain(node).and(Some(pods[number?]));
    Spread {
        counts: nodes.iter().zip(domains).map(count).collect(),
        weight: (numbers.len() as f64 + 2.0).ln(),
        max_skew: constraint.max_skew,
    }
}

/// For pods without constraints: spread over hosts and zones among the pods of the same service and owner.
fn by_default(store: &Store, pod: &Value) -> Vec<Constraint> {
    let namespace = pod["metadata"]["namespace"].as_str().unwrap_or_default();
    let labels = &pod["metadata"]["labels"];
    let mut selector = Selector::read(&crate::sim::json::json!({}));
    for service in store.services_of(namespace, labels) {
        selector.add_labels(&service["spec"]["selector"]);
    }
    let owners = pod["metadata"]["ownerReferences"].as_array().into_iter().flatten();
    if let Some(owner) = owners.into_iter().find(|o| o["controller"] == true) {
        let name = owner["name"].as_str().unwrap_or_default();
        match owner["kind"].as_str() {
            Some("ReplicationController") => {
                if let Some(found) = store.get("replicationcontrollers", namespace, name) {
                    selector.add_labels(&found["spec"]["selector"]);
                }
            }
            Some(kind @ ("ReplicaSet" | "StatefulSet")) => {
                let resource = if kind == "ReplicaSet" { "replicasets.apps" } else { "statefulsets.apps" };
                if let Some(found) = store.get(resource, namespace, name) {
                    selector = selector.and(&Selector::read(&found["spec"]["selector"]));
                }
            }
            _ => {}
        }
    }
    if selector.is_everything() {
        return Vec::new();
    }
    let of = |key: &str, max_skew: i64| Constraint {
        key: key.to_owned(),
        selector: selector.clone(),
        max_skew,
        least_domains: 1,
        by_affinity: true,
        by_taints: false,
    };
    vec![of(HOST, 3), of(ZONE, 5)]
}
