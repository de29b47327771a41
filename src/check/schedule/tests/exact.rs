//! An exact solver for tiny instances: every choice at every moment, layer by layer in time. It knows the problem's statement
//! alone. Bounds must not lie above what it finds, and plans not below.

use std::collections::BTreeSet;

use super::*;
use crate::schedule::generate::Random;

/// Times are small whole numbers, so there is an optimal schedule whose events lie on whole numbers.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct State {
    nodes: Vec<At>,
    items: Vec<Leg>,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum At {
    Waiting,
    Draining,
    Tail(u64),
    Done,
}

/// Where an item is; under way: the target, until it is off its node, until it is Ready.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Leg {
    node: u32,
    to: Option<(u32, u64, u64)>,
}

struct Solver<'a> {
    instance: &'a Instance,
}

impl Solver<'_> {
    /// Drained nodes go into their tail, and are done when it is over.
    fn settle(&self, state: &mut State) {
        for n in 0..state.nodes.len() {
            let empty =
                state.items.iter().all(|i| i.node != n as u32 || i.to.is_some_and(|(_, left, _)| left == 0));
            if state.nodes[n] == At::Draining && empty {
                state.nodes[n] = At::Tail(self.instance.nodes.tail[n]);
            }
            if state.nodes[n] == At::Tail(0) {
                state.nodes[n] = At::Done;
            }
        }
    }

    fn may_admit(&self, state: &State, node: u32) -> bool {
        let away = state.nodes.iter().filter(|s| matches!(s, At::Draining | At::Tail(_))).count();
        let inbound = state.items.iter().any(|i| i.to.is_some_and(|(to, ..)| to == node));
        let due = self.instance.nodes.is_due(node);
        due && state.nodes[node as usize] == At::Waiting
            && !inbound
            && away < self.instance.limits[0].most as usize
    }

    fn may_start(&self, state: &State, item: usize, to: u32) -> bool {
        let items = &self.instance.items;
        let leg = state.items[item];
        let moving =
            |i: &usize| items.way[*i] == Way::Migration && state.items[*i].to.is_some_and(|t| t.1 > 0);
        let migrations = (0..state.items.len()).filter(moving);
        let own = migrations.clone().filter(|i| state.items[*i].node == leg.node).count();
        let slots = self.instance.slots;
        if items.way[item] == Way::Migration
            && (migrations.count() >= slots.cluster as usize || own >= slots.per_node as usize)
        {
            return false;
        }
        let budget = items.budget[item];
        let held =
            (0..state.items.len()).filter(|i| items.budget[*i] == budget && state.items[*i].to.is_some());
        if budget != NONE && held.count() >= self.instance.budgets[budget as usize].allowed as usize {
            return false;
        }
        let there = state.items.iter().filter(|i| i.to.map_or(i.node, |t| t.0) == to);
        to != leg.node
            && matches!(state.nodes[to as usize], At::Waiting | At::Done)
            && (there.count() as u64) < self.instance.capacity(to)[0]
    }

    /// Every state that one moment's choices can lead to.
    fn choices(&self, state: State, from: usize, out: &mut BTreeSet<State>) {
        let count = state.nodes.len();
        let total = count + state.items.len() * count;
        for choice in from..total {
            let mut next = state.clone();
            if choice < count {
                if !self.may_admit(&state, choice as u32) {
                    continue;
                }
                next.nodes[choice] = At::Draining;
            } else {
                let (item, to) = ((choice - count) / count, ((choice - count) % count) as u32);
                let leg = state.items[item];
                let draining = state.nodes[leg.node as usize] == At::Draining;
                if leg.to.is_some() || !draining || !self.may_start(&state, item, to) {
                    continue;
                }
                let items = &self.instance.items;
                let ready = items.leave[item].max(items.ready[item]);
                next.items[item].to = Some((to, items.leave[item], ready));
            }
            self.settle(&mut next);
            self.choices(next, choice + 1, out);
        }
        out.insert(state);
    }

    fn advance(&self, state: &mut State) {
        for node in &mut state.nodes {
            if let At::Tail(left) = node {
                *left -= 1;
            }
        }
        for item in &mut state.items {
            if let Some((to, left, ready)) = &mut item.to {
                *left = left.saturating_sub(1);
                *ready -= 1;
                if *ready == 0 {
                    *item = Leg { node: *to, to: None };
                }
            }
        }
        self.settle(state);
    }

    /// The least makespan, if it is below `below`.
    fn solve(&self, below: Millis) -> Option<Millis> {
        let leg = |node: &u32| Leg { node: *node, to: None };
        let never = |n: usize| if self.instance.nodes.is_due(n as u32) { At::Waiting } else { At::Done };
        let nodes = (0..self.instance.nodes.len()).map(never).collect();
        let mut layer =
            BTreeSet::from([State { nodes, items: self.instance.items.node.iter().map(leg).collect() }]);
        for time in 0..below {
            if layer.iter().any(|s| s.nodes.iter().all(|n| *n == At::Done)) {
                return Some(time);
            }
            let mut next = BTreeSet::new();
            for state in std::mem::take(&mut layer) {
                self.choices(state, 0, &mut next);
            }
            for mut state in next {
                self.advance(&mut state);
                if self.promising(&state, below - time - 1) {
                    layer.insert(state);
                }
            }
        }
        None
    }

    /// Whether every node can still be done in less than `left`.
    fn promising(&self, state: &State, left: Millis) -> bool {
        let tail = &self.instance.nodes.tail;
        let rest = |n: usize| match state.nodes[n] {
            At::Waiting => tail[n] + u64::from(state.items.iter().any(|i| i.node == n as u32)),
            At::Draining => tail[n] + 1,
            At::Tail(rest) => rest,
            At::Done => 0,
        };
        let all: Millis = (0..state.nodes.len()).map(rest).sum();
        all.div_ceil(self.instance.limits[0].most.into()) < left.max(1)
            && (0..state.nodes.len()).all(|n| rest(n) < left.max(1))
    }
}

fn tiny(seed: u64) -> Instance {
    let mut random = Random::new(seed);
    let count = random.between(2, 4) as u32;
    let mut instance = nodes(count, random.between(1, 2) as u32, 0);
    for n in 0..count as usize {
        instance.nodes.tail[n] = random.between(1, 4);
        instance.nodes.capacity[n] = random.between(3, 5);
    }
    if random.below(3) == 0 {
        refuge(&mut instance, 1);
    }
    instance.slots = slots(random.between(1, 2) as u32, 1);
    let one = budget(&mut instance, 1);
    for _ in 0..random.between(2, 4) {
        let node = random.below(count.into()) as u32;
        if random.below(3) > 0 {
            vm(&mut instance, node, random.between(1, 3));
        } else {
            pod(&mut instance, node, one, 1, random.between(1, 3));
        }
    }
    instance
}

#[test]
fn bounds_lie_below_and_plans_not_below_the_optimum() {
    let (mut sum, mut worst, mut solved) = (0.0, 1.0_f64, 0);
    for seed in 0..60 {
        let instance = tiny(seed);
        let plan = plan(&instance, Effort { plays: 100_000, seed: 1 });
        assert!(judge(&instance, &plan.schedule).is_empty());
        if plan.schedule.score.unfinished > 0 {
            continue;
        }
        let reached = plan.schedule.score.makespan;
        let solver = Solver { instance: &instance };
        let optimum = solver.solve(reached + 1).expect("no better than what the plan reaches");
        assert!(plan.bounds.makespan() <= optimum, "seed {seed}: {:?} above {optimum}", plan.bounds);
        assert!(reached >= optimum, "seed {seed}");
        let ratio = reached as f64 / optimum as f64;
        println!("seed {seed}: {reached} of {optimum}");
        sum += ratio;
        worst = worst.max(ratio);
        solved += 1;
    }
    println!("{solved} solved, mean {:.4}, worst {worst:.4}", sum / f64::from(solved));
    assert!(solved >= 40, "{solved}");
    assert!(sum / f64::from(solved) <= 1.01, "mean {}", sum / f64::from(solved));
}
