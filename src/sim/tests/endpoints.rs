//! Where the pods of a Service answer.

use super::*;
use crate::sim::json::Value;
use crate::sim::store::Key;

const TRIGGERED: &str = "endpoints.kubernetes.io/last-change-trigger-time";
const SLICES: &str = "endpointslices.discovery.k8s.io";

/// Two pods on w1, one of which is never ready; the same behind a Service by a port's number and one by its name.
const SHOP: &str = r#"
apiVersion: v1
kind: Node
metadata: {name: w1, labels: {topology.kubernetes.io/zone: a}}
status: {allocatable: {cpu: "4", memory: 8Gi, pods: "110"}}
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop, labels: {tier: front}}
spec: {selector: {app: web}, ports: [{port: 80, targetPort: 8080}]}
---
apiVersion: v1
kind: Service
metadata: {name: direct, namespace: shop}
spec: {selector: {app: web}, clusterIP: None, publishNotReadyAddresses: true, ports: [{name: http, port: 80, targetPort: web}]}
---
apiVersion: v1
kind: Service
metadata: {name: elsewhere, namespace: shop}
spec: {ports: [{port: 80}]}
---
apiVersion: v1
kind: Service
metadata: {name: nobody, namespace: shop, uid: nobody-1}
spec: {selector: {app: none}, ports: [{port: 80}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata:
  name: by-hand
  namespace: shop
  ownerReferences: [{apiVersion: v1, kind: Service, name: nobody, uid: nobody-1}]
addressType: IPv4
endpoints: [{addresses: [10.9.9.9]}]
ports: []
---
apiVersion: v1
kind: Pod
metadata: {name: good, namespace: shop, labels: {app: web}, annotations: {sim.virtroll.dev/stops-after: 20s}}
spec: {containers: [{name: a, image: a, ports: [{name: web, containerPort: 8080}]}]}
---
apiVersion: v1
kind: Pod
metadata: {name: bad, namespace: shop, labels: {app: web}, annotations: {sim.virtroll.dev/ready-after: never}}
spec: {containers: [{name: a, image: a, ports: [{name: web, containerPort: 9090}]}]}
"#;

async fn shop(events: bool) -> EmbeddedCluster {
    let settings = Settings { events, ..Settings::default() };
    let cluster = EmbeddedCluster::from_manifests("test.yaml", SHOP, settings).expect("loads");
    cluster.start().await;
    tokio::time::sleep(Duration::from_secs(10)).await;
    cluster
}

/// Names of the pods in a part of all subsets, with the number of the subset's first port.
fn in_subsets(endpoints: &Value, part: &str) -> Vec<(String, i64)> {
    let subsets = endpoints["subsets"].as_array().into_iter().flatten();
    let named = subsets.flat_map(|subset| {
        let port = subset["ports"][0]["port"].as_i64().expect("a port");
        let pods = subset[part].as_array().into_iter().flatten();
        pods.map(move |a| (a["targetRef"]["name"].as_str().expect("a pod").to_owned(), port))
    });
    let mut named: Vec<_> = named.collect();
    named.sort();
    named
}

/// `pod ready serving terminating` of all slices of a Service, with their ports' numbers.
fn in_slices(cluster: &EmbeddedCluster, service: &str) -> Vec<(String, i64)> {
    let slices = all(cluster, SLICES, "shop");
    let mine = slices.iter().filter(|s| s["metadata"]["labels"]["kubernetes.io/service-name"] == service);
    let told = mine.flat_map(|slice| {
        let port = slice["ports"][0]["port"].as_i64().unwrap_or(0);
        let endpoints = slice["endpoints"].as_array().into_iter().flatten();
        endpoints.map(move |e| {
            let is = |what: &str| e["conditions"][what].as_bool().expect("a condition");
            let pod = e["targetRef"]["name"].as_str().expect("a pod");
            (format!("{pod} {} {} {}", is("ready"), is("serving"), is("terminating")), port)
        })
    });
    let mut told: Vec<_> = told.collect();
    told.sort();
    told
}

fn told(lines: &[(&str, i64)]) -> Vec<(String, i64)> {
    lines.iter().map(|(line, port)| ((*line).to_owned(), *port)).collect()
}

#[tokio::test(start_paused = true)]
async fn a_service_says_where_its_pods_answer() {
    let cluster = shop(true).await;
    let of = |name: &str| stored(&cluster, "endpoints", "shop", name);
    let web = of("web");
    assert_eq!(in_subsets(&web, "addresses"), told(&[("good", 8080)]));
    assert_eq!(in_subsets(&web, "notReadyAddresses"), told(&[("bad", 8080)]));
    let managed = json!({"tier": "front", "endpoints.kubernetes.io/managed-by": "endpoint-controller"});
    assert_eq!(web["metadata"]["labels"], managed);
    assert_eq!(web["subsets"][0]["ports"], json!([{"port": 8080, "protocol": "TCP"}]));
    // The port's name is another number in each pod, and all are published.
    assert_eq!(in_subsets(&of("direct"), "addresses"), told(&[("bad", 9090), ("good", 8080)]));
    assert_eq!(of("direct")["metadata"]["labels"]["service.kubernetes.io/headless"], "");
    let (good, bad) = ("good true true false", "bad false false false");
    assert_eq!(in_slices(&cluster, "web"), told(&[(bad, 8080), (good, 8080)]));
    assert_eq!(in_slices(&cluster, "direct"), told(&[("bad true false false", 9090), (good, 8080)]));
    let slices = all(&cluster, SLICES, "shop");
    let slice = slices.iter().find(|s| s["metadata"]["generateName"] == "web-").expect("there");
    let pod = stored(&cluster, "pods", "shop", "good");
    let first =
        slice["endpoints"].as_array().expect("endpoints").iter().find(|e| e["targetRef"]["name"] == "good");
    let expected = json!({
        "addresses": [pod["status"]["podIP"]], "nodeName": "w1", "zone": "a",
        "conditions": {"ready": true, "serving": true, "terminating": false},
        "targetRef": {"kind": "Pod", "namespace": "shop", "name": "good", "uid": pod["metadata"]["uid"]},
    });
    assert_eq!(first, Some(&expected));
    assert_eq!((&slice["addressType"], &slice["ports"][0]["name"]), (&json!("IPv4"), &json!("")));
    assert_eq!(slice["metadata"]["ownerReferences"][0]["kind"], "Service");
    // Nobody is behind one; another has its endpoints from somebody else.
    assert_eq!(
        (of("nobody")["metadata"]["name"].as_str(), &of("nobody")["subsets"]),
        (Some("nobody"), &Value::Null)
    );
    assert_eq!(of("elsewhere"), Value::Null);
    // Three Services with a selector; the pods behind `direct` have two sets of ports; one slice is somebody else's.
    assert_eq!(slices.len(), 4 + 1);
    let by_hand = stored(&cluster, SLICES, "shop", "by-hand");
    assert_eq!(by_hand["endpoints"][0]["addresses"], json!(["10.9.9.9"]));
}

#[tokio::test(start_paused = true)]
async fn what_leaves_is_shown_as_leaving_and_then_not_at_all() {
    let cluster = shop(true).await;
    let delete = |resource: &str, name: &str| {
        let mut store = cluster.store.lock().expect("a store");
        store.delete(resource, &Key::new("shop", name), &Default::default()).expect("deleted");
    };
    let of = |name: &str| stored(&cluster, "endpoints", "shop", name);
    delete("pods", "good");
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(in_subsets(&of("web"), "addresses"), []);
    let triggered = |name: &str| !of(name)["metadata"]["annotations"][TRIGGERED].is_null();
    assert!(triggered("direct") && !triggered("web"), "what leaves triggers nothing");
    let bad = "bad false false false";
    assert_eq!(in_slices(&cluster, "web"), told(&[(bad, 8080), ("good false true true", 8080)]));
    tokio::time::sleep(Duration::from_secs(40)).await;
    assert_eq!(in_slices(&cluster, "web"), told(&[(bad, 8080)]));
    // Nobody has the other port any more.
    assert_eq!(in_slices(&cluster, "direct"), told(&[("bad true false false", 9090)]));
    assert_eq!(all(&cluster, SLICES, "shop").len(), 3 + 1);
    change(&cluster, "services", "shop", "web", |service| {
        service["spec"]["selector"] = json!({"app": "none"});
    });
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!((in_slices(&cluster, "web"), &of("web")["subsets"]), (vec![], &Value::Null));
    delete("services", "direct");
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!((of("direct"), in_slices(&cluster, "direct")), (Value::Null, vec![]));
    let before = cluster.writes();
    tokio::time::sleep(Duration::from_secs(300)).await;
    let after = all(&cluster, SLICES, "shop");
    assert_eq!((after.len(), cluster.writes()), (2 + 1, before), "nothing is written while nothing changes");
}

/// A rehearsal, which nobody looks into, has none.
#[tokio::test(start_paused = true)]
async fn where_nobody_asks_there_are_none() {
    let cluster = shop(false).await;
    assert!(all(&cluster, "endpoints", "shop").is_empty() && all(&cluster, SLICES, "shop").len() == 1);
}
