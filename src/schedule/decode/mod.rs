//! From an order to a schedule: list scheduling by the rules of the engine, played event by event.
//!
//! # Why
//! Forecast and run follow the same rules, so a forecast is what the run does if everything takes as long as expected. Waiting
//! nodes are parked on the first thing that holds them and tried again when that is freed: a decode looks at each item a few
//! times, at the logarithm of the cluster's size each, and at no node in vain.
//!
//! Source: priority-list scheduling of projects with resource limits (Kolisch and Hartmann); keeping a place for each item of an
//! admitted node on nodes that stay schedulable is the banker's argument: every admitted drain can come to its end.

mod admit;
mod drain;
mod room;
mod rules;
mod world;

pub use rules::{After, BudgetRule, Placing, Rules};

use super::forecast::{Hold, Schedule, Score, Visit};
use super::instance::{Landing, NONE, Standing, Way};
use super::model::Model;
use room::Room;
use world::{Phase, World};

/// Plays the campaign and returns its figures only.
pub fn score(model: &Model<'_>, rules: &Rules) -> Score {
    let mut world = World::new(model, rules, false);
    world.run();
    final_score(&world)
}

/// Plays the campaign and returns the schedule.
pub fn decode(model: &Model<'_>, rules: &Rules) -> Schedule {
    let mut world = World::new(model, rules, true);
    world.run();
    let score = final_score(&world);
    let mut schedule = Schedule { score, moves: world.log.take().unwrap_or_default(), ..Schedule::default() };
    for node in &rules.order {
        let n = *node as usize;
        if world.phase[n] == Phase::Done {
            schedule.visits.push(Visit {
                node: *node,
                start: world.start[n],
                drained: world.drained[n],
                end: world.end[n],
                hold: world.hold[n].filter(|_| world.start[n] > 0),
                waited_for: Some(world.waited_for[n]).filter(|w| *w != NONE && world.start[n] > 0),
            });
        } else {
            schedule.unfinished.push((*node, world.last_hold(*node)));
        }
    }
    schedule.visits.sort_by_key(|visit| (visit.start, world.drains[visit.node as usize].seq));
    schedule
}

/// The waiting nodes in their order, each with why it doesn't enter at time 0, if so: what the rules say of this moment alone.
/// Nodes that aren't asked about don't enter, and aren't in it.
pub fn turns(model: &Model<'_>, rules: &Rules, is_asked: impl Fn(u32) -> bool) -> Vec<(u32, Option<Hold>)> {
    let mut world = World::new(model, rules, false);
    let is_waiting = |n: &u32| world.phase[*n as usize] == Phase::Waiting && is_asked(*n);
    let waiting: Vec<u32> = rules.order.iter().copied().filter(is_waiting).collect();
    world.candidates.retain(|position| is_asked(rules.order[position.0 as usize]));
    world.begin();
    let turn = |node: u32| {
        (node, world.hold[node as usize].filter(|_| world.phase[node as usize] == Phase::Waiting))
    };
    waiting.into_iter().map(turn).collect()
}

/// Nodes that have room for each of these items at this moment, while nothing else has moved: neither their own nor those that are
/// out. None for an item that comes up again on its own node only, or nowhere.
pub fn places(model: &Model<'_>, items: &[u32]) -> Vec<Vec<u32>> {
    let instance = model.instance;
    let room = Room::new(model);
    let open = |node: &u32| instance.nodes.standing[*node as usize] == Standing::InService;
    let nodes: Vec<u32> = (0..instance.nodes.len() as u32).filter(open).collect();
    let of = |item: &u32| {
        let moves = instance.items.landing[*item as usize] == Landing::Elsewhere;
        let own = instance.items.node[*item as usize];
        let fits = |node: &u32| moves && room.fits(*node, *item, own, NONE);
        nodes.iter().copied().filter(fits).collect()
    };
    items.iter().map(of).collect()
}

fn final_score(world: &World<'_>) -> Score {
    let mut score = world.score;
    let items = &world.model.instance.items;
    let due = world.model.facts.due.iter().flat_map(|n| world.model.facts.items_on.of(*n));
    for item in due.filter(|i| items.landing[**i as usize] == Landing::Elsewhere) {
        let extra = match items.way[*item as usize] {
            Way::Eviction => &mut score.extra_evictions,
            Way::Migration | Way::Restart => &mut score.extra_moves,
        };
        *extra = extra.saturating_sub(1);
    }
    let unfinished = world.rules.order.iter().filter(|n| world.phase[**n as usize] != Phase::Done);
    score.unfinished = unfinished.count() as u32;
    score
}
