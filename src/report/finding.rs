//! What people should know of a campaign, each explained, with what would help.

use std::collections::BTreeMap;

use serde::Serialize;

use super::course::Constraint;
use super::rehearsal::{EvictionFinding, Rehearsal};
use super::story::Story;
use super::summary::{Report, ReportNode};
use super::words::{capital, count, duration};
use crate::journal::CauseKind;
use crate::plan::v1alpha1::{PastBudget, VmOutcome};
use crate::reconcile::NodePhase;

/// A constraint that held a drain for less, added up over nodes, isn't worth a word.
const WORTH_A_WORD: i64 = 60;
/// Names that a sentence shows before it only counts.
const SHOWN: usize = 8;
/// Findings of one kind that are shown before they are only counted.
const OF_A_KIND: usize = 20;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Level {
    /// The plan can't be carried out, or not as a whole.
    Conflict,
    /// It goes on, but somebody should look.
    Warning,
    /// Good to know.
    Note,
}

/// One finding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    /// How bad it is.
    pub level: Level,
    /// In one line.
    pub title: String,
    /// What it is about, as kind and name; the first few.
    pub objects: Vec<String>,
    /// In words, a sentence or two each.
    pub details: Vec<String>,
    /// What would help; empty if nothing has to be done.
    pub help: Option<String>,
}

/// All findings of a report, the worst first.
pub(super) fn all(report: &Report, story: &Story) -> Vec<Finding> {
    let mut found = Vec::new();
    nodes(report, story, &mut found);
    hooks(report, &mut found);
    for constraint in &report.constraints {
        found.extend(slow(report, constraint));
    }
    refusals(report, &mut found);
    past_budgets(report, &mut found);
    surges(story, &mut found);
    vms(report, &mut found);
    windows(report, &mut found);
    found.extend(report.warnings.iter().map(|text| warning(text)));
    found.sort_by_key(|f| f.level);
    found
}

/// What a dry run found beside the campaign itself: what isn't in its model, and what the API server says of evictions.
pub(super) fn of_rehearsal(rehearsal: &Rehearsal) -> Vec<Finding> {
    let mut found: Vec<Finding> = rehearsal
        .not_modelled
        .iter()
        .map(|lack| Finding {
            level: Level::Warning,
            title: format!("{} could not be read, so the rehearsal does without", lack.resource),
            objects: Vec::new(),
            details: vec![sentence(&lack.lacking)],
            help: Some(format!("Let this user list {} and rehearse again.", lack.resource)),
        })
        .collect();
    let Some(check) = &rehearsal.eviction_check else { return found };
    if let Some(why) = &check.left_out {
        found.push(Finding {
            help: Some(
                "With the right to create pods/eviction, the API server is asked beforehand.".to_owned(),
            ),
            ..plain(Level::Note, "The API server was not asked about evictions".to_owned(), &sentence(why))
        });
    }
    let mut classes: BTreeMap<&str, Vec<&EvictionFinding>> = BTreeMap::new();
    for answer in check.findings.iter().filter(|f| f.class != "migrates" || f.differs.is_some()) {
        classes.entry(answer.class).or_default().push(answer);
    }
    found.extend(classes.into_iter().map(|(class, answers)| of_class(class, &answers)));
    found
}

/// What the API server's answers of one class mean, and those answers.
fn of_class(class: &str, answers: &[&EvictionFinding]) -> Finding {
    let (level, means) = match class {
        "lost" => (Level::Conflict, "would not come back"),
        "blocked" => (Level::Conflict, "could not be moved"),
        "budget" => (Level::Note, "would wait for a budget now"),
        "shutDown" => (Level::Note, "would be shut down"),
        "external" => (Level::Warning, "would wait for an outside controller"),
        "migrates" => (Level::Warning, "would migrate otherwise than the model expects"),
        _ => (Level::Warning, "would not leave at once"),
    };
    let line = |f: &&EvictionFinding| {
        let name = f.virtual_machine.as_ref().map_or_else(
            || format!("pod {}/{}", f.namespace, f.pod),
            |vm| format!("vm {}/{vm}", f.namespace),
        );
        let differs = f.differs.as_deref().map(|d| format!(" ({d})")).unwrap_or_default();
        sentence(&format!("{name} on {}: {}{differs}", f.node, f.says))
    };
    let more = answers.len().saturating_sub(SHOWN);
    let more = (more > 0).then(|| format!("And {more} more."));
    Finding {
        level,
        title: format!("Asked now, the API server says: {} {means}", count(answers.len(), "pod")),
        objects: answers.iter().take(SHOWN).map(|f| format!("Pod {}/{}", f.namespace, f.pod)).collect(),
        details: answers.iter().take(SHOWN).map(line).chain(more).collect(),
        help: None,
    }
}

/// Some names, and how many more.
pub(super) fn list<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let names: Vec<&str> = names.into_iter().collect();
    let mut text = names[..names.len().min(SHOWN)].join(", ");
    if names.len() > SHOWN {
        text.push_str(&format!(" and {} more", names.len() - SHOWN));
    }
    text
}

/// What stands against a node: each obstacle as what it is and what would help.
fn obstacles(reason: &str) -> Vec<(String, Option<String>)> {
    let reason = reason.strip_prefix("not begun: ").unwrap_or(reason);
    let mut parts: Vec<String> = Vec::new();
    for part in reason.split("; ") {
        let begins = part.starts_with("pod ") || part.starts_with("vm ") || parts.is_empty();
        match parts.last_mut() {
            Some(last) if !begins => last.push_str(&format!("; {part}")),
            _ => parts.push(part.to_owned()),
        }
    }
    let split = |part: String| match part.split_once("; waiting will not help: ") {
        Some((what, help)) => (what.to_owned(), Some(help.to_owned())),
        None => (part, None),
    };
    parts.into_iter().map(split).collect()
}

/// Nodes that failed, were skipped, or never begin. The same reason is told once.
fn nodes(report: &Report, story: &Story, found: &mut Vec<Finding>) {
    let mut reasons: BTreeMap<(Level, &str, &str), Vec<&ReportNode>> = BTreeMap::new();
    let mut pending = Vec::new();
    for node in &report.nodes {
        let reason = node.reason.as_deref().unwrap_or("no reason given");
        match NodePhase::named(&node.phase) {
            NodePhase::Failed => {
                reasons.entry((Level::Conflict, "fails", reason)).or_default().push(node);
            }
            NodePhase::Skipped => {
                reasons.entry((Level::Warning, "is skipped", reason)).or_default().push(node);
            }
            NodePhase::Pending => match story.obstructed().get(&node.name) {
                Some(why) => reasons.entry((Level::Conflict, "can't begin", why)).or_default().push(node),
                None => pending.push(node),
            },
            NodePhase::Cordoned
            | NodePhase::Draining
            | NodePhase::Drained
            | NodePhase::SafeToPowerOff
            | NodePhase::InMaintenance
            | NodePhase::Verifying
            | NodePhase::Uncordoning
            | NodePhase::Done => {}
        }
    }
    let more = reasons.len().saturating_sub(OF_A_KIND);
    found.extend(reasons.into_iter().take(OF_A_KIND).map(|((level, verb, reason), nodes)| {
        let names = list(nodes.iter().map(|n| n.name.as_str()));
        let parts = obstacles(reason);
        let help: Vec<&str> = parts.iter().filter_map(|(_, help)| help.as_deref()).collect();
        let help = if help.is_empty() { remedy(reason).map(str::to_owned) } else { Some(help.join(" · ")) };
        let verb = if nodes.len() == 1 { verb.to_owned() } else { plural(verb) };
        Finding {
            level,
            title: format!("{names} {verb}"),
            objects: nodes.iter().take(SHOWN).map(|n| format!("Node {}", n.name)).collect(),
            details: parts.into_iter().map(|(what, _)| sentence(&what)).collect(),
            help: help.map(|h| sentence(&h)),
        }
    }));
    if more > 0 {
        let title = format!("{more} more reasons why nodes fail or can't begin");
        found.push(plain(Level::Conflict, title, "The JSON report has them all, node by node."));
    }
    if let Some(first) = pending.first() {
        let why = first.waited_for.as_deref().map(|w| format!("The first of them: {w}."));
        found.push(Finding {
            level: Level::Warning,
            title: format!("{} never begun", were(pending.len(), "node")),
            objects: pending.iter().take(SHOWN).map(|n| format!("Node {}", n.name)).collect(),
            details: [list(pending.iter().map(|n| n.name.as_str()))].into_iter().chain(why).collect(),
            help: Some("Mend what stopped the campaign; `virtroll apply` goes on with them.".to_owned()),
        });
    }
}

fn plural(verb: &str) -> String {
    match verb {
        "fails" => "fail".to_owned(),
        "is skipped" => "are skipped".to_owned(),
        other => other.to_owned(),
    }
}

/// `1 node is`, `3 nodes are`.
fn were(n: usize, one: &str) -> String {
    format!("{} {}", count(n, one), if n == 1 { "is" } else { "are" })
}

/// What can be done about a failure whose reason doesn't say it.
fn remedy(reason: &str) -> Option<&'static str> {
    let is = |words: &str| reason.contains(words);
    Some(if is("drain took longer") {
        "Look at what it waited for; a longer drain.timeout, or drain.onTimeout: Skip, lets the others go on"
    } else if is("hook ") {
        "Mend what the hook reports and apply the plan again: the node goes on where it is; retries and timeout belong to the hook"
    } else if is("verif") || is("kernel") || is("Ready") {
        "The node is left cordoned: look at it, then apply the plan again"
    } else if is("staysOff") || is("shutDown") || is("bare VirtualMachineInstance") {
        "The plan's virtualMachines section says what may happen to VMs that can't migrate"
    } else {
        return None;
    })
}

/// With a capital letter and a full stop.
fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    let Some(first) = letters.next() else { return String::new() };
    if let Some(rest) = text.strip_prefix("vm ") {
        return sentence(&format!("VM {rest}"));
    }
    // An object's name keeps its case.
    let is_word = letters.clone().next().is_some_and(char::is_lowercase) && !text.starts_with("virtroll");
    let first = if is_word { first.to_uppercase().to_string() } else { first.to_string() };
    let stop = if text.ends_with(['.', '!', '?']) { "" } else { "." };
    format!("{first}{}{stop}", letters.as_str())
}

fn plain(level: Level, title: String, detail: &str) -> Finding {
    Finding { level, title, objects: Vec::new(), details: vec![detail.to_owned()], help: None }
}

/// A warning in its own words: what stands before the first semicolon is its title if it is short.
fn warning(text: &str) -> Finding {
    let (title, rest) = text.split_once("; ").unwrap_or((text, ""));
    let details = if rest.is_empty() { Vec::new() } else { vec![sentence(rest)] };
    Finding { level: Level::Warning, title: capital(title), objects: Vec::new(), details, help: None }
}

fn hooks(report: &Report, found: &mut Vec<Finding>) {
    let all = report.nodes.iter().flat_map(|n| &n.hooks).chain(&report.hooks);
    let mut failed: BTreeMap<(&str, &str), Vec<String>> = BTreeMap::new();
    for run in all {
        if let Some(error) = &run.error {
            let tries = failed.entry((run.hook.as_str(), error.as_str())).or_default();
            tries.push(format!("{} (try {})", run.scope, run.attempt));
        }
    }
    found.extend(failed.into_iter().take(OF_A_KIND).map(|((hook, error), tries)| Finding {
        level: Level::Warning,
        title: format!("Hook {hook} failed {}", times(tries.len())),
        objects: vec![format!("Hook {hook}")],
        details: vec![sentence(error), format!("For {}.", list(tries.iter().map(String::as_str)))],
        help: None,
    }));
}

fn times(n: usize) -> String {
    if n == 1 { "once".to_owned() } else { format!("{n} times") }
}

/// A constraint that held drains up.
fn slow(report: &Report, constraint: &Constraint) -> Option<Finding> {
    if constraint.node_seconds < WORTH_A_WORD {
        return None;
    }
    let (title, help) = match constraint.kind {
        CauseKind::Budget => (
            format!("Budget {} holds drains up", constraint.subject),
            "Nothing has to be done. One more replica, or a budget that allows one more disruption, would shorten it.",
        ),
        CauseKind::MigrationLimit => (
            "VMs queue for their migration".to_owned(),
            "Nothing has to be done. KubeVirt's spec.configuration.migrations sets the limits (parallelMigrationsPerCluster, \
             parallelOutboundMigrationsPerNode); with fewer nodes at once, fewer are cordoned for as long.",
        ),
        CauseKind::Capacity => (
            "No node has room for a VM that has to move".to_owned(),
            "Free or add capacity that fits the VM (memory, CPU model, node selector), or take fewer nodes at once.",
        ),
        CauseKind::VirtualMachine => (
            format!("VM {} can't be moved", constraint.subject),
            "Stop it beforehand, make it migratable, or say in the plan's virtualMachines section what may happen to it.",
        ),
        CauseKind::Refusal => (
            "Evictions are not granted".to_owned(),
            "See the server's words below; without the right to create pods/eviction nothing can be drained.",
        ),
        CauseKind::Surge => (
            format!("Drains wait for a second pod of {}", constraint.subject),
            "Nothing has to be done. With two replicas from the start no drain would wait for it.",
        ),
        CauseKind::GroupOrder
        | CauseKind::Order
        | CauseKind::Soak
        | CauseKind::Concurrency
        | CauseKind::Zone
        | CauseKind::Wave
        | CauseKind::Stopped
        | CauseKind::Termination
        | CauseKind::Migration
        | CauseKind::Safety
        | CauseKind::Tier
        | CauseKind::Hook
        | CauseKind::Start
        | CauseKind::Verification => return None,
    };
    let waits = |n: &ReportNode| {
        let mut mine = n
            .waits
            .iter()
            .filter(|w| w.cause.kind == constraint.kind && w.cause.subject == constraint.subject);
        mine.next().map(|w| w.words.clone())
    };
    let held: Vec<(&str, String)> =
        report.nodes.iter().filter_map(|n| Some((n.name.as_str(), waits(n)?))).collect();
    let mut details = vec![format!(
        "{} of waiting in all, at most {} at once{}.",
        duration(constraint.node_seconds),
        count(constraint.peak_nodes as usize, "node"),
        if held.is_empty() { String::new() } else { format!(": {}", list(held.iter().map(|h| h.0))) }
    )];
    details.extend(held.first().map(|(node, words)| format!("First on {node}: {words}.")));
    let object = match constraint.kind {
        CauseKind::Budget => Some(format!("PodDisruptionBudget {}", constraint.subject)),
        CauseKind::VirtualMachine => Some(format!("VirtualMachineInstance {}", constraint.subject)),
        _ => None,
    };
    let level = if constraint.kind == CauseKind::VirtualMachine || constraint.kind == CauseKind::Capacity {
        Level::Warning
    } else {
        Level::Note
    };
    Some(Finding {
        level,
        title,
        objects: object.into_iter().collect(),
        details,
        help: Some(help.to_owned()),
    })
}

fn refusals(report: &Report, found: &mut Vec<Finding>) {
    found.extend(report.refusals.iter().take(OF_A_KIND).map(|refusal| {
        let by = if refusal.budgets.is_empty() {
            String::new()
        } else {
            format!(" by budget {}", list(refusal.budgets.iter().map(String::as_str)))
        };
        Finding {
            level: if refusal.budgets.len() > 1 { Level::Conflict } else { Level::Note },
            title: format!("Evictions refused{by} {}", times(refusal.count as usize)),
            objects: refusal.budgets.iter().map(|b| format!("PodDisruptionBudget {b}")).collect(),
            details: vec![
                format!("The first answer: {}", sentence(&refusal.words)),
                format!(
                    "Pods such as {}; on {}.",
                    list(refusal.pods.iter().map(String::as_str)),
                    list(refusal.nodes.iter().map(String::as_str))
                ),
            ],
            help: (refusal.budgets.len() > 1).then(|| {
                "The eviction API refuses a pod under two budgets always: let one select it.".to_owned()
            }),
        }
    }));
}

/// Pods that were deleted past their budgets: each is told.
fn past_budgets(report: &Report, found: &mut Vec<Finding>) {
    let used: Vec<_> = report.nodes.iter().flat_map(|n| n.past_budgets.iter().map(move |p| (n, p))).collect();
    if used.is_empty() {
        return;
    }
    let line = |(node, past): &(&ReportNode, &PastBudget)| sentence(&format!("on {}, {past}", node.name));
    let more = used.len().saturating_sub(OF_A_KIND);
    let more = (more > 0).then(|| format!("And {more} more; the JSON report has them all, node by node."));
    found.push(Finding {
        level: Level::Warning,
        title: format!(
            "{} deleted past {} budget",
            was(used.len(), "pod"),
            if used.len() == 1 { "its" } else { "their" }
        ),
        objects: used.iter().take(SHOWN).map(|(_, past)| format!("Pod {}", past.pod)).collect(),
        details: used.iter().take(OF_A_KIND).map(line).chain(more).collect(),
        help: Some("The plan's drain.overrides allows it; take out what isn't needed any more.".to_owned()),
    });
}

/// `1 pod was`, `3 pods were`.
fn was(n: usize, one: &str) -> String {
    format!("{} {}", count(n, one), if n == 1 { "was" } else { "were" })
}

/// Workloads that had a second replica meanwhile.
fn surges(story: &Story, found: &mut Vec<Finding>) {
    let surged: Vec<&str> = story.surged().iter().map(String::as_str).collect();
    if surged.is_empty() {
        return;
    }
    let (have, its) = if surged.len() == 1 { ("has", "its") } else { ("have", "their") };
    found.push(Finding {
        level: Level::Note,
        title: format!(
            "{} of one replica {have} a second one while {its} node is drained",
            count(surged.len(), "workload")
        ),
        objects: surged.iter().take(SHOWN).map(|s| (*s).to_owned()).collect(),
        details: vec![list(surged.iter().copied()) + "."],
        help: None,
    });
}

fn vms(report: &Report, found: &mut Vec<Finding>) {
    let of = |outcome| {
        let mine = report.virtual_machines.iter().filter(move |v| v.outcome == outcome);
        mine.map(|v| format!("{}/{}", v.namespace, v.name)).collect::<Vec<_>>()
    };
    let names =
        |vms: &[String]| vms.iter().take(SHOWN).map(|v| format!("VirtualMachineInstance {v}")).collect();
    let stopped = of(VmOutcome::Stopped);
    if !stopped.is_empty() {
        found.push(Finding {
            level: Level::Warning,
            title: format!("{} off", left(stopped.len())),
            objects: names(&stopped),
            details: vec![list(stopped.iter().map(String::as_str)) + "."],
            help: Some(
                "With virtualMachines.staysOff: StartAfterwards the plan starts them again.".to_owned(),
            ),
        });
    }
    let restarted = of(VmOutcome::Restarted);
    if !restarted.is_empty() {
        found.push(Finding {
            level: Level::Note,
            title: format!("{} shut down and started elsewhere", were(restarted.len(), "VM")),
            objects: names(&restarted),
            details: vec![list(restarted.iter().map(String::as_str)) + "."],
            help: Some(
                "A VM with evictionStrategy: LiveMigrate that is live-migratable moves without a stop."
                    .to_owned(),
            ),
        });
    }
}

fn left(n: usize) -> String {
    if n == 1 { "1 VM is left".to_owned() } else { format!("{n} VMs are left") }
}

/// Nodes that begin while no window of the plan is open.
fn windows(report: &Report, found: &mut Vec<Finding>) {
    if report.plan_spec.windows.is_empty() {
        return;
    }
    let outside = |n: &&ReportNode| {
        let open = |at| report.windows.iter().any(|w| w.started_at <= at && at < w.finished_at);
        n.started_at.is_some_and(|at| !open(at))
    };
    let nodes: Vec<&str> = report.nodes.iter().filter(outside).map(|n| n.name.as_str()).collect();
    if !nodes.is_empty() {
        found.push(Finding {
            level: Level::Warning,
            title: format!("{} outside the plan's windows", begin(nodes.len())),
            objects: nodes.iter().take(SHOWN).map(|n| format!("Node {n}")).collect(),
            details: vec![list(nodes.iter().copied()) + "."],
            help: Some("Begin earlier, widen the windows, or allow more nodes at once.".to_owned()),
        });
    }
}

fn begin(n: usize) -> String {
    if n == 1 { "1 node begins".to_owned() } else { format!("{n} nodes begin") }
}
