//! The judge finds each thing that can be wrong: a good schedule is spoilt in one way at a time.

use super::*;
use crate::schedule::instance::{Apart, Owner};

/// Two nodes with a VM and a pod each, a refuge, one budget, one place under the limit.
fn scene() -> Instance {
    let mut instance = nodes(2, 1, 100);
    refuge(&mut instance, 10);
    instance.slots = slots(1, 1);
    let one = budget(&mut instance, 1);
    for node in 0..2 {
        vm(&mut instance, node, 40);
        pod(&mut instance, node, one, 10, 30);
    }
    instance
}

fn finds(instance: &Instance, schedule: &Schedule, what: &str) {
    let findings = judge(instance, schedule);
    assert!(findings.iter().any(|f| f.contains(what)), "no {what:?} in {findings:#?}");
}

fn good() -> (Instance, Schedule) {
    let instance = scene();
    let schedule = planned(&instance).schedule;
    assert_eq!(schedule.visits.len(), 2);
    (instance, schedule)
}

#[test]
fn more_nodes_than_the_limit() {
    let (mut instance, schedule) = good();
    // The same schedule with both at once.
    let mut both = schedule;
    let by = both.visits[1].start;
    let late = both.visits[1].node;
    both.visits[1].start = 0;
    for one in both.moves.iter_mut().filter(|m| m.from == late) {
        one.start -= by;
        one.left -= by;
        one.ready -= by;
    }
    both.visits[1].drained -= by;
    both.visits[1].end -= by;
    finds(&instance, &both, "are away at 0");
    finds(&instance, &both, "too many migrations");
    finds(&instance, &both, "is exceeded at 0");
    finds(&instance, &both, "makespan");
    finds(&instance, &both, "peak");
    instance.groups.push(Group { name: "later".into(), after: vec![0], soak: 5 });
    instance.nodes.group[late as usize] = 1;
    finds(&instance, &both, "before its group may");
}

#[test]
fn what_is_left_out() {
    let (instance, mut schedule) = good();
    let dropped = schedule.moves.remove(0);
    finds(&instance, &schedule, "stays on a node that is drained");
    schedule.moves.insert(0, dropped);
    schedule.visits.remove(0);
    finds(&instance, &schedule, "due and never visited");
}

#[test]
fn wrong_times() {
    let (instance, schedule) = good();
    let mut hasty = schedule.clone();
    hasty.moves[0].left -= 1;
    finds(&instance, &hasty, "does not take its time");
    let mut early = schedule.clone();
    early.visits[1].end -= 1;
    finds(&instance, &early, "drained at");
    let mut before = schedule;
    before.moves[2].start = 0;
    finds(&instance, &before, "leaves outside the drain");
}

#[test]
fn wrong_targets() {
    let (mut instance, schedule) = good();
    let mut home = schedule.clone();
    home.moves[0].to = Some(home.moves[0].from);
    finds(&instance, &home, "can't land there");
    let mut nowhere = schedule.clone();
    nowhere.moves[0].to = None;
    finds(&instance, &nowhere, "goes nowhere");
    instance.nodes.capacity = vec![2, 2, 0];
    finds(&instance, &schedule, "no room for");
}

#[test]
fn siblings_too_close() {
    let (mut instance, schedule) = good();
    instance.owners.push(Owner { name: "db".into(), apart: Apart::Zone, most: 2 });
    instance.nodes.zone = vec![0; 3];
    let spoilt = |item: usize, most: u32| {
        let mut instance = instance.clone();
        instance.items.owner = vec![NONE; 4];
        // The item and one that stays on the other node.
        instance.items.owner[item] = 0;
        instance.items.owner[(item + 2) % 4] = 0;
        instance.owners[0].most = most;
        judge(&instance, &schedule).iter().filter(|f| f.contains("beside its siblings")).count()
    };
    // VMs are in both places while they migrate, replacements in one; more than may be there take in none.
    assert_eq!((spoilt(0, 3), spoilt(0, 2)), (0, 2));
    assert_eq!((spoilt(1, 2), spoilt(1, 1)), (0, 2));
}

#[test]
fn tiers_in_the_wrong_order() {
    let (mut instance, schedule) = good();
    let first = schedule.moves.iter().min_by_key(|m| m.left).expect("a move").item;
    for tier in &mut instance.items.tier {
        *tier = 0;
    }
    instance.items.tier[first as usize] = 1;
    finds(&instance, &schedule, "before the tier below");
}

#[test]
fn waves_that_are_none() {
    let mut instance = nodes(3, 2, 100);
    instance.nodes.tail = vec![100, 50, 100];
    let schedule = planned(&instance).schedule;
    instance.strategy = crate::schedule::instance::Strategy::Waves;
    finds(&instance, &schedule, "before the wave is through");
}
