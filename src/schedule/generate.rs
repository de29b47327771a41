//! Seeded instances for benchmarks and tests: families of clusters as operators have them.

use super::instance::{
    Apart, Budget, Class, Group, Instance, ItemSpec, Landing, Limit, Millis, NONE, NodeSpec, Owner, Scope,
    Shape, Slots, Standing, Way,
};

/// What a cluster is like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// A third full, a few VMs.
    Sparse,
    /// Full to 85%.
    Dense,
    /// No VMs; workloads with tight budgets, many of them spread over nodes.
    PdbHeavy,
    /// Mostly VMs.
    VmHeavy,
    /// A canary, workers, and a last group of three that goes one by one.
    Mixed,
}

impl Family {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Sparse, Self::Dense, Self::PdbHeavy, Self::VmHeavy, Self::Mixed];

    /// For tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sparse => "sparse 35%",
            Self::Dense => "dense 85%",
            Self::PdbHeavy => "PDB-heavy",
            Self::VmHeavy => "VM-heavy",
            Self::Mixed => "mixed, 3 groups",
        }
    }

    /// Load of memory in percent; VMs a node, on average; pods a node; percentage of workloads that have a budget.
    fn mix(self) -> (u64, u64, u64, u64) {
        match self {
            Self::Sparse => (35, 3, 10, 40),
            Self::Dense => (85, 8, 16, 40),
            Self::PdbHeavy => (55, 0, 30, 90),
            Self::VmHeavy => (70, 9, 6, 30),
            Self::Mixed => (60, 6, 14, 50),
        }
    }
}

/// splitmix64 (Steele, Lea, Flood): small, fast, and the same everywhere.
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// A stream for a seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Less than `bound`, which is at least 1.
    pub fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.draw()) * u128::from(bound.max(1))) >> 64) as u64
    }

    /// From `low` to `high`, both included.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high - low + 1)
    }
}

/// Millicores, MiB and pods of every node.
const NODE: [u64; 3] = [64_000, 131_072, 110];
const GIB: u64 = 1024;
const SECOND: Millis = 1000;

/// A cluster of a family.
pub fn cluster(family: Family, nodes: u32, width_percent: u32, seed: u64) -> Instance {
    let mut random = Random::new(seed.wrapping_mul(1_000_003).wrapping_add(u64::from(nodes)));
    let mut instance = Instance::new(&["cpu", "memory", "pods"]);
    instance.slots = Slots { cluster: 5, per_node: 2 };
    instance.classes.push(Class::Any);
    add_nodes(&mut instance, family, nodes, &mut random);
    add_limits(&mut instance, family, nodes, width_percent);
    let (load, vms, pods, budgets) = family.mix();
    let mut room: Vec<Room> = (0..nodes).map(|_| Room::new(load, &mut random)).collect();
    add_vms(&mut instance, u64::from(nodes) * vms, &mut room, &mut random);
    add_workloads(&mut instance, u64::from(nodes) * pods, budgets, &mut room, &mut random);
    instance
}

/// The measure of the planner's cost: 30 pods and 4 VMs a node, two budgets for every five nodes.
pub fn large(nodes: u32, seed: u64) -> Instance {
    let mut random = Random::new(seed);
    let mut instance = Instance::new(&["cpu", "memory", "pods"]);
    instance.classes.push(Class::Any);
    add_nodes(&mut instance, Family::Sparse, nodes, &mut random);
    add_limits(&mut instance, Family::Sparse, nodes, 10);
    let mut room: Vec<Room> = (0..nodes).map(|_| Room::new(60, &mut random)).collect();
    add_vms(&mut instance, u64::from(nodes) * 4, &mut room, &mut random);
    add_workloads(&mut instance, u64::from(nodes) * 30, 20, &mut room, &mut random);
    instance
}

/// A cluster of 5 to 8 nodes with room for everything, so small that its optimum can be found: some VMs on each node, some
/// workloads with a budget of one.
pub fn small(seed: u64) -> Instance {
    let mut random = Random::new(seed.wrapping_mul(7_919).wrapping_add(13));
    let count = random.between(5, 8) as u32;
    let mut instance = Instance::new(&["pods"]);
    instance.classes.push(Class::Any);
    instance.shapes.push(Shape { demand: vec![1], class: 0 });
    instance.groups.push(Group { name: "all".to_owned(), ..Group::default() });
    for n in 0..count {
        let name = format!("node-{n}");
        let tail = random.between(36, 60) * 10 * SECOND;
        instance.add_node(NodeSpec { name, zone: NONE, capacity: vec![200], tail, ..NodeSpec::default() });
    }
    let most = random.between(1, 2) as u32;
    instance.limits.push(Limit { scope: Scope::Campaign, most, members: (0..count).collect() });
    instance.slots = [(5, 2), (3, 2), (2, 2), (2, 1)].map(|(cluster, per_node)| Slots { cluster, per_node })
        [random.below(4) as usize];
    for node in 0..count {
        for vm in 0..random.between(0, 3) {
            let leave = random.between(3, 15) * 10 * SECOND;
            let name = format!("vm-{node}-{vm}");
            instance.add_item(ItemSpec { name, node, way: Way::Migration, leave, ..ItemSpec::default() });
        }
    }
    for workload in 0..random.between(0, 2) {
        let name = format!("workload-{workload}");
        instance.budgets.push(Budget { name: name.clone(), allowed: 1, returns: Vec::new() });
        let (leave, start) = (random.between(1, 3) * 10 * SECOND, random.between(1, 6) * 10 * SECOND);
        for replica in 0..random.between(2, 4) {
            instance.add_item(ItemSpec {
                name: format!("{name}-{replica}"),
                node: random.below(count.into()) as u32,
                leave,
                ready: leave + start,
                tier: 1,
                budget: workload as u32,
                ..ItemSpec::default()
            });
        }
    }
    instance
}

fn add_nodes(instance: &mut Instance, family: Family, nodes: u32, random: &mut Random) {
    let groups: &[&str] =
        if family == Family::Mixed { &["canary", "workers", "control-plane"] } else { &["all"] };
    for (g, name) in groups.iter().enumerate() {
        let after = if g == 0 { Vec::new() } else { vec![g as u32 - 1] };
        let soak = if g == 0 && groups.len() > 1 { 600 * SECOND } else { 0 };
        instance.groups.push(Group { name: (*name).to_owned(), after, soak });
    }
    for n in 0..nodes {
        let group = match (family, n) {
            (Family::Mixed, 0) => 0,
            (Family::Mixed, n) if n + 3 < nodes => 1,
            (Family::Mixed, _) => 2,
            _ => 0,
        };
        instance.add_node(NodeSpec {
            name: format!("node-{n:05}"),
            zone: n % 3,
            group,
            capacity: NODE.to_vec(),
            head: 0,
            tail: random.between(360, 600) * SECOND,
            standing: Standing::InService,
        });
    }
}

fn add_limits(instance: &mut Instance, family: Family, nodes: u32, percent: u32) {
    let most = (nodes * percent).div_ceil(100).max(1);
    instance.limits.push(Limit { scope: Scope::Campaign, most, members: (0..nodes).collect() });
    if family == Family::Mixed {
        let last: Vec<u32> = (nodes.saturating_sub(3)..nodes).filter(|n| *n > 0).collect();
        instance.limits.push(Limit { scope: Scope::Group(2), most: 1, members: last });
    }
}

/// What is still to be filled on a node.
struct Room {
    cpu: u64,
    memory: u64,
    pods: u64,
}

impl Room {
    fn new(load: u64, random: &mut Random) -> Self {
        let share = (load * random.between(80, 120) / 100).min(95);
        Self { cpu: NODE[0] * 9 / 10, memory: NODE[1] * share / 100, pods: NODE[2] * 3 / 4 }
    }

    fn take(&mut self, shape: &Shape) -> bool {
        let fits =
            self.cpu >= shape.demand[0] && self.memory >= shape.demand[1] && self.pods >= shape.demand[2];
        if fits {
            self.cpu -= shape.demand[0];
            self.memory -= shape.demand[1];
            self.pods -= shape.demand[2];
        }
        fits
    }
}

/// A random node that has room.
fn somewhere(room: &mut [Room], shape: &Shape, not: &[u32], random: &mut Random) -> Option<u32> {
    (0..20).find_map(|_| {
        let node = random.below(room.len() as u64) as u32;
        (!not.contains(&node) && room[node as usize].take(shape)).then_some(node)
    })
}

fn add_vms(instance: &mut Instance, count: u64, room: &mut [Room], random: &mut Random) {
    const SIZES: [(u64, u64); 4] = [(1000, 2), (2000, 4), (4000, 8), (4000, 16)];
    let first = instance.shapes.len() as u32;
    for (cpu, memory) in SIZES {
        // The launcher needs a little more than its guest.
        instance.shapes.push(Shape { demand: vec![cpu, memory * GIB + 256, 1], class: 0 });
    }
    for vm in 0..count {
        let size = [0, 1, 1, 2, 2, 2, 3][random.below(7) as usize];
        let shape = instance.shapes[first as usize + size].clone();
        let Some(node) = somewhere(room, &shape, &[], random) else { continue };
        let seconds = 15 + SIZES[size].1 * random.between(4, 8);
        instance.add_item(ItemSpec {
            name: format!("vms/vm-{vm:06}"),
            node,
            shape: first + size as u32,
            way: Way::Migration,
            leave: seconds * SECOND,
            ..ItemSpec::default()
        });
    }
}

fn add_workloads(instance: &mut Instance, pods: u64, budgets: u64, room: &mut [Room], random: &mut Random) {
    let mut made = 0;
    let mut number = 0;
    while made < pods {
        let replicas = random.between(2, 12).min(room.len() as u64);
        made += replicas;
        number += 1;
        let demand = vec![random.between(1, 10) * 100, random.between(1, 8) * 256, 1];
        instance.shapes.push(Shape { demand, class: 0 });
        let shape = instance.shapes.len() as u32 - 1;
        let name = format!("apps/workload-{number:05}");
        let apart = random.below(100) < 30 && replicas * 2 <= room.len() as u64;
        let owner = if apart {
            instance.owners.push(Owner { name: name.clone(), apart: Apart::Node, most: 1 });
            instance.owners.len() as u32 - 1
        } else {
            NONE
        };
        let budget = if random.below(100) < budgets {
            let allowed = if random.below(100) < 60 { 1 } else { (replicas as u32).div_ceil(5) };
            instance.budgets.push(Budget { name: name.clone(), allowed, returns: Vec::new() });
            instance.budgets.len() as u32 - 1
        } else {
            NONE
        };
        let (leave, start) = (random.between(5, 30) * SECOND, random.between(10, 60) * SECOND);
        let mut nodes = Vec::new();
        for replica in 0..replicas {
            let shape_of = instance.shapes[shape as usize].clone();
            let not: &[u32] = if apart { &nodes } else { &[] };
            let Some(node) = somewhere(room, &shape_of, not, random) else { continue };
            nodes.push(node);
            instance.add_item(ItemSpec {
                name: format!("{name}-{replica:03}"),
                node,
                shape,
                way: Way::Eviction,
                landing: Landing::Elsewhere,
                leave,
                ready: leave + start,
                tier: 1,
                budget,
                owner,
            });
        }
    }
}
