//! How other tools walk through the nodes, on the same model, for comparison.
//!
//! What they have in common: nodes by name, no look at budgets, capacity or migration slots before a node is taken, targets left
//! to the default scheduler. Groups and limits of the plan hold for them too.

use super::decode::{BudgetRule, Placing, Rules, decode};
use super::forecast::Schedule;
use super::instance::{Instance, Limit, NONE, Scope, Strategy, UNLIMITED};
use super::model::Model;

/// Another tool's policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Policy {
    /// One node after another, as a loop over `kubectl drain` and kured do.
    OneByOne,
    /// Zone by zone, within a zone as wide as the plan allows, as OpenShift's machine-config-operator does.
    ZoneByZone,
    /// As many at once as the plan allows, by name, as system-upgrade-controller does.
    FixedWidth,
    /// Waves as wide as the plan allows, by name.
    Waves,
}

impl Policy {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::OneByOne, Self::ZoneByZone, Self::FixedWidth, Self::Waves];

    /// For tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::OneByOne => "one by one",
            Self::ZoneByZone => "zone by zone",
            Self::FixedWidth => "fixed width",
            Self::Waves => "waves",
        }
    }

    /// The instance as the policy takes it on: narrower, or in waves.
    pub fn adapt(self, instance: &Instance) -> Instance {
        let mut adapted = instance.clone();
        match self {
            Self::OneByOne => {
                let members =
                    (0..instance.nodes.len() as u32).filter(|n| instance.nodes.is_due(*n)).collect();
                adapted.limits.push(Limit { scope: Scope::Campaign, most: 1, members });
            }
            Self::Waves => adapted.strategy = Strategy::Waves,
            Self::ZoneByZone | Self::FixedWidth => {}
        }
        adapted
    }

    /// Its rules for an adapted instance.
    pub fn rules(self, model: &Model<'_>) -> Rules {
        let nodes = &model.instance.nodes;
        let mut order = model.facts.due.clone();
        order.sort_by(|a, b| nodes.name[*a as usize].cmp(&nodes.name[*b as usize]));
        let mut rules = Rules {
            budgets: BudgetRule::Ignore,
            spare_slots: UNLIMITED,
            placing: Placing::Spread,
            ..Rules::new(order)
        };
        if self == Self::ZoneByZone {
            rules.stages = stages(model.instance, &model.facts.group_order);
        }
        rules
    }

    /// Its schedule. Where the policy runs into a deadlock, nodes are left over.
    pub fn schedule(self, instance: &Instance) -> Schedule {
        let adapted = self.adapt(instance);
        let model = Model::new(&adapted);
        decode(&model, &self.rules(&model))
    }
}

/// Groups in their order, and in each the zones in the order of their numbers.
fn stages(instance: &Instance, groups: &[u32]) -> Vec<u32> {
    let key = |n: u32| {
        let group = instance.nodes.group[n as usize];
        let place = groups.iter().position(|g| *g == group).unwrap_or(groups.len());
        (place, instance.nodes.zone[n as usize])
    };
    let due = (0..instance.nodes.len() as u32).filter(|n| instance.nodes.group[*n as usize] != NONE);
    let mut keys: Vec<_> = due.map(key).collect();
    keys.sort_unstable();
    keys.dedup();
    let stage = |n| keys.binary_search(&key(n)).unwrap_or(0) as u32;
    (0..instance.nodes.len() as u32).map(stage).collect()
}
