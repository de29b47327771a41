//! What is said of nodes in the middle of a campaign, and of guests on their way.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;

use super::*;
use crate::inventory::{
    Condition, Migration, Node, ObjectName, Owner, PodPhase, Readiness, RunStrategy, VirtualMachine,
    VirtualMachineInstance, VmiPhase,
};
use crate::reconcile::STATE_ANNOTATION;

fn at(text: &str) -> Timestamp {
    text.parse().expect("a time")
}

fn node(name: &str, cordoned: bool, state: &str) -> Node {
    let annotations = BTreeMap::from([(STATE_ANNOTATION.to_owned(), state.to_owned())]);
    Node {
        name: name.into(),
        readiness: Readiness::Ready,
        unschedulable: cordoned,
        annotations: if state.is_empty() { BTreeMap::new() } else { annotations },
        allocatable_pods: 10,
        ..Node::default()
    }
}

fn lines_of(node: Node) -> Vec<String> {
    let mut inventory = Inventory::new();
    let name = node.name.clone();
    inventory.put_node(node);
    let found = NodeExplained::of(&inventory, &name, None, at("2026-01-05T22:40:00Z")).expect("there");
    found.text().lines().map(|l| l.trim().to_owned()).collect()
}

#[test]
fn a_node_in_work_says_for_whom_where_it_is_and_since_when() {
    let state = r#"{"campaign":"kernel-1","group":"workers","wave":2,"phase":"InMaintenance","since":"2026-01-05T22:31:00Z",
        "wasUnschedulable":false,"hook":{"hook":0,"name":"upgrade","attempt":2,"driver":"d"}}"#;
    assert_eq!(
        lines_of(node("w1", true, state)),
        [
            "w1 is Ready, and cordoned by campaign kernel-1",
            "campaign   kernel-1 has it, in group workers: InMaintenance since 22:31:00 UTC, hook upgrade (try 2)",
            "carries    0 pods that leave when it is drained; 0 stay",
        ]
    );
    let failed = r#"{"campaign":"kernel-1","group":"workers","wave":2,"phase":"Failed","since":"2026-01-05T22:31:00Z",
        "wasUnschedulable":true,"reason":"hook upgrade: exit 1"}"#;
    assert_eq!(
        lines_of(node("w1", true, failed))[..2],
        [
            // It was cordoned when the campaign came to it.
            "w1 is Ready, and cordoned by somebody else than virtroll",
            "campaign   kernel-1 has it, in group workers: Failed since 22:31:00 UTC: hook upgrade: exit 1",
        ]
    );
}

#[test]
fn a_cordon_of_others_and_an_annotation_that_nobody_can_read_are_told() {
    assert_eq!(lines_of(node("w1", true, ""))[0], "w1 is Ready, and cordoned by somebody else than virtroll");
    let unreadable = lines_of(node("w1", false, "{"));
    assert!(
        unreadable[1].starts_with("campaign   annotation virtroll.dev/maintenance of node w1 can't be read")
    );
    let silent = Node { readiness: Readiness::Unknown, ..node("w1", false, "") };
    assert_eq!(lines_of(silent)[0], "w1 is not heard from (Ready: Unknown) and schedulable");
}

/// A VM on w1 with its launcher; `reason`: why it can't migrate.
fn guest(reason: Option<&str>) -> Inventory {
    let mut inventory = Inventory::new();
    inventory.put_node(node("w1", false, ""));
    inventory.put_node(node("w2", false, ""));
    let name = ObjectName::new("shop", "db");
    let condition = Condition {
        status: if reason.is_none() { "True" } else { "False" }.into(),
        reason: reason.unwrap_or_default().into(),
        message: String::new(),
    };
    let owner =
        |kind: &str| Some(Arc::new(Owner { kind: kind.into(), name: "db".into(), ..Owner::default() }));
    inventory.put_vm(VirtualMachine {
        name: name.clone(),
        run_strategy: RunStrategy::Always,
        ..VirtualMachine::default()
    });
    inventory.put_vmi(VirtualMachineInstance {
        name: name.clone(),
        uid: "u1".into(),
        controller: owner("VirtualMachine"),
        eviction_strategy: Some("LiveMigrate".into()),
        phase: VmiPhase::Running,
        node: Some("w1".into()),
        conditions: BTreeMap::from([("LiveMigratable".to_owned(), condition)]),
        ..VirtualMachineInstance::default()
    });
    let labels = [("kubevirt.io", "virt-launcher"), ("kubevirt.io/created-by", "u1")];
    inventory.put_pod(Pod {
        name: ObjectName::new("shop", "virt-launcher-db-x"),
        uid: "p1".into(),
        labels: Arc::new(labels.map(|(k, v)| (k.to_owned(), v.to_owned())).into()),
        node: Some("w1".into()),
        phase: PodPhase::Running,
        ready: true,
        controller: owner("VirtualMachineInstance"),
        domain: Some("db".into()),
        ..Pod::default()
    });
    inventory
}

fn vm_lines(inventory: &Inventory, name: &str, plan: Option<&Planned<'_>>) -> Vec<String> {
    let found = VmExplained::of(inventory, &ObjectName::new("shop", name), plan).expect("there");
    found.text().lines().map(|l| l.trim().to_owned()).collect()
}

#[test]
fn a_guest_on_its_way_is_told_with_its_migration() {
    let mut inventory = guest(None);
    inventory.put_migration(Migration {
        name: ObjectName::new("shop", "evacuation-1"),
        uid: "m1".into(),
        vmi: "db".into(),
        phase: "Running".into(),
        phase_since: Some(at("2026-01-05T22:39:00Z")),
        evacuates: Some("w1".into()),
        ..Migration::default()
    });
    assert_eq!(
        vm_lines(&inventory, "db", None),
        [
            "shop/db is Running on w1",
            "eviction   strategy LiveMigrate",
            "drained    it live-migrates",
            "room       w2",
            "migration  shop/evacuation-1: Running since 22:39:00 UTC, evacuates w1",
        ]
    );
}

#[test]
fn a_guest_that_cannot_migrate_blocks_or_restarts_as_the_plan_says() {
    let inventory = guest(Some("DisksNotLiveMigratable"));
    let groups = [GroupNodes { name: "all".into(), nodes: vec!["w1".into()] }];
    let said = |policy: &str| {
        let text = format!(
            "apiVersion: virtroll.dev/v1alpha1\nkind: MaintenancePlan\nmetadata: {{name: p}}\nspec:\n  \
             groups: [{{name: all, nodes: {{names: [w1]}}}}]\n  virtualMachines: {{nonMigratable: {policy}}}\n"
        );
        let loaded = crate::plan::load("plan.yaml", &text).expect("a plan");
        let spec = &loaded.plan.spec;
        let now = at("2026-01-05T22:40:00Z");
        let plan = planned(("p", spec), &groups, "c", &inventory, SoFar::default(), now, Effort::of(20_000));
        vm_lines(&inventory, "db", Some(&plan))
    };
    assert_eq!(
        said("Wait")[2..],
        [
            "blocked    it cannot live-migrate: DisksNotLiveMigratable; waiting will not help: move its disks to ReadWriteMany \
             volumes",
            "No schedule of plan p exists: VirtualMachine shop/db on w1 cannot live-migrate: DisksNotLiveMigratable",
        ]
    );
    let restarts = said("Restart");
    assert_eq!(
        restarts[2],
        "drained    it is shut down and started elsewhere, as the plan says: it cannot live-migrate (DisksNotLiveMigratable)"
    );
    assert_eq!(restarts[4], "In plan p w1 starts +0s");
}

#[test]
fn a_vm_that_is_off_is_left_alone() {
    let mut inventory = Inventory::new();
    let name = ObjectName::new("shop", "off");
    inventory.put_vm(VirtualMachine { name, run_strategy: RunStrategy::Halted, ..VirtualMachine::default() });
    assert_eq!(
        vm_lines(&inventory, "off", None),
        ["shop/off is off (run strategy Halted): no drain touches it"]
    );
}
