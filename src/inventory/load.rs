//! What is on each node, added up where nothing more has to be known of it.
//!
//! # Why
//! Whoever asks what may happen to some nodes needs of all others the room that is left on them. To add it up each time is to look
//! at every pod of the cluster.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Lookup, ObjectName, Pod, PodTerm, Resources};

/// What plain pods of a node request together.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Load {
    /// How many there are.
    pub pods: u64,
    /// What they request.
    pub requests: Resources,
}

/// Pods that are there, plain ones added up by node.
#[derive(Debug, Clone, Default)]
pub(super) struct Loads {
    by_node: Lookup<String, Load>,
    /// The others.
    special: BTreeMap<Arc<ObjectName>, Arc<Pod>>,
}

/// On a node, and neither at its end nor on its way out; no pod of a hook.
fn is_present(pod: &Pod) -> bool {
    pod.node.is_some() && !pod.phase.is_terminal() && pod.deletion.is_none() && !pod.is_of_hook()
}

/// Nothing but the room that it takes matters to others.
fn is_plain(pod: &Pod) -> bool {
    let needs = &pod.needs;
    needs.apart.iter().all(PodTerm::is_of_guest) && needs.spread.is_empty() && needs.host_ports.is_empty()
}

impl Loads {
    pub(super) fn insert(&mut self, (name, pod): &(Arc<ObjectName>, Arc<Pod>)) {
        let Some(node) = pod.node.as_deref().filter(|_| is_present(pod)) else { return };
        if !is_plain(pod) {
            self.special.insert(name.clone(), pod.clone());
            return;
        }
        if !self.by_node.contains(node) {
            self.by_node.insert(node.to_owned(), Load::default());
        }
        if let Some(load) = self.by_node.get_mut(node) {
            load.pods += 1;
            load.requests.add(&pod.needs.requests);
        }
    }

    pub(super) fn remove(&mut self, pod: &Pod) {
        let Some(node) = pod.node.as_deref().filter(|_| is_present(pod)) else { return };
        if !is_plain(pod) {
            self.special.remove(&pod.name);
            return;
        }
        let Some(load) = self.by_node.get_mut(node) else { return };
        load.pods -= 1;
        load.requests.subtract(&pod.needs.requests);
        if load.pods == 0 {
            self.by_node.remove(node);
        }
    }

    pub(super) fn on(&self, node: &str) -> Option<&Load> {
        self.by_node.get(node)
    }

    pub(super) fn special(&self) -> impl Iterator<Item = &Pod> {
        self.special.values().map(Arc::as_ref)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inventory::{HostPort, Inventory, Needs, PodPhase};

    fn pod(name: &str, cpu_millis: u64, gpus: u64) -> Pod {
        let extended = BTreeMap::from([("gpu".to_owned(), gpus)]).into_iter().filter(|(_, n)| *n > 0);
        let requests = Resources { cpu_millis, extended: extended.collect(), ..Resources::default() };
        let needs = Arc::new(Needs { requests, ..Needs::default() });
        let name = ObjectName::new("ns", name);
        Pod { name, node: Some("w1".into()), needs, phase: PodPhase::Running, ..Pod::default() }
    }

    /// Pods, CPU and GPUs that are added up, and the pods that are listed.
    fn loads(inventory: &Inventory) -> String {
        let load = inventory.load_on("w1").cloned().unwrap_or_default();
        let gpus = load.requests.extended.get("gpu").copied();
        let listed: Vec<&str> = inventory.special_pods().map(|p| p.name.name.as_str()).collect();
        format!("{} {} {gpus:?} {listed:?}", load.pods, load.requests.cpu_millis)
    }

    #[test]
    fn plain_pods_are_added_up_and_others_are_listed() {
        let mut inventory = Inventory::new();
        inventory.put_pod(pod("a", 100, 2));
        inventory.put_pod(pod("b", 50, 0));
        let mut port = pod("c", 10, 0);
        Arc::make_mut(&mut port.needs).host_ports.push(HostPort::default());
        inventory.put_pod(port);
        assert_eq!(loads(&inventory), r#"2 150 Some(2) ["c"]"#);
        // On its way out it is no load any more; gone, neither.
        inventory.put_pod(Pod { deletion: Some(jiff::Timestamp::UNIX_EPOCH), ..pod("a", 100, 2) });
        assert_eq!(loads(&inventory), r#"1 50 None ["c"]"#);
        inventory.remove_pod(&ObjectName::new("ns", "a"));
        inventory.remove_pod(&ObjectName::new("ns", "c"));
        assert_eq!(loads(&inventory), "1 50 None []");
        inventory.put_pod(Pod { node: Some("w2".into()), ..pod("b", 50, 0) });
        assert_eq!(loads(&inventory), "0 0 None []");
    }
}
