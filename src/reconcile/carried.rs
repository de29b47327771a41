//! What the campaign's nodes carry, each text read once.

use std::sync::Arc;

use super::View;
use crate::inventory::Lookup;
use crate::reconcile::{NodeState, STATE_ANNOTATION};

/// An annotation, and what it says.
#[derive(Debug, PartialEq, Eq)]
struct Annotation {
    text: String,
    state: Result<NodeState, String>,
}

/// What nodes carried when they were looked at last, by node: a decision reads anew only what has changed since the one before.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Carried(Lookup<String, Arc<Annotation>>);

/// What the campaign's nodes carry, read once a decision.
pub(super) struct States<'a> {
    campaign: &'a str,
    carried: Carried,
}

impl<'a> States<'a> {
    pub(super) fn read(view: &View<'a>) -> Self {
        let annotation = |name: &str| {
            let node = view.inventory.node(name)?;
            let text = node.annotations.get(STATE_ANNOTATION)?;
            let known = view.ledger.carried.0.get(name).filter(|known| known.text == *text);
            if let Some(known) = known {
                return Some((name.to_owned(), known.clone()));
            }
            let annotation = Annotation { text: text.clone(), state: NodeState::of(node)? };
            Some((name.to_owned(), Arc::new(annotation)))
        };
        let carried = view.nodes().filter_map(|(_, name)| annotation(name)).collect();
        Self { campaign: view.campaign, carried: Carried(carried) }
    }

    /// This campaign's state of a node, if it carries one.
    pub(super) fn mine(&self, node: &str) -> Option<&NodeState> {
        self.any(node)?.as_ref().ok().filter(|s| s.campaign == self.campaign)
    }

    /// Whosoever state a node carries.
    pub(super) fn any(&self, node: &str) -> Option<&Result<NodeState, String>> {
        self.carried.0.get(node).map(|annotation| &annotation.state)
    }

    /// For the next decision.
    pub(super) fn into_carried(self) -> Carried {
        self.carried
    }
}
