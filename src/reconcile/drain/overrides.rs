//! Pods that the plan allows to be deleted past their budgets (`drain.overrides`), after their time.
//!
//! # Why
//! It is the only way past a budget, so each step is on the node's record before it is taken: since when a budget has kept the
//! pod, so that a driver which takes over doesn't wait anew, and then that it is deleted, so that no bypass goes untold.

use jiff::{SignedDuration, Timestamp};

use super::budget::{self, BudgetAnswer, budgets_of};
use super::{DrainStep, HeldPod, Look, Pending};
use crate::inventory::{ObjectName, Pod};
use crate::plan::v1alpha1::{BudgetOverride, PastBudget};
use crate::reconcile::{Effect, EvictionAnswer, Hold};

impl Look<'_> {
    /// True if the pod's time under its budgets is over: it is, or is about to be, deleted past them.
    pub(super) fn is_past_budget(&self, pod: &Pod, pending: &Pending, step: &mut DrainStep) -> bool {
        if let Some(past) = self.record.past_budgets.iter().find(|p| p.uid == pod.uid) {
            self.delete_past(pod, past, step);
            return true;
        }
        let Some(over) = self.options.override_of(pod) else { return false };
        let Some(budgets) = self.kept_by(pod, pending) else { return false };
        let until = self.respected_until(pod, over);
        if !self.record.held.iter().any(|h| h.uid == pod.uid) {
            self.note(step).held.push(HeldPod { uid: pod.uid.clone(), since: self.now });
        }
        if self.now < until {
            step.wake(until, self.now);
            return false;
        }
        step.holds.extend(self.override_hold(pod, &budgets, "their time is over"));
        let budgets = budgets.iter().map(ToString::to_string).collect();
        self.note(step).past_budgets.push(PastBudget {
            pod: pod.name.to_string(),
            uid: pod.uid.clone(),
            workload: over.workload.to_string(),
            budgets,
            reason: over.reason.clone(),
            at: self.now,
        });
        true
    }

    /// Until when the budgets of a pod are respected.
    fn respected_until(&self, pod: &Pod, over: &BudgetOverride) -> Timestamp {
        let since = self.record.held.iter().find(|h| h.uid == pod.uid).map_or(self.now, |h| h.since);
        let after = SignedDuration::try_from(over.after.0).unwrap_or(SignedDuration::MAX);
        since.saturating_add(after).unwrap_or(Timestamp::MAX)
    }

    /// The budgets that keep a pod, foreseen or by the API server's answer; `None` if none does.
    fn kept_by(&self, pod: &Pod, pending: &Pending) -> Option<Vec<ObjectName>> {
        match budget::ask(self.inventory, pod, pending, false, budget::Asked::Eviction) {
            BudgetAnswer::Blocked { budget, .. } => Some(vec![budget]),
            BudgetAnswer::Many(budgets) => Some(budgets),
            BudgetAnswer::Free(_) => {
                let answer = self.ledger.evictions.get(&pod.uid)?.answer.as_ref()?;
                let refused = matches!(
                    answer,
                    EvictionAnswer::BudgetRefused { .. } | EvictionAnswer::ManyBudgets { .. }
                );
                refused.then(|| budgets_of(self.inventory, pod).map(|b| b.name.clone()).collect())
            }
        }
    }

    /// The hold of a pod that its budgets keep until its time is over; `None` if the plan has no override for it.
    pub(super) fn override_hold(&self, pod: &Pod, budgets: &[ObjectName], why: &str) -> Option<Hold> {
        let over = self.options.override_of(pod)?;
        let until = self.respected_until(pod, over);
        // What would help otherwise, and that waiting wouldn't, is beside the point here.
        let why = why.split("; ").next().unwrap_or_default().to_owned();
        Some(Hold::Override { pod: pod.name.clone(), budgets: budgets.to_vec(), why, until })
    }

    fn delete_past(&self, pod: &Pod, past: &PastBudget, step: &mut DrainStep) {
        self.ask(pod, step, || Effect::DeletePastBudget {
            pod: pod.name.clone(),
            node: self.node.to_owned(),
            grace_seconds: self.grace(pod),
            past: past.clone(),
        });
    }

    /// A pod that had left by itself before it was deleted wasn't deleted past anything.
    pub(super) fn forgets_unused(&self, step: &mut DrainStep) {
        let was_gone = |past: &PastBudget| {
            let attempt = self.ledger.evictions.get(&past.uid);
            attempt.is_some_and(|a| a.count == 1 && a.answer == Some(EvictionAnswer::Gone))
        };
        if self.record.past_budgets.iter().any(was_gone) {
            self.note(step).past_budgets.retain(|past| !was_gone(past));
        }
    }
}
