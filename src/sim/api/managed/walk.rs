//! Objects as sets of fields: what one has, and in what two differ.

use std::collections::BTreeSet;

use super::node::{Form, Node, item_step};
use super::set::Set;
use crate::sim::json::{Map, Value};

/// In what two objects differ.
#[derive(Debug, Default)]
pub(super) struct Comparison {
    pub added: Set,
    pub modified: Set,
    pub removed: Set,
}

pub(super) fn step(name: &str) -> String {
    format!("f:{name}")
}

fn fields(value: Option<&Value>) -> Option<&Map> {
    value.and_then(Value::as_object)
}

pub(super) fn items(value: Option<&Value>) -> &[Value] {
    value.and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// The fields that an object has.
pub(super) fn set_of(node: Node<'_>, value: &Value) -> Set {
    let mut set = Set::default();
    collect(node, value, &mut Vec::new(), &mut set);
    set
}

fn collect(node: Node<'_>, value: &Value, path: &mut Vec<String>, set: &mut Set) {
    match node.form(Some(value)) {
        Form::One => set.insert(path),
        Form::Fields => {
            for (name, inner) in value.as_object().into_iter().flatten() {
                let (below, named) = node.field(name);
                path.push(step(name));
                collect(below, inner, path, set);
                if !named || inner.is_null() || inner.as_object().is_some_and(Map::is_empty) {
                    set.insert(path);
                }
                path.pop();
            }
        }
        form @ (Form::Keyed(_, below) | Form::Set(below)) => {
            for item in items(Some(value)) {
                path.push(item_step(form, item));
                collect(below, item, path, set);
                set.insert(path);
                path.pop();
            }
        }
    }
}

/// Compares two objects.
pub(super) fn compare(node: Node<'_>, old: Option<&Value>, new: Option<&Value>) -> Comparison {
    let mut told = Comparison::default();
    differ(node, old, new, &mut Vec::new(), &mut told);
    told.added.own = false;
    told.removed.own = false;
    told
}

fn leaf(old: Option<&Value>, new: Option<&Value>, path: &[String], told: &mut Comparison) {
    match (old, new) {
        (None, _) => told.added.insert(path),
        (_, None) => told.removed.insert(path),
        (old, new) if old != new => told.modified.insert(path),
        _ => {}
    }
}

fn differ(
    node: Node<'_>,
    old: Option<&Value>,
    new: Option<&Value>,
    path: &mut Vec<String>,
    told: &mut Comparison,
) {
    if old == new {
        return;
    }
    let form = node.form(new.or(old));
    let empty = |v: Option<&Value>| fields(v).is_none_or(Map::is_empty) && items(v).is_empty();
    match form {
        Form::One => return leaf(old, new, path, told),
        _ if empty(old) && empty(new) => return leaf(old, new, path, told),
        Form::Fields => {
            let names = fields(old).into_iter().chain(fields(new)).flat_map(Map::keys);
            for name in names.collect::<BTreeSet<_>>() {
                path.push(step(name));
                let before = fields(old).and_then(|f| f.get(name));
                let after = fields(new).and_then(|f| f.get(name));
                differ(node.field(name).0, before, after, path, told);
                path.pop();
            }
        }
        Form::Keyed(_, below) | Form::Set(below) => {
            let steps = |v: Option<&Value>| -> Vec<String> {
                items(v).iter().map(|item| item_step(form, item)).collect()
            };
            let (before, after) = (steps(old), steps(new));
            for this in before.iter().chain(&after).collect::<BTreeSet<_>>() {
                let at = |all: &[String], v| all.iter().position(|s| s == this).map(|i| &items(v)[i]);
                let (then, now) = (at(&before, old), at(&after, new));
                path.push(this.clone());
                differ(below, then, now, path, told);
                path.pop();
            }
        }
    }
    if old.is_none() {
        told.added.insert(path);
    } else if new.is_none() {
        told.removed.insert(path);
    }
}
