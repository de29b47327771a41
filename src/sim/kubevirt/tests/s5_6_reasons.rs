//! §5.6: why a VMI can't migrate, and in which releases.

use super::lab::{self, Lab, MOVES, condition, pass};
use crate::sim::json::{Value, json};
use crate::sim::kubevirt::world::Kind;

/// The reason that the condition gives; empty if it can migrate.
fn reason(vmi: &Value) -> String {
    let conditions = vmi["status"]["conditions"].as_array().expect("conditions").iter();
    let found = conditions.into_iter().find(|c| c["type"] == "LiveMigratable").expect("seen");
    found["reason"].as_str().unwrap_or_default().to_owned()
}

/// A VM with these devices instead of masquerade alone.
fn with_devices(name: &str, devices: &str) -> String {
    lab::vm(name, "Always", MOVES, "").replace("devices: {", &format!("devices: {{{devices}, "))
}

/// File systems by virtiofs migrate from 1.5 on, persistent reservations from 1.9 on.
#[tokio::test(start_paused = true)]
async fn some_reasons_are_those_of_older_releases() {
    let text = with_devices("shares", "filesystems: [{name: f, virtiofs: {}}]")
        + &with_devices("reserves", "disks: [{name: d, lun: {reservation: true}}]");
    let (virtiofs, reservation) = ("VirtIOFSNotLiveMigratable", "PersistentReservationNotLiveMigratable");
    for (version, shares, reserves) in [
        (0, virtiofs, reservation),
        (4, virtiofs, reservation),
        (5, "", reservation),
        (8, "", reservation),
        (9, "", ""),
    ] {
        let lab = Lab::new(1, &text, version, "").await;
        assert_eq!(reason(&lab.vmi("shares").await), shares, "1.{version}");
        assert_eq!(reason(&lab.vmi("reserves").await), reserves, "1.{version}");
    }
}

/// A guest with the CPU of its host stays where that CPU has no name, if others have one.
#[tokio::test(start_paused = true)]
async fn the_hosts_cpu_must_be_known() {
    let text = lab::vm("host", "Always", MOVES, "")
        + &lab::vm("named", "Always", MOVES, "").replace("domain: {", "domain: {cpu: {model: Skylake}, ");
    for (node, expected) in [("n2", "CPUModeLiveMigratable"), ("n1", "")] {
        let labelled = format!(
            "---\napiVersion: v1\nkind: Node\nmetadata: {{name: x-{node}, labels: {{host-model-cpu.node.kubevirt.io/Skylake: 'true'}}}}\n\
             spec: {{unschedulable: true}}\n"
        );
        let all = if node == "n1" { text.clone() } else { labelled + &text };
        let lab = Lab::new(2, &all, 9, "").await;
        assert_eq!(reason(&lab.vmi("host").await), expected, "{node}");
        assert_eq!(reason(&lab.vmi("named").await), "", "{node}");
    }
}

/// The condition is absent until virt-handler has seen the guest.
#[tokio::test(start_paused = true)]
async fn nothing_is_said_before_the_guest_is_seen() {
    let lab = Lab::new(1, &lab::vm("g", "Always", MOVES, "sim.virtroll.dev/boots-after: 60s"), 9, "").await;
    assert_eq!(lab.vmi("g").await["status"]["phase"], "Scheduled");
    assert!(condition(&lab.vmi("g").await, "LiveMigratable").is_null());
    pass(60).await;
    assert_eq!(condition(&lab.vmi("g").await, "LiveMigratable"), "True");
}

/// The shape of the node-maintenance guide blocks its drain on a default cluster, and the remedies are three.
#[tokio::test(start_paused = true)]
async fn an_unnamed_interface_is_a_bridge_by_default() {
    let bare = lab::vm("g", "Always", MOVES, "")
        .replace("devices: {interfaces: [{name: default, masquerade: {}}]}", "devices: {disks: []}")
        .replace(", networks: [{name: default, pod: {}}]", "");
    let allowed = bare
        .replace("annotations: {", "annotations: {kubevirt.io/allow-pod-bridge-network-live-migration: ''");
    let none = bare.replace("devices: {disks: []}", "devices: {autoattachPodInterface: false}");
    let bridge = "InterfaceNotLiveMigratable";
    for (text, configuration, expected) in [
        (&bare, "", bridge),
        (&bare, "network: {defaultNetworkInterface: masquerade}", ""),
        (&allowed, "", ""),
        (&none, "", ""),
    ] {
        let lab = Lab::new(1, text, 9, configuration).await;
        assert_eq!(reason(&lab.vmi("g").await), expected, "{configuration} {text}");
    }
}

/// What a claim's status says counts, before what it asked for.
#[tokio::test(start_paused = true)]
async fn volumes_decide_by_what_their_claims_got() {
    let claim = |name: &str, asked: &str, got: &str| {
        format!(
            "---\napiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {{name: {name}}}\n\
             spec: {{accessModes: [{asked}], resources: {{requests: {{storage: 1Gi}}}}, volumeName: {name}}}\n\
             status: {{phase: Bound, accessModes: [{got}]}}\n---\napiVersion: v1\nkind: PersistentVolume\nmetadata: {{name: {name}}}\n\
             spec: {{capacity: {{storage: 1Gi}}, accessModes: [{got}], claimRef: {{namespace: default, name: {name}}}, hostPath: {{path: /x}}}}\n\
             status: {{phase: Bound}}\n"
        )
    };
    let vm = |name: &str, volume: &str| {
        lab::vm(name, "Always", &format!("{MOVES} volumes: [{{name: v, {volume}}}],"), "")
    };
    let text = claim("shared", "ReadWriteMany", "ReadWriteMany")
        + &claim("narrowed", "ReadWriteMany", "ReadWriteOnce")
        + &vm("shared", "persistentVolumeClaim: {claimName: shared}")
        + &vm("narrowed", "dataVolume: {name: narrowed}")
        + &vm("hosted", "hostDisk: {path: /d, type: Disk}")
        + &vm("host-shared", "hostDisk: {path: /d, type: Disk, shared: true}")
        + &vm("copied", "containerDisk: {image: c}");
    let lab = Lab::new(1, &text, 9, "").await;
    let no = "DisksNotLiveMigratable";
    for (name, expected, method) in [
        ("shared", "", "LiveMigration"),
        ("narrowed", no, "BlockMigration"),
        ("hosted", no, "BlockMigration"),
        ("host-shared", "", "LiveMigration"),
        ("copied", "", "BlockMigration"),
    ] {
        let vmi = lab.vmi(name).await;
        assert_eq!(
            (reason(&vmi).as_str(), &vmi["status"]["migrationMethod"]),
            (expected, &json!(method)),
            "{name}"
        );
    }
    assert_eq!(lab.list(Kind::Instance).await.len(), 5);
}
