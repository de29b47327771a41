//! What follows from an instance once and for all: indices, least drains, work. Every part of the planner reads these.

use super::instance::{Instance, Landing, Millis, NONE, Standing, UNLIMITED, Way};

/// Lists of ids, one after the other.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lists {
    starts: Vec<u32>,
    ids: Vec<u32>,
}

impl Lists {
    /// Distributes pairs of list and id; ids keep their order within a list.
    pub(super) fn collect(lists: usize, pairs: impl Iterator<Item = (u32, u32)> + Clone) -> Self {
        let mut starts = vec![0u32; lists + 1];
        for (list, _) in pairs.clone() {
            starts[list as usize + 1] += 1;
        }
        for list in 0..lists {
            starts[list + 1] += starts[list];
        }
        let mut next = starts.clone();
        let mut ids = vec![0; starts[lists] as usize];
        for (list, id) in pairs {
            let place = &mut next[list as usize];
            ids[*place as usize] = id;
            *place += 1;
        }
        Self { starts, ids }
    }

    /// The ids of a list.
    pub fn of(&self, list: u32) -> &[u32] {
        &self.ids[self.starts[list as usize] as usize..self.starts[list as usize + 1] as usize]
    }

    fn sort_each(&mut self, mut key: impl FnMut(u32) -> SortKey) {
        for list in 0..self.starts.len() - 1 {
            let range = self.starts[list] as usize..self.starts[list + 1] as usize;
            self.ids[range].sort_by_cached_key(|id| key(*id));
        }
    }
}

/// Order within a drain: tier, migrations before the rest, longest first, id.
pub(super) type SortKey = (u8, bool, std::cmp::Reverse<Millis>, u32);

/// Indices and figures that follow from an [`Instance`].
#[derive(Debug, Clone, Default)]
pub struct Facts {
    /// Due nodes, by id.
    pub due: Vec<u32>,
    /// Items that stand on a node at time 0, in the order in which a drain takes them.
    pub items_on: Lists,
    /// Limits that a node is under.
    pub limits_of: Lists,
    /// Least drain of each node alone, without `head` and `tail`: D° of the bounds.
    pub drain: Vec<Millis>,
    /// The part of it that lies after the last tier in which any due node has a migration.
    pub after_migrations: Vec<Millis>,
    /// Migration time on each node, summed.
    pub work: Vec<Millis>,
    /// Migrations on each node.
    pub migrations: Vec<u32>,
    /// VMs on each node (migrations and restarts).
    pub vms: Vec<u32>,
    /// Units of each budget over time: allowed now and returning.
    pub units: Vec<u32>,
    /// Groups in an order that respects what they come after.
    pub group_order: Vec<u32>,
    /// Whether no due node comes before the group's nodes: groups before it, if any, are empty.
    pub is_first_group: Vec<bool>,
}

impl Facts {
    /// Works them out; linear but for sorting.
    pub fn new(instance: &Instance) -> Self {
        let nodes = &instance.nodes;
        let items = &instance.items;
        let due: Vec<u32> = (0..nodes.len() as u32).filter(|n| nodes.is_due(*n)).collect();
        let mut items_on =
            Lists::collect(nodes.len(), items.node.iter().enumerate().map(|(i, n)| (*n, i as u32)));
        items_on.sort_each(|item| sort_key(instance, item));
        let pairs = instance.limits.iter().enumerate();
        let pairs = pairs.flat_map(|(l, limit)| limit.members.iter().map(move |n| (*n, l as u32)));
        let mut facts = Self {
            due,
            items_on,
            limits_of: Lists::collect(nodes.len(), pairs),
            units: instance.budgets.iter().map(|b| b.allowed + b.returns.len() as u32).collect(),
            group_order: group_order(instance),
            ..Self::default()
        };
        facts.measure(instance);
        facts.find_first_groups(instance);
        facts
    }

    fn find_first_groups(&mut self, instance: &Instance) {
        let mut is_empty = vec![true; instance.groups.len()];
        for node in &self.due {
            is_empty[instance.nodes.group[*node as usize] as usize] = false;
        }
        self.is_first_group = vec![false; instance.groups.len()];
        for group in &self.group_order {
            let mut before = instance.groups[*group as usize].after.iter().map(|b| *b as usize);
            self.is_first_group[*group as usize] = before.all(|b| is_empty[b] && self.is_first_group[b]);
        }
    }

    fn measure(&mut self, instance: &Instance) {
        let due = self.due.iter().flat_map(|n| self.items_on.of(*n)).map(|i| *i as usize);
        let migrating = due.filter(|i| instance.items.way[*i] == Way::Migration);
        let last_migrating = migrating.map(|i| instance.items.tier[i]).max();
        for node in 0..instance.nodes.len() as u32 {
            let drain = least_drain(instance, &self.units, self.items_on.of(node), last_migrating);
            self.drain.push(drain.time);
            self.after_migrations.push(drain.after_migrations);
            self.work.push(drain.work);
            self.migrations.push(drain.migrations);
            let items = self.items_on.of(node).iter();
            self.vms.push(items.filter(|i| instance.items.way[**i as usize] != Way::Eviction).count() as u32);
        }
    }

    /// Least time that the node is away: `head`, least drain, `tail`. o of the bounds.
    pub fn away(&self, instance: &Instance, node: u32) -> Millis {
        let n = node as usize;
        instance.nodes.head[n] + self.drain[n] + instance.nodes.tail[n]
    }

    /// Whether nothing holds the node's group back at time 0.
    pub fn is_first(&self, instance: &Instance, node: u32) -> bool {
        let group = instance.nodes.group[node as usize];
        instance.nodes.standing[node as usize] == Standing::UnderWay
            || (group != NONE && self.is_first_group[group as usize])
    }
}

/// The order in which a drain takes items.
pub(super) fn sort_key(instance: &Instance, item: u32) -> SortKey {
    let i = item as usize;
    let items = &instance.items;
    (items.tier[i], items.way[i] != Way::Migration, std::cmp::Reverse(items.leave[i]), item)
}

/// Repeatedly the first group whose predecessors are all there; groups on a cycle are left out.
fn group_order(instance: &Instance) -> Vec<u32> {
    let mut order: Vec<u32> = Vec::new();
    while let Some(next) = (0..instance.groups.len() as u32).find(|g| {
        !order.contains(g) && instance.groups[*g as usize].after.iter().all(|before| order.contains(before))
    }) {
        order.push(next);
    }
    order
}

/// From its start until an item's budget gets its unit back, at least, if it leaves a node with this tail.
pub(super) fn least_hold(instance: &Instance, item: u32, tail: Millis) -> Millis {
    let i = item as usize;
    let items = &instance.items;
    match items.landing[i] {
        Landing::Elsewhere => items.leave[i].max(items.ready[i]),
        Landing::SameNode => items.leave[i] + tail + items.ready[i],
        Landing::Nowhere => items.leave[i],
    }
}

#[derive(Default)]
struct Drain {
    time: Millis,
    after_migrations: Millis,
    work: Millis,
    migrations: u32,
}

/// Tiers one after the other; in each the longest item, the migrations through the node's slots, and each budget's rounds.
///
/// A budget with u covered items on the node lets at most d of them be disrupted within the time r that each takes to be
/// Ready again, so the last leaves no earlier than (⌈u/d⌉−1)·r+γ. Items are sorted by tier.
fn least_drain(instance: &Instance, units: &[u32], items: &[u32], last_migrating: Option<u8>) -> Drain {
    let table = &instance.items;
    let slots = instance.slots.cluster.min(instance.slots.per_node);
    let mut total = Drain::default();
    for tier in items.chunk_by(|a, b| table.tier[*a as usize] == table.tier[*b as usize]) {
        let mut time = tier.iter().map(|i| table.leave[*i as usize]).max().unwrap_or(0);
        let migrating = tier.iter().filter(|i| table.way[**i as usize] == Way::Migration);
        let (work, count) =
            migrating.fold((0, 0), |(work, count), i| (work + table.leave[*i as usize], count + 1));
        if slots != UNLIMITED && slots > 0 {
            time = time.max(Millis::div_ceil(work, slots.into()));
        }
        time = time.max(budget_rounds(instance, units, tier));
        total.time += time;
        // What comes from other nodes may migrate in any tier up to the last with migrations.
        let is_after = last_migrating < Some(table.tier[tier[0] as usize]);
        total.after_migrations += if is_after { time } else { 0 };
        total.work += work;
        total.migrations += count;
    }
    total
}

fn budget_rounds(instance: &Instance, units: &[u32], tier: &[u32]) -> Millis {
    let table = &instance.items;
    let mut covered: Vec<(u32, Millis, Millis)> = tier
        .iter()
        .map(|i| (table.budget[*i as usize], least_hold(instance, *i, 0), table.leave[*i as usize]))
        .filter(|(budget, ..)| *budget != NONE)
        .collect();
    covered.sort_unstable();
    let mut longest = 0;
    for group in covered.chunk_by(|a, b| a.0 == b.0) {
        let units = Millis::from(units[group[0].0 as usize]).max(1);
        let (hold, leave) = (group[0].1, group.iter().map(|c| c.2).min().unwrap_or(0));
        longest = longest.max(((group.len() as Millis).div_ceil(units) - 1) * hold + leave);
    }
    longest
}
