//! What pods ask of a node's labels and name: a node selector and required affinity.
//!
//! # Why
//! The pods of a workload, and all launchers, ask the same of the same nodes, which hardly change: each answer is kept until the
//! node changes.

use std::collections::VecDeque;
use std::sync::Arc;

use super::cluster::Node;
use super::filter::{affine, has_affinity};
use crate::sim::json::Value;

/// So many askings are remembered.
const REMEMBERED: usize = 128;

/// What pods have asked, with the answer of the node at each place.
#[derive(Debug)]
struct Asking {
    /// A pod that asks so.
    pod: Value,
    met_by: Arc<Vec<bool>>,
}

fn wishes(pod: &Value) -> [&Value; 2] {
    [&pod["spec"]["nodeSelector"], &pod["spec"]["affinity"]["nodeAffinity"]]
}

/// The askings of late.
#[derive(Debug, Default)]
pub(super) struct Askings(VecDeque<Asking>);

impl Askings {
    fn of(&mut self, pod: &Value, nodes: &[Node]) -> Arc<Vec<bool>> {
        let known = self.0.iter().rposition(|a| wishes(&a.pod) == wishes(pod));
        if let Some(asking) = known.and_then(|at| self.0.remove(at)) {
            let met_by = asking.met_by.clone();
            // What is asked often is forgotten last.
            self.0.push_back(asking);
            return met_by;
        }
        if self.0.len() == REMEMBERED {
            self.0.pop_front();
        }
        let met = |node: &Node| node.object.as_ref().is_some_and(|object| affine(pod, object));
        let met_by = Arc::new(nodes.iter().map(met).collect::<Vec<_>>());
        self.0.push_back(Asking { pod: pod.clone(), met_by: met_by.clone() });
        met_by
    }

    /// Takes in that the labels of the node at a place have changed, or that it has come or gone.
    pub(super) fn change(&mut self, place: usize, node: Option<&Value>) {
        for asking in &mut self.0 {
            let met_by = Arc::make_mut(&mut asking.met_by);
            if met_by.len() <= place {
                met_by.resize(place + 1, false);
            }
            met_by[place] = node.is_some_and(|node| affine(&asking.pod, node));
        }
    }
}

/// What a pod asks of nodes.
#[derive(Debug, Clone)]
pub(super) enum Affinity<'a> {
    Nothing,
    /// The answer of the node at each place.
    Known(Arc<Vec<bool>>),
    /// Few nodes are in question: each is asked.
    Asked(&'a Value),
}

impl<'a> Affinity<'a> {
    /// Of a pod; `is_named`: it names the nodes that are in question.
    pub fn of(askings: &mut Askings, pod: &'a Value, is_named: bool, nodes: &[Node]) -> Self {
        if !has_affinity(pod) {
            Self::Nothing
        } else if is_named {
            Self::Asked(pod)
        } else {
            Self::Known(askings.of(pod, nodes))
        }
    }

    /// Whether a node is as the pod asks.
    pub fn fits(&self, node: &Node) -> bool {
        match self {
            Self::Nothing => true,
            Self::Known(met_by) => met_by.get(node.place).is_some_and(|met| *met),
            Self::Asked(pod) => node.object.as_ref().is_some_and(|object| affine(pod, object)),
        }
    }
}
