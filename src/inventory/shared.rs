//! What many objects have alike, kept once.
//!
//! # Why
//! The pods of a workload differ in their names, and hardly in anything else. Among 150,000 of them labels, owners and needs by
//! themselves would take most of the memory; and whether two pods have the same is told by one comparison of addresses.

use std::collections::BTreeSet;
use std::sync::Arc;

/// Values of one kind, each once.
#[derive(Debug, Clone)]
pub(super) struct Shared<T>(BTreeSet<Arc<T>>);

impl<T: Ord> Shared<T> {
    /// Makes a value the one that others have already, if any do.
    pub fn share(&mut self, value: &mut Arc<T>) {
        match self.0.get(&**value) {
            Some(known) => *value = known.clone(),
            None => {
                self.0.insert(value.clone());
            }
        }
    }

    /// Forgets a value, if nobody has it but who gives it up.
    pub fn give_up(&mut self, value: &Arc<T>) {
        // The set itself, and the one that gives it up.
        if Arc::strong_count(value) == 2 {
            self.0.remove(&**value);
        }
    }

    /// How many different ones there are.
    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.0.len()
    }
}

impl<T> Default for Shared<T> {
    fn default() -> Self {
        Self(BTreeSet::new())
    }
}
