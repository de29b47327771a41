//! The objects of one kind, and their history.
//!
//! # Why
//! An object keeps its place from its creation to its end. Indexes hold places, so what they find is one step away; by name an
//! object is found by hash, in one comparison instead of some fifteen. Only the ordered map is ever gone through.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::ops::Bound;
use std::sync::Arc;

use tokio::sync::Notify;

use super::key::{Key, Named};
use super::{Change, Object, Resource};
use crate::sim::controllers::Facts;

/// Where an object of a kind is, as long as it exists.
pub(super) type Place = usize;

/// A stored object with what is read of it once.
#[derive(Debug)]
struct Entry {
    object: Object,
    facts: Facts,
}

/// The objects of one kind.
pub(super) struct Collection {
    pub resource: Arc<Resource>,
    pub name: Arc<str>,
    entries: Vec<Option<Entry>>,
    free: Vec<Place>,
    by_key: HashMap<Key, Place>,
    in_order: BTreeMap<Key, Place>,
    history: VecDeque<Change>,
    /// Revision of the newest change that the history has dropped.
    pub forgotten: u64,
    /// Wakes those who watch the kind.
    pub notify: Arc<Notify>,
}

impl Collection {
    /// Of a kind that comes into being at a revision: of what was before nothing can be told.
    pub fn new(resource: Arc<Resource>, revision: u64) -> Self {
        Self {
            name: Arc::from(resource.name.as_str()),
            resource,
            entries: Vec::new(),
            free: Vec::new(),
            by_key: HashMap::new(),
            in_order: BTreeMap::new(),
            history: VecDeque::new(),
            forgotten: revision,
            notify: Arc::default(),
        }
    }

    fn entry(&self, place: Place) -> Option<&Entry> {
        self.entries.get(place)?.as_ref()
    }

    /// The object at a place.
    pub fn at(&self, place: Place) -> Option<&Object> {
        self.entry(place).map(|entry| &entry.object)
    }

    /// The object at a place, with its facts.
    pub fn with_facts(&self, place: Place) -> Option<(&Object, &Facts)> {
        self.entry(place).map(|entry| (&entry.object, &entry.facts))
    }

    /// Where the object of this name is.
    pub fn place(&self, key: &dyn Named) -> Option<Place> {
        self.by_key.get(key).copied()
    }

    /// The object of this name.
    pub fn get(&self, key: &dyn Named) -> Option<&Object> {
        self.at(self.place(key)?)
    }

    /// Stores a version of an object, and says where.
    pub fn put(&mut self, key: &Key, object: Object) -> Place {
        let facts = if *self.name == *"pods" { Facts::of(&object) } else { Facts::default() };
        let entry = Some(Entry { object, facts });
        if let Some(place) = self.place(key) {
            self.entries[place] = entry;
            return place;
        }
        let place = self.free.pop().unwrap_or(self.entries.len());
        if place == self.entries.len() {
            self.entries.push(entry);
        } else {
            self.entries[place] = entry;
        }
        self.by_key.insert(key.clone(), place);
        self.in_order.insert(key.clone(), place);
        place
    }

    /// Takes an object out, and says where it was.
    pub fn remove(&mut self, key: &Key) -> Option<Place> {
        let place = self.by_key.remove(key as &dyn Named)?;
        self.in_order.remove(key);
        self.entries[place] = None;
        self.free.push(place);
        Some(place)
    }

    /// All objects in order of their keys.
    pub fn objects(&self) -> impl Iterator<Item = &Object> {
        self.in_order.values().filter_map(|place| self.at(*place))
    }

    /// All objects by key.
    pub fn by_key(&self) -> BTreeMap<Key, Object> {
        let all = self.in_order.iter();
        all.filter_map(|(key, place)| Some((key.clone(), self.at(*place)?.clone()))).collect()
    }

    /// The objects of one namespace.
    pub fn in_namespace<'a>(&'a self, namespace: &'a str) -> impl Iterator<Item = &'a Object> + use<'a> {
        let run = self.in_order.range(Key::new(namespace, "")..);
        let run = run.take_while(move |(key, _)| key.namespace == namespace);
        run.filter_map(|(_, place)| self.at(*place))
    }

    /// The objects after a key, in one namespace or (with an empty one) in all.
    pub fn section<'a>(
        &'a self,
        namespace: &'a str,
        after: Option<&Key>,
    ) -> impl Iterator<Item = &'a Object> + use<'a> {
        section(&self.in_order, namespace, after).filter_map(|place| self.at(*place))
    }

    /// Where there are more objects than the limit, as many changes are kept: whoever lags behind so far would have to list them
    /// all, over and over in a large cluster. Versions share what they have in common, so a change takes little.
    pub fn remember(&mut self, change: Change, limit: usize) {
        self.history.push_back(change);
        while self.history.len() > limit.max(self.in_order.len()) {
            let Some(dropped) = self.history.pop_front() else { return };
            self.forgotten = dropped.revision;
        }
    }

    /// The changes after a revision.
    pub fn changes_since(&self, revision: u64) -> Vec<Change> {
        // Most who ask have seen all but the last few.
        let unseen = self.history.iter().rev().take_while(|c| c.revision > revision).count();
        let start = self.history.len() - unseen;
        self.history.range(start..).cloned().collect()
    }
}

/// What is after a key, in one namespace or (with an empty one) in all.
pub(in crate::sim) fn section<'a, V>(
    all: &'a BTreeMap<Key, V>,
    namespace: &'a str,
    after: Option<&Key>,
) -> impl Iterator<Item = &'a V> + use<'a, V> {
    let start = match after {
        Some(after) => Bound::Excluded(after.clone()),
        None => Bound::Included(Key::new(namespace, "")),
    };
    let run = all.range((start, Bound::Unbounded));
    let run = run.take_while(move |(key, _)| namespace.is_empty() || key.namespace == namespace);
    run.map(|(_, value)| value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::clock::Clock;
    use crate::sim::json::{Value, json};
    use crate::sim::store::{DeleteOptions, Store};

    const LONG: &str = "a-name-that-is-longer-than-a-text-keeps-in-itself";

    fn pod(name: &str, node: &str) -> Value {
        let owner = json!({"kind": "ReplicaSet", "name": "web", "uid": "1", "controller": true});
        let metadata = json!({"name": name, "namespace": "shop", "ownerReferences": [owner]});
        json!({"metadata": metadata, "spec": {"nodeName": node}})
    }

    fn names<'a>(objects: impl Iterator<Item = &'a Object>) -> Vec<String> {
        objects.map(|o| Key::of(o).name.to_string()).collect()
    }

    #[test]
    fn the_place_of_what_is_gone_is_another_s_and_indexes_know() {
        let mut store = Store::new(Clock::starting_at(jiff::Timestamp::UNIX_EPOCH), 1, 100);
        for (name, node) in [("b", "n1"), (LONG, "n1"), ("d", "n2")] {
            store.create("pods", pod(name, node)).expect("stored");
        }
        let at_once = DeleteOptions { grace_seconds: Some(0), ..DeleteOptions::default() };
        store.delete("pods", &Key::new("shop", "b"), &at_once).expect("deleted");
        store.create("pods", pod("c", "n2")).expect("stored");
        assert_eq!(names(store.list("pods")), [LONG, "c", "d"]);
        assert_eq!(names(store.pods_on("n1")), [LONG]);
        assert_eq!(names(store.pods_on("n2")), ["c", "d"]);
        assert_eq!(names(store.owned_by("1", "pods")), [LONG, "c", "d"]);
        // Found by what somebody else holds as by a key of its own.
        assert_eq!(store.get("pods", "shop", LONG), store.get_key("pods", &Key::new("shop", LONG)));
        assert!(store.get("pods", "shop", LONG).is_some());
        assert!(store.get("pods", "shop", "b").is_none() && store.get("pods", "", "c").is_none());
    }

    #[test]
    fn facts_are_those_of_the_present_version() {
        let mut store = Store::new(Clock::starting_at(jiff::Timestamp::UNIX_EPOCH), 1, 100);
        store.create("pods", pod("a", "n1")).expect("stored");
        let facts = |store: &Store| {
            let all = store.pods_owned_by("1").map(|(_, facts)| (facts.is_active, facts.is_ready));
            all.collect::<Vec<_>>()
        };
        assert_eq!(facts(&store), [(true, false)]);
        store.modify("pods", &Key::new("shop", "a"), |pod| {
            pod["status"]["conditions"] = json!([{"type": "Ready", "status": "True"}]);
        });
        assert_eq!(facts(&store), [(true, true)]);
        store.delete("pods", &Key::new("shop", "a"), &DeleteOptions::default()).expect("marked");
        assert_eq!(facts(&store), [(false, true)]);
    }
}
