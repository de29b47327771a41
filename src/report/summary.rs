//! The report as data: what `-o json` prints.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde::Serialize;

use crate::plan::v1alpha1::{MaintenanceCampaignStatus, VmOutcome};
use crate::schedule::GroupNodes;

/// A campaign's result, or its forecast.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// Name of the plan.
    pub plan: String,
    /// Name of the campaign.
    pub campaign: String,
    /// True for a dry run: nothing was changed.
    pub forecast: bool,
    /// `Succeeded`, `Failed`, `Paused`, `Running`.
    pub phase: String,
    /// Why.
    pub reason: Option<String>,
    /// When it began.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
    /// From the first node's beginning to the last node's end, seconds.
    pub makespan_seconds: i64,
    /// Most nodes unavailable at one moment because of the campaign.
    pub peak_unavailable: u32,
    /// Nodes in the order of their beginning.
    pub nodes: Vec<ReportNode>,
    /// VMs by namespace and name.
    pub virtual_machines: Vec<ReportVm>,
    /// What people should know.
    pub warnings: Vec<String>,
}

/// One node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ReportNode {
    /// The node.
    pub name: String,
    /// Its group.
    pub group: String,
    /// Its wave; 0 if it was never begun.
    pub wave: u32,
    /// Its phase.
    pub phase: String,
    /// Why it failed or was skipped.
    pub reason: Option<String>,
    /// When its maintenance began.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
    /// Pods that left by its drain.
    pub pods_evicted: u32,
    /// Virtual machines that were on it when its maintenance began.
    pub virtual_machines: u32,
    /// What it waited for last before it began.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waited_for: Option<String>,
}

/// One VM.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ReportVm {
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// Moves between nodes.
    pub moves: u32,
    /// What became of it.
    pub outcome: VmOutcome,
}

impl Report {
    /// From a campaign's record and what its nodes waited for. Nodes that have not begun follow those that have.
    pub fn new(
        plan: &str,
        campaign: &str,
        forecast: bool,
        status: &MaintenanceCampaignStatus,
        groups: &[GroupNodes],
        waits: &super::Waits,
        warnings: Vec<String>,
    ) -> Self {
        let first = status.nodes.iter().filter_map(|n| n.started_at).min();
        let last = status.nodes.iter().filter_map(|n| n.finished_at).max();
        let makespan = first.zip(last).map_or(0, |(first, last)| last.duration_since(first).as_secs());
        let nodes = status.nodes.iter().map(|n| ReportNode {
            name: n.name.clone(),
            group: n.group.clone(),
            wave: n.wave,
            phase: n.phase.clone(),
            reason: n.reason.clone(),
            started_at: n.started_at,
            finished_at: n.finished_at,
            pods_evicted: n.pods_evicted,
            virtual_machines: n.virtual_machines,
            waited_for: waits.of(&n.name).map(str::to_owned),
        });
        let begun: BTreeSet<&str> = status.nodes.iter().map(|n| n.name.as_str()).collect();
        let members = groups.iter().flat_map(|g| g.nodes.iter().map(move |node| (node, &g.name)));
        let pending = members.filter(|(node, _)| !begun.contains(node.as_str()));
        let pending = pending.map(|(node, group)| ReportNode {
            name: node.clone(),
            group: group.clone(),
            wave: 0,
            phase: "Pending".to_owned(),
            reason: None,
            started_at: None,
            finished_at: None,
            pods_evicted: 0,
            virtual_machines: 0,
            waited_for: waits.of(node).map(str::to_owned),
        });
        let vms = status.virtual_machines.iter().map(|v| ReportVm {
            namespace: v.namespace.clone(),
            name: v.name.clone(),
            moves: v.moves,
            outcome: v.outcome,
        });
        Self {
            plan: plan.to_owned(),
            campaign: campaign.to_owned(),
            forecast,
            phase: format!("{:?}", status.phase),
            reason: status.reason.clone(),
            started_at: status.started_at,
            finished_at: status.finished_at,
            makespan_seconds: makespan,
            peak_unavailable: status.peak_unavailable,
            nodes: nodes.chain(pending).collect(),
            virtual_machines: vms.collect(),
            warnings,
        }
    }
}
