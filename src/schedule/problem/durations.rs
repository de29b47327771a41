//! How long things take: from the plan, from KubeVirt's settings, from how long the pods that are there took to get ready, and from
//! what nodes have shown.

use std::collections::BTreeMap;

use super::learned::{Pace, Took};
use crate::inventory::{Inventory, KubeVirt, Pod, VirtualMachineInstance};
use crate::plan::v1alpha1::{Hook, HookAction, HookPoint, MaintenancePlanSpec};
use crate::schedule::instance::Millis;

/// What is assumed where nobody says more. Whoever has measured puts in what was measured.
#[derive(Debug, Clone, PartialEq)]
pub struct Durations {
    /// A pod ends within this, or within its grace period if that is shorter. `None`: it takes all of its grace.
    pub stop: Option<Millis>,
    /// A guest is off within this of its shutdown, or within its grace if that is shorter. `None`: it takes all of its grace.
    pub guest_stop: Option<Millis>,
    /// From a pod's creation until it is Ready, where its workload has no pod that shows it.
    pub ready: Millis,
    /// From a shut-down guest's end until it runs again.
    pub guest_start: Millis,
    /// What a migration takes beside the transfer: its target pod, the hand-over.
    pub migration_setup: Millis,
    /// Bytes a second that a migration gets, unless KubeVirt's `bandwidthPerMigration` is less.
    pub migration_bandwidth: u64,
    /// How often memory is copied, in percent: 140 for a guest that dirties as much as four tenths of it meanwhile.
    pub dirty_percent: u64,
    /// A node restart that states no `expected`.
    pub reboot: Millis,
    /// Any other hook that states no `expected`.
    pub hook: Millis,
    /// From the last pod's end until a node is safe to power off, and from the last hook until it has been verified.
    pub node_overhead: Millis,
    /// What nodes have really taken from the end of their drain until they were back, by group.
    pub after_drain: BTreeMap<String, Took>,
    /// What hooks have really taken, by name and the group of their nodes; those of the campaign have none.
    pub by_hook: BTreeMap<String, BTreeMap<String, Took>>,
}

impl Default for Durations {
    /// Whole grace periods; 30 s to get ready; migrations as KubeVirt's makers measure them on 10 Gbit/s (500 MB/s, 1.4); four
    /// minutes for a restart.
    fn default() -> Self {
        Self {
            stop: None,
            guest_stop: None,
            ready: 30_000,
            guest_start: 30_000,
            migration_setup: 5_000,
            migration_bandwidth: 500_000_000,
            dirty_percent: 140,
            reboot: 240_000,
            hook: 10_000,
            node_overhead: 5_000,
            after_drain: BTreeMap::new(),
            by_hook: BTreeMap::new(),
        }
    }
}

fn seconds(seconds: i64) -> Millis {
    u64::try_from(seconds).unwrap_or(0).saturating_mul(1000)
}

impl Durations {
    /// From a pod's eviction to its end. `grace`: the plan's own `gracePeriodSeconds`, if it names one.
    pub fn stop(&self, pod: &Pod, grace: Option<i64>) -> Millis {
        let grace = seconds(grace.filter(|g| *g >= 0).unwrap_or(pod.grace_seconds));
        self.stop.map_or(grace, |stop| stop.min(grace))
    }

    /// From a guest's shutdown to its end.
    pub fn guest_stop(&self, vmi: &VirtualMachineInstance) -> Millis {
        let grace = seconds(vmi.grace_seconds);
        self.guest_stop.map_or(grace, |stop| stop.min(grace))
    }

    /// The transfer of a live migration, before any has shown it: (memory × dirty factor) ÷ bandwidth.
    pub(super) fn transfer(&self, vmi: &VirtualMachineInstance, kubevirt: Option<&KubeVirt>) -> Millis {
        let limit = kubevirt.map(|k| k.bandwidth_per_migration).filter(|b| *b > 0).unwrap_or(u64::MAX);
        let bandwidth = u128::from(self.migration_bandwidth.min(limit).max(1));
        let bytes = u128::from(vmi.memory_bytes) * u128::from(self.dirty_percent) / 100;
        u64::try_from((bytes * 1000).div_ceil(bandwidth)).unwrap_or(Millis::MAX)
    }

    /// A live migration: set-up, then its transfer at the pace that guests have shown.
    pub(super) fn migration(
        &self,
        vmi: &VirtualMachineInstance,
        kubevirt: Option<&KubeVirt>,
        pace: Pace,
    ) -> Millis {
        self.migration_setup.saturating_add(pace.correct(self.transfer(vmi, kubevirt)))
    }

    /// What a hook is expected to take, before any has shown it.
    pub(super) fn stated(&self, hook: &Hook) -> Millis {
        match (hook.expected, hook.action()) {
            (Some(expected), _) => u64::try_from(expected.0.as_millis()).unwrap_or(Millis::MAX),
            (None, Some(HookAction::Reboot(_))) => self.reboot,
            (None, _) => self.hook,
        }
    }

    /// All hooks of a group at these points, one after the other.
    pub fn hooks(&self, plan: &MaintenancePlanSpec, group: &str, points: &[HookPoint]) -> Millis {
        let due = plan.hooks.iter().filter(|h| points.contains(&h.at) && h.applies_to(group));
        due.map(|h| self.hook(h, None)).fold(0, Millis::saturating_add)
    }
}

/// How long pods of each workload took to get ready: the median of those that are.
#[derive(Debug, Default)]
pub(super) struct Learned<'a> {
    by_owner: BTreeMap<&'a str, Millis>,
    /// The last owner that was asked for.
    last: Option<(&'a str, Option<Millis>)>,
}

impl<'a> Learned<'a> {
    /// From the pods that are Ready.
    pub fn of(inventory: &'a Inventory) -> Self {
        let mut seen: BTreeMap<&str, Vec<u32>> = BTreeMap::new();
        let mut run: (&str, Vec<u32>) = ("", Vec::new());
        // Pods of a workload come one after the other: the map is asked once for each.
        for pod in inventory.pods() {
            let (Some(owner), Some(took)) = (&pod.controller, pod.ready_after) else { continue };
            if owner.uid != run.0 {
                seen.entry(run.0).or_default().append(&mut run.1);
                run.0 = &owner.uid;
            }
            run.1.push(took);
        }
        seen.entry(run.0).or_default().append(&mut run.1);
        let median = |mut took: Vec<u32>| {
            took.sort_unstable();
            u64::from(took.get(took.len() / 2).copied().unwrap_or(0)) * 1000
        };
        // Who became Ready in its first second may also have been captured without its times.
        let by_owner = seen.into_iter().map(|(owner, took)| (owner, median(took))).filter(|(_, m)| *m > 0);
        Self { by_owner: by_owner.collect(), last: None }
    }

    /// From creation to Ready for a pod like this.
    pub fn ready(&mut self, pod: &'a Pod, durations: &Durations) -> Millis {
        let Some(owner) = pod.controller.as_ref().map(|o| o.uid.as_str()) else { return durations.ready };
        let known = match self.last {
            Some((last, known)) if last == owner => known,
            _ => self.by_owner.get(owner).copied(),
        };
        self.last = Some((owner, known));
        known.unwrap_or(durations.ready)
    }
}
