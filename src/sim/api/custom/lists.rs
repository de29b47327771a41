//! Lists that are sets or maps: nothing stands there twice.

use super::walk::walk;
use crate::sim::api::validate::Causes;
use crate::sim::json::{Map, Value};
use crate::sim::store::{ListType, Schema};

/// Judges all lists of an object. Where those of the earlier version have something twice, these are let pass.
pub(super) fn judge(schema: &Schema, old: Option<&Value>, object: &Value, causes: &mut Causes) {
    let wrong = doubled(schema, object);
    if !wrong.0.is_empty() && old.is_none_or(|old| doubled(schema, old).0.is_empty()) {
        causes.0.extend(wrong.0);
    }
}

fn doubled(schema: &Schema, object: &Value) -> Causes {
    let mut causes = Causes::default();
    walk(schema, |s| s.has_lists, object, &mut |schema, value, path| {
        let Value::Array(items) = value else { return };
        match &schema.list {
            ListType::Atomic => {}
            ListType::Set => twice(items, path, &mut causes),
            ListType::Map(keys) => map(items, keys, path, &mut causes),
        }
    });
    causes
}

fn map(items: &[Value], keys: &[String], path: &str, causes: &mut Causes) {
    if let Some(at) = items.iter().position(|item| !item.is_null() && !item.is_object()) {
        let why = "must be an object for an array of list-type map";
        causes.invalid(format!("{path}[{at}]"), &items[at], why);
        return;
    }
    let key = |item: &Value| {
        let named = keys.iter().filter_map(|k| item.get(k).map(|v| (k.clone(), v.clone())));
        Value::Object(named.collect::<Map>())
    };
    twice(&items.iter().map(key).collect::<Vec<_>>(), path, causes);
}

/// The second of each is told, a third is not.
fn twice(items: &[Value], path: &str, causes: &mut Causes) {
    for (index, item) in items.iter().enumerate() {
        if items[..index].iter().filter(|other| *other == item).count() == 1 {
            causes.duplicate(format!("{path}[{index}]"), item);
        }
    }
}
