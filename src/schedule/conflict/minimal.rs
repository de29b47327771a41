//! QuickXplain: a minimal conflict by halving (U. Junker, *QuickXplain: preferred explanations and relaxations for
//! over-constrained problems*, AAAI 2004), and the deletion filter that verifies one.

/// Asks a monotone oracle for a minimal conflict among `members` (ids below `ids`): a subset that is a conflict, and of which no
/// proper subset is one. `None` if all of them together are none. `is_conflict` gets a flag for each id; whatever is a conflict must
/// stay one with more flags set. O(c·log(m ÷ c)) questions for a conflict of c among m.
pub fn minimal(
    ids: usize,
    members: &[u32],
    mut is_conflict: impl FnMut(&[bool]) -> bool,
) -> Option<Vec<u32>> {
    let mut kept = vec![false; ids];
    if is_conflict(&kept) {
        return Some(Vec::new());
    }
    set(&mut kept, members, true);
    if !is_conflict(&kept) {
        return None;
    }
    set(&mut kept, members, false);
    let mut found = halve(&mut kept, false, members, &mut is_conflict);
    found.sort_unstable();
    Some(found)
}

fn set(kept: &mut [bool], members: &[u32], to: bool) {
    for member in members {
        kept[*member as usize] = to;
    }
}

/// What of `members` is needed beside those kept; `grown`: something was kept since the question was last asked.
fn halve(
    kept: &mut [bool],
    grown: bool,
    members: &[u32],
    is_conflict: &mut impl FnMut(&[bool]) -> bool,
) -> Vec<u32> {
    if grown && is_conflict(kept) {
        return Vec::new();
    }
    if members.len() <= 1 {
        return members.to_vec();
    }
    let (first, second) = members.split_at(members.len() / 2);
    set(kept, first, true);
    let mut needed = halve(kept, true, second, is_conflict);
    set(kept, first, false);
    set(kept, &needed, true);
    let more = halve(kept, !needed.is_empty(), first, is_conflict);
    set(kept, &needed, false);
    needed.extend(more);
    needed
}

/// Whether a set is a conflict and no member of it can be spared: with a monotone oracle, that no proper subset is one.
pub fn is_minimal(ids: usize, set_of: &[u32], mut is_conflict: impl FnMut(&[bool]) -> bool) -> bool {
    let mut kept = vec![false; ids];
    set(&mut kept, set_of, true);
    if !is_conflict(&kept) {
        return false;
    }
    set_of.iter().all(|member| {
        kept[*member as usize] = false;
        let is_needed = !is_conflict(&kept);
        kept[*member as usize] = true;
        is_needed
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    /// An oracle that knows its conflicts: any superset of one of them.
    fn knows(conflicts: &[BTreeSet<u32>]) -> impl Fn(&[bool]) -> bool + '_ {
        |kept| conflicts.iter().any(|c| c.iter().all(|m| kept[*m as usize]))
    }

    #[test]
    fn a_conflict_among_many_is_found_with_few_questions() {
        let conflict: BTreeSet<u32> = [17, 4_000, 39_999].into();
        let members: Vec<u32> = (0..40_000).collect();
        let mut asked = 0;
        let found = minimal(40_000, &members, |kept| {
            asked += 1;
            conflict.iter().all(|m| kept[*m as usize])
        });
        assert_eq!(found, Some(vec![17, 4_000, 39_999]));
        // 3 · log₂(40,000 ÷ 3) is 42; halving asks about twice for each level.
        assert!(asked < 120, "{asked}");
    }

    #[test]
    fn nothing_conflicts_or_everything_does() {
        assert_eq!(minimal(3, &[0, 1, 2], |_| false), None);
        assert_eq!(minimal(3, &[0, 1, 2], |_| true), Some(vec![]));
        assert!(!is_minimal(3, &[0], |_| false));
        assert!(!is_minimal(3, &[0], |_| true), "it would be one without 0, too");
    }

    proptest! {
        #[test]
        fn what_is_found_is_a_conflict_and_no_part_of_it_is(
            conflicts in prop::collection::vec(prop::collection::btree_set(0u32..12, 1..5), 0..6),
        ) {
            let members: Vec<u32> = (0..12).collect();
            let found = minimal(12, &members, knows(&conflicts));
            // By hand: the conflicts of which no other is a part.
            let least: Vec<Vec<u32>> = conflicts
                .iter()
                .filter(|c| !conflicts.iter().any(|other| other != *c && other.is_subset(c)))
                .map(|c| c.iter().copied().collect())
                .collect();
            match found {
                None => prop_assert!(conflicts.is_empty()),
                Some(found) => {
                    prop_assert!(least.contains(&found), "{found:?} of {least:?}");
                    prop_assert!(is_minimal(12, &found, knows(&conflicts)));
                }
            }
        }
    }
}
