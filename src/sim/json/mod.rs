//! JSON as the embedded cluster keeps it: values that share what they have in common.
//!
//! # Why
//! Each write reads an object, changes a field or two, stores the result beside what was there, and tells several watchers and
//! controllers of both. With a tree of its own for each of them, most of a rehearsal is copying, comparing and dropping. Here
//! a list or an object is a counted reference: a copy costs nothing, a change copies the way from the root to what is changed,
//! and two versions are compared only where they are not the same memory. Fields are sorted: in the order that
//! `serde_json` would give them, so that what is written out is the same to the byte.

mod convert;
mod index;
mod map;
mod serde_impl;
#[cfg(test)]
mod tests;
mod written;

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;

pub use convert::{ToValue, from_value};
pub use index::Place;
pub use map::{Entry, Map};
pub use serde_json::Number;
pub(in crate::sim) use written::json;

/// A text: short ones, as most are, need no memory of their own; others are shared.
pub type Text = smol_str::SmolStr;

/// A JSON value. A copy shares lists and objects with what it was copied from, until one of the two is changed.
#[derive(Clone, Default, PartialEq, Eq)]
pub enum Value {
    /// `null`.
    #[default]
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number.
    Number(Number),
    /// A text.
    String(Text),
    /// A list.
    Array(List),
    /// An object.
    Object(Map),
}

/// The values of a list.
#[derive(Clone, Default, Eq)]
pub struct List(Arc<Vec<Value>>);

impl List {
    /// As [`Value::adopt`].
    fn adopt(&mut self, old: &Self) -> bool {
        if Arc::ptr_eq(&self.0, &old.0) {
            return true;
        }
        let is_equal = match Arc::get_mut(&mut self.0) {
            None => self.0 == old.0,
            Some(items) => {
                let mut is_equal = items.len() == old.len();
                for (item, other) in items.iter_mut().zip(old) {
                    is_equal &= item.adopt(other);
                }
                is_equal
            }
        };
        if is_equal {
            *self = old.clone();
        }
        is_equal
    }
}

impl Deref for List {
    type Target = Vec<Value>;

    fn deref(&self) -> &Vec<Value> {
        &self.0
    }
}

impl DerefMut for List {
    fn deref_mut(&mut self) -> &mut Vec<Value> {
        Arc::make_mut(&mut self.0)
    }
}

impl PartialEq for List {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self.0 == other.0
    }
}

impl From<Vec<Value>> for List {
    fn from(items: Vec<Value>) -> Self {
        Self(Arc::new(items))
    }
}

impl FromIterator<Value> for List {
    fn from_iter<I: IntoIterator<Item = Value>>(items: I) -> Self {
        items.into_iter().collect::<Vec<_>>().into()
    }
}

impl IntoIterator for List {
    type Item = Value;
    type IntoIter = std::vec::IntoIter<Value>;

    fn into_iter(self) -> Self::IntoIter {
        Arc::unwrap_or_clone(self.0).into_iter()
    }
}

impl<'a> IntoIterator for &'a List {
    type Item = &'a Value;
    type IntoIter = std::slice::Iter<'a, Value>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

impl<'a> IntoIterator for &'a mut List {
    type Item = &'a mut Value;
    type IntoIter = std::slice::IterMut<'a, Value>;

    fn into_iter(self) -> Self::IntoIter {
        Arc::make_mut(&mut self.0).iter_mut()
    }
}

impl Value {
    /// Whether it is `null`.
    pub fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    /// Whether it is a text.
    pub fn is_string(&self) -> bool {
        matches!(self, Self::String(_))
    }

    /// Whether it is a number.
    pub fn is_number(&self) -> bool {
        matches!(self, Self::Number(_))
    }

    /// Whether it is `true` or `false`.
    pub fn is_boolean(&self) -> bool {
        matches!(self, Self::Bool(_))
    }

    /// Whether it is a list.
    pub fn is_array(&self) -> bool {
        matches!(self, Self::Array(_))
    }

    /// Whether it is an object.
    pub fn is_object(&self) -> bool {
        matches!(self, Self::Object(_))
    }

    /// The text, if it is one.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(text) => Some(text),
            _ => None,
        }
    }

    /// The text, if it is one, to be shared.
    pub fn as_text(&self) -> Option<&Text> {
        match self {
            Self::String(text) => Some(text),
            _ => None,
        }
    }

    /// The truth value, if it is one.
    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Self::Bool(value) => Some(*value),
            _ => None,
        }
    }

    /// The number, if it is one.
    pub fn as_number(&self) -> Option<&Number> {
        match self {
            Self::Number(number) => Some(number),
            _ => None,
        }
    }

    /// The whole number, if it is one that fits.
    pub fn as_i64(&self) -> Option<i64> {
        self.as_number()?.as_i64()
    }

    /// The whole number, if it is one that fits.
    pub fn as_u64(&self) -> Option<u64> {
        self.as_number()?.as_u64()
    }

    /// The number, if it is one.
    pub fn as_f64(&self) -> Option<f64> {
        self.as_number()?.as_f64()
    }

    /// Whether it is a whole number from 0 on.
    pub fn is_u64(&self) -> bool {
        self.as_number().is_some_and(Number::is_u64)
    }

    /// Whether it is a number with a fraction.
    pub fn is_f64(&self) -> bool {
        self.as_number().is_some_and(Number::is_f64)
    }

    /// Whether it is a whole number that fits.
    pub fn is_i64(&self) -> bool {
        self.as_number().is_some_and(Number::is_i64)
    }

    /// The list, if it is one.
    pub fn as_array(&self) -> Option<&Vec<Value>> {
        match self {
            Self::Array(items) => Some(items),
            _ => None,
        }
    }

    /// The list, if it is one, to be changed.
    pub fn as_array_mut(&mut self) -> Option<&mut Vec<Value>> {
        match self {
            Self::Array(items) => Some(items),
            _ => None,
        }
    }

    /// The object's fields, if it is one.
    pub fn as_object(&self) -> Option<&Map> {
        match self {
            Self::Object(fields) => Some(fields),
            _ => None,
        }
    }

    /// The object's fields, if it is one, to be changed.
    pub fn as_object_mut(&mut self) -> Option<&mut Map> {
        match self {
            Self::Object(fields) => Some(fields),
            _ => None,
        }
    }

    /// Takes the value, and leaves `null`.
    #[must_use]
    pub fn take(&mut self) -> Self {
        std::mem::take(self)
    }

    /// Compares with an earlier version, and from then on shares with it whatever is equal. True if all is.
    pub fn adopt(&mut self, old: &Self) -> bool {
        match (&mut *self, old) {
            (Self::Object(new), Self::Object(old)) => new.adopt(old),
            (Self::Array(new), Self::Array(old)) => new.adopt(old),
            (Self::String(new), Self::String(old)) if new == old => {
                *new = old.clone();
                true
            }
            (new, old) => new == old,
        }
    }

    /// The same list or object in memory: then it needs no comparing. Of two that are equal it may be false.
    pub fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Object(a), Self::Object(b)) => a.is_same(b),
            (Self::Array(a), Self::Array(b)) => Arc::ptr_eq(&a.0, &b.0),
            _ => false,
        }
    }
}

/// As JSON.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text =
            if f.alternate() { serde_json::to_string_pretty(self) } else { serde_json::to_string(self) };
        f.write_str(&text.map_err(|_| fmt::Error)?)
    }
}

/// As JSON.
impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
