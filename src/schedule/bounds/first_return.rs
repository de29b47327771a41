//! Bounds from the first return: until then every target is due itself or never due. (a′), (f).

use super::of_set::places;
use super::{Binding, Bound, free, tail};
use crate::schedule::facts::Facts;
use crate::schedule::instance::{Instance, Millis, Scope, Standing, UNLIMITED, Way};

/// (a′) and (f), where a first return can be told.
pub(super) fn bounds(instance: &Instance, facts: &Facts) -> Vec<Bound> {
    let Some(first) = first_return(instance, facts) else { return Vec::new() };
    let both = [migrations_ahead(instance, facts, first), limit_and_migrations(instance, facts, first)];
    both.into_iter().flatten().collect()
}

/// The earliest moment at which any node can be back: only nodes of groups that come first, or under way, are taken before.
fn first_return(instance: &Instance, facts: &Facts) -> Option<Millis> {
    facts.due.iter().filter(|n| facts.is_first(instance, **n)).map(|n| facts.away(instance, *n)).min()
}

/// The most migration work that fits on nodes that are never due, for good: a fractional knapsack in each resource.
fn fits_never_due(instance: &Instance, facts: &Facts) -> Millis {
    let never: Vec<u32> = (0..instance.nodes.len() as u32)
        .filter(|n| !instance.nodes.is_due(*n) && instance.nodes.standing[*n as usize] == Standing::InService)
        .collect();
    if never.is_empty() {
        return 0;
    }
    let moving: Vec<u32> = facts.due.iter().flat_map(|n| facts.items_on.of(*n)).copied().collect();
    let moving: Vec<u32> =
        moving.into_iter().filter(|i| instance.items.way[*i as usize] == Way::Migration).collect();
    let all: Millis = moving.iter().map(|i| instance.items.leave[*i as usize]).sum();
    let each = (0..instance.resources.len()).map(|resource| {
        let free: u64 = never.iter().map(|n| free(instance, facts, *n, resource)).sum();
        let mut sizes: Vec<(u64, Millis)> = moving
            .iter()
            .map(|i| (instance.demand(*i)[resource], instance.items.leave[*i as usize]))
            .collect();
        knapsack(free, &mut sizes)
    });
    each.min().unwrap_or(all).min(all)
}

/// The greatest value that fits, the last piece in part, rounded up.
fn knapsack(mut room: u64, pieces: &mut [(u64, Millis)]) -> Millis {
    pieces.sort_by(|a, b| (u128::from(b.1) * u128::from(a.0)).cmp(&(u128::from(a.1) * u128::from(b.0))));
    let mut value = 0;
    for (size, worth) in pieces {
        if *size <= room {
            room -= *size;
            value += *worth;
        } else {
            return value + (u128::from(*worth) * u128::from(room)).div_ceil(u128::from(*size)) as Millis;
        }
    }
    value
}

/// (a′) Until the first return every target is due itself or never due. What went to a due node must leave that again in full,
/// so at that moment all migrations but those onto nodes never due lie ahead. The bound grows with the moment of the first
/// return, so the earliest possible will do.
fn migrations_ahead(instance: &Instance, facts: &Facts, first: Millis) -> Option<Bound> {
    let slots = Millis::from(instance.slots.cluster);
    let work: Millis = facts.due.iter().map(|n| facts.work[*n as usize]).sum();
    if instance.slots.cluster == UNLIMITED || slots == 0 || work == 0 {
        return None;
    }
    let gone = fits_never_due(instance, facts).min(slots * first);
    let least_tail = facts.due.iter().map(|n| tail(instance, *n)).min().unwrap_or(0);
    let at_least = first + work.saturating_sub(gone).div_ceil(slots) + least_tail;
    (gone < work).then_some(Bound { at_least, binding: Binding::Migrations })
}

/// (f) As in (a′), at the first return T₁ all migration work W but what fits on nodes never due lies ahead, and a node moves at
/// most Q at once: W/Q node-seconds of drain. So do all heads but those of the at most k nodes that are in, all tails, and all
/// that lies between the last migration of a node and its tail, less what of these can be over by T₁. For that the j-th node must
/// have ended its migrations no earlier than ρ_j: the j-th least drain, and the j least works through P slots. All that shares k
/// places. A later first return adds to T₁ at least what it adds to H/k.
fn limit_and_migrations(instance: &Instance, facts: &Facts, first: Millis) -> Option<Bound> {
    let per_node = instance.slots.per_node.min(instance.slots.cluster);
    let limits = (0..instance.limits.len() as u32).filter(|l| {
        let members = &instance.limits[*l as usize];
        members.scope == Scope::Campaign && places(instance, *l) > 0
    });
    let limit = limits.min_by_key(|l| places(instance, *l))?;
    let standing = |n: &u32| instance.nodes.standing[*n as usize] == Standing::InService;
    if per_node == UNLIMITED || per_node == 0 || !facts.due.iter().all(standing) {
        return None;
    }
    let members = &instance.limits[limit as usize].members;
    if facts.due.len() > members.len() {
        return None;
    }
    let machines = places(instance, limit);
    let work: Millis = facts.due.iter().map(|n| facts.work[*n as usize]).sum();
    let work = work.saturating_sub(fits_never_due(instance, facts));
    let rest: Millis =
        facts.due.iter().map(|n| tail(instance, *n) + facts.after_migrations[*n as usize]).sum();
    let mut heads: Vec<Millis> = facts.due.iter().map(|n| instance.nodes.head[*n as usize]).collect();
    heads.sort_unstable_by(|a, b| b.cmp(a));
    let heads: Millis = heads.iter().skip(machines).sum();
    let over = over_before(instance, facts, first, machines);
    let ahead = (work.div_ceil(per_node.into()) + rest + heads).saturating_sub(over);
    let at_least = first + ahead.div_ceil(machines as Millis);
    Some(Bound { at_least, binding: Binding::LimitAndMigrations { limit } })
}

/// H: the most time after their migrations that nodes can have behind them when the first is back.
fn over_before(instance: &Instance, facts: &Facts, first: Millis, machines: usize) -> Millis {
    let mut drains: Vec<Millis> = Vec::new();
    let mut works: Vec<Millis> = Vec::new();
    for node in &facts.due {
        let n = *node as usize;
        drains.push(facts.drain[n] - facts.after_migrations[n]);
        works.push(facts.work[n]);
    }
    drains.sort_unstable();
    works.sort_unstable();
    let slots = instance.slots.cluster;
    let mut done = 0;
    let early = drains.iter().zip(&works).take(machines).map(|(drain, work)| {
        done += work;
        let through = if slots == UNLIMITED || slots == 0 { 0 } else { done / Millis::from(slots) };
        first.saturating_sub((*drain).max(through))
    });
    early.sum()
}
