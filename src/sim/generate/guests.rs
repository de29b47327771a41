//! The virtual machines of a generated cluster.

use super::random::Random;
use super::{Family, Recipe};

const NAMESPACES: usize = 10;
/// What a launcher requests beside its guest's memory, MiB.
const OVERHEAD: u64 = 256;
/// CPU that a launcher requests for each vCPU, in thousandths: KubeVirt's `cpuAllocationRatio` of 10.
const CPU: u64 = 100;

/// A virtual machine, running.
#[derive(Debug, Clone)]
pub(super) struct Guest {
    pub name: String,
    pub namespace: String,
    /// Of the guest, GiB.
    pub gib: u64,
    pub vcpus: u64,
    /// Live-migrates; else it is shut down and comes back elsewhere.
    pub migrates: bool,
}

impl Guest {
    /// What its launcher requests: CPU in thousandths, memory in MiB.
    pub fn requests(&self) -> (u64, u64) {
        (self.vcpus * CPU, self.gib * 1024 + OVERHEAD)
    }
}

/// As many as the recipe says.
pub(super) fn draw(recipe: &Recipe, random: &mut Random) -> Vec<Guest> {
    let sizes: &[u64] = match recipe.family {
        Family::VmHeavy => &[4, 8, 8, 16, 32],
        _ => &[2, 4, 4, 8],
    };
    let restarts = if recipe.family == Family::Mixed { 10 } else { 0 };
    (0..recipe.vms)
        .map(|index| Guest {
            name: format!("vm-{index:05}"),
            namespace: format!("tenant-{:02}", index % NAMESPACES),
            gib: random.one(sizes),
            vcpus: random.one(&[1, 2, 2, 4]),
            migrates: !random.percent(restarts),
        })
        .collect()
}
