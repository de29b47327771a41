//! PodDisruptionBudgets.

use std::collections::BTreeSet;

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
    /// Its own terms, such as `minAvailable 2`.
    pub fn terms(&self) -> String {
        match (&self.min_available, &self.max_unavailable) {
            (Some(min), _) => format!("minAvailable {min}"),
            (None, Some(max)) => format!("maxUnavailable {max}"),
            (None, None) => "no minAvailable and no maxUnavailable".to_owned(),
        }
    }
}
