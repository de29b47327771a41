//! The planner's problem, free of Kubernetes: nodes, items that must leave them, budgets, groups, limits, slots.
//!
//! Ids are `u32` indices into the tables here, [`NONE`] stands for "none". All times are milliseconds, counted from the moment
//! of planning. What is large (nodes, items) is kept as a structure of arrays, so that 5,000 nodes and 170,000 items stay small.

/// No such id: a node that is never due, an item without a budget or an owner, a node without a zone.
pub const NONE: u32 = u32::MAX;

/// A limit that never binds.
pub const UNLIMITED: u32 = u32::MAX;

/// Milliseconds.
pub type Millis = u64;

/// Everything that the planner needs to know. Make it with [`Instance::new`] and the `add_…` methods, or fill the tables.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Instance {
    /// Names of the resources, in the order of every demand and capacity; one of them counts pods.
    pub resources: Vec<String>,
    /// Nodes of the cluster, those that are never due included: they take in what others must give away.
    pub nodes: Nodes,
    /// What an item needs of a node; items that need the same share a shape.
    pub shapes: Vec<Shape>,
    /// Sets of nodes on which a shape may land.
    pub classes: Vec<Class>,
    /// Workloads whose items must be kept apart.
    pub owners: Vec<Owner>,
    /// Pods and VMs that move, or that stand on nodes which are never due and count for an owner or a budget.
    pub items: Items,
    /// PodDisruptionBudgets.
    pub budgets: Vec<Budget>,
    /// The plan's groups.
    pub groups: Vec<Group>,
    /// At most so many of these nodes unavailable at once.
    pub limits: Vec<Limit>,
    /// Live migrations at once.
    pub slots: Slots,
    /// How freed room under the limits is used.
    pub strategy: Strategy,
    /// What is minimised.
    pub goal: Goal,
}

/// Nodes, one entry in each array.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Nodes {
    /// Name; the order of names breaks ties, so the order of the input never matters.
    pub name: Vec<String>,
    /// Zone, any small number; [`NONE`]: the node has none.
    pub zone: Vec<u32>,
    /// Group of the node if its maintenance is due; [`NONE`]: never due (also: done already).
    pub group: Vec<u32>,
    /// What a node offers to items, in each resource: allocatable less what never moves (DaemonSet and mirror pods, pods that
    /// are no items). `capacity[n * resources + r]`. Present items are *not* subtracted.
    pub capacity: Vec<u64>,
    /// Before the drain, cordoned already: `PreDrain` hooks.
    pub head: Vec<Millis>,
    /// After the drain until the node is back in service: until safe to power off, hooks, verification.
    pub tail: Vec<Millis>,
    /// Where the node stands.
    pub standing: Vec<Standing>,
}

/// Where a node stands at time 0.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standing {
    /// In service.
    #[default]
    InService,
    /// Unavailable for a reason that is not this campaign's (NotReady, cordoned by somebody). Counts against its limits the whole
    /// time and is never a target. If it is due, its maintenance takes nothing more away.
    Out,
    /// This campaign has it already: it is admitted at 0 whatever the limits say. `head` and `tail` are what is left of them,
    /// its items what is left on it, with what is left of their times.
    UnderWay,
}

/// What one item asks of its node.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Shape {
    /// Units of each resource.
    pub demand: Vec<u64>,
    /// Class of nodes that may host it.
    pub class: u32,
}

/// Nodes on which a shape may land (selectors, affinity, taints, volumes, CPU models: all that doesn't change meanwhile).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Class {
    /// Every node.
    #[default]
    Any,
    /// These.
    Only(NodeSet),
}

impl Class {
    /// Whether it holds the node.
    pub fn has(&self, node: u32) -> bool {
        match self {
            Self::Any => true,
            Self::Only(set) => set.has(node),
        }
    }

    /// The same class of `count` nodes whose ids have changed to `place`.
    pub(super) fn map(&self, count: usize, place: &[u32]) -> Self {
        match self {
            Self::Any => Self::Any,
            Self::Only(set) => {
                Self::Only((0..count as u32).filter(|n| set.has(*n)).map(|n| place[n as usize]).collect())
            }
        }
    }
}

/// A set of nodes, one bit each.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct NodeSet(Vec<u64>);

impl NodeSet {
    /// Adds a node.
    pub fn insert(&mut self, node: u32) {
        let word = node as usize / 64;
        if self.0.len() <= word {
            self.0.resize(word + 1, 0);
        }
        self.0[word] |= 1 << (node % 64);
    }

    /// Whether the node is in it.
    pub fn has(&self, node: u32) -> bool {
        self.0.get(node as usize / 64).is_some_and(|word| word >> (node % 64) & 1 == 1)
    }
}

impl FromIterator<u32> for NodeSet {
    fn from_iter<I: IntoIterator<Item = u32>>(nodes: I) -> Self {
        let mut set = Self::default();
        nodes.into_iter().for_each(|node| set.insert(node));
        set
    }
}

/// A workload that wants its items apart: required anti-affinity (`most` = 1), a hard spread constraint (its largest count).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Owner {
    /// For reasons in words.
    pub name: String,
    /// Apart by node or by zone.
    pub apart: Apart,
    /// Items at most on one node, or in one zone.
    pub most: u32,
}

/// The domain over which an owner's items are kept apart.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Apart {
    /// By node.
    #[default]
    Node,
    /// By zone; a node without a zone is a domain of its own.
    Zone,
}

/// Items, one entry in each array.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Items {
    /// Namespace and name.
    pub name: Vec<String>,
    /// The node on which it runs at time 0.
    pub node: Vec<u32>,
    /// What it asks of a node.
    pub shape: Vec<u32>,
    /// How it leaves.
    pub way: Vec<Way>,
    /// Where it comes up again.
    pub landing: Vec<Landing>,
    /// From its start until it is off its node: the migration, or the grace period. It holds its old place so long, and the
    /// new one from the start on.
    pub leave: Vec<Millis>,
    /// From its start until it is Ready again elsewhere ([`Landing::Elsewhere`]), or from its node's return until it is Ready
    /// there ([`Landing::SameNode`]). The budget's unit is held until then. A migration is Ready when it has left.
    pub ready: Vec<Millis>,
    /// Items of a tier start only when those of all lower tiers have left the node.
    pub tier: Vec<u8>,
    /// The budget that covers it, or [`NONE`]. Evictions and restarts take a unit, migrations none. A pod under two budgets
    /// is refused by the eviction API always, so it never gets here.
    pub budget: Vec<u32>,
    /// The workload that wants it apart from its siblings, or [`NONE`].
    pub owner: Vec<u32>,
}

/// How an item leaves its node.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Way {
    /// An evicted pod.
    #[default]
    Eviction,
    /// A VM that migrates live: takes a slot of [`Slots`] while it does.
    Migration,
    /// A VM that is shut down and comes back by itself.
    Restart,
}

/// Where an item comes up again.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Landing {
    /// On another node of its class.
    #[default]
    Elsewhere,
    /// On its own node only (a local volume): it waits for the node's return, and so does its budget.
    SameNode,
    /// Nowhere: it isn't replaced, and its budget gets its unit back when it has left.
    Nowhere,
}

/// A PodDisruptionBudget.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Budget {
    /// Namespace and name.
    pub name: String,
    /// Disruptions that it allows now.
    pub allowed: u32,
    /// One more from each of these times on: disruptions under way that will be over.
    pub returns: Vec<Millis>,
}

/// A group of the plan.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Group {
    /// Name.
    pub name: String,
    /// Groups that must be through, and have soaked, before this one begins. Acyclic.
    pub after: Vec<u32>,
    /// How long it is watched before groups that depend on it begin.
    pub soak: Millis,
}

/// At most `most` of `members` unavailable at once.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Limit {
    /// Which of the plan's limits it is.
    pub scope: Scope,
    /// So many at once; at least 1, else nothing may ever start.
    pub most: u32,
    /// Its nodes, without duplicates.
    pub members: Vec<u32>,
}

/// What a limit is about.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// All nodes of the campaign.
    #[default]
    Campaign,
    /// One zone.
    Zone(u32),
    /// One group.
    Group(u32),
    /// A group's nodes in one zone.
    GroupZone(u32, u32),
}

/// Live migrations at once; [`UNLIMITED`] where nothing limits them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slots {
    /// In the cluster (KubeVirt's `parallelMigrationsPerCluster`).
    pub cluster: u32,
    /// Out of one node (`parallelOutboundMigrationsPerNode`).
    pub per_node: u32,
}

impl Default for Slots {
    /// KubeVirt's defaults.
    fn default() -> Self {
        Self { cluster: 5, per_node: 2 }
    }
}

/// How freed room under the limits is used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Strategy {
    /// A finished node frees its room at once.
    #[default]
    Rolling,
    /// The nodes of a group go in waves: once one of a wave's nodes has come back, the next nodes wait for the whole wave.
    Waves,
}

/// What is minimised first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Goal {
    /// The makespan; then extra moves, then time away.
    #[default]
    Time,
    /// Moves beyond one per item; then the makespan.
    Moves,
    /// The time that nodes are away from service, summed; then the makespan.
    Availability,
}

/// A node, to be added.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NodeSpec {
    /// See [`Nodes::name`].
    pub name: String,
    /// See [`Nodes::zone`].
    pub zone: u32,
    /// See [`Nodes::group`].
    pub group: u32,
    /// See [`Nodes::capacity`].
    pub capacity: Vec<u64>,
    /// See [`Nodes::head`].
    pub head: Millis,
    /// See [`Nodes::tail`].
    pub tail: Millis,
    /// See [`Nodes::standing`].
    pub standing: Standing,
}

/// An item, to be added. Its default is a pod without budget and owner that leaves at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ItemSpec {
    /// See [`Items::name`].
    pub name: String,
    /// See [`Items::node`].
    pub node: u32,
    /// See [`Items::shape`].
    pub shape: u32,
    /// See [`Items::way`].
    pub way: Way,
    /// See [`Items::landing`].
    pub landing: Landing,
    /// See [`Items::leave`].
    pub leave: Millis,
    /// See [`Items::ready`].
    pub ready: Millis,
    /// See [`Items::tier`].
    pub tier: u8,
    /// See [`Items::budget`].
    pub budget: u32,
    /// See [`Items::owner`].
    pub owner: u32,
}

impl Default for ItemSpec {
    fn default() -> Self {
        Self {
            name: String::new(),
            node: 0,
            shape: 0,
            way: Way::Eviction,
            landing: Landing::Elsewhere,
            leave: 0,
            ready: 0,
            tier: 0,
            budget: NONE,
            owner: NONE,
        }
    }
}

impl Nodes {
    /// How many.
    pub fn len(&self) -> usize {
        self.name.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.name.is_empty()
    }

    /// Whether the node's maintenance is due.
    pub fn is_due(&self, node: u32) -> bool {
        self.group[node as usize] != NONE
    }
}

impl Items {
    /// How many.
    pub fn len(&self) -> usize {
        self.name.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.name.is_empty()
    }
}

impl Instance {
    /// An empty instance over these resources.
    pub fn new(resources: &[&str]) -> Self {
        Self { resources: resources.iter().map(|r| (*r).to_owned()).collect(), ..Self::default() }
    }

    /// Adds a node; missing capacities are 0.
    pub fn add_node(&mut self, spec: NodeSpec) -> u32 {
        let nodes = &mut self.nodes;
        let id = nodes.name.len() as u32;
        nodes.name.push(spec.name);
        nodes.zone.push(spec.zone);
        nodes.group.push(spec.group);
        let mut capacity = spec.capacity;
        capacity.resize(self.resources.len(), 0);
        nodes.capacity.extend(capacity);
        nodes.head.push(spec.head);
        nodes.tail.push(spec.tail);
        nodes.standing.push(spec.standing);
        id
    }

    /// Adds an item.
    pub fn add_item(&mut self, spec: ItemSpec) -> u32 {
        let items = &mut self.items;
        let id = items.name.len() as u32;
        items.name.push(spec.name);
        items.node.push(spec.node);
        items.shape.push(spec.shape);
        items.way.push(spec.way);
        items.landing.push(spec.landing);
        items.leave.push(spec.leave);
        items.ready.push(if spec.way == Way::Migration { spec.leave } else { spec.ready });
        items.tier.push(spec.tier);
        items.budget.push(if spec.way == Way::Migration { NONE } else { spec.budget });
        items.owner.push(spec.owner);
        id
    }

    /// What a node offers.
    pub fn capacity(&self, node: u32) -> &[u64] {
        let width = self.resources.len();
        &self.nodes.capacity[node as usize * width..(node as usize + 1) * width]
    }

    /// What an item asks for.
    pub fn demand(&self, item: u32) -> &[u64] {
        &self.shapes[self.items.shape[item as usize] as usize].demand
    }

    /// Whether a node may host an item as far as its class says.
    pub fn may_host(&self, node: u32, item: u32) -> bool {
        let shape = &self.shapes[self.items.shape[item as usize] as usize];
        self.classes[shape.class as usize].has(node)
    }
}
