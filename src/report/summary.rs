//! The report as data: what `-o json` prints, and what the page and the graph are made from.

use std::collections::BTreeSet;

use jiff::Timestamp;
use kube::ResourceExt;
use serde::Serialize;

use super::course::{Constraint, HookRun, Interval, Move, PhaseSpan, Refusal, Wait};
use super::finding::{self, Finding};
use super::story::{self, NodeStory, Story};
use super::windows;
use crate::journal::CauseKind;
use crate::plan::v1alpha1::{
    CampaignNode, MaintenanceCampaignStatus, MaintenancePlan, MaintenancePlanSpec, PastBudget, VmOutcome,
};
use crate::reconcile::NodePhase;
use crate::schedule::GroupNodes;

/// Waits of a node that are reported; the shortest are left out first.
const WAITS: usize = 12;
/// Constraints that are reported.
const CONSTRAINTS: usize = 200;

/// What a report is about, and how it was made.
#[derive(Debug, Clone, Copy)]
pub struct About<'a> {
    /// The plan.
    pub plan: &'a MaintenancePlan,
    /// Name of the campaign.
    pub campaign: &'a str,
    /// True for a dry run.
    pub forecast: bool,
    /// Name of the cluster.
    pub cluster: &'a str,
    /// Seed of the embedded cluster that it was played on; `None` on a real cluster.
    pub seed: Option<u64>,
    /// When the run began, by the clock of the cluster.
    pub made_at: Timestamp,
}

/// A campaign's result, or its forecast.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// Name of the plan.
    pub plan: String,
    /// Name of the campaign.
    pub campaign: String,
    /// Name of the cluster.
    pub cluster: String,
    /// How large the cluster is.
    pub cluster_size: ClusterSize,
    /// True for a dry run: nothing was changed.
    pub forecast: bool,
    /// Version of virtroll.
    pub version: String,
    /// Seed of the embedded cluster, if it was played on one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
    /// When the run began.
    pub made_at: Timestamp,
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
    /// What the planner expected as the run began, if it got so far.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub planned: Option<Planned>,
    /// Most nodes unavailable at one moment because of the campaign.
    pub peak_unavailable: u32,
    /// Nodes in the order of their beginning.
    pub nodes: Vec<ReportNode>,
    /// VMs by namespace and name.
    pub virtual_machines: Vec<ReportVm>,
    /// Moves of VMs in the order of their ends, as far as this run has seen them.
    pub moves: Vec<Move>,
    /// What held nodes back, what held most first.
    pub constraints: Vec<Constraint>,
    /// Evictions that were refused, most frequent first.
    pub refusals: Vec<Refusal>,
    /// Hooks of the campaign and of groups.
    pub hooks: Vec<HookRun>,
    /// When the plan's windows are open during the campaign.
    pub windows: Vec<Interval>,
    /// What people should know, explained, the worst first.
    pub findings: Vec<Finding>,
    /// What people should know.
    pub warnings: Vec<String>,
    /// The plan's spec, defaults filled in.
    pub plan_spec: MaintenancePlanSpec,
}

/// What the planner expected, with the durations that it takes: grace periods, migrations by their memory, `expected` of hooks, and what
/// nodes of the plan have taken before.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Planned {
    /// Until the last node is back.
    pub makespan_seconds: f64,
    /// Proven: no order takes less.
    pub lower_bound_seconds: f64,
    /// How far the makespan lies above the lower bound.
    pub gap_percent: f64,
    /// Moves of VMs beyond one each.
    pub extra_moves: u32,
    /// The fewest that are possible when as many nodes begin before the first is back.
    pub least_extra_moves: u32,
}

impl Planned {
    /// Of milliseconds.
    pub(super) fn new(makespan: u64, bound: u64, extra_moves: u32, least_extra_moves: u32) -> Self {
        let gap = if bound == 0 { 0.0 } else { (makespan as f64 / bound as f64 - 1.0) * 100.0 };
        Self {
            makespan_seconds: makespan as f64 / 1000.0,
            lower_bound_seconds: bound as f64 / 1000.0,
            gap_percent: (gap * 100.0).round() / 100.0,
            extra_moves,
            least_extra_moves,
        }
    }
}

/// How large the cluster is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ClusterSize {
    /// Pods.
    pub pods: usize,
    /// VirtualMachineInstances.
    pub virtual_machines: usize,
    /// PodDisruptionBudgets.
    pub budgets: usize,
}

/// One node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ReportNode {
    /// The node.
    pub name: String,
    /// Its group.
    pub group: String,
    /// Its zone, by the label that the plan's limits go by.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
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
    /// Pods that its drain deleted past their budgets.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub past_budgets: Vec<PastBudget>,
    /// What it waited for last before it began.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waited_for: Option<String>,
    /// The same as a kind, with the nodes or groups that it names.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub held_by: Option<HeldBy>,
    /// Its phases.
    pub phases: Vec<PhaseSpan>,
    /// What held it back, before it began and in its drain.
    pub waits: Vec<Wait>,
    /// Runs of its hooks.
    pub hooks: Vec<HookRun>,
}

/// What kept a node from beginning earlier.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct HeldBy {
    /// The kind.
    pub kind: CauseKind,
    /// The nodes, or the groups, that it waited for; the first few.
    pub names: Vec<String>,
    /// In words, without names.
    pub words: String,
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
    /// From a campaign's record and its story. Nodes that have not begun follow those that have.
    pub fn new(
        about: About<'_>,
        status: &MaintenanceCampaignStatus,
        groups: &[GroupNodes],
        story: &Story,
    ) -> Self {
        let spec = &about.plan.spec;
        let first = status.nodes.iter().filter_map(|n| n.started_at).min();
        let last = status.nodes.iter().filter_map(|n| n.finished_at).max();
        let makespan = first.zip(last).map_or(0, |(first, last)| last.duration_since(first).as_secs());
        let end = status.finished_at.or(last);
        let vms = status.virtual_machines.iter().map(|v| ReportVm {
            namespace: v.namespace.clone(),
            name: v.name.clone(),
            moves: v.moves,
            outcome: v.outcome,
        });
        let size = story.cluster();
        let mut constraints = story.constraints();
        constraints.truncate(CONSTRAINTS);
        let mut report = Self {
            plan: about.plan.name_any(),
            campaign: about.campaign.to_owned(),
            cluster: about.cluster.to_owned(),
            cluster_size: ClusterSize {
                pods: size.pods,
                virtual_machines: size.virtual_machines,
                budgets: size.budgets,
            },
            forecast: about.forecast,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            seed: about.seed,
            made_at: about.made_at,
            phase: format!("{:?}", status.phase),
            reason: status.reason.clone(),
            started_at: status.started_at,
            finished_at: status.finished_at,
            makespan_seconds: makespan,
            planned: story.planned(),
            peak_unavailable: status.peak_unavailable,
            nodes: nodes(status, groups, story, end),
            virtual_machines: vms.collect(),
            moves: story.moves().to_vec(),
            constraints,
            refusals: story.refusals(),
            hooks: story.hooks().to_vec(),
            windows: first.zip(end).map(|(a, b)| windows::open(&spec.windows, a, b)).unwrap_or_default(),
            findings: Vec::new(),
            warnings: story.warnings().to_vec(),
            plan_spec: spec.clone(),
        };
        report.findings = finding::all(&report, story);
        report
    }

    /// Nodes that are through.
    pub fn done(&self) -> usize {
        self.nodes.iter().filter(|n| n.phase == NodePhase::Done.name()).count()
    }

    /// When the first node began and the campaign's last work ended; `None` if nothing was begun.
    pub fn span(&self) -> Option<(Timestamp, Timestamp)> {
        let first = self.nodes.iter().filter_map(|n| n.started_at).min()?;
        let hooks = self.hooks.iter().filter_map(|h| h.finished_at);
        let hooks_first = self.hooks.iter().map(|h| h.started_at).min();
        let last = self.nodes.iter().filter_map(|n| n.finished_at).chain(hooks).chain(self.finished_at).max();
        let spans = self.nodes.iter().flat_map(|n| &n.phases).map(|p| p.finished_at).max();
        Some((first.min(hooks_first.unwrap_or(first)), last.max(spans)?))
    }
}

fn nodes(
    status: &MaintenanceCampaignStatus,
    groups: &[GroupNodes],
    story: &Story,
    end: Option<Timestamp>,
) -> Vec<ReportNode> {
    let begun: BTreeSet<&str> = status.nodes.iter().map(|n| n.name.as_str()).collect();
    let members = groups.iter().flat_map(|g| g.nodes.iter().map(move |node| (node, &g.name)));
    let pending = members.filter(|(node, _)| !begun.contains(node.as_str())).map(|(node, group)| {
        let record = CampaignNode {
            name: node.clone(),
            group: group.clone(),
            phase: NodePhase::Pending.name().to_owned(),
            ..CampaignNode::default()
        };
        one_node(&record, story, end)
    });
    status.nodes.iter().map(|n| one_node(n, story, end)).chain(pending).collect()
}

fn one_node(record: &CampaignNode, story: &Story, end: Option<Timestamp>) -> ReportNode {
    let told = story.node(&record.name);
    let before = told.and_then(|n| n.before.as_ref());
    let held_by = before.map(|hold| {
        let (kind, names) = story::names(hold);
        HeldBy { kind, names, words: crate::journal::Cause::from(hold).words }
    });
    ReportNode {
        name: record.name.clone(),
        group: record.group.clone(),
        zone: story.zone(&record.name).cloned(),
        wave: record.wave,
        phase: record.phase.clone(),
        reason: record.reason.clone(),
        started_at: record.started_at,
        finished_at: record.finished_at,
        pods_evicted: record.pods_evicted,
        virtual_machines: record.virtual_machines,
        past_budgets: record.past_budgets.clone(),
        waited_for: before.map(ToString::to_string),
        held_by,
        phases: told.map(|n| spans(record, n, end)).unwrap_or_default(),
        waits: told.map(|n| longest(&n.waits)).unwrap_or_default(),
        hooks: told.map(|n| n.hooks.clone()).unwrap_or_default(),
    }
}

/// The phases as spans. What happened before this run of virtroll is one span.
fn spans(record: &CampaignNode, told: &NodeStory, end: Option<Timestamp>) -> Vec<PhaseSpan> {
    let mut spans = Vec::new();
    let mut add = |phase: &str, started_at, finished_at| {
        if finished_at > started_at {
            spans.push(PhaseSpan { phase: phase.to_owned(), started_at, finished_at });
        }
    };
    let first = told.phases.first().map(|(_, at)| *at);
    if let Some((began, first)) = record.started_at.zip(first) {
        // The record's time is that of the decision, the journal's that of its observation: a moment later.
        let second = jiff::SignedDuration::from_secs(2);
        if first.duration_since(began) > second {
            add("Earlier", began, record.finished_at.map_or(first, |end| end.min(first)));
        }
    }
    for (index, (phase, at)) in told.phases.iter().enumerate() {
        let next = told.phases.get(index + 1).map(|(_, at)| *at);
        if phase.is_active()
            && let Some(until) = next.or(end)
        {
            add(phase.name(), *at, until);
        }
    }
    spans
}

/// The longest waits, in their order.
fn longest(waits: &[Wait]) -> Vec<Wait> {
    let length = |w: &Wait| w.finished_at.map_or(0, |end| end.duration_since(w.started_at).as_secs());
    let mut lengths: Vec<i64> = waits.iter().map(length).collect();
    lengths.sort_unstable_by(|a, b| b.cmp(a));
    let least = lengths.get(WAITS).copied().unwrap_or(0).max(1);
    waits.iter().filter(|w| length(w) >= least).take(WAITS).cloned().collect()
}
