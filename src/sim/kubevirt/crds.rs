//! KubeVirt's kinds as CustomResourceDefinitions, as far as a drain meets them: structure only, fields unchecked.

use serde_json::{Value, json};

/// group, version, kind, plural, short names, namespaced, status, scale.
type Row =
    (&'static str, &'static str, &'static str, &'static str, &'static [&'static str], bool, bool, bool);

const KINDS: [Row; 6] = [
    ("kubevirt.io", "v1", "KubeVirt", "kubevirts", &["kv", "kvs"], true, true, false),
    ("kubevirt.io", "v1", "VirtualMachine", "virtualmachines", &["vm", "vms"], true, true, false),
    (
        "kubevirt.io",
        "v1",
        "VirtualMachineInstance",
        "virtualmachineinstances",
        &["vmi", "vmis"],
        true,
        false,
        false,
    ),
    (
        "kubevirt.io",
        "v1",
        "VirtualMachineInstanceMigration",
        "virtualmachineinstancemigrations",
        &["vmim", "vmims"],
        true,
        true,
        false,
    ),
    (
        "kubevirt.io",
        "v1",
        "VirtualMachineInstanceReplicaSet",
        "virtualmachineinstancereplicasets",
        &["vmirs", "vmirss"],
        true,
        true,
        true,
    ),
    ("migrations.kubevirt.io", "v1alpha1", "MigrationPolicy", "migrationpolicies", &[], false, true, false),
];

fn crd(row: &Row) -> Value {
    let &(group, version, kind, plural, short_names, namespaced, has_status, has_scale) = row;
    let mut subresources = json!({});
    if has_status {
        subresources["status"] = json!({});
    }
    if has_scale {
        subresources["scale"] = json!({
            "specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas",
            "labelSelectorPath": ".status.labelSelector",
        });
    }
    let open = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": format!("{plural}.{group}")},
        "spec": {
            "group": group, "scope": if namespaced { "Namespaced" } else { "Cluster" },
            "names": {
                "kind": kind, "listKind": format!("{kind}List"), "plural": plural,
                "singular": kind.to_lowercase(), "shortNames": short_names, "categories": ["all"],
            },
            "versions": [{
                "name": version, "served": true, "storage": true, "subresources": subresources,
                "additionalPrinterColumns": columns(kind),
                "schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": open, "status": open}}},
            }],
        },
    })
}

/// The columns of `kubectl get`.
fn columns(kind: &str) -> Value {
    let column = |name: &str, kind: &str, path: &str, wide: bool| {
        let mut column = json!({"name": name, "type": kind, "jsonPath": path});
        if wide {
            column["priority"] = json!(1);
        }
        column
    };
    let age = || column("Age", "date", ".metadata.creationTimestamp", false);
    let condition = |name: &str, of: &str, wide| {
        column(name, "string", &format!(".status.conditions[?(@.type=='{of}')].status"), wide)
    };
    let text = |name: &str, path: &str| column(name, "string", path, false);
    match kind {
        "KubeVirt" => json!([age(), text("Phase", ".status.phase")]),
        "VirtualMachine" => {
            json!([age(), text("Status", ".status.printableStatus"), condition("Ready", "Ready", false)])
        }
        "VirtualMachineInstance" => json!([
            age(),
            text("Phase", ".status.phase"),
            text("IP", ".status.interfaces[0].ipAddress"),
            text("NodeName", ".status.nodeName"),
            condition("Ready", "Ready", false),
            condition("Live-Migratable", "LiveMigratable", true),
            condition("Paused", "Paused", true),
        ]),
        "VirtualMachineInstanceMigration" => {
            json!([text("Phase", ".status.phase"), text("VMI", ".spec.vmiName")])
        }
        "VirtualMachineInstanceReplicaSet" => json!([
            column("Desired", "integer", ".spec.replicas", false),
            column("Current", "integer", ".status.replicas", false),
            column("Ready", "integer", ".status.readyReplicas", false),
            age(),
        ]),
        _ => json!([age()]),
    }
}

/// The definitions of the kinds that the model serves.
pub fn crds() -> Vec<Value> {
    KINDS.iter().map(crd).collect()
}

/// A KubeVirt installation with nothing configured, deployed, of the newest modelled version.
pub fn default_installation() -> Value {
    json!({
        "apiVersion": "kubevirt.io/v1", "kind": "KubeVirt",
        "metadata": {"name": "kubevirt", "namespace": "kubevirt"},
        "spec": {"configuration": {}},
        "status": {"phase": "Deployed", "observedKubeVirtVersion": "v1.9.0", "operatorVersion": "v1.9.0"},
    })
}
