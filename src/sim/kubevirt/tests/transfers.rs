//! Transfers: how long they take, and when they are given up.

use serde_json::{Value, json};

use super::lab::{self, Lab, pass};
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

/// §5.5.2: what is known of a target that finds no place, and what is left when it is given up.
#[tokio::test(start_paused = true)]
async fn an_unschedulable_target_is_reported() {
    let lab = Lab::new(1, &lab::vm("g", "Always", "", ""), 9, "").await;
    lab.migrate("m", "g").await.expect("admitted");
    pass(3).await;
    let expected = "Migration target pod for VMI [default/g] is currently unschedulable.";
    assert_eq!(lab.events("migrationTargetPodUnschedulable").await, [expected]);
    let pods = lab.launchers("g").await;
    let source =
        pods.iter().find(|p| p["spec"]["nodeName"] == "n1").expect("the source")["metadata"]["name"].clone();
    let target =
        pods.iter().find(|p| p["spec"]["nodeName"].is_null()).expect("the target")["metadata"]["name"]
            .clone();
    pass(300).await;
    let migration = lab.get(Kind::Migration, "m").await["status"].clone();
    assert_eq!(
        (&migration["phase"], &migration["migrationState"]),
        (&json!("Failed"), &json!({"sourcePod": source}))
    );
    let gone =
        format!("unschedulable pod default/{} timeout period exceeded", target.as_str().expect("a name"));
    assert_eq!(lab.events("SuccessfulDelete").await, [gone]);
    assert_eq!(lab.events("migrationTargetPodUnschedulable").await.len(), 1);
}

/// §5.5.2: a target that is scheduled and doesn't start is given up after 15 minutes, or what the migration's annotation says.
#[tokio::test(start_paused = true)]
async fn a_target_that_does_not_start_is_given_up() {
    let lab = Lab::new(2, &lab::vm("g", "Always", "", ""), 9, "").await;
    lab.annotate(Kind::Instance, "g", "starts-after", "3000s").await;
    for (name, own, seconds) in [("default", None, 900), ("short", Some("20"), 20)] {
        lab.migrate(name, "g").await.expect("admitted");
        let annotation = json!({"kubevirt.io/migrationPendingPodTimeoutSeconds": own});
        lab.patch(Kind::Migration, name, json!({"metadata": {"annotations": annotation}})).await;
        let failed = async |lab: &Lab| lab.get(Kind::Migration, name).await["status"]["phase"] == "Failed";
        let took = lab.until(1000, failed).await;
        assert!((seconds..=seconds + 1).contains(&took), "{name}: {took} s");
        pass(2).await;
        assert_eq!(lab.launchers("g").await.len(), 1);
    }
    let told = lab.events("SuccessfulDelete").await;
    assert!(told.len() == 2 && told.iter().all(|t| t.starts_with("pending pod default/")), "{told:?}");
}

/// §2: a target goes only where the source's CPU can be played: same vendor, model known.
#[tokio::test(start_paused = true)]
async fn a_target_wants_the_sources_cpu() {
    let lab = Lab::new(2, &lab::vm("g", "Always", "", ""), 9, "").await;
    let label = async |node: &str, labels: Value| {
        lab.patch(Kind::Node, node, json!({"metadata": {"labels": labels}})).await;
    };
    let own = json!({"cpu-vendor.node.kubevirt.io/Intel": "true", "host-model-cpu.node.kubevirt.io/Skylake": "true"});
    label("n1", own).await;
    lab.migrate("m", "g").await.expect("admitted");
    pass(20).await;
    assert!(lab.launchers_on("g", "n2").await.is_empty());
    label("n2", json!({"cpu-vendor.node.kubevirt.io/Intel": "true"})).await;
    pass(20).await;
    assert!(lab.launchers_on("g", "n2").await.is_empty());
    label("n2", json!({"cpu-model-migration.node.kubevirt.io/Skylake": "true"})).await;
    pass(30).await;
    assert_eq!(lab.vmi("g").await["status"]["nodeName"], "n2");
}

/// §5.5: the end of a migration wakes the capped ones: the next begins a moment after, not with the next look.
#[tokio::test(start_paused = true)]
async fn the_end_of_a_migration_wakes_the_next() {
    let takes = "sim.virtroll.dev/migration-takes: 9s";
    let text = lab::vm("g", "Always", "", takes) + &lab::vm("h", "Always", "", takes);
    let lab = Lab::new(2, &text, 9, "migrations: {parallelMigrationsPerCluster: 1}").await;
    lab.migrate("first", "g").await.expect("admitted");
    lab.migrate("second", "h").await.expect("admitted");
    let phase = async |lab: &Lab, name: &str| lab.get(Kind::Migration, name).await["status"]["phase"].clone();
    lab.until(40, async |lab| lab.vmi("g").await["status"]["nodeName"] == "n2").await;
    assert_eq!(phase(&lab, "second").await, "Pending", "the first isn't over yet");
    lab.until(40, async |lab| phase(lab, "first").await == "Succeeded").await;
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    assert_eq!(phase(&lab, "second").await, "Scheduling");
}
