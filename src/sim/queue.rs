//! A queue of work, ordered by due time and then by arrival, each piece of work in it at most once.

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;

use tokio::time::Instant;

/// What is due when.
pub(in crate::sim) struct Queue<W> {
    by_time: BTreeMap<(Instant, u64), W>,
    /// Where each piece of work stands. Only ever asked for one.
    place: HashMap<W, (Instant, u64)>,
    arrivals: u64,
}

impl<W: Eq + Hash + Clone> Queue<W> {
    /// An empty queue.
    pub fn new() -> Self {
        Self { by_time: BTreeMap::new(), place: HashMap::new(), arrivals: 0 }
    }

    /// Puts work in; work that is queued already keeps the earlier time.
    pub fn put(&mut self, work: W, at: Instant) {
        if let Some(place) = self.place.get(&work) {
            if place.0 <= at {
                return;
            }
            self.by_time.remove(&place.clone());
        }
        self.arrivals += 1;
        self.by_time.insert((at, self.arrivals), work.clone());
        self.place.insert(work, (at, self.arrivals));
    }

    /// Takes out the first that is due.
    pub fn due(&mut self, now: Instant) -> Option<W> {
        let (&(at, arrival), _) = self.by_time.first_key_value()?;
        if at > now {
            return None;
        }
        let work = self.by_time.remove(&(at, arrival))?;
        self.place.remove(&work);
        Some(work)
    }

    /// When the next is due.
    pub fn next(&self) -> Option<Instant> {
        self.by_time.first_key_value().map(|((at, _), _)| *at)
    }
}
