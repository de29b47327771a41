//! Time inside the embedded cluster: made of tokio's clock, counted from a base. Paused in simulations, so that waiting costs
//! nothing; one to a thousand times as fast as real time when the cluster is served.
//!
//! # Why
//! Whatever the cluster itself does takes cluster time, and so must be measured and awaited here: [`Clock::instant`] instead
//! of tokio's `Instant::now`, [`Clock::sleep_until`] instead of tokio's. What belongs to a client (how long its watch lasts,
//! how often it hears a bookmark) stays tokio's time, which is the client's own.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

/// Reads the time: `base` plus what tokio's clock has run since `origin`, faster once the warm-up is over.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    base: Timestamp,
    origin: Instant,
    /// How long it runs as tokio's clock does, whatever its speed.
    warm_up: Duration,
    speed: u32,
}

impl Clock {
    /// A clock that reads `base` now and runs as tokio's does.
    pub fn starting_at(base: Timestamp) -> Self {
        Self { base, origin: Instant::now(), warm_up: Duration::ZERO, speed: 1 }
    }

    /// A clock that reads `base` now, runs as tokio's does for a while, and then `speed` times as fast.
    pub fn faster(base: Timestamp, warm_up: Duration, speed: u32) -> Self {
        Self { base, origin: Instant::now(), warm_up, speed: speed.max(1) }
    }

    /// The time.
    pub fn now(&self) -> Timestamp {
        let elapsed = SignedDuration::try_from(self.elapsed()).unwrap_or(SignedDuration::MAX);
        self.base.saturating_add(elapsed).unwrap_or(Timestamp::MAX)
    }

    /// The time in the API's form: RFC 3339 in whole seconds.
    pub fn now_text(&self) -> String {
        seconds_text(self.now())
    }

    /// A moment of cluster time, to measure and to plan by. Only this clock can wait for it.
    pub fn instant(&self) -> Instant {
        self.origin + self.elapsed()
    }

    /// Waits until a moment of cluster time.
    pub async fn sleep_until(&self, at: Instant) {
        tokio::time::sleep_until(self.real(at)).await;
    }

    /// Waits for a while of cluster time.
    pub async fn sleep(&self, time: Duration) {
        self.sleep_until(self.instant() + time).await;
    }

    /// Cluster time since the beginning.
    fn elapsed(&self) -> Duration {
        let real = self.origin.elapsed();
        if self.speed == 1 || real <= self.warm_up {
            return real;
        }
        self.warm_up + real.saturating_sub(self.warm_up) * self.speed
    }

    /// When tokio's clock shows what this one shows at `at`.
    fn real(&self, at: Instant) -> Instant {
        let elapsed = at.duration_since(self.origin);
        if self.speed == 1 || elapsed <= self.warm_up {
            return at;
        }
        self.origin + self.warm_up + elapsed.saturating_sub(self.warm_up) / self.speed
    }
}

/// Waits until a moment of cluster time; for ever if there is none.
pub(in crate::sim) async fn sleep_until(clock: Clock, at: Option<Instant>) {
    match at {
        Some(at) => clock.sleep_until(at).await,
        None => std::future::pending().await,
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

#[cfg(test)]
mod tests {
    use super::*;

    fn text(clock: &Clock) -> String {
        clock.now().to_string()
    }

    #[tokio::test(start_paused = true)]
    async fn a_fast_clock_warms_up_at_tokios_pace_and_then_runs_ahead() {
        let clock = Clock::faster(Timestamp::UNIX_EPOCH, Duration::from_secs(60), 10);
        tokio::time::advance(Duration::from_secs(60)).await;
        assert_eq!(text(&clock), "1970-01-01T00:01:00Z");
        tokio::time::advance(Duration::from_secs(6)).await;
        assert_eq!(text(&clock), "1970-01-01T00:02:00Z");
    }

    #[tokio::test(start_paused = true)]
    async fn waiting_is_in_cluster_time_also_across_the_end_of_the_warm_up() {
        let clock = Clock::faster(Timestamp::UNIX_EPOCH, Duration::from_secs(60), 10);
        let began = Instant::now();
        clock.sleep(Duration::from_secs(90)).await;
        // A minute as it is, and half a minute ten times as fast.
        assert_eq!(began.elapsed(), Duration::from_secs(63));
        assert_eq!(text(&clock), "1970-01-01T00:01:30Z");
        clock.sleep(Duration::from_secs(1000)).await;
        assert_eq!(began.elapsed(), Duration::from_secs(163));
    }

    #[tokio::test(start_paused = true)]
    async fn an_ordinary_clock_is_tokios_own() {
        let clock = Clock::starting_at(Timestamp::UNIX_EPOCH);
        clock.sleep(Duration::from_micros(1_500)).await;
        assert_eq!(clock.instant(), Instant::now());
    }
}
