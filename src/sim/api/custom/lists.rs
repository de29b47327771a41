//! Lists that are sets or maps: nothing stands there twice.

use super::walk::walk;
use crate::sim::api::validate::Causes;
use crate::sim::json::{Map, Value};
use crate::sim::store::{ListType, Schema};

/// Whether an object has no list with something twice.
pub(super) fn are_fine(schema: &Schema, object: &Value) -> bool {
    let mut causes = Causes::default();
    judge(schema, object, &mut causes);
    causes.0.is_empty()
}

/// Judges all lists of an object.
pub(super) fn judge(schema: &Schema, object: &Value, causes: &mut Causes) {
    walk(schema, object, &mut |schema, value, path| {
        let Value::Array(items) = value else { return };
        match &schema.list {
            ListType::Atomic => {}
            ListType::Set => twice(items, path, causes),
            ListType::Map(keys) => map(items, keys, path, causes),
        }
    });
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
