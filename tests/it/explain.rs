//! `virtroll explain` in the middle of a campaign: a dump of the cluster, looked at by the program.

use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::watch;
use virtroll::engine::Stop;

use crate::scene::{EFFORT, REBOOT, Scene, plan};

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
    let plan = folder.join("plan.yaml");
    let plan = plan.to_str().expect("text");
    virtroll(folder, &["explain", node, "-o", output, "--plan", plan])
}

fn virtroll(folder: &std::path::Path, arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_virtroll"))
        .env_remove("KUBECONFIG")
        .env("VIRTROLL_EFFORT", EFFORT.to_string())
        .args(arguments)
        .arg("--sim")
        .arg(folder.join("cluster.json"))
        .output()
        .expect("runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

/// Seconds from the end of a node's drain until it was back, by its record.
fn after_drain(node: &Value) -> f64 {
    assert_eq!(node["phase"], "Done", "{node}");
    let at = |field: &str| -> jiff::Timestamp {
        node[field].as_str().and_then(|t| t.parse().ok()).expect("a time")
    };
    at("finishedAt").duration_since(at("drainedAt")).as_secs_f64()
}

/// A reboot takes a minute and a half: after 130 seconds the first node is back and the second is rebooting.
#[tokio::test(start_paused = true)]
async fn a_campaign_under_way_is_what_a_waiting_node_waits_for() {
    let dump = dump_after(130).await;
    let campaign = dump.iter().find(|o| o["kind"] == "MaintenanceCampaign").expect("a campaign");
    let first = &campaign["status"]["nodes"][0];
    let took = after_drain(first);
    let reboot = &first["hooks"][0];
    let seconds = reboot["seconds"].as_f64().expect("a number");
    // Most of the time after the drain is the reboot.
    assert!(reboot["name"] == "reboot" && (80.0..took).contains(&seconds), "{first}");
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
    // Four minutes for a reboot and five seconds of checks count as much as three nodes.
    let expected = (3.0 * 245.0 + took) / 4.0;
    let plan = folder.join("plan.yaml");
    let apply = ["apply", plan.to_str().expect("text"), "--dry-run=schedule"];
    let schedule: Value =
        serde_json::from_str(&virtroll(&folder, &[&apply[..], &["-o", "json"]].concat())).expect("JSON");
    for learned in [&schedule["learned"], &third["inPlan"]["learned"]] {
        let of = (&learned[0]["group"], &learned[0]["count"], &learned[0]["expectedSeconds"]);
        assert_eq!(of, (&json!("all"), &json!(1), &json!(245.0)), "{learned}");
        // Kept in whole milliseconds.
        let seconds = learned[0]["seconds"].as_f64().expect("a number");
        assert!((seconds - expected).abs() < 0.002, "{seconds}, not {expected}");
        // The reboot is in that already; what it has taken is expected of other groups' nodes, and there are none.
        assert_eq!(learned.as_array().map(Vec::len), Some(1), "{learned}");
    }
    let words = " after a drain, learned from 1 node (4m 05s expected)";
    assert!(said(&folder, "w3", "text").contains(words));
    assert!(virtroll(&folder, &apply).contains(&format!("{words}.")));
    std::fs::remove_dir_all(folder).expect("removed");
}
