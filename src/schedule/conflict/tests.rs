//! The cases that an operator meets, and properties of what is found.

mod by_plan;
mod consents;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::inventory::{Needs, NodeTerm, ObjectName};
use crate::plan::v1alpha1::{Concurrency, IntOrPercent, MaintenancePlanSpec};
use crate::schedule::instance::{
    Class, Instance, ItemSpec, Landing, NONE, NodeSpec, Owner, Shape, Standing, Way,
};
use crate::schedule::problem::{self, BudgetTerms, Durations, Progress, Workload};
use crate::schedule::stage::{HOST, Stage, apart, asks, is, plan, spread};

fn of(stage: &Stage, plan: &MaintenancePlanSpec) -> Problem {
    problem::of(plan, &stage.groups(plan), &stage.inventory, &Durations::default(), &Progress::default())
}

/// Kind, name and field of each member.
fn members(conflict: &Conflict) -> Vec<String> {
    conflict.members.iter().map(|m| format!("{} {} {}", m.kind, m.name, m.field)).collect()
}

fn three() -> Stage {
    let mut stage = Stage::default();
    stage.node("a", "z1").node("b", "z1").node("c", "z2");
    stage
}

#[test]
fn a_single_replica_that_must_be_available_never_goes() {
    let mut stage = three();
    stage.pod("StatefulSet", "db", 0, "a", asks(100, 1)).budget("db", "db", 1, 1);
    stage.pod("ReplicaSet", "web", 0, "a", asks(100, 1)).pod("ReplicaSet", "web", 1, "b", asks(100, 1));
    stage.budget("web", "web", 2, 1);
    let problem = of(&stage, &plan(&["a", "b"]));
    let conflict = find(&problem).expect("a conflict");
    assert_eq!(
        members(&conflict),
        [
            "Node a spec.groups[all].nodes",
            "PodDisruptionBudget db spec.minAvailable",
            "StatefulSet db spec.replicas"
        ]
    );
    assert_eq!(
        conflict.why,
        "budget ns/db (minAvailable 1) never allows a disruption of StatefulSet ns/db: it wants 1 pod healthy and has 1 in all"
    );
    let by_plan = "or name the workload in the plan's drain.overrides";
    assert_eq!(conflict.members[1].help, format!("want 0 at most, or run more replicas, {by_plan}"));
    assert_eq!(conflict.members[2].help, format!("run 2 replicas or more, {by_plan}"));
    let nevers = nevers(&problem);
    assert_eq!(nevers.len(), 1);
    assert_eq!((nevers[0].member.name.as_str(), nevers[0].nodes.as_slice()), ("db", &["a".to_owned()][..]));
    // Without it: no conflict. Where it is not: no conflict.
    assert_eq!(find(&of(&stage, &plan(&["b"]))), None);
    assert_eq!(sort_out(&problem).into_iter().map(|(node, _)| node).collect::<Vec<_>>(), ["a"]);
}

#[test]
fn a_budget_that_nobody_can_count_or_that_allows_nothing_is_told_so() {
    let mut stage = three();
    stage.pod("Widget", "odd", 0, "a", asks(100, 1));
    stage.budget_with("odd", "odd", 0, 0, |b| {
        b.max_unavailable = Some("1".into());
        b.min_available = None;
        b.sync_failed = Some("no scale".into());
    });
    let conflict = find(&of(&stage, &plan(&["a"]))).expect("a conflict");
    assert!(conflict.why.ends_with("its pods can't be counted (no scale)"), "{}", conflict.why);
    let mut stage = three();
    stage.pod("ReplicaSet", "web", 0, "a", asks(100, 1)).pod("ReplicaSet", "web", 1, "b", asks(100, 1));
    stage.budget_with("web", "web", 2, 2, |b| {
        b.max_unavailable = Some("0".into());
        b.min_available = None;
    });
    let problem = of(&stage, &plan(&["a", "b"]));
    let nevers = nevers(&problem);
    assert_eq!(nevers[0].nodes, ["a", "b"], "one never, two nodes");
    assert_eq!(
        nevers[0].member.help,
        "allow 1 or more, or run more replicas, or name the workload in the plan's drain.overrides"
    );
    assert_eq!(sort_out(&problem).len(), 2);
}

#[test]
fn an_unready_pod_that_its_budget_lets_go_always_is_no_conflict() {
    let mut stage = three();
    stage.pod_with("StatefulSet", "db", 0, "a", asks(100, 1), |p| p.ready = false);
    stage.budget("db", "db", 1, 1);
    assert!(find(&of(&stage, &plan(&["a"]))).is_some());
    stage.budget_with("db", "db", 1, 1, |b| {
        b.unhealthy_policy = crate::inventory::UnhealthyPodEvictionPolicy::AlwaysAllow;
    });
    assert_eq!(find(&of(&stage, &plan(&["a"]))), None);
}

#[test]
fn two_budgets_on_one_pod_are_both_named() {
    let mut stage = three();
    for (index, node) in ["a", "b"].into_iter().enumerate() {
        stage.pod("ReplicaSet", "web", index, node, asks(100, 1));
    }
    stage.budget("one", "web", 2, 1).budget("other", "web", 2, 1);
    let conflict = find(&of(&stage, &plan(&["b"]))).expect("a conflict");
    assert_eq!(
        members(&conflict),
        [
            "Node b spec.groups[all].nodes",
            "PodDisruptionBudget one spec.selector",
            "PodDisruptionBudget other spec.selector",
            "ReplicaSet web spec.template.metadata.labels"
        ]
    );
    assert_eq!(
        conflict.why,
        "pods of ReplicaSet ns/web are under two budgets, ns/one and ns/other; the API server refuses their eviction always"
    );
}

#[test]
fn what_only_takes_turns_is_no_conflict() {
    let mut stage = three();
    // A quorum of three over three nodes: each waits for its node, one after the other.
    for (index, node) in ["a", "b", "c"].into_iter().enumerate() {
        stage.pod("StatefulSet", "quorum", index, node, apart("quorum", HOST, asks(100, 1)));
        stage.pod("ReplicaSet", "even", index, node, spread("even", asks(100, 1)));
    }
    stage.budget("quorum", "quorum", 3, 2).budget("even", "even", 3, 2);
    // A budget that selects nothing.
    stage.budget("idle", "nobody", 0, 0);
    // Two nodes that hold each other's budget.
    for (app, one, other) in [("left", "a", "b"), ("right", "b", "a")] {
        stage.pod("ReplicaSet", app, 0, one, asks(100, 1)).pod("ReplicaSet", app, 1, other, asks(100, 1));
        stage.budget(app, app, 2, 1);
    }
    // A local volume that pins a pod.
    stage.local_volume("data", "a");
    stage.pod_with("StatefulSet", "files", 0, "a", asks(100, 1), |p| p.claims = vec!["data".into()]);
    stage.pod("StatefulSet", "files", 1, "b", asks(100, 1)).budget("files", "files", 2, 1);
    let problem = of(&stage, &plan(&["a", "b", "c"]));
    assert_eq!(find(&problem), None);
    assert_eq!(nevers(&problem), []);
}

#[test]
fn two_pods_that_come_back_to_their_node_only_and_a_budget_of_one() {
    let mut stage = three();
    stage.local_volume("data-0", "a").local_volume("data-1", "a");
    for index in 0..2 {
        let claim = format!("data-{index}");
        stage.pod_with("StatefulSet", "files", index, "a", asks(100, 1), |p| p.claims = vec![claim]);
    }
    stage.pod("StatefulSet", "files", 2, "b", asks(100, 1)).budget("files", "files", 3, 2);
    let conflict = find(&of(&stage, &plan(&["a", "b"]))).expect("a conflict");
    assert_eq!(
        members(&conflict),
        [
            "Node a spec.groups[all].nodes",
            "PodDisruptionBudget files spec.minAvailable",
            "StatefulSet files spec.template.spec.volumes"
        ]
    );
    assert_eq!(
        conflict.why,
        "2 pods on a can come back to that node only, and budget ns/files (minAvailable 2) lets 1 be away at once"
    );
    stage.budget("files", "files", 3, 1);
    assert_eq!(find(&of(&stage, &plan(&["a", "b"]))), None);
}

#[test]
fn guests_that_cannot_leave_are_told_from_those_that_can() {
    let mut stage = three();
    stage.vm("moves", "a", 2, true).vm("stuck", "a", 2, false);
    let mut plan = plan(&["a"]);
    let conflict = find(&of(&stage, &plan)).expect("a conflict");
    assert_eq!(
        members(&conflict),
        ["Node a spec.groups[all].nodes", "VirtualMachine stuck spec.template.spec.volumes"]
    );
    assert_eq!(
        conflict.why,
        "VirtualMachine ns/stuck on a cannot live-migrate: DisksNotLiveMigratable (a disk is local)"
    );
    assert!(conflict.members[1].help.contains("virtualMachines.nonMigratable: Restart"));
    plan.virtual_machines.non_migratable = crate::plan::v1alpha1::NonMigratable::Restart;
    assert_eq!(find(&of(&stage, &plan)), None);
}

#[test]
fn a_guest_that_no_other_node_can_host_is_told_so() {
    let mut stage = three();
    stage.node_with("large", "z2", 64_000, 256).vm("huge", "large", 32, true);
    let conflict = find(&of(&stage, &plan(&["large"]))).expect("a conflict");
    assert_eq!(
        members(&conflict),
        ["Node large spec.groups[all].nodes", "VirtualMachine huge spec.template.spec.nodeSelector"]
    );
    assert_eq!(
        conflict.why,
        "VirtualMachine ns/huge on large can live-migrate, and no other node can host it"
    );
}

#[test]
fn guests_apart_need_a_node_more_than_there_are_guests() {
    let mut stage = three();
    for (vm, node) in [("one", "a"), ("two", "b"), ("three", "c")] {
        stage.vm(vm, node, 2, true);
        stage.pod_with("VirtualMachineInstance", vm, 0, node, apart("guest", HOST, asks(1000, 2)), |pod| {
            let labels = Arc::make_mut(&mut pod.labels);
            labels.insert("app".into(), "guest".into());
            labels.insert("kubevirt.io".into(), "virt-launcher".into());
            pod.domain = Some(vm.into());
        });
    }
    let problem = of(&stage, &plan(&["b"]));
    let conflict = find(&problem).expect("a conflict");
    assert_eq!(conflict.members.len(), 4, "the node and its three guests: {:?}", members(&conflict));
    assert_eq!(
        conflict.why,
        "without node b, 3 pods like those of VirtualMachine ns/one have 2 places apart"
    );
    stage.node("d", "z2");
    assert_eq!(find(&of(&stage, &plan(&["b"]))), None);
}

/// Three nodes of 16 GiB and a canary of 32, of which 24 are in use; on each of the others 10 are.
fn canary() -> Stage {
    let mut stage = three();
    stage.node_with("canary", "z2", 8000, 32);
    for index in 0..12 {
        stage.pod("ReplicaSet", "cache", index, "canary", asks(100, 2));
    }
    for (index, node) in ["a", "b", "c"].into_iter().enumerate() {
        stage.pod("ReplicaSet", "shop", index, node, asks(100, 5));
        stage.pod("ReplicaSet", "mail", index, node, asks(100, 5));
        stage.budget("shop", "shop", 3, 2).budget("mail", "mail", 3, 2);
    }
    stage
}

#[test]
fn a_canary_larger_than_the_spare_room_is_named_with_what_fills_it() {
    let mut stage = canary();
    // 24 + 30 = 54 GiB, and 48 without the canary. 24 + 15 = 39 would do: all three are needed.
    let problem = of(&stage, &plan(&["canary"]));
    let conflict = find(&problem).expect("a conflict");
    assert_eq!(
        members(&conflict),
        [
            "Node canary spec.groups[all].nodes",
            "ReplicaSet cache spec.template.spec.containers",
            "ReplicaSet mail spec.template.spec.containers",
            "ReplicaSet shop spec.template.spec.containers",
        ]
    );
    assert_eq!(
        conflict.why,
        "without node canary, 54.0 GiB of memory would be needed and 48.0 GiB of memory are there"
    );
    // A node that takes no part has no conflict.
    assert_eq!(find(&of(&stage, &plan(&["a"]))), None);
    stage.node("d", "z1");
    assert_eq!(find(&of(&stage, &plan(&["canary"]))), None);
}

#[test]
fn a_node_that_is_out_for_good_offers_no_room() {
    let mut stage = canary();
    stage.node("d", "z1").change("d", |n| n.unschedulable = true);
    assert!(find(&of(&stage, &plan(&["canary"]))).is_some());
    // One that is out and due comes back from its own maintenance.
    assert_eq!(find(&of(&stage, &plan(&["d", "canary"]))), None);
}

#[test]
fn what_may_run_on_few_nodes_conflicts_among_those() {
    let mut stage = three();
    for node in ["a", "b"] {
        stage.change(node, |n| {
            n.labels.insert("disk".into(), "ssd".into());
        });
    }
    let on_ssd = |needs: Needs| {
        let term = NodeTerm { labels: vec![is("disk", "ssd")], fields: vec![] };
        Needs { node_affinity: Some(vec![term]), ..needs }
    };
    stage.pod("ReplicaSet", "fast", 0, "a", on_ssd(asks(100, 10)));
    stage.pod("ReplicaSet", "quick", 0, "b", on_ssd(asks(100, 10)));
    stage.pod("ReplicaSet", "plain", 0, "b", asks(100, 4));
    // Nobody moves what is on b: 2 GiB are free there.
    let conflict = find(&of(&stage, &plan(&["a"]))).expect("a conflict");
    assert_eq!(conflict.members.len(), 2);
    assert!(conflict.why.ends_with("10.0 GiB of memory would be needed and 2.0 GiB of memory are there"));
    // Its turn comes, too. Plain can go to c; 10 + 10 don't fit on b.
    let conflict = find(&of(&stage, &plan(&["a", "b"]))).expect("a conflict");
    assert_eq!(
        members(&conflict),
        [
            "Node a spec.groups[all].nodes",
            "ReplicaSet fast spec.template.spec.containers",
            "ReplicaSet quick spec.template.spec.containers"
        ]
    );
    assert_eq!(
        conflict.why,
        "without node a, 20.0 GiB of memory would be needed and 16.0 GiB of memory are there"
    );
}

#[test]
fn a_node_that_is_overbooked_already_proves_nothing() {
    let mut stage = three();
    // 20 of 16 GiB: somebody shrank it. Nothing has to move there.
    stage.pod("ReplicaSet", "big", 0, "b", asks(100, 10)).pod("ReplicaSet", "big", 1, "b", asks(100, 10));
    stage.pod("ReplicaSet", "big", 2, "c", asks(100, 14));
    stage.pod("ReplicaSet", "small", 0, "a", asks(100, 2)).budget("big", "big", 3, 2);
    assert_eq!(find(&of(&stage, &plan(&["a"]))), None, "2 GiB are free on c");
}

#[test]
fn pods_that_are_together_already_are_not_moved_apart() {
    let mut stage = three();
    // Two of them were on b before they were to be apart; c is free.
    for (index, node) in ["a", "b", "b"].into_iter().enumerate() {
        stage.pod("ReplicaSet", "late", index, node, apart("late", HOST, asks(100, 1)));
    }
    assert_eq!(find(&of(&stage, &plan(&["a"]))), None);
}

#[test]
fn a_limit_of_nothing_never_begins() {
    let stage = three();
    let mut plan = plan(&["a"]);
    plan.concurrency =
        Some(Concurrency { max_unavailable: Some(IntOrPercent::Int(0)), ..Concurrency::default() });
    let conflict = find(&of(&stage, &plan)).expect("a conflict");
    assert_eq!(members(&conflict), ["Node a spec.concurrency"]);
}

#[test]
fn the_first_words_are_the_same_whatever_came_in_first() {
    let forth = canary();
    let mut back = Stage::default();
    for node in forth.inventory.nodes().values().rev() {
        back.inventory.put_node(crate::inventory::Node::clone(node));
    }
    for pod in forth.inventory.pods().collect::<Vec<_>>().into_iter().rev() {
        back.inventory.put_pod(pod.clone());
    }
    for budget in forth.inventory.budgets().values().rev() {
        back.inventory.put_budget(budget.clone());
    }
    let plan = plan(&["canary", "a"]);
    assert_eq!(find(&of(&forth, &plan)), find(&of(&back, &plan)));
}

/// What a random item is drawn from: node, size, class, way and landing, owner, budget, workload.
type Draw = (u32, u64, usize, u32, bool, u32, u32);

/// A small problem in which everything is where it may be.
fn small(capacities: &[u64], due: &[bool], draws: &[Draw], most: [u32; 2]) -> Problem {
    let mut instance = Instance::new(&["cpu"]);
    let nodes = capacities.len() as u32;
    for (index, capacity) in capacities.iter().enumerate() {
        instance.add_node(NodeSpec {
            name: format!("n{index}"),
            zone: NONE,
            group: if due[index] { 0 } else { NONE },
            capacity: vec![*capacity],
            standing: Standing::InService,
            ..NodeSpec::default()
        });
    }
    // Every node, all but the last, all but the first.
    instance.classes =
        vec![Class::Any, Class::Only((0..nodes - 1).collect()), Class::Only((1..nodes).collect())];
    instance.owners = vec![Owner { name: "apart".into(), most: 1, ..Owner::default() }];
    let mut problem = Problem::default();
    let mut used = vec![0; capacities.len()];
    let mut owned = BTreeSet::new();
    for (node, size, class, way, pinned, owner, workload) in draws {
        let node = node % nodes;
        let may =
            instance.classes[*class].has(node) && used[node as usize] + size <= capacities[node as usize];
        let owner = if *owner == 0 && owned.insert(node) { 0 } else { NONE };
        if !may {
            continue;
        }
        used[node as usize] += size;
        instance.shapes.push(Shape { demand: vec![*size], class: *class as u32 });
        let way = if *way == 0 { Way::Migration } else { Way::Eviction };
        let pinned = *pinned && way == Way::Eviction;
        instance.add_item(ItemSpec {
            node,
            shape: instance.shapes.len() as u32 - 1,
            way,
            landing: if pinned { Landing::SameNode } else { Landing::Elsewhere },
            budget: workload % 3,
            owner,
            ..ItemSpec::default()
        });
        problem.workload_of.push(*workload);
    }
    let object = |name: String| ObjectName::new("ns", name);
    problem.workloads =
        (0..6).map(|n| Workload { kind: "Deployment".into(), name: object(format!("w{n}")) }).collect();
    problem.budgets = (0..2)
        .map(|n| BudgetTerms {
            name: object(format!("b{n}")),
            terms: String::new(),
            field: "spec.maxUnavailable",
            expected: 9,
            desired: 9 - most[n],
            most: most[n],
            allows_with_one_more: false,
            uncounted: None,
        })
        .collect();
    // Budget 2 is none.
    instance.items.budget.iter_mut().filter(|b| **b == 2).for_each(|b| *b = NONE);
    problem.instance = instance;
    problem
}

fn problems() -> impl Strategy<Value = Problem> {
    let draw = (0u32..4, 1u64..5, 0usize..3, 0u32..2, prop::bool::weighted(0.2), 0u32..3, 0u32..6);
    (
        prop::collection::vec(3u64..9, 2..5),
        prop::collection::vec(prop::bool::weighted(0.7), 4),
        prop::collection::vec(draw, 0..9),
        prop::array::uniform2(0u32..3),
    )
        .prop_map(|(capacities, due, draws, most)| small(&capacities, &due, &draws, most))
}

/// Whether all items but those pinned to `away` have a place on the other nodes, by trying everything.
fn fits(problem: &Problem, away: u32) -> bool {
    let instance = &problem.instance;
    let mut free: Vec<u64> = instance.nodes.capacity.clone();
    let mut items = Vec::new();
    for item in 0..instance.items.len() {
        let node = instance.items.node[item];
        if instance.items.landing[item] == Landing::SameNode {
            if node != away {
                free[node as usize] -= instance.demand(item as u32)[0];
            }
        } else {
            items.push(item as u32);
        }
    }
    let mut apart: BTreeMap<u32, u32> = BTreeMap::new();
    place(instance, &items, away, &mut free, &mut apart)
}

fn place(
    instance: &Instance,
    items: &[u32],
    away: u32,
    free: &mut [u64],
    apart: &mut BTreeMap<u32, u32>,
) -> bool {
    let Some((item, rest)) = items.split_first() else { return true };
    let size = instance.demand(*item)[0];
    let is_apart = instance.items.owner[*item as usize] != NONE;
    for node in 0..instance.nodes.len() as u32 {
        let taken = apart.get(&node).copied().unwrap_or(0);
        if node == away
            || free[node as usize] < size
            || !instance.may_host(node, *item)
            || (is_apart && taken > 0)
        {
            continue;
        }
        free[node as usize] -= size;
        apart.insert(node, taken + u32::from(is_apart));
        let found = place(instance, rest, away, free, apart);
        free[node as usize] += size;
        apart.insert(node, taken);
        if found {
            return true;
        }
    }
    false
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn a_conflict_is_minimal(problem in problems()) {
        let oracle = Oracle::new(&problem);
        let all = vec![true; oracle.objects()];
        if let Some((conflict, _)) = find_among(&problem, &oracle, &all) {
            let ids: Vec<u32> = (0..oracle.objects() as u32)
                .filter(|id| {
                    let member = words::member(&problem, &oracle.check(&all).expect("one"), oracle.object(*id));
                    conflict.members.iter().any(|m| m.kind == member.kind && m.name == member.name)
                })
                .collect();
            prop_assert_eq!(ids.len(), conflict.members.len());
            // Every subset by itself: the whole is a conflict, and nothing less is.
            for subset in 0..1u32 << ids.len() {
                let mut kept = vec![false; oracle.objects()];
                for (bit, id) in ids.iter().enumerate() {
                    kept[*id as usize] = subset >> bit & 1 == 1;
                }
                let is_whole = subset + 1 == 1 << ids.len();
                prop_assert_eq!(oracle.check(&kept).is_some(), is_whole, "{:b} of {:?}", subset, conflict);
            }
        }
    }

    #[test]
    fn more_objects_never_resolve_a_conflict(problem in problems(), less in any::<u16>(), more in any::<u16>()) {
        let oracle = Oracle::new(&problem);
        let kept = |bits: u16| (0..oracle.objects()).map(|id| bits >> (id % 16) & 1 == 1).collect::<Vec<_>>();
        if oracle.check(&kept(less)).is_some() {
            prop_assert!(oracle.check(&kept(less | more)).is_some());
        }
    }

    #[test]
    fn what_is_proven_cannot_be_done(problem in problems()) {
        let oracle = Oracle::new(&problem);
        let mut kept = vec![true; oracle.objects()];
        for (id, object) in (0..oracle.objects() as u32).map(|id| (id, oracle.object(id))) {
            // Budgets are not what is tried here.
            kept[id as usize] = !matches!(object, Object::Budget(_));
        }
        for node in 0..problem.instance.nodes.len() as u32 {
            let mut only = kept.clone();
            for other in (0..problem.instance.nodes.len() as u32).filter(|n| *n != node) {
                only[oracle.id(Object::Node(other)) as usize] = false;
            }
            if let Some(reason) = oracle.check(&only) {
                prop_assert!(!fits(&problem, node), "{reason:?}");
            }
        }
    }

    #[test]
    fn without_the_nodes_that_were_taken_out_there_is_no_conflict(problem in problems()) {
        let taken: BTreeSet<String> = sort_out(&problem).into_iter().map(|(node, _)| node).collect();
        let mut rest = problem.clone();
        for (group, name) in rest.instance.nodes.group.iter_mut().zip(&problem.instance.nodes.name) {
            if taken.contains(name) {
                *group = NONE;
            }
        }
        prop_assert_eq!(find(&rest), None);
    }
}
