//! Small clusters for tests, said in few words.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;

use crate::inventory::{
    Budget, Condition, Inventory, KubeVirt, Needs, Node, NodeTerm, ObjectName, Owner, Pod, PodPhase, PodTerm,
    Readiness, Requirement, Resources, RunStrategy, Scalable, ScalableKind, ScalableName, Selector, Spread,
    Test, VirtualMachine, VirtualMachineInstance, VmiPhase, Volume, ZONE,
};
use crate::plan::v1alpha1::{
    BudgetOverride, Duration, Group, MaintenancePlanSpec, NodeSelection, WorkloadKind, WorkloadName,
};
use crate::schedule::{GroupNodes, resolve};

pub(super) const HOST: &str = "kubernetes.io/hostname";

/// A cluster in the making; everything is in namespace `ns`.
#[derive(Debug, Default)]
pub(super) struct Stage {
    pub inventory: Inventory,
}

pub(super) fn name(name: &str) -> ObjectName {
    ObjectName::new("ns", name)
}

pub(super) fn gib(n: u64) -> u64 {
    n << 30
}

/// Requires a label's value.
pub(super) fn is(key: &str, value: &str) -> Requirement {
    Requirement { key: key.into(), test: Test::In(vec![value.into()]) }
}

fn labels(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
}

/// Requests of CPU (thousandths) and memory (GiB).
pub(super) fn asks(cpu_millis: u64, memory: u64) -> Needs {
    Needs {
        requests: Resources { cpu_millis, memory_bytes: gib(memory), ..Resources::default() },
        ..Needs::default()
    }
}

/// Anti-affinity to pods of the same app.
pub(super) fn apart(app: &str, topology_key: &str, needs: Needs) -> Needs {
    let term = PodTerm {
        selector: Some(Selector(vec![is("app", app)])),
        namespaces: vec!["ns".into()],
        namespace_selector: None,
        topology_key: topology_key.into(),
    };
    Needs { apart: vec![term], ..needs }
}

/// A hard spread over zones with a skew of 1.
pub(super) fn spread(app: &str, needs: Needs) -> Needs {
    let spread = Spread {
        max_skew: 1,
        topology_key: ZONE.into(),
        selector: Some(Selector(vec![is("app", app)])),
        ..Spread::default()
    };
    Needs { spread: vec![spread], ..needs }
}

impl Stage {
    /// A node of 4 cores and 16 GiB.
    pub fn node(&mut self, node: &str, zone: &str) -> &mut Self {
        self.node_with(node, zone, 4000, 16)
    }

    /// A node of so many thousandths and GiB.
    pub fn node_with(&mut self, node: &str, zone: &str, cpu_millis: u64, memory: u64) -> &mut Self {
        let extended = BTreeMap::from([("devices.kubevirt.io/kvm".to_owned(), 1000)]);
        self.inventory.put_node(Node {
            name: node.into(),
            labels: labels(&[(ZONE, zone), (HOST, node)]),
            readiness: Readiness::Ready,
            allocatable: Resources {
                cpu_millis,
                memory_bytes: gib(memory),
                extended,
                ..Resources::default()
            },
            allocatable_pods: 110,
            ..Node::default()
        });
        self
    }

    /// Changes a node.
    pub fn change(&mut self, node: &str, how: impl FnOnce(&mut Node)) -> &mut Self {
        let mut changed = self.inventory.node(node).expect("a node").clone();
        how(&mut changed);
        self.inventory.put_node(changed);
        self
    }

    /// A ready pod of an app that `kind` owns.
    pub fn pod(&mut self, kind: &str, app: &str, index: usize, node: &str, needs: Needs) -> &mut Self {
        self.pod_with(kind, app, index, node, needs, |_| {})
    }

    /// The same with something special.
    pub fn pod_with(
        &mut self,
        kind: &str,
        app: &str,
        index: usize,
        node: &str,
        needs: Needs,
        how: impl FnOnce(&mut Pod),
    ) -> &mut Self {
        let mut pod = Pod {
            name: name(&format!("{app}-{index}")),
            uid: format!("{app}-{index}"),
            labels: Arc::new(labels(&[("app", app)])),
            node: Some(node.into()),
            phase: PodPhase::Running,
            ready: true,
            grace_seconds: 30,
            controller: Some(Arc::new(Owner {
                kind: kind.into(),
                name: app.into(),
                uid: format!("owner-{app}"),
                ..Owner::default()
            })),
            needs: Arc::new(needs),
            ..Pod::default()
        };
        how(&mut pod);
        self.inventory.put_pod(pod);
        self
    }

    /// A StatefulSet of so many replicas, which owns the app's pods.
    pub fn scalable(&mut self, app: &str, replicas: u32) -> &mut Self {
        let name = ScalableName { kind: ScalableKind::StatefulSet, name: name(app) };
        self.inventory.put_scalable(Scalable { name, uid: format!("owner-{app}"), replicas, refused: None });
        self
    }

    /// A budget over an app, counted by its controller: so many pods, so many of them wanted healthy.
    pub fn budget(&mut self, budget: &str, app: &str, expected: i32, desired: i32) -> &mut Self {
        self.budget_with(budget, app, expected, desired, |_| {})
    }

    /// The same with something special.
    pub fn budget_with(
        &mut self,
        budget: &str,
        app: &str,
        expected: i32,
        desired: i32,
        how: impl FnOnce(&mut Budget),
    ) -> &mut Self {
        let selector =
            LabelSelector { match_labels: Some(labels(&[("app", app)])), ..LabelSelector::default() };
        let mut made = Budget {
            name: name(budget),
            selector: Some(selector),
            min_available: Some(desired.to_string()),
            observed_generation: 1,
            generation: 1,
            expected_pods: expected,
            desired_healthy: desired,
            current_healthy: expected,
            disruptions_allowed: (expected - desired).max(0),
            ..Budget::default()
        };
        how(&mut made);
        self.inventory.put_budget(made);
        self
    }

    /// A running VM with a launcher of 1 core and its memory; `migratable`: what `LiveMigratable` says.
    pub fn vm(&mut self, vm: &str, node: &str, memory: u64, migratable: bool) -> &mut Self {
        self.inventory.kubevirt.get_or_insert_with(KubeVirt::default);
        let uid = format!("vmi-{vm}");
        let condition = Condition {
            status: if migratable { "True" } else { "False" }.into(),
            reason: "DisksNotLiveMigratable".into(),
            message: "a disk is local".into(),
        };
        let controller = Owner { kind: "VirtualMachine".into(), name: vm.into(), ..Owner::default() };
        self.inventory.put_vm(VirtualMachine {
            name: name(vm),
            run_strategy: RunStrategy::Always,
            ..VirtualMachine::default()
        });
        self.inventory.put_vmi(VirtualMachineInstance {
            name: name(vm),
            uid: uid.clone(),
            controller: Some(Arc::new(controller)),
            eviction_strategy: Some("LiveMigrate".into()),
            memory_bytes: gib(memory),
            phase: VmiPhase::Running,
            node: Some(node.into()),
            conditions: BTreeMap::from([("LiveMigratable".to_owned(), condition)]),
            ..VirtualMachineInstance::default()
        });
        let mut needs = asks(1000, memory);
        needs.requests.extended.insert("devices.kubevirt.io/kvm".into(), 1);
        self.pod_with("VirtualMachineInstance", vm, 0, node, needs, |pod| {
            pod.domain = Some(vm.into());
            let labels = Arc::make_mut(&mut pod.labels);
            labels.insert("kubevirt.io".into(), "virt-launcher".into());
            labels.insert("kubevirt.io/created-by".into(), uid);
        })
    }

    /// A volume on one node, bound to a claim.
    pub fn local_volume(&mut self, claim: &str, node: &str) -> &mut Self {
        let term = NodeTerm { labels: vec![is(HOST, node)], ..NodeTerm::default() };
        self.inventory.put_volume(Volume {
            name: format!("pv-{claim}"),
            claim: Some(name(claim)),
            node_affinity: Some(vec![term]),
        });
        self
    }

    /// The groups of a plan.
    pub fn groups(&self, plan: &MaintenancePlanSpec) -> Vec<GroupNodes> {
        resolve(plan, &self.inventory).expect("groups")
    }
}

/// A plan with one group of these nodes.
pub(super) fn plan(nodes: &[&str]) -> MaintenancePlanSpec {
    let names = nodes.iter().map(|n| (*n).to_owned()).collect();
    let group =
        Group { name: "all".into(), nodes: NodeSelection { names, selector: None }, ..Group::default() };
    MaintenancePlanSpec { groups: vec![group], ..MaintenancePlanSpec::default() }
}

/// An override of ten minutes for a workload of namespace `ns`.
pub(super) fn over(kind: WorkloadKind, app: &str) -> BudgetOverride {
    let workload = WorkloadName { kind, namespace: "ns".into(), name: app.into() };
    BudgetOverride { workload, reason: "it may".into(), after: Duration::from_secs(600) }
}
