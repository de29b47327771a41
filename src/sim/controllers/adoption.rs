//! Adoption: what a workload selects and nobody controls becomes its own; what it selects no more is let go.

use super::garbage::drop_owner;
use super::pods;
use crate::sim::api::selects;
use crate::sim::json::{Value, json};
use crate::sim::store::{Change, ChangeKind, Key, Object, Store};

/// Kinds that adopt pods, in the order in which they are asked.
const OF_PODS: [&str; 4] =
    ["replicasets.apps", "replicationcontrollers", "statefulsets.apps", "daemonsets.apps"];
const OF_SETS: [&str; 1] = ["deployments.apps"];

/// The kinds that may adopt objects of this kind.
fn parents(resource: &str) -> &'static [&'static str] {
    match resource {
        "pods" => &OF_PODS,
        "replicasets.apps" => &OF_SETS,
        _ => &[],
    }
}

/// What has to be looked at after a change: the object itself, or what a new workload may adopt.
pub(super) fn interest(store: &Store, change: &Change, key: &Key) -> Vec<(&'static str, Key)> {
    let object = &change.object;
    let own = ["pods", "replicasets.apps"].into_iter().find(|r| **r == *change.resource);
    let is_new = change.kind == ChangeKind::Added;
    if (own.is_none() && !is_new) || change.kind == ChangeKind::Deleted {
        return Vec::new();
    }
    let metadata = &object["metadata"];
    if !metadata["deletionTimestamp"].is_null() {
        return Vec::new();
    }
    let mut found = Vec::new();
    if let Some(resource) = own {
        let before = change.old.as_deref().map(|old| &old["metadata"]);
        let same = |field: &str| before.is_some_and(|before| before[field] == metadata[field]);
        let changed = || !(same("labels") && same("ownerReferences"));
        let concerned = if is_new { pods::controller(object).is_none() } else { changed() };
        if concerned {
            found.push((resource, key.clone()));
        }
    }
    if change.kind == ChangeKind::Added {
        for resource in ["pods", "replicasets.apps"] {
            if parents(resource).contains(&&*change.resource) {
                let namespace = object["metadata"]["namespace"].as_str().unwrap_or_default();
                let free = |o: &&Object| does_select(&change.resource, object, o);
                let objects = store.uncontrolled_in(resource, namespace).filter(free);
                found.extend(objects.map(|o| (resource, Key::of(o))));
            }
        }
    }
    found
}

fn does_select(parent: &str, owner: &Value, object: &Value) -> bool {
    let labels = &object["metadata"]["labels"];
    match parent {
        "replicationcontrollers" => selects(&json!({"matchLabels": owner["spec"]["selector"]}), labels),
        "statefulsets.apps" => {
            let prefix = format!("{}-", owner["metadata"]["name"].as_str().unwrap_or_default());
            let name = object["metadata"]["name"].as_str().unwrap_or_default();
            name.strip_prefix(&prefix).is_some_and(|o| o.parse::<u32>().is_ok())
                && selects(&owner["spec"]["selector"], labels)
        }
        _ => selects(&owner["spec"]["selector"], labels),
    }
}

/// Looks at one object of a kind.
pub(super) fn reconcile(store: &mut Store, resource: &str, key: &Key) {
    let Some(object) = store.get_key(resource, key).cloned() else { return };
    if !object["metadata"]["deletionTimestamp"].is_null() {
        return;
    }
    if let Some(controller) = pods::controller(&object) {
        let uid = controller["uid"].clone();
        let name = controller["name"].as_str().unwrap_or_default();
        let owner = parents(resource).iter().find_map(|parent| {
            let owner = store.get(parent, &key.namespace, name)?;
            (owner["metadata"]["uid"] == uid).then_some((*parent, owner))
        });
        let let_go = owner.is_some_and(|(parent, owner)| {
            owner["metadata"]["deletionTimestamp"].is_null() && !does_select(parent, owner, &object)
        });
        if let_go {
            store.modify(resource, key, |object| drop_owner(object, uid.as_str().unwrap_or_default()));
        }
        return;
    }
    let owner = parents(resource).iter().find_map(|parent| {
        let mut owners = store.list_in(parent, &key.namespace);
        owners
            .find(|o| o["metadata"]["deletionTimestamp"].is_null() && does_select(parent, o, &object))
            .cloned()
    });
    if let Some(owner) = owner {
        let reference = pods::reference(&owner);
        store.modify(resource, key, |object| {
            if !object["metadata"]["ownerReferences"].is_array() {
                object["metadata"]["ownerReferences"] = json!([]);
            }
            if let Some(references) = object["metadata"]["ownerReferences"].as_array_mut() {
                references.push(reference);
            }
        });
    }
}
