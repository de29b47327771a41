//! Bounds that hold for any set of nodes on its own: (a), (b), (c), (d).

use super::{Binding, Bound, tail};
use crate::schedule::facts::{Facts, least_hold};
use crate::schedule::instance::{Instance, Millis, NONE, Standing, UNLIMITED};

/// The bounds that hold for any set of nodes on its own: (a), (b), (c), (d), each the largest of its kind.
pub(super) fn bounds(instance: &Instance, facts: &Facts, set: &[u32], out: &mut Vec<Bound>) {
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
pub(super) fn places(instance: &Instance, limit: u32) -> usize {
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
