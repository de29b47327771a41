//! Where items land: on schedulable nodes of their class, with room from the start, apart from their siblings.

use std::collections::BTreeMap;

use super::{Case, Finding};
use crate::schedule::forecast::Move;
use crate::schedule::instance::{Apart, Landing, NONE, Standing, Way};

pub(super) fn judge(case: &Case<'_>, findings: &mut Vec<Finding>) {
    targets(case, findings);
    capacity(case, findings);
    apart(case, findings);
}

fn targets(case: &Case<'_>, findings: &mut Vec<Finding>) {
    for one in &case.schedule.moves {
        let i = one.item as usize;
        let name = &case.instance.items.name[i];
        let elsewhere = case.instance.items.landing[i] == Landing::Elsewhere;
        let Some(to) = one.to else {
            if elsewhere {
                findings.push(format!("{name} goes nowhere"));
            }
            continue;
        };
        let visit = case.visits.get(&to);
        // What is Ready at once may land just before the cordon.
        let begins = one.start + u64::from(one.ready > one.start);
        let away = visit.is_some_and(|v| v.start < begins && one.start < v.end);
        let cordoned = visit.is_some_and(|v| one.start < v.start && v.start < one.ready);
        let out = case.instance.nodes.standing[to as usize] == Standing::Out;
        if !elsewhere || to == one.from || away || cordoned || out || !case.instance.may_host(to, one.item) {
            findings.push(format!("{name} can't land there: {one:?}"));
        }
    }
}

/// At a moment leavings come first.
fn changes(case: &Case<'_>) -> Vec<(u64, bool, usize)> {
    let mut changes: Vec<(u64, bool, usize)> = Vec::new();
    for (m, one) in case.schedule.moves.iter().enumerate() {
        changes.push((one.start, true, m));
        // What leaves in no time leaves after it has started.
        changes.push((one.left, one.left == one.start, m));
    }
    changes.sort_unstable();
    changes
}

/// A change is a start if it is the move's first.
fn each_change(case: &Case<'_>, mut apply: impl FnMut(&Move, bool)) {
    let mut started = vec![false; case.schedule.moves.len()];
    for (_, _, m) in changes(case) {
        let starts = !std::mem::replace(&mut started[m], true);
        apply(&case.schedule.moves[m], starts);
    }
}

fn capacity(case: &Case<'_>, findings: &mut Vec<Finding>) {
    let width = case.instance.resources.len();
    let mut free: Vec<i64> = case.instance.nodes.capacity.iter().map(|c| *c as i64).collect();
    let items = &case.instance.items;
    for item in 0..items.name.len() {
        let node = items.node[item] as usize;
        for (r, need) in case.instance.demand(item as u32).iter().enumerate() {
            free[node * width + r] -= *need as i64;
        }
    }
    each_change(case, |one, starts| {
        let i = one.item as usize;
        for (r, need) in case.instance.demand(one.item).iter().enumerate() {
            if !starts && items.landing[i] != Landing::SameNode {
                free[one.from as usize * width + r] += *need as i64;
            }
            if let Some(to) = one.to.filter(|_| starts) {
                let left = &mut free[to as usize * width + r];
                *left -= *need as i64;
                if *need > 0 && *left < 0 {
                    findings.push(format!("no room for {}: {one:?}", items.name[i]));
                }
            }
        }
    });
}

fn apart(case: &Case<'_>, findings: &mut Vec<Finding>) {
    let items = &case.instance.items;
    let domain = |owner: u32, node: u32| match case.instance.owners[owner as usize].apart {
        Apart::Node => (node, NONE),
        Apart::Zone if case.instance.nodes.zone[node as usize] == NONE => (node, NONE),
        Apart::Zone => (NONE, case.instance.nodes.zone[node as usize]),
    };
    let mut there: BTreeMap<(u32, (u32, u32)), i64> = BTreeMap::new();
    for (item, owner) in items.owner.iter().enumerate().filter(|(_, o)| **o != NONE) {
        *there.entry((*owner, domain(*owner, items.node[item]))).or_default() += 1;
    }
    each_change(case, |one, starts| {
        let i = one.item as usize;
        let owner = items.owner[i];
        if owner == NONE {
            return;
        }
        let from = domain(owner, one.from);
        // A replacement takes the place of the pod that leaves its domain; a migrating VM is in both places.
        let to = one.to.map(|to| domain(owner, to));
        let replaces = to == Some(from) && items.way[i] != Way::Migration;
        if !starts && !replaces && items.landing[i] != Landing::SameNode {
            *there.entry((owner, from)).or_default() -= 1;
        }
        if let Some(to) = to.filter(|_| starts) {
            let count = there.entry((owner, to)).or_default();
            *count += i64::from(!replaces);
            if *count > i64::from(case.instance.owners[owner as usize].most) {
                findings.push(format!("{} lands beside its siblings: {one:?}", items.name[i]));
            }
        }
    });
}
