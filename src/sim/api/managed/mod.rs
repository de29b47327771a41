//! Who owns which field: `managedFields`, server-side apply and its conflicts.

mod entries;
mod merge;
mod node;
mod set;
mod typed;
mod walk;

use super::decode;
use super::route::Route;
use super::types::Types;
use crate::sim::json::{Value, json};
use crate::sim::store::Refusal;
use entries::{Entry, read, write};
use merge::{ensure_named, merge, remove};
use node::Node;
use set::Set;
use walk::{Comparison, compare, set_of};

/// Who writes, and when.
pub(super) struct Writer<'a> {
    pub manager: &'a str,
    pub route: &'a Route,
    pub now: &'a str,
}

impl Writer<'_> {
    fn node(&self) -> Node<'_> {
        let route = self.route;
        let api_version = route.resource.api_version_of(&route.version);
        match Types::get().kind(&api_version, &route.resource.kind) {
            Some(index) => Node::Struct(index),
            None => {
                route.resource.versions.get(&route.version).map_or(Node::Unknown, |v| Node::Object(&v.schema))
            }
        }
    }

    /// An object of the kind with nothing in it: what a new one is compared with.
    fn empty(&self) -> Value {
        let resource = &self.route.resource;
        let mut empty = json!({
            "apiVersion": resource.api_version_of(&self.route.version), "kind": resource.kind,
        });
        decode::canonical(&mut empty, &mut decode::Problems::default());
        empty
    }

    fn entry(&self, operation: &str, set: Set) -> Entry {
        let manager = if self.manager.is_empty() { "unknown" } else { self.manager };
        Entry {
            manager: manager.to_owned(),
            operation: operation.to_owned(),
            api_version: self.route.resource.api_version_of(&self.route.version),
            subresource: self.route.subresource.clone().unwrap_or_default(),
            time: Some(self.now.to_owned()),
            set,
        }
    }

    /// Fields that this way of writing puts back, so that nobody comes to own them.
    fn drop_reset(&self, set: &mut Set) {
        let resource = &self.route.resource;
        let paths: &[&[&str]] = match (self.route.subresource.as_deref(), resource.name.as_str()) {
            (None, _) if resource.has_status => &[&["f:status"]],
            (Some("status"), _) if resource.is_custom => &[&["f:metadata"], &["f:spec"]],
            (Some("status"), "deployments.apps") => &[&["f:spec"], &["f:metadata", "f:labels"]],
            (Some("status"), "pods") => {
                &[&["f:spec"], &["f:metadata", "f:deletionTimestamp"], &["f:metadata", "f:ownerReferences"]]
            }
            (Some("status"), _) => &[&["f:spec"]],
            _ => &[],
        };
        for path in paths {
            set.without(path);
        }
    }

    fn compare(&self, old: Option<&Value>, new: &Value) -> Comparison {
        let empty = old.is_none().then(|| self.empty());
        let mut told = compare(self.node(), old.or(empty.as_ref()), Some(new));
        for set in [&mut told.added, &mut told.modified, &mut told.removed] {
            self.drop_reset(set);
        }
        told
    }
}

/// What identifies an object is nobody's.
fn strip(set: &mut Set) {
    const METADATA: [&str; 9] = [
        "name",
        "namespace",
        "creationTimestamp",
        "selfLink",
        "uid",
        "clusterName",
        "generation",
        "managedFields",
        "resourceVersion",
    ];
    set.without(&["f:apiVersion"]);
    set.without(&["f:kind"]);
    if let Some(metadata) = set.below.get_mut("f:metadata") {
        metadata.own = false;
    }
    for field in METADATA {
        set.without(&["f:metadata", &format!("f:{field}")]);
    }
    set.below.retain(|_, below| !below.is_empty());
}

fn bare(object: &Value) -> Value {
    let mut object = object.clone();
    object["metadata"].as_object_mut().map(|m| m.remove("managedFields"));
    object
}

/// Takes what changed from the others. `me` isn't asked.
fn take(entries: &mut Vec<Entry>, me: Option<&Entry>, told: &Comparison) -> Vec<(Entry, Set)> {
    let changed = told.modified.clone().union(&told.added);
    let mut conflicts = Vec::new();
    for entry in entries.iter_mut().filter(|e| !me.is_some_and(|me| e.is(me))) {
        let disputed = entry.set.clone().intersection(&changed);
        if !disputed.is_empty() {
            conflicts.push((entry.clone(), disputed.clone()));
        }
        entry.set = std::mem::take(&mut entry.set).difference(&disputed).difference(&told.removed);
    }
    entries.retain(|e| !e.set.is_empty());
    conflicts
}

/// The entries after an object was written by another way than apply; `old`: what was there.
fn update(writer: &Writer<'_>, mut entries: Vec<Entry>, old: Option<&Value>, new: &Value) -> Vec<Entry> {
    let told = writer.compare(old, new);
    take(&mut entries, None, &told);
    let mut mine = told.modified.union(&told.added);
    strip(&mut mine);
    if mine.is_empty() {
        return entries;
    }
    let mut entry = writer.entry("Update", mine);
    if let Some(at) = entries.iter().position(|e| e.is(&entry)) {
        let before = entries.remove(at);
        entry.set = entry.set.union(&before.set);
    }
    entries.push(entry);
    entries
}

/// What `managedFields` is after a write that wasn't an apply. Objects that nobody has applied to aren't tracked, unless
/// `always`.
pub(super) fn after_update(
    writer: &Writer<'_>,
    always: bool,
    old: Option<&Value>,
    new: &Value,
) -> Option<Value> {
    let given = &new["metadata"]["managedFields"];
    let there = old.map_or(&Value::Null, |o| &o["metadata"]["managedFields"]);
    let is_reset = |list: &Value| {
        list.as_array()
            .is_some_and(|l| l.is_empty() || (l.len() == 1 && l[0].as_object().is_some_and(|e| e.is_empty())))
    };
    if writer.route.subresource.is_none() && is_reset(given) {
        return None;
    }
    let own = writer.route.subresource.is_none().then(|| read(given)).flatten();
    let entries = own.filter(|e| !e.is_empty()).or_else(|| read(there)).unwrap_or_default();
    if entries.is_empty() && (old.is_some() || !always) {
        return None;
    }
    write(update(writer, entries, old.map(bare).as_ref(), &bare(new)))
}

/// Server-side apply: the object that comes of it, and its `managedFields`.
///
/// # Errors
/// 400 for a body that has managedFields; 409 with a cause for each field that another manager owns, unless `force`.
pub(super) fn apply(
    writer: &Writer<'_>,
    force: bool,
    old: Option<&Value>,
    applied: &Value,
) -> Result<(Value, Option<Value>), Refusal> {
    if !applied["metadata"]["managedFields"].is_null() {
        return Err(Refusal::bad_request("metadata.managedFields must be nil"));
    }
    let node = writer.node();
    typed::check(node, applied)?;
    let there = old.map(bare);
    let mut entries = old.and_then(|o| read(&o["metadata"]["managedFields"])).unwrap_or_default();
    if entries.is_empty()
        && let Some(there) = &there
    {
        let before = Writer { manager: "before-first-apply", route: writer.route, now: writer.now };
        entries = update(&before, entries, None, there);
    }
    let mut mine = set_of(node, applied);
    writer.drop_reset(&mut mine);
    let mut entry = writer.entry("Apply", mine);
    let last = entries.iter().position(|e| e.is(&entry)).map(|at| entries.remove(at));
    let merged = merge(node, there.as_ref(), Some(applied));
    entries.push(entry.clone());
    let result = match &last {
        Some(last) => prune(node, &merged, &last.set, &entries),
        None => merged,
    };
    let told = writer.compare(there.as_ref(), &result);
    let conflicts = take(&mut entries, Some(&entry), &told);
    if !force && !conflicts.is_empty() {
        return Err(conflict(&conflicts));
    }
    entries.retain(|e| !e.is(&entry));
    strip(&mut entry.set);
    if there.as_ref() == Some(&result) {
        entry.time = last.and_then(|l| l.time);
    }
    if !entry.set.is_empty() {
        entries.push(entry);
    }
    Ok((result, write(entries)))
}

/// Takes away what the manager no longer applies, unless somebody else owns it.
fn prune(node: Node<'_>, merged: &Value, last: &Set, entries: &[Entry]) -> Value {
    let named = |value: &Value, set: &Set| ensure_named(node, value, set);
    let last = named(merged, last);
    let mut pruned = remove(node, merged, &last);
    let owned = entries.iter().fold(Set::default(), |all, e| all.union(&e.set));
    let all = named(merged, &set_of(node, merged));
    let kept = named(&pruned, &set_of(node, &pruned)).union(&named(merged, &owned));
    pruned = remove(node, merged, &all.clone().difference(&kept));
    let left = named(&pruned, &set_of(node, &pruned));
    remove(node, merged, &all.difference(&left).intersection(&last))
}

fn conflict(conflicts: &[(Entry, Set)]) -> Refusal {
    let mut told: Vec<(String, Vec<String>)> =
        conflicts.iter().map(|(entry, set)| (entry.title(), set.paths())).collect();
    told.sort();
    let causes: Vec<Value> = told
        .iter()
        .flat_map(|(who, paths)| paths.iter().map(move |path| (who, path)))
        .map(|(who, path)| {
            json!({"reason": "FieldManagerConflict", "message": format!("conflict with {who}"), "field": path})
        })
        .collect();
    let words = match told.as_slice() {
        [(who, paths)] if paths.len() == 1 => format!("1 conflict: conflict with {who}: {}", paths[0]),
        many => {
            let lines = many.iter().flat_map(|(who, paths)| {
                std::iter::once(format!("conflicts with {who}:"))
                    .chain(paths.iter().map(|p| format!("- {p}")))
            });
            format!("{} conflicts: {}", causes.len(), lines.collect::<Vec<_>>().join("\n"))
        }
    };
    let mut refusal = Refusal::new(409, "Conflict", format!("Apply failed with {words}"));
    refusal.details = Some(json!({"causes": causes}));
    refusal
}

/// `managedFields` after the scale was written: the wanted replicas are the writer's, and nobody else's.
pub(super) fn after_scale(writer: &Writer<'_>, old: &Value, path: &str) -> Option<Value> {
    let mut entries = read(&old["metadata"]["managedFields"])?;
    let path: Vec<String> = path.trim_start_matches('.').split('.').map(walk::step).collect();
    let mut replicas = Set::default();
    replicas.insert(&path);
    if entries.iter().all(|e| e.set.clone().intersection(&replicas).is_empty()) {
        // Of a scale that nobody owns, nothing is tracked.
        return write(entries);
    }
    for entry in &mut entries {
        entry.set = std::mem::take(&mut entry.set).difference(&replicas);
    }
    entries.retain(|e| !e.set.is_empty());
    entries.push(writer.entry("Update", replicas));
    write(entries)
}
