//! An instance with everything that every decode of it starts from, so that a search pays for it once.

use super::facts::Facts;
use super::instance::{Apart, Instance, NONE};

/// Mean capacity of a node in each resource, in units of the keys that order nodes by their free capacity.
const KEY_UNIT: u64 = 1 << 20;

/// An instance, its facts, and the state of capacity at time 0.
#[derive(Debug, Clone)]
pub struct Model<'a> {
    /// The instance; ties are broken by its ids.
    pub instance: &'a Instance,
    /// What follows from it.
    pub facts: Facts,
    /// Free capacity of each node in each resource; negative where more is there than fits.
    pub(super) free: Vec<i64>,
    /// Items of each owner in each domain, sorted by domain.
    pub(super) owned: Vec<Vec<(u32, u32)>>,
    /// Units of the key for one unit of each resource: key = amount · [`KEY_UNIT`] / mean.
    means: Vec<u64>,
    /// Key of each shape's demand.
    pub(super) shape_key: Vec<u64>,
}

impl<'a> Model<'a> {
    /// Works it out.
    pub fn new(instance: &'a Instance) -> Self {
        let width = instance.resources.len();
        let count = instance.nodes.len().max(1) as u64;
        let mean = |r: usize| instance.nodes.capacity.iter().skip(r).step_by(width).sum::<u64>() / count;
        let mut model = Self {
            instance,
            facts: Facts::new(instance),
            free: instance.nodes.capacity.iter().map(|c| *c as i64).collect(),
            owned: vec![Vec::new(); instance.owners.len()],
            means: (0..width).map(|r| mean(r).max(1)).collect(),
            shape_key: Vec::new(),
        };
        model.shape_key = instance.shapes.iter().map(|s| model.key(s.demand.iter().copied())).collect();
        for item in 0..instance.items.len() as u32 {
            let node = instance.items.node[item as usize];
            for (r, need) in instance.demand(item).iter().enumerate() {
                model.free[node as usize * width + r] -= *need as i64;
            }
            if let Some((owner, domain)) = model.domain(item, node) {
                count_in(&mut model.owned[owner], domain, 1);
            }
        }
        model
    }

    /// One number for amounts of all resources, monotone in each: what has less of everything has no larger key.
    pub(super) fn key(&self, amounts: impl Iterator<Item = u64>) -> u64 {
        amounts.zip(&self.means).map(|(amount, mean)| amount.saturating_mul(KEY_UNIT) / mean).sum()
    }

    /// The item's owner, and the domain of it in which a node lies.
    pub(super) fn domain(&self, item: u32, node: u32) -> Option<(usize, u32)> {
        let owner = self.instance.items.owner[item as usize];
        if owner == NONE {
            return None;
        }
        let zone = self.instance.nodes.zone[node as usize];
        let domain = match self.instance.owners[owner as usize].apart {
            Apart::Node => node,
            // Nodes without a zone are domains of their own, beyond the zones' numbers.
            Apart::Zone => {
                if zone == NONE {
                    NONE - node
                } else {
                    zone
                }
            }
        };
        Some((owner as usize, domain))
    }
}

/// Changes a domain's count.
pub(super) fn count_in(counts: &mut Vec<(u32, u32)>, domain: u32, by: i32) {
    match counts.binary_search_by_key(&domain, |c| c.0) {
        Ok(at) => {
            counts[at].1 = counts[at].1.saturating_add_signed(by);
            if counts[at].1 == 0 {
                counts.remove(at);
            }
        }
        Err(at) if by > 0 => counts.insert(at, (domain, by as u32)),
        Err(_) => {}
    }
}
