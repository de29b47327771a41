//! Events of watches, as lines that are read when they are taken in.
//!
//! # Why
//! Reading is most of what observing a large cluster costs: thousands of events a minute, each some kilobytes of JSON. Whoever watches
//! brings the lines as they are, and whoever takes them in reads them, on a thread where nobody waits for that.

use kube::api::WatchEvent;

use super::Error;
use super::lean::Lean;
use super::observe::{Kind, Seen, gone, put};
use super::wire;

/// One event.
pub(super) fn read(line: &[u8]) -> Result<WatchEvent<Lean>, serde_json::Error> {
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
    match read(line).ok()? {
        WatchEvent::Added(Lean(o)) | WatchEvent::Modified(Lean(o)) | WatchEvent::Deleted(Lean(o)) => {
            wire::version(&o)
        }
        WatchEvent::Bookmark(_) | WatchEvent::Error(_) => None,
    }
}

/// What an event says.
pub(super) fn says(kind: Kind, line: &[u8]) -> Seen {
    match read(line) {
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
    fn what_an_event_says_and_that_it_cannot_be_read() {
        let node = |kind: &str, name: &str| {
            format!(
                "{{\"type\":\"{kind}\",\"object\":{{\"metadata\":{{\"name\":\"{name}\",\"resourceVersion\":\"7\"}}}}}}\n"
            )
        };
        let words = |text: &str| {
            assert!(is_of_object(text.as_bytes()), "{text}");
            match says(Kind::Node, text.as_bytes()) {
                Seen::Put(_) => "put".to_owned(),
                Seen::Gone(_, name) => format!("gone {}", name.name),
                Seen::Failed(error) => error.to_string(),
                Seen::Line(..) | Seen::Listed(..) => "neither".to_owned(),
            }
        };
        assert_eq!(words(&node("ADDED", "w1")), "put");
        assert_eq!(words(&node("MODIFIED", "w1")), "put");
        assert_eq!(words(&node("DELETED", "w1")), "gone w1");
        assert!(words("{\"type\":\"ADDED\"}").contains("can't be read: missing field `object`"));
        assert_eq!(version(node("ADDED", "w1").as_bytes()).as_deref(), Some("7"));
    }

    #[test]
    fn bookmarks_and_errors_are_not_of_objects() {
        for text in [r#"{"type":"BOOKMARK","object":{}}"#, r#"{"type":"ERROR","object":{}}"#, "", "{}"] {
            assert!(!is_of_object(text.as_bytes()), "{text}");
        }
    }
}
