//! One order for one problem: nodes, items and budgets by name, so that the order of the input never matters.

use super::instance::{Instance, Items, NONE, Nodes};

/// An instance whose ids follow the order of names, and the way back to the ids of the original.
#[derive(Debug, Clone)]
pub struct Canonical {
    /// The same problem. Ties are broken by its ids.
    pub instance: Instance,
    /// Original id of each node.
    pub nodes: Vec<u32>,
    /// Original id of each item.
    pub items: Vec<u32>,
    /// Original id of each budget.
    pub budgets: Vec<u32>,
}

/// Original ids in the order of the names.
fn by_name(names: impl ExactSizeIterator<Item = impl AsRef<str>>) -> Vec<u32> {
    let names: Vec<_> = names.collect();
    let mut ids: Vec<u32> = (0..names.len() as u32).collect();
    let ordered = names.windows(2).all(|pair| pair[0].as_ref() <= pair[1].as_ref());
    if !ordered {
        ids.sort_by(|a, b| names[*a as usize].as_ref().cmp(names[*b as usize].as_ref()).then(a.cmp(b)));
    }
    ids
}

/// New id of each original one.
fn inverse(order: &[u32]) -> Vec<u32> {
    let mut place = vec![0; order.len()];
    for (new, old) in order.iter().enumerate() {
        place[*old as usize] = new as u32;
    }
    place
}

fn pick<T: Clone>(order: &[u32], values: &[T]) -> Vec<T> {
    order.iter().map(|old| values[*old as usize].clone()).collect()
}

fn map(id: u32, place: &[u32]) -> u32 {
    if id == NONE { NONE } else { place[id as usize] }
}

impl Canonical {
    /// Sorts by name; equal names keep their order.
    pub fn new(original: &Instance) -> Self {
        let nodes = by_name(original.nodes.name.iter());
        let items = by_name(original.items.name.iter());
        let budgets = by_name(original.budgets.iter().map(|b| b.name.as_str()));
        let (node_place, budget_place) = (inverse(&nodes), inverse(&budgets));
        let mut instance = Instance {
            resources: original.resources.clone(),
            shapes: original.shapes.clone(),
            owners: original.owners.clone(),
            groups: original.groups.clone(),
            slots: original.slots,
            strategy: original.strategy,
            goal: original.goal,
            nodes: sorted_nodes(original, &nodes),
            items: sorted_items(&original.items, &items, &node_place, &budget_place),
            budgets: pick(&budgets, &original.budgets),
            ..Instance::default()
        };
        instance.classes =
            original.classes.iter().map(|c| c.map(original.nodes.len(), &node_place)).collect();
        instance.limits = original.limits.clone();
        for limit in &mut instance.limits {
            limit.members.iter_mut().for_each(|node| *node = node_place[*node as usize]);
            limit.members.sort_unstable();
        }
        Self { instance, nodes, items, budgets }
    }
}

fn sorted_nodes(original: &Instance, order: &[u32]) -> Nodes {
    let nodes = &original.nodes;
    Nodes {
        name: pick(order, &nodes.name),
        zone: pick(order, &nodes.zone),
        group: pick(order, &nodes.group),
        capacity: order.iter().flat_map(|old| original.capacity(*old).iter().copied()).collect(),
        head: pick(order, &nodes.head),
        tail: pick(order, &nodes.tail),
        standing: pick(order, &nodes.standing),
    }
}

fn sorted_items(items: &Items, order: &[u32], nodes: &[u32], budgets: &[u32]) -> Items {
    Items {
        name: pick(order, &items.name),
        node: order.iter().map(|old| map(items.node[*old as usize], nodes)).collect(),
        shape: pick(order, &items.shape),
        way: pick(order, &items.way),
        landing: pick(order, &items.landing),
        leave: pick(order, &items.leave),
        ready: pick(order, &items.ready),
        tier: pick(order, &items.tier),
        budget: order.iter().map(|old| map(items.budget[*old as usize], budgets)).collect(),
        owner: pick(order, &items.owner),
    }
}
