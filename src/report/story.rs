//! The story of a campaign: the journal, folded into what reports show of nodes, VMs and constraints.
//!
//! # Why
//! A journal of a large campaign has a line for each of 150,000 pods. What is kept here grows with nodes, VM moves and
//! constraints, and each list has a bound.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};

use super::course::{Constraint, HookRun, Interval, Move, MoveKind, Refusal, Wait};
use super::summary::Planned;
use crate::inventory::ObjectName;
use crate::journal::{Cause, CauseKind, Event, EventKind};
use crate::reconcile::{Hold, NodePhase, NodeProgress};
use crate::schedule;

/// A cause that comes back after so short a time has never been away.
const GAP: SignedDuration = SignedDuration::from_secs(15);
/// Intervals that are kept of a constraint, waits and hook runs that are kept of a node.
const KEPT: usize = 64;
/// Kinds of refusals that are told apart.
const REFUSALS: usize = 200;
/// Names that are kept as examples.
const EXAMPLES: usize = 5;

/// See the module's documentation.
#[derive(Debug, Clone, Default)]
pub struct Story {
    nodes: BTreeMap<String, NodeStory>,
    zones: BTreeMap<String, String>,
    constraints: BTreeMap<Cause, Course>,
    moves: Vec<Move>,
    /// VMs whose eviction was granted: when, and from where.
    leaving: BTreeMap<ObjectName, (Timestamp, String)>,
    /// VMs that are off: the places of their moves.
    stopped: BTreeMap<ObjectName, usize>,
    refusals: BTreeMap<String, Refusal>,
    hooks: Vec<HookRun>,
    obstructed: BTreeMap<String, String>,
    warnings: Vec<String>,
    planned: Option<Planned>,
    /// Workloads that were scaled up for a drain.
    surged: BTreeSet<String>,
    cluster: Sizes,
    last: Option<Timestamp>,
}

/// How large the cluster is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Sizes {
    pub pods: usize,
    pub virtual_machines: usize,
    pub budgets: usize,
}

/// What is kept of a node.
#[derive(Debug, Clone, Default)]
pub(super) struct NodeStory {
    /// Phases with their beginnings.
    pub phases: Vec<(NodePhase, Timestamp)>,
    pub waits: Vec<Wait>,
    pub hooks: Vec<HookRun>,
    /// What it waited for last before it began.
    pub before: Option<Hold>,
    holds: Vec<Hold>,
    open: BTreeSet<Cause>,
}

/// When a constraint held nodes back.
#[derive(Debug, Clone, Default)]
struct Course {
    intervals: Vec<Interval>,
    held: u32,
    peak: u32,
    node_seconds: i64,
    since: Option<Timestamp>,
}

impl Story {
    /// Nothing has happened; warnings that were given before.
    pub fn of<'w>(warnings: impl IntoIterator<Item = &'w str>) -> Self {
        let mut story = Self::default();
        warnings.into_iter().for_each(|w| story.warn(w));
        story
    }

    /// Takes in an event.
    pub fn event(&mut self, event: &Event) {
        let at = event.at;
        self.last = Some(at);
        match &event.kind {
            EventKind::CampaignStarted { zones, pods, virtual_machines, budgets, .. } => {
                self.zones.clone_from(zones);
                let (pods, virtual_machines, budgets) = (*pods, *virtual_machines, *budgets);
                self.cluster = Sizes { pods, virtual_machines, budgets };
            }
            EventKind::NodeObstructed { node, why } => {
                self.obstructed.insert(node.clone(), why.clone());
            }
            EventKind::NodePhaseChanged { node, phase, .. } => self.phase(node, NodePhase::named(phase), at),
            EventKind::Progress(nodes) => {
                for (name, node) in nodes {
                    self.progress(name, node, at);
                }
            }
            EventKind::PodEvicted { node, vm: Some(vm), .. } => {
                self.leaving.entry(vm.clone()).or_insert((at, node.clone()));
            }
            EventKind::WorkloadScaled { workload, from, to, .. } => {
                if to > from {
                    self.surged.insert(workload.clone());
                }
            }
            EventKind::EvictionRefused { pod, node, why, budgets, .. } => {
                self.refusal(pod, node, why, budgets, at);
            }
            EventKind::VmChanged { vm, outcome, node, from } => {
                self.vm(vm, outcome, node.as_ref(), from.as_ref(), at);
            }
            EventKind::HookStarted { hook, scope, attempt } => self.hook_started(hook, scope, *attempt, at),
            EventKind::HookEnded { hook, scope, attempt, error } => {
                self.hook_ended(hook, scope, *attempt, error.as_ref(), at);
            }
            EventKind::Warning { text } => self.warn(text),
            EventKind::CampaignEnded { .. } => self.close(at),
            EventKind::Planned { makespan_ms, lower_bound_ms, extra_moves, least_extra_moves } => {
                let (moves, least) = (*extra_moves, *least_extra_moves);
                self.planned = Some(Planned::new(*makespan_ms, *lower_bound_ms, moves, least));
            }
            EventKind::Reordered
            | EventKind::NodeWaits { .. }
            | EventKind::PodEvicted { vm: None, .. }
            | EventKind::PodDeletedPastBudget { .. }
            | EventKind::PodLeft { .. }
            | EventKind::Stopping { .. } => {}
        }
    }

    /// What the planner expected.
    pub fn planned(&self) -> Option<Planned> {
        self.planned
    }

    /// Adds a warning; the same one is kept once.
    fn warn(&mut self, text: &str) {
        if !self.warnings.iter().any(|w| w == text) {
            self.warnings.push(text.to_owned());
        }
    }

    /// What people should know.
    pub(super) fn warnings(&self) -> &[String] {
        &self.warnings
    }

    pub(super) fn node(&self, name: &str) -> Option<&NodeStory> {
        self.nodes.get(name)
    }

    pub(super) fn zone(&self, node: &str) -> Option<&String> {
        self.zones.get(node)
    }

    pub(super) fn obstructed(&self) -> &BTreeMap<String, String> {
        &self.obstructed
    }

    /// Workloads that were scaled up for a drain.
    pub(super) fn surged(&self) -> &BTreeSet<String> {
        &self.surged
    }

    pub(super) fn moves(&self) -> &[Move] {
        &self.moves
    }

    pub(super) fn hooks(&self) -> &[HookRun] {
        &self.hooks
    }

    pub(super) fn cluster(&self) -> Sizes {
        self.cluster
    }

    /// Refusals, most frequent first.
    pub(super) fn refusals(&self) -> Vec<Refusal> {
        let mut refusals: Vec<Refusal> = self.refusals.values().cloned().collect();
        refusals.sort_by(|a, b| b.count.cmp(&a.count).then(a.words.cmp(&b.words)));
        refusals
    }

    /// What has held nodes back, what held most first.
    pub(super) fn constraints(&self) -> Vec<Constraint> {
        let constraint = |(cause, course): (&Cause, &Course)| Constraint {
            kind: cause.kind,
            subject: cause.subject.clone(),
            words: cause.words.clone(),
            peak_nodes: course.peak,
            node_seconds: course.node_seconds,
            intervals: course.intervals.clone(),
        };
        let mut all: Vec<Constraint> = self.constraints.iter().map(constraint).collect();
        // What came and went within the same second has held nobody.
        all.retain(|c| c.node_seconds > 0);
        all.sort_by(|a, b| b.node_seconds.cmp(&a.node_seconds).then(a.words.cmp(&b.words)));
        all
    }

    fn phase(&mut self, node: &str, phase: NodePhase, at: Timestamp) {
        let story = self.nodes.entry(node.to_owned()).or_default();
        story.phases.push((phase, at));
    }

    fn progress(&mut self, name: &str, node: &NodeProgress, at: Timestamp) {
        if !self.nodes.contains_key(name) {
            self.nodes.insert(name.to_owned(), NodeStory::default());
        }
        let Some(story) = self.nodes.get_mut(name) else { return };
        let is_over = node.phase.is_terminal();
        let holds = if is_over { &[] } else { node.holds.as_slice() };
        if story.holds == holds {
            return;
        }
        story.holds = holds.to_vec();
        if !node.phase.is_active()
            && let Some(first) = holds.iter().find(|h| !is_done_hook(h))
        {
            story.before = Some(first.clone());
        }
        // Hooks and verification of a node at work are its bars; what holds it back is something else.
        let own =
            |hold: &&Hold| node.phase.is_active() && matches!(hold, Hold::Hook { .. } | Hold::Verify { .. });
        let causes: BTreeSet<Cause> =
            holds.iter().filter(|h| !own(h) && !is_done_hook(h)).map(Cause::from).collect();
        if causes == story.open {
            return;
        }
        for cause in story.open.difference(&causes) {
            end_wait(&mut story.waits, cause, at);
            self.constraints.entry(cause.clone()).or_default().release(at);
        }
        for cause in causes.difference(&story.open) {
            let hold = holds.iter().find(|h| Cause::from(*h) == *cause);
            begin_wait(&mut story.waits, cause, hold, at);
            self.constraints.entry(cause.clone()).or_default().hold(at);
        }
        story.open = causes;
    }

    fn vm(
        &mut self,
        vm: &ObjectName,
        outcome: &str,
        node: Option<&String>,
        from: Option<&String>,
        at: Timestamp,
    ) {
        let kind = match outcome {
            "Migrated" => MoveKind::Migrated,
            "Restarted" => MoveKind::Restarted,
            "Replaced" => MoveKind::Replaced,
            "Stopped" => MoveKind::Stopped,
            _ => return,
        };
        let left = self.leaving.remove(vm);
        let source = left.as_ref().map(|(_, node)| node.clone()).or_else(|| from.cloned());
        if kind == MoveKind::Restarted
            && let Some(stopped) = self.stopped.remove(vm).and_then(|i| self.moves.get_mut(i))
        {
            // One move with the shutdown that began it.
            stopped.kind = kind;
            stopped.to = node.cloned();
            stopped.finished_at = at;
            return;
        }
        if kind == MoveKind::Stopped {
            self.stopped.insert(vm.clone(), self.moves.len());
        }
        self.moves.push(Move {
            namespace: vm.namespace.clone(),
            name: vm.name.clone(),
            kind,
            from: source.or_else(|| node.filter(|_| kind == MoveKind::Stopped).cloned()),
            to: node.filter(|_| kind != MoveKind::Stopped).cloned(),
            started_at: left.map(|(at, _)| at),
            finished_at: at,
        });
    }

    fn refusal(&mut self, pod: &ObjectName, node: &str, why: &str, budgets: &[ObjectName], at: Timestamp) {
        let mut budgets: Vec<String> = budgets.iter().map(ToString::to_string).collect();
        budgets.sort();
        // The server's text names the pod; without it, the refusals of one reason are the same.
        let mut key = if budgets.is_empty() { why.replace(&pod.name, "…") } else { budgets.join(", ") };
        if !self.refusals.contains_key(&key) && self.refusals.len() >= REFUSALS {
            key = "other refusals".to_owned();
            budgets.clear();
        }
        let refusal = self.refusals.entry(key).or_insert_with(|| Refusal {
            budgets,
            words: why.to_owned(),
            count: 0,
            pods: Vec::new(),
            nodes: BTreeSet::new(),
            started_at: at,
            finished_at: at,
        });
        refusal.count += 1;
        refusal.finished_at = at;
        let pod = pod.to_string();
        if refusal.pods.len() < EXAMPLES && !refusal.pods.contains(&pod) {
            refusal.pods.push(pod);
        }
        refusal.nodes.insert(node.to_owned());
    }

    /// The hook runs of what a hook is run for.
    fn runs(&mut self, scope: &str) -> &mut Vec<HookRun> {
        match scope.strip_prefix("node ") {
            Some(node) => &mut self.nodes.entry(node.to_owned()).or_default().hooks,
            None => &mut self.hooks,
        }
    }

    fn hook_started(&mut self, hook: &str, scope: &str, attempt: u32, at: Timestamp) {
        let runs = self.runs(scope);
        if runs.len() < KEPT {
            runs.push(HookRun {
                hook: hook.to_owned(),
                scope: scope.to_owned(),
                attempt,
                started_at: at,
                finished_at: None,
                error: None,
            });
        }
    }

    fn hook_ended(&mut self, hook: &str, scope: &str, attempt: u32, error: Option<&String>, at: Timestamp) {
        let mut runs = self.runs(scope).iter_mut().rev();
        if let Some(run) = runs.find(|r| r.hook == hook && r.scope == scope && r.attempt == attempt) {
            run.finished_at = Some(at);
            run.error = error.cloned();
        }
    }

    /// Ends what is still open.
    fn close(&mut self, at: Timestamp) {
        for story in self.nodes.values_mut() {
            for cause in std::mem::take(&mut story.open) {
                end_wait(&mut story.waits, &cause, at);
                self.constraints.entry(cause).or_default().release(at);
            }
        }
    }
}

/// A hook that has just ended is no reason any more.
fn is_done_hook(hold: &Hold) -> bool {
    matches!(hold, Hold::Hook { progress, .. } if progress == "done")
}

fn begin_wait(waits: &mut Vec<Wait>, cause: &Cause, hold: Option<&Hold>, at: Timestamp) {
    let mut known = waits.iter_mut().rev();
    let known =
        known.find(|w| w.cause == *cause && w.finished_at.is_some_and(|end| at.duration_since(end) <= GAP));
    if let Some(wait) = known {
        wait.finished_at = None;
    } else if waits.len() < KEPT {
        let words = hold.map_or_else(|| cause.words.clone(), ToString::to_string);
        waits.push(Wait { cause: cause.clone(), words, started_at: at, finished_at: None });
    }
}

fn end_wait(waits: &mut [Wait], cause: &Cause, at: Timestamp) {
    if let Some(wait) = waits.iter_mut().rev().find(|w| w.cause == *cause) {
        wait.finished_at = Some(at);
    }
}

impl Course {
    fn count(&mut self, at: Timestamp) {
        if let Some(since) = self.since {
            self.node_seconds += i64::from(self.held) * at.duration_since(since).as_secs();
        }
        self.since = Some(at);
    }

    fn hold(&mut self, at: Timestamp) {
        self.count(at);
        self.held += 1;
        self.peak = self.peak.max(self.held);
        if self.held > 1 {
            return;
        }
        let kept = self.intervals.len();
        match self.intervals.last_mut() {
            // Beyond the bound, the last interval is drawn out over what follows.
            Some(last) if kept >= KEPT || at.duration_since(last.finished_at) <= GAP => last.finished_at = at,
            _ => self.intervals.push(Interval { started_at: at, finished_at: at }),
        }
    }

    fn release(&mut self, at: Timestamp) {
        self.count(at);
        self.held = self.held.saturating_sub(1);
        if self.held == 0
            && let Some(last) = self.intervals.last_mut()
        {
            last.finished_at = at;
        }
    }
}

/// What a hold names: the nodes and groups that are waited for.
pub(super) fn names(hold: &Hold) -> (CauseKind, Vec<String>) {
    let names = match hold {
        Hold::Group { waits_for } | Hold::Wave { waits_for } => waits_for.clone(),
        Hold::Concurrency { unavailable, .. } => unavailable.clone(),
        Hold::Soak { group, .. } => vec![group.clone()],
        Hold::Turn { wait: schedule::Wait::After { node } } => vec![node.clone()],
        Hold::Turn { .. }
        | Hold::Inbound { .. }
        | Hold::Stopped { .. }
        | Hold::Budget { .. }
        | Hold::ManyBudgets { .. }
        | Hold::Override { .. }
        | Hold::Surge { .. }
        | Hold::ScaleBack { .. }
        | Hold::Terminating { .. }
        | Hold::Refused { .. }
        | Hold::Migrating { .. }
        | Hold::VirtualMachine { .. }
        | Hold::Unsafe { .. }
        | Hold::Tier { .. }
        | Hold::Hook { .. }
        | Hold::Start { .. }
        | Hold::Verify { .. } => Vec::new(),
    };
    (Cause::from(hold).kind, names)
}
