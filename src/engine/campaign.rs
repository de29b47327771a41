//! Running a campaign: what is checked before anything is touched, and whether one is begun, taken up or left alone.

use std::collections::BTreeMap;
use std::time::Duration;

use kube::{Client, ResourceExt};
use tokio::sync::watch;

use super::drive::{Course, Driver};
use super::lease::Lease;
use super::{Clock, Error, Sink, Stop, planning};
use crate::cluster::{self, Observer, Scope};
use crate::inventory::{Inventory, Node};
use crate::journal::{Event, EventKind};
use crate::plan::v1alpha1::{
    CampaignPhase, MaintenanceCampaign, MaintenanceCampaignStatus, MaintenancePlan, MaintenancePlanSpec,
    Surge,
};
use crate::reconcile::drain::{DrainOptions, obstacles};
use crate::reconcile::{End, GroupNodes, NodePhase, NodeState, ZONE_LABEL};
use crate::schedule::problem::{Durations, Progress};
use crate::schedule::search::Effort;
use crate::schedule::{self, Planned};

/// What to run, where and how.
pub struct Run<'a> {
    /// The cluster.
    pub client: Client,
    /// The time.
    pub clock: Clock,
    /// The plan.
    pub plan: &'a MaintenancePlan,
    /// Begin another campaign even if the last one is finished; an unfinished one ends, and its nodes are taken over.
    pub new: bool,
    /// Play `exec` and `http` hooks instead of running them.
    pub play_hooks: bool,
    /// Identity of this driver: unique to the process.
    pub driver: String,
    /// How hard the planner looks for a good order.
    pub effort: Effort,
    /// Set from outside to stop.
    pub stop: watch::Receiver<Stop>,
    /// Pause when nothing has changed for so long beyond what the plan itself waits for; `None` waits on. For simulated
    /// clusters, where nobody comes to mend things.
    pub patience: Option<Duration>,
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
    /// The groups with their nodes, those that haven't begun included.
    pub groups: Vec<GroupNodes>,
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
    let workloads = run.plan.spec.drain.surge == Surge::SingleReplica;
    let scope = Scope { volumes: true, placement: true, workloads, ..Scope::default() };
    let mut observer = Observer::start(&client, scope, &mut inventory).await?;
    // A plan that doesn't surge any more still has to scale back what was scaled up before.
    if !workloads && surges_left(&inventory) {
        let scope = Scope { volumes: true, placement: true, workloads: true, ..Scope::default() };
        inventory = Inventory::new();
        observer = Observer::start(&client, scope, &mut inventory).await?;
    }
    refuse_drain_taint(&inventory)?;
    let plan_name = run.plan.name_any();
    let (known, others) = campaigns(&client, &plan_name).await?;
    let last = known.last();
    let finished = |c: &&MaintenanceCampaign| phase(c) == CampaignPhase::Succeeded;
    if let Some(last) = last.filter(finished).filter(|_| !run.new) {
        let status = last.status.clone().unwrap_or_default();
        let groups = schedule::resume(&run.plan.spec, &inventory, &begun(last, &inventory));
        let campaign = last.name_any();
        return Ok(Outcome { campaign, end: End::Succeeded, status, groups, was_finished: true });
    }
    let unfinished = last.filter(|c| !finished(c));
    let resumed = unfinished.filter(|_| !run.new);
    let groups = match resumed {
        Some(campaign) => {
            check_unchanged(campaign, run.plan)?;
            schedule::resume(&run.plan.spec, &inventory, &begun(campaign, &inventory))
        }
        None => prepare(run.plan, &inventory)?,
    };
    let over = known.iter().filter(|c| resumed.is_none_or(|r| r.name_any() != c.name_any()));
    let earlier = Durations::learned(over.filter_map(|c| c.status.as_ref()));
    let mut durations = earlier.clone();
    let planned = match resumed {
        Some(campaign) => {
            let mut record = campaign.status.clone().unwrap_or_default();
            durations.learn(&record);
            // They are tried again.
            record.nodes.retain(|n| NodePhase::named(&n.phase) != NodePhase::Failed);
            planning::resumed(&run.plan.spec, &groups, &inventory, &record, &durations, run.clock.now())
        }
        None => Planned::new(&run.plan.spec, &groups, &inventory, &durations, &Progress::default())
            .map_err(Error::NoSchedule)?,
    };
    refuse_rivals(&run, &others, &groups, &inventory).await?;
    cluster::ensure_definitions(&client).await?;
    let nodes: usize = groups.iter().map(|g| g.nodes.len()).sum();
    if nodes.max(inventory.vmis().len()) > cluster::MOST_ENTRIES {
        // Now, rather than in the middle: whoever may not define it hears of it before anything is touched.
        cluster::ensure_slices(&client).await?;
    }
    let campaign = match resumed {
        Some(campaign) => campaign.clone(),
        None => {
            if let Some(old) = unfinished {
                supersede(&run, old, sink).await?;
            }
            cluster::begin(&client, &plan_name, &run.plan.spec, last).await?
        }
    };
    let name = campaign.name_any();
    let lease = Lease::take(&client, run.clock, &name, &run.driver, sink).await?;
    // Read anew: until a moment ago, somebody else may have written.
    observer.catch_up(&mut inventory)?;
    let record = cluster::campaign(&client, &name).await?;
    let adopts: Vec<String> = known.iter().map(ResourceExt::name_any).filter(|n| *n != name).collect();
    announce(&run, &name, resumed.is_some(), &groups, &inventory, &adopts, sink);
    let (guide, forecast) = planning::guide(&planned.problem, run.effort);
    sink(Event { at: run.clock.now(), kind: forecast });
    let plan = Course { guide, earlier };
    let mut driver = Driver::new(run, record, (groups, plan), adopts, inventory, observer, lease)?;
    driver.take_out(planned.taken_out);
    driver.run(resumed.is_some(), sink).await
}

/// The plan's campaigns, and those of other plans that aren't over; their records whole.
async fn campaigns(
    client: &Client,
    plan: &str,
) -> Result<(Vec<MaintenanceCampaign>, Vec<MaintenanceCampaign>), Error> {
    let (mut known, mut others) = (Vec::new(), Vec::new());
    for campaign in cluster::campaigns(client).await? {
        let is_over = matches!(phase(&campaign), CampaignPhase::Succeeded | CampaignPhase::Failed);
        if campaign.spec.plan_name == plan {
            known.push(cluster::whole(client, campaign).await?);
        } else if !is_over {
            others.push(cluster::whole(client, campaign).await?);
        }
    }
    Ok((known, others))
}

fn surged_words(state: &NodeState) -> String {
    let surged: Vec<String> =
        state.drain.open_surges().map(|s| format!("{} to {}", s.workload, s.found)).collect();
    if surged.is_empty() { String::new() } else { format!("; and scale back {}", surged.join(", ")) }
}

/// Whether workloads have one replica more for the drain of a node.
fn surges_left(inventory: &Inventory) -> bool {
    let states = inventory.nodes().values().filter_map(|node| NodeState::of(node)?.ok());
    states.into_iter().any(|state| state.drain.open_surges().next().is_some())
}

fn phase(campaign: &MaintenanceCampaign) -> CampaignPhase {
    campaign.status.as_ref().map(|s| s.phase).unwrap_or_default()
}

/// Nodes that a campaign has begun, with their groups: by its record, and by the nodes' own states, which may be newer.
fn begun(campaign: &MaintenanceCampaign, inventory: &Inventory) -> Vec<(String, String)> {
    let name = campaign.name_any();
    let records = campaign.status.iter().flat_map(|s| &s.nodes);
    let of_record = records.map(|n| (n.name.clone(), n.group.clone()));
    let states = inventory.nodes().values().filter_map(|node| Some((node, NodeState::of(node)?.ok()?)));
    let of_nodes = states.filter(|(_, s)| s.campaign == name).map(|(n, s)| (n.name.clone(), s.group));
    of_record.chain(of_nodes).collect()
}

/// Tells what begins, and what people should know of it.
fn announce(
    run: &Run<'_>,
    campaign: &str,
    resumed: bool,
    groups: &[GroupNodes],
    inventory: &Inventory,
    adopts: &[String],
    sink: Sink<'_>,
) {
    let mut tell = |kind| sink(Event { at: run.clock.now(), kind });
    tell(EventKind::CampaignStarted {
        campaign: campaign.to_owned(),
        plan: run.plan.name_any(),
        groups: groups.iter().map(|g| (g.name.clone(), g.nodes.len())).collect(),
        pods: inventory.pods().len(),
        virtual_machines: inventory.vmis().len(),
        budgets: inventory.budgets().len(),
        zones: zones(run.plan, groups, inventory),
        resumed,
    });
    if let Some(warning) = schedule::short_timeouts(&run.plan.spec, groups, inventory) {
        tell(EventKind::Warning { text: warning.message });
    }
    let options = DrainOptions::of_plan(&run.plan.spec.drain, &run.plan.spec.virtual_machines);
    let ours = |node: &Node| NodeState::of(node).and_then(Result::ok).is_some_and(|s| s.campaign == campaign);
    for node in groups.iter().flat_map(|g| &g.nodes).filter_map(|n| inventory.node(n)).filter(|n| !ours(n)) {
        let why = obstacles(inventory, &node.name, &options, run.clock.now());
        if !why.is_empty() {
            tell(EventKind::NodeObstructed { node: node.name.clone(), why: why.join("; ") });
        }
    }
    let mine = |node: &str| groups.iter().any(|g| g.nodes.iter().any(|n| n == node));
    for node in inventory.nodes().values().filter(|n| !mine(&n.name)) {
        let state = NodeState::of(node).and_then(Result::ok).filter(|s| adopts.contains(&s.campaign));
        if let Some(state) = state {
            let text = format!(
                "node {} is still as campaign {} left it ({}), and this campaign has no such node; bring it back by hand: \
                 `virtroll uncordon {}`",
                node.name,
                state.campaign,
                state.phase.name(),
                node.name
            ) + &surged_words(&state);
            tell(EventKind::Warning { text });
        }
    }
}

/// The zones of the campaign's nodes, by the label that the plan's limits go by.
fn zones(plan: &MaintenancePlan, groups: &[GroupNodes], inventory: &Inventory) -> BTreeMap<String, String> {
    let key = plan.spec.concurrency.as_ref().and_then(|c| c.topology_key.as_deref());
    let key = key.unwrap_or(ZONE_LABEL);
    let nodes = groups.iter().flat_map(|g| &g.nodes).filter_map(|name| inventory.node(name));
    nodes.filter_map(|node| Some((node.name.clone(), node.labels.get(key)?.clone()))).collect()
}

/// Ends an unfinished campaign in favour of a new one. Whoever drives it keeps it: its Lease is asked for first.
async fn supersede(run: &Run<'_>, old: &MaintenanceCampaign, sink: Sink<'_>) -> Result<(), Error> {
    let name = old.name_any();
    let lease = Lease::take(&run.client, run.clock, &name, &run.driver, sink).await?;
    let mut old = cluster::campaign(&run.client, &name).await?;
    let mut status = old.campaign.status.clone().unwrap_or_default();
    status.phase = CampaignPhase::Failed;
    status.reason = Some("ended by `virtroll apply --new`; its nodes were taken over".to_owned());
    status.finished_at.get_or_insert(run.clock.now());
    let recorded = cluster::record(&run.client, &mut old, &status).await;
    lease.release().await;
    recorded?;
    Ok(())
}

/// Two campaigns at work on the same nodes would each count its own cordons against its own limits.
async fn refuse_rivals(
    run: &Run<'_>,
    others: &[MaintenanceCampaign],
    groups: &[GroupNodes],
    inventory: &Inventory,
) -> Result<(), Error> {
    for other in others {
        let name = other.name_any();
        let theirs = schedule::resume(&other.spec.plan, inventory, &begun(other, inventory));
        let theirs: Vec<&String> = theirs.iter().flat_map(|g| &g.nodes).collect();
        let shared: Vec<&str> =
            groups.iter().flat_map(|g| &g.nodes).filter(|n| theirs.contains(n)).map(String::as_str).collect();
        if shared.is_empty() {
            continue;
        }
        if let Some(holder) = cluster::driver_of(&run.client, &name, run.clock.now()).await? {
            let nodes = shared[..shared.len().min(4)].join(", ");
            return Err(Error::Plan(format!(
                "campaign {name}, driven by {holder}, has nodes of this plan, too: {nodes}; wait until it has ended"
            )));
        }
    }
    Ok(())
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
    let names = |p: &MaintenancePlanSpec| {
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
