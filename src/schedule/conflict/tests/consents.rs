//! What the plan doesn't consent to, found beforehand.

use super::*;
use crate::inventory::{Condition, Pod, RunStrategy, VirtualMachine, VirtualMachineInstance, VmiPhase};
use crate::plan::v1alpha1::{ExternalPolicy, NonMigratable, ShutDown, StaysOff};

/// Whether the plan's node `a` can't be maintained, and for what: the last member's field.
fn against(stage: &Stage, plan: &MaintenancePlanSpec) -> Option<String> {
    let conflict = find(&of(stage, plan))?;
    conflict.members.last().map(|m| format!("{} {}", m.kind, m.field))
}

fn with(how: impl FnOnce(&mut MaintenancePlanSpec)) -> MaintenancePlanSpec {
    let mut plan = plan(&["a"]);
    how(&mut plan);
    plan
}

#[test]
fn data_that_the_plan_does_not_give_up_is_told_with_both_ways_out() {
    let mut stage = three();
    stage.pod_with("ReplicaSet", "web", 0, "a", asks(100, 1), |p| p.has_empty_dir = true);
    let problem = of(&stage, &plan(&["a", "b"]));
    let conflict = find(&problem).expect("a conflict");
    assert_eq!(
        members(&conflict),
        [
            "Node a spec.groups[all].nodes",
            "ReplicaSet web spec.template.spec.volumes",
            "MaintenancePlan  spec.drain.deleteEmptyDirData"
        ]
    );
    assert_eq!(
        conflict.why,
        "ReplicaSet ns/web on a has data in emptyDir volumes, which a drain deletes; \
         the plan does not consent (drain.deleteEmptyDirData)"
    );
    assert_eq!(conflict.members[2].to_string(), "MaintenancePlan");
    assert_eq!(conflict.members[1].to_string(), "ReplicaSet ns/web");
    assert_eq!(sort_out(&problem).into_iter().map(|(node, _)| node).collect::<Vec<_>>(), ["a"]);
    assert_eq!(against(&stage, &with(|p| p.drain.delete_empty_dir_data = true)), None);
    // Where it isn't due, nobody drains it.
    assert_eq!(find(&of(&stage, &plan(&["b"]))), None);
}

#[test]
fn each_workload_has_its_line_with_all_its_nodes() {
    let mut stage = three();
    for (index, node) in ["a", "b"].into_iter().enumerate() {
        for app in ["web", "mail"] {
            stage.pod_with("ReplicaSet", app, index, node, asks(100, 1), |p| p.has_empty_dir = true);
        }
    }
    let nevers = nevers(&of(&stage, &plan(&["a", "b"])));
    let told: Vec<_> = nevers.iter().map(|n| (n.why.split(" on ").next(), n.nodes.len())).collect();
    assert_eq!(told, [(Some("ReplicaSet ns/mail"), 2), (Some("ReplicaSet ns/web"), 2)]);
    assert!(nevers.iter().all(|n| n.member.field == "spec.drain.deleteEmptyDirData"));
}

#[test]
fn pods_that_may_be_lost_and_daemons_take_their_consents() {
    let bare = |how: &dyn Fn(&mut Pod)| {
        let mut stage = three();
        stage.pod_with("", "bare", 0, "a", asks(100, 1), |p| {
            p.controller = None;
            how(p);
        });
        stage
    };
    let force = Some("MaintenancePlan spec.drain.force".to_owned());
    assert_eq!(against(&bare(&|_| {}), &with(|_| {})), force);
    assert_eq!(against(&bare(&|_| {}), &with(|p| p.drain.force = true)), None);
    // One that ends by itself may have ended by then; others see to it that it isn't drained.
    assert_eq!(against(&bare(&|p| p.may_end = true), &with(|_| {})), None);
    assert_eq!(against(&bare(&|p| p.is_mirror = true), &with(|_| {})), None);
    assert_eq!(against(&bare(&|p| p.phase = crate::inventory::PodPhase::Succeeded), &with(|_| {})), None);
    let only_vms = with(|p| p.drain.scope = crate::plan::v1alpha1::Scope::VirtualMachines);
    assert_eq!(against(&bare(&|_| {}), &only_vms), None);
    let mut stage = three();
    stage.pod("DaemonSet", "agent", 0, "a", asks(100, 1));
    let strict = with(|p| p.drain.ignore_daemon_sets = false);
    // Its set is gone: it will be cleared away.
    assert_eq!(against(&stage, &strict), None);
    stage.inventory.put_daemon_set(crate::inventory::Workload {
        name: ObjectName::new("ns", "agent"),
        ..crate::inventory::Workload::default()
    });
    assert_eq!(against(&stage, &with(|_| {})), None);
    let conflict = find(&of(&stage, &strict)).expect("a conflict");
    assert_eq!(
        members(&conflict),
        [
            "Node a spec.groups[all].nodes",
            "DaemonSet agent spec.template.spec.affinity.nodeAffinity",
            "MaintenancePlan  spec.drain.ignoreDaemonSets"
        ]
    );
}

/// A VM on `a`, changed.
fn guest(how: impl FnOnce(&mut VirtualMachineInstance), run_strategy: RunStrategy) -> Stage {
    let mut stage = three();
    stage.vm("desk", "a", 2, true);
    let name = ObjectName::new("ns", "desk");
    let mut vmi = stage.inventory.vmi(&name).expect("a guest").clone();
    how(&mut vmi);
    stage.inventory.put_vmi(vmi);
    stage.inventory.put_vm(VirtualMachine { name, run_strategy, ..VirtualMachine::default() });
    stage
}

#[test]
fn a_guest_that_is_shut_down_takes_the_consent_to_what_becomes_of_it() {
    let setting = |name: &str| Some(format!("MaintenancePlan spec.virtualMachines.{name}"));
    let strategy = |name: &'static str| {
        move |vmi: &mut VirtualMachineInstance| vmi.eviction_strategy = Some(name.into())
    };
    let stays_off = guest(strategy("None"), RunStrategy::Manual);
    assert_eq!(against(&stays_off, &with(|_| {})), setting("staysOff"));
    for consent in [StaysOff::Allow, StaysOff::StartAfterwards] {
        assert_eq!(against(&stays_off, &with(|p| p.virtual_machines.stays_off = consent)), None);
    }
    let bare = guest(
        |vmi| {
            strategy("None")(vmi);
            vmi.controller = None;
        },
        RunStrategy::Always,
    );
    assert_eq!(against(&bare, &with(|_| {})), setting("staysOff"));
    let starting = with(|p| p.virtual_machines.stays_off = StaysOff::StartAfterwards);
    assert_eq!(against(&bare, &starting), setting("staysOff"), "nothing can start it");
    assert_eq!(against(&bare, &with(|p| p.virtual_machines.stays_off = StaysOff::Allow)), None);
    let comes_back = guest(strategy("None"), RunStrategy::Always);
    assert_eq!(against(&comes_back, &with(|_| {})), None);
    let strict = with(|p| p.virtual_machines.shut_down = ShutDown::Fail);
    assert_eq!(against(&comes_back, &strict), setting("shutDown"));
    assert_eq!(against(&guest(|_| {}, RunStrategy::Always), &strict), None, "it migrates");
    let external = guest(strategy("External"), RunStrategy::Always);
    assert_eq!(against(&external, &with(|_| {})), None);
    let strict = with(|p| p.virtual_machines.external = ExternalPolicy::Fail);
    assert_eq!(against(&external, &strict), setting("external"));
    assert_eq!(
        find(&of(&stays_off, &with(|_| {}))).map(|c| c.why),
        Some(
            "VirtualMachine ns/desk on a is shut down by a drain, and stays off by its run strategy Manual; \
             the plan does not consent (virtualMachines.staysOff)"
                .to_owned()
        )
    );
}

#[test]
fn what_may_change_by_itself_proves_nothing() {
    let strict = with(|p| {
        p.virtual_machines.shut_down = ShutDown::Fail;
        p.virtual_machines.non_migratable = NonMigratable::Fail;
    });
    let of_guest = |strategy: &str, phase: VmiPhase, says: Option<&str>, deleting: bool| {
        let condition = says.map(|status| Condition { status: status.into(), ..Condition::default() });
        guest(
            |vmi| {
                vmi.eviction_strategy = Some(strategy.into());
                vmi.phase = phase;
                vmi.conditions = condition.map(|c| ("LiveMigratable".to_owned(), c)).into_iter().collect();
                vmi.deleting = deleting;
            },
            RunStrategy::Always,
        )
    };
    use VmiPhase::{Running, Scheduled};
    for (strategy, phase, says, deleting, is_against) in [
        ("LiveMigrateIfPossible", Running, Some("False"), false, true),
        ("LiveMigrateIfPossible", Running, None, false, false),
        ("LiveMigrateIfPossible", Scheduled, Some("False"), false, false),
        ("LiveMigrate", Running, Some("False"), false, true),
        ("LiveMigrate", Running, None, false, false),
        ("LiveMigrate", Scheduled, Some("False"), false, false),
        ("None", Scheduled, None, false, true),
        ("None", Running, Some("True"), true, false),
    ] {
        let stage = of_guest(strategy, phase, says, deleting);
        let found = find(&of(&stage, &strict));
        assert_eq!(found.is_some(), is_against, "{strategy} {phase:?} {says:?} {deleting}: {found:?}");
    }
    // Nor does an order to stop that is being carried out.
    let going = guest(|vmi| vmi.eviction_strategy = Some("None".into()), RunStrategy::Halted);
    assert_eq!(against(&going, &with(|_| {})), None);
}
