//! Named cases, their figures worked out by hand.

use super::*;
use crate::schedule::bounds::Binding;
use crate::schedule::decode::{Rules, decode};
use crate::schedule::forecast::Hold;
use crate::schedule::instance::{Apart, Owner, Standing, Strategy};
use crate::schedule::model::Model;

#[test]
fn an_empty_campaign_is_no_schedule() {
    let mut instance = nodes(0, 1, 0);
    refuge(&mut instance, 10);
    let plan = planned(&instance);
    assert_eq!((plan.schedule.score.makespan, plan.bounds.makespan()), (0, 0));
    assert!(plan.schedule.visits.is_empty());
}

#[test]
fn nodes_go_as_wide_as_the_limit() {
    // Five nodes of 100, two at once: 100 + 100 + 100.
    let plan = planned(&nodes(5, 2, 100));
    assert_eq!((plan.schedule.score.makespan, plan.bounds.makespan()), (300, 300));
    assert_eq!(plan.schedule.score.peak_away, 2);
    let held = plan.schedule.visits[2];
    assert_eq!(held.hold, Some(Hold::Limit { limit: 0 }));
    assert!(held.waited_for.is_some());
}

#[test]
fn what_takes_no_time_is_never_away() {
    let score = planned(&nodes(3, 1, 0)).schedule.score;
    assert_eq!((score.makespan, score.peak_away), (0, 0));
}

#[test]
fn crossed_budgets_keep_two_nodes_apart() {
    // Each node has a pod of both budgets. Together they'd wait for each other's replacement; a pod is Ready after 30.
    let mut instance = nodes(2, 2, 100);
    refuge(&mut instance, 10);
    for _ in 0..2 {
        let budget = budget(&mut instance, 1);
        for node in 0..2 {
            pod(&mut instance, node, budget, 10, 30);
        }
    }
    let plan = planned(&instance);
    // The first drains in 10 and is back at 110; the second starts when both pods are Ready, at 30.
    let starts: Vec<_> = plan.schedule.visits.iter().map(|v| (v.start, v.end)).collect();
    assert_eq!(starts, [(0, 110), (30, 140)]);
    assert!(matches!(plan.schedule.visits[1].hold, Some(Hold::Budget { .. })));
    assert_eq!(plan.schedule.visits[1].waited_for, Some(plan.schedule.visits[0].node));
    assert_eq!(plan.bounds.makespan(), 140);
    assert!(matches!(plan.bounds.binding(), Some(Binding::Budget { .. })));
}

#[test]
fn a_quorum_on_local_disks_goes_one_by_one() {
    // Three pinned pods, one may be away: (10 + 100) each, and Ready 20 after the node's return.
    let mut instance = nodes(3, 3, 100);
    let quorum = budget(&mut instance, 1);
    for node in 0..3 {
        pinned(&mut instance, node, quorum, 10, 20);
    }
    let plan = planned(&instance);
    let starts: Vec<_> = plan.schedule.visits.iter().map(|v| v.start).collect();
    assert_eq!(starts, [0, 130, 260]);
    assert_eq!((plan.schedule.score.makespan, plan.bounds.makespan()), (370, 370));
}

#[test]
fn more_pods_than_the_budget_go_in_rounds() {
    // Five pods on one node, two at once, Ready after 30, gone after 10: at 0, 30 and 60, drained at 70.
    let mut instance = nodes(1, 1, 100);
    refuge(&mut instance, 10);
    let two = budget(&mut instance, 2);
    for _ in 0..5 {
        pod(&mut instance, 0, two, 10, 30);
    }
    let plan = planned(&instance);
    assert_eq!((plan.schedule.visits[0].drained, plan.schedule.score.makespan), (70, 170));
    assert_eq!(plan.bounds.makespan(), 170);
}

#[test]
fn a_budget_of_nothing_holds_its_node_for_ever_and_no_other() {
    let mut instance = nodes(2, 2, 100);
    refuge(&mut instance, 10);
    let none = budget(&mut instance, 0);
    pod(&mut instance, 1, none, 10, 30);
    let plan = planned(&instance);
    assert_eq!(plan.schedule.unfinished.len(), 1);
    assert_eq!(plan.schedule.unfinished[0].0, 1);
    assert_eq!(visit(&plan.schedule, 0).end, 100);
}

#[test]
fn units_that_come_back_later_are_waited_for() {
    let mut instance = nodes(1, 1, 100);
    refuge(&mut instance, 10);
    let later = budget(&mut instance, 0);
    instance.budgets[later as usize].returns = vec![50];
    pod(&mut instance, 0, later, 10, 30);
    let plan = planned(&instance);
    let visit = plan.schedule.visits[0];
    assert_eq!((visit.start, visit.end, visit.waited_for), (50, 160, None));
    assert_eq!(visit.hold, Some(Hold::Budget { budget: 0 }));
}

#[test]
fn mutual_refuge_does_not_deadlock() {
    // Two nodes, each full of what fits only on the other when that is empty: one after the other, with one extra move for
    // each VM of the first.
    let mut instance = nodes(2, 2, 100);
    instance.nodes.capacity = vec![2, 2];
    instance.slots = slots(5, 2);
    for node in 0..2 {
        vm(&mut instance, node, 10);
    }
    let plan = planned(&instance);
    // First: 10 + 100. Second holds both VMs then: 10 + 100 more.
    assert_eq!(plan.schedule.score.makespan, 220);
    assert_eq!((plan.schedule.score.extra_moves, plan.least_extra_moves), (1, 1));
    assert!(matches!(plan.schedule.visits[1].hold, Some(Hold::Place { .. } | Hold::Inbound | Hold::Slots)));
}

#[test]
fn a_full_cluster_goes_in_the_only_order_that_works() {
    // n02 is the only one whose items fit in the gaps of the others (2 + 1 free); then each goes into what has come free.
    let mut instance = nodes(3, 3, 100);
    instance.nodes.capacity = vec![6, 6, 3];
    for (node, count) in [(0, 4), (1, 5), (2, 3)] {
        for _ in 0..count {
            pod(&mut instance, node, NONE, 10, 10);
        }
    }
    // 12 items on 15 places. Without n02: 12 places, full. Without n00 or n01: 9 places, too few.
    let plan = planned(&instance);
    assert_eq!(plan.schedule.visits.iter().map(|v| v.node).collect::<Vec<_>>(), [2]);
    assert_eq!(plan.schedule.unfinished.len(), 2);
    // With room for four more, every order that starts with n02 or not works.
    refuge(&mut instance, 4);
    assert_eq!(planned(&instance).schedule.unfinished.len(), 0);
}

#[test]
fn a_canary_larger_than_the_spare_room_is_told() {
    let mut instance = nodes(3, 3, 100);
    instance.groups.push(Group { name: "rest".into(), after: vec![0], soak: 0 });
    instance.nodes.group = vec![0, 1, 1];
    instance.nodes.capacity = vec![5, 2, 2];
    for _ in 0..5 {
        pod(&mut instance, 0, NONE, 10, 10);
    }
    let plan = planned(&instance);
    assert_eq!(plan.schedule.unfinished.len(), 3);
    assert!(matches!(plan.schedule.unfinished[0].1, Hold::Place { .. }));
    assert_eq!(plan.schedule.unfinished[1].1, Hold::Group { group: 1 });
}

#[test]
fn one_node_of_a_zone_at_a_time() {
    let mut instance = nodes(4, 4, 100);
    for (zone, members) in [(0, vec![0, 1]), (1, vec![2, 3])] {
        for node in &members {
            instance.nodes.zone[*node as usize] = zone;
        }
        instance.limits.push(Limit { scope: Scope::Zone(zone), most: 1, members });
    }
    let plan = planned(&instance);
    assert_eq!((plan.schedule.score.makespan, plan.schedule.score.peak_away), (200, 2));
    assert_eq!(plan.bounds.makespan(), 200);
}

#[test]
fn groups_wait_for_their_soak() {
    let mut instance = nodes(3, 3, 100);
    instance.groups[0].soak = 50;
    instance.groups.push(Group { name: "rest".into(), after: vec![0], soak: 0 });
    instance.nodes.group = vec![0, 1, 1];
    let plan = planned(&instance);
    assert_eq!(visit(&plan.schedule, 1).start, 150);
    assert_eq!((plan.schedule.score.makespan, plan.bounds.makespan()), (250, 250));
    assert_eq!(visit(&plan.schedule, 1).hold, Some(Hold::Group { group: 1 }));
    assert_eq!(visit(&plan.schedule, 1).waited_for, Some(0));
}

#[test]
fn migrations_share_the_slots_and_a_node_does_not_enter_to_wait() {
    // One slot in all, two VMs of 40 on each of two nodes, a refuge: 80 of work, then 80 more and the tail.
    let mut instance = nodes(2, 2, 10);
    refuge(&mut instance, 10);
    instance.slots = slots(1, 1);
    for node in [0, 0, 1, 1] {
        vm(&mut instance, node, 40);
    }
    let plan = planned(&instance);
    assert_eq!((plan.schedule.score.makespan, plan.bounds.makespan()), (170, 170));
    let second = plan.schedule.visits[1];
    assert_eq!((second.start, second.hold, plan.schedule.score.time_away), (80, Some(Hold::Slots), 180));
}

#[test]
fn as_many_replicas_as_nodes_wait_for_a_node_that_is_back() {
    // Anti-affinity, two replicas, two nodes, one more node that takes one: the other waits for the first one's return.
    let mut instance = nodes(2, 2, 100);
    refuge(&mut instance, 10);
    instance.owners.push(Owner { name: "db".into(), apart: Apart::Node, most: 1 });
    for node in 0..2 {
        let item = pod(&mut instance, node, NONE, 10, 20);
        instance.items.owner[item as usize] = 0;
    }
    let plan = planned(&instance);
    let ends: Vec<_> = plan.schedule.visits.iter().map(|v| (v.start, v.end)).collect();
    assert_eq!(ends, [(0, 110), (110, 220)]);
    assert!(matches!(plan.schedule.visits[1].hold, Some(Hold::Place { .. })));
}

/// One due node, a refuge in its zone, and an owner of items on that node, of which `most` may be in the zone.
fn one_zone(most: u32) -> Instance {
    let mut instance = nodes(1, 1, 100);
    refuge(&mut instance, 10);
    instance.nodes.zone = vec![0, 0];
    instance.owners.push(Owner { name: "db".into(), apart: Apart::Zone, most });
    instance
}

#[test]
fn a_replacement_takes_the_place_of_its_pod_in_the_zone() {
    // Two pods are as many as may be in the zone. Their replacements come there at once: never more than two.
    let mut instance = one_zone(2);
    for _ in 0..2 {
        let item = pod(&mut instance, 0, NONE, 10, 20);
        instance.items.owner[item as usize] = 0;
    }
    let plan = planned(&instance);
    assert_eq!(visit(&plan.schedule, 0).drained, 10);
}

#[test]
fn a_migrating_vm_is_in_both_places_and_a_replaced_pod_in_one() {
    // A VM that counts twice while it migrates, and a pod: three.
    for vm_first in [true, false] {
        let mut instance = one_zone(3);
        for is_vm in [vm_first, !vm_first] {
            let item = if is_vm { vm(&mut instance, 0, 10) } else { pod(&mut instance, 0, NONE, 10, 20) };
            instance.items.owner[item as usize] = 0;
        }
        assert_eq!(visit(&planned(&instance).schedule, 0).drained, 10);
        instance.owners[0].most = 2;
        assert!(matches!(planned(&instance).schedule.unfinished[..], [(0, Hold::Place { .. })]));
    }
}

#[test]
fn what_is_kept_for_an_item_is_no_sibling_of_it() {
    // n00's VM is to go to n02, in the zone that takes one. n02 enters before it has started: n01 is in the same zone.
    let mut instance = nodes(3, 2, 100);
    instance.nodes.head[0] = 10;
    instance.nodes.zone = vec![0, 1, 1];
    instance.owners.push(Owner { name: "db".into(), apart: Apart::Zone, most: 1 });
    let item = vm(&mut instance, 0, 10);
    instance.items.owner[item as usize] = 0;
    let schedule = decode(&Model::new(&instance), &Rules::new(vec![0, 2, 1]));
    assert_eq!(judge(&instance, &schedule), [""; 0]);
    assert_eq!(visit(&schedule, 2).start, 0);
    assert_eq!(schedule.moves[0].to, Some(1));
}

#[test]
fn what_is_out_counts_and_what_is_under_way_goes_on() {
    let mut instance = nodes(4, 2, 100);
    instance.nodes.standing[0] = Standing::Out;
    instance.nodes.standing[1] = Standing::UnderWay;
    instance.nodes.tail[1] = 30;
    let plan = planned(&instance);
    // n01 has the one place that n00 leaves, until 30. n00 takes no place of its own.
    assert_eq!(visit(&plan.schedule, 1).end, 30);
    assert_eq!(visit(&plan.schedule, 0).start, 0);
    assert_eq!((visit(&plan.schedule, 2).start, visit(&plan.schedule, 3).start), (30, 130));
    assert_eq!(plan.schedule.score.makespan, 230);
}

#[test]
fn waves_wait_for_their_slowest_node() {
    let mut instance = nodes(4, 2, 100);
    instance.nodes.tail = vec![100, 50, 100, 50];
    instance.strategy = Strategy::Waves;
    let plan = planned(&instance);
    // Waves of like nodes: 100 and 50.
    assert_eq!(plan.schedule.score.makespan, 150);
    instance.strategy = Strategy::Rolling;
    assert_eq!(planned(&instance).schedule.score.makespan, 150);
}

#[test]
fn tiers_leave_one_after_the_other() {
    let mut instance = nodes(1, 1, 100);
    refuge(&mut instance, 10);
    vm(&mut instance, 0, 40);
    let late = pod(&mut instance, 0, NONE, 10, 20);
    instance.items.tier[late as usize] = 1;
    let plan = planned(&instance);
    assert_eq!((plan.schedule.visits[0].drained, plan.bounds.makespan()), (50, 150));
}

#[test]
fn what_came_from_another_node_migrates_in_its_own_tier() {
    // n01 first: 50 + 100. Then its VM leaves n00 beside the pod of that tier, after n00's own: 40 + 50 + 100.
    let mut instance = nodes(2, 1, 100);
    instance.slots = slots(1, 1);
    vm(&mut instance, 0, 40);
    let late = [pod(&mut instance, 0, NONE, 50, 50), vm(&mut instance, 1, 50)];
    for item in late {
        instance.items.tier[item as usize] = 1;
    }
    assert_eq!(planned(&instance).schedule.score.makespan, 340);
}

#[test]
fn an_item_that_fits_nowhere_else_holds_its_node() {
    let mut instance = nodes(3, 3, 100);
    instance.classes.push(Class::Only([1].into_iter().collect()));
    instance.shapes.push(Shape { demand: vec![1], class: 1 });
    let item = pod(&mut instance, 1, NONE, 10, 20);
    instance.items.shape[item as usize] = 1;
    let plan = planned(&instance);
    assert_eq!(plan.schedule.unfinished, [(1, Hold::Place { item })]);
}
