//! §2: names, labels, owners and finalizers of what KubeVirt makes.

use super::lab::{self, Lab, attachments, lab_with_a_disk, pass};
use crate::sim::json::{Value, json};
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

/// §2: a target goes only where the source's CPU can be played: same vendor, model known.
#[tokio::test(start_paused = true)]
async fn a_target_wants_the_sources_cpu() {
    let lab = Lab::new(2, &lab::vm("g", "Always", "", ""), 9, "").await;
    let label = async |node: &str, labels: Value| {
        lab.patch(Kind::Node, node, json!({"metadata": {"labels": labels}})).await;
    };
    let own = json!({"cpu-vendor.node.kubevirt.io/Intel": "true", "host-model-cpu.node.kubevirt.io/Skylake": "true"});
    label("n1", own).await;
    lab.migrate("m", "g").await.expect("admitted");
    pass(20).await;
    assert!(lab.launchers_on("g", "n2").await.is_empty());
    label("n2", json!({"cpu-vendor.node.kubevirt.io/Intel": "true"})).await;
    pass(20).await;
    assert!(lab.launchers_on("g", "n2").await.is_empty());
    label("n2", json!({"cpu-model-migration.node.kubevirt.io/Skylake": "true"})).await;
    pass(30).await;
    assert_eq!(lab.vmi("g").await["status"]["nodeName"], "n2");
}

#[tokio::test(start_paused = true)]
async fn an_attachment_pod_belongs_to_its_launcher() {
    let lab = lab_with_a_disk("").await;
    let pods = attachments(&lab).await;
    assert_eq!(pods.len(), 1);
    let (metadata, spec) = (&pods[0]["metadata"], &pods[0]["spec"]);
    let name = metadata["name"].as_str().expect("a name");
    assert!(name.starts_with("hp-volume-"));
    assert_eq!((&spec["terminationGracePeriodSeconds"], &spec["nodeName"]), (&json!(0), &json!("n1")));
    assert_eq!(metadata["labels"], json!({"kubevirt.io": "hotplug-disk"}));
    let owners = metadata["ownerReferences"].as_array().expect("owners");
    let launcher = lab.launcher("g").await;
    assert_eq!((owners.len(), &owners[0]["kind"], &owners[0]["name"]), (1, &json!("Pod"), &json!(launcher)));
    assert!(lab.vmi("g").await["status"]["volumeStatus"][0]["hotplugVolume"].is_object());
    // M5, while the VMI runs.
    let words =
        format!("cannot evict hotplug pod: {name} associated with running vmi: g in namespace default");
    assert_eq!(lab.evict(name, false).await, (429, words));
}

/// Without a grace of its own a VMI has 30 s, and its pod 30 s more; volumes are emptyDirs; the selectors name the node's kind.
#[tokio::test(start_paused = true)]
async fn a_launcher_has_twice_thirty_seconds_and_empty_dirs() {
    let lab = Lab::new(1, &lab::vm("g", "Always", "", ""), 9, "").await;
    let pod = lab.launchers("g").await[0].clone();
    let spec = &pod["spec"];
    assert_eq!(spec["terminationGracePeriodSeconds"], 60);
    assert!(spec["volumes"].as_array().expect("volumes").iter().any(|v| v["emptyDir"].is_object()));
    assert_eq!(spec["nodeSelector"]["kubernetes.io/arch"], "amd64");
    let gate = pod["status"]["conditions"].as_array().expect("conditions").iter();
    let mut gate = gate.filter(|c| c["type"] == "kubevirt.io/virtual-machine-unpaused");
    assert_eq!(gate.next().expect("the gate")["status"], "True");
}

/// Up to 1.9 an attachment pod doesn't say whose it is.
#[tokio::test(start_paused = true)]
async fn an_attachment_pod_has_no_annotation_of_its_vmi() {
    let lab = lab_with_a_disk("").await;
    let annotations = attachments(&lab).await[0]["metadata"]["annotations"].clone();
    for name in ["kubevirt.io/owner-vmi-name", "kubevirt.io/owner-vmi-uid"] {
        assert!(annotations[name].is_null(), "{name}");
    }
}

/// The label of a VMI that is on its way says where it goes, and goes with a failure.
#[tokio::test(start_paused = true)]
async fn an_inbound_vmi_is_labelled_with_its_target() {
    let fails = "sim.virtroll.dev/migration-takes: 10s, sim.virtroll.dev/migration-fails: '1'";
    let lab = Lab::new(2, &lab::vm("g", "Always", "", fails), 9, "").await;
    let inbound = async |lab: &Lab| {
        lab.vmi("g").await["metadata"]["labels"]["kubevirt.io/migrationTargetNodeName"].clone()
    };
    lab.migrate("m", "g").await.expect("admitted");
    pass(1).await;
    assert!(inbound(&lab).await.is_null(), "before the handoff only the pod shows it");
    lab.until(20, async |lab| inbound(lab).await == "n2").await;
    lab.until(30, async |lab| lab.vmi("g").await["status"]["migrationState"]["failed"] == true).await;
    assert!(inbound(&lab).await.is_null());
}
