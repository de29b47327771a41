//! Watches: what changes on the cluster, as the loop takes it in.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures::{Stream, StreamExt};
use kube::api::{Api, ListParams, WatchParams};
use kube::runtime::utils::Backoff;
use kube::runtime::{WatchStreamExt, watcher};
use tokio::sync::mpsc;

use super::caller::Caller;
use super::item::Item;
use super::world::{Kind, Object, text};
use crate::sim::api::handed::Event;
use crate::sim::json::Value;
use crate::sim::store::Key;

/// Objects in a page of a list.
const PAGE: u32 = 500;

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
pub(super) async fn watch(caller: Caller, kind: Kind, sender: mpsc::Sender<Seen>) {
    if caller.hands_over {
        return take_over(&caller, kind, &sender).await;
    }
    let api: Api<Item> = Api::all_with(caller.client, &kind.resource());
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
                let object = with_kind(kind, object.value);
                listed.insert(Key::of(&object));
                Seen::Put(kind, object)
            }
            Ok(watcher::Event::InitDone) => Seen::Listed(kind, std::mem::take(&mut listed)),
            Ok(watcher::Event::Apply(object)) => Seen::Put(kind, with_kind(kind, object.value)),
            Ok(watcher::Event::Delete(object)) => Seen::Gone(kind, Key::of(&object.value)),
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

/// The same, of an API server that hands objects over.
async fn take_over(caller: &Caller, kind: Kind, sender: &mpsc::Sender<Seen>) {
    let mut patience = Patience::default();
    while !sender.is_closed() {
        let Err(error) = list_and_follow(caller, kind, sender, &mut patience).await else { return };
        tracing::warn!(%error, "the KubeVirt model's watch of {kind:?} broke");
        tokio::time::sleep(patience.next().unwrap_or(Patience::MOST)).await;
    }
}

/// Goes on until nobody listens any more (`Ok`), or there is something that only a new list mends.
async fn list_and_follow(
    caller: &Caller,
    kind: Kind,
    sender: &mpsc::Sender<Seen>,
    patience: &mut Patience,
) -> Result<(), kube::Error> {
    let params = WatchParams { label_selector: kind.labels().map(str::to_owned), ..WatchParams::default() };
    let mut version = list(caller, kind, sender).await?;
    patience.reset();
    loop {
        let mut events = caller.events(kind, &params, &version).await?;
        while let Some(Event { kind: what, object }) = events.next().await {
            if what == "ERROR" {
                let why = text(&object["message"]).to_owned();
                return Err(kube::Error::ReadEvents(std::io::Error::other(why)));
            }
            version = text(&object["metadata"]["resourceVersion"]).to_owned();
            let seen = match what {
                "BOOKMARK" => continue,
                "DELETED" => Seen::Gone(kind, Key::of(&object)),
                _ => Seen::Put(kind, Arc::new(object)),
            };
            if sender.send(seen).await.is_err() {
                return Ok(());
            }
        }
    }
}

/// Lists, page by page. Gives the version of the list.
async fn list(caller: &Caller, kind: Kind, sender: &mpsc::Sender<Seen>) -> Result<String, kube::Error> {
    let mut params = ListParams::default().limit(PAGE);
    params.label_selector = kind.labels().map(str::to_owned);
    let mut listed = BTreeSet::new();
    loop {
        let page = caller.list(kind, "", &params).await?;
        for object in page["items"].as_array().into_iter().flatten() {
            let object = with_kind(kind, object.clone());
            listed.insert(Key::of(&object));
            // Whoever doesn't listen any more is met by the watch.
            let _ = sender.send(Seen::Put(kind, object)).await;
        }
        match text(&page["metadata"]["continue"]) {
            "" => {
                let _ = sender.send(Seen::Listed(kind, listed)).await;
                return Ok(text(&page["metadata"]["resourceVersion"]).to_owned());
            }
            next => params.continue_token = Some(next.to_owned()),
        }
    }
}

/// Items of a list carry no kind, and owners are named by it.
fn with_kind(kind: Kind, mut object: Value) -> Object {
    if object["kind"].is_null() {
        let resource = kind.resource();
        object["apiVersion"] = resource.api_version.into();
        object["kind"] = resource.kind.into();
    }
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
