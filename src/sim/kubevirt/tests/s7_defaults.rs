//! §7: defaults, policies, deadlines, and how long a transfer takes.

use super::lab::{self, Lab, SLOW, pass, phase};
use crate::sim::json::{Value, json};
use crate::sim::kubevirt::Settings;
use crate::sim::kubevirt::world::Kind;

const DISKS: &str = "evictionStrategy: LiveMigrate, volumes: [{name: c, containerDisk: {image: c}}, \
                     {name: e, emptyDisk: {capacity: 10Gi}}],";

async fn state(lab: &Lab) -> Value {
    lab.vmi("g").await["status"]["migrationState"].clone()
}

async fn begin(lab: &Lab) {
    lab.migrate("m", "g").await.expect("admitted");
    lab.until(20, async |lab| state(lab).await["startTimestamp"].is_string()).await;
}

/// §7: the policy that matches by most labels overrides the cluster; the result is written into the state.
#[tokio::test(start_paused = true)]
async fn a_policy_overrides_the_cluster() {
    let policy = "---\napiVersion: migrations.kubevirt.io/v1alpha1\nkind: MigrationPolicy\nmetadata: {name: p}\n\
                  spec: {completionTimeoutPerGiB: 2, allowPostCopy: true, bandwidthPerMigration: 64Mi, selectors: \
                  {virtualMachineInstanceSelector: {team: blue}}}\n";
    let text = policy.to_owned() + &lab::vm("g", "Always", "", SLOW);
    let lab = Lab::new(2, &text, 9, "migrations: {progressTimeout: 40, completionTimeoutPerGiB: 9}").await;
    lab.migrate("m", "g").await.expect("admitted");
    lab.until(20, async |lab| phase(lab, "m").await == "Running").await;
    let settings = lab.vmi("g").await["status"]["migrationState"]["migrationConfiguration"].clone();
    assert_eq!(
        settings,
        json!({
            "completionTimeoutPerGiB": 2, "allowPostCopy": true, "bandwidthPerMigration": "64Mi", "progressTimeout": 40,
            "allowWorkloadDisruption": false, "allowAutoConverge": false, "nodeDrainTaintKey": "kubevirt.io/drain",
            "parallelMigrationsPerCluster": 5, "parallelOutboundMigrationsPerNode": 2,
        })
    );
    // The deadline of 4 s is over: post-copy extends it instead of giving up.
    pass(30).await;
    let status = lab.vmi("g").await["status"].clone();
    assert_eq!((&status["nodeName"], &status["migrationState"]["mode"]), (&json!("n2"), &json!("PostCopy")));
}

/// §7: copied disks count. 1Gi × 1.4 and 10Gi at 500 MB/s take 24.5 s; the memory alone would take 3 s.
#[tokio::test(start_paused = true)]
async fn copied_disks_take_their_time() {
    let lab = Lab::new(2, &lab::vm("g", "Always", DISKS, ""), 9, "").await;
    assert_eq!(lab.vmi("g").await["status"]["migrationMethod"], "BlockMigration");
    begin(&lab).await;
    let took = lab.until(60, async |lab| state(lab).await["endTimestamp"].is_string()).await;
    assert!((23..=25).contains(&took), "{took} s");
}

/// §7: deadline = completionTimeoutPerGiB × ceil(bytes / 10⁹): 1Gi and 10Gi are 12 of those, with 5Gi of other disks 18.
#[tokio::test(start_paused = true)]
async fn copied_disks_lengthen_the_deadline() {
    for (disks, seconds) in [("", 12), ("sim.virtroll.dev/local-disks: 5Gi", 18)] {
        let text = lab::vm("g", "Always", DISKS, disks);
        let lab = Lab::new(2, &text, 9, "migrations: {completionTimeoutPerGiB: 1}").await;
        begin(&lab).await;
        let took = lab.until(60, async |lab| state(lab).await["failed"] == true).await;
        assert!((seconds - 1..=seconds).contains(&took), "{took} s");
        let why = format!("not completed after {seconds} seconds, aborted");
        assert_eq!(state(&lab).await["failureReason"], why.as_str());
        assert_eq!(lab.vmi("g").await["status"]["nodeName"], "n1");
    }
}

/// §7: a 1Gi guest gets 300 s, a 4Gi one 750 s; up to 1.3 it was 800 s for each 10⁹ bytes.
#[test]
fn deadlines_of_guests_without_copied_disks() {
    use super::super::transfer::deadline;
    for (guest, per_gib, seconds) in [("1Gi", 150, 300), ("4Gi", 150, 750), ("1Gi", 800, 1600)] {
        let vmi = json!({"spec": {"domain": {"memory": {"guest": guest}}}});
        let configuration = json!({"completionTimeoutPerGiB": per_gib});
        assert_eq!(deadline(&vmi, &configuration).as_secs(), seconds, "{guest}");
    }
}

/// §7: a transfer without progress is given up after `progressTimeout`, long before its deadline.
#[tokio::test(start_paused = true)]
async fn a_transfer_that_stalls_is_given_up() {
    let stalls = "sim.virtroll.dev/migration-stalls-after: 4s, sim.virtroll.dev/migration-takes: 10s";
    for (configuration, seconds) in [("", 154), ("migrations: {progressTimeout: 20}", 24)] {
        let lab = Lab::new(2, &lab::vm("g", "Always", "", stalls), 9, configuration).await;
        begin(&lab).await;
        let took = lab.until(400, async |lab| state(lab).await["failed"] == true).await;
        assert!((seconds - 1..=seconds).contains(&took), "{took} s");
        let text = state(&lab).await["failureReason"].to_string();
        assert_eq!(text, format!("\"no progress for {} seconds, aborted\"", seconds - 4));
    }
}

/// Where nothing is configured the defaults are in force, and written into the state.
#[tokio::test(start_paused = true)]
async fn the_defaults_are_written_into_the_state() {
    let lab = Lab::new(2, &lab::vm("g", "Always", "", SLOW), 9, "").await;
    lab.migrate("m", "g").await.expect("admitted");
    lab.until(20, async |lab| phase(lab, "m").await == "Running").await;
    assert_eq!(
        state(&lab).await["migrationConfiguration"],
        json!({
            "parallelMigrationsPerCluster": 5, "parallelOutboundMigrationsPerNode": 2, "bandwidthPerMigration": "0",
            "completionTimeoutPerGiB": 150, "progressTimeout": 150, "nodeDrainTaintKey": "kubevirt.io/drain",
            "allowPostCopy": false, "allowAutoConverge": false, "allowWorkloadDisruption": false,
        })
    );
}

/// A policy chooses by labels of the VMI and of its namespace: the most labels win, then the VMI's own.
#[tokio::test(start_paused = true)]
async fn policies_choose_by_vmi_and_namespace() {
    let policy = |name: &str, seconds: u32, selectors: &str| {
        format!(
            "---\napiVersion: migrations.kubevirt.io/v1alpha1\nkind: MigrationPolicy\nmetadata: {{name: {name}}}\n\
             spec: {{completionTimeoutPerGiB: {seconds}, selectors: {{{selectors}}}}}\n"
        )
    };
    let namespace = "namespaceSelector: {stage: test}";
    let vmi = "virtualMachineInstanceSelector: {team: blue}";
    let both = format!("{namespace}, {vmi}");
    for (policies, expected) in [
        (policy("one", 11, namespace), 11),
        (policy("one", 11, "namespaceSelector: {stage: live}"), 150),
        (policy("a", 11, namespace) + &policy("b", 12, vmi), 12),
        (policy("a", 11, vmi) + &policy("b", 12, namespace), 11),
        (policy("a", 11, vmi) + &policy("b", 12, &both) + &policy("c", 13, namespace), 12),
        (policy("b", 12, vmi) + &policy("a", 11, vmi), 11),
        (policy("everywhere", 11, ""), 150),
    ] {
        let lab = Lab::new(2, &(policies + &lab::vm("g", "Always", "", SLOW)), 9, "").await;
        lab.patch(Kind::Namespace, "default", json!({"metadata": {"labels": {"stage": "test"}}})).await;
        lab.migrate("m", "g").await.expect("admitted");
        lab.until(20, async |lab| phase(lab, "m").await == "Running").await;
        assert_eq!(state(&lab).await["migrationConfiguration"]["completionTimeoutPerGiB"], expected);
    }
}

/// Instead of giving up at the deadline, a guest may be stopped for a moment, so that its migration comes to an end.
#[tokio::test(start_paused = true)]
async fn a_disruption_that_is_allowed_ends_a_long_migration() {
    let configuration = "migrations: {completionTimeoutPerGiB: 5, allowWorkloadDisruption: true}";
    let lab = Lab::new(2, &lab::vm("g", "Always", "", SLOW), 9, configuration).await;
    begin(&lab).await;
    // The deadline of a 1Gi guest is 10 s.
    pass(9).await;
    assert_eq!(lab.vmi("g").await["status"]["nodeName"], "n1");
    lab.until(20, async |lab| lab.vmi("g").await["status"]["nodeName"] == "n2").await;
    let state = state(&lab).await;
    assert_eq!((&state["mode"], &state["failed"]), (&json!("Paused"), &Value::Null));
}

/// Every duration is a setting; scaled, all of them change together.
#[tokio::test(start_paused = true)]
async fn every_wait_can_be_set() {
    let s = std::time::Duration::from_secs;
    let fast = Settings {
        version: Some(crate::sim::kubevirt::Version::minor(9)),
        boot: s(1),
        shutdown: s(2),
        heartbeat_min: s(5),
        heartbeat_max: s(6),
        unresponsive_after: s(20),
        node_check: s(3),
        backoff: s(2),
        unschedulable_timeout: s(8),
        ..Settings::default()
    };
    let fails = "sim.virtroll.dev/migration-fails: '1', sim.virtroll.dev/migration-takes: 1s";
    let text = lab::vm("moves", "Always", "evictionStrategy: LiveMigrate,", fails)
        + &lab::vm("stops", "Once", "", "");
    let lab = Lab::with(2, &text, fast, "").await;
    assert_eq!(lab.evict_vmi("stops").await.0, 201);
    let took = lab.until(5, async |lab| lab.vmi("stops").await["status"]["phase"] == "Succeeded").await;
    assert!(took <= 2, "{took} s");
    assert_eq!(lab.evict_vmi("moves").await.0, 429);
    let took = lab.until(30, async |lab| lab.vmi("moves").await["status"]["nodeName"] == "n2").await;
    assert!(took <= 20, "a failure, a backoff of 2 s, a heartbeat of 5 s: {took} s");
    lab.annotate(Kind::Node, "n2", "down", "true").await;
    let label = async |lab: &Lab| {
        lab.get(Kind::Node, "n2").await["metadata"]["labels"]["kubevirt.io/schedulable"] == "false"
    };
    let took = lab.until(60, label).await;
    assert!((14..=26).contains(&took), "{took} s");
    let half = Settings::default().scaled(0.5);
    assert_eq!((half.boot, half.backoff, half.quota_retry), (s(5) / 2, s(10), s(1) / 2));
    assert_eq!((half.utility_volumes_timeout, half.capped_recheck), (s(75), s(5) / 2));
    assert_eq!(half.bandwidth, 1_000_000_000);
}
