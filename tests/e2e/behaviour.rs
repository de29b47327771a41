//! The behaviour stories on the real control plane, four at a time.

use std::panic::AssertUnwindSafe;
use std::time::Instant;

use futures::{FutureExt, StreamExt};
use virtroll::cluster::{Target, connect};

use crate::control_plane::ControlPlane;
use crate::scenarios::story::{Arm, Story, play};

#[test]
fn every_story_holds_on_the_real_control_plane() {
    let plane = ControlPlane::start("behaviour");
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    let failed: Vec<String> = runtime.block_on(async {
        let target = Target { kubeconfig: Some(plane.path("kubeconfig").into()), context: None };
        let (client, _) = connect(&target).await.expect("connects");
        let stories = Story::all().into_iter().filter(|s| s.embedded_only_because.is_none());
        let played = stories.map(|story| played(story, client.clone()));
        futures::stream::iter(played).buffer_unordered(4).filter_map(async |failed| failed).collect().await
    });
    assert!(failed.is_empty(), "{} failed:\n{}", failed.len(), failed.join("\n"));
}

/// What went wrong, if something did.
async fn played(story: Story, client: kube::Client) -> Option<String> {
    let began = Instant::now();
    let arm = Arm { client, patience: 3, service_accounts: true, now: Box::new(jiff::Timestamp::now) };
    let end = AssertUnwindSafe(play(&story, arm))
        .catch_unwind()
        .await
        .unwrap_or_else(|_| Err("panicked".to_owned()));
    let word = if end.is_ok() { "ok    " } else { "FAILED" };
    println!("{word} {} in {:.1?}", story.name, began.elapsed());
    end.err().map(|why| format!("{}.yaml: {}\n  {why}", story.name, story.story))
}
