//! Endpoints and EndpointSlices of Services: at which addresses their pods answer. In served clusters alone: nothing that virtroll
//! decides asks for them.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::{Controller, Work, pods};
use crate::sim::clock::seconds_text;
use crate::sim::json::{Value, json};
use crate::sim::store::{Change, DeleteOptions, Key, Object, Store};

const SERVICES: &str = "services";
const ENDPOINTS: &str = "endpoints";
const SLICES: &str = "endpointslices.discovery.k8s.io";
const OF_SERVICE: &str = "kubernetes.io/service-name";
const HEADLESS: &str = "service.kubernetes.io/headless";
const MANAGED: &str = "endpointslice.kubernetes.io/managed-by";
const MANAGER: &str = "endpointslice-controller.k8s.io";
const TRIGGERED: &str = "endpoints.kubernetes.io/last-change-trigger-time";
/// What one object holds at the most, as the real controllers have it by default.
const MOST_IN_A_SLICE: usize = 100;
const MOST_IN_ENDPOINTS: usize = 1000;

/// Pods that answer at the same ports, with these.
type Ports = Vec<Value>;

/// The Services that a change concerns.
pub(super) fn interest(store: &Store, change: &Change, key: &Key) -> Vec<Work> {
    let of_pod = |pod: &Value| -> Vec<Work> {
        let services = store.services_of(&key.namespace, &pod["metadata"]["labels"]);
        services.map(|service| (Controller::Endpoints, Key::of(service))).collect()
    };
    match &*change.resource {
        SERVICES => vec![(Controller::Endpoints, key.clone())],
        "pods" => {
            let mut work = of_pod(&change.object);
            work.extend(change.old.as_deref().into_iter().flat_map(of_pod));
            work
        }
        _ => Vec::new(),
    }
}

/// One round of a Service.
pub(super) fn reconcile(store: &mut Store, key: &Key, now: Timestamp) {
    let Some(service) = store.get_key(SERVICES, key).cloned() else {
        // Its slices are collected with it.
        let _ = store.delete(ENDPOINTS, key, &DeleteOptions::default());
        return;
    };
    let selects = service["spec"]["selector"].as_object().is_some_and(|s| !s.is_empty());
    if !selects || service["spec"]["type"] == "ExternalName" || store.is_terminating(&key.namespace) {
        return;
    }
    let mut behind: Vec<Object> = store.behind(&service);
    behind.retain(|pod| has_address(pod));
    behind.sort_by(|a, b| address(a).cmp(address(b)));
    write_endpoints(store, key, &service, &behind, now);
    write_slices(store, key, &service, &behind, now);
}

fn address(pod: &Value) -> &str {
    pod["status"]["podIP"].as_str().unwrap_or_default()
}

fn has_address(pod: &Value) -> bool {
    !address(pod).is_empty() && !matches!(pod["status"]["phase"].as_str(), Some("Succeeded" | "Failed"))
}

fn is_leaving(pod: &Value) -> bool {
    !pod["metadata"]["deletionTimestamp"].is_null()
}

fn publishes_all(service: &Value) -> bool {
    service["spec"]["publishNotReadyAddresses"] == true
}

/// The pods by the ports at which they answer: a port's name may stand for another number in each.
fn by_ports<'a>(service: &Value, behind: impl Iterator<Item = &'a Object>) -> Vec<(Ports, Vec<&'a Object>)> {
    let mut groups: BTreeMap<String, (Ports, Vec<&Object>)> = BTreeMap::new();
    for pod in behind {
        let ports: Ports = service["spec"]["ports"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|port| {
                let number = target(pod, port)?;
                let mut found = json!({"port": number, "protocol": port["protocol"]});
                if port["name"].is_string() {
                    found["name"] = port["name"].clone();
                }
                Some(found)
            })
            .collect();
        groups.entry(json!(ports).to_string()).or_insert_with(|| (ports, Vec::new())).1.push(pod);
    }
    groups.into_values().collect()
}

/// The number of the port of a pod that a Service's port leads to.
fn target(pod: &Value, port: &Value) -> Option<i64> {
    let Some(name) = port["targetPort"].as_str() else { return port["targetPort"].as_i64() };
    let containers = pod["spec"]["containers"].as_array().into_iter().flatten();
    let mut ports = containers.flat_map(|c| c["ports"].as_array().into_iter().flatten());
    ports.find(|p| p["name"] == name && p["protocol"] == port["protocol"])?["containerPort"].as_i64()
}

fn target_reference(pod: &Value) -> Value {
    let metadata = &pod["metadata"];
    json!({"kind": "Pod", "namespace": metadata["namespace"], "name": metadata["name"], "uid": metadata["uid"]})
}

/// The name that a pod has of its own in the Service's domain.
fn hostname(service: &Value, pod: &Value) -> Option<Value> {
    let is_its_own = pod["spec"]["subdomain"] == service["metadata"]["name"];
    Some(pod["spec"]["hostname"].clone()).filter(|name| is_its_own && name.is_string())
}

/// The Service's labels, with some more.
fn labels(service: &Value, more: &[(&str, &str)]) -> Value {
    let mut labels = service["metadata"]["labels"].clone();
    if !labels.is_object() {
        labels = json!({});
    }
    if service["spec"]["clusterIP"] == "None" {
        labels[HEADLESS] = json!("");
    }
    for (key, value) in more {
        labels[*key] = json!(*value);
    }
    labels
}

fn write_endpoints(store: &mut Store, key: &Key, service: &Value, behind: &[Object], now: Timestamp) {
    let all = publishes_all(service);
    let is_ready = |pod: &Object| all || pods::is_ready(pod);
    // Those that are ready go first where there are too many.
    let mut shown: Vec<&Object> = behind.iter().filter(|pod| all || !is_leaving(pod)).collect();
    shown.sort_by_key(|pod| !is_ready(pod));
    shown.truncate(MOST_IN_ENDPOINTS);
    shown.sort_by(|a, b| address(a).cmp(address(b)));
    let of = |pods: &[&Object], ready: bool| -> Vec<Value> {
        let pods = pods.iter().filter(|pod| is_ready(pod) == ready);
        pods.map(|pod| {
            let mut one = json!({
                "ip": address(pod), "nodeName": pod["spec"]["nodeName"], "targetRef": target_reference(pod),
            });
            if let Some(hostname) = hostname(service, pod) {
                one["hostname"] = hostname;
            }
            one
        })
        .collect()
    };
    let subsets = by_ports(service, shown.into_iter()).into_iter().map(|(ports, pods)| {
        let mut subset = json!({});
        for (field, list) in
            [("addresses", of(&pods, true)), ("notReadyAddresses", of(&pods, false)), ("ports", ports)]
        {
            if !list.is_empty() {
                subset[field] = json!(list);
            }
        }
        subset
    });
    let subsets: Vec<Value> = subsets.collect();
    let mut wanted = json!({
        "metadata": {
            "name": key.name, "namespace": key.namespace,
            "labels": labels(service, &[("endpoints.kubernetes.io/managed-by", "endpoint-controller")]),
        },
    });
    if !subsets.is_empty() {
        wanted["subsets"] = json!(subsets);
    }
    put(store, ENDPOINTS, key, wanted, "subsets", now);
}

/// Creates an object, or changes its labels and one other field; an object that is so already stays.
fn put(store: &mut Store, resource: &str, key: &Key, mut wanted: Value, field: &str, now: Timestamp) {
    let Some(there) = store.get_key(resource, key) else {
        wanted["metadata"]["annotations"] = json!({TRIGGERED: seconds_text(now)});
        // A namespace on its way out takes none.
        let _ = store.create(resource, wanted);
        return;
    };
    let same = |part: fn(&Value) -> &Value| part(there) == part(&wanted);
    if there[field] == wanted[field]
        && there["ports"] == wanted["ports"]
        && same(|o| &o["metadata"]["labels"])
    {
        return;
    }
    // What only leaves triggers nothing that anybody could be late for.
    let is_triggered = !addresses(&wanted).is_subset(&addresses(there));
    store.modify(resource, key, |object| {
        object["metadata"]["labels"] = wanted["metadata"]["labels"].clone();
        if is_triggered {
            object["metadata"]["annotations"][TRIGGERED] = json!(seconds_text(now));
        } else if let Some(annotations) = object["metadata"]["annotations"].as_object_mut() {
            annotations.remove(TRIGGERED);
        }
        for field in [field, "ports"] {
            match wanted.get(field) {
                Some(value) => object[field] = value.clone(),
                None => {
                    object.as_object_mut().map(|o| o.remove(field));
                }
            }
        }
    });
}

/// All that Endpoints, or a slice, say of single pods.
fn addresses(object: &Value) -> BTreeSet<String> {
    fn list(value: &Value) -> impl Iterator<Item = &Value> {
        value.as_array().into_iter().flatten()
    }
    let parts = ["addresses", "notReadyAddresses"];
    let of_subsets = list(&object["subsets"]).flat_map(|s| {
        parts.into_iter().flat_map(move |part| list(&s[part]).map(move |one| format!("{part} {one}")))
    });
    of_subsets.chain(list(&object["endpoints"]).map(ToString::to_string)).collect()
}

/// One endpoint of a slice. Pods that are on their way out are shown as that.
fn endpoint(store: &Store, service: &Value, pod: &Object) -> Value {
    let leaving = is_leaving(pod);
    let (serving, all) = (pods::is_ready(pod), publishes_all(service));
    let mut endpoint = json!({
        "addresses": [address(pod)],
        "conditions": {"ready": all || serving && !leaving, "serving": serving, "terminating": leaving},
        "nodeName": pod["spec"]["nodeName"], "targetRef": target_reference(pod),
    });
    if let Some(hostname) = hostname(service, pod) {
        endpoint["hostname"] = hostname;
    }
    let node = store.get("nodes", "", pod["spec"]["nodeName"].as_str().unwrap_or_default());
    let zone = node.map(|n| n["metadata"]["labels"]["topology.kubernetes.io/zone"].clone());
    if let Some(zone) = zone.filter(Value::is_string) {
        endpoint["zone"] = zone;
    }
    endpoint
}

/// The slices that are there are filled anew, in the order of their names; there is one at least.
fn write_slices(store: &mut Store, key: &Key, service: &Value, behind: &[Object], now: Timestamp) {
    let mut parts: Vec<(Value, Value)> = Vec::new();
    for (ports, pods) in by_ports(service, behind.iter()) {
        // A port without a name has an empty one here.
        let named = |port: &Value| {
            let mut port = port.clone();
            if port["name"].is_null() {
                port["name"] = json!("");
            }
            port
        };
        let ports: Vec<Value> = ports.iter().map(named).collect();
        for some in pods.chunks(MOST_IN_A_SLICE) {
            let endpoints: Vec<Value> = some.iter().map(|pod| endpoint(store, service, pod)).collect();
            parts.push((json!(ports), json!(endpoints)));
        }
    }
    if parts.is_empty() {
        parts.push((Value::Null, Value::Null));
    }
    let uid = service["metadata"]["uid"].as_str().unwrap_or_default();
    // Somebody else may keep slices of it, too.
    let is_own = |slice: &&Object| slice["metadata"]["labels"][MANAGED] == MANAGER;
    let own = store.owned_by(uid, SLICES).filter(is_own);
    let mut there: Vec<Key> = own.map(|slice| Key::of(slice)).collect();
    for surplus in there.drain(parts.len().min(there.len())..) {
        let _ = store.delete(SLICES, &surplus, &DeleteOptions::default());
    }
    let labels = labels(service, &[(MANAGED, MANAGER), (OF_SERVICE, &key.name)]);
    let mut there = there.into_iter();
    for (ports, endpoints) in parts {
        let mut wanted = json!({
            "metadata": {
                "generateName": format!("{}-", key.name), "namespace": key.namespace, "labels": labels,
                "ownerReferences": [pods::reference(service)],
            },
            "addressType": "IPv4", "endpoints": endpoints, "ports": ports,
        });
        // One that isn't there yet is given a name.
        let slice = there.next().unwrap_or_else(|| Key::new(&key.namespace, ""));
        wanted["metadata"]["name"] = json!(slice.name);
        put(store, SLICES, &slice, wanted, "endpoints", now);
    }
}
