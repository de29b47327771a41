//! Hooks as a step function: which is next at a point, and what its recorded progress and the ledger say of it.

use jiff::Timestamp;

use crate::plan::v1alpha1::{Hook, HookPoint};
use crate::reconcile::{Effect, HookProgress, HookRunId, HookScope, HookStatus, View};

/// The longest wait between two tries.
const LONGEST_BACKOFF_SECONDS: u64 = 300;

/// What is next at a point.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum HookStep {
    /// Every hook of the point has succeeded.
    AllDone,
    /// Record this progress; the run starts when the record is seen written.
    Record(HookProgress),
    /// Start (or take up) the run.
    Run(Effect, String),
    /// Wait: name, words, and when to look again.
    Wait(String, String, Option<Timestamp>),
    /// This hook has succeeded: record that.
    Succeeded(usize),
    /// It has failed for good.
    Failed(String),
}

/// The hooks of a point that apply to a group (`None`: the campaign's).
pub(super) fn hooks_at<'a>(
    hooks: &'a [Hook],
    point: HookPoint,
    group: Option<&'a str>,
) -> impl Iterator<Item = (usize, &'a Hook)> {
    hooks
        .iter()
        .enumerate()
        .filter(move |(_, hook)| hook.at == point && group.is_none_or(|group| hook.applies_to(group)))
}

/// The hook of a point that is next.
pub(super) fn next<'a>(
    view: &View<'a>,
    point: HookPoint,
    group: Option<&'a str>,
    done: &[usize],
) -> Option<(usize, &'a Hook)> {
    hooks_at(&view.plan.hooks, point, group).find(|(index, _)| !done.contains(index))
}

/// Looks at the hooks of a point once. `boot_id` is the node's present one. `progress` is what is *recorded in the
/// cluster*, not what is wished for: a run starts only after "it is about to start" has been written, so that after a
/// crash nobody starts it twice.
pub(super) fn step(
    view: &View<'_>,
    point: HookPoint,
    scope: &HookScope,
    group: Option<&str>,
    done: &[usize],
    progress: Option<&HookProgress>,
    boot_id: &str,
) -> HookStep {
    let Some((index, hook)) = next(view, point, group, done) else { return HookStep::AllDone };
    let progress = progress.filter(|p| p.hook == index);
    let Some((progress, started_at)) = progress.and_then(|p| Some((p, p.started_at?))) else {
        return begin(view, index, hook, progress, boot_id);
    };
    let run = HookRunId { hook: index, scope: scope.clone(), attempt: progress.attempt, started_at };
    let tries = hook.retries + 1;
    match view.ledger.hooks.get(&run) {
        Some(HookStatus::Succeeded { .. }) => HookStep::Succeeded(index),
        Some(HookStatus::Running) => {
            let words =
                format!("try {} of {tries}, since {}", progress.attempt, started_at.strftime("%H:%M:%S UTC"));
            HookStep::Wait(hook.name.clone(), words, None)
        }
        Some(HookStatus::Failed { .. }) if progress.attempt < tries => {
            let doublings = progress.attempt.saturating_sub(1).min(16);
            let seconds = (hook.backoff.0.as_secs() << doublings).min(LONGEST_BACKOFF_SECONDS);
            HookStep::Record(HookProgress {
                attempt: progress.attempt + 1,
                started_at: None,
                not_before: Some(view.now + jiff::SignedDuration::from_secs(seconds as i64)),
                ..progress.clone()
            })
        }
        Some(HookStatus::Failed { message, .. }) => {
            let after = if tries == 1 { String::new() } else { format!(" after {tries} tries") };
            HookStep::Failed(format!("hook {}: {message}{after}", hook.name))
        }
        None => start(view, hook, run, progress),
    }
}

fn begin(
    view: &View<'_>,
    index: usize,
    hook: &Hook,
    progress: Option<&HookProgress>,
    boot_id: &str,
) -> HookStep {
    if let Some(reason) = view.stopping {
        return HookStep::Wait(hook.name.clone(), format!("not started: {reason}"), None);
    }
    let attempt = progress.map_or(1, |p| p.attempt);
    if let Some(at) = progress.and_then(|p| p.not_before).filter(|at| *at > view.now) {
        let words = format!("try {attempt} of {} at {}", hook.retries + 1, at.strftime("%H:%M:%S UTC"));
        return HookStep::Wait(hook.name.clone(), words, Some(at));
    }
    HookStep::Record(HookProgress {
        hook: index,
        name: hook.name.clone(),
        attempt,
        started_at: Some(view.now),
        driver: view.driver.to_owned(),
        not_before: None,
        boot_id: boot_id.to_owned(),
    })
}

fn start(view: &View<'_>, hook: &Hook, run: HookRunId, progress: &HookProgress) -> HookStep {
    let ours = progress.driver == view.driver;
    if ours || hook.action().is_some_and(|action| action.can_be_taken_up()) {
        return HookStep::Run(Effect::RunHook { run, boot_id: progress.boot_id.clone() }, hook.name.clone());
    }
    HookStep::Failed(format!(
        "hook {} was started at {} by a virtroll that ended before it knew the result; see what it did, then run \
         `virtroll apply` again to try it anew",
        hook.name,
        progress.started_at.unwrap_or(view.now)
    ))
}
