//! Hotplugged volumes: their attachment pods (§2, §3, §5.9).

use serde_json::{Value, json};

use super::lab::{self, Lab, pass};
use crate::sim::kubevirt::world::Kind;

async fn lab_with_a_disk(annotations: &str) -> Lab {
    let claim = "---\napiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {name: d}\n\
                 spec: {accessModes: [ReadWriteMany], resources: {requests: {storage: 1Gi}}}\n";
    let disk = "evictionStrategy: LiveMigrate, volumes: [{name: d, persistentVolumeClaim: {claimName: d, hotpluggable: true}}],";
    Lab::new(2, &(claim.to_owned() + &lab::vm("g", "Always", disk, annotations)), 9, "").await
}

async fn attachments(lab: &Lab) -> Vec<Value> {
    let mut pods = lab.list(Kind::Pod).await;
    pods.retain(|p| p["metadata"]["labels"]["kubevirt.io"] == "hotplug-disk");
    pods
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

#[tokio::test(start_paused = true)]
async fn a_deleted_attachment_is_made_again_through_a_cordon_but_not_a_taint() {
    let lab = lab_with_a_disk("").await;
    lab.patch(Kind::Node, "n1", json!({"spec": {"unschedulable": true}})).await;
    pass(2).await;
    for (taint, phase) in [(false, "Running"), (true, "Pending")] {
        if taint {
            let mut taints =
                lab.get(Kind::Node, "n1").await["spec"]["taints"].as_array().expect("taints").clone();
            taints.push(json!({"key": "ours", "effect": "NoSchedule"}));
            lab.patch(Kind::Node, "n1", json!({"spec": {"taints": taints}})).await;
        }
        let old = attachments(&lab).await[0]["metadata"]["name"].as_str().expect("a name").to_owned();
        lab.delete(Kind::Pod, &old).await;
        pass(20).await;
        let pods = attachments(&lab).await;
        assert_eq!(pods.len(), 1, "made once");
        assert_ne!(pods[0]["metadata"]["name"], old.as_str());
        assert_eq!(pods[0]["status"]["phase"], phase);
    }
}

#[tokio::test(start_paused = true)]
async fn a_migration_waits_for_the_targets_attachment() {
    let lab = lab_with_a_disk("").await;
    let taint = json!({"spec": {"taints": [{"key": "slow", "effect": "NoSchedule"}]}});
    lab.migrate("m", "g").await.expect("admitted");
    lab.until(10, async |lab| attachments(lab).await.len() == 2).await;
    assert_eq!(lab.get(Kind::Migration, "m").await["status"]["phase"], "Pending");
    lab.patch(Kind::Node, "n1", taint).await;
    pass(40).await;
    assert_eq!(lab.get(Kind::Migration, "m").await["status"]["phase"], "Succeeded");
    // That of the finished source has gone with it; the guest's is on its node.
    let pods = attachments(&lab).await;
    assert_eq!((pods.len(), &pods[0]["spec"]["nodeName"]), (1, &json!("n2")));
}
