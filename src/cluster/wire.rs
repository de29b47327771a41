//! From the API's JSON to inventory values: just the fields that are needed.

mod needs;
mod quantity;

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement};

use super::lean::Value;
use crate::inventory::{
    Budget, Condition, KubeVirt, Migration, MigrationState, Node, ObjectName, Owner, Pod, PodPhase,
    Readiness, RunStrategy, Scalable, ScalableKind, ScalableName, Taint, UnhealthyPodEvictionPolicy,
    VirtualMachine, VirtualMachineInstance, VmiPhase, Volume, VolumeAttachment, Workload,
};

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn optional(value: &Value) -> Option<String> {
    value.as_str().filter(|t| !t.is_empty()).map(str::to_owned)
}

fn time(value: &Value) -> Option<Timestamp> {
    value.as_str()?.parse().ok()
}

fn map(value: &Value) -> BTreeMap<String, String> {
    value.fields().iter().map(|(name, value)| (name.to_string(), text(value))).collect()
}

/// Namespace and name of an object.
pub(super) fn name(object: &Value) -> ObjectName {
    ObjectName::new(text(&object["metadata"]["namespace"]), text(&object["metadata"]["name"]))
}

/// The revision of an object.
pub(super) fn version(object: &Value) -> Option<String> {
    optional(&object["metadata"]["resourceVersion"])
}

fn controller(object: &Value) -> Option<Arc<Owner>> {
    let owners = object["metadata"]["ownerReferences"].as_array()?;
    let owner = owners.iter().find(|o| o["controller"] == true)?;
    Some(Arc::new(Owner {
        api_version: text(&owner["apiVersion"]),
        kind: text(&owner["kind"]),
        name: text(&owner["name"]),
        uid: text(&owner["uid"]),
    }))
}

fn conditions(object: &Value) -> BTreeMap<String, Condition> {
    let list = object["status"]["conditions"].items().iter();
    list.map(|c| {
        let condition = Condition {
            status: text(&c["status"]),
            reason: text(&c["reason"]),
            message: text(&c["message"]),
        };
        (text(&c["type"]), condition)
    })
    .collect()
}

/// A Node.
pub fn node(object: &Value) -> Node {
    let ready = object["status"]["conditions"].items().iter().find(|c| c["type"] == "Ready");
    let mut annotations = map(&object["metadata"]["annotations"]);
    annotations.retain(|key, _| key.starts_with("virtroll.dev/") || key == "kubevirt.io/heartbeat");
    let taints = object["spec"]["taints"].items().iter();
    Node {
        name: text(&object["metadata"]["name"]),
        uid: text(&object["metadata"]["uid"]),
        resource_version: text(&object["metadata"]["resourceVersion"]),
        labels: map(&object["metadata"]["labels"]),
        annotations,
        unschedulable: object["spec"]["unschedulable"] == true,
        readiness: match ready.and_then(|c| c["status"].as_str()) {
            Some("True") => Readiness::Ready,
            Some("False") => Readiness::NotReady,
            _ => Readiness::Unknown,
        },
        ready_since: ready.and_then(|c| time(&c["lastTransitionTime"])),
        taints: taints
            .map(|t| Taint {
                key: text(&t["key"]),
                value: text(&t["value"]),
                effect: text(&t["effect"]),
                time_added: time(&t["timeAdded"]),
            })
            .collect(),
        boot_id: text(&object["status"]["nodeInfo"]["bootID"]),
        kernel_version: text(&object["status"]["nodeInfo"]["kernelVersion"]),
        allocatable: needs::resources(&object["status"]["allocatable"]),
        allocatable_pods: quantity::units(&object["status"]["allocatable"]["pods"]).unwrap_or(0),
        // KubeVirt announces `1k` devices.
        kvm: quantity::units(&object["status"]["allocatable"]["devices.kubevirt.io/kvm"]),
    }
}

/// A Pod.
pub(super) fn pod(object: &Value) -> Pod {
    let (metadata, spec, status) = (&object["metadata"], &object["spec"], &object["status"]);
    let mut conditions = status["conditions"].items().iter();
    let ready = conditions.find(|c| c["type"] == "Ready" && c["status"] == "True");
    let created = time(&metadata["creationTimestamp"]);
    let controller = controller(object);
    let has_its_place = controller.as_ref().is_some_and(|o| o.kind == "DaemonSet");
    let volumes = || spec["volumes"].items().iter();
    Pod {
        name: name(object),
        uid: text(&metadata["uid"]),
        labels: Arc::new(map(&metadata["labels"])),
        node: optional(&spec["nodeName"]),
        phase: match status["phase"].as_str() {
            Some("Running") => PodPhase::Running,
            Some("Succeeded") => PodPhase::Succeeded,
            Some("Failed") => PodPhase::Failed,
            Some("Unknown") => PodPhase::Unknown,
            _ => PodPhase::Pending,
        },
        ready: ready.is_some(),
        deletion: time(&metadata["deletionTimestamp"]),
        deletion_grace_seconds: metadata["deletionGracePeriodSeconds"].as_i64(),
        grace_seconds: spec["terminationGracePeriodSeconds"].as_i64().unwrap_or(30),
        controller,
        may_end: matches!(spec["restartPolicy"].as_str(), Some("Never" | "OnFailure"))
            || !spec["activeDeadlineSeconds"].is_null(),
        has_empty_dir: volumes().any(|v| !v["emptyDir"].is_null()),
        is_mirror: metadata["annotations"]["kubernetes.io/config.mirror"].is_string(),
        has_finalizers: metadata["finalizers"].as_array().is_some_and(|f| !f.is_empty()),
        priority_class: optional(&spec["priorityClassName"]),
        claims: volumes().filter_map(|v| optional(&v["persistentVolumeClaim"]["claimName"])).collect(),
        domain: optional(&metadata["annotations"]["kubevirt.io/domain"]),
        created,
        ready_after: ready.and_then(|c| {
            let took = time(&c["lastTransitionTime"])?.duration_since(created?);
            u32::try_from(took.as_secs()).ok()
        }),
        needs: Arc::new(needs::needs(object, has_its_place)),
        unschedulable: unschedulable(status),
    }
}

fn unschedulable(status: &Value) -> Option<String> {
    let mut conditions = status["conditions"].as_array()?.iter();
    let condition = conditions
        .find(|c| c["type"] == "PodScheduled" && c["status"] == "False" && c["reason"] == "Unschedulable")?;
    Some(text(&condition["message"]))
}

fn label_selector(selector: &Value) -> Option<LabelSelector> {
    let labels = map(&selector["matchLabels"]);
    let requirement = |expression: &Value| LabelSelectorRequirement {
        key: text(&expression["key"]),
        operator: text(&expression["operator"]),
        values: expression["values"].as_array().map(|values| values.iter().map(text).collect()),
    };
    let expressions = selector["matchExpressions"].as_array();
    selector.is_object().then(|| LabelSelector {
        match_expressions: expressions.map(|list| list.iter().map(requirement).collect()),
        match_labels: selector["matchLabels"].is_object().then_some(labels),
    })
}

/// A PodDisruptionBudget.
pub(super) fn budget(object: &Value) -> Budget {
    let (spec, status) = (&object["spec"], &object["status"]);
    let written = |v: &Value| match v {
        Value::Text(text) => Some(text.to_string()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    };
    let number = |field: &str| status[field].as_i64().unwrap_or(0) as i32;
    Budget {
        name: name(object),
        resource_version: text(&object["metadata"]["resourceVersion"]),
        selector: label_selector(&spec["selector"]),
        min_available: written(&spec["minAvailable"]),
        max_unavailable: written(&spec["maxUnavailable"]),
        unhealthy_policy: match spec["unhealthyPodEvictionPolicy"].as_str() {
            Some("AlwaysAllow") => UnhealthyPodEvictionPolicy::AlwaysAllow,
            _ => UnhealthyPodEvictionPolicy::IfHealthyBudget,
        },
        generation: object["metadata"]["generation"].as_i64().unwrap_or(0),
        observed_generation: status["observedGeneration"].as_i64().unwrap_or(0),
        expected_pods: number("expectedPods"),
        desired_healthy: number("desiredHealthy"),
        current_healthy: number("currentHealthy"),
        disruptions_allowed: number("disruptionsAllowed"),
        sync_failed: conditions(object)
            .remove("DisruptionAllowed")
            .filter(|c| c.status == "False" && c.reason == "SyncFailed")
            .map(|c| c.message),
        is_kubevirts: controller(object).is_some_and(|o| o.kind == "VirtualMachineInstance"),
        disrupted_pods: status["disruptedPods"].fields().iter().map(|(pod, _)| pod.to_string()).collect(),
    }
}

/// A DaemonSet.
pub(super) fn daemon_set(object: &Value) -> Workload {
    Workload { name: name(object), uid: text(&object["metadata"]["uid"]) }
}

/// A Deployment or StatefulSet.
pub(super) fn scalable(object: &Value, kind: ScalableKind) -> Scalable {
    let refused = conditions(object).remove("ReplicaFailure").filter(|c| c.status == "True");
    Scalable {
        name: ScalableName { kind, name: name(object) },
        uid: text(&object["metadata"]["uid"]),
        // The API server's default, for manifests that haven't been through it.
        replicas: object["spec"]["replicas"].as_u64().map_or(1, |n| u32::try_from(n).unwrap_or(u32::MAX)),
        refused: refused.map(|c| c.message),
    }
}

/// A VolumeAttachment.
pub(super) fn attachment(object: &Value) -> VolumeAttachment {
    VolumeAttachment {
        name: text(&object["metadata"]["name"]),
        node: text(&object["spec"]["nodeName"]),
        volume: text(&object["spec"]["source"]["persistentVolumeName"]),
        attached: object["status"]["attached"] == true,
    }
}

/// A PersistentVolume.
pub(super) fn volume(object: &Value) -> Volume {
    let claim = &object["spec"]["claimRef"];
    let terms = &object["spec"]["nodeAffinity"]["required"]["nodeSelectorTerms"];
    Volume {
        name: text(&object["metadata"]["name"]),
        claim: optional(&claim["name"]).map(|name| ObjectName::new(text(&claim["namespace"]), name)),
        node_affinity: terms.as_array().map(|_| needs::node_terms(terms)),
    }
}

/// The KubeVirt installation.
pub(super) fn kubevirt(object: &Value) -> KubeVirt {
    let configuration = &object["spec"]["configuration"];
    let migrations = &configuration["migrations"];
    let defaults = KubeVirt::default();
    let number = |field: &str| {
        let value = &migrations[field];
        value.as_u64().or_else(|| value.as_str().and_then(|s| s.parse().ok()))
    };
    let narrow = |n: u64| u32::try_from(n).unwrap_or(u32::MAX);
    KubeVirt {
        version: text(&object["status"]["observedKubeVirtVersion"]),
        phase: text(&object["status"]["phase"]),
        eviction_strategy: optional(&configuration["evictionStrategy"]),
        node_drain_taint_key: optional(&migrations["nodeDrainTaintKey"])
            .unwrap_or(defaults.node_drain_taint_key),
        parallel_migrations_per_cluster: number("parallelMigrationsPerCluster")
            .map_or(defaults.parallel_migrations_per_cluster, narrow),
        parallel_outbound_migrations_per_node: number("parallelOutboundMigrationsPerNode")
            .map_or(defaults.parallel_outbound_migrations_per_node, narrow),
        completion_timeout_per_gib: number("completionTimeoutPerGiB")
            .unwrap_or(defaults.completion_timeout_per_gib),
        progress_timeout: number("progressTimeout").unwrap_or(defaults.progress_timeout),
        bandwidth_per_migration: quantity::units(&migrations["bandwidthPerMigration"])
            .unwrap_or(defaults.bandwidth_per_migration),
    }
}

/// A VirtualMachine.
pub(super) fn vm(object: &Value) -> VirtualMachine {
    let (spec, status) = (&object["spec"], &object["status"]);
    let running = if spec["running"] == true { "Always" } else { "Halted" };
    let strategy = spec["runStrategy"].as_str().unwrap_or(running);
    VirtualMachine {
        name: name(object),
        uid: text(&object["metadata"]["uid"]),
        run_strategy: match strategy {
            "Always" => RunStrategy::Always,
            "RerunOnFailure" => RunStrategy::RerunOnFailure,
            "Manual" => RunStrategy::Manual,
            "Once" => RunStrategy::Once,
            _ => RunStrategy::Halted,
        },
        ready: status["ready"] == true,
        created: status["created"] == true,
        printable_status: text(&status["printableStatus"]),
    }
}

/// A VirtualMachineInstance.
pub(super) fn vmi(object: &Value) -> VirtualMachineInstance {
    let (metadata, spec, status) = (&object["metadata"], &object["spec"], &object["status"]);
    let state = &status["migrationState"];
    let labels = map(&metadata["labels"]);
    let domain = &spec["domain"];
    let guest = quantity::units(&domain["memory"]["guest"]);
    VirtualMachineInstance {
        name: name(object),
        uid: text(&metadata["uid"]),
        migration_target_node: labels.get("kubevirt.io/migrationTargetNodeName").cloned(),
        labels,
        controller: controller(object),
        deleting: !metadata["deletionTimestamp"].is_null(),
        eviction_strategy: optional(&spec["evictionStrategy"]),
        grace_seconds: spec["terminationGracePeriodSeconds"].as_i64().unwrap_or(30),
        memory_bytes: guest
            .or_else(|| quantity::units(&domain["resources"]["requests"]["memory"]))
            .unwrap_or(0),
        cpu_model: optional(&domain["cpu"]["model"]),
        phase: match status["phase"].as_str() {
            None | Some("" | "Pending") => VmiPhase::Pending,
            Some("Scheduling") => VmiPhase::Scheduling,
            Some("Scheduled") => VmiPhase::Scheduled,
            Some("Running") => VmiPhase::Running,
            Some("Succeeded") => VmiPhase::Succeeded,
            Some("Failed") => VmiPhase::Failed,
            Some(_) => VmiPhase::Unknown,
        },
        node: optional(&status["nodeName"]),
        evacuation_node: optional(&status["evacuationNodeName"]),
        conditions: conditions(object),
        migration_state: state.is_object().then(|| MigrationState {
            migration_uid: text(&state["migrationUid"]),
            source_node: text(&state["sourceNode"]),
            target_node: text(&state["targetNode"]),
            start: time(&state["startTimestamp"]),
            end: time(&state["endTimestamp"]),
            completed: state["completed"] == true,
            failed: state["failed"] == true,
            failure_reason: text(&state["failureReason"]),
        }),
    }
}

/// A VirtualMachineInstanceMigration.
pub(super) fn migration(object: &Value) -> Migration {
    let stamps = object["status"]["phaseTransitionTimestamps"].as_array();
    Migration {
        name: name(object),
        uid: text(&object["metadata"]["uid"]),
        vmi: text(&object["spec"]["vmiName"]),
        phase: text(&object["status"]["phase"]),
        evacuates: optional(&object["metadata"]["annotations"]["kubevirt.io/evacuationMigration"]),
        deleting: !object["metadata"]["deletionTimestamp"].is_null(),
        phase_since: stamps.and_then(|s| time(&s.last()?["phaseTransitionTimestamp"])),
        conditions: conditions(object),
        created: time(&object["metadata"]["creationTimestamp"]),
    }
}
