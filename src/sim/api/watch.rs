//! Watches: a stream of events from a revision on, with bookmarks, selectors, streaming lists and 410.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures::Stream;
use tokio::time::Instant;

use super::route::Route;
use super::selector::Selector;
use super::service::Call;
use super::table::Presenter;
use crate::sim::json::{Value, json};
use crate::sim::store::{Change, ChangeKind, Refusal, Store};

/// How often an idle watch with bookmarks is told the newest revision (the API server: about once a minute).
const BOOKMARK_EVERY: Duration = Duration::from_secs(60);

struct Watch {
    store: Arc<Mutex<Store>>,
    route: Route,
    selector: Selector,
    presenter: Option<Presenter>,
    revision: u64,
    bookmarks: bool,
    next_bookmark: Instant,
    end: Option<Instant>,
    ready: VecDeque<Bytes>,
    over: bool,
}

fn line(kind: &str, object: &Value) -> Bytes {
    let mut bytes = format!("{{\"type\":{kind:?},\"object\":").into_bytes();
    // Written piece by piece: the object isn't copied. Writing to memory doesn't fail.
    let _ = serde_json::to_writer(&mut bytes, object);
    bytes.extend_from_slice(b"}\n");
    bytes.into()
}

impl Watch {
    fn bookmark(&mut self, initial_end: bool) -> Bytes {
        let mut object = json!({
            "kind": self.route.resource.kind,
            "apiVersion": self.route.resource.api_version_of(&self.route.version),
            "metadata": {"resourceVersion": self.revision.to_string()},
        });
        if initial_end {
            object["metadata"]["annotations"] = json!({"k8s.io/initial-events-end": "true"});
        }
        self.shown("BOOKMARK", &object)
    }

    fn object_line(&mut self, kind: &str, object: &Value) -> Bytes {
        // A copy is needed only where versions may differ.
        if self.route.resource.is_custom {
            let object = self.route.in_version(object.clone());
            self.shown(kind, &object)
        } else {
            self.shown(kind, object)
        }
    }

    /// In the form that the client asked for.
    fn shown(&mut self, kind: &str, object: &Value) -> Bytes {
        match &mut self.presenter {
            Some(presenter) => line(kind, &presenter.present_next(object)),
            None => line(kind, object),
        }
    }

    fn selects(&self, object: &Value) -> bool {
        let here = self.route.namespace.is_empty()
            || object["metadata"]["namespace"] == self.route.namespace.as_str();
        here && self.selector.matches(object)
    }

    /// What a watcher with this selector sees of a change: entering is ADDED, leaving is DELETED.
    fn event(&mut self, change: &Change) -> Option<Bytes> {
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
            return Some(self.object_line(kind, &last));
        }
        Some(self.object_line(kind, &change.object))
    }

    fn collect(&mut self) {
        let store = self.store.clone();
        let Ok(store) = store.lock() else {
            self.over = true;
            return;
        };
        match store.changes_since(&self.route.resource.name, self.revision) {
            Ok(changes) => {
                let events: Vec<Bytes> = changes.iter().filter_map(|c| self.event(c)).collect();
                self.ready.extend(events);
                self.revision = store.revision();
            }
            Err(refusal) => {
                self.ready.push_back(line("ERROR", &refusal.status()));
                self.over = true;
            }
        }
    }

    async fn next(mut self) -> Option<(Result<Bytes, std::io::Error>, Self)> {
        loop {
            if let Some(bytes) = self.ready.pop_front() {
                return Some((Ok(bytes), self));
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

/// Begins a watch.
///
/// # Errors
/// 400 for parameters that can't be read, 410 for a revision that is too old.
pub(super) fn begin(
    store: &Arc<Mutex<Store>>,
    route: &Route,
    call: &Call,
) -> Result<impl Stream<Item = Result<Bytes, std::io::Error>> + Send + use<>, Refusal> {
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
        watch.ready.push_back(line("ERROR", &ahead.status()));
        watch.over = true;
    } else if flag("sendInitialEvents") || from_now {
        watch.revision = guard.revision();
        for object in guard.list(&route.resource.name) {
            if watch.selects(object) {
                let line = watch.object_line("ADDED", object);
                watch.ready.push_back(line);
            }
        }
        if flag("sendInitialEvents") {
            let bookmark = watch.bookmark(true);
            watch.ready.push_back(bookmark);
        }
    }
    drop(guard);
    Ok(futures::stream::unfold(watch, Watch::next))
}
