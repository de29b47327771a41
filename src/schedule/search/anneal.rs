//! Simulated annealing over orders and admission rules.

use super::{Cost, Search};
use crate::schedule::decode::{After, BudgetRule, Rules};
use crate::schedule::generate::Random;
use crate::schedule::instance::{Goal, UNLIMITED};

/// Heat at the beginning, as a part of the bound: so much worse is accepted once in e times. Twice or half of it makes no difference.
const HEAT: f64 = 0.002;

/// Starts that are annealed, one after the other.
const STARTS: usize = 3;

/// Anneals the best of the rules found, which come best first.
pub(super) fn anneal(search: &mut Search<'_, '_>, found: Vec<(Cost, Rules)>) -> Rules {
    let mut random = Random::new(search.effort.seed);
    let Some((mut best_cost, mut best)) = found.first().cloned() else { return Rules::new(Vec::new()) };
    let starts: Vec<(Cost, Rules)> = found.into_iter().take(STARTS).collect();
    let count = starts.len() as u64;
    for (done, (cost, rules)) in starts.into_iter().enumerate() {
        let share = search.left() / (count - done as u64);
        let (cost, rules) = one(search, cost, rules, share, &mut random);
        if cost < best_cost {
            (best_cost, best) = (cost, rules);
        }
    }
    best
}

fn one(
    search: &mut Search<'_, '_>,
    cost: Cost,
    rules: Rules,
    share: u64,
    random: &mut Random,
) -> (Cost, Rules) {
    let (mut now_cost, mut now) = (cost, rules);
    let (mut best_cost, mut best) = (now_cost, now.clone());
    let begin = search.played;
    let heat = search.bound as f64 * HEAT;
    while search.played - begin < share && search.near(best_cost) {
        let part = (search.played - begin) as f64 / share as f64;
        let heat = heat * (1.0 - part) * (1.0 - part) + 1.0;
        let next = neighbour(search, &now, random);
        let next_cost = search.cost(&next);
        let worse = next_cost.saturating_sub(now_cost) as f64;
        if next_cost <= now_cost
            || (random.below(1 << 20) as f64) < (-worse / heat).exp() * f64::from(1 << 20)
        {
            (now_cost, now) = (next_cost, next);
            if now_cost < best_cost {
                (best_cost, best) = (now_cost, now.clone());
            }
        }
    }
    (best_cost, best)
}

impl Search<'_, '_> {
    /// Whether it is worth going on.
    fn near(&self, cost: Cost) -> bool {
        self.model.instance.goal != Goal::Time || cost > self.bound + self.bound / 500
    }
}

/// Up to so many due nodes, details of each drain are searched too.
const FEW: usize = 12;

/// Details at most, so that they can be forgotten again.
const DETAILS: usize = 8;

/// Some nodes elsewhere in the order, or another admission rule; with few nodes also a detail of a drain.
fn neighbour(search: &Search<'_, '_>, rules: &Rules, random: &mut Random) -> Rules {
    let mut next = rules.clone();
    let count = next.order.len();
    if count == 0 {
        return next;
    }
    if count <= FEW && random.below(2) == 0 {
        detail(search, &mut next, random);
    } else if random.below(5) == 0 {
        admission(search, &mut next, random);
    } else if count > 1 {
        reorder(&mut next.order, random);
    }
    next
}

fn reorder(order: &mut Vec<u32>, random: &mut Random) {
    let count = order.len() as u64;
    let from = random.below(count) as usize;
    if random.below(3) == 0 {
        order.swap(from, random.below(count) as usize);
        return;
    }
    let reach = (count / 4).max(2);
    let to = (from as u64 + random.between(0, 2 * reach)).saturating_sub(reach).min(count - 1) as usize;
    let node = order.remove(from);
    order.insert(to, node);
}

fn admission(search: &Search<'_, '_>, next: &mut Rules, random: &mut Random) {
    let per_node = search.model.instance.slots.per_node;
    let thrifty = search.model.instance.goal == Goal::Moves;
    match random.below(4) {
        0 => {
            next.budgets = [BudgetRule::Whole, BudgetRule::Queue, BudgetRule::Soon][random.below(3) as usize];
        }
        1 => next.spare_slots = [0, per_node, UNLIMITED][random.below(3) as usize],
        2 if !thrifty => next.unsettled = [UNLIMITED, UNLIMITED, 0, 1, 2, 4][random.below(6) as usize],
        _ if !thrifty => {
            let opening = 1 + random.below(8) as u32;
            next.opening = if opening > 6 { UNLIMITED } else { opening };
        }
        _ => next.opening = 1 + random.below(3) as u32,
    }
}

/// One detail more, or one less.
fn detail(search: &Search<'_, '_>, next: &mut Rules, random: &mut Random) {
    let instance = search.model.instance;
    let items = instance.items.len() as u64;
    let pick = |random: &mut Random| next.order[random.below(next.order.len() as u64) as usize];
    let (one, two) = (pick(random), pick(random));
    let item = random.below(items.max(1)) as u32;
    match random.below(10) {
        0 => forget(&mut next.own_budgets, random),
        1 => forget(&mut next.after, random),
        2 => forget(&mut next.favours, random),
        3 => forget(&mut next.shifts, random),
        4 => forget(&mut next.targets, random),
        5 => {
            let rule = [BudgetRule::Whole, BudgetRule::Queue, BudgetRule::Soon, BudgetRule::Ignore];
            next.own_budgets.insert(0, (one, rule[random.below(4) as usize]));
        }
        6 if one != two => {
            next.after.insert(0, After { node: one, first: two, back: random.below(2) == 0 });
        }
        7 => next.favours.insert(0, (one, random.between(0, 8) as i32 - 4)),
        8 if items > 0 => {
            let by = random.between(0, 6) as i64 - 3;
            next.shifts.insert(0, (item, by * instance.items.leave[item as usize] as i64 / 2));
        }
        _ if items > 0 => {
            next.targets.insert(0, (item, random.below(instance.nodes.len() as u64) as u32));
        }
        _ => {}
    }
    next.own_budgets.truncate(DETAILS);
    next.after.truncate(DETAILS);
    next.favours.truncate(DETAILS);
    next.shifts.truncate(DETAILS);
    next.targets.truncate(DETAILS);
}

fn forget<T>(details: &mut Vec<T>, random: &mut Random) {
    if !details.is_empty() {
        details.remove(random.below(details.len() as u64) as usize);
    }
}
