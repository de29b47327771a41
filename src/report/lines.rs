//! One line for each thing that happened: time and subject first.

use jiff::tz::TimeZone;

use super::words::count;
use crate::journal::{Event, EventKind};

/// The line of an event; `None` for events that only displays need.
pub fn line(event: &Event, zone: &TimeZone) -> Option<String> {
    let time = event.at.to_zoned(zone.clone()).strftime("%H:%M:%S");
    let (subject, words) = words(&event.kind)?;
    Some(format!("{time}  {subject:<14}  {words}"))
}

fn words(kind: &EventKind) -> Option<(String, String)> {
    Some(match kind {
        EventKind::CampaignStarted {
            campaign,
            plan,
            groups,
            pods,
            virtual_machines,
            budgets,
            resumed,
            ..
        } => {
            let nodes: usize = groups.iter().map(|(_, n)| n).sum();
            let verb = if *resumed { "goes on" } else { "begins" };
            let words = format!(
                "{verb}: plan {plan}, {} in {}; cluster: {}, {}, {}",
                count(nodes, "node"),
                count(groups.len(), "group"),
                count(*pods, "pod"),
                count(*virtual_machines, "VM"),
                count(*budgets, "budget"),
            );
            (campaign.clone(), words)
        }
        EventKind::Reordered => ("order".to_owned(), "new for the nodes that wait: it is shorter".to_owned()),
        EventKind::NodePhaseChanged { node, group, wave, phase, reason } => {
            let words = match (phase.as_str(), reason) {
                ("Cordoned", _) => format!("cordoned (group {group}, wave {wave})"),
                ("SafeToPowerOff", _) => "safe to power off".to_owned(),
                ("InMaintenance", _) => "in maintenance".to_owned(),
                (phase, Some(reason)) => format!("{}: {reason}", phase.to_lowercase()),
                (phase, None) => phase.to_lowercase(),
            };
            (node.clone(), words)
        }
        EventKind::NodeObstructed { node, why } => {
            (node.clone(), format!("can't begin as things are: {why}"))
        }
        EventKind::NodeWaits { node, why } if node.is_empty() => {
            ("campaign".to_owned(), format!("no node is in work; waits: {why}"))
        }
        EventKind::NodeWaits { node, why } => (node.clone(), format!("waits: {why}")),
        EventKind::PodEvicted { pod, node, .. } => (node.clone(), format!("evicting pod {pod}")),
        EventKind::PodDeletedPastBudget { pod, node, workload, budgets, reason } => {
            let budgets = budgets.join(", ");
            (node.clone(), format!("deleting pod {pod} of {workload} past budget {budgets}: {reason}"))
        }
        EventKind::WorkloadScaled { workload, from, to, node } => {
            let words = if to > from { "for the time of the drain" } else { "as it was found" };
            (node.clone(), format!("{workload} scaled from {from} to {to}, {words}"))
        }
        EventKind::EvictionRefused { pod, node, why, .. } => {
            (node.clone(), format!("eviction of pod {pod} refused: {why}"))
        }
        EventKind::VmChanged { vm, outcome, node, .. } => {
            let place = node.as_deref().map(|n| format!(", on {n}")).unwrap_or_default();
            ("vm".to_owned(), format!("{vm} {}{place}", outcome.to_lowercase()))
        }
        EventKind::HookStarted { hook, scope, attempt } => {
            (hook.clone(), format!("started for {scope}, try {attempt}"))
        }
        EventKind::HookEnded { hook, scope, attempt, error: Some(error) } => {
            (hook.clone(), format!("failed for {scope}, try {attempt}: {error}"))
        }
        EventKind::HookEnded { hook, scope, error: None, .. } => (hook.clone(), format!("done for {scope}")),
        EventKind::Stopping { under_way } => {
            let under_way = match under_way.as_slice() {
                [] => "nothing is under way".to_owned(),
                list => format!("under way: {}", list.join(", ")),
            };
            let advice = "nothing new is started, hooks that run are awaited (Ctrl-C again leaves at once); apply goes on from here";
            ("stopping".to_owned(), format!("{under_way}; {advice}"))
        }
        EventKind::Warning { text } => ("warning".to_owned(), text.clone()),
        EventKind::CampaignEnded { phase, reason } => {
            let reason = reason.as_deref().map(|r| format!(": {r}")).unwrap_or_default();
            ("campaign".to_owned(), format!("{}{reason}", phase.to_lowercase()))
        }
        EventKind::Planned { .. } | EventKind::PodLeft { .. } | EventKind::Progress(_) => return None,
    })
}
