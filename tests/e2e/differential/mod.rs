//! Differential tests: the same requests to a real kube-apiserver and to the embedded cluster, and the same answers.
//!
//! Stories are tables of requests in `stories/*.yaml`; `generated.rs` makes more from a seed. Each story has a namespace of
//! its own. A difference names the story, the request and the place in the answer. What is meant to differ stands in
//! `departures.rs`; an entry there that no longer occurs fails the test as well.

mod arm;
mod compare;
mod departures;
mod generated;
mod kinds;
mod story;

use futures::StreamExt;
use virtroll::sim::{EmbeddedCluster, Settings};

use arm::Arm;
use kinds::Kinds;
use story::Story;

/// Stories that run at the same time.
const AT_ONCE: usize = 8;

/// Which servers the stories are played on.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Memory {
    /// As they are.
    Long,
    /// What was is soon forgotten: stories that say `forgetful`.
    Short,
}

fn embedded(memory: Memory) -> EmbeddedCluster {
    let history = if memory == Memory::Short { 10 } else { Settings::default().history };
    let latency = std::time::Duration::ZERO;
    let settings = Settings { latency, managed_fields: true, history, ..Settings::default() };
    EmbeddedCluster::from_objects("differential", Vec::new(), settings).expect("an empty cluster")
}

/// Runs every story on both arms and compares; `only` chooses stories whose name contains it.
pub async fn run(real: kube::Client, memory: Memory, only: Option<&str>, tag: &str) -> compare::Tally {
    let cluster = embedded(memory);
    let kinds = Kinds::load();
    let mut stories = Story::load_all();
    stories.extend(generated::stories(&kinds));
    stories.retain(|s| s.forgetful == (memory == Memory::Short) && only.is_none_or(|o| s.story.contains(o)));
    let arms = [Arm::new(real), Arm::new(cluster.client())];
    let (arms, kinds) = (&arms, &kinds);
    let runs = stories.iter().enumerate().map(|(index, story)| async move {
        let namespace = format!("{tag}{index}");
        story.play(arms, kinds, &namespace).await
    });
    let mut told: Vec<compare::Tally> = futures::stream::iter(runs).buffer_unordered(AT_ONCE).collect().await;
    told.sort_by(|a, b| a.first.cmp(&b.first));
    let mut tally = compare::Tally::default();
    for one in told {
        tally.add(one);
    }
    tally.judge(only.is_none() && memory == Memory::Long);
    tally
}

fn compare_on(plane: &crate::control_plane::ControlPlane, memory: Memory) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let tally = runtime.block_on(async {
        let only = std::env::var("STORY").ok();
        run(plane.client().await, memory, only.as_deref(), "diff-").await
    });
    println!("{}", tally.summary());
    assert!(tally.failures.is_empty(), "{}", tally.failures.join("\n"));
}

#[test]
fn the_embedded_api_server_answers_as_the_real_one_does() {
    compare_on(&crate::control_plane::ControlPlane::api_only("differential"), Memory::Long);
}

#[test]
fn what_has_been_forgotten_is_told_as_the_real_one_does() {
    compare_on(&crate::control_plane::ControlPlane::forgetful("forgetful"), Memory::Short);
}
