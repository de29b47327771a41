//! Nodes, namespaces, events, storage, services, access: what isn't a workload.

use jiff::Timestamp;

use super::cells::{NONE, count, first_three, joined_or_none, labels, list, scalar, selector, since, text};
use super::{Column, Source};
use crate::sim::json::Value;

pub(super) fn columns(resource: &str) -> Option<Vec<Column>> {
    let columns = match resource {
        "nodes" => nodes(),
        "events" | "events.events.k8s.io" => events(),
        "persistentvolumes" => volumes(),
        "persistentvolumeclaims" => claims(),
        "services" => services(),
        "storageclasses.storage.k8s.io" => storage_classes(),
        "volumeattachments.storage.k8s.io" => attachments(),
        "csidrivers.storage.k8s.io" => csi_drivers(),
        "rolebindings.rbac.authorization.k8s.io" | "clusterrolebindings.rbac.authorization.k8s.io" => {
            bindings()
        }
        "ingresses.networking.k8s.io" => ingresses(),
        other => vec_of(other)?,
    };
    Some(columns)
}

/// The kinds with a few plain columns.
fn vec_of(resource: &str) -> Option<Vec<Column>> {
    let between: Vec<Column> = match resource {
        "namespaces" => vec![Column::text("Status", "/status/phase")],
        "configmaps" => {
            vec![Column::of("Data", |o| (count(&o["data"]) + count(&o["binaryData"])).to_string())]
        }
        "secrets" => {
            vec![Column::text("Type", "/type"), Column::new("Data", "string", Source::Count("/data"))]
        }
        "serviceaccounts" | "limitranges" => Vec::new(),
        "resourcequotas" => {
            vec![Column::of("Request", |o| quota(o, false)), Column::of("Limit", |o| quota(o, true))]
        }
        "endpoints" => vec![Column::of("Endpoints", endpoints)],
        "endpointslices.discovery.k8s.io" => vec![
            Column::text("AddressType", "/addressType"),
            Column::of("Ports", |o| {
                let port = |p: &Value| p["port"].as_i64().map_or_else(|| "*".to_owned(), |n| n.to_string());
                first_three(list(&o["ports"]).map(port).collect())
            }),
            Column::of("Endpoints", |o| {
                let addresses = list(&o["endpoints"]).flat_map(|e| list(&e["addresses"]));
                first_three(addresses.map(scalar).collect())
            }),
        ],
        "leases.coordination.k8s.io" => vec![Column::text("Holder", "/spec/holderIdentity")],
        "csinodes.storage.k8s.io" => {
            vec![Column::new("Drivers", "integer", Source::Count("/spec/drivers"))]
        }
        "networkpolicies.networking.k8s.io" => {
            vec![Column::of("Pod-Selector", |o| selector(&o["spec"]["podSelector"]))]
        }
        "priorityclasses.scheduling.k8s.io" => vec![
            Column::number("Value", "/value"),
            Column::new("Global-Default", "boolean", Source::Bool("/globalDefault", false)),
        ],
        "validatingwebhookconfigurations.admissionregistration.k8s.io"
        | "mutatingwebhookconfigurations.admissionregistration.k8s.io" => {
            vec![Column::new("Webhooks", "integer", Source::Count("/webhooks"))]
        }
        _ => return None,
    };
    let mut columns = vec![Column::name()];
    columns.extend(between);
    columns.push(Column::age());
    if resource == "priorityclasses.scheduling.k8s.io" {
        columns.push(Column::text("PreemptionPolicy", "/preemptionPolicy"));
    }
    Some(columns)
}

fn nodes() -> Vec<Column> {
    const INFO: &str = "<unknown>";
    vec![
        Column::name(),
        Column::of("Status", node_status),
        Column::of("Roles", roles),
        Column::age(),
        Column::text("Version", "/status/nodeInfo/kubeletVersion"),
        Column::of("Internal-IP", |o| address(o, "InternalIP")).wide(),
        Column::of("External-IP", |o| address(o, "ExternalIP")).wide(),
        Column::text_or("OS-Image", "/status/nodeInfo/osImage", INFO).wide(),
        Column::of("Kernel-Version", kernel).wide(),
        Column::text_or("Container-Runtime", "/status/nodeInfo/containerRuntimeVersion", INFO).wide(),
    ]
}

fn node_status(node: &Value) -> String {
    let ready = list(&node["status"]["conditions"]).find(|c| c["type"] == "Ready");
    let mut status = match ready {
        None => "Unknown",
        Some(c) if c["status"] == "True" => "Ready",
        Some(_) => "NotReady",
    }
    .to_owned();
    if node["spec"]["unschedulable"] == true {
        status.push_str(",SchedulingDisabled");
    }
    status
}

fn roles(node: &Value) -> String {
    let labels = node["metadata"]["labels"].as_object().into_iter().flatten();
    let mut roles: Vec<String> = labels
        .filter_map(|(key, value)| match key.strip_prefix("node-role.kubernetes.io/") {
            Some(role) => Some(role.to_owned()),
            None => (key == "kubernetes.io/role").then(|| scalar(value)),
        })
        .filter(|role| !role.is_empty())
        .collect();
    roles.sort();
    roles.dedup();
    joined_or_none(roles.into_iter())
}

fn address(node: &Value, kind: &str) -> String {
    let found = list(&node["status"]["addresses"]).find(|a| a["type"] == kind);
    found.map_or_else(|| NONE.to_owned(), |a| scalar(&a["address"]))
}

fn kernel(node: &Value) -> String {
    let info = &node["status"]["nodeInfo"];
    let version = match text(&info["kernelVersion"]) {
        "" => "<unknown>",
        version => version,
    };
    match text(&info["architecture"]) {
        "" => version.to_owned(),
        architecture => format!("{version} ({architecture})"),
    }
}

fn events() -> Vec<Column> {
    vec![
        Column::new("Last Seen", "string", Source::At(last_seen)),
        Column::text("Type", "/type"),
        Column::text("Reason", "/reason"),
        Column::of("Object", involved),
        Column::text("Subobject", "/involvedObject/fieldPath").wide(),
        Column::of("Source", event_source).wide(),
        Column::of("Message", |o| text(told_of(o, "message", "note")).trim().to_owned()),
        Column::new("First Seen", "string", Source::At(first_seen)).wide(),
        Column::of("Count", event_count).wide(),
        Column::name().wide(),
    ]
}

/// A field of an event by its name in the core group, or by that in `events.k8s.io`.
fn told_of<'a>(event: &'a Value, core: &str, other: &str) -> &'a Value {
    event.get(core).unwrap_or(&event[other])
}

fn first_seen(event: &Value, now: Timestamp) -> String {
    match told_of(event, "firstTimestamp", "deprecatedFirstTimestamp") {
        Value::Null => since(&event["eventTime"], now),
        time => since(time, now),
    }
}

fn last_seen(event: &Value, now: Timestamp) -> String {
    if !event["series"].is_null() {
        return since(&event["series"]["lastObservedTime"], now);
    }
    match told_of(event, "lastTimestamp", "deprecatedLastTimestamp") {
        Value::Null => first_seen(event, now),
        time => since(time, now),
    }
}

fn event_count(event: &Value) -> String {
    let count = event["series"]["count"].as_i64();
    count
        .or_else(|| told_of(event, "count", "deprecatedCount").as_i64())
        .filter(|c| *c > 0)
        .unwrap_or(1)
        .to_string()
}

fn involved(event: &Value) -> String {
    let object = told_of(event, "involvedObject", "regarding");
    let kind = text(&object["kind"]).to_lowercase();
    match text(&object["name"]) {
        "" => kind,
        name => format!("{kind}/{name}"),
    }
}

fn event_source(event: &Value) -> String {
    let first = |parts: [&Value; 2]| {
        parts.into_iter().map(text).find(|t| !t.is_empty()).unwrap_or_default().to_owned()
    };
    let source = told_of(event, "source", "deprecatedSource");
    let component =
        first([&source["component"], told_of(event, "reportingComponent", "reportingController")]);
    let host = first([&source["host"], &event["reportingInstance"]]);
    if host.is_empty() { component } else { format!("{component}, {host}") }
}

fn access_modes(list_of: &Value) -> String {
    let short = |mode: &Value| {
        match text(mode) {
            "ReadWriteOnce" => "RWO",
            "ReadOnlyMany" => "ROX",
            "ReadWriteMany" => "RWX",
            "ReadWriteOncePod" => "RWOP",
            other => other,
        }
        .to_owned()
    };
    list(list_of).map(short).collect::<Vec<_>>().join(",")
}

fn phase(object: &Value) -> String {
    let going = !object["metadata"]["deletionTimestamp"].is_null();
    if going { "Terminating".to_owned() } else { scalar(&object["status"]["phase"]) }
}

fn volumes() -> Vec<Column> {
    vec![
        Column::name(),
        Column::text("Capacity", "/spec/capacity/storage"),
        Column::of("Access Modes", |o| access_modes(&o["spec"]["accessModes"])),
        Column::text("Reclaim Policy", "/spec/persistentVolumeReclaimPolicy"),
        Column::of("Status", phase),
        Column::of("Claim", |o| {
            let claim = &o["spec"]["claimRef"];
            if claim.is_null() {
                String::new()
            } else {
                format!("{}/{}", text(&claim["namespace"]), text(&claim["name"]))
            }
        }),
        Column::text("StorageClass", "/spec/storageClassName"),
        Column::text_or("VolumeAttributesClass", "/spec/volumeAttributesClassName", "<unset>"),
        Column::text("Reason", "/status/reason"),
        Column::age(),
        Column::text_or("VolumeMode", "/spec/volumeMode", "<unset>").wide(),
    ]
}

fn claims() -> Vec<Column> {
    vec![
        Column::name(),
        Column::of("Status", phase),
        Column::text("Volume", "/spec/volumeName"),
        Column::of("Capacity", |o| {
            if text(&o["spec"]["volumeName"]).is_empty() {
                String::new()
            } else {
                scalar(&o["status"]["capacity"]["storage"])
            }
        }),
        Column::of("Access Modes", |o| {
            if text(&o["spec"]["volumeName"]).is_empty() {
                String::new()
            } else {
                access_modes(&o["status"]["accessModes"])
            }
        }),
        Column::text("StorageClass", "/spec/storageClassName"),
        Column::text_or("VolumeAttributesClass", "/spec/volumeAttributesClassName", "<unset>"),
        Column::age(),
        Column::text_or("VolumeMode", "/spec/volumeMode", "<unset>").wide(),
    ]
}

fn services() -> Vec<Column> {
    vec![
        Column::name(),
        Column::text("Type", "/spec/type"),
        Column::text_or("Cluster-IP", "/spec/clusterIPs/0", NONE),
        Column::of("External-IP", external_ip),
        Column::of("Port(s)", |o| joined_or_none(list(&o["spec"]["ports"]).map(port))),
        Column::age(),
        Column::of("Selector", |o| labels(&o["spec"]["selector"])).wide(),
    ]
}

fn port(port: &Value) -> String {
    let protocol = port["protocol"].as_str().unwrap_or("TCP");
    match port["nodePort"].as_i64() {
        Some(node) if node > 0 => format!("{}:{node}/{protocol}", scalar(&port["port"])),
        _ => format!("{}/{protocol}", scalar(&port["port"])),
    }
}

fn external_ip(service: &Value) -> String {
    let spec = &service["spec"];
    if spec["type"] == "ExternalName" {
        return scalar(&spec["externalName"]);
    }
    let balancer = list(&service["status"]["loadBalancer"]["ingress"]);
    let of_balancer = balancer.map(|i| scalar(if i["ip"].is_null() { &i["hostname"] } else { &i["ip"] }));
    let all: Vec<String> = of_balancer.chain(list(&spec["externalIPs"]).map(scalar)).collect();
    match (all.is_empty(), spec["type"] == "LoadBalancer") {
        (false, _) => all.join(","),
        (true, true) => "<pending>".to_owned(),
        (true, false) => NONE.to_owned(),
    }
}

fn endpoints(object: &Value) -> String {
    let mut all = Vec::new();
    for subset in list(&object["subsets"]) {
        for port in list(&subset["ports"]) {
            all.extend(
                list(&subset["addresses"]).map(|a| format!("{}:{}", text(&a["ip"]), scalar(&port["port"]))),
            );
        }
    }
    if all.is_empty() { NONE.to_owned() } else { first_three(all) }
}

fn storage_classes() -> Vec<Column> {
    vec![
        Column::of("Name", |o| {
            let default = &o["metadata"]["annotations"]["storageclass.kubernetes.io/is-default-class"];
            let mark = if default == "true" { " (default)" } else { "" };
            format!("{}{mark}", text(&o["metadata"]["name"]))
        }),
        Column::text("Provisioner", "/provisioner"),
        Column::text_or("ReclaimPolicy", "/reclaimPolicy", "Delete"),
        Column::text_or("VolumeBindingMode", "/volumeBindingMode", "Immediate"),
        Column::new("AllowVolumeExpansion", "string", Source::Bool("/allowVolumeExpansion", false)),
        Column::age(),
    ]
}

fn attachments() -> Vec<Column> {
    vec![
        Column::name(),
        Column::text("Attacher", "/spec/attacher"),
        Column::text("PV", "/spec/source/persistentVolumeName"),
        Column::text("Node", "/spec/nodeName"),
        Column::new("Attached", "boolean", Source::Bool("/status/attached", false)),
        Column::age(),
    ]
}

fn csi_drivers() -> Vec<Column> {
    let flag =
        |name: &str, at: &'static str, otherwise| Column::new(name, "boolean", Source::Bool(at, otherwise));
    vec![
        Column::name(),
        flag("AttachRequired", "/spec/attachRequired", true),
        flag("PodInfoOnMount", "/spec/podInfoOnMount", false),
        flag("StorageCapacity", "/spec/storageCapacity", false),
        Column::of("TokenRequests", |o| match &o["spec"]["tokenRequests"] {
            Value::Null => "<unset>".to_owned(),
            requests => list(requests).map(|r| text(&r["audience"])).collect::<Vec<_>>().join(","),
        }),
        flag("RequiresRepublish", "/spec/requiresRepublish", false),
        Column::of("Modes", |o| joined_or_none(list(&o["spec"]["volumeLifecycleModes"]).map(scalar))),
        Column::age(),
    ]
}

fn bindings() -> Vec<Column> {
    fn subjects(binding: &Value, kind: &str) -> String {
        let found = list(&binding["subjects"]).filter(|s| s["kind"] == kind);
        let named = found.map(|s| match (kind, text(&s["name"])) {
            ("ServiceAccount", name) => format!("{}/{name}", text(&s["namespace"])),
            (_, name) => name.to_owned(),
        });
        named.collect::<Vec<_>>().join(", ")
    }
    vec![
        Column::name(),
        Column::of("Role", |o| format!("{}/{}", text(&o["roleRef"]["kind"]), text(&o["roleRef"]["name"]))),
        Column::age(),
        Column::of("Users", |o| subjects(o, "User")).wide(),
        Column::of("Groups", |o| subjects(o, "Group")).wide(),
        Column::of("ServiceAccounts", |o| subjects(o, "ServiceAccount")).wide(),
    ]
}

fn ingresses() -> Vec<Column> {
    vec![
        Column::name(),
        Column::text_or("Class", "/spec/ingressClassName", NONE),
        Column::of("Hosts", |o| {
            let hosts = list(&o["spec"]["rules"]).map(|r| scalar(&r["host"])).filter(|h| !h.is_empty());
            let hosts: Vec<String> = hosts.collect();
            if hosts.is_empty() { "*".to_owned() } else { first_three(hosts) }
        }),
        Column::of("Address", |o| {
            let addresses = list(&o["status"]["loadBalancer"]["ingress"]);
            addresses
                .map(|i| scalar(if i["ip"].is_null() { &i["hostname"] } else { &i["ip"] }))
                .collect::<Vec<_>>()
                .join(",")
        }),
        Column::of("Ports", |o| if count(&o["spec"]["tls"]) > 0 { "80, 443" } else { "80" }.to_owned()),
        Column::age(),
    ]
}

/// What a quota has used of its requests, or of its limits.
fn quota(object: &Value, limits: bool) -> String {
    let status = &object["status"];
    let hard = status["hard"].as_object().into_iter().flatten();
    let mine = hard.filter(|(name, _)| name.starts_with("limits.") == limits);
    mine.map(|(name, hard)| {
        let used = status["used"].get(name).map_or_else(|| "0".to_owned(), scalar);
        format!("{name}: {used}/{}", scalar(hard))
    })
    .collect::<Vec<_>>()
    .join(", ")
}
