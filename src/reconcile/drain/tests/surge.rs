//! `drain.surge`: one replica more before the only pod leaves.

use super::*;
use crate::inventory::{Node, Scalable, ScalableKind, ScalableName};
use crate::reconcile::{NodeState, STATE_ANNOTATION, ScaleRequest};

fn name(kind: ScalableKind) -> ScalableName {
    ScalableName { kind, name: ObjectName::new("shop", "web") }
}

fn workload(replicas: u32) -> Scalable {
    Scalable { name: name(ScalableKind::Deployment), uid: "d".into(), replicas, refused: None }
}

/// A pod of Deployment `shop/web`.
fn of_web(name: &str) -> Pod {
    let labels = [("app", "web"), ("pod-template-hash", "77")];
    Pod {
        controller: owner("ReplicaSet", "web-77"),
        labels: Arc::new(labels.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()),
        ..pod(name)
    }
}

fn options() -> DrainOptions {
    DrainOptions { surge: true, consent: Some(VmConsent::default()), ..DrainOptions::default() }
}

fn surge(stage: SurgeStage) -> DrainRecord {
    let surge = Surge {
        workload: name(ScalableKind::Deployment),
        uid: "d".into(),
        pod: ObjectName::new("shop", "a"),
        pod_uid: "uid-a".into(),
        found: 1,
        stage,
    };
    DrainRecord { surges: vec![surge], ..DrainRecord::default() }
}

fn cluster(replicas: u32, pods: impl IntoIterator<Item = Pod>) -> Inventory {
    let mut inventory = with_pods(pods);
    inventory.put_scalable(workload(replicas));
    inventory
}

fn words(step: &DrainStep) -> Vec<String> {
    step.holds.iter().map(ToString::to_string).collect()
}

fn look(inventory: &Inventory, record: &DrainRecord) -> DrainStep {
    step_with(inventory, &Ledger::default(), &options(), record, now())
}

#[test]
fn a_surge_is_on_record_before_the_workload_is_scaled() {
    let inventory = cluster(1, [of_web("a")]);
    let first = look(&inventory, &DrainRecord::default());
    assert_eq!(first.effects, []);
    assert_eq!(first.record, Some(surge(SurgeStage::Wanted)));
    assert_eq!(
        words(&first),
        ["pod shop/a waits for a second one of Deployment shop/web: it is about to be scaled to 2"]
    );
    let second = look(&inventory, &surge(SurgeStage::Wanted));
    let scale = Effect::Scale {
        workload: name(ScalableKind::Deployment),
        uid: "d".into(),
        from: 1,
        to: 2,
        node: "w1".into(),
    };
    assert_eq!((second.effects, second.record), (vec![scale], None));
    // Seen with two: on record, and no more scaled.
    let third = look(&cluster(2, [of_web("a")]), &surge(SurgeStage::Wanted));
    assert_eq!((third.effects, third.record), (vec![], Some(surge(SurgeStage::Up))));
}

#[test]
fn a_request_under_way_is_not_repeated_and_a_refusal_is_said() {
    let inventory = cluster(1, [of_web("a")]);
    let mut ledger = Ledger::default();
    let asked = |refused: Option<&str>| ScaleRequest {
        to: 2,
        asked_at: now() - SignedDuration::from_secs(14),
        refused: refused.map(str::to_owned),
    };
    for (refused, says) in
        [(None, "it is being scaled from 1 to 2"), (Some("no right"), "it could not be scaled: no right")]
    {
        ledger.scales.insert(name(ScalableKind::Deployment), asked(refused));
        let step = step_with(&inventory, &ledger, &options(), &surge(SurgeStage::Wanted), now());
        assert_eq!(step.effects, [], "{says}");
        assert!(words(&step)[0].ends_with(says), "{:?}", step.holds);
        assert_eq!(step.wake_at, Some(now() + SignedDuration::from_secs(1)));
    }
    let later = now() + SignedDuration::from_secs(1);
    let step = step_with(&inventory, &ledger, &options(), &surge(SurgeStage::Wanted), later);
    assert_eq!(step.effects.len(), 1, "asked again after 15 s");
}

#[test]
fn the_pod_leaves_when_a_second_one_is_ready_elsewhere_and_until_then_it_is_said_why_not() {
    let second = |node: Option<&str>, ready: bool| Pod {
        node: node.map(str::to_owned),
        ready,
        phase: if node.is_some() { PodPhase::Running } else { PodPhase::Pending },
        ..of_web("b")
    };
    let stuck = Pod { unschedulable: Some("0/3 nodes are available".into()), ..second(None, false) };
    let going = Pod { deletion: Some(now()), ..second(Some("w2"), true) };
    let refused = Scalable { refused: Some("exceeded quota".into()), ..workload(2) };
    for (workload, pods, says, prospect) in [
        (workload(2), vec![], "its second pod is being made", Prospect::Slow),
        (refused, vec![], "its second pod can't be made: exceeded quota", Prospect::Uncertain),
        (workload(2), vec![second(None, false)], "its second pod b is not Ready yet", Prospect::Slow),
        (workload(2), vec![second(Some("w2"), false)], "its second pod b is not Ready yet", Prospect::Slow),
        (
            workload(2),
            vec![stuck],
            "its second pod b finds no node: 0/3 nodes are available",
            Prospect::Uncertain,
        ),
        (workload(2), vec![going], "its second pod is being made", Prospect::Slow),
        // A HorizontalPodAutoscaler, say: it isn't fought.
        (
            workload(1),
            vec![],
            "somebody else has scaled it back to 1; a HorizontalPodAutoscaler would need minReplicas 2 meanwhile",
            Prospect::Uncertain,
        ),
    ] {
        let mut inventory = with_pods([of_web("a")].into_iter().chain(pods));
        inventory.put_scalable(workload);
        let step = look(&inventory, &surge(SurgeStage::Up));
        assert_eq!(evicted(&step), Vec::<&str>::new(), "{says}");
        assert_eq!(step.effects, [], "{says}");
        let expected = format!("pod shop/a waits for a second one of Deployment shop/web: {says}");
        assert_eq!(words(&step), [expected]);
        assert_eq!(step.holds[0].prospect(), prospect, "{says}");
    }
    let step = look(&cluster(2, [of_web("a"), second(Some("w2"), true)]), &surge(SurgeStage::Up));
    assert_eq!(evicted(&step), ["a"]);
    // Somebody has scaled it further: as long as another one serves, nothing speaks against it.
    let step = look(&cluster(5, [of_web("a"), second(Some("w2"), true)]), &surge(SurgeStage::Up));
    assert_eq!(evicted(&step), ["a"]);
    // On the node itself a second one is no help.
    let step = look(&cluster(2, [of_web("a"), second(Some("w1"), true)]), &surge(SurgeStage::Up));
    assert!(!evicted(&step).contains(&"a"), "{step:?}");
}

#[test]
fn a_budget_is_still_asked_when_the_second_one_is_there() {
    let second = Pod { node: Some("w2".into()), ..of_web("b") };
    let mut inventory = cluster(2, [of_web("a"), second]);
    inventory.put_budget(budget(2, 2, 2));
    assert_eq!(evicted(&look(&inventory, &surge(SurgeStage::Up))), Vec::<&str>::new());
    inventory.put_budget(budget(2, 1, 2));
    assert_eq!(evicted(&look(&inventory, &surge(SurgeStage::Up))), ["a"]);
}

#[test]
fn only_single_replicas_that_serve_or_are_kept_are_surged() {
    let unready = Pod { ready: false, ..of_web("a") };
    let finished = Pod { phase: PodPhase::Failed, ready: false, ..of_web("a") };
    for (case, replicas, pod, kept, surged) in [
        ("single", 1, of_web("a"), false, true),
        ("two", 2, of_web("a"), false, false),
        ("none wanted", 0, of_web("a"), false, false),
        ("serves nobody", 1, unready.clone(), false, false),
        ("serves nobody, and is kept", 1, unready, true, true),
        ("has ended", 1, finished, true, false),
        ("not its own", 1, pod("a"), false, false),
    ] {
        let mut inventory = cluster(replicas, [pod]);
        if kept {
            inventory.put_budget(budget(1, 1, 0));
        }
        let step = look(&inventory, &DrainRecord::default());
        assert_eq!(step.record.is_some(), surged, "{case}");
        assert_eq!(evicted(&step).is_empty(), surged, "{case}");
    }
    // Another one serves already: this one is about to be deleted by whoever made it.
    let step = look(
        &cluster(1, [of_web("a"), Pod { node: Some("w2".into()), ..of_web("b") }]),
        &DrainRecord::default(),
    );
    assert_eq!((step.record.clone(), evicted(&step)), (None, vec!["a"]));
    let off = DrainOptions { surge: false, ..options() };
    let step =
        step_with(&cluster(1, [of_web("a")]), &Ledger::default(), &off, &DrainRecord::default(), now());
    assert_eq!(evicted(&step), ["a"]);
}

#[test]
fn scaled_by_somebody_else_in_between_it_is_not_single_any_more() {
    let step = look(&cluster(3, [of_web("a")]), &surge(SurgeStage::Wanted));
    assert_eq!(step.record, Some(DrainRecord::default()), "and not virtroll's to scale back");
    assert_eq!(evicted(&step), ["a"]);
    // What is left to people is left alone.
    let step = look(&cluster(1, [of_web("a")]), &surge(SurgeStage::Over));
    assert_eq!((step.record.clone(), evicted(&step)), (None, vec!["a"]));
}

/// A node that has a surge of the same workload on record.
fn with_state(name: &str, drain: DrainRecord) -> Node {
    let state = NodeState { campaign: "c".into(), drain, ..NodeState::default() };
    let mut node = Node { name: name.into(), ..Node::default() };
    node.annotations.insert(STATE_ANNOTATION.into(), serde_json::to_string(&state).expect("JSON"));
    node
}

#[test]
fn two_nodes_never_surge_the_same_workload_at_once() {
    // The second pod has landed on a node that is drained, too: it waits until the first surge is over.
    let mut inventory = cluster(2, [of_web("a")]);
    inventory.put_node(with_state("w0", surge(SurgeStage::Up)));
    let step = look(&inventory, &DrainRecord::default());
    let says = "it has one replica more for the drain of node w0 until it is scaled back";
    assert_eq!((step.record, step.effects.len()), (None, 0));
    assert!(step.holds[0].to_string().ends_with(says), "{:?}", step.holds);
    // Both have recorded it at the same moment: the first by name keeps it, the other one gives it up.
    inventory.put_node(with_state("w1", surge(SurgeStage::Wanted)));
    let step = look(&inventory, &surge(SurgeStage::Wanted));
    assert_eq!((step.record, step.effects.len()), (Some(DrainRecord::default()), 0));
    // One that is over stands in nobody's way.
    inventory.put_node(with_state("w0", surge(SurgeStage::Over)));
    let step = look(&inventory, &surge(SurgeStage::Wanted));
    assert_eq!(step.record, Some(surge(SurgeStage::Up)));
    // Two nodes in the same round: only the first asks.
    let unready = |pod: Pod| Pod { ready: false, ..pod };
    let pods = [unready(of_web("a")), unready(Pod { node: Some("w2".into()), ..of_web("b") })];
    let mut inventory = cluster(1, pods);
    inventory.put_budget(budget(1, 1, 0));
    inventory.put_node(Node { name: "w1".into(), ..Node::default() });
    let (ledger, mut pending) = (Ledger::default(), Pending::default());
    let mut of = |node| {
        drain_node(&inventory, &ledger, &mut pending, node, &options(), &DrainRecord::default(), now())
    };
    assert!(of("w1").record.is_some());
    assert!(of("w2").record.is_none());
}

#[test]
fn with_a_surge_a_budget_that_one_more_pod_would_content_is_no_obstacle() {
    let by_percent = Budget { min_available: Some("100%".into()), ..budget(1, 1, 1) };
    let none_away = Budget { min_available: None, max_unavailable: Some("0".into()), ..budget(1, 1, 1) };
    let uncounted = Budget { sync_failed: Some("no scale".into()), ..budget(1, 1, 1) };
    for (budget, replicas, surged, obstacle) in [
        (budget(1, 1, 1), 1, true, None),
        (
            budget(1, 1, 1),
            1,
            false,
            Some(", or set drain.surge: SingleReplica, or name the workload in the plan's drain.overrides"),
        ),
        // Scaled back a moment ago: the budget is counted anew, and the new number isn't seen yet, or the other way round.
        (budget(1, 1, 1), 2, true, None),
        (budget(2, 2, 2), 1, true, None),
        // Two wanted of two: no single replica.
        (
            budget(2, 2, 2),
            2,
            true,
            Some("relax the budget, or name the workload in the plan's drain.overrides"),
        ),
        (by_percent, 1, true, Some("relax the budget, or name the workload in the plan's drain.overrides")),
        (none_away, 1, true, Some("relax the budget, or name the workload in the plan's drain.overrides")),
        (uncounted, 1, true, Some("has a scale, or name the workload in the plan's drain.overrides")),
    ] {
        let mut inventory = cluster(replicas, [of_web("a")]);
        let case = format!("{budget:?} {surged}");
        inventory.put_budget(budget);
        let options = DrainOptions { surge: surged, ..options() };
        let found = obstacles(&inventory, "w1", &options, now());
        match obstacle {
            None => assert_eq!(found, Vec::<String>::new(), "{case}"),
            Some(end) => assert!(found.len() == 1 && found[0].ends_with(end), "{found:?}"),
        }
    }
}
