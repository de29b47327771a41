//! Launcher pods: what they request, and how those without a guest end.

use super::lab::{self, Lab, MOVES, pass};
use crate::sim::json::{Value, json};
use crate::sim::kubevirt::world::Kind;

fn compute(pod: &Value) -> Value {
    pod["spec"]["containers"][0]["resources"]["requests"].clone()
}

/// A launcher that KubeVirt itself made says best what its VMI needs: the target and the one after a restart ask for the same.
#[tokio::test(start_paused = true)]
async fn new_launchers_request_what_the_old_one_does() {
    let lab = Lab::new(2, &lab::vm("g", "Always", MOVES, ""), 9, "").await;
    let requests = json!({"cpu": "2", "memory": "3300Mi", "devices.kubevirt.io/kvm": "1"});
    let limits = json!({"devices.kubevirt.io/kvm": "1"});
    let lab = lab.captured(&json!({"requests": requests, "limits": limits})).await;
    lab.migrate("m", "g").await.expect("admitted");
    pass(2).await;
    assert_eq!(compute(&lab.launchers_on("g", "n2").await[0]), requests);
    pass(30).await;
    assert_eq!(lab.act("virtualmachines", "g", "restart", json!({})).await.0, 202);
    pass(30).await;
    let again = lab.launchers("g").await;
    assert_eq!((again.len(), compute(&again[0])), (1, requests));
    // Another guest memory makes it another guest.
    let more = json!({"spec": {"template": {"spec": {"domain": {"memory": {"guest": "2Gi"}}}}}});
    lab.patch(Kind::Vm, "g", more).await;
    assert_eq!(lab.act("virtualmachines", "g", "restart", json!({})).await.0, 202);
    pass(30).await;
    // 2Gi and 256Mi of overhead; a tenth of a CPU for the one vCPU.
    let expected = json!({"cpu": "100m", "memory": "2415919104", "devices.kubevirt.io/kvm": "1"});
    assert_eq!(compute(&lab.launchers("g").await[0]), expected);
}

/// A target that is deleted before the handoff has no guest, so nothing keeps it for its grace of 60 s.
#[tokio::test(start_paused = true)]
async fn an_aborted_target_goes_at_once() {
    let lab = Lab::new(2, &lab::vm("g", "Always", MOVES, ""), 9, "").await;
    lab.annotate(Kind::Instance, "g", "ready-after", "100s").await;
    for (phase, waits) in [("Scheduling", 1), ("Scheduling", 10)] {
        lab.migrate("m", "g").await.expect("admitted");
        pass(waits).await;
        assert_eq!(lab.get(Kind::Migration, "m").await["status"]["phase"], phase);
        assert_eq!(lab.launchers_on("g", "n2").await.len(), 1);
        lab.delete(Kind::Migration, "m").await;
        pass(2).await;
        assert!(lab.get(Kind::Migration, "m").await.is_null());
        assert_eq!(lab.list(Kind::Pod).await.len(), 1, "the guest's own");
        assert_eq!(lab.vmi("g").await["status"]["phase"], "Running");
    }
}

/// With the VMI goes the target, whatever the guest at the source takes for its shutdown.
#[tokio::test(start_paused = true)]
async fn a_deleted_vmis_target_goes_at_once() {
    let slow = "sim.virtroll.dev/guest-shutdown: 20s";
    let lab = Lab::new(2, &lab::vm("g", "RerunOnFailure", MOVES, slow), 9, "").await;
    lab.annotate(Kind::Instance, "g", "ready-after", "100s").await;
    lab.migrate("m", "g").await.expect("admitted");
    pass(5).await;
    assert_eq!(lab.launchers_on("g", "n2").await.len(), 1);
    lab.delete(Kind::Instance, "g").await;
    pass(3).await;
    assert!(lab.launchers_on("g", "n2").await.is_empty());
    assert_eq!(lab.launchers_on("g", "n1").await.len(), 1, "the guest is shutting down");
    pass(20).await;
    assert!(lab.vmi("g").await.is_null() && lab.list(Kind::Pod).await.is_empty());
}

/// The replacement in a replica set requests what its predecessor does, though it bears another name.
#[tokio::test(start_paused = true)]
async fn a_replacement_requests_what_its_predecessor_does() {
    let text = "---\napiVersion: kubevirt.io/v1\nkind: VirtualMachineInstanceReplicaSet\nmetadata: {name: r}\n\
                spec: {replicas: 1, selector: {matchLabels: {a: b}}, template: {metadata: {labels: {a: b}}, \
                spec: {domain: {memory: {guest: 1Gi}}}}}\n";
    let lab = Lab::new(2, text, 9, "").await;
    let name = async |lab: &Lab| {
        lab.list(Kind::Instance).await[0]["metadata"]["name"].as_str().expect("a name").to_owned()
    };
    let old = name(&lab).await;
    let requests = json!({"cpu": "3", "memory": "1500Mi"});
    let lab = lab.captured(&json!({"requests": requests})).await;
    assert_eq!(lab.evict_vmi(&old).await.0, 201);
    pass(40).await;
    let new = name(&lab).await;
    assert_ne!(new, old);
    assert_eq!(compute(&lab.launchers(&new).await[0]), requests);
}
