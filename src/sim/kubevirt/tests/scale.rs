//! How much of the cluster the model looks at: counted, not timed. A change must not cost more where the cluster is larger.

use std::sync::atomic::Ordering;

use super::super::caller::Caller;
use super::super::world::{Kind, World};
use super::super::{Settings, Version, evacuation, launcher, migration_queue, run};
use crate::sim::json::{Value, json};
use crate::sim::store::Key;

static VERSIONS: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(1);

/// VMs on each node.
const HERE: usize = 10;

/// A world of so many nodes with ten VMs each, five finished migrations a VM, and one pending for each VM of every tenth node;
/// its caps are full.
fn world(nodes: usize) -> World {
    let service = tower::service_fn(|_: http::Request<kube::client::Body>| async {
        Ok::<_, std::convert::Infallible>(http::Response::new(kube::client::Body::empty()))
    });
    let client = kube::Client::new(service, "default");
    let clock = crate::sim::Clock::starting_at(jiff::Timestamp::UNIX_EPOCH);
    let settings = Settings { version: Some(Version::minor(9)), ..Settings::default() };
    let mut world = World::new(Caller { client, hands_over: false }, clock, settings);
    for n in 0..nodes {
        put(&mut world, Kind::Node, json!({"metadata": {"name": format!("n{n}"), "labels": {}}}));
        for v in 0..HERE {
            guest(&mut world, n, v);
        }
    }
    world
}

fn put(world: &mut World, kind: Kind, mut object: Value) {
    if object["metadata"]["uid"].is_null() {
        object["metadata"]["uid"] = object["metadata"]["name"].clone();
    }
    if kind != Kind::Node {
        object["metadata"]["namespace"] = json!("d");
    }
    object["kind"] = json!(kind.resource().kind);
    object["metadata"]["resourceVersion"] = json!(VERSIONS.fetch_add(1, Ordering::Relaxed).to_string());
    world.put(kind, std::sync::Arc::new(object));
}

fn guest(world: &mut World, node: usize, number: usize) {
    let (name, node_name) = (format!("v{node}-{number}"), format!("n{node}"));
    let owner = json!([{"kind": "VirtualMachineInstance", "name": name, "uid": name, "controller": true}]);
    let migratable = json!([{"type": "LiveMigratable", "status": "True"}]);
    let status = json!({"phase": "Running", "nodeName": node_name, "selinuxContext": "none", "conditions": migratable});
    let spec = json!({"evictionStrategy": "LiveMigrate", "domain": {"machine": {"type": "pc-q35-9"}}});
    put(world, Kind::Instance, json!({"metadata": {"name": name}, "spec": spec, "status": status}));
    let labels = json!({"kubevirt.io": "virt-launcher"});
    let metadata = json!({"name": format!("p-{name}"), "labels": labels, "ownerReferences": owner});
    put(
        world,
        Kind::Pod,
        json!({"metadata": metadata, "spec": {"nodeName": node_name}, "status": {"phase": "Running"}}),
    );
    let waits = node.is_multiple_of(10);
    for m in 0..=5 {
        // The first five migrations of the first node are those that fill the caps.
        let phase = match m {
            5 if node == 0 && number < 5 => "Running",
            5 if waits => "Pending",
            5 => continue,
            _ => "Succeeded",
        };
        let metadata = json!({"name": format!("m{m}-{name}"), "creationTimestamp": "2026-01-01T00:00:00Z"});
        put(
            world,
            Kind::Migration,
            json!({"metadata": metadata, "spec": {"vmiName": name}, "status": {"phase": phase}}),
        );
    }
}

/// What one of each of these costs: a node that comes back, a change of a VMI, of a pod and of a migration, a look at the queue,
/// at a node's evacuation, and a launcher.
async fn costs(nodes: usize) -> Vec<usize> {
    let mut world = world(nodes);
    let mut costs = Vec::new();
    let spent = |world: &World| world.looked.swap(0, Ordering::Relaxed);
    spent(&world);
    for (kind, name) in
        [(Kind::Node, "n1"), (Kind::Instance, "v1-1"), (Kind::Pod, "p-v1-1"), (Kind::Migration, "m1-v1-1")]
    {
        let namespace = if kind == Kind::Node { "" } else { "d" };
        let object = world.get(kind, &Key::new(namespace, name)).cloned().expect("there");
        spent(&world);
        let work = run::interested(&world, kind, &object, None);
        assert!(!work.is_empty(), "{kind:?}");
        costs.push(spent(&world));
    }
    let again = migration_queue::reconcile(&mut world).await.expect("looked at");
    assert!(again.is_some(), "they wait for the caps");
    costs.push(spent(&world));
    evacuation::reconcile(&mut world, "n1").await.expect("looked at");
    costs.push(spent(&world));
    let vmi = world.get(Kind::Instance, &Key::new("d", "v1-1")).cloned().expect("there");
    let pod = launcher::launcher(&world, &vmi);
    assert!(pod["spec"]["nodeSelector"]["machine-type.node.kubevirt.io/pc-q35-9"].is_null());
    costs.push(spent(&world));
    costs
}

#[tokio::test]
async fn a_change_costs_the_same_in_a_cluster_ten_times_as_large() {
    let (small, large) = (costs(20).await, costs(200).await);
    assert_eq!(small, large);
    assert!(small.iter().all(|looks| *looks <= 20 * HERE), "{small:?}");
}

/// With a place free, the queue looks at no more than the first of each node, whatever waits behind them.
#[tokio::test]
async fn a_free_place_costs_the_heads_of_the_queue() {
    for nodes in [20, 200] {
        let mut world = world(nodes);
        // A migration of n0 ends: three of the five places there were over that node's own cap.
        for number in 0..5 {
            let (name, vmi) = (format!("m5-v0-{number}"), format!("v0-{number}"));
            let metadata = json!({"name": name, "creationTimestamp": "2026-01-01T00:00:00Z"});
            let status = json!({"phase": if number < 3 { "Succeeded" } else { "Running" }});
            put(
                &mut world,
                Kind::Migration,
                json!({"metadata": metadata, "spec": {"vmiName": vmi}, "status": status}),
            );
        }
        world.looked.store(0, Ordering::Relaxed);
        // The client answers nothing that makes sense: the first that begins is refused.
        let refused = migration_queue::reconcile(&mut world).await;
        assert!(refused.is_err(), "one was begun");
        let looks = world.looked.load(Ordering::Relaxed);
        assert!(looks <= 60, "{nodes} nodes: {looks} looks");
    }
}
