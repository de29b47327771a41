//! What stands in the way of a node or a VM, and what it waits for: `virtroll explain`.

mod node;
mod place;
#[cfg(test)]
mod tests;
mod vm;

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde::Serialize;

pub use node::{Carried, InCampaign, NodeExplained, VmCarried, WithoutRoom};
pub use place::InPlan;
pub use vm::{MigrationSeen, VmExplained};

use super::outlook::Outlook;
use super::words::{count, duration};
use crate::inventory::{Budget, Inventory, Pod};
use crate::plan::v1alpha1::{Group, MaintenancePlanSpec, StaysOff};
use crate::reconcile::drain::{Comeback, DrainOptions, VmConsent, VmFate, budget, fate};
use crate::reconcile::{NodeState, Prospect};
use crate::schedule::conflict::{Conflict, Never};
use crate::schedule::decode::places;
use crate::schedule::instance::Landing;
use crate::schedule::model::Model;
use crate::schedule::problem::{self, Durations, Progress};
use crate::schedule::search::{Effort, plan};
use crate::schedule::{self, GroupNodes};

/// Names that a line shows before it only counts.
const SHOWN: usize = 6;

/// What the planner made of a plan.
#[derive(Debug)]
pub enum Forecast {
    /// A schedule.
    Schedule(Outlook),
    /// Proof that there is none, and everything that never works by itself.
    Against(Conflict, Vec<Never>),
}

/// A plan beside the cluster.
#[derive(Debug)]
pub struct Planned<'a> {
    /// Name of the plan.
    pub name: &'a str,
    /// What it says.
    pub spec: &'a MaintenancePlanSpec,
    /// Its groups on this cluster.
    pub groups: &'a [GroupNodes],
    /// Nodes that its campaign has behind it.
    pub done: BTreeSet<String>,
    /// What the planner makes of it.
    pub forecast: Forecast,
}

/// A budget as it stands for pods of one node, or for one VM.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BudgetSeen {
    /// Namespace and name.
    pub name: String,
    /// Its pods that are meant.
    pub pods: usize,
    /// Disruptions that it allows now.
    pub allows: u32,
    /// Why it allows none; absent where it allows some.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// Waiting will not change that.
    pub never: bool,
}

impl BudgetSeen {
    fn of(budget: &Budget, pods: usize) -> Self {
        let allows = u32::try_from(budget.disruptions_allowed).unwrap_or(0);
        let refusal = (allows == 0).then(|| budget::explain(budget, 0, false));
        Self {
            name: budget.name.to_string(),
            pods,
            allows,
            never: refusal.as_ref().is_some_and(|(_, prospect)| *prospect == Prospect::Never),
            why: refusal.map(|(why, _)| why),
        }
    }

    /// `here`: what is meant by its pods.
    fn words(&self, here: &str) -> String {
        let Self { name, why, .. } = self;
        match why {
            Some(why) => format!("{name}{here} allows no disruption now: {why}"),
            None => format!("{name}{here} allows {} now", count(self.allows as usize, "disruption")),
        }
    }
}

/// What a drain may do: as the plan says, or whatever a plan may consent to.
fn options(plan: Option<&Planned<'_>>) -> DrainOptions {
    match plan {
        Some(plan) => DrainOptions::of_plan(&plan.spec.drain, &plan.spec.virtual_machines),
        None => DrainOptions {
            ignore_daemon_sets: true,
            delete_empty_dir_data: true,
            force: true,
            ..DrainOptions::default()
        },
    }
}

/// What an eviction does to the VM of a launcher pod, and whether that is what keeps the node from being drained.
fn becomes(inventory: &Inventory, pod: &Pod, plan: Option<&Planned<'_>>) -> (String, bool) {
    let fate = fate(inventory, pod);
    let consent = plan.map(|plan| VmConsent(plan.spec.virtual_machines.clone()));
    let name = inventory.vmi_of(pod).map_or(&pod.name, |vmi| &vmi.name);
    let node = pod.node.as_deref().unwrap_or_default();
    if let Some(refusal) = consent.as_ref().and_then(|c| c.refusal(name, node, &fate)) {
        let refusal = refusal.strip_prefix(&format!("vm {name} on {node} ")).unwrap_or(&refusal).to_owned();
        return (refusal, true);
    }
    let restarts = consent.as_ref().is_some_and(|c| c.restarts(&fate));
    let starts = plan.is_some_and(|p| p.spec.virtual_machines.stays_off == StaysOff::StartAfterwards);
    let words = match fate {
        VmFate::Migrates => "live-migrates".to_owned(),
        VmFate::NotMigratable { reason, .. } if restarts => {
            format!("is shut down and started elsewhere, as the plan says: it cannot live-migrate ({reason})")
        }
        VmFate::NotMigratable { reason, message, .. } => {
            let message = if message.is_empty() { String::new() } else { format!(" ({message})") };
            let help = crate::inventory::remedy(&reason);
            return (format!("cannot live-migrate: {reason}{message}; waiting will not help: {help}"), true);
        }
        VmFate::Booting => "boots; whether it can live-migrate is known when its guest runs".to_owned(),
        VmFate::External => "is marked, and an outside controller has to move it".to_owned(),
        VmFate::ShutsDown(Comeback::ByItself) => "is shut down and starts again elsewhere".to_owned(),
        VmFate::ShutsDown(Comeback::StaysOff(strategy)) if starts => {
            format!("is shut down, and started again afterwards (run strategy {})", strategy.name())
        }
        VmFate::ShutsDown(Comeback::StaysOff(strategy)) => {
            format!("is shut down and stays off (run strategy {})", strategy.name())
        }
        VmFate::ShutsDown(Comeback::BareInstance) => {
            "is shut down and lost: no VirtualMachine starts it again".to_owned()
        }
        VmFate::MigrationTarget => "arrives by a migration, and leaves again once it is here".to_owned(),
        VmFate::MigrationSource => "has left by a migration; its old pod ends by itself".to_owned(),
        VmFate::Over => "is over".to_owned(),
    };
    (words, false)
}

/// An item of a node, who owns it, and the nodes that have room for it now.
struct Room {
    item: String,
    workload: String,
    nodes: Vec<String>,
}

/// Where each item of a node could go now, those left out that come up nowhere again.
fn room(inventory: &Inventory, plan: Option<&Planned<'_>>, node: &str) -> Vec<Room> {
    let mut spec = plan.map(|p| p.spec.clone()).unwrap_or_default();
    spec.drain.force = true;
    spec.groups = vec![Group { name: node.to_owned(), ..Group::default() }];
    let groups = [GroupNodes { name: node.to_owned(), nodes: vec![node.to_owned()] }];
    let problem = problem::of(&spec, &groups, inventory, &Durations::default(), &Progress::default());
    let instance = &problem.instance;
    let Some(id) = instance.nodes.name.iter().position(|n| n == node) else { return Vec::new() };
    let is_meant = |item: &u32| {
        let item = *item as usize;
        instance.items.node[item] as usize == id && instance.items.landing[item] != Landing::Nowhere
    };
    let items: Vec<u32> = (0..instance.items.len() as u32).filter(is_meant).collect();
    let found = places(&Model::new(instance), &items);
    let named = |(item, nodes): (&u32, Vec<u32>)| Room {
        item: instance.items.name[*item as usize].clone(),
        workload: problem.workloads[problem.workload_of[*item as usize] as usize].to_string(),
        nodes: nodes.into_iter().map(|n| instance.nodes.name[n as usize].clone()).collect(),
    };
    items.iter().zip(found).map(named).collect()
}

/// How far the plan's campaign has come: what its record has as done, and what the nodes in work say of themselves.
fn progress(
    groups: &[GroupNodes],
    inventory: &Inventory,
    done: BTreeSet<String>,
    now: Timestamp,
) -> Progress {
    let due = groups.iter().flat_map(|g| &g.nodes).filter(|n| !done.contains(*n));
    let over = |name: &String| {
        let state = NodeState::of(inventory.node(name)?)?.ok()?;
        Some((name.clone(), state.over(now)?))
    };
    Progress { under_way: due.filter_map(over).collect(), done, ..Progress::default() }
}

/// What is known of the plan's campaigns.
#[derive(Debug, Default)]
pub struct SoFar {
    /// Nodes that the one under way has behind it.
    pub done: BTreeSet<String>,
    /// How long things take, by what they all have shown.
    pub durations: Durations,
}

/// What the planner makes of a plan from now on.
pub fn planned<'a>(
    plan: (&'a str, &'a MaintenancePlanSpec),
    groups: &'a [GroupNodes],
    cluster: &str,
    inventory: &Inventory,
    so_far: SoFar,
    now: Timestamp,
    effort: Effort,
) -> Planned<'a> {
    let (name, spec) = plan;
    let progress = progress(groups, inventory, so_far.done, now);
    let forecast = forecast(plan, groups, cluster, inventory, (&progress, &so_far.durations, effort));
    Planned { name, spec, groups, done: progress.done, forecast }
}

fn forecast(
    (name, spec): (&str, &MaintenancePlanSpec),
    groups: &[GroupNodes],
    cluster: &str,
    inventory: &Inventory,
    (progress, durations, effort): (&Progress, &Durations, Effort),
) -> Forecast {
    match schedule::Planned::new(spec, groups, inventory, durations, progress) {
        Err(found) => Forecast::Against(found.conflict, found.nevers),
        Ok(schedule::Planned { problem, taken_out }) => {
            let found = plan(&problem.instance, effort);
            Forecast::Schedule(Outlook::new(name, cluster, &problem, &found, &taken_out))
        }
    }
}

/// `+4m 35s`.
fn after(seconds: f64) -> String {
    format!("+{}", duration(seconds.round() as i64))
}

/// Some names, and how many more.
fn list(names: &[String]) -> String {
    let mut text = names[..names.len().min(SHOWN)].join(", ");
    if names.len() > SHOWN {
        text.push_str(&format!(" and {} more", names.len() - SHOWN));
    }
    text
}

/// Lines under a headline, each with what it is about.
fn lines(text: &mut String, lines: &[(&str, String)]) {
    for (about, words) in lines {
        text.push_str(&format!("\n  {about:<10} {words}"));
    }
}
