//! The controller of migrations: phases, target pods, aborts, what is kept of finished ones.

use std::time::Duration;

use super::handler::left;
use super::instance::{attachment_ready, is_terminal, launchers};
use super::world::{Kind, Object, Trouble, World, is_deleting, is_final, owners, text, uid, vmi_of};
use super::{conditions, launcher, obstacle, transfer};
use crate::sim::clock::parse_time;
use crate::sim::json::{Value, json};
use crate::sim::store::Key;

pub(super) const FINALIZER: &str = "kubevirt.io/migrationJobFinalize";
/// So many finished migrations of a VMI are kept.
const KEPT: usize = 5;

/// The target pod of a migration.
pub(super) fn target_pod(world: &World, vmi: &Value, migration: &Value) -> Option<Object> {
    let pods = world.indexes.targets_of(uid(migration)).filter_map(|key| world.get(Kind::Pod, key));
    let mut own = pods.filter(|p| owners(p).any(|o| text(&o["uid"]) == uid(vmi)));
    own.next().cloned()
}

/// Older than the VMI of that name: it was about a predecessor, which a VirtualMachine has replaced.
fn is_older(migration: &Value, vmi: &Value) -> bool {
    let created = |o: &Value| parse_time(text(&o["metadata"]["creationTimestamp"]));
    matches!((created(migration), created(vmi)), (Some(migration), Some(vmi)) if migration < vmi)
}

/// One round of a migration. Pending ones are started by the queue.
pub(super) async fn reconcile(world: &mut World, key: &Key) -> Result<Option<Duration>, Trouble> {
    let Some(migration) = world.get(Kind::Migration, key).cloned() else { return Ok(None) };
    let vmi = world.get(Kind::Instance, &vmi_of(&migration)).cloned();
    let Some(vmi) = vmi.filter(|vmi| !is_older(&migration, vmi)) else {
        // Migrations are deleted with their VMI.
        release(world, key).await?;
        if let Some(left) = world.get(Kind::Migration, key).cloned().filter(|m| !is_deleting(m)) {
            world.delete(Kind::Migration, &left).await?;
        }
        return Ok(None);
    };
    if is_final(&migration) {
        release(world, key).await?;
        collect(world, &vmi).await?;
        return Ok(None);
    }
    if is_final(&vmi) {
        fail_before_handoff(world, key, &vmi).await?;
        return Ok(None);
    }
    if is_deleting(&migration)
        && let Some(wait) = abort(world, key, &migration, &vmi).await?
    {
        return Ok(wait);
    }
    match text(&migration["status"]["phase"]) {
        "" => admit(world, key).await,
        "Pending" => pending(world, key, &migration, &vmi).await,
        "Scheduling" => scheduling(world, key, &migration, &vmi).await,
        _ => transfer::step(world, key, &migration, &vmi).await,
    }
}

pub(super) async fn enter(world: &mut World, key: &Key, phase: &str) -> Result<(), Trouble> {
    let now = world.now_text();
    world.update(Kind::Migration, key, |m| conditions::enter(&mut m["status"], phase, &now)).await
}

async fn admit(world: &mut World, key: &Key) -> Result<Option<Duration>, Trouble> {
    let now = world.now_text();
    world
        .update(Kind::Migration, key, |m| {
            m["metadata"]["labels"]["kubevirt.io/vmi-name"] = m["spec"]["vmiName"].clone();
            let list = &mut m["metadata"]["finalizers"];
            if !list.as_array().is_some_and(|l| l.contains(&json!(FINALIZER))) {
                *list = json!([FINALIZER]);
            }
            conditions::enter(&mut m["status"], "Pending", &now);
        })
        .await?;
    Ok(None)
}

/// With hotplugged volumes a migration stays Pending until its target has them attached.
async fn pending(
    world: &mut World,
    key: &Key,
    migration: &Value,
    vmi: &Object,
) -> Result<Option<Duration>, Trouble> {
    let Some(pod) = target_pod(world, vmi, migration) else {
        return obstacle::report(world, key, migration, vmi).await;
    };
    if is_terminal(&pod) || is_deleting(&pod) {
        fail_before_handoff(world, key, vmi).await?;
        return Ok(None);
    }
    let hot = !launcher::claims(vmi, true).is_empty();
    if hot && !attachment_ready(world, &pod) {
        let bound = pod["spec"]["nodeName"].is_string();
        if bound && world.owned(uid(&pod), Kind::Pod).next().is_none() {
            world.create(Kind::Pod, launcher::attachment(vmi, &pod)).await?;
        }
        return give_up_waiting(world, key, migration, vmi, &pod).await;
    }
    enter(world, key, "Scheduling").await?;
    Ok(None)
}

async fn scheduling(
    world: &mut World,
    key: &Key,
    migration: &Value,
    vmi: &Object,
) -> Result<Option<Duration>, Trouble> {
    let Some(pod) = target_pod(world, vmi, migration).filter(|p| !is_terminal(p) && !is_deleting(p)) else {
        fail_before_handoff(world, key, vmi).await?;
        return Ok(None);
    };
    if conditions::is_true(&pod, "Ready") {
        enter(world, key, "Scheduled").await?;
        return Ok(None);
    }
    give_up_waiting(world, key, migration, vmi, &pod).await
}

/// A target pod that doesn't start is given up in the end.
async fn give_up_waiting(
    world: &mut World,
    key: &Key,
    migration: &Value,
    vmi: &Object,
    pod: &Object,
) -> Result<Option<Duration>, Trouble> {
    let asked = |name: &str| {
        let seconds = migration["metadata"]["annotations"][format!("kubevirt.io/{name}")].as_str()?;
        seconds.parse().ok().map(Duration::from_secs)
    };
    let since = world.since(uid(pod), "pending");
    let scheduled = conditions::get(pod, "PodScheduled");
    let unschedulable = scheduled.is_some_and(|c| c["status"] == "False" && c["reason"] == "Unschedulable");
    if unschedulable && world.is_first(uid(pod), "unschedulable") {
        let vmi = format!("{}/{}", key.namespace, text(&vmi["metadata"]["name"]));
        let message = format!("Migration target pod for VMI [{vmi}] is currently unschedulable.");
        world.event(migration, "Warning", "migrationTargetPodUnschedulable", &message).await;
    }
    let limit = if unschedulable {
        asked("migrationUnschedulablePodTimeoutSeconds").unwrap_or(world.settings.unschedulable_timeout)
    } else {
        asked("migrationPendingPodTimeoutSeconds").unwrap_or(world.settings.pending_timeout)
    };
    if let Some(wait) = left(since, limit) {
        return Ok(Some(wait));
    }
    let name = text(&pod["metadata"]["name"]);
    let what = if unschedulable { "unschedulable" } else { "pending" };
    let message = format!("{what} pod {}/{name} timeout period exceeded", key.namespace);
    world.event(migration, "Warning", "SuccessfulDelete", &message).await;
    fail_before_handoff(world, key, vmi).await?;
    Ok(None)
}

/// Failure before the handoff: the target pod goes, the VMI is untouched.
pub(super) async fn fail_before_handoff(world: &mut World, key: &Key, vmi: &Object) -> Result<(), Trouble> {
    let Some(migration) = world.get(Kind::Migration, key).cloned() else { return Ok(()) };
    if let Some(pod) = target_pod(world, vmi, &migration).filter(|p| !is_deleting(p)) {
        world.delete(Kind::Pod, &pod).await?;
    }
    enter(world, key, "Failed").await
}

/// DELETE of a migration. `Some`: nothing else to do this round.
async fn abort(
    world: &mut World,
    key: &Key,
    migration: &Value,
    vmi: &Object,
) -> Result<Option<Option<Duration>>, Trouble> {
    let phase = text(&migration["status"]["phase"]);
    if matches!(phase, "" | "Pending" | "Scheduling") {
        fail_before_handoff(world, key, vmi).await?;
        return Ok(Some(None));
    }
    let now = world.now_text();
    world
        .update(Kind::Migration, key, |m| {
            conditions::set(&mut m["status"], "migrationAbortRequested", "True", "", "", &now);
        })
        .await?;
    if phase != "Running" || vmi["status"]["migrationState"]["endTimestamp"].is_string() {
        // It can't be stopped between the handoff and the start, nor when it is over: it goes on.
        return Ok(None);
    }
    let since = world.since(uid(migration), "aborting");
    world
        .update(Kind::Instance, &Key::of(vmi), |v| {
            v["status"]["migrationState"]["abortRequested"] = json!(true);
        })
        .await?;
    if let Some(wait) = left(since, world.settings.step) {
        return Ok(Some(Some(wait)));
    }
    transfer::fail(world, key, vmi, "migration aborted", Some("Succeeded")).await?;
    Ok(Some(None))
}

/// A finished migration loses its finalizer.
async fn release(world: &mut World, key: &Key) -> Result<(), Trouble> {
    let released = world
        .update(Kind::Migration, key, |m| {
            if let Some(list) = m["metadata"]["finalizers"].as_array_mut() {
                list.retain(|f| f != FINALIZER);
            }
        })
        .await;
    match released {
        Err(Trouble::Gone) => Ok(()),
        other => other,
    }
}

/// Beyond the five newest finished ones, migrations are deleted, and the pods that they left with them.
async fn collect(world: &mut World, vmi: &Object) -> Result<(), Trouble> {
    let key = Key::of(vmi);
    let finished = world.migrations_of(&key).filter(|m| is_final(m) && !is_deleting(m));
    let mut finished: Vec<Object> = finished.cloned().collect();
    finished.sort_by_key(|m| (text(&m["metadata"]["creationTimestamp"]).to_owned(), Key::of(m)));
    let surplus = finished.len().saturating_sub(KEPT);
    for migration in finished.into_iter().take(surplus) {
        let state = &migration["status"]["migrationState"];
        let left = [text(&state["sourcePod"]), text(&state["targetPod"])];
        for pod in launchers(world, vmi).iter().filter(|p| is_terminal(p) && !is_deleting(p)) {
            if left.contains(&text(&pod["metadata"]["name"])) {
                world.delete(Kind::Pod, pod).await?;
            }
        }
        world.delete(Kind::Migration, &migration).await?;
    }
    Ok(())
}
