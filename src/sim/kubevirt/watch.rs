//! Watches: what changes on the cluster, as the loop takes it in.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures::{Stream, StreamExt};
use kube::api::Api;
use kube::runtime::utils::Backoff;
use kube::runtime::{WatchStreamExt, watcher};
use tokio::sync::mpsc;

use super::item::Item;
use super::world::{Kind, Object};
use crate::sim::store::Key;

/// What a watch has seen.
pub(super) enum Seen {
    Put(Kind, Object),
    Gone(Kind, Key),
    Listed(Kind, BTreeSet<Key>),
}

/// How long a broken watch waits: 0.8 s, doubling up to 30 s. The default of kube-runtime has the same bounds but
/// jitters by the thread's own random numbers, which no seed repeats.
struct Patience {
    next: Duration,
}

impl Patience {
    const LEAST: Duration = Duration::from_millis(800);
    const MOST: Duration = Duration::from_secs(30);
}

impl Default for Patience {
    fn default() -> Self {
        Self { next: Self::LEAST }
    }
}

impl Iterator for Patience {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        let wait = self.next;
        self.next = (wait * 2).min(Self::MOST);
        Some(wait)
    }
}

impl Backoff for Patience {
    fn reset(&mut self) {
        *self = Self::default();
    }
}

/// Watches a kind until dropped.
pub(super) async fn watch(api: Api<Item>, kind: Kind, sender: mpsc::Sender<Seen>) {
    let mut config = watcher::Config::default();
    if let Some(labels) = kind.labels() {
        config = config.labels(labels);
    }
    let stream = watcher(api, config).backoff(Patience::default());
    forward(Box::pin(stream), kind, sender).await;
}

async fn forward(
    mut stream: impl Stream<Item = watcher::Result<watcher::Event<Item>>> + Unpin,
    kind: Kind,
    sender: mpsc::Sender<Seen>,
) {
    let mut listed = BTreeSet::new();
    while let Some(event) = stream.next().await {
        let seen = match event {
            Ok(watcher::Event::Init) => {
                listed.clear();
                continue;
            }
            Ok(watcher::Event::InitApply(object)) => {
                let object = with_kind(kind, object);
                listed.insert(Key::of(&object));
                Seen::Put(kind, object)
            }
            Ok(watcher::Event::InitDone) => Seen::Listed(kind, std::mem::take(&mut listed)),
            Ok(watcher::Event::Apply(object)) => Seen::Put(kind, with_kind(kind, object)),
            Ok(watcher::Event::Delete(object)) => Seen::Gone(kind, Key::of(&with_kind(kind, object))),
            Err(error) => {
                tracing::warn!(%error, "the KubeVirt model's watch of {kind:?} broke");
                continue;
            }
        };
        if sender.send(seen).await.is_err() {
            return;
        }
    }
}

/// Items of a list carry no kind, and owners are named by it.
fn with_kind(kind: Kind, object: Item) -> Object {
    let mut object = object.value;
    let resource = kind.resource();
    object["apiVersion"] = resource.api_version.into();
    object["kind"] = resource.kind.into();
    Arc::new(object)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broken_watch_waits_longer_each_time_and_always_the_same() {
        let mut patience = Patience::default();
        let waits: Vec<u128> = patience.by_ref().take(8).map(|w| w.as_millis()).collect();
        assert_eq!(waits, [800, 1600, 3200, 6400, 12800, 25600, 30000, 30000]);
        patience.reset();
        assert_eq!(patience.next(), Some(Duration::from_millis(800)));
    }
}
