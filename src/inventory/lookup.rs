//! Values by key, for whoever asks for one.
//!
//! # Why
//! A decision asks for ten thousands of objects by name. In an ordered map each takes some twenty comparisons of long names that
//! begin alike; by hash it takes one. Hash maps have no order that is the same twice, so this one can't be gone through at all.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;

use foldhash::fast::RandomState;

/// A hash map without an order. See the module's documentation.
#[derive(Clone, PartialEq, Eq)]
pub struct Lookup<K: Eq + Hash, V>(HashMap<K, V, RandomState>);

impl<K: Eq + Hash, V> Lookup<K, V> {
    /// The value of a key.
    pub fn get<Q: Eq + Hash + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        self.0.get(key)
    }

    /// The value of a key, to be changed.
    pub fn get_mut<Q: Eq + Hash + ?Sized>(&mut self, key: &Q) -> Option<&mut V>
    where
        K: Borrow<Q>,
    {
        self.0.get_mut(key)
    }

    /// The key itself, as it was put in first.
    pub fn key<Q: Eq + Hash + ?Sized>(&self, key: &Q) -> Option<&K>
    where
        K: Borrow<Q>,
    {
        self.0.get_key_value(key).map(|(key, _)| key)
    }

    /// Whether there is a value.
    pub fn contains<Q: Eq + Hash + ?Sized>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
    {
        self.0.contains_key(key)
    }

    /// Adds a value, or replaces it.
    pub fn insert(&mut self, key: K, value: V) -> Option<V> {
        self.0.insert(key, value)
    }

    /// Takes a value out.
    pub fn remove<Q: Eq + Hash + ?Sized>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        self.0.remove(key)
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<K: Eq + Hash, V> Default for Lookup<K, V> {
    fn default() -> Self {
        Self(HashMap::default())
    }
}

impl<K: Eq + Hash, V> fmt::Debug for Lookup<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Lookup of {}", self.0.len())
    }
}

impl<K: Eq + Hash, V> FromIterator<(K, V)> for Lookup<K, V> {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(pairs: I) -> Self {
        Self(pairs.into_iter().collect())
    }
}

impl<K: Eq + Hash> FromIterator<K> for Lookup<K, ()> {
    fn from_iter<I: IntoIterator<Item = K>>(keys: I) -> Self {
        keys.into_iter().map(|key| (key, ())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_put_in_is_found_and_its_order_is_not_shown() {
        let mut lookup: Lookup<String, u32> =
            [("a".to_owned(), 1), ("b".to_owned(), 2)].into_iter().collect();
        assert_eq!(lookup.insert("a".to_owned(), 3), Some(1));
        assert_eq!((lookup.get("a"), lookup.key("b").map(String::as_str)), (Some(&3), Some("b")));
        assert_eq!(lookup.remove("b"), Some(2));
        assert!(!lookup.contains("b") && !lookup.is_empty());
        assert_eq!(format!("{lookup:?}"), "Lookup of 1");
    }
}
