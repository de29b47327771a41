//! Holds: typed reasons to wait, each with words that an operator understands.

use std::fmt;

use jiff::Timestamp;

use crate::inventory::{ObjectName, ScalableName};
use crate::schedule::Wait;

/// Whether waiting can help.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Prospect {
    /// It goes on by itself.
    Slow,
    /// It may heal, but nothing on the way says so.
    Uncertain,
    /// It never resolves by waiting.
    Never,
}

/// How far the move of a VM is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// On its way, or just asked for.
    UnderWay,
    /// In KubeVirt's queue: its parallel limits are in use, or a try has failed.
    Queued,
    /// No node takes it.
    Unplaced,
}

/// A reason to wait.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Hold {
    /// The group depends on groups that are not through.
    Group {
        /// The groups waited for.
        waits_for: Vec<String>,
    },
    /// A finished group is watched before its dependants start.
    Soak {
        /// The group that soaks.
        group: String,
        /// When the soak ends.
        until: Timestamp,
    },
    /// A limit on unavailable nodes is reached.
    Concurrency {
        /// `the campaign`, `group workers`, `zone b`.
        scope: String,
        /// The limit.
        limit: usize,
        /// Nodes that use it up: in work, not Ready or cordoned by somebody else; the first few.
        unavailable: Vec<String>,
        /// So many more.
        more: usize,
    },
    /// The current wave is not through.
    Wave {
        /// Nodes of the wave that are still in work.
        waits_for: Vec<String>,
    },
    /// By the planner's rules it isn't this node's turn.
    Turn {
        /// Why.
        wait: Wait,
    },
    /// VMs are on their way to the node.
    Inbound {
        /// The VMs.
        vms: Vec<ObjectName>,
    },
    /// The campaign is paused or stopping.
    Stopped {
        /// Why.
        reason: String,
    },
    /// A budget allows no disruption now, or never.
    Budget {
        /// The pod that waits.
        pod: ObjectName,
        /// The budget.
        budget: ObjectName,
        /// Words: what it needs, what it has.
        why: String,
        /// Whether waiting helps.
        prospect: Prospect,
    },
    /// More than one budget selects a pod: the eviction API refuses that always.
    ManyBudgets {
        /// The pod.
        pod: ObjectName,
        /// The budgets.
        budgets: Vec<ObjectName>,
    },
    /// Budgets keep a pod that the plan allows to be deleted past them after a while.
    Override {
        /// The pod that waits.
        pod: ObjectName,
        /// The budgets.
        budgets: Vec<ObjectName>,
        /// Words: what they need, what they have.
        why: String,
        /// Until when they are respected.
        until: Timestamp,
    },
    /// The only pod of a workload waits until a second one serves.
    Surge {
        /// The pod that waits.
        pod: ObjectName,
        /// Its workload.
        workload: ScalableName,
        /// How far the second one is.
        why: String,
        /// Whether waiting helps.
        prospect: Prospect,
    },
    /// A workload that got one more replica for this node's drain isn't scaled back yet.
    ScaleBack {
        /// The workload.
        workload: ScalableName,
        /// Replicas as they were found.
        to: u32,
        /// What is waited for.
        why: String,
    },
    /// The pod is shutting down.
    Terminating {
        /// The pod.
        pod: ObjectName,
        /// When its grace period ends.
        until: Option<Timestamp>,
    },
    /// An eviction was refused for another reason, and is tried again.
    Refused {
        /// The pod.
        pod: ObjectName,
        /// The refusal in words.
        why: String,
        /// Whether waiting helps.
        prospect: Prospect,
    },
    /// A VM is on its way to another node, or in KubeVirt's queue for that.
    Migrating {
        /// The VMI.
        vmi: ObjectName,
        /// What KubeVirt's objects say of it.
        progress: String,
        /// The same, for programs.
        stage: Stage,
        /// Whether waiting helps.
        prospect: Prospect,
    },
    /// A VM can't be moved or stopped as the plan has it.
    VirtualMachine {
        /// The VMI.
        vmi: ObjectName,
        /// Why, with the remedy.
        why: String,
        /// Whether waiting helps.
        prospect: Prospect,
    },
    /// Something still holds the node from being powered off.
    Unsafe {
        /// What.
        why: String,
    },
    /// Pods of a later drain tier wait for those of an earlier one.
    Tier {
        /// Pods that wait.
        waiting: usize,
        /// The tier that is under way, in words: `virtual machines`, `pods of tier storage`.
        tier: String,
    },
    /// A hook runs, or waits for its next try.
    Hook {
        /// Name of the hook.
        name: String,
        /// Words: which try, until when.
        progress: String,
    },
    /// VMs that were stopped for this node are to be started again and don't run yet.
    Start {
        /// The VMs.
        vms: Vec<ObjectName>,
    },
    /// Verification doesn't hold yet.
    Verify {
        /// What is missing.
        missing: String,
    },
}

impl Hold {
    /// Whether waiting can help.
    pub fn prospect(&self) -> Prospect {
        match self {
            Self::Budget { prospect, .. }
            | Self::Refused { prospect, .. }
            | Self::Migrating { prospect, .. }
            | Self::Surge { prospect, .. }
            | Self::VirtualMachine { prospect, .. } => *prospect,
            Self::ManyBudgets { .. } => Prospect::Never,
            Self::Turn { wait: Wait::Place { .. } } => Prospect::Uncertain,
            Self::Group { .. }
            | Self::Soak { .. }
            | Self::Concurrency { .. }
            | Self::Wave { .. }
            | Self::Turn { .. }
            | Self::Inbound { .. }
            | Self::Stopped { .. }
            | Self::Override { .. }
            | Self::ScaleBack { .. }
            | Self::Terminating { .. }
            | Self::Unsafe { .. }
            | Self::Tier { .. }
            | Self::Hook { .. }
            | Self::Start { .. }
            | Self::Verify { .. } => Prospect::Slow,
        }
    }
}

/// Names that a list shows before it only counts.
pub(super) const SHOWN: usize = 4;

fn list<T: fmt::Display>(items: &[T]) -> String {
    let mut text = items.iter().take(SHOWN).map(ToString::to_string).collect::<Vec<_>>().join(", ");
    if items.len() > SHOWN {
        text.push_str(&format!(" and {} more", items.len() - SHOWN));
    }
    text
}

impl fmt::Display for Hold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Group { waits_for } => write!(f, "waits for group {}", list(waits_for)),
            Self::Soak { group, until } => {
                write!(f, "group {group} soaks until {}", until.strftime("%H:%M:%S UTC"))
            }
            Self::Concurrency { scope, limit, unavailable, more } => {
                let more = if *more == 0 { String::new() } else { format!(" and {more} more") };
                let names = unavailable.join(", ");
                write!(f, "{scope} allows {limit} unavailable at once; unavailable now: {names}{more}")
            }
            Self::Wave { waits_for } => write!(f, "waits for the current wave: {}", list(waits_for)),
            Self::Turn { wait } => write!(f, "{wait}"),
            Self::Inbound { vms } => write!(f, "vm {} is on its way to it", list(vms)),
            Self::Stopped { reason } => write!(f, "not started: {reason}"),
            Self::Budget { pod, budget, why, .. } => write!(f, "pod {pod} waits for budget {budget}: {why}"),
            Self::ManyBudgets { pod, budgets } => write!(
                f,
                "pod {pod} is selected by {} budgets ({}), which the eviction API always refuses; waiting will not help: \
                 let one budget select it",
                budgets.len(),
                list(budgets)
            ),
            Self::Override { pod, budgets, why, until } => write!(
                f,
                "pod {pod} waits for budget {}: {why}; respected until {}, then the pod is deleted past it, as the plan's override \
                 says",
                list(budgets),
                until.strftime("%H:%M:%S UTC")
            ),
            Self::Surge { pod, workload, why, .. } => {
                write!(f, "pod {pod} waits for a second one of {workload}: {why}")
            }
            Self::ScaleBack { workload, to, why } => {
                write!(f, "{workload} is to be scaled back to {to}: {why}")
            }
            Self::Terminating { pod, until: Some(until) } => {
                write!(
                    f,
                    "pod {pod} is shutting down, at the latest until {}",
                    until.strftime("%H:%M:%S UTC")
                )
            }
            Self::Terminating { pod, until: None } => write!(f, "pod {pod} is shutting down"),
            Self::Refused { pod, why, .. } => write!(f, "eviction of pod {pod} refused: {why}"),
            Self::Migrating { vmi, progress, .. } => write!(f, "vm {vmi} {progress}"),
            Self::VirtualMachine { vmi, why, .. } => write!(f, "vm {vmi} {why}"),
            Self::Unsafe { why } => write!(f, "not safe to power off: {why}"),
            Self::Tier { waiting, tier } => {
                write!(f, "{waiting} pods wait until the {tier} have left")
            }
            Self::Hook { name, progress } => write!(f, "hook {name}: {progress}"),
            Self::Start { vms } => write!(f, "vm {} is to be started again", list(vms)),
            Self::Verify { missing } => write!(f, "verifying: {missing}"),
        }
    }
}
