//! Nodes: virt-handler's heartbeat, and the controller that finds the unresponsive ones.

use std::time::Duration;

use jiff::SignedDuration;

use super::conditions;
use super::handler::left;
use super::instance::{is_terminal, launchers};
use super::world::{Kind, Trouble, World, is_deleting, is_final, text, uid};
use crate::sim::clock::parse_time;
use crate::sim::json::{Value, json};
use crate::sim::store::Key;

const SCHEDULABLE: &str = "kubevirt.io/schedulable";
const HEARTBEAT: &str = "kubevirt.io/heartbeat";
const MACHINE: &str = "machine-type.node.kubevirt.io/q35";
const KVM: &str = "devices.kubevirt.io/kvm";
const OUT_OF_SERVICE: &str = "node.kubernetes.io/out-of-service";

/// How often this node's virt-handler gives a sign of life; else it is left to chance, as in a real one.
pub(super) const HEARTBEAT_EVERY: &str = "sim.virtroll.dev/heartbeat-every";

/// The node is up, and with it the launchers and guests on it.
pub(super) fn is_alive(world: &World, node: &str) -> bool {
    world.node(node).is_some_and(|n| is_up(n))
}

/// Ready, and not without power, which Kubernetes learns a while later.
pub(super) fn is_up(node: &Value) -> bool {
    conditions::is_true(node, "Ready") && node["metadata"]["annotations"]["sim.virtroll.dev/down"] != "true"
}

/// virt-handler runs on the node, without which no migration goes on.
pub(super) fn has_handler(world: &World, node: &str) -> bool {
    is_alive(world, node) && world.node(node).is_some_and(|n| !is_kept_out(n))
}

/// `sim.virtroll.dev/kubevirt: "false"` keeps virt-handler out.
pub(super) fn is_kept_out(node: &Value) -> bool {
    node["metadata"]["annotations"]["sim.virtroll.dev/kubevirt"] == "false"
}

/// virt-handler's DaemonSet covers the node: labelled so already, or without a taint that keeps ordinary pods away.
fn takes_part(node: &Value) -> bool {
    if is_kept_out(node) {
        return false;
    }
    let control_plane = |t: &Value| {
        text(&t["key"]).starts_with("node-role.kubernetes.io/") && t["effect"] != "PreferNoSchedule"
    };
    let labelled = node["metadata"]["labels"][SCHEDULABLE].is_string();
    labelled || !node["spec"]["taints"].as_array().is_some_and(|t| t.iter().any(control_plane))
}

/// One heartbeat, and when the next is due.
pub(super) async fn beat(world: &mut World, name: &str) -> Result<Option<Duration>, Trouble> {
    let Some(node) = world.node(name).cloned().filter(|n| takes_part(n)) else { return Ok(None) };
    if !is_up(&node) {
        return stop(world, &node).await;
    }
    if let Some(wait) = starts(world, &node) {
        return Ok(Some(wait));
    }
    let now = world.now_text();
    world
        .update(Kind::Node, &Key::new("", name), |node| {
            node["metadata"]["labels"][SCHEDULABLE] = json!("true");
            node["metadata"]["labels"][MACHINE] = json!("true");
            node["metadata"]["annotations"][HEARTBEAT] = json!(now);
            for field in ["allocatable", "capacity"] {
                if node["status"][field][KVM].is_null() {
                    node["status"][field][KVM] = json!("1k");
                }
            }
        })
        .await?;
    if let Some(every) =
        node["metadata"]["annotations"][HEARTBEAT_EVERY].as_str().and_then(super::guest::duration)
    {
        return Ok(Some(every));
    }
    let settings = &world.settings;
    let spread = settings.heartbeat_max.saturating_sub(settings.heartbeat_min);
    let chance = world.chance(&[name, &now]) % 1000;
    Ok(Some(world.settings.heartbeat_min + spread.mul_f64(chance as f64 / 1000.0)))
}

/// What is left of virt-handler's start: where it has been stopped, its device plugins take a while before the first heartbeat.
fn starts(world: &mut World, node: &Value) -> Option<Duration> {
    if !world.has_begun(uid(node), "stopped") {
        return None;
    }
    let since = world.since(uid(node), "starts");
    let boot = text(&node["status"]["nodeInfo"]["bootID"]);
    let chance = world.chance(&["device-plugins", uid(node), boot]) % 1000;
    let said = node["metadata"]["annotations"]["sim.virtroll.dev/handler-starts-after"].as_str();
    let takes = said
        .and_then(super::guest::duration)
        .unwrap_or_else(|| world.settings.device_plugins.mul_f64(chance as f64 / 1000.0));
    if let Some(wait) = left(since, takes) {
        return Some(wait);
    }
    world.reset(uid(node), "stopped");
    None
}

/// A kubelet that says itself that it isn't ready is being stopped in order, and virt-handler with it: it writes that no VMs are
/// to come. A power cut writes nothing.
async fn stop(world: &mut World, node: &Value) -> Result<Option<Duration>, Trouble> {
    world.since(uid(node), "stopped");
    world.reset(uid(node), "starts");
    let orderly = conditions::get(node, "Ready").is_some_and(|c| c["status"] == "False");
    if orderly && node["metadata"]["labels"][SCHEDULABLE] == "true" {
        refuse_guests(world, &Key::of(node)).await?;
    }
    Ok(None)
}

async fn refuse_guests(world: &mut World, node: &Key) -> Result<(), Trouble> {
    world.update(Kind::Node, node, |node| node["metadata"]["labels"][SCHEDULABLE] = json!("false")).await
}

/// The pods of a node that is declared out of service are taken away, once they are being deleted. The control plane's pod
/// collector does that; the embedded cluster has none. True if the node is declared so.
async fn collect_pods(world: &mut World, node: &Value) -> Result<bool, Trouble> {
    let taints = node["spec"]["taints"].as_array();
    let declared = taints.is_some_and(|t| t.iter().any(|t| t["key"] == OUT_OF_SERVICE));
    if !declared || conditions::is_true(node, "Ready") {
        return Ok(false);
    }
    let pods = world.pods_on(text(&node["metadata"]["name"])).filter(|pod| is_deleting(pod));
    for pod in pods.cloned().collect::<Vec<_>>() {
        world.force_delete(&pod).await?;
    }
    Ok(true)
}

/// A node whose heartbeat is old takes no VMs; those without a live pod there have failed. It is looked at every so often; the
/// looks that a fresh heartbeat makes needless are left out.
pub(super) async fn check(world: &mut World, name: &str) -> Result<Option<Duration>, Trouble> {
    let mut again = Some(world.settings.node_check);
    let node = world.node(name).cloned();
    if let Some(node) = &node
        && collect_pods(world, node).await?
    {
        again = Some(world.settings.collect_pods.min(world.settings.node_check));
    }
    let beat = node.as_deref().and_then(|n| parse_time(text(&n["metadata"]["annotations"][HEARTBEAT])));
    let limit = SignedDuration::try_from(world.settings.unresponsive_after).unwrap_or_default();
    let old = beat.map(|at| world.now().duration_since(at));
    if node.is_some() && old.is_none_or(|old| old <= limit) {
        let fresh_for = old.and_then(|old| Duration::try_from(limit - old).ok()).unwrap_or_default();
        return Ok(
            again.map(|every| every.mul_f64((fresh_for.as_secs_f64() / every.as_secs_f64()).ceil().max(1.0)))
        );
    }
    if node.as_deref().is_some_and(|n| n["metadata"]["labels"][SCHEDULABLE] == "true") {
        refuse_guests(world, &Key::new("", name)).await?;
    }
    let now = world.now_text();
    for vmi in world.vmis_on(name).filter(|v| !is_final(v)).cloned().collect::<Vec<_>>() {
        if launchers(world, &vmi).iter().all(|p| is_terminal(p)) {
            world
                .update(Kind::Instance, &Key::of(&vmi), |vmi| {
                    vmi["status"]["reason"] = json!("NodeUnresponsive");
                    conditions::enter(&mut vmi["status"], "Failed", &now);
                })
                .await?;
        }
    }
    Ok(node.and(again))
}
