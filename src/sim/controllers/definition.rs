//! CustomResourceDefinitions: their names are accepted, and they are established; on their way out their objects go first.
//! The store serves them at once.

use super::garbage::drop_finalizer;
use crate::sim::json::{Value, json};
use crate::sim::scheduler::set_condition;
use crate::sim::store::{CLEANUP, DEFINITIONS, DeleteOptions, Key, Store};

/// One round of a definition.
pub(super) fn reconcile(store: &mut Store, key: &Key) {
    let now = store.clock().now_text();
    if store.get_key(DEFINITIONS, key).is_some_and(|d| !d["metadata"]["deletionTimestamp"].is_null()) {
        return clean_up(store, key, &now);
    }
    store.modify(DEFINITIONS, key, |definition| {
        let names = definition["spec"]["names"].clone();
        let stored = definition["spec"]["versions"].as_array().into_iter().flatten();
        let stored: Vec<Value> = stored.filter(|v| v["storage"] == true).map(|v| v["name"].clone()).collect();
        let status = &mut definition["status"];
        set_condition(status, "NamesAccepted", "True", "NoConflicts", "no conflicts found", &now);
        let message = "the initial names have been accepted";
        set_condition(status, "Established", "True", "InitialNamesAccepted", message, &now);
        status["acceptedNames"] = names;
        if !status["storedVersions"].is_array() {
            status["storedVersions"] = json!([]);
        }
        for version in stored {
            if let Some(versions) = status["storedVersions"].as_array_mut().filter(|v| !v.contains(&version))
            {
                versions.push(version);
            }
        }
    });
}

/// Deletes the objects of a definition that is going, and lets it go when the last of them has gone. Each end of one of them
/// calls here again.
fn clean_up(store: &mut Store, key: &Key, now: &str) {
    let objects: Vec<Key> = store.list(&key.name).map(|o| Key::of(o)).collect();
    for object in &objects {
        // Those that are going already are left as they are.
        let _ = store.delete(&key.name, object, &DeleteOptions::default());
    }
    let is_empty = store.list(&key.name).next().is_none();
    store.modify(DEFINITIONS, key, |definition| {
        let (status, reason, message) = if is_empty {
            ("False", "InstanceDeletionCompleted", "removed all instances")
        } else {
            ("True", "InstanceDeletionInProgress", "CustomResource deletion is in progress")
        };
        set_condition(&mut definition["status"], "Terminating", status, reason, message, now);
        if is_empty {
            drop_finalizer(definition, CLEANUP);
        }
    });
}
