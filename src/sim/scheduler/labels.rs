//! Label selectors, read once and asked often.

use std::collections::{BTreeSet, HashMap};

use crate::sim::json::{Text, Value};

/// Key and value.
type Label = (Text, Text);

/// The labels of an object.
fn pairs(labels: &Value) -> impl Iterator<Item = Label> + use<'_> {
    let pairs = labels.as_object().into_iter().flatten();
    pairs.map(|(key, value)| (key.clone(), value.as_text().cloned().unwrap_or_default()))
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Test {
    In(Vec<String>),
    NotIn(Vec<String>),
    Exists,
    Absent,
    /// An operator that nobody knows.
    Never,
}

/// A label selector. None at all selects nothing, an empty one everything.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub(super) struct Selector {
    nothing: bool,
    tests: Vec<(String, Test)>,
}

impl Selector {
    /// Reads a selector as an object carries it.
    pub fn read(selector: &Value) -> Self {
        let Some(parts) = selector.as_object() else {
            return Self { nothing: true, tests: Vec::new() };
        };
        let mut read = Self::default();
        read.add_labels(parts.get("matchLabels").unwrap_or(&Value::Null));
        for expression in parts.get("matchExpressions").and_then(Value::as_array).into_iter().flatten() {
            let key = expression["key"].as_str().unwrap_or_default();
            let values = || -> Vec<String> {
                let values = expression["values"].as_array().into_iter().flatten();
                values.filter_map(Value::as_str).map(str::to_owned).collect()
            };
            let test = match expression["operator"].as_str() {
                Some("In") => Test::In(values()),
                Some("NotIn") => Test::NotIn(values()),
                Some("Exists") => Test::Exists,
                Some("DoesNotExist") => Test::Absent,
                _ => Test::Never,
            };
            read.tests.push((key.to_owned(), test));
        }
        read
    }

    /// Adds that these labels are equal.
    pub fn add_labels(&mut self, labels: &Value) {
        for (key, value) in labels.as_object().into_iter().flatten() {
            self.add(key, true, value.as_str().unwrap_or_default());
        }
    }

    /// Adds that a label has this value, or another or none.
    pub fn add(&mut self, key: &str, equal: bool, value: &str) {
        let values = vec![value.to_owned()];
        self.tests.push((key.to_owned(), if equal { Test::In(values) } else { Test::NotIn(values) }));
    }

    /// What both select.
    pub fn and(mut self, other: &Self) -> Self {
        self.nothing |= other.nothing;
        self.tests.extend(other.tests.iter().cloned());
        self
    }

    /// Selects everything.
    pub fn is_everything(&self) -> bool {
        !self.nothing && self.tests.is_empty()
    }

    /// Selects nothing, as no selector does.
    pub fn is_nothing(&self) -> bool {
        self.nothing
    }

    /// Whether it selects an object with these labels.
    pub fn selects(&self, labels: &Value) -> bool {
        let holds = |(key, test): &(String, Test)| {
            let actual = labels.get(key).and_then(Value::as_str);
            let listed = |values: &[String]| actual.is_some_and(|a| values.iter().any(|v| v == a));
            match test {
                Test::In(values) => listed(values),
                Test::NotIn(values) => !listed(values),
                Test::Exists => actual.is_some(),
                Test::Absent => actual.is_none(),
                Test::Never => false,
            }
        };
        !self.nothing && self.tests.iter().all(holds)
    }

    /// A label that everything has which it selects: what an index can go by.
    fn handle(&self) -> Option<Label> {
        self.tests.iter().find_map(|(key, test)| match test {
            Test::In(values) if values.len() == 1 => Some((key.into(), values[0].as_str().into())),
            _ => None,
        })
    }
}

/// Things that are found by selectors: which of them may select an object with these labels. Nothing goes through the map.
#[derive(Debug)]
pub(super) struct Handles<T> {
    by_label: HashMap<Label, Vec<T>>,
    others: Vec<T>,
}

impl<T> Default for Handles<T> {
    fn default() -> Self {
        Self { by_label: HashMap::new(), others: Vec::new() }
    }
}

impl<T: Clone + PartialEq> Handles<T> {
    /// Puts something in under its selector.
    pub fn put(&mut self, selector: &Selector, thing: T) {
        match selector.handle() {
            Some(label) => self.by_label.entry(label).or_default().push(thing),
            None => self.others.push(thing),
        }
    }

    /// Takes something out.
    pub fn take(&mut self, selector: &Selector, thing: &T) {
        let Some(label) = selector.handle() else {
            return self.others.retain(|t| t != thing);
        };
        if let Some(list) = self.by_label.get_mut(&label) {
            list.retain(|t| t != thing);
            if list.is_empty() {
                self.by_label.remove(&label);
            }
        }
    }

    /// What may select an object with these labels.
    pub fn of<'a>(&'a self, labels: &'a Value) -> impl Iterator<Item = &'a T> + use<'a, T> {
        let found = pairs(labels).filter_map(|label| self.by_label.get(&label));
        found.flatten().chain(&self.others)
    }
}

/// Numbered objects by their labels: those that a selector may select. Nothing goes through the map.
#[derive(Debug, Default)]
pub(super) struct ByLabel(HashMap<Label, BTreeSet<u64>>);

impl ByLabel {
    /// Puts an object in, or takes it out.
    pub fn set(&mut self, labels: &Value, number: u64, present: bool) {
        for label in pairs(labels) {
            if present {
                self.0.entry(label).or_default().insert(number);
            } else if let Some(numbers) = self.0.get_mut(&label) {
                numbers.remove(&number);
                if numbers.is_empty() {
                    self.0.remove(&label);
                }
            }
        }
    }

    /// The objects that have the label which a selector asks for; `None` if it asks for no single one.
    pub fn candidates(&self, selector: &Selector) -> Option<impl Iterator<Item = u64>> {
        let found = self.0.get(&selector.handle()?);
        Some(found.into_iter().flatten().copied())
    }
}
