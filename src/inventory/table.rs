//! Objects by their names: in order for whoever goes through them, by hash for whoever asks for one.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use super::{Lookup, ObjectName};

/// Objects of one kind. Names and objects are shared with the indexes that lead to them.
#[derive(Debug, Clone)]
pub(super) struct Table<V> {
    ordered: BTreeMap<Arc<ObjectName>, Arc<V>>,
    by_name: Lookup<Arc<ObjectName>, Arc<V>>,
}

impl<V> Default for Table<V> {
    fn default() -> Self {
        Self { ordered: BTreeMap::new(), by_name: Lookup::default() }
    }
}

impl<V> Table<V> {
    /// The object of that name.
    pub(super) fn get(&self, name: &ObjectName) -> Option<&V> {
        self.by_name.get(name).map(Arc::as_ref)
    }

    /// All of them, in order of their names.
    pub(super) fn values(&self) -> impl ExactSizeIterator<Item = &V> {
        self.ordered.values().map(Arc::as_ref)
    }

    /// Those of a namespace, in order of their names.
    pub(super) fn of_namespace<'a>(&'a self, namespace: &'a str) -> impl Iterator<Item = &'a V> {
        let start = ObjectName::new(namespace, "");
        let from = (Bound::Included(&start), Bound::Unbounded);
        let run = self.ordered.range::<ObjectName, _>(from);
        run.take_while(move |(name, _)| name.namespace == namespace).map(|(_, value)| value.as_ref())
    }

    /// Adds an object, or replaces it; its name and itself, for indexes.
    pub(super) fn insert(&mut self, name: &ObjectName, value: V) -> (Arc<ObjectName>, Arc<V>) {
        let known = self.by_name.key(name).cloned();
        let (name, value) = (known.unwrap_or_else(|| Arc::new(name.clone())), Arc::new(value));
        self.by_name.insert(name.clone(), value.clone());
        self.ordered.insert(name.clone(), value.clone());
        (name, value)
    }

    /// Takes an object out.
    pub(super) fn remove(&mut self, name: &ObjectName) -> Option<Arc<V>> {
        self.ordered.remove(name)?;
        self.by_name.remove(name)
    }
}

/// Objects by what they belong to, such as pods by node; those of one in order of their names.
#[derive(Debug, Clone)]
pub(super) struct Index<V>(Lookup<String, BTreeMap<Arc<ObjectName>, Arc<V>>>);

impl<V> Default for Index<V> {
    fn default() -> Self {
        Self(Lookup::default())
    }
}

impl<V> Index<V> {
    /// What belongs to this.
    pub(super) fn of<'a>(&'a self, key: &str) -> impl Iterator<Item = &'a V> + use<'a, V> {
        self.0.get(key).into_iter().flat_map(|objects| objects.values().map(Arc::as_ref))
    }

    pub(super) fn insert(&mut self, key: &str, (name, value): &(Arc<ObjectName>, Arc<V>)) {
        let (name, value) = (name.clone(), value.clone());
        match self.0.get_mut(key) {
            Some(objects) => {
                objects.insert(name, value);
            }
            None => {
                self.0.insert(key.to_owned(), BTreeMap::from([(name, value)]));
            }
        }
    }

    pub(super) fn remove(&mut self, key: &str, name: &ObjectName) {
        let Some(objects) = self.0.get_mut(key) else { return };
        objects.remove(name);
        if objects.is_empty() {
            self.0.remove(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_are_found_by_name_and_come_in_the_order_of_names() {
        let mut table = Table::default();
        for (namespace, name) in [("b", "x"), ("a", "z"), ("a", "y"), ("c", "w")] {
            table.insert(&ObjectName::new(namespace, name), format!("{namespace}{name}"));
        }
        table.insert(&ObjectName::new("a", "y"), "new".to_owned());
        assert_eq!(table.get(&ObjectName::new("a", "y")).map(String::as_str), Some("new"));
        assert_eq!(table.values().collect::<Vec<_>>(), ["new", "az", "bx", "cw"]);
        assert_eq!(table.of_namespace("a").collect::<Vec<_>>(), ["new", "az"]);
        assert_eq!(table.remove(&ObjectName::new("a", "z")).as_deref().map(String::as_str), Some("az"));
        assert_eq!(table.remove(&ObjectName::new("a", "z")), None);
        assert_eq!(table.values().len(), 3);
    }

    #[test]
    fn an_index_forgets_what_has_nothing_left() {
        let mut table = Table::default();
        let mut index = Index::default();
        let (one, two) = (ObjectName::new("a", "1"), ObjectName::new("a", "2"));
        for name in [&two, &one] {
            index.insert("w1", &table.insert(name, name.name.clone()));
        }
        assert_eq!(index.of("w1").collect::<Vec<_>>(), ["1", "2"]);
        index.remove("w1", &one);
        index.remove("w1", &two);
        assert_eq!(index.of("w1").count(), 0);
        assert!(index.0.is_empty());
    }
}
