//! Orders to start from: simple rules, each good for some clusters.

use std::cmp::Reverse;

use crate::schedule::instance::{Goal, Millis, NONE};
use crate::schedule::model::Model;

/// Every rule's order; the first of equals is the one tried first.
pub(super) fn all(model: &Model<'_>) -> Vec<Vec<u32>> {
    let facts = &model.facts;
    let instance = model.instance;
    let critical = criticality(model);
    let away = |n: &u32| facts.away(instance, *n);
    let sorted = |key: &dyn Fn(&u32) -> Reverse<Millis>| {
        let mut order = facts.due.clone();
        order.sort_by_key(key);
        order
    };
    let weighed = sorted(&|n| Reverse(away(n) + critical[*n as usize] / 2));
    let mut orders = vec![
        opened(model, &weighed, opening(model).saturating_sub(1)),
        opened(model, &weighed, facts.due.len()),
        sorted(&|n| Reverse(away(n))),
        weighed,
        sorted(&|n| Reverse(critical[*n as usize])),
        sorted(&|n| Reverse(facts.drain[*n as usize])),
        sorted(&|n| Reverse(instance.nodes.tail[*n as usize])),
        facts.due.clone(),
    ];
    if instance.goal == Goal::Moves {
        orders.swap(0, 1);
    }
    orders
}

/// Nodes that keep all migration slots busy: P/Q.
pub(super) fn opening(model: &Model<'_>) -> usize {
    let slots = model.instance.slots;
    slots.cluster.div_ceil(slots.per_node.max(1)).max(1) as usize
}

/// The order with its `count` emptiest nodes put first: an early first return, and the least that must move twice. Where few
/// nodes come before all others (a canary), the emptiest of those that follow them too.
pub(super) fn opened(model: &Model<'_>, order: &[u32], count: usize) -> Vec<u32> {
    let facts = &model.facts;
    let depth = depths(model);
    let load = |n: &u32| (facts.vms[*n as usize], facts.work[*n as usize], facts.away(model.instance, *n));
    let mut by_load = order.to_vec();
    by_load.sort_by_key(|n| (depth[model.instance.nodes.group[*n as usize] as usize], load(n)));
    let mut first = vec![false; model.instance.nodes.len()];
    let mut opening = Vec::new();
    for level in by_load.chunk_by(|a, b| {
        depth[model.instance.nodes.group[*a as usize] as usize]
            == depth[model.instance.nodes.group[*b as usize] as usize]
    }) {
        opening.extend(level.iter().copied().take(count));
        if level.len() > count {
            break;
        }
    }
    for node in &opening {
        first[*node as usize] = true;
    }
    let rest = order.iter().copied().filter(|n| !first[*n as usize]);
    opening.iter().copied().chain(rest).collect()
}

/// Groups that each group comes after, in a row.
fn depths(model: &Model<'_>) -> Vec<u32> {
    let groups = &model.instance.groups;
    let mut depth = vec![0; groups.len()];
    for g in &model.facts.group_order {
        let before = groups[*g as usize].after.iter().map(|b| depth[*b as usize] + 1);
        depth[*g as usize] = before.max().unwrap_or(0);
    }
    depth
}

/// Σ r/d over a node's covered items: how long it occupies budgets that others need.
fn criticality(model: &Model<'_>) -> Vec<Millis> {
    let items = &model.instance.items;
    let mut critical = vec![0; model.instance.nodes.len()];
    for item in (0..items.len()).filter(|i| items.budget[*i] != NONE) {
        let units = Millis::from(model.facts.units[items.budget[item] as usize]).max(1);
        critical[items.node[item] as usize] += items.ready[item].max(items.leave[item]) / units;
    }
    critical
}
