//! What nodes have taken, in this campaign and in earlier ones of the plan, and what is expected of the others for that.

use super::durations::Durations;
use crate::plan::v1alpha1::{HookPoint, MaintenanceCampaignStatus, MaintenancePlanSpec};
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
    /// So many nodes have shown it.
    pub nodes: u32,
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
}

impl Durations {
    /// What campaigns of a plan have shown.
    pub fn learned<'a>(records: impl IntoIterator<Item = &'a MaintenanceCampaignStatus>) -> Self {
        let mut durations = Self::default();
        records.into_iter().for_each(|record| durations.learn(record));
        durations
    }

    /// Takes in how long nodes of a campaign of the plan have taken.
    pub fn learn(&mut self, record: &MaintenanceCampaignStatus) {
        for node in record.nodes.iter().filter(|n| n.is_done()) {
            if let Some((drained, back)) = node.drained_at.zip(node.finished_at) {
                let took = u64::try_from(back.duration_since(drained).as_millis()).unwrap_or(0);
                self.after_drain.entry(node.group.clone()).or_default().add(took);
            }
        }
    }

    /// From the end of a node's drain until it is back: as expected, corrected by what nodes of its group have taken.
    pub(super) fn tail(&self, plan: &MaintenancePlanSpec, group: &str) -> Millis {
        let expected = self.expected_tail(plan, group);
        self.after_drain.get(group).map_or(expected, |took| took.correct(expected))
    }

    fn expected_tail(&self, plan: &MaintenancePlanSpec, group: &str) -> Millis {
        self.hooks(plan, group, &AFTER_DRAIN).saturating_add(self.node_overhead)
    }

    /// Which durations of these groups aren't as expected.
    pub(super) fn corrections(&self, plan: &MaintenancePlanSpec, groups: &[GroupNodes]) -> Vec<Correction> {
        let of_group = |group: &GroupNodes| {
            let took = self.after_drain.get(&group.name)?;
            let expected = self.expected_tail(plan, &group.name);
            Some(Correction {
                of: Corrected::AfterDrain(group.name.clone()),
                nodes: took.count,
                expected,
                corrected: took.correct(expected),
            })
        };
        groups.iter().filter_map(of_group).collect()
    }
}
