//! Made-up clusters are loaded as they are: nothing in them has to move, start or be made anew.

use std::collections::BTreeMap;

use super::*;
use crate::sim::generate::{Family, Recipe, generate};

/// UID and node of each pod, by namespace and name.
fn places(cluster: &EmbeddedCluster) -> BTreeMap<String, String> {
    let place = |pod: &serde_json::Value| {
        let metadata = &pod["metadata"];
        let name = format!("{}/{}", metadata["namespace"], metadata["name"]);
        (name, format!("{} on {}", metadata["uid"], pod["spec"]["nodeName"]))
    };
    cluster.objects("pods").iter().map(|pod| place(pod)).collect()
}

#[tokio::test(start_paused = true)]
async fn a_made_up_cluster_is_at_rest() {
    for family in Family::ALL {
        let recipe = Recipe { nodes: 20, pods: 300, vms: 30, zones: 3, pdbs: 10, family, seed: 5 };
        let objects = generate(&recipe).expect("a cluster");
        let cluster =
            EmbeddedCluster::from_objects("generated", objects, Settings::default()).expect("loaded");
        let before = places(&cluster);
        cluster.start().await;
        assert!(cluster.settle(Duration::from_secs(15), Duration::from_secs(300)).await, "{family:?}");
        assert_eq!(places(&cluster), before, "{family:?}");
        for pod in cluster.objects("pods") {
            assert_eq!(pod["status"]["phase"], "Running", "{family:?}: {}", pod["metadata"]["name"]);
        }
        for vm in cluster.objects("virtualmachines.kubevirt.io") {
            assert_eq!(vm["status"]["printableStatus"], "Running", "{family:?}: {}", vm["metadata"]["name"]);
        }
        for budget in cluster.objects("poddisruptionbudgets.policy") {
            let allowed = budget["status"]["disruptionsAllowed"].as_i64().unwrap_or(0);
            assert!(allowed > 0, "{family:?}: {} {}", budget["metadata"]["name"], budget["status"]);
        }
    }
}
