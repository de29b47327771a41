//! `virtroll drain`: kubectl's drain, all nodes at once, watching instead of polling.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use kube::Client;

use super::tasks::{self, Tasks};
use super::{Clock, Error, Sink};
use crate::cluster::{Actor, Observer, Scope};
use crate::inventory::{Inventory, ObjectName};
use crate::journal::{Event, EventKind};
use crate::reconcile::drain::{DrainOptions, Pending, drain_node};
use crate::reconcile::{EvictionAnswer, Ledger};

/// What to drain, and how.
pub struct Drain {
    /// The cluster.
    pub client: Client,
    /// The time.
    pub clock: Clock,
    /// The nodes; they are cordoned already.
    pub nodes: Vec<String>,
    /// kubectl's flags.
    pub options: DrainOptions,
    /// `--timeout`; zero waits for ever.
    pub timeout: Duration,
    /// `--dry-run=server`: the API server is asked, nothing changes.
    pub dry_run: bool,
}

/// How it went, node by node.
#[derive(Debug, Default)]
pub struct DrainReport {
    /// Nodes that are drained.
    pub drained: Vec<String>,
    /// Nodes that aren't, each with why, one message a line of kubectl's list.
    pub failed: BTreeMap<String, Vec<String>>,
}

struct NodeDrain {
    initial: BTreeSet<String>,
    warned: bool,
}

/// What a dry run of a node's drain was refused.
fn would_be_refused(ledger: &Ledger, node: &str) -> Vec<String> {
    let of_node = ledger.evictions.values().filter(|a| a.node == node);
    let refused = of_node.filter_map(|a| Some((&a.pod, a.answer.as_ref()?.refusal()?)));
    refused.map(|(pod, why)| format!("eviction of pod {pod} would be refused: {why}")).collect()
}

/// Drains nodes. Warnings, evictions and departures go to the sink.
///
/// # Errors
/// A cluster that refuses to be watched.
#[allow(clippy::too_many_lines, reason = "one loop, read from top to bottom: look, evict, wait")]
pub async fn drain_nodes(drain: Drain, sink: Sink<'_>) -> Result<DrainReport, Error> {
    let mut inventory = Inventory::new();
    let scope = Scope { nodes: Some(drain.nodes.clone()), without_nodes: true, volumes: false };
    let mut observer = Observer::start(&drain.client, scope, &mut inventory).await?;
    let mut ledger = Ledger::default();
    let mut tasks = Tasks::new(Actor::new(drain.client.clone(), drain.dry_run), drain.clock);
    let mut open: BTreeMap<String, NodeDrain> = BTreeMap::new();
    for node in &drain.nodes {
        let initial = inventory.pods_on(node).map(|p| p.uid.clone()).collect();
        open.insert(node.clone(), NodeDrain { initial, warned: false });
    }
    let mut report = DrainReport::default();
    let end = (!drain.timeout.is_zero()).then(|| tokio::time::Instant::now() + drain.timeout);
    let mut evicted: BTreeMap<String, (ObjectName, String)> = BTreeMap::new();
    loop {
        let now = drain.clock.now();
        let mut emit = |kind: EventKind| sink(Event { at: now, kind });
        evicted.retain(|uid, (pod, node)| {
            // A launcher that has ended stays as an object after its VM has moved.
            let here = inventory.pod(pod).is_some_and(|p| &p.uid == uid && !p.phase.is_terminal());
            if !here {
                emit(EventKind::PodLeft { pod: pod.clone(), node: node.clone() });
            }
            here
        });
        let mut pending = Pending::count(&inventory, &ledger);
        let mut wake_at = None;
        let mut waits: BTreeMap<String, Vec<String>> = BTreeMap::new();
        let names: Vec<String> = open.keys().cloned().collect();
        for node in names {
            let Some(state) = open.get_mut(&node) else { continue };
            // In a dry run nothing leaves: a pod is through when the API server has answered for it.
            let answered =
                |uid: &String| ledger.evictions.get(uid).is_some_and(|a| drain.dry_run && a.answer.is_some());
            let only = state.initial.iter().filter(|uid| !answered(uid)).cloned().collect();
            let options = DrainOptions { only: Some(only), ..drain.options.clone() };
            let step = drain_node(&inventory, &ledger, &mut pending, &node, &options, now);
            if !state.warned {
                state.warned = true;
                if !step.warnings.is_empty() {
                    emit(EventKind::Warning { text: crate::reconcile::drain::filter::join(&step.warnings) });
                }
            }
            if !step.fatal.is_empty() {
                let lines = step
                    .fatal
                    .iter()
                    .map(|(m, pods)| crate::reconcile::drain::filter::group(m, pods))
                    .collect();
                report.failed.insert(node.clone(), lines);
                open.remove(&node);
                continue;
            }
            if step.done {
                let refused = would_be_refused(&ledger, &node);
                if drain.dry_run && !refused.is_empty() {
                    report.failed.insert(node.clone(), refused);
                } else {
                    report.drained.push(node.clone());
                }
                open.remove(&node);
                continue;
            }
            wake_at = [wake_at, step.wake_at].into_iter().flatten().min();
            waits.insert(node, step.holds.iter().map(ToString::to_string).collect());
            for effect in step.effects {
                tasks.start(effect, &mut ledger, |_, _, _| None);
            }
        }
        if open.is_empty() {
            return Ok(report);
        }
        let clock = drain.clock;
        let wake = async move {
            match wake_at {
                Some(at) => clock.sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        let timeout = async move {
            match end {
                Some(end) => tokio::time::sleep_until(end).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            Some(outcome) = tasks.set.join_next() => {
                let outcome = outcome.map_err(|e| Error::Plan(format!("a task broke: {e}")))?;
                if let tasks::Outcome::Answered {
                    pod, uid, node, answer: EvictionAnswer::Granted | EvictionAnswer::Evacuating,
                } = &outcome
                {
                    evicted.insert(uid.clone(), (pod.clone(), node.clone()));
                }
                if let Some(kind) = tasks::absorb(outcome, &mut ledger, &mut inventory, clock.now()) {
                    sink(Event { at: clock.now(), kind });
                }
            }
            observed = observer.changed(&mut inventory) => observed?,
            () = timeout => {
                for (node, mut why) in waits {
                    why.insert(0, format!("drain did not complete within {}", humantime::format_duration(drain.timeout)));
                    report.failed.insert(node, why);
                }
                return Ok(report);
            }
            () = wake => {}
        }
    }
}
