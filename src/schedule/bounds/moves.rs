//! The least number of extra moves: E(w).

use super::{any_refuge, free};
use crate::schedule::facts::Facts;
use crate::schedule::instance::{Instance, Standing, Way};

/// Extra moves that no schedule avoids if `opening` nodes are emptied before the first return, E(w): the VMs on the emptiest nodes
/// that may come first, less those that fit on nodes never due. E(1) holds for every schedule.
pub fn extra_moves(instance: &Instance, facts: &Facts, opening: usize) -> u32 {
    let mut counts: Vec<(u32, u32)> = facts
        .due
        .iter()
        .filter(|n| facts.is_first(instance, **n))
        .map(|n| (facts.vms[*n as usize], *n))
        .collect();
    counts.sort_unstable();
    counts.truncate(opening);
    let leaving: u32 = counts.iter().map(|(vms, _)| vms).sum();
    leaving.saturating_sub(vms_never_due(instance, facts))
}

/// At most so many VMs fit on nodes that are never due: the smallest first, each resource alone.
fn vms_never_due(instance: &Instance, facts: &Facts) -> u32 {
    let vms: Vec<u32> = facts
        .due
        .iter()
        .flat_map(|n| facts.items_on.of(*n))
        .copied()
        .filter(|i| instance.items.way[*i as usize] != Way::Eviction)
        .collect();
    let never =
        |n: &u32| !instance.nodes.is_due(*n) && instance.nodes.standing[*n as usize] == Standing::InService;
    if !any_refuge(instance) {
        return 0;
    }
    let each = (0..instance.resources.len()).map(|resource| {
        let mut room: u64 =
            (0..instance.nodes.len() as u32).filter(never).map(|n| free(instance, facts, n, resource)).sum();
        let mut sizes: Vec<u64> = vms.iter().map(|i| instance.demand(*i)[resource]).collect();
        sizes.sort_unstable();
        let fits = sizes.iter().take_while(|size| {
            let fits = **size <= room;
            room = room.saturating_sub(**size);
            fits
        });
        fits.count() as u32
    });
    each.min().unwrap_or(vms.len() as u32)
}
