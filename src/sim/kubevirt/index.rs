//! What the model asks for by something else than a key: so that no change makes it look at the whole cluster.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use super::world::{Kind, is_deleting, is_final, owners, text, uid, vmi_of};
use crate::sim::json::{Text, Value};
use crate::sim::store::Key;

const JOB: &str = "kubevirt.io/migrationJobUID";
const DRAINS: &str = "kubevirt.io/evacuationMigration";
/// How many nodes bear them is asked for, of labels that begin so.
const COUNTED: [&str; 2] = ["machine-type.node.kubevirt.io/", "host-model-cpu.node.kubevirt.io/"];

/// A pending migration's place in the queue: who is least goes first.
pub(super) type Place = (u32, String, Key);

/// Where a VMI is, and the migration that it is or was last in: its UID and source.
struct Home {
    node: Text,
    migration: Text,
    source: Text,
}

impl Home {
    fn of(vmi: &Value) -> Self {
        let (status, text) = (&vmi["status"], |v: &Value| v.as_text().cloned().unwrap_or_default());
        let state = &status["migrationState"];
        Self {
            node: text(&status["nodeName"]),
            migration: text(&state["migrationUid"]),
            source: text(&state["sourceNode"]),
        }
    }
}

/// A migration that is not over.
struct Unfinished {
    key: Key,
    vmi: Key,
    /// It is past `Pending`.
    advanced: bool,
    /// The node that it was made to empty.
    drains: Option<String>,
    /// Its place, while it waits.
    place: Option<Place>,
    /// The node that it counts at under the caps, if it does.
    source: Option<Text>,
}

/// Keys by what they refer to.
#[derive(Default)]
pub(super) struct Indexes {
    by_owner: BTreeMap<String, BTreeSet<(Kind, Key)>>,
    vmis_by_node: BTreeMap<String, BTreeSet<Key>>,
    homes: BTreeMap<Key, Home>,
    pods_by_node: BTreeMap<String, BTreeSet<Key>>,
    migrations_by_vmi: BTreeMap<Key, BTreeSet<Key>>,
    /// By UID.
    unfinished: BTreeMap<String, Unfinished>,
    uid_of_migration: BTreeMap<Key, String>,
    drains: BTreeMap<String, usize>,
    targets: BTreeMap<String, BTreeSet<Key>>,
    /// Migrations that hold a place under the caps.
    begun: BTreeSet<Key>,
    /// How many of them count at each node.
    running: BTreeMap<String, usize>,
    /// Migrations that wait for one, by the node of their VMI.
    waiting: BTreeMap<String, BTreeSet<Place>>,
    labels: BTreeMap<String, usize>,
}

fn set<K: Ord, V: Ord>(index: &mut BTreeMap<K, BTreeSet<V>>, key: K, value: V, present: bool) {
    if present {
        index.entry(key).or_default().insert(value);
    } else if let Some(values) = index.get_mut(&key) {
        values.remove(&value);
        if values.is_empty() {
            index.remove(&key);
        }
    }
}

fn count(counts: &mut BTreeMap<String, usize>, key: &str, present: bool) {
    if present {
        *counts.entry(key.to_owned()).or_default() += 1;
    } else if let Some(number) = counts.get_mut(key) {
        *number -= 1;
        if *number == 0 {
            counts.remove(key);
        }
    }
}

/// A place in the queue: evacuations overtake older migrations of users.
fn priority(migration: &Value) -> u32 {
    match text(&migration["spec"]["priority"]) {
        "system-critical" => 100,
        "user-triggered" => 50,
        "system-maintenance" => 20,
        _ => 0,
    }
}

fn place(key: &Key, migration: &Value) -> Option<Place> {
    let waits = migration["status"]["phase"] == "Pending" && !is_deleting(migration);
    let created = text(&migration["metadata"]["creationTimestamp"]).to_owned();
    waits.then(|| (u32::MAX - priority(migration), created, key.clone()))
}

/// All that is looked at here of an object of a kind.
fn facts(kind: Kind, object: &Value) -> [&Value; 7] {
    let (metadata, spec, status) = (&object["metadata"], &object["spec"], &object["status"]);
    let (owners, none) = (&metadata["ownerReferences"], &Value::Null);
    match kind {
        Kind::Instance => [owners, &status["nodeName"], &status["migrationState"], none, none, none, none],
        Kind::Migration => [
            owners,
            &metadata["uid"],
            &metadata["annotations"],
            &metadata["deletionTimestamp"],
            &spec["vmiName"],
            &spec["priority"],
            &status["phase"],
        ],
        Kind::Pod => [owners, &metadata["labels"], &spec["nodeName"], none, none, none, none],
        Kind::Node => [owners, &metadata["labels"], none, none, none, none, none],
        _ => [owners, none, none, none, none, none, none],
    }
}

impl Indexes {
    /// Takes in an object in place of what it was.
    pub(super) fn replace(&mut self, kind: Kind, key: &Key, old: Option<&Value>, new: Option<&Value>) {
        if let (Some(old), Some(new)) = (old, new)
            && facts(kind, old) == facts(kind, new)
        {
            return;
        }
        for (object, present) in [(old, false), (new, true)] {
            if let Some(object) = object {
                self.change(kind, key, object, present);
            }
        }
    }

    /// Takes in an object, or that it is no longer as it was.
    fn change(&mut self, kind: Kind, key: &Key, object: &Value, present: bool) {
        for owner in owners(object) {
            set(&mut self.by_owner, text(&owner["uid"]).to_owned(), (kind, key.clone()), present);
        }
        match kind {
            Kind::Instance => self.instance(key, object, present),
            Kind::Migration => self.migration(key, object, present),
            Kind::Pod => self.pod(key, object, present),
            Kind::Node => {
                let labels = object["metadata"]["labels"].as_object();
                for label in labels.into_iter().flat_map(|l| l.keys()) {
                    if COUNTED.iter().any(|prefix| label.starts_with(prefix)) {
                        count(&mut self.labels, label, present);
                    }
                }
            }
            _ => {}
        }
    }

    fn instance(&mut self, key: &Key, vmi: &Value, present: bool) {
        let home = Home::of(vmi);
        set(&mut self.vmis_by_node, home.node.to_string(), key.clone(), present);
        // Its pending migrations stand in the queue of the node that it is on.
        let uids = self.migrations_by_vmi.get(key).into_iter().flatten();
        let uids: Vec<String> = uids.filter_map(|m| self.uid_of_migration.get(m)).cloned().collect();
        for uid in &uids {
            self.stand(uid, key, false);
        }
        if present {
            self.homes.insert(key.clone(), home);
        } else {
            self.homes.remove(key);
        }
        for uid in &uids {
            self.stand(uid, key, true);
            self.settle(uid);
        }
    }

    /// Puts a migration into the queue of its VMI's node, or takes it out.
    fn stand(&mut self, uid: &str, vmi: &Key, present: bool) {
        let place = self.unfinished.get(uid).and_then(|m| m.place.clone());
        let present = present && !self.targets.contains_key(uid);
        if let Some(place) = place {
            let node = self.homes.get(vmi).map(|home| home.node.to_string()).unwrap_or_default();
            set(&mut self.waiting, node, place, present);
        }
    }

    fn migration(&mut self, key: &Key, migration: &Value, present: bool) {
        let (uid, vmi) = (uid(migration).to_owned(), vmi_of(migration));
        set(&mut self.migrations_by_vmi, vmi.clone(), key.clone(), present);
        if present {
            self.uid_of_migration.insert(key.clone(), uid.clone());
        } else {
            self.uid_of_migration.remove(key);
        }
        if is_final(migration) {
            return;
        }
        if present {
            let phase = text(&migration["status"]["phase"]);
            let drains = migration["metadata"]["annotations"][DRAINS].as_str().map(str::to_owned);
            let advanced = !matches!(phase, "" | "Pending");
            let place = place(key, migration);
            if let Some(node) = &drains {
                count(&mut self.drains, node, true);
            }
            let entry =
                Unfinished { key: key.clone(), vmi: vmi.clone(), advanced, drains, place, source: None };
            self.unfinished.insert(uid.clone(), entry);
            self.stand(&uid, &vmi, true);
        } else {
            self.stand(&uid, &vmi, false);
            if let Some(gone) = self.unfinished.remove(&uid) {
                if let Some(node) = gone.drains {
                    count(&mut self.drains, &node, false);
                }
                if let Some(node) = gone.source {
                    count(&mut self.running, &node, false);
                }
            }
            self.begun.remove(key);
        }
        self.settle(&uid);
    }

    /// Whether a migration holds a place under the caps (past `Pending`, or with a target pod), and where.
    fn settle(&mut self, uid: &str) {
        let Some(migration) = self.unfinished.get_mut(uid) else { return };
        let holds = migration.advanced || self.targets.contains_key(uid);
        if holds {
            self.begun.insert(migration.key.clone());
        } else {
            self.begun.remove(&migration.key);
        }
        // After its arrival a VMI reports the target, while the migration still counts at the source.
        let source = self.homes.get(&migration.vmi).filter(|_| holds);
        let source = source.map(|home| if home.migration == uid { &home.source } else { &home.node });
        if migration.source.as_ref() != source {
            let before = std::mem::replace(&mut migration.source, source.cloned());
            for (node, present) in [(before.as_ref(), false), (source, true)] {
                if let Some(node) = node {
                    count(&mut self.running, node, present);
                }
            }
        }
    }

    fn pod(&mut self, key: &Key, pod: &Value, present: bool) {
        if let Some(node) = pod["spec"]["nodeName"].as_str() {
            set(&mut self.pods_by_node, node.to_owned(), key.clone(), present);
        }
        let Some(job) = pod["metadata"]["labels"][JOB].as_str() else { return };
        let owner = owners(pod).find(|o| o["kind"] == "VirtualMachineInstance");
        let vmi = owner.map(|o| Key::new(&key.namespace, text(&o["name"])));
        if let Some(vmi) = &vmi {
            self.stand(job, vmi, false);
        }
        set(&mut self.targets, job.to_owned(), key.clone(), present);
        if let Some(vmi) = &vmi {
            self.stand(job, vmi, true);
        }
        self.settle(job);
    }

    pub(super) fn owned(&self, uid: &str) -> impl Iterator<Item = &(Kind, Key)> {
        self.by_owner.get(uid).into_iter().flatten()
    }

    pub(super) fn vmis_on(&self, node: &str) -> impl Iterator<Item = &Key> {
        self.vmis_by_node.get(node).into_iter().flatten()
    }

    pub(super) fn pods_on(&self, node: &str) -> impl Iterator<Item = &Key> {
        self.pods_by_node.get(node).into_iter().flatten()
    }

    pub(super) fn migrations_of(&self, vmi: &Key) -> impl Iterator<Item = &Key> {
        self.migrations_by_vmi.get(vmi).into_iter().flatten()
    }

    /// Target pods of a migration.
    pub(super) fn targets_of(&self, migration: &str) -> impl Iterator<Item = &Key> {
        self.targets.get(migration).into_iter().flatten()
    }

    /// How many migrations count under the caps, by the node that they count at.
    pub(super) fn running(&self) -> &BTreeMap<String, usize> {
        &self.running
    }

    /// Migrations that hold a place under the caps.
    pub(super) fn begun(&self) -> impl Iterator<Item = &Key> {
        self.begun.iter()
    }

    /// How many migrations are not over: all, and those that were made to empty a node.
    pub(super) fn unfinished(&self, node: &str) -> (usize, usize) {
        (self.unfinished.len(), self.drains.get(node).copied().unwrap_or(0))
    }

    /// The nodes from which a migration waits to begin.
    pub(super) fn sources(&self) -> impl Iterator<Item = &String> {
        self.waiting.keys()
    }

    /// Who waits next on a node, after a place.
    pub(super) fn next_from(&self, node: &str, after: Option<&Place>) -> Option<&Place> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        self.waiting.get(node)?.range((from, Bound::Unbounded)).next()
    }

    /// Whether any node bears a label, of those that are counted.
    pub(super) fn has_label(&self, label: &str) -> bool {
        self.labels.contains_key(label)
    }

    /// Whether any node bears a label that begins so, of those that are counted.
    pub(super) fn has_label_like(&self, prefix: &str) -> bool {
        self.labels.range(prefix.to_owned()..).next().is_some_and(|(label, _)| label.starts_with(prefix))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::json::json;

    fn migration(name: &str, phase: &str, priority: &str) -> Value {
        json!({
            "metadata": {"name": name, "namespace": "d", "uid": format!("u-{name}"), "creationTimestamp": name,
                "annotations": {"kubevirt.io/evacuationMigration": "n1"}},
            "spec": {"vmiName": "g", "priority": priority}, "status": {"phase": phase},
        })
    }

    fn vmi(node: &str) -> Value {
        json!({"metadata": {"name": "g", "namespace": "d", "uid": "g"}, "status": {"nodeName": node}})
    }

    /// What is asked of the queue: its nodes, and the names in their order.
    fn queue(indexes: &Indexes) -> Vec<(String, Vec<String>)> {
        let mut all = Vec::new();
        for node in indexes.sources() {
            let (mut names, mut after) = (Vec::new(), None);
            while let Some(place) = indexes.next_from(node, after.as_ref()) {
                names.push(place.2.name.to_string());
                after = Some(place.clone());
            }
            all.push((node.clone(), names));
        }
        all
    }

    #[test]
    fn the_queue_follows_migrations_their_vmis_and_their_targets() {
        let mut indexes = Indexes::default();
        let key = |name: &str| Key::new("d", name);
        for (name, priority) in [("1", ""), ("2", "system-critical")] {
            indexes.change(Kind::Migration, &key(name), &migration(name, "Pending", priority), true);
        }
        indexes.change(Kind::Instance, &key("g"), &vmi("n1"), true);
        let expect = |node: &str, names: &[&str]| {
            vec![(node.to_owned(), names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>())]
        };
        assert_eq!(queue(&indexes), expect("n1", &["2", "1"]));
        indexes.change(Kind::Instance, &key("g"), &vmi("n1"), false);
        indexes.change(Kind::Instance, &key("g"), &vmi("n2"), true);
        assert_eq!(queue(&indexes), expect("n2", &["2", "1"]));
        let pod = json!({
            "metadata": {"labels": {"kubevirt.io/migrationJobUID": "u-2"},
                "ownerReferences": [{"kind": "VirtualMachineInstance", "name": "g", "uid": "g"}]},
            "spec": {},
        });
        indexes.change(Kind::Pod, &key("p"), &pod, true);
        assert_eq!(queue(&indexes), expect("n2", &["1"]));
        assert_eq!(indexes.begun().collect::<Vec<_>>(), [&key("2")]);
        indexes.change(Kind::Pod, &key("p"), &pod, false);
        assert_eq!((queue(&indexes), indexes.begun().count()), (expect("n2", &["2", "1"]), 0));
        assert_eq!(indexes.unfinished("n1"), (2, 2));
        for (name, priority) in [("1", ""), ("2", "system-critical")] {
            indexes.change(Kind::Migration, &key(name), &migration(name, "Pending", priority), false);
            indexes.change(Kind::Migration, &key(name), &migration(name, "Running", priority), true);
        }
        assert_eq!((queue(&indexes), indexes.begun().count()), (Vec::new(), 2));
        let count = |node: &str, number| (node.to_owned(), number);
        assert_eq!(indexes.running(), &BTreeMap::from([count("n2", 2)]));
        // One arrives elsewhere, and counts where it came from until it is over.
        let mut moved = vmi("n3");
        moved["status"]["migrationState"] = json!({"migrationUid": "u-1", "sourceNode": "n2"});
        indexes.replace(Kind::Instance, &key("g"), Some(&vmi("n2")), Some(&moved));
        assert_eq!(indexes.running(), &BTreeMap::from([count("n2", 1), count("n3", 1)]));
        indexes.replace(Kind::Instance, &key("g"), Some(&moved), None);
        assert!(indexes.running().is_empty(), "what nothing is known of counts nowhere");
        indexes.replace(Kind::Instance, &key("g"), None, Some(&moved));
        for (name, priority) in [("1", ""), ("2", "system-critical")] {
            indexes.change(Kind::Migration, &key(name), &migration(name, "Running", priority), false);
            indexes.change(Kind::Migration, &key(name), &migration(name, "Failed", priority), true);
        }
        assert_eq!((indexes.begun().count(), indexes.unfinished("n1")), (0, (0, 0)));
        assert!(indexes.running().is_empty());
        assert_eq!(indexes.migrations_of(&key("g")).count(), 2);
    }
}
