//! Nodes: limits, zones, waves, cordons of others, verification.

use std::time::Duration;

use serde_json::Value;
use virtroll::journal::EventKind;

use super::Stage;
use super::stage::{all_done, most_at_once};

const REBOOT: &str = "  hooks: [{name: reboot, at: Maintenance, reboot: {by: Annotation}, timeout: 10m}]\n";

pub async fn rolling_keeps_its_limit(stage: &mut Stage) {
    stage.nodes(5).await;
    stage.web(4, "maxUnavailable: 1").await;
    let outcome = stage.roll(&format!("  concurrency: {{maxUnavailable: 2}}\n{REBOOT}")).await;
    all_done(&outcome, 5);
    assert_eq!((most_at_once(&outcome, |_| true), outcome.status.peak_unavailable), (2, 2));
}

pub async fn waves_wait_for_each_other(stage: &mut Stage) {
    stage.nodes(4).await;
    stage.web(2, "maxUnavailable: 1").await;
    let outcome =
        stage.roll(&format!("  strategy: Waves\n  concurrency: {{maxUnavailable: 2}}\n{REBOOT}")).await;
    all_done(&outcome, 4);
    let mut waves: Vec<u32> = outcome.status.nodes.iter().map(|n| n.wave).collect();
    waves.sort_unstable();
    assert_eq!(waves, [1, 1, 2, 2]);
    for later in outcome.status.nodes.iter().filter(|n| n.wave == 2) {
        for earlier in outcome.status.nodes.iter().filter(|n| n.wave == 1) {
            assert!(earlier.finished_at <= later.started_at, "{} before {}", later.name, earlier.name);
        }
    }
}

pub async fn a_zone_keeps_its_limit(stage: &mut Stage) {
    stage.nodes(4).await;
    let rest = format!("  concurrency: {{maxUnavailable: 4, maxUnavailablePerZone: 1}}\n{REBOOT}");
    let outcome = stage.roll(&rest).await;
    all_done(&outcome, 4);
    let odd = |name: &str| name.ends_with(['1', '3']);
    assert_eq!((most_at_once(&outcome, odd), most_at_once(&outcome, |n| !odd(n))), (1, 1));
    assert_eq!(most_at_once(&outcome, |_| true), 2);
}

pub async fn found_cordoned_stays_cordoned(stage: &mut Stage) {
    stage.nodes(3).await;
    let cordoned = stage.node_name(3);
    stage.cordon(&cordoned, true).await;
    let outcome = stage.roll(&format!("  concurrency: {{maxUnavailable: 2}}\n{REBOOT}")).await;
    all_done(&outcome, 3);
    // Two may be away, and one is already: the others go one at a time.
    assert_eq!(most_at_once(&outcome, |n| n != cordoned), 1);
    assert!(stage.is_cordoned(&cordoned).await && !stage.is_cordoned(&stage.node_name(1)).await);
}

pub async fn uncordoned_in_the_middle_is_cordoned_again(stage: &mut Stage) {
    stage.nodes(2).await;
    let node = stage.node_name(1);
    let nodes = stage.api("v1", "Node");
    let (name, somebody) = (node.clone(), nodes.clone());
    let meddler = tokio::spawn(async move {
        loop {
            tokio::time::sleep(Duration::from_millis(100)).await;
            let node = somebody.get(&name).await.expect("the node");
            if node.data["spec"]["unschedulable"] == true {
                let patch = kube::api::Patch::Merge(serde_json::json!({"spec": {"unschedulable": null}}));
                return somebody.patch(&name, &Default::default(), &patch).await.expect("uncordoned");
            }
        }
    });
    let outcome = stage.roll(REBOOT).await;
    all_done(&outcome, 2);
    assert!(meddler.is_finished());
    let text = format!("{node} was uncordoned by somebody else");
    let told = |e: &EventKind| matches!(e, EventKind::Warning { text: t } if t.contains(&text));
    assert!(stage.events.iter().any(|e| told(&e.kind)), "{:#?}", stage.events);
    assert!(!stage.is_cordoned(&node).await);
}

/// Somebody writes to the nodes all the time, between any of virtroll's reads and writes: it neither stops nor storms.
pub async fn writes_of_others_do_not_stop_it(stage: &mut Stage) {
    stage.nodes(3).await;
    let (nodes, prefix) = (stage.api("v1", "Node"), stage.name.clone());
    let writer = tokio::spawn(async move {
        for n in 0_u64.. {
            let name = format!("{prefix}-{}", n % 3 + 1);
            let patch = serde_json::json!({"metadata": {"annotations": {"somebody": n.to_string()}}});
            nodes.patch(&name, &Default::default(), &kube::api::Patch::Merge(patch)).await.expect("patched");
            tokio::time::sleep(Duration::from_millis(150)).await;
        }
    });
    let outcome = stage.roll(REBOOT).await;
    writer.abort();
    all_done(&outcome, 3);
}

pub async fn a_kernel_upgrade_is_verified(stage: &mut Stage) {
    stage.nodes(3).await;
    stage.web(3, "maxUnavailable: 1").await;
    let verify = "  verify: {bootIDChanged: true, kernelVersion: '>=6.12'}\n";
    let outcome = stage.roll(&format!("  concurrency: {{maxUnavailable: 1}}\n{REBOOT}{verify}")).await;
    all_done(&outcome, 3);
    for n in 1..=3 {
        let name = stage.node_name(n);
        let node: Value = stage.get("v1", "Node", &name).await;
        assert_eq!(node["status"]["nodeInfo"]["kernelVersion"], "6.12.4", "{name}");
        assert_ne!(node["status"]["nodeInfo"]["bootID"], format!("boot-{name}"));
        assert!(node["metadata"]["annotations"]["virtroll.dev/maintenance"].is_null(), "{name}");
    }
}
