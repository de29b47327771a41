//! A migration from its handoff to its end: what virt-controller hands over and the two virt-handlers do.

use std::time::Duration;

use super::guest::{Guest, MigrationFailures, bytes, copied_disks, memory};
use super::handler::left;
use super::instance::{current, is_terminal, launchers};
use super::migration::{enter, target_pod};
use super::node::has_handler;
use super::world::{Kind, Object, Trouble, World, is_deleting, text, uid};
use super::{conditions, policy};
use crate::sim::json::{Value, json};
use crate::sim::store::Key;

const TARGET_LABEL: &str = "kubevirt.io/migrationTargetNodeName";
/// What a migration may be for: it isn't over before they are settled at the target.
const CHANGES: [&str; 3] = ["HotVCPUChange", "HotMemoryChange", "MigrationRequired"];

/// One step of a migration that is past `Scheduling`.
pub(super) async fn step(
    world: &mut World,
    key: &Key,
    migration: &Value,
    vmi: &Object,
) -> Result<Option<Duration>, Trouble> {
    let state = &vmi["status"]["migrationState"];
    let phase = text(&migration["status"]["phase"]);
    let ours = state["migrationUid"] == uid(migration);
    if ours && state["endTimestamp"].is_string() {
        return finish(world, key, migration, vmi).await;
    }
    let target = target_pod(world, vmi, migration).filter(|p| !is_terminal(p) && !is_deleting(p));
    let Some(target) = target else {
        fail(world, key, vmi, "Target pod is down", None).await?;
        return Ok(None);
    };
    if phase == "Scheduled" || !ours {
        hand_off(world, key, migration, vmi, &target).await?;
        return Ok(None);
    }
    let (source_node, target_node) = (text(&state["sourceNode"]), text(&state["targetNode"]));
    match phase {
        // A dead virt-handler is waited for without limit.
        "PreparingTarget" if !has_handler(world, target_node) => Ok(None),
        "TargetReady" if !has_handler(world, source_node) => Ok(None),
        "PreparingTarget" => {
            let since = world.since(uid(migration), "preparing");
            if let Some(wait) = left(since, world.settings.step) {
                return Ok(Some(wait));
            }
            let address = target["status"]["podIP"].clone();
            change(world, vmi, |state| state["targetNodeAddress"] = address).await?;
            enter(world, key, "TargetReady").await?;
            Ok(None)
        }
        "TargetReady" => {
            let since = world.since(uid(migration), "target-ready");
            if let Some(wait) = left(since, world.settings.step) {
                return Ok(Some(wait));
            }
            let now = world.now_text();
            change(world, vmi, |state| state["startTimestamp"] = json!(now)).await?;
            enter(world, key, "Running").await?;
            Ok(None)
        }
        _ => run(world, key, migration, vmi).await,
    }
}

async fn change(world: &mut World, vmi: &Object, set: impl FnOnce(&mut Value)) -> Result<(), Trouble> {
    world.update(Kind::Instance, &Key::of(vmi), |v| set(&mut v["status"]["migrationState"])).await
}

/// Writes a fresh migration state and the target's label.
async fn hand_off(
    world: &mut World,
    key: &Key,
    migration: &Value,
    vmi: &Object,
    target: &Object,
) -> Result<(), Trouble> {
    let pods = launchers(world, vmi);
    let source = current(vmi, &pods).map(|p| p["metadata"]["name"].clone()).unwrap_or_default();
    let state = json!({
        "migrationUid": uid(migration), "sourceNode": vmi["status"]["nodeName"], "sourcePod": source,
        "targetNode": target["spec"]["nodeName"], "targetPod": target["metadata"]["name"],
        "migrationConfiguration": policy::resolve(world, vmi), "mode": "PreCopy",
    });
    world
        .update(Kind::Instance, &Key::of(vmi), |v| {
            v["metadata"]["labels"][TARGET_LABEL] = state["targetNode"].clone();
            v["status"]["migrationState"] = state;
        })
        .await?;
    mirror(world, key, vmi).await?;
    enter(world, key, "PreparingTarget").await
}

/// The migration carries what the VMI says about it.
async fn mirror(world: &mut World, key: &Key, vmi: &Object) -> Result<(), Trouble> {
    let Some(vmi) = world.get(Kind::Instance, &Key::of(vmi)).cloned() else { return Ok(()) };
    world
        .update(Kind::Migration, key, |m| {
            m["status"]["migrationState"] = vmi["status"]["migrationState"].clone();
        })
        .await
}

/// How long the transfer takes: memory times dirty factor and the copied disks over the bandwidth, the policy's if that is less.
pub(super) fn duration(world: &World, vmi: &Value, guest: &Guest, configuration: &Value) -> Duration {
    if let Some(takes) = guest.migration_takes {
        return takes;
    }
    let limit = bytes(&configuration["bandwidthPerMigration"]).filter(|b| *b > 0);
    let bandwidth = limit.map_or(world.settings.bandwidth, |l| l.min(world.settings.bandwidth)).max(1);
    let copied = memory(vmi) as f64 * guest.dirty_factor.max(1.0) + copied_disks(vmi) as f64;
    Duration::from_secs_f64(copied / bandwidth as f64).max(world.settings.step)
}

/// `completionTimeoutPerGiB` × ceil(bytes / 10⁹) seconds; bytes are guest memory and copied disks.
pub(super) fn deadline(vmi: &Value, configuration: &Value) -> Duration {
    let per_gib = bytes(&configuration["completionTimeoutPerGiB"]).unwrap_or(150);
    let bytes = memory(vmi) + copied_disks(vmi);
    Duration::from_secs(per_gib * bytes.div_ceil(1_000_000_000).max(1))
}

/// How a transfer ends.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    /// The guest runs at the target; its copying was cut short if so.
    Arrives { extended: bool },
    /// It runs on at the source, for this reason.
    Fails(String),
    /// It was cut in two: in post-copy, part of its memory was there and part here.
    Lost,
}

/// How a transfer ends, and how long after its start.
fn outcome(
    guest: &Guest,
    takes: Duration,
    limit: Duration,
    fails: bool,
    settings: &Value,
) -> (Duration, Outcome) {
    if fails && settings["allowPostCopy"] == true && takes > limit {
        return ((takes.min(limit * 2) + limit) / 2, Outcome::Lost);
    }
    if fails {
        let why = "the connection between source and target broke".to_owned();
        return (takes.min(limit) / 2, Outcome::Fails(why));
    }
    let patience = Duration::from_secs(bytes(&settings["progressTimeout"]).unwrap_or(150));
    if let Some(stalls) = guest.migration_stalls.filter(|stalls| *stalls < takes) {
        let gives_up = stalls + patience;
        if gives_up < limit {
            let why = format!("no progress for {} seconds, aborted", patience.as_secs());
            return (gives_up, Outcome::Fails(why));
        }
    }
    let stuck = guest.migration_stalls.is_some_and(|stalls| stalls < takes);
    let extends = settings["allowPostCopy"] == true || settings["allowWorkloadDisruption"] == true;
    if takes <= limit && !stuck {
        (takes, Outcome::Arrives { extended: false })
    } else if extends {
        (takes.clamp(limit, limit * 2), Outcome::Arrives { extended: true })
    } else {
        (limit, Outcome::Fails(format!("not completed after {} seconds, aborted", limit.as_secs())))
    }
}

async fn run(
    world: &mut World,
    key: &Key,
    migration: &Value,
    vmi: &Object,
) -> Result<Option<Duration>, Trouble> {
    let guest = Guest::of(vmi, &world.settings);
    let settings = vmi["status"]["migrationState"]["migrationConfiguration"].clone();
    let takes = duration(world, vmi, &guest, &settings);
    let failures = world.failures.get(uid(vmi)).copied().unwrap_or(0);
    let fails = match guest.migration_fails {
        MigrationFailures::Always => true,
        MigrationFailures::First(count) => failures < count,
    };
    let fails = fails || draws_failure(world, migration);
    let since = world.since(uid(migration), "transfer");
    let (end, outcome) = outcome(&guest, takes, deadline(vmi, &settings), fails, &settings);
    if let Some(wait) = left(since, end) {
        return Ok(Some(wait));
    }
    match outcome {
        Outcome::Fails(why) => fail(world, key, vmi, &why, None).await?,
        Outcome::Lost => {
            fail(world, key, vmi, "the connection between source and target broke in post-copy", None)
                .await?;
            let now = world.now_text();
            let lose = |vmi: &mut Value| conditions::enter(&mut vmi["status"], "Failed", &now);
            world.update(Kind::Instance, &Key::of(vmi), lose).await?;
        }
        Outcome::Arrives { extended } => {
            arrive(world, vmi, extended, settings["allowPostCopy"] == true).await?;
        }
    }
    Ok(None)
}

/// Whether chance has this migration fail: always the same answer for the same one.
fn draws_failure(world: &World, migration: &Value) -> bool {
    let drawn = world.chance(&["fails", uid(migration)]) >> 11;
    (drawn as f64) / ((1_u64 << 53) as f64) < world.settings.migration_failures
}

/// The target has the running guest: node, label, mark and end in one update.
async fn arrive(world: &mut World, vmi: &Object, extended: bool, post_copy: bool) -> Result<(), Trouble> {
    let now = world.now_text();
    let node = vmi["status"]["migrationState"]["targetNode"].clone();
    world
        .update(Kind::Instance, &Key::of(vmi), |v| {
            v["metadata"]["labels"]["kubevirt.io/nodeName"] = node.clone();
            let status = &mut v["status"];
            status["nodeName"] = node.clone();
            status.as_object_mut().map(|s| s.remove("evacuationNodeName"));
            status["migrationState"]["endTimestamp"] = json!(now);
            if extended {
                status["migrationState"]["mode"] = json!(if post_copy { "PostCopy" } else { "Paused" });
            }
        })
        .await?;
    let message = format!("The VirtualMachineInstance migrated to node {}.", text(&node));
    world.event(vmi, "Normal", "Migrated", &message).await;
    Ok(())
}

/// After the end: completed, then the migration's own end.
async fn finish(
    world: &mut World,
    key: &Key,
    migration: &Value,
    vmi: &Object,
) -> Result<Option<Duration>, Trouble> {
    let state = &vmi["status"]["migrationState"];
    if state["completed"] != true {
        let since = world.since(uid(migration), "completing");
        if let Some(wait) = left(since, world.settings.step) {
            return Ok(Some(wait));
        }
        change(world, vmi, |state| state["completed"] = json!(true)).await?;
    }
    mirror(world, key, vmi).await?;
    let failed = state["failed"] == true;
    if !failed && CHANGES.iter().any(|change| conditions::is_true(vmi, change)) {
        let since = world.since(uid(migration), "settling");
        if let Some(wait) = left(since, world.settings.settle) {
            return Ok(Some(wait));
        }
        let settle = |v: &mut Value| CHANGES.iter().for_each(|c| conditions::remove(&mut v["status"], c));
        world.update(Kind::Instance, &Key::of(vmi), settle).await?;
    }
    enter(world, key, if failed { "Failed" } else { "Succeeded" }).await?;
    Ok(None)
}

/// Failure after the handoff: failed and completed, with the reason; the guest runs on at the source. The target pod ends a
/// moment later, by virt-handler.
pub(super) async fn fail(
    world: &mut World,
    key: &Key,
    vmi: &Object,
    why: &str,
    abort: Option<&str>,
) -> Result<(), Trouble> {
    let Some(migration) = world.get(Kind::Migration, key).cloned() else { return Ok(()) };
    let now = world.now_text();
    let ours = vmi["status"]["migrationState"]["migrationUid"] == uid(&migration);
    if ours && vmi["status"]["migrationState"]["failed"] != true {
        *world.failures.entry(uid(vmi).to_owned()).or_default() += 1;
        world
            .update(Kind::Instance, &Key::of(vmi), |v| {
                v["metadata"]["labels"].as_object_mut().map(|l| l.remove(TARGET_LABEL));
                let state = &mut v["status"]["migrationState"];
                state["failed"] = json!(true);
                state["completed"] = json!(true);
                state["failureReason"] = json!(why);
                state["endTimestamp"] = json!(now);
                if let Some(abort) = abort {
                    state["abortStatus"] = json!(abort);
                }
            })
            .await?;
        mirror(world, key, vmi).await?;
    }
    world.event(vmi, "Warning", "Migrating", &format!("migration failed: {why}")).await;
    let now = world.now_text();
    world.update(Kind::Migration, key, |m| conditions::enter(&mut m["status"], "Failed", &now)).await
}

/// A migration that a VMI reports and nobody carries on, because a capture took the one and not the other: it has come to what
/// it was when it was seen. `Some`: wait so long.
pub(super) async fn settle_orphan(world: &mut World, vmi: &Object) -> Result<Option<Duration>, Trouble> {
    let state = &vmi["status"]["migrationState"];
    let is_carried = || world.migrations_of(&Key::of(vmi)).any(|m| state["migrationUid"] == uid(m));
    if state["migrationUid"].is_null() || state["completed"] == true || is_carried() {
        return Ok(None);
    }
    let since = world.since(uid(vmi), "orphaned");
    if let Some(wait) = left(since, world.settings.step) {
        return Ok(Some(wait));
    }
    world.reset(uid(vmi), "orphaned");
    let arrived = state["endTimestamp"].is_string();
    let now = world.now_text();
    let settle = |v: &mut Value| {
        let state = &mut v["status"]["migrationState"];
        state["completed"] = json!(true);
        if !arrived {
            state["failed"] = json!(true);
            state["failureReason"] = json!("its migration is gone");
            state["endTimestamp"] = json!(now);
            v["metadata"]["labels"].as_object_mut().map(|l| l.remove(TARGET_LABEL));
        }
    };
    world.update(Kind::Instance, &Key::of(vmi), settle).await?;
    Ok(None)
}
