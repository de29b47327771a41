//! Workloads that were scaled up for a drain are scaled back, in whatever phase the node is.

use super::drain::{DrainRecord, Surge, SurgeStage};
use super::*;
use crate::inventory::{Scalable, ScalableKind, ScalableName};

fn name(kind: ScalableKind) -> ScalableName {
    ScalableName { kind, name: ObjectName::new("shop", "web") }
}

/// Node `w1` in a phase, with a surge on record for pod `web-0`.
fn surged(phase: NodePhase, kind: ScalableKind, stage: SurgeStage, ended: Option<SignedDuration>) -> Node {
    let surge = Surge {
        workload: name(kind),
        uid: "d".into(),
        pod: ObjectName::new("shop", "web-0"),
        pod_uid: "uid-web-0".into(),
        found: 1,
        stage,
    };
    let mut node = node("w1", phase, false, NO_TIME);
    let mut state = NodeState::of(&node).expect("a state").expect("readable");
    state.drain = DrainRecord { surges: vec![surge], ..DrainRecord::default() };
    state.finished_at = ended.map(|ago| now() - ago);
    node.annotations.insert(STATE_ANNOTATION.into(), serde_json::to_string(&state).expect("JSON"));
    node
}

/// A pod of the workload; of a StatefulSet with the set's UID.
fn of_web(kind: ScalableKind, pod_name: &str, on: &str) -> Pod {
    let (kind, owner) = match kind {
        ScalableKind::Deployment => ("ReplicaSet", "web-77"),
        ScalableKind::StatefulSet => ("StatefulSet", "web"),
    };
    let mut pod = pod(pod_name, on);
    Arc::make_mut(&mut pod.labels).insert("pod-template-hash".into(), "77".into());
    let (kind, name, uid) = (kind.to_owned(), owner.to_owned(), "d".to_owned());
    pod.controller = Some(Arc::new(Owner { kind, name, uid, ..Owner::default() }));
    pod
}

fn case(node: Node, kind: ScalableKind, replicas: u32, pods: Vec<Pod>) -> Case {
    let mut case = Case::new("  drain: {surge: SingleReplica}\n", vec![node], pods);
    case.inventory.put_scalable(Scalable { name: name(kind), uid: "d".into(), replicas, refused: None });
    case
}

/// Scales that are asked for, as `2 → 1`, and how many surges a patch of the node leaves on record.
fn told(case: &Case) -> (Vec<String>, Option<usize>) {
    let decision = case.decide();
    let scales = decision.effects.iter().filter_map(|effect| match effect {
        Effect::Scale { from, to, .. } => Some(format!("{from} → {to}")),
        _ => None,
    });
    let left = decision.effects.iter().find_map(|effect| match effect {
        Effect::PatchNode(NodePatch { state: StateChange::Set(state), .. }) => {
            Some(state.drain.open_surges().count())
        }
        _ => None,
    });
    (scales.collect(), left)
}

use NodePhase::{Done, Drained, Draining, Failed, InMaintenance, Skipped};
use ScalableKind::{Deployment, StatefulSet};

#[test]
fn it_is_scaled_back_once_the_pod_has_left_and_another_one_serves() {
    let going = |kind| Pod { deletion: Some(now()), ..of_web(kind, "web-0", "w1") };
    let second = |kind| of_web(kind, "web-1", "w2");
    // It came back under its name, elsewhere.
    let again = || Pod { uid: "another".into(), ..of_web(StatefulSet, "web-0", "w2") };
    let booting = || Pod { ready: false, ..again() };
    let back = || vec!["2 → 1".to_owned()];
    for (what, kind, phase, pods, expected) in [
        (
            "still to leave",
            Deployment,
            Draining,
            vec![of_web(Deployment, "web-0", "w1"), second(Deployment)],
            vec![],
        ),
        ("on its way out", Deployment, Draining, vec![going(Deployment), second(Deployment)], back()),
        ("gone", Deployment, InMaintenance, vec![second(Deployment)], back()),
        (
            "gone, and nobody serves",
            Deployment,
            Draining,
            vec![Pod { ready: false, ..second(Deployment) }],
            vec![],
        ),
        // Scaled back now, the set would lose the only one that serves.
        ("on its way out", StatefulSet, Draining, vec![going(StatefulSet), second(StatefulSet)], vec![]),
        ("gone", StatefulSet, Drained, vec![second(StatefulSet)], vec![]),
        ("starts again", StatefulSet, Drained, vec![booting(), second(StatefulSet)], vec![]),
        ("is there again", StatefulSet, Drained, vec![again(), second(StatefulSet)], back()),
        ("is there again", StatefulSet, Done, vec![again(), second(StatefulSet)], back()),
    ] {
        let case = case(surged(phase, kind, SurgeStage::Up, None), kind, 2, pods);
        assert_eq!(told(&case).0, expected, "{what} {kind:?} {phase:?}");
    }
}

#[test]
fn a_node_that_is_given_up_gets_its_surge_taken_back() {
    let both = |kind| vec![of_web(kind, "web-0", "w1"), of_web(kind, "web-1", "w2")];
    for kind in [Deployment, StatefulSet] {
        for phase in [Failed, Skipped] {
            let node = surged(phase, kind, SurgeStage::Up, Some(NO_TIME));
            assert_eq!(told(&case(node, kind, 2, both(kind))).0, ["2 → 1"], "{kind:?} {phase:?}");
        }
    }
    // About to be skipped.
    let mut node = surged(Draining, Deployment, SurgeStage::Up, None);
    let mut state = NodeState::of(&node).expect("a state").expect("readable");
    state.reason = Some("too slow".into());
    node.annotations.insert(STATE_ANNOTATION.into(), serde_json::to_string(&state).expect("JSON"));
    assert_eq!(told(&case(node, Deployment, 2, both(Deployment))).0, ["2 → 1"]);
    // Recorded, and nobody came to scale it up: nothing to undo.
    let node = surged(Failed, Deployment, SurgeStage::Wanted, Some(NO_TIME));
    let mut case = case(node, Deployment, 1, vec![of_web(Deployment, "web-0", "w1")]);
    assert_eq!(told(&case), (vec![], Some(0)));
    // Asked for a moment ago, it may still come: forgotten, it would never be undone.
    for (ago, left) in [(59, None), (60, Some(0))] {
        let asked_at = now() - SignedDuration::from_secs(ago);
        let request = ScaleRequest { to: 2, asked_at, refused: Some("no answer".into()) };
        case.ledger.scales.insert(name(Deployment), request);
        assert_eq!(told(&case), (vec![], left), "{ago} s");
        assert!(case.decide().end.is_none(), "{ago} s");
    }
}

#[test]
fn what_somebody_else_has_changed_is_left_as_it_is() {
    let pods = || vec![of_web(Deployment, "web-1", "w2")];
    let node = || surged(InMaintenance, Deployment, SurgeStage::Up, None);
    let words = "Deployment shop/web was scaled from 1 to 2 for the drain of node w1, and has 3 now: somebody else has scaled it, so it \
                 is left as it is";
    for (replicas, warnings) in [(1, vec![]), (3, vec![words])] {
        let mut case = case(node(), Deployment, replicas, pods());
        // Nothing else is written in this round.
        case.plan.verify.ready = true;
        let decision = case.decide();
        assert_eq!(decision.warnings, warnings, "{replicas}");
        assert!(!decision.effects.iter().any(|e| matches!(e, Effect::Scale { .. })));
    }
    // The workload was deleted, or made anew.
    let mut gone = case(surged(Failed, Deployment, SurgeStage::Up, Some(NO_TIME)), Deployment, 2, pods());
    gone.inventory.put_scalable(Scalable {
        name: name(Deployment),
        uid: "another".into(),
        replicas: 2,
        refused: None,
    });
    assert_eq!(told(&gone), (vec![], Some(0)));
}

#[test]
fn the_record_stays_until_it_is_scaled_back_or_given_up_in_words() {
    let unready = || vec![Pod { ready: false, ..of_web(Deployment, "web-1", "w2") }];
    let minutes = SignedDuration::from_mins;
    let recorded = |case: &mut Case, phase: NodePhase| {
        case.status.nodes = vec![Arc::new(CampaignNode {
            name: "w1".into(),
            group: "all".into(),
            phase: phase.name().into(),
            ..CampaignNode::default()
        })];
    };
    let node = |ago| surged(Done, Deployment, SurgeStage::Up, Some(minutes(ago)));
    let mut waits = case(node(9), Deployment, 2, unready());
    recorded(&mut waits, Done);
    let decision = waits.decide();
    assert_eq!(decision.effects, [], "the annotation, which remembers it, stays");
    let hold = "Deployment shop/web is to be scaled back to 1: no other pod of it is Ready";
    assert_eq!(decision.nodes["w1"].holds.iter().map(ToString::to_string).collect::<Vec<_>>(), [hold]);
    assert_eq!(decision.end, None);
    assert_eq!(decision.status.nodes[0].surged, ["Deployment shop/web"]);
    let mut late = case(node(10), Deployment, 2, unready());
    recorded(&mut late, Done);
    assert_eq!(told(&late), (vec![], Some(0)));
    assert!(
        late.decide().warnings[0]
            .starts_with("Deployment shop/web still has 2 replicas 10 minutes after node w1")
    );
    // Given up, it keeps nothing any more.
    let mut over =
        case(surged(Done, Deployment, SurgeStage::Over, Some(minutes(10))), Deployment, 2, unready());
    recorded(&mut over, Done);
    assert_eq!(over.effects(), ["w1: clear"]);
    // Nor before the campaign's record says so: without the annotation it would never learn of it.
    Arc::make_mut(&mut over.status.nodes[0]).surged = vec!["Deployment shop/web".into()];
    assert_eq!(over.effects(), Vec::<String>::new());
    assert_eq!(over.decide().status.nodes[0].surged, Vec::<String>::new());
    let back = case(node(1), Deployment, 1, unready());
    assert_eq!(told(&back), (vec![], Some(0)));
}

#[test]
fn a_surge_and_the_drain_go_hand_in_hand() {
    let mut case =
        case(node("w1", Draining, false, NO_TIME), Deployment, 1, vec![of_web(Deployment, "web-0", "w1")]);
    // Recorded first.
    let decision = case.decide();
    let [Effect::PatchNode(NodePatch { state: StateChange::Set(state), .. })] = &decision.effects[..] else {
        panic!("{decision:?}")
    };
    assert_eq!(state.drain.surges[0].stage, SurgeStage::Wanted);
    // Nothing of it while a stop is asked for.
    case.stopping = Some("Ctrl-C");
    assert_eq!(case.effects(), Vec::<String>::new());
    // A failed node that is tried again has what is still up.
    assert_eq!(state.retried(&[], now()).drain.surges.len(), 1);
    // One that was left to people counts as what is found.
    let mut left = state.clone();
    left.drain.surges[0].stage = SurgeStage::Over;
    assert_eq!(left.retried(&[], now()).drain.surges, []);
}
