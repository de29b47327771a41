//! Clusters of any size from a seed, as a dump of them would look: everything placed and running.
//!
//! # Why
//! A planner is measured on clusters that nobody has chosen for it. What is drawn here are the workloads; the nodes are then
//! made as large as the family's fill asks for, so that "85% full" holds whatever was drawn. Pods come with their node and their
//! status, so that loading one is quick, and placed as a scheduler could have placed them: within requests, selectors, taints,
//! anti-affinity and spread. Two disruptions of any budget can follow one another: nothing here is stuck from the start.

mod guests;
mod machines;
mod manifests;
mod place;
mod random;
mod workloads;

use std::fmt;
use std::io::{self, Write};

use serde_json::Value;

use random::Random;

/// A few nodes can't always be filled as far as the family says: they are made larger, by a few percent at a time, up to so many
/// of what it asks for.
const LARGEST: u64 = 300;

/// What kind of cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Family {
    /// 35% full.
    Sparse,
    /// 85% full.
    Dense,
    /// 50% full; budgets allow one disruption at a time, and replacements take a minute or two to get ready.
    PdbHeavy,
    /// 60% full; guests of 4 to 32 GiB, all of which migrate.
    VmHeavy,
    /// 55% full; some of everything, two CPU generations, guests that restart, and the label `maintenance-group` with the values
    /// `canary`, `general` and `late` for a plan with groups.
    #[default]
    Mixed,
}

impl Family {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Sparse, Self::Dense, Self::PdbHeavy, Self::VmHeavy, Self::Mixed];

    /// The name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sparse => "sparse",
            Self::Dense => "dense",
            Self::PdbHeavy => "pdb-heavy",
            Self::VmHeavy => "vm-heavy",
            Self::Mixed => "mixed",
        }
    }

    /// The share of CPU and memory that is requested, in percent.
    pub fn fill(self) -> u64 {
        match self {
            Self::Sparse => 35,
            Self::Dense => 85,
            Self::PdbHeavy => 50,
            Self::VmHeavy => 60,
            Self::Mixed => 55,
        }
    }
}

/// What cluster to make.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recipe {
    /// Nodes, in as many zones as said.
    pub nodes: usize,
    /// Pods in all: of workloads, of DaemonSets, and a launcher for each virtual machine.
    pub pods: usize,
    /// Virtual machines, all of them running.
    pub vms: usize,
    /// Zones.
    pub zones: usize,
    /// PodDisruptionBudgets, each over a workload of two replicas or more.
    pub pdbs: usize,
    /// The kind of cluster.
    pub family: Family,
    /// Seed: the same recipe gives the same bytes.
    pub seed: u64,
}

/// Why a recipe can't be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Impossible {
    /// No nodes, or no zones.
    Nothing,
    /// More zones than nodes.
    Zones,
    /// Fewer pods than virtual machines, each of which has one.
    Launchers,
    /// Fewer pods of workloads than twice the budgets.
    Budgets {
        /// Pods that budgets can cover.
        pods: usize,
    },
}

impl fmt::Display for Impossible {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => f.write_str("a cluster has one node and one zone at least"),
            Self::Zones => f.write_str("there can't be more zones than nodes"),
            Self::Launchers => f.write_str("there can't be more virtual machines than pods: each has one"),
            Self::Budgets { pods } => write!(
                f,
                "each budget covers two pods or more, and beside launchers and DaemonSets there are {pods}"
            ),
        }
    }
}

impl std::error::Error for Impossible {}

/// The objects of a cluster, in an order in which they can be created.
///
/// # Errors
/// A recipe that no cluster fits.
pub fn generate(recipe: &Recipe) -> Result<Vec<Value>, Impossible> {
    if recipe.nodes == 0 || recipe.zones == 0 {
        return Err(Impossible::Nothing);
    }
    if recipe.zones > recipe.nodes {
        return Err(Impossible::Zones);
    }
    let Some(plain) = recipe.pods.checked_sub(recipe.vms) else { return Err(Impossible::Launchers) };
    // DaemonSets are there where they don't crowd out everything else.
    let daemons = (plain / (4 * recipe.nodes)).min(2);
    let plain = plain - daemons * recipe.nodes;
    if recipe.pdbs * 2 > plain {
        return Err(Impossible::Budgets { pods: plain });
    }
    let drawn = workloads::draw(recipe, plain, &mut Random::of(recipe.seed, 1));
    let guests = guests::draw(recipe, &mut Random::of(recipe.seed, 2));
    let mut percent = 100;
    let (workloads, nodes, places) = loop {
        let mut workloads = drawn.clone();
        let mut nodes = machines::size(recipe, &workloads, &guests, daemons, percent);
        workloads::fill_pool(&mut workloads, &nodes, recipe.family);
        let places = place::place(&workloads, &guests, &mut nodes, &mut Random::of(recipe.seed, 3));
        if places.is_complete() || percent >= LARGEST {
            break (workloads, nodes, places);
        }
        percent += 2;
    };
    let mut writer = manifests::Writer::new(recipe.seed);
    writer.cluster(recipe, &nodes);
    writer.daemon_sets(daemons, &nodes);
    for (workload, places) in workloads.iter().zip(&places.workloads) {
        writer.workload(workload, places, &nodes);
    }
    for (guest, place) in guests.iter().zip(&places.guests) {
        writer.guest(guest, *place, &nodes);
    }
    Ok(writer.objects)
}

/// Writes objects as one List, an item a line.
///
/// # Errors
/// Those of the writer.
pub fn write(objects: &[Value], to: &mut impl Write) -> io::Result<()> {
    to.write_all(b"{\"apiVersion\":\"v1\",\"kind\":\"List\",\"items\":[\n")?;
    for (index, object) in objects.iter().enumerate() {
        if index > 0 {
            to.write_all(b",\n")?;
        }
        serde_json::to_writer(&mut *to, object)?;
    }
    to.write_all(b"\n]}\n")
}

#[cfg(test)]
mod tests;
