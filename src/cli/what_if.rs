//! `--what-if`: changes of the model before a rehearsal.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::{Value, json};

use crate::plan::v1alpha1::{HookAction, MaintenancePlan};
use crate::sim::kubevirt;

/// One change.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum WhatIf {
    /// A node goes down for good, this long after the campaign has begun; without a name, each node of the plan in a run of
    /// its own.
    NodeLost { node: Option<String>, after: Duration },
    /// Each migration fails with this probability.
    MigrationsFail(f64),
    /// Hooks take so many times as long.
    Hooks(f64),
    /// Pods take so many times as long to start and to get ready.
    PodStart(f64),
}

impl FromStr for WhatIf {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, value) = text.split_once('=').map_or((text, None), |(name, value)| (name, Some(value)));
        match (name, value) {
            ("node-lost", None) => Ok(Self::NodeLost { node: None, after: Duration::ZERO }),
            ("node-lost", Some(value)) => node_lost(value),
            ("migrations-fail", Some(value)) => percent(value).map(Self::MigrationsFail),
            ("hooks", Some(value)) => times(value).map(Self::Hooks),
            ("pod-start", Some(value)) => times(value).map(Self::PodStart),
            ("migrations-fail", None) => Err("say how many: migrations-fail=10%".to_owned()),
            ("hooks" | "pod-start", None) => Err(format!("say how much longer: {name}=2x")),
            _ => Err(unknown(name)),
        }
    }
}

fn unknown(name: &str) -> String {
    const KNOWN: [&str; 4] = ["node-lost", "migrations-fail", "hooks", "pod-start"];
    let near = KNOWN.into_iter().max_by(|a, b| strsim::jaro(a, name).total_cmp(&strsim::jaro(b, name)));
    let near = near.filter(|n| strsim::jaro(n, name) > 0.7).map(|n| format!("; did you mean {n}?"));
    format!(
        "there is node-lost[=NODE][@TIME], migrations-fail=PERCENT, hooks=TIMES, pod-start=TIMES{}",
        near.unwrap_or_default()
    )
}

fn node_lost(value: &str) -> Result<WhatIf, String> {
    let (node, after) = value.split_once('@').map_or((value, None), |(node, after)| (node, Some(after)));
    let after = match after {
        None => Duration::ZERO,
        Some(text) => humantime::parse_duration(text)
            .map_err(|_| format!("{text:?} is no duration; write node-lost={node}@10m"))?,
    };
    Ok(WhatIf::NodeLost { node: (!node.is_empty()).then(|| node.to_owned()), after })
}

fn percent(value: &str) -> Result<f64, String> {
    let number = value.strip_suffix('%').and_then(|n| n.parse::<f64>().ok());
    let share = number.filter(|n| (0.0..=100.0).contains(n)).map(|n| n / 100.0);
    share.ok_or_else(|| format!("{value:?} is no percentage from 0% to 100%"))
}

fn times(value: &str) -> Result<f64, String> {
    let number = value.strip_suffix('x').and_then(|n| n.parse::<f64>().ok());
    number
        .filter(|n| *n > 0.0 && *n <= 1000.0)
        .ok_or_else(|| format!("{value:?} is no factor; write 2x for twice as long"))
}

impl fmt::Display for WhatIf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NodeLost { node, after } => {
                write!(f, "node-lost")?;
                if node.is_some() || !after.is_zero() {
                    write!(f, "={}", node.as_deref().unwrap_or_default())?;
                }
                if after.is_zero() { Ok(()) } else { write!(f, "@{}", humantime::format_duration(*after)) }
            }
            Self::MigrationsFail(share) => write!(f, "migrations-fail={}%", share * 100.0),
            Self::Hooks(factor) => write!(f, "hooks={factor}x"),
            Self::PodStart(factor) => write!(f, "pod-start={factor}x"),
        }
    }
}

/// The combinations to play: one, or one a node where a node is lost at a time.
pub(super) fn combinations(changes: &[WhatIf], nodes: &[String]) -> Vec<Vec<WhatIf>> {
    let mut all = vec![Vec::new()];
    for change in changes {
        let choices: Vec<WhatIf> = match change {
            WhatIf::NodeLost { node: None, after } => {
                nodes.iter().map(|n| WhatIf::NodeLost { node: Some(n.clone()), after: *after }).collect()
            }
            other => vec![other.clone()],
        };
        all = all
            .iter()
            .flat_map(|so_far| choices.iter().map(move |c| [&so_far[..], std::slice::from_ref(c)].concat()))
            .collect();
    }
    all
}

/// How a played hook's time is known if the plan doesn't say: as the embedded cluster has it.
fn played(action: HookAction<'_>) -> Option<Duration> {
    Some(Duration::from_secs(match action {
        HookAction::Reboot(_) => 90,
        HookAction::Job(_) => 2,
        HookAction::Exec(_) | HookAction::Http(_) => 1,
        // It takes as long as what it waits for.
        HookAction::WaitFor(_) => return None,
    }))
}

/// Applies the changes to the plan, the objects and the model; `spread` draws durations around the expected ones.
pub(super) fn change(
    changes: &[WhatIf],
    spread: Option<u64>,
    plan: &mut MaintenancePlan,
    objects: &mut [Value],
    guests: &mut kubevirt::Settings,
) {
    let (mut hooks, mut pods) = (1.0, 1.0);
    for change in changes {
        match change {
            WhatIf::Hooks(factor) => hooks *= factor,
            WhatIf::PodStart(factor) => pods *= factor,
            WhatIf::MigrationsFail(share) => guests.migration_failures = *share,
            WhatIf::NodeLost { .. } => {}
        }
    }
    let mut draw = Draw(spread.map(StdRng::seed_from_u64));
    for hook in &mut plan.spec.hooks {
        let factor = hooks * draw.factor();
        let stated = hook.expected.map(|e| e.0);
        if let Some(usual) = stated.or_else(|| hook.action().and_then(played)).filter(|_| factor != 1.0) {
            hook.expected = Some(crate::plan::v1alpha1::Duration(usual.mul_f64(factor)));
        }
    }
    if pods == 1.0 && spread.is_none() {
        return;
    }
    for object in objects {
        stretch(object, pods, &mut draw);
    }
}

/// Durations around the expected ones: log-normal with σ 0.3, so that half come sooner and one in ten takes 1.5 times as long.
struct Draw(Option<StdRng>);

const SIGMA: f64 = 0.3;

impl Draw {
    fn factor(&mut self) -> f64 {
        let Some(random) = &mut self.0 else { return 1.0 };
        // Box and Muller's way from two even draws to a normal one.
        let (a, b): (f64, f64) = (random.random_range(f64::EPSILON..1.0), random.random());
        (SIGMA * (-2.0 * a.ln()).sqrt() * (std::f64::consts::TAU * b).cos()).exp()
    }
}

const OWN: &str = "sim.virtroll.dev/";

fn stretch(object: &mut Value, pods: f64, draw: &mut Draw) {
    match object["kind"].as_str() {
        Some("Node") => {
            let pace = draw.factor();
            annotate(object, "pace", json!(format!("{pace:.3}")));
        }
        Some("Pod") => start(object, pods, draw),
        Some("Deployment" | "ReplicaSet" | "StatefulSet" | "DaemonSet" | "ReplicationController" | "Job") => {
            if let Some(template) = object.pointer_mut("/spec/template") {
                start(template, pods, draw);
            }
        }
        Some("VirtualMachine" | "VirtualMachineInstanceReplicaSet") => {
            if let Some(template) = object.pointer_mut("/spec/template") {
                lengthen(template, "boots-after", 5.0, pods * draw.factor());
            }
        }
        Some("VirtualMachineInstance") => {
            lengthen(object, "guest-shutdown", 6.0, draw.factor());
            let factor = draw.factor();
            let copies = text(object, "dirty-factor").and_then(|f| f.parse::<f64>().ok()).unwrap_or(1.4);
            annotate(object, "dirty-factor", json!(format!("{:.3}", (copies * factor).max(1.0))));
            if text(object, "migration-takes").is_some() {
                lengthen(object, "migration-takes", 0.0, factor);
            }
        }
        _ => {}
    }
}

fn start(pod: &mut Value, pods: f64, draw: &mut Draw) {
    lengthen(pod, "starts-after", 1.0, pods * draw.factor());
    lengthen(pod, "ready-after", 1.0, pods * draw.factor());
    lengthen(pod, "stops-after", 1.0, draw.factor());
}

fn text<'a>(object: &'a Value, name: &str) -> Option<&'a str> {
    object["metadata"]["annotations"][format!("{OWN}{name}")].as_str()
}

/// Multiplies a duration; words such as `never` stay.
fn lengthen(object: &mut Value, name: &str, usual: f64, factor: f64) {
    let stated = match text(object, name) {
        None => usual,
        Some(said) => match said.parse::<jiff::SignedDuration>() {
            Ok(duration) => duration.as_secs_f64(),
            Err(_) => return,
        },
    };
    annotate(object, name, json!(format!("{:.3}s", stated * factor)));
}

fn annotate(object: &mut Value, name: &str, value: Value) {
    object["metadata"]["annotations"][format!("{OWN}{name}")] = value;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<WhatIf, String> {
        text.parse()
    }

    #[test]
    fn the_language_reads_back_as_it_was_written() {
        for text in [
            "node-lost",
            "node-lost=worker-03",
            "node-lost=worker-03@10m",
            "node-lost=@10m",
            "migrations-fail=10%",
            "hooks=2x",
            "pod-start=1.5x",
        ] {
            assert_eq!(parse(text).expect(text).to_string(), text);
        }
    }

    #[test]
    fn mistakes_say_what_to_write() {
        for (text, words) in [
            ("node-losst", "did you mean node-lost?"),
            ("hooks", "say how much longer: hooks=2x"),
            ("hooks=2", "write 2x"),
            ("hooks=0x", "write 2x"),
            ("migrations-fail", "migrations-fail=10%"),
            ("migrations-fail=110%", "from 0% to 100%"),
            ("node-lost=w1@soon", "\"soon\" is no duration"),
            ("weather=bad", "there is node-lost"),
        ] {
            let error = parse(text).expect_err(text);
            assert!(error.contains(words), "{text}: {error}");
        }
    }

    #[test]
    fn one_node_at_a_time_is_a_run_for_each() {
        let nodes = ["a".to_owned(), "b".to_owned()];
        let changes = [parse("hooks=2x").expect("ok"), parse("node-lost=@5m").expect("ok")];
        let all = combinations(&changes, &nodes);
        let words: Vec<String> =
            all.iter().map(|c| c.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")).collect();
        assert_eq!(words, ["hooks=2x node-lost=a@5m", "hooks=2x node-lost=b@5m"]);
        assert_eq!(combinations(&[], &nodes), [Vec::new()]);
    }

    #[test]
    fn draws_scatter_around_one_and_repeat_by_seed() {
        let factors = |seed| {
            let mut draw = Draw(Some(StdRng::seed_from_u64(seed)));
            (0..10_000).map(|_| draw.factor()).collect::<Vec<f64>>()
        };
        let mut drawn = factors(1);
        assert_eq!(drawn, factors(1));
        assert_ne!(drawn, factors(2));
        drawn.sort_by(f64::total_cmp);
        // Of a log-normal with σ 0.3: the median is 1, nine in ten are below e^(0.3 · 1.2816) = 1.469.
        assert!((drawn[5_000] - 1.0).abs() < 0.02 && (drawn[9_000] - 1.469).abs() < 0.04, "{}", drawn[9_000]);
        assert_eq!(Draw(None).factor(), 1.0);
    }
}
