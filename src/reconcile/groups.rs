//! Groups: which are through, which soak, which may start; hooks of groups and of the campaign.

use jiff::Timestamp;

use super::hooks::{self, HookStep};
use super::{Decision, GroupNodes, View};
use crate::plan::v1alpha1::{CampaignHook, HookPoint, MaintenanceCampaignStatus};
use crate::reconcile::{Hold, HookProgress, HookScope};

/// Where a group is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum GroupState {
    /// Waits for these groups.
    Waits(Vec<Hold>),
    /// Its nodes may start (when its `BeforeGroup` hooks are through).
    Open,
    /// All its nodes are through.
    Through,
}

/// True if every node of the group has come to an end.
pub(super) fn nodes_through(group: &GroupNodes, decision: &Decision) -> bool {
    group.nodes.iter().all(|n| decision.phase(n).is_some_and(|p| p.is_terminal()))
}

fn ended_at(group: &GroupNodes, decision: &Decision) -> Option<Timestamp> {
    group.nodes.iter().filter_map(|n| decision.record(n)?.finished_at).max()
}

/// Where each group is, by the plan's dependencies and the record as it is now.
pub(super) fn state(view: &View<'_>, group: &GroupNodes, decision: &mut Decision) -> GroupState {
    if nodes_through(group, decision) {
        return GroupState::Through;
    }
    let mut holds = Vec::new();
    let mut behind = Vec::new();
    for dependency in view.group(&group.name).map(|g| g.depends_on.as_slice()).unwrap_or_default() {
        let Some(nodes) = view.groups.iter().find(|g| &g.name == dependency) else {
            continue;
        };
        if !nodes_through(nodes, decision) || !after_group_done(view, nodes) {
            behind.push(dependency.clone());
            continue;
        }
        holds.extend(soak(view, nodes, decision));
    }
    if !behind.is_empty() {
        holds.push(Hold::Group { waits_for: behind });
    }
    if holds.is_empty() { GroupState::Open } else { GroupState::Waits(holds) }
}

/// A finished group is watched: its dependants wait until all its nodes have been Ready for the whole time. One that was
/// not begins it anew, also if nobody looked at that moment: the node itself says since when it is Ready.
fn soak(view: &View<'_>, group: &GroupNodes, decision: &mut Decision) -> Option<Hold> {
    let soak = view.group(&group.name)?.soak?;
    let mut since = ended_at(group, decision)?;
    let done = |name: &&String| decision.phase(name) == Some(super::NodePhase::Done);
    for node in group.nodes.iter().filter(done).filter_map(|name| view.inventory.node(name)) {
        if !node.is_ready() {
            let missing =
                format!("node {} of group {} is not Ready after its maintenance", node.name, group.name);
            return Some(Hold::Verify { missing });
        }
        since = since.max(node.ready_since.unwrap_or(since));
    }
    let until = since + soak.signed();
    if view.now >= until {
        return None;
    }
    decision.wake(until);
    Some(Hold::Soak { group: group.name.clone(), until })
}

/// By the record as written: who goes on after a crash must find it so.
fn after_group_done(view: &View<'_>, group: &GroupNodes) -> bool {
    let done = done_hooks(view.status, HookPoint::AfterGroup, Some(&group.name));
    hooks::hooks_at(&view.plan.hooks, HookPoint::AfterGroup, Some(&group.name))
        .all(|(index, _)| done.contains(&index))
}

fn done_hooks(status: &MaintenanceCampaignStatus, at: HookPoint, group: Option<&str>) -> Vec<usize> {
    let of_here = status.hooks.iter().filter(|h| h.at == at && h.group.as_deref() == group && h.succeeded);
    of_here.map(|h| h.hook as usize).collect()
}

/// What the hooks of a point of the campaign or of a group say.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum PointState {
    /// All through.
    Through,
    /// One runs or waits.
    Waits(Hold),
    /// One has failed for good.
    Failed(String),
}

/// Runs the hooks of a point of the campaign (`group: None`) or of a group; their progress is kept in the status.
pub(super) fn at_point(
    view: &View<'_>,
    at: HookPoint,
    group: Option<&str>,
    decision: &mut Decision,
) -> PointState {
    let scope = group.map_or(HookScope::Campaign, |g| HookScope::Group(g.to_owned()));
    // What was *written*: a run may start only then.
    let done = done_hooks(view.status, at, group);
    let current =
        view.status.hooks.iter().find(|h| h.at == at && h.group.as_deref() == group && !h.succeeded);
    let progress = current.map(|h| HookProgress {
        hook: h.hook as usize,
        name: h.name.clone(),
        attempt: h.attempt,
        started_at: h.started_at,
        driver: h.driver.clone(),
        not_before: h.not_before,
        boot_id: String::new(),
    });
    match hooks::step(view, at, &scope, group, &done, progress.as_ref(), "") {
        HookStep::AllDone => PointState::Through,
        HookStep::Record(progress) => {
            let waits =
                Hold::Hook { name: progress.name.clone(), progress: format!("try {}", progress.attempt) };
            record(decision, at, group, progress.hook, |hook| {
                hook.name.clone_from(&progress.name);
                hook.attempt = progress.attempt;
                hook.started_at = progress.started_at;
                hook.not_before = progress.not_before;
                hook.driver.clone_from(&progress.driver);
            });
            PointState::Waits(waits)
        }
        HookStep::Run(effect, name) => {
            decision.effects.push(effect);
            PointState::Waits(Hold::Hook { name, progress: "starting".to_owned() })
        }
        HookStep::Wait(name, progress, wake) => {
            if let Some(at) = wake {
                decision.wake(at);
            }
            PointState::Waits(Hold::Hook { name, progress })
        }
        HookStep::Succeeded(index) => {
            record(decision, at, group, index, |hook| {
                hook.succeeded = true;
                hook.finished_at = Some(view.now);
            });
            PointState::Waits(Hold::Hook {
                name: view.plan.hooks[index].name.clone(),
                progress: "done".to_owned(),
            })
        }
        HookStep::Failed(message) => {
            // Whoever goes on later has to know that this one ended, and may be tried anew.
            if let Some((index, _)) = hooks::next(view, at, group, &done) {
                record(decision, at, group, index, |hook| hook.message = Some(message.clone()));
            }
            PointState::Failed(message)
        }
    }
}

/// When nothing new may start: takes in what came of hooks that are begun.
pub(super) fn finish_begun(view: &View<'_>, decision: &mut Decision) {
    for hook in view.status.hooks.iter().filter(|h| !h.succeeded) {
        at_point(view, hook.at, hook.group.as_deref(), decision);
    }
}

fn record(
    decision: &mut Decision,
    at: HookPoint,
    group: Option<&str>,
    index: usize,
    change: impl FnOnce(&mut CampaignHook),
) {
    let hooks = &mut decision.status.hooks;
    let here = |h: &CampaignHook| h.at == at && h.group.as_deref() == group && h.hook as usize == index;
    let position = hooks.iter().position(here).unwrap_or_else(|| {
        hooks.push(CampaignHook {
            hook: index as u32,
            name: String::new(),
            at,
            group: group.map(str::to_owned),
            attempt: 1,
            started_at: None,
            finished_at: None,
            not_before: None,
            driver: String::new(),
            succeeded: false,
            message: None,
        });
        hooks.len() - 1
    });
    change(&mut hooks[position]);
}
