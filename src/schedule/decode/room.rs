//! Where an item may land: free capacity of schedulable nodes, ordered so that a place is found in a few looks.

use std::collections::BTreeSet;

use crate::schedule::instance::{NONE, Way};
use crate::schedule::model::{Model, count_in};

/// Looks from the tightest fit upwards, and from the emptiest node downwards, before every node is tried.
const PROBES: usize = 8;

/// Which nodes are better refuges.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Refuge {
    /// In service for good: never due, or done. Filled up tightest fit first.
    Settled,
    /// Due, and late in the order: what lands here moves once more. The least loaded first.
    Late,
    /// Due, early in the order or at its very end.
    Early,
    /// Not schedulable.
    Closed,
}

const OPEN: [Refuge; 3] = [Refuge::Settled, Refuge::Late, Refuge::Early];

/// Capacity while a campaign goes on.
#[derive(Debug, Clone)]
pub(super) struct Room<'a> {
    model: &'a Model<'a>,
    free: Vec<i64>,
    key: Vec<u64>,
    refuge: Vec<Refuge>,
    sets: [BTreeSet<(u64, u32)>; 3],
    owned: Vec<Vec<(u32, u32)>>,
    /// Grows whenever capacity is freed on a schedulable node, or a node becomes schedulable.
    epoch: u32,
    /// The epoch in which a shape was last found to fit nowhere.
    full: Vec<u32>,
}

impl<'a> Room<'a> {
    pub(super) fn new(model: &'a Model<'a>) -> Self {
        let nodes = model.instance.nodes.len();
        let mut room = Self {
            model,
            free: model.free.clone(),
            key: vec![0; nodes],
            refuge: vec![Refuge::Closed; nodes],
            sets: Default::default(),
            owned: model.owned.clone(),
            epoch: 1,
            full: vec![0; model.instance.shapes.len()],
        };
        for node in 0..nodes as u32 {
            room.key[node as usize] = room.key_of(node);
        }
        room
    }

    fn free_of(&self, node: u32) -> &[i64] {
        let width = self.model.instance.resources.len();
        &self.free[node as usize * width..(node as usize + 1) * width]
    }

    fn key_of(&self, node: u32) -> u64 {
        self.model.key(self.free_of(node).iter().map(|f| (*f).max(0) as u64))
    }

    pub(super) fn refuge(&self, node: u32) -> Refuge {
        self.refuge[node as usize]
    }

    /// Puts a node into another class of refuges.
    pub(super) fn classify(&mut self, node: u32, refuge: Refuge) {
        let n = node as usize;
        let old = std::mem::replace(&mut self.refuge[n], refuge);
        if old == refuge {
            return;
        }
        if let Some(set) = self.sets.get_mut(old as usize) {
            set.remove(&(self.key[n], node));
        }
        if let Some(set) = self.sets.get_mut(refuge as usize) {
            set.insert((self.key[n], node));
        }
        if old == Refuge::Closed {
            self.epoch += 1;
        }
    }

    fn change(&mut self, node: u32, item: u32, sign: i64) {
        let width = self.model.instance.resources.len();
        let n = node as usize;
        for (r, need) in self.model.instance.demand(item).iter().enumerate() {
            self.free[n * width + r] += sign * *need as i64;
        }
        let key = self.key_of(node);
        let old = std::mem::replace(&mut self.key[n], key);
        if let Some(set) = self.sets.get_mut(self.refuge[n] as usize) {
            set.remove(&(old, node));
            set.insert((key, node));
            if sign > 0 {
                self.epoch += 1;
            }
        }
    }

    /// Takes a place on a node for the item, whose other place is `other`, or [`NONE`].
    pub(super) fn take(&mut self, node: u32, item: u32, other: u32) {
        self.change(node, item, -1);
        self.count(node, item, other, 1);
    }

    /// Gives the item's place on a node back; its other place is `other`, or [`NONE`].
    pub(super) fn give(&mut self, node: u32, item: u32, other: u32) {
        self.change(node, item, 1);
        self.count(node, item, other, -1);
    }

    /// Counts the item among its owner's in the node's domain, unless it is counted there for its other place.
    fn count(&mut self, node: u32, item: u32, other: u32, by: i32) {
        if let Some((owner, domain)) = self.model.domain(item, node)
            && !self.replaces(domain, item, other)
        {
            count_in(&mut self.owned[owner], domain, by);
        }
    }

    /// Whether an item that moves within the domain counts once: a pod's replacement takes the place of the pod, which leaves; a
    /// migrating VM is in both places.
    fn replaces(&self, domain: u32, item: u32, other: u32) -> bool {
        self.model.instance.items.way[item as usize] != Way::Migration && self.is_in(domain, item, other)
    }

    fn is_in(&self, domain: u32, item: u32, node: u32) -> bool {
        node != NONE && self.model.domain(item, node).is_some_and(|(_, of_node)| of_node == domain)
    }

    /// Whether the item, now on `from`, may land on the node instead of on `old`, which is kept for it ([`NONE`]: nothing is).
    pub(super) fn fits(&self, node: u32, item: u32, from: u32, old: u32) -> bool {
        let instance = self.model.instance;
        node != from
            && self.free_of(node).iter().zip(instance.demand(item)).all(|(f, d)| *d == 0 || *f >= *d as i64)
            && instance.may_host(node, item)
            && self.apart(node, item, from, old)
    }

    /// Whether the item's owner has room in the node's domain; what is counted there for the item itself is no hindrance.
    fn apart(&self, node: u32, item: u32, from: u32, old: u32) -> bool {
        let Some((owner, domain)) = self.model.domain(item, node) else {
            return true;
        };
        let counts = &self.owned[owner];
        let there = counts.binary_search_by_key(&domain, |c| c.0).map_or(0, |at| counts[at].1);
        let own = self.replaces(domain, item, from) || self.is_in(domain, item, old);
        there.saturating_sub(own.into()) < self.model.instance.owners[owner].most
    }

    /// The best refuge for an item that leaves `from`, no worse than `worst`, instead of `old` ([`NONE`]: it has none).
    pub(super) fn find(&mut self, item: u32, from: u32, old: u32, worst: Refuge) -> Option<u32> {
        let shape = self.model.instance.items.shape[item as usize] as usize;
        let alone = self.model.instance.items.owner[item as usize] == NONE;
        if alone && self.full[shape] == self.epoch {
            return None;
        }
        let found =
            OPEN.iter().filter(|r| **r <= worst).find_map(|refuge| self.find_in(*refuge, item, from, old));
        // `from` was never a candidate: it drains.
        if found.is_none() && alone && worst == Refuge::Early {
            self.full[shape] = self.epoch;
        }
        found
    }

    fn find_in(&self, refuge: Refuge, item: u32, from: u32, old: u32) -> Option<u32> {
        let set = &self.sets[refuge as usize];
        let need = self.model.shape_key[self.model.instance.items.shape[item as usize] as usize];
        if set.last().is_none_or(|(key, _)| *key < need) {
            return None;
        }
        let fits = |(_, node): &&(u64, u32)| self.fits(*node, item, from, old);
        let tight = || set.range((need, 0)..);
        let loose = || tight().rev();
        let probed = match refuge {
            Refuge::Settled => tight().take(PROBES).find(fits).or_else(|| loose().take(PROBES).find(fits)),
            Refuge::Late | Refuge::Early | Refuge::Closed => loose().take(2 * PROBES).find(fits),
        };
        probed.or_else(|| loose().skip(PROBES).find(fits)).map(|(_, node)| *node)
    }
}
