//! Why each node did not start earlier: the last thing that it waited for before it began.

use std::collections::BTreeMap;

use crate::journal::{Event, EventKind};
use crate::reconcile::Hold;

/// Folds the journal's progress.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Waits {
    last: BTreeMap<String, String>,
}

impl Waits {
    /// Takes in an event.
    pub fn event(&mut self, event: &Event) {
        let EventKind::Progress(nodes) = &event.kind else { return };
        for (name, node) in nodes.iter().filter(|(_, n)| !n.phase.is_active() && !n.phase.is_terminal()) {
            // A hook that has just ended is no reason any more.
            let over = |h: &&Hold| matches!(h, Hold::Hook { progress, .. } if progress == "done");
            if let Some(hold) = node.holds.iter().find(|h| !over(h)) {
                self.last.insert(name.clone(), hold.to_string());
            }
        }
    }

    /// What a node waited for last before it began; `None` if for nothing.
    pub fn of(&self, node: &str) -> Option<&str> {
        self.last.get(node).map(String::as_str)
    }
}
