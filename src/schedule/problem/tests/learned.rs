//! What campaigns of a plan have shown, and what is expected for that.

use super::*;

#[test]
fn what_nodes_have_taken_corrects_what_is_expected() {
    let mut stage = Stage::default();
    stage.node("a", "z").node("b", "z");
    let plan = plan(&["a", "b"]);
    let at = |second: i64| Some(jiff::Timestamp::from_second(second).expect("a time"));
    let node = |phase: &str, drained: i64, back: i64| v1alpha1::CampaignNode {
        group: "all".into(),
        phase: phase.into(),
        drained_at: at(drained),
        finished_at: at(back),
        ..v1alpha1::CampaignNode::default()
    };
    let record = |nodes: Vec<v1alpha1::CampaignNode>| v1alpha1::MaintenanceCampaignStatus {
        nodes: nodes.into_iter().map(Into::into).collect(),
        ..v1alpha1::MaintenanceCampaignStatus::default()
    };
    // What failed shows nothing.
    let records =
        [record(vec![node("Done", 10, 30), node("Failed", 0, 900)]), record(vec![node("Done", 0, 30)])];
    let durations = Durations::learned(&records);
    let problem = of(&plan, &stage.groups(&plan), &stage.inventory, &durations, &Progress::default());
    // (3 · 5 s + 20 s + 30 s) / 5
    assert_eq!(problem.instance.nodes.tail, [13_000, 13_000]);
    let of_group = Corrected::AfterDrain("all".into());
    assert_eq!(
        problem.corrections,
        [Correction { of: of_group, count: 2, expected: 5_000, corrected: 13_000 }]
    );
    assert!(made(&stage, &plan).corrections.is_empty());
}

/// What hooks have taken for other groups teaches; for its own group, the whole time after a drain does.
#[test]
fn what_hooks_have_taken_for_one_group_is_expected_of_the_others() {
    let mut stage = Stage::default();
    stage.node("a", "z").node("b", "z");
    let mut plan = plan(&["a"]);
    let names = vec!["b".to_owned()];
    let rest =
        Group { name: "rest".into(), nodes: NodeSelection { names, selector: None }, ..Group::default() };
    plan.groups.push(rest);
    let hook = |name: &str, at, expected| hook(name, at, Some(expected), false);
    plan.hooks = vec![
        hook("early", HookPoint::PreDrain, 10),
        hook("upgrade", HookPoint::Maintenance, 40),
        hook("announce", HookPoint::BeforeGroup, 20),
    ];
    let took = |name: &str, seconds| v1alpha1::HookTook { name: name.into(), seconds };
    let at = |second: i64| Some(jiff::Timestamp::from_second(second).expect("a time"));
    let node = v1alpha1::CampaignNode {
        group: "all".into(),
        phase: "Done".into(),
        drained_at: at(0),
        finished_at: at(65),
        hooks: vec![took("early", 2), took("upgrade", 80)],
        ..v1alpha1::CampaignNode::default()
    };
    let announced = |succeeded| v1alpha1::CampaignHook {
        hook: 2,
        name: "announce".into(),
        at: HookPoint::BeforeGroup,
        group: Some("all".into()),
        attempt: 1,
        started_at: at(0),
        finished_at: at(60),
        not_before: None,
        driver: String::new(),
        succeeded,
        message: None,
    };
    let record = v1alpha1::MaintenanceCampaignStatus {
        nodes: vec![node.into()],
        hooks: vec![announced(true), announced(false)],
        ..v1alpha1::MaintenanceCampaignStatus::default()
    };
    let durations = Durations::learned([&record]);
    let problem = of(&plan, &stage.groups(&plan), &stage.inventory, &durations, &Progress::default());
    let nodes = &problem.instance.nodes;
    // (3 · 10 s + 2 s) / 4 in both groups.
    assert_eq!(nodes.head, [8_000, 8_000]);
    // Its own group: (3 · (40 s + 5 s) + 65 s) / 4. The other: (3 · 40 s + 80 s) / 4 + 5 s.
    assert_eq!(nodes.tail, [50_000, 55_000]);
    let told: Vec<_> =
        problem.corrections.iter().map(|c| (&c.of, c.count, c.expected, c.corrected)).collect();
    let hook = |name: &str| Corrected::Hook(name.into());
    assert_eq!(
        told,
        [
            (&Corrected::AfterDrain("all".into()), 1, 45_000, 50_000),
            (&hook("early"), 1, 10_000, 8_000),
            (&hook("upgrade"), 1, 40_000, 50_000),
            // (3 · 20 s + 60 s) / 4
            (&hook("announce"), 1, 20_000, 30_000),
        ]
    );
}

/// 1 GiB is expected to take 3,007 ms (1.4 · 1,073,741,824 ÷ 500,000,000 s), 2 GiB 6,013 ms.
#[test]
fn migrations_that_guests_have_had_show_the_pace_of_others() {
    let mut stage = Stage::default();
    stage.node("a", "z").node("b", "z");
    stage.vm("small", "a", 1, true).vm("large", "a", 2, true).vm("other", "a", 2, true);
    let took = |problem: &Problem| {
        ["ns/large", "ns/other"].map(|name| problem.instance.items.leave[item(problem, name)])
    };
    let plan = plan(&["a"]);
    assert_eq!(took(&made(&stage, &plan)), [11_013, 11_013]);
    let mut migrated = |vm: &str, seconds: i64, failed: bool| {
        let mut vmi = stage.inventory.vmi(&name(vm)).expect("a guest").clone();
        let at = |second: i64| Some(jiff::Timestamp::from_second(second).expect("a time"));
        vmi.migration_state = Some(crate::inventory::MigrationState {
            start: at(100),
            end: at(100 + seconds),
            completed: true,
            failed,
            ..crate::inventory::MigrationState::default()
        });
        stage.inventory.put_vmi(vmi);
    };
    migrated("small", 6, false);
    migrated("large", 12, false);
    migrated("other", 900, true);
    let problem = made(&stage, &plan);
    // 9,020 ms were expected of the two, and 18,000 taken: 6,013 · (3 · 9,020 + 2 · 18,000) ÷ (5 · 9,020), with 5 s of set-up.
    assert_eq!(took(&problem), [13_407, 13_407]);
    let of_guests = Correction { of: Corrected::Transfer, count: 2, expected: 4_510, corrected: 6_306 };
    assert_eq!(problem.corrections, [of_guests]);
}
