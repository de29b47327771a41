//! Workloads that keep their pods apart, and pods that can come up again only where they were.

use std::collections::BTreeMap;

use super::Workload;
use crate::inventory::{HostPort, Inventory, Pod, PodTerm, Spread, ZONE};
use crate::schedule::hosts::{Hosts, Place, place};
use crate::schedule::instance::{Apart, Instance, Landing, NONE, Owner, Standing, UNLIMITED, Way};

/// What keeps pods apart; equal for those that are kept apart from each other.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Key<'a> {
    Term(&'a PodTerm),
    Spread(&'a str, &'a Spread),
    Ports(&'a [HostPort]),
}

/// Owners, each once.
#[derive(Debug, Default)]
pub(super) struct Owners<'a> {
    by_key: BTreeMap<Key<'a>, u32>,
    keys: Vec<Key<'a>>,
    /// The first workload of each.
    workloads: Vec<u32>,
    /// Pods of a workload come one after the other.
    last: Option<(Key<'a>, u32)>,
}

impl Key<'_> {
    /// The label of nodes that says what one place is; of host ports that is the node itself.
    fn topology(&self) -> Option<&str> {
        match self {
            Self::Term(term) => Some(&term.topology_key),
            Self::Spread(_, spread) => Some(&spread.topology_key),
            Self::Ports(_) => None,
        }
    }

    /// The very same constraint, not only an equal one.
    fn is(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Term(one), Self::Term(other)) => std::ptr::eq(*one, *other),
            (Self::Spread(here, one), Self::Spread(there, other)) => {
                std::ptr::eq(*one, *other) && here == there
            }
            (Self::Ports(one), Self::Ports(other)) => std::ptr::eq(*one, *other),
            _ => false,
        }
    }
}

/// A place by another label than that of a zone is taken to be the node: less than what is asked, never more.
fn domain(topology_key: &str) -> Apart {
    if topology_key == ZONE { Apart::Zone } else { Apart::Node }
}

/// Whether something keeps a pod apart from its own kind.
pub(super) fn is_kept(pod: &Pod) -> bool {
    key(pod).is_some()
}

fn key(pod: &Pod) -> Option<Key<'_>> {
    let namespace = pod.name.namespace.as_str();
    let needs = &pod.needs;
    // A pod apart from others than its own kind is not one of a set that can be counted.
    let own = |term: &&PodTerm| !term.is_of_guest() && term.means(namespace, &pod.labels);
    let terms = || needs.apart.iter().filter(own);
    let strictest = terms().find(|t| domain(&t.topology_key) == Apart::Zone).or_else(|| terms().next());
    if let Some(term) = strictest {
        return Some(Key::Term(term));
    }
    let selects = |s: &&Spread| s.selector.as_ref().is_some_and(|s| s.selects(&pod.labels));
    if let Some(spread) = needs.spread.iter().find(selects) {
        return Some(Key::Spread(namespace, spread));
    }
    (!needs.host_ports.is_empty()).then_some(Key::Ports(&needs.host_ports))
}

impl<'a> Owners<'a> {
    /// The owner of a pod that leaves, or [`NONE`].
    pub fn of(&mut self, pod: &'a Pod, workload: u32) -> u32 {
        let Some(key) = key(pod) else { return NONE };
        if let Some((last, id)) = &self.last
            && last.is(&key)
        {
            return *id;
        }
        let next = self.keys.len() as u32;
        let id = *self.by_key.entry(key.clone()).or_insert(next);
        if id == next {
            self.keys.push(key.clone());
            self.workloads.push(workload);
        }
        self.last = Some((key, id));
        id
    }

    /// Fills in the owners, with how many of their items may be together.
    pub fn finish(self, instance: &mut Instance, workloads: &[Workload], inventory: &Inventory) {
        let mut items: Vec<Vec<u32>> = vec![Vec::new(); self.keys.len()];
        for (item, owner) in instance.items.owner.iter().enumerate().filter(|(_, o)| **o != NONE) {
            items[*owner as usize].push(item as u32);
        }
        let hosts = Hosts::of(instance, |_| true);
        let mut lacking: BTreeMap<&str, Vec<u32>> = BTreeMap::new();
        for ((key, workload), items) in self.keys.iter().zip(self.workloads).zip(&items) {
            let (apart, mut most) = match key {
                Key::Term(term) => (domain(&term.topology_key), 1),
                Key::Ports(_) => (Apart::Node, 1),
                Key::Spread(_, spread) => {
                    let apart = domain(&spread.topology_key);
                    (apart, largest(instance, spread, apart, items, &hosts))
                }
            };
            // A node without the label is no place of it: nothing is kept apart there, which can't be said of one node alone.
            if let Some(topology) = key.topology() {
                let lacking = lacking.entry(topology).or_insert_with(|| lacking_nodes(inventory, topology));
                if lacking.iter().any(|node| items.iter().any(|item| instance.may_host(*node, *item))) {
                    most = UNLIMITED;
                }
            }
            instance.owners.push(Owner { name: workloads[workload as usize].to_string(), apart, most });
        }
    }
}

/// Nodes without a label, by their ids: those of their names' order.
fn lacking_nodes(inventory: &Inventory, key: &str) -> Vec<u32> {
    let nodes = (0..).zip(inventory.nodes().values());
    nodes.filter(|(_, node)| !node.labels.contains_key(key)).map(|(id, _)| id).collect()
}

/// With T pods over D places and a skew of s, one place has (T + s·(D−1)) ÷ D at most: s more than each of the others. As many as
/// there are now are allowed in any case: nobody moves them for that.
fn largest(instance: &Instance, spread: &Spread, apart: Apart, items: &[u32], hosts: &[Hosts]) -> u32 {
    let Some(first) = items.first() else { return 1 };
    let class = instance.shapes[instance.items.shape[*first as usize] as usize].class;
    let places = hosts[class as usize].places(apart).max(1);
    let mut counts: BTreeMap<Place, u32> = BTreeMap::new();
    for item in items {
        *counts.entry(place(instance, apart, instance.items.node[*item as usize])).or_default() += 1;
    }
    let now = counts.values().max().copied().unwrap_or(0);
    ((items.len() as u32 + spread.max_skew * (places - 1)) / places).max(now).max(1)
}

/// Pods for which no other node than their own is left wait for its return. `empty`: what nodes have while nothing is on them but
/// what never leaves; that others are full at the moment pins nobody.
pub(super) fn pin(instance: &mut Instance, empty: &[u64]) {
    let width = instance.resources.len();
    let usable: Vec<u32> = (0..instance.nodes.len() as u32)
        .filter(|n| instance.nodes.standing[*n as usize] != Standing::Out)
        .collect();
    let of_class: Vec<Vec<u32>> = instance
        .classes
        .iter()
        .map(|class| usable.iter().copied().filter(|n| class.has(*n)).collect())
        .collect();
    let mut counts: BTreeMap<(u32, Place), u32> = BTreeMap::new();
    for item in 0..instance.items.len() {
        if let Some(at) = counted_at(instance, item, instance.items.node[item]) {
            *counts.entry(at).or_default() += 1;
        }
    }
    for item in 0..instance.items.len() {
        let items = &instance.items;
        if items.way[item] == Way::Migration || items.landing[item] != Landing::Elsewhere {
            continue;
        }
        let own = items.node[item];
        let class = instance.shapes[items.shape[item] as usize].class as usize;
        let home = counted_at(instance, item, own);
        let most = instance.owners.get(items.owner[item] as usize).map_or(0, |o| o.most);
        let asked = instance.demand(item as u32);
        // Its leaving makes room at its own place.
        let has_room = |node: u32| {
            let at = counted_at(instance, item, node);
            let has = &empty[node as usize * width..];
            let is_large_enough = has.iter().zip(asked).all(|(has, asked)| has >= asked);
            is_large_enough
                && at.is_none_or(|at| Some(at) == home || counts.get(&at).copied().unwrap_or(0) < most)
        };
        if !of_class[class].iter().any(|n| *n != own && has_room(*n)) {
            instance.items.landing[item] = Landing::SameNode;
        }
    }
}

/// Where an item counts for its owner.
fn counted_at(instance: &Instance, item: usize, node: u32) -> Option<(u32, Place)> {
    let owner = instance.items.owner[item];
    let apart = instance.owners.get(owner as usize)?.apart;
    Some((owner, place(instance, apart, node)))
}
