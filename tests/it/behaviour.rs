//! The behaviour stories on the embedded cluster, in virtual time, and what a bad story file gets.

use std::time::Duration;

use virtroll::sim::{EmbeddedCluster, Settings};

use crate::scenarios::story::{Arm, Story, play};

fn played(story: &Story) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
    runtime.expect("a runtime").block_on(async {
        let cluster = EmbeddedCluster::from_objects("story", Vec::new(), Settings::default()).expect("loads");
        cluster.start().await;
        let clock = cluster.clock();
        let now = Box::new(move || clock.now());
        let arm = Arm { client: cluster.client(), patience: 1, service_accounts: false, now };
        // Virtual time never hangs, it runs away: each story has an end.
        let limit = Duration::from_secs(86_400);
        tokio::time::timeout(limit, play(story, arm)).await.map_err(|_| "no end within a day".to_owned())?
    })
}

#[test]
fn every_story_holds_on_the_embedded_cluster() {
    let stories = Story::all();
    assert!(!stories.is_empty(), "no stories");
    let told = stories.iter().filter_map(|story| {
        let end = played(story);
        println!("{} {}", if end.is_ok() { "ok    " } else { "FAILED" }, story.name);
        Some(format!("{}.yaml: {}\n  {}", story.name, story.story, end.err()?))
    });
    let failed: Vec<String> = told.collect();
    assert!(
        failed.is_empty(),
        "{} of {} stories failed:\n{}",
        failed.len(),
        stories.len(),
        failed.join("\n")
    );
}

/// A story with these steps, which are indented already.
fn story(steps: &str) -> String {
    format!(
        "story: A test of the runner.\nnodes: 1\nmanifests:\n- apiVersion: v1\n  kind: Pod\n  metadata: {{name: web}}\n  \
         spec: {{containers: [{{name: c, image: c}}]}}\nsteps:\n{steps}"
    )
}

#[test]
fn a_bad_story_file_says_where_and_what() {
    for (text, expected) in [
        (story("- expects: {that: []}\n"), "unknown variant"),
        (story("- expect: {when: 5s, that: []}\n"), "unknown field"),
        (story("- wait: soon\n"), "line 9"),
        (story("- scale: {of: deployments, to: many}\n"), "line 9"),
        (
            story("- cordon: NAME-1\n- delete: {of: cucumber/x}\n"),
            "bad.yaml: steps[1]: unknown kind \"cucumber\"",
        ),
        (story("- expect: {that: [{of: pod/web}]}\n"), "bad.yaml: steps[0]: pod/web: nothing to check"),
        (story("- expect: {that: [{of: pod/web, count: 1}]}\n"), "count and where are for several objects"),
        (story("- report: {node: NAME-1, ready: maybe}\n"), "ready is 'True' or 'False', not \"maybe\""),
        (story("- create: [{apiVersion: v1, kind: Pod}]\n"), "bad.yaml: steps[0]: Pod: no metadata.name"),
        ("story: x\nnodes: 1\n".to_owned(), "steps"),
    ] {
        let why = Story::read("bad.yaml", &text).expect_err(&text);
        assert!(why.starts_with("bad.yaml: ") && why.contains(expected), "{text}\n{why}");
    }
}

#[test]
fn a_story_that_does_not_hold_says_which_step_and_why() {
    for (steps, expected) in [
        (
            "- expect: {within: 5s, that: [{of: pod/web, has: {status: {phase: Failed}}}]}\n",
            "steps[0]: not within 5s: pod/web (web): .status.phase is \"Running\", not \"Failed\"",
        ),
        (
            "- stays: {for: 5s, that: [{of: pods, count: {atLeast: 2}}]}\n",
            "steps[0]: didn't stay so for 5s: pods :  is 1, not {\"atLeast\":2} (web)",
        ),
        ("- wait: 5s\n- refused: {code: 403, step: {delete: {of: pod/web}}}\n", "steps[1]: not refused"),
        ("- delete: {of: pod/other}\n", "steps[0]: ApiError"),
        (
            "- during: {always: [{of: pods, count: 1}], steps: [{delete: {of: pod/web, grace: 0}}, {wait: 5s}]}\n",
            "steps[0]: didn't hold all the time: pods :  is 0, not 1 ()",
        ),
        (
            "- happened: {within: 5s, inOrder: [ready web, created web]}\n",
            "steps[0]: \"created web\" didn't follow",
        ),
        (
            "- happened: {within: 5s, inOrder: [ready web], without: ['bound *']}\n",
            "steps[0]: \"bound web\" came between",
        ),
    ] {
        let story = Story::read("bad.yaml", &story(steps)).expect("readable");
        let why = played(&story).expect_err(steps);
        assert!(why.starts_with(expected), "{steps}\n{why}");
    }
}
