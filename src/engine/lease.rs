//! Who drives: the Lease is taken before the first act, renewed while the campaign runs, and given back at its end.

use std::time::Duration;

use kube::Client;
use tokio::time::{Instant, timeout};

use super::{Clock, Error, Sink};
use crate::cluster::{self, LEASE_SECONDS, RENEW_EVERY};
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
    /// Nobody else may have taken it before.
    safe_until: Instant,
}

fn lasts() -> Duration {
    Duration::from_secs(LEASE_SECONDS.unsigned_abs().into())
}

impl Lease {
    /// Takes the Lease of a campaign. One that somebody else holds is watched: if its holder gives a sign of life, that is
    /// an error at once; if not (it was killed), it runs out and is taken over.
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
        let mut seen = None;
        loop {
            let asked = Instant::now();
            match cluster::hold(client, campaign, driver, clock.now()).await {
                Ok(()) => {
                    return Ok(Self {
                        client: client.clone(),
                        clock,
                        campaign: campaign.to_owned(),
                        driver: driver.to_owned(),
                        renew_at: asked + RENEW_EVERY,
                        safe_until: asked + lasts(),
                    });
                }
                Err(cluster::Error::Held { campaign, holder, renewed }) => {
                    let sign_of_life = seen.is_some_and(|seen| seen != renewed);
                    if sign_of_life {
                        return Err(cluster::Error::Held { campaign, holder, renewed }.into());
                    }
                    if seen.replace(renewed).is_none() {
                        let text = format!(
                            "campaign {campaign} was being driven by {holder}; waiting at most {LEASE_SECONDS} s for a sign of \
                             life, then taking over"
                        );
                        sink(Event { at: clock.now(), kind: EventKind::Warning { text } });
                    }
                }
                // Of two that reach for it at once, one meets the other's write.
                Err(cluster::Error::Conflict(_)) => {}
                Err(error) => return Err(error.into()),
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
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
        let asked = Instant::now();
        let renewing = cluster::hold(&self.client, &self.campaign, &self.driver, self.clock.now());
        // No answer is trouble, too: the loop must not stand still behind it.
        let trouble = match timeout(RENEW_EVERY, renewing).await {
            Ok(Ok(())) => {
                self.renew_at = asked + RENEW_EVERY;
                self.safe_until = asked + lasts();
                return Ok(None);
            }
            Ok(Err(held @ cluster::Error::Held { .. })) => return Err(held.into()),
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
        cluster::release(&self.client, &self.campaign, &self.driver).await;
    }
}
