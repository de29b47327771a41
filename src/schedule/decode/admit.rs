//! Which node enters next: every rule that may hold it, and the lists on which held nodes wait.

use std::cmp::Reverse;

use super::room::Refuge;
use super::rules::{After, BudgetRule};
use super::world::{Event, Park, Phase, World};
use crate::schedule::forecast::Hold;
use crate::schedule::instance::{Landing, NONE, Standing, Strategy, UNLIMITED, Way};

/// Nodes that one freed budget unit, or one return, lets try again.
const TRIES: usize = 32;

/// Rank of the first admission; favours may lie before it.
const FIRST_RANK: u32 = 1 << 20;

impl World<'_> {
    /// Lets the next node enter that may; false: none may now.
    pub(super) fn admit_one(&mut self) -> bool {
        while let Some(Reverse(position)) = self.candidates.pop() {
            let node = self.rules.order[position as usize];
            let came_from = self.came_from[node as usize].take();
            let held = self.held(node).and_then(|()| self.keep_places(node));
            match held {
                Ok(()) => self.admit(node),
                Err((park, hold)) => {
                    self.hold[node as usize] = Some(hold);
                    self.came_from[node as usize] = Some(park);
                    self.parked.list(park).push(Reverse(position));
                }
            }
            // What woke this node may have room for another.
            if let Some(park @ (Park::Slots | Park::Limit(_))) = came_from {
                self.wake(park);
            }
            if held.is_ok() {
                return true;
            }
        }
        false
    }

    /// Lets nodes that are parked there try again: as many as may find room.
    pub(super) fn wake(&mut self, park: Park) {
        let tries = match park {
            Park::Slots => usize::from(self.slots_wanted < self.slot_limit()),
            Park::Limit(limit) => {
                usize::from(self.used[limit as usize] < self.model.instance.limits[limit as usize].most)
            }
            Park::Budget(_) | Park::Place => TRIES,
            Park::Opening | Park::Stage | Park::Wave(_) | Park::Group(_) | Park::Node(_) => usize::MAX,
        };
        for _ in 0..tries {
            let Some(position) = self.parked.list(park).pop() else { return };
            self.candidates.push(position);
        }
    }

    /// Every waiting node tries again.
    pub(super) fn wake_all(&mut self) {
        self.parked.drain_all(&mut self.candidates);
    }

    fn slot_limit(&self) -> u64 {
        u64::from(self.model.instance.slots.cluster) + u64::from(self.rules.spare_slots)
    }

    /// Why the node can't enter, places left aside: the first reason, cheap ones first.
    fn held(&self, node: u32) -> Result<(), (Park, Hold)> {
        let n = node as usize;
        let instance = self.model.instance;
        let group = instance.nodes.group[n];
        if self.group_waits[group as usize] > 0 {
            return Err((Park::Group(group), Hold::Group { group }));
        }
        if instance.strategy == Strategy::Waves && self.wave_closed[group as usize] {
            return Err((Park::Wave(group), Hold::Wave { group }));
        }
        if self.rules.stages.get(n).is_some_and(|stage| *stage as usize > self.stage) {
            return Err((Park::Stage, Hold::Stage));
        }
        if !self.any_returned && self.score.opened >= self.rules.opening && self.active > 0 {
            return Err((Park::Opening, Hold::Opening));
        }
        let full = |l: &&u32| self.used[**l as usize] >= instance.limits[**l as usize].most;
        let out = instance.nodes.standing[n] == Standing::Out;
        if let Some(limit) = self.model.facts.limits_of.of(node).iter().find(full).filter(|_| !out) {
            return Err((Park::Limit(*limit), Hold::Limit { limit: *limit }));
        }
        if self.inbound[n] > 0 {
            return Err((Park::Node(node), Hold::Inbound));
        }
        if let Some(after) = self.rules.after.iter().find(|a| a.node == node && self.waits(a)) {
            return Err((Park::Node(after.first), Hold::After { node: after.first }));
        }
        if self.migrations_on[n] > 0
            && self.rules.spare_slots != UNLIMITED
            && self.slots_wanted >= self.slot_limit()
        {
            return Err((Park::Slots, Hold::Slots));
        }
        match self.short_budget(node) {
            Some(budget) => Err((Park::Budget(budget), Hold::Budget { budget })),
            None => Ok(()),
        }
    }

    /// Whether what the order wants first has not come to pass, and still can without this node.
    fn waits(&self, after: &After) -> bool {
        match self.phase[after.first as usize] {
            Phase::Waiting => !self.desperate,
            Phase::Head | Phase::Draining | Phase::Tail => after.back && !self.desperate,
            Phase::Done => false,
        }
    }

    /// What the node's items take from each budget.
    fn takes(&self, node: u32) -> Vec<(u32, i64)> {
        let items = self.model.facts.items_on.of(node).iter().chain(&self.arrivals[node as usize]);
        let budgets = items.map(|i| self.model.instance.items.budget[*i as usize]);
        let mut budgets: Vec<u32> = budgets.filter(|b| *b != NONE).collect();
        budgets.sort_unstable();
        budgets.chunk_by(|a, b| a == b).map(|same| (same[0], same.len() as i64)).collect()
    }

    /// The first budget that doesn't allow what the node takes from it.
    fn short_budget(&self, node: u32) -> Option<u32> {
        let rule = self.rules.budget_rule(node);
        if rule == BudgetRule::Ignore || (self.desperate && rule != BudgetRule::Whole) {
            return None;
        }
        let short = |(budget, takes): &(u32, i64)| {
            let b = *budget as usize;
            let units = i64::from(self.model.facts.units[b]);
            match rule {
                BudgetRule::Whole => self.free_units[b] - self.claimed[b] < (*takes).min(units),
                BudgetRule::Queue => self.claimed[b] > 0,
                BudgetRule::Soon => self.claimed[b] > units,
                BudgetRule::Ignore => false,
            }
        };
        self.takes(node).iter().find(|one| short(one)).map(|(budget, _)| *budget)
    }

    /// Keeps a place for each item of the node, and new ones for items that were to come to it; all or none.
    fn keep_places(&mut self, node: u32) -> Result<(), (Park, Hold)> {
        if !self.reserves() {
            return Ok(());
        }
        let opened = self.any_returned || self.score.opened >= self.rules.opening;
        let bounded = opened && self.active > 0 && !self.desperate;
        let mut unsettled = if bounded { self.rules.unsettled } else { UNLIMITED };
        let Some(mut room) = self.room.take() else { return Ok(()) };
        let before = room.refuge(node);
        room.classify(node, Refuge::Closed);
        let mut kept: Vec<(u32, u32)> = Vec::new();
        let mut missing = None;
        for item in self.to_place(node) {
            let old = self.target[item as usize];
            let moves_again = old == NONE && self.model.instance.items.way[item as usize] != Way::Eviction;
            let worst = if moves_again && unsettled == 0 { Refuge::Settled } else { Refuge::Early };
            let from = self.place[item as usize];
            let Some(target) = room.find(item, from, old, worst) else {
                missing = Some(item);
                break;
            };
            if moves_again && unsettled != UNLIMITED && room.refuge(target) != Refuge::Settled {
                unsettled -= 1;
            }
            if old != NONE {
                room.give(old, item, from);
            }
            room.take(target, item, from);
            kept.push((item, old));
            self.target[item as usize] = target;
        }
        let result = match missing {
            None => {
                for (item, _) in &kept {
                    self.promised[self.target[*item as usize] as usize].push(*item);
                }
                self.promised[node as usize].clear();
                Ok(())
            }
            Some(item) => {
                for (item, old) in kept.into_iter().rev() {
                    let from = self.place[item as usize];
                    room.give(self.target[item as usize], item, from);
                    if old != NONE {
                        room.take(old, item, from);
                    }
                    self.target[item as usize] = old;
                }
                room.classify(node, before);
                Err((Park::Place, Hold::Place { item }))
            }
        };
        self.room = Some(room);
        result
    }

    /// Keeps a place for each item of a node that is under way already, as far as there is one: what leaves later finds it still free.
    pub(super) fn keep_what_fits(&mut self, node: u32) {
        if !self.reserves() {
            return;
        }
        let Some(mut room) = self.room.take() else { return };
        for item in self.to_place(node) {
            let from = self.place[item as usize];
            if let Some(target) = room.find(item, from, NONE, Refuge::Early) {
                room.take(target, item, from);
                self.target[item as usize] = target;
                self.promised[target as usize].push(item);
            }
        }
        self.room = Some(room);
    }

    /// Items that need a place before the node may enter: those promised to it, then its own, the largest first.
    fn to_place(&self, node: u32) -> Vec<u32> {
        let instance = self.model.instance;
        let promised = self.promised[node as usize].iter().copied();
        let promised = promised.filter(|i| self.target[*i as usize] == node && !self.started[*i as usize]);
        let own = self.model.facts.items_on.of(node).iter().chain(&self.arrivals[node as usize]).copied();
        let mut own: Vec<u32> =
            own.filter(|i| instance.items.landing[*i as usize] == Landing::Elsewhere).collect();
        let size = |item: &u32| self.model.shape_key[instance.items.shape[*item as usize] as usize];
        own.sort_by_key(|item| (Reverse(size(item)), *item));
        promised.chain(own).collect()
    }

    /// The node enters.
    pub(super) fn admit(&mut self, node: u32) {
        let n = node as usize;
        let instance = self.model.instance;
        self.phase[n] = Phase::Head;
        self.start[n] = self.now;
        self.waited_for[n] = self.hold[n].map_or(NONE, |hold| self.ended_by(hold, node));
        if let Some(room) = &mut self.room {
            room.classify(node, Refuge::Closed);
        }
        if instance.nodes.standing[n] != Standing::Out {
            for limit in self.model.facts.limits_of.of(node) {
                self.used[*limit as usize] += 1;
            }
            self.away_now += 1;
        }
        for (budget, takes) in self.takes(node) {
            self.claimed[budget as usize] += takes;
        }
        self.wave_active[instance.nodes.group[n] as usize] += 1;
        self.active += 1;
        self.score.opened += u32::from(!self.any_returned);
        self.drains[n].seq = self.rank(node);
        self.admitted += 1;
        self.drains[n].queue = self.queue_of(node);
        self.drains[n].migrations_left = self.migrations_on[n];
        self.slots_wanted += self.wanted(&self.drains[n]);
        self.move_cut();
        self.freed.nodes[n] = node;
        self.wake(Park::Node(node));
        match instance.nodes.head[n] {
            0 => self.head_over(node),
            head => self.at(self.now + head, Event::HeadOver(node)),
        }
    }

    /// Whose turn it is when slots and units are given out: the earliest admitted, favours aside.
    fn rank(&self, node: u32) -> u32 {
        let favour = self.rules.favours.iter().find(|(n, _)| *n == node).map_or(0, |(_, by)| *by);
        // Two for each admission, so that a favour lies between two of them.
        (2 * self.admitted + FIRST_RANK).saturating_add_signed(2 * favour + favour.signum())
    }

    /// The later half of the order begins later, the more of it has entered.
    fn move_cut(&mut self) {
        let total = self.rules.order.len() as u32;
        let entered = |at: u32| self.phase[self.rules.order[at as usize] as usize] != Phase::Waiting;
        while self.frontier < total && entered(self.frontier) {
            self.frontier += 1;
        }
        let cut = self.frontier.midpoint(total);
        let Some(mut room) = self.room.take() else { return };
        for at in std::mem::replace(&mut self.cut, cut)..cut {
            let node = self.rules.order[at as usize];
            if room.refuge(node) == Refuge::Late {
                room.classify(node, Refuge::Early);
            }
        }
        self.room = Some(room);
    }

    /// The node whose progress ended a hold.
    fn ended_by(&self, hold: Hold, node: u32) -> u32 {
        match hold {
            Hold::Group { group } => self.freed.groups[group as usize],
            Hold::Wave { .. } | Hold::Stage | Hold::Opening | Hold::Place { .. } => self.freed.returned,
            Hold::Limit { limit } => self.freed.limits[limit as usize],
            Hold::Slots => self.freed.slots,
            Hold::Budget { budget } => self.freed.budgets[budget as usize],
            Hold::Inbound => self.freed.nodes[node as usize],
            Hold::After { node } => node,
        }
    }

    /// What a node's return frees beside its capacity: limits, its group, its wave, its stage.
    pub(super) fn close_visit(&mut self, node: u32) {
        let n = node as usize;
        let instance = self.model.instance;
        let group = instance.nodes.group[n];
        if instance.nodes.standing[n] != Standing::Out {
            self.away_now -= 1;
            for limit in self.model.facts.limits_of.of(node) {
                self.used[*limit as usize] -= 1;
                self.freed.limits[*limit as usize] = node;
                self.wake(Park::Limit(*limit));
            }
            let settled = self.settled();
            if let Some(room) = &mut self.room {
                room.classify(node, settled);
            }
        }
        self.wake(Park::Node(node));
        self.wave_active[group as usize] -= 1;
        self.wave_closed[group as usize] = self.wave_active[group as usize] > 0;
        if !self.wave_closed[group as usize] {
            self.wake(Park::Wave(group));
        }
        self.group_left[group as usize] -= 1;
        if self.group_left[group as usize] == 0 && self.group_waits[group as usize] == 0 {
            self.group_through(group);
        }
        if let Some(stage) = self.rules.stages.get(n) {
            self.stage_left[*stage as usize] -= 1;
            while self.stage_left.get(self.stage).is_some_and(|left| *left == 0) {
                self.stage += 1;
            }
            self.wake(Park::Stage);
        }
    }

    /// A group is through: what comes after it begins when it has soaked.
    pub(super) fn group_through(&mut self, group: u32) {
        let soaked = self.now + self.model.instance.groups[group as usize].soak;
        for later in 0..self.model.instance.groups.len() as u32 {
            for _ in self.model.instance.groups[later as usize].after.iter().filter(|b| **b == group) {
                self.freed.groups[later as usize] = self.freed.returned;
                self.at(soaked, Event::GroupBegins(later));
            }
        }
    }

    pub(super) fn group_begins(&mut self, group: u32) {
        let g = group as usize;
        self.group_waits[g] -= 1;
        if self.group_waits[g] == 0 {
            self.wake(Park::Group(group));
            if self.group_left[g] == 0 {
                self.group_through(group);
            }
        }
    }
}
