//! Budgets as the planner sees them, and which of them cover a pod.

use crate::inventory::{self, Inventory, Lookup, ObjectName, Pod, PodPhase, UnhealthyPodEvictionPolicy};
use crate::plan::selector;
use crate::schedule::instance::{Budget, Millis};

/// A budget with what it says for good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BudgetTerms {
    /// Namespace and name.
    pub name: ObjectName,
    /// `minAvailable 2`.
    pub terms: String,
    /// The field that says so.
    pub field: &'static str,
    /// Pods that it counts, or ought to.
    pub expected: u32,
    /// Healthy ones that it wants.
    pub desired: u32,
    /// Disruptions at once with all pods healthy; 0: never any.
    pub most: u32,
    /// One more pod, healthy like all others, would let one go.
    pub allows_with_one_more: bool,
    /// Why the disruption controller can't count its pods, if so.
    pub uncounted: Option<String>,
}

/// All budgets but those that KubeVirt makes for single guests (which it moves itself).
#[derive(Debug)]
pub(super) struct Budgets<'a> {
    inventory: &'a Inventory,
    all: Vec<&'a inventory::Budget>,
    ids: Lookup<&'a ObjectName, u32>,
    /// The last pod that was asked about: the next one often has the same labels.
    last: Option<(&'a Pod, Vec<u32>)>,
}

impl<'a> Budgets<'a> {
    /// Of an inventory, in the order of their names.
    pub fn of(inventory: &'a Inventory) -> Self {
        let counts = |b: &&inventory::Budget| !b.is_kubevirts && b.selector.is_some();
        let all: Vec<&inventory::Budget> = inventory.budgets().values().filter(counts).collect();
        let ids = all.iter().map(|b| &b.name).zip(0..).collect();
        Self { inventory, all, ids, last: None }
    }

    /// Those of the budgets that cover a pod that its eviction asks. None of them is asked about a pod that never ran, and one with
    /// `AlwaysAllow` not about a pod that isn't Ready.
    pub fn asked(&self, pod: &Pod, covering: Vec<u32>) -> Vec<u32> {
        let mut asked = covering;
        if pod.phase == PodPhase::Pending {
            asked.clear();
        }
        if !pod.ready && asked.len() == 1 {
            let always = UnhealthyPodEvictionPolicy::AlwaysAllow;
            asked.retain(|id| self.all[*id as usize].unhealthy_policy != always);
        }
        asked
    }

    /// The budgets that cover a pod, in order.
    pub fn covering(&mut self, pod: &'a Pod) -> Vec<u32> {
        if let Some((last, found)) = &self.last
            && last.name.namespace == pod.name.namespace
            && last.labels == pod.labels
        {
            return found.clone();
        }
        let found = self.find(pod);
        self.last = Some((pod, found.clone()));
        found
    }

    fn find(&self, pod: &Pod) -> Vec<u32> {
        let covers =
            |b: &&inventory::Budget| b.selector.as_ref().is_some_and(|s| selector::matches(s, &pod.labels));
        let covering = self.inventory.budgets_near(pod).filter(covers);
        covering.filter_map(|budget| self.ids.get(&&budget.name).copied()).collect()
    }

    /// For the planner, and in words. `counted`: pods that each covers, for those that no controller has counted yet; `ready`: how
    /// long a unit in use is assumed to be so.
    pub fn tables(&self, counted: &[u32], ready: Millis) -> (Vec<Budget>, Vec<BudgetTerms>) {
        let pairs = self.all.iter().zip(counted).map(|(budget, counted)| tables(budget, *counted, ready));
        pairs.unzip()
    }

    /// The disruption controller has counted the pods of all of them: nobody else has to.
    pub fn are_counted(&self) -> bool {
        self.all.iter().all(|budget| is_counted(budget))
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.all.len()
    }
}

/// The disruption controller has counted its pods.
fn is_counted(budget: &inventory::Budget) -> bool {
    budget.observed_generation > 0 || budget.expected_pods > 0
}

fn tables(budget: &inventory::Budget, counted: u32, ready: Millis) -> (Budget, BudgetTerms) {
    let narrow = |n: i32| u32::try_from(n).unwrap_or(0);
    let is_counted = is_counted(budget);
    let (expected, desired) = if is_counted {
        (narrow(budget.expected_pods), narrow(budget.desired_healthy))
    } else {
        (counted, budget.desired_of(counted))
    };
    let most = if budget.sync_failed.is_some() { 0 } else { expected.saturating_sub(desired) };
    let allowed = if is_counted { narrow(budget.disruptions_allowed).min(most) } else { most };
    let terms = BudgetTerms {
        name: budget.name.clone(),
        terms: budget.terms(),
        field: if budget.min_available.is_some() { "spec.minAvailable" } else { "spec.maxUnavailable" },
        expected,
        desired,
        most,
        allows_with_one_more: budget.sync_failed.is_none() && budget.desired_of(expected + 1) <= expected,
        uncounted: budget.sync_failed.clone(),
    };
    // Units in use come back when the pods that have them are Ready again.
    let returns = vec![ready; (most - allowed) as usize];
    (Budget { name: budget.name.to_string(), allowed, returns }, terms)
}
