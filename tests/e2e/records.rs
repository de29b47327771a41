//! A campaign's record that no single object could hold, on the real API server and etcd.

use std::sync::Arc;

use kube::api::{Api, PostParams};
use virtroll::cluster;
use virtroll::plan::v1alpha1::{
    CampaignNode, CampaignPhase, CampaignVm, MaintenanceCampaign, MaintenanceCampaignStatus,
};

use crate::control_plane::ControlPlane;

const PLAN: &str = "apiVersion: virtroll.dev/v1alpha1\nkind: MaintenancePlan\nmetadata: {name: large}\nspec:\n  \
    groups: [{name: all, nodes: {selector: {}}}]\n";

/// Nodes and VMs of a large cluster: about 1.7 MB.
fn status(phase: &str) -> MaintenanceCampaignStatus {
    let at = "2026-01-02T03:04:05Z".parse().ok();
    let node = |n: usize| CampaignNode {
        name: format!("worker-{n:05}.rack-{:03}.example.com", n / 40),
        group: "general-workers".to_owned(),
        wave: 1,
        phase: phase.to_owned(),
        started_at: at,
        drained_at: at,
        finished_at: at,
        ..CampaignNode::default()
    };
    let vm = |n: usize| CampaignVm {
        namespace: format!("team-{:03}", n / 100),
        name: format!("database-{n:05}"),
        uid: format!("00000000-0000-4000-8000-{n:012}"),
        node: Some(format!("worker-{n:05}.rack-{:03}.example.com", n / 40)),
        ..CampaignVm::default()
    };
    MaintenanceCampaignStatus {
        phase: CampaignPhase::Running,
        nodes: (0..4000).map(|n| Arc::new(node(n))).collect(),
        virtual_machines: (0..4000).map(|n| Arc::new(vm(n))).collect(),
        ..MaintenanceCampaignStatus::default()
    }
}

#[test]
fn a_record_larger_than_etcd_takes_is_written_and_read() {
    let plane = ControlPlane::api_only("records");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let client = plane.client().await;
        cluster::ensure_definitions(&client).await.expect("defined");
        let plan = virtroll::plan::load("plan.yaml", PLAN).unwrap_or_else(|e| panic!("{}", e.render())).plan;
        let begun = cluster::begin(&client, "large", &plan.spec, None).await.expect("begun");
        let status = status("Draining");
        let whole = MaintenanceCampaign { status: Some(status.clone()), ..begun };
        let api: Api<MaintenanceCampaign> = Api::all(client.clone());
        let refused = api.replace_status("large-1", &PostParams::default(), &whole).await;
        let why = refused.expect_err("in one object").to_string();
        assert!(why.contains("etcdserver: request is too large"), "{why}");

        let mut record = cluster::campaign(&client, "large-1").await.expect("read");
        cluster::record(&client, &mut record, &status).await.expect("written");
        let read = cluster::campaign(&client, "large-1").await.expect("read");
        assert_eq!(read.campaign.status.as_ref(), Some(&status));
        // Whoever has read it writes over it, and whoever had read it before doesn't.
        let (mut mine, mut theirs) = (read.clone(), read);
        let done = self::status("Done");
        cluster::record(&client, &mut mine, &done).await.expect("written");
        let late = cluster::record(&client, &mut theirs, &self::status("Failed")).await;
        assert!(matches!(late, Err(cluster::Error::Conflict(_))), "{late:?}");
        let read = cluster::campaign(&client, "large-1").await.expect("read");
        assert_eq!(read.campaign.status, Some(done));
    });
    let table = plane.kubectl(&["get", "mcampaignslice", "-l", "virtroll.dev/campaign=large-1"]);
    let table = String::from_utf8_lossy(&table.stdout).into_owned();
    let rows: Vec<Vec<&str>> = table.lines().map(|l| l.split_whitespace().take(4).collect()).collect();
    let slice = |name: &'static str| vec![name, "large-1", "1000", "1000"];
    let expected = [
        vec!["NAME", "CAMPAIGN", "NODES", "VMS"],
        slice("large-1-slice-1"),
        slice("large-1-slice-2"),
        slice("large-1-slice-3"),
    ];
    assert_eq!(rows, expected, "{table}");
}
