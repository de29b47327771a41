//! Running a campaign: begin or take up, then the loop, to its end.

use std::collections::BTreeMap;

use jiff::Timestamp;
use kube::{Client, ResourceExt};
use tokio::sync::watch;

use super::hooks::Context;
use super::lease::Lease;
use super::tasks::{self, Tasks};
use super::{Clock, Error, Sink, Stop};
use crate::cluster::{self, Actor, Observer, Scope};
use crate::inventory::{Inventory, ObjectName};
use crate::journal::{Event, EventKind, phase_words};
use crate::plan::v1alpha1::{CampaignPhase, MaintenanceCampaign, MaintenanceCampaignStatus, MaintenancePlan};
use crate::reconcile::{
    Decision, Effect, End, GroupNodes, HookRunId, HookScope, HookStatus, Ledger, NodePatch, NodePhase,
    NodeState, StateChange, View, decide,
};
use crate::schedule;

/// What to run, where and how.
pub struct Run<'a> {
    /// The cluster.
    pub client: Client,
    /// The time.
    pub clock: Clock,
    /// The plan.
    pub plan: &'a MaintenancePlan,
    /// Begin another campaign even if the last one is finished.
    pub new: bool,
    /// Play `exec` and `http` hooks instead of running them.
    pub play_hooks: bool,
    /// Identity of this driver: unique to the process.
    pub driver: String,
    /// Set from outside to stop.
    pub stop: watch::Receiver<Stop>,
}

/// How it ended.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// Name of the campaign.
    pub campaign: String,
    /// How it ended.
    pub end: End,
    /// The record.
    pub status: MaintenanceCampaignStatus,
    /// True if there was nothing to do: the plan's campaign was finished before.
    pub was_finished: bool,
}

/// Checks a plan against a cluster without touching it: the groups with their nodes.
///
/// # Errors
/// All mistakes, a line each.
pub fn prepare(plan: &MaintenancePlan, inventory: &Inventory) -> Result<Vec<GroupNodes>, Error> {
    schedule::resolve(&plan.spec, inventory).map_err(Error::Groups)
}

/// Runs a plan's campaign: begins one, or goes on with the one that is there.
///
/// # Errors
/// A plan that doesn't fit the cluster (nothing is touched then), a campaign that somebody else drives, a cluster that
/// refuses what is needed.
pub async fn run_campaign(run: Run<'_>, sink: Sink<'_>) -> Result<Outcome, Error> {
    let client = run.client.clone();
    let mut inventory = Inventory::new();
    let mut observer =
        Observer::start(&client, Scope { volumes: true, ..Scope::default() }, &mut inventory).await?;
    let groups = prepare(run.plan, &inventory)?;
    refuse_drain_taint(&inventory)?;
    cluster::ensure_definitions(&client).await?;
    let plan_name = run.plan.name_any();
    let known = cluster::of_plan(&client, &plan_name).await?;
    let last = known.last();
    let last_phase = last.and_then(|c| c.status.as_ref()).map(|s| s.phase);
    let (campaign, resumed) = match last {
        Some(last) if last_phase == Some(CampaignPhase::Succeeded) && !run.new => {
            let status = last.status.clone().unwrap_or_default();
            return Ok(Outcome {
                campaign: last.name_any(),
                end: End::Succeeded,
                status,
                was_finished: true,
            });
        }
        Some(last) if last_phase != Some(CampaignPhase::Succeeded) && !run.new => (last.clone(), true),
        last => (cluster::begin(&client, &plan_name, &run.plan.spec, last).await?, false),
    };
    let name = campaign.name_any();
    check_unchanged(&campaign, run.plan)?;
    let lease = Lease::take(&client, run.clock, &name, &run.driver, sink).await?;
    // Read anew: until a moment ago, somebody else may have written.
    observer.catch_up(&mut inventory)?;
    let status = cluster::campaign(&client, &name).await?.status.unwrap_or_default();
    sink(Event {
        at: run.clock.now(),
        kind: EventKind::CampaignStarted {
            campaign: name.clone(),
            plan: plan_name,
            groups: groups.iter().map(|g| (g.name.clone(), g.nodes.len())).collect(),
            pods: inventory.pods().len(),
            virtual_machines: inventory.vmis().len(),
            budgets: inventory.budgets().len(),
            resumed,
        },
    });
    if let Some(warning) = schedule::short_timeouts(&run.plan.spec, &groups, &inventory) {
        sink(Event { at: run.clock.now(), kind: EventKind::Warning { text: warning.message } });
    }
    let actor = Actor::new(client.clone(), false);
    let tasks = Tasks::new(actor.clone(), run.clock);
    let mut driver = Driver {
        run,
        name,
        groups,
        inventory,
        observer,
        tasks,
        ledger: Ledger::default(),
        status,
        lease,
        told: Told::default(),
    };
    let end = driver.take_up_and_drive(resumed.then_some(&actor), sink).await;
    driver.lease.release().await;
    let end = end?;
    Ok(Outcome { campaign: driver.name, end, status: driver.status, was_finished: false })
}

/// KubeVirt can be told to migrate every VM off a node as soon as it is cordoned. virtroll's order within a drain, and its
/// consents, would then be passed by.
fn refuse_drain_taint(inventory: &Inventory) -> Result<(), Error> {
    let key = inventory.kubevirt.as_ref().map(|k| k.node_drain_taint_key.as_str());
    if key == Some("node.kubernetes.io/unschedulable") {
        let text = "KubeVirt's nodeDrainTaintKey is node.kubernetes.io/unschedulable: every cordon migrates all VMs of the node at \
                    once, without an eviction that virtroll could order or undo; set it back to kubevirt.io/drain first";
        return Err(Error::Plan(text.to_owned()));
    }
    Ok(())
}

/// A campaign goes on with a mended plan, but what was done is recorded by place in its lists of hooks and groups.
fn check_unchanged(campaign: &MaintenanceCampaign, plan: &MaintenancePlan) -> Result<(), Error> {
    let names = |p: &crate::plan::v1alpha1::MaintenancePlanSpec| {
        let hooks: Vec<String> = p.hooks.iter().map(|h| format!("{}@{:?}", h.name, h.at)).collect();
        let groups: Vec<String> = p.groups.iter().map(|g| g.name.clone()).collect();
        (hooks, groups)
    };
    if names(&campaign.spec.plan) == names(&plan.spec) {
        return Ok(());
    }
    Err(Error::Plan(format!(
        "campaign {} is not finished, and the plan's hooks or groups have changed since it began; go on with the old plan, or \
         begin anew with --new",
        campaign.name_any()
    )))
}

/// A wait is told of after this long.
const WORTH_TELLING: jiff::SignedDuration = jiff::SignedDuration::from_secs(10);

/// What people have been told, so that they are told of changes only.
#[derive(Default)]
struct Told {
    phases: BTreeMap<String, NodePhase>,
    /// What a node waits for, since when, and whether people know.
    waits: BTreeMap<String, (String, Timestamp, bool)>,
    vms: BTreeMap<ObjectName, (String, Option<String>)>,
    warnings: std::collections::BTreeSet<String>,
    stopping: bool,
}

struct Driver<'a> {
    run: Run<'a>,
    name: String,
    groups: Vec<GroupNodes>,
    inventory: Inventory,
    observer: Observer,
    tasks: Tasks,
    ledger: Ledger,
    status: MaintenanceCampaignStatus,
    lease: Lease,
    told: Told,
}

impl Driver<'_> {
    /// Makes an interrupted, paused or failed campaign ready to go on: failed nodes are tried again.
    async fn take_up(&mut self, actor: &Actor) -> Result<(), Error> {
        let now = self.run.clock.now();
        let failed = |phase: &str| phase == NodePhase::Failed.name();
        let again: Vec<String> =
            self.status.nodes.iter().filter(|n| failed(&n.phase)).map(|n| n.name.clone()).collect();
        self.status.nodes.retain(|n| !failed(&n.phase));
        self.status
            .hooks
            .retain(|h| h.succeeded || h.started_at.is_some() && self.status.phase == CampaignPhase::Running);
        self.status.finished_at = None;
        for name in again {
            self.try_again(actor, &name, now).await?;
        }
        Ok(())
    }

    /// Puts a failed node back to where it begins; others' writes in between are met by reading it anew.
    async fn try_again(&mut self, actor: &Actor, name: &str, now: Timestamp) -> Result<(), Error> {
        loop {
            let Some(node) = self.inventory.node(name) else { return Ok(()) };
            let state = NodeState::of(node).and_then(Result::ok);
            let Some(state) = state.filter(|s| s.campaign == self.name) else { return Ok(()) };
            let patch = NodePatch {
                node: name.to_owned(),
                resource_version: node.resource_version.clone(),
                unschedulable: (!node.unschedulable).then_some(true),
                state: StateChange::Set(Box::new(state.retried(now))),
            };
            let seen = match actor.patch_node(&patch).await {
                Ok(patched) => patched,
                Err(cluster::Error::Conflict(_)) => {
                    let seen = actor.node(name).await?;
                    self.inventory.put_node(seen);
                    continue;
                }
                Err(error) => return Err(error.into()),
            };
            self.inventory.put_node(seen);
            return Ok(());
        }
    }

    async fn take_up_and_drive(&mut self, resumed: Option<&Actor>, sink: Sink<'_>) -> Result<End, Error> {
        if let Some(actor) = resumed {
            self.take_up(actor).await?;
        }
        self.drive(sink).await
    }

    /// The loop.
    async fn drive(&mut self, sink: Sink<'_>) -> Result<End, Error> {
        let mut recording: Option<MaintenanceCampaignStatus> = None;
        loop {
            let decision = self.decide();
            self.tell(&decision, sink);
            let Decision { effects, status, wake_at, end, .. } = decision;
            if recording.is_none() && status != self.status {
                recording = Some(status.clone());
                self.write(status.clone());
            }
            for effect in effects {
                self.start(effect, sink);
            }
            let settled = recording.is_none() && status == self.status;
            if let Some(end) = end.filter(|_| settled && self.tasks.set.is_empty()) {
                self.emit(sink, ended(&self.status));
                return Ok(end);
            }
            let clock = self.run.clock;
            let wake = async move {
                match wake_at {
                    Some(at) => clock.sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                Some(outcome) = self.tasks.set.join_next() => {
                    let outcome = outcome.map_err(|e| Error::Plan(format!("a task broke: {e}")))?;
                    if let (tasks::Outcome::Recorded(result), Some(status)) = (&outcome, recording.take_if(|_| matches!(outcome, tasks::Outcome::Recorded(_)))) {
                        if result.is_ok() {
                            self.status = status;
                        } else {
                            tokio::time::sleep(std::time::Duration::from_secs(1)).await;
                        }
                    }
                    let now = self.run.clock.now();
                    if let Some(kind) = tasks::absorb(outcome, &mut self.ledger, &mut self.inventory, now) {
                        self.emit(sink, kind);
                    }
                }
                observed = self.observer.changed(&mut self.inventory) => observed?,
                Ok(()) = self.run.stop.changed() => {}
                () = self.lease.due() => {
                    if let Some(text) = self.lease.renew().await? {
                        self.emit(sink, EventKind::Warning { text });
                    }
                }
                () = wake => {}
            }
        }
    }

    fn is_stopping(&self) -> bool {
        *self.run.stop.borrow() == Stop::Gently
    }

    fn decide(&mut self) -> Decision {
        self.run.stop.mark_unchanged();
        let stopping = self.is_stopping().then_some("stopped by the operator");
        let now = self.run.clock.now();
        decide(&View {
            inventory: &self.inventory,
            plan: &self.run.plan.spec,
            campaign: &self.name,
            groups: &self.groups,
            status: &self.status,
            ledger: &self.ledger,
            driver: &self.run.driver,
            stopping,
            now,
        })
    }

    fn write(&mut self, status: MaintenanceCampaignStatus) {
        let (client, name) = (self.run.client.clone(), self.name.clone());
        self.tasks
            .set
            .spawn(async move { tasks::Outcome::Recorded(cluster::record(&client, &name, &status).await) });
    }

    fn start(&mut self, effect: Effect, sink: Sink<'_>) {
        let run = &self.run;
        let (groups, name) = (&self.groups, &self.name);
        let context = |id: HookRunId, boot_id: String, started_at: Timestamp| {
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
                campaign: name.clone(),
                group: group.unwrap_or_default(),
                hook: run.plan.spec.hooks.get(id.hook)?.clone(),
                run: id,
                boot_id,
                started_at,
                play: run.play_hooks,
            })
        };
        if let Some(kind) = self.tasks.start(effect, &mut self.ledger, context) {
            self.emit(sink, kind);
        }
    }

    fn emit(&self, sink: Sink<'_>, kind: EventKind) {
        sink(Event { at: self.run.clock.now(), kind });
    }

    /// Tells people what has changed since they were told last.
    fn tell(&mut self, decision: &Decision, sink: Sink<'_>) {
        let mut news = Vec::new();
        for record in &decision.status.nodes {
            let phase = NodePhase::ALL.into_iter().find(|p| p.name() == record.phase).unwrap_or_default();
            if self.told.phases.insert(record.name.clone(), phase) != Some(phase) {
                news.push(EventKind::NodePhaseChanged {
                    node: record.name.clone(),
                    group: record.group.clone(),
                    wave: record.wave,
                    phase: record.phase.clone(),
                    reason: record.reason.clone(),
                });
            }
        }
        for vm in &decision.status.virtual_machines {
            let name = ObjectName::new(&vm.namespace, &vm.name);
            // A replica isn't the same machine elsewhere: another one stands in for it.
            let replaced = vm.replica && vm.outcome == crate::plan::v1alpha1::VmOutcome::Restarted;
            let now = if replaced {
                ("Replaced".to_owned(), None)
            } else {
                (format!("{:?}", vm.outcome), vm.node.clone())
            };
            let before = self.told.vms.insert(name.clone(), now.clone());
            if before.is_some_and(|b| b != now) {
                news.push(EventKind::VmChanged { vm: name, outcome: now.0, node: now.1 });
            }
        }
        for (node, progress) in &decision.nodes {
            let why = progress.holds.first().filter(|_| progress.phase.is_active()).map(ToString::to_string);
            let Some(why) = why else {
                self.told.waits.remove(node);
                continue;
            };
            let now = self.run.clock.now();
            let waiting = self.told.waits.entry(node.clone()).or_insert_with(|| (why.clone(), now, false));
            if waiting.0 != why {
                *waiting = (why.clone(), now, false);
            }
            // What passes in a moment isn't worth a line.
            if !waiting.2 && now.duration_since(waiting.1) >= WORTH_TELLING {
                waiting.2 = true;
                news.push(EventKind::NodeWaits { node: node.clone(), why });
            }
        }
        if self.is_stopping() && !std::mem::replace(&mut self.told.stopping, true) {
            news.push(EventKind::Stopping { under_way: under_way(decision, &self.ledger) });
        }
        for text in &decision.warnings {
            if self.told.warnings.insert(text.clone()) {
                news.push(EventKind::Warning { text: text.clone() });
            }
        }
        news.push(EventKind::Progress(decision.nodes.clone()));
        for kind in news {
            self.emit(sink, kind);
        }
    }
}

/// What is begun when a stop is asked for: the nodes in work, and the hooks that run.
fn under_way(decision: &Decision, ledger: &Ledger) -> Vec<String> {
    let nodes = decision.nodes.iter().filter(|(_, n)| n.phase.is_active()).map(|(name, node)| {
        let pods = match node.pods_left {
            0 => String::new(),
            1 => ", 1 pod left".to_owned(),
            n => format!(", {n} pods left"),
        };
        format!("{name} ({}{pods})", phase_words(node.phase))
    });
    let running = ledger.hooks.iter().filter(|(_, status)| **status == HookStatus::Running);
    let hooks = running.map(|(run, _)| format!("a hook for {}", tasks::scope_words(&run.scope)));
    nodes.chain(hooks).collect()
}

fn ended(status: &MaintenanceCampaignStatus) -> EventKind {
    EventKind::CampaignEnded { phase: format!("{:?}", status.phase), reason: status.reason.clone() }
}
