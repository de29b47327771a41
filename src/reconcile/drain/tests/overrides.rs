//! `drain.overrides`: pods deleted past their budgets, after their time, on record.

use super::*;
use crate::plan::v1alpha1::{BudgetOverride, Duration, PastBudget, WorkloadKind, WorkloadName};

const AFTER: i64 = 600;

fn options(kind: WorkloadKind, name: &str) -> DrainOptions {
    let workload = WorkloadName { kind, namespace: "shop".into(), name: name.into() };
    let over = BudgetOverride { workload, reason: "vendor's budget".into(), after: Duration::from_secs(600) };
    DrainOptions { overrides: vec![over], consent: Some(VmConsent::default()), ..DrainOptions::default() }
}

fn by_set() -> DrainOptions {
    options(WorkloadKind::ReplicaSet, "web")
}

fn held(since: Timestamp) -> DrainRecord {
    DrainRecord { held: vec![HeldPod { uid: "uid-a".into(), since }], ..DrainRecord::default() }
}

fn past(at: Timestamp) -> PastBudget {
    PastBudget {
        pod: "shop/a".into(),
        uid: "uid-a".into(),
        workload: "ReplicaSet shop/web".into(),
        budgets: vec!["shop/web".into()],
        reason: "vendor's budget".into(),
        at,
    }
}

fn at(seconds: i64) -> Timestamp {
    now() + SignedDuration::from_secs(seconds)
}

fn blocked() -> Inventory {
    let mut inventory = with_pods([pod("a")]);
    inventory.put_budget(budget(2, 2, 2));
    inventory
}

#[test]
fn a_budget_is_respected_for_its_time_then_the_deletion_is_recorded_then_done() {
    let (inventory, ledger) = (blocked(), Ledger::default());
    let look = |record: &DrainRecord, seconds| step_with(&inventory, &ledger, &by_set(), record, at(seconds));
    // Kept for the first time: since when is recorded.
    let first = look(&DrainRecord::default(), 0);
    assert_eq!((first.effects.len(), first.record), (0, Some(held(now()))));
    assert_eq!(first.wake_at, Some(at(AFTER)));
    assert_eq!(
        first.holds[0].to_string(),
        "pod shop/a waits for budget shop/web: minAvailable 2: needs all of its 2 pods, has 2 healthy; respected until \
         12:10:00 UTC, then the pod is deleted past it, as the plan's override says"
    );
    // A second before its time it still waits, whoever drives by then.
    let before = look(&held(now()), AFTER - 1);
    assert_eq!((before.effects.len(), before.record), (0, None));
    // Over: first the record, and nothing else.
    let over = look(&held(now()), AFTER);
    assert_eq!(over.effects, []);
    let mut recorded = held(now());
    recorded.past_budgets.push(past(at(AFTER)));
    assert_eq!(over.record, Some(recorded.clone()));
    // Then the deletion, of this very pod, whatever the budget says meanwhile.
    let last = look(&recorded, AFTER + 1);
    let deletion = Effect::DeletePastBudget {
        pod: ObjectName::new("shop", "a"),
        node: "w1".into(),
        grace_seconds: None,
        past: past(at(AFTER)),
    };
    assert_eq!((last.effects, last.record), (vec![deletion], None));
}

#[test]
fn a_budget_that_lets_the_pod_go_in_time_is_not_passed() {
    let mut inventory = with_pods([pod("a")]);
    inventory.put_budget(budget(2, 1, 2));
    let step = step_with(&inventory, &Ledger::default(), &by_set(), &held(now()), at(AFTER + 60));
    assert_eq!((evicted(&step), step.record.clone()), (vec!["a"], None));
}

#[test]
fn pods_under_two_budgets_are_overridden_too_and_others_are_not() {
    let mut inventory = blocked();
    inventory.put_budget(Budget { name: ObjectName::new("shop", "second"), ..budget(2, 1, 2) });
    let step = step_with(&inventory, &Ledger::default(), &by_set(), &held(now()), at(AFTER));
    let budgets = step.record.expect("a record").past_budgets[0].budgets.clone();
    assert_eq!(budgets, ["shop/second", "shop/web"]);
    for other in [options(WorkloadKind::Deployment, "web"), options(WorkloadKind::Pod, "b")] {
        let step = step_with(&inventory, &Ledger::default(), &other, &DrainRecord::default(), now());
        assert_eq!((step.effects.len(), step.record), (0, None));
        assert!(matches!(step.holds[0], Hold::ManyBudgets { .. }), "{:?}", step.holds);
    }
}

#[test]
fn a_refusal_by_the_api_server_counts_as_one() {
    // The budgets' status lets it go, the server doesn't.
    let mut inventory = with_pods([pod("a")]);
    inventory.put_budget(budget(2, 1, 2));
    let refused = EvictionAnswer::BudgetRefused { message: "no".into(), retry_after: None };
    let mut ledger = Ledger::default();
    let attempt = |answer| EvictionAttempt {
        pod: ObjectName::new("shop", "a"),
        node: "w1".into(),
        asked_at: now(),
        count: 1,
        answer: Some(answer),
    };
    ledger.evictions.insert("uid-a".into(), attempt(refused));
    let first = step_with(&inventory, &ledger, &by_set(), &DrainRecord::default(), at(1));
    assert_eq!(first.record, Some(held(at(1))));
    // It is still asked in the meantime.
    let between = step_with(&inventory, &ledger, &by_set(), &held(at(1)), at(30));
    assert_eq!(evicted(&between), ["a"]);
    let over = step_with(&inventory, &ledger, &by_set(), &held(at(1)), at(1 + AFTER));
    assert_eq!(over.record.map(|r| r.past_budgets), Some(vec![past(at(1 + AFTER))]));
    // Refused by a webhook, it is no budget's matter.
    ledger.evictions.insert("uid-a".into(), attempt(EvictionAnswer::Trouble { message: "x".into() }));
    let step = step_with(&inventory, &ledger, &by_set(), &DrainRecord::default(), at(1));
    assert_eq!(step.record, None);
}

#[test]
fn a_pod_that_was_gone_before_was_not_deleted_past_anything() {
    let record = DrainRecord { past_budgets: vec![past(now())], ..DrainRecord::default() };
    let mut ledger = Ledger::default();
    for (answer, count, left) in
        [(EvictionAnswer::Gone, 1, 0), (EvictionAnswer::Granted, 1, 1), (EvictionAnswer::Gone, 2, 1)]
    {
        let attempt = EvictionAttempt {
            pod: ObjectName::new("shop", "a"),
            node: "w1".into(),
            asked_at: now(),
            count,
            answer: Some(answer),
        };
        ledger.evictions.insert("uid-a".into(), attempt);
        let step = step_with(&Inventory::new(), &ledger, &by_set(), &record, now());
        assert_eq!(step.record.unwrap_or_else(|| record.clone()).past_budgets.len(), left);
    }
}

#[test]
fn an_override_takes_the_budget_off_the_obstacles() {
    let mut inventory = with_pods([pod("a")]);
    inventory.put_budget(Budget { min_available: Some("100%".into()), ..budget(1, 1, 1) });
    assert_eq!(obstacles(&inventory, "w1", &by_set(), now()), Vec::<String>::new());
    assert_eq!(obstacles(&inventory, "w1", &options(WorkloadKind::Job, "web"), now()).len(), 1);
}
