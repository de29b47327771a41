//! What a pod needs of the node that it is to run on, as far as the scheduler must respect it.
//!
//! Preferences are left out: they choose among nodes, they never keep a pod off one. Pods of one workload need the same, so the
//! inventory keeps each set of needs once and its pods share it.

use std::collections::BTreeMap;

use super::{Node, Taint};

/// Amounts of resources. CPU in thousandths of a core, everything else in units (bytes for memory and storage).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Resources {
    /// `cpu`, thousandths.
    pub cpu_millis: u64,
    /// `memory`, bytes.
    pub memory_bytes: u64,
    /// `ephemeral-storage`, bytes.
    pub ephemeral_bytes: u64,
    /// Extended resources and huge pages by name, without those of which nothing is asked.
    pub extended: BTreeMap<String, u64>,
}

impl Resources {
    /// Adds amounts.
    pub fn add(&mut self, more: &Self) {
        self.cpu_millis = self.cpu_millis.saturating_add(more.cpu_millis);
        self.memory_bytes = self.memory_bytes.saturating_add(more.memory_bytes);
        self.ephemeral_bytes = self.ephemeral_bytes.saturating_add(more.ephemeral_bytes);
        for (name, amount) in &more.extended {
            let known = self.extended.entry(name.clone()).or_default();
            *known = known.saturating_add(*amount);
        }
    }

    /// Takes amounts away; what nothing is left of is not named any more.
    pub fn subtract(&mut self, less: &Self) {
        self.cpu_millis = self.cpu_millis.saturating_sub(less.cpu_millis);
        self.memory_bytes = self.memory_bytes.saturating_sub(less.memory_bytes);
        self.ephemeral_bytes = self.ephemeral_bytes.saturating_sub(less.ephemeral_bytes);
        for (name, amount) in &less.extended {
            if let Some(known) = self.extended.get_mut(name) {
                *known = known.saturating_sub(*amount);
            }
        }
        self.extended.retain(|_, amount| *amount > 0);
    }
}

/// One test of a label or a field.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Test {
    /// `In`: there, with one of these values.
    In(Vec<String>),
    /// `NotIn`: not there, or with another value.
    NotIn(Vec<String>),
    /// `Exists`.
    Exists,
    /// `DoesNotExist`.
    Absent,
    /// `Gt`: a whole number larger than this.
    Above(i64),
    /// `Lt`: a whole number smaller than this.
    Below(i64),
    /// An operator or a value that nobody can read: never holds.
    Unreadable,
}

/// A test of the label (or field) of that key.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Requirement {
    /// Key of the label, or name of the field.
    pub key: String,
    /// The test.
    pub test: Test,
}

impl Requirement {
    /// Whether it holds for what stands under its key.
    pub fn holds(&self, actual: Option<&str>) -> bool {
        let listed = |values: &[String]| actual.is_some_and(|a| values.iter().any(|v| v == a));
        let number = || actual.and_then(|a| a.parse::<i64>().ok());
        match &self.test {
            Test::In(values) => listed(values),
            Test::NotIn(values) => !listed(values),
            Test::Exists => actual.is_some(),
            Test::Absent => actual.is_none(),
            Test::Above(bound) => number().is_some_and(|n| n > *bound),
            Test::Below(bound) => number().is_some_and(|n| n < *bound),
            Test::Unreadable => false,
        }
    }
}

/// A label selector: all of its requirements. None of them: everything.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Selector(pub Vec<Requirement>);

impl Selector {
    /// Whether it selects what has these labels.
    pub fn selects(&self, labels: &BTreeMap<String, String>) -> bool {
        self.0.iter().all(|r| r.holds(labels.get(&r.key).map(String::as_str)))
    }
}

/// A term of a node affinity: all of its requirements. A term without any selects no node, as in Kubernetes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct NodeTerm {
    /// Of labels.
    pub labels: Vec<Requirement>,
    /// Of fields; Kubernetes knows `metadata.name` only.
    pub fields: Vec<Requirement>,
}

impl NodeTerm {
    /// Whether it selects the node.
    pub fn selects(&self, node: &Node) -> bool {
        let label = |r: &Requirement| r.holds(node.labels.get(&r.key).map(String::as_str));
        let field = |r: &Requirement| r.holds((r.key == "metadata.name").then_some(node.name.as_str()));
        !(self.labels.is_empty() && self.fields.is_empty())
            && self.labels.iter().all(label)
            && self.fields.iter().all(field)
    }
}

/// A toleration.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Toleration {
    /// Key of the taint; empty with `Exists`: every taint.
    pub key: String,
    /// The value that the taint must have (`Equal`); `None` for any (`Exists`).
    pub value: Option<String>,
    /// Effect of the taint; empty: any.
    pub effect: String,
}

impl Toleration {
    /// Whether it tolerates the taint.
    pub fn covers(&self, taint: &Taint) -> bool {
        let key = if self.key.is_empty() { self.value.is_none() } else { self.key == taint.key };
        key && (self.effect.is_empty() || self.effect == taint.effect)
            && self.value.as_ref().is_none_or(|v| *v == taint.value)
    }
}

/// A required term of pod affinity or anti-affinity.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct PodTerm {
    /// Which pods; `None` means none.
    pub selector: Option<Selector>,
    /// Namespaces by name; the pod's own where the term says nothing.
    pub namespaces: Vec<String>,
    /// Namespaces by their labels, beside those named.
    pub namespace_selector: Option<Selector>,
    /// Label of nodes that says what one place is.
    pub topology_key: String,
}

/// Label of nodes that is their name.
const HOSTNAME: &str = "kubernetes.io/hostname";
/// Label of launcher pods: UID of their VMI.
const OWN_GUEST: &str = "kubevirt.io/created-by";

impl PodTerm {
    /// KubeVirt's own, by which it keeps a migration's target off its source. It says nothing of other guests, and no planner would
    /// put the target there.
    pub fn is_of_guest(&self) -> bool {
        let names_guest = |s: &Selector| s.0.iter().any(|r| r.key == OWN_GUEST);
        self.topology_key == HOSTNAME && self.selector.as_ref().is_some_and(names_guest)
    }

    /// Whether it means pods of a namespace with these labels. Of a namespace's labels only `kubernetes.io/metadata.name`, which
    /// every namespace has, is known here.
    pub fn means(&self, namespace: &str, labels: &BTreeMap<String, String>) -> bool {
        let by_label = |s: &Selector| {
            s.0.iter().all(|r| r.holds((r.key == "kubernetes.io/metadata.name").then_some(namespace)))
        };
        let here = self.namespaces.iter().any(|n| n == namespace)
            || self.namespace_selector.as_ref().is_some_and(by_label);
        here && self.selector.as_ref().is_some_and(|s| s.selects(labels))
    }
}

/// A topology spread constraint with `whenUnsatisfiable: DoNotSchedule`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Spread {
    /// `maxSkew`.
    pub max_skew: u32,
    /// `minDomains`.
    pub min_domains: Option<u32>,
    /// `topologyKey`.
    pub topology_key: String,
    /// `labelSelector` with `matchLabelKeys` put in; `None` means no pods.
    pub selector: Option<Selector>,
    /// `nodeAffinityPolicy: Ignore`: nodes that the pod's selector and affinity leave out count as well.
    pub counts_all_nodes: bool,
    /// `nodeTaintsPolicy: Honor`: nodes with taints that the pod doesn't tolerate don't count.
    pub honours_taints: bool,
}

/// A port of the node itself.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct HostPort {
    /// Address; `0.0.0.0` is all.
    pub address: String,
    /// `TCP`, `UDP` or `SCTP`.
    pub protocol: String,
    /// Number.
    pub port: u16,
}

/// What a pod needs of a node.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Needs {
    /// What it requests: its containers and sidecars together, or its init containers at their largest if that is more; plus
    /// the overhead of its runtime class.
    pub requests: Resources,
    /// `nodeSelector`.
    pub node_selector: BTreeMap<String, String>,
    /// Required node affinity: one of these terms. `None` where nothing is required.
    pub node_affinity: Option<Vec<NodeTerm>>,
    /// Tolerations.
    pub tolerations: Vec<Toleration>,
    /// Required pod affinity.
    pub near: Vec<PodTerm>,
    /// Required pod anti-affinity.
    pub apart: Vec<PodTerm>,
    /// Hard spread constraints.
    pub spread: Vec<Spread>,
    /// Host ports.
    pub host_ports: Vec<HostPort>,
}

impl Needs {
    /// Whether node selector and node affinity select the node.
    pub fn selects(&self, node: &Node) -> bool {
        self.node_selector.iter().all(|(key, value)| node.labels.get(key) == Some(value))
            && self.node_affinity.as_ref().is_none_or(|terms| terms.iter().any(|t| t.selects(node)))
    }

    /// A taint of these that keeps the pod off (`PreferNoSchedule` never does).
    pub fn refused_by<'a>(&self, taints: &'a [Taint]) -> Option<&'a Taint> {
        let is_hard = |t: &&Taint| t.effect == "NoSchedule" || t.effect == "NoExecute";
        taints.iter().filter(is_hard).find(|taint| !self.tolerations.iter().any(|t| t.covers(taint)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn requirement(key: &str, test: Test) -> Requirement {
        Requirement { key: key.into(), test }
    }

    fn values(list: &[&str]) -> Vec<String> {
        list.iter().map(|v| (*v).to_owned()).collect()
    }

    #[test]
    fn requirements_hold_as_in_kubernetes() {
        for (test, actual, expected) in [
            (Test::In(values(&["a", "b"])), Some("b"), true),
            (Test::In(values(&["a"])), None, false),
            (Test::NotIn(values(&["a"])), None, true),
            (Test::NotIn(values(&["a"])), Some("a"), false),
            (Test::Exists, Some(""), true),
            (Test::Absent, None, true),
            (Test::Above(4), Some("5"), true),
            (Test::Above(4), Some("4"), false),
            (Test::Below(4), Some("x"), false),
            (Test::Unreadable, Some("x"), false),
        ] {
            assert_eq!(requirement("k", test.clone()).holds(actual), expected, "{test:?} {actual:?}");
        }
    }

    #[test]
    fn terms_are_alternatives_and_an_empty_one_selects_nothing() {
        let labels = BTreeMap::from([("zone".to_owned(), "a".to_owned())]);
        let node = Node { name: "n1".into(), labels, ..Node::default() };
        let of_zone =
            NodeTerm { labels: vec![requirement("zone", Test::In(values(&["b"])))], ..NodeTerm::default() };
        let by_name = NodeTerm {
            fields: vec![requirement("metadata.name", Test::In(values(&["n1"])))],
            ..NodeTerm::default()
        };
        for (terms, expected) in [
            (None, true),
            (Some(vec![]), false),
            (Some(vec![NodeTerm::default()]), false),
            (Some(vec![of_zone.clone()]), false),
            (Some(vec![of_zone, by_name]), true),
        ] {
            let needs = Needs { node_affinity: terms, ..Needs::default() };
            assert_eq!(needs.selects(&node), expected, "{:?}", needs.node_affinity);
        }
    }

    #[test]
    fn a_taint_keeps_off_what_does_not_tolerate_it() {
        let taint = |effect: &str| Taint {
            key: "k".into(),
            value: "v".into(),
            effect: effect.into(),
            time_added: None,
        };
        let toleration = |key: &str, value: Option<&str>, effect: &str| Toleration {
            key: key.into(),
            value: value.map(str::to_owned),
            effect: effect.into(),
        };
        for (tolerations, effect, refused) in [
            (vec![], "NoSchedule", true),
            (vec![], "PreferNoSchedule", false),
            (vec![toleration("k", Some("v"), "NoSchedule")], "NoSchedule", false),
            (vec![toleration("k", Some("v"), "NoSchedule")], "NoExecute", true),
            (vec![toleration("k", Some("w"), "")], "NoSchedule", true),
            (vec![toleration("k", None, "")], "NoExecute", false),
            (vec![toleration("", None, "")], "NoExecute", false),
            (vec![toleration("", Some("v"), "")], "NoExecute", true),
        ] {
            let needs = Needs { tolerations, ..Needs::default() };
            let taints = [taint(effect)];
            assert_eq!(needs.refused_by(&taints).is_some(), refused, "{:?} {effect}", needs.tolerations);
        }
    }

    #[test]
    fn a_pod_term_means_pods_of_its_namespaces() {
        let labels = BTreeMap::from([("app".to_owned(), "db".to_owned())]);
        let term = PodTerm {
            selector: Some(Selector(vec![requirement("app", Test::In(values(&["db"])))])),
            namespaces: values(&["shop"]),
            ..PodTerm::default()
        };
        assert!(term.means("shop", &labels));
        assert!(!term.means("other", &labels));
        assert!(!term.means("shop", &BTreeMap::new()));
        let everywhere = PodTerm { namespace_selector: Some(Selector::default()), ..term.clone() };
        assert!(everywhere.means("other", &labels));
        assert!(!PodTerm { selector: None, ..term }.means("shop", &labels));
    }
}
