//! What must follow when the input changes in a known way.

use super::properties::any_instance;
use super::*;
use crate::schedule::bounds::Bounds;
use crate::schedule::facts::Facts;
use crate::schedule::forecast::Score;
use crate::schedule::generate::{Family, cluster};

fn bound(instance: &Instance) -> Millis {
    Bounds::new(instance, &Facts::new(instance)).makespan()
}

fn slower(instance: &Instance, by: Millis) -> Instance {
    let mut slow = instance.clone();
    let nodes = [&mut slow.nodes.head, &mut slow.nodes.tail];
    let items = [&mut slow.items.leave, &mut slow.items.ready];
    nodes.into_iter().chain(items).flatten().for_each(|time| *time *= by);
    slow.groups.iter_mut().for_each(|group| group.soak *= by);
    slow.budgets.iter_mut().flat_map(|b| &mut b.returns).for_each(|time| *time *= by);
    slow
}

#[test]
fn if_everything_takes_three_times_as_long_so_does_the_schedule() {
    for seed in 0..100 {
        let instance = any_instance(seed);
        let rules = crate::schedule::decode::Rules::new(Facts::new(&instance).due);
        let play = |instance: &Instance| {
            crate::schedule::decode::score(&crate::schedule::model::Model::new(instance), &rules)
        };
        let (one, three) = (play(&instance), play(&slower(&instance, 3)));
        let scaled = Score { makespan: one.makespan * 3, time_away: one.time_away * 3, ..one };
        assert_eq!(Score { refused: 0, ..three }, Score { refused: 0, ..scaled }, "seed {seed}");
        assert!(bound(&slower(&instance, 3)).abs_diff(bound(&instance) * 3) <= 3, "seed {seed}");
    }
}

#[test]
fn more_slots_budget_or_spare_nodes_never_raise_the_bound() {
    for seed in 0..300 {
        let instance = any_instance(seed);
        let before = bound(&instance);
        let mut more = instance.clone();
        more.slots = slots(instance.slots.cluster + 1, instance.slots.per_node + 1);
        assert!(bound(&more) <= before, "slots, seed {seed}");
        let mut more = instance.clone();
        // A budget or limit that allows nothing has no bound: there is no schedule.
        more.budgets.iter_mut().filter(|b| b.allowed > 0).for_each(|b| b.allowed += 1);
        assert!(bound(&more) <= before, "budgets, seed {seed}");
        let mut more = instance.clone();
        more.add_node(NodeSpec {
            name: "spare".into(),
            zone: NONE,
            group: NONE,
            capacity: vec![50, 50],
            ..NodeSpec::default()
        });
        assert!(bound(&more) <= before, "a spare node, seed {seed}");
        let mut more = instance.clone();
        more.limits.iter_mut().for_each(|l| l.most += 1);
        let all_in = !instance.nodes.standing.contains(&crate::schedule::instance::Standing::Out);
        assert!(!all_in || bound(&more) <= before, "limits, seed {seed}");
    }
}

#[test]
fn the_same_input_gives_the_same_plan() {
    for family in Family::ALL {
        let instance = cluster(family, 20, 20, 3);
        assert_eq!(planned(&instance), planned(&instance.clone()));
    }
}

#[test]
fn families_are_planned_within_bounds_and_ahead_of_every_policy() {
    for family in Family::ALL {
        let instance = cluster(family, 30, 10, 1);
        let plan = planned(&instance);
        assert_eq!(plan.schedule.score.refused, 0);
        for policy in crate::schedule::policies::Policy::ALL {
            let other = policy.schedule(&instance);
            assert!(judge(&policy.adapt(&instance), &other).is_empty());
            assert!(plan.bounds.makespan() <= other.score.makespan);
            assert!(
                plan.schedule.score.makespan <= other.score.makespan,
                "{}: {}",
                family.name(),
                policy.name()
            );
        }
    }
}

#[test]
fn replanning_moves_no_node_that_is_under_way() {
    let instance = cluster(Family::VmHeavy, 20, 20, 5);
    let first = planned(&instance).schedule;
    let mut later = instance.clone();
    for visit in first.visits.iter().take(3) {
        later.nodes.standing[visit.node as usize] = crate::schedule::instance::Standing::UnderWay;
    }
    let second = planned(&later).schedule;
    for visit in first.visits.iter().take(3) {
        let again = second.visits.iter().find(|v| v.node == visit.node).expect("visited");
        assert_eq!((again.start, again.hold), (0, None));
    }
}
