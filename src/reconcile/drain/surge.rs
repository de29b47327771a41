//! Pods of workloads with one replica (`drain.surge`): a second one is there first.
//!
//! # Why
//! An only pod takes its service with it when it is evicted, and a budget that minds never lets it go. The surge is recorded on
//! the node before the workload is scaled, so that whoever drives next can take it back (see `reconcile::node`).

use super::budget::{self, BudgetAnswer};
use super::{DrainStep, Look, Pending, Surge, SurgeStage};
use crate::inventory::{Pod, Scalable, ScalableName};
use crate::reconcile::{Effect, Hold, Ledger, Prospect};
use jiff::{SignedDuration, Timestamp};

/// A scale that was refused, or had no effect, is asked for again after this long.
const SCALE_AGAIN: SignedDuration = SignedDuration::from_secs(15);

/// What an earlier request for the same scale leaves to be waited for: until when, and why it was refused.
pub(in crate::reconcile) fn scale_wait(
    ledger: &Ledger,
    workload: &ScalableName,
    to: u32,
    now: Timestamp,
) -> Option<(Timestamp, Option<String>)> {
    let request = ledger.scales.get(workload).filter(|r| r.to == to)?;
    let again = request.asked_at + SCALE_AGAIN;
    (now < again).then(|| (again, request.refused.clone()))
}

impl Look<'_> {
    /// True if the pod waits for a second replica of its workload.
    pub(super) fn waits_for_surge(&self, pod: &Pod, pending: &mut Pending, step: &mut DrainStep) -> bool {
        if !self.options.surge {
            return false;
        }
        let Some(workload) = self.inventory.scalable_of(pod) else { return false };
        let foreign = pending.surged_for(&workload.name).filter(|node| *node != self.node);
        let known = self.record.surges.iter().find(|s| s.pod_uid == pod.uid);
        if let Some(node) = foreign {
            // Two nodes meant the same workload at the same moment: it is the other's to take back.
            if known.is_some() {
                self.note(step).surges.retain(|s| s.pod_uid != pod.uid);
            }
            let why = format!("it has one replica more for the drain of node {node} until it is scaled back");
            step.holds.push(hold(pod, workload, why, Prospect::Slow));
            return true;
        }
        match known {
            None => self.begins_surge(pod, workload, pending, step),
            Some(surge) => match surge.stage {
                SurgeStage::Over => false,
                SurgeStage::Wanted => self.scales_up(pod, workload, surge, step),
                SurgeStage::Up => self.waits_for_second(pod, workload, surge, step),
            },
        }
    }

    fn begins_surge(
        &self,
        pod: &Pod,
        workload: &Scalable,
        pending: &mut Pending,
        step: &mut DrainStep,
    ) -> bool {
        let answer = budget::ask(self.inventory, pod, pending, false, budget::Asked::Eviction);
        let is_kept = !matches!(answer, BudgetAnswer::Free(_));
        // A pod that serves nobody leaves no gap, nor does one beside another: that a scale-down or an update is about to delete.
        if workload.replicas != 1 || !(pod.ready || is_kept) || self.is_served_elsewhere(pod, workload) {
            return false;
        }
        self.note(step).surges.push(Surge {
            workload: workload.name.clone(),
            uid: workload.uid.clone(),
            pod: pod.name.clone(),
            pod_uid: pod.uid.clone(),
            found: workload.replicas,
            stage: SurgeStage::Wanted,
        });
        pending.surge(&workload.name, self.node);
        step.holds.push(hold(pod, workload, "it is about to be scaled to 2".to_owned(), Prospect::Slow));
        true
    }

    /// The surge is on record: asks for the scale until it is seen. False if somebody else has scaled it meanwhile.
    fn scales_up(&self, pod: &Pod, workload: &Scalable, surge: &Surge, step: &mut DrainStep) -> bool {
        let (found, to) = (surge.found, surge.found + 1);
        let is_other = workload.uid != surge.uid;
        if is_other || (workload.replicas != found && workload.replicas != to) {
            self.note(step).surges.retain(|s| s.pod_uid != surge.pod_uid);
            return false;
        }
        if workload.replicas == to {
            let known = self.note(step).surges.iter_mut().filter(|s| s.pod_uid == surge.pod_uid);
            known.for_each(|s| s.stage = SurgeStage::Up);
            step.holds.push(hold(pod, workload, "its second pod is being made".to_owned(), Prospect::Slow));
            return true;
        }
        let (why, prospect) = match scale_wait(self.ledger, &workload.name, to, self.now) {
            Some((again, refused)) => {
                step.wake(again, self.now);
                match refused {
                    Some(why) => (format!("it could not be scaled: {why}"), Prospect::Uncertain),
                    None => (format!("it is being scaled from {found} to {to}"), Prospect::Slow),
                }
            }
            None => {
                step.effects.push(Effect::Scale {
                    workload: workload.name.clone(),
                    uid: workload.uid.clone(),
                    from: found,
                    to,
                    node: self.node.to_owned(),
                });
                (format!("it is being scaled from {found} to {to}"), Prospect::Slow)
            }
        };
        step.holds.push(hold(pod, workload, why, prospect));
        true
    }

    fn waits_for_second(&self, pod: &Pod, workload: &Scalable, surge: &Surge, step: &mut DrainStep) -> bool {
        if self.is_served_elsewhere(pod, workload) {
            return false;
        }
        let (why, prospect) = if workload.replicas <= surge.found {
            let why = format!(
                "somebody else has scaled it back to {}; a HorizontalPodAutoscaler would need minReplicas {} meanwhile",
                workload.replicas,
                surge.found + 1
            );
            (why, Prospect::Uncertain)
        } else {
            second_pod(workload, self.others(pod, workload).next(), self.node)
        };
        step.holds.push(hold(pod, workload, why, prospect));
        true
    }

    /// The other pods of a workload that live.
    fn others<'s>(&'s self, pod: &'s Pod, workload: &'s Scalable) -> impl Iterator<Item = &'s Pod> {
        let lives = |p: &&Pod| p.uid != pod.uid && p.deletion.is_none() && !p.phase.is_terminal();
        self.inventory.pods_of(workload).filter(lives)
    }

    /// Another pod of the workload is Ready on another node.
    fn is_served_elsewhere(&self, pod: &Pod, workload: &Scalable) -> bool {
        let is_elsewhere = |p: &Pod| p.node.as_deref().is_some_and(|node| node != self.node);
        self.others(pod, workload).any(|p| p.ready && is_elsewhere(p))
    }
}

/// What is to be said of a second pod that isn't Ready elsewhere.
fn second_pod(workload: &Scalable, second: Option<&Pod>, node: &str) -> (String, Prospect) {
    let Some(second) = second else {
        return match &workload.refused {
            Some(why) => (format!("its second pod can't be made: {why}"), Prospect::Uncertain),
            None => ("its second pod is being made".to_owned(), Prospect::Slow),
        };
    };
    let name = &second.name.name;
    match &second.unschedulable {
        Some(why) if second.node.is_none() => {
            (format!("its second pod {name} finds no node: {why}"), Prospect::Uncertain)
        }
        _ if second.node.as_deref() == Some(node) => {
            (format!("its second pod {name} is on this node, too"), Prospect::Uncertain)
        }
        _ => (format!("its second pod {name} is not Ready yet"), Prospect::Slow),
    }
}

fn hold(pod: &Pod, workload: &Scalable, why: String, prospect: Prospect) -> Hold {
    Hold::Surge { pod: pod.name.clone(), workload: workload.name.clone(), why, prospect }
}
