//! Virtual machines: what becomes of each kind when its node is maintained.

use serde_json::{Value, json};
use virtroll::reconcile::End;

use super::Stage;
use super::stage::{all_done, instance_spec, vms};

const DRAIN: &str = "  drain: {deleteEmptyDirData: true, force: true}\n";

/// Keeps the node away for a while, so that what comes back comes back elsewhere.
const REBOOT: &str = "  hooks: [{name: reboot, at: Maintenance, reboot: {by: Annotation}, timeout: 10m}]\n";

fn outcome_of(of: &str, moves: u32) -> (String, u32) {
    (of.to_owned(), moves)
}

/// Keeps VMs off the second node while they start.
async fn on_the_first(stage: &Stage, running: usize) {
    stage.running(running).await;
    stage.cordon(&stage.node_name(2), false).await;
}

pub async fn live_migration_never_stops_a_guest(stage: &mut Stage) {
    stage.nodes(2).await;
    stage.cordon(&stage.node_name(2), true).await;
    stage.vm("strict", "Always", "evictionStrategy: LiveMigrate", "").await;
    stage.vm("if-possible", "Always", "evictionStrategy: LiveMigrateIfPossible", "").await;
    on_the_first(stage, 2).await;
    let before = [stage.vmi("strict").await, stage.vmi("if-possible").await];
    let outcome = stage.roll(DRAIN).await;
    all_done(&outcome, 2);
    for old in before {
        let name = old["metadata"]["name"].as_str().expect("a name");
        let new = stage.vmi(name).await;
        assert_eq!(new["metadata"]["uid"], old["metadata"]["uid"], "{name} is the same life");
        // The empty node goes first: so each moves once only.
        assert_eq!(vms(&outcome)[name], outcome_of("Migrated", 1));
    }
}

/// Asked once, then watched: 1.5 a VM is the promise, for each of two nodes.
pub async fn twelve_guests_cost_at_most_eighteen_evictions(stage: &mut Stage) {
    stage.nodes(3).await;
    for n in [2, 3] {
        stage.cordon(&stage.node_name(n), true).await;
    }
    for n in 1..=12 {
        stage.vm(&format!("guest-{n}"), "Always", "evictionStrategy: LiveMigrate", "").await;
    }
    on_the_first(stage, 12).await;
    stage.cordon(&stage.node_name(3), false).await;
    let groups = "  groups: [{name: one, nodes: {names: [NAME-1]}}]\n";
    let outcome = stage.roll_groups(groups, DRAIN).await;
    all_done(&outcome, 1);
    assert!(vms(&outcome).values().all(|v| *v == outcome_of("Migrated", 1)), "{:?}", vms(&outcome));
    let evictions = stage.evictions();
    assert!((12..=18).contains(&evictions), "{evictions} eviction requests for 12 VMs");
    println!("{}: {evictions} eviction requests for 12 VMs", stage.name);
}

pub async fn without_a_strategy_it_comes_back_elsewhere(stage: &mut Stage) {
    stage.nodes(2).await;
    stage.cordon(&stage.node_name(2), true).await;
    stage.vm("plain", "Always", "", "").await;
    stage
        .vm(
            "stubborn",
            "Always",
            "terminationGracePeriodSeconds: 3",
            "sim.virtroll.dev/guest-shutdown: never",
        )
        .await;
    on_the_first(stage, 2).await;
    let before = stage.vmi("plain").await;
    let groups = "  groups: [{name: one, nodes: {names: [NAME-1]}}]\n";
    let outcome = stage.roll_groups(groups, &format!("{DRAIN}{REBOOT}")).await;
    all_done(&outcome, 1);
    stage.running(2).await;
    let after = stage.vmi("plain").await;
    assert_ne!(after["metadata"]["uid"], before["metadata"]["uid"], "another life");
    assert_eq!(after["status"]["nodeName"], stage.node_name(2));
    for name in ["plain", "stubborn"] {
        assert_eq!(vms(&outcome)[name].0, "Restarted", "{:?}", vms(&outcome));
    }
    assert_eq!(stage.evictions(), 2);
}

pub async fn replicas_are_replaced(stage: &mut Stage) {
    stage.nodes(2).await;
    stage.cordon(&stage.node_name(2), true).await;
    let set = format!(
        "apiVersion: kubevirt.io/v1\nkind: VirtualMachineInstanceReplicaSet\nmetadata: {{name: set}}\nspec:\n  replicas: 2\n  \
         selector: {{matchLabels: {{app: set}}}}\n  template:\n    metadata: {{labels: {{app: set}}}}\n    spec:\n{}",
        instance_spec("", "      ")
    );
    stage.create(&set).await;
    on_the_first(stage, 2).await;
    let groups = "  groups: [{name: one, nodes: {names: [NAME-1]}}]\n";
    let outcome = stage.roll_groups(groups, &format!("{DRAIN}{REBOOT}")).await;
    all_done(&outcome, 1);
    stage.running(2).await;
    let second = json!(stage.node_name(2));
    for vmi in stage.list("kubevirt.io/v1", "VirtualMachineInstance").await {
        assert_eq!(vmi["status"]["nodeName"], second);
    }
    assert!(vms(&outcome).values().all(|(what, _)| what == "Restarted"), "{:?}", vms(&outcome));
}

/// Begun all the same, the first node fails before anything is done to it.
async fn paused_before_the_cordon(stage: &mut Stage, rest: &str, words: &[&str]) {
    let outcome = stage.roll(&format!("  onConflict: Proceed\n{rest}")).await;
    assert!(matches!(outcome.end, End::Paused { .. }), "{outcome:#?}");
    let first = outcome.status.nodes.iter().find(|n| n.name == stage.node_name(1)).expect("a record");
    let reason = first.reason.clone().expect("a reason");
    for word in words {
        assert!(reason.contains(word), "{reason}");
    }
    assert!(!stage.is_cordoned(&stage.node_name(1)).await);
    assert_eq!(stage.evictions(), 0);
}

pub async fn a_bare_instance_needs_consent(stage: &mut Stage) {
    stage.nodes(1).await;
    let bare = format!(
        "apiVersion: kubevirt.io/v1\nkind: VirtualMachineInstance\nmetadata: {{name: bare}}\nspec:\n{}",
        instance_spec("", "  ")
    );
    stage.create(&bare).await;
    stage.running(1).await;
    let words = ["bare VirtualMachineInstance", "would not come back", "virtualMachines.staysOff: Allow"];
    paused_before_the_cordon(stage, DRAIN, &words).await;
    let outcome = stage.roll(&format!("{DRAIN}  virtualMachines: {{staysOff: Allow}}\n")).await;
    all_done(&outcome, 1);
    assert_eq!(vms(&outcome)["bare"], outcome_of("Stopped", 0));
    assert_eq!(stage.vmi("bare").await["status"]["phase"], "Succeeded");
}

pub async fn a_run_strategy_that_leaves_it_off_needs_consent(stage: &mut Stage) {
    stage.nodes(2).await;
    stage.cordon(&stage.node_name(2), true).await;
    stage.vm("rerun", "RerunOnFailure", "", "").await;
    stage.vm("once", "Once", "", "").await;
    on_the_first(stage, 2).await;
    let words = ["evicted, it would stay off", "virtualMachines.staysOff: Allow or StartAfterwards"];
    paused_before_the_cordon(stage, DRAIN, &words).await;
    let groups = "  groups: [{name: all, nodes: {names: [NAME-1]}}]\n";
    stage.new = true;
    let rest = format!("{DRAIN}  virtualMachines: {{staysOff: StartAfterwards}}\n");
    let outcome = stage.roll_groups(groups, &rest).await;
    all_done(&outcome, 1);
    stage.running(2).await;
    for name in ["rerun", "once"] {
        let vm = stage.get("kubevirt.io/v1", "VirtualMachine", name).await;
        let kept = if name == "once" { "Once" } else { "RerunOnFailure" };
        assert_eq!(vm["spec"]["runStrategy"], kept, "started without changing what it is");
    }
}

pub async fn one_that_cannot_migrate_is_handled_as_the_plan_says(stage: &mut Stage) {
    stage.nodes(2).await;
    stage.cordon(&stage.node_name(2), true).await;
    // The shape that the guide shows: no interface named, so bridge, which doesn't migrate.
    let guide = "apiVersion: kubevirt.io/v1\nkind: VirtualMachine\nmetadata: {name: guide}\nspec:\n  runStrategy: Always\n  template:\n    spec:\n      \
        nodeSelector: {scenario: NAME}\n      evictionStrategy: LiveMigrate\n      domain:\n        resources: {requests: {memory: 1024M}}\n        \
        devices: {disks: [{name: containerdisk, disk: {bus: virtio}}]}\n      volumes: [{name: containerdisk, containerDisk: {image: fedora}}]\n";
    stage.create(guide).await;
    on_the_first(stage, 1).await;
    let words = ["cannot live-migrate: InterfaceNotLiveMigratable", "masquerade"];
    paused_before_the_cordon(stage, &format!("{DRAIN}  virtualMachines: {{nonMigratable: Fail}}\n"), &words)
        .await;
    let before = stage.vmi("guide").await;
    stage.new = true;
    let groups = "  groups: [{name: all, nodes: {names: [NAME-1]}}]\n";
    let rest = format!("{DRAIN}{REBOOT}  virtualMachines: {{nonMigratable: Restart}}\n");
    let outcome = stage.roll_groups(groups, &rest).await;
    all_done(&outcome, 1);
    stage.running(1).await;
    let after = stage.vmi("guide").await;
    assert_ne!(after["metadata"]["uid"], before["metadata"]["uid"]);
    assert_eq!(after["status"]["nodeName"], stage.node_name(2));
    assert_eq!(vms(&outcome)["guide"].0, "Restarted");
}

/// The first migration fails; KubeVirt tries again by itself, and virtroll doesn't ask again.
pub async fn a_failing_migration_is_tried_again(stage: &mut Stage) {
    stage.nodes(2).await;
    stage.cordon(&stage.node_name(2), true).await;
    stage
        .vm("unlucky", "Always", "evictionStrategy: LiveMigrate", "sim.virtroll.dev/migration-fails: '1'")
        .await;
    on_the_first(stage, 1).await;
    let groups = "  groups: [{name: one, nodes: {names: [NAME-1]}}]\n";
    let outcome = stage.roll_groups(groups, DRAIN).await;
    all_done(&outcome, 1);
    assert_eq!(vms(&outcome)["unlucky"], outcome_of("Migrated", 1));
    let migrations = stage.list("kubevirt.io/v1", "VirtualMachineInstanceMigration").await;
    let phases: Vec<&Value> = migrations.iter().map(|m| &m["status"]["phase"]).collect();
    assert_eq!(phases.len(), 2, "{phases:?}");
    assert!(phases.contains(&&json!("Failed")) && phases.contains(&&json!("Succeeded")), "{phases:?}");
    assert_eq!(stage.evictions(), 1);
}

/// The attachment pod is never evicted; a new one comes with the target.
pub async fn hotplugged_volumes_leave_with_their_guest(stage: &mut Stage) {
    stage.nodes(2).await;
    stage.cordon(&stage.node_name(2), true).await;
    stage
        .create(
            "apiVersion: v1\nkind: PersistentVolume\nmetadata: {name: NAME}\nspec:\n  capacity: {storage: 1Gi}\n  accessModes: [ReadWriteMany]\n  \
             storageClassName: ''\n  claimRef: {namespace: NAME, name: data}\n  hostPath: {path: /x}\n---\n\
             apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {name: data}\n\
             spec: {accessModes: [ReadWriteMany], storageClassName: '', volumeName: NAME, resources: {requests: {storage: 1Gi}}}\n",
        )
        .await;
    let more = "evictionStrategy: LiveMigrate\n      volumes: [{name: data, persistentVolumeClaim: {claimName: data, hotpluggable: true}}]";
    stage.vm("hot", "Always", more, "").await;
    let attachments = async |s: &Stage| -> Vec<Value> {
        let pods = s.list("v1", "Pod").await;
        pods.into_iter()
            .filter(|p| {
                p["metadata"]["labels"]["kubevirt.io"] == "hotplug-disk" && p["status"]["phase"] == "Running"
            })
            .collect()
    };
    stage.running(1).await;
    stage.until("the volume is attached", async |s: &Stage| attachments(s).await.len() == 1).await;
    stage.cordon(&stage.node_name(2), false).await;
    let groups = "  groups: [{name: one, nodes: {names: [NAME-1]}}]\n";
    let outcome = stage.roll_groups(groups, DRAIN).await;
    all_done(&outcome, 1);
    assert_eq!(vms(&outcome)["hot"], outcome_of("Migrated", 1));
    let second = json!(stage.node_name(2));
    stage
        .until("the attachment is where the guest is", async |s: &Stage| {
            let pods = attachments(s).await;
            pods.len() == 1 && pods[0]["spec"]["nodeName"] == second
        })
        .await;
    assert_eq!(stage.evictions(), 1);
}
