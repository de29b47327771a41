//! A VM: where it runs, what a drain does to it, and when the plan's schedule moves it.

use jiff::Timestamp;
use serde::Serialize;

use super::{BudgetSeen, Forecast, Planned, after, becomes, lines, list, room};
use crate::inventory::{Inventory, Migration, ObjectName, VirtualMachineInstance};
use crate::reconcile::drain::budget::budgets_of;
use crate::report::outlook::OutlookMove;

/// A VM, explained.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct VmExplained {
    /// Namespace and name.
    pub vm: String,
    /// The node on which it runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// How it stands, in words.
    pub state: String,
    /// Its eviction strategy, and where that comes from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub eviction_strategy: Option<String>,
    /// What an eviction does to it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub becomes: Option<String>,
    /// That keeps its node from being drained.
    pub blocked: bool,
    /// Nodes that have room for it now; absent if it comes up nowhere again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub room: Option<Vec<String>>,
    /// Budgets over its pod.
    pub budgets: Vec<BudgetSeen>,
    /// Migrations that are under way.
    pub migrations: Vec<MigrationSeen>,
    /// Its moves in the plan's schedule.
    pub moves: Vec<OutlookMove>,
    /// What the plan's schedule has for its node, in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub in_plan: Option<String>,
}

/// A migration under way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct MigrationSeen {
    /// Its name.
    pub name: String,
    /// Its phase.
    pub phase: String,
    /// Since when.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// The node that it evacuates, if that is what it is for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub evacuates: Option<String>,
}

impl VmExplained {
    /// Looks at a VM; `None` if there is neither a VirtualMachine nor an instance of that name.
    pub fn of(inventory: &Inventory, name: &ObjectName, plan: Option<&Planned<'_>>) -> Option<Self> {
        let vm = inventory.vm(name);
        let Some(vmi) = inventory.vmi(name) else {
            let strategy = vm?.run_strategy.name();
            return Some(Self::off(name, format!("is off (run strategy {strategy}): no drain touches it")));
        };
        let mut found = Self::off(name, String::new());
        found.node.clone_from(&vmi.node);
        found.state = match &vmi.node {
            Some(node) => format!("is {:?} on {node}", vmi.phase),
            None => format!("is {:?} and has no node yet", vmi.phase),
        };
        found.eviction_strategy = Some(strategy(inventory, vmi));
        if let Some(pod) = inventory.launchers_of(vmi).next() {
            let (words, blocked) = becomes(inventory, pod, plan);
            (found.becomes, found.blocked) = (Some(words), blocked);
            found.budgets = budgets_of(inventory, pod).map(|budget| BudgetSeen::of(budget, 1)).collect();
            let rooms = room(inventory, plan, pod.node.as_deref().unwrap_or_default());
            let own = rooms.into_iter().find(|room| room.item == name.to_string());
            found.room = own.map(|room| room.nodes);
        }
        let under_way = inventory.migrations_of(name).filter(|m| !m.is_final());
        found.migrations = under_way.map(migration).collect();
        if let Some(plan) = plan {
            found.plan(plan);
        }
        Some(found)
    }

    fn off(name: &ObjectName, state: String) -> Self {
        Self {
            vm: name.to_string(),
            node: None,
            state,
            eviction_strategy: None,
            becomes: None,
            blocked: false,
            room: None,
            budgets: Vec::new(),
            migrations: Vec::new(),
            moves: Vec::new(),
            in_plan: None,
        }
    }

    fn plan(&mut self, plan: &Planned<'_>) {
        let name = plan.name;
        let Some(node) = self.node.clone() else { return };
        let is_due = plan.groups.iter().any(|g| g.nodes.contains(&node));
        let words = match &plan.forecast {
            Forecast::Against(conflict, _) => format!("No schedule of plan {name} exists: {}", conflict.why),
            Forecast::Schedule(outlook) => {
                self.moves = outlook.moves.iter().filter(|m| m.name == self.vm).cloned().collect();
                match outlook.nodes.iter().find(|n| n.name == node) {
                    Some(due) => {
                        let why = due.why.as_ref().map(|why| format!(" ({why})")).unwrap_or_default();
                        format!("In plan {name} {node} starts {}{why}", after(due.start_seconds))
                    }
                    None if is_due => format!("Plan {name} has no time for {node}"),
                    None => format!("Plan {name} is not about {node}"),
                }
            }
        };
        self.in_plan = Some(words);
    }

    /// For a terminal.
    pub fn text(&self) -> String {
        let mut text = format!("{} {}", self.vm, self.state);
        let mut told: Vec<(&str, String)> = Vec::new();
        told.extend(self.eviction_strategy.iter().map(|s| ("eviction", format!("strategy {s}"))));
        let about = if self.blocked { "blocked" } else { "drained" };
        told.extend(self.becomes.iter().map(|words| (about, format!("it {words}"))));
        if let Some(nodes) = self.room.as_ref().filter(|_| !self.blocked) {
            told.push((
                "room",
                if nodes.is_empty() { "on no other node now".to_owned() } else { list(nodes) },
            ));
        }
        told.extend(self.budgets.iter().map(|budget| ("budget", budget.words(""))));
        told.extend(self.migrations.iter().map(|m| ("migration", m.words())));
        lines(&mut text, &told);
        if let Some(words) = &self.in_plan {
            text.push_str(&format!("\n{words}"));
            let moves: Vec<_> = self.moves.iter().map(|m| ("moves", moved(m))).collect();
            lines(&mut text, &moves);
        }
        text
    }
}

fn strategy(inventory: &Inventory, vmi: &VirtualMachineInstance) -> String {
    let cluster_wide = inventory.kubevirt.as_ref().and_then(|k| k.eviction_strategy.as_deref());
    match (&vmi.eviction_strategy, cluster_wide) {
        (Some(own), _) => own.clone(),
        (None, Some(cluster_wide)) => format!("{cluster_wide} (the cluster's default)"),
        (None, None) => "none: an eviction shuts it down".to_owned(),
    }
}

fn migration(migration: &Migration) -> MigrationSeen {
    MigrationSeen {
        name: migration.name.to_string(),
        phase: if migration.phase.is_empty() { "Pending".to_owned() } else { migration.phase.clone() },
        since: migration.phase_since.or(migration.created),
        evacuates: migration.evacuates.clone(),
    }
}

impl MigrationSeen {
    fn words(&self) -> String {
        let since = self.since.map(|t| format!(" since {}", t.strftime("%H:%M:%S UTC"))).unwrap_or_default();
        let of = self.evacuates.as_ref().map(|node| format!(", evacuates {node}")).unwrap_or_default();
        format!("{}: {}{since}{of}", self.name, self.phase)
    }
}

fn moved(a_move: &OutlookMove) -> String {
    let OutlookMove { from, to, start_seconds, arrival_seconds, .. } = a_move;
    let (start, arrival) = (after(*start_seconds), after(*arrival_seconds));
    match to {
        Some(to) => format!("{start} from {from} to {to}, there {arrival}"),
        None => format!("{start} from {from}, back {arrival}"),
    }
}
