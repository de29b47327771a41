//! Objects merged, and fields taken away.

use std::collections::BTreeSet;

use super::node::{Form, Node, item_step};
use super::set::Set;
use super::walk::{items, step};
use crate::sim::json::{Map, Text, Value};

/// What is applied over what is there.
pub(super) fn merge(node: Node<'_>, there: Option<&Value>, applied: Option<&Value>) -> Value {
    let kept = || applied.or(there).cloned().unwrap_or(Value::Null);
    let (Some(old), Some(new)) = (there, applied) else { return kept() };
    match node.form(Some(new)) {
        Form::One => kept(),
        Form::Fields => {
            let (Some(old), Some(new)) = (old.as_object(), new.as_object()) else { return kept() };
            if old.is_empty() && new.is_empty() {
                return kept();
            }
            let names: BTreeSet<&Text> = old.keys().chain(new.keys()).collect();
            let merged = names
                .into_iter()
                .map(|name| (name.clone(), merge(node.field(name).0, old.get(name), new.get(name))));
            Value::Object(merged.collect())
        }
        form @ (Form::Keyed(_, below) | Form::Set(below)) => {
            if items(there).is_empty() && items(applied).is_empty() {
                return kept();
            }
            list(form, below, items(there), items(applied))
        }
    }
}

/// The order of a merged list: what both have stands as it is applied; what only one has stays behind what it followed.
fn list(form: Form<'_>, below: Node<'_>, old: &[Value], new: &[Value]) -> Value {
    let steps = |list: &[Value]| -> Vec<String> { list.iter().map(|i| item_step(form, i)).collect() };
    let (left, right) = (steps(old), steps(new));
    let at = |all: &[String], this: &String| all.iter().position(|s| s == this);
    let mut shared = right.iter().filter(|s| left.contains(s)).peekable();
    let mut merged: BTreeSet<&String> = BTreeSet::new();
    let mut out = Vec::new();
    let both = |this: &String| {
        let (l, r) = (at(&left, this).map(|i| &old[i]), at(&right, this).map(|i| &new[i]));
        merge(below, l, r)
    };
    let (mut l, mut r) = (0, 0);
    while l < left.len() || r < right.len() {
        if l < left.len() && r < right.len() {
            if left[l] == right[r] {
                merged.insert(&left[l]);
                out.push(both(&left[l]));
                (l, r) = (l + 1, r + 1);
                shared.next();
                continue;
            }
            if right.contains(&left[l]) && shared.peek().is_some_and(|next| **next != left[l]) {
                // Shared, and its turn comes later.
                l += 1;
                continue;
            }
        }
        if l < left.len() {
            if !right.contains(&left[l]) {
                out.push(old[l].clone());
                l += 1;
                continue;
            }
            if merged.contains(&left[l]) {
                l += 1;
            }
        }
        if r < right.len() {
            merged.insert(&right[r]);
            out.push(both(&right[r]));
            if shared.peek().is_some_and(|next| **next == right[r]) {
                shared.next();
            }
            r += 1;
        }
    }
    out.into()
}

/// An object without these fields.
pub(super) fn remove(node: Node<'_>, value: &Value, gone: &Set) -> Value {
    let form = node.form(Some(value));
    let inner = |below: Node<'_>, value: &Value, set: Option<&Set>| match set {
        Some(set) if !set.below.is_empty() => remove(below, value, set),
        _ => value.clone(),
    };
    match (form, value) {
        (Form::Fields, Value::Object(fields)) => {
            let mut left = Map::new();
            for (name, field) in fields {
                let set = gone.below.get(&step(name));
                if set.is_some_and(|s| s.own) {
                    continue;
                }
                left.insert(name.clone(), inner(node.field(name).0, field, set));
            }
            Value::Object(left)
        }
        (Form::Keyed(_, below) | Form::Set(below), Value::Array(items)) => {
            let mut left = Vec::new();
            for item in items {
                let set = gone.below.get(&item_step(form, item));
                if set.is_some_and(|s| s.own) {
                    continue;
                }
                left.push(inner(below, item, set));
            }
            left.into()
        }
        _ => value.clone(),
    }
}

/// The set with every named field on the way as a member.
pub(super) fn ensure_named(node: Node<'_>, value: &Value, set: &Set) -> Set {
    let form = node.form(Some(value));
    let mut full = set.clone();
    for (this, below) in &mut full.below {
        match (form, this.strip_prefix("f:")) {
            (Form::Fields, Some(name)) => {
                let (inner, named) = node.field(name);
                *below = ensure_named(inner, value.get(name).unwrap_or(&Value::Null), below);
                below.own |= named;
            }
            (Form::Keyed(_, inner) | Form::Set(inner), _) => {
                let item = items(Some(value)).iter().find(|i| item_step(form, i) == *this);
                *below = ensure_named(inner, item.unwrap_or(&Value::Null), below);
            }
            _ => {}
        }
    }
    full
}
