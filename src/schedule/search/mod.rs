//! The search for an order: rules first, the best of them under several admission rules, then annealing.
//!
//! # Why
//! The problem contains scheduling on parallel machines and vector packing, so it is NP-hard; but list scheduling with a good
//! order comes close to the lower bound. Effort is counted in plays of items, never in time, and the seed is fixed: one input,
//! one plan, on any machine.
//!
//! Source: heuristics for projects with limited resources (Kolisch and Hartmann); simulated annealing (Kirkpatrick and others).

mod anneal;
mod orders;

use super::bounds::Bounds;
use super::canonical::Canonical;
use super::decode::{BudgetRule, Placing, Rules, decode, score};
use super::forecast::{Hold, Schedule, Score};
use super::instance::{Goal, Instance, Millis, UNLIMITED};
use super::model::Model;

/// How much is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Effort {
    /// Items played, over all evaluations. Some 1.5 million take a second.
    pub plays: u64,
    /// Of the pseudo-random choices.
    pub seed: u64,
}

impl Effort {
    /// So many plays.
    pub fn of(plays: u64) -> Self {
        Self { plays, ..Self::default() }
    }
}

impl Default for Effort {
    fn default() -> Self {
        Self { plays: 2_500_000, seed: 1 }
    }
}

/// Beyond so many items one evaluation of everything is too dear: the search then looks at budgets and slots only.
const COARSE_FROM: usize = 20_000;

/// A schedule with its proof.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// The best schedule found.
    pub schedule: Schedule,
    /// The order and the admission rules that make it, for the run.
    pub rules: Rules,
    /// Lower bounds of the makespan, with what binds.
    pub bounds: Bounds,
    /// Extra moves that no schedule with as many nodes before the first return avoids, E(w) with w = `score.opened`.
    pub least_extra_moves: u32,
    /// Evaluations that the search made.
    pub evaluations: u32,
}

/// Plans an instance.
///
/// The result depends on the instance and the effort alone, not on the order of the instance's tables where names are unique.
pub fn plan(instance: &Instance, effort: Effort) -> Plan {
    let canonical = Canonical::new(instance);
    let model = Model::new(&canonical.instance);
    let bounds = Bounds::new(&canonical.instance, &model.facts);
    let mut search = Search::new(&model, bounds.makespan(), effort);
    let (rules, schedule) = search.run();
    let least_extra_moves =
        super::bounds::extra_moves(&canonical.instance, &model.facts, schedule.score.opened as usize);
    let evaluations = search.evaluations;
    let mut plan = Plan { schedule, rules, bounds, least_extra_moves, evaluations };
    plan.rename(&canonical);
    plan
}

impl Plan {
    /// Back to the ids of the original instance.
    fn rename(&mut self, canonical: &Canonical) {
        let node = |id: u32| canonical.nodes[id as usize];
        let item = |id: u32| canonical.items[id as usize];
        let budget = |id: u32| canonical.budgets[id as usize];
        let hold = |hold: Hold| match hold {
            Hold::Budget { budget: id } => Hold::Budget { budget: budget(id) },
            Hold::Place { item: id } => Hold::Place { item: item(id) },
            Hold::After { node: id } => Hold::After { node: node(id) },
            other => other,
        };
        for visit in &mut self.schedule.visits {
            visit.node = node(visit.node);
            visit.hold = visit.hold.map(hold);
            visit.waited_for = visit.waited_for.map(node);
        }
        for one in &mut self.schedule.moves {
            one.item = item(one.item);
            one.from = node(one.from);
            one.to = one.to.map(node);
        }
        for (id, why) in &mut self.schedule.unfinished {
            *id = node(*id);
            *why = hold(*why);
        }
        let rules = &mut self.rules;
        rules.order.iter_mut().for_each(|id| *id = node(*id));
        rules.own_budgets.iter_mut().for_each(|(id, _)| *id = node(*id));
        rules.after.iter_mut().for_each(|a| (a.node, a.first) = (node(a.node), node(a.first)));
        rules.favours.iter_mut().for_each(|(id, _)| *id = node(*id));
        rules.shifts.iter_mut().for_each(|(id, _)| *id = item(*id));
        rules.targets.iter_mut().for_each(|(id, target)| (*id, *target) = (item(*id), node(*target)));
        self.bounds.rename(node, budget);
    }
}

/// What is minimised, as one number.
pub(super) type Cost = u64;

/// The search's state.
pub(super) struct Search<'m, 'a> {
    model: &'m Model<'a>,
    bound: Millis,
    effort: Effort,
    coarse: bool,
    evaluations: u32,
    played: u64,
    /// Migration time of an extra move, shared by the slots.
    move_cost: u64,
}

impl<'m, 'a> Search<'m, 'a> {
    fn new(model: &'m Model<'a>, bound: Millis, effort: Effort) -> Self {
        let facts = &model.facts;
        let (work, count) = facts.due.iter().fold((0, 0u64), |(work, count), n| {
            (work + facts.work[*n as usize], count + u64::from(facts.migrations[*n as usize]))
        });
        let slots = u64::from(model.instance.slots.cluster.clamp(1, 1000));
        let coarse = model.instance.items.len() > COARSE_FROM;
        // The other half goes to decodes with places, which nothing counts.
        let effort = if coarse { Effort { plays: effort.plays / 2, ..effort } } else { effort };
        let move_cost = work / count.max(1) / slots;
        Self { model, bound, effort, coarse, evaluations: 0, played: 0, move_cost }
    }

    /// The best rules found, and their schedule.
    fn run(&mut self) -> (Rules, Schedule) {
        let mut found = self.rules();
        let first = found[0].1.clone();
        self.combine(&mut found);
        found.sort_by_key(|one| one.0);
        found.dedup_by(|a, b| a.1 == b.1);
        let best = anneal::anneal(self, found);
        let (rules, schedule) = self.exact(best);
        let close =
            schedule.score.unfinished == 0 && schedule.score.makespan <= self.bound + self.bound / 100;
        if !self.coarse || rules.order == first.order || (close && self.model.instance.goal == Goal::Time) {
            return (rules, schedule);
        }
        // What is best without places need not be best with them.
        let (other, other_schedule) = self.exact(first);
        if self.cost_of(&other_schedule.score) < self.cost_of(&schedule.score) {
            return (other, other_schedule);
        }
        (rules, schedule)
    }

    /// With places, if the search did without.
    fn exact(&self, rules: Rules) -> (Rules, Schedule) {
        let rules = Rules { placing: Placing::Reserve, ..rules };
        let schedule = decode(self.model, &rules);
        (rules, schedule)
    }

    fn left(&self) -> u64 {
        self.effort.plays.saturating_sub(self.played)
    }

    /// The cost of rules, lower is better.
    pub(super) fn cost(&mut self, rules: &Rules) -> Cost {
        self.evaluations += 1;
        self.played += self.model.instance.items.len() as u64 + 100;
        let score = score(self.model, rules);
        self.cost_of(&score)
    }

    fn cost_of(&self, score: &Score) -> Cost {
        let extra = u64::from(score.extra_moves) * self.move_cost;
        let cost = match self.model.instance.goal {
            Goal::Time => score.makespan + extra / 10,
            Goal::Moves => score.makespan + extra * 1000,
            Goal::Availability => score.time_away + score.makespan,
        };
        // A node that never comes to its end is worse than any wait.
        cost + u64::from(score.unfinished) * (1 << 48)
    }

    fn base(&self, order: Vec<u32>) -> Rules {
        let mut rules = Rules::new(order);
        if self.coarse {
            rules.placing = Placing::Nowhere;
        }
        if self.model.instance.goal == Goal::Moves {
            rules.unsettled = 0;
            rules.opening = orders::opening(self.model) as u32;
        }
        rules
    }

    fn rules(&mut self) -> Vec<(Cost, Rules)> {
        let mut found: Vec<(Cost, Rules)> = Vec::new();
        for order in orders::all(self.model) {
            let rules = self.base(order);
            if found.is_empty() || self.left() > 0 {
                found.push((self.cost(&rules), rules));
            }
        }
        found
    }

    /// The best two orders under other admission rules.
    fn combine(&mut self, found: &mut Vec<(Cost, Rules)>) {
        found.sort_by_key(|one| one.0);
        let first: Vec<Rules> = found.iter().take(2).map(|one| one.1.clone()).collect();
        let openings: &[u32] = match self.model.instance.goal {
            Goal::Moves => &[1, 2],
            Goal::Time | Goal::Availability => &[UNLIMITED, orders::opening(self.model) as u32],
        };
        let per_node = self.model.instance.slots.per_node;
        for rules in first {
            for budgets in [BudgetRule::Whole, BudgetRule::Queue, BudgetRule::Soon] {
                for spare_slots in [0, per_node, UNLIMITED] {
                    for opening in openings {
                        let other = Rules { budgets, spare_slots, opening: *opening, ..rules.clone() };
                        if other != rules && self.left() > self.effort.plays / 2 {
                            found.push((self.cost(&other), other));
                        }
                    }
                }
            }
        }
    }
}
