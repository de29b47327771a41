//! The rows of the timeline: a node's bars, and the same in words.

use jiff::Timestamp;
use serde::Serialize;

use super::axis::percent;
use super::timeline::{Bar, Drawing};
use crate::journal::CauseKind;
use crate::reconcile::NodePhase;
use crate::report::course::{PhaseSpan, Wait};
use crate::report::summary::ReportNode;
use crate::report::words::duration;

/// Width of the bars' column that labels reckon with, pixels, and of one letter.
const TRACK: f64 = 620.0;
const LETTER: f64 = 6.2;

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

/// The end of a node that isn't done.
#[derive(Serialize)]
pub(super) struct Mark {
    x: String,
    sign: &'static str,
}

impl Drawing<'_> {
    pub(super) fn row(&self, node: &ReportNode, index: usize) -> Row {
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
                | CauseKind::Surge
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
