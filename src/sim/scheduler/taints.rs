//! Taints and tolerations, read once: a pod is held against the taints of hundreds of nodes.

use std::sync::LazyLock;

use crate::sim::json::{Text, Value};

/// A taint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Taint {
    key: Text,
    value: Text,
    effect: Text,
}

/// What a pod tolerates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Toleration {
    /// Empty: every key, with `exists`.
    key: Text,
    /// Whatever the value.
    exists: bool,
    value: Text,
    /// Empty: every effect.
    effect: Text,
}

/// What a cordon is to pods.
pub(super) static CORDON: LazyLock<Taint> = LazyLock::new(|| {
    let (key, effect) = ("node.kubernetes.io/unschedulable".into(), "NoSchedule".into());
    Taint { key, value: Text::default(), effect }
});

fn text(value: &Value) -> Text {
    value.as_text().cloned().unwrap_or_default()
}

impl Taint {
    /// The taints of a node.
    pub(super) fn of(node: &Value) -> impl Iterator<Item = Self> {
        node["spec"]["taints"].as_array().into_iter().flatten().map(Self::read)
    }

    fn read(taint: &Value) -> Self {
        Self { key: text(&taint["key"]), value: text(&taint["value"]), effect: text(&taint["effect"]) }
    }

    /// It keeps pods off.
    pub(super) fn is_hard(&self) -> bool {
        self.effect == "NoSchedule" || self.effect == "NoExecute"
    }

    /// It only speaks against the node.
    pub(super) fn is_soft(&self) -> bool {
        self.effect == "PreferNoSchedule"
    }
}

impl Toleration {
    /// What a pod tolerates.
    pub(super) fn of(pod: &Value) -> Vec<Self> {
        let tolerations = pod["spec"]["tolerations"].as_array().into_iter().flatten();
        let read = |t: &Value| Self {
            key: text(&t["key"]),
            exists: t["operator"] == "Exists",
            value: text(&t["value"]),
            effect: text(&t["effect"]),
        };
        tolerations.map(read).collect()
    }

    fn covers(&self, taint: &Taint) -> bool {
        (self.effect.is_empty() || self.effect == taint.effect)
            && ((self.key.is_empty() && self.exists)
                || (self.key == taint.key && (self.exists || self.value == taint.value)))
    }
}

/// Whether a taint is tolerated.
pub(super) fn tolerated(tolerations: &[Toleration], taint: &Taint) -> bool {
    tolerations.iter().any(|t| t.covers(taint))
}

/// Whether a pod tolerates a taint.
pub(in crate::sim) fn pod_tolerates(pod: &Value, taint: &Value) -> bool {
    tolerated(&Toleration::of(pod), &Taint::read(taint))
}
