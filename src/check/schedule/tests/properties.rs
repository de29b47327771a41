//! For any instance: the judge finds nothing, no bound lies above what any policy reaches, and the input's order never matters.

use proptest::prelude::*;
use proptest::test_runner::RngSeed;

use super::*;
use crate::schedule::bounds::{Bounds, extra_moves};
use crate::schedule::decode::{After, BudgetRule, Placing, Rules, decode};
use crate::schedule::facts::Facts;
use crate::schedule::generate::Random;
use crate::schedule::instance::{Apart, Goal, NodeSet, Owner, Standing, Strategy as Steps, UNLIMITED};
use crate::schedule::model::Model;
use crate::schedule::policies::Policy;

/// Any instance, however strange, from a seed.
pub(super) fn any_instance(seed: u64) -> Instance {
    let mut random = Random::new(seed);
    let count = 1 + random.below(7) as u32;
    let mut instance = Instance::new(&["memory", "pods"]);
    let groups = 1 + random.below(3) as u32;
    for g in 0..groups {
        let after = (0..g).filter(|_| random.below(2) == 0).collect();
        instance.groups.push(Group { name: format!("g{g}"), after, soak: random.below(3) * 20 });
    }
    for n in 0..count {
        let never = random.below(5) == 0;
        let standing = match random.below(16) {
            0 => Standing::Out,
            1 if !never => Standing::UnderWay,
            _ => Standing::InService,
        };
        instance.add_node(NodeSpec {
            name: format!("n{n:02}"),
            zone: if random.below(6) == 0 { NONE } else { random.below(2) as u32 },
            group: if never { NONE } else { random.below(groups.into()) as u32 },
            capacity: vec![random.between(4, 24), random.between(3, 12)],
            head: random.below(3) * 5,
            tail: random.between(0, 12) * 10,
            standing,
        });
    }
    limits(&mut instance, &mut random, count);
    instance.classes = vec![Class::Any, Class::Only(nodes_of(&mut random, count))];
    for _ in 0..4 {
        let class = u32::from(random.below(5) == 0);
        instance.shapes.push(Shape { demand: vec![random.below(5), 1], class });
    }
    for o in 0..2 {
        let apart = if random.below(2) == 0 { Apart::Node } else { Apart::Zone };
        instance.owners.push(Owner { name: format!("o{o}"), apart, most: random.between(1, 3) as u32 });
    }
    for b in 0..3 {
        let returns = if random.below(4) == 0 { vec![random.below(100)] } else { Vec::new() };
        instance.budgets.push(Budget { name: format!("b{b}"), allowed: random.below(4) as u32, returns });
    }
    for i in 0..random.below(16) {
        item(&mut instance, &mut random, i, count);
    }
    instance.slots = slots(random.between(1, 4) as u32, random.between(1, 3) as u32);
    instance.strategy = if random.below(4) == 0 { Steps::Waves } else { Steps::Rolling };
    instance.goal = [Goal::Time, Goal::Moves, Goal::Availability][random.below(3) as usize];
    instance
}

fn nodes_of(random: &mut Random, count: u32) -> NodeSet {
    (0..count).filter(|_| random.below(2) == 0).collect()
}

fn limits(instance: &mut Instance, random: &mut Random, count: u32) {
    let due: Vec<u32> = (0..count).filter(|n| instance.nodes.is_due(*n)).collect();
    let most = random.between(1, 4) as u32;
    instance.limits.push(Limit { scope: Scope::Campaign, most, members: due.clone() });
    for zone in 0..2 {
        if random.below(3) == 0 {
            let members = due.iter().copied().filter(|n| instance.nodes.zone[*n as usize] == zone).collect();
            instance.limits.push(Limit {
                scope: Scope::Zone(zone),
                most: random.between(1, 2) as u32,
                members,
            });
        }
    }
}

fn item(instance: &mut Instance, random: &mut Random, number: u64, count: u32) {
    let way = [Way::Eviction, Way::Eviction, Way::Migration, Way::Restart][random.below(4) as usize];
    let landing = match (way, random.below(8)) {
        (Way::Eviction, 0) => Landing::SameNode,
        (Way::Eviction, 1) => Landing::Nowhere,
        _ => Landing::Elsewhere,
    };
    instance.add_item(ItemSpec {
        name: format!("i{number:02}"),
        node: random.below(count.into()) as u32,
        shape: random.below(4) as u32,
        way,
        landing,
        leave: random.below(6) * 10,
        ready: random.below(9) * 10,
        tier: u8::from(random.below(3) == 0),
        budget: if random.below(2) == 0 { NONE } else { random.below(3) as u32 },
        owner: if random.below(3) > 0 { NONE } else { random.below(2) as u32 },
    });
}

/// The same instance with its nodes and items in another order.
fn shuffled(instance: &Instance, random: &mut Random) -> (Instance, Vec<u32>) {
    let count = instance.nodes.len() as u32;
    let mut order: Vec<u32> = (0..count).collect();
    for i in (1..order.len()).rev() {
        order.swap(i, random.below(i as u64 + 1) as usize);
    }
    let mut place = vec![0; order.len()];
    order.iter().enumerate().for_each(|(new, old)| place[*old as usize] = new as u32);
    let mut other = Instance { nodes: Default::default(), items: Default::default(), ..instance.clone() };
    for old in &order {
        let n = *old as usize;
        other.add_node(NodeSpec {
            name: instance.nodes.name[n].clone(),
            zone: instance.nodes.zone[n],
            group: instance.nodes.group[n],
            capacity: instance.capacity(*old).to_vec(),
            head: instance.nodes.head[n],
            tail: instance.nodes.tail[n],
            standing: instance.nodes.standing[n],
        });
    }
    for i in (0..instance.items.len()).rev() {
        let items = &instance.items;
        other.add_item(ItemSpec {
            name: items.name[i].clone(),
            node: place[items.node[i] as usize],
            shape: items.shape[i],
            way: items.way[i],
            landing: items.landing[i],
            leave: items.leave[i],
            ready: items.ready[i],
            tier: items.tier[i],
            budget: items.budget[i],
            owner: items.owner[i],
        });
    }
    for class in &mut other.classes {
        if let Class::Only(set) = class {
            *set = (0..count).filter(|n| set.has(*n)).map(|n| place[n as usize]).collect();
        }
    }
    for limit in &mut other.limits {
        limit.members = limit.members.iter().rev().map(|n| place[*n as usize]).collect();
    }
    (other, order)
}

/// The same cases each time, so that a change is judged by what it changes; `PROPTEST_RNG_SEED` and `PROPTEST_CASES` ask for others
/// and for more.
fn config() -> ProptestConfig {
    let given = ProptestConfig::default();
    let seed = std::env::var("PROPTEST_RNG_SEED").ok().and_then(|s| s.parse().ok()).unwrap_or(1);
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|c| c.parse().ok()).unwrap_or(256);
    ProptestConfig { failure_persistence: None, cases, rng_seed: RngSeed::Fixed(seed), ..given }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn a_schedule_breaks_nothing(seed: u64) {
        planned(&any_instance(seed));
    }

    #[test]
    fn no_policy_ends_before_the_bound(seed: u64) {
        let instance = any_instance(seed);
        let facts = Facts::new(&instance);
        let bounds = Bounds::new(&instance, &facts);
        for policy in Policy::ALL {
            let schedule = policy.schedule(&instance);
            let findings = judge(&policy.adapt(&instance), &schedule);
            prop_assert!(findings.is_empty(), "{}: {findings:#?}", policy.name());
            if schedule.unfinished.is_empty() {
                prop_assert!(bounds.makespan() <= schedule.score.makespan, "{}: {bounds:?}", policy.name());
                prop_assert!(schedule.score.extra_moves >= extra_moves(&instance, &facts, 1));
            }
        }
    }

    #[test]
    fn no_rules_break_anything_or_end_before_the_bound(seed: u64) {
        let instance = any_instance(seed);
        let mut random = Random::new(seed ^ 7);
        let model = Model::new(&instance);
        let bounds = Bounds::new(&instance, &model.facts);
        let mut order = model.facts.due.clone();
        for i in (1..order.len()).rev() {
            order.swap(i, random.below(i as u64 + 1) as usize);
        }
        let mut rules = Rules::new(order);
        rules.budgets = [BudgetRule::Whole, BudgetRule::Queue, BudgetRule::Soon][random.below(3) as usize];
        rules.spare_slots = [0, 1, UNLIMITED][random.below(3) as usize];
        rules.opening = random.between(1, 4) as u32;
        rules.unsettled = [0, 1, UNLIMITED][random.below(3) as usize];
        rules.placing = [Placing::Reserve, Placing::Spread][random.below(2) as usize];
        if let [first, second, ..] = rules.order[..] {
            rules.after = vec![After { node: first, first: second, back: random.below(2) == 0 }];
            rules.favours = vec![(second, -3)];
            rules.own_budgets = vec![(first, BudgetRule::Soon)];
        }
        if !instance.items.is_empty() {
            rules.shifts = vec![(random.below(instance.items.len() as u64) as u32, -1000)];
        }
        let schedule = decode(&model, &rules);
        let findings = judge(&instance, &schedule);
        prop_assert!(findings.is_empty(), "{findings:#?}");
        prop_assert!(!schedule.unfinished.is_empty() || bounds.makespan() <= schedule.score.makespan);
        if schedule.unfinished.is_empty() {
            let least = extra_moves(&instance, &model.facts, 1);
            prop_assert!(least <= schedule.score.extra_moves, "{least} {:?}", schedule.score);
        }
    }

    #[test]
    fn the_order_of_the_input_never_matters(seed: u64) {
        let instance = any_instance(seed);
        let (other, order) = shuffled(&instance, &mut Random::new(seed));
        let (one, two) = (planned(&instance), planned(&other));
        prop_assert_eq!(one.schedule.score, two.schedule.score);
        prop_assert_eq!(one.bounds.makespan(), two.bounds.makespan());
        let named = |visits: &[Visit], name: &dyn Fn(u32) -> u32| -> Vec<_> {
            visits.iter().map(|v| (name(v.node), v.start, v.end)).collect()
        };
        let first = named(&one.schedule.visits, &|n| n);
        prop_assert_eq!(first, named(&two.schedule.visits, &|n| order[n as usize]));
    }
}
