//! What a node's own record keeps of its drain, written before what it tells of is done: a driver that takes over finds what
//! has to be undone, and what has to be told.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::inventory::{ObjectName, ScalableName};
use crate::plan::v1alpha1::PastBudget;

/// See the module's documentation.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DrainRecord {
    /// Workloads that get, or have, one replica more for this drain.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub surges: Vec<Surge>,
    /// Pods of workloads with an override, since their budgets keep them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub held: Vec<HeldPod>,
    /// Pods that are deleted past their budgets.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub past_budgets: Vec<PastBudget>,
}

impl DrainRecord {
    /// True if there is nothing in it.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Surges that aren't over.
    pub fn open_surges(&self) -> impl Iterator<Item = &Surge> {
        self.surges.iter().filter(|s| s.stage != SurgeStage::Over)
    }
}

/// One replica more for a drain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Surge {
    /// Whose.
    pub workload: ScalableName,
    /// UID of the workload.
    pub uid: String,
    /// Its pod that is to leave.
    pub pod: ObjectName,
    /// UID of that pod.
    pub pod_uid: String,
    /// Replicas as they were found.
    pub found: u32,
    /// How far it is.
    pub stage: SurgeStage,
}

/// How far a surge is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum SurgeStage {
    /// The scale-up is asked for, or about to be. One replica more counts as virtroll's own from here on.
    Wanted,
    /// It was seen with one replica more.
    Up,
    /// It could not be scaled back in time, and is left to people.
    Over,
}

/// A pod that its budgets keep.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldPod {
    /// UID of the pod.
    pub uid: String,
    /// Since when the drain wants it out and may not evict it.
    pub since: Timestamp,
}
