//! The graph of what waited for what: a box for each node's maintenance, an edge for the reason that it did not begin
//! earlier, and the budgets that held drains up.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use jiff::{SignedDuration, Timestamp};

use super::summary::{Report, ReportNode};
use super::words::duration;
use crate::journal::CauseKind;

/// A node that begins so soon after another one's end began for it.
const SOON: SignedDuration = SignedDuration::from_secs(5);
/// A budget that held a drain for less, seconds, has no edge.
const WORTH_AN_EDGE: i64 = 10;

/// Graphviz's text. Render it with `dot -Tsvg`.
pub fn dot(report: &Report) -> String {
    let mut text = String::new();
    let verb = if report.forecast { "rehearsal of" } else { "campaign" };
    let title = format!("{verb} {} on {}: {}", report.plan, report.cluster, report.phase);
    line(&mut text, 0, "digraph virtroll {");
    line(&mut text, 1, &format!("label={}; labelloc=t; fontsize=18;", quoted(&title)));
    line(&mut text, 1, "rankdir=LR; compound=true; nodesep=0.35; ranksep=1.1; fontname=\"sans-serif\";");
    line(
        &mut text,
        1,
        "node [fontname=\"sans-serif\", fontsize=11, shape=box, style=\"rounded,filled\", fillcolor=white];",
    );
    line(&mut text, 1, "edge [fontname=\"sans-serif\", fontsize=10, color=\"#555555\"];");
    groups(report, &mut text);
    for node in &report.nodes {
        starts(report, node, &mut text);
    }
    budgets(report, &mut text);
    text.push_str("}\n");
    text
}

fn line(text: &mut String, depth: usize, words: &str) {
    // Writing to a String can't fail.
    let _ = writeln!(text, "{:indent$}{words}", "", indent = depth * 2);
}

/// A DOT string: quotes and backslashes escaped, line ends as DOT writes them.
pub(super) fn quoted(words: &str) -> String {
    let words = words.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n").replace('\r', "");
    format!("\"{words}\"")
}

fn clock(at: Timestamp) -> String {
    at.strftime("%H:%M:%S").to_string()
}

fn groups(report: &Report, text: &mut String) {
    let mut groups: Vec<&str> = Vec::new();
    for node in &report.nodes {
        if !groups.contains(&node.group.as_str()) {
            groups.push(&node.group);
        }
    }
    for (index, group) in groups.iter().enumerate() {
        line(text, 1, &format!("subgraph cluster_{index} {{"));
        line(
            text,
            2,
            &format!("label={}; color=\"#999999\"; style=rounded;", quoted(&format!("group {group}"))),
        );
        for node in report.nodes.iter().filter(|n| n.group == *group) {
            line(text, 2, &format!("{} [{}];", quoted(&format!("node/{}", node.name)), attributes(node)));
        }
        line(text, 1, "}");
    }
}

fn attributes(node: &ReportNode) -> String {
    let mut label = node.name.clone();
    if let Some((from, to)) = node.started_at.zip(node.finished_at) {
        let length = duration(to.duration_since(from).as_secs());
        label.push_str(&format!("\n{} to {} UTC, {length}", clock(from), clock(to)));
    }
    if let Some(zone) = &node.zone {
        label.push_str(&format!("\nzone {zone}"));
    }
    // The sign is in the words, too: colour alone says nothing.
    let fill = match node.phase.as_str() {
        "Done" => "",
        "Failed" => ", fillcolor=\"#f6d5d0\", penwidth=2",
        _ => ", fillcolor=\"#eeeeee\", style=\"rounded,filled,dashed\"",
    };
    if node.phase != "Done" {
        label.push_str(&format!("\n{}", node.phase));
    }
    format!("label={}{fill}", quoted(&label))
}

/// The edge from what a node waited for before it began.
fn starts(report: &Report, node: &ReportNode, text: &mut String) {
    let Some(held) = &node.held_by else { return };
    let others = || report.nodes.iter().filter(|n| n.name != node.name);
    let zone_only = held.kind == CauseKind::Zone;
    let source = match held.kind {
        CauseKind::GroupOrder | CauseKind::Soak => {
            last(others().filter(|n| held.names.contains(&n.group)), node)
        }
        CauseKind::Concurrency | CauseKind::Zone => {
            let mine = others().filter(|n| !zone_only || n.zone == node.zone);
            let group = held.words.starts_with("group ");
            last(mine.filter(|n| !group || n.group == node.group), node)
        }
        CauseKind::Wave => last(others().filter(|n| n.group == node.group && n.wave + 1 == node.wave), node),
        _ => None,
    };
    let to = quoted(&format!("node/{}", node.name));
    let label = quoted(&held.words);
    match source {
        Some(source) => {
            let from = quoted(&format!("node/{}", source.name));
            line(text, 1, &format!("{from} -> {to} [label={label}];"));
        }
        // Nothing has ended before it: what it waits for stands by itself.
        None => {
            let from = quoted(&format!("held/{}", held.words));
            line(
                text,
                1,
                &format!("{from} [label={label}, shape=note, style=filled, fillcolor=\"#f4f0df\"];"),
            );
            line(text, 1, &format!("{from} -> {to} [style=dashed];"));
        }
    }
}

/// Of some nodes, the one that ended last before this one began.
fn last<'a>(nodes: impl Iterator<Item = &'a ReportNode>, node: &ReportNode) -> Option<&'a ReportNode> {
    let began = node.started_at?.saturating_add(SOON).ok()?;
    let ended = nodes.filter_map(|n| Some((n.finished_at?, n))).filter(|(end, _)| *end <= began);
    ended.max_by_key(|(end, n)| (*end, std::cmp::Reverse(n.name.as_str()))).map(|(_, n)| n)
}

/// Budgets, and the nodes whose drains they held up.
fn budgets(report: &Report, text: &mut String) {
    let mut edges: BTreeMap<(&str, &str), i64> = BTreeMap::new();
    for node in &report.nodes {
        for wait in node.waits.iter().filter(|w| w.cause.kind == CauseKind::Budget) {
            let end = wait.finished_at.unwrap_or(wait.started_at);
            let seconds = end.duration_since(wait.started_at).as_secs();
            *edges.entry((wait.cause.subject.as_str(), node.name.as_str())).or_default() += seconds;
        }
    }
    edges.retain(|_, seconds| *seconds >= WORTH_AN_EDGE);
    let names: BTreeSet<&str> = edges.keys().map(|(budget, _)| *budget).collect();
    for name in names {
        let label = quoted(&format!("budget {name}"));
        let id = quoted(&format!("budget/{name}"));
        line(text, 1, &format!("{id} [label={label}, shape=hexagon, style=filled, fillcolor=\"#f9ecd2\"];"));
    }
    for ((budget, node), seconds) in edges {
        let (from, to) = (quoted(&format!("budget/{budget}")), quoted(&format!("node/{node}")));
        let label = quoted(&format!("its drain waited {}", duration(seconds)));
        line(text, 1, &format!("{from} -> {to} [label={label}, style=dashed];"));
    }
}
