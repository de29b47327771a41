//! Where the embedded cluster answers otherwise than the real API server, on purpose. Each is told in
//! `docs/embedded-cluster.md`, too.

use serde_json::Value;

/// A departure: the answers that it covers, and why it is there.
pub struct Departure {
    pub reason: &'static str,
    /// Part of the story's name; empty: any.
    pub story: &'static str,
    /// Part of the request; empty: any.
    pub request: &'static str,
    /// The place in the answer begins so.
    pub place: &'static str,
    /// The real answer has this in it there; empty: any.
    pub real: &'static str,
}

impl Departure {
    pub fn covers(&self, story: &str, request: &str, place: &str, real: &Value, _ours: &Value) -> bool {
        story.contains(self.story)
            && request.contains(self.request)
            && place.starts_with(self.place)
            && real.to_string().contains(self.real)
    }
}

pub const DEPARTURES: &[Departure] = &[];
