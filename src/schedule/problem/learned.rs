//! What nodes have taken, in this campaign and in earlier ones of the plan, and what is expected of the others for that.

use jiff::SignedDuration;

use super::durations::Durations;
use crate::inventory::Inventory;
use crate::plan::v1alpha1::{Hook, HookPoint, MaintenanceCampaignStatus, MaintenancePlanSpec};
use crate::schedule::GroupNodes;
use crate::schedule::instance::Millis;

/// What is expected weighs as much as so many observations (planning with uncertain durations: means are added, not medians).
const EXPECTED_WEIGHS: Millis = 3;
/// Points whose hooks run after a node's drain.
const AFTER_DRAIN: [HookPoint; 3] = [HookPoint::Maintenance, HookPoint::PreUncordon, HookPoint::PostUncordon];

/// How long something has taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Took {
    /// So many times.
    pub count: u32,
    /// All together.
    pub sum: Millis,
}

impl Took {
    fn add(&mut self, took: Millis) {
        self.count += 1;
        self.sum = self.sum.saturating_add(took);
    }

    fn plus(self, other: Self) -> Self {
        Self { count: self.count + other.count, sum: self.sum.saturating_add(other.sum) }
    }

    /// The expected time, corrected by what was observed.
    fn correct(self, expected: Millis) -> Millis {
        let sum = expected.saturating_mul(EXPECTED_WEIGHS).saturating_add(self.sum);
        sum / (EXPECTED_WEIGHS + Millis::from(self.count))
    }
}

/// How transfers of live migrations have gone beside what is expected: of each guest that has migrated, its last one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Pace {
    guests: u32,
    expected: Millis,
    took: Millis,
}

impl Pace {
    /// From the guests that are there.
    pub fn of(inventory: &Inventory, durations: &Durations) -> Self {
        let mut pace = Self::default();
        for vmi in inventory.vmis() {
            let state = vmi.migration_state.as_ref().filter(|s| s.completed && !s.failed);
            let Some((start, end)) = state.and_then(|s| s.start.zip(s.end)) else { continue };
            pace.guests += 1;
            pace.took = pace.took.saturating_add(millis(end.duration_since(start)));
            let expected = durations.transfer(vmi, inventory.kubevirt.as_ref());
            pace.expected = pace.expected.saturating_add(expected);
        }
        pace
    }

    /// An expected transfer at this pace, where what is expected weighs as much as three guests of the average size.
    pub fn correct(self, expected: Millis) -> Millis {
        if self.expected == 0 {
            return expected;
        }
        let (guests, weighs) = (u128::from(self.guests), u128::from(EXPECTED_WEIGHS));
        let (all, took) = (u128::from(self.expected), u128::from(self.took));
        let both = weighs.saturating_mul(all).saturating_add(guests.saturating_mul(took));
        let corrected = u128::from(expected).saturating_mul(both) / (weighs + guests).saturating_mul(all);
        u64::try_from(corrected).unwrap_or(Millis::MAX)
    }

    /// What it comes to for a guest of the average size.
    pub fn correction(self) -> Option<Correction> {
        let expected = self.expected.checked_div(Millis::from(self.guests)).filter(|e| *e > 0)?;
        let corrected = self.correct(expected);
        Some(Correction { of: Corrected::Transfer, count: self.guests, expected, corrected })
    }
}

/// A duration that nodes have shown, so that another one is reckoned with than was expected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Correction {
    /// Of what.
    pub of: Corrected,
    /// So many times it was shown: by nodes, a hook's runs, or guests.
    pub count: u32,
    /// What would be expected otherwise.
    pub expected: Millis,
    /// What is reckoned with.
    pub corrected: Millis,
}

/// What nodes have shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Corrected {
    /// From the end of a drain until the node is back, in this group.
    AfterDrain(String),
    /// A hook of this name.
    Hook(String),
    /// The transfer of a live migration, of a guest of the average size.
    Transfer,
}

impl Durations {
    /// What campaigns of a plan have shown.
    pub fn learned<'a>(records: impl IntoIterator<Item = &'a MaintenanceCampaignStatus>) -> Self {
        let mut durations = Self::default();
        records.into_iter().for_each(|record| durations.learn(record));
        durations
    }

    /// Takes in how long nodes of a campaign of the plan have taken, and its hooks.
    pub fn learn(&mut self, record: &MaintenanceCampaignStatus) {
        for node in record.nodes.iter().filter(|n| n.is_done()) {
            if let Some((drained, back)) = node.drained_at.zip(node.finished_at) {
                let took = millis(back.duration_since(drained));
                self.after_drain.entry(node.group.clone()).or_default().add(took);
            }
            for hook in &node.hooks {
                self.ran(&hook.name, &node.group, hook.seconds.saturating_mul(1000));
            }
        }
        for hook in record.hooks.iter().filter(|h| h.succeeded) {
            if let Some((started, ended)) = hook.started_at.zip(hook.finished_at) {
                let group = hook.group.as_deref().unwrap_or_default();
                self.ran(&hook.name, group, millis(ended.duration_since(started)));
            }
        }
    }

    fn ran(&mut self, hook: &str, group: &str, took: Millis) {
        let groups = self.by_hook.entry(hook.to_owned()).or_default();
        groups.entry(group.to_owned()).or_default().add(took);
    }

    /// What a hook's runs have shown, those for nodes of one group left out.
    fn shown(&self, hook: &Hook, but: Option<&str>) -> Took {
        let groups = self.by_hook.get(&hook.name).into_iter().flatten();
        let others = groups.filter(|(group, _)| Some(group.as_str()) != but);
        others.fold(Took::default(), |sum, (_, took)| sum.plus(*took))
    }

    /// What a hook is expected to take: as stated, corrected by what its runs have shown, but for those of one group.
    pub(super) fn hook(&self, hook: &Hook, but: Option<&str>) -> Millis {
        self.shown(hook, but).correct(self.stated(hook))
    }

    /// From the end of a node's drain until it is back: as expected, corrected by what nodes of its group have taken.
    pub(super) fn tail(&self, plan: &MaintenancePlanSpec, group: &str) -> Millis {
        let expected = self.expected_tail(plan, group);
        self.after_drain.get(group).map_or(expected, |took| took.correct(expected))
    }

    /// What the hooks have taken for other groups counts; for this one, the whole has shown itself.
    fn expected_tail(&self, plan: &MaintenancePlanSpec, group: &str) -> Millis {
        let hooks = plan.hooks.iter().filter(|h| AFTER_DRAIN.contains(&h.at) && h.applies_to(group));
        hooks.map(|h| self.hook(h, Some(group))).fold(self.node_overhead, Millis::saturating_add)
    }

    /// Which durations of these groups and of the plan's hooks aren't as expected.
    pub(super) fn corrections(&self, plan: &MaintenancePlanSpec, groups: &[GroupNodes]) -> Vec<Correction> {
        let of_group = |group: &GroupNodes| {
            let took = self.after_drain.get(&group.name)?;
            let expected = self.expected_tail(plan, &group.name);
            Some(Correction {
                of: Corrected::AfterDrain(group.name.clone()),
                count: took.count,
                expected,
                corrected: took.correct(expected),
            })
        };
        let of_hook = |hook: &Hook| {
            let took = self.shown(hook, None);
            let expected = self.stated(hook);
            // What a group's own nodes have shown is in what they have taken after their drains.
            let counts = |group: &&GroupNodes| {
                hook.applies_to(&group.name)
                    && (!AFTER_DRAIN.contains(&hook.at) || self.shown(hook, Some(&group.name)).count > 0)
            };
            let is_used = took.count > 0 && groups.iter().any(|group| counts(&group));
            is_used.then(|| Correction {
                of: Corrected::Hook(hook.name.clone()),
                count: took.count,
                expected,
                corrected: took.correct(expected),
            })
        };
        groups.iter().filter_map(of_group).chain(plan.hooks.iter().filter_map(of_hook)).collect()
    }
}

fn millis(took: SignedDuration) -> Millis {
    u64::try_from(took.as_millis()).unwrap_or(0)
}
