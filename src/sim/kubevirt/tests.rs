//! The model's behaviour, claim by claim of what KubeVirt's own controllers were seen to do.

use std::time::Duration;

use serde_json::Value;

use crate::sim::{EmbeddedCluster, Settings};

const HOMELAB: &str = include_str!("../../../examples/clusters/homelab.yaml");

fn of_kind<'a>(objects: &'a [Value], kind: &'a str) -> impl Iterator<Item = &'a Value> {
    objects.iter().filter(move |o| o["kind"] == kind)
}

#[tokio::test(start_paused = true)]
async fn a_copy_of_a_cluster_keeps_its_running_guests() {
    let cluster = EmbeddedCluster::from_manifests("homelab", HOMELAB, Settings::default()).expect("loads");
    cluster.start().await;
    assert!(cluster.settle(Duration::from_secs(15), Duration::from_secs(600)).await);
    let before = cluster.dump();
    let guests = |objects: &[Value]| -> Vec<(String, String, String)> {
        let text = |v: &Value| v.as_str().unwrap_or_default().to_owned();
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
