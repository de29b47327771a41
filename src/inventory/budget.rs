//! PodDisruptionBudgets.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;

use super::ObjectName;

/// `spec.unhealthyPodEvictionPolicy`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum UnhealthyPodEvictionPolicy {
    /// An unready pod may go only while the budget's workload is healthy (the API's default).
    #[default]
    IfHealthyBudget,
    /// An unready pod may always go.
    AlwaysAllow,
}

/// A budget: a PodDisruptionBudget with its status.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Budget {
    /// Namespace and name.
    pub name: ObjectName,
    /// resourceVersion of the observation.
    pub resource_version: String,
    /// `spec.selector`; `None` selects nothing, an empty one every pod of the namespace.
    pub selector: Option<LabelSelector>,
    /// `spec.minAvailable` as written (`2`, `50%`).
    pub min_available: Option<String>,
    /// `spec.maxUnavailable` as written.
    pub max_unavailable: Option<String>,
    /// `spec.unhealthyPodEvictionPolicy`.
    pub unhealthy_policy: UnhealthyPodEvictionPolicy,
    /// `metadata.generation`.
    pub generation: i64,
    /// `status.observedGeneration`; behind `generation` while the controller has not caught up.
    pub observed_generation: i64,
    /// `status.expectedPods`.
    pub expected_pods: i32,
    /// `status.desiredHealthy`.
    pub desired_healthy: i32,
    /// `status.currentHealthy`.
    pub current_healthy: i32,
    /// `status.disruptionsAllowed`.
    pub disruptions_allowed: i32,
    /// Why the disruption controller can't count its pods (condition `DisruptionAllowed=False`, reason `SyncFailed`); it
    /// allows nothing then.
    pub sync_failed: Option<String>,
    /// KubeVirt made it for one VMI (releases up to 1.5): it keeps evictions off until the guest has moved.
    pub is_kubevirts: bool,
    /// Names in `status.disruptedPods`: evicted, their deletion not yet seen by the controller.
    pub disrupted_pods: BTreeSet<String>,
}

impl Budget {
    /// A label without which no pod is selected; `None` if the selector has no `matchLabels`.
    fn required_label(&self) -> Option<(&str, &str)> {
        let labels = self.selector.as_ref()?.match_labels.as_ref()?;
        labels.iter().next().map(|(key, value)| (key.as_str(), value.as_str()))
    }

    /// Healthy pods that it wants of so many; percentages round up, as the disruption controller rounds them.
    pub fn desired_of(&self, expected: u32) -> u32 {
        let count = |written: &str| match written.strip_suffix('%') {
            Some(percent) => {
                percent.parse::<u64>().ok().map(|p| (u64::from(expected) * p).div_ceil(100) as u32)
            }
            None => written.parse().ok(),
        };
        match (&self.min_available, &self.max_unavailable) {
            (Some(min), _) => count(min).unwrap_or(expected),
            (None, Some(max)) => expected.saturating_sub(count(max).unwrap_or(0)),
            (None, None) => expected,
        }
    }

    /// Its own terms, such as `minAvailable 2`.
    pub fn terms(&self) -> String {
        match (&self.min_available, &self.max_unavailable) {
            (Some(min), _) => format!("minAvailable {min}"),
            (None, Some(max)) => format!("maxUnavailable {max}"),
            (None, None) => "no minAvailable and no maxUnavailable".to_owned(),
        }
    }
}

/// Names of budgets by a label that their selectors require, so that not every budget of a namespace is held against every
/// pod. In each namespace, the budgets whose selectors require none are under the empty label.
#[derive(Debug, Clone, Default)]
pub(super) struct BudgetsByLabel(BTreeMap<String, Labels>);

/// Names by label: by key, then by value.
type Labels = BTreeMap<String, BTreeMap<String, BTreeSet<ObjectName>>>;

impl BudgetsByLabel {
    pub(super) fn insert(&mut self, budget: &Budget) {
        let (key, value) = budget.required_label().unwrap_or_default();
        let labels = self.0.entry(budget.name.namespace.clone()).or_default();
        let values = labels.entry(key.to_owned()).or_default();
        values.entry(value.to_owned()).or_default().insert(budget.name.clone());
    }

    pub(super) fn remove(&mut self, budget: &Budget) {
        let Some(labels) = self.0.get_mut(&budget.name.namespace) else { return };
        let (key, value) = budget.required_label().unwrap_or_default();
        let Some(values) = labels.get_mut(key) else { return };
        if let Some(names) = values.get_mut(value) {
            names.remove(&budget.name);
            if names.is_empty() {
                values.remove(value);
            }
        }
        if values.is_empty() {
            labels.remove(key);
        }
    }

    /// The budgets that may select a pod with these labels, in order of their names.
    pub(super) fn candidates(&self, namespace: &str, pod: &BTreeMap<String, String>) -> Vec<&ObjectName> {
        let Some(labels) = self.0.get(namespace) else { return Vec::new() };
        let of = |key: &str, value: &str| labels.get(key).and_then(|v| v.get(value)).into_iter().flatten();
        let required = pod.iter().flat_map(|(key, value)| of(key, value));
        // Each is under one label.
        let mut found: Vec<&ObjectName> = of("", "").chain(required).collect();
        found.sort_unstable();
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn budget(name: &str, labels: &[(&str, &str)]) -> Budget {
        let labels = labels.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let selector = LabelSelector { match_labels: Some(labels), ..LabelSelector::default() };
        Budget { name: ObjectName::new("shop", name), selector: Some(selector), ..Budget::default() }
    }

    #[test]
    fn budgets_are_found_by_their_label_and_those_without_one_always() {
        let mut index = BudgetsByLabel::default();
        let all = [
            budget("web", &[("app", "web"), ("tier", "front")]),
            budget("any", &[]),
            budget("db", &[("app", "db")]),
        ];
        for budget in &all {
            index.insert(budget);
        }
        index.insert(&Budget { name: ObjectName::new("else", "web"), ..all[0].clone() });
        let pod =
            BTreeMap::from([("app".to_owned(), "web".to_owned()), ("team".to_owned(), "red".to_owned())]);
        let found = |index: &BudgetsByLabel| -> Vec<String> {
            index.candidates("shop", &pod).into_iter().map(|n| n.name.clone()).collect()
        };
        assert_eq!(found(&index), ["any", "web"]);
        index.remove(&all[0]);
        assert_eq!(found(&index), ["any"]);
    }
}
