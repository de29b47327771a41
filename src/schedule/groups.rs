//! Groups: their order and their nodes.

use std::collections::{BTreeMap, BTreeSet};

use petgraph::graphmap::DiGraphMap;

use crate::inventory::Inventory;
use crate::plan::selector;
use crate::plan::v1alpha1::{Group, MaintenancePlanSpec};

/// Where a plan doesn't fit the cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Misfit {
    /// The field of the plan, such as `["spec", "groups", "0", "nodes"]`.
    pub path: Vec<String>,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub hint: String,
}

impl Misfit {
    fn new(group: usize, below: &[&str], message: String, hint: impl Into<String>) -> Self {
        let group = group.to_string();
        let path = ["spec", "groups", &group].into_iter().chain(below.iter().copied());
        Self { path: path.map(str::to_owned).collect(), message, hint: hint.into() }
    }
}

impl std::fmt::Display for Misfit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let hint = if self.hint.is_empty() { String::new() } else { format!("; {}", self.hint) };
        write!(f, "{}{hint}", self.message)
    }
}

/// The nodes of a group, in the order in which they are taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupNodes {
    /// Name of the group.
    pub name: String,
    /// Its nodes.
    pub nodes: Vec<String>,
}

fn graph(groups: &[Group]) -> DiGraphMap<usize, ()> {
    let mut graph = DiGraphMap::new();
    for (index, group) in groups.iter().enumerate() {
        graph.add_node(index);
        for dependency in &group.depends_on {
            if let Some(before) = groups.iter().position(|g| &g.name == dependency) {
                graph.add_edge(before, index, ());
            }
        }
    }
    graph
}

/// `worker-2` before `worker-10`: runs of digits compare as numbers.
fn natural(name: &str) -> Vec<(String, u64)> {
    let mut parts = Vec::new();
    let mut rest = name;
    while !rest.is_empty() {
        let text_end = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        let (text, after) = rest.split_at(text_end);
        let digits_end = after.find(|c: char| !c.is_ascii_digit()).unwrap_or(after.len());
        let (digits, after) = after.split_at(digits_end);
        parts.push((text.to_owned(), digits.parse().unwrap_or(u64::MAX)));
        rest = after;
    }
    parts
}

/// The groups in an order that respects `dependsOn` (the plan's order where that leaves a choice), with their nodes: those
/// named in the order of their names' list, those selected in natural order of their names.
///
/// # Errors
/// Every misfit: a name that isn't a node, a group without nodes, a node in two groups.
pub fn resolve(plan: &MaintenancePlanSpec, inventory: &Inventory) -> Result<Vec<GroupNodes>, Vec<Misfit>> {
    let mut mistakes = Vec::new();
    let mut owner: BTreeMap<String, usize> = BTreeMap::new();
    let mut resolved: Vec<GroupNodes> = Vec::new();
    for (index, group) in plan.groups.iter().enumerate() {
        let nodes = members(index, group, inventory, &mut mistakes);
        // Names that aren't there have been told one by one.
        if nodes.is_empty() && (group.nodes.names.is_empty() || group.nodes.selector.is_some()) {
            let (why, hint) = match &group.nodes.selector {
                Some(_) => (
                    "matches no node of this cluster",
                    "`kubectl get nodes --show-labels` shows what there is",
                ),
                None => ("has no node in this cluster", ""),
            };
            mistakes.push(Misfit::new(index, &["nodes"], format!("group {} {why}", group.name), hint));
        }
        for node in &nodes {
            if let Some(first) = owner.insert(node.clone(), index).filter(|first| *first != index) {
                let first = &plan.groups[first].name;
                let message = format!("node {node} is in two groups: {first} and {}", group.name);
                let place = group.nodes.names.iter().position(|n| n == node).map(|n| n.to_string());
                let below: Vec<&str> = ["nodes"]
                    .into_iter()
                    .chain(place.as_deref().into_iter().flat_map(|place| ["names", place]))
                    .collect();
                let hint = match &group.nodes.selector {
                    Some(_) => format!(
                        "a node belongs to one group; leave it out of this one: {{key: kubernetes.io/hostname, operator: NotIn, \
                         values: [{node}]}}"
                    ),
                    None => "a node belongs to one group".to_owned(),
                };
                mistakes.push(Misfit::new(index, &below, message, hint));
            }
        }
        resolved.push(GroupNodes { name: group.name.clone(), nodes });
    }
    if !mistakes.is_empty() {
        return Err(mistakes);
    }
    Ok(ordered(&plan.groups).into_iter().map(|index| resolved[index].clone()).collect())
}

/// The groups of a campaign that goes on. What it has begun belongs to it, whatever its nodes' labels say by now (an upgrade
/// changes labels) and whether they still exist; of the others, those that the plan selects, each in the first such group.
pub fn resume(
    plan: &MaintenancePlanSpec,
    inventory: &Inventory,
    begun: &[(String, String)],
) -> Vec<GroupNodes> {
    let mut owner: BTreeMap<&str, &str> = BTreeMap::new();
    for (node, group) in begun {
        owner.insert(node, group);
    }
    let mut taken: BTreeSet<String> = BTreeSet::new();
    let mut groups = Vec::new();
    for index in ordered(&plan.groups) {
        let group = &plan.groups[index];
        let named = group.nodes.names.iter().filter(|_| group.nodes.selector.is_none()).cloned();
        let selected = members(index, group, inventory, &mut Vec::new());
        let mine = |node: &String| owner.get(node.as_str()).is_none_or(|g| *g == group.name);
        let mut nodes: Vec<String> = Vec::new();
        let begun = owner.iter().filter(|(_, g)| **g == group.name).map(|(node, _)| (*node).to_owned());
        for node in named.chain(selected).filter(mine).chain(begun) {
            if taken.insert(node.clone()) {
                nodes.push(node);
            }
        }
        groups.push(GroupNodes { name: group.name.clone(), nodes });
    }
    groups
}

/// Repeatedly the first group of the plan whose dependencies are all taken.
fn ordered(groups: &[Group]) -> Vec<usize> {
    let graph = graph(groups);
    let mut order: Vec<usize> = Vec::new();
    while let Some(next) = (0..groups.len()).find(|index| {
        !order.contains(index)
            && graph.neighbors_directed(*index, petgraph::Incoming).all(|b| order.contains(&b))
    }) {
        order.push(next);
    }
    order
}

fn members(index: usize, group: &Group, inventory: &Inventory, mistakes: &mut Vec<Misfit>) -> Vec<String> {
    let selected = |name: &String| {
        let node = inventory.node(name);
        let selector = group.nodes.selector.as_ref();
        node.is_some_and(|n| selector.is_none_or(|s| selector::matches(s, &n.labels)))
    };
    if !group.nodes.names.is_empty() {
        for (place, name) in group.nodes.names.iter().enumerate().filter(|(_, n)| inventory.node(n).is_none())
        {
            let nearest = inventory
                .nodes()
                .keys()
                .max_by(|a, b| strsim::jaro_winkler(a, name).total_cmp(&strsim::jaro_winkler(b, name)));
            let hint = nearest.map(|n| format!("did you mean {n}?")).unwrap_or_default();
            let message = format!("group {} names node {name}, which is not in this cluster", group.name);
            let place = place.to_string();
            mistakes.push(Misfit::new(index, &["nodes", "names", &place], message, hint));
        }
        return group.nodes.names.iter().filter(|n| selected(n)).cloned().collect();
    }
    let mut nodes: Vec<String> = inventory.nodes().keys().filter(|n| selected(n)).cloned().collect();
    nodes.sort_by_key(|n| natural(n));
    nodes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inventory::Node;
    use crate::plan::v1alpha1::NodeSelection;

    fn group(name: &str, depends_on: &[&str]) -> Group {
        Group {
            name: name.into(),
            depends_on: depends_on.iter().map(|d| (*d).to_owned()).collect(),
            ..Group::default()
        }
    }

    fn named(name: &str, nodes: &[&str]) -> Group {
        let names = nodes.iter().map(|n| (*n).to_owned()).collect();
        Group { nodes: NodeSelection { names, selector: None }, ..group(name, &[]) }
    }

    fn cluster(nodes: &[&str]) -> Inventory {
        let mut inventory = Inventory::new();
        for name in nodes {
            inventory.put_node(Node { name: (*name).into(), ..Node::default() });
        }
        inventory
    }

    #[test]
    fn groups_come_after_what_they_depend_on_and_nodes_in_natural_order() {
        let mut workers = group("workers", &["canary"]);
        workers.nodes.selector = selector::parse("!role").ok();
        let plan = MaintenancePlanSpec {
            groups: vec![workers, named("canary", &["n-1"])],
            ..MaintenancePlanSpec::default()
        };
        let mistakes = resolve(&plan, &cluster(&["n-10", "n-1", "n-2"])).expect_err("n-1 is in both");
        assert_eq!(mistakes.len(), 1);
        assert_eq!(mistakes[0].message, "node n-1 is in two groups: workers and canary");
        assert_eq!(mistakes[0].path.join("."), "spec.groups.1.nodes.names.0");
        let mut plan = plan;
        plan.groups[0].nodes.selector = selector::parse("role=w").ok();
        let mut nodes = cluster(&["n-1"]);
        for name in ["n-10", "n-2"] {
            let labels = BTreeMap::from([("role".to_owned(), "w".to_owned())]);
            nodes.put_node(Node { name: name.into(), labels, ..Node::default() });
        }
        let groups = resolve(&plan, &nodes).expect("resolves");
        let shown: Vec<_> = groups.iter().map(|g| (g.name.as_str(), g.nodes.join(" "))).collect();
        assert_eq!(shown, [("canary", "n-1".to_owned()), ("workers", "n-2 n-10".to_owned())]);
    }

    #[test]
    fn a_campaign_that_goes_on_keeps_the_nodes_that_it_has_begun() {
        let mut old = group("old", &[]);
        old.nodes.selector = selector::parse("kernel=old").ok();
        let plan = MaintenancePlanSpec {
            groups: vec![old, named("canary", &["n-1", "n-gone"])],
            ..MaintenancePlanSpec::default()
        };
        let mut nodes = cluster(&["n-1", "n-2"]);
        for (name, kernel) in [("n-3", "old"), ("n-4", "old")] {
            let labels = BTreeMap::from([("kernel".to_owned(), kernel.to_owned())]);
            nodes.put_node(Node { name: name.into(), labels, ..Node::default() });
        }
        // n-2 was one of `old`; its maintenance has changed its label. n-4 belongs to canary by the record.
        let begun = [("n-2", "old"), ("n-4", "canary")].map(|(n, g)| (n.to_owned(), g.to_owned()));
        let groups = resume(&plan, &nodes, &begun);
        let shown: Vec<_> = groups.iter().map(|g| (g.name.as_str(), g.nodes.join(" "))).collect();
        assert_eq!(shown, [("old", "n-3 n-2".to_owned()), ("canary", "n-1 n-gone n-4".to_owned())]);
    }

    #[test]
    fn a_name_that_is_no_node_is_told_with_the_nearest() {
        let plan =
            MaintenancePlanSpec { groups: vec![named("a", &["worker-1"])], ..MaintenancePlanSpec::default() };
        let mistakes = resolve(&plan, &cluster(&["worker-01", "etcd"])).expect_err("no such node");
        assert_eq!(
            mistakes[0].to_string(),
            "group a names node worker-1, which is not in this cluster; did you mean worker-01?"
        );
    }
}
