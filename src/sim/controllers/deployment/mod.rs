//! Deployments: a ReplicaSet for each template, revisions, rolling updates, Recreate, pausing, scaling, history.

mod progress;
mod roll;

use std::time::Duration;

use jiff::Timestamp;

use super::pods;
use crate::sim::json::{Map, Value, json};
use crate::sim::store::{DeleteOptions, Key, Object, Store, mix_text};

const SETS: &str = "replicasets.apps";
const DEPLOYMENTS: &str = "deployments.apps";
const HASH: &str = "pod-template-hash";
const REVISION: &str = "deployment.kubernetes.io/revision";
const HISTORY: &str = "deployment.kubernetes.io/revision-history";
const DESIRED: &str = "deployment.kubernetes.io/desired-replicas";
const MOST: &str = "deployment.kubernetes.io/max-replicas";
const APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// A Deployment with its sets at the beginning of a round.
struct Rollout {
    deployment: Object,
    /// The set of the present template.
    new: Option<Object>,
    /// The others, the oldest first.
    old: Vec<Object>,
}

/// The hash that tells one pod template from another.
fn template_hash(template: &Value) -> String {
    format!("{:010x}", mix_text(0, &[&template.to_string()]) & 0xff_ffff_ffff)
}

/// One round of a deployment.
pub(super) fn reconcile(store: &mut Store, key: &Key, now: Timestamp) -> Option<Duration> {
    let deployment = store.get_key(DEPLOYMENTS, key).cloned()?;
    if !deployment["metadata"]["deletionTimestamp"].is_null() {
        return None;
    }
    progress::note_pause(store, key, now);
    let paused = deployment["spec"]["paused"] == true;
    let recreate = deployment["spec"]["strategy"]["type"] == "Recreate";
    let mut rollout = Rollout::of(store, key)?;
    if rollout.new.is_none() && !paused && !(recreate && roll::is_old_running(store, &rollout)) {
        create_set(store, &rollout, now);
        rollout = Rollout::of(store, key)?;
    }
    if !paused {
        number(store, &rollout);
        rollout = rollout.refreshed(store, key)?;
    }
    if paused || roll::is_scaled(&rollout) {
        roll::scale_all(store, &rollout);
    } else if recreate {
        roll::recreate(store, &rollout);
    } else {
        roll::update(store, &rollout);
    }
    let rollout = rollout.refreshed(store, key)?;
    let again = progress::report(store, key, &rollout, now);
    if progress::is_complete(store, key) {
        forget(store, rollout);
    }
    again
}

impl Rollout {
    fn of(store: &Store, key: &Key) -> Option<Self> {
        let deployment = store.get_key(DEPLOYMENTS, key).cloned()?;
        let uid = deployment["metadata"]["uid"].as_str().unwrap_or_default();
        let mut old: Vec<Object> = store.owned_by(uid, SETS).cloned().collect();
        let born = |set: &Object| (set["metadata"]["creationTimestamp"].to_string(), Key::of(set));
        if old.len() > 1 {
            old.sort_by_cached_key(born);
        }
        // A dump's sets have hashes of the real controller's: the template itself says which is the present one. Among several
        // with it the newest revision is the one that the Deployment uses.
        let wanted = &deployment["spec"]["template"];
        let matching = old.iter().filter(|set| is_same_template(&set["spec"]["template"], wanted));
        let new = matching.max_by_key(|set| revision(set)).cloned();
        if let Some(new) = &new {
            old.retain(|set| !Object::ptr_eq(set, new));
        }
        Some(Self { deployment, new, old })
    }

    /// As it is now: itself, if nothing has been written since it was read.
    fn refreshed(self, store: &Store, key: &Key) -> Option<Self> {
        let deployment = store.get_key(DEPLOYMENTS, key)?;
        let uid = deployment["metadata"]["uid"].as_str().unwrap_or_default();
        let mut sets = 0;
        let is_known = |set: &Object| self.all().any(|known| Object::ptr_eq(known, set));
        let same = store.owned_by(uid, SETS).inspect(|_| sets += 1).all(is_known);
        let same = same && sets == self.all().count() && Object::ptr_eq(deployment, &self.deployment);
        if same { Some(self) } else { Self::of(store, key) }
    }

    fn wanted(&self) -> i64 {
        self.deployment["spec"]["replicas"].as_i64().unwrap_or(1)
    }

    fn all(&self) -> impl Iterator<Item = &Object> {
        self.old.iter().chain(&self.new)
    }

    fn asked_of_all(&self) -> i64 {
        self.all().map(|s| asked(s)).sum()
    }

    /// How many pods more, and how many available ones fewer, there may be.
    fn limits(&self) -> (i64, i64) {
        if self.deployment["spec"]["strategy"]["type"] == "Recreate" {
            return (0, 0);
        }
        let rolling = &self.deployment["spec"]["strategy"]["rollingUpdate"];
        let surge = pods::scaled(&rolling["maxSurge"], self.wanted(), true);
        let unavailable = pods::scaled(&rolling["maxUnavailable"], self.wanted(), false);
        if surge == 0 && unavailable == 0 { (0, 1) } else { (surge, unavailable.min(self.wanted())) }
    }
}

fn asked(set: &Value) -> i64 {
    set["spec"]["replicas"].as_i64().unwrap_or(0)
}

fn counted(object: &Value, field: &str) -> i64 {
    object["status"][field].as_i64().unwrap_or(0)
}

fn annotation(object: &Value, name: &str) -> Option<i64> {
    object["metadata"]["annotations"][name].as_str()?.parse().ok()
}

fn revision(set: &Value) -> i64 {
    annotation(set, REVISION).unwrap_or(0)
}

/// Whether two templates are one but for the hash of a set, as the API server compares: an absent map or list is an empty
/// one.
fn is_same_template(a: &Value, b: &Value) -> bool {
    let none = Map::new();
    let (Some(x), Some(y)) = (a.as_object(), b.as_object()) else { return a == b };
    let maps = |path: &str, ignored: &[&str]| {
        let [x, y] = [a, b].map(|of| of.pointer(path).and_then(Value::as_object).unwrap_or(&none));
        same_but(x, y, ignored)
    };
    same_but(x, y, &["metadata"])
        && maps("/metadata", &["labels", "annotations"])
        && maps("/metadata/labels", &[HASH])
        && maps("/metadata/annotations", &[])
}

fn same_but(x: &Map, y: &Map, ignored: &[&str]) -> bool {
    let counts = |key: &str, value: &Value| !ignored.contains(&key) && !is_absent(value);
    x.iter().all(|(k, v)| !counts(k, v) || y.get(k).is_some_and(|w| is_same(v, w)))
        && y.iter().all(|(k, w)| !counts(k, w) || x.get(k).is_some_and(|v| !is_absent(v)))
}

fn is_same(a: &Value, b: &Value) -> bool {
    // As most are, without a look for each field.
    if a == b {
        return true;
    }
    match (a, b) {
        (Value::Object(x), Value::Object(y)) => same_but(x, y, &[]),
        (Value::Array(x), Value::Array(y)) => {
            x.len() == y.len() && x.iter().zip(y).all(|(a, b)| is_same(a, b))
        }
        _ => false,
    }
}

fn is_absent(value: &Value) -> bool {
    value.is_null() || value.as_array().is_some_and(Vec::is_empty)
}

/// The annotations of a Deployment that its sets share.
fn shared_annotations(deployment: &Value) -> Map {
    let mut shared = deployment["metadata"]["annotations"].as_object().cloned().unwrap_or_default();
    for own in [REVISION, HISTORY, DESIRED, MOST, APPLIED] {
        shared.remove(own);
    }
    shared
}

fn create_set(store: &mut Store, rollout: &Rollout, now: Timestamp) {
    let deployment = &rollout.deployment;
    let hash = template_hash(&deployment["spec"]["template"]);
    let name = format!("{}-{hash}", deployment["metadata"]["name"].as_str().unwrap_or_default());
    let mut template = deployment["spec"]["template"].clone();
    template["metadata"]["labels"][HASH] = json!(hash);
    let mut selector = deployment["spec"]["selector"].clone();
    selector["matchLabels"][HASH] = json!(hash);
    let mut annotations = shared_annotations(deployment);
    let newest = rollout.old.iter().map(|s| revision(s)).max().unwrap_or(0);
    let (surge, _) = rollout.limits();
    annotations.insert(REVISION.to_owned(), json!((newest + 1).to_string()));
    annotations.insert(DESIRED.to_owned(), json!(rollout.wanted().to_string()));
    annotations.insert(MOST.to_owned(), json!((rollout.wanted() + surge).to_string()));
    let room = (rollout.wanted() + surge - rollout.asked_of_all()).clamp(0, rollout.wanted());
    let replicas = if deployment["spec"]["strategy"]["type"] == "Recreate" { rollout.wanted() } else { room };
    let mut set = json!({
        "metadata": {
            "name": name, "namespace": deployment["metadata"]["namespace"], "labels": template["metadata"]["labels"],
            "annotations": annotations, "ownerReferences": [pods::reference(deployment)],
        },
        "spec": {"replicas": replicas, "selector": selector, "template": template},
    });
    if let Some(ready) = deployment["spec"]["minReadySeconds"].as_i64() {
        set["spec"]["minReadySeconds"] = json!(ready);
    }
    if store.create(SETS, set).is_ok() {
        progress::note_new_set(store, &Key::of(deployment), &name, now);
    }
}

/// Gives the present set the newest revision, and the Deployment the same.
fn number(store: &mut Store, rollout: &Rollout) {
    let Some(new) = &rollout.new else { return };
    let newest = rollout.old.iter().map(|s| revision(s)).max().unwrap_or(0);
    let have = revision(new);
    let number = if have > newest { have } else { newest + 1 };
    let shared = shared_annotations(&rollout.deployment);
    let text = number.to_string();
    let says = |object: &Value| object["metadata"]["annotations"][REVISION] == text;
    let carries = |shared: &Map| {
        let annotations = &new["metadata"]["annotations"];
        shared.is_empty() || annotations.as_object().is_some_and(|own| own.includes(shared))
    };
    if number == have && says(&rollout.deployment) && carries(&shared) {
        return;
    }
    store.modify(SETS, &Key::of(new), |set| {
        for (key, value) in shared {
            set["metadata"]["annotations"][key] = value;
        }
        if number != have {
            if have > 0 {
                let before = set["metadata"]["annotations"][HISTORY].as_str().map(str::to_owned);
                let history = before.map_or_else(|| have.to_string(), |before| format!("{before},{have}"));
                set["metadata"]["annotations"][HISTORY] = json!(history);
            }
            set["metadata"]["annotations"][REVISION] = json!(number.to_string());
        }
    });
    store.modify(DEPLOYMENTS, &Key::of(&rollout.deployment), |deployment| {
        deployment["metadata"]["annotations"][REVISION] = json!(number.to_string());
    });
}

/// Sets that have no pods any more go, the oldest revision first, up to the history that is kept.
fn forget(store: &mut Store, mut rollout: Rollout) {
    let kept = rollout.deployment["spec"]["revisionHistoryLimit"].as_i64().unwrap_or(10).max(0) as usize;
    let surplus = rollout.old.len().saturating_sub(kept);
    rollout.old.sort_by_key(|set| revision(set));
    for set in rollout.old.iter().take(surplus) {
        if asked(set) == 0 && counted(set, "replicas") == 0 && set["metadata"]["deletionTimestamp"].is_null()
        {
            let _ = store.delete(SETS, &Key::of(set), &DeleteOptions::default());
        }
    }
}
