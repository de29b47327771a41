//! What must be the same in two answers, and what counts as a difference.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use serde_json::{Value, json};

use super::arm::Answer;
use super::departures::DEPARTURES;

/// Replaces what differs between any two clusters: versions and UIDs by the order in which a story meets them, times and
/// tokens by a word.
pub struct Normal {
    managed: bool,
    uids: Vec<String>,
    versions: Vec<String>,
}

fn is_uid(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    parts.len() == 5
        && parts.iter().map(|p| p.len()).eq([8, 4, 4, 4, 12])
        && text.chars().all(|c| c == '-' || c.is_ascii_hexdigit())
}

fn is_time(text: &str) -> bool {
    text.len() >= 20 && text.ends_with('Z') && text.parse::<jiff::Timestamp>().is_ok()
}

fn number_of(seen: &mut Vec<String>, text: &str) -> usize {
    seen.iter().position(|s| s == text).unwrap_or_else(|| {
        seen.push(text.to_owned());
        seen.len() - 1
    })
}

impl Normal {
    pub fn new(managed: bool) -> Self {
        Self { managed, uids: Vec::new(), versions: Vec::new() }
    }

    /// The answer to a request with this body, in the form in which it is compared.
    pub fn normalise(&mut self, answer: Answer, request: &str) -> Value {
        let mut body = answer.body;
        let prefix = serde_json::from_str::<Value>(request).ok();
        let prefix = prefix.and_then(|b| b["metadata"]["generateName"].as_str().map(str::to_owned));
        if let (Some(prefix), Some(name)) = (prefix, body["metadata"]["name"].as_str())
            && name.len() == prefix.len() + 5
            && name.starts_with(&prefix)
        {
            body["metadata"]["name"] = json!(format!("{prefix}<suffix>"));
        }
        let is_list = body["items"].is_array() && body["kind"].as_str().is_some_and(|k| k.ends_with("List"));
        if is_list {
            body["metadata"]["resourceVersion"] = json!("<revision>");
        }
        if body["metadata"]["continue"].as_str().is_some_and(|c| !c.is_empty()) {
            body["metadata"]["continue"] = json!("<token>");
        }
        for event in body.as_array_mut().into_iter().flatten().filter(|e| e["type"] == "BOOKMARK") {
            event["object"]["metadata"]["resourceVersion"] = json!("<revision>");
        }
        let details = body.get_mut("details");
        if let Some(causes) = details.and_then(|d| d.get_mut("causes")).and_then(Value::as_array_mut) {
            // The real one judges metadata once to three times, by the kind, and says the same as often.
            let mut told: Vec<Value> = Vec::new();
            causes.retain(|c| {
                !told.contains(c) && {
                    told.push(c.clone());
                    true
                }
            });
        }
        let causes = body.get_mut("details").and_then(|d| d.get_mut("causes")).and_then(Value::as_array_mut);
        if let Some(causes) = causes.filter(|c| c.iter().all(|c| c["reason"] == "FieldManagerConflict")) {
            // The managers stand in the order of a Go map.
            causes.sort_by_key(|c| [c["message"].to_string(), c["field"].to_string()]);
        }
        self.walk(&mut body, "");
        let mut whole = json!({"code": answer.code, "body": body});
        if !answer.warnings.is_empty() {
            whole["warnings"] = json!(answer.warnings);
        }
        if let Some(pause) = answer.retry_after {
            whole["retryAfter"] = json!(pause);
        }
        whole
    }

    fn walk(&mut self, value: &mut Value, field: &str) {
        match value {
            Value::Object(fields) => {
                if !self.managed && field == "metadata" {
                    fields.remove("managedFields");
                }
                if let Some(Value::Array(entries)) = fields.get_mut("managedFields") {
                    // They stand in the order of their times, which are each cluster's own.
                    let text = |e: &Value, field: &str| e[field].as_str().unwrap_or_default().to_owned();
                    entries.sort_by_key(|e| ["operation", "manager", "subresource"].map(|f| text(e, f)));
                }
                fields.iter_mut().for_each(|(name, value)| self.walk(value, name));
            }
            Value::Array(items) => items.iter_mut().for_each(|item| self.walk(item, field)),
            Value::Number(_) if field == "nodePort" => *value = json!("<port>"),
            Value::String(text) => {
                if let Some(new) = self.text(text, field) {
                    *text = new;
                }
            }
            _ => {}
        }
    }

    fn text(&mut self, text: &str, field: &str) -> Option<String> {
        if field == "resourceVersion" && text.parse::<u64>().is_ok() {
            return Some(format!("<version {}>", number_of(&mut self.versions, text)));
        }
        if is_uid(text) {
            return Some(format!("<uid {}>", number_of(&mut self.uids, text)));
        }
        if is_time(text) {
            return Some("<time>".to_owned());
        }
        if (field == "clusterIP" || field == "clusterIPs") && text.starts_with("10.") {
            return Some("<ip>".to_owned());
        }
        if field != "message" && field != "body" {
            return None;
        }
        // Words with a version, a UID or a time in them.
        let mut changed = text.to_owned();
        for (number, uid) in self.uids.iter().enumerate() {
            changed = changed.replace(uid, &format!("<uid {number}>"));
        }
        let word = |word: &str| {
            let core = word.trim_matches(|c: char| !c.is_ascii_alphanumeric());
            match core {
                _ if is_uid(core) => word.replace(core, "<uid>"),
                // How far the server is, or reaches back.
                _ if text.contains("resource version: ") && core.parse::<u64>().is_ok() => {
                    word.replace(core, "<revision>")
                }
                _ if text.contains("ersion") && self.versions.iter().any(|v| v == core) => {
                    word.replace(core, "<version>")
                }
                _ => word.to_owned(),
            }
        };
        Some(changed.split(' ').map(word).collect::<Vec<_>>().join(" "))
    }
}

/// One place in which two answers differ.
#[derive(Debug, Clone)]
pub struct Difference {
    pub request: String,
    pub place: String,
    pub real: Value,
    pub ours: Value,
}

fn differences(place: &str, real: &Value, ours: &Value, found: &mut Vec<(String, Value, Value)>) {
    match (real, ours) {
        (Value::Object(a), Value::Object(b)) => {
            let names: BTreeSet<&String> = a.keys().chain(b.keys()).collect();
            for name in names {
                let none = Value::String("<absent>".to_owned());
                let (x, y) = (a.get(name).unwrap_or(&none), b.get(name).unwrap_or(&none));
                differences(&format!("{place}/{name}"), x, y, found);
            }
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            for (index, (x, y)) in a.iter().zip(b).enumerate() {
                differences(&format!("{place}/{index}"), x, y, found);
            }
        }
        _ if real == ours => {}
        _ => found.push((place.to_owned(), real.clone(), ours.clone())),
    }
}

/// What came of stories.
#[derive(Debug, Default)]
pub struct Tally {
    pub first: String,
    pub stories: usize,
    pub requests: usize,
    pub agreements: usize,
    pub departed: usize,
    used: BTreeMap<usize, usize>,
    pub differences: Vec<(String, Difference)>,
    pub failures: Vec<String>,
}

impl Tally {
    pub fn of(story: &str) -> Self {
        Self { first: story.to_owned(), stories: 1, ..Self::default() }
    }

    pub fn compare(&mut self, request: &str, real: &Value, ours: &Value) {
        self.requests += 1;
        let mut found = Vec::new();
        differences("", real, ours, &mut found);
        let (mut meant, mut open) = (0, 0);
        for (place, real, ours) in found {
            let known = DEPARTURES.iter().position(|d| d.covers(&self.first, request, &place, &real, &ours));
            if let Some(index) = known {
                meant += 1;
                *self.used.entry(index).or_default() += 1;
                continue;
            }
            open += 1;
            let request = request.to_owned();
            self.differences.push((self.first.clone(), Difference { request, place, real, ours }));
        }
        match (meant, open) {
            (0, 0) => self.agreements += 1,
            (_, 0) => self.departed += 1,
            _ => {}
        }
    }

    pub fn add(&mut self, other: Self) {
        self.stories += other.stories;
        self.requests += other.requests;
        self.agreements += other.agreements;
        self.departed += other.departed;
        for (index, count) in other.used {
            *self.used.entry(index).or_default() += count;
        }
        self.differences.extend(other.differences);
    }

    /// Turns what was found into failures: every difference, and every departure that didn't occur.
    pub fn judge(&mut self, whole: bool) {
        for (story, d) in &self.differences {
            let mut text = String::new();
            let request: String = d.request.chars().take(400).collect();
            let _ = write!(text, "{story}\n  {request}\n  {}: real {} ours {}", d.place, d.real, d.ours);
            self.failures.push(text);
        }
        for (index, departure) in DEPARTURES.iter().enumerate().filter(|_| whole) {
            if !self.used.contains_key(&index) {
                self.failures.push(format!("a departure that no longer occurs: {}", departure.reason));
            }
        }
    }

    pub fn summary(&self) -> String {
        let mut text = format!(
            "{} requests in {} stories: {} answers agree, {} depart as meant, {} differ",
            self.requests,
            self.stories,
            self.agreements,
            self.departed,
            self.requests - self.agreements - self.departed
        );
        for (index, count) in &self.used {
            let _ = write!(text, "\n  meant, {count} times: {}", DEPARTURES[*index].reason);
        }
        text
    }
}
