//! §5.5.1: what keeps a migration Pending: backups, utility volumes, quotas.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;

use super::lab::{self, Lab, MOVES, condition, pass, phase};
use crate::sim::extension::{Extension, Webhook};
use crate::sim::json::{Value, json};
use crate::sim::kubevirt::world::Kind;

const QUICK: &str = "sim.virtroll.dev/migration-takes: 2s";

async fn begin_backup(lab: &Lab) {
    let backup = json!({"changedBlockTracking": {"backupStatus": {"backupName": "b"}}});
    lab.patch(Kind::Instance, "g", json!({"status": backup})).await;
    pass(1).await;
}

fn reason(object: &Value, kind: &str) -> Value {
    let conditions = object["status"]["conditions"].as_array().into_iter().flatten();
    conditions.into_iter().find(|c| c["type"] == kind).map_or(Value::Null, |c| c["reason"].clone())
}

/// A user's migration waits for the end of a backup.
#[tokio::test(start_paused = true)]
async fn a_backup_blocks_a_users_migration() {
    let lab = Lab::new(2, &lab::vm("g", "Always", MOVES, QUICK), 9, "").await;
    begin_backup(&lab).await;
    lab.migrate("m", "g").await.expect("admitted");
    pass(600).await;
    let migration = lab.get(Kind::Migration, "m").await;
    assert_eq!(migration["status"]["phase"], "Pending");
    assert_eq!(condition(&migration, "migrationBlockedByBackup"), "True");
    assert_eq!(reason(&migration, "migrationBlockedByBackup"), "BackupInProgress");
    lab.patch(
        Kind::Instance,
        "g",
        json!({"status": {"changedBlockTracking": {"backupStatus": {"completed": true}}}}),
    )
    .await;
    pass(20).await;
    let migration = lab.get(Kind::Migration, "m").await;
    assert_eq!(migration["status"]["phase"], "Succeeded");
    assert!(condition(&migration, "migrationBlockedByBackup").is_null());
}

/// §6: a drain ends the backup where migrations have priorities: from 1.9, in 1.8 with the gate; without, it waits for it. Before
/// 1.8 there are none.
#[tokio::test(start_paused = true)]
async fn a_drain_ends_a_backup_where_migrations_have_priorities() {
    let gate = "developerConfiguration: {featureGates: [MigrationPriorityQueue]}";
    for (version, configuration, moves, ends) in
        [(9, "", true, true), (8, gate, true, true), (8, "", false, false), (7, gate, true, false)]
    {
        let lab = Lab::new(2, &lab::vm("g", "Always", MOVES, QUICK), version, configuration).await;
        begin_backup(&lab).await;
        assert_eq!(lab.evict_vmi("g").await.0, 429);
        pass(200).await;
        let vmi = lab.vmi("g").await;
        let backup = &vmi["status"]["changedBlockTracking"]["backupStatus"];
        assert_eq!(vmi["status"]["nodeName"] == "n2", moves, "1.{version} {configuration}");
        assert_eq!(
            backup["failed"] == true && backup["completed"] == true,
            ends,
            "1.{version} {configuration}"
        );
    }
}

/// Utility volumes are waited for, and the migration is given up after 150 s.
#[tokio::test(start_paused = true)]
async fn utility_volumes_are_waited_for_150_seconds() {
    let lab = Lab::new(2, &lab::vm("g", "Always", MOVES, QUICK), 9, "").await;
    let volumes = json!([{"name": "u", "claimName": "u"}]);
    lab.patch(Kind::Instance, "g", json!({"spec": {"utilityVolumes": volumes}})).await;
    lab.migrate("fails", "g").await.expect("admitted");
    pass(1).await;
    let migration = lab.get(Kind::Migration, "fails").await;
    assert_eq!(condition(&migration, "migrationBlockedByUtilityVolumes"), "True");
    let took = 1 + lab.until(200, async |lab| phase(lab, "fails").await == "Failed").await;
    assert!((149..=151).contains(&took), "{took} s");
    assert_eq!(lab.launchers("g").await.len(), 1, "no target was made");
    lab.migrate("goes", "g").await.expect("admitted");
    pass(100).await;
    assert_eq!(phase(&lab, "goes").await, "Pending");
    lab.patch(Kind::Instance, "g", json!({"spec": {"utilityVolumes": null}})).await;
    pass(20).await;
    assert_eq!(phase(&lab, "goes").await, "Succeeded");
}

/// The KubeVirt object may say how long.
#[tokio::test(start_paused = true)]
async fn the_cluster_says_how_long_utility_volumes_are_waited_for() {
    let lab =
        Lab::new(2, &lab::vm("g", "Always", MOVES, QUICK), 9, "migrations: {utilityVolumesTimeout: 30}")
            .await;
    lab.patch(Kind::Instance, "g", json!({"spec": {"utilityVolumes": [{"name": "u"}]}})).await;
    lab.migrate("m", "g").await.expect("admitted");
    let took = lab.until(60, async |lab| phase(lab, "m").await == "Failed").await;
    assert!((29..=31).contains(&took), "{took} s");
}

/// Stands for the API server's quota: while it is full, no pods.
struct Quota(Arc<AtomicBool>);

impl Extension for Quota {
    fn webhooks(&self, resource: &str) -> Vec<Webhook> {
        let webhook = Webhook {
            name: "quota".to_owned(),
            resource: "pods".to_owned(),
            operations: vec!["CREATE"],
            name_prefix: String::new(),
            fail_closed: true,
        };
        Vec::from_iter((resource == "pods").then_some(webhook))
    }

    fn admit(&self, _: Value) -> BoxFuture<'static, Result<Value, String>> {
        let full = self.0.load(Ordering::Relaxed);
        let why = "pods \"virt-launcher-g\" is forbidden: exceeded quota: q, requested: pods=1, used: pods=1, limited: pods=1";
        let status = json!({"code": 403, "reason": "Forbidden", "message": why});
        async move { Ok(json!({"response": {"allowed": !full, "status": status}})) }.boxed()
    }

    fn serve(
        &self,
        _: &http::request::Parts,
        _: &Bytes,
    ) -> Option<BoxFuture<'static, http::Response<Bytes>>> {
        None
    }
}

/// A target that a quota has no room for is tried again each second, and the condition goes with the quota.
#[tokio::test(start_paused = true)]
async fn a_quota_holds_a_migration_back() {
    let lab = Lab::new(2, &lab::vm("g", "Always", MOVES, QUICK), 9, "").await;
    let full = Arc::new(AtomicBool::new(true));
    lab.cluster.server().extend(Arc::new(Quota(full.clone())));
    lab.migrate("m", "g").await.expect("admitted");
    let tries = || lab.cluster.requests().get("POST pods default").copied().unwrap_or(0);
    pass(1).await;
    let before = tries();
    pass(100).await;
    assert!((95..=101).contains(&(tries() - before)), "{} tries in 100 s", tries() - before);
    let migration = lab.get(Kind::Migration, "m").await;
    assert_eq!(migration["status"]["phase"], "Pending");
    assert_eq!(condition(&migration, "migrationRejectedByResourceQuota"), "True");
    full.store(false, Ordering::Relaxed);
    pass(2).await;
    let migration = lab.get(Kind::Migration, "m").await;
    assert!(condition(&migration, "migrationRejectedByResourceQuota").is_null());
    pass(20).await;
    assert_eq!(phase(&lab, "m").await, "Succeeded");
}
