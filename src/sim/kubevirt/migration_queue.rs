//! Which pending migrations may begin: caps over the cluster and each source node, priorities, backoff.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use super::instance::{is_terminal, launchers};
use super::launcher;
use super::migration::{enter, target_pod};
use super::world::{Kind, Object, Trouble, World, is_deleting, is_final, text, uid, vmi_of};
use crate::sim::clock::parse_time;
use crate::sim::store::Key;

/// Capped migrations look again after this.
const RECHECK: Duration = Duration::from_secs(5);

/// A place in the queue: evacuations overtake older migrations of users.
fn priority(migration: &Value) -> u32 {
    match text(&migration["spec"]["priority"]) {
        "system-critical" => 100,
        "user-triggered" => 50,
        "system-maintenance" => 20,
        _ => 0,
    }
}

fn is_by_system(migration: &Value) -> bool {
    let annotations = &migration["metadata"]["annotations"];
    ["kubevirt.io/evacuationMigration", "kubevirt.io/workloadUpdateMigration"]
        .iter()
        .any(|name| !annotations[*name].is_null())
}

/// The running ones, by source node; the whole is their sum.
fn active(world: &World) -> BTreeMap<String, usize> {
    let mut by_source = BTreeMap::new();
    for (_, migration) in world.all(Kind::Migration).filter(|(_, m)| !is_final(m)) {
        let Some(vmi) = world.get(Kind::Instance, &vmi_of(migration)) else { continue };
        let phase = text(&migration["status"]["phase"]);
        let begun = !matches!(phase, "" | "Pending") || target_pod(world, vmi, migration).is_some();
        if begun {
            // After its arrival a VMI reports the target, while the migration still counts at the source.
            let state = &vmi["status"]["migrationState"];
            let handed_off = state["migrationUid"] == uid(migration);
            let source = if handed_off { &state["sourceNode"] } else { &vmi["status"]["nodeName"] };
            *by_source.entry(text(source).to_owned()).or_default() += 1;
        }
    }
    by_source
}

/// One pass over the queue.
pub(super) async fn reconcile(world: &mut World) -> Result<Option<Duration>, Trouble> {
    let mut pending: Vec<Object> = world.all(Kind::Migration).map(|(_, m)| m.clone()).collect();
    pending.retain(|m| m["status"]["phase"] == "Pending" && !is_deleting(m));
    if pending.is_empty() {
        return Ok(None);
    }
    let ranks = world.version().has_priorities(world.gate("MigrationPriorityQueue"));
    let age = |m: &Object| (text(&m["metadata"]["creationTimestamp"]).to_owned(), Key::of(m));
    pending.sort_by_key(|m| (if ranks { u32::MAX - priority(m) } else { 0 }, age(m)));
    let limits = world.configuration()["migrations"].clone();
    let number = |field: &str, default| super::guest::bytes(&limits[field]).unwrap_or(default) as usize;
    let in_all = number("parallelMigrationsPerCluster", 5);
    let per_node = number("parallelOutboundMigrationsPerNode", 2);
    let mut running = active(world);
    let mut again: Option<Duration> = None;
    for migration in pending {
        let Some(vmi) = world.get(Kind::Instance, &vmi_of(&migration)).cloned() else { continue };
        match readiness(world, &migration, &vmi) {
            Readiness::No => continue,
            Readiness::After(wait) => {
                report_backoff(world, &migration).await;
                again = Some(again.map_or(wait, |a| a.min(wait)));
                continue;
            }
            Readiness::Yes => {}
        }
        let source = text(&vmi["status"]["nodeName"]).to_owned();
        let here = running.get(&source).copied().unwrap_or(0);
        if running.values().sum::<usize>() >= in_all || here >= per_node {
            again = Some(again.map_or(RECHECK, |a| a.min(RECHECK)));
            continue;
        }
        *running.entry(source).or_default() += 1;
        begin(world, &migration, &vmi).await?;
    }
    Ok(again)
}

enum Readiness {
    Yes,
    No,
    After(Duration),
}

fn readiness(world: &World, migration: &Value, vmi: &Object) -> Readiness {
    let running = vmi["status"]["phase"] == "Running" && vmi["status"]["selinuxContext"].is_string();
    let pods = launchers(world, vmi);
    let one = pods.iter().filter(|p| !is_terminal(p)).count() == 1;
    let in_flight = world.migrations_of(&Key::of(vmi)).iter().any(|m| {
        !is_final(m) && uid(m) != uid(migration) && !matches!(text(&m["status"]["phase"]), "" | "Pending")
    });
    if !running || !one || in_flight || is_deleting(vmi) {
        return Readiness::No;
    }
    match backoff(world, migration, vmi) {
        Some(wait) if !wait.is_zero() => Readiness::After(wait),
        _ => Readiness::Yes,
    }
}

/// 20 s · 2^(failures − 1) after the last failure, for migrations that the system asked for.
fn backoff(world: &World, migration: &Value, vmi: &Value) -> Option<Duration> {
    if !is_by_system(migration) {
        return None;
    }
    let mut finished = world.migrations_of(&Key::of(vmi));
    finished.retain(|m| is_final(m));
    finished.sort_by_key(|m| (text(&m["metadata"]["creationTimestamp"]).to_owned(), Key::of(m)));
    let failures = finished.iter().rev().take_while(|m| m["status"]["phase"] == "Failed").count();
    let last = finished.last().filter(|_| failures > 0)?;
    let stamps = last["status"]["phaseTransitionTimestamps"].as_array()?;
    let failed_at = parse_time(text(&stamps.last()?["phaseTransitionTimestamp"]))?;
    let wait = world.settings.backoff * (1 << (failures - 1).min(10));
    let due = failed_at + jiff::SignedDuration::try_from(wait).ok()?;
    Duration::try_from(due.duration_since(world.now())).ok()
}

async fn report_backoff(world: &mut World, migration: &Value) {
    if world.is_first(uid(migration), "backoff") {
        let message = "backoff migrating vmi: earlier migrations of it failed";
        world.event(migration, "Warning", "MigrationBackoff", message).await;
    }
}

/// Creates the target pod. With hotplugged volumes the migration stays Pending until those are attached.
async fn begin(world: &mut World, migration: &Object, vmi: &Object) -> Result<(), Trouble> {
    if target_pod(world, vmi, migration).is_some() {
        return Ok(());
    }
    let pod = launcher::target(world, vmi, migration);
    world.create(Kind::Pod, pod).await?;
    let key = Key::of(migration);
    let pods = launchers(world, vmi);
    let source =
        super::instance::current(vmi, &pods).map(|p| p["metadata"]["name"].clone()).unwrap_or_default();
    world
        .update(Kind::Migration, &key, |m| m["status"]["migrationState"] = json!({"sourcePod": source}))
        .await?;
    if launcher::claims(vmi, true).is_empty() {
        enter(world, &key, "Scheduling").await?;
    }
    Ok(())
}
