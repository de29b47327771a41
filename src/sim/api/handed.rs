//! Objects handed over as they are, where client and server are in one process: nobody writes a text for the other to read.

use std::sync::{Arc, Mutex};

use futures::stream::BoxStream;

use crate::sim::json::Value;

/// In a request's extensions: its body, in place of a text; the answer is then handed over, too, unless it is a refusal. In a
/// response's: the answer.
#[derive(Clone)]
pub(in crate::sim) struct Handed(pub Value);

/// An event of a watch.
pub(in crate::sim) struct Event {
    /// `ADDED`, `MODIFIED`, `DELETED`, `BOOKMARK`, `ERROR`.
    pub kind: &'static str,
    /// The object, or the `Status` of an error.
    pub object: Value,
}

/// In the response to a watch: its events, for the one who takes them first.
#[derive(Clone)]
pub(in crate::sim) struct Events(Arc<Mutex<Option<BoxStream<'static, Event>>>>);

impl Events {
    pub(super) fn of(events: BoxStream<'static, Event>) -> Self {
        Self(Arc::new(Mutex::new(Some(events))))
    }

    /// The events.
    pub(in crate::sim) fn take(&self) -> Option<BoxStream<'static, Event>> {
        self.0.lock().ok()?.take()
    }
}
