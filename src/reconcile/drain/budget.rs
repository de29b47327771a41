//! What the budgets (PodDisruptionBudgets) say to an eviction, before it is sent, and why in words.
//!
//! The same arithmetic as the API server's eviction handler and the disruption controller, on what was observed. The
//! server has the last word: this only spares it (and the operator's log) refusals that were to be foreseen.

use std::collections::BTreeMap;

use crate::inventory::{
    Budget, Inventory, ObjectName, Pod, PodPhase, ScalableName, UnhealthyPodEvictionPolicy,
};
use crate::plan::selector;
use crate::reconcile::{EvictionAnswer, Ledger, NodeState, Prospect};

/// What the budgets say to the eviction of one pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BudgetAnswer {
    /// No budget stands against it. The name is that of the budget it takes a disruption from.
    Free(Option<ObjectName>),
    /// One budget allows no disruption now, or never.
    Blocked {
        /// The budget.
        budget: ObjectName,
        /// What it needs and what it has.
        why: String,
        /// Whether waiting helps.
        prospect: Prospect,
    },
    /// More than one selects the pod: the API server refuses with 500, always.
    Many(Vec<ObjectName>),
}

/// What a budget is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// The eviction of a pod.
    Eviction,
    /// The restart of a guest, which passes the eviction API by: budgets that KubeVirt made for the guest itself, to keep
    /// evictions off while it migrates, don't speak of that.
    Restart,
}

/// The budgets that select a pod.
pub fn budgets_of<'a>(inventory: &'a Inventory, pod: &'a Pod) -> impl Iterator<Item = &'a Budget> {
    inventory
        .budgets_near(pod)
        .filter(|budget| budget.selector.as_ref().is_some_and(|s| selector::matches(s, &pod.labels)))
}

/// Whether a budget would let one of its pods go if there were one more, and all of them were healthy.
pub fn allows_with_one_more(budget: &Budget) -> bool {
    let more = u32::try_from(budget.expected_pods).unwrap_or(0).saturating_add(1);
    budget.sync_failed.is_none() && budget.desired_of(more) < more
}

/// Disruptions that were granted (or asked for) and that the budgets' observed status doesn't count yet.
#[derive(Debug, Default)]
pub struct Pending {
    disruptions: BTreeMap<ObjectName, i32>,
    /// Workloads that have one replica more for a node's drain, or are about to, each with the node.
    surged: BTreeMap<ScalableName, String>,
}

impl Pending {
    /// Counts them from the ledger.
    pub fn count(inventory: &Inventory, ledger: &Ledger) -> Self {
        let mut pending = Self::default();
        for (uid, attempt) in &ledger.evictions {
            if !matches!(attempt.answer, None | Some(EvictionAnswer::Granted)) {
                continue;
            }
            let Some(pod) = inventory.pod(&attempt.pod).filter(|p| &p.uid == uid && p.deletion.is_none())
            else {
                continue;
            };
            for budget in budgets_of(inventory, pod) {
                if !budget.disrupted_pods.contains(&pod.name.name) {
                    pending.take(&budget.name);
                }
            }
        }
        pending.count_restarts(inventory, ledger);
        pending
    }

    /// Guests that were told to restart and whose pod isn't going yet.
    fn count_restarts(&mut self, inventory: &Inventory, ledger: &Ledger) {
        for (name, request) in ledger.vm_requests.iter().filter(|(_, r)| r.refused.is_none()) {
            let vmi = inventory.vmi(name).filter(|vmi| request.stops.as_ref() == Some(&vmi.uid));
            let Some(vmi) = vmi else { continue };
            let pods = inventory.launchers_of(vmi).filter(|p| p.deletion.is_none());
            for budget in pods.flat_map(|pod| budgets_of(inventory, pod)) {
                self.take(&budget.name);
            }
        }
    }

    /// Takes one disruption of a budget.
    pub fn take(&mut self, budget: &ObjectName) {
        *self.disruptions.entry(budget.clone()).or_default() += 1;
    }

    /// Takes in the surges that nodes have on record. Of two nodes with the same one, the first by name has it.
    pub fn count_surges(&mut self, inventory: &Inventory) {
        for node in inventory.nodes().values() {
            let Some(Ok(state)) = NodeState::of(node) else { continue };
            for surge in state.drain.open_surges() {
                self.surge(&surge.workload, &node.name);
            }
        }
    }

    /// Takes in a surge for a node, unless another one has it.
    pub(super) fn surge(&mut self, workload: &ScalableName, node: &str) {
        self.surged.entry(workload.clone()).or_insert_with(|| node.to_owned());
    }

    /// The node for whose drain a workload has one replica more.
    pub(super) fn surged_for(&self, workload: &ScalableName) -> Option<&str> {
        self.surged.get(workload).map(String::as_str)
    }

    fn of(&self, budget: &ObjectName) -> i32 {
        self.disruptions.get(budget).copied().unwrap_or_default()
    }
}

/// Asks the budgets about a pod. `settled`: nothing is being disrupted now, so that what never allows can be told.
pub fn ask(inventory: &Inventory, pod: &Pod, pending: &Pending, settled: bool, asked: Asked) -> BudgetAnswer {
    // As in the API server: a pod that never ran, has ended or is already going takes nothing from a budget.
    if pod.phase == PodPhase::Pending || pod.phase.is_terminal() || pod.deletion.is_some() {
        return BudgetAnswer::Free(None);
    }
    let speaks = |budget: &&Budget| asked == Asked::Eviction || !budget.is_kubevirts;
    let budgets: Vec<&Budget> = budgets_of(inventory, pod).filter(speaks).collect();
    match budgets.as_slice() {
        [] => BudgetAnswer::Free(None),
        [budget] => ask_one(budget, pod, pending.of(&budget.name), settled),
        many => BudgetAnswer::Many(many.iter().map(|b| b.name.clone()).collect()),
    }
}

fn ask_one(budget: &Budget, pod: &Pod, pending: i32, settled: bool) -> BudgetAnswer {
    if !pod.ready {
        let healthy = budget.current_healthy >= budget.desired_healthy && budget.desired_healthy > 0;
        if budget.unhealthy_policy == UnhealthyPodEvictionPolicy::AlwaysAllow || healthy {
            return BudgetAnswer::Free(None);
        }
    }
    if budget.observed_generation >= budget.generation && budget.disruptions_allowed > pending {
        return BudgetAnswer::Free(Some(budget.name.clone()));
    }
    let (why, prospect) = explain(budget, pending, settled);
    BudgetAnswer::Blocked { budget: budget.name.clone(), why, prospect }
}

/// Why a budget allows no disruption, and whether waiting can help.
pub fn explain(budget: &Budget, pending: i32, settled: bool) -> (String, Prospect) {
    let Budget { expected_pods, desired_healthy, current_healthy, .. } = budget;
    let terms = budget.terms();
    if budget.observed_generation < budget.generation {
        return (
            format!(
                "{terms}; its status is behind its spec, the disruption controller has not caught up yet"
            ),
            Prospect::Slow,
        );
    }
    if let Some(message) = &budget.sync_failed {
        let text = format!(
            "{terms}; the disruption controller can't count its pods ({message}), so it allows no disruption; waiting will not \
             help: say minAvailable as a whole number, or select pods whose controller has a scale"
        );
        return (text, Prospect::Never);
    }
    // A whole minAvailable is compared with the pods that are there: between two lives of a pod that is one too few.
    let counts_pods = budget.min_available.as_deref().is_some_and(|m| !m.ends_with('%'));
    if *expected_pods > 0 && expected_pods - desired_healthy <= 0 && (settled || !counts_pods) {
        return (
            format!(
                "{terms} of {expected_pods} pods never allows a disruption (needs {desired_healthy} healthy, has \
                 {current_healthy}); waiting will not help: scale the workload up or relax the budget"
            ),
            Prospect::Never,
        );
    }
    if *expected_pods > 0 && expected_pods <= desired_healthy {
        let text = format!(
            "{terms}: needs all of its {expected_pods} pods, has {current_healthy} healthy; unless one is just being replaced, \
             waiting will not help: scale the workload up or relax the budget"
        );
        return (text, Prospect::Uncertain);
    }
    let mut text =
        format!("{terms}: needs {desired_healthy} healthy pods of {expected_pods}, has {current_healthy}");
    if pending > 0 {
        text.push_str(&format!(", {pending} just evicted"));
    }
    if current_healthy <= desired_healthy {
        text.push_str("; goes on when another of its pods is Ready");
    }
    (text, Prospect::Slow)
}
