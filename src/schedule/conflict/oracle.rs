//! Proofs that there is no schedule: sound, so that "none" is never said of what could be done, and monotone, so that a minimal
//! conflict can be found by leaving objects out.
//!
//! An object that is left out asks nothing: a node needs no maintenance and stays, a budget allows everything, a workload has no
//! pods. What is proven is about one node's drain at any moment at all, whatever has been done before: the other nodes are all
//! taken to be in service, emptied of what doesn't come back, and packed as tightly as their sums allow.

use std::collections::{BTreeMap, BTreeSet};

use super::{Object, Reason};
use crate::schedule::consent::Setting;
use crate::schedule::hosts::{Hosts, Place, place};
use crate::schedule::instance::{Apart, Class, Landing, NONE, Standing, Way};
use crate::schedule::problem::Problem;

/// Classes whose load is summed; where there are more, the largest loads are.
const CLASSES: usize = 64;

/// Pods of a budget that come back to their node only.
#[derive(Debug)]
struct Pins {
    node: u32,
    budget: u32,
    by_workload: BTreeMap<u32, u32>,
}

/// What a class of nodes is asked for.
#[derive(Debug)]
struct Demand {
    class: u32,
    /// Workload and what its items ask for, by resource.
    loads: Vec<(u32, Vec<u64>)>,
    /// Due nodes of the class that it can't do without.
    nodes: Vec<Short>,
}

/// A node that a class can't do without, if all is kept.
#[derive(Debug)]
struct Short {
    node: u32,
    /// What there is without it, by resource.
    there: Vec<u64>,
    /// What on it is gone while it is away, by workload.
    gone: BTreeMap<u32, Vec<u64>>,
}

fn add(sum: &mut [u64], amounts: &[u64]) {
    sum.iter_mut().zip(amounts).for_each(|(sum, amount)| *sum += amount);
}

/// Pods to be kept apart.
#[derive(Debug)]
struct Crowd {
    owner: u32,
    by_workload: BTreeMap<u32, u32>,
    /// Due nodes from which one must find another place, with the places that are left.
    nodes: Vec<(u32, u32, BTreeSet<u32>)>,
}

/// The proofs that a problem admits, prepared so that each question is cheap.
#[derive(Debug)]
pub struct Oracle<'a> {
    problem: &'a Problem,
    /// Small sets that conflict by themselves.
    claims: Vec<(Vec<u32>, Reason)>,
    pins: Vec<Pins>,
    demands: Vec<Demand>,
    crowds: Vec<Crowd>,
}

/// Numbers of objects: nodes, then budgets, then workloads, then settings of the plan.
impl<'a> Oracle<'a> {
    /// Reads a problem.
    pub fn new(problem: &'a Problem) -> Self {
        let mut oracle =
            Self { problem, claims: Vec::new(), pins: Vec::new(), demands: Vec::new(), crowds: Vec::new() };
        oracle.claim_limits();
        oracle.claim_budgets();
        oracle.claim_guests();
        oracle.claim_consents();
        oracle.count_pins();
        oracle.sum_demands();
        oracle.count_crowds();
        oracle
    }

    /// How many objects there are.
    pub fn objects(&self) -> usize {
        let of_cluster =
            self.problem.instance.nodes.len() + self.problem.budgets.len() + self.problem.workloads.len();
        of_cluster + Setting::ALL.len()
    }

    /// Which object a number means.
    pub fn object(&self, id: u32) -> Object {
        let nodes = self.problem.instance.nodes.len() as u32;
        let budgets = self.problem.budgets.len() as u32;
        match id {
            id if id < nodes => Object::Node(id),
            id if id < nodes + budgets => Object::Budget(id - nodes),
            id => {
                let workload = id - nodes - budgets;
                let setting = workload.checked_sub(self.problem.workloads.len() as u32);
                match setting.and_then(|setting| Setting::ALL.get(setting as usize)) {
                    Some(setting) => Object::Setting(*setting),
                    None => Object::Workload(workload),
                }
            }
        }
    }

    /// The number of an object.
    pub fn id(&self, object: Object) -> u32 {
        let nodes = self.problem.instance.nodes.len() as u32;
        let budgets = self.problem.budgets.len() as u32;
        match object {
            Object::Node(node) => node,
            Object::Budget(budget) => nodes + budget,
            Object::Workload(workload) => nodes + budgets + workload,
            Object::Setting(setting) => {
                let place = Setting::ALL.iter().position(|s| *s == setting).unwrap_or_default();
                nodes + budgets + self.problem.workloads.len() as u32 + place as u32
            }
        }
    }

    fn claim(&mut self, objects: &[Object], reason: Reason) {
        let set = objects.iter().map(|o| self.id(*o)).collect();
        self.claims.push((set, reason));
    }

    fn claim_limits(&mut self) {
        let problem = self.problem;
        let closed = problem.instance.limits.iter().filter(|l| l.most == 0).flat_map(|l| &l.members);
        let nodes: BTreeSet<u32> = closed.copied().filter(|n| self.is_to_drain(*n)).collect();
        for node in nodes {
            self.claim(&[Object::Node(node)], Reason::Limit { node });
        }
    }

    /// Due, and not in work already: what is in work is not asked whether it may begin.
    fn is_to_drain(&self, node: u32) -> bool {
        let nodes = &self.problem.instance.nodes;
        nodes.is_due(node) && nodes.standing[node as usize] != Standing::UnderWay
    }

    fn claim_budgets(&mut self) {
        let problem = self.problem;
        let items = &problem.instance.items;
        let mut seen = BTreeSet::new();
        for item in 0..items.len() {
            let (node, budget, workload) = (items.node[item], items.budget[item], problem.workload_of[item]);
            let never = problem.budgets.get(budget as usize).is_some_and(|b| b.most == 0);
            if never && self.is_to_drain(node) && seen.insert((node, budget, workload)) {
                let objects = [Object::Node(node), Object::Budget(budget), Object::Workload(workload)];
                self.claim(&objects, Reason::NeverAllows { node, budget, workload });
            }
        }
        let mut seen = BTreeSet::new();
        for (item, budgets) in &problem.refused {
            let (node, workload) = (items.node[*item as usize], problem.workload_of[*item as usize]);
            let pairs = (1..budgets.len()).flat_map(|second| (0..second).map(move |first| (first, second)));
            for (first, second) in pairs {
                let budgets = [budgets[first], budgets[second]];
                if self.is_to_drain(node) && seen.insert((node, budgets, workload)) {
                    let [one, other] = budgets.map(Object::Budget);
                    let objects = [Object::Node(node), one, other, Object::Workload(workload)];
                    self.claim(&objects, Reason::ManyBudgets { node, budgets, workload });
                }
            }
        }
    }

    fn claim_guests(&mut self) {
        let problem = self.problem;
        let instance = &problem.instance;
        for (index, stranded) in problem.stranded.iter().enumerate() {
            let item = stranded.item as usize;
            let (node, workload) = (instance.items.node[item], problem.workload_of[item]);
            if self.is_to_drain(node) {
                let objects = [Object::Node(node), Object::Workload(workload)];
                self.claim(&objects, Reason::Stranded { node, stranded: index as u32, workload });
            }
        }
        let usable: Vec<u32> = (0..instance.nodes.len() as u32).filter(|n| self.is_usable(*n)).collect();
        // A shape's hosts but two are as good as all: one of the two isn't the item's own node.
        let fits = |shape: u32, node: u32| {
            let shape = &instance.shapes[shape as usize];
            let is_large_enough =
                instance.capacity(node).iter().zip(&shape.demand).all(|(has, asked)| has >= asked);
            is_large_enough && instance.classes[shape.class as usize].has(node)
        };
        let hosts: Vec<Vec<u32>> = (0..instance.shapes.len() as u32)
            .map(|shape| usable.iter().copied().filter(|n| fits(shape, *n)).take(2).collect())
            .collect();
        for item in 0..instance.items.len() {
            let (node, shape) = (instance.items.node[item], instance.items.shape[item] as usize);
            let moves = instance.items.way[item] == Way::Migration;
            if moves && self.is_to_drain(node) && !hosts[shape].iter().any(|n| *n != node) {
                let workload = problem.workload_of[item];
                let objects = [Object::Node(node), Object::Workload(workload)];
                self.claim(&objects, Reason::NoHost { node, workload });
            }
        }
    }

    fn claim_consents(&mut self) {
        let problem = self.problem;
        for (lack, index) in problem.lacks.iter().zip(0..) {
            let (node, workload) = (lack.node, lack.workload);
            if self.is_to_drain(node) {
                let setting = Object::Setting(lack.consent.setting());
                let objects = [Object::Node(node), Object::Workload(workload), setting];
                self.claim(&objects, Reason::Lacks { node, lack: index, workload });
            }
        }
    }

    /// In service at some time: in service now, or to come back from its own maintenance.
    fn is_usable(&self, node: u32) -> bool {
        let nodes = &self.problem.instance.nodes;
        nodes.is_due(node) || nodes.standing[node as usize] != Standing::Out
    }

    fn count_pins(&mut self) {
        let items = &self.problem.instance.items;
        let mut pins: BTreeMap<(u32, u32), BTreeMap<u32, u32>> = BTreeMap::new();
        for item in 0..items.len() {
            let (node, budget) = (items.node[item], items.budget[item]);
            if items.landing[item] == Landing::SameNode && budget != NONE && self.is_to_drain(node) {
                let counts = pins.entry((node, budget)).or_default();
                *counts.entry(self.problem.workload_of[item]).or_default() += 1;
            }
        }
        let too_many = |budget: u32, counts: &BTreeMap<u32, u32>| {
            counts.values().sum::<u32>() > self.problem.budgets[budget as usize].most
        };
        let pins = pins.into_iter().filter(|((_, budget), counts)| too_many(*budget, counts));
        self.pins = pins.map(|((node, budget), by_workload)| Pins { node, budget, by_workload }).collect();
    }

    /// Whether an item needs a place on another node while its own is away.
    fn needs_place(&self, item: usize) -> bool {
        self.problem.instance.items.landing[item] == Landing::Elsewhere
    }

    /// The classes by what is asked of them alone; those with the largest loads if there are too many.
    fn summed_classes(&self) -> Vec<u32> {
        let instance = &self.problem.instance;
        let mut weight = vec![0u64; instance.classes.len()];
        for item in 0..instance.items.len() {
            let shape = &instance.shapes[instance.items.shape[item] as usize];
            weight[shape.class as usize] += shape.demand.get(1).copied().unwrap_or(0);
        }
        let mut classes: Vec<u32> = (0..instance.classes.len() as u32).collect();
        classes.sort_by_key(|c| (std::cmp::Reverse(weight[*c as usize]), *c));
        classes.truncate(CLASSES);
        classes.sort_unstable();
        classes
    }

    /// Load against capacity for each class: whatever may only be on nodes of the class is on them. (Hall's condition, for the
    /// sets of nodes that classes make.) Only what is too much with everything is kept: less never becomes too much.
    fn sum_demands(&mut self) {
        let instance = &self.problem.instance;
        let usable: Vec<u32> = (0..instance.nodes.len() as u32).filter(|n| self.is_usable(*n)).collect();
        let within = |inner: &Class, outer: &Class| usable.iter().all(|n| !inner.has(*n) || outer.has(*n));
        let room = self.room();
        for class in self.summed_classes() {
            let outer = &instance.classes[class as usize];
            let inside: Vec<bool> = instance.classes.iter().map(|inner| within(inner, outer)).collect();
            let hosts: Vec<u32> = usable.iter().copied().filter(|n| outer.has(*n)).collect();
            if let Some(demand) = self.demand(class, &inside, &hosts, &room) {
                self.demands.push(demand);
            }
        }
    }

    /// What each node has room for, `room[node * resources + resource]`: its capacity, or what is on it now where that is more
    /// already. Nobody moves that away for being too much.
    fn room(&self) -> Vec<u64> {
        let instance = &self.problem.instance;
        let width = instance.resources.len();
        let mut loads = vec![0u64; instance.nodes.capacity.len()];
        for item in 0..instance.items.len() as u32 {
            let start = instance.items.node[item as usize] as usize * width;
            loads[start..].iter_mut().zip(instance.demand(item)).for_each(|(sum, asked)| *sum += asked);
        }
        loads.into_iter().zip(&instance.nodes.capacity).map(|(load, has)| load.max(*has)).collect()
    }

    /// Items that load a class of nodes: those that may be nowhere else, and stand on its nodes.
    fn loading<'s>(&'s self, class: u32, inside: &'s [bool]) -> impl Iterator<Item = usize> + 's {
        let instance = &self.problem.instance;
        let outer = &instance.classes[class as usize];
        (0..instance.items.len()).filter(move |item| {
            let items = &instance.items;
            let shape = &instance.shapes[items.shape[*item] as usize];
            inside[shape.class as usize]
                && items.landing[*item] != Landing::Nowhere
                && outer.has(items.node[*item])
                && self.is_usable(items.node[*item])
        })
    }

    fn demand(&self, class: u32, inside: &[bool], hosts: &[u32], room: &[u64]) -> Option<Demand> {
        let instance = &self.problem.instance;
        let width = instance.resources.len();
        let of_node = |node: u32| &room[node as usize * width..(node as usize + 1) * width];
        let mut there = vec![0u64; width];
        for node in hosts {
            add(&mut there, of_node(*node));
        }
        let mut asked = vec![0u64; width];
        let mut gone: BTreeMap<u32, Vec<u64>> = BTreeMap::new();
        let mut movers: BTreeSet<u32> = BTreeSet::new();
        for item in self.loading(class, inside) {
            let node = instance.items.node[item];
            add(&mut asked, instance.demand(item as u32));
            if !self.needs_place(item) {
                add(gone.entry(node).or_insert_with(|| vec![0; width]), instance.demand(item as u32));
            } else if self.is_to_drain(node) {
                movers.insert(node);
            }
        }
        let is_short = |node: &u32| {
            let gone = gone.get(node);
            (0..width).any(|r| asked[r] - gone.map_or(0, |g| g[r]) > there[r] - of_node(*node)[r])
        };
        movers.retain(is_short);
        if movers.is_empty() {
            return None;
        }
        let (mut loads, mut away) = (BTreeMap::new(), BTreeMap::new());
        for item in self.loading(class, inside) {
            let (node, workload) = (instance.items.node[item], self.problem.workload_of[item]);
            add(loads.entry(workload).or_insert_with(|| vec![0; width]), instance.demand(item as u32));
            if !self.needs_place(item) && movers.contains(&node) {
                let sum = away.entry((node, workload)).or_insert_with(|| vec![0; width]);
                add(sum, instance.demand(item as u32));
            }
        }
        let nodes = movers.into_iter().map(|node| {
            let gone = away.range((node, 0)..=(node, u32::MAX));
            let gone = gone.map(|((_, workload), load)| (*workload, load.clone())).collect();
            let left = there.iter().zip(of_node(node)).map(|(there, own)| there - own).collect();
            Short { node, there: left, gone }
        });
        Some(Demand { class, nodes: nodes.collect(), loads: loads.into_iter().collect() })
    }

    /// Pods to be kept apart against the places for them. Owners whose items may be on different sets of nodes are left out.
    fn count_crowds(&mut self) {
        let instance = &self.problem.instance;
        let hosts = Hosts::of(instance, |node| self.is_usable(node));
        let mut members: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
        for (item, owner) in instance.items.owner.iter().enumerate().filter(|(_, o)| **o != NONE) {
            if self.needs_place(item) && self.is_usable(instance.items.node[item]) {
                members.entry(*owner).or_default().push(item as u32);
            }
        }
        let class_of = |item: u32| instance.shapes[instance.items.shape[item as usize] as usize].class;
        for (owner, items) in members {
            let class = class_of(items[0]);
            if items.iter().all(|i| class_of(*i) == class) {
                self.crowds.extend(self.crowd(owner, class, &items, &hosts[class as usize]));
            }
        }
    }

    fn crowd(&self, owner: u32, class: u32, items: &[u32], hosts: &Hosts) -> Option<Crowd> {
        let instance = &self.problem.instance;
        let crowded = &instance.owners[owner as usize];
        let places = hosts.places(crowded.apart);
        let pods = items.len() as u64;
        // Enough without any one place.
        if pods <= u64::from(places.saturating_sub(1)) * u64::from(crowded.most) {
            return None;
        }
        let mut by_workload: BTreeMap<u32, u32> = BTreeMap::new();
        let mut on: BTreeMap<u32, (u32, BTreeSet<u32>)> = BTreeMap::new();
        let mut together: BTreeMap<Place, u32> = BTreeMap::new();
        for item in items {
            let (node, workload) =
                (instance.items.node[*item as usize], self.problem.workload_of[*item as usize]);
            *by_workload.entry(workload).or_default() += 1;
            let here = on.entry(node).or_default();
            here.0 += 1;
            here.1.insert(workload);
            if instance.classes[class as usize].has(node) {
                *together.entry(place(instance, crowded.apart, node)).or_default() += 1;
            }
        }
        // Where more are together already than may be, nobody moves them apart.
        let most = |now: u32| crowded.most.max(now);
        let taken: u64 = together.values().map(|now| u64::from(most(*now))).sum();
        let all = u64::from(places - together.len() as u32) * u64::from(crowded.most) + taken;
        let without = |node: u32, here: u32| {
            if !instance.classes[class as usize].has(node) {
                return all;
            }
            let at = place(instance, crowded.apart, node);
            let now = together.get(&at).copied().unwrap_or(0);
            let is_last = crowded.apart == Apart::Node || hosts.zones.get(&at).is_none_or(|n| *n == 1);
            let left = if is_last { 0 } else { most(now - here) };
            all - u64::from(most(now)) + u64::from(left)
        };
        let due = on.into_iter().filter(|(node, _)| self.is_to_drain(*node));
        let nodes = due.map(|(node, (here, workloads))| (node, without(node, here), workloads));
        let nodes: Vec<_> = nodes
            .filter(|(_, places, _)| pods > *places)
            .map(|(node, places, workloads)| (node, places as u32, workloads))
            .collect();
        (!nodes.is_empty()).then_some(Crowd { owner, by_workload, nodes })
    }

    /// Why the objects that are kept can't be maintained together; `None` if that isn't proven.
    pub fn check(&self, kept: &[bool]) -> Option<Reason> {
        let is_kept = |object: Object| kept[self.id(object) as usize];
        let holds = |set: &[u32]| set.iter().all(|id| kept[*id as usize]);
        if let Some((_, reason)) = self.claims.iter().find(|(set, _)| holds(set)) {
            return Some(reason.clone());
        }
        let pinned = self.pins.iter().find_map(|pins| {
            let Pins { node, budget, by_workload } = pins;
            let counted = by_workload.iter().filter(|(w, _)| is_kept(Object::Workload(**w)));
            let pods: u32 = counted.map(|(_, n)| n).sum();
            let is_too_many = pods > self.problem.budgets[*budget as usize].most;
            (is_too_many && is_kept(Object::Node(*node)) && is_kept(Object::Budget(*budget)))
                .then_some(Reason::Pinned { node: *node, budget: *budget, pods })
        });
        let is_workload = |w: u32| is_kept(Object::Workload(w));
        let is_node = |n: u32| is_kept(Object::Node(n));
        pinned
            .or_else(|| self.demands.iter().find_map(|d| self.short(d, &is_node, &is_workload)))
            .or_else(|| self.crowds.iter().find_map(|c| crowded(c, &is_node, &is_workload)))
    }

    fn short(
        &self,
        demand: &Demand,
        is_node: &dyn Fn(u32) -> bool,
        is_workload: &dyn Fn(u32) -> bool,
    ) -> Option<Reason> {
        let width = self.problem.instance.resources.len();
        let mut asked = vec![0u64; width];
        for (_, load) in demand.loads.iter().filter(|(w, _)| is_workload(*w)) {
            add(&mut asked, load);
        }
        demand.nodes.iter().filter(|short| is_node(short.node)).find_map(|short| {
            let mut left = asked.clone();
            for (_, gone) in short.gone.iter().filter(|(w, _)| is_workload(**w)) {
                left.iter_mut().zip(gone).for_each(|(left, gone)| *left -= gone);
            }
            let resource = (0..width).find(|r| left[*r] > short.there[*r])?;
            Some(Reason::Capacity {
                node: short.node,
                class: demand.class,
                resource: resource as u32,
                asked: left[resource],
                there: short.there[resource],
            })
        })
    }

    /// Objects that are a conflict for this reason, more than are needed: where a sum is too large, the largest parts of it.
    pub fn support(&self, reason: &Reason) -> Vec<u32> {
        let of_sum = |node: u32, mut parts: Vec<(u64, u32)>, limit: u64| {
            parts.sort_by_key(|(amount, workload)| (std::cmp::Reverse(*amount), *workload));
            let mut sum = 0;
            let mut objects = vec![self.id(Object::Node(node))];
            for (amount, workload) in parts {
                if sum > limit {
                    break;
                }
                sum += amount;
                objects.push(self.id(Object::Workload(workload)));
            }
            objects
        };
        match reason {
            Reason::Pinned { node, budget, .. } => {
                let pins = self.pins.iter().find(|p| p.node == *node && p.budget == *budget);
                let parts = pins.into_iter().flat_map(|p| &p.by_workload);
                let parts = parts.map(|(w, n)| (u64::from(*n), *w)).collect();
                let mut objects =
                    of_sum(*node, parts, u64::from(self.problem.budgets[*budget as usize].most));
                objects.push(self.id(Object::Budget(*budget)));
                objects
            }
            Reason::Capacity { node, class, resource, there, .. } => {
                let resource = *resource as usize;
                let demand = self.demands.iter().find(|d| d.class == *class);
                let short = demand.and_then(|d| d.nodes.iter().find(|s| s.node == *node));
                let gone = |w: &u32| short.and_then(|s| s.gone.get(w)).map_or(0, |load| load[resource]);
                let left = |w: &u32, load: &Vec<u64>| load[resource] - gone(w);
                let loads = demand.into_iter().flat_map(|d| &d.loads);
                of_sum(*node, loads.map(|(w, load)| (left(w, load), *w)).collect(), *there)
            }
            Reason::Crowded { node, owner, places, .. } => {
                let crowd = self.crowds.iter().find(|c| c.owner == *owner);
                let parts = crowd.into_iter().flat_map(|c| &c.by_workload);
                of_sum(*node, parts.map(|(w, n)| (u64::from(*n), *w)).collect(), u64::from(*places))
            }
            claim => {
                self.claims.iter().find(|(_, r)| r == claim).map(|(set, _)| set.clone()).unwrap_or_default()
            }
        }
    }

    /// Reasons that need no sums: what never works, whatever else there is.
    pub fn claims(&self) -> impl Iterator<Item = &Reason> {
        self.claims.iter().map(|(_, reason)| reason)
    }
}

fn crowded(
    crowd: &Crowd,
    is_node: &dyn Fn(u32) -> bool,
    is_workload: &dyn Fn(u32) -> bool,
) -> Option<Reason> {
    let pods: u32 = crowd.by_workload.iter().filter(|(w, _)| is_workload(**w)).map(|(_, n)| n).sum();
    let owner = crowd.owner;
    let too_few = |(node, places, moving): &&(u32, u32, BTreeSet<u32>)| {
        pods > *places && is_node(*node) && moving.iter().any(|w| is_workload(*w))
    };
    let found = crowd.nodes.iter().find(too_few)?;
    Some(Reason::Crowded { node: found.0, owner, pods, places: found.1 })
}
