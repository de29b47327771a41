//! What the plan itself says about budgets that never let a pod go: `drain.surge` and `drain.overrides`.

use super::*;
use crate::plan::v1alpha1::{Drain, Surge, WorkloadKind};
use crate::schedule::stage::over;

#[test]
fn a_plan_with_a_surge_or_an_override_has_no_such_conflict() {
    let mut stage = three();
    stage.pod("StatefulSet", "db", 0, "a", asks(100, 1));
    stage.scalable("db", 1);
    stage.budget("db", "db", 1, 1);
    let help = find(&of(&stage, &plan(&["a"]))).expect("a conflict").members[1].help.clone();
    let by_surge =
        "or set drain.surge: SingleReplica in the plan, or name the workload in the plan's drain.overrides";
    assert_eq!(help, format!("want 0 at most, or run more replicas, {by_surge}"));
    let with_drain = |how: &dyn Fn(&mut Drain)| {
        let mut plan = plan(&["a"]);
        how(&mut plan.drain);
        plan
    };
    let surging = with_drain(&|drain| drain.surge = Surge::SingleReplica);
    assert_eq!(find(&of(&stage, &surging)), None);
    let overriding = with_drain(&|drain| drain.overrides = vec![over(WorkloadKind::StatefulSet, "db")]);
    assert_eq!(find(&of(&stage, &overriding)), None);
    // An override for another workload is no help.
    let other = with_drain(&|drain| drain.overrides = vec![over(WorkloadKind::StatefulSet, "cache")]);
    assert!(find(&of(&stage, &other)).is_some());
    // One more pod doesn't content a budget of all, nor is a surge for two replicas.
    let mut all = three();
    all.pod("StatefulSet", "db", 0, "a", asks(100, 1)).scalable("db", 1);
    all.budget_with("db", "db", 1, 1, |b| b.min_available = Some("100%".into()));
    let conflict = find(&of(&all, &surging)).expect("a conflict");
    assert!(
        conflict.members[1]
            .help
            .ends_with("more replicas, or name the workload in the plan's drain.overrides")
    );
    let mut two = three();
    two.pod("StatefulSet", "db", 0, "a", asks(100, 1)).pod("StatefulSet", "db", 1, "b", asks(100, 1));
    two.scalable("db", 2).budget("db", "db", 2, 2);
    assert!(find(&of(&two, &surging)).is_some());
    // Two budgets: a surge is no way out, an override is.
    let mut many = three();
    many.pod("StatefulSet", "db", 0, "a", asks(100, 1)).scalable("db", 1);
    many.budget("one", "db", 1, 0).budget("two", "db", 1, 0);
    assert!(find(&of(&many, &surging)).is_some());
    assert_eq!(find(&of(&many, &overriding)), None);
}
