//! Watches: a stream of events from a revision on, with bookmarks, selectors, streaming lists and 410.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures::{Stream, StreamExt};
use tokio::time::Instant;

use super::handed::{Event, Events};
use super::route::Route;
use super::selector::Selector;
use super::service::Call;
use super::table::Presenter;
use crate::sim::json::{Value, json};
use crate::sim::store::{Change, ChangeKind, Refusal, Store};

/// How often an idle watch with bookmarks is told the newest revision (the API server: about once a minute).
const BOOKMARK_EVERY: Duration = Duration::from_secs(60);

/// A watch that has begun.
pub(super) struct Watch {
    store: Arc<Mutex<Store>>,
    route: Route,
    selector: Selector,
    presenter: Option<Presenter>,
    revision: u64,
    bookmarks: bool,
    next_bookmark: Instant,
    end: Option<Instant>,
    ready: VecDeque<Event>,
    over: bool,
}

impl Event {
    fn of(kind: &'static str, object: Value) -> Self {
        Self { kind, object }
    }
}

fn line(kind: &str, object: &Value) -> Bytes {
    // Most objects have room in it.
    let mut bytes = Vec::with_capacity(4096);
    bytes.extend_from_slice(format!("{{\"type\":{kind:?},\"object\":").as_bytes());
    // Writing to memory doesn't fail.
    drop(serde_json::to_writer(&mut bytes, object));
    bytes.extend_from_slice(b"}\n");
    bytes.into()
}

impl Watch {
    fn bookmark(&self, initial_end: bool) -> Event {
        let mut object = json!({
            "kind": self.route.resource.kind,
            "apiVersion": self.route.resource.api_version_of(&self.route.version),
            "metadata": {"resourceVersion": self.revision.to_string()},
        });
        if initial_end {
            object["metadata"]["annotations"] = json!({"k8s.io/initial-events-end": "true"});
        }
        Event::of("BOOKMARK", object)
    }

    /// An event as a line, in the form that the client asked for. Errors have but one.
    fn line(&mut self, Event { kind, object }: &Event) -> Bytes {
        match self.presenter.as_mut().filter(|_| *kind != "ERROR") {
            Some(presenter) => line(kind, &presenter.present_next(object)),
            None => line(kind, object),
        }
    }

    /// An event about an object, in the version that is asked for.
    fn about(&self, kind: &'static str, object: &Value) -> Event {
        Event::of(kind, self.route.in_version(object.clone()))
    }

    fn selects(&self, object: &Value) -> bool {
        let here = self.route.namespace.is_empty()
            || object["metadata"]["namespace"] == self.route.namespace.as_str();
        here && self.selector.matches(object)
    }

    /// What a watcher with this selector sees of a change: entering is ADDED, leaving is DELETED.
    fn event(&self, change: &Change) -> Option<Event> {
        let now = change.kind != ChangeKind::Deleted && self.selects(&change.object);
        let before = change.old.as_deref().is_some_and(|old| self.selects(old));
        let kind = match (before, now) {
            (false, false) => return None,
            (false, true) => "ADDED",
            (true, true) => "MODIFIED",
            (true, false) => "DELETED",
        };
        if let (true, false, ChangeKind::Modified, Some(old)) = (before, now, change.kind, &change.old) {
            // What leaves the selection is shown as it was in it.
            let mut last = (**old).clone();
            last["metadata"]["resourceVersion"] = json!(change.revision.to_string());
            return Some(self.about(kind, &last));
        }
        Some(self.about(kind, &change.object))
    }

    fn collect(&mut self) {
        let store = self.store.clone();
        let Ok(store) = store.lock() else {
            self.over = true;
            return;
        };
        match store.changes_since(&self.route.resource.name, self.revision) {
            Ok(changes) => {
                let events: Vec<Event> = changes.iter().filter_map(|c| self.event(c)).collect();
                self.ready.extend(events);
                self.revision = store.revision();
            }
            Err(refusal) => {
                self.ready.push_back(Event::of("ERROR", refusal.status()));
                self.over = true;
            }
        }
    }

    async fn next(mut self) -> Option<(Event, Self)> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some((event, self));
            }
            if self.over || self.end.is_some_and(|end| Instant::now() >= end) {
                return None;
            }
            // A kind that is served no more changes no more.
            let notify = self.store.lock().ok()?.notify_of(&self.route.resource.name).unwrap_or_default();
            let notified = notify.notified();
            tokio::pin!(notified);
            notified.as_mut().enable();
            self.collect();
            if !self.ready.is_empty() || self.over {
                continue;
            }
            let end = self.end;
            let until_end = async move {
                match end {
                    Some(end) => tokio::time::sleep_until(end).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                () = &mut notified => {}
                () = tokio::time::sleep_until(self.next_bookmark), if self.bookmarks => {
                    self.next_bookmark = Instant::now() + BOOKMARK_EVERY;
                    // Up to here it has seen all of its kind, whatever else has been written.
                    self.collect();
                    let bookmark = self.bookmark(false);
                    self.ready.push_back(bookmark);
                }
                () = until_end => {}
            }
        }
    }
}

/// Options that don't go together.
fn check(query: &std::collections::BTreeMap<String, String>) -> Result<(), Refusal> {
    let text = |key: &str| query.get(key).map_or("", String::as_str);
    let matching = text("resourceVersionMatch");
    let initial = query.contains_key("sendInitialEvents");
    let why = match (initial, matching) {
        (true, "NotOlderThan") | (false, "") => return Ok(()),
        (true, _) => "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan",
        (false, _) => "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided",
    };
    super::list::refuse(vec![("FieldValueForbidden", "resourceVersionMatch", format!("Forbidden: {why}"))])
}

/// A watch's events as lines.
pub(super) fn lines(watch: Watch) -> impl Stream<Item = Result<Bytes, std::io::Error>> + Send {
    futures::stream::unfold(watch, async |watch| {
        let (event, mut watch) = watch.next().await?;
        Some((Ok(watch.line(&event)), watch))
    })
}

/// A watch's events for a client that takes values.
pub(super) fn events(watch: Watch) -> Events {
    Events::of(futures::stream::unfold(watch, Watch::next).boxed())
}

/// Begins a watch.
///
/// # Errors
/// 400 for parameters that can't be read, 410 for a revision that is too old.
pub(super) fn begin(store: &Arc<Mutex<Store>>, route: &Route, call: &Call) -> Result<Watch, Refusal> {
    let text = |key: &str| call.query.get(key).map_or("", String::as_str);
    let flag = |key: &str| matches!(text(key), "true" | "1");
    let mut fields = text("fieldSelector").to_owned();
    if let Some(name) = &route.name {
        fields = format!("metadata.name={name}");
    }
    let selector = Selector::read(&route.resource, text("labelSelector"), &fields)?;
    let guard = store.lock().map_err(|_| Refusal::new(500, "InternalError", "the store is broken"))?;
    check(&call.query)?;
    let asked = text("resourceVersion");
    let from_now = asked.is_empty() || asked == "0";
    let revision = if from_now {
        guard.revision()
    } else {
        super::list::version(asked).map_err(|mut refusal| {
            refusal.code = 500;
            refusal.reason = String::new();
            refusal
        })?
    };
    let timeout = super::list::number(call.query.get("timeoutSeconds"))?.and_then(|t| u64::try_from(t).ok());
    let mut watch = Watch {
        store: store.clone(),
        route: route.clone(),
        selector,
        presenter: Presenter::of(
            &guard,
            route,
            &call.accept,
            call.query.get("includeObject").map(String::as_str),
        ),
        revision,
        bookmarks: flag("allowWatchBookmarks"),
        next_bookmark: Instant::now() + BOOKMARK_EVERY,
        end: timeout.map(|seconds| Instant::now() + Duration::from_secs(seconds)),
        ready: VecDeque::new(),
        over: false,
    };
    if let Err(ahead) = guard.reaches(revision)
        && flag("sendInitialEvents")
    {
        watch.ready.push_back(Event::of("ERROR", ahead.status()));
        watch.over = true;
    } else if flag("sendInitialEvents") || from_now {
        watch.revision = guard.revision();
        for object in guard.list(&route.resource.name) {
            if watch.selects(object) {
                let event = watch.about("ADDED", object);
                watch.ready.push_back(event);
            }
        }
        if flag("sendInitialEvents") {
            let bookmark = watch.bookmark(true);
            watch.ready.push_back(bookmark);
        }
    }
    drop(guard);
    Ok(watch)
}
