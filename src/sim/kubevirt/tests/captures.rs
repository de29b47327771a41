//! Objects of a live cluster, taken over: less is known of them than of those that the model made.

use std::time::Duration;

use super::lab::{self, Lab, pass};
use crate::sim::json::{Value, json};
use crate::sim::kubevirt::world::Kind;
use crate::sim::{EmbeddedCluster, Settings};

/// A VM that runs on n1, as a capture may show it; `status` is more of its VMI's, flow style.
fn running(strategy: &str, more: &str, status: &str) -> String {
    let named = |uid: &str| format!("metadata: {{name: g, uid: {uid}}}");
    let owner = |kind: &str, uid: &str| {
        format!(
            "ownerReferences: [{{apiVersion: kubevirt.io/v1, kind: {kind}, name: g, uid: {uid}, controller: true}}]"
        )
    };
    let vm = lab::vm("g", strategy, more, "").replace("metadata: {name: g}", &named("v"));
    let vmi = format!(
        "---\napiVersion: kubevirt.io/v1\nkind: VirtualMachineInstance\nmetadata: {{name: g, uid: i, {}}}\n\
         spec: {{{more} domain: {{memory: {{guest: 1Gi}}, devices: {{autoattachPodInterface: false}}}}}}\n\
         status: {{phase: Running, nodeName: n1, {status}}}\n",
        owner("VirtualMachine", "v")
    );
    vm + &vmi + &launcher("source", "n1", "")
}

fn launcher(name: &str, node: &str, labels: &str) -> String {
    format!(
        "---\napiVersion: v1\nkind: Pod\nmetadata: {{name: virt-launcher-g-{name}, labels: {{kubevirt.io: virt-launcher, \
         kubevirt.io/created-by: i, vm.kubevirt.io/name: g, {labels}}}, annotations: {{kubevirt.io/domain: g}}, ownerReferences: [{{apiVersion: \
         kubevirt.io/v1, kind: VirtualMachineInstance, name: g, uid: i, controller: true}}]}}\n\
         spec: {{nodeName: {node}, restartPolicy: Never, containers: [{{name: compute, image: c}}]}}\n\
         status: {{phase: Running}}\n"
    )
}

/// virt-handler adds what it sees, the guest counts as one that ran, and it obeys: its pod doesn't just vanish.
#[tokio::test(start_paused = true)]
async fn a_captured_guest_is_seen_and_shuts_down_in_order() {
    let lab = Lab::new(2, &running("Manual", "", ""), 9, "").await;
    let vmi = lab.vmi("g").await;
    assert_eq!((&vmi["metadata"]["uid"], &vmi["status"]["selinuxContext"]), (&json!("i"), &json!("none")));
    let conditions = vmi["status"]["conditions"].as_array().expect("conditions");
    assert!(conditions.iter().any(|c| c["type"] == "LiveMigratable" && c["status"] == "True"), "{vmi}");
    assert_eq!(lab.evict_vmi("g").await.0, 201);
    pass(4).await;
    assert_eq!(lab.vmi("g").await["status"]["phase"], "Running", "6 s from the signal to the end");
    pass(40).await;
    assert_eq!(lab.vmi("g").await["status"]["phase"], "Succeeded");
    assert_eq!(lab.get(Kind::Vm, "g").await["status"]["startFailure"], Value::Null);
}

/// A capture holds no migrations: one that its VMI reports as under way has failed, its target ends, and the mark moves the VMI.
#[tokio::test(start_paused = true)]
async fn a_migration_that_was_not_captured_is_given_up() {
    let status = "evacuationNodeName: n1, migrationState: {migrationUid: gone, sourceNode: n1, targetNode: n2, \
                  sourcePod: virt-launcher-g-source, targetPod: virt-launcher-g-target, startTimestamp: '2026-01-05T21:59:00Z'},";
    let text = running("Always", "evictionStrategy: LiveMigrate,", status)
        + &launcher("target", "n2", "kubevirt.io/migrationJobUID: gone");
    let lab = Lab::new(2, &text, 9, "").await;
    let vmi = lab.vmi("g").await;
    assert_eq!(vmi["metadata"]["uid"], "i");
    assert_eq!(lab.get(Kind::Pod, "virt-launcher-g-target").await["status"]["phase"], "Failed");
    lab.until(150, async |lab| lab.vmi("g").await["status"]["nodeName"] == "n2").await;
    pass(5).await;
    let vmi = lab.vmi("g").await;
    assert_eq!(
        (&vmi["metadata"]["uid"], &vmi["status"]["migrationState"]["completed"]),
        (&json!("i"), &json!(true))
    );
    assert!(vmi["status"]["evacuationNodeName"].is_null());
}

/// A machine type by which no node is labelled keeps nobody away.
#[tokio::test(start_paused = true)]
async fn an_unlabelled_machine_type_is_asked_of_no_node() {
    let text = lab::vm("g", "Always", "", "").replace("domain: {", "domain: {machine: {type: pc-q35-7.2}, ");
    let lab = Lab::new(1, &text, 9, "").await;
    assert_eq!(lab.vmi("g").await["status"]["phase"], "Running");
}

const HOMELAB: &str = include_str!("../../../../examples/clusters/homelab.yaml");

fn of_kind<'a>(
    objects: &'a [serde_json::Value],
    kind: &'a str,
) -> impl Iterator<Item = &'a serde_json::Value> {
    objects.iter().filter(move |o| o["kind"] == kind)
}

#[tokio::test(start_paused = true)]
async fn a_copy_of_a_cluster_keeps_its_running_guests() {
    let cluster = EmbeddedCluster::from_manifests("homelab", HOMELAB, Settings::default()).expect("loads");
    cluster.start().await;
    assert!(cluster.settle(Duration::from_secs(15), Duration::from_secs(600)).await);
    let before = cluster.dump();
    let guests = |objects: &[serde_json::Value]| -> Vec<(String, String, String)> {
        let text = |v: &serde_json::Value| v.as_str().unwrap_or_default().to_owned();
        of_kind(objects, "VirtualMachineInstance")
            .map(|v| {
                (text(&v["metadata"]["uid"]), text(&v["status"]["phase"]), text(&v["status"]["nodeName"]))
            })
            .collect()
    };
    assert!(guests(&before).iter().all(|(_, phase, _)| phase == "Running") && guests(&before).len() == 3);
    let copy = EmbeddedCluster::from_objects(
        "copy",
        before.clone(),
        Settings { start: cluster.now(), ..Settings::default() },
    );
    let copy = copy.expect("loads");
    copy.start().await;
    assert!(copy.settle(Duration::from_secs(15), Duration::from_secs(600)).await);
    assert_eq!(guests(&copy.dump()), guests(&before));
}

/// Releases of old named a finalizer without a prefix: it goes with the others.
#[tokio::test(start_paused = true)]
async fn an_old_finalizer_goes_too() {
    let text = running("Manual", "", "").replace(
        "metadata: {name: g, uid: i, ",
        "metadata: {name: g, uid: i, finalizers: [foregroundDeleteVirtualMachine], ",
    );
    let lab = Lab::new(1, &text, 9, "").await;
    let finalizers = lab.vmi("g").await["metadata"]["finalizers"].clone();
    assert!(finalizers.as_array().expect("finalizers").contains(&json!("foregroundDeleteVirtualMachine")));
    assert_eq!(finalizers.as_array().map(Vec::len), Some(1), "{finalizers}");
    lab.delete(Kind::Instance, "g").await;
    pass(3).await;
    assert!(lab.vmi("g").await["metadata"]["deletionTimestamp"].is_string(), "the guest is shutting down");
    pass(60).await;
    assert!(lab.vmi("g").await.is_null());
}
