//! Names, labels, owners and finalizers of what KubeVirt makes (§2), and what it copies into a new VMI (§5.1).

use serde_json::json;

use super::lab::{self, Lab, pass};
use crate::sim::kubevirt::world::Kind;

const MOVES: &str = "evictionStrategy: LiveMigrate, terminationGracePeriodSeconds: 120,";

#[tokio::test(start_paused = true)]
async fn a_launcher_says_whose_it_is() {
    let lab = Lab::new(2, &lab::vm("g", "Always", MOVES, ""), 9, "").await;
    let (vmi, pod) = (lab.vmi("g").await, lab.launchers("g").await[0].clone());
    let labels = &pod["metadata"]["labels"];
    for (label, value) in [
        ("kubevirt.io", json!("virt-launcher")),
        ("kubevirt.io/created-by", vmi["metadata"]["uid"].clone()),
        ("vm.kubevirt.io/name", json!("g")),
        ("vmi.kubevirt.io/id", json!("g")),
        ("kubevirt.io/nodeName", json!("n1")),
        // Copied from the VMI.
        ("team", json!("blue")),
    ] {
        assert_eq!(labels[label], value, "{label}");
    }
    assert_eq!(pod["metadata"]["annotations"]["kubevirt.io/domain"], "g");
    assert!(pod["metadata"]["name"].as_str().is_some_and(|n| n.starts_with("virt-launcher-g-")));
    let owner = &pod["metadata"]["ownerReferences"][0];
    assert_eq!((&owner["kind"], &owner["controller"]), (&json!("VirtualMachineInstance"), &json!(true)));
    let spec = &pod["spec"];
    assert_eq!(
        (&spec["restartPolicy"], &spec["terminationGracePeriodSeconds"]),
        (&json!("Never"), &json!(150))
    );
    assert_eq!(spec["readinessGates"], json!([{"conditionType": "kubevirt.io/virtual-machine-unpaused"}]));
    for key in ["kubevirt.io/schedulable", "machine-type.node.kubevirt.io/q35"] {
        assert_eq!(spec["nodeSelector"][key], "true", "{key}");
    }
    let finalizers = vmi["metadata"]["finalizers"].as_array().expect("finalizers");
    for finalizer in
        ["kubevirt.io/foregroundDeleteVirtualMachine", "kubevirt.io/virtualMachineControllerFinalize"]
    {
        assert!(finalizers.contains(&json!(finalizer)), "{finalizer}");
    }
}

/// A target is misattributed by its label until the guest is there, and keeps the job's label when it is.
#[tokio::test(start_paused = true)]
async fn a_target_carries_its_job() {
    let slow = "sim.virtroll.dev/migration-takes: 10s";
    let lab = Lab::new(2, &lab::vm("g", "Always", MOVES, slow), 9, "").await;
    assert_eq!(lab.evict_vmi("g").await.0, 429);
    pass(10).await;
    let migration = lab.list(Kind::Migration).await[0].clone();
    let metadata = &migration["metadata"];
    let name = metadata["name"].as_str().expect("a name");
    assert!(name.starts_with("kubevirt-evacuation-"));
    assert_eq!(metadata["annotations"]["kubevirt.io/evacuationMigration"], "n1");
    assert_eq!(metadata["labels"]["kubevirt.io/vmi-name"], "g");
    assert_eq!(metadata["finalizers"], json!(["kubevirt.io/migrationJobFinalize"]));
    let target = lab.launchers_on("g", "n2").await[0].clone();
    let labels = &target["metadata"]["labels"];
    assert_eq!(labels["kubevirt.io/migrationJobUID"], metadata["uid"]);
    assert_eq!(labels["kubevirt.io/nodeName"], "n1", "inherited");
    assert_eq!(target["metadata"]["annotations"]["kubevirt.io/migrationJobName"], name);
    assert_eq!(target["metadata"]["ownerReferences"][0]["kind"], "VirtualMachineInstance");
    let apart =
        &target["spec"]["affinity"]["podAntiAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"][0];
    assert_eq!(apart["topologyKey"], "kubernetes.io/hostname");
    let state = lab.get(Kind::Migration, name).await["status"]["migrationState"].clone();
    assert_eq!((&state["sourceNode"], &state["targetNode"]), (&json!("n1"), &json!("n2")));
    pass(20).await;
    let live = lab.launchers("g").await;
    assert_eq!(live.len(), 1);
    assert_eq!(live[0]["metadata"]["labels"]["kubevirt.io/nodeName"], "n2");
    assert_eq!(live[0]["metadata"]["labels"]["kubevirt.io/migrationJobUID"], metadata["uid"]);
}

/// §5.1: the cluster's strategy is written into a new VMI; what it says later doesn't reach it.
#[tokio::test(start_paused = true)]
async fn the_clusters_strategy_is_copied_once() {
    let text = lab::vm("g", "Always", "", "") + &lab::vm("own", "Always", "evictionStrategy: None,", "");
    let lab = Lab::new(2, &text, 9, "evictionStrategy: LiveMigrate").await;
    let strategy = async |name: &str| lab.vmi(name).await["spec"]["evictionStrategy"].clone();
    assert_eq!((strategy("g").await, strategy("own").await), (json!("LiveMigrate"), json!("None")));
    let api: kube::Api<kube::api::DynamicObject> =
        kube::Api::namespaced_with(lab.client.clone(), "kubevirt", &Kind::KubeVirt.resource());
    let patch = kube::api::Patch::Merge(json!({"spec": {"configuration": {"evictionStrategy": "None"}}}));
    api.patch("kubevirt", &Default::default(), &patch).await.expect("patched");
    pass(2).await;
    assert_eq!(strategy("g").await, "LiveMigrate");
    assert_eq!(lab.evict_vmi("g").await.0, 429);
}
