//! Consents that the plan doesn't give, in words: to what, which field to change, what would help.

use super::{Member, Reason};
use crate::schedule::consent::{Consent, GuestConsent, PodConsent, Setting};
use crate::schedule::problem::Problem;

/// Why a node with this workload would fail.
pub(super) fn why(consent: &Consent, workload: &str, node: &str) -> String {
    let what = match consent {
        Consent::Pod(PodConsent::IgnoreDaemonSet) => {
            "has a pod that a drain doesn't remove for good".to_owned()
        }
        Consent::Pod(PodConsent::NoDaemonSet(name)) => format!("is left over from DaemonSet {name}"),
        Consent::Pod(PodConsent::DeleteEmptyDirData) => {
            "has data in emptyDir volumes, which a drain deletes".to_owned()
        }
        Consent::Pod(PodConsent::NoController) => {
            "has no controller that would start it anew after a drain".to_owned()
        }
        Consent::Guest(GuestConsent::NotMigratable) => "cannot live-migrate".to_owned(),
        Consent::Guest(GuestConsent::External) => {
            "has eviction strategy External: an outside controller must move it".to_owned()
        }
        Consent::Guest(GuestConsent::ShutDown) => "is shut down by a drain, and started elsewhere".to_owned(),
        Consent::Guest(GuestConsent::BareInstance) => {
            "is shut down by a drain, and nothing starts a bare instance again".to_owned()
        }
        Consent::Guest(GuestConsent::StaysOff(strategy)) => {
            format!("is shut down by a drain, and stays off by its run strategy {}", strategy.name())
        }
    };
    let field = consent.setting().field().trim_start_matches("spec.");
    format!("{workload} on {node} {what}; the plan does not consent ({field})")
}

/// The plan's part.
pub(super) fn of_plan(problem: &Problem, reason: &Reason, setting: Setting) -> Member {
    let is_bare = matches!(reason, Reason::Lacks { lack, .. }
        if problem.lacks[*lack as usize].consent == Consent::Guest(GuestConsent::BareInstance));
    let help = match setting {
        Setting::IgnoreDaemonSets => "true: pods of DaemonSets stay where they are",
        Setting::DeleteEmptyDirData => "true, if such data may be lost",
        Setting::Force => "true, if such pods may be lost",
        Setting::NonMigratable => "Restart, if it may be shut down",
        Setting::External => "Wait: its controller is asked, and has time until drain.timeout",
        Setting::ShutDown => "Allow, if it may be shut down",
        Setting::StaysOff if is_bare => "Allow, if it may be lost",
        Setting::StaysOff => "StartAfterwards, or Allow if it may stay off",
    };
    Member {
        kind: "MaintenancePlan".to_owned(),
        namespace: String::new(),
        name: String::new(),
        field: setting.field().to_owned(),
        help: help.to_owned(),
    }
}

/// The workload's part: field and help. `spec`: where its pods are described.
pub(super) fn of_workload(consent: &Consent, spec: &str) -> (String, String) {
    let (field, help) = match consent {
        Consent::Pod(PodConsent::IgnoreDaemonSet) => {
            (format!("{spec}.affinity.nodeAffinity"), "keep it off the node")
        }
        Consent::Pod(PodConsent::DeleteEmptyDirData) => {
            (format!("{spec}.volumes"), "keep the data in a volume of another kind")
        }
        Consent::Pod(PodConsent::NoController | PodConsent::NoDaemonSet(_)) => {
            ("metadata.ownerReferences".to_owned(), "let a controller own it, or delete it beforehand")
        }
        Consent::Guest(GuestConsent::NotMigratable | GuestConsent::ShutDown) => {
            (format!("{spec}.evictionStrategy"), "LiveMigrate, if it can, or stop it beforehand")
        }
        Consent::Guest(GuestConsent::External) => {
            (format!("{spec}.evictionStrategy"), "LiveMigrate, or have it moved beforehand")
        }
        Consent::Guest(GuestConsent::BareInstance) => {
            ("metadata.ownerReferences".to_owned(), "make it a VirtualMachine, or stop it beforehand")
        }
        Consent::Guest(GuestConsent::StaysOff(_)) => {
            ("spec.runStrategy".to_owned(), "Always, or stop it beforehand")
        }
    };
    (field, help.to_owned())
}
