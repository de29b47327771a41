//! Copies of a cluster with KubeVirt, and the end of a namespace with guests in it.

use kube::api::Api;

use super::*;
use crate::sim::json::{Value, json};

const GUEST: &str = r"
apiVersion: kubevirt.io/v1
kind: KubeVirt
metadata: {name: kubevirt, namespace: kubevirt}
---
apiVersion: v1
kind: Node
metadata: {name: n1}
status: {allocatable: {cpu: '32', memory: 64Gi, pods: '110'}}
---
apiVersion: v1
kind: Node
metadata: {name: n2}
status: {allocatable: {cpu: '32', memory: 64Gi, pods: '110'}}
---
apiVersion: kubevirt.io/v1
kind: VirtualMachine
metadata: {name: guest, namespace: vms}
spec:
  runStrategy: Always
  template:
    metadata: {annotations: {sim.virtroll.dev/migration-takes: 60s}}
    spec:
      domain: {memory: {guest: 1Gi}, devices: {interfaces: [{name: default, masquerade: {}}]}}
      networks: [{name: default, pod: {}}]
";

#[tokio::test(start_paused = true)]
async fn a_migration_under_way_ends_in_the_copy() {
    let cluster = running(GUEST).await;
    let from =
        stored(&cluster, "virtualmachineinstances.kubevirt.io", "vms", "guest")["status"]["nodeName"].clone();
    let migration = json!({
        "apiVersion": "kubevirt.io/v1", "kind": "VirtualMachineInstanceMigration", "metadata": {"name": "move"},
        "spec": {"vmiName": "guest"},
    });
    let kind = kube::core::GroupVersionKind::gvk("kubevirt.io", "v1", "VirtualMachineInstanceMigration");
    let resource = kube::api::ApiResource::from_gvk(&kind);
    let api: Api<kube::api::DynamicObject> = Api::namespaced_with(cluster.client(), "vms", &resource);
    let object = serde_json::from_value(migration.into()).expect("an object");
    api.create(&PostParams::default(), &object).await.expect("created");
    seconds(20).await;
    let phase = |cluster: &EmbeddedCluster| {
        let migration = stored(cluster, "virtualmachineinstancemigrations.kubevirt.io", "vms", "move");
        migration["status"]["phase"].as_str().unwrap_or_default().to_owned()
    };
    assert_eq!(phase(&cluster), "Running");
    let settings = Settings { start: cluster.now(), ..Settings::default() };
    let copy = EmbeddedCluster::from_objects("copy", cluster.dump(), settings).expect("loads");
    copy.start().await;
    seconds(180).await;
    let guest = stored(&copy, "virtualmachineinstances.kubevirt.io", "vms", "guest");
    assert_eq!((phase(&copy).as_str(), &guest["status"]["phase"]), ("Succeeded", &json!("Running")));
    assert_ne!(guest["status"]["nodeName"], from);
}

#[tokio::test(start_paused = true)]
async fn what_csi_holds_is_let_go() {
    let finalizers = "finalizers: [external-attacher/csi-example-com, example.com/mine]";
    let text = format!(
        "{GUEST}---\napiVersion: storage.k8s.io/v1\nkind: VolumeAttachment\nmetadata: {{name: left, {finalizers}}}\n\
         spec: {{attacher: csi.example.com, nodeName: n1, source: {{persistentVolumeName: data}}}}\n\
         status: {{attached: true}}\n---\napiVersion: v1\nkind: Pod\nmetadata: {{name: p, namespace: shop}}\n\
         spec: {{nodeName: n1, containers: [{{name: c, image: c}}]}}\n"
    );
    let cluster = after(1, &text).await;
    let left = stored(&cluster, "volumeattachments.storage.k8s.io", "", "left");
    assert_eq!(left["metadata"]["finalizers"], json!(["example.com/mine"]));
    change(&cluster, "volumeattachments.storage.k8s.io", "", "left", |a| {
        a["metadata"]["finalizers"] = json!([]);
    });
    seconds(10).await;
    assert_eq!(stored(&cluster, "volumeattachments.storage.k8s.io", "", "left"), Value::Null);
}

#[tokio::test(start_paused = true)]
async fn a_namespace_with_guests_ends() {
    let cluster = running(GUEST).await;
    let namespaces: Api<k8s_openapi::api::core::v1::Namespace> = Api::all(cluster.client());
    namespaces.delete("vms", &DeleteParams::default()).await.expect("deleted");
    seconds(300).await;
    let left: Vec<serde_json::Value> =
        cluster.dump().into_iter().filter(|o| o["metadata"]["namespace"] == "vms").collect();
    assert!(left.is_empty(), "{left:?}");
    assert_eq!(stored(&cluster, "namespaces", "", "vms"), Value::Null);
}
