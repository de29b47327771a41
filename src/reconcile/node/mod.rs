//! One node's way: from its recorded state and what is observed to the next state, effects and holds.

mod leaving;
mod starts;
mod surges;

use super::drain::{DrainRecord, Pending};
use super::hooks::{self, HookStep};
use super::{Decision, NodeProgress, View, verify};
use crate::inventory::Node;
use crate::plan::v1alpha1::{CampaignNode, HookPoint, OnUncordoned};
use crate::reconcile::{
    Effect, EvictionAnswer, Hold, HookScope, NodePatch, NodePhase, NodeState, StateChange,
};

/// The first state of a node, written with its cordon. `found` is the state that it carries already: of a failure that is
/// tried again, or of an earlier campaign, whose word on how the node was found counts.
pub(super) fn admitted(
    view: &View<'_>,
    node: &Node,
    found: Option<NodeState>,
    group: &str,
    wave: u32,
) -> NodeState {
    let retried = found.as_ref().filter(|s| s.campaign == view.campaign);
    if let Some(state) = retried {
        return NodeState { wave, ..state.retried(&view.plan.hooks, view.now) };
    }
    let mut vms = starts::drained_vms(view, node);
    vms.extend(found.iter().flat_map(|s| &s.vms).filter(|vm| vm.start_afterwards).cloned());
    // What an earlier campaign scaled up is still to be scaled back.
    let surges = found.iter().flat_map(|s| s.drain.open_surges()).cloned().collect();
    NodeState {
        campaign: view.campaign.to_owned(),
        group: group.to_owned(),
        wave,
        phase: NodePhase::Cordoned,
        since: Some(view.now),
        started_at: Some(view.now),
        was_unschedulable: found.map_or(node.unschedulable, |s| s.was_unschedulable),
        boot_id: node.boot_id.clone(),
        had_kvm: node.kvm.is_some_and(|devices| devices > 0),
        vms,
        drain: DrainRecord { surges, ..DrainRecord::default() },
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
                NodePhase::InMaintenance => self.in_maintenance(),
                NodePhase::Verifying => self.verifying(),
                NodePhase::Uncordoning => self.at_hooks(HookPoint::PostUncordon, NodePhase::Done),
                NodePhase::Failed => self.failed(),
                NodePhase::Done | NodePhase::Skipped => self.finished(),
                NodePhase::Pending => {}
            }
        }
        self.start_vms();
        self.scale_back();
        self.decision.nodes.insert(self.node.name.clone(), self.progress);
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
            taints: None,
        }));
    }

    fn write(&mut self, state: NodeState) {
        self.patch(StateChange::Set(Box::new(state)), None);
    }

    fn enter(&mut self, phase: NodePhase) {
        let mut state = self.state.enter(phase, self.view.now);
        state.pods_evicted += self.evicted_in_this_phase();
        let mut unschedulable = None;
        match phase {
            // Exactly the state found before: a node that an admin had cordoned stays cordoned.
            NodePhase::Uncordoning | NodePhase::Skipped => {
                unschedulable = (self.node.unschedulable != self.state.was_unschedulable)
                    .then_some(self.state.was_unschedulable);
            }
            _ => {}
        }
        if phase == NodePhase::Drained {
            state.drained_at = Some(self.view.now);
        }
        if phase.is_terminal() {
            state.finished_at = Some(self.view.now);
        }
        self.patch(StateChange::Set(Box::new(state)), unschedulable);
    }

    fn fail(&mut self, reason: String) {
        let mut state = self.state.enter(NodePhase::Failed, self.view.now);
        state.pods_evicted += self.evicted_in_this_phase();
        state.finished_at = Some(self.view.now);
        state.reason = Some(reason);
        self.write(state);
    }

    /// Pods that left after this process asked for it in the present phase.
    fn evicted_in_this_phase(&self) -> u32 {
        // What is cheap to see comes first: there may be as many attempts as the campaign has pods.
        let left = |(uid, attempt): (&String, &super::EvictionAttempt)| {
            let now = self.state.since.is_none_or(|since| attempt.asked_at >= since);
            if attempt.node != self.node.name || !now {
                return false;
            }
            let asked = matches!(
                attempt.answer,
                Some(EvictionAnswer::Granted | EvictionAnswer::Evacuating | EvictionAnswer::Gone)
            );
            let pod = || self.view.inventory.pod(&attempt.pod);
            asked && !pod().is_some_and(|p| &p.uid == uid && !p.phase.is_terminal())
        };
        self.view.ledger.evictions.iter().filter(|e| left(*e)).count() as u32
    }

    /// Notices somebody else's uncordon. True if the step may go on.
    fn guards_cordon(&mut self) -> bool {
        let cordoned_phase = self.state.phase.is_active() && self.state.phase != NodePhase::Uncordoning;
        let is_skipping = self.state.phase == NodePhase::Draining && self.state.reason.is_some();
        if !cordoned_phase || is_skipping || self.node.unschedulable {
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
        let NodeState { hooks_done, hook, .. } = &self.state;
        hooks::step(self.view, point, &scope, group, hooks_done, hook.as_ref(), &self.node.boot_id)
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
                let run = self.state.hook.as_ref().filter(|run| run.hook == index);
                state.hooks_took.extend(run.and_then(|run| run.took(self.view.now)));
                self.write(state);
            }
            HookStep::Failed(reason) => self.fail(reason),
        }
    }

    /// Hooks run on a node that is safe to power off, and on no other: what came in meanwhile (somebody uncordoned it, and
    /// a VM was placed here) leaves before the next one starts.
    fn in_maintenance(&mut self) {
        let step = self.hooks(HookPoint::Maintenance);
        let is_ours = self.state.hook.as_ref().is_some_and(|hook| hook.driver == self.view.driver);
        let begins = match &step {
            HookStep::Record(_) => {
                if let Some(pod) = self.hook_pod() {
                    let why = format!("pod {pod} of an earlier hook is still running");
                    return self.hold(Hold::Unsafe { why });
                }
                true
            }
            // One that another driver began is taken up, whatever has come in: it may be under way.
            HookStep::Run(..) => is_ours,
            _ => false,
        };
        if let Some(why) = self.blockers().first().filter(|_| begins) {
            self.decision.warnings.push(format!(
                "node {} is in maintenance and not safe to power off any more: {why}; drained again",
                self.node.name
            ));
            return self.enter(NodePhase::Draining);
        }
        match step {
            HookStep::AllDone => self.enter(NodePhase::Verifying),
            step => self.hook_step(step),
        }
    }

    /// A pod of a hook that still runs here: of an earlier campaign, or of a try that could not be ended.
    fn hook_pod(&self) -> Option<String> {
        let mut pods = self.view.inventory.pods_on(&self.node.name);
        pods.find(|p| p.is_of_hook() && !p.phase.is_terminal()).map(|p| p.name.to_string())
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
        let holds_result =
            |r: &CampaignNode| r.surged.is_empty() && NodePhase::named(&r.phase) == self.state.phase;
        let is_recorded = self.view.recorded(&self.node.name).is_some_and(holds_result);
        if is_recorded && !self.owes_scaling() && !self.owes_starts() {
            self.patch(StateChange::Remove, None);
        }
    }
}
