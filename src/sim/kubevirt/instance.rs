//! virt-controller's part of a VMI: its pods, phases up to `Scheduled`, conditions, attachment pods, finalizers.

use std::time::Duration;

use super::handler::left;
use super::world::{Kind, Object, Trouble, World, is_deleting, is_final, owned_by, text, uid};
use super::{conditions, launcher};
use crate::sim::json::{Value, json};
use crate::sim::store::Key;

const FINALIZER: &str = "kubevirt.io/foregroundDeleteVirtualMachine";
/// The same in older releases.
const FOREGROUND: &str = "foregroundDeleteVirtualMachine";
const UNPAUSED: &str = "kubevirt.io/virtual-machine-unpaused";
const EVICTED: &str = "descheduler.alpha.kubernetes.io/eviction-in-progress";

pub(super) fn is_terminal(pod: &Value) -> bool {
    matches!(pod["status"]["phase"].as_str(), Some("Succeeded" | "Failed"))
}

/// The launcher pods of a VMI, migration targets included.
pub(super) fn launchers(world: &World, vmi: &Value) -> Vec<Object> {
    let pods = world.owned(uid(vmi), Kind::Pod);
    pods.filter(|p| p["metadata"]["labels"]["kubevirt.io"] == "virt-launcher").cloned().collect()
}

/// The pod that the guest runs in: the newest on the VMI's node; before it has one, the newest.
pub(super) fn current<'a>(vmi: &Value, pods: &'a [Object]) -> Option<&'a Object> {
    let node = &vmi["status"]["nodeName"];
    let here = pods.iter().filter(|p| node.is_null() || p["spec"]["nodeName"] == *node);
    let rank = |p: &'a Object| (text(&p["metadata"]["creationTimestamp"]), !is_terminal(p));
    here.max_by(|a, b| rank(a).cmp(&rank(b)))
}

/// One round of a VMI.
pub(super) async fn reconcile(world: &mut World, key: &Key) -> Result<Option<Duration>, Trouble> {
    let Some(vmi) = world.get(Kind::Instance, key).cloned() else { return Ok(None) };
    if text(&vmi["status"]["phase"]).is_empty() {
        admit(world, key).await?;
        return Ok(None);
    }
    if !is_deleting(&vmi) && !is_final(&vmi) && !is_held(&vmi) {
        // A captured one may have none, and would be gone before its guest is.
        world.update(Kind::Instance, key, hold).await?;
    }
    let mut pods = launchers(world, &vmi);
    launcher::remember(world, &vmi, &pods);
    if is_deleting(&vmi) {
        for pod in pods.iter().filter(|p| !is_deleting(p)) {
            world.delete(Kind::Pod, pod).await?;
        }
    } else if vmi["status"]["phase"] == "Pending" && pods.is_empty() {
        world.create(Kind::Pod, launcher::launcher(world, &vmi)).await?;
        pods = launchers(world, &vmi);
    }
    advance(world, key, &pods).await?;
    mark_pods(world, key, &pods).await?;
    let again = attach(world, key, &pods).await?;
    release(world, key, &pods).await?;
    Ok(again)
}

fn is_held(vmi: &Value) -> bool {
    let mut finalizers = vmi["metadata"]["finalizers"].as_array().into_iter().flatten();
    finalizers.any(|f| f.as_str().is_some_and(|f| f.ends_with(FOREGROUND)))
}

/// Its guest is to end before a VMI is gone.
fn hold(vmi: &mut Value) {
    if is_held(vmi) {
        return;
    }
    let finalizers = &mut vmi["metadata"]["finalizers"];
    match finalizers.as_array_mut() {
        Some(list) => list.push(json!(FINALIZER)),
        None => *finalizers = json!([FINALIZER]),
    }
}

/// A new VMI: finalizer, and the cluster's eviction strategy if it names none.
async fn admit(world: &mut World, key: &Key) -> Result<(), Trouble> {
    let strategy = world.configuration()["evictionStrategy"].clone();
    let now = world.now_text();
    world
        .update(Kind::Instance, key, |vmi| {
            if vmi["spec"]["evictionStrategy"].is_null() && strategy.is_string() {
                vmi["spec"]["evictionStrategy"] = strategy;
            }
            hold(vmi);
            conditions::enter(&mut vmi["status"], "Pending", &now);
        })
        .await
}

/// Phases that virt-controller owns, and what follows from the pods.
async fn advance(world: &mut World, key: &Key, pods: &[Object]) -> Result<(), Trouble> {
    let Some(vmi) = world.get(Kind::Instance, key).cloned() else { return Ok(()) };
    let pod = current(&vmi, pods).cloned();
    let phase = text(&vmi["status"]["phase"]).to_owned();
    let lost = pod.as_deref().is_none_or(is_terminal);
    let ready = pod.as_deref().is_some_and(|p| conditions::is_true(p, "Ready") && !is_deleting(p));
    let next = match phase.as_str() {
        // Deleted before anything ran.
        "Pending" if is_deleting(&vmi) && pods.is_empty() => Some("Failed"),
        "Pending" if !lost => Some("Scheduling"),
        "Scheduling" if lost => Some("Failed"),
        "Scheduling" if ready => Some("Scheduled"),
        "Scheduled" | "Running" if pod.is_none() => Some("Failed"),
        _ => None,
    };
    let now = world.now_text();
    let evicts = world.version().guards_hotplug();
    world
        .update(Kind::Instance, key, |vmi| {
            if let Some(next) = next {
                conditions::enter(&mut vmi["status"], next, &now);
            }
            if next == Some("Scheduled") {
                let node = pod.as_deref().map(|p| p["spec"]["nodeName"].clone()).unwrap_or_default();
                vmi["metadata"]["labels"]["kubevirt.io/nodeName"] = node.clone();
                vmi["status"]["nodeName"] = node;
            }
            let active = pods.iter().map(|p| (uid(p).to_owned(), p["spec"]["nodeName"].clone()));
            vmi["status"]["activePods"] = Value::Object(active.collect());
            let scheduled = pod.as_deref().and_then(|p| conditions::get(p, "PodScheduled"));
            match scheduled.filter(|c| c["status"] == "False" && phase == "Scheduling") {
                Some(c) => {
                    let (reason, message) = (text(&c["reason"]), text(&c["message"]));
                    conditions::set(&mut vmi["status"], "PodScheduled", "False", reason, message, &now);
                }
                None => conditions::remove(&mut vmi["status"], "PodScheduled"),
            }
            let (ready, reason) = readiness(vmi, pod.as_deref());
            conditions::set(&mut vmi["status"], "Ready", ready, reason, "", &now);
            let marked = vmi["status"]["evacuationNodeName"].is_string();
            if marked && evicts {
                let status = &mut vmi["status"];
                conditions::set(status, "EvictionRequested", "True", "EvictionRequested", "", &now);
            } else {
                conditions::remove(&mut vmi["status"], "EvictionRequested");
            }
        })
        .await
}

fn readiness(vmi: &Value, pod: Option<&Value>) -> (&'static str, &'static str) {
    match pod {
        None => ("False", "PodNotExists"),
        Some(pod) if is_deleting(pod) => ("False", "PodTerminating"),
        Some(_) if vmi["status"]["phase"] != "Running" => ("False", "GuestNotRunning"),
        Some(pod) if conditions::is_true(pod, "Ready") => ("True", ""),
        Some(_) => ("False", "PodNotReady"),
    }
}

/// Readiness gate, node label, and the sign of an eviction on the pod that runs the guest.
async fn mark_pods(world: &mut World, key: &Key, pods: &[Object]) -> Result<(), Trouble> {
    let Some(vmi) = world.get(Kind::Instance, key).cloned() else { return Ok(()) };
    let now = world.now_text();
    for pod in pods.iter().filter(|p| p["status"]["phase"] == "Running" && !is_deleting(p)) {
        if pod["metadata"]["annotations"][launcher::STOPS] != "external" {
            // A captured launcher: its guest's end is the model's to say, too.
            let take_over = |p: &mut Value| p["metadata"]["annotations"][launcher::STOPS] = json!("external");
            world.update(Kind::Pod, &Key::of(pod), take_over).await?;
        }
        if conditions::get(pod, UNPAUSED).is_none() {
            let pod = Key::of(pod);
            world
                .update(Kind::Pod, &pod, |p| {
                    conditions::set(&mut p["status"], UNPAUSED, "True", "", "", &now);
                })
                .await?;
        }
    }
    let node = vmi["status"]["nodeName"].clone();
    let Some(pod) = current(&vmi, pods).filter(|p| node.is_string() && !is_deleting(p)) else {
        return Ok(());
    };
    let marked = vmi["status"]["evacuationNodeName"].is_string() && world.version().guards_hotplug();
    let (labels, sign) = (&pod["metadata"]["labels"], &pod["metadata"]["annotations"][EVICTED]);
    let is_right = if marked { *sign == "true" } else { sign.is_null() };
    if labels["kubevirt.io/nodeName"] == node && is_right {
        return Ok(());
    }
    let pod = Key::of(pod);
    world
        .update(Kind::Pod, &pod, |pod| {
            pod["metadata"]["labels"]["kubevirt.io/nodeName"] = node;
            if marked {
                pod["metadata"]["annotations"][EVICTED] = json!("true");
            } else if let Some(annotations) = pod["metadata"]["annotations"].as_object_mut() {
                annotations.remove(EVICTED);
            }
        })
        .await
}

/// Whether a launcher has its attachment pod, and it is ready.
pub(super) fn attachment_ready(world: &World, launcher: &Value) -> bool {
    world.owned(uid(launcher), Kind::Pod).any(|p| conditions::is_true(p, "Ready"))
}

/// An attachment pod has the volumes that it is for, and that of its service account's token if those are counted.
fn has_all_volumes(world: &World, attachment: &Value, hot: usize) -> bool {
    let volumes = attachment["spec"]["volumes"].as_array().map_or(0, Vec::len);
    !world.settings.counts_token_volumes || volumes == hot + 1
}

/// Hotplugged volumes: one attachment pod for the launcher; those of ended launchers go.
async fn attach(world: &mut World, key: &Key, pods: &[Object]) -> Result<Option<Duration>, Trouble> {
    let Some(vmi) = world.get(Kind::Instance, key).cloned() else { return Ok(None) };
    let over = is_final(&vmi);
    for pod in pods.iter().filter(|p| over || is_terminal(p)) {
        let attachments = world.owned(uid(pod), Kind::Pod).filter(|p| !is_deleting(p));
        for attachment in attachments.cloned().collect::<Vec<_>>() {
            world.delete(Kind::Pod, &attachment).await?;
        }
    }
    let hot = launcher::claims(&vmi, true);
    if hot.is_empty() || over || is_deleting(&vmi) || vmi["status"]["phase"] != "Running" {
        return Ok(None);
    }
    let Some(pod) = current(&vmi, pods).filter(|p| !is_deleting(p) && !is_terminal(p)).cloned() else {
        return Ok(None);
    };
    let there = world.owned(uid(&pod), Kind::Pod).find(|p| !is_deleting(p)).cloned();
    let attachment = match there {
        Some(attachment) if !has_all_volumes(world, &attachment, hot.len()) => {
            let since = world.since(uid(&attachment), "miscounted");
            let wait = left(since, world.settings.step);
            if wait.is_none() {
                world.delete(Kind::Pod, &attachment).await?;
            }
            return Ok(wait);
        }
        Some(attachment) => attachment,
        None => world.create(Kind::Pod, launcher::attachment(&vmi, &pod)).await?,
    };
    let statuses: Vec<Value> = hot
        .iter()
        .map(|(name, _)| {
            json!({"name": name, "phase": "Ready", "hotplugVolume": {
                "attachPodName": attachment["metadata"]["name"], "attachPodUID": uid(&attachment),
            }})
        })
        .collect();
    world.update(Kind::Instance, key, |vmi| vmi["status"]["volumeStatus"] = json!(statuses)).await?;
    Ok(None)
}

/// KubeVirt's own finalizers. Older releases named one without the prefix.
fn is_own(finalizer: &str) -> bool {
    finalizer.starts_with("kubevirt.io/") || finalizer == FOREGROUND
}

/// Finalizers: the foreground one goes with the guest's end, all of them when a deleted VMI has no pods left.
async fn release(world: &mut World, key: &Key, pods: &[Object]) -> Result<(), Trouble> {
    let Some(vmi) = world.get(Kind::Instance, key).cloned().filter(|v| is_final(v)) else { return Ok(()) };
    let gone = is_deleting(&vmi) && pods.is_empty();
    let bare = owned_by(&vmi, "VirtualMachine").is_none() && !is_deleting(&vmi);
    if !(gone || bare) {
        return Ok(());
    }
    let released = world
        .update(Kind::Instance, key, |vmi| {
            if let Some(finalizers) = vmi["metadata"]["finalizers"].as_array_mut() {
                finalizers.retain(|f| !f.as_str().is_some_and(is_own));
            }
        })
        .await;
    match released {
        Err(Trouble::Gone) => Ok(()),
        other => other,
    }
}
