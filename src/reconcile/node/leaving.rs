//! From the first eviction to a node that is safe to power off; and out again, when the plan has it skipped.

use super::Step;
use crate::plan::v1alpha1::{OnTimeout, Scope};
use crate::reconcile::drain::{DrainOptions, drain_node, filter};
use crate::reconcile::{Effect, Hold, NodePhase, NodeState, safety};

/// A cancellation that had no effect is sent again after this long.
const CANCEL_AGAIN: jiff::SignedDuration = jiff::SignedDuration::from_secs(15);

impl Step<'_, '_> {
    fn options(&self) -> DrainOptions {
        DrainOptions::of_plan(&self.view.plan.drain, &self.view.plan.virtual_machines)
    }

    /// Evicts what may be evicted now. `None` while the node's record is being written; true when nothing is left to leave.
    fn drain(&mut self) -> Option<bool> {
        let options = self.options();
        let mut step = drain_node(
            self.view.inventory,
            self.view.ledger,
            self.pending,
            &self.node.name,
            &options,
            &self.state.drain,
            self.view.now,
        );
        self.progress.pods_left = step.left.len();
        if let Some(reason) = self.view.stopping {
            step.effects.clear();
            self.hold(Hold::Stopped { reason: reason.to_owned() });
        }
        self.decision.effects.append(&mut step.effects);
        self.progress.holds.append(&mut step.holds);
        if let Some(at) = step.wake_at {
            self.decision.wake(at);
        }
        for (message, pods) in &step.fatal {
            self.hold(Hold::Unsafe { why: filter::group(message, pods) });
        }
        // Nothing new is begun for a stop, so nothing new is recorded either.
        if let Some(drain) = step.record.filter(|_| self.view.stopping.is_none()) {
            self.write(NodeState { drain, ..self.state.clone() });
            return None;
        }
        Some(step.done)
    }

    pub(super) fn draining(&mut self) {
        if let Some(reason) = self.state.reason.clone() {
            return self.skipping(&reason);
        }
        if self.records_starts() {
            return;
        }
        match self.drain() {
            None => return,
            Some(true) => return self.enter(NodePhase::Drained),
            Some(false) => {}
        }
        if self.deadline(self.view.plan.drain.timeout.0) && self.view.stopping.is_none() {
            let waits = self.worst_hold();
            let reason = format!("drain took longer than {}: {waits}", self.view.plan.drain.timeout);
            match self.view.plan.drain.on_timeout {
                OnTimeout::Fail => self.fail(reason),
                // The reason in the node's own record is what says "skipping", across a crash, too.
                OnTimeout::Skip => self.write(NodeState { reason: Some(reason), ..self.state.clone() }),
                OnTimeout::Wait => {
                    self.decision
                        .warnings
                        .push(format!("node {}: {reason}; the plan says to wait", self.node.name));
                }
            }
        }
    }

    /// The hold that an operator should hear of first: one that never resolves, before one that is just slow.
    fn worst_hold(&self) -> String {
        let worst = self.progress.holds.iter().max_by_key(|h| h.prospect());
        worst.map_or_else(|| "pods are left".to_owned(), ToString::to_string)
    }

    /// Undoes what the drain started, then takes the node out of the campaign.
    fn skipping(&mut self, reason: &str) {
        let mut undone = true;
        let marked: Vec<_> =
            self.view.inventory.vmis_on(&self.node.name).filter(|v| !v.phase.is_final()).collect();
        for vmi in marked {
            let unfinished = self.view.inventory.migrations_of(&vmi.name);
            let unfinished = unfinished.filter(|m| !m.is_final() && m.evacuates.is_some());
            let migrations: Vec<_> = unfinished.map(|m| m.name.clone()).collect();
            if vmi.evacuation_node.is_none() && migrations.is_empty() {
                continue;
            }
            undone = false;
            let request = self.view.ledger.vm_requests.get(&vmi.name);
            let refused = request.and_then(|r| r.refused.as_deref()).unwrap_or("asked for");
            self.hold(Hold::Unsafe {
                why: format!("evacuation of vm {} is being cancelled ({refused})", vmi.name),
            });
            if let Some(again) = request.map(|r| r.asked_at + CANCEL_AGAIN).filter(|at| *at > self.view.now) {
                self.decision.wake(again);
                continue;
            }
            let mark = vmi.evacuation_node.clone().unwrap_or_else(|| self.node.name.clone());
            self.decision.effects.push(Effect::CancelEvacuation { vmi: vmi.name.clone(), mark, migrations });
        }
        if undone {
            self.state.reason = Some(reason.to_owned());
            self.enter(NodePhase::Skipped);
        }
    }

    pub(super) fn drained(&mut self) {
        if self.records_starts() {
            return;
        }
        // What arrived meanwhile (a VM whose migration to here was under way) leaves like the others.
        if self.drain().is_none() {
            return;
        }
        let blockers = self.blockers();
        if blockers.is_empty() {
            return self.enter(NodePhase::SafeToPowerOff);
        }
        let first = blockers.first().cloned().unwrap_or_default();
        for why in blockers {
            self.hold(Hold::Unsafe { why });
        }
        if self.deadline(self.view.plan.safe_power_off.timeout.0) {
            let timeout = self.view.plan.safe_power_off.timeout;
            self.fail(format!("not safe to power off after {timeout}: {first}"));
        }
    }

    fn scope(&self) -> Scope {
        // With a pod selector of the plan's own, pods that it leaves out may stay.
        if self.view.plan.drain.pod_selector.is_some() {
            Scope::VirtualMachines
        } else {
            self.view.plan.drain.scope
        }
    }

    /// What stands against powering the node off.
    pub(super) fn blockers(&self) -> Vec<String> {
        safety::blockers(self.view.inventory, &self.node.name, self.scope())
    }

    pub(super) fn safe(&mut self) {
        if let Some(reason) = self.view.stopping {
            return self.hold(Hold::Stopped { reason: reason.to_owned() });
        }
        // Seen anew, in the round that lets the hooks start: what was safe a moment ago may not be now.
        let next = if self.blockers().is_empty() { NodePhase::InMaintenance } else { NodePhase::Drained };
        self.enter(next);
    }
}
