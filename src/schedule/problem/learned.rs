//! What nodes have taken, in this campaign and in earlier ones of the plan, and what is expected of the others for that.

use jiff::SignedDuration;

use super::durations::Durations;
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

/// A duration that nodes have shown, so that another one is reckoned with than was expected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Correction {
    /// Of what.
    pub of: Corrected,
    /// So many times it was shown: by nodes, or by a hook's runs.
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
            (took.count > 0).then(|| Correction {
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
