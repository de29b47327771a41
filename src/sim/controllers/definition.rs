//! CustomResourceDefinitions: their names are accepted, and they are established. The store serves them at once.

use crate::sim::json::{Value, json};
use crate::sim::scheduler::set_condition;
use crate::sim::store::{Key, Store};

const DEFINITIONS: &str = "customresourcedefinitions.apiextensions.k8s.io";

/// One round of a definition.
pub(super) fn reconcile(store: &mut Store, key: &Key) {
    let now = store.clock().now_text();
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
