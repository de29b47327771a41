//! The nodes of each class, counted by node and by zone.

use std::collections::BTreeMap;

use super::instance::{Apart, Instance, NONE};

/// A node by itself (`true`), or a zone.
pub(super) type Place = (bool, u32);

/// The place of a node; without a zone it is one by itself.
pub(super) fn place(instance: &Instance, apart: Apart, node: u32) -> Place {
    match (apart, instance.nodes.zone[node as usize]) {
        (Apart::Node, _) | (Apart::Zone, NONE) => (true, node),
        (Apart::Zone, zone) => (false, zone),
    }
}

/// Nodes that may host a class.
#[derive(Debug, Default)]
pub(super) struct Hosts {
    /// How many.
    pub nodes: u32,
    /// How many in each zone.
    pub zones: BTreeMap<Place, u32>,
}

impl Hosts {
    /// Of each class, among nodes that will do.
    pub fn of(instance: &Instance, will_do: impl Fn(u32) -> bool) -> Vec<Self> {
        let mut hosts: Vec<Self> = instance.classes.iter().map(|_| Self::default()).collect();
        for node in (0..instance.nodes.len() as u32).filter(|n| will_do(*n)) {
            let zone = place(instance, Apart::Zone, node);
            for (hosts, class) in hosts.iter_mut().zip(&instance.classes) {
                if class.has(node) {
                    hosts.nodes += 1;
                    *hosts.zones.entry(zone).or_default() += 1;
                }
            }
        }
        hosts
    }

    /// How many places they are.
    pub fn places(&self, apart: Apart) -> u32 {
        match apart {
            Apart::Node => self.nodes,
            Apart::Zone => self.zones.len() as u32,
        }
    }
}
