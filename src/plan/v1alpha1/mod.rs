//! The plan language, version `virtroll.dev/v1alpha1`: what a user writes ([`MaintenancePlan`]) and one execution of it
//! ([`MaintenanceCampaign`]).

mod campaign;
mod drain;
mod hook;
mod quantity;
mod slice;
mod spec;

pub use campaign::{
    CampaignHook, CampaignNode, CampaignPhase, CampaignVm, HookTook, MaintenanceCampaign,
    MaintenanceCampaignSpec, MaintenanceCampaignStatus, PastBudget, VmOutcome,
};
pub use drain::{
    BudgetOverride, Drain, ExternalPolicy, NonMigratable, OnTimeout, OnUncordoned, Scope, ShutDown, StaysOff,
    Surge, Tier, VirtualMachines, WorkloadKind, WorkloadName,
};
pub use hook::{ExecHook, Hook, HookAction, HookPoint, HttpHook, JobHook, RebootBy, RebootHook, WaitForHook};
pub use quantity::{Duration, IntOrPercent};
pub(crate) use quantity::{parse_duration, parse_int_or_percent};
pub use slice::{MaintenanceCampaignSlice, MaintenanceCampaignSliceSpec};
pub use spec::{
    Concurrency, Failure, Group, MaintenancePlan, MaintenancePlanSpec, NodeSelection, OnConflict, OnFailure,
    OptimizeFor, SafePowerOff, Schedule, Steering, Strategy, Verify, Window,
};
