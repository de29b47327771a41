//! Running hooks. Each run is a future that ends in success or in words; its timeout is put around it here.

mod exec;
mod http;
mod job;
mod patiently;
mod reboot;
mod wait_for;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use kube::Client;

use crate::plan::v1alpha1::{Hook, HookAction};
use crate::reconcile::{HookRunId, HookScope};

use super::Clock;

/// How long a played hook takes if the plan doesn't say.
const PLAYED: Duration = Duration::from_secs(1);

/// A run that has lost so much of its time before it is driven was begun by another driver.
const TAKEN_UP: Duration = Duration::from_secs(5);
/// Time for a look at what came of it.
const LOOK: Duration = Duration::from_secs(30);
/// What is left of a run that was given up is awaited so long.
const TIDYING: Duration = Duration::from_secs(60);

/// What a run is for.
#[derive(Clone)]
pub(super) struct Context {
    pub client: Client,
    pub clock: Clock,
    pub campaign: String,
    pub group: String,
    pub run: HookRunId,
    pub hook: Hook,
    pub boot_id: String,
    /// `exec` and `http` are played: on a simulated cluster nothing outside may be touched.
    pub play: bool,
    /// The last trouble with the API server, for the error if it never ends.
    pub trouble: Arc<Mutex<Option<String>>>,
}

impl Context {
    /// The node, for runs of a node.
    pub(super) fn node(&self) -> Option<&str> {
        match &self.run.scope {
            HookScope::Node(node) => Some(node),
            HookScope::Campaign | HookScope::Group(_) => None,
        }
    }

    /// The variables that every hook is told.
    pub(super) fn variables(&self) -> BTreeMap<String, String> {
        let attempt = self.run.attempt.to_string();
        let node = self.node().unwrap_or_default();
        let pairs = [
            ("VIRTROLL_NODE", node),
            ("VIRTROLL_CAMPAIGN", &self.campaign),
            ("VIRTROLL_GROUP", &self.group),
            ("VIRTROLL_HOOK", &self.hook.name),
            ("VIRTROLL_ATTEMPT", &attempt),
        ];
        pairs.into_iter().map(|(k, v)| (k.to_owned(), v.to_owned())).collect()
    }

    /// Replaces `${NODE}`, `${GROUP}`, `${CAMPAIGN}`, `${HOOK}` and `${ATTEMPT}`.
    pub(super) fn expand(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for (name, value) in self.variables() {
            text = text.replace(&format!("${{{}}}", name.trim_start_matches("VIRTROLL_")), &value);
        }
        text
    }

    /// Notes trouble that is borne.
    pub(super) fn remember(&self, error: &dyn std::error::Error) {
        tracing::info!(hook = self.hook.name, "{error}; trying again");
        if let Ok(mut trouble) = self.trouble.lock() {
            *trouble = Some(crate::cluster::chain(error));
        }
    }

    /// A name for the run's objects: the same for the same run, so that a second driver finds the first one's, and another
    /// for every other run, that of an earlier campaign of the same name included.
    pub(super) fn object_name(&self) -> String {
        let scope = match &self.run.scope {
            HookScope::Campaign => "campaign",
            HookScope::Group(group) => group,
            HookScope::Node(node) => node,
        };
        let clean = |text: &str| -> String {
            text.chars()
                .map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' })
                .collect()
        };
        let HookRunId { attempt, started_at, .. } = self.run;
        let full = format!("{}-{}-{}-{attempt}", clean(&self.campaign), clean(&self.hook.name), clean(scope));
        // FNV-1a: short, and stable over versions.
        let hash = format!("{full} {started_at}")
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325_u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3));
        format!("{}-{:08x}", full[..full.len().min(41)].trim_end_matches('-'), hash >> 32)
    }
}

/// Runs a hook to its end.
pub(super) async fn run(context: Context) -> Result<(), String> {
    let deadline = context.run.started_at + context.hook.timeout.signed();
    let timeout = context.hook.timeout.0;
    let left = Duration::try_from(deadline.duration_since(context.clock.now())).unwrap_or_default();
    // A run that is taken up late gets the time to be looked at: it may have ended well long ago.
    let is_taken_up = left + TAKEN_UP < timeout;
    let left = if is_taken_up { left.max(LOOK.min(timeout)) } else { left };
    match tokio::time::timeout(left, act(&context)).await {
        Ok(result) => result,
        Err(_) => {
            let left = tokio::time::timeout(TIDYING, tidy(&context)).await;
            let left =
                left.unwrap_or_else(|_| Err("what it left in the cluster could not be removed".to_owned()));
            let left = left.err().map(|e| format!("; {e}")).unwrap_or_default();
            let trouble = context.trouble.lock().ok().and_then(|t| t.clone());
            let trouble = trouble.map(|t| format!(" (last trouble: {t})")).unwrap_or_default();
            Err(format!("not done after {}{trouble}{left}", context.hook.timeout))
        }
    }
}

/// Ends what a run that was given up left in the cluster, so that the next try doesn't meet it.
async fn tidy(context: &Context) -> Result<(), String> {
    match context.hook.action() {
        Some(HookAction::Job(job)) => job::stop(context, job).await,
        Some(HookAction::Reboot(reboot)) => reboot::stop(context, reboot).await,
        Some(HookAction::Exec(_) | HookAction::Http(_) | HookAction::WaitFor(_)) | None => Ok(()),
    }
}

async fn act(context: &Context) -> Result<(), String> {
    match context.hook.action() {
        Some(HookAction::Exec(_) | HookAction::Http(_)) if context.play => {
            tokio::time::sleep(context.hook.expected.map_or(PLAYED, |e| e.0)).await;
            Ok(())
        }
        Some(HookAction::Exec(argv)) => exec::run(context, argv).await,
        Some(HookAction::Http(request)) => http::run(context, request).await,
        Some(HookAction::Job(job)) => job::run(context, job).await,
        Some(HookAction::WaitFor(wait)) => wait_for::run(context, wait).await,
        Some(HookAction::Reboot(reboot)) => reboot::run(context, reboot).await,
        None => Err("it names no exec, job, http, waitFor or reboot".to_owned()),
    }
}
