//! Room for pods that have no node at the moment, and will have one: what was evicted a moment ago.

use jiff::{SignedDuration, Timestamp};

use super::shapes::{Amounts, Shapes};
use crate::inventory::{Inventory, Pod, PodPhase};
use crate::schedule::instance::{Instance, Standing};

/// A ReplicaSet has made another pod, and that has been seen, within this of an eviction.
const REPLACED_WITHIN: SignedDuration = SignedDuration::from_secs(5);

/// Pods that wait for a node, and those on their way out whose successors aren't there yet.
pub(super) fn unplaced(inventory: &Inventory, now: Timestamp) -> impl Iterator<Item = &Pod> {
    let waits = |pod: &Pod| pod.node.is_none() && pod.phase == PodPhase::Pending && pod.deletion.is_none();
    let is_fresh = move |pod: &Pod, ends: Timestamp| {
        let grace = SignedDuration::from_secs(pod.deletion_grace_seconds.unwrap_or(0));
        ends.checked_sub(grace).is_ok_and(|asked| now.duration_since(asked) < REPLACED_WITHIN)
    };
    let comes_again = move |pod: &Pod| {
        let goes = pod.deletion.filter(|_| pod.node.is_some() && pod.controller.is_some());
        goes.is_some_and(|ends| pod.is_owned_by("StatefulSet") || is_fresh(pod, ends))
    };

    let placed_by_itself = |pod: &Pod| pod.is_launcher() || pod.is_mirror || pod.is_owned_by("DaemonSet");
    inventory.unsettled_pods().filter(move |p| (waits(p) || comes_again(p)) && !placed_by_itself(p))
}

/// Takes room for them, each on the node in service where it fits most tightly; where it fits nowhere, it takes none.
pub(super) fn keep_room<'a>(
    pods: impl Iterator<Item = &'a Pod>,
    shapes: &mut Shapes<'a>,
    amounts: &Amounts,
    instance: &mut Instance,
) {
    let width = instance.resources.len();
    let mut free: Vec<i64> = instance.nodes.capacity.iter().map(|c| *c as i64).collect();
    for (node, shape) in instance.items.node.iter().zip(&instance.items.shape) {
        for (r, need) in shapes.shapes[*shape as usize].demand.iter().enumerate() {
            free[*node as usize * width + r] -= *need as i64;
        }
    }
    for pod in pods {
        let shape = shapes.shape(0, pod, None);
        let class = &shapes.classes[shapes.shapes[shape as usize].class as usize];
        let asked = amounts.read(&pod.needs.requests, 1);
        let left = |node: u32| {
            let has = &free[node as usize * width..(node as usize + 1) * width];
            let fits = has.iter().zip(&asked).all(|(has, need)| *has >= *need as i64);
            fits.then(|| has.iter().zip(&asked).map(|(has, need)| has - *need as i64).sum::<i64>())
        };
        let hosts = (0..instance.nodes.len() as u32)
            .filter(|n| instance.nodes.standing[*n as usize] == Standing::InService && class.has(*n));
        let Some((_, node)) = hosts.filter_map(|n| Some((left(n)?, n))).min() else { continue };
        for (r, need) in asked.iter().enumerate() {
            let place = node as usize * width + r;
            free[place] -= *need as i64;
            instance.nodes.capacity[place] = instance.nodes.capacity[place].saturating_sub(*need);
        }
    }
}
