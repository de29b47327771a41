//! `virtroll drain`: kubectl's drain, all nodes at once, watching instead of polling.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;
use kube::Client;
use tokio::time::Instant;

use super::tasks::{self, Tasks};
use super::told::Told;
use super::{Clock, Error, Sink};
use crate::cluster::{Actor, Observer, Scope};
use crate::inventory::{Inventory, ObjectName};
use crate::journal::{Event, EventKind};
use crate::reconcile::drain::{DrainOptions, DrainRecord, DrainStep, Pending, drain_node, filter};
use crate::reconcile::{EvictionAnswer, Hold, Ledger, NodePhase};

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

/// Drains nodes. Warnings, evictions and departures go to the sink.
///
/// # Errors
/// A cluster that refuses to be watched.
pub async fn drain_nodes(drain: Drain, sink: Sink<'_>) -> Result<DrainReport, Error> {
    let mut inventory = Inventory::new();
    let scope = Scope { nodes: Some(drain.nodes.clone()), without_nodes: true, ..Scope::default() };
    let mut observer = Observer::start(&drain.client, scope, &mut inventory).await?;
    let end = (!drain.timeout.is_zero()).then(|| Instant::now() + drain.timeout);
    let mut work = Work::begin(drain, inventory);
    loop {
        let wake_at = work.look(sink);
        if work.open.is_empty() {
            return Ok(work.report);
        }
        let clock = work.drain.clock;
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
            Some(outcome) = work.tasks.set.join_next() => {
                work.take_in(outcome.map_err(|e| Error::Broken(format!("a task broke: {e}")))?, sink);
            }
            observed = observer.changed(&mut work.inventory) => {
                observed?;
                observer.catch_up(&mut work.inventory)?;
            }
            () = timeout => return Ok(work.out_of_time()),
            () = wake => {}
        }
    }
}

/// A node that isn't through.
struct Open {
    /// UIDs of the pods that were there at first: kubectl drains these, and no later ones.
    initial: BTreeSet<String>,
    warned: bool,
    waits: Vec<String>,
}

/// One drain under way.
struct Work {
    drain: Drain,
    inventory: Inventory,
    ledger: Ledger,
    tasks: Tasks,
    open: BTreeMap<String, Open>,
    /// Pods whose eviction was granted, until they have left.
    leaving: BTreeMap<String, (ObjectName, String)>,
    told: Told,
    report: DrainReport,
}

/// An answer that another try would get again.
fn is_final(answer: &EvictionAnswer) -> bool {
    matches!(answer, EvictionAnswer::Forbidden { .. } | EvictionAnswer::ManyBudgets { .. })
}

impl Work {
    fn begin(drain: Drain, inventory: Inventory) -> Self {
        let tasks = Tasks::new(Actor::new(drain.client.clone(), drain.dry_run), drain.clock);
        let open = drain.nodes.iter().map(|node| {
            let initial = inventory.pods_on(node).map(|p| p.uid.clone()).collect();
            (node.clone(), Open { initial, warned: false, waits: Vec::new() })
        });
        Self {
            open: open.collect(),
            drain,
            inventory,
            ledger: Ledger::default(),
            tasks,
            leaving: BTreeMap::new(),
            told: Told::default(),
            report: DrainReport::default(),
        }
    }

    /// Looks at every open node once, and asks for what may be asked for. Gives the time to look again.
    fn look(&mut self, sink: Sink<'_>) -> Option<Timestamp> {
        let now = self.drain.clock.now();
        self.tell_departures(now, sink);
        let mut pending = Pending::count(&self.inventory, &self.ledger);
        let mut wake_at = None;
        for node in self.open.keys().cloned().collect::<Vec<_>>() {
            let step = self.step(&node, &mut pending, now);
            wake_at = [wake_at, step.wake_at].into_iter().flatten().min();
            self.settle(&node, step, now, sink);
        }
        [wake_at, self.told.due()].into_iter().flatten().min()
    }

    fn tell_departures(&mut self, now: Timestamp, sink: Sink<'_>) {
        let inventory = &self.inventory;
        self.leaving.retain(|uid, (pod, node)| {
            // A launcher that has ended stays as an object after its VM has moved.
            let here = inventory.pod(pod).is_some_and(|p| &p.uid == uid && !p.phase.is_terminal());
            if !here {
                let kind = EventKind::PodLeft { pod: pod.clone(), node: node.clone() };
                sink(Event { at: now, kind });
            }
            here
        });
    }

    fn step(&self, node: &str, pending: &mut Pending, now: Timestamp) -> DrainStep {
        let through = |uid: &String| {
            let answer = self.ledger.evictions.get(uid).and_then(|a| a.answer.as_ref());
            // In a dry run nothing leaves: a pod is through when the API server has answered for it.
            answer.is_some_and(|a| self.drain.dry_run || is_final(a))
        };
        let initial = self.open.get(node).map(|open| &open.initial);
        let only = initial.into_iter().flatten().filter(|uid| !through(uid)).cloned().collect();
        let ask_anyway = self.drain.dry_run;
        let options = DrainOptions { only: Some(only), ask_anyway, ..self.drain.options.clone() };
        drain_node(&self.inventory, &self.ledger, pending, node, &options, &DrainRecord::default(), now)
    }

    /// Carries out a step: warnings, failures, ends, requests, waits.
    fn settle(&mut self, node: &str, step: DrainStep, now: Timestamp, sink: Sink<'_>) {
        let Some(open) = self.open.get_mut(node) else { return };
        let mut emit = |kind| sink(Event { at: now, kind });
        if !std::mem::replace(&mut open.warned, true) && !step.warnings.is_empty() {
            emit(EventKind::Warning { text: filter::join(&step.warnings) });
        }
        if !step.fatal.is_empty() {
            let lines = step.fatal.iter().map(|(message, pods)| filter::group(message, pods));
            self.report.failed.insert(node.to_owned(), lines.collect());
            self.close(node, now);
            return;
        }
        if step.done {
            let refused = self.refusals(node);
            self.close(node, now);
            if refused.is_empty() {
                let phase = NodePhase::Drained.name().to_owned();
                let (node, group) = (node.to_owned(), String::new());
                self.report.drained.push(node.clone());
                emit(EventKind::NodePhaseChanged { node, group, wave: 0, phase, reason: None });
            } else {
                self.report.failed.insert(node.to_owned(), refused);
            }
            return;
        }
        open.waits = step.holds.iter().map(ToString::to_string).collect();
        if let Some(kind) = self.told.wait(node, worst(&step.holds), now) {
            emit(kind);
        }
        for effect in step.effects {
            self.tasks.start(effect, &mut self.ledger, |_, _| None);
        }
    }

    /// Nothing is waited for any more on this node.
    fn close(&mut self, node: &str, now: Timestamp) {
        self.open.remove(node);
        self.told.wait(node, None, now);
    }

    /// What keeps a node that is otherwise through from being drained.
    fn refusals(&self, node: &str) -> Vec<String> {
        let would = if self.drain.dry_run { "would be" } else { "was" };
        let of_node = self.ledger.evictions.values().filter(|a| a.node == node);
        let refused = of_node.filter_map(|attempt| {
            let answer = attempt.answer.as_ref()?;
            let counts = self.drain.dry_run || is_final(answer);
            let why = answer.refusal().filter(|_| counts)?;
            Some(format!("eviction of pod {} {would} refused: {why}", attempt.pod))
        });
        refused.collect()
    }

    fn take_in(&mut self, outcome: tasks::Outcome, sink: Sink<'_>) {
        use EvictionAnswer::{Evacuating, Granted};
        let now = self.drain.clock.now();
        if let tasks::Outcome::Answered { pod, uid, node, answer: Granted | Evacuating, .. } = &outcome {
            self.leaving.insert(uid.clone(), (pod.clone(), node.clone()));
        }
        if let Some(kind) = tasks::absorb(outcome, &mut self.ledger, &mut self.inventory, now) {
            sink(Event { at: now, kind });
        }
    }

    fn out_of_time(mut self) -> DrainReport {
        let timeout = humantime::format_duration(self.drain.timeout).to_string();
        for (node, open) in self.open {
            let mut why = vec![format!("drain did not complete within {timeout}")];
            why.extend(open.waits);
            self.report.failed.insert(node, why);
        }
        self.report
    }
}

/// The hold to tell of: one that never resolves before one that is just slow; of pods that just take their time to end,
/// kubectl doesn't speak either.
fn worst(holds: &[Hold]) -> Option<String> {
    let speaks = |hold: &&Hold| !matches!(hold, Hold::Terminating { .. } | Hold::Tier { .. });
    let count = holds.iter().filter(speaks).count();
    // The first of the worst, so that the choice stays from look to look.
    let worst = holds.iter().rev().filter(speaks).max_by_key(|h| h.prospect())?;
    let others = if count == 1 { String::new() } else { format!(" (and {} more)", count - 1) };
    Some(format!("{worst}{others}"))
}
