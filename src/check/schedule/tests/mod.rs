//! Tests of the planner's core: every schedule passes the judge, and the judge finds what is wrong.

mod exact;
mod judge_finds;
mod metamorphic;
mod named;
mod properties;

use super::judge;
use crate::schedule::forecast::{Schedule, Visit};
use crate::schedule::instance::{
    Budget, Class, Group, Instance, ItemSpec, Landing, Limit, Millis, NONE, NodeSpec, Scope, Shape, Slots,
    Way,
};
use crate::schedule::search::{Effort, Plan, plan};

/// Little, so that debug builds are quick.
const EFFORT: Effort = Effort { plays: 20_000, seed: 1 };

/// Nodes of one group with room for ten items each, and one limit; `tail` for all.
fn nodes(count: u32, width: u32, tail: Millis) -> Instance {
    let mut instance = Instance::new(&["pods"]);
    instance.classes.push(Class::Any);
    instance.shapes.push(Shape { demand: vec![1], class: 0 });
    instance.groups.push(Group { name: "all".into(), ..Group::default() });
    for n in 0..count {
        instance.add_node(NodeSpec {
            name: format!("n{n:02}"),
            zone: NONE,
            group: 0,
            capacity: vec![10],
            tail,
            ..NodeSpec::default()
        });
    }
    instance.limits.push(Limit { scope: Scope::Campaign, most: width, members: (0..count).collect() });
    instance
}

/// A node that is never due.
fn refuge(instance: &mut Instance, capacity: u64) -> u32 {
    let name = format!("refuge-{}", instance.nodes.len());
    instance.add_node(NodeSpec {
        name,
        zone: NONE,
        group: NONE,
        capacity: vec![capacity],
        ..NodeSpec::default()
    })
}

fn vm(instance: &mut Instance, node: u32, time: Millis) -> u32 {
    let name = format!("vm-{:03}", instance.items.len());
    instance.add_item(ItemSpec { name, node, way: Way::Migration, leave: time, ..ItemSpec::default() })
}

/// A pod with a budget, gone after `leave`, Ready elsewhere after `ready`.
fn pod(instance: &mut Instance, node: u32, budget: u32, leave: Millis, ready: Millis) -> u32 {
    let name = format!("pod-{:03}", instance.items.len());
    instance.add_item(ItemSpec { name, node, leave, ready, budget, ..ItemSpec::default() })
}

fn pinned(instance: &mut Instance, node: u32, budget: u32, leave: Millis, ready: Millis) -> u32 {
    let item = pod(instance, node, budget, leave, ready);
    instance.items.landing[item as usize] = Landing::SameNode;
    item
}

fn budget(instance: &mut Instance, allowed: u32) -> u32 {
    let name = format!("pdb-{}", instance.budgets.len());
    instance.budgets.push(Budget { name, allowed, returns: Vec::new() });
    instance.budgets.len() as u32 - 1
}

fn slots(cluster: u32, per_node: u32) -> Slots {
    Slots { cluster, per_node }
}

/// Plans, and lets the judge look at it.
fn planned(instance: &Instance) -> Plan {
    let plan = plan(instance, EFFORT);
    let findings = judge(instance, &plan.schedule);
    assert!(findings.is_empty(), "{findings:#?}\n{:#?}", plan.schedule.visits);
    let score = &plan.schedule.score;
    assert!(score.unfinished > 0 || plan.bounds.makespan() <= score.makespan, "{:?} {score:?}", plan.bounds);
    plan
}

fn visit(schedule: &Schedule, node: u32) -> Visit {
    *schedule.visits.iter().find(|v| v.node == node).expect("visited")
}
