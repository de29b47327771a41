//! What stands above and below the rows: the load, the windows, what held nodes back, the moves.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;

use super::axis::percent;
use super::timeline::{Bar, Drawing};
use crate::reconcile::NodePhase;
use crate::report::course::{Constraint, Interval, MoveKind};
use crate::report::summary::ReportNode;
use crate::report::words::{capital, count, duration};

/// Moves whose arcs are drawn.
const ARCS: usize = 10_000;
/// Columns of the load at the most.
const COLUMNS: usize = 400;

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

/// A line of the band.
#[derive(Serialize)]
pub(super) struct Lane {
    pub title: String,
    pub note: String,
    pub bars: Vec<Bar>,
    pub description: String,
}

impl Drawing<'_> {
    pub(super) fn constraint(&self, constraint: &Constraint) -> Lane {
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

    pub(super) fn windows(&self) -> Option<Lane> {
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
    pub(super) fn load(&self) -> Load {
        let (bars, peak) = self.levels(self.report.nodes.iter());
        let description = format!("Nodes in work over time: at most {peak} at once.");
        Load { bars, description, peak }
    }

    /// How many of some nodes are away at each moment, as columns, and the most at one moment.
    pub(super) fn levels<'n>(&self, nodes: impl Iterator<Item = &'n ReportNode>) -> (Vec<Column>, i64) {
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

    pub(super) fn arcs(&self, rows: &BTreeMap<String, usize>) -> String {
        let row = |name: &Option<String>| name.as_ref().and_then(|n| rows.get(n));
        let arcs = self.report.moves.iter().filter_map(|m| {
            let (from, to) = (row(&m.from)?, row(&m.to)?);
            let end = self.axis.place(m.finished_at);
            let begin = m.started_at.map_or(end, |at| self.axis.place(at));
            let live = i32::from(m.kind == MoveKind::Migrated);
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
