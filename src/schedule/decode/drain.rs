//! A drain under way: which items start, what they take, and what comes free when they have left.

use super::room::Refuge;
use super::rules::Placing;
use super::world::{Drain, Event, Park, Phase, World};
use crate::schedule::facts::sort_key;
use crate::schedule::forecast::{Hold, Move, RETRY};
use crate::schedule::instance::{Landing, NONE, UNLIMITED, Way};

impl World<'_> {
    /// The drain's items, the next one at the end.
    pub(super) fn queue_of(&self, node: u32) -> Vec<u32> {
        let mut queue: Vec<u32> = self.model.facts.items_on.of(node).to_vec();
        queue.extend(&self.arrivals[node as usize]);
        let instance = self.model.instance;
        if !self.rules.shifts.is_empty() {
            let shift =
                |item: u32| self.rules.shifts.iter().find(|(i, _)| *i == item).map_or(0, |(_, by)| *by);
            queue.sort_by_cached_key(|item| {
                let (tier, rest, leave, id) = sort_key(instance, *item);
                (tier, rest, shift(*item) - leave.0 as i64, id)
            });
        } else if !self.arrivals[node as usize].is_empty() {
            queue.sort_by_cached_key(|item| sort_key(instance, *item));
        }
        queue.reverse();
        queue
    }

    pub(super) fn head_over(&mut self, node: u32) {
        self.phase[node as usize] = Phase::Draining;
        self.next_tier(node);
    }

    /// Takes the next tier's items out of the queue; without any the node is drained.
    fn next_tier(&mut self, node: u32) {
        let n = node as usize;
        let tiers = &self.model.instance.items.tier;
        let Some(tier) = self.drains[n].queue.last().map(|i| tiers[*i as usize]) else {
            self.phase[n] = Phase::Tail;
            self.drained[n] = self.now;
            self.at(self.now + self.model.instance.nodes.tail[n], Event::NodeReturns(node));
            return;
        };
        let mut drain = std::mem::take(&mut self.drains[n]);
        let from = drain.queue.iter().rposition(|i| tiers[*i as usize] != tier).map_or(0, |at| at + 1);
        let items = drain.queue.split_off(from);
        drain.left_in_tier = items.len() as u32;
        let (migrations, others): (Vec<u32>, Vec<u32>) =
            items.into_iter().partition(|i| self.is_migration(*i));
        drain.migrations = migrations;
        self.drains[n] = drain;
        self.offer(node);
        for item in others.into_iter().rev() {
            self.start_eviction(item, node);
        }
    }

    /// Puts the node among those that can use a slot, if it can.
    fn offer(&mut self, node: u32) {
        let drain = &self.drains[node as usize];
        if !drain.migrations.is_empty() && drain.running < self.model.instance.slots.per_node {
            self.startable.insert((drain.seq, node));
        }
    }

    /// Starts migrations while there are slots, the earliest admitted node first, and evictions whose budget has a unit again.
    pub(super) fn start_items(&mut self) {
        if std::mem::take(&mut self.homeless_dirty) {
            self.retry_homeless();
        }
        while let Some(budget) = self.unit_freed.pop() {
            while self.free_units[budget as usize] > 0 {
                let Some((_, item)) = self.queues[budget as usize].pop_first() else { break };
                let node = self.place[item as usize];
                if let Some(since) = self.waiting_since.get(item as usize) {
                    self.score.refused += (self.now - since).div_ceil(RETRY) as u32;
                }
                self.start_eviction(item, node);
            }
        }
        while self.slots_used < self.model.instance.slots.cluster {
            let Some((seq, node)) = self.startable.first().copied() else { return };
            let n = node as usize;
            if let Some(item) = self.drains[n].migrations.pop() {
                if self.bind(item, node) {
                    self.drains[n].running += 1;
                    self.slots_used += 1;
                    self.start(item, node);
                } else {
                    self.keep_homeless(item, node);
                }
            }
            let drain = &self.drains[n];
            if drain.migrations.is_empty() || drain.running >= self.model.instance.slots.per_node {
                self.startable.remove(&(seq, node));
            }
        }
    }

    /// Evicts or restarts an item if its budget and a place allow it; else it waits for them.
    fn start_eviction(&mut self, item: u32, node: u32) {
        let budget = self.model.instance.items.budget[item as usize];
        if budget != NONE && self.free_units[budget as usize] <= 0 {
            self.queues[budget as usize].insert((self.drains[node as usize].seq, item));
            if let Some(since) = self.waiting_since.get_mut(item as usize) {
                *since = self.now;
            }
            return;
        }
        if !self.bind(item, node) {
            self.keep_homeless(item, node);
            return;
        }
        if budget != NONE {
            self.free_units[budget as usize] -= 1;
            self.claimed[budget as usize] -= 1;
        }
        self.start(item, node);
    }

    fn keep_homeless(&mut self, item: u32, node: u32) {
        if self.drains[node as usize].homeless.is_empty() {
            self.homeless.push(node);
        }
        self.drains[node as usize].homeless.push(item);
    }

    fn retry_homeless(&mut self) {
        let mut nodes = std::mem::take(&mut self.homeless);
        nodes.sort_by_key(|n| self.drains[*n as usize].seq);
        for node in nodes {
            for item in std::mem::take(&mut self.drains[node as usize].homeless) {
                if self.is_migration(item) {
                    self.drains[node as usize].migrations.push(item);
                } else {
                    self.start_eviction(item, node);
                }
            }
            self.offer(node);
        }
    }

    /// Settles where the item goes, now that it starts; false: nowhere.
    fn bind(&mut self, item: u32, node: u32) -> bool {
        let elsewhere = self.model.instance.items.landing[item as usize] == Landing::Elsewhere;
        if !elsewhere || self.room.is_none() {
            return true;
        }
        let Some(mut room) = self.room.take() else { return true };
        let old = self.target[item as usize];
        let wished = self.rules.targets.iter().find(|(i, _)| *i == item).map(|(_, target)| *target);
        let wished = wished
            .filter(|t| *t != old && room.refuge(*t) != Refuge::Closed && room.fits(*t, item, node, old));
        let better = match (old, wished) {
            (_, Some(target)) => Some(target),
            (NONE, _) => room.find(item, node, old, Refuge::Early),
            (old, _) if room.refuge(old) > Refuge::Settled => room.find(item, node, old, Refuge::Settled),
            _ => None,
        };
        if let Some(target) = better {
            if old != NONE {
                room.give(old, item, node);
            }
            room.take(target, item, node);
            self.target[item as usize] = target;
        }
        self.room = Some(room);
        self.target[item as usize] != NONE
    }

    /// The item starts: what it needs is taken.
    fn start(&mut self, item: u32, node: u32) {
        let i = item as usize;
        let items = &self.model.instance.items;
        let target = self.target[i];
        self.started[i] = true;
        let left = self.now + items.leave[i];
        let ready = match items.landing[i] {
            Landing::Elsewhere => self.now + items.ready[i].max(items.leave[i]),
            Landing::SameNode | Landing::Nowhere => left,
        };
        if target != NONE {
            self.inbound[target as usize] += 1;
        }
        self.at(left, Event::ItemLeft(item));
        if ready > left {
            self.at(ready, Event::ItemReady(item));
        }
        if let Some(log) = &mut self.log {
            let to = (target != NONE).then_some(target);
            log.push(Move { item, from: node, to, start: self.now, left, ready });
        }
        if items.landing[i] == Landing::Elsewhere {
            match items.way[i] {
                Way::Eviction => self.score.extra_evictions += 1,
                Way::Migration | Way::Restart => self.score.extra_moves += 1,
            }
        }
    }

    pub(super) fn item_left(&mut self, item: u32) {
        let i = item as usize;
        let node = self.place[i];
        let n = node as usize;
        let landing = self.model.instance.items.landing[i];
        if landing != Landing::SameNode
            && let Some(room) = &mut self.room
        {
            room.give(node, item, self.target[i]);
        }
        if self.is_migration(item) {
            let wanted = self.wanted(&self.drains[n]);
            self.slots_used -= 1;
            self.drains[n].running -= 1;
            self.drains[n].migrations_left -= 1;
            self.migrations_on[n] -= 1;
            self.slots_wanted = self.slots_wanted - wanted + self.wanted(&self.drains[n]);
            self.freed.slots = node;
            self.offer(node);
            self.wake(Park::Slots);
        }
        if self.target[i] != NONE {
            let target = self.target[i];
            self.arrivals[target as usize].push(item);
            self.migrations_on[target as usize] += u32::from(self.is_migration(item));
        }
        // Only a replacement that is not Ready yet is waited for.
        let items = &self.model.instance.items;
        if landing != Landing::Elsewhere || items.ready[i] <= items.leave[i] {
            self.place[i] = if landing == Landing::Elsewhere { self.target[i] } else { node };
            self.settle_item(item, node);
        }
        self.drains[n].left_in_tier -= 1;
        if self.drains[n].left_in_tier == 0 {
            self.next_tier(node);
        }
    }

    pub(super) fn item_ready(&mut self, item: u32) {
        let i = item as usize;
        let from = self.place[i];
        if self.model.instance.items.landing[i] == Landing::SameNode {
            self.free_unit(self.model.instance.items.budget[i], from);
            return;
        }
        self.place[i] = self.target[i];
        self.settle_item(item, from);
    }

    /// The item is Ready where it went, or gone for good.
    fn settle_item(&mut self, item: u32, from: u32) {
        let i = item as usize;
        let target = std::mem::replace(&mut self.target[i], NONE);
        let landing = self.model.instance.items.landing[i];
        let budget = self.model.instance.items.budget[i];
        if budget != NONE && landing != Landing::SameNode {
            self.free_unit(budget, from);
        }
        if target != NONE {
            self.started[i] = false;
            self.inbound[target as usize] -= 1;
            if self.inbound[target as usize] == 0 {
                self.freed.nodes[target as usize] = from;
                self.wake(Park::Node(target));
            }
        }
    }

    /// A budget has one unit more.
    pub(super) fn free_unit(&mut self, budget: u32, by: u32) {
        if budget == NONE {
            return;
        }
        self.free_units[budget as usize] += 1;
        self.freed.budgets[budget as usize] = by;
        self.unit_freed.push(budget);
        self.wake(Park::Budget(budget));
    }

    /// Slots that a drain can use at once.
    pub(super) fn wanted(&self, drain: &Drain) -> u64 {
        let per_node = self.model.instance.slots.per_node;
        u64::from(if per_node == UNLIMITED {
            drain.migrations_left
        } else {
            drain.migrations_left.min(per_node)
        })
    }

    /// The node is back in service.
    pub(super) fn node_returns(&mut self, node: u32) {
        let n = node as usize;
        let instance = self.model.instance;
        self.phase[n] = Phase::Done;
        self.end[n] = self.now;
        self.active -= 1;
        self.any_returned = true;
        self.freed.returned = node;
        self.score.makespan = self.score.makespan.max(self.now);
        self.score.time_away += self.now - self.start[n];
        for item in self.model.facts.items_on.of(node) {
            let i = *item as usize;
            if instance.items.landing[i] == Landing::SameNode && instance.items.budget[i] != NONE {
                self.at(self.now + instance.items.ready[i], Event::ItemReady(*item));
            }
        }
        self.close_visit(node);
        self.homeless_dirty = true;
        self.wake(Park::Opening);
        self.wake(Park::Place);
    }

    /// What holds a node that never came to its end.
    pub(super) fn last_hold(&self, node: u32) -> Hold {
        let drain = &self.drains[node as usize];
        if let Some(item) = drain.homeless.first() {
            return Hold::Place { item: *item };
        }
        let queued = self.queues.iter().position(|q| q.iter().any(|(_, i)| self.place[*i as usize] == node));
        match (self.phase[node as usize], queued) {
            (Phase::Waiting, _) => self.hold[node as usize].unwrap_or(Hold::Inbound),
            (_, Some(budget)) => Hold::Budget { budget: budget as u32 },
            (_, None) => Hold::Slots,
        }
    }

    /// Whether every admitted item has its place kept.
    pub(super) fn reserves(&self) -> bool {
        self.rules.placing == Placing::Reserve
    }
}
