//! Simulated annealing over orders and admission rules.

use super::{Cost, Search};
use crate::schedule::decode::{BudgetRule, Rules};
use crate::schedule::generate::Random;
use crate::schedule::instance::{Goal, UNLIMITED};

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

fn one(search: &mut Search<'_, '_>, cost: Cost, rules: Rules, share: u64, random: &mut Random) -> (Cost, Rules) {
    let (mut now_cost, mut now) = (cost, rules);
    let (mut best_cost, mut best) = (now_cost, now.clone());
    let begin = search.played;
    let heat = search.bound as f64 * 0.004;
    while search.played - begin < share && search.near(best_cost) {
        let part = (search.played - begin) as f64 / share as f64;
        let heat = heat * (1.0 - part) * (1.0 - part) + 1.0;
        let next = neighbour(search, &now, random);
        let next_cost = search.cost(&next);
        let worse = next_cost.saturating_sub(now_cost) as f64;
        if next_cost <= now_cost || (random.below(1 << 20) as f64) < (-worse / heat).exp() * f64::from(1 << 20) {
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

/// Some nodes elsewhere in the order, or another admission rule.
fn neighbour(search: &Search<'_, '_>, rules: &Rules, random: &mut Random) -> Rules {
    let mut next = rules.clone();
    let count = next.order.len() as u64;
    if count < 2 {
        return next;
    }
    match random.below(20) {
        0 => {
            next.budgets =
                [BudgetRule::Whole, BudgetRule::Queue, BudgetRule::Soon][random.below(3) as usize];
        }
        1 if search.migrates() => {
            let per_node = search.model.instance.slots.per_node;
            next.spare_slots = [0, per_node, UNLIMITED][random.below(3) as usize];
        }
        2 if search.model.instance.goal != Goal::Moves => {
            let opening = 1 + random.below(8) as u32;
            next.opening = if opening > 6 { UNLIMITED } else { opening };
        }
        3 if search.migrates() && search.model.instance.goal != Goal::Moves => {
            next.unsettled = [UNLIMITED, UNLIMITED, 0, 1, 2, 4][random.below(6) as usize];
        }
        4..=9 => {
            let (a, b) = (random.below(count) as usize, random.below(count) as usize);
            next.order.swap(a, b);
        }
        _ => {
            let from = random.below(count) as usize;
            let reach = (count / 4).max(2);
            let to = (from as u64 + random.between(0, 2 * reach)).saturating_sub(reach).min(count - 1) as usize;
            let node = next.order.remove(from);
            next.order.insert(to, node);
        }
    }
    next
}
