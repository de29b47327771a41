//! The planner's forecast for people and programs: `--dry-run=schedule`.

use serde::Serialize;

use super::dot::quoted;
use super::text::{table, trimmed};
use super::words::{count, duration};
use crate::schedule::bounds::Binding;
use crate::schedule::conflict::Conflict;
use crate::schedule::decode::Rules;
use crate::schedule::forecast::{Hold, Visit};
use crate::schedule::instance::{Instance, Millis, NONE, Scope, Standing, Way};
use crate::schedule::problem::{Corrected, Correction, Problem};
use crate::schedule::search::Plan;
use crate::schedule::spread;

/// The planner's forecast. Times are seconds from the campaign's beginning.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Outlook {
    /// Name of the plan.
    pub plan: String,
    /// Context, or file of the simulated cluster.
    pub cluster: String,
    /// The last node is back.
    pub makespan_seconds: f64,
    /// Of campaigns in which each duration is drawn around the expected one, half are over by then; absent for very large ones, where
    /// that would take long.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub likely_seconds: Option<f64>,
    /// And nine in ten by then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub likely_at_most_seconds: Option<f64>,
    /// Proven: no order ends earlier, with the durations taken here.
    pub lower_bound_seconds: f64,
    /// What makes the lower bound so large.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lower_bound_by: Option<String>,
    /// How far the makespan lies above the lower bound.
    pub gap_percent: f64,
    /// Most nodes of the plan away at one moment.
    pub peak_unavailable: u32,
    /// Moves of VMs beyond one for each VM on nodes of the plan.
    pub extra_moves: u32,
    /// The fewest extra moves that are possible when as many nodes start before the first is back.
    pub least_extra_moves: u32,
    /// Nodes in the order of their starts.
    pub nodes: Vec<OutlookNode>,
    /// Every move of a VM.
    pub moves: Vec<OutlookMove>,
    /// Durations that are taken from what nodes have shown, in campaigns of this plan.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub learned: Vec<OutlookLearned>,
    /// Nodes for which the planner found no way, each with what held it. No proof that there is none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub not_placed: Vec<NotPlaced>,
    /// Nodes that the plan leaves out for a conflict (`onConflict: Skip`), each with why.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub skipped: Vec<NotPlaced>,
}

/// One node's maintenance.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct OutlookNode {
    /// Its name.
    pub name: String,
    /// Its group.
    pub group: String,
    /// It is cordoned.
    pub start_seconds: f64,
    /// The last pod has left.
    pub drained_seconds: f64,
    /// It is back in service.
    pub end_seconds: f64,
    /// Pods and VMs that leave it.
    pub leaving: usize,
    /// Why it doesn't start earlier; absent for a node that starts at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// The node whose progress lets it start.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waits_for: Option<String>,
}

/// One move of a VM.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct OutlookMove {
    /// The VM.
    pub name: String,
    /// Its node before.
    pub from: String,
    /// Its node afterwards.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// The migration begins, or the shutdown.
    pub start_seconds: f64,
    /// It runs at its new place.
    pub arrival_seconds: f64,
}

/// A duration that is taken from what nodes, hooks or VMs have shown.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct OutlookLearned {
    /// Of what.
    #[serde(flatten)]
    pub of: LearnedOf,
    /// So many nodes of the group, runs of the hook, or guests have shown it.
    pub count: u32,
    /// What would be expected otherwise: hooks' `expected` and checks, or the transfer at the usual bandwidth.
    pub expected_seconds: f64,
    /// What is reckoned with: the expected time counts as much as three that were shown.
    pub seconds: f64,
}

/// What has been learned.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase", tag = "of")]
pub enum LearnedOf {
    /// From the end of a drain until the node is back.
    AfterDrain {
        /// In this group.
        group: String,
    },
    /// A hook.
    Hook {
        /// Its name.
        hook: String,
    },
    /// The transfer of a VM's memory, of the average size.
    Migration,
}

/// What differs from what was expected, in whole seconds, and matters to the plan.
fn learned(problem: &Problem) -> Vec<OutlookLearned> {
    let migrates = problem.instance.items.way.contains(&Way::Migration);
    let matters = |c: &&Correction| {
        c.expected / 1000 != c.corrected / 1000 && (migrates || c.of != Corrected::Transfer)
    };
    problem.corrections.iter().filter(matters).map(OutlookLearned::of).collect()
}

impl OutlookLearned {
    fn of(correction: &Correction) -> Self {
        Self {
            of: match &correction.of {
                Corrected::AfterDrain(group) => LearnedOf::AfterDrain { group: group.clone() },
                Corrected::Hook(hook) => LearnedOf::Hook { hook: hook.clone() },
                Corrected::Transfer => LearnedOf::Migration,
            },
            count: correction.count,
            expected_seconds: seconds(correction.expected),
            seconds: seconds(correction.corrected),
        }
    }

    /// `group workers: back 6m 10s after a drain, learned from 5 nodes (4m 05s expected)`.
    pub(super) fn words(&self) -> String {
        let about = |s: f64| duration(s.round() as i64);
        let (took, expected) = (about(self.seconds), about(self.expected_seconds));
        let (what, from) = match &self.of {
            LearnedOf::AfterDrain { group } => (format!("group {group}: back {took} after a drain"), "node"),
            LearnedOf::Hook { hook } => (format!("hook {hook}: {took}"), "run"),
            LearnedOf::Migration => (format!("a VM's memory: {took} on its way, on the average"), "VM"),
        };
        format!("{what}, learned from {} ({expected} expected)", count(self.count as usize, from))
    }
}

/// A node without a way.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NotPlaced {
    /// The node.
    pub name: String,
    /// What holds it.
    pub why: String,
}

/// Durations are drawn so often, log-normal with this sigma where nothing better is known, for at most so many items.
const DRAWS: usize = 25;
const SIGMA: f64 = 0.3;
const DRAWN_UP_TO: usize = 40_000;

fn seconds(time: Millis) -> f64 {
    time as f64 / 1000.0
}

/// The names behind the planner's numbers.
struct Names<'a>(&'a Problem);

impl Names<'_> {
    fn node(&self, node: u32) -> String {
        self.0.instance.nodes.name[node as usize].clone()
    }

    fn group(&self, group: u32) -> String {
        self.0.instance.groups.get(group as usize).map_or_else(String::new, |g| g.name.clone())
    }

    fn budget(&self, budget: u32) -> String {
        self.0.budgets[budget as usize].name.to_string()
    }

    fn zone(&self, zone: u32) -> String {
        match self.0.zones.get(zone as usize).map(String::as_str) {
            None | Some("") => "nodes without a zone".to_owned(),
            Some(zone) => format!("zone {zone}"),
        }
    }

    fn workload(&self, item: u32) -> String {
        self.0.workloads[self.0.workload_of[item as usize] as usize].to_string()
    }

    fn limit(&self, limit: u32) -> String {
        let limit = &self.0.instance.limits[limit as usize];
        let of = match limit.scope {
            Scope::Campaign => "the campaign".to_owned(),
            Scope::Zone(zone) => self.zone(zone),
            Scope::Group(group) => format!("group {}", self.group(group)),
            Scope::GroupZone(group, zone) => format!("{} of group {}", self.zone(zone), self.group(group)),
        };
        format!("at most {} of {of} away at once", count(limit.most as usize, "node"))
    }

    fn hold(&self, hold: Hold) -> String {
        match hold {
            Hold::Group { group } => {
                let after = &self.0.instance.groups[group as usize].after;
                let names: Vec<String> = after.iter().map(|g| self.group(*g)).collect();
                format!("comes after group {}", names.join(", "))
            }
            Hold::Wave { .. } => "the wave before is under way".to_owned(),
            Hold::Stage => "the stage before is under way".to_owned(),
            Hold::Opening => {
                "no more nodes start before the first is back: that would only move VMs twice".to_owned()
            }
            Hold::Limit { limit } => self.limit(limit),
            Hold::Slots => "all migration slots are in use".to_owned(),
            Hold::Budget { budget } => format!("budget {} has no disruption left", self.budget(budget)),
            Hold::Inbound => "VMs are on their way to it".to_owned(),
            Hold::Place { item } => format!("no free place for {} yet", self.workload(item)),
            Hold::After { node } => format!("better after {}", self.node(node)),
        }
    }

    fn binding(&self, binding: Binding) -> String {
        match binding {
            Binding::Chain { node } => format!("node {} alone takes so long", self.node(node)),
            Binding::Limit { limit } => self.limit(limit),
            Binding::Migrations => "all migrations through the cluster's migration slots".to_owned(),
            Binding::Capacity { resource } => {
                format!("free {} for what moves", self.0.instance.resources[resource as usize])
            }
            Binding::Budget { budget } => {
                format!("budget {}, one disruption after the other", self.budget(budget))
            }
            Binding::Groups { group } => {
                format!("groups one after the other, up to group {}", self.group(group))
            }
            Binding::LimitAndMigrations { limit } => {
                format!("{}, and the migrations out of each node", self.limit(limit))
            }
        }
    }
}

impl Outlook {
    /// Of what the planner found.
    pub fn new(
        plan: &str,
        cluster: &str,
        problem: &Problem,
        found: &Plan,
        taken_out: &[(String, Conflict)],
    ) -> Self {
        let names = Names(problem);
        let schedule = &found.schedule;
        let (makespan, bound) = (schedule.score.makespan, found.bounds.makespan());
        let gap = if bound == 0 { 0.0 } else { (makespan as f64 / bound as f64 - 1.0) * 100.0 };
        let mut leaving = vec![0; problem.instance.nodes.len()];
        schedule.moves.iter().for_each(|m| leaving[m.from as usize] += 1);
        let (likely, at_most) = likely(&problem.instance, &found.rules).unzip();
        let is_guest = |item: u32| problem.instance.items.way[item as usize] != Way::Eviction;
        let moves = schedule.moves.iter().filter(|m| is_guest(m.item)).map(|m| OutlookMove {
            name: problem.workloads[problem.workload_of[m.item as usize] as usize].name.to_string(),
            from: names.node(m.from),
            to: m.to.map(|node| names.node(node)),
            start_seconds: seconds(m.start),
            arrival_seconds: seconds(m.ready),
        });
        Self {
            plan: plan.to_owned(),
            cluster: cluster.to_owned(),
            makespan_seconds: seconds(makespan),
            likely_seconds: likely,
            likely_at_most_seconds: at_most,
            lower_bound_seconds: seconds(bound),
            lower_bound_by: found.bounds.binding().map(|b| names.binding(b)),
            gap_percent: (gap * 100.0).round() / 100.0,
            peak_unavailable: schedule.score.peak_away,
            extra_moves: schedule.score.extra_moves,
            least_extra_moves: found.least_extra_moves,
            nodes: schedule.visits.iter().map(|v| node(&names, v, leaving[v.node as usize])).collect(),
            moves: moves.collect(),
            learned: learned(problem),
            not_placed: schedule
                .unfinished
                .iter()
                .map(|(node, hold)| NotPlaced { name: names.node(*node), why: names.hold(*hold) })
                .collect(),
            skipped: taken_out
                .iter()
                .map(|(name, c)| NotPlaced { name: name.clone(), why: c.why.clone() })
                .collect(),
        }
    }

    /// Tables for a terminal.
    pub fn text(&self) -> String {
        let mut table = table(&["NODE", "GROUP", "START", "DRAINED", "BACK", "LEAVING", "WHY NOT EARLIER"]);
        let at = |s: f64| format!("+{}", duration(s.round() as i64));
        for node in &self.nodes {
            table.add_row([
                node.name.clone(),
                node.group.clone(),
                at(node.start_seconds),
                at(node.drained_seconds),
                at(node.end_seconds),
                node.leaving.to_string(),
                match (&node.why, &node.waits_for) {
                    (Some(why), Some(other)) => format!("{why}; waits for {other}"),
                    (Some(why), None) => why.clone(),
                    (None, _) => String::new(),
                },
            ]);
        }
        let mut text = trimmed(&table);
        text.push_str("\n\n");
        text.push_str(&self.closing());
        text
    }

    fn closing(&self) -> String {
        let about = |s: f64| duration(s.round() as i64);
        let by = self.lower_bound_by.as_ref().map(|by| format!(" ({by})")).unwrap_or_default();
        let mut text = format!(
            "{} in {}. No order takes less than {}{by}: {:.1}% above it.\n\
             At most {} away at once; {} of VMs beyond one each, at least {} with so many nodes before the first is back.",
            count(self.nodes.len(), "node"),
            about(self.makespan_seconds),
            about(self.lower_bound_seconds),
            self.gap_percent,
            count(self.peak_unavailable as usize, "node"),
            count(self.extra_moves as usize, "move"),
            self.least_extra_moves,
        );
        if let Some((likely, at_most)) = self.likely_seconds.zip(self.likely_at_most_seconds) {
            text.push_str(&format!(
                "\nIf things take more or less time than expected: about {}, nine times in ten at most {}.",
                about(likely),
                about(at_most)
            ));
        }
        for learned in &self.learned {
            text.push_str(&format!("\nNot as expected: {}.", learned.words()));
        }
        for node in &self.not_placed {
            text.push_str(&format!("\nNo way was found for {}: {}.", node.name, node.why));
        }
        for node in &self.skipped {
            text.push_str(&format!("\nSkipped: {}: {}.", node.name, node.why));
        }
        text.push_str(
            "\nDurations are estimates: grace periods, memory of VMs, `expected` of hooks. `--dry-run` plays the campaign itself.",
        );
        text
    }

    /// Graphviz's text: a box for each node, an edge for what it waits for, with the reason.
    pub fn dot(&self) -> String {
        let mut text = format!(
            "digraph virtroll {{\n  label={}; labelloc=t; rankdir=LR; fontname=\"sans-serif\";\n  \
             node [shape=box, style=rounded, fontname=\"sans-serif\", fontsize=11];\n  \
             edge [fontname=\"sans-serif\", fontsize=10, color=\"#555555\"];\n",
            quoted(&format!("schedule of {} on {}", self.plan, self.cluster))
        );
        let at = |s: f64| duration(s.round() as i64);
        for node in &self.nodes {
            let label = format!("{}\\n+{} to +{}", node.name, at(node.start_seconds), at(node.end_seconds));
            text.push_str(&format!("  {} [label=\"{}\"];\n", quoted(&node.name), label.replace('"', "\\\"")));
        }
        for node in &self.nodes {
            if let (Some(other), Some(why)) = (&node.waits_for, &node.why) {
                text.push_str(&format!(
                    "  {} -> {} [label={}];\n",
                    quoted(other),
                    quoted(&node.name),
                    quoted(why)
                ));
            }
        }
        text.push_str("}\n");
        text
    }
}

/// Half of drawn campaigns end before the first, nine in ten before the second.
fn likely(instance: &Instance, rules: &Rules) -> Option<(f64, f64)> {
    if instance.items.len() > DRAWN_UP_TO {
        return None;
    }
    let found = spread::makespans(instance, rules, SIGMA, DRAWS, 77);
    Some((seconds(*found.get(DRAWS / 2)?), seconds(*found.get(DRAWS * 9 / 10)?)))
}

fn node(names: &Names<'_>, visit: &Visit, leaving: usize) -> OutlookNode {
    let nodes = &names.0.instance.nodes;
    let group = nodes.group[visit.node as usize];
    let under_way = nodes.standing[visit.node as usize] == Standing::UnderWay;
    OutlookNode {
        name: names.node(visit.node),
        group: if group == NONE { String::new() } else { names.group(group) },
        start_seconds: seconds(visit.start),
        drained_seconds: seconds(visit.drained),
        end_seconds: seconds(visit.end),
        leaving,
        why: visit.hold.filter(|_| !under_way).map(|hold| names.hold(hold)),
        waits_for: visit.waited_for.map(|node| names.node(node)),
    }
}

/// A conflict for people: why there is no schedule, and what to change.
pub fn conflict_text(conflict: &Conflict) -> String {
    let mut text = format!("no schedule exists: {}\n", conflict.why);
    text.push_str("Any one of these changes would let it through:\n");
    for member in &conflict.members {
        text.push_str(&format!("  {member}: {}: {}\n", member.field, member.help));
    }
    text
}
