//! A record that is refused for good: nothing further begins, and it is tried again with growing pauses.

use std::time::Duration;

use jiff::Timestamp;

use crate::cluster::Error;

/// Until the first further try. Each pause is twice the last.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// Whoever has mended it doesn't wait longer.
const LONGEST_PAUSE: Duration = Duration::from_secs(300);

/// A record that was refused.
#[derive(Debug)]
pub(super) struct Refused {
    /// How, at the last try.
    pub error: Error,
    /// When it was refused first.
    pub since: Timestamp,
    pause: Duration,
    again_at: Timestamp,
    /// Tried once more when everything else was over: then nobody waits any longer.
    pub is_tried_at_end: bool,
}

impl Refused {
    /// After another refusal. True if people haven't heard of it: it is the first, or asks for something else to be done.
    pub(super) fn again(before: Option<Self>, error: Error, now: Timestamp) -> (Self, bool) {
        let remedy = |e: &Error| match e {
            Error::Unwritable { remedy, .. } => Some(*remedy),
            _ => None,
        };
        let is_news = before.as_ref().is_none_or(|b| remedy(&b.error) != remedy(&error));
        let pause = before.as_ref().map_or(FIRST_PAUSE, |b| (b.pause * 2).min(LONGEST_PAUSE));
        let again_at = now.saturating_add(pause).unwrap_or(Timestamp::MAX);
        let since = before.as_ref().map_or(now, |b| b.since);
        let is_tried_at_end = before.is_some_and(|b| b.is_tried_at_end);
        (Self { error, since, pause, again_at, is_tried_at_end }, is_news)
    }

    /// Why nothing further begins.
    pub(super) fn reason(&self) -> String {
        format!("the campaign's record is refused: {}", self.error)
    }

    /// When it is tried again, if not now.
    pub(super) fn due(&self, is_end: bool, now: Timestamp) -> Option<Timestamp> {
        let is_last = is_end && !self.is_tried_at_end;
        (self.again_at > now && !is_last).then_some(self.again_at)
    }
}
