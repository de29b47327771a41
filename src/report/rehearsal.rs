//! What a dry run adds to the forecast, and the summary of many rehearsals.

use jiff::Timestamp;
use serde::Serialize;

use super::Report;
use super::words::{count, duration};

/// A dry run's report: the forecast, and how it was come to.
#[derive(Debug, Serialize)]
pub struct Forecast<'a> {
    /// The forecast itself.
    #[serde(flatten)]
    pub report: &'a Report,
    /// How it was come to.
    pub rehearsal: &'a Rehearsal,
}

/// How a forecast was come to.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Rehearsal {
    /// Seed of the embedded cluster.
    pub seed: u64,
    /// What was changed in the model, as `--what-if` says it.
    pub what_if: Vec<String>,
    /// Evictions in the order in which they were granted.
    pub evictions: Vec<Leaving>,
    /// When nodes entered their phases, and hooks began and ended.
    pub steps: Vec<Step>,
    /// What could not be read of the cluster, and so isn't in the model.
    pub not_modelled: Vec<NotModelled>,
    /// What the API server itself said of the evictions; `None` for a simulated cluster.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub eviction_check: Option<EvictionCheck>,
}

/// An eviction that was granted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Leaving {
    /// When.
    pub at: Timestamp,
    /// From which node.
    pub node: String,
    /// The pod's namespace.
    pub namespace: String,
    /// The pod.
    pub pod: String,
}

/// A step on a node's way, or of a hook.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Step {
    /// When.
    pub at: Timestamp,
    /// `node w1`, `group workers`, `the campaign`.
    pub scope: String,
    /// A phase, or a hook with `begins` or `ends`.
    pub step: String,
}

impl Step {
    /// Of an event, if it is one.
    pub fn of(event: &crate::journal::Event) -> Option<Self> {
        use crate::journal::EventKind;
        let (scope, step) = match &event.kind {
            EventKind::NodePhaseChanged { node, phase, .. } => (format!("node {node}"), phase.clone()),
            EventKind::HookStarted { hook, scope, .. } => (scope.clone(), format!("hook {hook} begins")),
            EventKind::HookEnded { hook, scope, .. } => (scope.clone(), format!("hook {hook} ends")),
            _ => return None,
        };
        Some(Self { at: event.at, scope, step })
    }
}

/// A kind that could not be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NotModelled {
    /// As RBAC names it.
    pub resource: String,
    /// What that means.
    pub lacking: String,
}

/// What the API server said to dry-run evictions of all pods that the plan would evict.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct EvictionCheck {
    /// Why nothing was asked, if so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub left_out: Option<String>,
    /// Pods that were asked for.
    pub asked: usize,
    /// Pods that are no virtual machines and would leave at once.
    pub granted: usize,
    /// Everything else, by node and pod.
    pub findings: Vec<EvictionFinding>,
}

/// One answer that says more than "granted".
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct EvictionFinding {
    /// The node.
    pub node: String,
    /// The pod's namespace.
    pub namespace: String,
    /// The pod.
    pub pod: String,
    /// The virtual machine behind it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub virtual_machine: Option<String>,
    /// `migrates`, `blocked`, `external`, `shutDown`, `lost`, `budget`, `waits`, `trouble`.
    pub class: &'static str,
    /// In words.
    pub says: String,
    /// How that differs from what the model expects, if it does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub differs: Option<String>,
}

impl EvictionCheck {
    /// For people: a heading and a line each.
    pub fn text(&self) -> String {
        if let Some(why) = &self.left_out {
            return format!("EVICTION CHECK\n  left out: {why}");
        }
        let mut lines = vec![format!(
            "EVICTION CHECK (the API server was asked for {}, nothing was evicted)",
            count(self.asked, "pod")
        )];
        if self.granted > 0 {
            lines.push(format!("  {} would leave at once", count(self.granted, "pod")));
        }
        for class in ["lost", "blocked", "budget", "shutDown", "external", "trouble", "waits", "migrates"] {
            let of_class = self.findings.iter().filter(|f| f.class == class);
            if class == "migrates" {
                let (odd, plain): (Vec<_>, Vec<_>) = of_class.partition(|f| f.differs.is_some());
                if !plain.is_empty() {
                    lines.push(format!("  {} would migrate", count(plain.len(), "VM")));
                }
                lines.extend(odd.into_iter().map(EvictionFinding::line));
            } else {
                lines.extend(of_class.map(EvictionFinding::line));
            }
        }
        lines.join("\n")
    }
}

impl EvictionFinding {
    fn line(&self) -> String {
        let differs = self.differs.as_deref().map(|d| format!(" [{d}]")).unwrap_or_default();
        let name = match &self.virtual_machine {
            Some(vm) => format!("vm {}/{vm}", self.namespace),
            None => format!("pod {}/{}", self.namespace, self.pod),
        };
        format!("  {}  {name}: {}{differs}", self.node, self.says)
    }
}

/// One rehearsal of many.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Variant {
    /// What was changed.
    #[serde(skip)]
    pub what_if: Vec<String>,
    /// Its seed.
    pub seed: u64,
    /// How it ended: `Succeeded`, `Paused`, `Failed`.
    pub phase: String,
    /// Why it didn't end well.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Its makespan, if it ended well.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub makespan_seconds: Option<i64>,
}

/// Many rehearsals of one plan.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Variants {
    /// Name of the plan.
    pub plan: String,
    /// Always true: nothing was changed.
    pub forecast: bool,
    /// Rehearsals.
    pub runs: usize,
    /// Of these, so many ended well.
    pub ended_well: usize,
    /// One for each change of the model that was played.
    pub cases: Vec<Case>,
    /// What could not be read of the cluster.
    pub not_modelled: Vec<NotModelled>,
}

/// The rehearsals with the same changes, one a seed.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Case {
    /// What was changed.
    pub what_if: Vec<String>,
    /// Rehearsals.
    pub runs: usize,
    /// Of these, so many ended well.
    pub ended_well: usize,
    /// Makespans of those that ended well; `None` if none did.
    pub makespan_seconds: Option<Percentiles>,
    /// Those that did not end well.
    pub failed: Vec<Variant>,
}

/// Nearest-rank percentiles: each is a value that occurred. Those that so few runs can't show are left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Percentiles {
    /// The shortest.
    pub min: i64,
    /// Half are no longer.
    pub p50: i64,
    /// Nine in ten are no longer (from 10 runs on).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub p90: Option<i64>,
    /// 99 in 100 are no longer (from 100 runs on).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub p99: Option<i64>,
    /// The longest.
    pub max: i64,
}

impl Percentiles {
    /// Of some values; `None` of none.
    pub fn of(mut values: Vec<i64>) -> Option<Self> {
        values.sort_unstable();
        let n = values.len();
        let rank = |percent: usize| values.get((n * percent).div_ceil(100).max(1) - 1).copied();
        Some(Self {
            min: *values.first()?,
            p50: rank(50)?,
            p90: rank(90).filter(|_| n >= 10),
            p99: rank(99).filter(|_| n >= 100),
            max: *values.last()?,
        })
    }
}

impl Variants {
    /// Sums up; the variants of one case follow each other.
    pub fn new(plan: &str, variants: &[Variant], not_modelled: Vec<NotModelled>) -> Self {
        let cases: Vec<Case> = variants.chunk_by(|a, b| a.what_if == b.what_if).map(Case::of).collect();
        Self {
            plan: plan.to_owned(),
            forecast: true,
            runs: variants.len(),
            ended_well: cases.iter().map(|c| c.ended_well).sum(),
            cases,
            not_modelled,
        }
    }

    /// For people.
    pub fn text(&self) -> String {
        let mut lines: Vec<String> = self.cases.iter().map(Case::line).collect();
        let bad = self.cases.iter().flat_map(|c| c.failed.iter().map(|v| c.failure(v)));
        let bad: Vec<String> = bad.collect();
        if !bad.is_empty() {
            lines.push("\nDID NOT END WELL".to_owned());
            lines.extend(bad);
            lines.push(
                "replay one: the same command with --seeds 1 --seed SEED and its --what-if alone".to_owned(),
            );
        }
        let share = 100.0 * self.ended_well as f64 / self.runs.max(1) as f64;
        lines.push(format!("\n{} of {} rehearsals ended well ({share:.0}%)", self.ended_well, self.runs));
        lines.push("nothing was changed".to_owned());
        lines.join("\n")
    }
}

impl Case {
    fn of(variants: &[Variant]) -> Self {
        let well = variants.iter().filter_map(|v| v.makespan_seconds);
        Self {
            what_if: variants.first().map(|v| v.what_if.clone()).unwrap_or_default(),
            runs: variants.len(),
            ended_well: well.clone().count(),
            makespan_seconds: Percentiles::of(well.collect()),
            failed: variants.iter().filter(|v| v.makespan_seconds.is_none()).cloned().collect(),
        }
    }

    fn words(&self) -> String {
        if self.what_if.is_empty() { "as it is".to_owned() } else { self.what_if.join(" ") }
    }

    fn line(&self) -> String {
        let times = match &self.makespan_seconds {
            None => "none ended well".to_owned(),
            Some(p) if self.runs == 1 => duration(p.p50),
            Some(p) => {
                let more = [("p90", p.p90), ("p99", p.p99)].map(|(name, value)| {
                    value.map(|v| format!(", {name} {}", duration(v))).unwrap_or_default()
                });
                format!(
                    "p50 {}{} (from {} to {})",
                    duration(p.p50),
                    more.concat(),
                    duration(p.min),
                    duration(p.max)
                )
            }
        };
        format!("{}: {} of {} ended well; {times}", self.words(), self.ended_well, self.runs)
    }

    fn failure(&self, variant: &Variant) -> String {
        let reason = variant.reason.as_deref().unwrap_or("no reason given");
        format!("  {}, seed {}: {}: {reason}", self.words(), variant.seed, variant.phase.to_lowercase())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By hand, nearest rank: of 1..=n the p-th percentile is ceil(n·p/100).
    #[test]
    fn percentiles_are_values_that_occurred() {
        assert_eq!(Percentiles::of(Vec::new()), None);
        let of = |n: i64| Percentiles::of((1..=n).rev().collect()).expect("some");
        assert_eq!(of(1), Percentiles { min: 1, p50: 1, p90: None, p99: None, max: 1 });
        assert_eq!(of(4), Percentiles { min: 1, p50: 2, p90: None, p99: None, max: 4 });
        assert_eq!(of(10), Percentiles { min: 1, p50: 5, p90: Some(9), p99: None, max: 10 });
        assert_eq!(of(200), Percentiles { min: 1, p50: 100, p90: Some(180), p99: Some(198), max: 200 });
    }

    #[test]
    fn a_summary_counts_and_names_what_to_replay() {
        let variant = |what: &str, seed, makespan: Option<i64>| Variant {
            what_if: vec![what.to_owned()],
            seed,
            phase: if makespan.is_some() { "Succeeded" } else { "Paused" }.to_owned(),
            reason: makespan.is_none().then(|| "1 node failed".to_owned()),
            makespan_seconds: makespan,
        };
        let all = [
            variant("hooks=2x", 1, Some(60)),
            variant("hooks=2x", 2, None),
            variant("node-lost=w1", 1, Some(90)),
        ];
        let summary = Variants::new("p", &all, Vec::new());
        assert_eq!((summary.runs, summary.ended_well, summary.cases.len()), (3, 2, 2));
        let expected = "hooks=2x: 1 of 2 ended well; p50 1m 00s (from 1m 00s to 1m 00s)\n\
            node-lost=w1: 1 of 1 ended well; 1m 30s\n\n\
            DID NOT END WELL\n  hooks=2x, seed 2: paused: 1 node failed\n\
            replay one: the same command with --seeds 1 --seed SEED and its --what-if alone\n\n\
            2 of 3 rehearsals ended well (67%)\nnothing was changed";
        assert_eq!(summary.text(), expected);
    }
}
