//! The tables at the end of a run, and those of a dry run.

use comfy_table::{Table, presets};
use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::summary::{Report, ReportNode};
use super::words::{count, duration};
use crate::plan::v1alpha1::VmOutcome;

pub(super) fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(header.to_vec());
    table
}

fn clock(time: Option<Timestamp>, zone: &TimeZone) -> String {
    time.map(|t| t.to_zoned(zone.clone()).strftime("%H:%M").to_string()).unwrap_or_default()
}

fn took(node: &ReportNode) -> String {
    let both = node.started_at.zip(node.finished_at);
    both.map(|(start, end)| duration(end.duration_since(start).as_secs())).unwrap_or_default()
}

pub(super) fn trimmed(table: &Table) -> String {
    let lines = table.to_string();
    let lines: Vec<&str> =
        lines.lines().map(|l| l.trim_end().strip_prefix(' ').unwrap_or(l.trim_end())).collect();
    lines.join("\n")
}

/// Nodes, VMs, what went wrong, and what to do next.
pub fn tables(report: &Report, zone: &TimeZone) -> String {
    let mut nodes = table(&["NODE", "GROUP", "WAVE", "RESULT", "START", "TOOK", "PODS", "VMS", "NOTES"]);
    for node in &report.nodes {
        nodes.add_row([
            node.name.clone(),
            node.group.clone(),
            if node.wave == 0 { "-".to_owned() } else { node.wave.to_string() },
            node.phase.to_lowercase(),
            clock(node.started_at, zone),
            took(node),
            node.pods_evicted.to_string(),
            node.virtual_machines.to_string(),
            node.reason.clone().or_else(|| waits(node)).unwrap_or_default(),
        ]);
    }
    let mut text = trimmed(&nodes);
    text.push_str(&vms(report));
    text.push_str(&past_budgets(report));
    text.push_str("\n\n");
    text.push_str(&closing(report));
    text
}

/// What a node that has not begun waited for.
fn waits(node: &ReportNode) -> Option<String> {
    node.waited_for.clone().filter(|_| node.phase == "Pending").map(|why| format!("waits: {why}"))
}

fn vms(report: &Report) -> String {
    if report.virtual_machines.is_empty() {
        return String::new();
    }
    let mut vms = table(&["VM", "OUTCOME", "MOVES"]);
    for vm in &report.virtual_machines {
        let outcome = format!("{:?}", vm.outcome).to_lowercase();
        vms.add_row([format!("{}/{}", vm.namespace, vm.name), outcome, vm.moves.to_string()]);
    }
    format!("\n\n{}", trimmed(&vms))
}

/// What was done past a budget is told, line by line, where everybody looks.
fn past_budgets(report: &Report) -> String {
    let used = report.nodes.iter().flat_map(|n| n.past_budgets.iter().map(move |past| (n, past)));
    let lines: Vec<String> = used.map(|(node, past)| format!("{}: {past}", node.name)).collect();
    if lines.is_empty() { String::new() } else { format!("\n\n{}", lines.join("\n")) }
}

fn closing(report: &Report) -> String {
    let done = report.done();
    let total = report.nodes.len();
    let length = duration(report.makespan_seconds);
    let reason = report.reason.as_deref().unwrap_or("no reason given");
    let plan = &report.plan;
    match report.phase.as_str() {
        "Succeeded" => {
            let stopped = report.virtual_machines.iter().filter(|v| v.outcome == VmOutcome::Stopped).count();
            let stopped =
                if stopped == 0 { String::new() } else { format!(", {} left off", count(stopped, "VM")) };
            let borne = report.reason.as_deref().map(|r| format!(" ({r})")).unwrap_or_default();
            format!(
                "Succeeded: {done} of {} done{borne} in {length}, at most {} unavailable at once{stopped}.",
                count(total, "node"),
                report.peak_unavailable
            )
        }
        "Paused" => {
            let failed = report.nodes.iter().any(|n| n.phase == "Failed");
            let (mend, anew) = if failed {
                ("Mend what is named above, then run", " and tries failed nodes anew")
            } else {
                ("Run", "")
            };
            format!(
                "Paused: {reason}. {done} of {} done. {mend} `virtroll apply` with plan {plan} again: it goes on from here{anew}.",
                count(total, "node")
            )
        }
        "Failed" => format!("Failed: {reason}. {done} of {} done in {length}.", count(total, "node")),
        other => format!("{other}: {reason}."),
    }
}

/// A dry run's forecast: waves, VMs, what to watch out for.
pub fn forecast(report: &Report, zone: &TimeZone) -> String {
    let mut waves = table(&["WAVE", "STARTS", "NODES", "ENDS", "WHY NOT EARLIER"]);
    let mut numbers: Vec<u32> = report.nodes.iter().map(|n| n.wave).filter(|w| *w > 0).collect();
    numbers.sort_unstable();
    numbers.dedup();
    for wave in numbers {
        let members: Vec<&ReportNode> = report.nodes.iter().filter(|n| n.wave == wave).collect();
        let names: Vec<&str> = members.iter().map(|n| n.name.as_str()).collect();
        waves.add_row([
            wave.to_string(),
            clock(members.iter().filter_map(|n| n.started_at).min(), zone),
            names.join(", "),
            clock(members.iter().filter_map(|n| n.finished_at).max(), zone),
            members.iter().find_map(|n| n.waited_for.clone()).unwrap_or_default(),
        ]);
    }
    let mut text = if waves.is_empty() { "no node would begin".to_owned() } else { trimmed(&waves) };
    let mut groups = Vec::new();
    for (words, outcome) in [
        ("stay where they are", VmOutcome::Untouched),
        ("migrate", VmOutcome::Migrated),
        ("restart elsewhere", VmOutcome::Restarted),
        ("are left off", VmOutcome::Stopped),
    ] {
        let mine: Vec<String> = report
            .virtual_machines
            .iter()
            .filter(|v| v.outcome == outcome)
            .map(|v| {
                if v.moves > 1 {
                    format!("{}/{} ({} moves)", v.namespace, v.name, v.moves)
                } else {
                    format!("{}/{}", v.namespace, v.name)
                }
            })
            .collect();
        if !mine.is_empty() {
            groups.push(format!("  {} {words}: {}", mine.len(), mine.join(", ")));
        }
    }
    if !groups.is_empty() {
        text.push_str(&format!("\n\nVIRTUAL MACHINES\n{}", groups.join("\n")));
    }
    let failed = report.nodes.iter().filter_map(|n| Some(format!("  {}  {}", n.name, n.reason.as_ref()?)));
    let past =
        report.nodes.iter().flat_map(|n| n.past_budgets.iter().map(move |p| format!("  {}  {p}", n.name)));
    let watch: Vec<String> =
        failed.chain(past).chain(report.warnings.iter().map(|w| format!("  {w}"))).collect();
    if !watch.is_empty() {
        text.push_str(&format!("\n\nWATCH OUT\n{}", watch.join("\n")));
    }
    let verdict = match report.phase.as_str() {
        "Paused" => format!("it would pause: {}", report.reason.as_deref().unwrap_or("no reason given")),
        _ => closing(report),
    };
    text.push_str(&format!("\n\nForecast  {verdict}"));
    text.push_str("\nnothing was changed");
    text
}
