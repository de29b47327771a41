//! Cycles in `dependsOn`.

use petgraph::algo::tarjan_scc;
use petgraph::graphmap::DiGraphMap;

use super::v1alpha1::Group;

/// A cycle of at least two groups, in order: the first depends on the second, …, the last on the first. It begins with
/// the one that stands first in the plan.
pub(super) fn cycle(groups: &[Group]) -> Option<Vec<usize>> {
    let mut graph: DiGraphMap<usize, ()> = DiGraphMap::new();
    for (index, group) in groups.iter().enumerate() {
        for dependency in &group.depends_on {
            if let Some(before) = groups.iter().position(|g| &g.name == dependency) {
                graph.add_edge(index, before, ());
            }
        }
    }
    // Tarjan, SIAM J. Comput. 1972: whoever shares a component with others lies on a cycle.
    let component =
        tarjan_scc(&graph).into_iter().filter(|c| c.len() > 1).min_by_key(|c| c.iter().min().copied())?;
    let mut path = vec![*component.iter().min()?];
    loop {
        let here = *path.last()?;
        let next = graph.neighbors(here).find(|n| *n != here && component.contains(n))?;
        if let Some(start) = path.iter().position(|n| *n == next) {
            let mut cycle = path.split_off(start);
            let first =
                cycle.iter().enumerate().min_by_key(|(_, group)| **group).map_or(0, |(place, _)| place);
            cycle.rotate_left(first);
            return Some(cycle);
        }
        path.push(next);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(name: &str, depends_on: &[&str]) -> Group {
        let depends_on = depends_on.iter().map(|d| (*d).to_owned()).collect();
        Group { name: name.into(), depends_on, ..Group::default() }
    }

    #[test]
    fn a_cycle_is_named_in_the_order_of_its_dependencies() {
        for (groups, expected) in [
            (vec![group("a", &["b"]), group("b", &["c"]), group("c", &[])], None),
            (vec![group("a", &["a"])], None),
            (
                vec![group("x", &[]), group("c", &["a"]), group("b", &["c"]), group("a", &["b"])],
                Some(vec![1, 3, 2]),
            ),
            // The way into the cycle is no part of it.
            (vec![group("x", &["a"]), group("a", &["b"]), group("b", &["a"])], Some(vec![1, 2])),
        ] {
            let names: Vec<_> = groups.iter().map(|g| &g.name).collect();
            assert_eq!(cycle(&groups), expected, "{names:?}");
        }
    }
}
