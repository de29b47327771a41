//! Sets of fields, in the form in which `fieldsV1` has them: a tree by steps (`f:spec`, `k:{"name":"a"}`, `v:"x"`).

use std::collections::BTreeMap;

use crate::sim::json::{Map, Value, json};

/// A set of fields.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Set {
    /// The field itself is in it.
    pub own: bool,
    /// What is below.
    pub below: BTreeMap<String, Set>,
}

impl Set {
    pub(super) fn read(fields: &Value) -> Self {
        let mut set = Self::of(fields);
        set.own = false;
        set
    }

    fn of(fields: &Value) -> Self {
        let Some(fields) = fields.as_object() else { return Self { own: true, ..Self::default() } };
        let own = fields.is_empty() || fields.contains_key(".");
        let below = fields.iter().filter(|(step, _)| *step != ".").map(|(s, f)| (s.to_string(), Self::of(f)));
        Self { own, below: below.collect() }
    }

    pub(super) fn write(&self) -> Value {
        let mut fields: Map = self.below.iter().map(|(step, set)| (step.clone(), set.write())).collect();
        if self.own && !fields.is_empty() {
            fields.insert(".".to_owned(), json!({}));
        }
        Value::Object(fields)
    }

    pub(super) fn insert(&mut self, path: &[String]) {
        let place = path.iter().fold(self, |set, step| set.below.entry(step.clone()).or_default());
        place.own = true;
    }

    pub(super) fn is_empty(&self) -> bool {
        !self.own && self.below.is_empty()
    }

    fn tidy(&mut self) {
        self.below.retain(|_, set| !set.is_empty());
    }

    pub(super) fn union(mut self, other: &Self) -> Self {
        self.own |= other.own;
        for (step, set) in &other.below {
            let mine = self.below.remove(step).unwrap_or_default();
            self.below.insert(step.clone(), mine.union(set));
        }
        self
    }

    pub(super) fn difference(mut self, other: &Self) -> Self {
        self.own &= !other.own;
        for (step, set) in &mut self.below {
            if let Some(other) = other.below.get(step) {
                *set = std::mem::take(set).difference(other);
            }
        }
        self.tidy();
        self
    }

    pub(super) fn intersection(mut self, other: &Self) -> Self {
        self.own &= other.own;
        self.below = std::mem::take(&mut self.below)
            .into_iter()
            .filter_map(|(step, set)| other.below.get(&step).map(|o| (step, set.intersection(o))))
            .collect();
        self.tidy();
        self
    }

    /// Takes a field away with everything below.
    pub(super) fn without(&mut self, path: &[&str]) {
        match path {
            [] => {}
            [last] => {
                self.below.remove(*last);
            }
            [first, rest @ ..] => {
                if let Some(set) = self.below.get_mut(*first) {
                    set.without(rest);
                }
                self.tidy();
            }
        }
    }

    /// All fields as messages name them: those of one level, then what is below.
    pub(super) fn paths(&self) -> Vec<String> {
        let mut paths = Vec::new();
        self.tell("", &mut paths);
        paths
    }

    fn tell(&self, path: &str, paths: &mut Vec<String>) {
        let named = |step: &String| format!("{path}{}", shown(step));
        paths.extend(self.below.iter().filter(|(_, set)| set.own).map(|(step, _)| named(step)));
        for (step, set) in &self.below {
            set.tell(&named(step), paths);
        }
    }
}

/// A step as messages show it.
pub(super) fn shown(step: &str) -> String {
    match step.split_once(':') {
        Some(("f", name)) => format!(".{name}"),
        Some(("k", keys)) => {
            let keys: Map = serde_json::from_str(keys).unwrap_or_default();
            let keys: Vec<String> = keys.iter().map(|(k, v)| format!("{k}={v}")).collect();
            format!("[{}]", keys.join(","))
        }
        Some(("v", value)) => format!("[={value}]"),
        _ => format!("[{step}]"),
    }
}
