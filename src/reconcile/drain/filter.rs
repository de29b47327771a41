//! Which pods a drain evicts, leaves or stumbles over: kubectl's filters, in kubectl's order, with kubectl's texts.

use std::borrow::Cow;
use std::collections::BTreeMap;

use jiff::Timestamp;

use super::DrainOptions;
use crate::inventory::{Inventory, ObjectName, Pod};
use crate::plan::selector;

/// Fatal without `--ignore-daemonsets`.
pub const DAEMON_SET_FATAL: &str = "cannot delete DaemonSet-managed Pods (use --ignore-daemonsets to ignore)";
/// Fatal without `--delete-emptydir-data`.
pub const LOCAL_STORAGE_FATAL: &str =
    "cannot delete Pods with local storage (use --delete-emptydir-data to override)";
/// Fatal without `--force`.
pub const UNREPLICATED_FATAL: &str =
    "cannot delete Pods that declare no controller (use --force to override)";
/// Warning with `--ignore-daemonsets`.
pub const DAEMON_SET_WARNING: &str = "ignoring DaemonSet-managed Pods";
/// Warning with `--delete-emptydir-data`.
pub const LOCAL_STORAGE_WARNING: &str = "deleting Pods with local storage";
/// Warning with `--force`.
pub const UNREPLICATED_WARNING: &str = "deleting Pods that declare no controller";

/// What becomes of one pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It has to leave; possibly with a warning.
    Evict(Option<Cow<'static, str>>),
    /// It stays; possibly with a warning.
    Leave(Option<Cow<'static, str>>),
    /// The drain may not begin.
    Fatal(Cow<'static, str>),
}

/// Applies the filters to one pod.
pub fn judge(pod: &Pod, inventory: &Inventory, options: &DrainOptions, now: Timestamp) -> Verdict {
    if pod.is_of_hook() && options.consent.is_some() {
        return Verdict::Leave(None);
    }
    if options.pod_selector.as_ref().is_some_and(|s| !selector::matches(s, &pod.labels)) {
        return Verdict::Leave(None);
    }
    // In a dry run what is on its way out is as good as gone.
    if is_long_deleted(pod, options, now) || (options.ask_anyway && pod.deletion.is_some()) {
        return Verdict::Leave(None);
    }
    let mut warning = None;
    match daemon_set(pod, inventory, options) {
        Verdict::Evict(w) => warning = w.or(warning),
        other => return other,
    }
    if pod.is_mirror {
        return Verdict::Leave(None);
    }
    let finished = pod.phase.is_terminal();
    // A finished launcher is what a VM left behind: KubeVirt clears it away, and an eviction would only be one request more.
    if guards_running_guest(pod) || (finished && pod.is_launcher()) {
        return Verdict::Leave(None);
    }
    // A launcher's scratch space holds nothing to lose; in a campaign the plan's consents say what may happen to its VM.
    let guarded_by_consent = options.consent.is_some() && pod.is_launcher();
    if !finished && pod.has_empty_dir && !guarded_by_consent {
        if !options.delete_empty_dir_data {
            return Verdict::Fatal(LOCAL_STORAGE_FATAL.into());
        }
        warning = Some(LOCAL_STORAGE_WARNING.into());
    }
    if !finished && pod.controller.is_none() {
        if !options.force {
            return Verdict::Fatal(UNREPLICATED_FATAL.into());
        }
        warning = Some(UNREPLICATED_WARNING.into());
    }
    Verdict::Evict(warning)
}

/// kubectl's `--skip-wait-for-delete-timeout`: a pod whose deletion lies further back is not waited for.
fn is_long_deleted(pod: &Pod, options: &DrainOptions, now: Timestamp) -> bool {
    let (Some(limit), Some(deletion)) = (options.skip_wait_for_delete, pod.deletion) else {
        return false;
    };
    !limit.is_zero()
        && now.duration_since(deletion) > jiff::SignedDuration::try_from(limit).unwrap_or_default()
}

fn daemon_set(pod: &Pod, inventory: &Inventory, options: &DrainOptions) -> Verdict {
    let Some(owner) = pod.controller.as_ref().filter(|o| o.kind == "DaemonSet") else {
        return Verdict::Evict(None);
    };
    if pod.phase.is_terminal() {
        return Verdict::Evict(None);
    }
    let name = ObjectName::new(&pod.name.namespace, &owner.name);
    if inventory.daemon_set(&name).is_none() {
        let text = format!("daemonsets.apps {:?} not found", owner.name);
        return if options.force { Verdict::Evict(Some(text.into())) } else { Verdict::Fatal(text.into()) };
    }
    if options.ignore_daemon_sets {
        Verdict::Leave(Some(DAEMON_SET_WARNING.into()))
    } else {
        Verdict::Fatal(DAEMON_SET_FATAL.into())
    }
}

/// A KubeVirt volume-attachment pod leaves together with its launcher. Evicting it earlier is refused by newer
/// webhooks, and older ones let it happen and the guest gets I/O errors.
fn guards_running_guest(pod: &Pod) -> bool {
    pod.is_hotplug() && !pod.phase.is_terminal()
}

/// Joins messages as kubectl prints them: `message: ns/a, ns/b; other message: ns/c`.
pub fn join(messages: &BTreeMap<String, Vec<ObjectName>>) -> String {
    messages.iter().map(|(message, pods)| group(message, pods)).collect::<Vec<_>>().join("; ")
}

/// One message with its pods, as kubectl prints it.
pub fn group(message: &str, pods: &[ObjectName]) -> String {
    format!("{message}: {}", pods.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "))
}
