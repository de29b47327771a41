//! The loop of a campaign: observe, decide, act.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use kube::ResourceExt;

use super::campaign::{Outcome, Run};
use super::decider::{Decided, Decider, Known, Moment};
use super::hooks::Context;
use super::lease::Lease;
use super::patience::Patience;
use super::planning;
use super::refused::Refused;
use super::tasks::{self, Tasks};
use super::told::Told;
use super::{Error, Sink, Stop};
use crate::cluster::{self, Actor, Observer, Record};
use crate::inventory::Inventory;
use crate::journal::{Event, EventKind};
use crate::plan::v1alpha1::{CampaignPhase, MaintenanceCampaignStatus};
use crate::reconcile::{
    Decision, Effect, End, GroupNodes, HookRunId, HookScope, HookStatus, NodePhase, NodeState,
    STATE_ANNOTATION,
};
use crate::schedule::problem::Durations;
use crate::schedule::{Guide, TakenOut};

/// Wait after a record that could not be written.
const AFTER_TROUBLE: Duration = Duration::from_secs(1);

/// A decision may take so long for each node of the cluster, and its effects begin then: what happens meanwhile is decided on
/// together.
const PAUSE_A_NODE: Duration = Duration::from_micros(750);
/// The record is written whole, so its writes are so far apart at the least, for each node and VM in it: what a killed driver
/// hadn't recorded yet is seen again from the nodes' own states, and from where the VMs are.
const RECORD_AN_ENTRY: Duration = Duration::from_millis(5);
/// Whoever looks at the record isn't kept waiting longer.
const LONGEST_UNRECORDED: Duration = Duration::from_secs(30);
/// Nobody waits longer for that, unless the decision itself takes longer.
const LONGEST_PAUSE: Duration = Duration::from_millis(750);

/// The order of the nodes, and what it is made of.
#[derive(Default)]
pub(super) struct Course {
    /// The order.
    pub guide: Guide,
    /// What earlier campaigns of the plan have shown of durations.
    pub earlier: Durations,
}

/// A record that is being written.
#[derive(Default)]
struct Recording {
    status: MaintenanceCampaignStatus,
    /// The latest change of a guest that is in it.
    guests_seen: u64,
}

/// Drives one campaign.
pub(super) struct Driver<'a> {
    run: Run<'a>,
    /// As last read or written; the resourceVersions are the precondition of the next write.
    record: Record,
    name: String,
    known: Box<Known>,
    decider: Decider,
    observer: Observer,
    tasks: Tasks,
    /// When the latest write of it was begun.
    recorded_at: Option<Timestamp>,
    /// What [`Driver::take_up`] changed in it isn't written yet.
    is_taken_up: bool,
    /// What the cluster's record may be by this driver's own doing: as last read or written, and as sent since without an
    /// answer.
    own_records: Vec<MaintenanceCampaignStatus>,
    lease: Lease,
    told: Told,
    patience: Patience,
    given_up: Option<String>,
    refused: Option<Refused>,
}

impl<'a> Driver<'a> {
    pub(super) fn new(
        run: Run<'a>,
        record: Record,
        (groups, course): (Vec<GroupNodes>, Course),
        adopts: Vec<String>,
        inventory: Inventory,
        observer: Observer,
        lease: Lease,
    ) -> Result<Self, Error> {
        let tasks = Tasks::new(Actor::new(run.client.clone(), false), run.clock);
        let patience = Patience::new(run.patience, &run.plan.spec);
        let status = record.campaign.status.clone().unwrap_or_default();
        let name = record.campaign.name_any();
        let known = Known {
            plan: run.plan.spec.clone(),
            campaign: name.clone(),
            driver: run.driver.clone(),
            adopts,
            groups,
            course,
            effort: run.effort,
            inventory,
            status: status.clone(),
            ..Known::default()
        };
        Ok(Self {
            name,
            known: Box::new(known),
            decider: Decider::start()?,
            own_records: vec![status],
            recorded_at: None,
            is_taken_up: false,
            record,
            observer,
            tasks,
            lease,
            told: Told::default(),
            patience,
            given_up: None,
            refused: None,
            run,
        })
    }

    /// Drives the campaign to an end of this driver's work.
    pub(super) async fn run(mut self, resumed: bool, sink: Sink<'_>) -> Result<Outcome, Error> {
        if resumed {
            self.take_up();
        }
        let end = self.drive(sink).await;
        if let Err(error) = &end {
            self.await_hooks(error, sink).await;
        }
        self.lease.release().await;
        let end = end?;
        let Self { name: campaign, known, .. } = self;
        let Known { status, groups, .. } = *known;
        Ok(Outcome { campaign, end, status, groups, was_finished: false })
    }

    /// Leaves nodes out, on record.
    pub(super) fn take_out(&mut self, nodes: TakenOut) {
        self.is_taken_up |= !nodes.is_empty();
        planning::take_out(nodes, &self.known.groups, self.run.clock.now(), &mut self.known.status);
    }

    /// Makes an interrupted, paused or failed campaign ready to go on: failed nodes are tried again, under the limits like
    /// any other, and failed hooks, too.
    fn take_up(&mut self) {
        let states = self.known.groups.iter().flat_map(|g| &g.nodes).filter_map(|name| {
            let state = NodeState::of(self.known.inventory.node(name)?)?.ok()?;
            (state.campaign == self.name && state.phase == NodePhase::Failed).then(|| name.clone())
        });
        let failed: Vec<String> = states.collect();
        let status = &mut self.known.status;
        // What the nodes themselves say is newer than the record.
        status.nodes.retain(|n| n.phase != NodePhase::Failed.name());
        status.retrying = failed;
        status.hooks.retain(|h| h.succeeded || h.message.is_none());
        status.phase = CampaignPhase::Running;
        status.finished_at = None;
        self.is_taken_up = true;
    }

    /// A hook is not cut off half-way because virtroll itself can't go on.
    async fn await_hooks(&mut self, error: &Error, sink: Sink<'_>) {
        if !self.hooks_run() {
            return;
        }
        self.emit(sink, EventKind::Warning { text: format!("{error}; waiting for the hooks that run") });
        while self.hooks_run() {
            let outcome = match self.tasks.set.join_next().await {
                Some(Ok(outcome)) => outcome,
                Some(Err(_)) => continue,
                None => return,
            };
            let now = self.run.clock.now();
            if let Some(kind) = tasks::absorb(outcome, &mut self.known.ledger, &mut self.known.inventory, now)
            {
                self.emit(sink, kind);
            }
        }
    }

    fn hooks_run(&self) -> bool {
        self.known.ledger.hooks.values().any(|h| *h == HookStatus::Running)
    }

    async fn drive(&mut self, sink: Sink<'_>) -> Result<End, Error> {
        let mut recording: Option<Recording> = None;
        loop {
            // Nothing is decided, let alone done, while somebody else may be driving.
            while !self.lease.is_safe() {
                self.lease.due().await;
                self.renew(sink).await?;
            }
            let Some(mut decision) = self.decide(sink).await? else { continue };
            let guests_seen = self.known.inventory.guests_seen();
            let stopping = self.is_stopping();
            if self.given_up.is_none() {
                let now = self.run.clock.now();
                let refused = self.refused.as_ref().filter(|r| self.patience.is_over_since(r.since, now));
                self.given_up = refused.map(Refused::reason);
            }
            if self.given_up.is_none() {
                self.given_up = self.patience.over(&decision, &self.known.ledger, self.run.clock.now());
            }
            for kind in self.told.news(&mut decision, &self.known.ledger, stopping, self.run.clock.now()) {
                self.emit(sink, kind);
            }
            let Decision { effects, status, wake_at, end, turns, carried, .. } = decision;
            (self.known.ledger.turns, self.known.ledger.carried) = (turns, carried);
            // One that was refused is tried again even if it has become what is there: only its being taken ends that.
            let unrecorded = self.is_taken_up || self.refused.is_some() || status != self.known.status;
            if !unrecorded {
                // What has changed of the guests since then changes nothing in it.
                self.known.ledger.guests_recorded = guests_seen;
            }
            let record_at = self.record_at(&status, end.is_some());
            if recording.is_none() && unrecorded && record_at.is_none() {
                recording = Some(Recording { status: status.clone(), guests_seen });
                if let Some(refused) = &mut self.refused {
                    refused.is_tried_at_end |= end.is_some();
                }
                self.write(status.clone());
            }
            for effect in effects {
                self.start(effect, sink);
            }
            let is_over = end.is_some() && self.tasks.set.is_empty();
            if is_over && let Some(refused) = self.refused.take_if(|r| r.is_tried_at_end) {
                return Err(refused.error.into());
            }
            let settled = recording.is_none() && !self.is_taken_up && status == self.known.status;
            if let Some(end) = end.filter(|_| settled && is_over) {
                self.emit(sink, ended(&self.known.status));
                return Ok(end);
            }
            let clock = self.run.clock;
            let patience = self.patience.ends_at().filter(|_| self.given_up.is_none());
            let record_at = record_at.filter(|_| unrecorded);
            let wake_at = [wake_at, patience, self.told.due(), record_at].into_iter().flatten().min();
            let wake = async move {
                match wake_at {
                    Some(at) => clock.sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                // First: however much there is to observe, the Lease is kept.
                () = self.lease.due() => self.renew(sink).await?,
                Some(outcome) = self.tasks.set.join_next() => {
                    let outcome = outcome.map_err(|e| Error::Broken(format!("a task broke: {e}")))?;
                    self.take_in(outcome, &mut recording, sink).await?;
                }
                observed = self.observer.changed(&mut self.known.inventory) => observed?,
                Ok(()) = self.run.stop.changed() => {}
                () = wake => {}
            }
            self.take_in_all(&mut recording, sink).await?;
        }
    }

    /// Takes in whatever was answered meanwhile.
    async fn take_in_all(&mut self, recording: &mut Option<Recording>, sink: Sink<'_>) -> Result<(), Error> {
        while let Some(outcome) = self.tasks.set.try_join_next() {
            let outcome = outcome.map_err(|e| Error::Broken(format!("a task broke: {e}")))?;
            self.take_in(outcome, recording, sink).await?;
        }
        Ok(())
    }

    /// Takes in what came of a task.
    async fn take_in(
        &mut self,
        outcome: tasks::Outcome,
        recording: &mut Option<Recording>,
        sink: Sink<'_>,
    ) -> Result<(), Error> {
        if let tasks::Outcome::Recorded(record, result) = outcome {
            // Also after a refusal: some of its parts may have been written.
            self.record = *record;
            return self.take_in_record(result, recording.take().unwrap_or_default(), sink).await;
        }
        self.absorb(outcome, sink);
        Ok(())
    }

    /// Takes in what came of a record that was sent.
    async fn take_in_record(
        &mut self,
        result: Result<(), cluster::Error>,
        sent: Recording,
        sink: Sink<'_>,
    ) -> Result<(), Error> {
        match result {
            Ok(()) => {
                self.recorded(sent, sink);
            }
            Err(cluster::Error::Conflict(_)) => self.read_anew(sent, sink).await?,
            Err(cluster::Error::NotFound(_)) => return Err(self.deleted()),
            Err(error @ cluster::Error::Unwritable { .. }) => {
                self.is_sent(sent.status);
                let (refused, is_news) = Refused::again(self.refused.take(), error, self.run.clock.now());
                if is_news {
                    let words = "nothing further begins until it is taken; nodes in work come to their end";
                    self.warn(format!("{}; {words}", refused.error), sink);
                }
                self.refused = Some(refused);
            }
            Err(error) => {
                self.is_sent(sent.status);
                tokio::time::sleep(AFTER_TROUBLE).await;
                self.warn(error.to_string(), sink);
            }
        }
        Ok(())
    }

    /// A record of which it isn't known how much of it has been written.
    fn is_sent(&mut self, status: MaintenanceCampaignStatus) {
        if self.own_records.last() != Some(&status) {
            self.own_records.push(status);
        }
    }

    fn warn(&mut self, text: String, sink: Sink<'_>) {
        let kind = EventKind::Warning { text };
        if self.told.is_news(&kind, self.run.clock.now()) {
            self.emit(sink, kind);
        }
    }

    fn absorb(&mut self, outcome: tasks::Outcome, sink: Sink<'_>) {
        let now = self.run.clock.now();
        if let Some(kind) = tasks::absorb(outcome, &mut self.known.ledger, &mut self.known.inventory, now)
            && self.told.is_news(&kind, now)
        {
            self.emit(sink, kind);
        }
    }

    /// After a record that met another write: somebody labelled the campaign, say, or the answer to an earlier write was
    /// lost. Read anew, once it is sure that this is still the driver.
    async fn read_anew(&mut self, sent: Recording, sink: Sink<'_>) -> Result<(), Error> {
        self.renew(sink).await?;
        let record = match tasks::answered(cluster::campaign(&self.run.client, &self.name)).await {
            Ok(record) => record,
            Err(cluster::Error::NotFound(_)) => return Err(self.deleted()),
            Err(_) => {
                tokio::time::sleep(AFTER_TROUBLE).await;
                return Ok(());
            }
        };
        self.record = record;
        if self.record.is(&sent.status) {
            self.recorded(sent, sink);
            return Ok(());
        }
        self.is_sent(sent.status);
        if !self.record.is_made_of(&self.own_records) {
            return Err(cluster::Error::Lost { campaign: self.name.clone() }.into());
        }
        Ok(())
    }

    fn recorded(&mut self, sent: Recording, sink: Sink<'_>) {
        if self.refused.take().is_some() {
            self.warn(format!("campaign {}: its record is taken again; it goes on", self.name), sink);
        }
        self.own_records = vec![sent.status.clone()];
        self.known.status = sent.status;
        self.known.ledger.guests_recorded = sent.guests_seen;
        self.is_taken_up = false;
    }

    fn deleted(&self) -> Error {
        Error::Plan(format!(
            "campaign {} was deleted while it ran; its nodes in work keep their cordons and their annotation {STATE_ANNOTATION}",
            self.name
        ))
    }

    async fn renew(&mut self, sink: Sink<'_>) -> Result<(), Error> {
        if let Some(text) = self.lease.renew().await? {
            self.emit(sink, EventKind::Warning { text });
        }
        Ok(())
    }

    fn is_stopping(&self) -> bool {
        *self.run.stop.borrow() == Stop::Gently
    }

    /// Decides on what is known now, while others go on: a decision looks at every node, and one for each single event of a large
    /// cluster would leave no time for anything else. `None` if the decision may not stand: somebody else may be
    /// driving by now, or a stop was asked for.
    async fn decide(&mut self, sink: Sink<'_>) -> Result<Option<Decision>, Error> {
        self.run.stop.mark_unchanged();
        let pause = self.pause();
        let moment = Moment {
            stopping: self.is_stopping(),
            halted: self.refused.as_ref().map(Refused::reason),
            given_up: self.given_up.clone(),
            now: self.run.clock.now(),
        };
        self.decider.ask(std::mem::take(&mut self.known), self.observer.take(), moment)?;
        tokio::time::sleep(pause).await;
        let Decided { known, decision, is_reordered } = self.decider.answer()?;
        self.known = known;
        let decision = decision?;
        if is_reordered {
            self.emit(sink, EventKind::Reordered);
        }
        let stands = self.lease.is_safe() && !self.run.stop.has_changed().unwrap_or(false);
        Ok(stands.then_some(decision))
    }

    /// How long a decision may take.
    fn pause(&self) -> Duration {
        let nodes = self.known.inventory.nodes().len() as u32;
        PAUSE_A_NODE.saturating_mul(nodes).min(LONGEST_PAUSE)
    }

    /// When the record may be written, if not now. What others go by (the phase, hooks, the failed that are tried again) and
    /// what can't be seen afterwards is recorded at once.
    fn record_at(&self, status: &MaintenanceCampaignStatus, is_end: bool) -> Option<Timestamp> {
        if let Some(refused) = &self.refused {
            return refused.due(is_end, self.run.clock.now());
        }
        let known = &self.known.status;
        let urgent = self.is_taken_up
            || is_end
            || (status.phase, &status.reason, status.started_at)
                != (known.phase, &known.reason, known.started_at)
            || (&status.hooks, &status.retrying) != (&known.hooks, &known.retrying)
            || status.peak_unavailable > known.peak_unavailable;
        let entries = (status.nodes.len() + status.virtual_machines.len()) as u32;
        let pause = RECORD_AN_ENTRY.saturating_mul(entries).min(LONGEST_UNRECORDED);
        let at = self.recorded_at?.saturating_add(pause).ok()?;
        (!urgent && at > self.run.clock.now()).then_some(at)
    }

    fn write(&mut self, status: MaintenanceCampaignStatus) {
        self.recorded_at = Some(self.run.clock.now());
        let (client, mut record) = (self.run.client.clone(), Box::new(self.record.clone()));
        self.tasks.set.spawn(async move {
            let recorded = tasks::answered(cluster::record(&client, &mut record, &status)).await;
            tasks::Outcome::Recorded(record, recorded)
        });
    }

    fn start(&mut self, effect: Effect, sink: Sink<'_>) {
        let run = &self.run;
        let (groups, campaign) = (&self.known.groups, &self.name);
        let context = |id: HookRunId, boot_id: String| {
            let group = match &id.scope {
                HookScope::Node(node) => {
                    groups.iter().find(|g| g.nodes.contains(node)).map(|g| g.name.clone())
                }
                HookScope::Group(group) => Some(group.clone()),
                HookScope::Campaign => None,
            };
            Some(Context {
                client: run.client.clone(),
                clock: run.clock,
                campaign: campaign.clone(),
                group: group.unwrap_or_default(),
                hook: run.plan.spec.hooks.get(id.hook)?.clone(),
                run: id,
                boot_id,
                play: run.play_hooks,
                trouble: Arc::default(),
            })
        };
        if let Some(kind) = self.tasks.start(effect, &mut self.known.ledger, context) {
            self.emit(sink, kind);
        }
    }

    fn emit(&self, sink: Sink<'_>, kind: EventKind) {
        let at: Timestamp = self.run.clock.now();
        sink(Event { at, kind });
    }
}

fn ended(status: &MaintenanceCampaignStatus) -> EventKind {
    EventKind::CampaignEnded { phase: format!("{:?}", status.phase), reason: status.reason.clone() }
}
