//! Running hooks. Each run is a future that ends in success or in words; its timeout is put around it here.

mod exec;
mod http;
mod job;
mod reboot;
mod wait_for;

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use kube::Client;

use crate::plan::v1alpha1::{Hook, HookAction};
use crate::reconcile::{HookRunId, HookScope};

use super::Clock;

/// How long a played hook takes if the plan doesn't say.
const PLAYED: Duration = Duration::from_secs(1);

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
    pub started_at: Timestamp,
    /// `exec` and `http` are played: on a simulated cluster nothing outside may be touched.
    pub play: bool,
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

    /// A name for the run's objects: the same for the same run, so that a second driver finds the first one's.
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
        let full = format!(
            "{}-{}-{}-{}",
            clean(&self.campaign),
            clean(&self.hook.name),
            clean(scope),
            self.run.attempt
        );
        if full.len() <= 50 {
            return full;
        }
        // FNV-1a: short, stable over versions; the full text stays in labels.
        let hash = full
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325_u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3));
        format!("{}-{:08x}", full[..41].trim_end_matches('-'), hash >> 32)
    }
}

/// Runs a hook to its end.
pub(super) async fn run(context: Context) -> Result<(), String> {
    let deadline = context.started_at + context.hook.timeout.signed();
    let left = Duration::try_from(deadline.duration_since(context.clock.now())).unwrap_or_default();
    match tokio::time::timeout(left, act(&context)).await {
        Ok(result) => result,
        Err(_) => Err(format!("not done after {}", context.hook.timeout)),
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
