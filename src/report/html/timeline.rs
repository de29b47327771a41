//! The timeline: rows with bars, the load above them, and what held nodes back below.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;

use super::axis::{Axis, Tick, percent};
use crate::journal::CauseKind;
use crate::reconcile::NodePhase;
use crate::report::course::{Constraint, Interval, PhaseSpan, Wait};
use crate::report::summary::{Report, ReportNode};
use crate::report::words::{capital, count, duration};

/// With more nodes than this, groups are closed at first.
const OPEN: usize = 60;
/// With more nodes than this, bars have no labels and no tips of their own; the rows' descriptions say the same.
const DETAILED: usize = 400;
/// Constraints in the band.
const LANES: usize = 10;
/// A constraint that held nodes for less, added up over them, seconds, isn't in it.
const WORTH_A_LANE: i64 = 10;
/// A group with more nodes than this shows how many are in work instead of a line.
const MANY: usize = 12;
/// Moves whose arcs are drawn.
const ARCS: usize = 10_000;
/// Columns of the load at the most.
const COLUMNS: usize = 400;
/// Width of the bars' column that labels reckon with, pixels, and of one letter.
const TRACK: f64 = 620.0;
const LETTER: f64 = 6.2;

/// The whole timeline.
#[derive(Serialize)]
pub(super) struct Timeline {
    pub date: String,
    pub zone: String,
    pub from: String,
    pub to: String,
    pub ticks: Vec<Tick>,
    pub elapsed: Vec<Tick>,
    pub load: Load,
    pub windows: Option<Lane>,
    pub groups: Vec<Group>,
    pub lanes: Vec<Lane>,
    pub more_lanes: usize,
    pub legend: Vec<Legend>,
    /// Moves for the arcs, as JSON of numbers: row from, row to, place from, place to, live or not.
    pub arcs: String,
    pub has_live: bool,
    pub has_cold: bool,
}

/// Unavailable nodes over time.
#[derive(Serialize)]
pub(super) struct Load {
    pub bars: Vec<Column>,
    pub description: String,
    pub peak: i64,
}

/// A column of the load.
#[derive(Serialize)]
pub(super) struct Column {
    x: String,
    w: String,
    y: String,
    h: String,
}

/// Nodes of one group and zone.
#[derive(Serialize)]
pub(super) struct Group {
    pub name: String,
    pub zone: Option<String>,
    pub open: bool,
    pub count: String,
    pub result: String,
    pub bars: Vec<Bar>,
    /// Where there are many rows: how many of them are in work.
    pub columns: Vec<Column>,
    pub took: String,
    pub rows: Vec<Row>,
}

/// A node.
#[derive(Serialize)]
pub(super) struct Row {
    pub index: usize,
    pub name: String,
    pub bars: Vec<Bar>,
    pub mark: Option<Mark>,
    pub took: String,
    pub result: &'static str,
    pub tone: &'static str,
    pub description: String,
}

/// A bar.
#[derive(Serialize)]
pub(super) struct Bar {
    pub class: &'static str,
    pub x: String,
    pub w: String,
    pub label: Option<String>,
    /// Where the label stands.
    pub at: String,
    pub tip: Option<String>,
}

/// The end of a node that isn't done.
#[derive(Serialize)]
pub(super) struct Mark {
    x: String,
    sign: &'static str,
}

/// A line of the band.
#[derive(Serialize)]
pub(super) struct Lane {
    pub title: String,
    pub note: String,
    pub bars: Vec<Bar>,
    pub description: String,
}

/// A kind of bar.
#[derive(Serialize)]
pub(super) struct Legend {
    class: &'static str,
    words: &'static str,
}

/// A bar's class and its words, by phase.
fn kind(phase: &str) -> (&'static str, &'static str) {
    match NodePhase::named(phase) {
        NodePhase::Cordoned => ("cordon", "cordoned"),
        NodePhase::Draining => ("drain", "draining"),
        NodePhase::Drained | NodePhase::SafeToPowerOff => ("safe", "drained"),
        NodePhase::InMaintenance => ("work", "maintenance"),
        NodePhase::Verifying => ("verify", "verifying"),
        NodePhase::Uncordoning => ("back", "uncordoned"),
        NodePhase::Pending | NodePhase::Done | NodePhase::Failed | NodePhase::Skipped => {
            ("earlier", "earlier work")
        }
    }
}

const LEGEND: [(&str, &str); 10] = [
    ("wait", "waits to begin"),
    ("earlier", "before this run"),
    ("cordon", "cordoned"),
    ("drain", "draining"),
    ("held", "drain held up"),
    ("safe", "drained, made safe"),
    ("work", "maintenance hooks"),
    ("verify", "verifying"),
    ("back", "uncordoned, last hooks"),
    ("soak", "group soaks"),
];

impl Timeline {
    /// The rows' places by their nodes.
    pub(super) fn rows(&self) -> BTreeMap<String, usize> {
        rows(&self.groups)
    }
}

fn rows(groups: &[Group]) -> BTreeMap<String, usize> {
    groups.iter().flat_map(|g| &g.rows).map(|r| (r.name.clone(), r.index)).collect()
}

/// What makes the timeline.
pub(super) struct Drawing<'a> {
    pub report: &'a Report,
    pub axis: &'a Axis,
}

impl Drawing<'_> {
    pub(super) fn timeline(&self) -> Timeline {
        let (from, to) = self.axis.ends();
        let groups = self.groups();
        let worth = self.report.constraints.iter().filter(|c| c.node_seconds >= WORTH_A_LANE);
        let lanes: Vec<Lane> = worth.take(LANES).map(|c| self.constraint(c)).collect();
        let arcs = self.arcs(&rows(&groups));
        let legend = legend(&groups);
        Timeline {
            date: self.axis.date(from),
            zone: self.axis.zone(),
            from: self.axis.clock(from),
            to: self.axis.clock(to),
            ticks: self.axis.ticks(),
            elapsed: self.axis.elapsed(),
            load: self.load(),
            windows: self.windows(),
            more_lanes: self.report.constraints.len() - lanes.len(),
            lanes,
            legend,
            has_live: arcs.contains(",1]"),
            has_cold: arcs.contains(",0]"),
            arcs,
            groups,
        }
    }

    fn bar(&self, class: &'static str, from: Timestamp, to: Timestamp) -> Bar {
        let (x, end) = (self.axis.place(from), self.axis.place(to));
        Bar {
            class,
            x: percent(x),
            // What took a moment is seen as well.
            w: percent((end - x).max(0.15)),
            label: None,
            at: percent(f64::midpoint(x, end)),
            tip: None,
        }
    }

    /// `22:01:24 to 22:02:10 (46s)`.
    fn span(&self, from: Timestamp, to: Timestamp) -> String {
        let length = duration(to.duration_since(from).as_secs());
        format!("{} to {} ({length})", self.axis.clock(from), self.axis.clock(to))
    }

    fn groups(&self) -> Vec<Group> {
        let mut order: Vec<(&str, Option<&str>)> = Vec::new();
        let mut members: BTreeMap<(&str, Option<&str>), Vec<&ReportNode>> = BTreeMap::new();
        for node in &self.report.nodes {
            let key = (node.group.as_str(), node.zone.as_deref());
            let list = members.entry(key).or_default();
            if list.is_empty() {
                order.push(key);
            }
            list.push(node);
        }
        // Zones of a group stand together, in their order of names.
        let first = |group: &str| order.iter().position(|(g, _)| *g == group);
        let mut sorted = order.clone();
        sorted.sort_by_key(|(group, zone)| (first(group), *zone));
        let mut index = 0;
        let mut groups = Vec::new();
        let mut last_group = "";
        for key in sorted {
            let Some(nodes) = members.get(&key) else { continue };
            // A group's soak stands at the first of its zones.
            groups.push(self.group(key, nodes, &mut index, key.0 != last_group));
            last_group = key.0;
        }
        groups
    }

    fn group(
        &self,
        key: (&str, Option<&str>),
        nodes: &[&ReportNode],
        index: &mut usize,
        first: bool,
    ) -> Group {
        let rows: Vec<Row> = nodes
            .iter()
            .map(|node| {
                let row = self.row(node, *index);
                *index += 1;
                row
            })
            .collect();
        let begin = nodes.iter().filter_map(|n| n.started_at).min();
        let end = nodes.iter().filter_map(|n| n.finished_at).max();
        let many = nodes.len() > MANY;
        let whole = begin.zip(end).filter(|_| !many);
        let mut bars: Vec<Bar> = whole.into_iter().map(|(a, b)| self.bar("whole", a, b)).collect();
        let soaks =
            self.report.constraints.iter().filter(|c| c.kind == CauseKind::Soak && c.subject == key.0);
        let soaks = soaks.filter(|_| first).flat_map(|c| &c.intervals);
        bars.extend(soaks.map(|soak| {
            let mut bar = self.bar("soak", soak.started_at, soak.finished_at);
            bar.tip = Some(format!("soaks {}", self.span(soak.started_at, soak.finished_at)));
            bar
        }));
        let bad = rows.iter().filter(|r| r.tone != "good").count();
        let result = match bad {
            0 => format!("{} done", rows.len()),
            _ => format!("{} done, {bad} not", rows.len() - bad),
        };
        let length = begin.zip(end).map(|(a, b)| duration(b.duration_since(a).as_secs()));
        Group {
            name: key.0.to_owned(),
            zone: key.1.map(zone_words),
            open: self.report.nodes.len() <= OPEN || bad > 0 && rows.len() <= OPEN,
            count: count(rows.len(), "node"),
            result,
            bars,
            columns: if many { self.levels(nodes.iter().copied()).0 } else { Vec::new() },
            took: length.unwrap_or_default(),
            rows,
        }
    }

    fn is_detailed(&self) -> bool {
        self.report.nodes.len() <= DETAILED
    }

    fn row(&self, node: &ReportNode, index: usize) -> Row {
        let mut bars = Vec::new();
        let mut told = Vec::new();
        if let Some((start, (began, _))) = node.started_at.zip(self.report.span())
            && start > began
            && let Some(why) = &node.waited_for
        {
            let mut bar = self.bar("wait", began, start);
            bar.tip = self.is_detailed().then(|| format!("waits: {why}"));
            bars.push(bar);
            told.push(format!("waits until {}: {why}", self.axis.clock(start)));
        }
        for phase in &node.phases {
            let words = self.phase_words(node, phase);
            let mut bar = self.bar(kind(&phase.phase).0, phase.started_at, phase.finished_at);
            if self.is_detailed() {
                bar.label = fitting(&bar, &short(node, phase));
                bar.tip = Some(words.clone());
            }
            bars.push(bar);
            told.push(words);
        }
        bars.extend(node.waits.iter().filter_map(|w| self.held(node, w)));
        let (result, tone, sign) = result(node);
        let mark = node.finished_at.filter(|_| !sign.is_empty());
        if let Some(end) = node.finished_at {
            told.push(format!("{result} at {}", self.axis.clock(end)));
        }
        if let Some(reason) = &node.reason {
            told.push(reason.clone());
        }
        let took = node.started_at.zip(node.finished_at);
        Row {
            index,
            name: node.name.clone(),
            bars,
            mark: mark.map(|end| Mark { x: percent(self.axis.place(end)), sign }),
            took: took
                .filter(|(a, b)| a < b)
                .map(|(a, b)| duration(b.duration_since(a).as_secs()))
                .unwrap_or_default(),
            result,
            tone,
            description: if told.is_empty() { result.to_owned() } else { told.join("; ") },
        }
    }

    fn phase_words(&self, node: &ReportNode, phase: &PhaseSpan) -> String {
        let span = self.span(phase.started_at, phase.finished_at);
        let hooks = hooks_in(node, phase);
        let hooks = if hooks.is_empty() { String::new() } else { format!(", {}", hooks.join(", ")) };
        format!("{} {span}{hooks}", kind(&phase.phase).1)
    }

    /// A wait in a drain that isn't just the time that pods and migrations take.
    fn held(&self, node: &ReportNode, wait: &Wait) -> Option<Bar> {
        let slows = matches!(
            wait.cause.kind,
            CauseKind::Budget
                | CauseKind::MigrationLimit
                | CauseKind::Capacity
                | CauseKind::VirtualMachine
                | CauseKind::Refusal
        );
        let began = node.started_at.filter(|_| slows)?;
        let end = wait.finished_at.filter(|end| *end > began)?;
        let mut bar = self.bar("held", wait.started_at, end);
        let words = format!("{}: {}", self.span(wait.started_at, end), wait.words);
        bar.tip = self.is_detailed().then_some(words);
        Some(bar)
    }

    fn constraint(&self, constraint: &Constraint) -> Lane {
        let bars = constraint.intervals.iter().map(|i| {
            let mut bar = self.bar("bind", i.started_at, i.finished_at);
            bar.tip = Some(self.span(i.started_at, i.finished_at));
            bar
        });
        let when = self.times(&constraint.intervals);
        let lengths =
            constraint.intervals.iter().map(|i| i.finished_at.duration_since(i.started_at).as_secs());
        let length: i64 = lengths.sum();
        Lane {
            title: capital(&constraint.words),
            note: format!(
                "up to {}, for {}",
                count(constraint.peak_nodes as usize, "node"),
                duration(length)
            ),
            bars: bars.collect(),
            description: format!("holds nodes back {when}"),
        }
    }

    /// The first few intervals in words.
    fn times(&self, intervals: &[Interval]) -> String {
        let shown: Vec<String> =
            intervals.iter().take(4).map(|i| self.span(i.started_at, i.finished_at)).collect();
        let more = intervals.len().saturating_sub(4);
        let more = if more == 0 { String::new() } else { format!(" and {more} times more") };
        format!("{}{more}", shown.join(", "))
    }

    fn windows(&self) -> Option<Lane> {
        let spec = &self.report.plan_spec.windows;
        if spec.is_empty() {
            return None;
        }
        let bars = self.report.windows.iter().map(|w| {
            let mut bar = self.bar("window", w.started_at, w.finished_at);
            bar.tip = Some(format!("open until {}", self.axis.minute(w.finished_at)));
            bar
        });
        let crons: Vec<String> = spec.iter().map(|w| format!("{} for {}", w.cron, w.duration)).collect();
        let description = if self.report.windows.is_empty() {
            "no window of the plan is open in this time".to_owned()
        } else {
            format!("open {}", self.times(&self.report.windows))
        };
        Some(Lane {
            title: "Windows".to_owned(), note: crons.join(" · "), bars: bars.collect(), description
        })
    }

    /// How many nodes are away at each moment.
    fn load(&self) -> Load {
        let (bars, peak) = self.levels(self.report.nodes.iter());
        let description = format!("Nodes in work over time: at most {peak} at once.");
        Load { bars, description, peak }
    }

    /// How many of some nodes are away at each moment, as columns, and the most at one moment.
    fn levels<'n>(&self, nodes: impl Iterator<Item = &'n ReportNode>) -> (Vec<Column>, i64) {
        let mut steps: BTreeMap<Timestamp, i64> = BTreeMap::new();
        for phase in nodes.flat_map(|n| &n.phases).filter(|p| p.phase != NodePhase::Uncordoning.name()) {
            *steps.entry(phase.started_at).or_default() += 1;
            *steps.entry(phase.finished_at).or_default() -= 1;
        }
        let mut now = 0;
        let mut levels: Vec<(f64, i64)> = Vec::new();
        for (at, change) in steps {
            now += change;
            levels.push((self.axis.place(at), now));
        }
        let peak = levels.iter().map(|(_, n)| *n).max().unwrap_or(0);
        (columns(&levels, peak), peak)
    }

    fn arcs(&self, rows: &BTreeMap<String, usize>) -> String {
        let row = |name: &Option<String>| name.as_ref().and_then(|n| rows.get(n));
        let arcs = self.report.moves.iter().filter_map(|m| {
            let (from, to) = (row(&m.from)?, row(&m.to)?);
            let end = self.axis.place(m.finished_at);
            let begin = m.started_at.map_or(end, |at| self.axis.place(at));
            let live = i32::from(m.kind == crate::report::course::MoveKind::Migrated);
            Some(format!("[{from},{to},{begin:.2},{end:.2},{live}]"))
        });
        format!("[{}]", arcs.take(ARCS).collect::<Vec<_>>().join(","))
    }
}

/// Columns of the load; beyond the bound, the highest of those that fall together.
fn columns(levels: &[(f64, i64)], peak: i64) -> Vec<Column> {
    let least = 100.0 / COLUMNS as f64;
    let mut merged: Vec<(f64, f64, i64)> = Vec::new();
    for (index, (x, n)) in levels.iter().enumerate() {
        let end = levels.get(index + 1).map_or(*x, |(x, _)| *x);
        match merged.last_mut() {
            // Edges between equal columns would be seen.
            Some(last) if last.2 == *n => last.1 = end,
            Some(last) if levels.len() > COLUMNS && last.1 - last.0 < least => {
                last.1 = end;
                last.2 = last.2.max(*n);
            }
            _ => merged.push((*x, end, *n)),
        }
    }
    let high = peak.max(1) as f64;
    let column = |(x, end, n): (f64, f64, i64)| Column {
        x: percent(x),
        w: percent(end - x),
        y: percent(100.0 - n as f64 / high * 100.0),
        h: percent(n as f64 / high * 100.0),
    };
    merged.into_iter().filter(|(x, end, n)| *n > 0 && end > x).map(column).collect()
}

/// The kinds of bars that are there.
fn legend(groups: &[Group]) -> Vec<Legend> {
    let rows = || groups.iter().flat_map(|g| g.rows.iter().flat_map(|r| &r.bars).chain(&g.bars));
    let is_there = |class: &str| rows().any(|b| b.class == class);
    LEGEND.iter().filter(|(class, _)| is_there(class)).map(|(class, words)| Legend { class, words }).collect()
}

/// A label, if the bar has room for it.
fn fitting(bar: &Bar, label: &str) -> Option<String> {
    let width: f64 = bar.w.trim_end_matches('%').parse().unwrap_or(0.0);
    let room = width / 100.0 * TRACK;
    (room >= label.chars().count() as f64 * LETTER + 8.0).then(|| label.to_owned())
}

/// What stands in a bar: of maintenance, its hook.
fn short(node: &ReportNode, phase: &PhaseSpan) -> String {
    match kind(&phase.phase) {
        ("work", words) => {
            let mut hooks = node.hooks.iter().filter(|h| within(h.started_at, phase)).map(|h| h.hook.clone());
            hooks.next().unwrap_or_else(|| words.to_owned())
        }
        ("drain", _) => "drain".to_owned(),
        ("verify", _) => "verify".to_owned(),
        ("cordon", _) => "cordon".to_owned(),
        (_, words) => words.to_owned(),
    }
}

fn within(at: Timestamp, phase: &PhaseSpan) -> bool {
    phase.started_at <= at && at < phase.finished_at
}

/// The hooks that ran in a phase.
fn hooks_in(node: &ReportNode, phase: &PhaseSpan) -> Vec<String> {
    let mine = node.hooks.iter().filter(|h| within(h.started_at, phase));
    let words = mine.map(|h| match &h.error {
        Some(error) => format!("hook {} try {} failed: {error}", h.hook, h.attempt),
        None => format!("hook {}", h.hook),
    });
    words.collect()
}

/// `zone a`, and no `zone zone-a`.
fn zone_words(zone: &str) -> String {
    if zone.starts_with("zone") { zone.to_owned() } else { format!("zone {zone}") }
}

/// A node's end: in a word, its tone, and the sign that stands for it.
pub(super) fn result(node: &ReportNode) -> (&'static str, &'static str, &'static str) {
    match NodePhase::named(&node.phase) {
        NodePhase::Done => ("done", "good", ""),
        NodePhase::Failed => ("failed", "bad", "✕"),
        NodePhase::Skipped => ("skipped", "fair", "–"),
        NodePhase::Pending => ("not begun", "fair", ""),
        NodePhase::Cordoned
        | NodePhase::Draining
        | NodePhase::Drained
        | NodePhase::SafeToPowerOff
        | NodePhase::InMaintenance
        | NodePhase::Verifying
        | NodePhase::Uncordoning => ("in work", "fair", ""),
    }
}
