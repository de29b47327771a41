//! What a decision sees, and what it says.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;

use crate::inventory::{Inventory, Lookup};
use crate::plan::v1alpha1::{CampaignNode, Group, MaintenanceCampaignStatus, MaintenancePlanSpec};
use crate::reconcile::{Carried, Effect, Hold, Ledger, NodePhase, Turns};
use crate::schedule::{GroupNodes, Guide};

/// Everything that a decision is a function of.
#[derive(Debug, Clone, Copy)]
pub struct View<'a> {
    /// What was observed.
    pub inventory: &'a Inventory,
    /// The plan of this campaign.
    pub plan: &'a MaintenancePlanSpec,
    /// Name of the MaintenanceCampaign.
    pub campaign: &'a str,
    /// The order in which nodes begin, and the planner's rules for it.
    pub guide: &'a Guide,
    /// The groups in an order that respects their dependencies, with their nodes.
    pub groups: &'a [GroupNodes],
    /// The record as last written.
    pub status: &'a MaintenanceCampaignStatus,
    /// What this process has asked for.
    pub ledger: &'a Ledger,
    /// Identity of this driver, new for each process.
    pub driver: &'a str,
    /// Earlier campaigns of this plan, which nobody drives any more: nodes that they left behind are taken over.
    pub adopts: &'a [String],
    /// Why no new work may start, if so.
    pub stopping: Option<&'a str>,
    /// Why no further node may begin, if so; those in work come to their end.
    pub halted: Option<&'a str>,
    /// Why it is no use to wait any longer, if so: the campaign pauses as it is.
    pub given_up: Option<&'a str>,
    /// The time.
    pub now: Timestamp,
}

impl<'a> View<'a> {
    /// The plan's text about a group.
    pub(super) fn group(&self, name: &str) -> Option<&'a Group> {
        self.plan.groups.iter().find(|g| g.name == name)
    }

    /// All nodes of the campaign with their groups.
    pub(super) fn nodes(&self) -> impl Iterator<Item = (&'a GroupNodes, &'a str)> + use<'a> {
        self.groups.iter().flat_map(|g| g.nodes.iter().map(move |n| (g, n.as_str())))
    }

    /// What the record, as last written, says of a node.
    pub(super) fn recorded(&self, node: &str) -> Option<&'a CampaignNode> {
        self.status.nodes.iter().find(|n| n.name == node).map(Arc::as_ref)
    }
}

/// The phase that a record names.
pub(super) fn phase_of(record: &CampaignNode) -> NodePhase {
    NodePhase::named(&record.phase)
}

/// How a node is doing, for displays.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct NodeProgress {
    /// Its group.
    pub group: String,
    /// Its wave; 0 before it has begun.
    pub wave: u32,
    /// Its phase.
    pub phase: NodePhase,
    /// Why it waits.
    pub holds: Vec<Hold>,
    /// Pods that still have to leave.
    pub pods_left: usize,
    /// Why it failed or was skipped.
    pub reason: Option<String>,
}

/// How a campaign ended, or why this driver leaves it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// All nodes through.
    Succeeded,
    /// Ended with failed nodes.
    Failed {
        /// In words.
        reason: String,
    },
    /// Waits for a person.
    Paused {
        /// In words.
        reason: String,
    },
    /// This driver was asked to stop, and nothing of its own is under way.
    Stopped,
}

/// What a decision says.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Decision {
    /// What to do.
    pub effects: Vec<Effect>,
    /// The record as it should be; to be written if it differs.
    pub status: MaintenanceCampaignStatus,
    /// Each node of the campaign.
    pub nodes: BTreeMap<String, NodeProgress>,
    /// Warnings for people, each said once.
    pub warnings: Vec<String>,
    /// What the planner's rules say of nodes that wait; the ledger keeps it.
    pub turns: Turns,
    /// What the nodes carry; the ledger keeps it.
    pub carried: Carried,
    /// Decide again then, even if nothing is observed.
    pub wake_at: Option<Timestamp>,
    /// Set when there is nothing more to do here.
    pub end: Option<End>,
    /// Where each node's record is in the status.
    index: Lookup<String, usize>,
}

impl Decision {
    /// Nothing yet; the record as last written.
    pub(super) fn of(status: &MaintenanceCampaignStatus) -> Self {
        let index = status.nodes.iter().enumerate().map(|(place, n)| (n.name.clone(), place)).collect();
        Self { status: status.clone(), index, ..Self::default() }
    }

    /// A node's record.
    pub(super) fn record(&self, node: &str) -> Option<&CampaignNode> {
        self.status.nodes.get(*self.index.get(node)?).map(Arc::as_ref)
    }

    /// The phase that the record holds for a node.
    pub(super) fn phase(&self, node: &str) -> Option<NodePhase> {
        Some(phase_of(self.record(node)?))
    }

    /// Adds or replaces a node's record.
    pub(super) fn put(&mut self, record: CampaignNode) {
        match self.index.get(&record.name) {
            // What is the same stays shared with the record as written.
            Some(place) if *self.status.nodes[*place] == record => {}
            Some(place) => self.status.nodes[*place] = record.into(),
            None => {
                self.index.insert(record.name.clone(), self.status.nodes.len());
                self.status.nodes.push(record.into());
            }
        }
    }

    pub(super) fn wake(&mut self, at: Timestamp) {
        self.wake_at = Some(self.wake_at.map_or(at, |earlier| earlier.min(at)));
    }
}
