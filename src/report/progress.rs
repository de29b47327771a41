//! Progress bars for a terminal: the campaign, its groups, and a line for each node in work.

use std::collections::BTreeMap;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use crate::journal::{Event, EventKind, phase_words};
use crate::reconcile::{Hold, NodeProgress};

/// The bars of one run.
pub struct Bars {
    all: MultiProgress,
    groups: BTreeMap<String, ProgressBar>,
    nodes: BTreeMap<String, ProgressBar>,
}

fn style(template: &str) -> ProgressStyle {
    // The templates are constants of this file; the default is a bar as well.
    ProgressStyle::with_template(template)
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("━╸─")
}

impl Default for Bars {
    fn default() -> Self {
        Self::new()
    }
}

impl Bars {
    /// No bars yet; they appear with the first event.
    pub fn new() -> Self {
        Self { all: MultiProgress::new(), groups: BTreeMap::new(), nodes: BTreeMap::new() }
    }

    /// Prints a line above the bars.
    pub fn say(&self, line: &str) {
        // Fails only when the terminal is gone.
        let _ = self.all.println(line);
    }

    /// Takes in an event.
    pub fn event(&mut self, event: &Event) {
        match &event.kind {
            EventKind::CampaignStarted { groups, .. } => {
                for (group, nodes) in groups {
                    let bar = self.all.add(ProgressBar::new(*nodes as u64));
                    bar.set_style(style("{prefix:<14} {bar:20} {pos}/{len}  {wide_msg}"));
                    bar.set_prefix(group.clone());
                    self.groups.insert(group.clone(), bar);
                }
            }
            EventKind::Progress(nodes) => self.progress(nodes),
            EventKind::CampaignEnded { .. } => {
                for bar in self.nodes.values().chain(self.groups.values()) {
                    bar.finish_and_clear();
                }
            }
            _ => {}
        }
    }

    fn progress(&mut self, nodes: &BTreeMap<String, NodeProgress>) {
        for (group, bar) in &self.groups {
            let mine = || nodes.values().filter(|n| &n.group == group);
            let working = mine().filter(|n| n.phase.is_active()).count();
            let waits = mine()
                .filter(|n| !n.phase.is_active() && !n.phase.is_terminal())
                .find_map(|n| n.holds.first());
            bar.set_position(mine().filter(|n| n.phase.is_terminal()).count() as u64);
            bar.set_message(match (working, waits) {
                (0, Some(hold)) => hold.to_string(),
                (0, None) => String::new(),
                (n, _) => format!("{n} in work"),
            });
        }
        for (name, node) in nodes.iter().filter(|(_, n)| n.phase.is_active()) {
            let bar = self.nodes.entry(name.clone()).or_insert_with(|| {
                let bar = self.all.add(ProgressBar::new_spinner());
                bar.set_style(style("  {prefix:<16} {wide_msg}"));
                bar.set_prefix(name.clone());
                bar
            });
            bar.set_message(detail(node));
        }
        self.nodes.retain(|name, bar| {
            let stays = nodes.get(name).is_some_and(|n| n.phase.is_active());
            if !stays {
                bar.finish_and_clear();
            }
            stays
        });
    }
}

fn detail(node: &NodeProgress) -> String {
    let mut text = phase_words(node.phase).to_owned();
    if node.pods_left > 0 {
        let pods = if node.pods_left == 1 { "pod" } else { "pods" };
        text.push_str(&format!("  {} {pods} left", node.pods_left));
    }
    if let Some(hold) = node.holds.iter().max_by_key(|h| h.prospect()) {
        text.push_str(&format!("; {}", brief(hold)));
    }
    text
}

/// A hold in a few words: the line of a bar ends at the terminal's edge. The whole stands above the bars.
fn brief(hold: &Hold) -> String {
    match hold {
        Hold::Budget { budget, .. } => format!("waits for budget {budget}"),
        Hold::Terminating { .. } => "pods are shutting down".to_owned(),
        other => other.to_string(),
    }
}
