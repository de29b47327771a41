//! The nodes of a generated cluster, as large as what they carry asks for.

use super::guests::Guest;
use super::workloads::Workload;
use super::{Family, Recipe};

/// What a pod of a DaemonSet requests: CPU in thousandths, memory in MiB.
pub(super) const DAEMON: (u64, u64) = (50, 64);
/// Two of three nodes are so much of the average one, in percent, and the third is larger.
const SMALL: u64 = 80;
const LARGE: u64 = 140;
/// From so many nodes on, one in ten is of a pool of its own.
const POOLED: usize = 60;

/// A node.
#[derive(Debug, Clone)]
pub(super) struct Machine {
    pub name: String,
    pub zone: usize,
    /// Allocatable: thousandths.
    pub cpu: u64,
    /// Allocatable: MiB.
    pub memory: u64,
    pub pods: usize,
    pub has_ssd: bool,
    /// In the tainted pool.
    pub is_batch: bool,
    /// Of the newer CPU generation.
    pub is_new: bool,
    pub group: Option<&'static str>,
    /// What is left of it.
    pub free_cpu: u64,
    pub free_memory: u64,
    pub free_pods: usize,
}

/// Nodes of which everything together takes the share that the family asks for, made larger to `enlarged` percent; and larger
/// ones where a single item asks for more than half a node.
pub(super) fn size(
    recipe: &Recipe,
    workloads: &[Workload],
    guests: &[Guest],
    daemons: usize,
    enlarged: u64,
) -> Vec<Machine> {
    let of_guests = guests.iter().map(|g| (g.requests(), 1));
    let of_workloads = workloads.iter().map(|w| ((w.cpu, w.memory), w.replicas as u64));
    let (mut cpu, mut memory, mut largest_cpu, mut largest_memory) = (0, 0, 0, 0);
    for ((c, m), count) in of_guests.chain(of_workloads) {
        (cpu, memory) = (cpu + c * count, memory + m * count);
        (largest_cpu, largest_memory) = (c.max(largest_cpu), m.max(largest_memory));
    }
    let nodes = recipe.nodes as u64;
    let of_daemons = daemons as u64;
    cpu += nodes * of_daemons * DAEMON.0;
    memory += nodes * of_daemons * DAEMON.1;
    let fit = |total: u64, largest: u64| {
        let average = (total * enlarged).div_ceil(recipe.family.fill() * nodes);
        // The smaller nodes take two of the largest item each.
        average.max((largest * 2 + of_daemons * DAEMON.0.max(DAEMON.1)) * 100 / SMALL + 1)
    };
    let (cpu, memory) = (fit(cpu, largest_cpu), fit(memory, largest_memory));
    // The fullest nodes carry up to twice the average.
    let pods = (2 * recipe.pods).div_ceil(recipe.nodes).max(110);
    (0..recipe.nodes).map(|index| machine(recipe, index, (cpu, memory), pods, daemons)).collect()
}

fn machine(recipe: &Recipe, index: usize, (cpu, memory): (u64, u64), pods: usize, daemons: usize) -> Machine {
    let is_batch = recipe.nodes >= POOLED && (index / recipe.zones) % 10 == 9;
    let percent = match (recipe.nodes, index % 3) {
        (0..3, _) => 100,
        _ if is_batch => 100,
        (_, 2) => LARGE,
        _ => SMALL,
    };
    let (cpu, memory) = (cpu * percent / 100, memory * percent / 100);
    let of_daemons = daemons as u64;
    Machine {
        name: format!("node-{:04}", index + 1),
        zone: index % recipe.zones,
        cpu,
        memory,
        pods,
        has_ssd: (index / recipe.zones).is_multiple_of(2),
        is_batch,
        is_new: recipe.family != Family::Mixed || index * 2 >= recipe.nodes,
        group: (recipe.family == Family::Mixed).then(|| group(index, recipe.nodes)),
        free_cpu: cpu.saturating_sub(of_daemons * DAEMON.0),
        free_memory: memory.saturating_sub(of_daemons * DAEMON.1),
        free_pods: pods.saturating_sub(daemons),
    }
}

/// One in fifty is a canary, three in ten come late.
fn group(index: usize, nodes: usize) -> &'static str {
    if index < nodes.div_ceil(50) {
        "canary"
    } else if index * 10 < nodes * 7 {
        "general"
    } else {
        "late"
    }
}

impl Machine {
    /// Whether an item fits.
    pub fn fits(&self, (cpu, memory): (u64, u64)) -> bool {
        self.free_pods > 0 && self.free_cpu >= cpu && self.free_memory >= memory
    }

    /// Takes an item.
    pub fn take(&mut self, (cpu, memory): (u64, u64)) {
        self.free_pods -= 1;
        self.free_cpu -= cpu;
        self.free_memory -= memory;
    }
}
