//! The pods that KubeVirt makes: launchers, migration targets, and attachment pods of hotplugged volumes.

use super::guest::{self, memory};
use super::instance;
use super::world::{Object, World, reference, text, uid};
use crate::sim::json::{Value, json};

/// Memory beside the guest's: launcher, libvirt, QEMU. KubeVirt computes it from devices and vCPUs; this is what that
/// comes to for a small guest.
const OVERHEAD: u64 = 256 << 20;
/// CPU requested for each vCPU: KubeVirt's `cpuAllocationRatio` of 10.
const CPU_MILLIS: u64 = 100;
/// What a guest without a stated memory gets.
const LEAST_MEMORY: u64 = 128 << 20;

/// Says who ends a pod.
pub(super) const STOPS: &str = "sim.virtroll.dev/stops";

fn vcpus(vmi: &Value) -> u64 {
    let cpu = &vmi["spec"]["domain"]["cpu"];
    let number = |field: &str| cpu[field].as_u64().unwrap_or(1).max(1);
    number("cores") * number("sockets") * number("threads")
}

/// What the `compute` container of a new launcher requests. A launcher of this VMI (or of its predecessor with the same domain)
/// that KubeVirt itself made says it best; else it follows from the spec.
fn resources(world: &World, vmi: &Value) -> Value {
    world.compute_of(vmi).cloned().unwrap_or_else(|| computed(vmi))
}

fn computed(vmi: &Value) -> Value {
    let domain = &vmi["spec"]["domain"];
    let stated = &domain["resources"]["requests"];
    // A stated request may be less than the guest's memory: the cluster overcommits then.
    let bytes = guest::bytes(&stated["memory"]).unwrap_or_else(|| memory(vmi)).max(LEAST_MEMORY) + OVERHEAD;
    let dedicated = domain["cpu"]["dedicatedCpuPlacement"] == true;
    let of_vcpus = if dedicated { vcpus(vmi).to_string() } else { format!("{}m", vcpus(vmi) * CPU_MILLIS) };
    let cpu =
        stated["cpu"].as_str().map(str::to_owned).or_else(|| stated["cpu"].as_u64().map(|n| n.to_string()));
    let cpu = cpu.unwrap_or(of_vcpus);
    let mut requests = json!({"cpu": cpu, "memory": bytes.to_string(), "devices.kubevirt.io/kvm": "1"});
    let mut limits = json!({"devices.kubevirt.io/kvm": "1"});
    for list in ["gpus", "hostDevices"] {
        for device in domain["devices"][list].as_array().into_iter().flatten() {
            if let Some(name) = device["deviceName"].as_str() {
                requests[name] = json!("1");
                limits[name] = json!("1");
            }
        }
    }
    // CPUs of its own take a pod of the class Guaranteed.
    let limits = if dedicated { requests.clone() } else { limits };
    json!({"requests": requests, "limits": limits})
}

fn compute(pod: &Value) -> Option<&Value> {
    let containers = pod["spec"]["containers"].as_array()?;
    Some(&containers.iter().find(|c| c["name"] == "compute")?["resources"]).filter(|r| r.is_object())
}

/// Keeps in mind what a launcher requests, if that isn't what the model would.
pub(super) fn remember(world: &mut World, vmi: &Value, pods: &[Object]) {
    let known = instance::current(vmi, pods).and_then(|pod| compute(pod));
    if let Some(known) = known.filter(|k| **k != computed(vmi)) {
        world.remember_compute(vmi, known);
    }
}

/// Claims behind the VMI's volumes, hotplugged ones apart.
pub(super) fn claims(vmi: &Value, hotplugged: bool) -> Vec<(String, String)> {
    let volumes = vmi["spec"]["volumes"].as_array().into_iter().flatten();
    let claim = |volume: &Value| {
        let (pvc, data) = (&volume["persistentVolumeClaim"], &volume["dataVolume"]);
        let hot = pvc["hotpluggable"] == true || data["hotpluggable"] == true;
        let name = pvc["claimName"].as_str().or_else(|| data["name"].as_str())?;
        (hot == hotplugged).then(|| (text(&volume["name"]).to_owned(), name.to_owned()))
    };
    volumes.filter_map(claim).collect()
}

fn volumes(vmi: &Value) -> Vec<Value> {
    let mut volumes =
        vec![json!({"name": "private", "emptyDir": {}}), json!({"name": "public", "emptyDir": {}})];
    volumes.extend(
        claims(vmi, false)
            .into_iter()
            .map(|(name, claim)| json!({"name": name, "persistentVolumeClaim": {"claimName": claim}})),
    );
    volumes
}

fn selector(world: &World, vmi: &Value) -> Value {
    let mut selector = vmi["spec"]["nodeSelector"].clone();
    if !selector.is_object() {
        selector = json!({});
    }
    selector["kubevirt.io/schedulable"] = json!("true");
    selector["kubernetes.io/arch"] = json!(vmi["spec"]["architecture"].as_str().unwrap_or("amd64"));
    let machine = vmi["spec"]["domain"]["machine"]["type"].as_str().unwrap_or("q35");
    let machine = format!("machine-type.node.kubevirt.io/{machine}");
    // Older releases don't label nodes by what QEMU offers: a machine type that no node names is asked of none.
    if world.indexes.has_label(&machine) || machine.ends_with("/q35") {
        selector[machine] = json!("true");
    }
    selector
}

/// The launcher pod of a VMI.
pub(super) fn launcher(world: &World, vmi: &Value) -> Value {
    let name = text(&vmi["metadata"]["name"]);
    let mut labels = vmi["metadata"]["labels"].clone();
    if !labels.is_object() {
        labels = json!({});
    }
    labels["kubevirt.io"] = json!("virt-launcher");
    labels["kubevirt.io/created-by"] = json!(uid(vmi));
    labels["vm.kubevirt.io/name"] = json!(name);
    labels["vmi.kubevirt.io/id"] = json!(name);
    // The guest's end is the model's to say, so the kubelet leaves it alone.
    let mut annotations = json!({
        "kubevirt.io/domain": name, STOPS: "external",
        "kubectl.kubernetes.io/default-container": "compute",
    });
    for own in ["starts-after", "ready-after"].map(|n| format!("sim.virtroll.dev/{n}")) {
        if let Some(value) = vmi["metadata"]["annotations"][&own].as_str() {
            annotations[&own] = json!(value);
        }
    }
    let grace = vmi["spec"]["terminationGracePeriodSeconds"].as_i64().unwrap_or(30);
    let mut spec = json!({
        "restartPolicy": "Never", "terminationGracePeriodSeconds": grace + 30,
        "readinessGates": [{"conditionType": "kubevirt.io/virtual-machine-unpaused"}],
        "nodeSelector": selector(world, vmi), "volumes": volumes(vmi), "hostname": name,
        "automountServiceAccountToken": false, "enableServiceLinks": false,
        "containers": [{
            "name": "compute", "image": "registry.local/virt-launcher:v1.9.0", "resources": resources(world, vmi),
        }],
    });
    for field in
        ["affinity", "tolerations", "topologySpreadConstraints", "priorityClassName", "schedulerName"]
    {
        if !vmi["spec"][field].is_null() {
            spec[field] = vmi["spec"][field].clone();
        }
    }
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "generateName": format!("virt-launcher-{name}-"), "namespace": vmi["metadata"]["namespace"],
            "labels": labels, "annotations": annotations, "ownerReferences": [reference(vmi)],
        },
        "spec": spec,
    })
}

/// The pod that a migration moves a VMI into: like the launcher, on another node, where the CPU fits.
pub(super) fn target(world: &World, vmi: &Value, migration: &Value) -> Value {
    let mut pod = launcher(world, vmi);
    let pods = instance::launchers(world, vmi);
    if let Some(own) = instance::current(vmi, &pods).and_then(|pod| compute(pod)) {
        pod["spec"]["containers"][0]["resources"] = own.clone();
    }
    pod["metadata"]["labels"]["kubevirt.io/migrationJobUID"] = json!(uid(migration));
    pod["metadata"]["annotations"]["kubevirt.io/migrationJobName"] = migration["metadata"]["name"].clone();
    let apart = json!({
        "labelSelector": {"matchLabels": {"kubevirt.io/created-by": uid(vmi)}},
        "topologyKey": "kubernetes.io/hostname",
    });
    let list =
        &mut pod["spec"]["affinity"]["podAntiAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"];
    match list.as_array_mut() {
        Some(list) => list.push(apart),
        None => *list = json!([apart]),
    }
    for (key, value) in migration["spec"]["addedNodeSelector"].as_object().into_iter().flatten() {
        pod["spec"]["nodeSelector"][key] = value.clone();
    }
    let model = vmi["spec"]["domain"]["cpu"]["model"].as_str().unwrap_or("host-model");
    let source = world.node(text(&vmi["status"]["nodeName"]));
    for (key, value) in
        source.into_iter().flat_map(|n| n["metadata"]["labels"].as_object().into_iter().flatten())
    {
        if key.starts_with("cpu-vendor.node.kubevirt.io/") {
            pod["spec"]["nodeSelector"][key] = value.clone();
        }
        // The target must be able to play the source's CPU.
        if let Some(host) =
            key.strip_prefix("host-model-cpu.node.kubevirt.io/").filter(|_| model == "host-model")
        {
            pod["spec"]["nodeSelector"][format!("cpu-model-migration.node.kubevirt.io/{host}")] =
                json!("true");
        }
    }
    pod
}

/// The attachment pod of a launcher: holds the hotplugged volumes on the launcher's node.
pub(super) fn attachment(vmi: &Value, launcher: &Object) -> Value {
    let hot = claims(vmi, true);
    let volumes: Vec<Value> = hot
        .into_iter()
        .map(|(name, claim)| json!({"name": name, "persistentVolumeClaim": {"claimName": claim}}))
        .collect();
    let node = text(&launcher["spec"]["nodeName"]);
    let here = json!({"nodeSelectorTerms": [{"matchFields": [
        {"key": "metadata.name", "operator": "In", "values": [node]},
    ]}]});
    let tolerate = |key: &str| json!({"key": key, "operator": "Exists", "effect": "NoSchedule"});
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "generateName": "hp-volume-", "namespace": vmi["metadata"]["namespace"],
            "labels": {"kubevirt.io": "hotplug-disk"}, "ownerReferences": [reference(launcher)],
        },
        "spec": {
            "restartPolicy": "Never", "terminationGracePeriodSeconds": 0, "volumes": volumes,
            "automountServiceAccountToken": false,
            "affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": here}},
            "tolerations": [
                tolerate("node.kubernetes.io/unschedulable"), tolerate("node.kubernetes.io/memory-pressure"),
                tolerate("node.kubernetes.io/disk-pressure"), tolerate("node.kubernetes.io/pid-pressure"),
            ],
            "containers": [{"name": "hotplug-disk", "image": "registry.local/virt-launcher:v1.9.0"}],
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Expected: cpu and memory (with 256Mi of overhead) requested, cpu limited.
    #[test]
    fn requests_follow_from_the_spec() {
        for (domain, cpu, memory, limit) in [
            (json!({"memory": {"guest": "1Gi"}}), "100m", "1342177280", Value::Null),
            (
                json!({"memory": {"guest": "1Gi"}, "cpu": {"cores": 2, "sockets": 3}}),
                "600m",
                "1342177280",
                Value::Null,
            ),
            // The cluster overcommits: half of the guest's memory is requested.
            (
                json!({"memory": {"guest": "2Gi"}, "resources": {"requests": {"memory": "1Gi", "cpu": "1500m"}}}),
                "1500m",
                "1342177280",
                Value::Null,
            ),
            (json!({"resources": {"requests": {"memory": "1Gi", "cpu": 2}}}), "2", "1342177280", Value::Null),
            (
                json!({"memory": {"guest": "1Gi"}, "cpu": {"cores": 4, "dedicatedCpuPlacement": true}}),
                "4",
                "1342177280",
                json!("4"),
            ),
        ] {
            let got = computed(&json!({"spec": {"domain": domain}}));
            assert_eq!(got["requests"]["cpu"], cpu, "{domain}");
            assert_eq!(got["requests"]["memory"], memory, "{domain}");
            assert_eq!(got["limits"]["cpu"], limit, "{domain}");
        }
    }
}
