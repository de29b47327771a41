//! Which pods a plan's overrides are for.

use crate::inventory::Pod;
use crate::plan::v1alpha1::{BudgetOverride, WorkloadKind};

/// What names the pods of a workload of this kind in an override, in words: it, or else its pods themselves.
pub fn overridable(kind: &str) -> &'static str {
    match kind {
        "Deployment" | "StatefulSet" | "ReplicaSet" | "Job" | "Pod" => {
            "name the workload in the plan's drain.overrides"
        }
        _ => "name its pods in the plan's drain.overrides",
    }
}

/// The override for a pod: one that names the pod, its controller, or the Deployment behind that. None is for a VM.
pub fn override_of<'a>(overrides: &'a [BudgetOverride], pod: &Pod) -> Option<&'a BudgetOverride> {
    if overrides.is_empty() || pod.is_launcher() || pod.is_hotplug() {
        return None;
    }
    let behind = pod.workload();
    overrides.iter().find(|over| {
        let kind = match over.workload.kind {
            WorkloadKind::Deployment => "Deployment",
            WorkloadKind::StatefulSet => "StatefulSet",
            WorkloadKind::ReplicaSet => "ReplicaSet",
            WorkloadKind::Job => "Job",
            WorkloadKind::Pod => "Pod",
        };
        let name = over.workload.name.as_str();
        let is_pod = kind == "Pod" && pod.name.name == name;
        let is_controller = pod.controller.as_ref().is_some_and(|o| o.kind == kind && o.name == name);
        over.workload.namespace == pod.name.namespace && (is_pod || is_controller || behind == (kind, name))
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::inventory::{ObjectName, Owner};
    use crate::plan::v1alpha1::{Duration, WorkloadName};

    #[test]
    fn an_override_is_for_the_pods_of_the_workload_that_it_names_and_for_no_vm() {
        let owned = |kind: &str, owner: &str, labels: &[(&str, &str)]| Pod {
            name: ObjectName::new("shop", "p-0"),
            controller: Some(Arc::new(Owner { kind: kind.into(), name: owner.into(), ..Owner::default() })),
            labels: Arc::new(labels.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()),
            ..Pod::default()
        };
        let of_deployment = owned("ReplicaSet", "web-77", &[("pod-template-hash", "77")]);
        let job = owned("Job", "web", &[]);
        let launcher =
            owned("ReplicaSet", "web-77", &[("pod-template-hash", "77"), ("kubevirt.io", "virt-launcher")]);
        use WorkloadKind::{Deployment, Job, Pod as OnePod, ReplicaSet, StatefulSet};
        for (pod, namespace, kind, name, expected) in [
            (&of_deployment, "shop", Deployment, "web", true),
            (&of_deployment, "shop", ReplicaSet, "web-77", true),
            (&of_deployment, "shop", OnePod, "p-0", true),
            (&of_deployment, "else", Deployment, "web", false),
            (&of_deployment, "shop", StatefulSet, "web", false),
            (&of_deployment, "shop", ReplicaSet, "web", false),
            (&job, "shop", Job, "web", true),
            (&job, "shop", Deployment, "web", false),
            (&launcher, "shop", Deployment, "web", false),
            (&launcher, "shop", OnePod, "p-0", false),
        ] {
            let workload = WorkloadName { kind, namespace: namespace.into(), name: name.into() };
            let overrides = [BudgetOverride { workload, reason: "r".into(), after: Duration::from_secs(60) }];
            assert_eq!(override_of(&overrides, pod).is_some(), expected, "{:?}", overrides[0].workload);
        }
    }
}
