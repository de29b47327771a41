//! The state of a campaign while a decode plays it, and the clock.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap};

use super::room::{Refuge, Room};
use super::rules::{Placing, Rules};
use crate::schedule::forecast::{Hold, Move, Score};
use crate::schedule::instance::{Millis, NONE, Standing, Way};
use crate::schedule::model::Model;

/// Where a due node stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    Waiting,
    Head,
    Draining,
    Tail,
    Done,
}

/// What happens at a moment; at the same moment in this order, then by id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Event {
    BudgetReturns(u32),
    ItemReady(u32),
    ItemLeft(u32),
    HeadOver(u32),
    NodeReturns(u32),
    GroupBegins(u32),
}

/// What a waiting node is parked on, until it is freed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Park {
    Slots,
    Place,
    Opening,
    Stage,
    Wave(u32),
    Group(u32),
    Limit(u32),
    Budget(u32),
    /// Woken by a single event on another node, or on this one.
    Node(u32),
}

/// A drain under way.
#[derive(Debug, Clone, Default)]
pub(super) struct Drain {
    /// Admissions before this one.
    pub seq: u32,
    /// Items still to come, in tiers, reversed: the next is at the end.
    pub queue: Vec<u32>,
    /// Migrations of this tier that are not started, reversed.
    pub migrations: Vec<u32>,
    /// Started migrations.
    pub running: u32,
    /// Migrations that have not ended, of all tiers.
    pub migrations_left: u32,
    /// Items of this tier that have not left.
    pub left_in_tier: u32,
    /// Items of this tier for which no place was found.
    pub homeless: Vec<u32>,
}

/// One list of waiting nodes for each thing that they are parked on.
#[derive(Debug, Clone)]
pub(super) struct Parked {
    lists: Vec<BinaryHeap<Reverse<u32>>>,
    groups: usize,
    limits: usize,
    budgets: usize,
}

impl Parked {
    fn new(model: &Model<'_>) -> Self {
        let (groups, limits) = (model.instance.groups.len(), model.instance.limits.len());
        let budgets = model.instance.budgets.len();
        let count = 4 + 2 * groups + limits + budgets + model.instance.nodes.len();
        Self { lists: vec![BinaryHeap::new(); count], groups, limits, budgets }
    }

    pub(super) fn list(&mut self, park: Park) -> &mut BinaryHeap<Reverse<u32>> {
        let before_limits = 4 + 2 * self.groups;
        let before_budgets = before_limits + self.limits;
        let index = match park {
            Park::Slots => 0,
            Park::Place => 1,
            Park::Opening => 2,
            Park::Stage => 3,
            Park::Wave(group) => 4 + group as usize,
            Park::Group(group) => 4 + self.groups + group as usize,
            Park::Limit(limit) => before_limits + limit as usize,
            Park::Budget(budget) => before_budgets + budget as usize,
            Park::Node(node) => before_budgets + self.budgets + node as usize,
        };
        &mut self.lists[index]
    }

    /// Every parked node.
    pub(super) fn drain_all(&mut self, into: &mut BinaryHeap<Reverse<u32>>) {
        for list in &mut self.lists {
            into.append(list);
        }
    }
}

/// What a node, limit, budget… was freed by last: a node's progress.
#[derive(Debug, Clone)]
pub(super) struct FreedBy {
    pub slots: u32,
    pub returned: u32,
    pub groups: Vec<u32>,
    pub limits: Vec<u32>,
    pub budgets: Vec<u32>,
    pub nodes: Vec<u32>,
}

/// The campaign at a moment.
pub(super) struct World<'a> {
    pub model: &'a Model<'a>,
    pub rules: &'a Rules,
    pub now: Millis,
    pub events: BinaryHeap<Reverse<(Millis, Event)>>,
    pub room: Option<Room<'a>>,
    // Nodes.
    pub phase: Vec<Phase>,
    pub position: Vec<u32>,
    pub start: Vec<Millis>,
    pub drained: Vec<Millis>,
    pub end: Vec<Millis>,
    pub hold: Vec<Option<Hold>>,
    pub waited_for: Vec<u32>,
    pub drains: Vec<Drain>,
    pub arrivals: Vec<Vec<u32>>,
    pub inbound: Vec<u32>,
    pub migrations_on: Vec<u32>,
    pub promised: Vec<Vec<u32>>,
    // Items.
    pub place: Vec<u32>,
    pub target: Vec<u32>,
    pub started: Vec<bool>,
    // Shared resources.
    pub used: Vec<u32>,
    pub free_units: Vec<i64>,
    pub claimed: Vec<i64>,
    pub queues: Vec<BTreeSet<(u32, u32)>>,
    pub unit_freed: Vec<u32>,
    pub slots_used: u32,
    /// Σ min(Q, migrations left) over nodes that drain or will.
    pub slots_wanted: u64,
    pub startable: BTreeSet<(u32, u32)>,
    pub homeless: Vec<u32>,
    pub homeless_dirty: bool,
    // Groups and waves.
    pub group_left: Vec<u32>,
    pub group_waits: Vec<u32>,
    pub wave_active: Vec<u32>,
    pub wave_closed: Vec<bool>,
    pub stage_left: Vec<u32>,
    pub stage: usize,
    // Admission.
    pub candidates: BinaryHeap<Reverse<u32>>,
    pub parked: Parked,
    pub came_from: Vec<Option<Park>>,
    pub freed: FreedBy,
    pub admitted: u32,
    pub active: u32,
    pub any_returned: bool,
    /// Nothing is under way: whatever can start at all may.
    pub desperate: bool,
    /// Positions up to which nodes are early, and from which they are last.
    pub cut: u32,
    pub last_from: u32,
    pub frontier: u32,
    // Results.
    pub score: Score,
    pub log: Option<Vec<Move>>,
    pub waiting_since: Vec<Millis>,
    pub away_now: u32,
}

impl<'a> World<'a> {
    pub(super) fn new(model: &'a Model<'a>, rules: &'a Rules, keep_moves: bool) -> Self {
        let instance = model.instance;
        let (nodes, items) = (instance.nodes.len(), instance.items.len());
        let (limits, budgets, groups) =
            (instance.limits.len(), instance.budgets.len(), instance.groups.len());
        let mut position = vec![NONE; nodes];
        for (at, node) in rules.order.iter().enumerate() {
            position[*node as usize] = at as u32;
        }
        let room = (rules.placing != Placing::Nowhere).then(|| Room::new(model));
        let mut world = Self {
            model,
            rules,
            now: 0,
            events: BinaryHeap::new(),
            room,
            phase: vec![Phase::Waiting; nodes],
            position,
            start: vec![0; nodes],
            drained: vec![0; nodes],
            end: vec![0; nodes],
            hold: vec![None; nodes],
            waited_for: vec![NONE; nodes],
            drains: vec![Drain::default(); nodes],
            arrivals: vec![Vec::new(); nodes],
            inbound: vec![0; nodes],
            migrations_on: model.facts.migrations.clone(),
            promised: vec![Vec::new(); nodes],
            place: instance.items.node.clone(),
            target: vec![NONE; items],
            started: vec![false; items],
            used: vec![0; limits],
            free_units: instance.budgets.iter().map(|b| i64::from(b.allowed)).collect(),
            claimed: vec![0; budgets],
            queues: vec![BTreeSet::new(); budgets],
            unit_freed: Vec::new(),
            slots_used: 0,
            slots_wanted: 0,
            startable: BTreeSet::new(),
            homeless: Vec::new(),
            homeless_dirty: false,
            group_left: vec![0; groups],
            group_waits: vec![0; groups],
            wave_active: vec![0; groups],
            wave_closed: vec![false; groups],
            stage_left: Vec::new(),
            stage: 0,
            candidates: BinaryHeap::new(),
            parked: Parked::new(model),
            came_from: vec![None; nodes],
            freed: FreedBy {
                slots: NONE,
                returned: NONE,
                groups: vec![NONE; groups],
                limits: vec![NONE; limits],
                budgets: vec![NONE; budgets],
                nodes: vec![NONE; nodes],
            },
            admitted: 0,
            active: 0,
            any_returned: false,
            desperate: false,
            cut: 0,
            last_from: 0,
            frontier: 0,
            score: Score::default(),
            log: keep_moves.then(Vec::new),
            waiting_since: vec![0; if rules.budgets == super::BudgetRule::Ignore { items } else { 0 }],
            away_now: 0,
        };
        world.open();
        world
    }

    /// Sets up limits, groups, stages, refuges and the first candidates.
    fn open(&mut self) {
        let instance = self.model.instance;
        for (l, limit) in instance.limits.iter().enumerate() {
            let out = |n: &&u32| instance.nodes.standing[**n as usize] == Standing::Out;
            self.used[l] = limit.members.iter().filter(out).count() as u32;
        }
        for (b, budget) in instance.budgets.iter().enumerate() {
            for at in &budget.returns {
                self.events.push(Reverse((*at, Event::BudgetReturns(b as u32))));
            }
        }
        for node in &self.rules.order {
            self.group_left[instance.nodes.group[*node as usize] as usize] += 1;
            if let Some(stage) = self.rules.stages.get(*node as usize) {
                let stage = *stage as usize;
                if self.stage_left.len() <= stage {
                    self.stage_left.resize(stage + 1, 0);
                }
                self.stage_left[stage] += 1;
            }
        }
        while self.stage_left.get(self.stage).is_some_and(|left| *left == 0) {
            self.stage += 1;
        }
        self.open_refuges();
        for g in 0..instance.groups.len() as u32 {
            self.group_waits[g as usize] = instance.groups[g as usize].after.len() as u32;
        }
        // A group without nodes is through at once.
        for g in &self.model.facts.group_order {
            if self.group_left[*g as usize] == 0 && self.group_waits[*g as usize] == 0 {
                self.group_through(*g);
            }
        }
        for node in &self.rules.order {
            match instance.nodes.standing[*node as usize] {
                Standing::UnderWay => {
                    self.keep_what_fits(*node);
                    self.admit(*node);
                }
                Standing::Out => self.away_now += 1,
                Standing::InService => {}
            }
        }
        for node in self.rules.order.iter().filter(|n| self.phase[**n as usize] == Phase::Waiting) {
            self.candidates.push(Reverse(self.position[*node as usize]));
        }
    }

    fn open_refuges(&mut self) {
        let instance = self.model.instance;
        let total = self.rules.order.len() as u32;
        let width = instance.limits.iter().map(|l| l.most).min().unwrap_or(1).min(total / 4);
        self.last_from = total.saturating_sub(width);
        self.cut = total / 2;
        let Some(mut room) = self.room.take() else { return };
        for node in 0..instance.nodes.len() as u32 {
            if instance.nodes.standing[node as usize] == Standing::InService {
                let refuge =
                    if instance.nodes.is_due(node) { self.waiting_refuge(node) } else { self.settled() };
                room.classify(node, refuge);
            }
        }
        self.room = Some(room);
    }

    /// What a node in service for good is to items.
    pub(super) fn settled(&self) -> Refuge {
        if self.rules.placing == Placing::Spread { Refuge::Early } else { Refuge::Settled }
    }

    /// What a waiting node is to items.
    pub(super) fn waiting_refuge(&self, node: u32) -> Refuge {
        let position = self.position[node as usize];
        let late = (self.cut..self.last_from).contains(&position);
        if late && self.rules.placing == Placing::Reserve { Refuge::Late } else { Refuge::Early }
    }

    pub(super) fn at(&mut self, time: Millis, event: Event) {
        self.events.push(Reverse((time, event)));
    }

    /// Plays until nothing happens any more.
    pub(super) fn run(&mut self) {
        loop {
            self.settle();
            if self.events.is_empty() {
                self.despair();
            }
            let next = self.events.peek().map(|event| event.0.0);
            // What comes back in the moment in which another leaves is not away beside it.
            if next != Some(self.now) {
                self.score.peak_away = self.score.peak_away.max(self.away_now);
            }
            let Some(time) = next else { return };
            self.now = time;
            while let Some(Reverse((at, event))) = self.events.peek().copied().filter(|e| e.0.0 == time) {
                debug_assert_eq!(at, time, "in order");
                self.events.pop();
                self.happen(event);
            }
        }
    }

    /// What starts at time 0.
    pub(super) fn begin(&mut self) {
        self.settle();
        self.despair();
    }

    /// Where nothing is under way and nodes are left, whatever can start at all may.
    fn despair(&mut self) {
        if self.active == 0 && self.score_left() > 0 {
            self.desperate = true;
            self.wake_all();
            self.settle();
            self.desperate = false;
        }
    }

    fn score_left(&self) -> usize {
        self.rules.order.iter().filter(|n| self.phase[**n as usize] == Phase::Waiting).count()
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::BudgetReturns(budget) => self.free_unit(budget, NONE),
            Event::ItemReady(item) => self.item_ready(item),
            Event::ItemLeft(item) => self.item_left(item),
            Event::HeadOver(node) => self.head_over(node),
            Event::NodeReturns(node) => self.node_returns(node),
            Event::GroupBegins(group) => self.group_begins(group),
        }
    }

    /// Starts what can start: items of drains first, then nodes, until nothing changes.
    fn settle(&mut self) {
        loop {
            self.start_items();
            if !self.admit_one() {
                return;
            }
        }
    }

    pub(super) fn is_migration(&self, item: u32) -> bool {
        self.model.instance.items.way[item as usize] == Way::Migration
    }
}
