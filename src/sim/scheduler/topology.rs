//! Filters over topology domains: pod affinity, anti-affinity and spread.

use std::collections::BTreeMap;

use serde_json::Value;

use super::Cluster;
use crate::sim::api::selects;
use crate::sim::store::Object;

fn domain<'a>(node: &'a Value, key: &str) -> Option<&'a str> {
    node["metadata"]["labels"][key].as_str()
}

fn is_alive(pod: &Value) -> bool {
    !matches!(pod["status"]["phase"].as_str(), Some("Succeeded" | "Failed"))
}

/// Pods that a term means: by namespaces and labels.
fn meant(term: &Value, owner: &Value, other: &Value) -> bool {
    let namespace = &other["metadata"]["namespace"];
    let named = match term["namespaces"].as_array().filter(|n| !n.is_empty()) {
        Some(list) => list.contains(namespace),
        None => namespace == &owner["metadata"]["namespace"],
    };
    named && selects(&term["labelSelector"], &other["metadata"]["labels"])
}

fn required<'a>(pod: &'a Value, kind: &str) -> impl Iterator<Item = &'a Value> + use<'a> {
    let terms = &pod["spec"]["affinity"][kind]["requiredDuringSchedulingIgnoredDuringExecution"];
    terms.as_array().into_iter().flatten()
}

/// Required pod affinity and anti-affinity, the anti-affinity of pods that are there already included.
pub(super) fn inter_pod(cluster: &Cluster<'_>, pod: &Value, node: &Value) -> Option<String> {
    for term in required(pod, "podAffinity") {
        let key = term["topologyKey"].as_str().unwrap_or_default();
        let here = domain(node, key)?.to_owned();
        let others: Vec<&Object> = cluster.placed().filter(|o| meant(term, pod, o)).collect();
        let near = others.iter().any(|o| cluster.domain_of(o, key).as_deref() == Some(&here));
        // The first of a group that wants to be near itself may go anywhere.
        let first = others.is_empty() && meant(term, pod, pod);
        if !near && !first {
            return Some("node(s) didn't match pod affinity rules".to_owned());
        }
    }
    for term in required(pod, "podAntiAffinity") {
        let key = term["topologyKey"].as_str().unwrap_or_default();
        let Some(here) = domain(node, key) else { continue };
        if cluster.placed().any(|o| meant(term, pod, o) && cluster.domain_of(o, key).as_deref() == Some(here))
        {
            return Some("node(s) didn't match pod anti-affinity rules".to_owned());
        }
    }
    for other in cluster.with_anti_affinity() {
        for term in required(other, "podAntiAffinity") {
            let key = term["topologyKey"].as_str().unwrap_or_default();
            let Some(here) = domain(node, key) else { continue };
            if meant(term, other, pod) && cluster.domain_of(other, key).as_deref() == Some(here) {
                return Some("node(s) didn't satisfy existing pods anti-affinity rules".to_owned());
            }
        }
    }
    None
}

/// Matching pods in each domain of the nodes that the pod could use.
pub(super) fn counts(cluster: &Cluster<'_>, pod: &Value, constraint: &Value) -> BTreeMap<String, i64> {
    let key = constraint["topologyKey"].as_str().unwrap_or_default();
    let mut counts: BTreeMap<String, i64> = BTreeMap::new();
    // nodeAffinityPolicy: Honor and nodeTaintsPolicy: Ignore are the defaults.
    for node in cluster.store.list("nodes").filter(|n| super::filter::affine(pod, n)) {
        if let Some(domain) = domain(node, key) {
            counts.entry(domain.to_owned()).or_default();
        }
    }
    for other in cluster.placed() {
        let same = other["metadata"]["namespace"] == pod["metadata"]["namespace"];
        if same
            && other["metadata"]["deletionTimestamp"].is_null()
            && selects(&constraint["labelSelector"], &other["metadata"]["labels"])
            && let Some(count) = cluster.domain_of(other, key).and_then(|d| counts.get_mut(&d))
        {
            *count += 1;
        }
    }
    counts
}

/// Spread constraints that must hold.
pub(super) fn spread(cluster: &Cluster<'_>, pod: &Value, node: &Value) -> Option<String> {
    let constraints = pod["spec"]["topologySpreadConstraints"].as_array().into_iter().flatten();
    for constraint in constraints.filter(|c| c["whenUnsatisfiable"] != "ScheduleAnyway") {
        let key = constraint["topologyKey"].as_str().unwrap_or_default();
        let Some(here) = domain(node, key) else {
            return Some(
                "node(s) didn't match pod topology spread constraints (missing required label)".to_owned(),
            );
        };
        let counts = counts(cluster, pod, constraint);
        let wanted_domains = constraint["minDomains"].as_u64().unwrap_or(1) as usize;
        let least =
            if counts.len() < wanted_domains { 0 } else { counts.values().copied().min().unwrap_or(0) };
        let own = i64::from(selects(&constraint["labelSelector"], &pod["metadata"]["labels"]));
        let skew = counts.get(here).copied().unwrap_or(0) + own - least;
        if skew > constraint["maxSkew"].as_i64().unwrap_or(1) {
            return Some("node(s) didn't match pod topology spread constraints".to_owned());
        }
    }
    None
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
    fn domain_of(&self, pod: &Value, key: &str) -> Option<String> {
        let node = self.store.get("nodes", "", pod["spec"]["nodeName"].as_str()?)?;
        domain(node, key).map(str::to_owned)
    }
}
