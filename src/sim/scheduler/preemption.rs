//! Preemption: pods of lower priority go where that makes room for one that found no place.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use super::cluster::{Cluster, Node};
use super::cycle::Cycle;
use super::filter::refusal;
use super::labels::Selector;
use super::pod::PodInfo;
use super::{Refusals, set_condition};
use crate::sim::json::{Text, json};
use crate::sim::store::{DeleteOptions, Key, Store};

/// Who goes from a node.
struct Victims {
    node: String,
    pods: Vec<Arc<PodInfo>>,
    /// How many of them a budget would keep.
    violations: usize,
}

/// The more important first: by priority, then the longer running.
fn importance(pod: &Arc<PodInfo>) -> (std::cmp::Reverse<i64>, Text, Key) {
    let started = if pod.started.is_empty() { "9999".into() } else { pod.started.clone() };
    (std::cmp::Reverse(pod.priority), started, pod.key.clone())
}

/// Looks for a node where pods of lower priority can make room, deletes them and lets the pod wait for that node. Otherwise
/// says why it doesn't help.
pub(super) fn preempt(
    cluster: &Cluster,
    store: &mut Store,
    cycle: &Cycle<'_>,
    refusals: &Refusals<'_>,
    now: &str,
) -> Option<String> {
    if let Some(why) = ineligible(cluster, store, cycle, refusals) {
        return Some(why.to_owned());
    }
    let mut candidates = Vec::new();
    let mut reasons: BTreeMap<Cow<'static, str>, usize> = BTreeMap::new();
    for node in cluster.nodes(0) {
        let may_help = refusals.get(node.name.as_str()).is_some_and(|r| r.may_help);
        let found = if may_help {
            victims(store, cycle, node)
        } else {
            Err(vec!["Preemption is not helpful for scheduling".into()])
        };
        match found {
            Ok(victims) => candidates.push(victims),
            Err(why) => why.into_iter().for_each(|reason| *reasons.entry(reason).or_default() += 1),
        }
    }
    let Some(chosen) = candidates.into_iter().min_by_key(cost) else {
        return Some(super::message(cluster.len(), &reasons));
    };
    for victim in &chosen.pods {
        let says = "default-scheduler: preempting to accommodate a higher priority pod";
        store.modify("pods", &victim.key, |pod| {
            set_condition(&mut pod["status"], "DisruptionTarget", "True", "PreemptionByScheduler", says, now);
        });
        let _ = store.delete("pods", &victim.key, &DeleteOptions::default());
    }
    store.modify("pods", &cycle.pod.key, |pod| pod["status"]["nominatedNodeName"] = json!(chosen.node));
    None
}

/// Why a pod mustn't move others out.
fn ineligible(
    cluster: &Cluster,
    store: &Store,
    cycle: &Cycle<'_>,
    refusals: &Refusals<'_>,
) -> Option<&'static str> {
    let class = cycle.object["spec"]["priorityClassName"].as_str().unwrap_or_default();
    let class = store.get("priorityclasses.scheduling.k8s.io", "", class);
    let own = &cycle.object["spec"]["preemptionPolicy"];
    if own == "Never" || (own.is_null() && class.is_some_and(|c| c["preemptionPolicy"] == "Never")) {
        return Some("not eligible due to preemptionPolicy=Never.");
    }
    let nominated = cycle.object["status"]["nominatedNodeName"].as_str().unwrap_or_default();
    let hopeless = refusals.get(nominated).is_some_and(|r| !r.may_help);
    let node = cluster.node(nominated).filter(|_| !hopeless)?;
    let going = |p: &Arc<PodInfo>| p.priority < cycle.pod.priority && p.is_leaving && p.is_preempted;
    node.pods.values().any(going).then_some("not eligible due to a terminating pod on the nominated node.")
}

/// The fewest and least important pods whose absence lets the pod in; why there are none.
fn victims(store: &Store, cycle: &Cycle<'_>, node: &Node) -> Result<Victims, Vec<Cow<'static, str>>> {
    let mut lower: Vec<Arc<PodInfo>> =
        node.pods.values().filter(|p| p.priority < cycle.pod.priority).cloned().collect();
    if lower.is_empty() {
        return Err(vec!["No preemption victims found for incoming pod".into()]);
    }
    let (mut cycle, mut node) = (cycle.clone(), node.clone());
    for pod in &lower {
        node.remove(&pod.key);
        cycle.change(store, &node, pod, -1);
    }
    if let Some(refusal) = refusal(store, &cycle, &node) {
        return Err(refusal.reasons);
    }
    lower.sort_by_cached_key(importance);
    let (kept_by_budget, free) = by_budget(store, &lower);
    let mut victims = Vec::new();
    let mut violations = 0;
    for (pod, kept) in kept_by_budget.iter().map(|p| (p, true)).chain(free.iter().map(|p| (p, false))) {
        node.add(pod);
        cycle.change(store, &node, pod, 1);
        if refusal(store, &cycle, &node).is_some() {
            node.remove(&pod.key);
            cycle.change(store, &node, pod, -1);
            victims.push(pod.clone());
            violations += usize::from(kept);
        }
    }
    victims.sort_by_cached_key(importance);
    Ok(Victims { node: node.name.clone(), pods: victims, violations })
}

/// The pods whose loss a budget doesn't allow, and the others.
fn by_budget(store: &Store, pods: &[Arc<PodInfo>]) -> (Vec<Arc<PodInfo>>, Vec<Arc<PodInfo>>) {
    let mut allowed: BTreeMap<Key, i64> = BTreeMap::new();
    let mut kept = |pod: &Arc<PodInfo>| {
        let mut violated = false;
        for budget in store.list_in("poddisruptionbudgets.policy", &pod.key.namespace) {
            let selector = Selector::read(&budget["spec"]["selector"]);
            let counted = budget["status"]["disruptedPods"].get(&pod.key.name).is_some();
            if selector.is_everything() || !selector.selects(&pod.labels) || counted {
                continue;
            }
            let left = allowed
                .entry(Key::of(budget))
                .or_insert_with(|| budget["status"]["disruptionsAllowed"].as_i64().unwrap_or(0));
            *left -= 1;
            violated |= *left < 0;
        }
        violated
    };
    pods.iter().cloned().partition(|pod| kept(pod))
}

/// What losing them costs, the real scheduler's criteria in its order.
fn cost(victims: &Victims) -> (usize, i64, i64, usize, std::cmp::Reverse<Text>) {
    let highest = victims.pods.iter().map(|p| p.priority).max().unwrap_or(i64::MIN);
    let sum = victims.pods.iter().map(|p| p.priority + (1 << 31)).sum();
    // Of the most important victims the one that has run longest; the later it began, the better.
    let started = victims.pods.iter().filter(|p| p.priority == highest).map(|p| p.started.clone());
    (
        victims.violations,
        highest,
        sum,
        victims.pods.len(),
        std::cmp::Reverse(started.min().unwrap_or_default()),
    )
}
