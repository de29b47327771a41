//! The scheduler's filters, in the real one's order, each with the real one's words.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::cluster::Node;
use super::cycle::{Cycle, at};
use super::taints::{CORDON, tolerated};
use crate::sim::api::selects;
use crate::sim::json::{Text, Value};
use crate::sim::store::Store;

/// Why a node can't take a pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    pub reasons: Vec<Cow<'static, str>>,
    /// Whether it may help to move other pods out.
    pub may_help: bool,
}

fn refused(reason: &'static str, may_help: bool) -> Option<Refusal> {
    Some(Refusal { reasons: vec![reason.into()], may_help })
}

/// Why a node can't take a pod; `None` if it can.
pub(super) fn refusal(store: &Store, cycle: &Cycle<'_>, node: &Node) -> Option<Refusal> {
    let Some(object) = &node.object else {
        return refused("node not found", false);
    };
    if node.is_cordoned && !tolerated(&cycle.tolerations, &CORDON) {
        return refused("node(s) were unschedulable", false);
    }
    if cycle.pinned.is_some_and(|n| n != node.name) {
        return refused("node(s) didn't match the requested node name", false);
    }
    if !node.admits(&cycle.tolerations) {
        return refused("node(s) had untolerated taint(s)", false);
    }
    if !cycle.affinity.fits(node) {
        return refused("node(s) didn't match Pod's node affinity/selector", false);
    }
    ports(cycle, node)
        .or_else(|| resources(cycle, node))
        .or_else(|| cycle.claims.refusal(store, node, object))
        .or_else(|| spread(cycle, node))
        .or_else(|| inter_pod(cycle, node))
}

/// Node selector and required node affinity.
pub(in crate::sim) fn affine(pod: &Value, node: &Value) -> bool {
    let labels = &node["metadata"]["labels"];
    let mut selector = pod["spec"]["nodeSelector"].as_object().into_iter().flatten();
    if !selector.all(|(key, value)| &labels[key] == value) {
        return false;
    }
    let required = &pod["spec"]["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"];
    let Some(terms) = required["nodeSelectorTerms"].as_array() else {
        return true;
    };
    terms.iter().any(|term| node_term(term, node))
}

/// Whether a pod asks anything of a node's labels or name at all.
pub(super) fn has_affinity(pod: &Value) -> bool {
    let required = &pod["spec"]["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"];
    pod["spec"]["nodeSelector"].is_object() || required["nodeSelectorTerms"].is_array()
}

/// One term of a node selector: expressions over labels, and over `metadata.name`.
pub(super) fn node_term(term: &Value, node: &Value) -> bool {
    let expressions = term["matchExpressions"].as_array();
    let fields = term["matchFields"].as_array();
    if expressions.is_none_or(Vec::is_empty) && fields.is_none_or(Vec::is_empty) {
        return false;
    }
    let number = |v: &Value| v.as_str().and_then(|s| s.parse::<i64>().ok());
    let compared = |expression: &Value, actual: Option<&Value>, greater: bool| {
        let (Some(actual), Some(wanted)) = (actual.and_then(number), number(&expression["values"][0])) else {
            return false;
        };
        if greater { actual > wanted } else { actual < wanted }
    };
    let holds = |expression: &Value, actual: Option<&Value>| match expression["operator"].as_str() {
        Some("Gt") => compared(expression, actual, true),
        Some("Lt") => compared(expression, actual, false),
        _ => {
            let key = expression["key"].as_str().unwrap_or_default();
            let labels =
                actual.map_or_else(|| crate::sim::json::json!({}), |v| crate::sim::json::json!({key: v}));
            selects(&crate::sim::json::json!({"matchExpressions": [expression]}), &labels)
        }
    };
    let label = |e: &Value| node["metadata"]["labels"].get(e["key"].as_str().unwrap_or_default()).cloned();
    expressions.into_iter().flatten().all(|e| holds(e, label(e).as_ref()))
        && fields.into_iter().flatten().all(|e| holds(e, Some(&node["metadata"]["name"])))
}

fn ports(cycle: &Cycle<'_>, node: &Node) -> Option<Refusal> {
    let wanted = &cycle.pod.ports;
    if wanted.is_empty() {
        return None;
    }
    let any = |address: &str| address == "0.0.0.0";
    let clash = |(address, protocol, port): &(String, String, i64)| {
        wanted
            .iter()
            .any(|w| w.1 == *protocol && w.2 == *port && (w.0 == *address || any(&w.0) || any(address)))
    };
    let taken = node.pods.values().flat_map(|p| &p.ports).any(clash);
    if taken { refused("node(s) didn't have free ports for the requested pod ports", true) } else { None }
}

fn resources(cycle: &Cycle<'_>, node: &Node) -> Option<Refusal> {
    let (asked, has, used) = (&cycle.pod.asked, &node.has, &node.used);
    let mut refusal = Refusal { reasons: Vec::new(), may_help: true };
    if node.pods.len() as i64 + 1 > node.most_pods {
        refusal.reasons.push("Too many pods".into());
    }
    if !asked.is_nothing() {
        let mut look = |name: &str, asked: i64, has: i64, used: i64| {
            if asked > 0 && asked > has - used {
                refusal.reasons.push(format!("Insufficient {name}").into());
                refusal.may_help &= asked <= has;
            }
        };
        look("cpu", asked.cpu, has.cpu, used.cpu);
        look("memory", asked.memory, has.memory, used.memory);
        look("ephemeral-storage", asked.storage, has.storage, used.storage);
        for (name, amount) in &asked.others {
            let of = |map: &BTreeMap<Text, i64>| map.get(name).copied().unwrap_or(0);
            look(name, *amount, of(&has.others), of(&used.others));
        }
    }
    (!refusal.reasons.is_empty()).then_some(refusal)
}

/// Spread constraints that must hold.
fn spread(cycle: &Cycle<'_>, node: &Node) -> Option<Refusal> {
    for hard in &cycle.hard {
        let Some(here) = node.label(&hard.constraint.key) else {
            let why = "node(s) didn't match pod topology spread constraints (missing required label)";
            return refused(why, false);
        };
        let skew = hard.counts.get(here).copied().unwrap_or(0) + hard.own - hard.least();
        if skew > hard.constraint.max_skew {
            return refused("node(s) didn't match pod topology spread constraints", true);
        }
    }
    None
}

/// Required pod affinity and anti-affinity, the anti-affinity of pods that are there already included.
fn inter_pod(cycle: &Cycle<'_>, node: &Node) -> Option<Refusal> {
    let terms = &cycle.pod.terms;
    // A node without one of the labels is near nothing.
    let labelled = terms.near.iter().all(|t| node.label(&t.topology_key).is_some());
    let near = terms.near.iter().all(|t| at(&cycle.near, node, &t.topology_key) > 0);
    // The first of a group that wants to be near itself may go anywhere.
    let first = || cycle.means_itself && cycle.near.values().all(|values| values.values().all(|n| *n == 0));
    if !terms.near.is_empty() && !(labelled && (near || first())) {
        return refused("node(s) didn't match pod affinity rules", false);
    }
    if terms.apart.iter().any(|t| at(&cycle.apart, node, &t.topology_key) > 0) {
        return refused("node(s) didn't match pod anti-affinity rules", true);
    }
    if cycle.shunned_by.keys().any(|key| at(&cycle.shunned_by, node, key) > 0) {
        return refused("node(s) didn't satisfy existing pods anti-affinity rules", true);
    }
    None
}
