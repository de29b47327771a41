//! KubeVirt and virtual machines as objects: a VirtualMachine, its VMI and its launcher pod each.

use serde_json::{Value, json};

use super::{MADE, Writer, condition, owner, running};
use crate::sim::generate::Recipe;
use crate::sim::generate::guests::Guest;
use crate::sim::generate::machines::Machine;

/// The CPU generations, the older first: a guest of the older one can play on the newer one, not the other way round.
const MODELS: [&str; 2] = ["Cascadelake-Server", "Icelake-Server"];
const SCHEDULABLE: &str = "kubevirt.io/schedulable";
const MACHINE_TYPE: &str = "machine-type.node.kubevirt.io/q35";

/// What virt-handler says of a node.
pub(super) fn label(labels: &mut Value, node: &Machine) {
    labels[SCHEDULABLE] = json!("true");
    labels[MACHINE_TYPE] = json!("true");
    labels["cpu-vendor.node.kubevirt.io/Intel"] = json!("true");
    let own = MODELS[usize::from(node.is_new)];
    labels[format!("host-model-cpu.node.kubevirt.io/{own}")] = json!("true");
    for model in MODELS.iter().take_while(|m| **m != own).chain([&own]) {
        labels[format!("cpu-model-migration.node.kubevirt.io/{model}")] = json!("true");
    }
}

impl Writer {
    /// The installation.
    pub(super) fn kubevirt(&mut self, recipe: &Recipe) {
        // Large clusters are run with more slots than the default five.
        let slots = (recipe.nodes / 20).clamp(5, 50);
        let spec = json!({"configuration": {
            "evictionStrategy": "LiveMigrate",
            "migrations": {"parallelMigrationsPerCluster": slots, "parallelOutboundMigrationsPerNode": 2},
        }});
        let status = json!({
            "phase": "Deployed", "observedKubeVirtVersion": "v1.9.0", "operatorVersion": "v1.9.0",
        });
        let metadata = self.metadata("kubevirt", "kubevirt");
        self.add("kubevirt.io/v1", "KubeVirt", metadata, spec, status);
    }

    /// A virtual machine that runs.
    pub fn guest(&mut self, guest: &Guest, place: Option<usize>, nodes: &[Machine]) {
        let node = place.map(|index| &nodes[index]);
        let spec = json!({
            "evictionStrategy": if guest.migrates { "LiveMigrate" } else { "None" },
            "architecture": "amd64", "terminationGracePeriodSeconds": 60,
            "domain": {
                "cpu": {"cores": guest.vcpus}, "memory": {"guest": format!("{}Gi", guest.gib)},
                "machine": {"type": "q35"}, "devices": {"interfaces": [{"name": "default", "masquerade": {}}]},
            },
            "networks": [{"name": "default", "pod": {}}],
            "volumes": [{"name": "root", "containerDisk": {"image": "registry.local/debian:13"}}],
        });
        let mut metadata = self.metadata(&guest.namespace, &guest.name);
        metadata["finalizers"] = json!(["kubevirt.io/virtualMachineControllerFinalize"]);
        let vm = metadata["uid"].clone();
        let ready = node.is_some();
        let status = if ready { "Running" } else { "Starting" };
        self.add(
            "kubevirt.io/v1",
            "VirtualMachine",
            metadata,
            json!({"runStrategy": "Always", "template": {"metadata": {"labels": {"vm": guest.name}}, "spec": spec}}),
            json!({"created": ready, "ready": ready, "printableStatus": status, "runStrategy": "Always"}),
        );
        // Without a place, the model's controllers make the rest.
        if let Some(node) = node {
            self.instance(guest, spec, &vm, node);
        }
    }

    fn instance(&mut self, guest: &Guest, spec: Value, vm: &Value, node: &Machine) {
        let launcher = format!("virt-launcher-{}-{:05x}", guest.name, self.serial & 0xf_ffff);
        let mut metadata = self.metadata(&guest.namespace, &guest.name);
        metadata["labels"] = json!({"vm": guest.name, "kubevirt.io/nodeName": node.name});
        metadata["finalizers"] = json!(["kubevirt.io/foregroundDeleteVirtualMachine"]);
        metadata["ownerReferences"] = owner("kubevirt.io/v1", "VirtualMachine", &guest.name, vm);
        let vmi = metadata["uid"].clone();
        let pod = self.uid();
        let phases = ["Pending", "Scheduling", "Scheduled", "Running"];
        let phases = phases.map(|phase| json!({"phase": phase, "phaseTransitionTimestamp": MADE}));
        let mut active = json!({});
        active[pod.as_str().unwrap_or_default()] = json!(node.name);
        let status = json!({
            "phase": "Running", "nodeName": node.name, "activePods": active, "selinuxContext": "none",
            "migrationMethod": "LiveMigration", "phaseTransitionTimestamps": phases,
            "conditions": [condition("Ready", "True"), condition("LiveMigratable", "True")],
        });
        self.add("kubevirt.io/v1", "VirtualMachineInstance", metadata, spec, status);
        self.launcher(guest, &launcher, (&vmi, pod), node);
    }

    fn launcher(&mut self, guest: &Guest, name: &str, (vmi, uid): (&Value, Value), node: &Machine) {
        let mut metadata = self.metadata(&guest.namespace, name);
        metadata["uid"] = uid;
        metadata["labels"] = json!({
            "kubevirt.io": "virt-launcher", "kubevirt.io/created-by": vmi, "vm.kubevirt.io/name": guest.name,
            "vmi.kubevirt.io/id": guest.name, "vm": guest.name,
        });
        metadata["annotations"] = json!({
            "kubevirt.io/domain": guest.name, "sim.virtroll.dev/stops": "external",
            "kubectl.kubernetes.io/default-container": "compute",
        });
        metadata["ownerReferences"] = owner("kubevirt.io/v1", "VirtualMachineInstance", &guest.name, vmi);
        let (cpu, memory) = guest.requests();
        let requests = json!({
            "cpu": format!("{cpu}m"), "memory": (memory << 20).to_string(), "devices.kubevirt.io/kvm": "1",
        });
        let mut selector = json!({SCHEDULABLE: "true", "kubernetes.io/arch": "amd64"});
        selector[MACHINE_TYPE] = json!("true");
        let spec = json!({
            "restartPolicy": "Never", "terminationGracePeriodSeconds": 90, "hostname": guest.name,
            "readinessGates": [{"conditionType": "kubevirt.io/virtual-machine-unpaused"}],
            "nodeSelector": selector, "nodeName": node.name,
            "automountServiceAccountToken": false, "enableServiceLinks": false,
            "volumes": [{"name": "private", "emptyDir": {}}, {"name": "public", "emptyDir": {}}],
            "containers": [{
                "name": "compute", "image": "registry.local/virt-launcher:v1.9.0",
                "resources": {"requests": requests, "limits": {"devices.kubevirt.io/kvm": "1"}},
            }],
        });
        let mut status = running(&spec["containers"], 2);
        if let Some(conditions) = status["conditions"].as_array_mut() {
            conditions.push(condition("kubevirt.io/virtual-machine-unpaused", "True"));
        }
        self.add("v1", "Pod", metadata, spec, status);
    }
}
