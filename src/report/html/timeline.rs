//! The timeline: rows with bars, the load above them, and what held nodes back below.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;

use super::axis::{Axis, Tick, percent};
use super::bands::{Column, Lane, Load};
use super::rows::Row;
use crate::journal::CauseKind;
use crate::report::summary::{Report, ReportNode};
use crate::report::words::{count, duration};

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

/// A kind of bar.
#[derive(Serialize)]
pub(super) struct Legend {
    class: &'static str,
    words: &'static str,
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

    pub(super) fn bar(&self, class: &'static str, from: Timestamp, to: Timestamp) -> Bar {
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
    pub(super) fn span(&self, from: Timestamp, to: Timestamp) -> String {
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

    pub(super) fn is_detailed(&self) -> bool {
        self.report.nodes.len() <= DETAILED
    }
}

/// The kinds of bars that are there.
fn legend(groups: &[Group]) -> Vec<Legend> {
    let rows = || groups.iter().flat_map(|g| g.rows.iter().flat_map(|r| &r.bars).chain(&g.bars));
    let is_there = |class: &str| rows().any(|b| b.class == class);
    LEGEND.iter().filter(|(class, _)| is_there(class)).map(|(class, words)| Legend { class, words }).collect()
}

/// `zone a`, and no `zone zone-a`.
fn zone_words(zone: &str) -> String {
    if zone.starts_with("zone") { zone.to_owned() } else { format!("zone {zone}") }
}
