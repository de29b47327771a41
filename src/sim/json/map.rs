//! The fields of an object: sorted, in one piece of memory that is shared until it is changed.

use std::iter::once;
use std::sync::Arc;

use super::{Text, Value};

type Field = (Text, Value);

/// An object's fields, in the order of their names. They are read far more often than fields come and go: each look goes straight
/// to the fields, with no vector in between.
#[derive(Clone, Default, Eq)]
pub struct Map(Arc<[Field]>);

/// Names that differ mostly do so at their beginning or end: only what is left is compared as a whole.
fn is_same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.first() == b.first() && a.last() == b.last() && a == b
}

/// Up to so many fields are looked through one by one: that is faster than four comparisons of whole names.
const FEW: usize = 16;

impl PartialEq for Map {
    fn eq(&self, other: &Self) -> bool {
        self.is_same(other) || self.0 == other.0
    }
}

impl Map {
    /// Without fields.
    pub fn new() -> Self {
        Self::default()
    }

    /// Of fields in any order; of those of one name the last counts.
    pub(super) fn of(mut fields: Vec<Field>) -> Self {
        if !fields.windows(2).all(|pair| pair[0].0 < pair[1].0) {
            fields.sort_by(|a, b| a.0.cmp(&b.0));
            // Backwards, so that of those of one name the last is met first, and kept.
            fields.reverse();
            fields.dedup_by(|a, b| a.0 == b.0);
            fields.reverse();
        }
        Self(fields.into())
    }

    /// Of an array of fields in any order, as code writes them.
    pub(super) fn of_array<const N: usize>(mut fields: [Field; N]) -> Self {
        fields.sort_by(|a, b| a.0.cmp(&b.0));
        if fields.windows(2).any(|pair| pair[0].0 == pair[1].0) {
            return Self::of(fields.into());
        }
        Self(fields.into())
    }

    /// Puts a field in at its place.
    fn put(&mut self, at: usize, field: Field) {
        self.0 = match Arc::get_mut(&mut self.0) {
            Some(fields) => {
                let (before, after) = fields.split_at_mut(at);
                let [before, after] = [before, after].map(|part| part.iter_mut().map(std::mem::take));
                before.chain(once(field)).chain(after).collect()
            }
            None => {
                let (before, after) = self.0.split_at(at);
                before.iter().cloned().chain(once(field)).chain(after.iter().cloned()).collect()
            }
        };
    }

    pub(super) fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// As [`Value::adopt`].
    pub(super) fn adopt(&mut self, old: &Self) -> bool {
        if self.is_same(old) {
            return true;
        }
        let is_equal = match Arc::get_mut(&mut self.0) {
            None => self.0 == old.0,
            Some(fields) => {
                let (mut is_equal, mut others) = (fields.len() == old.len(), old.0.iter().peekable());
                for (name, value) in fields {
                    while others.next_if(|(n, _)| n < name).is_some() {}
                    is_equal &= others.next_if(|(n, _)| n == name).is_some_and(|(_, v)| value.adopt(v));
                }
                is_equal
            }
        };
        if is_equal {
            *self = old.clone();
        }
        is_equal
    }

    fn find(&self, name: &str) -> Option<usize> {
        if self.0.len() <= FEW {
            return self.0.iter().position(|(n, _)| is_same(n.as_bytes(), name.as_bytes()));
        }
        self.search(name).ok()
    }

    fn search(&self, name: &str) -> Result<usize, usize> {
        self.0.binary_search_by(|(n, _)| n.as_str().cmp(name))
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether it has all fields of another, with equal values. Both are in order: one walk will do.
    pub fn includes(&self, others: &Self) -> bool {
        let mut own = self.0.iter();
        self.is_same(others) || others.0.iter().all(|(name, value)| own.any(|(n, v)| n == name && v == value))
    }

    /// A field.
    pub fn get(&self, name: &str) -> Option<&Value> {
        Some(&self.0[self.find(name)?].1)
    }

    /// A field, to be changed.
    pub fn get_mut(&mut self, name: &str) -> Option<&mut Value> {
        let at = self.find(name)?;
        Some(&mut Arc::make_mut(&mut self.0)[at].1)
    }

    /// Whether it has the field.
    pub fn contains_key(&self, name: &str) -> bool {
        self.find(name).is_some()
    }

    /// Sets a field, and gives what it was.
    pub fn insert(&mut self, name: impl Into<Text>, value: Value) -> Option<Value> {
        let name = name.into();
        // Read in order, as most are: at the end.
        if self.0.last().is_none_or(|(last, _)| *last < name) {
            self.put(self.len(), (name, value));
            return None;
        }
        match self.search(&name) {
            Ok(at) => Some(std::mem::replace(&mut Arc::make_mut(&mut self.0)[at].1, value)),
            Err(at) => {
                self.put(at, (name, value));
                None
            }
        }
    }

    /// Takes a field away, and gives what it was.
    pub fn remove(&mut self, name: &str) -> Option<Value> {
        let at = self.find(name)?;
        let value = Arc::make_mut(&mut self.0)[at].1.take();
        self.leave_out(&[at]);
        Some(value)
    }

    /// Takes out the fields at these places, which are in order. Nobody else holds the fields.
    fn leave_out(&mut self, places: &[usize]) {
        let mut left_out = places.iter().peekable();
        let fields = Arc::make_mut(&mut self.0).iter_mut().enumerate();
        let kept = fields.filter(|(at, _)| left_out.next_if_eq(&at).is_none());
        let kept: Vec<Field> = kept.map(|(_, field)| std::mem::take(field)).collect();
        self.0 = kept.into();
    }

    /// The place of a field.
    pub fn entry(&mut self, name: impl Into<Text>) -> Entry<'_> {
        Entry { map: self, name: name.into() }
    }

    /// The value of a field, which is made first if it isn't there.
    pub(super) fn get_or_insert_with(&mut self, name: &str, value: impl FnOnce() -> Value) -> &mut Value {
        let at = self.find(name).unwrap_or_else(|| {
            let (Ok(at) | Err(at)) = self.search(name);
            self.put(at, (Text::new(name), value()));
            at
        });
        &mut Arc::make_mut(&mut self.0)[at].1
    }

    /// Keeps those fields of which this is true.
    pub fn retain(&mut self, mut keep: impl FnMut(&Text, &mut Value) -> bool) {
        let mut left_out = Vec::new();
        for (at, (name, value)) in Arc::make_mut(&mut self.0).iter_mut().enumerate() {
            if !keep(name, value) {
                left_out.push(at);
            }
        }
        if !left_out.is_empty() {
            self.leave_out(&left_out);
        }
    }

    /// The fields.
    pub fn iter(&self) -> Iter<'_> {
        self.0.iter().map(|(name, value)| (name, value))
    }

    /// The fields, to be changed.
    pub fn iter_mut(&mut self) -> IterMut<'_> {
        Arc::make_mut(&mut self.0).iter_mut().map(|(name, value)| (&*name, value))
    }

    /// The names.
    pub fn keys(&self) -> impl DoubleEndedIterator<Item = &Text> + ExactSizeIterator + Clone {
        self.0.iter().map(|(name, _)| name)
    }

    /// The values.
    pub fn values(&self) -> impl DoubleEndedIterator<Item = &Value> + ExactSizeIterator + Clone {
        self.0.iter().map(|(_, value)| value)
    }

    /// The values, to be changed.
    pub fn values_mut(&mut self) -> impl Iterator<Item = &mut Value> {
        self.iter_mut().map(|(_, value)| value)
    }
}

/// Goes through fields.
pub type Iter<'a> = std::iter::Map<std::slice::Iter<'a, Field>, fn(&'a Field) -> (&'a Text, &'a Value)>;

/// Goes through fields that may be changed.
pub type IterMut<'a> =
    std::iter::Map<std::slice::IterMut<'a, Field>, fn(&'a mut Field) -> (&'a Text, &'a mut Value)>;

impl IntoIterator for Map {
    type Item = Field;
    type IntoIter = std::vec::IntoIter<Field>;

    fn into_iter(self) -> Self::IntoIter {
        let mut fields = self.0;
        let own = Arc::make_mut(&mut fields).iter_mut().map(std::mem::take);
        own.collect::<Vec<_>>().into_iter()
    }
}

impl<'a> IntoIterator for &'a Map {
    type Item = (&'a Text, &'a Value);
    type IntoIter = Iter<'a>;

    fn into_iter(self) -> Iter<'a> {
        self.iter()
    }
}

impl<'a> IntoIterator for &'a mut Map {
    type Item = (&'a Text, &'a mut Value);
    type IntoIter = IterMut<'a>;

    fn into_iter(self) -> IterMut<'a> {
        self.iter_mut()
    }
}

impl<N: Into<Text>> FromIterator<(N, Value)> for Map {
    fn from_iter<I: IntoIterator<Item = (N, Value)>>(fields: I) -> Self {
        Self::of(fields.into_iter().map(|(name, value)| (name.into(), value)).collect())
    }
}

impl<N: Into<Text>> Extend<(N, Value)> for Map {
    fn extend<I: IntoIterator<Item = (N, Value)>>(&mut self, fields: I) {
        let fields = fields.into_iter().map(|(name, value)| (name.into(), value));
        *self = Self::of(self.0.iter().cloned().chain(fields).collect());
    }
}

impl std::fmt::Debug for Map {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

/// The place of a field that may be there or not.
pub struct Entry<'a> {
    map: &'a mut Map,
    name: Text,
}

impl<'a> Entry<'a> {
    /// Its value, which is made so first if it isn't there.
    pub fn or_insert(self, value: Value) -> &'a mut Value {
        self.map.get_or_insert_with(&self.name, || value)
    }

    /// Its value, which is made so first if it isn't there.
    pub fn or_insert_with(self, value: impl FnOnce() -> Value) -> &'a mut Value {
        self.map.get_or_insert_with(&self.name, value)
    }
}
