//! The engine's clock: the machine's, or the one that a simulated cluster runs by.

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

/// Reads the time. All of the engine's time comes from here.
#[derive(Debug, Clone, Copy)]
pub enum Clock {
    /// The machine's clock.
    Wall,
    /// Tokio's clock, counted from a base: virtual time.
    Virtual {
        /// What it read at `origin`.
        base: Timestamp,
        /// The moment of `base`.
        origin: Instant,
    },
}

impl Clock {
    /// A virtual clock that reads `base` now.
    pub fn starting_at(base: Timestamp) -> Self {
        Self::Virtual { base, origin: Instant::now() }
    }

    /// The time.
    pub fn now(&self) -> Timestamp {
        match self {
            Self::Wall => Timestamp::now(),
            Self::Virtual { base, origin } => {
                let elapsed = SignedDuration::try_from(origin.elapsed()).unwrap_or(SignedDuration::MAX);
                base.saturating_add(elapsed).unwrap_or(Timestamp::MAX)
            }
        }
    }

    /// Sleeps until a time.
    pub async fn sleep_until(&self, at: Timestamp) {
        let wait = std::time::Duration::try_from(at.duration_since(self.now())).unwrap_or_default();
        // Never no time at all: a wake-up that is due already must not spin the loop, in which virtual time stands still.
        let wait = wait.max(std::time::Duration::from_millis(1));
        // A wall clock may be set; an hour at most keeps the error small.
        tokio::time::sleep(wait.min(std::time::Duration::from_secs(3600))).await;
    }
}
