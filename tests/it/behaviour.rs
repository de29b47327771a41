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
    assert!(failed.is_empty(), "{} of {} stories failed:\n{}", failed.len(), stories.len(), failed.join("\n"));
}
