//! Hooks: what is run at which point.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Duration;

/// Something to run at a point of the campaign.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Hook {
    /// Unique name.
    pub name: String,
    /// When.
    pub at: HookPoint,
    /// Only for these groups. Default: all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<String>,
    /// A command on the machine that runs virtroll, without a shell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exec: Option<ExecHook>,
    /// A Job in the cluster; at node points pinned to the node and tolerating its cordon.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<JobHook>,
    /// An HTTP request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http: Option<HttpHook>,
    /// Waits for a condition or a value of an object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wait_for: Option<WaitForHook>,
    /// Reboots the node; done when its bootID has changed and it is Ready again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reboot: Option<RebootHook>,
    /// How long one try may take. Default: 10m.
    #[serde(default = "default_timeout")]
    pub timeout: Duration,
    /// Further tries after a failed one. Default: 0.
    #[serde(default)]
    pub retries: u32,
    /// Wait before the second try; doubles with each further one, up to 5m. Default: 10s.
    #[serde(default = "default_backoff")]
    pub backoff: Duration,
    /// How long it usually takes, for the forecast.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected: Option<Duration>,
}

fn default_timeout() -> Duration {
    Duration::from_secs(600)
}

fn default_backoff() -> Duration {
    Duration::from_secs(10)
}

/// What a hook does: exactly one of its five keys.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum HookAction<'a> {
    /// `exec`.
    Exec(&'a ExecHook),
    /// `job`.
    Job(&'a JobHook),
    /// `http`.
    Http(&'a HttpHook),
    /// `waitFor`.
    WaitFor(&'a WaitForHook),
    /// `reboot`.
    Reboot(&'a RebootHook),
}

impl HookAction<'_> {
    /// True if a run begun by another driver can be taken up: its result can be seen from outside.
    pub fn can_be_taken_up(self) -> bool {
        match self {
            Self::Job(_) | Self::WaitFor(_) | Self::Reboot(_) => true,
            Self::Exec(_) | Self::Http(_) => false,
        }
    }
}

impl Hook {
    /// What it does; `None` if the hook names no kind (validation refuses that).
    pub fn action(&self) -> Option<HookAction<'_>> {
        let exec = self.exec.as_ref().map(HookAction::Exec);
        let job = || self.job.as_ref().map(HookAction::Job);
        let http = || self.http.as_ref().map(HookAction::Http);
        let wait_for = || self.wait_for.as_ref().map(HookAction::WaitFor);
        exec.or_else(job)
            .or_else(http)
            .or_else(wait_for)
            .or_else(|| self.reboot.as_ref().map(HookAction::Reboot))
    }

    /// True if it applies to that group.
    pub fn applies_to(&self, group: &str) -> bool {
        self.groups.is_empty() || self.groups.iter().any(|g| g == group)
    }
}

/// The nine points.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub enum HookPoint {
    /// Once, before the first node.
    BeforeCampaign,
    /// Once for each group, before its first node.
    BeforeGroup,
    /// For each node: cordoned, nothing has left yet.
    PreDrain,
    /// For each node: drained and safe to power off.
    Maintenance,
    /// For each node: verified, still cordoned.
    PreUncordon,
    /// For each node: uncordoned.
    PostUncordon,
    /// Once for each group, when its last node is through (before its soak).
    AfterGroup,
    /// Once, when all groups are through.
    AfterCampaign,
    /// For each node that has failed.
    OnFailure,
}

/// The command and its arguments.
pub type ExecHook = Vec<String>;

/// A Job with one container.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct JobHook {
    /// Container image.
    pub image: String,
    /// Entrypoint, if not the image's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub command: Vec<String>,
    /// Arguments.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<String>,
    /// Environment, beside virtroll's own variables.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
    /// Namespace. Default: `kube-system`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Service account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_account_name: Option<String>,
    /// Runs with all privileges in the host's process, network and IPC namespaces, the host's root at `/host`.
    #[serde(default)]
    pub privileged: bool,
}

/// An HTTP request.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HttpHook {
    /// Where to. `${NODE}`, `${GROUP}`, `${CAMPAIGN}`, `${HOOK}` and `${ATTEMPT}` are replaced, here and in the body.
    pub url: String,
    /// Method. Default: POST.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// Headers.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    /// Body.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
    /// Accepted answers. Default: 200 to 299.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub expect_status: Vec<u16>,
}

/// Waits for a condition or a value of an object.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct WaitForHook {
    /// Such as `apps/v1`. Default: `v1`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api_version: Option<String>,
    /// Such as `Deployment`. Default: `Node`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Namespace, for kinds that have one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Name; `${NODE}` is replaced. Default: the node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// A condition, such as `Ready` or `Available=True`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub condition: Option<String>,
    /// A JSONPath as kubectl takes it, such as `{.status.phase}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub json_path: Option<String>,
    /// The value that the JSONPath must give. Default: any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
}

/// Reboots the node.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RebootHook {
    /// How. Default: Pod.
    #[serde(default)]
    pub by: RebootBy,
    /// Image of the pod; it needs `nsenter`. Default: `busybox:1.37`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// Command of the pod. Default: `nsenter` into the host's namespaces, then `systemctl reboot`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub command: Vec<String>,
    /// Namespace of the pod. Default: `kube-system`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
}

/// Who reboots.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub enum RebootBy {
    /// A privileged pod on the node.
    #[default]
    Pod,
    /// An agent of yours on the node, which watches for the annotation `virtroll.dev/reboot-requested`.
    Annotation,
}
