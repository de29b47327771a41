//! What a plan's author should know of its meeting with this cluster, though it can be carried out.

use super::{GroupNodes, Misfit};
use crate::inventory::{Inventory, Pod};
use crate::plan::v1alpha1::MaintenancePlanSpec;

/// Pods that a warning names.
const NAMED: usize = 3;

/// A drain can't end before a pod's own grace period if the pod makes use of it: warns of a shorter `drain.timeout`.
pub fn short_timeouts(
    plan: &MaintenancePlanSpec,
    groups: &[GroupNodes],
    inventory: &Inventory,
) -> Option<Misfit> {
    let timeout = plan.drain.timeout;
    let outlasts =
        |pod: &&Pod| u64::try_from(pod.grace_seconds).is_ok_and(|grace| grace > timeout.0.as_secs());
    let nodes = groups.iter().flat_map(|g| &g.nodes);
    let pods: Vec<&Pod> = nodes.flat_map(|node| inventory.pods_on(node)).filter(outlasts).collect();
    let longest = pods.iter().map(|p| p.grace_seconds).max()?;
    let mut names: Vec<String> = pods.iter().take(NAMED).map(|p| p.name.to_string()).collect();
    if pods.len() > NAMED {
        names.push(format!("{} more", pods.len() - NAMED));
    }
    Some(Misfit {
        path: ["spec", "drain", "timeout"].map(str::to_owned).to_vec(),
        message: format!(
            "drain.timeout is {timeout}, but some pods may take up to {longest} s to end (their own grace period): {}",
            names.join(", ")
        ),
        hint: "a drain that waits for them to the end would fail; allow more".to_owned(),
    })
}
