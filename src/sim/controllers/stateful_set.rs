//! StatefulSets: stable names, one after the other (or Parallel), claims from templates, revisions, partitions.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;

use super::pods;
use super::revision::{self, LABEL};
use crate::sim::json::{Value, json};
use crate::sim::store::{DeleteOptions, Key, Object, Store};

const SETS: &str = "statefulsets.apps";

/// A set in one round.
struct Round {
    set: Object,
    /// Name of the newest revision, and of the one that pods which aren't to be updated yet have.
    newest: String,
    current: String,
    first: i64,
    wanted: i64,
    parallel: bool,
    now: Timestamp,
}

/// One round of a StatefulSet.
pub(super) fn reconcile(store: &mut Store, key: &Key, now: Timestamp) -> Option<Duration> {
    let set = store.get_key(SETS, key).cloned()?;
    if !set["metadata"]["deletionTimestamp"].is_null() {
        return None;
    }
    let newest = revision::current(store, &set);
    let current =
        set["status"]["currentRevision"].as_str().filter(|r| !r.is_empty()).unwrap_or(&newest).to_owned();
    let round = Round {
        newest,
        current,
        first: set["spec"]["ordinals"]["start"].as_i64().unwrap_or(0),
        wanted: set["spec"]["replicas"].as_i64().unwrap_or(1).max(0),
        parallel: set["spec"]["podManagementPolicy"] == "Parallel",
        set,
        now,
    };
    if round.fill(store) && round.shrink(store) {
        round.update_one(store);
    }
    round.report(store, key)
}

/// Running, ready for long enough, and not on its way out.
fn is_healthy(pod: &Value, round: &Round) -> bool {
    pod["metadata"]["deletionTimestamp"].is_null()
        && pods::is_available(pod, pods::min_ready_seconds(&round.set), round.now)
}

impl Round {
    fn name(&self, ordinal: i64) -> String {
        format!("{}-{ordinal}", self.set["metadata"]["name"].as_str().unwrap_or_default())
    }

    fn namespace(&self) -> &str {
        self.set["metadata"]["namespace"].as_str().unwrap_or_default()
    }

    fn ordinals(&self) -> std::ops::Range<i64> {
        self.first..self.first + self.wanted
    }

    /// The first ordinal that is updated.
    fn partition(&self) -> i64 {
        let partition =
            self.set["spec"]["updateStrategy"]["rollingUpdate"]["partition"].as_i64().unwrap_or(0);
        self.first + partition
    }

    /// The revision that a pod which is made anew gets.
    fn revision_for(&self, ordinal: i64) -> &str {
        if self.set["spec"]["updateStrategy"]["type"] == "OnDelete" {
            return &self.newest;
        }
        let keeps = match self.set["spec"]["updateStrategy"]["rollingUpdate"]["partition"].as_i64() {
            Some(partition) if partition > 0 => ordinal < self.partition(),
            _ => ordinal < self.first + self.set["status"]["currentReplicas"].as_i64().unwrap_or(0),
        };
        if keeps { &self.current } else { &self.newest }
    }

    /// Makes what is missing, in order. True if all the pods are there, as healthy as the order asks for.
    fn fill(&self, store: &mut Store) -> bool {
        for ordinal in self.ordinals() {
            let name = self.name(ordinal);
            let pod = store.get("pods", self.namespace(), &name).cloned();
            match pod {
                Some(pod)
                    if pods::controller(&pod).is_none_or(|c| c["uid"] != self.set["metadata"]["uid"]) =>
                {
                    return false;
                }
                Some(pod) if matches!(pod["status"]["phase"].as_str(), Some("Failed" | "Succeeded")) => {
                    if pod["metadata"]["deletionTimestamp"].is_null() {
                        let _ = store.delete("pods", &Key::of(&pod), &DeleteOptions::default());
                    }
                    if !self.parallel {
                        return false;
                    }
                }
                Some(pod) => {
                    if !self.parallel && !is_healthy(&pod, self) {
                        return false;
                    }
                }
                None => {
                    self.create(store, ordinal, &name);
                    if !self.parallel {
                        return false;
                    }
                }
            }
        }
        true
    }

    fn create(&self, store: &mut Store, ordinal: i64, name: &str) {
        let wanted = self.revision_for(ordinal);
        let of_revision = revision::template(store, self.namespace(), wanted);
        let (mut set, revision) = match of_revision {
            Some(template) => {
                let mut set = (*self.set).clone();
                set["spec"]["template"] = template;
                (set, wanted)
            }
            None => ((*self.set).clone(), self.newest.as_str()),
        };
        let mut pod = pods::from_template(&set);
        pod["metadata"]["name"] = json!(name);
        let prefix = set["metadata"]["name"].as_str().unwrap_or_default();
        pod["metadata"]["generateName"] = json!(format!("{prefix}-"));
        pod["metadata"]["labels"]["statefulset.kubernetes.io/pod-name"] = json!(name);
        pod["metadata"]["labels"]["apps.kubernetes.io/pod-index"] = json!(ordinal.to_string());
        pod["metadata"]["labels"][LABEL] = json!(revision);
        pod["spec"]["hostname"] = json!(name);
        if let Some(service) = set["spec"]["serviceName"].as_str().filter(|s| !s.is_empty()) {
            pod["spec"]["subdomain"] = json!(service);
        }
        let templates = set["spec"]["volumeClaimTemplates"].take();
        for template in templates.as_array().into_iter().flatten() {
            self.claim(store, &mut pod, template, name);
        }
        pods::create(store, pod);
    }

    /// The claim of a pod: made once, and kept when the pod goes.
    fn claim(&self, store: &mut Store, pod: &mut Value, template: &Value, name: &str) {
        let volume = template["metadata"]["name"].as_str().unwrap_or_default();
        let claim = format!("{volume}-{name}");
        if store.get("persistentvolumeclaims", self.namespace(), &claim).is_none() {
            let mut object = template.clone();
            object["metadata"]["name"] = json!(claim);
            object["metadata"]["namespace"] = json!(self.namespace());
            object["metadata"]["labels"] = self.set["spec"]["selector"]["matchLabels"].clone();
            object["status"] = json!({"phase": "Pending"});
            let _ = store.create("persistentvolumeclaims", object);
        }
        if !pod["spec"]["volumes"].is_array() {
            pod["spec"]["volumes"] = json!([]);
        }
        if let Some(volumes) = pod["spec"]["volumes"].as_array_mut() {
            volumes.retain(|v| v["name"] != volume);
            volumes.push(json!({"name": volume, "persistentVolumeClaim": {"claimName": claim}}));
        }
    }

    fn mine(&self, store: &Store) -> Vec<(i64, Object)> {
        let prefix = format!("{}-", self.set["metadata"]["name"].as_str().unwrap_or_default());
        let ordinal = |p: &Object| p["metadata"]["name"].as_str()?.strip_prefix(&prefix)?.parse::<i64>().ok();
        let pods = pods::of(store, &self.set).into_iter();
        let mut mine: Vec<(i64, Object)> = pods.filter_map(|p| Some((ordinal(&p)?, p))).collect();
        mine.sort_by_key(|(ordinal, _)| *ordinal);
        mine
    }

    /// Surplus pods go, the highest first; one at a time, while all others are healthy, unless Parallel. True if none is left.
    fn shrink(&self, store: &mut Store) -> bool {
        let mut surplus: Vec<(i64, Object)> =
            self.mine(store).into_iter().filter(|(o, _)| !self.ordinals().contains(o)).collect();
        let none = surplus.is_empty();
        surplus.reverse();
        let lowest_sick = surplus.iter().rev().find(|(_, p)| !is_healthy(p, self)).map(|(o, _)| *o);
        for (ordinal, pod) in surplus {
            let leaving = !pod["metadata"]["deletionTimestamp"].is_null();
            if self.parallel {
                if !leaving {
                    let _ = store.delete("pods", &Key::of(&pod), &DeleteOptions::default());
                }
                continue;
            }
            if !leaving && (is_healthy(&pod, self) || lowest_sick == Some(ordinal)) {
                let _ = store.delete("pods", &Key::of(&pod), &DeleteOptions::default());
            }
            return false;
        }
        none
    }

    /// One pod of another revision goes, the highest first, while those above it are healthy.
    fn update_one(&self, store: &mut Store) {
        if self.set["spec"]["updateStrategy"]["type"] == "OnDelete" {
            return;
        }
        for ordinal in self.ordinals().rev().filter(|o| *o >= self.partition()) {
            let Some(pod) = store.get("pods", self.namespace(), &self.name(ordinal)).cloned() else { return };
            // A pod that was written by hand has none.
            let label = &pod["metadata"]["labels"][LABEL];
            let leaving = !pod["metadata"]["deletionTimestamp"].is_null();
            if !label.is_null() && label != self.newest.as_str() && !leaving {
                let _ = store.delete("pods", &Key::of(&pod), &DeleteOptions::default());
                return;
            }
            if !is_healthy(&pod, self) {
                return;
            }
        }
    }

    fn report(&self, store: &mut Store, key: &Key) -> Option<Duration> {
        let mine: Vec<Object> = self.mine(store).into_iter().map(|(_, p)| p).collect();
        let least = pods::min_ready_seconds(&self.set);
        let alive: Vec<Object> = mine.iter().filter(|p| pods::is_active(p)).cloned().collect();
        let ready = mine.iter().filter(|p| p["status"]["phase"] == "Running" && pods::is_ready(p)).count();
        let available = mine
            .iter()
            .filter(|p| p["status"]["phase"] == "Running" && pods::is_available(p, least, self.now))
            .count();
        let of = |revision: &str| alive.iter().filter(|p| p["metadata"]["labels"][LABEL] == revision).count();
        let by_hand = alive.iter().filter(|p| p["metadata"]["labels"][LABEL].is_null()).count();
        let updated = of(&self.newest) + by_hand;
        let rolling = self.set["spec"]["updateStrategy"]["type"] != "OnDelete";
        let done = updated == mine.len() && ready == mine.len() && (rolling || self.current == self.newest);
        let current = if done { self.newest.clone() } else { self.current.clone() };
        let with_current = if current == self.newest { updated } else { of(&current) };
        let live: BTreeSet<String> = mine
            .iter()
            .filter_map(|p| p["metadata"]["labels"][LABEL].as_str().map(str::to_owned))
            .chain([self.newest.clone(), current.clone()])
            .collect();
        store.modify(SETS, key, |set| {
            set["status"] = json!({
                "observedGeneration": set["metadata"]["generation"], "replicas": mine.len(), "readyReplicas": ready,
                "availableReplicas": available, "currentReplicas": with_current, "updatedReplicas": updated,
                "currentRevision": current, "updateRevision": self.newest, "collisionCount": 0,
            });
        });
        revision::forget(store, &self.set, &live);
        pods::next_available(&alive, least, self.now)
    }
}
