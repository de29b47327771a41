//! Which pending migrations may begin: caps over the cluster and each source node, priorities, backoff.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use super::index::Place;
use super::instance::{is_terminal, launchers};
use super::migration::enter;
use super::world::{Kind, Object, Trouble, World, is_deleting, is_final, text, uid, vmi_of};
use super::{conditions, launcher, obstacle};
use crate::sim::clock::parse_time;
use crate::sim::json::{Value, json};
use crate::sim::store::Key;

const QUOTA: &str = "migrationRejectedByResourceQuota";

/// Those that back off: evacuations and workload updates.
fn is_by_system(migration: &Value) -> bool {
    let annotations = &migration["metadata"]["annotations"];
    ["kubevirt.io/evacuationMigration", "kubevirt.io/workloadUpdateMigration"]
        .iter()
        .any(|name| !annotations[*name].is_null())
}

/// Earliest of two times to look again.
fn earlier(one: Option<Duration>, other: Duration) -> Option<Duration> {
    Some(one.map_or(other, |one| one.min(other)))
}

/// One pass over the queue: the first of each node that has room, in the order of all, until the cluster has none.
pub(super) async fn reconcile(world: &mut World) -> Result<Option<Duration>, Trouble> {
    if world.indexes.sources().next().is_none() {
        return Ok(None);
    }
    let in_all = world.migration_limit("parallelMigrationsPerCluster", 5) as usize;
    let per_node = world.migration_limit("parallelOutboundMigrationsPerNode", 2) as usize;
    let recheck = world.settings.capped_recheck;
    let mut total: usize = world.indexes.running().values().sum();
    if total >= in_all {
        return Ok(Some(recheck));
    }
    let mut running = world.indexes.running().clone();
    let mut again: Option<Duration> = None;
    let mut heads: BinaryHeap<Reverse<(Place, String)>> = BinaryHeap::new();
    for node in world.indexes.sources() {
        if running.get(node).copied().unwrap_or(0) >= per_node {
            again = earlier(again, recheck);
        } else if let Some(first) = world.indexes.next_from(node, None) {
            heads.push(Reverse((first.clone(), node.clone())));
        }
    }
    while let Some(Reverse((place, node))) = heads.pop() {
        if total >= in_all {
            return Ok(earlier(again, recheck));
        }
        match consider(world, &place.2).await? {
            Answer::Begun => {
                *running.entry(node.clone()).or_default() += 1;
                total += 1;
            }
            Answer::Again(wait) => again = earlier(again, wait),
            Answer::No => {}
        }
        let Some(next) = world.indexes.next_from(&node, Some(&place)).cloned() else { continue };
        if running.get(&node).copied().unwrap_or(0) >= per_node {
            again = earlier(again, recheck);
        } else {
            heads.push(Reverse((next, node)));
        }
    }
    Ok(again)
}

enum Answer {
    Begun,
    No,
    Again(Duration),
}

/// Begins a migration whose turn it is, if nothing else stands against it.
async fn consider(world: &mut World, key: &Key) -> Result<Answer, Trouble> {
    let Some(migration) = world.get(Kind::Migration, key).cloned() else { return Ok(Answer::No) };
    let vmi = world.get(Kind::Instance, &vmi_of(&migration)).cloned();
    let Some(vmi) = vmi.filter(|vmi| is_ready(world, &migration, vmi)) else { return Ok(Answer::No) };
    if let Some(wait) = backoff(world, &migration, &vmi).filter(|wait| !wait.is_zero()) {
        report_backoff(world, &migration).await;
        return Ok(Answer::Again(wait));
    }
    begin(world, &migration, &vmi).await
}

fn is_ready(world: &World, migration: &Value, vmi: &Object) -> bool {
    let running = vmi["status"]["phase"] == "Running" && vmi["status"]["selinuxContext"].is_string();
    let pods = launchers(world, vmi);
    let one = pods.iter().filter(|p| !is_terminal(p)).count() == 1;
    let in_flight = world.migrations_of(&Key::of(vmi)).any(|m| {
        !is_final(m) && uid(m) != uid(migration) && !matches!(text(&m["status"]["phase"]), "" | "Pending")
    });
    running && one && !in_flight && !is_deleting(vmi) && !obstacle::stands(world, vmi)
}

/// 20 s · 2^(failures − 1) after the last failure, for migrations that the system asked for.
fn backoff(world: &World, migration: &Value, vmi: &Value) -> Option<Duration> {
    if !is_by_system(migration) {
        return None;
    }
    let mut finished: Vec<&Object> = world.migrations_of(&Key::of(vmi)).filter(|m| is_final(m)).collect();
    finished.sort_by_key(|m| (text(&m["metadata"]["creationTimestamp"]).to_owned(), Key::of(m)));
    let failures = finished.iter().rev().take_while(|m| m["status"]["phase"] == "Failed").count();
    let last = finished.last().filter(|_| failures > 0)?;
    let stamps = last["status"]["phaseTransitionTimestamps"].as_array()?;
    let failed_at = parse_time(text(&stamps.last()?["phaseTransitionTimestamp"]))?;
    let exponent = u32::try_from(failures - 1).unwrap_or(0).min(16);
    let wait = world.settings.backoff.saturating_mul(1 << exponent);
    let due = failed_at + jiff::SignedDuration::try_from(wait).unwrap_or_default();
    Duration::try_from(due.duration_since(world.now())).ok()
}

async fn report_backoff(world: &mut World, migration: &Value) {
    if world.is_first(uid(migration), "backoff") {
        let message = "backoff migrating vmi: earlier migrations of it failed";
        world.event(migration, "Warning", "MigrationBackoff", message).await;
    }
}

/// Creates the target pod. With hotplugged volumes the migration stays Pending until those are attached. A pod that a quota
/// leaves no room for is tried again, until there is room.
async fn begin(world: &mut World, migration: &Object, vmi: &Object) -> Result<Answer, Trouble> {
    let pod = launcher::target(world, vmi, migration);
    let key = Key::of(migration);
    match world.create(Kind::Pod, pod).await {
        Err(Trouble::Quota(why)) => {
            let now = world.now_text();
            let report = |m: &mut Value| conditions::set(&mut m["status"], QUOTA, "True", "", &why, &now);
            world.update(Kind::Migration, &key, report).await?;
            return Ok(Answer::Again(world.settings.quota_retry));
        }
        other => other?,
    };
    let pods = launchers(world, vmi);
    let source =
        super::instance::current(vmi, &pods).map(|p| p["metadata"]["name"].clone()).unwrap_or_default();
    world
        .update(Kind::Migration, &key, |m| {
            conditions::remove(&mut m["status"], QUOTA);
            m["status"]["migrationState"] = json!({"sourcePod": source});
        })
        .await?;
    if launcher::claims(vmi, true).is_empty() {
        enter(world, &key, "Scheduling").await?;
    }
    Ok(Answer::Begun)
}
