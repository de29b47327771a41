//! Events: what `kubectl describe` and `kubectl events` tell of why things happened.
//!
//! # Why
//! They are told from changes, in this one place, and not by the controllers: a pod that got a node was scheduled, a ReplicaSet
//! whose number changed was scaled by its Deployment. So controllers stay free of them, and a rehearsal, which nobody asks for
//! events, pays nothing. Reasons, senders and words are those of the real components.

mod node;
mod pod;
mod workload;

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use jiff::Timestamp;

use super::clock::seconds_text;
use super::store::{Change, DeleteOptions, Key, Refused, Store};
use crate::sim::json::{Value, json};

/// How long an event is kept after it was seen last; the API server's default.
const KEPT: Duration = Duration::from_secs(3600);

/// What happened to an object.
struct Told {
    object: Value,
    warning: bool,
    reason: &'static str,
    from: &'static str,
    message: String,
}

impl Told {
    fn normal(object: Value, from: &'static str, reason: &'static str, message: impl Into<String>) -> Self {
        Self { object, warning: false, reason, from, message: message.into() }
    }

    fn warning(object: Value, from: &'static str, reason: &'static str, message: impl Into<String>) -> Self {
        Self { object, warning: true, reason, from, message: message.into() }
    }
}

/// What makes an event the same as an earlier one: it is counted there.
type Same = (String, &'static str, &'static str, String);

/// Writes events.
#[derive(Default)]
pub(in crate::sim) struct Recorder {
    known: BTreeMap<Same, Key>,
    /// What may be forgotten when.
    ages: VecDeque<(Timestamp, Same)>,
    count: u64,
}

impl Recorder {
    /// Tells of a change.
    pub fn observe(&mut self, store: &mut Store, change: &Change) {
        if matches!(&*change.resource, "events" | "events.events.k8s.io" | "leases.coordination.k8s.io") {
            return;
        }
        let mut told = Vec::new();
        match &*change.resource {
            "pods" => pod::tell(store, change, &mut told),
            "nodes" => node::tell(store, change, &mut told),
            "volumeattachments.storage.k8s.io" => node::tell_of_attachment(store, change, &mut told),
            "persistentvolumeclaims" => node::tell_of_claim(store, change, &mut told),
            "replicasets.apps" => workload::tell_of_replica_set(change, &mut told),
            "jobs.batch" => {
                workload::tell_of_job(change, &mut told);
                workload::tell_of_cron_job(change, &mut told);
            }
            _ => {}
        }
        for told in told {
            self.record(store, told);
        }
        self.forget(store);
    }

    /// Tells of a workload whose pod was refused.
    pub fn observe_refusal(&mut self, store: &mut Store, refused: &Refused) {
        if let Some(told) = workload::of_refusal(refused) {
            self.record_as(store, told, refused.why().to_owned());
        }
        self.forget(store);
    }

    fn record(&mut self, store: &mut Store, told: Told) {
        let message = told.message.clone();
        self.record_as(store, told, message);
    }

    /// Records what is the same as an earlier event if it says this, in other words perhaps.
    fn record_as(&mut self, store: &mut Store, told: Told, says: String) {
        let now = store.clock().now();
        let text = |field: &str| told.object[field].as_str().unwrap_or_default().to_owned();
        let subject = format!("{}/{}/{}", text("kind"), text("uid"), text("fieldPath"));
        let same = (subject, told.reason, told.from, says);
        if let Some(key) = self.known.get(&same).cloned() {
            let counted = store.modify("events", &key, |event| {
                event["count"] = json!(event["count"].as_i64().unwrap_or(1) + 1);
                event["lastTimestamp"] = json!(seconds_text(now));
            });
            if counted.is_some() {
                return;
            }
        }
        self.count += 1;
        // As client-go names them: the object, and a number that grows with time.
        let number = now.as_nanosecond().unsigned_abs() as u64 + self.count;
        let namespace = if text("namespace").is_empty() { "default".to_owned() } else { text("namespace") };
        let key = Key::new(&namespace, &format!("{}.{number:x}", text("name")));
        let mut source = json!({"component": told.from});
        if told.from == "kubelet" {
            source["host"] = told.object["host"].clone();
        }
        let mut object = told.object;
        object.as_object_mut().map(|o| o.remove("host"));
        let event = json!({
            "metadata": {"name": key.name, "namespace": namespace},
            "involvedObject": object, "reason": told.reason, "message": told.message, "source": source,
            "type": if told.warning { "Warning" } else { "Normal" }, "count": 1, "eventTime": null,
            "firstTimestamp": seconds_text(now), "lastTimestamp": seconds_text(now),
            "reportingComponent": told.from, "reportingInstance": source["host"].as_str().unwrap_or_default(),
        });
        // A namespace on its way out takes no events.
        if store.create("events", event).is_ok() {
            self.known.insert(same.clone(), key);
            self.ages.push_back((now, same));
        }
    }

    /// Deletes what nobody has seen for an hour.
    fn forget(&mut self, store: &mut Store) {
        let now = store.clock().now();
        while let Some((seen, same)) = self.ages.pop_front() {
            if now.duration_since(seen) < jiff::SignedDuration::try_from(KEPT).unwrap_or_default() {
                self.ages.push_front((seen, same));
                return;
            }
            let Some(key) = self.known.get(&same).cloned() else { continue };
            let last = store.get_key("events", &key).and_then(|e| e["lastTimestamp"].as_str()?.parse().ok());
            match last.filter(|last: &Timestamp| now.duration_since(*last) < now.duration_since(seen)) {
                Some(last) if now.duration_since(last).as_secs() < KEPT.as_secs().cast_signed() => {
                    self.ages.push_back((last, same));
                }
                _ => {
                    self.known.remove(&same);
                    // Somebody else may have deleted it before.
                    let _ = store.delete("events", &key, &DeleteOptions::default());
                }
            }
        }
    }
}

/// A reference to an object, as an event holds it.
fn reference(object: &Value) -> Value {
    let metadata = &object["metadata"];
    let mut reference = json!({
        "kind": object["kind"], "apiVersion": object["apiVersion"], "name": metadata["name"], "uid": metadata["uid"],
        "resourceVersion": metadata["resourceVersion"],
    });
    if !metadata["namespace"].is_null() {
        reference["namespace"] = metadata["namespace"].clone();
    }
    reference
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

/// A reference to an object's controller.
fn controller_reference(object: &Value, controller: &Value) -> Value {
    let mut reference = reference(object);
    for field in ["kind", "apiVersion", "name", "uid"] {
        reference[field] = controller[field].clone();
    }
    reference
}

/// Whether an object is being deleted since this change.
fn begins_to_go(change: &Change) -> bool {
    let going = |object: &Value| !object["metadata"]["deletionTimestamp"].is_null();
    change.old.as_deref().is_some_and(|old| !going(old)) && going(&change.object)
}

/// The controller among an object's owners.
fn controller(object: &Value) -> Option<&Value> {
    list(&object["metadata"]["ownerReferences"]).find(|o| o["controller"] == true)
}

#[cfg(test)]
mod tests;
