//! Verification: whether a maintained node is back, and what is missing.

use crate::inventory::{Inventory, Node};
use crate::plan::v1alpha1::Verify;
use crate::reconcile::NodeState;

/// What is missing before the node may be uncordoned; `None` when it is all there.
pub fn missing(inventory: &Inventory, node: &Node, state: &NodeState, verify: &Verify) -> Option<String> {
    if verify.ready {
        if !node.is_ready() {
            return Some("the node is not Ready".to_owned());
        }
        if let Some(text) = kubevirt_missing(inventory, node, state) {
            return Some(text);
        }
    }
    if verify.boot_id_changed && node.boot_id == state.boot_id {
        return Some(format!("the node has not rebooted: bootID is still {}", node.boot_id));
    }
    let requirement = verify.kernel_version.as_deref()?;
    (!kernel_satisfies(&node.kernel_version, requirement).unwrap_or(false))
        .then(|| format!("kernel version is {}, wanted {requirement}", node.kernel_version))
}

/// KubeVirt's own readiness on the node, where KubeVirt has run before: schedulable, a heartbeat newer than the boot,
/// and KVM devices. The label alone would pass before virt-handler runs: after a power cut it stays `true`.
fn kubevirt_missing(inventory: &Inventory, node: &Node, state: &NodeState) -> Option<String> {
    inventory.kubevirt.as_ref()?;
    let schedulable = node.labels.get("kubevirt.io/schedulable")?;
    if schedulable != "true" {
        return Some("KubeVirt does not schedule here yet (label kubevirt.io/schedulable)".to_owned());
    }
    if node.boot_id != state.boot_id {
        let heartbeat =
            node.annotations.get("kubevirt.io/heartbeat").and_then(|t| t.parse::<jiff::Timestamp>().ok());
        // A boot that nobody saw as NotReady was at the latest when the verification began.
        let seen = node.ready_since.filter(|at| state.started_at.is_none_or(|began| *at >= began));
        let booted = seen.or(state.since);
        if heartbeat.is_none() || heartbeat < booted {
            return Some(
                "virt-handler has not reported since the boot (annotation kubevirt.io/heartbeat)".to_owned(),
            );
        }
    }
    let missing = node.kvm == Some(0) || (state.had_kvm && node.kvm.is_none());
    missing.then(|| "no devices.kubevirt.io/kvm allocatable yet".to_owned())
}

/// Compares a kernel version (`6.12.4-15-generic`) with a requirement (`>=6.12`, `>6.11.2`, `=6.12.4`, `<7`).
/// Only the leading dotted numbers count, missing ones as 0; `None` if the requirement can't be read.
pub fn kernel_satisfies(version: &str, requirement: &str) -> Option<bool> {
    let requirement = requirement.trim();
    let digits = requirement.find(|c: char| c.is_ascii_digit())?;
    let (operator, wanted) = requirement.split_at(digits);
    let (actual, wanted) = (numbers(version), numbers(wanted));
    let length = actual.len().max(wanted.len());
    let part = |v: &[u64], i: usize| v.get(i).copied().unwrap_or(0);
    let order = (0..length).map(|i| part(&actual, i).cmp(&part(&wanted, i))).find(|o| o.is_ne());
    let order = order.unwrap_or(std::cmp::Ordering::Equal);
    Some(match operator.trim() {
        ">=" | "" => order.is_ge(),
        ">" => order.is_gt(),
        "<=" => order.is_le(),
        "<" => order.is_lt(),
        "=" | "==" => order.is_eq(),
        _ => return None,
    })
}

fn numbers(version: &str) -> Vec<u64> {
    let leading = version.split(|c: char| !(c.is_ascii_digit() || c == '.')).next().unwrap_or_default();
    leading.split('.').map_while(|part| part.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernel_versions_compare_by_their_numbers() {
        for (version, requirement, expected) in [
            ("6.12.4-15-generic", ">=6.12", Some(true)),
            ("6.12", ">=6.12.0", Some(true)),
            ("6.9.1", ">=6.12", Some(false)),
            ("6.12.4", ">6.12.4", Some(false)),
            ("6.12.4", "=6.12.4", Some(true)),
            ("6.12.4", "<7", Some(true)),
            ("5.14.0-503.el9", "6.12", Some(false)),
            ("6.12.4", "newest", None),
            ("6.12.4", "~6", None),
        ] {
            assert_eq!(kernel_satisfies(version, requirement), expected, "{version} {requirement}");
        }
    }
}
