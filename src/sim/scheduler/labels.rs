//! Label selectors, read once and asked often.

use std::collections::BTreeMap;

use crate::sim::json::Value;

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Test {
    In(Vec<String>),
    NotIn(Vec<String>),
    Exists,
    Absent,
    /// An operator that nobody knows.
    Never,
}

/// A label selector. None at all selects nothing, an empty one everything.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default)]
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
    fn handle(&self) -> Option<(&str, &str)> {
        self.tests.iter().find_map(|(key, test)| match test {
            Test::In(values) if values.len() == 1 => Some((key.as_str(), values[0].as_str())),
            _ => None,
        })
    }
}

/// Things that are found by selectors: which of them may select an object with these labels.
#[derive(Debug)]
pub(super) struct Handles<T> {
    by_label: BTreeMap<String, BTreeMap<String, Vec<T>>>,
    others: Vec<T>,
}

impl<T> Default for Handles<T> {
    fn default() -> Self {
        Self { by_label: BTreeMap::new(), others: Vec::new() }
    }
}

impl<T: Clone + PartialEq> Handles<T> {
    /// Puts something in under its selector.
    pub fn put(&mut self, selector: &Selector, thing: T) {
        match selector.handle() {
            Some((key, value)) => {
                let values = self.by_label.entry(key.to_owned()).or_default();
                values.entry(value.to_owned()).or_default().push(thing);
            }
            None => self.others.push(thing),
        }
    }

    /// Takes something out.
    pub fn take(&mut self, selector: &Selector, thing: &T) {
        let list = match selector.handle() {
            Some((key, value)) => self.by_label.get_mut(key).and_then(|values| values.get_mut(value)),
            None => Some(&mut self.others),
        };
        if let Some(list) = list {
            list.retain(|t| t != thing);
        }
    }

    /// What may select an object with these labels.
    pub fn of<'a>(&'a self, labels: &'a Value) -> impl Iterator<Item = &'a T> + use<'a, T> {
        let pairs = labels.as_object().into_iter().flatten();
        let found = pairs.filter_map(|(key, value)| self.by_label.get(key.as_str())?.get(value.as_str()?));
        found.flatten().chain(&self.others)
    }
}

/// Objects by their labels: those that a selector may select.
#[derive(Debug)]
pub(super) struct ByLabel<T> {
    objects: BTreeMap<String, BTreeMap<String, BTreeMap<u64, T>>>,
}

impl<T> Default for ByLabel<T> {
    fn default() -> Self {
        Self { objects: BTreeMap::new() }
    }
}

impl<T: Clone> ByLabel<T> {
    /// Puts an object in, or takes it out.
    pub fn set(&mut self, labels: &Value, id: u64, object: Option<&T>) {
        for (key, value) in labels.as_object().into_iter().flatten() {
            let value = value.as_str().unwrap_or_default();
            match object {
                Some(object) => {
                    let values = self.objects.entry(key.to_string()).or_default();
                    values.entry(value.to_owned()).or_default().insert(id, object.clone());
                }
                None => {
                    let Some(values) = self.objects.get_mut(key.as_str()) else { continue };
                    if let Some(objects) = values.get_mut(value) {
                        objects.remove(&id);
                        if objects.is_empty() {
                            values.remove(value);
                        }
                    }
                }
            }
        }
    }

    /// The objects that have the label which a selector asks for; `None` if it asks for no single one.
    pub fn candidates(&self, selector: &Selector) -> Option<Vec<T>> {
        let (key, value) = selector.handle()?;
        let found = self.objects.get(key).and_then(|values| values.get(value));
        Some(found.map(|objects| objects.values().cloned().collect()).unwrap_or_default())
    }
}
