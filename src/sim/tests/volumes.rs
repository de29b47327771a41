//! Claims and the volumes that they are bound to, and what becomes of a volume without its claim.

use super::*;
use crate::sim::json::Value;

const CLAIMS: &str = "persistentvolumeclaims";
const VOLUMES: &str = "persistentvolumes";

fn volume(name: &str, policy: &str, more: &str) -> String {
    format!(
        "---\napiVersion: v1\nkind: PersistentVolume\nmetadata: {{name: {name}, labels: {{name: {name}}}}}\nspec: {{capacity: {{storage: 5Gi}}, \
         accessModes: [ReadWriteOnce], persistentVolumeReclaimPolicy: {policy}, hostPath: {{path: /x}}{more}}}\n"
    )
}

fn claim(name: &str, more: &str) -> String {
    format!(
        "---\napiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {{name: {name}, namespace: shop}}\nspec: {{accessModes: [ReadWriteOnce], \
         resources: {{requests: {{storage: 1Gi}}}}{more}}}\n"
    )
}

const STATIC: &str = ", storageClassName: \"\"";

async fn with_events(text: &str) -> EmbeddedCluster {
    let settings = Settings { events: true, ..Settings::default() };
    let text = format!("apiVersion: v1\nkind: Node\nmetadata: {{name: w1}}\n{text}");
    let cluster = EmbeddedCluster::from_manifests("test.yaml", &text, settings).expect("loads");
    cluster.start().await;
    seconds(2).await;
    cluster
}

fn put(cluster: &EmbeddedCluster, manifest: &str) {
    let file = format!("apiVersion: v1\nkind: Node\nmetadata: {{name: w1}}\n{manifest}");
    let objects = crate::sim::load::read("test.yaml", &file).expect("a manifest");
    let object = objects.into_iter().find(|o| o["kind"] != "Node").expect("an object");
    let resource = if object["kind"] == "PersistentVolume" { VOLUMES } else { CLAIMS };
    cluster.store.lock().expect("a store").create(resource, object).expect("created");
}

fn delete(cluster: &EmbeddedCluster, resource: &str, namespace: &str, name: &str) {
    let key = crate::sim::store::Key::new(namespace, name);
    let mut store = cluster.store.lock().expect("a store");
    store.delete(resource, &key, &Default::default()).expect("deleted");
}

#[tokio::test(start_paused = true)]
async fn a_bound_claim_has_the_capacity_of_its_volume_and_says_who_bound_it() {
    let reserved = ", claimRef: {namespace: shop, name: reserved}";
    let text = [
        volume("free", "Retain", ""),
        volume("kept", "Retain", reserved),
        claim("fits", STATIC),
        claim("reserved", STATIC),
        claim("named", ", storageClassName: \"\", volumeName: spare"),
        volume("spare", "Retain", ""),
        claim("made", ", storageClassName: fast"),
    ]
    .concat();
    let cluster = with_events(&text).await;
    let (done, by) = ("pv.kubernetes.io/bind-completed", "pv.kubernetes.io/bound-by-controller");
    let both = json!({done: "yes", by: "yes"});
    for (name, on, capacity, of_claim, of_volume) in [
        ("fits", "free", "5Gi", both.clone(), json!({by: "yes"})),
        ("reserved", "kept", "5Gi", both.clone(), Value::Null),
        ("named", "spare", "5Gi", json!({done: "yes"}), json!({by: "yes"})),
    ] {
        let claim = stored(&cluster, CLAIMS, "shop", name);
        assert_eq!((&claim["spec"]["volumeName"], &claim["status"]["phase"]), (&json!(on), &json!("Bound")));
        assert_eq!(claim["status"]["capacity"], json!({"storage": capacity}), "{name}");
        assert_eq!(claim["metadata"]["annotations"], of_claim, "{name}");
        assert_eq!(stored(&cluster, VOLUMES, "", on)["metadata"]["annotations"], of_volume, "{on}");
    }
    let made = stored(&cluster, CLAIMS, "shop", "made");
    assert_eq!(made["status"]["capacity"], json!({"storage": "1Gi"}));
    assert_eq!(made["metadata"]["annotations"], both);
    let provisioned: Vec<Value> = all(&cluster, "events", "shop")
        .into_iter()
        .filter(|e| e["reason"] == "ProvisioningSucceeded")
        .map(|e| e["involvedObject"]["name"].clone())
        .collect();
    assert_eq!(provisioned, [json!("made")]);
}

#[tokio::test(start_paused = true)]
async fn a_volume_without_its_claim_is_released_or_gone() {
    let named = |claim: &str| format!(", claimRef: {{namespace: shop, name: {claim}}}");
    let text = [
        volume("kept", "Retain", &named("data")),
        volume("scratch", "Delete", &named("temp")),
        claim("data", STATIC),
        claim("temp", STATIC),
    ]
    .concat();
    let cluster = with_events(&text).await;
    let uid = stored(&cluster, CLAIMS, "shop", "data")["metadata"]["uid"].clone();
    for name in ["data", "temp"] {
        assert_eq!(stored(&cluster, CLAIMS, "shop", name)["status"]["phase"], "Bound");
        delete(&cluster, CLAIMS, "shop", name);
    }
    seconds(2).await;
    let kept = stored(&cluster, VOLUMES, "", "kept");
    assert_eq!((&kept["status"]["phase"], &kept["spec"]["claimRef"]["uid"]), (&json!("Released"), &uid));
    assert!(stored(&cluster, VOLUMES, "", "scratch").is_null());
    // Neither by its name nor by naming the volume does another claim get what is in it.
    put(&cluster, &claim("data", STATIC));
    put(&cluster, &claim("greedy", ", storageClassName: \"\", volumeName: kept"));
    seconds(2).await;
    for name in ["data", "greedy"] {
        assert_ne!(stored(&cluster, CLAIMS, "shop", name)["status"]["phase"], "Bound", "{name}");
    }
    assert_eq!(stored(&cluster, VOLUMES, "", "kept")["spec"]["claimRef"]["uid"], uid);
    // Without the UID it is a reservation.
    change(&cluster, VOLUMES, "", "kept", |v| {
        drop(v["spec"]["claimRef"].as_object_mut().map(|c| c.remove("uid")));
    });
    seconds(2).await;
    assert_eq!(stored(&cluster, CLAIMS, "shop", "data")["spec"]["volumeName"], "kept");
    assert_eq!(stored(&cluster, VOLUMES, "", "kept")["status"]["phase"], "Bound");
}

#[tokio::test(start_paused = true)]
async fn a_released_volume_without_a_reference_is_free_again() {
    let cluster = with_events(&(volume("kept", "Retain", "") + &claim("data", STATIC))).await;
    delete(&cluster, CLAIMS, "shop", "data");
    seconds(2).await;
    change(&cluster, VOLUMES, "", "kept", |v| drop(v["spec"].as_object_mut().map(|s| s.remove("claimRef"))));
    seconds(2).await;
    assert_eq!(stored(&cluster, VOLUMES, "", "kept")["status"]["phase"], "Available");
    put(&cluster, &claim("other", STATIC));
    seconds(2).await;
    assert_eq!(stored(&cluster, CLAIMS, "shop", "other")["spec"]["volumeName"], "kept");
}

/// A dump of volumes with claims written by hand: those that name each other belong together, whatever the UID.
#[tokio::test(start_paused = true)]
async fn what_names_each_other_in_a_file_belongs_together() {
    let of_old = ", claimRef: {namespace: shop, name: data, uid: of-another-cluster}";
    let text =
        volume("kept", "Delete", of_old) + &claim("data", ", storageClassName: \"\", volumeName: kept");
    let cluster = with_events(&text).await;
    assert_eq!(stored(&cluster, CLAIMS, "shop", "data")["status"]["phase"], "Bound");
    assert_eq!(stored(&cluster, VOLUMES, "", "kept")["status"]["phase"], "Bound");
}
