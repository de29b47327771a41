//! A better order on the way: what the first node has shown is expected of the others.

use k8s_openapi::api::apps::v1::Deployment;
use kube::api::{Api, Patch, PatchParams};
use serde_json::json;
use virtroll::journal::EventKind;

use crate::scene::{Scene, all_done};

/// Three at once at most, one of `slow`. A reboot is expected to take ten seconds and takes five minutes, as the first node shows.
const PLAN: &str = "  concurrency: {maxUnavailable: 3}\n  groups:\n  \
    - {name: pilot, nodes: {names: [w1]}}\n  \
    - {name: quick, nodes: {names: [w2, w3, w4, w5, w6, w7]}, dependsOn: [pilot], soak: 5m}\n  \
    - {name: last, nodes: {names: [w8]}, dependsOn: [quick]}\n  \
    - {name: slow, nodes: {names: [w9, w10, w11, w12, w13]}, dependsOn: [pilot], concurrency: {maxUnavailable: 1}}\n  hooks:\n  \
    - {name: patch, at: Maintenance, groups: [quick, last], exec: [patch], expected: 30s}\n  \
    - {name: reboot, at: Maintenance, groups: [pilot, slow], reboot: {by: Annotation}, expected: 10s}\n";

/// By what is expected at first, `slow` takes no time of its own, in the soak of `quick`: those go first, six in two rounds. Of the
/// pilot's five minutes, a quarter is expected of the others then, one after the other: whatever begins before them comes on top.
#[tokio::test(start_paused = true)]
async fn what_a_node_has_shown_changes_the_order_of_the_others() {
    let mut scene = Scene::new(13).await;
    let none = Patch::Merge(json!({"spec": {"replicas": 0}}));
    let deployments: Api<Deployment> = Api::namespaced(scene.cluster.client(), "shop");
    deployments.patch("web", &PatchParams::default(), &none).await.expect("patched");
    let pace = Patch::Merge(json!({"metadata": {"annotations": {"sim.virtroll.dev/pace": "30"}}}));
    for node in ["w1", "w9", "w10", "w11", "w12", "w13"] {
        scene.nodes().patch(node, &PatchParams::default(), &pace).await.expect("patched");
    }
    tokio::time::sleep(std::time::Duration::from_secs(60)).await;
    let outcome = scene.roll(PLAN).await;
    assert!(all_done(&outcome));
    assert!(scene.events.iter().any(|e| e.kind == EventKind::Reordered));
    let times = |group: &str| -> Vec<_> {
        let nodes = outcome.status.nodes.iter().filter(|n| n.group == group);
        nodes.map(|n| (n.started_at.expect("begun"), n.finished_at.expect("ended"))).collect()
    };
    let (quick, slow) = (times("quick"), times("slow"));
    // The first round began by the order from before; in the second, one gives way.
    let waited = slow[0].0.duration_since(quick[0].1).as_secs();
    assert!(
        (0..5).contains(&waited),
        "the first of `slow` began {waited} s after the first of `quick` was back"
    );
    assert!(quick.iter().filter(|q| q.0 < slow[0].0).count() < 6, "{quick:?} {slow:?}");
}
