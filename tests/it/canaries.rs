//! Secrets planted in every place of a cluster where one may be, and the search for them.

use base64::prelude::{BASE64_STANDARD, Engine as _};
use serde_json::{Value, json};

/// What must not get out.
pub const CANARY: &str = "CANARY-sings";

/// The canaries in a text, plain or in base64 at any alignment.
pub fn found_in(text: &str) -> Vec<String> {
    let encoded = (0..3).map(|lead| {
        let whole = BASE64_STANDARD.encode(format!("{}{CANARY}", &"xxx"[..lead]));
        // The characters that hold bits of the canary alone.
        whole[(lead * 8).div_ceil(6)..(lead + CANARY.len()) * 8 / 6].to_owned()
    });
    let wanted = std::iter::once(CANARY.to_owned()).chain(encoded);
    let mut found = Vec::new();
    for word in wanted {
        for (at, _) in text.match_indices(&word) {
            let start = text[..at].char_indices().rev().nth(80).map_or(0, |(i, _)| i);
            found.push(text[start..(at + word.len()).min(text.len())].to_owned());
        }
    }
    found
}

fn coded() -> String {
    BASE64_STANDARD.encode(CANARY)
}

fn annotations() -> Value {
    json!({
        "kubectl.kubernetes.io/last-applied-configuration": format!("{{\"env\": \"{CANARY}\"}}"),
        "example.com/note": CANARY, "kubevirt.io/latest-observed-api-version": CANARY,
        "sim.virtroll.dev/starts-after": "1s",
    })
}

fn container(name: &str) -> Value {
    let exec = json!({"exec": {"command": ["sh", "-c", CANARY]}});
    let get = json!({"httpGet": {"port": 80, "path": "/x", "httpHeaders": [{"name": "Authorization", "value": CANARY}]}});
    json!({
        "name": name, "image": "web", "command": ["run", CANARY], "args": [format!("--token={CANARY}")], "workingDir": format!("/{CANARY}"),
        "env": [{"name": "PASSWORD", "value": CANARY}, {"name": "B", "value": coded()}],
        "envFrom": [{"prefix": CANARY, "secretRef": {"name": "s"}}],
        "livenessProbe": get, "readinessProbe": exec, "startupProbe": get, "lifecycle": {"postStart": exec, "preStop": get},
        "volumeMounts": [{"name": "conf", "mountPath": format!("/{CANARY}"), "subPathExpr": CANARY}],
        "terminationMessagePath": format!("/{CANARY}"), "resources": {"requests": {"cpu": "10m"}},
    })
}

fn pod_spec(node: Option<&str>) -> Value {
    let mut spec = json!({
        "containers": [container("main")], "initContainers": [container("init")], "ephemeralContainers": [container("debug")],
        "imagePullSecrets": [{"name": CANARY}], "hostAliases": [{"ip": "10.0.0.1", "hostnames": [CANARY]}],
        "dnsConfig": {"searches": [CANARY]}, "securityContext": {"sysctls": [{"name": "kernel.x", "value": CANARY}]},
        "volumes": [
            {"name": "conf", "configMap": {"name": "c", "items": [{"key": CANARY, "path": CANARY}]}},
            {"name": "secret", "secret": {"secretName": CANARY}}, {"name": "down", "downwardAPI": {"items": [{"path": CANARY}]}},
            {"name": "nfs", "nfs": {"server": CANARY, "path": "/"}}, {"name": "host", "hostPath": {"path": format!("/{CANARY}")}},
            {"name": "csi", "csi": {"driver": "d", "volumeAttributes": {"password": CANARY}}}, {"name": "scratch", "emptyDir": {}},
        ],
    });
    if let Some(node) = node {
        spec["nodeName"] = json!(node);
    }
    spec
}

fn workload(kind: &str, api_version: &str, extra: Value) -> Value {
    let labels = json!({"app": kind.to_lowercase()});
    let mut object = json!({
        "apiVersion": api_version, "kind": kind,
        "metadata": {"name": kind.to_lowercase(), "namespace": "shop", "annotations": annotations()},
        "spec": {
            "replicas": 1, "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels, "annotations": annotations()}, "spec": pod_spec(None)},
        },
        "status": {"conditions": [{"type": "Progressing", "status": "True", "message": CANARY}]},
    });
    for (field, value) in extra.as_object().into_iter().flatten() {
        object["spec"][field] = value.clone();
    }
    object
}

fn guest_spec() -> Value {
    json!({
        "hostname": "guest", "evictionStrategy": "LiveMigrate",
        "domain": {
            "memory": {"guest": "1Gi"}, "firmware": {"serial": CANARY, "kernelBoot": {"kernelArgs": CANARY}},
            "chassis": {"serial": CANARY}, "launchSecurity": {"sev": {"session": CANARY, "dhCert": coded()}},
            "features": {"hyperv": {"vendorid": {"vendorid": CANARY}}},
            "devices": {
                "disks": [{"name": "root", "serial": CANARY, "disk": {"bus": "virtio"}}],
                "interfaces": [{"name": "default", "masquerade": {}, "macAddress": CANARY, "dhcpOptions": {"privateOptions": [{"value": CANARY}]}}],
            },
        },
        "networks": [{"name": "default", "pod": {}}],
        "accessCredentials": [{"userPassword": {"source": {"secret": {"secretName": CANARY}}}}, {"sshPublicKey": {"source": {"secret": {"secretName": CANARY}}}}],
        "dnsConfig": {"searches": [CANARY]}, "readinessProbe": {"httpGet": {"port": 1, "httpHeaders": [{"name": "a", "value": CANARY}]}},
        "livenessProbe": {"exec": {"command": [CANARY]}},
        "volumes": [
            {"name": "root", "containerDisk": {"image": format!("registry/{CANARY}"), "imagePullSecret": CANARY}},
            {"name": "ci", "cloudInitNoCloud": {"userData": format!("#cloud-config\npassword: {CANARY}"), "networkDataBase64": coded()}},
            {"name": "cd", "cloudInitConfigDrive": {"userDataBase64": coded(), "networkData": CANARY, "secretRef": {"name": CANARY}}},
            {"name": "conf", "configMap": {"name": CANARY, "volumeLabel": CANARY}}, {"name": "sec", "secret": {"secretName": CANARY}},
            {"name": "prep", "sysprep": {"secret": {"name": CANARY}}}, {"name": "host", "hostDisk": {"path": CANARY, "type": "Disk", "capacity": "1Gi"}},
        ],
    })
}

fn objects() -> Vec<Value> {
    let meta = |name: &str| json!({"name": name, "namespace": "shop", "annotations": annotations()});
    let managed =
        json!([{"manager": CANARY, "operation": "Update", "fieldsV1": {format!("f:{CANARY}"): {}}}]);
    let mut node = json!({
        "apiVersion": "v1", "kind": "Node", "metadata": {"name": "w1", "annotations": annotations()},
        "spec": {"providerID": format!("cloud://{CANARY}")},
        "status": {
            "allocatable": {"cpu": "16", "memory": "64Gi", "pods": "100", "devices.kubevirt.io/kvm": "1k"}, "images": [{"names": [CANARY]}],
            "addresses": [{"type": "Hostname", "address": CANARY}], "nodeInfo": {"bootID": "b", "kernelVersion": "6.9", "machineID": CANARY, "systemUUID": CANARY},
            "conditions": [{"type": "Ready", "status": "True", "message": CANARY}], "config": {"error": CANARY},
        },
    });
    node["metadata"]["managedFields"] = managed;
    let mut pod =
        json!({"apiVersion": "v1", "kind": "Pod", "metadata": meta("keeper"), "spec": pod_spec(Some("w1"))});
    let statuses = json!([{
        "name": "main", "image": "web", "imageID": CANARY, "containerID": CANARY, "ready": true, "restartCount": 1,
        "state": {"running": {"startedAt": "2026-01-05T21:00:00Z"}},
        "lastState": {"terminated": {"exitCode": 1, "message": CANARY}},
    }]);
    pod["status"] = json!({
        "phase": "Running", "message": CANARY, "hostIP": CANARY, "podIP": CANARY, "containerStatuses": statuses,
        "initContainerStatuses": [{"name": "init", "state": {"terminated": {"exitCode": 0, "reason": "Completed", "message": CANARY}}}],
        "conditions": [{"type": "Ready", "status": "True", "message": CANARY}],
    });
    let waiting = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": meta("waits"), "spec": pod_spec(Some("w1")),
        "status": {"phase": "Pending", "containerStatuses": [{"name": "main", "state": {"waiting": {"reason": "ImagePullBackOff", "message": CANARY}}}]},
    });
    let claims = json!({"volumeClaimTemplates": [{"metadata": {"name": "data", "annotations": {"a": CANARY}}, "spec": {
        "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}, "dataSource": {"kind": "VolumeSnapshot", "name": CANARY}}}]});
    let vm_template = json!({"metadata": {"annotations": annotations(), "labels": {"kubevirt.io/vm": "guest"}}, "spec": guest_spec()});
    vec![
        node,
        pod,
        waiting,
        json!({"apiVersion": "v1", "kind": "Secret", "metadata": meta("s"), "data": {"password": coded()}, "stringData": {"p": CANARY}}),
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta("c"), "data": {"app.conf": CANARY}, "binaryData": {"b": coded()}}),
        json!({"apiVersion": "v1", "kind": "Event", "metadata": meta("e"), "involvedObject": {"kind": "Pod", "name": "keeper", "namespace": "shop"}, "message": CANARY, "reason": "R"}),
        workload("Deployment", "apps/v1", json!({})),
        workload("StatefulSet", "apps/v1", claims),
        workload("DaemonSet", "apps/v1", json!({})),
        workload("Job", "batch/v1", json!({"selector": null})),
        json!({"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": meta("b"), "spec": {"maxUnavailable": 1, "selector": {"matchLabels": {"app": "deployment"}}},
            "status": {"conditions": [{"type": "DisruptionAllowed", "status": "False", "message": CANARY}]}}),
        json!({"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": {"name": "fast", "annotations": annotations()}, "provisioner": "d", "parameters": {"adminSecret": CANARY}, "mountOptions": [CANARY]}),
        json!({"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": "pv", "annotations": annotations()}, "spec": {"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"],
            "csi": {"driver": "d", "volumeHandle": CANARY, "volumeAttributes": {"key": CANARY}, "nodeStageSecretRef": {"name": CANARY}}, "mountOptions": [CANARY]}, "status": {"phase": "Available", "message": CANARY}}),
        json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": "widgets.example.com"}, "spec": {"group": "example.com", "scope": "Namespaced",
            "names": {"kind": "Widget", "plural": "widgets"}, "versions": [{"name": "v1", "served": true, "storage": true}]}}),
        json!({"apiVersion": "example.com/v1", "kind": "Widget", "metadata": meta("w"), "spec": {"password": CANARY}}),
        json!({"apiVersion": "kubevirt.io/v1", "kind": "KubeVirt", "metadata": {"name": "kubevirt", "namespace": "kubevirt", "annotations": annotations()}, "spec": {"imagePullSecrets": [{"name": CANARY}],
            "configuration": {"evictionStrategy": "LiveMigrate", "smbios": {"sku": CANARY}, "seccompConfiguration": {"x": CANARY}}, "customizeComponents": {"patches": [{"patch": CANARY}]}}}),
        json!({"apiVersion": "kubevirt.io/v1", "kind": "VirtualMachine", "metadata": meta("guest"), "spec": {"runStrategy": "Always", "template": vm_template,
            "dataVolumeTemplates": [{"metadata": {"name": "d"}, "spec": {"source": {"http": {"url": "http://x", "extraHeaders": [CANARY], "secretRef": CANARY}}}}]}}),
    ]
}

/// A cluster full of canaries, as manifests.
pub fn manifests() -> String {
    objects().iter().map(ToString::to_string).collect::<Vec<_>>().join("\n---\n")
}
