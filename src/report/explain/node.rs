//! A node: how it stands, what it carries, and when the plan's schedule lets it start.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;

use super::{BudgetSeen, Forecast, Planned, Room, after, becomes, lines, list, options, room};
use crate::inventory::{Inventory, Node};
use crate::reconcile::NodeState;
use crate::reconcile::drain::budget::budgets_of;
use crate::reconcile::drain::filter::{Verdict, judge};
use crate::reconcile::drain::obstacles;
use crate::report::outlook::{Outlook, OutlookNode};
use crate::report::words::count;
use crate::schedule::conflict::{Conflict, Never};

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

/// A node's place in a plan.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", tag = "is")]
pub enum InPlan {
    /// The plan isn't about it.
    NotMeant,
    /// It has a time.
    #[serde(rename_all = "camelCase")]
    Scheduled {
        /// From 1, in the order of starts.
        position: usize,
        /// Of so many nodes.
        of: usize,
        /// Its times and what holds it.
        node: OutlookNode,
        /// How far the node is that it waits for.
        #[serde(skip_serializing_if = "Option::is_none")]
        then: Option<String>,
        /// Nodes that wait for this one.
        awaited_by: Vec<String>,
    },
    /// The planner found no way, which proves nothing.
    #[serde(rename_all = "camelCase")]
    NotPlaced {
        /// What holds it.
        why: String,
    },
    /// No schedule of the plan exists.
    #[serde(rename_all = "camelCase")]
    NoSchedule {
        /// The conflict.
        conflict: Conflict,
        /// This node takes part in it.
        concerned: bool,
        /// What keeps this node from maintenance for good.
        nevers: Vec<Never>,
    },
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
            in_plan: plan.map(|plan| in_plan(plan, name)),
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
        if let (Some(plan), Some(place)) = (&self.plan, &self.in_plan) {
            text.push_str(&format!("\n{}", place.text(plan)));
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

fn in_plan(plan: &Planned<'_>, name: &str) -> InPlan {
    if !plan.groups.iter().any(|g| g.nodes.iter().any(|n| n == name)) {
        return InPlan::NotMeant;
    }
    match &plan.forecast {
        Forecast::Schedule(outlook) => scheduled(outlook, name),
        Forecast::Against(conflict, nevers) => InPlan::NoSchedule {
            concerned: conflict.members.iter().any(|m| m.kind == "Node" && m.name == name),
            conflict: conflict.clone(),
            nevers: nevers.iter().filter(|n| n.nodes.iter().any(|n| n == name)).cloned().collect(),
        },
    }
}

fn scheduled(outlook: &Outlook, name: &str) -> InPlan {
    let Some(index) = outlook.nodes.iter().position(|n| n.name == name) else {
        let held = outlook.not_placed.iter().find(|n| n.name == name);
        return InPlan::NotPlaced { why: held.map_or_else(String::new, |n| n.why.clone()) };
    };
    let node = &outlook.nodes[index];
    let other = outlook.nodes.iter().find(|n| Some(&n.name) == node.waits_for.as_ref());
    let waits = outlook.nodes.iter().filter(|n| n.waits_for.as_deref() == Some(name));
    InPlan::Scheduled {
        position: index + 1,
        of: outlook.nodes.len(),
        node: node.clone(),
        then: other.map(|other| progress(other, node.start_seconds)),
        awaited_by: waits.map(|n| n.name.clone()).collect(),
    }
}

/// How far a node is at a moment.
fn progress(node: &OutlookNode, at: f64) -> String {
    let name = &node.name;
    if at >= node.end_seconds {
        format!("{name} is back in service")
    } else if at >= node.drained_seconds {
        format!("{name} is drained")
    } else {
        format!("{name} is draining and has come far enough")
    }
}

impl InPlan {
    fn text(&self, plan: &str) -> String {
        match self {
            Self::NotMeant => format!("Plan {plan} is not about this node."),
            Self::Scheduled { position, of, node, then, awaited_by } => {
                let mut text =
                    format!("In plan {plan} it is number {position} of {of}, in group {}", node.group);
                let mut told = vec![(
                    "starts",
                    format!(
                        "{}, drained {}, back in service {}",
                        after(node.start_seconds),
                        after(node.drained_seconds),
                        after(node.end_seconds)
                    ),
                )];
                match (&node.why, then) {
                    (None, _) => told.push(("waits", "for nothing: it starts at once".to_owned())),
                    (Some(why), None) => told.push(("waits", why.clone())),
                    (Some(why), Some(then)) => {
                        told.push(("waits", why.clone()));
                        told.push(("until", format!("{} {then}", after(node.start_seconds))));
                    }
                }
                if !awaited_by.is_empty() {
                    told.push(("awaited by", list(awaited_by)));
                }
                lines(&mut text, &told);
                text
            }
            Self::NotPlaced { why } => {
                format!(
                    "Plan {plan} has no time for it: {why}. No way was found, which does not prove that there is none."
                )
            }
            Self::NoSchedule { conflict, concerned, nevers } => {
                let mut text = format!("No schedule of plan {plan} exists: {}", conflict.why);
                let mut told = Vec::new();
                if !concerned && nevers.is_empty() {
                    told.push(("but", "this node takes no part in that".to_owned()));
                }
                if *concerned {
                    for member in &conflict.members {
                        told.push((
                            "change",
                            format!("{}: {}: {}", named(member), member.field, member.help),
                        ));
                    }
                }
                for never in nevers.iter().filter(|n| !concerned || n.why != conflict.why) {
                    let member = &never.member;
                    told.push(("blocked", never.why.clone()));
                    told.push(("change", format!("{}: {}: {}", named(member), member.field, member.help)));
                }
                lines(&mut text, &told);
                text
            }
        }
    }
}

fn named(member: &crate::schedule::conflict::Member) -> String {
    match member.namespace.as_str() {
        "" => format!("{} {}", member.kind, member.name),
        namespace => format!("{} {namespace}/{}", member.kind, member.name),
    }
}
