//! Label and field selectors of list and watch requests. (`sim` imports nothing of the crate, so that it can judge it.)

use crate::sim::json::Value;
use crate::sim::store::{Refusal, Resource};

/// A test of one label.
#[derive(Debug, Clone)]
pub(super) enum Test {
    In(String, Vec<String>),
    NotIn(String, Vec<String>),
    Exists(String),
    Absent(String),
    /// Its value is a number above this one.
    Above(String, i64),
    /// Its value is a number below this one.
    Below(String, i64),
}

/// Selects objects by labels and fields.
#[derive(Debug, Clone, Default)]
pub struct Selector {
    labels: Vec<Test>,
    fields: Vec<(String, String, bool)>,
}

impl Selector {
    /// Reads both parameters.
    ///
    /// # Errors
    /// 400 for what can't be read or isn't supported.
    pub fn parse(labels: &str, fields: &str) -> Result<Self, Refusal> {
        let labels = super::labels::parse(labels)?;
        let fields = split(fields)
            .into_iter()
            .map(|part| {
                let (key, value, equal) = match part.split_once("!=") {
                    Some((key, value)) => (key, value, false),
                    None => {
                        let (key, value) =
                            part.split_once("==").or_else(|| part.split_once('=')).ok_or_else(|| {
                                Refusal::bad_request(format!(
                                    "invalid selector: '{part}'; can't understand '{part}'"
                                ))
                            })?;
                        (key, value, true)
                    }
                };
                Ok((key.to_owned(), value.to_owned(), equal))
            })
            .collect::<Result<_, _>>()?;
        Ok(Self { labels, fields })
    }

    /// Reads both parameters for a kind, which has fields that may be asked for.
    ///
    /// # Errors
    /// 400 for what can't be read or isn't supported.
    pub fn read(resource: &Resource, labels: &str, fields: &str) -> Result<Self, Refusal> {
        let selector = Self::parse(labels, fields)?;
        let known = supported(&resource.name);
        for (field, _, _) in &selector.fields {
            let always = field == "metadata.name" || (field == "metadata.namespace");
            if !always && !known.contains(&field.as_str()) {
                let message = if known.is_empty() && !resource.is_custom {
                    format!(
                        "{field:?} is not a known field selector: only \"metadata.name\", \"metadata.namespace\""
                    )
                } else {
                    format!("field label not supported: {field}")
                };
                return Err(Refusal::bad_request(message));
            }
        }
        Ok(selector)
    }

    /// True if it selects everything.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty() && self.fields.is_empty()
    }

    /// The value that `spec.nodeName` must have, if that is asked for: an index serves it.
    pub fn node_name(&self) -> Option<&str> {
        let wanted = self.fields.iter().find(|(key, _, equal)| key == "spec.nodeName" && *equal);
        wanted.map(|(_, value, _)| value.as_str()).filter(|v| !v.is_empty())
    }

    /// True if the object satisfies both parts.
    pub fn matches(&self, object: &Value) -> bool {
        let label = |key: &str| object["metadata"]["labels"][key].as_str();
        let holds = |test: &Test| match test {
            Test::In(key, values) => label(key).is_some_and(|v| values.iter().any(|w| w == v)),
            Test::NotIn(key, values) => !label(key).is_some_and(|v| values.iter().any(|w| w == v)),
            Test::Exists(key) => label(key).is_some(),
            Test::Absent(key) => label(key).is_none(),
            Test::Above(key, than) => {
                label(key).and_then(|v| v.parse::<i64>().ok()).is_some_and(|v| v > *than)
            }
            Test::Below(key, than) => {
                label(key).and_then(|v| v.parse::<i64>().ok()).is_some_and(|v| v < *than)
            }
        };
        self.labels.iter().all(holds)
            && self.fields.iter().all(|(path, value, equal)| (field(object, path) == *value) == *equal)
    }
}

/// The fields by which objects of a kind can be selected, beside name and namespace.
fn supported(resource: &str) -> &'static [&'static str] {
    match resource {
        "pods" => &[
            "spec.nodeName",
            "spec.restartPolicy",
            "spec.schedulerName",
            "spec.serviceAccountName",
            "spec.hostNetwork",
            "status.phase",
            "status.podIP",
            "status.podIPs",
            "status.nominatedNodeName",
        ],
        "nodes" => &["spec.unschedulable"],
        "namespaces" => &["status.phase"],
        "secrets" => &["type"],
        "jobs.batch" => &["status.successful"],
        "replicationcontrollers" => &["status.replicas"],
        "services" => &["spec.clusterIP", "spec.type"],
        "events" => &[
            "involvedObject.kind",
            "involvedObject.namespace",
            "involvedObject.name",
            "involvedObject.uid",
            "involvedObject.apiVersion",
            "involvedObject.resourceVersion",
            "involvedObject.fieldPath",
            "reason",
            "reportingComponent",
            "source",
            "type",
        ],
        "events.events.k8s.io" => &[
            "regarding.kind",
            "regarding.namespace",
            "regarding.name",
            "regarding.uid",
            "regarding.apiVersion",
            "regarding.resourceVersion",
            "regarding.fieldPath",
            "reason",
            "reportingController",
            "type",
        ],
        _ => &[],
    }
}

fn field(object: &Value, path: &str) -> String {
    match path.split('.').try_fold(object, |at, part| at.get(part)) {
        Some(Value::String(text)) => text.to_string(),
        // Who tells an event: its own field of it, or the newer one.
        source if path == "source" => {
            let own = source.and_then(|s| s["component"].as_str()).filter(|s| !s.is_empty());
            own.or(object["reportingComponent"].as_str()).unwrap_or_default().to_owned()
        }
        Some(Value::Bool(b)) => b.to_string(),
        Some(Value::Number(n)) => n.to_string(),
        // An absent boolean reads as false, an absent text as empty.
        _ if matches!(path, "spec.unschedulable" | "spec.hostNetwork") => "false".to_owned(),
        _ if matches!(path, "status.successful" | "status.replicas") => "0".to_owned(),
        _ => String::new(),
    }
}

fn split(text: &str) -> Vec<String> {
    let (mut parts, mut depth, mut part) = (Vec::new(), 0_u32, String::new());
    for character in text.chars() {
        match character {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => {
                parts.push(std::mem::take(&mut part));
                continue;
            }
            _ => {}
        }
        part.push(character);
    }
    parts.push(part);
    parts.into_iter().map(|p| p.trim().to_owned()).filter(|p| !p.is_empty()).collect()
}
