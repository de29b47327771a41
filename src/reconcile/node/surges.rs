//! Workloads that got one more replica for a drain (`drain.surge`) are scaled back: when the pod that was to leave has left and
//! another one serves, or when the node isn't drained any more. Whatever the phase, and whoever drives.

use jiff::SignedDuration;

use super::Step;
use crate::inventory::{Pod, Scalable, ScalableKind};
use crate::reconcile::drain::{DrainRecord, Surge, SurgeStage, scale_wait};
use crate::reconcile::{Effect, Hold, NodePatch, NodePhase, NodeState, vms::COMEBACK};

/// A scale that was asked for, whatever was answered, is seen within this time: longer than any request is waited for.
const LATE_SCALE: SignedDuration = SignedDuration::from_secs(60);

/// What becomes of a surge now.
enum Next {
    /// It stays on record.
    Keep,
    /// It is as it was found, or not virtroll's to change any more.
    Forget,
    /// It can't be undone in time; it stays on record as that.
    GiveUp,
}

impl Step<'_, '_> {
    /// True while a workload is still to be scaled back for this node.
    pub(super) fn owes_scaling(&self) -> bool {
        self.state.drain.open_surges().next().is_some()
    }

    /// Scales back what is due, and takes off the record what is as it was found.
    pub(super) fn scale_back(&mut self) {
        let mut kept = Vec::new();
        for surge in self.state.drain.surges.clone() {
            let next = if surge.stage == SurgeStage::Over { Next::Keep } else { self.next_of(&surge) };
            match next {
                Next::Keep => kept.push(surge),
                Next::Forget => {}
                Next::GiveUp => kept.push(Surge { stage: SurgeStage::Over, ..surge }),
            }
        }
        let is_news = kept != self.state.drain.surges;
        let node = &self.node.name;
        let is_patch = |e: &Effect| matches!(e, Effect::PatchNode(NodePatch { node: n, .. }) if n == node);
        // One patch at a time: what isn't written now is seen again in the next round.
        if is_news && !self.decision.effects.iter().any(is_patch) {
            let drain = DrainRecord { surges: kept, ..self.state.drain.clone() };
            self.write(NodeState { drain, ..self.state.clone() });
        }
    }

    fn next_of(&mut self, surge: &Surge) -> Next {
        let leaving = self.view.inventory.pod(&surge.pod).filter(|p| p.uid == surge.pod_uid && serves(p));
        let is_drained =
            matches!(self.state.phase, NodePhase::Cordoned | NodePhase::Draining | NodePhase::Drained);
        let is_skipping = self.state.phase == NodePhase::Draining && self.state.reason.is_some();
        // The drain is at it.
        if leaving.is_some() && is_drained && !is_skipping {
            return Next::Keep;
        }
        let workload = self.view.inventory.scalables().get(&surge.workload).filter(|w| w.uid == surge.uid);
        let Some(workload) = workload.cloned() else { return Next::Forget };
        if workload.replicas == surge.found {
            return if self.awaits_scale_up(surge) { Next::Keep } else { Next::Forget };
        }
        if workload.replicas != surge.found + 1 {
            self.decision.warnings.push(format!(
                "{} was scaled from {} to {} for the drain of node {}, and has {} now: somebody else has scaled it, so it is left as \
                 it is",
                surge.workload,
                surge.found,
                surge.found + 1,
                self.node.name,
                workload.replicas
            ));
            return Next::Forget;
        }
        let why = self.ask_back(surge, &workload);
        let Some(finished) = self.state.finished_at else { return Next::Keep };
        let until = finished + COMEBACK;
        if self.view.now >= until {
            self.decision.warnings.push(format!(
                "{} still has {} replicas {} minutes after node {}: {why}; scale it back to {} by hand",
                surge.workload,
                workload.replicas,
                COMEBACK.as_mins(),
                self.node.name,
                surge.found
            ));
            return Next::GiveUp;
        }
        self.decision.wake(until);
        self.hold(Hold::ScaleBack { workload: surge.workload.clone(), to: surge.found, why });
        Next::Keep
    }

    /// The scale-up was asked for a moment ago: forgotten now, it could still come, and nobody would take it back.
    fn awaits_scale_up(&mut self, surge: &Surge) -> bool {
        let request = self.view.ledger.scales.get(&surge.workload).filter(|r| r.to > surge.found);
        let Some(until) = request.map(|r| r.asked_at + LATE_SCALE) else { return false };
        if surge.stage != SurgeStage::Wanted || self.view.now >= until {
            return false;
        }
        self.decision.wake(until);
        // It holds up nothing but the end.
        if self.state.finished_at.is_some() {
            let why = "a scale-up that was asked for may still come".to_owned();
            self.hold(Hold::ScaleBack { workload: surge.workload.clone(), to: surge.found, why });
        }
        true
    }

    /// Asks for the scale as it was found, once that takes nobody's service away. Says what is waited for.
    fn ask_back(&mut self, surge: &Surge, workload: &Scalable) -> String {
        if !self.is_served(surge, workload) {
            return match surge.workload.kind {
                ScalableKind::Deployment => "no other pod of it is Ready".to_owned(),
                ScalableKind::StatefulSet => format!("its pod {} is not Ready again", surge.pod.name),
            };
        }
        match scale_wait(self.view.ledger, &surge.workload, surge.found, self.view.now) {
            Some((again, refused)) => {
                self.decision.wake(again);
                refused.unwrap_or_else(|| "asked for".to_owned())
            }
            None => {
                self.decision.effects.push(Effect::Scale {
                    workload: surge.workload.clone(),
                    uid: surge.uid.clone(),
                    from: surge.found + 1,
                    to: surge.found,
                    node: self.node.name.clone(),
                });
                "asked for".to_owned()
            }
        }
    }

    /// A pod that a scale-down leaves alone serves: of a StatefulSet that of the lowest number, which has the name of the one
    /// that was to leave.
    fn is_served(&self, surge: &Surge, workload: &Scalable) -> bool {
        let ready = |p: &&Pod| p.ready && serves(p);
        let mut pods = self.view.inventory.pods_of(workload).filter(ready);
        match surge.workload.kind {
            ScalableKind::Deployment => pods.next().is_some(),
            ScalableKind::StatefulSet => pods.any(|p| p.name == surge.pod),
        }
    }
}

/// Neither over nor on its way out.
fn serves(pod: &Pod) -> bool {
    pod.deletion.is_none() && !pod.phase.is_terminal()
}
