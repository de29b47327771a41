//! Services: their ports, types, addresses and selectors.

use super::pod::{NO_PORT, PROTOCOLS, list, one_of, text};
use super::{Causes, metadata, names};
use crate::sim::json::{Value, json};

const TYPES: [&str; 4] = ["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"];

/// A Service's spec.
pub(super) fn service(spec: &Value, causes: &mut Causes) {
    let count = spec["ports"].as_array().map_or(0, Vec::len);
    let headless = spec["clusterIP"] == "None";
    let kind = text(spec, "type");
    if count == 0 && !headless && kind != "ExternalName" {
        causes.required("spec.ports", "");
    }
    if headless && ["LoadBalancer", "NodePort"].contains(&kind) {
        let why = format!("may not be set to 'None' for {kind} services");
        causes.invalid("spec.clusterIPs[0]", &json!("None"), &why);
    }
    if kind == "ExternalName" {
        external_name(spec, causes);
    }
    let mut seen = Vec::new();
    for (index, port) in list(spec, "ports") {
        one_port(port, &format!("spec.ports[{index}]"), count > 1, &mut seen, causes);
    }
    metadata::labels(&spec["selector"], "spec.selector", causes);
    let affinity = &spec["sessionAffinity"];
    if !affinity.is_null() && affinity != "ClientIP" && affinity != "None" {
        causes.unsupported("spec.sessionAffinity", affinity, &["ClientIP", "None"]);
    }
    for (index, address) in list(spec, "externalIPs") {
        if address.as_str().is_none_or(|a| a.parse::<std::net::IpAddr>().is_err()) {
            let why = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)";
            causes.invalid(format!("spec.externalIPs[{index}]"), address, why);
        }
    }
    one_of(spec, "type", "spec", &TYPES, causes);
    twice(spec, causes);
}

/// A name of another domain is all that such a Service is.
fn external_name(spec: &Value, causes: &mut Causes) {
    let name = text(spec, "externalName");
    if name.is_empty() {
        causes.required("spec.externalName", "");
    } else {
        for why in names::subdomain(name.strip_suffix('.').unwrap_or(name)) {
            causes.invalid("spec.externalName", &spec["externalName"], &why);
        }
    }
}

fn one_port(port: &Value, at: &str, named: bool, seen: &mut Vec<String>, causes: &mut Causes) {
    let name = text(port, "name");
    if !name.is_empty() {
        for why in names::label(name) {
            causes.invalid(format!("{at}.name"), &port["name"], &why);
        }
        if seen.iter().any(|n| n == name) {
            causes.duplicate(format!("{at}.name"), &port["name"]);
        }
        seen.push(name.to_owned());
    } else if named {
        causes.required(format!("{at}.name"), "");
    }
    number(&port["port"], &format!("{at}.port"), causes);
    one_of(port, "protocol", at, &PROTOCOLS, causes);
    let target = &port["targetPort"];
    match target.as_str() {
        Some(name) => {
            for why in port_name(name) {
                causes.invalid(format!("{at}.targetPort"), target, why);
            }
        }
        None => number(target, &format!("{at}.targetPort"), causes),
    }
}

fn number(port: &Value, at: &str, causes: &mut Causes) {
    let number = port.as_i64().unwrap_or(0);
    if !(1..=65_535).contains(&number) {
        causes.invalid(at, &json!(number), NO_PORT);
    }
}

/// What is wrong with the name of a container's port.
fn port_name(name: &str) -> Vec<&'static str> {
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let mut wrong = Vec::new();
    if name.len() > 15 {
        wrong.push("must be no more than 15 characters");
    }
    if name.is_empty() || !name.chars().all(allowed) {
        wrong.push("must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)");
    }
    if !name.contains(|c: char| c.is_ascii_lowercase()) {
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

/// Ports are told apart by number and protocol.
fn twice(spec: &Value, causes: &mut Causes) {
    let mut seen = Vec::new();
    for (index, port) in list(spec, "ports") {
        let this = json!({"port": port["port"], "protocol": port["protocol"]});
        if seen.contains(&this) {
            causes.duplicate(format!("spec.ports[{index}]"), &this);
        }
        seen.push(this);
    }
}

/// An address that was given stays, as long as the type stays one that has an address.
pub(super) fn changed(old: &Value, new: &Value, causes: &mut Causes) {
    let kept = [old, new].iter().all(|spec| spec["type"] != "ExternalName");
    let before = text(old, "clusterIP");
    if kept && !before.is_empty() && text(new, "clusterIP") != before {
        let address = json!([new["clusterIP"]]);
        causes.invalid("spec.clusterIPs[0]", &address, "may not change once set");
    }
}
