//! The server-side dry run of a plan's evictions, for a rehearsal of a live cluster.

use std::collections::BTreeMap;

use jiff::Timestamp;
use kube::Client;

use crate::cluster::may_evict;
use crate::engine::{Error, Preflight, preflight};
use crate::plan::v1alpha1::{MaintenancePlan, VmOutcome};
use crate::reconcile::EvictionAnswer;
use crate::reconcile::drain::{Comeback, VmFate};
use crate::report::{EvictionCheck, EvictionFinding, Report};

/// Asks, if this user may.
pub(super) async fn ask(client: &Client, plan: &MaintenancePlan) -> Result<Asked, Error> {
    match may_evict(client).await {
        Ok(true) => preflight(client, plan, Timestamp::now()).await.map(Asked::Answers),
        Ok(false) => Ok(Asked::LeftOut(
            "this user may not create evictions (pods/eviction), so the API server, its budgets and webhooks were not asked".to_owned(),
        )),
        Err(error) => Ok(Asked::LeftOut(error.to_string())),
    }
}

/// What came of it.
pub(super) enum Asked {
    Answers(Vec<Preflight>),
    LeftOut(String),
}

/// Puts the answers into words, beside what the rehearsal made of the same VMs.
pub(super) fn check(asked: &Asked, report: &Report) -> EvictionCheck {
    let answers = match asked {
        Asked::LeftOut(why) => {
            return EvictionCheck { left_out: Some(why.clone()), ..EvictionCheck::default() };
        }
        Asked::Answers(answers) => answers,
    };
    let played: BTreeMap<(&str, &str), VmOutcome> = report
        .virtual_machines
        .iter()
        .map(|vm| ((vm.namespace.as_str(), vm.name.as_str()), vm.outcome))
        .collect();
    let granted = answers.iter().filter(|a| a.guest.is_none() && a.answer == EvictionAnswer::Granted).count();
    let findings = answers.iter().filter_map(|a| finding(a, &played)).collect();
    EvictionCheck { left_out: None, asked: answers.len(), granted, findings }
}

fn finding(answered: &Preflight, played: &BTreeMap<(&str, &str), VmOutcome>) -> Option<EvictionFinding> {
    let fate = answered.guest.as_ref().map(|(_, fate)| fate);
    let (class, mut says) = classify(&answered.answer, fate)?;
    if let Some(way) = answered.by_plan.as_deref().filter(|_| class == "budget") {
        says = format!("{says} ({way})");
    }
    let vm = answered.guest.as_ref().map(|(name, _)| name);
    let outcome = vm.and_then(|vm| played.get(&(vm.namespace.as_str(), vm.name.as_str())).copied());
    Some(EvictionFinding {
        node: answered.node.clone(),
        namespace: answered.pod.namespace.clone(),
        pod: answered.pod.name.clone(),
        virtual_machine: vm.map(|vm| vm.name.clone()),
        class,
        says,
        differs: fate.and_then(|fate| differs(class, fate, outcome)),
    })
}

fn classify(answer: &EvictionAnswer, fate: Option<&VmFate>) -> Option<(&'static str, String)> {
    let comes_back = |comeback: &Comeback| match comeback {
        Comeback::ByItself => {
            ("shutDown", "would be shut down, and started again elsewhere by itself".to_owned())
        }
        Comeback::StaysOff(strategy) => (
            "shutDown",
            format!(
                "would be shut down, and stay off: run strategy {} does not start it again",
                strategy.name()
            ),
        ),
        Comeback::BareInstance => {
            ("lost", "would be shut down and lost: no VirtualMachine starts it again".to_owned())
        }
    };
    Some(match (answer, fate) {
        (EvictionAnswer::Granted, None)
        | (EvictionAnswer::Gone | EvictionAnswer::NamespaceTerminating, _) => {
            return None;
        }
        (
            EvictionAnswer::Granted,
            Some(VmFate::ShutsDown(comeback) | VmFate::NotMigratable { comeback, .. }),
        ) => comes_back(comeback),
        (EvictionAnswer::Granted, Some(_)) => ("shutDown", "would be shut down".to_owned()),
        (EvictionAnswer::Evacuating, Some(VmFate::External)) => {
            ("external", "is marked only: an outside controller has to move it".to_owned())
        }
        (EvictionAnswer::Evacuating, _) => ("migrates", "would live-migrate".to_owned()),
        (EvictionAnswer::NotMigratable { message }, _) => ("blocked", format!("blocked: {message}")),
        (EvictionAnswer::BudgetRefused { message, .. } | EvictionAnswer::ManyBudgets { message }, _) => {
            ("budget", format!("a budget blocks it now: {message}"))
        }
        (EvictionAnswer::Wait { message }, _) => ("waits", message.clone()),
        (EvictionAnswer::Forbidden { message } | EvictionAnswer::Trouble { message }, _) => {
            ("trouble", message.clone())
        }
    })
}

/// Where the cluster's answer is not what the model of it expects, or what the rehearsal has played.
fn differs(class: &str, fate: &VmFate, played: Option<VmOutcome>) -> Option<String> {
    let expected = match fate {
        VmFate::Migrates => "migrates",
        VmFate::NotMigratable { .. } | VmFate::Booting => "blocked",
        VmFate::External => "external",
        VmFate::ShutsDown(Comeback::BareInstance) => "lost",
        VmFate::ShutsDown(_) => "shutDown",
        VmFate::MigrationTarget | VmFate::MigrationSource | VmFate::Over => return None,
    };
    // A guest that boots may be anything a moment later, and a budget speaks before the webhook may.
    if *fate != VmFate::Booting && class != expected && !matches!(class, "budget" | "waits" | "trouble") {
        return Some(format!("the model expects: {}", words(expected)));
    }
    match (class, played?) {
        ("migrates", VmOutcome::Restarted | VmOutcome::Stopped) => {
            Some("the rehearsal shuts it down".to_owned())
        }
        ("shutDown" | "lost", VmOutcome::Migrated) => Some("the rehearsal migrates it".to_owned()),
        _ => None,
    }
}

fn words(class: &str) -> &str {
    match class {
        "migrates" => "it migrates",
        "blocked" => "it can't migrate",
        "external" => "an outside controller moves it",
        "lost" => "it is lost",
        _ => "it is shut down",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inventory::RunStrategy;

    #[test]
    fn answers_are_put_into_words_and_differences_said() {
        let m3 = || EvictionAnswer::NotMigratable { message: "M3".to_owned() };
        let can_not = VmFate::NotMigratable {
            reason: "DisksNotLiveMigratable".to_owned(),
            message: String::new(),
            comeback: Comeback::ByItself,
        };
        let budget = EvictionAnswer::BudgetRefused { message: "budget a".to_owned(), retry_after: None };
        let stays_off = VmFate::ShutsDown(Comeback::StaysOff(RunStrategy::Manual));
        for (answer, fate, outcome, class, differs) in [
            (EvictionAnswer::Evacuating, VmFate::Migrates, Some(VmOutcome::Migrated), "migrates", None),
            (
                EvictionAnswer::Evacuating,
                VmFate::Migrates,
                Some(VmOutcome::Restarted),
                "migrates",
                Some("the rehearsal shuts it down"),
            ),
            (m3(), can_not.clone(), None, "blocked", None),
            (m3(), VmFate::Migrates, None, "blocked", Some("the model expects: it migrates")),
            (
                EvictionAnswer::Granted,
                VmFate::Migrates,
                None,
                "shutDown",
                Some("the model expects: it migrates"),
            ),
            (EvictionAnswer::Granted, stays_off, None, "shutDown", None),
            (EvictionAnswer::Granted, VmFate::ShutsDown(Comeback::BareInstance), None, "lost", None),
            (EvictionAnswer::Evacuating, VmFate::External, None, "external", None),
            (budget, VmFate::Migrates, None, "budget", None),
        ] {
            let (got, _) = classify(&answer, Some(&fate)).expect("a finding");
            assert_eq!(got, class, "{answer:?} {fate:?}");
            assert_eq!(super::differs(got, &fate, outcome).as_deref(), differs, "{answer:?} {fate:?}");
        }
        assert_eq!(classify(&EvictionAnswer::Granted, None), None);
    }
}
