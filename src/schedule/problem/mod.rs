//! From a plan and an inventory to the planner's [`Instance`], and what its numbers stand for.
//!
//! # Why
//! * The planner knows numbers only; whoever explains its schedule, or a conflict, needs the objects behind them.
//! * Pods that need the same share a shape, and shapes that may be on the same nodes a class: 150,000 pods become some hundred
//!   shapes, and eligibility is asked once for each class instead of once for each pod and node.
//! * What can't be said in the instance is left out so that the instance asks less than the cluster, never more: anti-affinity
//!   to other workloads and their host ports, required affinity to pods, topologies other than node and zone and those that a
//!   node which may take the pod lacks, all but one of the constraints that keep a pod from its own kind, and of a spread how it
//!   stands at the moment (only the most that one place may have in the end is asked). A test over generated clusters holds this
//!   against the embedded scheduler.

mod apart;
mod budgets;
mod durations;
mod learned;
mod leaving;
mod limits;
mod shapes;
#[cfg(test)]
mod tests;
mod unplaced;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use jiff::Timestamp;

pub use budgets::BudgetTerms;
pub use durations::Durations;
pub use learned::{Corrected, Correction, Took};

use super::GroupNodes;
use super::instance::{
    Goal, Instance, ItemSpec, Landing, Millis, NONE, NodeSpec, Slots, Standing, Strategy, UNLIMITED, Way,
};
use crate::inventory::{Inventory, Lookup, Node, ObjectName, Pod, VirtualMachineInstance};
use crate::plan::v1alpha1::{self, HookPoint, MaintenancePlanSpec, Surge};
use crate::schedule::consent::{Consent, Setting};
use crate::schedule::override_of;
use durations::Learned;
use learned::Pace;
use leaving::Leaving;
use shapes::{Amounts, Shapes};

/// How far a campaign has come.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Progress {
    /// Nodes that are through: they take in what others give away.
    pub done: BTreeSet<String>,
    /// Nodes in work, with what is over of the time before their drain and after it.
    pub under_way: BTreeMap<String, (Millis, Millis)>,
    /// Keep room for pods that have no node at this time: what has just been evicted has not arrived yet. Not where a proof is
    /// wanted, for such a pod may never be placed.
    pub keeps_room: Option<Timestamp>,
    /// If only some nodes are asked about, at this moment: of all others it only counts what room is taken on them, and what keeps
    /// others apart. A guest that migrates there takes room twice. What would fit there if nothing that leaves were left counts
    /// DaemonSets as if they weren't there: a pod that could only go to a node without them is taken to have another place, and
    /// its node waits until all are asked about.
    pub asks: Option<BTreeSet<String>>,
}

/// Who owns items: the object that an operator knows.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Workload {
    /// `Deployment`, `StatefulSet`, `VirtualMachine`, …, or `Pod` for one that nobody owns.
    pub kind: String,
    /// Namespace and name.
    pub name: ObjectName,
}

impl fmt::Display for Workload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind, self.name)
    }
}

/// An item that ought to migrate and can't.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stranded {
    /// The item.
    pub item: u32,
    /// Reason of the condition `LiveMigratable`.
    pub reason: String,
    /// Its message.
    pub message: String,
}

/// A pod, or a guest, whose drain takes a consent that the plan doesn't give: its node would fail at its turn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lack {
    /// Where it is.
    pub node: u32,
    /// Its owner, an index into the workloads.
    pub workload: u32,
    /// To what.
    pub consent: Consent,
}

/// The planner's problem with the objects behind its numbers.
#[derive(Debug, Clone, Default)]
pub struct Problem {
    /// The problem.
    pub instance: Instance,
    /// Owners of items.
    pub workloads: Vec<Workload>,
    /// The owner of each item, an index into them.
    pub workload_of: Vec<u32>,
    /// Budgets in words, in the instance's order.
    pub budgets: Vec<BudgetTerms>,
    /// Items under more than one budget, with those: the API server refuses their eviction always. In the instance they have no
    /// budget.
    pub refused: Vec<(u32, Vec<u32>)>,
    /// Items that ought to migrate and can't. In the instance they restart.
    pub stranded: Vec<Stranded>,
    /// What the plan doesn't consent to on the due nodes, once for each node, workload and consent.
    pub lacks: Vec<Lack>,
    /// Workloads of one replica that the plan doesn't surge.
    pub singles: BTreeSet<u32>,
    /// Names of zones by number.
    pub zones: Vec<String>,
    /// Durations that are taken from what nodes have shown.
    pub corrections: Vec<Correction>,
}

/// A pod that leaves when its node is drained.
struct Candidate<'a> {
    node: u32,
    pod: &'a Pod,
    guest: Option<&'a VirtualMachineInstance>,
    way: Way,
    tier: u8,
    returns: bool,
    stranded: Option<(String, String)>,
    lacks: Option<Consent>,
}

/// The problem of a plan on what is known of a cluster.
pub fn of(
    plan: &MaintenancePlanSpec,
    groups: &[GroupNodes],
    inventory: &Inventory,
    durations: &Durations,
    progress: &Progress,
) -> Problem {
    let node_ids: Lookup<&str, u32> = inventory.nodes().keys().map(String::as_str).zip(0..).collect();
    let budgets = budgets::Budgets::of(inventory);
    let asks = progress.asks.as_ref().filter(|_| budgets.are_counted());
    let Sorted { candidates, staying, lacking, loads } = sort_out(plan, inventory, &node_ids, asks);
    let unplaced: Vec<&Pod> =
        progress.keeps_room.map_or_else(Vec::new, |now| unplaced::unplaced(inventory, now).collect());
    let moving: Vec<&Pod> = candidates.iter().map(|c| c.pod).chain(unplaced.iter().copied()).collect();
    let amounts = Amounts::of(inventory, &moving);
    let mut zones = limits::Zones::default();
    let mut instance = Instance::new(&amounts.names());
    instance.groups = limits::groups(plan, groups, durations);
    add_nodes(&mut instance, plan, groups, inventory, (durations, progress), &amounts, &mut zones);
    instance.limits = limits::limits(plan, groups, inventory, &node_ids, &mut zones);
    instance.slots =
        inventory.kubevirt.as_ref().map_or(Slots { cluster: UNLIMITED, per_node: UNLIMITED }, |k| Slots {
            cluster: k.parallel_migrations_per_cluster.max(1),
            per_node: k.parallel_outbound_migrations_per_node.max(1),
        });
    instance.strategy = match plan.strategy {
        v1alpha1::Strategy::Rolling => Strategy::Rolling,
        v1alpha1::Strategy::Waves => Strategy::Waves,
    };
    instance.goal = match plan.optimize_for {
        v1alpha1::OptimizeFor::Time => Goal::Time,
        v1alpha1::OptimizeFor::Moves => Goal::Moves,
        v1alpha1::OptimizeFor::Availability => Goal::Availability,
    };
    // Of a moment, how long things take doesn't matter.
    let is_moment = progress.keeps_room.is_some();
    let pace = if is_moment { Pace::default() } else { Pace::of(inventory, durations) };
    let mut corrections = durations.corrections(plan, groups);
    corrections.extend(pace.correction());
    let mut problem = Problem { instance, zones: zones.into_names(), corrections, ..Problem::default() };
    let mut filler = Filler {
        problem: &mut problem,
        plan,
        inventory,
        durations,
        learned: if is_moment { Learned::default() } else { Learned::of(inventory) },
        pace,
        shapes: Shapes::new(inventory, &amounts),
        amounts: &amounts,
        owners: apart::Owners::default(),
        budgets,
        workloads: BTreeMap::new(),
        lacking: BTreeSet::new(),
        last: None,
    };
    for (node, pod) in staying {
        filler.stay(node, pod);
    }
    for (node, pod, consent) in lacking {
        let workload = filler.number(workload(pod, None));
        filler.lack(node, workload, consent);
    }
    let empty = filler.problem.instance.nodes.capacity.clone();
    for (node, pod) in loads {
        filler.stay(node, pod);
    }
    if let Some(asks) = asks {
        filler.load(asks);
    }
    filler.fill(candidates, &unplaced);
    apart::pin(&mut problem.instance, &empty);
    problem
}

/// Pods in the order of their names: those of a workload one after the other.
#[derive(Default)]
struct Sorted<'a> {
    /// They leave.
    candidates: Vec<Candidate<'a>>,
    /// They stay for good.
    staying: Vec<(u32, &'a Pod)>,
    /// Of these, those that the plan doesn't consent to leave there.
    lacking: Vec<(u32, &'a Pod, Consent)>,
    /// They leave nodes that aren't asked about, and keep nobody apart.
    loads: Vec<(u32, &'a Pod)>,
}

/// The pods that matter one by one, in the order of their names.
fn looked_at<'a>(inventory: &'a Inventory, asks: Option<&BTreeSet<String>>) -> Vec<&'a Pod> {
    let Some(asks) = asks else { return inventory.pods().collect() };
    let asked = asks.iter().flat_map(|node| inventory.pods_on(node));
    let mut pods: Vec<&Pod> = asked.chain(inventory.special_pods()).collect();
    pods.sort_unstable_by_key(|pod| &pod.name);
    pods.dedup_by_key(|pod| &pod.name);
    pods
}

fn sort_out<'a>(
    plan: &MaintenancePlanSpec,
    inventory: &'a Inventory,
    node_ids: &Lookup<&str, u32>,
    asks: Option<&BTreeSet<String>>,
) -> Sorted<'a> {
    let mut sorted = Sorted::default();
    let is_asked = |name: &String| asks.is_none_or(|asks| asks.contains(name));
    let is_asked: Vec<bool> = inventory.nodes().keys().map(is_asked).collect();
    for pod in looked_at(inventory, asks) {
        let Some(node) = pod.node.as_deref().and_then(|n| node_ids.get(n)).copied() else { continue };
        let (way, tier, returns, stranded, lacks) = match leaving::leaving(plan, inventory, pod) {
            Leaving::Stays(lacks) => {
                sorted.staying.push((node, pod));
                sorted.lacking.extend(lacks.map(|consent| (node, pod, consent)));
                continue;
            }
            Leaving::Gone => continue,
            Leaving::Leaves { way, tier, returns, lacks } => (way, tier, returns, None, lacks),
            Leaving::Stranded { reason, message } => (Way::Restart, 0, true, Some((reason, message)), None),
        };
        if !is_asked[node as usize] && !apart::is_kept(pod) {
            sorted.loads.push((node, pod));
            continue;
        }
        let guest = leaving::guest_of(inventory, pod);
        sorted.candidates.push(Candidate { node, pod, guest, way, tier, returns, stranded, lacks });
    }
    sorted
}

fn add_nodes(
    instance: &mut Instance,
    plan: &MaintenancePlanSpec,
    groups: &[GroupNodes],
    inventory: &Inventory,
    (durations, progress): (&Durations, &Progress),
    amounts: &Amounts,
    zones: &mut limits::Zones,
) {
    let numbered = groups.iter().zip(0..);
    let group_of: Lookup<&str, u32> =
        numbered.flat_map(|(group, index)| group.nodes.iter().map(move |n| (n.as_str(), index))).collect();
    let before = [HookPoint::PreDrain];
    let times: Vec<(Millis, Millis)> = groups
        .iter()
        .map(|group| (durations.hooks(plan, &group.name, &before), durations.tail(plan, &group.name)))
        .collect();
    for node in inventory.nodes().values() {
        let group = group_of.get(node.name.as_str()).copied();
        let group = group.filter(|_| !progress.done.contains(&node.name)).unwrap_or(NONE);
        let (mut head, mut tail) = times.get(group as usize).copied().unwrap_or((0, 0));
        let mut standing = standing(node);
        if let Some((over_before, over_after)) = progress.under_way.get(&node.name) {
            (head, tail) = (head.saturating_sub(*over_before), tail.saturating_sub(*over_after));
            standing = Standing::UnderWay;
        }
        instance.add_node(NodeSpec {
            name: node.name.clone(),
            zone: node.zone().map_or(NONE, |zone| zones.number(crate::inventory::ZONE, zone)),
            group,
            capacity: amounts.read(&node.allocatable, node.allocatable_pods),
            head,
            tail,
            standing,
        });
    }
}

fn standing(node: &Node) -> Standing {
    if node.is_unavailable() { Standing::Out } else { Standing::InService }
}

/// Fills in what is on the nodes.
struct Filler<'p, 'a> {
    problem: &'p mut Problem,
    plan: &'a MaintenancePlanSpec,
    inventory: &'a Inventory,
    durations: &'a Durations,
    learned: Learned<'a>,
    pace: Pace,
    shapes: Shapes<'a>,
    amounts: &'a Amounts,
    owners: apart::Owners<'a>,
    budgets: budgets::Budgets<'a>,
    workloads: BTreeMap<Workload, u32>,
    /// What is in the problem's `lacks`.
    lacking: BTreeSet<(u32, u32, Setting)>,
    /// The last pod's owner and its workload.
    last: Option<(&'a str, u32)>,
}

impl<'a> Filler<'_, 'a> {
    /// Its room is taken for good.
    fn stay(&mut self, node: u32, pod: &'a Pod) {
        let instance = &mut self.problem.instance;
        let start = node as usize * instance.resources.len();
        let asked = self.amounts.read(&pod.needs.requests, 1);
        for (has, asked) in instance.nodes.capacity[start..].iter_mut().zip(asked) {
            *has = has.saturating_sub(asked);
        }
        self.shapes.take_ports(node, pod);
    }

    /// The room that plain pods take on nodes that aren't asked about.
    fn load(&mut self, asks: &BTreeSet<String>) {
        let instance = &mut self.problem.instance;
        let width = instance.resources.len();
        let nodes = self.inventory.nodes().keys().zip(instance.nodes.capacity.chunks_mut(width));
        for (node, has) in nodes.filter(|(node, _)| !asks.contains(*node)) {
            let Some(load) = self.inventory.load_on(node) else { continue };
            for (has, asked) in has.iter_mut().zip(self.amounts.read(&load.requests, load.pods)) {
                *has = has.saturating_sub(asked);
            }
        }
    }

    /// The number of a pod's workload.
    fn workload(&mut self, candidate: &Candidate<'a>) -> u32 {
        let owner = candidate.pod.controller.as_ref().map(|o| o.uid.as_str()).filter(|uid| !uid.is_empty());
        if let Some((last, id)) = self.last
            && owner == Some(last)
        {
            return id;
        }
        let id = self.number(workload(candidate.pod, candidate.guest));
        self.last = owner.map(|owner| (owner, id));
        id
    }

    fn number(&mut self, workload: Workload) -> u32 {
        let next = self.workloads.len() as u32;
        *self.workloads.entry(workload).or_insert(next)
    }

    fn lack(&mut self, node: u32, workload: u32, consent: Consent) {
        if !self.problem.instance.nodes.is_due(node) {
            return;
        }
        if self.lacking.insert((node, workload, consent.setting())) {
            self.problem.lacks.push(Lack { node, workload, consent });
        }
    }

    fn fill(mut self, candidates: Vec<Candidate<'a>>, unplaced: &[&'a Pod]) {
        let mut counted = vec![0; self.budgets.len()];
        let mut items = Vec::with_capacity(candidates.len());
        // Who stays on a node that is never due is a load, and nothing more, unless others count with it. All of them come
        // before the first class is made: their host ports are taken.
        for candidate in candidates {
            let covering = self.budgets.covering(candidate.pod);
            for budget in &covering {
                counted[*budget as usize] += 1;
            }
            let workload = self.workload(&candidate);
            if let Some(consent) = &candidate.lacks {
                self.lack(candidate.node, workload, consent.clone());
            }
            let owner = self.owners.of(candidate.pod, workload);
            if !self.problem.instance.nodes.is_due(candidate.node) && covering.is_empty() && owner == NONE {
                self.stay(candidate.node, candidate.pod);
            } else {
                let asked = self.budgets.asked(candidate.pod, covering);
                items.push((candidate, asked, workload, owner));
            }
        }
        let ready = self.durations.ready;
        let (budgets, terms) = self.budgets.tables(&counted, ready);
        self.problem.instance.budgets = budgets;
        self.problem.budgets = terms;
        for (candidate, asked, workload, owner) in items {
            self.item(candidate, asked, workload, owner);
        }
        let instance = &mut self.problem.instance;
        unplaced::keep_room(unplaced.iter().copied(), &mut self.shapes, self.amounts, instance);
        self.problem.instance.classes = self.shapes.classes;
        self.problem.instance.shapes = self.shapes.shapes;
        let mut workloads: Vec<(u32, Workload)> = self.workloads.into_iter().map(|(w, id)| (id, w)).collect();
        workloads.sort_by_key(|(id, _)| *id);
        self.problem.workloads = workloads.into_iter().map(|(_, workload)| workload).collect();
        self.owners.finish(&mut self.problem.instance, &self.problem.workloads, self.inventory);
    }

    /// Whether a pod gets a second one beside it first, which takes nothing from its budget.
    fn is_surged(&mut self, pod: &Pod, asked: &[u32], workload: u32) -> bool {
        if self.inventory.scalable_of(pod).is_none_or(|scalable| scalable.replicas != 1) {
            return false;
        }
        if self.plan.drain.surge == Surge::Off {
            self.problem.singles.insert(workload);
            return false;
        }
        match asked {
            [] => true,
            [budget] => self.problem.budgets[*budget as usize].allows_with_one_more,
            _ => false,
        }
    }

    /// How much later a pod leaves because its budgets are respected first, if the plan lets it pass them then.
    fn override_after(&self, pod: &Pod, asked: &[u32]) -> Option<Millis> {
        let is_never = match asked {
            [] => false,
            [budget] => self.problem.budgets[*budget as usize].most == 0,
            _ => true,
        };
        let over = override_of(&self.plan.drain.overrides, pod).filter(|_| is_never)?;
        Some(u64::try_from(over.after.0.as_millis()).unwrap_or(Millis::MAX))
    }

    fn item(&mut self, candidate: Candidate<'a>, mut asked: Vec<u32>, workload: u32, owner: u32) {
        let Candidate { node, pod, guest, way, tier, returns, stranded, lacks: _ } = candidate;
        let shape = self.shapes.shape(node, pod, guest.filter(|_| way == Way::Migration));
        let durations = self.durations;
        let (leave, ready) = match (way, guest) {
            (Way::Migration, Some(vmi)) => {
                let leave = durations.migration(vmi, self.inventory.kubevirt.as_ref(), self.pace);
                (leave, leave)
            }
            (_, Some(vmi)) => {
                let leave = durations.guest_stop(vmi);
                (leave, leave.saturating_add(durations.guest_start))
            }
            (_, None) => {
                let leave = durations.stop(pod, self.plan.drain.grace_period_seconds);
                let ready = self.learned.ready(pod, durations);
                let surged = self.is_surged(pod, &asked, workload).then_some(ready);
                let wait = surged.or_else(|| self.override_after(pod, &asked));
                if wait.is_some() {
                    asked.clear();
                }
                let leave = leave.saturating_add(wait.unwrap_or(0));
                // A ReplicaSet doesn't wait for the end of what it replaces; others do.
                let at_once = pod.is_owned_by("ReplicaSet") || pod.is_owned_by("ReplicationController");
                (
                    leave,
                    if at_once {
                        ready.saturating_add(wait.unwrap_or(0))
                    } else {
                        leave.saturating_add(ready)
                    },
                )
            }
        };
        let budget = match asked.as_slice() {
            [budget] => *budget,
            _ => NONE,
        };
        let name = guest.map_or(&pod.name, |vmi| &vmi.name);
        let name = [name.namespace.as_str(), "/", &name.name].concat();
        let landing = if returns { Landing::Elsewhere } else { Landing::Nowhere };
        let item = self.problem.instance.add_item(ItemSpec {
            name,
            node,
            shape,
            way,
            landing,
            leave,
            ready,
            tier,
            budget,
            owner,
        });
        self.problem.workload_of.push(workload);
        // A migration asks no budget.
        if asked.len() > 1 && way != Way::Migration {
            self.problem.refused.push((item, asked));
        }
        if let Some((reason, message)) = stranded {
            self.problem.stranded.push(Stranded { item, reason, message });
        }
    }
}

/// The object that an operator knows behind a pod.
fn workload(pod: &Pod, guest: Option<&VirtualMachineInstance>) -> Workload {
    let owned = |kind: &str, name: &str| Workload {
        kind: kind.to_owned(),
        name: ObjectName::new(&pod.name.namespace, name),
    };
    if let Some(vmi) = guest {
        let is_machine = vmi.controller.as_ref().is_some_and(|o| o.kind == "VirtualMachine");
        let kind = if is_machine { "VirtualMachine" } else { "VirtualMachineInstance" };
        return owned(kind, &vmi.name.name);
    }
    let (kind, name) = pod.workload();
    owned(kind, name)
}
