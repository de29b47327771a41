//! The inventory and its indexes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::budget::BudgetsByLabel;
use super::changes::Changes;
use super::load::{Load, Loads};
use super::shared::Shared;
use super::table::{Index, Table};
use super::{
    Budget, KubeVirt, Lookup, Migration, Needs, Node, ObjectName, Owner, Pod, Scalable, ScalableKind,
    ScalableName, VirtualMachine, VirtualMachineInstance, Volume, VolumeAttachment,
};

/// A DaemonSet, as far as its pods' fate depends on it: whether it still exists.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Workload {
    /// Namespace and name.
    pub name: ObjectName,
    /// UID.
    pub uid: String,
}

/// Everything known of a cluster at one moment. See the module's documentation.
#[derive(Debug, Clone, Default)]
pub struct Inventory {
    nodes: BTreeMap<String, Arc<Node>>,
    /// The same ones: a decision asks for each several times.
    nodes_by_name: Lookup<String, Arc<Node>>,
    pods: Table<Pod>,
    pods_by_node: Index<Pod>,
    /// Those without a node, and those on their way out.
    unsettled_pods: BTreeMap<Arc<ObjectName>, Arc<Pod>>,
    loads: Loads,
    /// What pods have alike.
    needs: Shared<Needs>,
    labels: Shared<BTreeMap<String, String>>,
    owners: Shared<Owner>,
    budgets: BTreeMap<ObjectName, Budget>,
    budgets_by_label: BudgetsByLabel,
    daemon_sets: BTreeMap<ObjectName, Workload>,
    scalables: BTreeMap<ScalableName, Scalable>,
    volumes: BTreeMap<String, Volume>,
    volumes_by_claim: BTreeMap<ObjectName, String>,
    attachments: BTreeMap<String, VolumeAttachment>,
    attachments_by_node: BTreeMap<String, BTreeSet<String>>,
    vms: Table<VirtualMachine>,
    /// Guests by the latest change of their VM or VMI.
    guests: Changes,
    vmis: Table<VirtualMachineInstance>,
    vmis_by_node: Index<VirtualMachineInstance>,
    vmis_by_target: Index<VirtualMachineInstance>,
    migrations: Table<Migration>,
    migrations_by_vmi: BTreeMap<String, Index<Migration>>,
    /// The KubeVirt installation; `None` on a cluster without it.
    pub kubevirt: Option<KubeVirt>,
}

/// Revisions of one kind grow; they compare as numbers (documented since Kubernetes 1.35, true before).
fn is_older(version: &str, known: &str) -> bool {
    match (version.parse::<u64>(), known.parse::<u64>()) {
        (Ok(version), Ok(known)) => version < known,
        _ => false,
    }
}

fn is_unsettled(pod: &Pod) -> bool {
    pod.node.is_none() || pod.deletion.is_some()
}

/// Adds or replaces a value; true if it is new, or another one.
fn put<K: Ord, V: PartialEq>(map: &mut BTreeMap<K, V>, key: K, value: V) -> bool {
    if map.get(&key) == Some(&value) {
        return false;
    }
    map.insert(key, value);
    true
}

fn unlink<K: Ord, V: Ord>(index: &mut BTreeMap<K, BTreeSet<V>>, key: &K, value: &V) {
    if let Some(set) = index.get_mut(key) {
        set.remove(value);
        if set.is_empty() {
            index.remove(key);
        }
    }
}

impl Inventory {
    /// An inventory of nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// All nodes by name.
    pub fn nodes(&self) -> &BTreeMap<String, Arc<Node>> {
        &self.nodes
    }

    /// The node of that name.
    pub fn node(&self, name: &str) -> Option<&Node> {
        self.nodes_by_name.get(name).map(Arc::as_ref)
    }

    /// Adds or replaces a node, unless a newer observation of it is there: the answer to a patch and the events of a watch
    /// come in any order, and an older one must not hide a newer one.
    ///
    /// This and the other `put_…` say whether there is anything new in it: a node's heartbeat is not.
    pub fn put_node(&mut self, node: Node) -> bool {
        let known = self.nodes.get(&node.name);
        if known.is_some_and(|known| is_older(&node.resource_version, &known.resource_version)) {
            return false;
        }
        let is_news = known.is_none_or(|known| known.differs(&node));
        let node = Arc::new(node);
        self.nodes.insert(node.name.clone(), node.clone());
        self.nodes_by_name.insert(node.name.clone(), node);
        is_news
    }

    /// Forgets a node.
    pub fn remove_node(&mut self, name: &str) {
        self.nodes.remove(name);
        self.nodes_by_name.remove(name);
    }

    /// All pods in order of their names.
    pub fn pods(&self) -> impl ExactSizeIterator<Item = &Pod> {
        self.pods.values()
    }

    /// The pod of that name.
    pub fn pod(&self, name: &ObjectName) -> Option<&Pod> {
        self.pods.get(name)
    }

    /// The pods bound to a node, in order of their names.
    pub fn pods_on<'a>(&'a self, node: &str) -> impl Iterator<Item = &'a Pod> + use<'a> {
        self.pods_by_node.of(node)
    }

    /// The pods of a namespace, in order of their names.
    pub fn pods_in<'a>(&'a self, namespace: &'a str) -> impl Iterator<Item = &'a Pod> {
        self.pods.of_namespace(namespace)
    }

    /// The pods that no node has been found for.
    pub fn unbound_pods(&self) -> impl Iterator<Item = &Pod> {
        self.unsettled_pods().filter(|pod| pod.node.is_none())
    }

    /// The pods that no node has been found for, and those on their way out, in order of their names.
    pub fn unsettled_pods(&self) -> impl Iterator<Item = &Pod> {
        self.unsettled_pods.values().map(Arc::as_ref)
    }

    /// What the plain pods of a node request together: those that are there to stay for now, and of which others need to know
    /// nothing but the room that they take: none with anti-affinity, spread constraints or host ports. Both launcher pods of a
    /// migration count.
    pub fn load_on(&self, node: &str) -> Option<&Load> {
        self.loads.on(node)
    }

    /// The other pods that are there to stay for now, in order of their names.
    pub fn special_pods(&self) -> impl Iterator<Item = &Pod> {
        self.loads.special()
    }

    /// Adds or replaces a pod. Its labels, its owner and what it needs are shared with pods that have the same.
    pub fn put_pod(&mut self, mut pod: Pod) -> bool {
        if self.pods.get(&pod.name) == Some(&pod) {
            return false;
        }
        self.needs.share(&mut pod.needs);
        self.labels.share(&mut pod.labels);
        if let Some(owner) = &mut pod.controller {
            self.owners.share(owner);
        }
        let name = pod.name.clone();
        self.remove_pod(&name);
        let entry = self.pods.insert(&name, pod);
        self.loads.insert(&entry);
        if let Some(node) = &entry.1.node {
            self.pods_by_node.insert(node, &entry);
        }
        if is_unsettled(&entry.1) {
            self.unsettled_pods.insert(entry.0, entry.1);
        }
        true
    }

    /// Forgets a pod.
    pub fn remove_pod(&mut self, name: &ObjectName) {
        let Some(old) = self.pods.remove(name) else { return };
        self.loads.remove(&old);
        if let Some(node) = &old.node {
            self.pods_by_node.remove(node, name);
        }
        if is_unsettled(&old) {
            self.unsettled_pods.remove(name);
        }
        self.needs.give_up(&old.needs);
        self.labels.give_up(&old.labels);
        if let Some(owner) = &old.controller {
            self.owners.give_up(owner);
        }
    }

    /// All budgets by name.
    pub fn budgets(&self) -> &BTreeMap<ObjectName, Budget> {
        &self.budgets
    }

    /// The budgets whose selectors may select a pod, as far as an index tells: all that do are among them.
    pub fn budgets_near<'a>(&'a self, pod: &Pod) -> impl Iterator<Item = &'a Budget> + use<'a> {
        let names = self.budgets_by_label.candidates(&pod.name.namespace, &pod.labels);
        names.into_iter().filter_map(|name| self.budgets.get(name))
    }

    /// Adds or replaces a budget.
    pub fn put_budget(&mut self, budget: Budget) -> bool {
        if self.budgets.get(&budget.name) == Some(&budget) {
            return false;
        }
        self.remove_budget(&budget.name.clone());
        self.budgets_by_label.insert(&budget);
        self.budgets.insert(budget.name.clone(), budget);
        true
    }

    /// Forgets a budget.
    pub fn remove_budget(&mut self, name: &ObjectName) {
        if let Some(old) = self.budgets.remove(name) {
            self.budgets_by_label.remove(&old);
        }
    }

    /// All DaemonSets by name.
    pub fn daemon_sets(&self) -> &BTreeMap<ObjectName, Workload> {
        &self.daemon_sets
    }

    /// All volume attachments by name.
    pub fn attachments(&self) -> &BTreeMap<String, VolumeAttachment> {
        &self.attachments
    }

    /// The DaemonSet of that name.
    pub fn daemon_set(&self, name: &ObjectName) -> Option<&Workload> {
        self.daemon_sets.get(name)
    }

    /// Adds or replaces a DaemonSet.
    pub fn put_daemon_set(&mut self, daemon_set: Workload) -> bool {
        put(&mut self.daemon_sets, daemon_set.name.clone(), daemon_set)
    }

    /// Forgets a DaemonSet.
    pub fn remove_daemon_set(&mut self, name: &ObjectName) {
        self.daemon_sets.remove(name);
    }

    /// All Deployments and StatefulSets by kind and name.
    pub fn scalables(&self) -> &BTreeMap<ScalableName, Scalable> {
        &self.scalables
    }

    /// The Deployment or StatefulSet that a pod belongs to, if it is known.
    pub fn scalable_of(&self, pod: &Pod) -> Option<&Scalable> {
        // They are observed only where a plan asks for them.
        if self.scalables.is_empty() {
            return None;
        }
        let (kind, name) = pod.workload();
        let kind = match kind {
            "Deployment" => ScalableKind::Deployment,
            "StatefulSet" => ScalableKind::StatefulSet,
            _ => return None,
        };
        let name = ScalableName { kind, name: ObjectName::new(&pod.name.namespace, name) };
        self.scalables.get(&name).filter(|scalable| scalable.has(pod))
    }

    /// The pods of a Deployment or StatefulSet, in order of their names.
    pub fn pods_of<'a>(&'a self, scalable: &'a Scalable) -> impl Iterator<Item = &'a Pod> {
        self.pods_in(&scalable.name.name.namespace).filter(|pod| scalable.has(pod))
    }

    /// Adds or replaces a Deployment or StatefulSet.
    pub fn put_scalable(&mut self, scalable: Scalable) -> bool {
        put(&mut self.scalables, scalable.name.clone(), scalable)
    }

    /// Forgets a Deployment or StatefulSet.
    pub fn remove_scalable(&mut self, name: &ScalableName) {
        self.scalables.remove(name);
    }

    /// All PersistentVolumes by name.
    pub fn volumes(&self) -> &BTreeMap<String, Volume> {
        &self.volumes
    }

    /// The volume that is bound to a claim.
    pub fn volume_of(&self, claim: &ObjectName) -> Option<&Volume> {
        self.volumes.get(self.volumes_by_claim.get(claim)?)
    }

    /// Adds or replaces a volume.
    pub fn put_volume(&mut self, volume: Volume) -> bool {
        if self.volumes.get(&volume.name) == Some(&volume) {
            return false;
        }
        self.remove_volume(&volume.name.clone());
        if let Some(claim) = &volume.claim {
            self.volumes_by_claim.insert(claim.clone(), volume.name.clone());
        }
        self.volumes.insert(volume.name.clone(), volume);
        true
    }

    /// Forgets a volume.
    pub fn remove_volume(&mut self, name: &str) {
        let Some(claim) = self.volumes.remove(name).and_then(|old| old.claim) else { return };
        if self.volumes_by_claim.get(&claim).is_some_and(|volume| volume == name) {
            self.volumes_by_claim.remove(&claim);
        }
    }

    /// The volume attachments of a node.
    pub fn attachments_on<'a>(&'a self, node: &str) -> impl Iterator<Item = &'a VolumeAttachment> + use<'a> {
        self.attachments_by_node.get(node).into_iter().flatten().filter_map(|name| self.attachments.get(name))
    }

    /// Adds or replaces a volume attachment.
    pub fn put_attachment(&mut self, attachment: VolumeAttachment) -> bool {
        if self.attachments.get(&attachment.name) == Some(&attachment) {
            return false;
        }
        self.remove_attachment(&attachment.name.clone());
        let names = self.attachments_by_node.entry(attachment.node.clone()).or_default();
        names.insert(attachment.name.clone());
        self.attachments.insert(attachment.name.clone(), attachment);
        true
    }

    /// Forgets a volume attachment.
    pub fn remove_attachment(&mut self, name: &str) {
        if let Some(old) = self.attachments.remove(name) {
            unlink(&mut self.attachments_by_node, &old.node, &old.name);
        }
    }

    /// All VirtualMachines in order of their names.
    pub fn vms(&self) -> impl ExactSizeIterator<Item = &VirtualMachine> {
        self.vms.values()
    }

    /// The VirtualMachine of that name.
    pub fn vm(&self, name: &ObjectName) -> Option<&VirtualMachine> {
        self.vms.get(name)
    }

    /// Adds or replaces a VirtualMachine.
    pub fn put_vm(&mut self, vm: VirtualMachine) -> bool {
        if self.vms.get(&vm.name) == Some(&vm) {
            return false;
        }
        let name = vm.name.clone();
        self.vms.insert(&name, vm);
        self.guests.note(&name);
        true
    }

    /// Forgets a VirtualMachine.
    pub fn remove_vm(&mut self, name: &ObjectName) {
        if self.vms.remove(name).is_some() {
            self.guests.note(name);
        }
    }

    /// The number of the latest change of a VirtualMachine or VMI.
    pub fn guests_seen(&self) -> u64 {
        self.guests.latest()
    }

    /// The names whose VirtualMachine or VMI has come, gone or changed after a change of that number, the latest change last.
    pub fn guests_changed_after(&self, number: u64) -> impl Iterator<Item = &ObjectName> {
        self.guests.after(number)
    }

    /// All VMIs in order of their names.
    pub fn vmis(&self) -> impl ExactSizeIterator<Item = &VirtualMachineInstance> {
        self.vmis.values()
    }

    /// The VMI of that name.
    pub fn vmi(&self, name: &ObjectName) -> Option<&VirtualMachineInstance> {
        self.vmis.get(name)
    }

    /// The VMIs whose `status.nodeName` is this node.
    pub fn vmis_on<'a>(&'a self, node: &str) -> impl Iterator<Item = &'a VirtualMachineInstance> + use<'a> {
        self.vmis_by_node.of(node)
    }

    /// The VMIs that are on their way to a node, or have just arrived (label `kubevirt.io/migrationTargetNodeName`).
    pub fn vmis_bound_for<'a>(
        &'a self,
        node: &str,
    ) -> impl Iterator<Item = &'a VirtualMachineInstance> + use<'a> {
        self.vmis_by_target.of(node)
    }

    /// The launcher pods of a VMI that are bound to its node.
    pub fn launchers_of<'a>(&'a self, vmi: &'a VirtualMachineInstance) -> impl Iterator<Item = &'a Pod> {
        let pods = vmi.node.as_deref().into_iter().flat_map(|node| self.pods_on(node));
        pods.filter(|p| p.is_launcher() && p.vmi_uid() == Some(vmi.uid.as_str()))
    }

    /// The VMI that a launcher pod belongs to: by the pod's annotation, then checked by UID.
    pub fn vmi_of(&self, pod: &Pod) -> Option<&VirtualMachineInstance> {
        let name =
            pod.domain.as_deref().or_else(|| pod.labels.get("vm.kubevirt.io/name").map(String::as_str))?;
        let vmi = self.vmis.get(&ObjectName::new(&pod.name.namespace, name))?;
        pod.vmi_uid().is_none_or(|uid| uid == vmi.uid).then_some(vmi)
    }

    /// Adds or replaces a VMI.
    pub fn put_vmi(&mut self, vmi: VirtualMachineInstance) -> bool {
        if self.vmis.get(&vmi.name) == Some(&vmi) {
            return false;
        }
        let name = vmi.name.clone();
        self.remove_vmi(&name);
        let entry = self.vmis.insert(&name, vmi);
        if let Some(node) = &entry.1.node {
            self.vmis_by_node.insert(node, &entry);
        }
        if let Some(node) = &entry.1.migration_target_node {
            self.vmis_by_target.insert(node, &entry);
        }
        self.guests.note(&name);
        true
    }

    /// Forgets a VMI.
    pub fn remove_vmi(&mut self, name: &ObjectName) {
        let Some(old) = self.vmis.remove(name) else { return };
        self.guests.note(name);
        if let Some(node) = &old.node {
            self.vmis_by_node.remove(node, name);
        }
        if let Some(node) = &old.migration_target_node {
            self.vmis_by_target.remove(node, name);
        }
    }

    /// All migrations in order of their names.
    pub fn migrations(&self) -> impl ExactSizeIterator<Item = &Migration> {
        self.migrations.values()
    }

    /// The migrations of a VMI, finished ones included.
    pub fn migrations_of<'a>(&'a self, vmi: &ObjectName) -> impl Iterator<Item = &'a Migration> + use<'a> {
        self.migrations_by_vmi.get(&vmi.namespace).map(|index| index.of(&vmi.name)).into_iter().flatten()
    }

    /// Adds or replaces a migration.
    pub fn put_migration(&mut self, migration: Migration) -> bool {
        if self.migrations.get(&migration.name) == Some(&migration) {
            return false;
        }
        let name = migration.name.clone();
        self.remove_migration(&name);
        let entry = self.migrations.insert(&name, migration);
        let index = self.migrations_by_vmi.entry(entry.0.namespace.clone()).or_default();
        index.insert(&entry.1.vmi, &entry);
        true
    }

    /// Forgets a migration.
    pub fn remove_migration(&mut self, name: &ObjectName) {
        let Some(old) = self.migrations.remove(name) else { return };
        if let Some(index) = self.migrations_by_vmi.get_mut(&name.namespace) {
            index.remove(&old.vmi, name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_that_comes_late_does_not_hide_what_was_observed_since() {
        let node =
            |version: &str| Node { name: "w1".into(), resource_version: version.into(), ..Node::default() };
        let mut inventory = Inventory::new();
        for (seen, known) in [("9", "9"), ("10", "10"), ("9", "10"), ("11", "11")] {
            inventory.put_node(node(seen));
            assert_eq!(inventory.node("w1").map(|n| n.resource_version.as_str()), Some(known), "{seen}");
        }
    }

    #[test]
    fn a_migration_made_anew_for_another_guest_is_no_more_the_first_ones() {
        let migration = |vmi: &str| Migration {
            name: ObjectName::new("ns", "job"),
            vmi: vmi.into(),
            ..Migration::default()
        };
        let mut inventory = Inventory::new();
        inventory.put_migration(migration("a"));
        inventory.put_migration(migration("b"));
        let count = |vmi: &str| inventory.migrations_of(&ObjectName::new("ns", vmi)).count();
        assert_eq!((count("a"), count("b")), (0, 1));
    }

    #[test]
    fn pods_that_are_alike_share_it_and_what_no_pod_has_is_forgotten() {
        let pod = |name: &str, cpu_millis: u64, app: &str| {
            let requests = crate::inventory::Resources { cpu_millis, ..Default::default() };
            Pod {
                name: ObjectName::new("ns", name),
                needs: Arc::new(Needs { requests, ..Needs::default() }),
                labels: Arc::new(BTreeMap::from([("app".to_owned(), app.to_owned())])),
                controller: Some(Arc::new(Owner { name: app.to_owned(), ..Owner::default() })),
                ..Pod::default()
            }
        };
        let mut inventory = Inventory::new();
        for (name, cpu, app) in [("a", 100, "web"), ("b", 100, "web"), ("c", 200, "db")] {
            assert!(inventory.put_pod(pod(name, cpu, app)));
            assert!(!inventory.put_pod(pod(name, cpu, app)), "nothing new");
        }
        let known = |i: &Inventory| (i.needs.len(), i.labels.len(), i.owners.len());
        let [a, b] = ["a", "b"].map(|name| inventory.pod(&ObjectName::new("ns", name)).expect("there"));
        assert!(Arc::ptr_eq(&a.needs, &b.needs) && Arc::ptr_eq(&a.labels, &b.labels));
        let owners = [a, b].map(|pod| pod.controller.as_ref().map(Arc::as_ptr));
        assert!(owners[0].is_some() && owners[0] == owners[1]);
        assert_eq!(known(&inventory), (2, 2, 2));
        inventory.put_pod(pod("c", 100, "db"));
        assert_eq!(known(&inventory), (1, 2, 2));
        inventory.put_pod(pod("c", 100, "web"));
        assert_eq!(known(&inventory), (1, 1, 1));
        inventory.remove_pod(&ObjectName::new("ns", "a"));
        assert_eq!(known(&inventory), (1, 1, 1));
        for name in ["b", "c"] {
            inventory.remove_pod(&ObjectName::new("ns", name));
        }
        assert_eq!(known(&inventory), (0, 0, 0));
    }

    #[test]
    fn a_volume_is_found_by_its_claim_until_another_has_it() {
        let claim = ObjectName::new("shop", "data-db-0");
        let volume =
            |name: &str| Volume { name: name.into(), claim: Some(claim.clone()), ..Volume::default() };
        let mut inventory = Inventory::new();
        inventory.put_volume(volume("pv-1"));
        inventory.put_volume(volume("pv-2"));
        inventory.remove_volume("pv-1");
        assert_eq!(inventory.volume_of(&claim).map(|v| v.name.as_str()), Some("pv-2"));
        inventory.remove_volume("pv-2");
        assert_eq!(inventory.volume_of(&claim), None);
    }
}
