//! Events of watches, read on a thread of their own.
//!
//! # Why
//! Reading is most of what observing a large cluster costs: thousands of events a minute, each some kilobytes of JSON. Here it is
//! done while others go on. Whoever takes events gets them in the order in which they came, and waits for one that isn't read yet,
//! so that nothing depends on how long reading takes.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use kube::api::WatchEvent;

use super::Error;
use super::lean::Lean;
use super::observe::{Kind, Seen, gone, put};
use super::wire;

/// Where watches bring the lines of their events.
#[derive(Clone)]
pub(super) struct Lines(Sender<(Kind, Bytes)>);

/// Where what was read comes out, in the order in which the lines came.
#[derive(Clone)]
pub(super) struct Read(Arc<Mutex<Receiver<Seen>>>);

impl Lines {
    /// Brings a line. If nobody reads any more, nobody observes.
    pub(super) fn bring(&self, kind: Kind, line: Bytes) {
        let _ = self.0.send((kind, line));
    }
}

impl Read {
    /// What the next line says, once it is read.
    pub(super) fn next(&self) -> Seen {
        let broken = || Seen::Failed(Error::Unreachable("the events of watches are read no more".to_owned()));
        self.0.lock().ok().and_then(|read| read.recv().ok()).unwrap_or_else(broken)
    }
}

/// Starts the thread. It ends when all `Lines` are dropped.
///
/// # Errors
/// No thread is to be had.
pub(super) fn start() -> Result<(Lines, Read), Error> {
    let (lines, brought) = channel::<(Kind, Bytes)>();
    let (sender, read) = channel();
    let work = move || {
        while let Ok((kind, line)) = brought.recv() {
            if sender.send(seen(kind, &line)).is_err() {
                return;
            }
        }
    };
    let thread = std::thread::Builder::new().name("reader".to_owned()).spawn(work);
    thread.map_err(|e| Error::Unreachable(format!("no thread to read the events of watches: {e}")))?;
    Ok((Lines(lines), Read(Arc::new(Mutex::new(read)))))
}

/// One event.
pub(super) fn event(line: &[u8]) -> Result<WatchEvent<Lean>, serde_json::Error> {
    serde_json::from_slice(line)
}

/// Whether a line is about an object. The API server writes the type first; bookmarks and errors, which are few, are for those who
/// watch.
pub(super) fn is_of_object(line: &[u8]) -> bool {
    const BEGIN: &[u8] = b"{\"type\":\"";
    let kind = line.strip_prefix(BEGIN).unwrap_or_default();
    [&b"ADDED\""[..], b"MODIFIED\"", b"DELETED\""].iter().any(|k| kind.starts_with(k))
}

/// The version of the object that a line is about.
pub(super) fn version(line: &[u8]) -> Option<String> {
    match event(line).ok()? {
        WatchEvent::Added(Lean(o)) | WatchEvent::Modified(Lean(o)) | WatchEvent::Deleted(Lean(o)) => {
            wire::version(&o)
        }
        WatchEvent::Bookmark(_) | WatchEvent::Error(_) => None,
    }
}

fn seen(kind: Kind, line: &[u8]) -> Seen {
    match event(line) {
        Ok(WatchEvent::Added(Lean(object)) | WatchEvent::Modified(Lean(object))) => put(kind, &object),
        Ok(WatchEvent::Deleted(Lean(object))) => gone(kind, &object),
        Ok(WatchEvent::Bookmark(_) | WatchEvent::Error(_)) => {
            Seen::Failed(Error::Unreachable("an event of a watch is of another type than it says".to_owned()))
        }
        Err(error) => Seen::Failed(Error::Unreachable(format!("an event of a watch can't be read: {error}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_brought_comes_out_in_its_order_and_what_cannot_be_read_is_said() {
        let (lines, read) = start().expect("a thread");
        let node = |kind: &str, name: &str| {
            format!(
                "{{\"type\":\"{kind}\",\"object\":{{\"metadata\":{{\"name\":\"{name}\",\"resourceVersion\":\"7\"}}}}}}\n"
            )
        };
        let texts = [
            node("ADDED", "w1"),
            node("DELETED", "w1"),
            node("MODIFIED", "w2"),
            "{\"type\":\"ADDED\"}".into(),
        ];
        for text in &texts {
            assert!(is_of_object(text.as_bytes()));
            lines.bring(Kind::Node, Bytes::from(text.clone()));
        }
        let words = |seen: Seen| match seen {
            Seen::Put(_) => "put".to_owned(),
            Seen::Gone(_, name) => format!("gone {}", name.name),
            Seen::Failed(error) => error.to_string(),
            Seen::Line | Seen::Listed(..) => "neither".to_owned(),
        };
        assert_eq!(words(read.next()), "put");
        assert_eq!(words(read.next()), "gone w1");
        assert_eq!(words(read.next()), "put");
        assert!(words(read.next()).contains("can't be read: missing field `object`"));
        drop(lines);
        assert!(words(read.next()).contains("read no more"));
        assert_eq!(version(texts[2].as_bytes()).as_deref(), Some("7"));
    }

    #[test]
    fn bookmarks_and_errors_are_not_of_objects() {
        for text in [r#"{"type":"BOOKMARK","object":{}}"#, r#"{"type":"ERROR","object":{}}"#, "", "{}"] {
            assert!(!is_of_object(text.as_bytes()), "{text}");
        }
    }
}
