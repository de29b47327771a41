//! Launcher pods within a drain: evacuations, shutdowns and restarts of their guests.

use super::budget::{self, BudgetAnswer};
use super::vm::{Comeback, VmFate, comeback, fate, not_migratable_text};
use super::{DrainOptions, DrainStep, Look, Pending, RETRY};
use crate::inventory::{Inventory, Migration, ObjectName, Pod, VirtualMachineInstance};
use crate::reconcile::{Effect, Hold, Prospect, Stage};

/// What would make the drain of a launcher's node fail or never end, before anything is touched.
pub(super) fn obstacle(inventory: &Inventory, pod: &Pod, options: &DrainOptions) -> Option<String> {
    let consent = options.consent.as_ref()?;
    let vmi = inventory.vmi_of(pod)?;
    let fate = fate(inventory, pod);
    if let Some(refusal) = consent.refusal(&vmi.name, pod.node.as_deref().unwrap_or_default(), &fate) {
        return Some(refusal);
    }
    let asked = match fate {
        VmFate::ShutsDown(_) => budget::Asked::Eviction,
        _ if consent.restarts(&fate) => budget::Asked::Restart,
        _ => return None,
    };
    match budget::ask(inventory, pod, &Pending::default(), true, asked) {
        BudgetAnswer::Blocked { budget, why, prospect: Prospect::Never } => {
            let pod = pod.name.clone();
            Some(Hold::Budget { pod, budget, why, prospect: Prospect::Never }.to_string())
        }
        BudgetAnswer::Many(budgets) => Some(Hold::ManyBudgets { pod: pod.name.clone(), budgets }.to_string()),
        BudgetAnswer::Blocked { .. } | BudgetAnswer::Free(_) => None,
    }
}

fn slow(vmi: &ObjectName, progress: impl Into<String>) -> Hold {
    let progress = progress.into();
    Hold::Migrating { vmi: vmi.clone(), progress, stage: Stage::UnderWay, prospect: Prospect::Slow }
}

impl Look<'_> {
    pub(super) fn launcher(&self, pod: &Pod, pending: &mut Pending, step: &mut DrainStep) {
        let fate = fate(self.inventory, pod);
        let vmi = self.inventory.vmi_of(pod);
        let name = vmi.map_or_else(|| pod.name.clone(), |v| v.name.clone());
        let wait =
            |why: &str, prospect| Hold::VirtualMachine { vmi: name.clone(), why: why.to_owned(), prospect };
        match (&self.options.consent, vmi) {
            (Some(consent), Some(vmi)) => {
                if consent.restarts(&fate) {
                    return self.restart(pod, vmi, pending, step);
                }
                if let Some(why) = consent.refusal(&name, self.node, &fate) {
                    step.holds.push(wait(&why, Prospect::Never));
                    return;
                }
            }
            // Nobody knows what an eviction would do to it, so the plan can't have consented.
            (Some(_), None) => {
                step.holds.push(wait(
                    "is not known to KubeVirt's API (yet), but this pod of it runs",
                    Prospect::Uncertain,
                ));
                return;
            }
            (None, _) => {}
        }
        let planned = self.options.consent.is_some();
        match fate {
            VmFate::MigrationTarget => {
                let progress = format!("is migrating to {}; it leaves again once it has arrived", self.node);
                step.holds.push(slow(&name, progress));
            }
            VmFate::MigrationSource => step.holds.push(slow(&name, "has left; its old pod is ending")),
            VmFate::NotMigratable { reason, message, comeback } => {
                let why = not_migratable_text(self.node, &reason, &message, planned.then_some(&comeback));
                step.holds.push(wait(&why, Prospect::Never));
                // A campaign trusts the object; `virtroll drain` lets the webhook say it, once a minute.
                if self.options.consent.is_none() {
                    self.evict(pod, step);
                }
            }
            VmFate::Booting => {
                let why = "is still booting; whether it can migrate is known when its guest runs";
                step.holds.push(wait(why, Prospect::Slow));
            }
            VmFate::Migrates | VmFate::External => self.evacuate(pod, &name, &fate, step),
            VmFate::ShutsDown(_) | VmFate::Over => self.evict_within_budget(pod, pending, step),
        }
    }

    fn restart(&self, pod: &Pod, vmi: &VirtualMachineInstance, pending: &mut Pending, step: &mut DrainStep) {
        if vmi.deleting {
            step.holds.push(slow(&vmi.name, "can't migrate and is being restarted, as the plan says"));
            return;
        }
        if let Some(request) = self.ledger.vm_requests.get(&vmi.name) {
            let again = request.asked_at + RETRY + RETRY;
            if self.now < again {
                step.wake(again, self.now);
                let refused = request.refused.as_deref().map(|r| format!(" (last try: {r})"));
                let refused = refused.unwrap_or_default();
                step.holds
                    .push(slow(&vmi.name, format!("can't migrate; its restart was asked for{refused}")));
                return;
            }
        }
        let strategy = match comeback(self.inventory, vmi) {
            Comeback::StaysOff(strategy) => Some(strategy.name()),
            Comeback::ByItself | Comeback::BareInstance => None,
        };
        let by_subresource = matches!(strategy, Some("Manual" | "RerunOnFailure"));
        // A restart stops the guest as an eviction does, so it takes as much from a budget.
        self.within_budget(pod, budget::Asked::Restart, pending, step, |step| {
            let (name, uid) = (vmi.name.clone(), vmi.uid.clone());
            step.effects.push(Effect::RestartVmi { vmi: name, uid, by_subresource });
            let words = format!("can't migrate; pod {} is restarted elsewhere, as the plan says", pod.name);
            step.holds.push(slow(&vmi.name, words));
        });
    }

    /// Asks for an evacuation once, then watches the mark and the migrations.
    fn evacuate(&self, pod: &Pod, name: &ObjectName, fate: &VmFate, step: &mut DrainStep) {
        let vmi = self.inventory.vmi(name);
        let marked = vmi.is_some_and(|v| v.evacuation_node.is_some() && v.evacuation_node == pod.node);
        let moving = self.inventory.migrations_of(name).any(|m| !m.is_final());
        let asked = self.ledger.evictions.get(&pod.uid);
        let fresh = asked.is_some_and(|a| a.answer.is_none() || self.now < a.asked_at + RETRY);
        if !(marked || moving || fresh) {
            self.evict(pod, step);
        }
        let (progress, stage, prospect) = match fate {
            VmFate::External => {
                let words = "has eviction strategy External: an outside controller must move it; virtroll has asked and waits";
                (words.to_owned(), Stage::UnderWay, Prospect::Uncertain)
            }
            _ => progress(self.inventory, name),
        };
        step.holds.push(Hold::Migrating { vmi: name.clone(), progress, stage, prospect });
        if let Some(attempt) = asked.filter(|_| !marked && !moving) {
            step.wake(attempt.asked_at + RETRY, self.now);
        }
    }
}

/// What KubeVirt's objects say of a VM's evacuation, and whether waiting helps.
fn progress(inventory: &Inventory, vmi: &ObjectName) -> (String, Stage, Prospect) {
    let mut migrations: Vec<_> = inventory.migrations_of(vmi).collect();
    migrations.sort_by_key(|m| m.created);
    let failed = migrations.iter().filter(|m| m.phase == "Failed").count();
    let state = inventory.vmi(vmi).and_then(|v| v.migration_state.as_ref());
    let reason = state.filter(|s| s.failed && !s.failure_reason.is_empty());
    let reason = reason.map(|s| format!(": {}", s.failure_reason)).unwrap_or_default();
    let before = match failed {
        0 => String::new(),
        1 => format!(" (1 try failed{reason}; KubeVirt tries again with growing waits)"),
        n => format!(" ({n} tries failed{reason}; KubeVirt tries again with growing waits)"),
    };
    let (words, stage, prospect) = match migrations.last().filter(|m| !m.is_final()) {
        Some(migration) => under_way(inventory, migration, failed),
        None => ("asked to migrate".to_owned(), Stage::UnderWay, Prospect::Slow),
    };
    let prospect = if failed > 0 { prospect.max(Prospect::Uncertain) } else { prospect };
    (format!("{words}{before}"), stage, prospect)
}

/// An unfinished migration. Phases and conditions are KubeVirt's.
fn under_way(inventory: &Inventory, migration: &Migration, failed: usize) -> (String, Stage, Prospect) {
    let says = |condition: &str| migration.conditions.get(condition).filter(|c| c.status == "True");
    let mut unbound = inventory.unbound_pods();
    let target = unbound.find(|p| p.migration_uid() == Some(migration.uid.as_str()));
    if let Some(why) = target.and_then(|pod| pod.unschedulable.as_deref()) {
        let words = format!("finds no node to migrate to: {why}; KubeVirt gives each try five minutes");
        return (words, Stage::Unplaced, Prospect::Uncertain);
    }
    match migration.phase.as_str() {
        "" | "Pending" => {
            if let Some(refused) = says("migrationRejectedByResourceQuota") {
                let words = format!(
                    "can't migrate yet: a resource quota refuses the target pod ({})",
                    refused.message
                );
                (words, Stage::Unplaced, Prospect::Uncertain)
            } else if says("migrationBlockedByBackup").is_some() {
                ("can't migrate before its backup has ended".to_owned(), Stage::Queued, Prospect::Slow)
            } else if failed > 0 {
                ("queued for its next try to migrate".to_owned(), Stage::Queued, Prospect::Slow)
            } else {
                let words = "queued for migration: KubeVirt's parallel limits are in use";
                (words.to_owned(), Stage::Queued, Prospect::Slow)
            }
        }
        "Running" => ("migrating".to_owned(), Stage::UnderWay, Prospect::Slow),
        phase => (format!("migrating ({phase})"), Stage::UnderWay, Prospect::Slow),
    }
}
