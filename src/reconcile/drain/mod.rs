//! Draining one node: the step that `virtroll drain` and a campaign share.
//!
//! Level-triggered: each call looks at what is on the node now and says what to ask for, what is waited for and why. It
//! asks once and then watches; a question is repeated only when the answer or the state of the objects says so.
//!
//! # Why not kubectl's loop
//! kubectl asks every 5 seconds until it is granted and polls each pod until it is gone: 2.2 requests a pod, 8.7 evictions
//! a VM. Budgets and VMs are watched here, so nearly every eviction is sent once.

pub mod budget;
pub mod filter;
mod guests;
mod options;
mod overrides;
mod record;
mod surge;
mod vm;

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};

pub use budget::Pending;
pub use options::{DrainOptions, VmConsent};
pub use record::{DrainRecord, HeldPod, Surge, SurgeStage};
pub(super) use surge::scale_wait;
pub use vm::{Comeback, VmFate, fate};

use crate::inventory::{Inventory, ObjectName, Pod};
use crate::reconcile::{Effect, EvictionAnswer, EvictionAttempt, Hold, Ledger, Prospect, Stage};
use crate::schedule::overridable;
use budget::BudgetAnswer;
use filter::Verdict;

/// kubectl's wait after a refused eviction.
const RETRY: SignedDuration = SignedDuration::from_secs(5);
/// A granted eviction, or a VM's mark, is doubted after this long without effect.
const DOUBT: SignedDuration = SignedDuration::from_secs(60);
/// Longest wait between tries after trouble.
const LONGEST_RETRY: SignedDuration = SignedDuration::from_secs(60);

/// One look at a node's drain.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct DrainStep {
    /// What to ask for now.
    pub effects: Vec<Effect>,
    /// What is waited for, in order of the pods' names.
    pub holds: Vec<Hold>,
    /// Pods that still have to leave.
    pub left: Vec<ObjectName>,
    /// kubectl's warnings: message → pods.
    pub warnings: BTreeMap<String, Vec<ObjectName>>,
    /// kubectl's fatal messages: nothing may be evicted while there is one.
    pub fatal: BTreeMap<String, Vec<ObjectName>>,
    /// Nothing is left, and nothing is fatal.
    pub done: bool,
    /// The node's record of this drain as it must be written before anything that it tells of is done; `None`: it stays.
    pub record: Option<DrainRecord>,
    /// Look again then, even if nothing is observed.
    pub wake_at: Option<Timestamp>,
}

impl DrainStep {
    /// A campaign's plan has consented to what kubectl warns of.
    fn warn(&mut self, options: &DrainOptions, warning: Option<Cow<'static, str>>, pod: &Pod) {
        if let Some(message) = warning.filter(|_| options.consent.is_none()) {
            self.warnings.entry(message.into_owned()).or_default().push(pod.name.clone());
        }
    }

    /// What is due already is decided now: a wake-up in the past would only spin the loop.
    fn wake(&mut self, at: Timestamp, now: Timestamp) {
        if at > now {
            self.wake_at = Some(self.wake_at.map_or(at, |earlier| earlier.min(at)));
        }
    }
}

/// Looks at a node once. `pending` carries, from node to node within one decision, what budgets were asked for; `record` is what
/// the node keeps of this drain.
pub fn drain_node(
    inventory: &Inventory,
    ledger: &Ledger,
    pending: &mut Pending,
    node: &str,
    options: &DrainOptions,
    record: &DrainRecord,
    now: Timestamp,
) -> DrainStep {
    let mut step = DrainStep::default();
    let mut leaving: BTreeMap<usize, Vec<&Pod>> = BTreeMap::new();
    for pod in inventory.pods_on(node) {
        if options.only.as_ref().is_some_and(|only| !only.contains(&pod.uid)) {
            continue;
        }
        match filter::judge(pod, inventory, options, now) {
            Verdict::Evict(warning) => {
                step.warn(options, warning, pod);
                leaving.entry(options.tier_of(pod)).or_default().push(pod);
                step.left.push(pod.name.clone());
            }
            Verdict::Leave(warning) => step.warn(options, warning, pod),
            Verdict::Fatal(message) => {
                step.fatal.entry(message.into_owned()).or_default().push(pod.name.clone());
            }
        }
    }
    step.done = step.left.is_empty() && step.fatal.is_empty();
    if !step.fatal.is_empty() {
        return step;
    }
    let mut look = Look { inventory, ledger, options, record, node, now };
    look.forgets_unused(&mut step);
    let mut tiers = leaving.into_iter();
    if let Some((tier, pods)) = tiers.next() {
        for pod in pods {
            look.pod(pod, pending, &mut step);
        }
        let waiting = tiers.map(|(_, pods)| pods.len()).sum();
        if waiting > 0 {
            step.holds.push(Hold::Tier { waiting, tier: options.tier_name(tier) });
        }
    }
    step
}

/// What would make this node's drain fail or never end, before anything is touched.
pub fn obstacles(inventory: &Inventory, node: &str, options: &DrainOptions, now: Timestamp) -> Vec<String> {
    let mut found = BTreeSet::new();
    for pod in inventory.pods_on(node) {
        match filter::judge(pod, inventory, options, now) {
            Verdict::Fatal(message) => {
                found.insert(filter::group(&message, std::slice::from_ref(&pod.name)));
            }
            Verdict::Leave(_) => {}
            Verdict::Evict(_) if pod.is_launcher() => {
                found.extend(guests::obstacle(inventory, pod, options));
            }
            Verdict::Evict(_) => found.extend(budget_obstacle(inventory, pod, options)),
        }
    }
    found.into_iter().collect()
}

fn budget_obstacle(inventory: &Inventory, pod: &Pod, options: &DrainOptions) -> Option<String> {
    if options.disable_eviction || options.override_of(pod).is_some() {
        return None;
    }
    let by_override = overridable(pod.workload().0);
    match budget::ask(inventory, pod, &Pending::default(), true, budget::Asked::Eviction) {
        BudgetAnswer::Blocked { budget, why, prospect: Prospect::Never } => {
            let known = inventory.budgets().get(&budget);
            let would_allow = known.is_some_and(budget::allows_with_one_more);
            // Of a workload that is just being scaled back, budget and replicas needn't have been seen at the same moment.
            let scaled = inventory.scalable_of(pod).filter(|_| would_allow && options.surge);
            if scaled.is_some_and(|w| w.replicas == 1 || known.is_some_and(|b| b.expected_pods == 1)) {
                return None;
            }
            // Replicas are only observed where they may be scaled: without that, a budget of one pod tells.
            let is_single = would_allow
                && !options.surge
                && known.is_some_and(|b| b.expected_pods == 1)
                && matches!(pod.workload().0, "Deployment" | "StatefulSet");
            let by_surge = if is_single { "set drain.surge: SingleReplica, or " } else { "" };
            let hold = Hold::Budget { pod: pod.name.clone(), budget, why, prospect: Prospect::Never };
            Some(format!("{hold}, or {by_surge}{by_override}"))
        }
        BudgetAnswer::Many(budgets) => {
            Some(format!("{}, or {by_override}", Hold::ManyBudgets { pod: pod.name.clone(), budgets }))
        }
        BudgetAnswer::Blocked { .. } | BudgetAnswer::Free(_) => None,
    }
}

/// One look, with what it looks at.
struct Look<'a> {
    inventory: &'a Inventory,
    ledger: &'a Ledger,
    options: &'a DrainOptions,
    record: &'a DrainRecord,
    node: &'a str,
    now: Timestamp,
}

impl Look<'_> {
    fn pod(&mut self, pod: &Pod, pending: &mut Pending, step: &mut DrainStep) {
        if pod.deletion.is_some() {
            step.holds.push(Hold::Terminating { pod: pod.name.clone(), until: pod.deletion });
            return;
        }
        if self.options.ask_anyway && !self.options.disable_eviction {
            return self.evict(pod, step);
        }
        if self.options.disable_eviction {
            self.delete(pod, step);
            return;
        }
        if pod.is_launcher() && !pod.phase.is_terminal() {
            return self.launcher(pod, pending, step);
        }
        if self.is_past_budget(pod, pending, step) || self.waits_for_surge(pod, pending, step) {
            return;
        }
        self.evict_within_budget(pod, pending, step);
    }

    /// The record as this step leaves it.
    fn note<'s>(&self, step: &'s mut DrainStep) -> &'s mut DrainRecord {
        step.record.get_or_insert_with(|| self.record.clone())
    }

    /// Asks for a pod to go, unless the latest attempt is too fresh to repeat: then that is what is waited for.
    fn ask(&self, pod: &Pod, step: &mut DrainStep, effect: impl FnOnce() -> Effect) {
        match self.retry_wait(pod, step) {
            Some(wait) => step.holds.push(wait),
            None => step.effects.push(effect()),
        }
    }

    fn delete(&self, pod: &Pod, step: &mut DrainStep) {
        self.ask(pod, step, || Effect::Delete {
            pod: pod.name.clone(),
            uid: pod.uid.clone(),
            node: self.node.to_owned(),
            grace_seconds: self.grace(pod),
        });
    }

    /// The grace to send: never for a launcher pod, where it would cut the guest's shutdown short.
    fn grace(&self, pod: &Pod) -> Option<i64> {
        self.options.grace_seconds.filter(|_| !pod.is_launcher())
    }

    fn evict_within_budget(&self, pod: &Pod, pending: &mut Pending, step: &mut DrainStep) {
        self.within_budget(pod, budget::Asked::Eviction, pending, step, |step| self.evict(pod, step));
    }

    /// Acts if the budgets let the pod go; otherwise they are what it waits for.
    fn within_budget(
        &self,
        pod: &Pod,
        asked: budget::Asked,
        pending: &mut Pending,
        step: &mut DrainStep,
        act: impl FnOnce(&mut DrainStep),
    ) {
        match budget::ask(self.inventory, pod, pending, false, asked) {
            BudgetAnswer::Free(budget) => {
                let sent = step.effects.len();
                act(step);
                if let Some(budget) = budget.filter(|_| step.effects.len() > sent) {
                    pending.take(&budget);
                }
            }
            BudgetAnswer::Blocked { budget, why, prospect } => {
                let until = self.override_hold(pod, std::slice::from_ref(&budget), &why);
                let plain = || Hold::Budget { pod: pod.name.clone(), budget, why, prospect };
                step.holds.push(until.unwrap_or_else(plain));
            }
            BudgetAnswer::Many(budgets) => {
                let until =
                    self.override_hold(pod, &budgets, "the eviction API always refuses a pod under several");
                let plain = || Hold::ManyBudgets { pod: pod.name.clone(), budgets };
                step.holds.push(until.unwrap_or_else(plain));
                // By hand: the API server says it, too, and that ends the drain of this pod.
                if self.options.consent.is_none() {
                    act(step);
                }
            }
        }
    }

    fn evict(&self, pod: &Pod, step: &mut DrainStep) {
        self.ask(pod, step, || Effect::Evict {
            pod: pod.name.clone(),
            uid: pod.uid.clone(),
            node: self.node.to_owned(),
            grace_seconds: self.grace(pod),
        });
    }

    /// If the latest attempt is too fresh to repeat: what is waited for.
    fn retry_wait(&self, pod: &Pod, step: &mut DrainStep) -> Option<Hold> {
        let attempt = self.ledger.evictions.get(&pod.uid)?;
        let terminating = || Hold::Terminating { pod: pod.name.clone(), until: None };
        let Some(answer) = &attempt.answer else {
            let (pod, why) = (pod.name.clone(), "asked, not answered yet".to_owned());
            return Some(Hold::Refused { pod, why, prospect: Prospect::Slow });
        };
        let due = attempt.asked_at + retry_after(attempt, answer);
        if self.now >= due {
            return None;
        }
        step.wake(due, self.now);
        let refused =
            |why: &str, prospect| Hold::Refused { pod: pod.name.clone(), why: why.to_owned(), prospect };
        Some(match answer {
            EvictionAnswer::Granted | EvictionAnswer::Gone | EvictionAnswer::NamespaceTerminating => {
                terminating()
            }
            EvictionAnswer::Evacuating => {
                let (vmi, progress) = (pod.name.clone(), "is being evacuated".to_owned());
                Hold::Migrating { vmi, progress, stage: Stage::UnderWay, prospect: Prospect::Slow }
            }
            EvictionAnswer::BudgetRefused { message, .. } => refused(message, Prospect::Slow),
            EvictionAnswer::Wait { message } | EvictionAnswer::Trouble { message } => {
                refused(message, Prospect::Uncertain)
            }
            EvictionAnswer::NotMigratable { message }
            | EvictionAnswer::ManyBudgets { message }
            | EvictionAnswer::Forbidden { message } => refused(message, Prospect::Never),
        })
    }
}

/// How long an answer stands before the question is worth repeating.
pub fn retry_after(attempt: &EvictionAttempt, answer: &EvictionAnswer) -> SignedDuration {
    match answer {
        EvictionAnswer::BudgetRefused { retry_after, .. } => {
            SignedDuration::from_secs(i64::from(retry_after.unwrap_or(0))).max(RETRY)
        }
        EvictionAnswer::Wait { .. } | EvictionAnswer::Evacuating => RETRY,
        EvictionAnswer::Trouble { .. } => {
            let doublings = attempt.count.saturating_sub(1).min(4);
            (RETRY * (1 << doublings)).min(LONGEST_RETRY)
        }
        EvictionAnswer::Granted
        | EvictionAnswer::Gone
        | EvictionAnswer::NamespaceTerminating
        | EvictionAnswer::NotMigratable { .. }
        | EvictionAnswer::ManyBudgets { .. }
        | EvictionAnswer::Forbidden { .. } => DOUBT,
    }
}

#[cfg(test)]
mod tests;
