//! Which pods a drain evicts, leaves or stumbles over: kubectl's filters, in kubectl's order, with kubectl's texts.

use std::borrow::Cow;
use std::collections::BTreeMap;

use jiff::Timestamp;

use super::DrainOptions;
use crate::inventory::{Inventory, ObjectName, Pod};
use crate::plan::selector;
use crate::schedule::consent::{Filtered, PodConsent};

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
    match options.permits().filter(pod, inventory) {
        Filtered::Leaves(consent) => Verdict::Evict(consent.map(|c| warning(&c))),
        Filtered::Stays(consent) => Verdict::Leave(consent.map(|c| warning(&c))),
        Filtered::Lacks(consent) => Verdict::Fatal(fatal(&consent)),
    }
}

fn no_daemon_set(name: &str) -> String {
    format!("daemonsets.apps {name:?} not found")
}

fn warning(consent: &PodConsent) -> Cow<'static, str> {
    match consent {
        PodConsent::NoDaemonSet(name) => no_daemon_set(name).into(),
        PodConsent::IgnoreDaemonSet => DAEMON_SET_WARNING.into(),
        PodConsent::DeleteEmptyDirData => LOCAL_STORAGE_WARNING.into(),
        PodConsent::NoController => UNREPLICATED_WARNING.into(),
    }
}

fn fatal(consent: &PodConsent) -> Cow<'static, str> {
    match consent {
        PodConsent::NoDaemonSet(name) => no_daemon_set(name).into(),
        PodConsent::IgnoreDaemonSet => DAEMON_SET_FATAL.into(),
        PodConsent::DeleteEmptyDirData => LOCAL_STORAGE_FATAL.into(),
        PodConsent::NoController => UNREPLICATED_FATAL.into(),
    }
}

/// kubectl's `--skip-wait-for-delete-timeout`: a pod whose deletion lies further back is not waited for.
fn is_long_deleted(pod: &Pod, options: &DrainOptions, now: Timestamp) -> bool {
    let (Some(limit), Some(deletion)) = (options.skip_wait_for_delete, pod.deletion) else {
        return false;
    };
    !limit.is_zero()
        && now.duration_since(deletion) > jiff::SignedDuration::try_from(limit).unwrap_or_default()
}

/// Joins messages as kubectl prints them: `message: ns/a, ns/b; other message: ns/c`.
pub fn join(messages: &BTreeMap<String, Vec<ObjectName>>) -> String {
    messages.iter().map(|(message, pods)| group(message, pods)).collect::<Vec<_>>().join("; ")
}

/// One message with its pods, as kubectl prints it.
pub fn group(message: &str, pods: &[ObjectName]) -> String {
    format!("{message}: {}", pods.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "))
}
