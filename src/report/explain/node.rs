//! A node: how it stands, what it carries, and when the plan's schedule lets it start.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;

use super::{BudgetSeen, InPlan, Planned, Room, becomes, lines, list, options, room};
use crate::inventory::{Inventory, Node};
use crate::reconcile::drain::budget::budgets_of;
use crate::reconcile::drain::filter::{Verdict, judge};
use crate::reconcile::drain::obstacles;
use crate::reconcile::{NodePhase, NodeState};
use crate::report::words::count;

/// A node, explained.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeExplained {
    /// Its name.
    pub node: String,
    /// `Ready`, `NotReady` or `Unknown`.
    pub ready: String,
    /// New pods may be placed on it.
    pub schedulable: bool,
    /// Who cordoned it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cordoned_by: Option<String>,
    /// What its annotation says of a campaign.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub campaign: Option<InCampaign>,
    /// Its annotation can't be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unreadable: Option<String>,
    /// What is on it.
    pub carries: Carried,
    /// What would make its drain fail or never end.
    pub obstacles: Vec<String>,
    /// Its place in the plan's schedule.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub in_plan: Option<InPlan>,
    /// Name of that plan.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plan: Option<String>,
}

/// What a node's annotation says.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct InCampaign {
    /// Name of the campaign.
    pub name: String,
    /// Its group.
    pub group: String,
    /// Where the node is on its way.
    pub phase: String,
    /// Since when.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// Why it is there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The hook under way.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hook: Option<String>,
}

/// What is on a node.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Carried {
    /// Pods that a drain makes leave, those of VMs included.
    pub leaving: usize,
    /// Pods that stay: of DaemonSets, mirror pods, pods that the plan doesn't mean.
    pub staying: usize,
    /// VMs, each with what an eviction does to it.
    pub virtual_machines: Vec<VmCarried>,
    /// Budgets over pods that leave.
    pub budgets: Vec<BudgetSeen>,
    /// Workloads of which pods have no room on another node now, with how many.
    pub without_room: Vec<WithoutRoom>,
}

/// A VM on a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct VmCarried {
    /// Namespace and name.
    pub vm: String,
    /// What an eviction does to it.
    pub becomes: String,
    /// That keeps the node from being drained.
    pub blocked: bool,
}

/// Pods of a workload that have no room on another node now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct WithoutRoom {
    /// Kind, namespace and name.
    pub workload: String,
    /// So many.
    pub pods: usize,
}

impl NodeExplained {
    /// Looks at a node; `None` if there is none of that name.
    pub fn of(inventory: &Inventory, name: &str, plan: Option<&Planned<'_>>, now: Timestamp) -> Option<Self> {
        let node = inventory.node(name)?;
        let (campaign, unreadable) = match NodeState::of(node) {
            None => (None, None),
            Some(Ok(state)) => (Some(state), None),
            Some(Err(why)) => (None, Some(why)),
        };
        Some(Self {
            node: name.to_owned(),
            ready: format!("{:?}", node.readiness),
            schedulable: !node.unschedulable,
            cordoned_by: cordoned_by(node, campaign.as_ref()),
            campaign: campaign.map(in_campaign),
            unreadable,
            carries: carried(inventory, name, plan, now),
            obstacles: obstacles(inventory, name, &options(plan), now),
            in_plan: plan.map(|plan| InPlan::of(plan, name)),
            plan: plan.map(|plan| plan.name.to_owned()),
        })
    }

    /// For a terminal.
    pub fn text(&self) -> String {
        let mut text = self.headline();
        let mut told: Vec<(&str, String)> = Vec::new();
        if let Some(campaign) = &self.campaign {
            told.push(("campaign", campaign.words()));
        }
        told.extend(self.unreadable.iter().map(|why| ("campaign", why.clone())));
        told.push(("carries", self.carries.words()));
        for VmCarried { vm, becomes, .. } in &self.carries.virtual_machines {
            // What stands in the way is said once, and last.
            if !self.obstacles.iter().any(|why| why.starts_with(&format!("vm {vm} "))) {
                told.push(("vm", format!("{vm} {becomes}")));
            }
        }
        for budget in &self.carries.budgets {
            told.push(("budget", budget.words(&format!(" ({} here)", count(budget.pods, "pod")))));
        }
        if self.carries.leaving > 0 {
            told.push(("room", self.carries.room()));
        }
        told.extend(self.obstacles.iter().map(|why| ("blocked", why.clone())));
        lines(&mut text, &told);
        let in_work = self.campaign.as_ref().is_some_and(|c| NodePhase::named(&c.phase).is_active());
        if let (Some(plan), Some(place)) = (&self.plan, &self.in_plan) {
            text.push_str(&format!("\n{}", place.text(plan, in_work)));
        }
        text
    }

    fn headline(&self) -> String {
        let ready = if self.ready == "Unknown" { "not heard from (Ready: Unknown)" } else { &self.ready };
        match &self.cordoned_by {
            None => format!("{} is {ready} and schedulable", self.node),
            Some(who) => format!("{} is {ready}, and cordoned by {who}", self.node),
        }
    }
}

fn cordoned_by(node: &Node, state: Option<&NodeState>) -> Option<String> {
    node.unschedulable.then(|| match state {
        Some(state) if !state.was_unschedulable => format!("campaign {}", state.campaign),
        Some(_) | None => "somebody else than virtroll".to_owned(),
    })
}

fn in_campaign(state: NodeState) -> InCampaign {
    InCampaign {
        name: state.campaign,
        group: state.group,
        phase: state.phase.name().to_owned(),
        since: state.since,
        reason: state.reason,
        hook: state.hook.map(|hook| format!("{} (try {})", hook.name, hook.attempt)),
    }
}

impl InCampaign {
    fn words(&self) -> String {
        let since = self.since.map(|t| format!(" since {}", t.strftime("%H:%M:%S UTC"))).unwrap_or_default();
        let hook = self.hook.as_ref().map(|hook| format!(", hook {hook}")).unwrap_or_default();
        let reason = self.reason.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
        format!("{} has it, in group {}: {}{since}{hook}{reason}", self.name, self.group, self.phase)
    }
}

fn carried(inventory: &Inventory, node: &str, plan: Option<&Planned<'_>>, now: Timestamp) -> Carried {
    let options = options(plan);
    let mut found = Carried::default();
    let mut budgets: BTreeMap<_, usize> = BTreeMap::new();
    for pod in inventory.pods_on(node).filter(|p| !p.phase.is_terminal()) {
        if let Verdict::Leave(_) = judge(pod, inventory, &options, now) {
            found.staying += 1;
            continue;
        }
        found.leaving += 1;
        if pod.is_launcher() {
            let name = inventory.vmi_of(pod).map_or(&pod.name, |vmi| &vmi.name);
            let (becomes, blocked) = becomes(inventory, pod, plan);
            found.virtual_machines.push(VmCarried { vm: name.to_string(), becomes, blocked });
        }
        for budget in budgets_of(inventory, pod) {
            *budgets.entry(&budget.name).or_default() += 1;
        }
    }
    let seen = |(name, pods): (&_, usize)| Some(BudgetSeen::of(inventory.budgets().get(name)?, pods));
    found.budgets = budgets.into_iter().filter_map(|(name, pods)| seen((name, pods))).collect();
    let mut without: BTreeMap<String, usize> = BTreeMap::new();
    for Room { workload, .. } in room(inventory, plan, node).into_iter().filter(|r| r.nodes.is_empty()) {
        *without.entry(workload).or_default() += 1;
    }
    found.without_room = without.into_iter().map(|(workload, pods)| WithoutRoom { workload, pods }).collect();
    found
}

impl Carried {
    fn words(&self) -> String {
        let vms = match self.virtual_machines.len() {
            0 => String::new(),
            n => format!(", {} among them", count(n, "VM")),
        };
        let stay = if self.staying == 1 { "stays" } else { "stay" };
        format!(
            "{} that {} when it is drained{vms}; {} {stay}",
            count(self.leaving, "pod"),
            if self.leaving == 1 { "leaves" } else { "leave" },
            self.staying
        )
    }

    fn room(&self) -> String {
        if self.without_room.is_empty() {
            return "each of them has room on another node now".to_owned();
        }
        let words: Vec<String> =
            self.without_room.iter().map(|w| format!("{} ({})", w.workload, w.pods)).collect();
        format!("no room on another node now for pods of {}", list(&words))
    }
}
