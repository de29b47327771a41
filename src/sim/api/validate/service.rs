//! Services.

use std::collections::BTreeSet;

use super::{Causes, metadata, names};
use crate::sim::json::{Value, json};

const PROTOCOLS: [&str; 3] = ["SCTP", "TCP", "UDP"];
const TYPES: [&str; 4] = ["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"];
/// A port's name is no longer.
const LONGEST_PORT_NAME: usize = 15;

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// What a Service says.
pub(super) fn service(spec: &Value, causes: &mut Causes) {
    let ports: Vec<&Value> = spec["ports"].as_array().into_iter().flatten().collect();
    let is_external = spec["type"] == "ExternalName";
    if ports.is_empty() && spec["clusterIP"] != "None" && !is_external {
        causes.required("spec.ports", "");
    }
    if is_external {
        external_name(spec, causes);
    }
    let mut seen = BTreeSet::new();
    for (index, item) in ports.iter().enumerate() {
        port(item, &format!("spec.ports[{index}]"), ports.len() > 1, &mut seen, causes);
    }
    metadata::labels(&spec["selector"], "spec.selector", causes);
    if !["ClientIP", "None"].contains(&text(&spec["sessionAffinity"])) {
        causes.unsupported("spec.sessionAffinity", &spec["sessionAffinity"], &["ClientIP", "None"]);
    }
    if !TYPES.contains(&text(&spec["type"])) {
        causes.unsupported("spec.type", &spec["type"], &TYPES);
    }
    for (index, item) in ports.iter().enumerate() {
        let same = |other: &&&Value| other["protocol"] == item["protocol"] && other["port"] == item["port"];
        if ports[..index].iter().any(|other| same(&other)) {
            let which = json!({"protocol": item["protocol"], "port": item["port"]});
            causes.duplicate(format!("spec.ports[{index}]"), &which);
        }
    }
}

/// A name of another domain is all that such a Service is.
fn external_name(spec: &Value, causes: &mut Causes) {
    let name = text(&spec["externalName"]);
    if name.is_empty() {
        causes.required("spec.externalName", "");
    } else {
        for why in names::subdomain(name.strip_suffix('.').unwrap_or(name)) {
            causes.invalid("spec.externalName", &spec["externalName"], &why);
        }
    }
}

fn port<'a>(port: &'a Value, at: &str, needs_name: bool, seen: &mut BTreeSet<&'a str>, causes: &mut Causes) {
    let name = text(&port["name"]);
    if name.is_empty() {
        if needs_name {
            causes.required(format!("{at}.name"), "");
        }
    } else {
        for why in names::label(name) {
            causes.invalid(format!("{at}.name"), &port["name"], &why);
        }
        if !seen.insert(name) {
            causes.duplicate(format!("{at}.name"), &port["name"]);
        }
    }
    number(&port["port"], &format!("{at}.port"), causes);
    if text(&port["protocol"]).is_empty() {
        causes.required(format!("{at}.protocol"), "");
    } else if !PROTOCOLS.contains(&text(&port["protocol"])) {
        causes.unsupported(format!("{at}.protocol"), &port["protocol"], &PROTOCOLS);
    }
    match port["targetPort"].as_str() {
        Some(name) => {
            for why in port_name(name) {
                causes.invalid(format!("{at}.targetPort"), &port["targetPort"], why);
            }
        }
        None => number(&port["targetPort"], &format!("{at}.targetPort"), causes),
    }
}

fn number(port: &Value, at: &str, causes: &mut Causes) {
    let number = port.as_i64().unwrap_or(0);
    if !(1..=65535).contains(&number) {
        causes.invalid(at, &json!(number), "must be between 1 and 65535, inclusive");
    }
}

/// What is wrong with a port's name.
fn port_name(name: &str) -> Vec<&'static str> {
    let mut wrong = Vec::new();
    if name.len() > LONGEST_PORT_NAME {
        wrong.push("must be no more than 15 characters");
    }
    if !name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-') || name.is_empty() {
        wrong.push("must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)");
    }
    if !name.chars().any(|c| c.is_ascii_lowercase()) {
        wrong.push("must contain at least one letter (a-z)");
    }
    if name.contains("--") {
        wrong.push("must not contain consecutive hyphens");
    }
    if name.starts_with('-') || name.ends_with('-') {
        wrong.push("must not begin or end with a hyphen");
    }
    wrong
}
