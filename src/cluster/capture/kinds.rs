//! The kinds that a capture reads, and what it keeps of each.

use kube::api::ApiResource;
use serde_json::{Value, json};

use super::fields::{self, keeps_annotation};
use super::keep::Keep;

/// One kind.
pub(super) struct Kind {
    group: &'static str,
    version: &'static str,
    pub kind: &'static str,
    pub plural: &'static str,
    /// What isn't modelled without it; `None`: a rehearsal without it would mislead.
    pub lacking: Option<&'static str>,
}

const fn kind(
    group: &'static str,
    version: &'static str,
    kind: &'static str,
    plural: &'static str,
    lacking: Option<&'static str>,
) -> Kind {
    Kind { group, version, kind, plural, lacking }
}

/// In the order in which they are read; pods late, so that their owners are there already.
pub(super) const KINDS: &[Kind] = &[
    kind(
        "apiextensions.k8s.io",
        "v1",
        "CustomResourceDefinition",
        "customresourcedefinitions",
        Some(
            "KubeVirt's kinds are taken to be those of 1.9, and an interrupted campaign is not gone on with",
        ),
    ),
    kind("", "v1", "Namespace", "namespaces", Some("labels of namespaces are unknown to pod affinity")),
    kind(
        "scheduling.k8s.io",
        "v1",
        "PriorityClass",
        "priorityclasses",
        Some("new pods have priority 0 unless they state it"),
    ),
    kind(
        "storage.k8s.io",
        "v1",
        "StorageClass",
        "storageclasses",
        Some("new claims are bound without their class"),
    ),
    kind("", "v1", "Node", "nodes", None),
    kind(
        "",
        "v1",
        "PersistentVolume",
        "persistentvolumes",
        Some("volumes that are bound to a node or a zone don't hold their pods there"),
    ),
    kind("", "v1", "PersistentVolumeClaim", "persistentvolumeclaims", None),
    kind(
        "",
        "v1",
        "ReplicationController",
        "replicationcontrollers",
        Some("their pods count as unmanaged and are not replaced"),
    ),
    kind("apps", "v1", "Deployment", "deployments", None),
    kind("apps", "v1", "ReplicaSet", "replicasets", None),
    kind("apps", "v1", "StatefulSet", "statefulsets", None),
    kind("apps", "v1", "DaemonSet", "daemonsets", None),
    kind("batch", "v1", "Job", "jobs", Some("their pods count as unmanaged and are not replaced")),
    kind("policy", "v1", "PodDisruptionBudget", "poddisruptionbudgets", None),
    kind("kubevirt.io", "v1", "KubeVirt", "kubevirts", None),
    kind("kubevirt.io", "v1", "VirtualMachine", "virtualmachines", None),
    kind("kubevirt.io", "v1", "VirtualMachineInstance", "virtualmachineinstances", None),
    kind(
        "kubevirt.io",
        "v1",
        "VirtualMachineInstanceReplicaSet",
        "virtualmachineinstancereplicasets",
        Some("their instances count as bare and are not replaced"),
    ),
    kind(
        "kubevirt.io",
        "v1",
        "VirtualMachineInstanceMigration",
        "virtualmachineinstancemigrations",
        Some("migrations that run now take no place in the limits"),
    ),
    kind(
        "migrations.kubevirt.io",
        "v1alpha1",
        "MigrationPolicy",
        "migrationpolicies",
        Some("migrations go by the cluster's settings alone"),
    ),
    kind("", "v1", "Pod", "pods", None),
    kind(
        "storage.k8s.io",
        "v1",
        "VolumeAttachment",
        "volumeattachments",
        Some("volumes are taken to be attached where their pods are"),
    ),
    // What is begun, a rehearsal goes on with, as the run would.
    kind(
        "virtroll.dev",
        "v1alpha1",
        "MaintenanceCampaign",
        "maintenancecampaigns",
        Some("an interrupted campaign is not gone on with: the rehearsal begins anew"),
    ),
    kind(
        "virtroll.dev",
        "v1alpha1",
        "MaintenanceCampaignSlice",
        "maintenancecampaignslices",
        Some(
            "of a campaign with more than 1,000 nodes or VMs, what is through beyond those is taken not to have begun",
        ),
    ),
];

/// Groups of which the definitions are taken.
pub(super) const DEFINED: [&str; 3] = ["kubevirt.io", "migrations.kubevirt.io", "virtroll.dev"];

const RECORDS: [&str; 2] = ["MaintenanceCampaign", "MaintenanceCampaignSlice"];

/// Whether an object is one of virtroll's own records, which are full of names and of free text.
pub(super) fn is_record(object: &Value) -> bool {
    object["kind"].as_str().is_some_and(|kind| RECORDS.contains(&kind))
}

impl Kind {
    /// As requests name it.
    pub(super) fn resource(&self) -> ApiResource {
        let (group, version) = (self.group.to_owned(), self.version.to_owned());
        let api_version = if group.is_empty() { version.clone() } else { format!("{group}/{version}") };
        ApiResource { group, version, api_version, kind: self.kind.into(), plural: self.plural.into() }
    }

    /// As RBAC names it: `pods`, `deployments.apps`.
    pub(super) fn full_name(&self) -> String {
        if self.group.is_empty() { self.plural.to_owned() } else { format!("{}.{}", self.plural, self.group) }
    }

    /// Whether a cluster with these API groups has it, and it is wanted.
    pub(super) fn is_asked(&self, serves: impl Fn(&str) -> bool) -> bool {
        if self.kind == "CustomResourceDefinition" {
            return DEFINED.into_iter().any(serves);
        }
        !DEFINED.contains(&self.group) || serves(self.group)
    }

    /// virtroll's own records.
    pub(super) fn is_record(&self) -> bool {
        RECORDS.contains(&self.kind)
    }

    /// What is kept of an object.
    pub(super) fn keep(&self) -> Keep {
        let mut keep = Keep::default();
        keep.add("", "apiVersion kind");
        keep.add("metadata.", fields::METADATA);
        keep.add("status.", fields::CONDITIONS);
        let mut add = |prefix: &str, paths: &str| keep.add(prefix, paths);
        match self.kind {
            "Node" => {
                add("spec.", fields::NODE);
                add("status.", fields::NODE_STATUS);
            }
            "Namespace" => add("", "spec.finalizers status.phase"),
            "PriorityClass" => add("", "value globalDefault preemptionPolicy"),
            "StorageClass" => add("", "provisioner volumeBindingMode reclaimPolicy allowedTopologies"),
            "PersistentVolume" => {
                add("spec.", fields::VOLUME);
                add("status.", "phase");
            }
            "PersistentVolumeClaim" => {
                add("spec.", fields::CLAIM);
                add("status.", "phase accessModes capacity");
            }
            "Deployment" | "ReplicaSet" | "StatefulSet" | "DaemonSet" | "ReplicationController" => {
                add("spec.", fields::WORKLOAD);
                add("spec.volumeClaimTemplates[].spec.", fields::CLAIM);
                add("status.", fields::COUNTS);
                template(&mut add, fields::POD);
            }
            "Job" => {
                add("spec.", fields::JOB);
                add("status.", fields::JOB_STATUS);
                template(&mut add, fields::POD);
            }
            "PodDisruptionBudget" => {
                add("spec.", "minAvailable maxUnavailable selector unhealthyPodEvictionPolicy");
                add("status.", "observedGeneration expectedPods desiredHealthy currentHealthy");
                add("status.", "disruptionsAllowed disruptedPods");
            }
            "Pod" => {
                add("spec.", fields::POD);
                add("status.", fields::POD_STATUS);
            }
            "KubeVirt" => {
                add("spec.", fields::KUBEVIRT);
                add("status.", "phase observedKubeVirtVersion targetKubeVirtVersion defaultArchitecture");
            }
            "VirtualMachine" => {
                add("spec.", "running runStrategy");
                add("status.", fields::MACHINE_STATUS);
                template(&mut add, fields::GUEST);
            }
            "VirtualMachineInstance" => {
                add("spec.", fields::GUEST);
                add("status.", fields::GUEST_STATUS);
                add("status.migrationState.", fields::MOVE);
            }
            "VirtualMachineInstanceReplicaSet" => {
                add("spec.", "replicas paused selector");
                add("status.", fields::COUNTS);
                template(&mut add, fields::GUEST);
            }
            "VirtualMachineInstanceMigration" => {
                add("spec.", "vmiName priority addedNodeSelector");
                add("status.", "phase phaseTransitionTimestamps");
                add("status.migrationState.", fields::MOVE);
            }
            "MigrationPolicy" => add("spec.", fields::POLICY),
            "VolumeAttachment" => {
                add("spec.", "attacher nodeName source.persistentVolumeName");
                add("status.", "attached");
            }
            "CustomResourceDefinition" => add("spec.", fields::DEFINITION),
            // virtroll's own record; `redact` takes the free text out of what goes into a file.
            "MaintenanceCampaign" | "MaintenanceCampaignSlice" => add("", "spec status"),
            _ => {}
        }
        keep
    }
}

fn template(add: &mut impl FnMut(&str, &str), spec: &str) {
    add("spec.template.metadata.", "name namespace labels annotations");
    add("spec.template.spec.", spec);
}

/// What the lists of fields can't say.
pub(super) fn tidy(object: &mut Value, asks_for_reboot: bool) {
    for metadata in ["/metadata", "/spec/template/metadata"] {
        if let Some(annotations) =
            object.pointer_mut(&format!("{metadata}/annotations")).and_then(Value::as_object_mut)
        {
            annotations.retain(|key, _| keeps_annotation(key));
        }
    }
    match object["kind"].as_str() {
        // Sources that the model doesn't read are gone, and an API server would refuse a volume without one.
        Some("Pod") => has_sources(object.pointer_mut("/spec/volumes")),
        Some("Deployment" | "ReplicaSet" | "StatefulSet" | "DaemonSet" | "ReplicationController" | "Job") => {
            has_sources(object.pointer_mut("/spec/template/spec/volumes"));
        }
        Some("CustomResourceDefinition") => {
            for version in object["spec"]["versions"].as_array_mut().into_iter().flatten() {
                version["schema"] = json!({"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}});
            }
        }
        _ => {}
    }
    if asks_for_reboot {
        object["spec"]["containers"][0]["command"] = json!(["reboot"]);
    }
}

fn has_sources(volumes: Option<&mut Value>) {
    if let Some(volumes) = volumes.and_then(Value::as_array_mut) {
        volumes.retain(|v| v.as_object().is_some_and(|fields| fields.len() > 1));
    }
}

/// virtroll's own reboot pod: that it asks for a reboot, and nothing else of its command, is part of the model.
pub(super) fn asks_for_reboot(object: &Value) -> bool {
    let is_ours = object["kind"] == "Pod"
        && object["metadata"]["labels"]["app.kubernetes.io/managed-by"] == "virtroll"
        && object["spec"]["hostPID"] == true;
    let container = &object["spec"]["containers"][0];
    let words = ["command", "args"].iter().flat_map(|f| container[*f].as_array().into_iter().flatten());
    let mut words = words.filter_map(Value::as_str).flat_map(str::split_whitespace);
    is_ours && words.any(|w| w == "reboot")
}

/// Takes the words of commands, requests and messages out of a campaign, or a slice of its record, that goes into a file. What a
/// campaign goes on from stays.
pub fn redact(campaign: &mut Value) {
    const WORD: &str = "left-out";
    let hooks = campaign.pointer_mut("/spec/plan/hooks").and_then(Value::as_array_mut);
    for hook in hooks.into_iter().flatten() {
        if let Some(exec) = hook.get_mut("exec") {
            *exec = json!([WORD]);
        }
        if let Some(http) = hook.get_mut("http") {
            *http = json!({"url": "http://left.out/"});
        }
        if let Some(job) = hook.get_mut("job").and_then(Value::as_object_mut) {
            for field in ["command", "args", "env"] {
                job.remove(field);
            }
        }
        if let Some(reboot) = hook.get_mut("reboot").and_then(Value::as_object_mut) {
            reboot.remove("command");
        }
        if let Some(value) = hook.pointer_mut("/waitFor/value") {
            *value = json!(WORD);
        }
    }
    let record = if campaign["kind"] == "MaintenanceCampaignSlice" { "spec" } else { "status" };
    let Some(record) = campaign.get_mut(record) else { return };
    let say = |value: &mut Value, field: &str| {
        if let Some(text) = value.get_mut(field).filter(|v| v.is_string()) {
            *text = json!("left out of the snapshot");
        }
    };
    say(record, "reason");
    for (list, field) in [("hooks", "message"), ("nodes", "reason")] {
        for item in record.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten() {
            say(item, field);
        }
    }
}
