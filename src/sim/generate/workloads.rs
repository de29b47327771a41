//! The workloads of a generated cluster: replicas, requests, constraints, budgets.

use super::machines::Machine;
use super::random::Random;
use super::{Family, Recipe};

/// Namespaces that workloads are spread over.
const NAMESPACES: usize = 20;
/// A workload has about so many replicas, unless budgets ask for more workloads.
const REPLICAS: usize = 8;
/// CPU in thousandths and memory in MiB that a replica requests.
const SIZES: [(u64, u64); 7] =
    [(100, 128), (250, 256), (250, 1024), (500, 1024), (500, 2048), (1000, 2048), (2000, 4096)];

/// What makes a workload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Deployment,
    StatefulSet,
}

/// What binds a workload's pods to places; one at most, so that what is drawn can always be placed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Bond {
    None,
    /// Node selector `disk: ssd`.
    Ssd,
    /// The tainted nodes of the pool `batch`.
    Batch,
    /// No two on one node.
    Apart,
    /// Evenly over the zones, `DoNotSchedule`.
    Spread,
    /// Each with a volume of its zone.
    Volume,
}

/// How many disruptions the budget of a workload allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Budget {
    /// `maxUnavailable: 1`.
    One,
    /// `maxUnavailable: 25%`.
    Quarter,
    /// `minAvailable`: all but one.
    AllButOne,
}

/// A workload.
#[derive(Debug, Clone)]
pub(super) struct Workload {
    pub name: String,
    pub namespace: String,
    pub kind: Kind,
    pub replicas: usize,
    pub cpu: u64,
    pub memory: u64,
    pub bond: Bond,
    pub budget: Option<Budget>,
    pub grace: u64,
    /// Seconds until a new pod is ready.
    pub ready_after: u64,
}

/// Workloads with `pods` pods in all; the first so many have a budget.
pub(super) fn draw(recipe: &Recipe, pods: usize, random: &mut Random) -> Vec<Workload> {
    let count = (pods / REPLICAS).max(recipe.pdbs).max(usize::from(pods > 0)).min(pods - recipe.pdbs);
    let replicas = replicas(count, recipe.pdbs, pods, random);
    let mut workloads = Vec::with_capacity(count);
    for (index, replicas) in replicas.into_iter().enumerate() {
        let budget = (index < recipe.pdbs).then(|| budget(recipe.family, random));
        workloads.push(workload(recipe, index, replicas, budget, random));
    }
    workloads
}

/// Two replicas or more where there is a budget, one or more elsewhere; what is left falls on some more than on others.
fn replicas(count: usize, budgets: usize, pods: usize, random: &mut Random) -> Vec<usize> {
    let mut replicas: Vec<usize> = (0..count).map(|index| if index < budgets { 2 } else { 1 }).collect();
    let popularity: Vec<usize> = (0..count).map(|_| random.one(&[1, 1, 2, 4, 8])).collect();
    let mut left = pods - replicas.iter().sum::<usize>();
    while left > 0 {
        let index = random.below(count);
        let more = popularity[index].min(left);
        replicas[index] += more;
        left -= more;
    }
    replicas
}

fn budget(family: Family, random: &mut Random) -> Budget {
    match family {
        Family::PdbHeavy => random.one(&[Budget::One, Budget::One, Budget::AllButOne]),
        _ => random.one(&[Budget::One, Budget::Quarter, Budget::AllButOne]),
    }
}

fn workload(
    recipe: &Recipe,
    index: usize,
    replicas: usize,
    budget: Option<Budget>,
    random: &mut Random,
) -> Workload {
    let kind = if random.percent(75) { Kind::Deployment } else { Kind::StatefulSet };
    let (cpu, memory) = random.one(&SIZES);
    let slow = recipe.family == Family::PdbHeavy;
    Workload {
        name: format!("app-{index:05}"),
        namespace: format!("team-{:02}", index % NAMESPACES),
        kind,
        replicas,
        cpu,
        memory,
        bond: bond(recipe, kind, replicas, random),
        budget,
        grace: random.one(&[10, 30, 30, 60]),
        ready_after: if slow { random.one(&[30, 60, 90, 120]) } else { random.one(&[5, 10, 20, 40]) },
    }
}

fn bond(recipe: &Recipe, kind: Kind, replicas: usize, random: &mut Random) -> Bond {
    let bond = match random.below(100) {
        0..12 => Bond::Ssd,
        12..27 => Bond::Apart,
        27..42 => Bond::Spread,
        42..60 => Bond::Volume,
        _ => Bond::None,
    };
    // Each must leave its pods somewhere else to go.
    let roomy = recipe.nodes >= 3 * recipe.zones;
    match bond {
        Bond::Ssd if recipe.nodes < 6 => Bond::None,
        Bond::Apart if replicas * 2 > recipe.nodes => Bond::None,
        Bond::Spread if recipe.zones < 2 || !roomy => Bond::None,
        Bond::Volume if kind == Kind::Deployment || !roomy => Bond::None,
        bond => bond,
    }
}

/// Gives unbound workloads to the tainted pool, the last first, until it is nearly as full as the cluster.
pub(super) fn fill_pool(workloads: &mut [Workload], nodes: &[Machine], family: Family) {
    let pool: Vec<&Machine> = nodes.iter().filter(|n| n.is_batch).collect();
    let (mut cpu, mut memory) = pool.iter().fold((0, 0), |(cpu, memory), n| (cpu + n.cpu, memory + n.memory));
    // A tenth less than the rest, which makes up for pods that don't divide evenly; and two of the pool's nodes can be away.
    let count = pool.len().max(1) as u64;
    let fill = (family.fill() * 9 / 10).min(count.saturating_sub(2) * 90 / count);
    (cpu, memory) = (cpu * fill / 100, memory * fill / 100);
    for workload in workloads.iter_mut().rev().filter(|w| w.bond == Bond::None) {
        let replicas = workload.replicas as u64;
        let (asked_cpu, asked_memory) = (workload.cpu * replicas, workload.memory * replicas);
        if asked_cpu <= cpu && asked_memory <= memory {
            (cpu, memory) = (cpu - asked_cpu, memory - asked_memory);
            workload.bond = Bond::Batch;
        }
    }
}
