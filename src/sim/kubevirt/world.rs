//! What the model has seen, and how it writes: a cache a kind with indexes, filled by watches and by its own writes.

use std::collections::BTreeMap;
use std::sync::Arc;

use http::Method;
use jiff::Timestamp;
use kube::api::ApiResource;
use tokio::time::Instant;

use super::caller::Caller;
use super::index::Indexes;
use super::settings::{Settings, Version};
use crate::sim::clock::{Clock, seconds_text};
use crate::sim::json::{Value, json};
use crate::sim::store::Key;

/// The kinds that the model watches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    KubeVirt,
    Policy,
    Node,
    Vm,
    ReplicaSet,
    Instance,
    Migration,
    Pod,
    Budget,
    Namespace,
    /// A Deployment of KubeVirt's own.
    Component,
}

impl Kind {
    pub(super) const ALL: [Self; 11] = [
        Self::KubeVirt,
        Self::Policy,
        Self::Node,
        Self::Vm,
        Self::ReplicaSet,
        Self::Instance,
        Self::Migration,
        Self::Pod,
        Self::Budget,
        Self::Namespace,
        Self::Component,
    ];

    /// Group, version, kind and plural.
    fn names(self) -> (&'static str, &'static str, &'static str, &'static str) {
        match self {
            Self::KubeVirt => ("kubevirt.io", "v1", "KubeVirt", "kubevirts"),
            Self::Policy => ("migrations.kubevirt.io", "v1alpha1", "MigrationPolicy", "migrationpolicies"),
            Self::Node => ("", "v1", "Node", "nodes"),
            Self::Vm => ("kubevirt.io", "v1", "VirtualMachine", "virtualmachines"),
            Self::ReplicaSet => {
                ("kubevirt.io", "v1", "VirtualMachineInstanceReplicaSet", "virtualmachineinstancereplicasets")
            }
            Self::Instance => ("kubevirt.io", "v1", "VirtualMachineInstance", "virtualmachineinstances"),
            Self::Migration => {
                ("kubevirt.io", "v1", "VirtualMachineInstanceMigration", "virtualmachineinstancemigrations")
            }
            Self::Pod => ("", "v1", "Pod", "pods"),
            Self::Budget => ("policy", "v1", "PodDisruptionBudget", "poddisruptionbudgets"),
            Self::Namespace => ("", "v1", "Namespace", "namespaces"),
            Self::Component => ("apps", "v1", "Deployment", "deployments"),
        }
    }

    /// The path of its objects in a namespace (or, without one, in all), or of the one of that name.
    pub(super) fn path(self, namespace: &str, name: &str) -> String {
        let (group, version, _, plural) = self.names();
        let root = if group.is_empty() { "/api" } else { "/apis/" };
        let within = if namespace.is_empty() { "" } else { "/namespaces/" };
        let slash = if name.is_empty() { "" } else { "/" };
        format!("{root}{group}/{version}{within}{namespace}/{plural}{slash}{name}")
    }

    pub(super) fn resource(self) -> ApiResource {
        let (group, version, kind, plural) = self.names();
        let api_version = if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") };
        ApiResource {
            group: group.into(),
            version: version.into(),
            api_version,
            kind: kind.into(),
            plural: plural.into(),
        }
    }

    /// Of pods and Deployments only KubeVirt's own are watched.
    pub(super) fn labels(self) -> Option<&'static str> {
        match self {
            Self::Pod => Some("kubevirt.io in (virt-launcher,hotplug-disk)"),
            Self::Component => Some("kubevirt.io in (virt-api,virt-controller)"),
            _ => None,
        }
    }

    /// `/status` is a subresource. That of a VMI isn't.
    pub(super) fn has_status(self) -> bool {
        self != Self::Instance
    }
}

/// Why a write didn't happen.
#[derive(Debug, thiserror::Error)]
pub(super) enum Trouble {
    /// The object is gone.
    #[error("gone")]
    Gone,
    /// The cache was behind: look again.
    #[error("conflict")]
    Conflict,
    /// A ResourceQuota has no room for it.
    #[error("{0}")]
    Quota(String),
    /// Anything else.
    #[error("{0}")]
    Refused(String),
}

impl From<kube::Error> for Trouble {
    fn from(error: kube::Error) -> Self {
        match error {
            kube::Error::Api(status) if status.code == 404 => Self::Gone,
            kube::Error::Api(status) if status.code == 409 => Self::Conflict,
            kube::Error::Api(status) if status.code == 403 && status.message.contains("exceeded quota") => {
                Self::Quota(status.message.clone())
            }
            other => Self::Refused(other.to_string()),
        }
    }
}

static NULL: Value = Value::Null;

/// A stored object.
pub(super) type Object = Arc<Value>;

/// When something began, and the clock that measures it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Since {
    pub begun: Instant,
    pub clock: Clock,
}

/// The cache, the client, and what is remembered between looks.
pub(super) struct World {
    pub caller: Caller,
    pub clock: Clock,
    pub settings: Settings,
    objects: BTreeMap<Kind, BTreeMap<Key, Object>>,
    pub indexes: Indexes,
    /// Objects looked at: how much work a decision is.
    #[cfg(test)]
    pub looked: std::sync::atomic::AtomicUsize,
    /// When something was first seen: a guest booting, a transfer under way.
    since: BTreeMap<(String, &'static str), Instant>,
    /// Failed migrations of a VMI, by UID: what `migration-fails` counts.
    pub failures: BTreeMap<String, u32>,
    /// By owner of a VMI: a domain, and what the launcher for it was seen to request.
    computes: BTreeMap<String, (Value, Value)>,
    counter: u64,
}

impl World {
    pub(super) fn new(caller: Caller, clock: Clock, settings: Settings) -> Self {
        Self {
            caller,
            clock,
            settings,
            objects: BTreeMap::new(),
            indexes: Indexes::default(),
            #[cfg(test)]
            looked: std::sync::atomic::AtomicUsize::new(0),
            since: BTreeMap::new(),
            failures: BTreeMap::new(),
            computes: BTreeMap::new(),
            counter: 0,
        }
    }

    pub(super) fn get(&self, kind: Kind, key: &Key) -> Option<&Object> {
        self.look();
        self.objects.get(&kind)?.get(key)
    }

    /// All of a kind: never in answer to a change, but where the kind is few.
    pub(super) fn all(&self, kind: Kind) -> impl Iterator<Item = (&Key, &Object)> {
        self.objects.get(&kind).into_iter().flatten().inspect(|_| self.look())
    }

    #[cfg(test)]
    fn look(&self) {
        self.looked.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    }

    #[cfg(not(test))]
    #[allow(clippy::unused_self, reason = "it counts in tests")]
    fn look(&self) {}

    pub(super) fn node(&self, name: &str) -> Option<&Object> {
        self.get(Kind::Node, &Key::new("", name))
    }

    /// Objects of a kind that name this UID as an owner.
    pub(super) fn owned(&self, uid: &str, kind: Kind) -> impl Iterator<Item = &Object> {
        let owned = self.indexes.owned(uid).filter(move |(k, _)| *k == kind);
        owned.filter_map(|(kind, key)| self.get(*kind, key))
    }

    /// VMIs whose status names the node.
    pub(super) fn vmis_on(&self, node: &str) -> impl Iterator<Item = &Object> {
        self.indexes.vmis_on(node).filter_map(|key| self.get(Kind::Instance, key))
    }

    /// KubeVirt's pods that are bound to the node.
    pub(super) fn pods_on(&self, node: &str) -> impl Iterator<Item = &Object> {
        self.indexes.pods_on(node).filter_map(|key| self.get(Kind::Pod, key))
    }

    /// The migrations of a VMI.
    pub(super) fn migrations_of(&self, vmi: &Key) -> impl Iterator<Item = &Object> {
        self.indexes.migrations_of(vmi).filter_map(|key| self.get(Kind::Migration, key))
    }

    /// Puts an object into the cache unless a newer one is there. True if it was news.
    pub(super) fn put(&mut self, kind: Kind, object: Object) -> bool {
        let key = Key::of(&object);
        let known = self.get(kind, &key).cloned();
        if let Some(known) = &known {
            let version = |o: &Value| text(&o["metadata"]["resourceVersion"]).parse::<u64>().ok();
            let same_life = known["metadata"]["uid"] == object["metadata"]["uid"];
            if same_life && version(&object) <= version(known) {
                return false;
            }
        }
        self.indexes.replace(kind, &key, known.as_deref(), Some(&object));
        self.objects.entry(kind).or_default().insert(key, object);
        true
    }

    /// Forgets an object.
    pub(super) fn forget(&mut self, kind: Kind, key: &Key) {
        if let Some(object) = self.get(kind, key).cloned() {
            let uid = uid(&object).to_owned();
            let begun = self.since.range((uid.clone(), "")..).take_while(|((of, _), _)| *of == uid);
            for key in begun.map(|(key, _)| key.clone()).collect::<Vec<_>>() {
                self.since.remove(&key);
            }
            if kind == Kind::Instance {
                self.failures.remove(&uid);
            }
            self.computes.remove(&uid);
            self.indexes.replace(kind, key, Some(&object), None);
        }
        if let Some(objects) = self.objects.get_mut(&kind) {
            objects.remove(key);
        }
    }

    /// What a launcher for this VMI's domain was seen to request.
    pub(super) fn compute_of(&self, vmi: &Value) -> Option<&Value> {
        let (domain, compute) = self.computes.get(lineage(vmi))?;
        (*domain == vmi["spec"]["domain"]).then_some(compute)
    }

    /// Keeps in mind what a launcher requests: for the VMIs that follow this one, too.
    pub(super) fn remember_compute(&mut self, vmi: &Value, compute: &Value) {
        if self.compute_of(vmi) != Some(compute) {
            let seen = (vmi["spec"]["domain"].clone(), compute.clone());
            self.computes.insert(lineage(vmi).to_owned(), seen);
        }
    }

    /// The keys of a kind: to find out what a new list no longer names.
    pub(super) fn keys(&self, kind: Kind) -> Vec<Key> {
        self.all(kind).map(|(key, _)| key.clone()).collect()
    }

    /// The time.
    pub(super) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// The time in the API's form.
    pub(super) fn now_text(&self) -> String {
        seconds_text(self.clock.now())
    }

    /// When this was first asked for an object: the beginning of something that takes time.
    pub(super) fn since(&mut self, uid: &str, what: &'static str) -> Since {
        let clock = self.clock;
        let begun = *self.since.entry((uid.to_owned(), what)).or_insert_with(|| clock.instant());
        Since { begun, clock }
    }

    /// True when this is asked for the first time of an object.
    pub(super) fn is_first(&mut self, uid: &str, what: &'static str) -> bool {
        self.since.insert((uid.to_owned(), what), self.clock.instant()).is_none()
    }

    /// Whether this was ever asked for of an object, and not forgotten.
    pub(super) fn has_begun(&self, uid: &str, what: &'static str) -> bool {
        self.since.contains_key(&(uid.to_owned(), what))
    }

    /// Forgets a beginning.
    pub(super) fn reset(&mut self, uid: &str, what: &'static str) {
        self.since.remove(&(uid.to_owned(), what));
    }

    /// A number that depends on the seed and the text only.
    pub(super) fn chance(&self, texts: &[&str]) -> u64 {
        crate::sim::store::mix_text(self.settings.seed, texts)
    }

    /// A number that is another each time, in an order that depends on the seed only.
    pub(super) fn next(&mut self) -> u64 {
        self.counter += 1;
        crate::sim::store::mix_text(self.settings.seed, &["next", &self.counter.to_string()])
    }

    /// The cluster's KubeVirt object; null without one.
    pub(super) fn installation(&self) -> &Value {
        self.all(Kind::KubeVirt).next().map_or(&NULL, |(_, object)| object)
    }

    /// Its `spec.configuration`.
    pub(super) fn configuration(&self) -> &Value {
        &self.installation()["spec"]["configuration"]
    }

    /// A whole number of `configuration.migrations`.
    pub(super) fn migration_limit(&self, field: &str, default: u64) -> u64 {
        super::guest::bytes(&self.configuration()["migrations"][field]).unwrap_or(default)
    }

    /// The version that is played.
    pub(super) fn version(&self) -> Version {
        let observed = || text(&self.installation()["status"]["observedKubeVirtVersion"]);
        self.settings.version.unwrap_or_else(|| Version::parse(observed()))
    }

    /// A feature gate of the KubeVirt object.
    pub(super) fn gate(&self, name: &str) -> bool {
        let gates = &self.configuration()["developerConfiguration"]["featureGates"];
        gates.as_array().is_some_and(|g| g.contains(&json!(name)))
    }

    /// Sends an object, and gives it as it is stored.
    async fn send(&self, method: Method, path: &str, object: Value) -> Result<Object, Trouble> {
        Ok(Arc::new(self.caller.send(method, path, Some(object)).await?))
    }

    /// Creates an object.
    pub(super) async fn create(&mut self, kind: Kind, object: Value) -> Result<Object, Trouble> {
        let path = kind.path(text(&object["metadata"]["namespace"]), "");
        let created = self.send(Method::POST, &path, object).await?;
        self.put(kind, created.clone());
        Ok(created)
    }

    /// Changes an object, its status included, with its resourceVersion as the precondition. Nothing is sent when nothing
    /// changes.
    pub(super) async fn update(
        &mut self,
        kind: Kind,
        key: &Key,
        change: impl FnOnce(&mut Value),
    ) -> Result<(), Trouble> {
        let old = self.get(kind, key).cloned().ok_or(Trouble::Gone)?;
        let mut new = (*old).clone();
        change(&mut new);
        let status = new["status"].clone();
        let only_status = kind.has_status();
        let differs = |a: &Value, b: &Value| {
            a["metadata"] != b["metadata"]
                || a["spec"] != b["spec"]
                || (!only_status && a["status"] != b["status"])
        };
        if differs(&old, &new) {
            let stored = self.send(Method::PUT, &kind.path(&key.namespace, &key.name), new).await?;
            new = (*stored).clone();
            self.put(kind, stored);
        }
        if kind.has_status() && old["status"] != status {
            new["status"] = status;
            let path = kind.path(&key.namespace, &key.name) + "/status";
            let stored = self.send(Method::PUT, &path, new).await?;
            self.put(kind, stored);
        }
        Ok(())
    }

    /// Deletes an object of this UID.
    pub(super) async fn delete(&mut self, kind: Kind, object: &Value) -> Result<(), Trouble> {
        self.delete_within(kind, object, None).await
    }

    /// Takes a pod away though nobody has stopped it.
    pub(super) async fn force_delete(&mut self, pod: &Value) -> Result<(), Trouble> {
        self.delete_within(Kind::Pod, pod, Some(0)).await
    }

    async fn delete_within(
        &mut self,
        kind: Kind,
        object: &Value,
        grace_seconds: Option<u32>,
    ) -> Result<(), Trouble> {
        let key = Key::of(object);
        let mut options = json!({"preconditions": {"uid": object["metadata"]["uid"]}});
        if let Some(seconds) = grace_seconds {
            options["gracePeriodSeconds"] = json!(seconds);
        }
        match self.caller.send(Method::DELETE, &kind.path(&key.namespace, &key.name), Some(options)).await {
            Ok(_) => Ok(()),
            Err(error) => match Trouble::from(error) {
                Trouble::Gone | Trouble::Conflict => Ok(()),
                refused => Err(refused),
            },
        }
    }

    /// Writes an event about an object. Events are for people: a refusal is passed over.
    pub(super) async fn event(&mut self, about: &Value, kind: &str, reason: &str, message: &str) {
        let key = Key::of(about);
        let now = self.now_text();
        let suffix = self.next();
        let event = json!({
            "metadata": {"namespace": key.namespace, "name": format!("{}.{suffix:016x}", key.name)},
            "involvedObject": {
                "apiVersion": about["apiVersion"], "kind": about["kind"], "name": key.name,
                "namespace": key.namespace, "uid": about["metadata"]["uid"],
            },
            "type": kind, "reason": reason, "message": message, "count": 1,
            "firstTimestamp": now, "lastTimestamp": now, "source": {"component": "virtualmachine-controller"},
        });
        let path = format!("/api/v1/namespaces/{}/events", key.namespace);
        let _ = self.caller.send(Method::POST, &path, Some(event)).await;
    }
}

pub(super) fn owners(object: &Value) -> impl Iterator<Item = &Value> {
    object["metadata"]["ownerReferences"].as_array().into_iter().flatten()
}

/// The controlling owner of a kind: its name.
pub(super) fn owned_by<'a>(object: &'a Value, kind: &str) -> Option<&'a str> {
    owners(object).find(|o| o["kind"] == kind && o["controller"] == true)?["name"].as_str()
}

/// What stays when a VMI is replaced: the UID of its owner; a bare one has only its own.
fn lineage(vmi: &Value) -> &str {
    let owner = owners(vmi).find(|o| o["controller"] == true);
    owner.map_or_else(|| uid(vmi), |owner| text(&owner["uid"]))
}

/// The VMI that a migration is about.
pub(super) fn vmi_of(migration: &Value) -> Key {
    Key::new(text(&migration["metadata"]["namespace"]), text(&migration["spec"]["vmiName"]))
}

pub(super) fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

pub(super) fn uid(object: &Value) -> &str {
    text(&object["metadata"]["uid"])
}

pub(super) fn is_deleting(object: &Value) -> bool {
    !object["metadata"]["deletionTimestamp"].is_null()
}

/// `Succeeded` or `Failed`.
pub(super) fn is_final(object: &Value) -> bool {
    matches!(object["status"]["phase"].as_str(), Some("Succeeded" | "Failed"))
}

/// A reference to a controlling owner.
pub(super) fn reference(owner: &Value) -> Value {
    json!({
        "apiVersion": owner["apiVersion"], "kind": owner["kind"], "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"], "controller": true, "blockOwnerDeletion": true,
    })
}
