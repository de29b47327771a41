//! §5.9: hotplugged volumes and their attachment pods.

use super::lab::{self, Lab, attachments, lab_with_a_disk, pass};
use crate::sim::json::json;
use crate::sim::kubevirt::Settings;
use crate::sim::kubevirt::world::Kind;

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

/// Those of a finished guest go in the same second, without an eviction.
#[tokio::test(start_paused = true)]
async fn attachments_of_a_finished_guest_go_with_it() {
    let lab = lab_with_a_disk("").await;
    lab.patch(Kind::Vm, "g", json!({"spec": {"runStrategy": "Manual"}})).await;
    lab.patch(Kind::Instance, "g", json!({"spec": {"evictionStrategy": "None"}})).await;
    assert_eq!(lab.evict_vmi("g").await.0, 201);
    lab.until(20, async |lab| lab.vmi("g").await["status"]["phase"] == "Succeeded").await;
    pass(1).await;
    assert!(attachments(&lab).await.is_empty());
}

/// The controller counts the volume of the service account's token: where no admission plugin adds one, it makes and deletes
/// attachment pods for ever.
#[tokio::test(start_paused = true)]
async fn without_token_volumes_attachments_come_and_go_for_ever() {
    let disk = "volumes: [{name: d, persistentVolumeClaim: {claimName: d, hotpluggable: true}}],";
    let claim = "---\napiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {name: d}\n\
                 spec: {accessModes: [ReadWriteMany], resources: {requests: {storage: 1Gi}}}\n";
    for (counts, least, most) in [(true, 20, 20_000), (false, 1, 1)] {
        let settings = Settings { counts_token_volumes: counts, ..Settings::default() };
        let lab = Lab::with(1, &(claim.to_owned() + &lab::vm("g", "Always", disk, "")), settings, "").await;
        pass(30).await;
        let made = lab.cluster.requests().get("POST pods default").copied().unwrap_or(0) - 1;
        assert!((least..=most).contains(&made), "{made} attachment pods");
    }
}
