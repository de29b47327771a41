//! The state that each node under maintenance carries in its annotation.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::inventory::{Node, ObjectName};
use crate::plan::v1alpha1::{Hook, HookPoint, HookTook};
use crate::reconcile::drain::{DrainRecord, SurgeStage};

/// The annotation on a node that holds its [`NodeState`] as JSON.
pub const STATE_ANNOTATION: &str = "virtroll.dev/maintenance";

/// The annotation by which a `reboot` hook asks an agent on the node for a reboot; its value is the bootID to leave.
pub const REBOOT_ANNOTATION: &str = "virtroll.dev/reboot-requested";

/// Where a node is on its way through maintenance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub enum NodePhase {
    /// Not begun.
    #[default]
    Pending,
    /// Cordoned; hooks at `PreDrain` run.
    Cordoned,
    /// Pods and VMs are leaving.
    Draining,
    /// Nothing is left that the drain had to move.
    Drained,
    /// The node can be powered off without loss.
    SafeToPowerOff,
    /// Hooks at `Maintenance` run.
    InMaintenance,
    /// What `verify` asks for is awaited, then hooks at `PreUncordon` run.
    Verifying,
    /// Brought back to the schedulability found before; hooks at `PostUncordon` run.
    Uncordoning,
    /// Through, successfully.
    Done,
    /// Given up, with a reason; left as it is.
    Failed,
    /// Taken out of the campaign, with a reason; brought back to what it was.
    Skipped,
}

impl NodePhase {
    /// All phases, in their order.
    pub const ALL: [Self; 11] = [
        Self::Pending,
        Self::Cordoned,
        Self::Draining,
        Self::Drained,
        Self::SafeToPowerOff,
        Self::InMaintenance,
        Self::Verifying,
        Self::Uncordoning,
        Self::Done,
        Self::Failed,
        Self::Skipped,
    ];

    /// True for `Done`, `Failed` and `Skipped`.
    pub fn is_terminal(self) -> bool {
        matches!(self, Self::Done | Self::Failed | Self::Skipped)
    }

    /// True from `Cordoned` to `Uncordoning`.
    pub fn is_active(self) -> bool {
        self != Self::Pending && !self.is_terminal()
    }

    /// The phase of that name; `Pending` for a name that no phase has.
    pub fn named(name: &str) -> Self {
        Self::ALL.into_iter().find(|phase| phase.name() == name).unwrap_or_default()
    }

    /// The name, as in the plan's and report's texts.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pending => "Pending",
            Self::Cordoned => "Cordoned",
            Self::Draining => "Draining",
            Self::Drained => "Drained",
            Self::SafeToPowerOff => "SafeToPowerOff",
            Self::InMaintenance => "InMaintenance",
            Self::Verifying => "Verifying",
            Self::Uncordoning => "Uncordoning",
            Self::Done => "Done",
            Self::Failed => "Failed",
            Self::Skipped => "Skipped",
        }
    }
}

/// How far the hooks of the current phase are. Written before a hook is started, so that a driver which finds it can
/// tell "never started" from "started, result unknown".
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HookProgress {
    /// Index of the hook in the plan.
    pub hook: usize,
    /// Its name, for people who read the annotation.
    pub name: String,
    /// The try, from 1.
    pub attempt: u32,
    /// When this try began.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Timestamp>,
    /// The driver that began it; another driver doesn't know the result of an `exec` or `http` hook.
    pub driver: String,
    /// After a failed try: not again before this time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_before: Option<Timestamp>,
    /// bootID of the node when this try began, which a `reboot` is to change; empty for runs that aren't for a node.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub boot_id: String,
}

impl HookProgress {
    /// How long the try that has just succeeded took.
    pub(super) fn took(&self, now: Timestamp) -> Option<HookTook> {
        let took = now.duration_since(self.started_at?);
        let seconds = u64::try_from(took.as_secs_f64().round() as i64).unwrap_or(0);
        Some(HookTook { name: self.name.clone(), seconds })
    }
}

/// A virtual machine that was on the node when its maintenance began.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DrainedVm {
    /// Namespace and name of the VMI.
    #[serde(flatten)]
    pub name: ObjectName,
    /// UID of the VMI.
    pub uid: String,
    /// To be started again after the node is back (`staysOff: StartAfterwards`).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub start_afterwards: bool,
}

/// A node's own record of its maintenance, kept in [`STATE_ANNOTATION`] and written in the same patch as its cordon.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeState {
    /// Name of the MaintenanceCampaign.
    pub campaign: String,
    /// Group in the plan.
    pub group: String,
    /// Wave, from 1.
    pub wave: u32,
    /// Where it is.
    pub phase: NodePhase,
    /// Why it is there, for `Failed` and `Skipped`; in `Draining`: why it is about to be skipped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// When the phase began.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// When maintenance of this node began.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Timestamp>,
    /// When the last of its pods had left.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drained_at: Option<Timestamp>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Timestamp>,
    /// `spec.unschedulable` as it was found.
    pub was_unschedulable: bool,
    /// bootID as it was found.
    #[serde(default)]
    pub boot_id: String,
    /// It had KVM devices, so it must have them again before it is uncordoned.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub had_kvm: bool,
    /// Pods that have left by this drain.
    #[serde(default)]
    pub pods_evicted: u32,
    /// The hook under way in this phase.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hook: Option<HookProgress>,
    /// Indexes of the plan's hooks that have succeeded for this node.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hooks_done: Vec<usize>,
    /// How long those took.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hooks_took: Vec<HookTook>,
    /// VMs that were here.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub vms: Vec<DrainedVm>,
    /// What it keeps of its drain.
    #[serde(default, skip_serializing_if = "DrainRecord::is_empty")]
    pub drain: DrainRecord,
    /// Times that somebody else uncordoned it in the middle and virtroll cordoned it again.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub recordoned: u32,
}

impl NodeState {
    /// Reads a node's state from its annotation; `None` if it carries none. An annotation that can't be read is an
    /// error in words: virtroll must not guess what an earlier driver did.
    pub fn of(node: &Node) -> Option<Result<Self, String>> {
        let text = node.annotations.get(STATE_ANNOTATION)?;
        Some(serde_json::from_str(text).map_err(|e| {
            format!(
                "annotation {STATE_ANNOTATION} of node {} can't be read ({e}); mend or remove it by hand",
                node.name
            )
        }))
    }

    /// The same state, in another phase.
    pub fn enter(&self, phase: NodePhase, now: Timestamp) -> Self {
        Self { phase, since: Some(now), hook: None, ..self.clone() }
    }

    /// What is over of a node's time before its drain, and of its time after it, milliseconds; `None` if it isn't in work.
    pub fn over(&self, now: Timestamp) -> Option<(u64, u64)> {
        let since = |at: Option<Timestamp>| {
            at.map_or(0, |at| u64::try_from(now.duration_since(at).as_millis()).unwrap_or(0))
        };
        match self.phase {
            NodePhase::Pending | NodePhase::Done | NodePhase::Failed | NodePhase::Skipped => None,
            NodePhase::Cordoned => Some((since(self.started_at), 0)),
            NodePhase::Draining => Some((u64::MAX, 0)),
            NodePhase::Drained
            | NodePhase::SafeToPowerOff
            | NodePhase::InMaintenance
            | NodePhase::Verifying
            | NodePhase::Uncordoning => Some((u64::MAX, since(self.drained_at))),
        }
    }

    /// The state from which a failed node is tried again: what has succeeded stays done, but for hooks at `OnFailure`,
    /// which are owed to the next failure, too.
    pub fn retried(&self, hooks: &[Hook], now: Timestamp) -> Self {
        let mut state = Self { reason: None, finished_at: None, ..self.enter(NodePhase::Cordoned, now) };
        // A pod's time under its budgets counts from when this drain wants it out.
        state.drain.held.clear();
        state.drain.surges.retain(|s| s.stage != SurgeStage::Over);
        state.hooks_done.retain(|index| hooks.get(*index).is_none_or(|h| h.at != HookPoint::OnFailure));
        state
    }
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde's skip_serializing_if passes a reference")]
fn is_zero(n: &u32) -> bool {
    *n == 0
}
