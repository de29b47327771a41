//! Where everything runs: some nodes get more than others, and every constraint holds.

use super::guests::Guest;
use super::machines::Machine;
use super::random::Random;
use super::workloads::{Bond, Workload};

/// Nodes that are looked at before all are.
const TRIES: usize = 24;

/// Where everything runs, by index of the node; `None` for what found no place and is left to the scheduler.
#[derive(Debug)]
pub(super) struct Places {
    pub workloads: Vec<Vec<Option<usize>>>,
    pub guests: Vec<Option<usize>>,
}

impl Places {
    /// Whether everything has a place.
    pub fn is_complete(&self) -> bool {
        self.workloads.iter().flatten().chain(&self.guests).all(Option::is_some)
    }
}

/// Places guests, then bound workloads, then the others, each the largest first.
pub(super) fn place(
    workloads: &[Workload],
    guests: &[Guest],
    nodes: &mut [Machine],
    random: &mut Random,
) -> Places {
    let mut places =
        Places { workloads: vec![Vec::new(); workloads.len()], guests: vec![None; guests.len()] };
    let mut order: Vec<usize> = (0..guests.len()).collect();
    order.sort_by_key(|&g| (std::cmp::Reverse(guests[g].gib), g));
    for guest in order {
        let asked = guests[guest].requests();
        places.guests[guest] = choose(nodes, random, &|_, node| !node.is_batch && node.fits(asked));
        if let Some(node) = places.guests[guest] {
            nodes[node].take(asked);
        }
    }
    let mut order: Vec<usize> = (0..workloads.len()).collect();
    order.sort_by_key(|&w| (workloads[w].bond == Bond::None, std::cmp::Reverse(workloads[w].memory), w));
    for workload in order {
        places.workloads[workload] = replicas(&workloads[workload], nodes, random);
    }
    places
}

fn replicas(workload: &Workload, nodes: &mut [Machine], random: &mut Random) -> Vec<Option<usize>> {
    let zones = nodes.iter().map(|n| n.zone + 1).max().unwrap_or(1);
    let mut in_zone = vec![0_usize; zones];
    let mut used = if workload.bond == Bond::Apart { vec![false; nodes.len()] } else { Vec::new() };
    let asked = (workload.cpu, workload.memory);
    let mut places = Vec::with_capacity(workload.replicas);
    for _ in 0..workload.replicas {
        let least = in_zone.iter().min().copied().unwrap_or(0);
        let node = choose(nodes, random, &|index, node| {
            node.fits(asked)
                && node.is_batch == (workload.bond == Bond::Batch)
                && match workload.bond {
                    Bond::Ssd => node.has_ssd,
                    Bond::Apart => !used[index],
                    Bond::Spread => in_zone[node.zone] == least,
                    Bond::None | Bond::Batch | Bond::Volume => true,
                }
        });
        if let Some(node) = node {
            nodes[node].take(asked);
            in_zone[nodes[node].zone] += 1;
            if let Some(used) = used.get_mut(node) {
                *used = true;
            }
        }
        places.push(node);
    }
    places
}

/// The emptier of the first two nodes that will do, looked for at random, then one after the other.
fn choose(
    nodes: &[Machine],
    random: &mut Random,
    will_do: &dyn Fn(usize, &Machine) -> bool,
) -> Option<usize> {
    let mut found: Option<usize> = None;
    for _ in 0..TRIES {
        let index = random.below(nodes.len());
        if !will_do(index, &nodes[index]) || found == Some(index) {
            continue;
        }
        let Some(first) = found else {
            found = Some(index);
            continue;
        };
        let emptier = |n: usize| (nodes[n].free_memory * 1000 / nodes[n].memory.max(1), nodes[n].free_cpu);
        return Some(if emptier(first) >= emptier(index) { first } else { index });
    }
    let start = random.below(nodes.len());
    found.or_else(|| (start..nodes.len()).chain(0..start).find(|&index| will_do(index, &nodes[index])))
}
