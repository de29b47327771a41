//! What has changed since somebody looked last.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use super::{Lookup, ObjectName};

/// Names by their latest change; changes are numbered from 1.
#[derive(Debug, Clone, Default)]
pub(super) struct Changes {
    latest: u64,
    by_number: BTreeMap<u64, Arc<ObjectName>>,
    number_of: Lookup<Arc<ObjectName>, u64>,
}

impl Changes {
    /// Something of that name has changed.
    pub(super) fn note(&mut self, name: &ObjectName) {
        let known = self.number_of.get(name).and_then(|number| self.by_number.remove(number));
        let name = known.unwrap_or_else(|| Arc::new(name.clone()));
        self.latest += 1;
        self.number_of.insert(name.clone(), self.latest);
        self.by_number.insert(self.latest, name);
    }

    /// The number of the latest change; 0 before the first.
    pub(super) fn latest(&self) -> u64 {
        self.latest
    }

    /// The names that have changed after a change of that number, each once, the latest change last.
    pub(super) fn after(&self, number: u64) -> impl Iterator<Item = &ObjectName> {
        self.by_number.range((Bound::Excluded(number), Bound::Unbounded)).map(|(_, name)| name.as_ref())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_name_is_told_once_by_its_latest_change() {
        let mut changes = Changes::default();
        let name = |name: &str| ObjectName::new("d", name);
        for n in ["a", "b", "a", "c"] {
            changes.note(&name(n));
        }
        let after = |number| changes.after(number).map(|n| n.name.as_str()).collect::<Vec<_>>();
        assert_eq!(
            (after(0), after(2), after(3), after(4)),
            (vec!["b", "a", "c"], vec!["a", "c"], vec!["c"], vec![])
        );
        assert_eq!(changes.latest(), 4);
    }
}
