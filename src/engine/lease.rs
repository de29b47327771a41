//! Who drives: the Lease is taken before the first act, renewed while the campaign runs, and given back at its end.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use kube::Client;
use tokio::time::{Instant, timeout};

use super::{Clock, Error, Sink};
use crate::cluster::{self, Claim, LEASE_SECONDS, RENEW_EVERY};
use crate::journal::{Event, EventKind};

/// Between looks at a Lease that somebody else holds, and between tries to renew one after trouble.
const LOOK_AGAIN: Duration = Duration::from_secs(2);

/// A Lease that this driver holds.
pub(super) struct Lease {
    client: Client,
    clock: Clock,
    campaign: String,
    driver: String,
    renew_at: Instant,
    /// Nobody else may have taken it before, by the monotonic clock …
    safe_until: Instant,
    /// … and by the other one, which goes on while a machine sleeps.
    safe_until_wall: Timestamp,
}

fn lasts() -> Duration {
    Duration::from_secs(LEASE_SECONDS.unsigned_abs().into())
}

impl Lease {
    /// Takes the Lease of a campaign. One that somebody else holds is watched: if its holder gives a sign of life, that is
    /// an error at once; if not (it was killed), it is taken over once it has not changed for its whole duration, by this
    /// machine's clock: the other's may be wrong.
    ///
    /// # Errors
    /// [`cluster::Error::Held`], or a refusal in words.
    pub(super) async fn take(
        client: &Client,
        clock: Clock,
        campaign: &str,
        driver: &str,
        sink: Sink<'_>,
    ) -> Result<Self, Error> {
        let mut lease = Self {
            client: client.clone(),
            clock,
            campaign: campaign.to_owned(),
            driver: driver.to_owned(),
            renew_at: Instant::now(),
            safe_until: Instant::now(),
            safe_until_wall: Timestamp::MIN,
        };
        let mut seen: Option<(Option<Timestamp>, Instant)> = None;
        loop {
            let over = seen.filter(|(_, since)| since.elapsed() >= lasts()).and_then(|(renewed, _)| renewed);
            match lease.hold(Claim::Take(over)).await {
                Ok(()) => return Ok(lease),
                Err(cluster::Error::Held { campaign, holder, renewed }) => match seen {
                    Some((seen, _)) if seen != renewed => {
                        return Err(cluster::Error::Held { campaign, holder, renewed }.into());
                    }
                    Some(_) => {}
                    None => {
                        seen = Some((renewed, Instant::now()));
                        let text = format!(
                            "campaign {campaign} was being driven by {holder}; waiting at most {LEASE_SECONDS} s for a sign of \
                             life, then taking over"
                        );
                        sink(Event { at: clock.now(), kind: EventKind::Warning { text } });
                    }
                },
                // Of two that reach for it at once, one meets the other's write.
                Err(cluster::Error::Conflict(_)) => {}
                Err(error) => return Err(error.into()),
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    async fn hold(&mut self, claim: Claim) -> Result<(), cluster::Error> {
        let (asked, now) = (Instant::now(), self.clock.now());
        cluster::hold(&self.client, &self.campaign, &self.driver, now, claim).await?;
        self.renew_at = asked + RENEW_EVERY;
        self.safe_until = asked + lasts();
        self.safe_until_wall = now + SignedDuration::from_secs(LEASE_SECONDS.into());
        Ok(())
    }

    /// False if somebody else may have taken over since the last renewal (this process was stopped, or its machine slept):
    /// nothing may be done before another one.
    pub(super) fn is_safe(&self) -> bool {
        Instant::now() < self.safe_until && self.clock.now() < self.safe_until_wall
    }

    /// Sleeps until the Lease has to be renewed.
    pub(super) async fn due(&self) {
        tokio::time::sleep_until(self.renew_at).await;
    }

    /// Renews it. An API server that doesn't answer is borne, with a warning, as long as nobody else can have taken it.
    ///
    /// # Errors
    /// It is lost: somebody else holds it, or might.
    pub(super) async fn renew(&mut self) -> Result<Option<String>, Error> {
        // No answer is trouble, too: the loop must not stand still behind it.
        let trouble = match timeout(RENEW_EVERY, self.hold(Claim::Renew)).await {
            Ok(Ok(())) => return Ok(None),
            Ok(Err(lost @ (cluster::Error::Held { .. } | cluster::Error::Lost { .. }))) => {
                return Err(lost.into());
            }
            Ok(Err(error)) => error,
            Err(_) => cluster::Error::Unreachable(format!("no answer in {} s", RENEW_EVERY.as_secs())),
        };
        if Instant::now() + LOOK_AGAIN >= self.safe_until {
            return Err(trouble.into());
        }
        self.renew_at = Instant::now() + LOOK_AGAIN;
        Ok(Some(format!("can't renew the lease of {} (trying again): {trouble}", self.campaign)))
    }

    /// Gives it back, so that the next driver needn't wait.
    pub(super) async fn release(self) {
        let releasing = cluster::release(&self.client, &self.campaign, &self.driver);
        // It runs out by itself if nobody answers.
        let _ = timeout(RENEW_EVERY, releasing).await;
    }
}
