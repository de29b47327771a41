//! Groups and limits of the plan, in the planner's terms: the same limits that the engine admits nodes by.

use std::collections::BTreeMap;

use super::durations::Durations;
use crate::inventory::{Inventory, Lookup, ZONE};
use crate::plan::v1alpha1::{Concurrency, HookPoint, MaintenancePlanSpec};
use crate::schedule::GroupNodes;
use crate::schedule::instance::{Group, Limit, Millis, Scope};

/// Zones by number: those of the nodes, and those of other topology keys that a limit counts by.
#[derive(Debug, Default)]
pub(super) struct Zones {
    names: Vec<String>,
    known: BTreeMap<(String, String), u32>,
}

impl Zones {
    /// The number of a label's value.
    pub fn number(&mut self, key: &str, value: &str) -> u32 {
        let next = self.names.len() as u32;
        let number = *self.known.entry((key.to_owned(), value.to_owned())).or_insert(next);
        if number == next {
            self.names.push(value.to_owned());
        }
        number
    }

    /// Their names, by number.
    pub fn into_names(self) -> Vec<String> {
        self.names
    }
}

/// The groups with their order. Hooks around a group are part of the pause between groups.
pub(super) fn groups(plan: &MaintenancePlanSpec, groups: &[GroupNodes], durations: &Durations) -> Vec<Group> {
    let place = |name: &str| groups.iter().position(|g| g.name == name);
    let of_plan = |name: &str| plan.groups.iter().find(|g| g.name == name);
    let mut made: Vec<Group> = groups
        .iter()
        .map(|group| {
            let own = of_plan(&group.name);
            let after = own.into_iter().flat_map(|g| &g.depends_on);
            let soak = own.and_then(|g| g.soak).map_or(0, |s| s.0.as_millis() as Millis);
            let soak = soak + durations.hooks(plan, &group.name, &[HookPoint::AfterGroup]);
            Group {
                name: group.name.clone(),
                after: after.filter_map(|d| place(d)).map(|p| p as u32).collect(),
                soak,
            }
        })
        .collect();
    let mut before: Vec<Millis> = vec![0; made.len()];
    for (index, group) in groups.iter().enumerate() {
        let takes = durations.hooks(plan, &group.name, &[HookPoint::BeforeGroup]);
        for after in &made[index].after {
            let longest = &mut before[*after as usize];
            *longest = takes.max(*longest);
        }
    }
    for (group, before) in made.iter_mut().zip(before) {
        group.soak += before;
    }
    made
}

/// The limits. `node_ids`: numbers of the nodes by name.
pub(super) fn limits(
    plan: &MaintenancePlanSpec,
    groups: &[GroupNodes],
    inventory: &Inventory,
    node_ids: &Lookup<&str, u32>,
    zones: &mut Zones,
) -> Vec<Limit> {
    let mut limits = Vec::new();
    let everyone: Vec<&str> = groups.iter().flat_map(|g| &g.nodes).map(String::as_str).collect();
    let campaign = plan.concurrency.clone().unwrap_or_default();
    let ids = |members: &[&str]| members.iter().filter_map(|m| node_ids.get(m).copied()).collect();
    if let Some(max) = campaign.max_unavailable {
        let most = max.of(everyone.len()) as u32;
        limits.push(Limit { scope: Scope::Campaign, most, members: ids(&everyone) });
    }
    let mut per_zone =
        |of: &Concurrency, members: &[&str], scope: &dyn Fn(u32) -> Scope, to: &mut Vec<Limit>| {
            let Some(max) = of.max_unavailable_per_zone else { return };
            let key = of.topology_key.as_deref().unwrap_or(ZONE);
            let mut by_zone: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
            for &name in members {
                let zone = inventory.node(name).and_then(|n| n.labels.get(key));
                by_zone.entry(zone.map_or("", String::as_str)).or_default().push(name);
            }
            for (zone, members) in by_zone {
                let most = max.of(members.len()) as u32;
                to.push(Limit { scope: scope(zones.number(key, zone)), most, members: ids(&members) });
            }
        };
    per_zone(&campaign, &everyone, &Scope::Zone, &mut limits);
    for (index, group) in groups.iter().enumerate() {
        let of_plan = plan.groups.iter().find(|g| g.name == group.name);
        let own = of_plan.and_then(|g| g.concurrency.clone()).unwrap_or_default();
        let members: Vec<&str> = group.nodes.iter().map(String::as_str).collect();
        let max = own.max_unavailable.map(|m| m.of(members.len()));
        let is_limited = campaign.max_unavailable.is_some()
            || campaign.max_unavailable_per_zone.is_some()
            || own.max_unavailable_per_zone.is_some();
        // Nothing said anywhere: one node at a time.
        if let Some(max) = max.or((!is_limited).then_some(1)) {
            let scope = Scope::Group(index as u32);
            limits.push(Limit { scope, most: max as u32, members: ids(&members) });
        }
        per_zone(&own, &members, &|zone| Scope::GroupZone(index as u32, zone), &mut limits);
    }
    limits
}
