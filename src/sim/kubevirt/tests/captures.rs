//! Objects of a live cluster, taken over: less is known of them than of those that the model made.

use serde_json::{Value, json};

use super::lab::{self, Lab, pass};
use crate::sim::kubevirt::world::Kind;

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
