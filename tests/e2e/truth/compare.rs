//! The course of a campaign, rehearsed or real, and what two of them differ in.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde_json::Value;
use virtroll::engine::Outcome;
use virtroll::journal::{Event, EventKind};

use crate::control_plane::ControlPlane;
use crate::scenarios::Stage;

/// Evictions, and beginnings of nodes, closer than this, seconds, are simultaneous: in what order their answers come is chance.
const SIMULTANEOUS: f64 = 1.5;

/// What happened.
pub struct Course {
    phase: String,
    pub makespan: f64,
    /// Nodes by name, each with how it ended.
    nodes: Vec<(String, String)>,
    /// Nodes that began, with seconds from the first one's beginning.
    begun: Vec<(String, f64)>,
    /// By node: the pods that were evicted, with seconds from its first one.
    evictions: BTreeMap<String, Vec<(String, f64)>>,
    /// Name, outcome, moves.
    vms: Vec<(String, String, u64)>,
    asked: usize,
}

/// The pods of a scenario that are there now.
pub async fn pods(stage: &Stage) -> BTreeSet<String> {
    let pods = stage.list("v1", "Pod").await;
    pods.iter().map(|p| p["metadata"]["name"].as_str().expect("a name").to_owned()).collect()
}

/// A pod that was made during a campaign has a random name; whose it is counts.
fn identity(pod: &str, there: &BTreeSet<String>) -> String {
    if there.contains(pod) {
        return pod.to_owned();
    }
    match pod.rsplit_once('-') {
        // A StatefulSet's pod keeps its name.
        Some((_, end)) if end.chars().all(|c| c.is_ascii_digit()) => pod.to_owned(),
        Some((start, _)) => format!("{start}-*"),
        None => pod.to_owned(),
    }
}

fn grouped(
    evictions: impl Iterator<Item = (String, String, Timestamp)>,
    there: &BTreeSet<String>,
) -> BTreeMap<String, Vec<(String, f64)>> {
    let mut by_node: BTreeMap<String, Vec<(String, Timestamp)>> = BTreeMap::new();
    for (node, pod, at) in evictions {
        by_node.entry(node).or_default().push((identity(&pod, there), at));
    }
    by_node.into_iter().map(|(node, list)| (node, from_first(list.into_iter()))).collect()
}

/// Each with its seconds from the earliest.
fn from_first(list: impl Iterator<Item = (String, Timestamp)>) -> Vec<(String, f64)> {
    let list: Vec<_> = list.collect();
    let Some(first) = list.iter().map(|(_, at)| *at).min() else { return Vec::new() };
    list.into_iter().map(|(name, at)| (name, at.duration_since(first).as_secs_f64())).collect()
}

fn sorted(nodes: impl Iterator<Item = (String, String)>) -> Vec<(String, String)> {
    let mut nodes: Vec<_> = nodes.collect();
    nodes.sort();
    nodes
}

fn time(value: &Value) -> Option<Timestamp> {
    value.as_str().and_then(|t| t.parse().ok())
}

impl Course {
    pub fn of_forecast(report: &Value, there: &BTreeSet<String>, namespace: &str) -> Self {
        let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let nodes = list(&report["nodes"]);
        let starts = nodes.iter().filter_map(|n| time(&n["startedAt"])).min();
        let ends = nodes.iter().filter_map(|n| time(&n["finishedAt"])).max();
        let evictions = list(&report["rehearsal"]["evictions"]);
        let evictions = evictions.iter().filter(|e| e["namespace"] == namespace);
        let evictions =
            evictions.map(|e| (text(&e["node"]), text(&e["pod"]), time(&e["at"]).expect("a time")));
        let vms = list(&report["virtualMachines"]);
        let vms = vms.iter().filter(|v| v["namespace"] == namespace);
        Self {
            phase: text(&report["phase"]),
            makespan: starts.zip(ends).map_or(0.0, |(s, e)| e.duration_since(s).as_secs_f64()),
            nodes: sorted(nodes.iter().map(|n| (text(&n["name"]), text(&n["phase"])))),
            begun: from_first(nodes.iter().filter_map(|n| Some((text(&n["name"]), time(&n["startedAt"])?)))),
            asked: 0,
            evictions: grouped(evictions, there),
            vms: vms
                .map(|v| (text(&v["name"]), text(&v["outcome"]), v["moves"].as_u64().unwrap_or(99)))
                .collect(),
        }
    }

    pub fn of_run(outcome: &Outcome, events: &[Event], there: &BTreeSet<String>) -> Self {
        let nodes = &outcome.status.nodes;
        let starts = nodes.iter().filter_map(|n| n.started_at).min();
        let ends = nodes.iter().filter_map(|n| n.finished_at).max();
        let granted: Vec<_> = events
            .iter()
            .filter_map(|e| match &e.kind {
                EventKind::PodEvicted { pod, node, .. } => Some((node.clone(), pod.name.clone(), e.at)),
                _ => None,
            })
            .collect();
        let vms = outcome.status.virtual_machines.iter();
        let begun: BTreeSet<&String> = nodes.iter().map(|n| &n.name).collect();
        let rest = outcome.groups.iter().flat_map(|g| &g.nodes).filter(|n| !begun.contains(n));
        let rest = rest.map(|n| (n.clone(), "Pending".to_owned()));
        Self {
            phase: format!("{:?}", outcome.status.phase),
            makespan: starts.zip(ends).map_or(0.0, |(s, e)| e.duration_since(s).as_secs_f64()),
            nodes: sorted(nodes.iter().map(|n| (n.name.clone(), n.phase.clone())).chain(rest)),
            begun: from_first(nodes.iter().filter_map(|n| Some((n.name.clone(), n.started_at?)))),
            asked: granted.len(),
            evictions: grouped(granted.into_iter(), there),
            vms: vms.map(|v| (v.name.clone(), format!("{:?}", v.outcome), u64::from(v.moves))).collect(),
        }
    }

    /// The API server's own count of what it granted must be that of the journal.
    pub fn check_against_log(&self, log: &str, namespace: &str) -> Vec<String> {
        let granted = ControlPlane::granted_in(log, namespace);
        if granted == self.asked {
            return Vec::new();
        }
        vec![format!("the audit log has {granted} granted evictions, the journal {}", self.asked)]
    }
}

/// Both courses step by step, in seconds from the first node's beginning: to find where time is lost.
pub fn print_steps(report: &Value, events: &[Event]) {
    let steps = report["rehearsal"]["steps"].as_array().cloned().unwrap_or_default();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut rehearsed: Vec<(Timestamp, String)> = steps
        .iter()
        .map(|s| (time(&s["at"]).expect("a time"), format!("{} {}", text(&s["scope"]), text(&s["step"]))))
        .collect();
    let evictions = report["rehearsal"]["evictions"].as_array().cloned().unwrap_or_default();
    rehearsed.extend(evictions.iter().map(|e| {
        (time(&e["at"]).expect("a time"), format!("node {} evicts {}", text(&e["node"]), text(&e["pod"])))
    }));
    let step = |event: &Event| match &event.kind {
        EventKind::PodEvicted { pod, node, .. } => {
            Some((event.at, format!("node {node} evicts {}", pod.name)))
        }
        _ => virtroll::report::Step::of(event).map(|s| (s.at, format!("{} {}", s.scope, s.step))),
    };
    let real = events.iter().filter_map(step).collect();
    for (name, mut steps) in [("rehearsed", rehearsed), ("real", real)] {
        steps.sort();
        let first = steps.iter().find(|(_, s)| s.contains("Cordoned")).map(|(at, _)| *at);
        for (at, step) in &steps {
            let seconds = first.map_or(0.0, |f| at.duration_since(f).as_secs_f64());
            println!("{name:>9} {seconds:7.2} {step}");
        }
    }
}

/// What a rehearsal had wrong.
pub fn differences(rehearsed: &Course, real: &Course) -> Vec<String> {
    let mut found = Vec::new();
    let mut compare = |what: &str, a: String, b: String| {
        if a != b {
            found.push(format!("{what}: rehearsed {a}, real {b}"));
        }
    };
    compare("end", rehearsed.phase.clone(), real.phase.clone());
    compare("nodes", format!("{:?}", rehearsed.nodes), format!("{:?}", real.nodes));
    compare("VMs", format!("{:?}", rehearsed.vms), format!("{:?}", real.vms));
    let nodes: BTreeSet<&String> = rehearsed.evictions.keys().chain(real.evictions.keys()).collect();
    for node in nodes {
        let none = Vec::new();
        let (a, b) =
            (rehearsed.evictions.get(node).unwrap_or(&none), real.evictions.get(node).unwrap_or(&none));
        let set = |list: &[(String, f64)]| {
            let mut pods: Vec<&str> = list.iter().map(|(pod, _)| pod.as_str()).collect();
            pods.sort_unstable();
            format!("{pods:?}")
        };
        compare(&format!("evictions from {node}"), set(a), set(b));
    }
    if let Some((first, second)) = swapped(&rehearsed.begun, &real.begun) {
        found.push(format!("order of nodes: rehearsed {first} before {second}, real the other way"));
    }
    for (node, list) in &rehearsed.evictions {
        let Some(real) = real.evictions.get(node) else { continue };
        if let Some((first, second)) = swapped(list, real) {
            found.push(format!("order on {node}: rehearsed {first} before {second}, real the other way"));
        }
    }
    found
}

/// Two that went one after the other here, and clearly the other way round there.
fn swapped(here: &[(String, f64)], there: &[(String, f64)]) -> Option<(String, String)> {
    let at = |pod: &str| there.iter().find(|(p, _)| p == pod).map(|(_, at)| *at);
    for (first, early) in here {
        for (second, late) in here.iter().filter(|(_, late)| late - early > SIMULTANEOUS) {
            if let Some((a, b)) = at(first).zip(at(second))
                && a - b > SIMULTANEOUS
                && late > early
            {
                return Some((first.clone(), second.clone()));
            }
        }
    }
    None
}

#[test]
fn a_difference_is_found() {
    let course = |makespan, evictions: &[(&str, f64)], outcome: &str| Course {
        phase: "Succeeded".to_owned(),
        makespan,
        nodes: vec![("w1".to_owned(), "Done".to_owned())],
        begun: vec![("w1".to_owned(), 0.0), ("w2".to_owned(), 10.0)],
        evictions: BTreeMap::from([(
            "w1".to_owned(),
            evictions.iter().map(|(p, at)| ((*p).to_owned(), *at)).collect(),
        )]),
        vms: vec![("db".to_owned(), outcome.to_owned(), 1)],
        asked: 2,
    };
    let one = course(60.0, &[("a", 0.0), ("b", 5.0)], "Migrated");
    assert_eq!(differences(&one, &course(61.0, &[("a", 0.0), ("b", 4.0)], "Migrated")), Vec::<String>::new());
    // Closer together than chance: no order.
    assert_eq!(differences(&one, &course(60.0, &[("b", 0.0), ("a", 1.0)], "Migrated")), Vec::<String>::new());
    for other in [
        course(60.0, &[("b", 0.0), ("a", 5.0)], "Migrated"),
        course(60.0, &[("a", 0.0), ("c", 5.0)], "Migrated"),
        course(60.0, &[("a", 0.0)], "Migrated"),
        course(60.0, &[("a", 0.0), ("b", 5.0)], "Restarted"),
    ] {
        assert_eq!(differences(&one, &other).len(), 1);
    }
    // The two nodes in the other order, and too close together for one.
    let begun = |w1, w2| Course {
        begun: vec![("w1".to_owned(), w1), ("w2".to_owned(), w2)],
        ..course(60.0, &[("a", 0.0), ("b", 5.0)], "Migrated")
    };
    assert_eq!(differences(&one, &begun(10.0, 0.0)).len(), 1);
    assert_eq!(differences(&one, &begun(1.0, 0.0)), Vec::<String>::new());
    assert_eq!(identity("web-5f-abcde", &BTreeSet::new()), "web-5f-*");
    assert_eq!(identity("db-0", &BTreeSet::new()), "db-0");
}
