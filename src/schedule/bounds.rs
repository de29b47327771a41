//! Proven lower bounds: no schedule of the model ends earlier, whatever its order, and none makes fewer extra moves.
//!
//! Source: the formulation in the reference on planning (there (a) to (f)); (c) is the classical bound of parallel machines, its
//! second form a pigeonhole. Every bound says in its documentation why it holds. They assume what the planner itself keeps: an
//! item leaves only while its node drains, and never without a place to go to.

use super::facts::{Facts, least_hold};
use super::instance::{Instance, Landing, Millis, NONE, Scope, Standing, UNLIMITED, Way};

/// Which constraint a bound is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Binding {
    /// (b) One node alone takes so long.
    Chain {
        /// The node.
        node: u32,
    },
    /// (c) So many nodes through so few places under a limit.
    Limit {
        /// Index of the limit.
        limit: u32,
    },
    /// (a), (a′) All migrations through the cluster's slots.
    Migrations,
    /// (c′) Empty nodes and VMs that hold two places use up free capacity.
    Capacity {
        /// Index of the resource.
        resource: u32,
    },
    /// (d) A budget's evictions one after the other.
    Budget {
        /// Index of the budget.
        budget: u32,
    },
    /// (e) Groups one after the other.
    Groups {
        /// The group that begins last of the chain.
        group: u32,
    },
    /// (f) The limit on nodes together with the migrations out of each.
    LimitAndMigrations {
        /// Index of the limit.
        limit: u32,
    },
}

/// A lower bound on the makespan, and what it is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Bound {
    /// No schedule ends earlier.
    pub at_least: Millis,
    /// Why.
    pub binding: Binding,
}

/// Lower bounds of an instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bounds {
    /// The largest of each kind, the largest first. Empty: nothing is due.
    pub all: Vec<Bound>,
}

impl Bounds {
    /// All bounds of the instance.
    pub fn new(instance: &Instance, facts: &Facts) -> Self {
        let mut all = Vec::new();
        let due: Vec<u32> = facts.due.clone();
        if due.is_empty() {
            return Self { all };
        }
        of_set(instance, facts, &due, &mut all);
        all.extend(
            first_return(instance, facts)
                .into_iter()
                .flat_map(|first| {
                    [migrations_ahead(instance, facts, first), limit_and_migrations(instance, facts, first)]
                })
                .flatten(),
        );
        all.extend(capacity(instance, facts));
        all.extend(groups(instance, facts));
        all.sort_by_key(|bound| (std::cmp::Reverse(bound.at_least), bound.binding));
        Self { all }
    }

    /// Gives nodes and budgets other ids.
    pub(super) fn rename(&mut self, to_node: impl Fn(u32) -> u32, to_budget: impl Fn(u32) -> u32) {
        for bound in &mut self.all {
            match &mut bound.binding {
                Binding::Chain { node } => *node = to_node(*node),
                Binding::Budget { budget } => *budget = to_budget(*budget),
                Binding::Limit { .. }
                | Binding::Migrations
                | Binding::Capacity { .. }
                | Binding::Groups { .. }
                | Binding::LimitAndMigrations { .. } => {}
            }
        }
    }

    /// The makespan's lower bound; 0 if nothing is due.
    pub fn makespan(&self) -> Millis {
        self.all.first().map_or(0, |bound| bound.at_least)
    }

    /// What binds.
    pub fn binding(&self) -> Option<Binding> {
        self.all.first().map(|bound| bound.binding)
    }
}

fn tail(instance: &Instance, node: u32) -> Millis {
    instance.nodes.tail[node as usize]
}

/// The bounds that hold for any set of nodes on its own: (a), (b), (c), (d), each the largest of its kind.
fn of_set(instance: &Instance, facts: &Facts, set: &[u32], out: &mut Vec<Bound>) {
    out.extend(chain(instance, facts, set));
    out.extend(migrations(instance, facts, set));
    let limits = (0..instance.limits.len() as u32).filter_map(|l| width(instance, facts, l, set));
    out.extend(limits.max_by_key(|bound| (bound.at_least, std::cmp::Reverse(bound.binding))));
    out.extend(budgets(instance, facts, set));
}

/// (b) A node is away for its head, its least drain and its tail.
fn chain(instance: &Instance, facts: &Facts, set: &[u32]) -> Option<Bound> {
    let longest = set.iter().max_by_key(|n| (facts.away(instance, **n), std::cmp::Reverse(**n)))?;
    Some(Bound { at_least: facts.away(instance, *longest), binding: Binding::Chain { node: *longest } })
}

/// (a) Migrations of nodes with a tail of at least q, for every q: at most P run at once, and the last of these nodes still has
/// its tail ahead when its last migration ends; none begins before the least head.
fn migrations(instance: &Instance, facts: &Facts, set: &[u32]) -> Option<Bound> {
    let slots = instance.slots.cluster;
    let mut with: Vec<u32> = set.iter().copied().filter(|n| facts.work[*n as usize] > 0).collect();
    if slots == UNLIMITED || slots == 0 || with.is_empty() {
        return None;
    }
    let head = with.iter().map(|n| instance.nodes.head[*n as usize]).min().unwrap_or(0);
    with.sort_by_key(|n| std::cmp::Reverse(tail(instance, *n)));
    let mut work = 0;
    let at_least = with.iter().map(|n| {
        work += facts.work[*n as usize];
        head + work.div_ceil(slots.into()) + tail(instance, *n)
    });
    Some(Bound { at_least: at_least.max()?, binding: Binding::Migrations })
}

/// Places that a limit leaves to nodes in maintenance: those who are out for other reasons take theirs the whole time.
fn places(instance: &Instance, limit: u32) -> usize {
    let limit = &instance.limits[limit as usize];
    let out = limit.members.iter().filter(|n| instance.nodes.standing[**n as usize] == Standing::Out).count();
    (limit.most as usize).saturating_sub(out)
}

/// Members of a limit that take a place under it while they are away.
fn jobs(instance: &Instance, limit: u32, set: &[u32]) -> Vec<u32> {
    let members = &instance.limits[limit as usize].members;
    let mut inside = vec![false; instance.nodes.len()];
    for node in set {
        inside[*node as usize] = true;
    }
    // A node under way may stand beyond its limit, if the limit has shrunk since; it is no job then.
    let counts = |n: &u32| inside[*n as usize] && instance.nodes.standing[*n as usize] == Standing::InService;
    members.iter().copied().filter(counts).collect()
}

/// (c) The limit's nodes are jobs on k machines: Σo/k; and of the j·k+1 longest, j+1 share a machine (pigeonhole), which are at
/// least as long as the j+1 shortest of them.
fn width(instance: &Instance, facts: &Facts, limit: u32, set: &[u32]) -> Option<Bound> {
    let machines = places(instance, limit);
    let mut away: Vec<Millis> =
        jobs(instance, limit, set).into_iter().map(|n| facts.away(instance, n)).collect();
    if machines == 0 || away.is_empty() {
        return None;
    }
    away.sort_unstable_by(|a, b| b.cmp(a));
    let mut at_least = away.iter().sum::<Millis>().div_ceil(machines as Millis);
    for rounds in 1..=(away.len() - 1) / machines {
        let last = rounds * machines;
        at_least = at_least.max(away[last - rounds..=last].iter().sum());
    }
    Some(Bound { at_least, binding: Binding::Limit { limit } })
}

/// (d) Of a budget's d+1 evictions, two begin at least r apart, the least time that one holds its unit, so the m-th begins no
/// earlier than (⌈m/d⌉−1)·r; its grace and the tail of its node follow. Likewise all holds together fill at most d units until
/// the last of them, which outlasts the makespan by no more than its own excess over grace and tail.
fn budgets(instance: &Instance, facts: &Facts, set: &[u32]) -> Option<Bound> {
    let mut covered = vec![Covered::default(); instance.budgets.len()];
    for node in set {
        let tail = tail(instance, *node);
        for item in facts.items_on.of(*node) {
            let budget = instance.items.budget[*item as usize];
            if budget != NONE {
                covered[budget as usize]
                    .add(least_hold(instance, *item, tail), instance.items.leave[*item as usize] + tail);
            }
        }
    }
    let bounds = covered.iter().enumerate().filter_map(|(budget, covered)| {
        let at_least = covered.at_least(facts.units[budget])?;
        Some(Bound { at_least, binding: Binding::Budget { budget: budget as u32 } })
    });
    bounds.max_by_key(|bound| (bound.at_least, std::cmp::Reverse(bound.binding)))
}

/// What a budget covers on the nodes looked at.
#[derive(Clone)]
struct Covered {
    count: Millis,
    least_hold: Millis,
    least_rest: Millis,
    holds: Millis,
    excess: i64,
}

impl Default for Covered {
    fn default() -> Self {
        Self { count: 0, least_hold: Millis::MAX, least_rest: Millis::MAX, holds: 0, excess: i64::MIN }
    }
}

impl Covered {
    /// `rest`: from the start of the eviction until the node is back, at least.
    fn add(&mut self, hold: Millis, rest: Millis) {
        self.count += 1;
        self.least_hold = self.least_hold.min(hold);
        self.least_rest = self.least_rest.min(rest);
        self.holds += hold;
        self.excess = self.excess.max(hold as i64 - rest as i64);
    }

    fn at_least(&self, units: u32) -> Option<Millis> {
        if self.count == 0 || units == 0 {
            return None;
        }
        let rounds = (self.count.div_ceil(units.into()) - 1) * self.least_hold + self.least_rest;
        let filled = self.holds.div_ceil(units.into()) as i64 - self.excess;
        Some(rounds.max(filled.max(0) as Millis))
    }
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

/// Free capacity of a node at time 0.
fn free(instance: &Instance, facts: &Facts, node: u32, resource: usize) -> u64 {
    let taken: u64 = facts.items_on.of(node).iter().map(|i| instance.demand(*i)[resource]).sum();
    instance.capacity(node)[resource].saturating_sub(taken)
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

/// (c′) A node in its tail wastes its capacity; an item that leaves holds two places meanwhile. Both together never exceed what
/// is free when every item has one place, so their integral is at most that times the makespan.
fn capacity(instance: &Instance, facts: &Facts) -> Option<Bound> {
    let bounds = (0..instance.resources.len()).filter_map(|resource| {
        let (mut offered, mut taken, mut wasted) = (0u128, 0u128, 0u128);
        for node in 0..instance.nodes.len() as u32 {
            let out = instance.nodes.standing[node as usize] == Standing::Out;
            let due = instance.nodes.is_due(node);
            if out && !due {
                continue;
            }
            let has = u128::from(instance.capacity(node)[resource]);
            offered += has;
            if due && !out {
                wasted += has * u128::from(tail(instance, node));
            }
            for item in facts.items_on.of(node) {
                if instance.items.landing[*item as usize] == Landing::Elsewhere {
                    let size = u128::from(instance.demand(*item)[resource]);
                    taken += size;
                    wasted += if due { size * u128::from(instance.items.leave[*item as usize]) } else { 0 };
                }
            }
        }
        let free = offered.checked_sub(taken).filter(|free| *free > 0)?;
        let at_least = Millis::try_from(wasted.div_ceil(free)).ok()?;
        Some(Bound { at_least, binding: Binding::Capacity { resource: resource as u32 } })
    });
    bounds.max_by_key(|bound| (bound.at_least, std::cmp::Reverse(bound.binding)))
}

/// (e) A group begins when all it comes after are through and have soaked; what it and all after it need lies ahead then. If one
/// node alone comes before everything, no node is back until then, so all work lies ahead as in (a′).
fn groups(instance: &Instance, facts: &Facts) -> Option<Bound> {
    let count = instance.groups.len();
    let mut nodes: Vec<Vec<u32>> = vec![Vec::new(); count];
    for node in &facts.due {
        let group = instance.nodes.group[*node as usize] as usize;
        // A node under way has begun, whatever its group waits for.
        let early = instance.nodes.standing[*node as usize] == Standing::UnderWay;
        if !early || instance.groups[group].after.is_empty() {
            nodes[group].push(*node);
        }
    }
    let mut begin = vec![0; count];
    let mut end = vec![0; count];
    let mut best: Option<Bound> = None;
    for group in &facts.group_order {
        let g = *group as usize;
        begin[g] = instance.groups[g].after.iter().map(|b| end[*b as usize]).max().unwrap_or(0);
        let own = strongest(instance, facts, &nodes[g]);
        end[g] = begin[g] + own + instance.groups[g].soak;
        if begin[g] == 0 || nodes[g].is_empty() {
            continue;
        }
        let later = after(instance, facts, *group);
        let set: Vec<u32> = later.iter().flat_map(|g| nodes[*g as usize].iter().copied()).collect();
        let mut at_least = begin[g] + strongest(instance, facts, &set);
        if facts.due.len() == set.len() + 1 && !any_refuge(instance) {
            at_least = at_least.max(begin[g] + all_ahead(instance, facts, &set));
        }
        let bound = Bound { at_least, binding: Binding::Groups { group: *group } };
        best = best.max(Some(bound));
    }
    best
}

/// After a lone canary all migrations lie ahead, its own too: what left it went to nodes that are due.
fn all_ahead(instance: &Instance, facts: &Facts, rest: &[u32]) -> Millis {
    let slots = instance.slots.cluster;
    let work: Millis = facts.due.iter().map(|n| facts.work[*n as usize]).sum();
    if slots == UNLIMITED || slots == 0 || work == 0 {
        return 0;
    }
    work.div_ceil(slots.into()) + rest.iter().map(|n| tail(instance, *n)).min().unwrap_or(0)
}

/// Whether a node that is never due can take something in.
fn any_refuge(instance: &Instance) -> bool {
    (0..instance.nodes.len() as u32)
        .any(|n| !instance.nodes.is_due(n) && instance.nodes.standing[n as usize] == Standing::InService)
}

fn strongest(instance: &Instance, facts: &Facts, set: &[u32]) -> Millis {
    let mut bounds = Vec::new();
    of_set(instance, facts, set, &mut bounds);
    bounds.iter().map(|bound| bound.at_least).max().unwrap_or(0)
}

/// The group and all that come after it.
fn after(instance: &Instance, facts: &Facts, group: u32) -> Vec<u32> {
    let mut found = vec![group];
    for later in &facts.group_order {
        let behind = instance.groups[*later as usize].after.iter().any(|b| found.contains(b));
        if behind && !found.contains(later) {
            found.push(*later);
        }
    }
    found
}

/// Extra moves that no schedule avoids if `opening` nodes are emptied before the first return, E(w): the VMs on the emptiest nodes
/// that may come first, less those that fit on nodes never due. E(1) holds for every schedule.
pub fn extra_moves(instance: &Instance, facts: &Facts, opening: usize) -> u32 {
    let mut counts: Vec<(u32, u32)> = facts
        .due
        .iter()
        .filter(|n| facts.is_first(instance, **n))
        .map(|n| (facts.vms[*n as usize], *n))
        .collect();
    counts.sort_unstable();
    counts.truncate(opening);
    let leaving: u32 = counts.iter().map(|(vms, _)| vms).sum();
    leaving.saturating_sub(vms_never_due(instance, facts))
}

/// At most so many VMs fit on nodes that are never due: the smallest first, each resource alone.
fn vms_never_due(instance: &Instance, facts: &Facts) -> u32 {
    let vms: Vec<u32> = facts
        .due
        .iter()
        .flat_map(|n| facts.items_on.of(*n))
        .copied()
        .filter(|i| instance.items.way[*i as usize] != Way::Eviction)
        .collect();
    let never =
        |n: &u32| !instance.nodes.is_due(*n) && instance.nodes.standing[*n as usize] == Standing::InService;
    if !any_refuge(instance) {
        return 0;
    }
    let each = (0..instance.resources.len()).map(|resource| {
        let mut room: u64 =
            (0..instance.nodes.len() as u32).filter(never).map(|n| free(instance, facts, n, resource)).sum();
        let mut sizes: Vec<u64> = vms.iter().map(|i| instance.demand(*i)[resource]).collect();
        sizes.sort_unstable();
        let fits = sizes.iter().take_while(|size| {
            let fits = **size <= room;
            room = room.saturating_sub(**size);
            fits
        });
        fits.count() as u32
    });
    each.min().unwrap_or(vms.len() as u32)
}
