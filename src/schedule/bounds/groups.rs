//! The bound from the order of groups: (e).

use super::{Binding, Bound, any_refuge, of_set, tail};
use crate::schedule::facts::Facts;
use crate::schedule::instance::{Instance, Millis, Standing, UNLIMITED};

/// (e) A group begins when all it comes after are through and have soaked; what it and all after it need lies ahead then. If one
/// node alone comes before everything, no node is back until then, so all work lies ahead as in (a′).
pub(super) fn bound(instance: &Instance, facts: &Facts) -> Option<Bound> {
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

fn strongest(instance: &Instance, facts: &Facts, set: &[u32]) -> Millis {
    let mut bounds = Vec::new();
    of_set::bounds(instance, facts, set, &mut bounds);
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
