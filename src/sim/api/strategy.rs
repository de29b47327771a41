//! What the kinds' own strategies do to an object on its way into the store.

use std::collections::BTreeSet;

use super::validate::{Causes, refuse};
use crate::sim::json::{Value, json};
use crate::sim::store::{Refusal, Resource, Store};

/// A new object.
///
/// # Errors
/// 403 for a pod whose priority class doesn't exist, and for a second class that is the default; 422 for a port of nodes that
/// isn't to be had.
pub(super) fn new(store: &Store, resource: &Resource, object: &mut Value) -> Result<(), Refusal> {
    match resource.name.as_str() {
        "pods" => priority(store, object)?,
        "nodes" => {
            // The admission plugin TaintNodesByCondition: nothing is placed before the node is known to be ready.
            if !object["spec"].is_object() {
                object["spec"] = json!({});
            }
            let taints = &mut object["spec"]["taints"];
            let key = "node.kubernetes.io/not-ready";
            if !taints.is_array() {
                *taints = json!([]);
            }
            if let Some(list) = taints.as_array_mut()
                && !list.iter().any(|t| t["key"] == key && t["effect"] == "NoSchedule")
            {
                list.push(json!({"key": key, "effect": "NoSchedule"}));
            }
        }
        "services" => {
            free_node_ports(store, resource, object)?;
            address(store, object);
            node_ports(store, object);
        }
        "priorityclasses.scheduling.k8s.io" => single_default(store, resource, object)?,
        "persistentvolumes" => object["status"]["lastPhaseTransitionTime"] = json!(store.clock().now_text()),
        _ => {}
    }
    Ok(())
}

/// One priority class at most is taken by pods that name none.
fn single_default(store: &Store, resource: &Resource, class: &Value) -> Result<(), Refusal> {
    let name = class["metadata"]["name"].as_str().unwrap_or_default();
    let is_default = |c: &Value| c["globalDefault"] == true && c["metadata"]["name"] != name;
    let Some(other) = store.list(&resource.name).find(|c| is_default(c)) else { return Ok(()) };
    if class["globalDefault"] != true {
        return Ok(());
    }
    let other = other["metadata"]["name"].as_str().unwrap_or_default();
    let title = format!("{} {name:?}", resource.name);
    let why = format!("PriorityClass {other} is already marked as default. Only one default can exist");
    let mut refusal = Refusal::new(403, "Forbidden", format!("{title} is forbidden: {why}"));
    refusal.details = Some(json!({"name": name, "group": resource.group, "kind": resource.plural}));
    Err(refusal)
}

fn priority(store: &Store, object: &Value) -> Result<(), Refusal> {
    let name = object["spec"]["priorityClassName"].as_str().unwrap_or_default();
    let class = store.get("priorityclasses.scheduling.k8s.io", "", name);
    let value = match (name, class) {
        (_, Some(class)) => class["value"].as_i64(),
        ("system-node-critical", _) => Some(2_000_001_000),
        ("system-cluster-critical", _) => Some(2_000_000_000),
        ("", _) => Some(0),
        _ => None,
    };
    let given = object["spec"]["priority"].as_i64().unwrap_or(0);
    let why = match value {
        Some(value) if value == given => return Ok(()),
        Some(value) => format!(
            "the integer value of priority ({given}) must not be provided in pod spec; priority admission controller computed \
             {value} from the given PriorityClass name"
        ),
        None => format!("no PriorityClass with name {name} was found"),
    };
    let pod = object["metadata"]["name"].as_str().unwrap_or_default();
    Err(Refusal::forbidden("pods", pod, &why))
}

/// A service's address, of the first that are free.
fn address(store: &Store, object: &mut Value) {
    let spec = &mut object["spec"];
    if spec["type"] == "ExternalName" {
        return;
    }
    if spec["clusterIP"].as_str().is_none_or(str::is_empty) {
        let taken: Vec<&str> =
            store.list("services").filter_map(|s| s["spec"]["clusterIP"].as_str()).collect();
        let count = taken.len();
        let free = (1..).map(|n: usize| format!("10.0.{}.{}", (count + n) / 250, (count + n) % 250 + 1));
        if let Some(address) = free.take(count + 2).find(|a| !taken.contains(&a.as_str())) {
            spec["clusterIP"] = json!(address);
        }
    }
    spec["clusterIPs"] = json!([spec["clusterIP"]]);
    if spec["ipFamilies"].is_null() {
        spec["ipFamilies"] = json!(["IPv4"]);
    }
    if spec["ipFamilyPolicy"].is_null() {
        spec["ipFamilyPolicy"] = json!("SingleStack");
    }
}

/// What ports nodes offer services at.
const NODE_PORTS: std::ops::RangeInclusive<i64> = 30_000..=32_767;

/// At which ports of nodes a service is offered.
fn ports_of_nodes(service: &Value) -> impl Iterator<Item = i64> {
    service["spec"]["ports"].as_array().into_iter().flatten().filter_map(|port| port["nodePort"].as_i64())
}

/// Ports of nodes that a new service names have to be such, and no other's.
fn free_node_ports(store: &Store, resource: &Resource, service: &Value) -> Result<(), Refusal> {
    let named = service["spec"]["ports"].as_array().into_iter().flatten().enumerate();
    let mut named = named.filter_map(|(i, p)| Some((i, p, p["nodePort"].as_i64().filter(|n| *n != 0)?)));
    let Some(first) = named.next() else { return Ok(()) };
    let taken: BTreeSet<i64> = store.list("services").flat_map(|s| ports_of_nodes(s)).collect();
    for (index, port, number) in std::iter::once(first).chain(named) {
        let why = if !NODE_PORTS.contains(&number) {
            "provided port is not in the valid range. The range of valid ports is 30000-32767"
        } else if taken.contains(&number) {
            "provided port is already allocated"
        } else {
            continue;
        };
        let mut causes = Causes::default();
        causes.invalid(format!("spec.ports[{index}].nodePort"), &port["nodePort"], why);
        return refuse(resource, service["metadata"]["name"].as_str().unwrap_or_default(), causes);
    }
    Ok(())
}

/// The ports at which nodes offer a service, of the first that are free.
fn node_ports(store: &Store, service: &mut Value) {
    let spec = &mut service["spec"];
    let wanted = match spec["type"].as_str() {
        Some("NodePort") => true,
        Some("LoadBalancer") => spec["allocateLoadBalancerNodePorts"] != false,
        _ => false,
    };
    let is_open = |port: &Value| port["nodePort"].as_i64().unwrap_or(0) == 0;
    let ports = |spec: &Value| spec["ports"].as_array().cloned().unwrap_or_default();
    if !wanted || !ports(spec).iter().any(is_open) {
        return;
    }
    let own: Vec<i64> = ports(spec).iter().filter_map(|port| port["nodePort"].as_i64()).collect();
    let taken: BTreeSet<i64> = store.list("services").flat_map(|s| ports_of_nodes(s)).chain(own).collect();
    let mut free = NODE_PORTS.filter(|n| !taken.contains(n));
    let open = spec["ports"].as_array_mut().into_iter().flatten().filter(|p| is_open(p));
    for port in open {
        if let Some(number) = free.next() {
            port["nodePort"] = json!(number);
        }
    }
}

/// The ports of nodes that a service has stay those of its ports; one that has none any more loses them.
fn keep_node_ports(store: &Store, old: &Value, service: &mut Value) {
    let offers =
        |service: &Value| matches!(service["spec"]["type"].as_str(), Some("NodePort" | "LoadBalancer"));
    let before = old["spec"]["ports"].as_array().cloned().unwrap_or_default();
    let (was, is) = (offers(old), offers(service));
    for port in service["spec"].get_mut("ports").and_then(Value::as_array_mut).into_iter().flatten() {
        let same = |b: &&Value| b["port"] == port["port"] && b["protocol"] == port["protocol"];
        let given = before.iter().find(same).map(|b| b["nodePort"].clone()).unwrap_or_default();
        if is && was && port["nodePort"].is_null() && !given.is_null() {
            port["nodePort"] = given;
        } else if was && !is && port["nodePort"] == given {
            port.as_object_mut().map(|p| p.remove("nodePort"));
        }
    }
    node_ports(store, service);
}

/// An object that replaces another: what the type keeps although the request left it out.
pub(super) fn changed(
    store: &Store,
    resource: &Resource,
    old: &Value,
    object: &mut Value,
    status_only: bool,
) {
    if status_only {
        if resource.name == "deployments.apps"
            && let Some(metadata) = object["metadata"].as_object_mut()
        {
            match old["metadata"].get("labels") {
                Some(labels) => metadata.insert("labels".to_owned(), labels.clone()),
                None => metadata.remove("labels"),
            };
        }
        return;
    }
    let keep = |object: &mut Value, fields: &[&str]| {
        for field in fields {
            if object["spec"][*field].is_null() && !old["spec"][*field].is_null() {
                object["spec"][*field] = old["spec"][*field].clone();
            }
        }
    };
    match resource.name.as_str() {
        "services" => {
            keep(object, &["clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"]);
            keep_node_ports(store, old, object);
        }
        "jobs.batch" => keep(object, &["selector"]),
        "pods" => {
            if let Some(spec) = object["spec"].as_object_mut() {
                super::defaults::pod::tolerations(spec);
            }
        }
        "daemonsets.apps" => {
            let key = "deprecated.daemonset.template.generation";
            let count = old["metadata"]["annotations"][key].as_str().and_then(|n| n.parse::<u64>().ok());
            if old["spec"]["template"] != object["spec"]["template"] {
                object["metadata"]["annotations"][key] = json!((count.unwrap_or(1) + 1).to_string());
            }
        }
        _ => {}
    }
}
