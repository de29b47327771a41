//! Tables of decisions: what is seen on the left, what is done on the right, written by hand.

mod guests;
mod idle;
mod surges;
mod turns;

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use super::*;
use crate::inventory::{Inventory, Node, ObjectName, Owner, Pod, PodPhase, Readiness};
use crate::plan::v1alpha1::{CampaignNode, MaintenanceCampaignStatus, MaintenancePlanSpec};
use crate::schedule::Guide;

fn now() -> Timestamp {
    "2026-03-01T12:00:00Z".parse().expect("a time")
}

fn plan(text: &str) -> MaintenancePlanSpec {
    let head = "apiVersion: virtroll.dev/v1alpha1\nkind: MaintenancePlan\nmetadata: {name: p}\nspec:\n  groups: [{name: all, nodes: {selector: {}}}]\n";
    match crate::plan::load("plan.yaml", &format!("{head}{text}")) {
        Ok(loaded) => loaded.plan.spec,
        Err(found) => panic!("{}", found.render()),
    }
}

/// A node that the campaign has brought to a phase; `Pending`: one that it hasn't touched.
fn node(name: &str, phase: NodePhase, was_unschedulable: bool, since: SignedDuration) -> Node {
    let mut node = Node {
        name: name.into(),
        resource_version: "1".into(),
        readiness: Readiness::Ready,
        boot_id: "b1".into(),
        kernel_version: "6.12.4".into(),
        unschedulable: was_unschedulable,
        ..Node::default()
    };
    if phase != NodePhase::Pending {
        let state = NodeState {
            campaign: "p-1".into(),
            group: "all".into(),
            wave: 1,
            phase,
            since: Some(now() - since),
            started_at: Some(now() - since),
            was_unschedulable,
            boot_id: "b0".into(),
            ..NodeState::default()
        };
        node.unschedulable = true;
        node.annotations.insert(STATE_ANNOTATION.into(), serde_json::to_string(&state).expect("JSON"));
    }
    node
}

fn pod(name: &str, on: &str) -> Pod {
    Pod {
        name: ObjectName::new("shop", name),
        uid: format!("uid-{name}"),
        node: Some(on.into()),
        phase: PodPhase::Running,
        ready: true,
        controller: Some(Arc::new(Owner {
            kind: "ReplicaSet".into(),
            name: "web".into(),
            ..Owner::default()
        })),
        ..Pod::default()
    }
}

fn words(effect: &Effect) -> String {
    match effect {
        Effect::PatchNode(patch) => {
            let cordon = match patch.unschedulable {
                Some(true) => " cordon",
                Some(false) => " uncordon",
                None => "",
            };
            let steer = match &patch.taints {
                Some(taints) if taints.iter().any(|t| t.key == STEERING_TAINT) => " taint",
                Some(_) => " untaint",
                None => "",
            };
            let cordon = format!("{cordon}{steer}");
            match &patch.state {
                StateChange::Set(state) => format!("{}: {}{cordon}", patch.node, state.phase.name()),
                StateChange::Remove => format!("{}: clear{cordon}", patch.node),
                StateChange::Keep => format!("{}:{cordon}", patch.node),
            }
        }
        Effect::Evict { pod, .. } => format!("evict {}", pod.name),
        Effect::RunHook { run, .. } => format!("run hook {} try {}", run.hook, run.attempt),
        other => format!("{other:?}"),
    }
}

struct Case {
    plan: MaintenancePlanSpec,
    inventory: Inventory,
    ledger: Ledger,
    status: MaintenanceCampaignStatus,
    stopping: Option<&'static str>,
    now: Timestamp,
}

impl Case {
    fn new(plan_text: &str, nodes: Vec<Node>, pods: Vec<Pod>) -> Self {
        let mut inventory = Inventory::new();
        for node in nodes {
            inventory.put_node(node);
        }
        for pod in pods {
            inventory.put_pod(pod);
        }
        let (ledger, status) = (Ledger::default(), MaintenanceCampaignStatus::default());
        Self { plan: plan(plan_text), inventory, ledger, status, stopping: None, now: now() }
    }

    fn decide(&self) -> Decision {
        let groups = crate::schedule::resolve(&self.plan, &self.inventory).expect("resolves");
        decide(&View {
            inventory: &self.inventory,
            plan: &self.plan,
            campaign: "p-1",
            guide: &Guide::default(),
            groups: &groups,
            status: &self.status,
            ledger: &self.ledger,
            driver: "me",
            adopts: &[],
            stopping: self.stopping,
            halted: None,
            given_up: None,
            now: self.now,
        })
    }

    fn effects(&self) -> Vec<String> {
        self.decide().effects.iter().map(words).collect()
    }
}

const NO_TIME: SignedDuration = SignedDuration::ZERO;

#[test]
fn each_phase_leads_to_the_next_when_what_it_waits_for_is_there() {
    use NodePhase::{
        Cordoned, Done, Drained, Draining, InMaintenance, Pending, SafeToPowerOff, Uncordoning, Verifying,
    };
    let running = || vec![pod("a", "w1")];
    let hook = "  hooks: [{name: h, at: Maintenance, exec: ['true']}]\n";
    for (phase, pods, text, expected) in [
        (Pending, running(), "", vec!["w1: Cordoned cordon"]),
        (Cordoned, running(), "", vec!["w1: Draining"]),
        (Draining, running(), "", vec!["evict a"]),
        (Draining, vec![], "", vec!["w1: Drained"]),
        (Drained, vec![], "", vec!["w1: SafeToPowerOff"]),
        // Somebody's pod came in between: it leaves like the others, and nothing goes on.
        (Drained, running(), "", vec!["evict a"]),
        (SafeToPowerOff, vec![], "", vec!["w1: InMaintenance"]),
        (SafeToPowerOff, running(), "", vec!["w1: Drained"]),
        (InMaintenance, vec![], "", vec!["w1: Verifying"]),
        // A hook is recorded before it is run.
        (InMaintenance, vec![], hook, vec!["w1: InMaintenance"]),
        (Verifying, vec![], "", vec!["w1: Uncordoning uncordon"]),
        (Verifying, vec![], "  verify: {kernelVersion: '>=7'}\n", vec![]),
        (Uncordoning, vec![], "", vec!["w1: Done"]),
        (Done, vec![], "", vec![]),
    ] {
        let case = Case::new(text, vec![node("w1", phase, false, NO_TIME)], pods);
        assert_eq!(case.effects(), expected, "{phase:?} {text}");
    }
}

#[test]
fn a_node_is_left_exactly_as_it_was_found() {
    let found_cordoned = Case::new("", vec![node("w1", NodePhase::Verifying, true, NO_TIME)], vec![]);
    assert_eq!(found_cordoned.effects(), ["w1: Uncordoning"]);
    let mut meddled = node("w1", NodePhase::Draining, false, NO_TIME);
    meddled.unschedulable = false;
    let recordon = Case::new("", vec![meddled.clone()], vec![pod("a", "w1")]);
    assert_eq!(recordon.effects(), ["w1: Draining cordon"]);
    let fail = Case::new("  drain: {onUncordoned: Fail}\n", vec![meddled], vec![pod("a", "w1")]);
    assert_eq!(fail.effects(), ["w1: Failed"]);
}

#[test]
fn timeouts_end_as_the_plan_says() {
    let hours = SignedDuration::from_hours;
    let slow = |phase, since| vec![node("w1", phase, false, since)];
    let terminating = || {
        let mut pod = pod("a", "w1");
        pod.deletion = Some(now());
        vec![pod]
    };
    for (text, nodes, expected) in [
        ("  drain: {timeout: 2h}\n", slow(NodePhase::Draining, hours(1)), vec![]),
        ("  drain: {timeout: 30m}\n", slow(NodePhase::Draining, hours(1)), vec!["w1: Failed"]),
        (
            "  drain: {timeout: 30m, onTimeout: Skip}\n",
            slow(NodePhase::Draining, hours(1)),
            vec!["w1: Draining"],
        ),
        ("  drain: {timeout: 30m, onTimeout: Wait}\n", slow(NodePhase::Draining, hours(1)), vec![]),
        ("  safePowerOff: {timeout: 30m}\n", slow(NodePhase::Drained, hours(1)), vec!["w1: Failed"]),
        (
            "  verify: {kernelVersion: '>=7', timeout: 30m}\n",
            slow(NodePhase::Verifying, hours(1)),
            vec!["w1: Failed"],
        ),
    ] {
        let pods = if text.contains("verify") { vec![] } else { terminating() };
        assert_eq!(Case::new(text, nodes, pods).effects(), expected, "{text}");
    }
}

/// The reason is written first, so that a crash in between doesn't lose it; then what the drain started is undone.
#[test]
fn a_skipped_node_is_undone_before_it_is_let_go() {
    let mut skipped = node("w1", NodePhase::Draining, false, NO_TIME);
    let mut state = NodeState::of(&skipped).expect("a state").expect("readable");
    state.reason = Some("drain took longer than 30m".into());
    skipped.annotations.insert(STATE_ANNOTATION.into(), serde_json::to_string(&state).expect("JSON"));
    let mut case = Case::new("", vec![skipped], vec![pod("a", "w1")]);
    let marked = crate::inventory::VirtualMachineInstance {
        name: ObjectName::new("shop", "db"),
        phase: crate::inventory::VmiPhase::Running,
        node: Some("w1".into()),
        evacuation_node: Some("w1".into()),
        ..Default::default()
    };
    case.inventory.put_vmi(marked.clone());
    let expected = Effect::CancelEvacuation {
        vmi: ObjectName::new("shop", "db"),
        mark: "w1".into(),
        migrations: vec![],
    };
    assert_eq!(case.decide().effects, [expected], "and no eviction");
    case.inventory.put_vmi(crate::inventory::VirtualMachineInstance { evacuation_node: None, ..marked });
    assert_eq!(case.effects(), ["w1: Skipped uncordon"]);
    // One that an admin had cordoned before, and that somebody uncordoned since, is cordoned as it was found.
    let mut found_cordoned = node("w1", NodePhase::Draining, true, NO_TIME);
    let mut state = NodeState::of(&found_cordoned).expect("a state").expect("readable");
    state.reason = Some("drain took longer than 30m".into());
    found_cordoned.annotations.insert(STATE_ANNOTATION.into(), serde_json::to_string(&state).expect("JSON"));
    found_cordoned.unschedulable = false;
    assert_eq!(Case::new("", vec![found_cordoned], vec![]).effects(), ["w1: Skipped cordon"]);
}

#[test]
fn limits_count_whoever_is_away_for_whatever_reason() {
    let fresh = |name: &str| node(name, NodePhase::Pending, false, NO_TIME);
    let cordoned = |name: &str| node(name, NodePhase::Pending, true, NO_TIME);
    let not_ready = |name: &str| Node { readiness: Readiness::NotReady, ..fresh(name) };
    let at_work = |name: &str| node(name, NodePhase::InMaintenance, false, NO_TIME);
    let two = "  concurrency: {maxUnavailable: 2}\n  hooks: [{name: h, at: Maintenance, waitFor: {condition: Ready}}]\n";
    for (nodes, expected) in [
        (
            vec![fresh("a"), fresh("b"), fresh("c")],
            vec!["a: Cordoned cordon", "b: Cordoned cordon", "c: taint"],
        ),
        (
            vec![at_work("a"), fresh("b"), fresh("c")],
            vec!["a: InMaintenance", "b: Cordoned cordon", "c: taint"],
        ),
        (
            vec![at_work("a"), at_work("b"), fresh("c")],
            vec!["a: InMaintenance", "b: InMaintenance", "c: taint"],
        ),
        // The node that is away already begins: it takes no place of another's.
        (
            vec![fresh("a"), cordoned("b"), not_ready("c")],
            vec!["b: Cordoned", "c: Cordoned cordon", "a: taint"],
        ),
    ] {
        let names: Vec<String> = nodes.iter().map(|n| n.name.clone()).collect();
        let case = Case::new(two, nodes, vec![]);
        assert_eq!(case.effects(), expected, "{names:?}");
    }
    let mut patching = Case::new(two, vec![fresh("a"), fresh("b"), fresh("c")], vec![]);
    patching.ledger.patching.extend(["a".to_owned(), "b".to_owned()]);
    assert_eq!(patching.effects(), ["c: taint"], "two cordons are on their way");
}

/// Of two nodes that begin together one may come later, when its cordon met somebody else's write: the wave waits for it,
/// but takes in nobody any more once one of its nodes has ended.
#[test]
fn a_wave_is_open_until_the_first_of_its_nodes_has_ended() {
    let text = "  strategy: Waves\n  concurrency: {maxUnavailable: 2}\n  hooks: [{name: h, at: Maintenance, waitFor: {condition: Ready}}]\n";
    let at_work = |name: &str| node(name, NodePhase::InMaintenance, false, NO_TIME);
    let fresh = |name: &str| node(name, NodePhase::Pending, false, NO_TIME);
    let mut case = Case::new(text, vec![at_work("a"), fresh("b"), fresh("c")], vec![]);
    let waves = |decision: &Decision| -> Vec<(String, u32)> {
        let patches = decision.effects.iter().filter_map(|e| match e {
            Effect::PatchNode(NodePatch { node, state: StateChange::Set(state), .. })
                if state.phase == NodePhase::Cordoned =>
            {
                Some((node.clone(), state.wave))
            }
            _ => None,
        });
        patches.collect()
    };
    assert_eq!(waves(&case.decide()), [("b".to_owned(), 1)]);
    case.status.nodes = vec![Arc::new(CampaignNode {
        name: "b".into(),
        group: "all".into(),
        wave: 1,
        phase: "Done".into(),
        finished_at: Some(now()),
        ..CampaignNode::default()
    })];
    let decision = case.decide();
    assert_eq!(waves(&decision), []);
    assert_eq!(decision.nodes["c"].holds, [Hold::Wave { waits_for: vec!["a".into()] }]);
    // The next wave begins with the last node's end.
    case.inventory.put_node(Node { resource_version: "2".into(), ..fresh("a") });
    let other = CampaignNode { name: "a".into(), ..(*case.status.nodes[0]).clone() };
    case.status.nodes.push(other.into());
    assert_eq!(waves(&case.decide()), [("c".to_owned(), 2)]);
}

#[test]
fn a_stop_starts_nothing_and_lets_what_is_begun_be_taken_up() {
    let nodes =
        vec![node("w1", NodePhase::Draining, false, NO_TIME), node("w2", NodePhase::Pending, false, NO_TIME)];
    let mut case = Case::new("", nodes, vec![pod("a", "w1")]);
    case.stopping = Some("stopped by the operator");
    let decision = case.decide();
    assert_eq!((decision.effects.len(), decision.end), (0, Some(End::Stopped)));
}

#[test]
fn more_failed_nodes_than_allowed_pause_the_campaign() {
    let failed = |name: &str| CampaignNode {
        name: name.into(),
        group: "all".into(),
        phase: "Failed".into(),
        finished_at: Some(now()),
        ..CampaignNode::default()
    };
    for (text, names, expected) in [
        ("", vec!["a"], Some("1 node failed (limit 0): a")),
        ("  failure: {maxFailedNodes: 1, onFailure: Pause}\n", vec!["a"], None),
        (
            "  failure: {maxFailedNodes: 1, onFailure: Pause}\n",
            vec!["a", "b"],
            Some("2 nodes failed (limit 1): a, b"),
        ),
        ("  failure: {maxFailedNodes: 0, onFailure: Continue}\n", vec!["a"], None),
    ] {
        let nodes = ["a", "b", "c"].map(|n| node(n, NodePhase::Pending, false, NO_TIME)).to_vec();
        let mut case = Case::new(text, nodes, vec![]);
        case.status.nodes = names.iter().map(|n| failed(n).into()).collect();
        let end = case.decide().end;
        let expected = expected.map(|reason| End::Paused { reason: reason.to_owned() });
        assert_eq!(end, expected, "{text} {names:?}");
    }
}

#[test]
fn deciding_twice_on_the_same_view_gives_the_same() {
    let nodes = ["a", "b", "c"].map(|n| node(n, NodePhase::Pending, false, NO_TIME)).to_vec();
    let case = Case::new("  concurrency: {maxUnavailable: 2}\n", nodes, vec![pod("x", "a")]);
    assert_eq!(case.decide(), case.decide());
}

#[test]
fn a_finished_node_keeps_its_record_until_the_vms_that_it_owes_a_start_live_again() {
    use crate::inventory::{RunStrategy, VirtualMachine, VirtualMachineInstance, VmiPhase};
    let name = ObjectName::new("shop", "db");
    let mut done = node("w1", NodePhase::Done, false, NO_TIME);
    done.unschedulable = false;
    let mut state = NodeState::of(&done).expect("a state").expect("readable");
    state.finished_at = Some(now());
    state.vms = vec![DrainedVm { name: name.clone(), uid: "old".into(), start_afterwards: true }];
    done.annotations.insert(STATE_ANNOTATION.into(), serde_json::to_string(&state).expect("JSON"));
    let vmi = |uid: &str, phase| VirtualMachineInstance {
        name: name.clone(),
        uid: uid.into(),
        phase,
        ..Default::default()
    };
    for (seen, expected) in [
        (None, vec!["StartVm { vm: ObjectName { namespace: \"shop\", name: \"db\" } }"]),
        // Still ending; and one that was moved instead of stopped.
        (Some(VirtualMachineInstance { deleting: true, ..vmi("old", VmiPhase::Running) }), vec![]),
        (Some(vmi("old", VmiPhase::Running)), vec!["w1: clear"]),
        (Some(vmi("new", VmiPhase::Running)), vec!["w1: clear"]),
    ] {
        let mut case = Case::new("", vec![done.clone()], vec![]);
        case.status.nodes = vec![Arc::new(CampaignNode {
            name: "w1".into(),
            group: "all".into(),
            phase: "Done".into(),
            finished_at: Some(now()),
            ..CampaignNode::default()
        })];
        let vm =
            VirtualMachine { name: name.clone(), run_strategy: RunStrategy::Manual, ..Default::default() };
        case.inventory.put_vm(vm);
        if let Some(vmi) = seen.clone() {
            case.inventory.put_vmi(vmi);
        }
        assert_eq!(case.effects(), expected, "{seen:?}");
    }
}

/// Somebody uncordoned the node between two hooks, and something was placed on it.
#[test]
fn no_hook_starts_on_a_node_that_is_not_safe_any_more() {
    let hook = "  hooks: [{name: h, at: Maintenance, exec: ['true']}]\n";
    let busy =
        Case::new(hook, vec![node("w1", NodePhase::InMaintenance, false, NO_TIME)], vec![pod("a", "w1")]);
    let decision = busy.decide();
    assert_eq!(decision.effects.iter().map(words).collect::<Vec<_>>(), ["w1: Draining"]);
    assert!(decision.warnings[0].contains("not safe to power off any more: pod shop/a"), "{decision:?}");
    // What is left of a hook's own pod is no obstacle.
    let mut own = pod("h", "w1");
    Arc::make_mut(&mut own.labels).insert("app.kubernetes.io/managed-by".into(), "virtroll".into());
    let at_hook = |phase| {
        let pod = Pod { phase, ..own.clone() };
        Case::new(hook, vec![node("w1", NodePhase::InMaintenance, false, NO_TIME)], vec![pod])
    };
    assert_eq!(at_hook(PodPhase::Succeeded).effects(), ["w1: InMaintenance"]);
    // But one that still runs, of an earlier campaign, say: two don't work on a node at once.
    let decision = at_hook(PodPhase::Running).decide();
    let why = "not safe to power off: pod shop/h of an earlier hook is still running";
    assert_eq!((decision.effects.len(), decision.nodes["w1"].holds[0].to_string().as_str()), (0, why));
}

#[test]
fn failed_nodes_are_tried_again_one_after_the_other() {
    let failed = |name: &str| node(name, NodePhase::Failed, false, NO_TIME);
    let mut case = Case::new("", vec![failed("a"), failed("b"), failed("c")], vec![]);
    // A record that says so is needed: a failure by itself stays one.
    assert_eq!(case.effects(), Vec::<String>::new());
    case.status.retrying = vec!["a".into(), "b".into(), "c".into()];
    // All three are still cordoned, more than the limit of 1 allows: none of them makes it worse by being in work.
    assert_eq!(case.effects(), ["a: Cordoned"]);
    // One that came back in the meantime does.
    let mut back = node("b", NodePhase::Failed, false, NO_TIME);
    (back.unschedulable, back.resource_version) = (false, "2".into());
    case.inventory.put_node(back);
    case.status.retrying = vec!["b".into()];
    case.plan = plan("  failure: {maxFailedNodes: 9}\n");
    assert_eq!(case.effects(), ["b: taint"]);
    case.plan = plan("  failure: {maxFailedNodes: 9}\n  concurrency: {maxUnavailable: 3}\n");
    assert_eq!(case.effects(), ["b: Cordoned cordon"]);
}

#[test]
fn a_node_whose_state_was_taken_away_is_named() {
    let mut case = Case::new("", vec![node("w1", NodePhase::Pending, false, NO_TIME)], vec![]);
    case.status.nodes = vec![Arc::new(CampaignNode {
        name: "w1".into(),
        group: "all".into(),
        phase: "Draining".into(),
        ..CampaignNode::default()
    })];
    let decision = case.decide();
    let record = &decision.status.nodes[0];
    assert_eq!(record.phase, "Failed");
    assert!(record.reason.as_ref().is_some_and(|r| r.contains("was taken away")), "{record:?}");
}

/// The start of a VM that the drain is about to stop is on record before it is stopped, also of one that came later.
#[test]
fn a_start_is_owed_on_record_before_the_stop() {
    use crate::inventory::{KubeVirt, RunStrategy, VirtualMachine, VirtualMachineInstance, VmiPhase};
    let name = ObjectName::new("shop", "db");
    let mut launcher = pod("virt-launcher-db", "w1");
    let labels = Arc::make_mut(&mut launcher.labels);
    labels.insert("kubevirt.io".into(), "virt-launcher".into());
    labels.insert("kubevirt.io/created-by".into(), "u1".into());
    launcher.domain = Some("db".into());
    let text = "  virtualMachines: {staysOff: StartAfterwards}\n";
    let mut case = Case::new(text, vec![node("w1", NodePhase::Draining, false, NO_TIME)], vec![launcher]);
    case.inventory.kubevirt = Some(KubeVirt::default());
    case.inventory.put_vm(VirtualMachine {
        name: name.clone(),
        run_strategy: RunStrategy::Manual,
        ..Default::default()
    });
    case.inventory.put_vmi(VirtualMachineInstance {
        name: name.clone(),
        uid: "u1".into(),
        phase: VmiPhase::Running,
        node: Some("w1".into()),
        controller: Some(Arc::new(Owner {
            kind: "VirtualMachine".into(),
            name: "db".into(),
            ..Owner::default()
        })),
        ..Default::default()
    });
    let decision = case.decide();
    let [Effect::PatchNode(NodePatch { state: StateChange::Set(state), .. })] = &decision.effects[..] else {
        panic!("{decision:?}")
    };
    assert_eq!(state.vms, [DrainedVm { name, uid: "u1".into(), start_afterwards: true }]);
    let mut written = node("w1", NodePhase::Draining, false, NO_TIME);
    written.resource_version = "2".into();
    written.annotations.insert(STATE_ANNOTATION.into(), serde_json::to_string(state).expect("JSON"));
    case.inventory.put_node(written);
    assert_eq!(case.effects(), ["evict virt-launcher-db"]);
}

/// The canary has failed: what would promote it does not run.
#[test]
fn after_too_many_failures_no_hook_of_the_group_starts() {
    let hook = "  hooks: [{name: promote, at: AfterGroup, exec: ['true']}]\n";
    for (bears, runs) in [("", false), ("  failure: {maxFailedNodes: 1}\n", true)] {
        let mut case = Case::new(&format!("{hook}{bears}"), vec![], vec![]);
        case.inventory.put_node(node("a", NodePhase::Pending, false, NO_TIME));
        case.status.nodes = vec![Arc::new(CampaignNode {
            name: "a".into(),
            group: "all".into(),
            phase: "Failed".into(),
            finished_at: Some(now()),
            ..CampaignNode::default()
        })];
        assert_eq!(case.decide().status.hooks.len(), usize::from(runs), "{bears}");
    }
}

/// A hook at OnFailure that can't be started any more is no reason to go on.
#[test]
fn a_stop_does_not_wait_for_what_it_keeps_from_starting() {
    let hook = "  hooks: [{name: page, at: OnFailure, exec: ['true']}]\n";
    let mut case = Case::new(hook, vec![node("w1", NodePhase::Failed, false, NO_TIME)], vec![]);
    // Without a stop the hook is recorded, to be run.
    assert_eq!(case.effects(), ["w1: Failed"]);
    case.stopping = Some("stopped by the operator");
    let decision = case.decide();
    assert_eq!((decision.effects.len(), decision.end), (0, Some(End::Stopped)));
}

/// Another driver's run may be under way: whatever has come onto the node since, it is taken up and not begun anew.
#[test]
fn a_hook_that_another_driver_began_is_taken_up() {
    let hook = "  hooks: [{name: h, at: Maintenance, job: {image: tools}}]\n";
    for (driver, expected) in [("another", "run hook 0 try 1"), ("me", "w1: Draining")] {
        let mut node = node("w1", NodePhase::InMaintenance, false, NO_TIME);
        let mut state = NodeState::of(&node).expect("a state").expect("readable");
        state.hook = Some(HookProgress {
            name: "h".into(),
            attempt: 1,
            started_at: Some(now()),
            driver: driver.into(),
            ..HookProgress::default()
        });
        node.annotations.insert(STATE_ANNOTATION.into(), serde_json::to_string(&state).expect("JSON"));
        let case = Case::new(hook, vec![node], vec![pod("a", "w1")]);
        assert_eq!(case.effects(), [expected], "{driver}");
    }
}

#[test]
fn a_soak_begins_anew_when_a_node_was_not_ready() {
    let minutes = SignedDuration::from_mins;
    let text = "  groups:\n  - {name: canary, nodes: {names: [a]}, soak: 30m}\n  - {name: rest, nodes: {names: [b]}, dependsOn: [canary]}\n";
    let plan_text = format!(
        "apiVersion: virtroll.dev/v1alpha1\nkind: MaintenancePlan\nmetadata: {{name: p}}\nspec:\n{text}"
    );
    let spec =
        crate::plan::load("plan.yaml", &plan_text).unwrap_or_else(|e| panic!("{}", e.render())).plan.spec;
    for (ready, ready_for, ended, expected) in [
        (true, 90, 31, vec!["b: Cordoned cordon"]),
        (true, 90, 29, vec!["b: taint"]),
        // Not Ready now; and Ready again, but not for long enough.
        (false, 5, 31, vec!["b: taint"]),
        (true, 5, 31, vec!["b: taint"]),
    ] {
        let mut canary = node("a", NodePhase::Pending, false, NO_TIME);
        canary.readiness = if ready { Readiness::Ready } else { Readiness::NotReady };
        canary.ready_since = Some(now() - minutes(ready_for));
        let mut case = Case::new("", vec![canary, node("b", NodePhase::Pending, false, NO_TIME)], vec![]);
        case.plan = spec.clone();
        case.status.nodes = vec![Arc::new(CampaignNode {
            name: "a".into(),
            group: "canary".into(),
            wave: 1,
            phase: "Done".into(),
            finished_at: Some(now() - minutes(ended)),
            ..CampaignNode::default()
        })];
        assert_eq!(case.effects(), expected, "Ready {ready} for {ready_for}m, ended {ended}m ago");
    }
}
