//! virt-handler and the guest: boot, what can migrate, shutdown, the source's end after a migration.

use std::time::Duration;

use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use kube::api::Api;

use super::guest::{Guest, Shutdown};
use super::instance::{current, is_terminal, launchers};
use super::launcher::claims;
use super::migratable::{self, Verdict};
use super::node::is_alive;
use super::world::{Kind, Object, Since, Trouble, World, is_deleting, is_final, text, uid};
use super::{conditions, transfer};
use crate::sim::json::{Value, json};
use crate::sim::store::Key;

/// How labels begin that name the model of a node's CPU.
const HOST_MODEL: &str = "host-model-cpu.node.kubevirt.io/";

/// One round of a VMI on its node.
pub(super) async fn reconcile(world: &mut World, key: &Key) -> Result<Option<Duration>, Trouble> {
    let Some(vmi) = world.get(Kind::Instance, key).cloned() else { return Ok(None) };
    let emptied = end_empty(world, &vmi).await?;
    let own = guest(world, &vmi).await?;
    Ok(emptied.into_iter().chain(own).min())
}

/// One round of the guest.
async fn guest(world: &mut World, vmi: &Object) -> Result<Option<Duration>, Trouble> {
    let phase = text(&vmi["status"]["phase"]);
    if !matches!(phase, "Scheduled" | "Running") || !is_alive(world, text(&vmi["status"]["nodeName"])) {
        return Ok(None);
    }
    let pods = launchers(world, vmi);
    let Some(pod) = current(vmi, &pods).cloned() else { return Ok(None) };
    if is_deleting(&pod) || is_terminal(&pod) {
        return stop(world, vmi, &pod).await;
    }
    if phase == "Scheduled" {
        return boot(world, vmi).await;
    }
    if vmi["status"]["selinuxContext"].is_null() || conditions::get(vmi, "LiveMigratable").is_none() {
        // A manifest may show it running and not what virt-handler knows of it.
        see(world, vmi).await?;
        return Ok(None);
    }
    if let Some(wait) = transfer::settle_orphan(world, vmi).await? {
        return Ok(Some(wait));
    }
    leave_source(world, vmi, &pods).await
}

/// The launchers of a VMI that have no guest, and nothing to wait for: they were deleted before one came or after it left, their
/// migration is over and the guest didn't come, or the VMI is final.
fn empty_launchers(world: &World, vmi: &Value) -> Vec<Object> {
    let pods = launchers(world, vmi);
    let has_guest = matches!(text(&vmi["status"]["phase"]), "Scheduled" | "Running");
    let home = current(vmi, &pods).filter(|_| has_guest).map(|p| uid(p).to_owned());
    let source = &vmi["status"]["migrationState"]["sourcePod"];
    let is_spent = |pod: &Value| {
        let job = &pod["metadata"]["labels"]["kubevirt.io/migrationJobUID"];
        let under_way = || world.migrations_of(&Key::of(vmi)).any(|m| *job == uid(m) && !is_final(m));
        // A source may be the target of an earlier migration; its end is said by the one that it left by.
        job.is_string() && pod["metadata"]["name"] != *source && !under_way()
    };
    let is_empty = |pod: &Object| {
        let settled = has_guest && !is_deleting(pod) && is_spent(pod);
        !is_terminal(pod)
            && home.as_deref() != Some(uid(pod))
            && (is_deleting(pod) || is_final(vmi) || settled)
            && is_alive(world, text(&pod["spec"]["nodeName"]))
    };
    pods.into_iter().filter(is_empty).collect()
}

/// A launcher without a guest ends a step after that is known.
async fn end_empty(world: &mut World, vmi: &Value) -> Result<Option<Duration>, Trouble> {
    let mut again: Option<Duration> = None;
    for pod in empty_launchers(world, vmi) {
        let since = world.since(uid(&pod), "empty");
        match left(since, world.settings.step) {
            Some(wait) => again = Some(again.map_or(wait, |a| a.min(wait))),
            None => {
                let phase = if vmi["status"]["phase"] == "Succeeded" { "Succeeded" } else { "Failed" };
                end_pod(world, &pod, phase).await?;
            }
        }
    }
    Ok(again)
}

/// What is left of a time that began at `since`; `None` when it is over.
pub(super) fn left(since: Since, takes: Duration) -> Option<Duration> {
    let due = since.begun + takes;
    let now = since.clock.instant();
    (now < due).then(|| due - now)
}

async fn boot(world: &mut World, vmi: &Object) -> Result<Option<Duration>, Trouble> {
    let guest = Guest::of(vmi, &world.settings);
    let since = world.since(uid(vmi), "boot");
    if let Some(wait) = left(since, guest.boots_after) {
        return Ok(Some(wait));
    }
    see(world, vmi).await?;
    Ok(None)
}

/// virt-handler sees a running guest: what it is, and whether it can migrate.
async fn see(world: &mut World, vmi: &Object) -> Result<(), Trouble> {
    let verdict = judge(world, vmi).await?;
    let now = world.now_text();
    let report = |vmi: &mut Value| {
        conditions::enter(&mut vmi["status"], "Running", &now);
        vmi["status"]["selinuxContext"] = json!("none");
        report_migratable(&mut vmi["status"], &verdict, &now);
    };
    world.update(Kind::Instance, &Key::of(vmi), report).await
}

fn report_migratable(status: &mut Value, verdict: &Verdict, now: &str) {
    match verdict {
        Verdict::Yes { blocks } => {
            status["migrationMethod"] = json!(if *blocks { "BlockMigration" } else { "LiveMigration" });
            conditions::set(status, "LiveMigratable", "True", "", "", now);
        }
        Verdict::No(reason, message) => {
            status["migrationMethod"] = json!("BlockMigration");
            conditions::set(status, "LiveMigratable", "False", reason, message, now);
        }
    }
}

async fn judge(world: &World, vmi: &Value) -> Result<Verdict, Trouble> {
    let api: Api<PersistentVolumeClaim> =
        Api::namespaced(world.caller.client.clone(), text(&vmi["metadata"]["namespace"]));
    let mut modes: Vec<(String, Vec<String>)> = Vec::new();
    for (_, claim) in claims(vmi, false).into_iter().chain(claims(vmi, true)) {
        let found = api.get_opt(&claim).await?;
        let of_status = found.as_ref().and_then(|c| c.status.as_ref()).and_then(|s| s.access_modes.clone());
        let of_spec = || found.as_ref().and_then(|c| c.spec.as_ref()).and_then(|s| s.access_modes.clone());
        modes.push((claim, of_status.or_else(of_spec).unwrap_or_default()));
    }
    let network = world.configuration()["network"].clone();
    let default = network["defaultNetworkInterface"].as_str().unwrap_or("bridge");
    let host = world.node(text(&vmi["status"]["nodeName"]));
    let labels = host.and_then(|node| node["metadata"]["labels"].as_object());
    let is_labelled = labels.is_some_and(|l| l.keys().any(|key| key.starts_with(HOST_MODEL)));
    let claim_modes = |claim: &str| {
        modes.iter().find(|(name, _)| name == claim).map(|(_, m)| m.clone()).unwrap_or_default()
    };
    let cluster = migratable::Cluster {
        claim_modes: &claim_modes,
        default_interface: default,
        bindings: &network["binding"],
        moves_reservations: world.version().moves_reservations(),
        moves_virtiofs: world.version().moves_virtiofs(),
        host_model: is_labelled || !world.indexes.has_label_like(HOST_MODEL),
    };
    Ok(migratable::judge(vmi, &cluster))
}

/// The pod was told to stop: ACPI, the guest's answer, the end of its grace.
async fn stop(world: &mut World, vmi: &Object, pod: &Object) -> Result<Option<Duration>, Trouble> {
    let guest = Guest::of(vmi, &world.settings);
    let since = world.since(uid(pod), "stopping");
    let grace = Duration::from_secs(vmi["spec"]["terminationGracePeriodSeconds"].as_u64().unwrap_or(30));
    let has_acpi = vmi["spec"]["domain"]["features"]["acpi"]["enabled"] != false;
    let booting = vmi["status"]["phase"] == "Scheduled";
    let (takes, phase) = match guest.shutdown {
        // Something else ended the pod, such as the node's reboot: the guest was cut off.
        _ if is_terminal(pod) => {
            (Duration::ZERO, if pod["status"]["phase"] == "Failed" { "Failed" } else { "Succeeded" })
        }
        _ if booting => (Duration::ZERO, "Failed"),
        _ if !has_acpi => (Duration::ZERO, "Succeeded"),
        Shutdown::Crash => (Duration::ZERO, "Failed"),
        Shutdown::After(takes) if takes <= grace => (takes, "Succeeded"),
        // Destroyed when the grace is over.
        Shutdown::After(_) | Shutdown::Never => (grace, "Failed"),
    };
    if let Some(wait) = left(since, takes) {
        return Ok(Some(wait));
    }
    let now = world.now_text();
    world
        .update(Kind::Instance, &Key::of(vmi), |vmi| conditions::enter(&mut vmi["status"], phase, &now))
        .await?;
    end_pod(world, pod, phase).await?;
    Ok(None)
}

/// A launcher's end: its containers have exited.
pub(super) async fn end_pod(world: &mut World, pod: &Object, phase: &str) -> Result<(), Trouble> {
    if is_terminal(pod) {
        return Ok(());
    }
    let now = world.now_text();
    let (code, reason) = if phase == "Succeeded" { (0, "Completed") } else { (1, "Error") };
    let ended = world
        .update(Kind::Pod, &Key::of(pod), |pod| {
            let status = &mut pod["status"];
            status["phase"] = json!(phase);
            for container in status["containerStatuses"].as_array_mut().into_iter().flatten() {
                container["ready"] = json!(false);
                container["state"] =
                    json!({"terminated": {"exitCode": code, "reason": reason, "finishedAt": now}});
            }
            conditions::set(status, "Ready", "False", "PodCompleted", "", &now);
            conditions::set(status, "ContainersReady", "False", "PodCompleted", "", &now);
        })
        .await;
    match ended {
        Err(Trouble::Gone) => Ok(()),
        other => other,
    }
}

/// After a migration: the target label goes, and the source pod ends.
async fn leave_source(world: &mut World, vmi: &Object, pods: &[Object]) -> Result<Option<Duration>, Trouble> {
    let state = &vmi["status"]["migrationState"];
    let done = state["completed"] == true && state["failed"] != true;
    let label = &vmi["metadata"]["labels"]["kubevirt.io/migrationTargetNodeName"];
    if !done || label.is_null() {
        return Ok(None);
    }
    let migration = text(&state["migrationUid"]).to_owned();
    let since = world.since(uid(vmi), "leave-source");
    if let Some(wait) = left(since, world.settings.step) {
        return Ok(Some(wait));
    }
    let source = |p: &&Object| {
        p["spec"]["nodeName"] != vmi["status"]["nodeName"]
            && p["metadata"]["labels"]["kubevirt.io/migrationJobUID"] != migration.as_str()
    };
    for pod in pods.iter().filter(source) {
        end_pod(world, pod, "Succeeded").await?;
    }
    world.reset(uid(vmi), "leave-source");
    world
        .update(Kind::Instance, &Key::of(vmi), |vmi| {
            vmi["metadata"]["labels"]
                .as_object_mut()
                .map(|l| l.remove("kubevirt.io/migrationTargetNodeName"));
        })
        .await?;
    Ok(None)
}
