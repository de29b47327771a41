//! On a simulated cluster nobody comes to mend what blocks: a campaign that stands still there is given up after a while,
//! in words, instead of waiting through virtual centuries.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::plan::v1alpha1::{MaintenanceCampaignStatus, MaintenancePlanSpec};
use crate::reconcile::{Decision, HookStatus, Ledger};

/// Watches how long the record has stood still.
#[derive(Debug, Default)]
pub(super) struct Patience {
    limit: Option<SignedDuration>,
    seen: Option<(MaintenanceCampaignStatus, Timestamp)>,
}

impl Patience {
    /// Beyond what the plan itself waits for without a word in the record: soaks and drains.
    pub(super) fn new(patience: Option<Duration>, plan: &MaintenancePlanSpec) -> Self {
        let soak = plan.groups.iter().filter_map(|g| g.soak).map(|s| s.0).max().unwrap_or_default();
        let limit = patience.map(|p| p + soak + plan.drain.timeout.0);
        Self { limit: limit.and_then(|l| SignedDuration::try_from(l).ok()), seen: None }
    }

    /// Why it is no use to wait any longer, if so.
    pub(super) fn over(&mut self, decision: &Decision, ledger: &Ledger, now: Timestamp) -> Option<String> {
        let limit = self.limit?;
        let hooks_run = ledger.hooks.values().any(|h| *h == HookStatus::Running);
        let since = match &self.seen {
            Some((status, since)) if *status == decision.status && !hooks_run => *since,
            _ => {
                self.seen = Some((decision.status.clone(), now));
                return None;
            }
        };
        if now < since.saturating_add(limit).unwrap_or(Timestamp::MAX) {
            return None;
        }
        let held = decision.nodes.iter().filter_map(|(name, node)| Some((name, node.holds.first()?)));
        let worst = held.rev().max_by_key(|(_, hold)| hold.prospect());
        let why =
            worst.map_or_else(|| "nothing says why".to_owned(), |(name, hold)| format!("{name}: {hold}"));
        Some(format!("nothing has changed for {} hours: {why}", now.duration_since(since).as_hours()))
    }

    /// Whether what began then has lasted too long.
    pub(super) fn is_over_since(&self, since: Timestamp, now: Timestamp) -> bool {
        self.limit.is_some_and(|limit| since.saturating_add(limit).is_ok_and(|end| now >= end))
    }

    /// When it is over, if nothing changes.
    pub(super) fn ends_at(&self) -> Option<Timestamp> {
        self.seen.as_ref()?.1.saturating_add(self.limit?).ok()
    }
}
