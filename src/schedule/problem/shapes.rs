//! What items ask for, in few different shapes: amounts, and the class of nodes that may host them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::inventory::{
    HostPort, Inventory, Needs, Node, NodeTerm, ObjectName, Pod, Resources, Toleration,
    VirtualMachineInstance,
};
use crate::schedule::instance::{Class, NodeSet, Shape};

/// Resources that every instance counts, before the extended ones.
const ALWAYS: [&str; 4] = ["cpu", "memory", "pods", "ephemeral-storage"];
/// Labels that say which CPU a node has, which models it can play, and who made it.
const HOST_MODEL: &str = "host-model-cpu.node.kubevirt.io/";
const PLAYS: &str = "cpu-model-migration.node.kubevirt.io/";
const VENDOR: &str = "cpu-vendor.node.kubevirt.io/";

/// Which resources are counted, in which order.
#[derive(Debug)]
pub(super) struct Amounts {
    extended: Vec<String>,
}

impl Amounts {
    /// Those that pods ask for. An extended resource of which every node that has any has more than its pods could take together
    /// (KubeVirt's thousand KVM devices) is no amount: a node has it, or not.
    pub fn of(inventory: &Inventory, moving: &[&Pod]) -> Self {
        let mut most: BTreeMap<&str, u64> = BTreeMap::new();
        let mut seen: BTreeSet<*const Needs> = BTreeSet::new();
        for pod in moving.iter().filter(|p| seen.insert(Arc::as_ptr(&p.needs))) {
            for (name, amount) in &pod.needs.requests.extended {
                let known = most.entry(name).or_default();
                *known = (*known).max(*amount);
            }
        }
        let binds = |(name, most): &(&str, u64)| {
            inventory.nodes().values().any(|node| {
                let has = node.allocatable.extended.get(*name).copied().unwrap_or(0);
                has > 0 && has < most.saturating_mul(node.allocatable_pods)
            })
        };
        Self { extended: most.into_iter().filter(binds).map(|(name, _)| name.to_owned()).collect() }
    }

    /// Names, in order.
    pub fn names(&self) -> Vec<&str> {
        ALWAYS.into_iter().chain(self.extended.iter().map(String::as_str)).collect()
    }

    /// Amounts in that order; `pods` is how many pods it counts as, or takes.
    pub fn read(&self, resources: &Resources, pods: u64) -> Vec<u64> {
        let always = [resources.cpu_millis, resources.memory_bytes, pods, resources.ephemeral_bytes];
        let extended = self.extended.iter().map(|n| resources.extended.get(n).copied().unwrap_or(0));
        always.into_iter().chain(extended).collect()
    }

    fn is_counted(&self, name: &str) -> bool {
        self.extended.iter().any(|n| n == name)
    }
}

/// What decides on which nodes an item may be; equal keys have equal classes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Key<'a> {
    selector: &'a BTreeMap<String, String>,
    affinity: Option<&'a [NodeTerm]>,
    tolerations: &'a [Toleration],
    ports: &'a [HostPort],
    /// Node affinities of bound volumes.
    volumes: Vec<&'a [NodeTerm]>,
    /// Which labels a migration's target must have.
    cpu: u32,
    /// Extended resources that are no amounts.
    has: Vec<&'a str>,
}

/// Shapes and classes, each once.
#[derive(Debug)]
pub(super) struct Shapes<'a> {
    inventory: &'a Inventory,
    amounts: &'a Amounts,
    nodes: Vec<&'a Node>,
    /// Host ports that pods which stay have taken on each node.
    taken: BTreeMap<u32, Vec<&'a HostPort>>,
    /// Shapes of pods without volumes, by what they need (the very same) and the CPU that they need.
    by_needs: BTreeMap<(*const Needs, u32), u32>,
    /// CPU labels that a migration's target must have, each set once; the first is none.
    cpus: Vec<Vec<String>>,
    /// By source node, and whether the guest has its model.
    cpu_of: BTreeMap<(u32, bool), u32>,
    by_key: BTreeMap<Key<'a>, u32>,
    by_nodes: BTreeMap<Option<NodeSet>, u32>,
    by_shape: BTreeMap<Shape, u32>,
    pub classes: Vec<Class>,
    pub shapes: Vec<Shape>,
}

impl<'a> Shapes<'a> {
    /// None yet.
    pub fn new(inventory: &'a Inventory, amounts: &'a Amounts) -> Self {
        Self {
            inventory,
            amounts,
            nodes: inventory.nodes().values().map(Arc::as_ref).collect(),
            taken: BTreeMap::new(),
            by_needs: BTreeMap::new(),
            cpus: vec![Vec::new()],
            cpu_of: BTreeMap::new(),
            by_key: BTreeMap::new(),
            by_nodes: BTreeMap::new(),
            by_shape: BTreeMap::new(),
            classes: Vec::new(),
            shapes: Vec::new(),
        }
    }

    /// A pod that stays keeps others off its host ports.
    pub fn take_ports(&mut self, node: u32, pod: &'a Pod) {
        if !pod.needs.host_ports.is_empty() {
            self.taken.entry(node).or_default().extend(&pod.needs.host_ports);
        }
    }

    /// The shape of an item on a node. `guest`: of a pod that migrates.
    pub fn shape(&mut self, node: u32, pod: &'a Pod, guest: Option<&VirtualMachineInstance>) -> u32 {
        let cpu = guest.map_or(0, |vmi| self.cpu(node, vmi.has_host_model()));
        if !pod.claims.is_empty() {
            return self.new_shape(pod, cpu);
        }
        let known = (Arc::as_ptr(&pod.needs), cpu);
        if let Some(shape) = self.by_needs.get(&known) {
            return *shape;
        }
        let shape = self.new_shape(pod, cpu);
        self.by_needs.insert(known, shape);
        shape
    }

    fn new_shape(&mut self, pod: &'a Pod, cpu: u32) -> u32 {
        let needs = &pod.needs;
        let of_claim = |claim: &String| {
            let volume = self.inventory.volume_of(&ObjectName::new(&pod.name.namespace, claim))?;
            volume.node_affinity.as_deref()
        };
        let mut volumes: Vec<&[NodeTerm]> = pod.claims.iter().filter_map(of_claim).collect();
        volumes.sort_unstable();
        volumes.dedup();
        let extended = needs.requests.extended.keys().map(String::as_str);
        let key = Key {
            selector: &needs.node_selector,
            affinity: needs.node_affinity.as_deref(),
            tolerations: &needs.tolerations,
            ports: &needs.host_ports,
            volumes,
            cpu,
            has: extended.filter(|name| !self.amounts.is_counted(name)).collect(),
        };
        let class = match self.by_key.get(&key) {
            Some(class) => *class,
            None => {
                let class = self.class(needs, &key);
                self.by_key.insert(key, class);
                class
            }
        };
        let shape = Shape { demand: self.amounts.read(&needs.requests, 1), class };
        let next = self.shapes.len() as u32;
        let id = *self.by_shape.entry(shape.clone()).or_insert(next);
        if id == next {
            self.shapes.push(shape);
        }
        id
    }

    /// What the target of a migration must be able to play: the vendor's CPUs, and the source's own model where the guest has that.
    fn cpu(&mut self, source: u32, has_host_model: bool) -> u32 {
        if let Some(known) = self.cpu_of.get(&(source, has_host_model)) {
            return *known;
        }
        let labels = self.nodes[source as usize].labels.keys();
        let wanted: Vec<String> = labels
            .filter_map(|key| match key.strip_prefix(HOST_MODEL) {
                Some(model) => has_host_model.then(|| format!("{PLAYS}{model}")),
                None => key.starts_with(VENDOR).then(|| key.clone()),
            })
            .collect();
        let known = self.cpus.iter().position(|cpu| *cpu == wanted);
        let id = known.unwrap_or_else(|| {
            self.cpus.push(wanted);
            self.cpus.len() - 1
        });
        self.cpu_of.insert((source, has_host_model), id as u32);
        id as u32
    }

    fn class(&mut self, needs: &Needs, key: &Key<'_>) -> u32 {
        let is_free = |id: u32| {
            let taken = self.taken.get(&id).into_iter().flatten();
            !taken.into_iter().any(|t| key.ports.iter().any(|p| clash(t, p)))
        };
        let cpu = &self.cpus[key.cpu as usize];
        let may = |id: u32, node: &Node| {
            needs.selects(node)
                && needs.refused_by(&lasting(node)).is_none()
                && key.volumes.iter().all(|terms| terms.iter().any(|t| t.selects(node)))
                && cpu.iter().all(|label| node.labels.contains_key(label))
                && key.has.iter().all(|name| node.allocatable.extended.contains_key(*name))
                && is_free(id)
        };
        let nodes = self.nodes.iter().enumerate().map(|(id, node)| (id as u32, *node));
        let hosts: Vec<u32> = nodes.filter(|(id, node)| may(*id, node)).map(|(id, _)| id).collect();
        let set = (hosts.len() < self.nodes.len()).then(|| hosts.into_iter().collect::<NodeSet>());
        let next = self.classes.len() as u32;
        let id = *self.by_nodes.entry(set.clone()).or_insert(next);
        if id == next {
            self.classes.push(set.map_or(Class::Any, Class::Only));
        }
        id
    }
}

/// Two ports that one node can't give to two pods.
fn clash(one: &HostPort, other: &HostPort) -> bool {
    let everywhere = |p: &HostPort| p.address == "0.0.0.0";
    one.port == other.port
        && one.protocol == other.protocol
        && (everywhere(one) || everywhere(other) || one.address == other.address)
}

/// Taints that say what a node is; those that say how it is at the moment are its standing.
fn lasting(node: &Node) -> Vec<crate::inventory::Taint> {
    let passing = |key: &str| key.starts_with("node.kubernetes.io/") || key.starts_with("virtroll.dev/");
    node.taints.iter().filter(|t| !passing(&t.key)).cloned().collect()
}
