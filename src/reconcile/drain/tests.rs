//! Tables for the drain step, expectations written by hand.

mod overrides;
mod surge;

use std::collections::BTreeMap;
use std::sync::Arc;

use super::*;
use crate::inventory::{
    Budget, Condition, KubeVirt, Owner, PodPhase, RunStrategy, VirtualMachine, VirtualMachineInstance,
    VmiPhase, Workload,
};
use crate::plan::selector;
use crate::plan::v1alpha1::{NonMigratable, StaysOff, VirtualMachines};

fn now() -> Timestamp {
    "2026-03-01T12:00:00Z".parse().expect("a time")
}

fn owner(kind: &str, name: &str) -> Option<Arc<Owner>> {
    Some(Arc::new(Owner { kind: kind.into(), name: name.into(), ..Owner::default() }))
}

fn pod(name: &str) -> Pod {
    Pod {
        name: ObjectName::new("shop", name),
        uid: format!("uid-{name}"),
        node: Some("w1".into()),
        phase: PodPhase::Running,
        ready: true,
        controller: owner("ReplicaSet", "web"),
        labels: Arc::new(BTreeMap::from([("app".to_owned(), "web".to_owned())])),
        ..Pod::default()
    }
}

fn budget(expected: i32, desired: i32, current: i32) -> Budget {
    Budget {
        name: ObjectName::new("shop", "web"),
        selector: selector::parse("app=web").ok(),
        min_available: Some(desired.to_string()),
        expected_pods: expected,
        desired_healthy: desired,
        current_healthy: current,
        disruptions_allowed: (current - desired).max(0),
        ..Budget::default()
    }
}

fn step(inventory: &Inventory, ledger: &Ledger, options: &DrainOptions) -> DrainStep {
    step_with(inventory, ledger, options, &DrainRecord::default(), now())
}

fn step_with(
    inventory: &Inventory,
    ledger: &Ledger,
    options: &DrainOptions,
    record: &DrainRecord,
    now: Timestamp,
) -> DrainStep {
    let mut pending = Pending::count(inventory, ledger);
    pending.count_surges(inventory);
    drain_node(inventory, ledger, &mut pending, "w1", options, record, now)
}

fn with_pods(pods: impl IntoIterator<Item = Pod>) -> Inventory {
    let mut inventory = Inventory::new();
    for pod in pods {
        inventory.put_pod(pod);
    }
    inventory
}

fn evicted(step: &DrainStep) -> Vec<&str> {
    let name = |e: &'_ Effect| match e {
        Effect::Evict { pod, .. } | Effect::Delete { pod, .. } => Some(pod.name.clone()),
        _ => None,
    };
    step.effects.iter().filter_map(name).map(|n| &*n.leak()).collect()
}

#[test]
fn filters_answer_in_kubectls_order_with_kubectls_texts() {
    let plain = DrainOptions::default();
    let all =
        DrainOptions { ignore_daemon_sets: true, delete_empty_dir_data: true, force: true, ..plain.clone() };
    let daemon = Pod { controller: owner("DaemonSet", "agent"), has_empty_dir: true, ..pod("agent") };
    let orphan_daemon = Pod { controller: owner("DaemonSet", "gone"), ..pod("orphan") };
    let scratch = Pod { has_empty_dir: true, ..pod("scratch") };
    let bare = Pod { controller: None, ..pod("bare") };
    let bare_scratch = Pod { controller: None, has_empty_dir: true, ..pod("both") };
    let finished = Pod { phase: PodPhase::Succeeded, ..bare_scratch.clone() };
    let mirror = Pod { is_mirror: true, controller: None, ..pod("static") };
    let fatal = |t: &str| Verdict::Fatal(t.to_owned().into());
    let evict = |t: Option<&str>| Verdict::Evict(t.map(|t| t.to_owned().into()));
    let mut inventory = Inventory::new();
    inventory.put_daemon_set(Workload { name: ObjectName::new("shop", "agent"), uid: "1".into() });
    for (pod, options, expected) in [
        (&daemon, &plain, fatal("cannot delete DaemonSet-managed Pods (use --ignore-daemonsets to ignore)")),
        (&daemon, &all, Verdict::Leave(Some("ignoring DaemonSet-managed Pods".into()))),
        (&orphan_daemon, &plain, fatal("daemonsets.apps \"gone\" not found")),
        (&orphan_daemon, &all, evict(Some("daemonsets.apps \"gone\" not found"))),
        (
            &scratch,
            &plain,
            fatal("cannot delete Pods with local storage (use --delete-emptydir-data to override)"),
        ),
        (&scratch, &all, evict(Some("deleting Pods with local storage"))),
        (&bare, &plain, fatal("cannot delete Pods that declare no controller (use --force to override)")),
        (&bare, &all, evict(Some("deleting Pods that declare no controller"))),
        (
            &bare_scratch,
            &plain,
            fatal("cannot delete Pods with local storage (use --delete-emptydir-data to override)"),
        ),
        (&finished, &plain, evict(None)),
        (&mirror, &plain, Verdict::Leave(None)),
        (&mirror, &all, Verdict::Leave(None)),
    ] {
        assert_eq!(filter::judge(pod, &inventory, options, now()), expected, "{} {options:?}", pod.name);
    }
}

#[test]
fn one_fatal_pod_keeps_every_other_from_being_evicted() {
    let inventory = with_pods([pod("a"), Pod { controller: None, ..pod("b") }]);
    let step = step(&inventory, &Ledger::default(), &DrainOptions::default());
    assert_eq!(evicted(&step), Vec::<&str>::new());
    assert_eq!(step.fatal.len(), 1);
    assert!(!step.done);
}

#[test]
fn a_budget_lets_only_as_many_go_as_it_allows() {
    let mut inventory = with_pods([pod("a"), pod("b"), pod("c")]);
    inventory.put_budget(budget(3, 1, 3));
    let first = step(&inventory, &Ledger::default(), &DrainOptions::default());
    assert_eq!(evicted(&first), ["a", "b"]);
    let held = first.holds.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(
        held,
        [
            "pod shop/c waits for budget shop/web: minAvailable 1: needs 1 healthy pods of 3, has 3, 2 just evicted"
        ]
    );
}

#[test]
fn granted_evictions_count_until_the_budget_shows_them() {
    let mut inventory = with_pods([pod("a"), pod("b")]);
    inventory.put_budget(budget(2, 1, 2));
    let mut ledger = Ledger::default();
    let granted = EvictionAttempt {
        pod: ObjectName::new("shop", "a"),
        node: "w1".into(),
        asked_at: now(),
        count: 1,
        answer: Some(EvictionAnswer::Granted),
    };
    ledger.evictions.insert("uid-a".into(), granted);
    assert_eq!(evicted(&step(&inventory, &ledger, &DrainOptions::default())), Vec::<&str>::new());
    // The budget has recovered: the pod is in its disruptedPods, and one more may go.
    let mut shown = budget(3, 1, 2);
    shown.disrupted_pods.insert("a".into());
    inventory.put_budget(shown);
    assert_eq!(evicted(&step(&inventory, &ledger, &DrainOptions::default())), ["b"]);
}

#[test]
fn a_budget_that_never_allows_is_told_from_a_slow_one() {
    for (expected, desired, current, prospect) in [
        (2, 2, 2, Prospect::Never),
        (3, 3, 1, Prospect::Never),
        (3, 2, 2, Prospect::Slow),
        (3, 2, 0, Prospect::Slow),
    ] {
        assert_eq!(
            budget::explain(&budget(expected, desired, current), 0, true).1,
            prospect,
            "{expected} {desired} {current}"
        );
    }
    let stale = Budget { generation: 2, observed_generation: 1, ..budget(2, 2, 2) };
    // While pods come and go, as many pods as are needed may be one too few for a moment.
    let (why, prospect) = budget::explain(&budget(2, 2, 2), 0, false);
    assert!(prospect == Prospect::Uncertain && why.contains("needs all of its 2 pods"), "{why}");
    assert_eq!(budget::explain(&stale, 0, true).1, Prospect::Slow);
    let mut inventory = with_pods([pod("a")]);
    inventory.put_budget(budget(2, 2, 2));
    let found = obstacles(&inventory, "w1", &DrainOptions::default(), now());
    assert_eq!(
        found,
        [
            "pod shop/a waits for budget shop/web: minAvailable 2 of 2 pods never allows a disruption (needs 2 healthy, \
          has 2); waiting will not help: scale the workload up or relax the budget, or name the workload in the plan's \
          drain.overrides"
        ]
    );
}

#[test]
fn an_unready_pod_goes_as_the_budgets_policy_says() {
    use crate::inventory::UnhealthyPodEvictionPolicy::{AlwaysAllow, IfHealthyBudget};
    let unready = Pod { ready: false, ..pod("a") };
    for (policy, current, free) in
        [(AlwaysAllow, 0, true), (IfHealthyBudget, 0, false), (IfHealthyBudget, 2, true)]
    {
        let mut inventory = with_pods([unready.clone()]);
        inventory.put_budget(Budget { unhealthy_policy: policy, ..budget(3, 2, current) });
        assert_eq!(
            !evicted(&step(&inventory, &Ledger::default(), &DrainOptions::default())).is_empty(),
            free
        );
    }
}

#[test]
fn two_budgets_on_one_pod_never_let_it_go() {
    let mut inventory = with_pods([pod("a")]);
    inventory.put_budget(budget(3, 1, 3));
    inventory.put_budget(Budget { name: ObjectName::new("shop", "second"), ..budget(3, 1, 3) });
    let campaign = DrainOptions { consent: Some(VmConsent::default()), ..DrainOptions::default() };
    let planned = step(&inventory, &Ledger::default(), &campaign);
    assert!(planned.effects.is_empty());
    assert_eq!(planned.holds[0].prospect(), Prospect::Never);
    // By hand the API server is heard, once: its refusal ends the drain of that pod.
    let by_hand = step(&inventory, &Ledger::default(), &DrainOptions::default());
    assert_eq!((evicted(&by_hand), by_hand.holds[0].prospect()), (vec!["a"], Prospect::Never));
}

#[test]
fn tiers_leave_one_after_the_other() {
    let launcher = launcher_pod("vm", None);
    let system = Pod { priority_class: Some("system-cluster-critical".into()), ..pod("csi") };
    let options = DrainOptions {
        delete_empty_dir_data: true,
        tiers: crate::plan::v1alpha1::Drain::default().tiers,
        ..Default::default()
    };
    let mut inventory = with_pods([launcher.clone(), pod("web"), system.clone()]);
    assert_eq!(evicted(&step(&inventory, &Ledger::default(), &options)), ["virt-launcher-vm"]);
    inventory.remove_pod(&launcher.name);
    assert_eq!(evicted(&step(&inventory, &Ledger::default(), &options)), ["web"]);
    inventory.remove_pod(&pod("web").name);
    assert_eq!(evicted(&step(&inventory, &Ledger::default(), &options)), ["csi"]);
}

fn launcher_pod(vm: &str, job: Option<&str>) -> Pod {
    let mut labels = BTreeMap::from([
        ("kubevirt.io".to_owned(), "virt-launcher".to_owned()),
        ("kubevirt.io/created-by".to_owned(), format!("vmi-{vm}")),
    ]);
    if let Some(job) = job {
        labels.insert("kubevirt.io/migrationJobUID".to_owned(), job.to_owned());
    }
    Pod {
        labels: Arc::new(labels),
        domain: Some(vm.to_owned()),
        has_empty_dir: true,
        controller: owner("VirtualMachineInstance", vm),
        ..pod(&format!("virt-launcher-{vm}"))
    }
}

fn vmi(
    name: &str,
    strategy: Option<&str>,
    migratable: Option<bool>,
    kind: Option<&str>,
) -> VirtualMachineInstance {
    let condition = |yes: bool| Condition {
        status: if yes { "True" } else { "False" }.into(),
        reason: if yes { "" } else { "InterfaceNotLiveMigratable" }.into(),
        message: String::new(),
    };
    VirtualMachineInstance {
        name: ObjectName::new("shop", name),
        uid: format!("vmi-{name}"),
        phase: VmiPhase::Running,
        node: Some("w1".into()),
        eviction_strategy: strategy.map(str::to_owned),
        conditions: migratable.map(|m| ("LiveMigratable".to_owned(), condition(m))).into_iter().collect(),
        controller: kind.and_then(|k| owner(k, name)),
        ..VirtualMachineInstance::default()
    }
}

fn cluster_with(vmi: VirtualMachineInstance, strategy: RunStrategy) -> Inventory {
    let mut inventory = with_pods([launcher_pod(&vmi.name.name, None)]);
    inventory.kubevirt = Some(KubeVirt::default());
    inventory.put_vm(VirtualMachine { name: vmi.name.clone(), run_strategy: strategy, ..Default::default() });
    inventory.put_vmi(vmi);
    inventory
}

#[test]
fn the_fate_of_a_vm_follows_strategy_migratability_and_owner() {
    use RunStrategy::{Always, Halted, Manual, Once, RerunOnFailure};
    let shuts = VmFate::ShutsDown;
    let no = || VmFate::NotMigratable {
        reason: "InterfaceNotLiveMigratable".into(),
        message: String::new(),
        comeback: Comeback::ByItself,
    };
    let vm = Some("VirtualMachine");
    for (strategy, migratable, kind, run, expected) in [
        (Some("LiveMigrate"), Some(true), vm, Always, VmFate::Migrates),
        (Some("LiveMigrate"), Some(false), vm, Always, no()),
        (Some("LiveMigrateIfPossible"), Some(true), vm, Always, VmFate::Migrates),
        (Some("LiveMigrateIfPossible"), Some(false), vm, Always, shuts(Comeback::ByItself)),
        (Some("External"), Some(true), vm, Always, VmFate::External),
        (Some("None"), Some(true), vm, Always, shuts(Comeback::ByItself)),
        (None, Some(true), vm, Manual, shuts(Comeback::StaysOff(Manual))),
        (None, Some(true), vm, Once, shuts(Comeback::StaysOff(Once))),
        (None, Some(true), vm, RerunOnFailure, shuts(Comeback::StaysOff(RerunOnFailure))),
        (None, Some(true), vm, Halted, shuts(Comeback::StaysOff(Halted))),
        (None, Some(true), None, Always, shuts(Comeback::BareInstance)),
        (None, Some(true), Some("VirtualMachineInstanceReplicaSet"), Always, shuts(Comeback::ByItself)),
    ] {
        let inventory = cluster_with(vmi("db", strategy, migratable, kind), run);
        let pod = launcher_pod("db", None);
        assert_eq!(fate(&inventory, &pod), expected, "{strategy:?} {migratable:?} {kind:?} {run:?}");
    }
}

#[test]
fn consent_is_asked_for_by_the_name_of_the_case() {
    let options = |vms: VirtualMachines| DrainOptions {
        consent: Some(VmConsent(vms)),
        delete_empty_dir_data: true,
        ..Default::default()
    };
    let bare = cluster_with(vmi("db", None, Some(true), None), RunStrategy::Halted);
    let refused = obstacles(&bare, "w1", &options(VirtualMachines::default()), now());
    assert!(refused[0].contains("virtualMachines.staysOff: Allow"), "{refused:?}");
    assert!(evicted(&step(&bare, &Ledger::default(), &options(VirtualMachines::default()))).is_empty());
    let allow = options(VirtualMachines { stays_off: StaysOff::Allow, ..Default::default() });
    assert_eq!(evicted(&step(&bare, &Ledger::default(), &allow)), ["virt-launcher-db"]);
    let stuck = cluster_with(
        vmi("db", Some("LiveMigrate"), Some(false), Some("VirtualMachine")),
        RunStrategy::Always,
    );
    let waiting = step(&stuck, &Ledger::default(), &options(VirtualMachines::default()));
    assert!(waiting.effects.is_empty() && waiting.holds[0].to_string().contains("masquerade"), "{waiting:?}");
    let restart = options(VirtualMachines { non_migratable: NonMigratable::Restart, ..Default::default() });
    let restarted = step(&stuck, &Ledger::default(), &restart);
    assert!(
        matches!(&restarted.effects[..], [Effect::RestartVmi { by_subresource: false, .. }]),
        "{restarted:?}"
    );
}

#[test]
fn a_bare_instance_that_cannot_migrate_is_not_lost_by_a_restart() {
    let options = |stays_off| DrainOptions {
        consent: Some(VmConsent(VirtualMachines {
            non_migratable: NonMigratable::Restart,
            stays_off,
            ..Default::default()
        })),
        delete_empty_dir_data: true,
        ..Default::default()
    };
    let bare = cluster_with(vmi("db", Some("LiveMigrate"), Some(false), None), RunStrategy::Always);
    for stays_off in [StaysOff::Fail, StaysOff::StartAfterwards] {
        let refused = step(&bare, &Ledger::default(), &options(stays_off));
        assert!(
            refused.effects.is_empty() && refused.holds[0].to_string().contains("would be lost"),
            "{refused:?}"
        );
    }
    let lost = step(&bare, &Ledger::default(), &options(StaysOff::Allow));
    assert!(matches!(&lost.effects[..], [Effect::RestartVmi { .. }]), "{lost:?}");
}

#[test]
fn an_evacuation_is_asked_for_once_and_then_watched() {
    let mut marked = vmi("db", Some("LiveMigrate"), Some(true), Some("VirtualMachine"));
    let options = DrainOptions { delete_empty_dir_data: true, ..Default::default() };
    let mut inventory = cluster_with(marked.clone(), RunStrategy::Always);
    assert_eq!(evicted(&step(&inventory, &Ledger::default(), &options)), ["virt-launcher-db"]);
    marked.evacuation_node = Some("w1".into());
    inventory.put_vmi(marked);
    // Marked: not asked again, however long ago the last question was.
    let watched = step(&inventory, &Ledger::default(), &options);
    assert!(watched.effects.is_empty());
    assert_eq!(watched.holds[0].to_string(), "vm shop/db asked to migrate");
}

#[test]
fn an_inbound_migration_target_is_left_alone() {
    let mut here = vmi("db", Some("None"), Some(true), Some("VirtualMachine"));
    here.node = Some("w2".into());
    let mut inventory = cluster_with(here, RunStrategy::Always);
    inventory.remove_pod(&ObjectName::new("shop", "virt-launcher-db"));
    inventory.put_pod(launcher_pod("db", Some("job-1")));
    inventory.put_migration(crate::inventory::Migration {
        name: ObjectName::new("shop", "m1"),
        uid: "job-1".into(),
        vmi: "db".into(),
        phase: "Running".into(),
        ..Default::default()
    });
    let step = step(
        &inventory,
        &Ledger::default(),
        &DrainOptions { delete_empty_dir_data: true, ..Default::default() },
    );
    assert!(step.effects.is_empty() && !step.done);
}

/// Three guests of one application on a node, none of which can migrate: restarts take from their budget as evictions do.
#[test]
fn restarts_ask_the_budgets() {
    let restart = VirtualMachines { non_migratable: NonMigratable::Restart, ..Default::default() };
    let options = DrainOptions { consent: Some(VmConsent(restart)), ..Default::default() };
    let mut inventory = Inventory::new();
    inventory.kubevirt = Some(KubeVirt::default());
    for name in ["a", "b", "c"] {
        let guest = vmi(name, Some("LiveMigrate"), Some(false), Some("VirtualMachine"));
        inventory.put_pod(launcher_pod(name, None));
        let always = VirtualMachine {
            name: guest.name.clone(),
            run_strategy: RunStrategy::Always,
            ..Default::default()
        };
        inventory.put_vm(always);
        inventory.put_vmi(guest);
    }
    let ours = Budget { selector: selector::parse("kubevirt.io=virt-launcher").ok(), ..budget(3, 2, 3) };
    inventory.put_budget(ours.clone());
    let restarted = |ledger: &Ledger, inventory: &Inventory| -> Vec<String> {
        let effects = step(inventory, ledger, &options).effects;
        let name = |e: &Effect| match e {
            Effect::RestartVmi { vmi, .. } => Some(vmi.name.clone()),
            _ => None,
        };
        effects.iter().filter_map(name).collect()
    };
    assert_eq!(restarted(&Ledger::default(), &inventory), ["a"]);
    // Asked for and not yet seen going: still the one that the budget allows.
    let mut asked = Ledger::default();
    let request = crate::reconcile::VmRequest { asked_at: now(), refused: None, stops: Some("vmi-a".into()) };
    asked.vm_requests.insert(ObjectName::new("shop", "a"), request);
    assert_eq!(restarted(&asked, &inventory), Vec::<String>::new());
    // A budget that never allows is told before the cordon …
    inventory.put_budget(Budget { disruptions_allowed: 0, desired_healthy: 3, ..ours.clone() });
    let told = obstacles(&inventory, "w1", &options, now());
    assert!(told.len() == 3 && told[0].contains("never allows a disruption"), "{told:?}");
    // … but not those that KubeVirt itself puts on each guest, which only keep evictions off.
    inventory.put_budget(Budget { disruptions_allowed: 0, is_kubevirts: true, ..ours });
    assert_eq!(obstacles(&inventory, "w1", &options, now()), Vec::<String>::new());
    assert_eq!(restarted(&Ledger::default(), &inventory), ["a", "b", "c"]);
}

#[test]
fn a_guest_that_is_not_known_is_not_stopped_by_a_plan() {
    let mut inventory = with_pods([launcher_pod("db", None)]);
    inventory.kubevirt = Some(KubeVirt::default());
    let campaign = DrainOptions { consent: Some(VmConsent::default()), ..Default::default() };
    let planned = step(&inventory, &Ledger::default(), &campaign);
    assert_eq!(evicted(&planned), Vec::<&str>::new());
    assert_eq!(planned.holds[0].prospect(), Prospect::Uncertain);
    let by_hand = DrainOptions { delete_empty_dir_data: true, ..Default::default() };
    assert_eq!(evicted(&step(&inventory, &Ledger::default(), &by_hand)), ["virt-launcher-db"]);
}

#[test]
fn a_migration_says_what_it_waits_for() {
    let options = DrainOptions { delete_empty_dir_data: true, ..Default::default() };
    let migration = |phase: &str, condition: Option<&str>| crate::inventory::Migration {
        name: ObjectName::new("shop", "m1"),
        uid: "job-1".into(),
        vmi: "db".into(),
        phase: phase.into(),
        conditions: condition
            .map(|c| {
                let condition =
                    Condition { status: "True".into(), message: "12Gi of 8Gi".into(), ..Default::default() };
                (c.to_owned(), condition)
            })
            .into_iter()
            .collect(),
        ..Default::default()
    };
    let target = |unschedulable: Option<&str>| Pod {
        node: None,
        phase: PodPhase::Pending,
        unschedulable: unschedulable.map(str::to_owned),
        name: ObjectName::new("shop", "virt-launcher-db-target"),
        uid: "target".into(),
        ..launcher_pod("db", Some("job-1"))
    };
    for (migration, target, words, prospect) in [
        (migration("Pending", None), None, "queued for migration", Prospect::Slow),
        (migration("Running", None), None, "migrating", Prospect::Slow),
        (
            migration("Pending", Some("migrationRejectedByResourceQuota")),
            None,
            "a resource quota refuses the target pod (12Gi of 8Gi)",
            Prospect::Uncertain,
        ),
        (migration("Pending", Some("migrationBlockedByBackup")), None, "backup", Prospect::Slow),
        (
            migration("Scheduling", None),
            Some(target(Some("0/3 nodes are available"))),
            "finds no node to migrate to: 0/3 nodes are available",
            Prospect::Uncertain,
        ),
    ] {
        let guest = vmi("db", Some("LiveMigrate"), Some(true), Some("VirtualMachine"));
        let mut inventory = cluster_with(guest, RunStrategy::Always);
        inventory.put_migration(migration);
        if let Some(pod) = target {
            inventory.put_pod(pod);
        }
        let step = step(&inventory, &Ledger::default(), &options);
        let hold = &step.holds[0];
        assert!(hold.to_string().contains(words), "{hold}");
        assert_eq!(hold.prospect(), prospect, "{hold}");
        assert!(step.effects.is_empty());
    }
}

/// A request that is due again, or under way for long, gives no wake-up in the past: that would spin the loop.
#[test]
fn no_wake_up_lies_in_the_past() {
    let guest = vmi("db", Some("LiveMigrate"), Some(true), Some("VirtualMachine"));
    let inventory = cluster_with(guest, RunStrategy::Always);
    let options = DrainOptions { delete_empty_dir_data: true, ..Default::default() };
    let trouble = || Some(EvictionAnswer::Trouble { message: "the webhook is down".into() });
    for (answer, count, ago) in [(trouble(), 3, 7), (trouble(), 1, 90), (None, 1, 30)] {
        let mut ledger = Ledger::default();
        let attempt = EvictionAttempt {
            pod: ObjectName::new("shop", "virt-launcher-db"),
            node: "w1".into(),
            asked_at: now() - SignedDuration::from_secs(ago),
            count,
            answer,
        };
        ledger.evictions.insert("uid-virt-launcher-db".into(), attempt);
        let step = step(&inventory, &ledger, &options);
        assert!(step.wake_at.is_none_or(|at| at > now()), "{ago} s ago, try {count}: {step:?}");
    }
}

/// Seen with `maxUnavailable` over pods of a DaemonSet, a Job or an operator's own kind.
#[test]
fn a_budget_that_cannot_be_counted_never_allows() {
    let mut inventory = with_pods([pod("a")]);
    let message = "jobs.batch does not implement the scale subresource";
    inventory.put_budget(Budget {
        max_unavailable: Some("1".into()),
        min_available: None,
        sync_failed: Some(message.into()),
        ..budget(0, 0, 0)
    });
    let told = obstacles(&inventory, "w1", &DrainOptions::default(), now());
    assert!(
        told.len() == 1 && told[0].contains(message) && told[0].contains("waiting will not help"),
        "{told:?}"
    );
}
