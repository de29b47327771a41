//! One node's way: from its recorded state and what is observed to the next state, effects and holds.

use jiff::Timestamp;

use super::drain::{DrainOptions, Pending, VmFate, drain_node, fate};
use super::hooks::{self, HookStep};
use super::{Decision, NodeProgress, View, safety, verify};
use crate::inventory::Node;
use crate::plan::v1alpha1::{HookPoint, OnTimeout, OnUncordoned, Scope, StaysOff};
use crate::reconcile::{
    DrainedVm, Effect, EvictionAnswer, Hold, HookScope, NodePatch, NodePhase, NodeState, StateChange,
};

/// The first state of a node, written with its cordon.
pub(super) fn admitted(view: &View<'_>, node: &Node, group: &str, wave: u32) -> NodeState {
    let start_afterwards = view.plan.virtual_machines.stays_off == StaysOff::StartAfterwards;
    let vms = view.inventory.pods_on(&node.name).filter(|p| p.is_launcher() && !p.phase.is_terminal());
    let vms = vms.filter_map(|pod| {
        let vmi = view.inventory.vmi_of(pod)?;
        let stays_off = matches!(
            fate(view.inventory, pod),
            VmFate::ShutsDown(super::drain::Comeback::StaysOff(_) | super::drain::Comeback::BareInstance)
        );
        Some(DrainedVm {
            name: vmi.name.clone(),
            uid: vmi.uid.clone(),
            start_afterwards: start_afterwards && stays_off,
        })
    });
    NodeState {
        campaign: view.campaign.to_owned(),
        group: group.to_owned(),
        wave,
        phase: NodePhase::Cordoned,
        since: Some(view.now),
        started_at: Some(view.now),
        was_unschedulable: node.unschedulable,
        boot_id: node.boot_id.clone(),
        vms: vms.collect(),
        ..NodeState::default()
    }
}

/// One node's step within a decision.
pub(super) struct Step<'a, 'b> {
    pub view: &'a View<'a>,
    pub node: &'a Node,
    pub state: NodeState,
    pub pending: &'b mut Pending,
    pub decision: &'b mut Decision,
    pub progress: NodeProgress,
}

impl Step<'_, '_> {
    /// Takes the step.
    pub(super) fn take(mut self) {
        if self.guards_cordon() {
            match self.state.phase {
                NodePhase::Cordoned => self.at_hooks(HookPoint::PreDrain, NodePhase::Draining),
                NodePhase::Draining => self.draining(),
                NodePhase::Drained => self.drained(),
                NodePhase::SafeToPowerOff => self.safe(),
                NodePhase::InMaintenance => self.at_hooks(HookPoint::Maintenance, NodePhase::Verifying),
                NodePhase::Verifying => self.verifying(),
                NodePhase::Uncordoning => self.at_hooks(HookPoint::PostUncordon, NodePhase::Done),
                NodePhase::Failed => self.failed(),
                NodePhase::Done | NodePhase::Skipped => self.finished(),
                NodePhase::Pending => {}
            }
        }
        self.start_vms();
        self.decision.nodes.insert(self.node.name.clone(), self.progress);
    }

    fn options(&self) -> DrainOptions {
        DrainOptions::of_plan(&self.view.plan.drain, &self.view.plan.virtual_machines)
    }

    fn hold(&mut self, hold: Hold) {
        self.progress.holds.push(hold);
    }

    fn patch(&mut self, state: StateChange, unschedulable: Option<bool>) {
        self.decision.effects.push(Effect::PatchNode(NodePatch {
            node: self.node.name.clone(),
            resource_version: self.node.resource_version.clone(),
            unschedulable,
            state,
        }));
    }

    fn write(&mut self, state: NodeState) {
        self.patch(StateChange::Set(Box::new(state)), None);
    }

    fn enter(&mut self, phase: NodePhase) {
        let mut state = self.state.enter(phase, self.view.now);
        let mut unschedulable = None;
        match phase {
            NodePhase::Drained => state.pods_evicted += self.evicted_by_us(),
            // Exactly the state found before: a node that an admin had cordoned stays cordoned.
            NodePhase::Uncordoning | NodePhase::Skipped => {
                unschedulable = (self.node.unschedulable != self.state.was_unschedulable)
                    .then_some(self.state.was_unschedulable);
            }
            _ => {}
        }
        if phase.is_terminal() {
            state.finished_at = Some(self.view.now);
        }
        self.patch(StateChange::Set(Box::new(state)), unschedulable);
    }

    fn fail(&mut self, reason: String) {
        let mut state = self.state.enter(NodePhase::Failed, self.view.now);
        state.pods_evicted += if self.state.phase == NodePhase::Draining { self.evicted_by_us() } else { 0 };
        state.finished_at = Some(self.view.now);
        state.reason = Some(reason);
        self.write(state);
    }

    /// Pods that left after this process asked for it.
    fn evicted_by_us(&self) -> u32 {
        let left = |(uid, attempt): (&String, &super::EvictionAttempt)| {
            let asked = matches!(
                attempt.answer,
                Some(EvictionAnswer::Granted | EvictionAnswer::Evacuating | EvictionAnswer::Gone)
            );
            let here = self
                .view
                .inventory
                .pod(&attempt.pod)
                .is_some_and(|p| &p.uid == uid && !p.phase.is_terminal());
            asked && attempt.node == self.node.name && !here
        };
        self.view.ledger.evictions.iter().filter(|e| left(*e)).count() as u32
    }

    /// Notices somebody else's uncordon. True if the step may go on.
    fn guards_cordon(&mut self) -> bool {
        let cordoned_phase = self.state.phase.is_active() && self.state.phase != NodePhase::Uncordoning;
        if !cordoned_phase || self.node.unschedulable {
            return true;
        }
        match self.view.plan.drain.on_uncordoned {
            OnUncordoned::Recordon => {
                let state = NodeState { recordoned: self.state.recordoned + 1, ..self.state.clone() };
                self.decision.warnings.push(format!(
                    "node {} was uncordoned by somebody else while it was {}; cordoned again",
                    self.node.name,
                    self.state.phase.name()
                ));
                self.patch(StateChange::Set(Box::new(state)), Some(true));
            }
            OnUncordoned::Fail => self.fail("uncordoned by somebody else in the middle".to_owned()),
        }
        false
    }

    fn deadline(&mut self, timeout: std::time::Duration) -> bool {
        let since = self.state.since.unwrap_or(self.view.now);
        let at = since + jiff::SignedDuration::try_from(timeout).unwrap_or(jiff::SignedDuration::MAX);
        if self.view.now < at {
            self.decision.wake(at);
        }
        self.view.now >= at
    }

    /// Runs the hooks of a point; enters the next phase when all have succeeded.
    fn at_hooks(&mut self, point: HookPoint, next: NodePhase) {
        match self.hooks(point) {
            HookStep::AllDone => self.enter(next),
            step => self.hook_step(step),
        }
    }

    fn hooks(&self, point: HookPoint) -> HookStep {
        let scope = HookScope::Node(self.node.name.clone());
        let group = Some(self.state.group.as_str());
        let NodeState { hooks_done, hook, boot_id, .. } = &self.state;
        hooks::step(self.view, point, &scope, group, hooks_done, hook.as_ref(), boot_id)
    }

    fn hook_step(&mut self, step: HookStep) {
        match step {
            HookStep::AllDone => {}
            HookStep::Record(progress) => {
                self.hold(Hold::Hook {
                    name: progress.name.clone(),
                    progress: format!("try {}", progress.attempt),
                });
                self.write(NodeState { hook: Some(progress), ..self.state.clone() });
            }
            HookStep::Run(effect, name) => {
                self.decision.effects.push(effect);
                self.hold(Hold::Hook { name, progress: "starting".to_owned() });
            }
            HookStep::Wait(name, progress, wake) => {
                self.hold(Hold::Hook { name, progress });
                if let Some(at) = wake {
                    self.decision.wake(at);
                }
            }
            HookStep::Succeeded(index) => {
                let mut state = NodeState { hook: None, ..self.state.clone() };
                state.hooks_done.push(index);
                self.write(state);
            }
            HookStep::Failed(reason) => self.fail(reason),
        }
    }

    /// Evicts what may be evicted now. True when nothing is left to leave.
    fn drain(&mut self) -> bool {
        let options = self.options();
        let mut step = drain_node(
            self.view.inventory,
            self.view.ledger,
            self.pending,
            &self.node.name,
            &options,
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
            self.hold(Hold::Unsafe { why: super::drain::filter::group(message, pods) });
        }
        step.done
    }

    fn draining(&mut self) {
        if self.drain() {
            return self.enter(NodePhase::Drained);
        }
        if self.deadline(self.view.plan.drain.timeout.0) && self.view.stopping.is_none() {
            let waits = self.worst_hold();
            let reason = format!("drain took longer than {}: {waits}", self.view.plan.drain.timeout);
            match self.view.plan.drain.on_timeout {
                OnTimeout::Fail => self.fail(reason),
                OnTimeout::Skip => self.skip(reason),
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

    /// Takes the node out of the campaign and undoes what its drain started.
    fn skip(&mut self, reason: String) {
        let marked = self.view.inventory.vmis_on(&self.node.name).filter_map(|vmi| {
            let mark = vmi.evacuation_node.clone()?;
            let unfinished = self
                .view
                .inventory
                .migrations_of(&vmi.name)
                .filter(|m| !m.is_final() && m.evacuates.is_some());
            let migrations = unfinished.map(|m| m.name.clone()).collect();
            Some(Effect::CancelEvacuation { vmi: vmi.name.clone(), mark, migrations })
        });
        let cancel: Vec<_> = marked.collect();
        self.decision.effects.extend(cancel);
        self.state.reason = Some(reason);
        self.enter(NodePhase::Skipped);
    }

    fn drained(&mut self) {
        // What arrived meanwhile (a VM whose migration to here was under way) leaves like the others.
        self.drain();
        let blockers = safety::blockers(self.view.inventory, &self.node.name, self.scope());
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

    fn safe(&mut self) {
        if let Some(reason) = self.view.stopping {
            return self.hold(Hold::Stopped { reason: reason.to_owned() });
        }
        // Seen anew, in the round that lets the hooks start: what was safe a moment ago may not be now.
        if safety::blockers(self.view.inventory, &self.node.name, self.scope()).is_empty() {
            self.enter(NodePhase::InMaintenance);
        } else {
            self.enter(NodePhase::Drained);
        }
    }

    fn verifying(&mut self) {
        match verify::missing(self.view.inventory, self.node, &self.state, &self.view.plan.verify) {
            None => self.at_hooks(HookPoint::PreUncordon, NodePhase::Uncordoning),
            Some(missing) => {
                if self.deadline(self.view.plan.verify.timeout.0) {
                    self.fail(format!(
                        "verification failed after {}: {missing}",
                        self.view.plan.verify.timeout
                    ));
                } else {
                    self.hold(Hold::Verify { missing });
                }
            }
        }
    }

    fn failed(&mut self) {
        self.progress.reason.clone_from(&self.state.reason);
        match self.hooks(HookPoint::OnFailure) {
            HookStep::AllDone => {}
            HookStep::Failed(reason) => {
                self.decision.warnings.push(format!("node {}: OnFailure {reason}", self.node.name));
            }
            step => self.hook_step(step),
        }
    }

    /// The annotation goes once the campaign's record holds the result.
    fn finished(&mut self) {
        self.progress.reason.clone_from(&self.state.reason);
        // The annotation is what remembers which VMs are to be started again.
        if self.view.recorded_phase(&self.node.name) == Some(self.state.phase) && !self.owes_starts() {
            self.patch(StateChange::Remove, None);
        }
    }

    /// Some VM that was here is to be started again and doesn't live yet; given up after a while, in words.
    fn owes_starts(&mut self) -> bool {
        let lives_again = |vm: &DrainedVm| {
            let vmi = self.view.inventory.vmis().get(&vm.name);
            vmi.is_some_and(|v| v.uid != vm.uid && !v.phase.is_final())
        };
        let there = |vm: &DrainedVm| self.view.inventory.vms().contains_key(&vm.name);
        let owed = self.state.vms.iter().filter(|vm| vm.start_afterwards && there(vm) && !lives_again(vm));
        let owed: Vec<String> = owed.map(|vm| vm.name.to_string()).collect();
        if owed.is_empty() {
            return false;
        }
        let until = self.state.finished_at.unwrap_or(self.view.now) + super::vms::COMEBACK;
        if self.view.now < until {
            self.decision.wake(until);
            return true;
        }
        self.decision.warnings.push(format!(
            "not started again {} minutes after node {}: vm {}; start it by hand",
            super::vms::COMEBACK.as_mins(),
            self.node.name,
            owed.join(", ")
        ));
        false
    }

    /// Starts VMs that the plan wants started again, as soon as their old life is over.
    fn start_vms(&mut self) {
        for vm in self.state.vms.iter().filter(|vm| vm.start_afterwards) {
            let vmi = self.view.inventory.vmis().get(&vm.name);
            let over = vmi.is_none_or(|v| v.uid == vm.uid && v.phase.is_final());
            let record = self.view.inventory.vms().get(&vm.name);
            let Some(record) = record.filter(|_| over) else {
                continue;
            };
            if let Some(request) = self.view.ledger.vm_requests.get(&vm.name) {
                let again: Timestamp = request.asked_at + jiff::SignedDuration::from_secs(15);
                if self.view.now < again {
                    self.decision.wake(again);
                    continue;
                }
            }
            self.decision.effects.push(match (record.run_strategy, vmi) {
                // Once: its finished VMI stays in the way; deleting it starts another.
                (crate::inventory::RunStrategy::Once, Some(vmi)) => {
                    Effect::RestartVmi { vmi: vm.name.clone(), uid: vmi.uid.clone(), by_subresource: false }
                }
                _ => Effect::StartVm { vm: vm.name.clone() },
            });
        }
    }
}
