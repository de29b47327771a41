//! `virtroll explain` in the middle of a campaign: a dump of the cluster, looked at by the program.

use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::watch;
use virtroll::engine::Stop;

use crate::scene::{REBOOT, Scene, plan};

/// The cluster as it is so long after a campaign over four nodes, one at a time, has begun.
async fn dump_after(seconds: u64) -> Vec<Value> {
    let mut scene = Scene::new(4).await;
    let cluster = scene.cluster.clone();
    let (_sender, stop) = watch::channel(Stop::No);
    let plan = plan(REBOOT);
    let looks = async {
        tokio::time::sleep(Duration::from_secs(seconds)).await;
        cluster.dump()
    };
    tokio::select! {
        _ = scene.apply(&plan, "one", stop) => panic!("over already"),
        dump = looks => dump,
    }
}

fn explain(folder: &std::path::Path, node: &str) -> Value {
    serde_json::from_str(&said(folder, node, "json")).expect("JSON")
}

fn said(folder: &std::path::Path, node: &str, output: &str) -> String {
    let (plan, cluster) = (folder.join("plan.yaml"), folder.join("cluster.json"));
    let output = Command::new(env!("CARGO_BIN_EXE_virtroll"))
        .env_remove("KUBECONFIG")
        .args(["explain", node, "-o", output, "--plan"])
        .arg(plan)
        .arg("--sim")
        .arg(cluster)
        .output()
        .expect("runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

/// A reboot takes a minute and a half: after 130 seconds the first node is back and the second is rebooting.
#[tokio::test(start_paused = true)]
async fn a_campaign_under_way_is_what_a_waiting_node_waits_for() {
    let dump = dump_after(130).await;
    let folder = std::env::temp_dir().join(format!("virtroll-explain-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    let list = json!({"apiVersion": "v1", "kind": "List", "items": dump});
    std::fs::write(folder.join("cluster.json"), list.to_string()).expect("written");
    let text = format!(
        "apiVersion: virtroll.dev/v1alpha1\nkind: MaintenancePlan\nmetadata: {{name: p}}\nspec:\n  \
         groups: [{{name: all, nodes: {{selector: {{}}}}}}]\n{REBOOT}"
    );
    std::fs::write(folder.join("plan.yaml"), text).expect("written");
    assert_eq!(explain(&folder, "w1")["inPlan"]["is"], "through");
    let working = explain(&folder, "w2");
    assert_eq!(working["cordonedBy"], "campaign p-1");
    assert_eq!(
        (&working["campaign"]["phase"], &working["campaign"]["name"]),
        (&json!("InMaintenance"), &json!("p-1"))
    );
    let place = &working["inPlan"];
    assert_eq!((&place["is"], &place["node"]["startSeconds"]), (&json!("scheduled"), &json!(0.0)));
    let text = said(&folder, "w2", "text");
    // The drain is over; of the reboot, four minutes where nothing else is known, some are left.
    assert!(text.contains("\n  in work    drained +0s, back in service +"), "{text}");
    // One of the two others comes next.
    let (third, fourth) = (explain(&folder, "w3"), explain(&folder, "w4"));
    let waits =
        [&third, &fourth].map(|n| n["inPlan"]["node"]["waitsFor"].as_str().unwrap_or_default().to_owned());
    assert!(waits.contains(&"w2".to_owned()), "{waits:?}");
    for node in [&third, &fourth] {
        assert_eq!((&node["inPlan"]["of"], &node["schedulable"]), (&json!(3), &json!(true)), "{node:#}");
        assert!(node["campaign"].is_null() && node["inPlan"]["node"]["why"].is_string());
    }
    std::fs::remove_dir_all(folder).expect("removed");
}
