//! §5.1: virt-controller's part of a VMI: phases, conditions, marks, finalizers.

use super::lab::{self, Lab, MOVES, condition, pass};
use crate::sim::json::{Value, json};
use crate::sim::kubevirt::world::Kind;

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

/// §5.1: a VMI whose pod is told to stop is not ready, and says why.
#[tokio::test(start_paused = true)]
async fn a_terminating_pod_shows_in_the_condition() {
    let slow = "sim.virtroll.dev/guest-shutdown: 20s";
    let lab = Lab::new(1, &lab::vm("g", "Once", "", slow), 9, "").await;
    assert_eq!(lab.evict_vmi("g").await.0, 201);
    let ready = async |lab: &Lab| {
        let conditions = lab.vmi("g").await["status"]["conditions"].clone();
        let found = conditions.as_array().expect("conditions").iter().find(|c| c["type"] == "Ready").cloned();
        let found = found.expect("Ready");
        (found["status"].clone(), found["reason"].clone())
    };
    pass(1).await;
    assert_eq!(ready(&lab).await, (json!("False"), json!("PodTerminating")));
    pass(30).await;
    assert_eq!(ready(&lab).await, (json!("False"), json!("PodNotExists")));
}

/// §5.1: the mark, its condition and annotation outlive an uncordon and failed migrations, and go when it is cancelled.
#[tokio::test(start_paused = true)]
async fn a_mark_stays_until_it_is_cancelled() {
    let fails = "sim.virtroll.dev/migration-fails: always, sim.virtroll.dev/migration-takes: 2s";
    let lab = Lab::new(2, &lab::vm("g", "Always", MOVES, fails), 9, "").await;
    let pod = lab.launcher("g").await;
    assert_eq!(lab.evict(&pod, false).await.0, 429);
    lab.patch(Kind::Node, "n1", json!({"spec": {"unschedulable": true}})).await;
    pass(30).await;
    lab.patch(Kind::Node, "n1", json!({"spec": {"unschedulable": null}})).await;
    pass(30).await;
    let annotation = "descheduler.alpha.kubernetes.io/eviction-in-progress";
    for marked in [true, false] {
        let vmi = lab.vmi("g").await;
        assert_eq!(vmi["status"]["evacuationNodeName"].is_string(), marked);
        assert_eq!(condition(&vmi, "EvictionRequested") == "True", marked);
        let of_pod = lab.get(Kind::Pod, &pod).await["metadata"]["annotations"][annotation].clone();
        assert_eq!(of_pod == "true", marked);
        let body = json!({"evacuationNodeName": "n1"});
        assert_eq!(lab.act("virtualmachineinstances", "g", "evacuate/cancel", body).await.0, 200);
        pass(2).await;
    }
}

/// The phases follow one another, each with its time; the node and its label come with `Scheduled`, when the pod is ready.
#[tokio::test(start_paused = true)]
async fn phases_follow_one_another() {
    let lab = Lab::new(1, &lab::vm("g", "Always", "", "sim.virtroll.dev/boots-after: 60s"), 9, "").await;
    let vmi = lab.vmi("g").await;
    assert_eq!(vmi["status"]["phase"], "Scheduled");
    assert_eq!(
        (&vmi["status"]["nodeName"], &vmi["metadata"]["labels"]["kubevirt.io/nodeName"]),
        (&json!("n1"), &json!("n1"))
    );
    pass(60).await;
    let vmi = lab.vmi("g").await;
    let stamps = vmi["status"]["phaseTransitionTimestamps"].as_array().expect("times");
    let phases: Vec<&Value> = stamps.iter().map(|s| &s["phase"]).collect();
    assert_eq!(phases, ["Pending", "Scheduling", "Scheduled", "Running"]);
    assert_eq!(condition(&vmi, "Ready"), "True");
    assert_eq!(vmi["status"]["selinuxContext"], "none", "or its migrations would never leave Pending");
}

/// A deleted VMI takes all its pods along, and its finalizers go last.
#[tokio::test(start_paused = true)]
async fn a_deleted_vmi_goes_when_its_pods_are_gone() {
    let slow = "sim.virtroll.dev/guest-shutdown: 20s";
    let lab = Lab::new(1, &lab::vm("g", "Manual", "", slow), 9, "").await;
    assert_eq!(lab.act("virtualmachines", "g", "start", json!({})).await.0, 202);
    pass(20).await;
    lab.delete(Kind::Instance, "g").await;
    pass(10).await;
    let vmi = lab.vmi("g").await;
    assert!(vmi["metadata"]["deletionTimestamp"].is_string() && vmi["status"]["phase"] == "Running");
    assert!(lab.launchers("g").await[0]["metadata"]["deletionTimestamp"].is_string());
    pass(20).await;
    assert!(lab.vmi("g").await.is_null() && lab.list(Kind::Pod).await.is_empty());
}

/// A VMI that is over is never scheduled again.
#[tokio::test(start_paused = true)]
async fn a_final_vmi_gets_no_pod() {
    let lab = Lab::new(2, &lab::vm("g", "Once", "", ""), 9, "").await;
    assert_eq!(lab.evict_vmi("g").await.0, 201);
    pass(600).await;
    assert_eq!(lab.vmi("g").await["status"]["phase"], "Succeeded");
    assert!(lab.launchers("g").await.is_empty());
}
