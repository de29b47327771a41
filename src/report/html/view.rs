//! What the page shows, in the order in which it stands there: words and places, ready for the templates.

use std::collections::BTreeMap;

use jiff::tz::TimeZone;
use serde::Serialize;

use super::axis::Axis;
use super::rows::result;
use super::timeline::{Drawing, Timeline};
use crate::plan::v1alpha1::VmOutcome;
use crate::reconcile::NodePhase;
use crate::report::course::{Move, MoveKind};
use crate::report::finding::{self, Level};
use crate::report::rehearsal::Rehearsal;
use crate::report::summary::{Report, ReportNode};
use crate::report::words::{capital, count, duration};

/// Rows of the moves' table.
const MOVES: usize = 1000;
/// Rows of the nodes' table.
const NODES: usize = 2000;
/// Names of VMs with one outcome.
const NAMES: usize = 300;
/// Tables with more rows are closed at first.
const OPEN: usize = 40;

/// The page.
#[derive(Serialize)]
pub(super) struct Page {
    title: String,
    kind: &'static str,
    plan: String,
    cluster: String,
    verdict: Verdict,
    figures: Vec<Figure>,
    timeline: Option<Timeline>,
    findings: Vec<FindingRow>,
    outcomes: Vec<Outcome>,
    moves: Table<MoveRow>,
    nodes: Table<NodeRow>,
    plan_text: String,
    facts: Vec<(&'static str, String)>,
    zone: String,
}

/// The verdict.
#[derive(Serialize)]
struct Verdict {
    tone: &'static str,
    sign: &'static str,
    word: String,
    sentence: String,
}

/// One of the four figures.
#[derive(Serialize)]
struct Figure {
    label: &'static str,
    value: String,
    note: String,
}

/// A finding.
#[derive(Serialize)]
struct FindingRow {
    tone: &'static str,
    sign: &'static str,
    level: &'static str,
    title: String,
    details: Vec<String>,
    help: Option<String>,
}

/// VMs of one outcome.
#[derive(Serialize)]
struct Outcome {
    sign: &'static str,
    tone: &'static str,
    words: &'static str,
    count: usize,
    names: Vec<String>,
    more: usize,
}

/// Some rows, and how many are left out.
#[derive(Serialize)]
struct Table<T> {
    rows: Vec<T>,
    more: usize,
    open: bool,
    count: String,
}

/// A VM's move.
#[derive(Serialize)]
struct MoveRow {
    vm: String,
    kind: &'static str,
    from: String,
    to: String,
    left: String,
    arrived: String,
    took: String,
}

/// A node, in text.
#[derive(Serialize)]
struct NodeRow {
    /// Its row in the timeline.
    index: usize,
    name: String,
    group: String,
    zone: String,
    wave: String,
    result: &'static str,
    tone: &'static str,
    started: String,
    took: String,
    drain: String,
    work: String,
    verify: String,
    pods: u32,
    vms: u32,
    waited: String,
}

pub(super) fn page(report: &Report, rehearsal: Option<&Rehearsal>, plan: &str, zone: &TimeZone) -> Page {
    let (from, to) = report.span().unwrap_or((report.made_at, report.made_at));
    let axis = Axis::new(from, to, zone);
    let kind = if report.forecast { "Rehearsal" } else { "Campaign" };
    let timeline = Drawing { report, axis: &axis }.timeline();
    let rows = timeline.rows();
    Page {
        title: format!(
            "{kind} of {} on {}: {}",
            report.plan,
            short_name(&report.cluster),
            verdict(report).word
        ),
        kind,
        plan: report.plan.clone(),
        cluster: short_name(&report.cluster).to_owned(),
        verdict: verdict(report),
        figures: figures(report, &axis),
        timeline: report.span().map(|_| timeline),
        findings: findings(report, rehearsal),
        outcomes: outcomes(report),
        moves: table(&report.moves, MOVES, "move", |m| move_row(m, &axis)),
        nodes: table(&report.nodes, NODES, "node", |n| node_row(n, &rows, &axis)),
        plan_text: plan.to_owned(),
        facts: facts(report, rehearsal, &axis),
        zone: axis.zone(),
    }
}

/// The name of a cluster without the folder and the ending of the file that it was loaded from.
fn short_name(cluster: &str) -> &str {
    let name = cluster.rsplit('/').next().unwrap_or(cluster);
    name.strip_suffix(".yaml")
        .or_else(|| name.strip_suffix(".yml"))
        .or_else(|| name.strip_suffix(".json"))
        .unwrap_or(name)
}

fn table<A, B>(all: &[A], bound: usize, one: &str, row: impl Fn(&A) -> B) -> Table<B> {
    Table {
        rows: all.iter().take(bound).map(row).collect(),
        more: all.len().saturating_sub(bound),
        open: all.len() <= OPEN,
        count: count(all.len(), one),
    }
}

/// The verdict in a word and in a sentence.
fn verdict(report: &Report) -> Verdict {
    let (done, total) = (report.done(), report.nodes.len());
    let failed = report.nodes.iter().filter(|n| n.phase == NodePhase::Failed.name()).count();
    let all = if done == total {
        format!("All {}", count(total, "node"))
    } else {
        format!("{done} of {}", count(total, "node"))
    };
    let would = if report.forecast { "would be" } else { "were" };
    let length = duration(report.makespan_seconds);
    let peak = count(report.peak_unavailable as usize, "node");
    let stopped = report.virtual_machines.iter().filter(|v| v.outcome == VmOutcome::Stopped).count();
    let vms = if report.virtual_machines.is_empty() {
        String::new()
    } else {
        match stopped {
            0 => "; no VM is left off".to_owned(),
            1 => "; 1 VM is left off".to_owned(),
            n => format!("; {n} VMs are left off"),
        }
    };
    let why = report.reason.as_deref().map(|r| format!("{}. ", capital(r))).unwrap_or_default();
    let through = format!("{all} {would} done in {length}, with at most {peak} unavailable at once{vms}.");
    let (tone, sign, word, sentence) = match (report.phase.as_str(), report.forecast) {
        ("Succeeded", forecast) if failed == 0 => {
            ("good", "✓", if forecast { "goes through" } else { "succeeded" }.to_owned(), through)
        }
        ("Succeeded", forecast) => {
            let verb = if forecast { "goes through" } else { "succeeded" };
            ("fair", "!", format!("{verb}, with {}", count(failed, "failed node")), through)
        }
        ("Paused", true) => {
            ("bad", "✕", "would pause".to_owned(), format!("{why}{all} would be done by then."))
        }
        ("Paused", false) => (
            "fair",
            "!",
            "paused".to_owned(),
            format!("{why}{all} were done so far; virtroll apply goes on from here."),
        ),
        ("Failed", true) => ("bad", "✕", "would fail".to_owned(), format!("{why}{all} would be done.")),
        ("Failed", false) => ("bad", "✕", "failed".to_owned(), format!("{why}{all} were done.")),
        (other, _) => ("fair", "!", other.to_lowercase(), format!("{why}{all} were done.")),
    };
    Verdict { tone, sign, word, sentence }
}

fn figures(report: &Report, axis: &Axis) -> Vec<Figure> {
    let begun = report.nodes.iter().filter_map(|n| n.started_at).min();
    let ended = report.nodes.iter().filter_map(|n| n.finished_at).max();
    let span = begun.zip(ended).map(|(a, b)| format!("{} to {}", axis.minute(a), axis.minute(b)));
    let of = |phase: NodePhase| report.nodes.iter().filter(|n| n.phase == phase.name()).count();
    let not_done: Vec<String> =
        [(NodePhase::Failed, "failed"), (NodePhase::Skipped, "skipped"), (NodePhase::Pending, "not begun")]
            .into_iter()
            .filter_map(|(phase, words)| Some(of(phase)).filter(|n| *n > 0).map(|n| format!("{n} {words}")))
            .collect();
    let waves = report.nodes.iter().map(|n| n.wave).max().unwrap_or(0) as usize;
    let moves: u32 = report.virtual_machines.iter().map(|v| v.moves).sum();
    let vms = |outcome| report.virtual_machines.iter().filter(|v| v.outcome == outcome).count();
    let moved: Vec<String> = [
        (VmOutcome::Migrated, "migrated"),
        (VmOutcome::Restarted, "restarted"),
        (VmOutcome::Stopped, "left off"),
    ]
    .into_iter()
    .filter_map(|(outcome, words)| Some(vms(outcome)).filter(|n| *n > 0).map(|n| format!("{n} {words}")))
    .collect();
    let limit = report.plan_spec.concurrency.as_ref().and_then(|c| c.max_unavailable);
    let limit = limit.map(|l| format!("the plan allows {l}"));
    let per_zone = report.plan_spec.concurrency.as_ref().and_then(|c| c.max_unavailable_per_zone);
    let per_zone = per_zone.map(|l| format!("{l} per zone"));
    let limits: Vec<String> = limit.into_iter().chain(per_zone).collect();
    let figure = |label, value, note| Figure { label, value, note };
    vec![
        figure(
            "Makespan",
            duration(report.makespan_seconds),
            span.unwrap_or_else(|| "nothing was begun".to_owned()),
        ),
        figure(
            "Nodes done",
            format!("{} of {}", report.done(), report.nodes.len()),
            if not_done.is_empty() { format!("in {}", count(waves, "wave")) } else { not_done.join(", ") },
        ),
        figure(
            "VM moves",
            moves.to_string(),
            match (report.virtual_machines.len(), moved.as_slice()) {
                (0, _) => "no VMs on these nodes".to_owned(),
                (n, []) => format!("{} stay where they are", count(n, "VM")),
                (_, moved) => moved.join(", "),
            },
        ),
        figure(
            "Peak unavailable",
            report.peak_unavailable.to_string(),
            if limits.is_empty() { "nodes at one moment".to_owned() } else { limits.join(", ") },
        ),
    ]
}

fn findings(report: &Report, rehearsal: Option<&Rehearsal>) -> Vec<FindingRow> {
    let row = |finding: &crate::report::Finding| {
        let (tone, sign, level) = match finding.level {
            Level::Conflict => ("bad", "✕", "Conflict"),
            Level::Warning => ("fair", "!", "Warning"),
            Level::Note => ("note", "i", "Note"),
        };
        FindingRow {
            tone,
            sign,
            level,
            title: finding.title.clone(),
            details: finding.details.clone(),
            help: finding.help.clone(),
        }
    };
    let mut all: Vec<_> = rehearsal.map(finding::of_rehearsal).unwrap_or_default();
    all.extend(report.findings.iter().cloned());
    all.sort_by_key(|f| f.level);
    all.iter().map(row).collect()
}

fn outcomes(report: &Report) -> Vec<Outcome> {
    let kinds = [
        (VmOutcome::Stopped, "✕", "bad", "shut down and left off"),
        (VmOutcome::Restarted, "↻", "fair", "shut down and started again"),
        (VmOutcome::Migrated, "→", "good", "live-migrated, never stopped"),
        (VmOutcome::Untouched, "=", "note", "stayed where they were"),
    ];
    let outcome = |(outcome, sign, tone, words)| {
        let mine = report.virtual_machines.iter().filter(|v| v.outcome == outcome);
        let names: Vec<String> = mine
            .map(|v| match v.moves {
                0 | 1 => format!("{}/{}", v.namespace, v.name),
                n => format!("{}/{} ({n} moves)", v.namespace, v.name),
            })
            .collect();
        let (count, more) = (names.len(), names.len().saturating_sub(NAMES));
        Outcome { sign, tone, words, count, names: names.into_iter().take(NAMES).collect(), more }
    };
    kinds.into_iter().map(outcome).filter(|o| o.count > 0).collect()
}

fn move_row(of: &Move, axis: &Axis) -> MoveRow {
    let kind = match of.kind {
        MoveKind::Migrated => "live-migrated",
        MoveKind::Restarted => "restarted",
        MoveKind::Replaced => "replaced by another replica",
        MoveKind::Stopped => "shut down",
    };
    let took = of.started_at.map(|at| duration(of.finished_at.duration_since(at).as_secs()));
    MoveRow {
        vm: format!("{}/{}", of.namespace, of.name),
        kind,
        from: of.from.clone().unwrap_or_else(|| "–".to_owned()),
        to: of.to.clone().unwrap_or_else(|| "–".to_owned()),
        left: of.started_at.map_or_else(|| "–".to_owned(), |at| axis.clock(at)),
        arrived: axis.clock(of.finished_at),
        took: took.unwrap_or_else(|| "–".to_owned()),
    }
}

fn node_row(node: &ReportNode, rows: &BTreeMap<String, usize>, axis: &Axis) -> NodeRow {
    let spent = |phases: &[NodePhase]| {
        let mine = node.phases.iter().filter(|p| phases.iter().any(|phase| phase.name() == p.phase));
        let seconds: i64 = mine.map(|p| p.finished_at.duration_since(p.started_at).as_secs()).sum();
        if seconds == 0 { "–".to_owned() } else { duration(seconds) }
    };
    let (result, tone, _) = result(node);
    let took = node.started_at.zip(node.finished_at);
    NodeRow {
        index: rows.get(&node.name).copied().unwrap_or_default(),
        name: node.name.clone(),
        group: node.group.clone(),
        zone: node.zone.clone().unwrap_or_else(|| "–".to_owned()),
        wave: if node.wave == 0 { "–".to_owned() } else { node.wave.to_string() },
        result,
        tone,
        started: node.started_at.map_or_else(|| "–".to_owned(), |at| axis.clock(at)),
        took: took.map_or_else(|| "–".to_owned(), |(a, b)| duration(b.duration_since(a).as_secs())),
        drain: spent(&[NodePhase::Draining]),
        work: spent(&[NodePhase::InMaintenance]),
        verify: spent(&[NodePhase::Verifying]),
        pods: node.pods_evicted,
        vms: node.virtual_machines,
        waited: node.reason.clone().or_else(|| node.waited_for.clone()).unwrap_or_default(),
    }
}

fn facts(report: &Report, rehearsal: Option<&Rehearsal>, axis: &Axis) -> Vec<(&'static str, String)> {
    let size = report.cluster_size;
    let made = format!("{} {} {}", axis.date(report.made_at), axis.clock(report.made_at), axis.zone());
    let how = match (report.forecast, report.seed) {
        (true, _) => {
            "the whole campaign played on an embedded copy of the cluster, in virtual time; nothing was changed"
        }
        (false, Some(_)) => "run on an embedded cluster, in virtual time",
        (false, None) => "run on the cluster",
    };
    let mut facts = vec![
        ("Plan", report.plan.clone()),
        ("Campaign", report.campaign.clone()),
        ("Cluster", report.cluster.clone()),
        (
            "Size",
            format!(
                "{} in the plan, {}, {}, {}",
                count(report.nodes.len(), "node"),
                count(size.pods, "pod"),
                count(size.virtual_machines, "virtual machine"),
                count(size.budgets, "disruption budget")
            ),
        ),
        ("As of", made),
        ("How", how.to_owned()),
    ];
    let what_if = rehearsal.map(|r| r.what_if.join(" ")).filter(|w| !w.is_empty());
    facts.extend(what_if.map(|what_if| ("What if", what_if)));
    facts.extend(report.seed.map(|seed| ("Seed", seed.to_string())));
    facts.push(("virtroll", report.version.clone()));
    facts
}
