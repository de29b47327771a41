//! Time inside the embedded cluster: tokio's clock, counted from a base. Paused in simulations, so that waiting costs nothing.

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

/// Reads the time: `base` plus what tokio's clock has run since `origin`.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    base: Timestamp,
    origin: Instant,
}

impl Clock {
    /// A clock that reads `base` now.
    pub fn starting_at(base: Timestamp) -> Self {
        Self { base, origin: Instant::now() }
    }

    /// The time.
    pub fn now(&self) -> Timestamp {
        let elapsed = SignedDuration::try_from(self.origin.elapsed()).unwrap_or(SignedDuration::MAX);
        self.base.saturating_add(elapsed).unwrap_or(Timestamp::MAX)
    }

    /// The time in the API's form: RFC 3339 in whole seconds.
    pub fn now_text(&self) -> String {
        seconds_text(self.now())
    }
}

/// A time in the API's form.
pub fn seconds_text(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// Reads a time in the API's form.
pub fn parse_time(text: &str) -> Option<Timestamp> {
    text.parse().ok()
}
