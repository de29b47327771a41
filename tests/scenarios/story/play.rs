//! Plays a story on a cluster.

use std::time::Duration;

use kube::Client;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::act::{act, create, join};
use super::check::Check;
use super::guard::Guard;
use super::log::Log;
use super::target::Target;
use super::{NodeSpec, Nodes, Step, Story};

const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Which cluster a story is played on.
pub struct Arm {
    pub client: Client,
    /// How much longer than written to wait for what must come: a busy machine is slow.
    pub patience: u32,
    /// The cluster gives each namespace a service account, which its pods need.
    pub service_accounts: bool,
    /// Reads the cluster's clock.
    pub now: Box<dyn Fn() -> jiff::Timestamp>,
}

/// What a story stands on.
pub struct Stand {
    pub client: Client,
    pub name: String,
    pub nodes: usize,
    patience: u32,
    now: Box<dyn Fn() -> jiff::Timestamp>,
}

impl Stand {
    pub fn now(&self) -> String {
        (self.now)().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
    }

    /// The object that `of` names, or of those that it means the first by name, Ready ones first.
    pub async fn named(&self, of: &str) -> (Target, String) {
        let target = Target::read(of).expect("checked before");
        if let Some(name) = target.name.clone() {
            return (target, name);
        }
        let there = target.look(&self.client, &self.name).await;
        let ready = |o: &Value| {
            let conditions = o["status"]["conditions"].as_array().into_iter().flatten();
            conditions.into_iter().any(|c| c["type"] == "Ready" && c["status"] == "True")
        };
        let alive = there.iter().filter(|o| o["metadata"]["deletionTimestamp"].is_null());
        let first = alive.filter_map(|o| Some((!ready(o), o["metadata"]["name"].as_str()?))).min();
        let (_, name) = first.unwrap_or_else(|| panic!("{}: no {of}", self.name));
        let name = name.to_owned();
        (target, name)
    }

    /// Waits until a node is Ready and has no taint of the node controller.
    pub async fn until_ready(&self, node: &str) {
        let check = Check {
            of: format!("node/{node}"),
            filter: None,
            count: None,
            absent: false,
            has: Some(json!({
                "status": {"conditions": [{"type": "Ready", "status": "True"}]},
                "spec": {"taints": {"not": [{"key": "node.kubernetes.io/not-ready"}]}},
            })),
        };
        self.until(&[check], Duration::from_secs(60)).await.unwrap_or_else(|why| panic!("{why}"));
    }

    async fn faults(&self, checks: &[Check]) -> Option<String> {
        for check in checks {
            let target = Target::read(&check.of).expect("checked before");
            if let Some(why) = check.fault(&target.look(&self.client, &self.name).await) {
                return Some(why);
            }
        }
        None
    }

    async fn until(&self, checks: &[Check], within: Duration) -> Result<(), String> {
        let end = Instant::now() + within * self.patience;
        loop {
            let Some(why) = self.faults(checks).await else { return Ok(()) };
            if Instant::now() >= end {
                return Err(format!("not within {within:?}: {why}"));
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    async fn stays(&self, checks: &[Check], span: Duration) -> Result<(), String> {
        let end = Instant::now() + span;
        while Instant::now() < end {
            if let Some(why) = self.faults(checks).await {
                return Err(format!("didn't stay so for {span:?}: {why}"));
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        Ok(())
    }
}

/// Plays a story.
///
/// # Errors
/// The step and what didn't hold.
pub async fn play(story: &Story, arm: Arm) -> Result<(), String> {
    let mut stand = Stand {
        client: arm.client,
        name: story.name.clone(),
        nodes: 0,
        patience: arm.patience,
        now: arm.now,
    };
    set_up(&mut stand, story, arm.service_accounts).await?;
    let mut log = Log::of(&stand.client, &stand.name);
    for manifest in &story.manifests {
        create(&stand, manifest).await.map_err(|e| format!("manifests: {e}"))?;
    }
    let taken = Box::pin(steps(&mut stand, &mut log, &story.steps, "steps")).await;
    tear_down(&stand).await;
    taken
}

async fn set_up(stand: &mut Stand, story: &Story, service_accounts: bool) -> Result<(), String> {
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": stand.name}});
    create(stand, &namespace).await.map_err(|e| format!("namespace: {e}"))?;
    let each = match &story.nodes {
        Nodes::Count(count) => vec![NodeSpec::default(); *count],
        Nodes::Each(each) => each.clone(),
    };
    for node in &each {
        join(stand, node).await.map_err(|e| format!("nodes: {e}"))?;
    }
    if service_accounts {
        let account = "serviceaccount/default".to_owned();
        let check = Check { of: account, filter: None, count: None, has: Some(json!({})), absent: false };
        stand.until(&[check], Duration::from_secs(60)).await?;
    }
    Ok(())
}

/// Nodes go when their story is over, so that others aren't slowed down.
async fn tear_down(stand: &Stand) {
    let nodes = Target::read("node").expect("known").api(&stand.client, "");
    for n in 1..=stand.nodes {
        let _ = nodes.delete(&format!("{}-{n}", stand.name), &Default::default()).await;
    }
    let namespaces = Target::read("namespace").expect("known").api(&stand.client, "");
    let _ = namespaces.delete(&stand.name, &Default::default()).await;
}

async fn steps(stand: &mut Stand, log: &mut Log, steps: &[Step], path: &str) -> Result<(), String> {
    for (index, step) in steps.iter().enumerate() {
        let place = format!("{path}[{index}]");
        take(stand, log, step, &place)
            .await
            .map_err(|why| if why.starts_with("steps[") { why } else { format!("{place}: {why}") })?;
    }
    Ok(())
}

async fn take(stand: &mut Stand, log: &mut Log, step: &Step, place: &str) -> Result<(), String> {
    match step {
        Step::Wait(span) => tokio::time::sleep(span.0).await,
        Step::Expect(expect) => stand.until(&expect.that, expect.within.0).await?,
        Step::Stays(stays) => stand.stays(&stays.that, stays.span.0).await?,
        Step::Happened(happened) => {
            let end = Instant::now() + happened.within.0 * stand.patience;
            loop {
                match log.tell(&happened.in_order, &happened.without) {
                    Ok(()) => break,
                    Err(why) if Instant::now() >= end => return Err(why),
                    Err(_) => tokio::time::sleep(LOOK_EVERY).await,
                }
            }
        }
        Step::During(during) => {
            let mut guards = Vec::new();
            for check in &during.always {
                guards.push(Guard::set(&stand.client, &stand.name, check.clone()).await);
            }
            Box::pin(steps(stand, log, &during.steps, &format!("{place}.steps"))).await?;
            tokio::time::sleep(Duration::from_millis(500)).await;
            for guard in guards {
                guard.lift().map_err(|why| format!("didn't hold all the time: {why}"))?;
            }
        }
        Step::Refused(refused) => {
            let answer = act(stand, &refused.step).await;
            let Err(kube::Error::Api(status)) = answer else {
                return Err(format!("not refused: {answer:?}"));
            };
            let says = refused.says.as_deref().unwrap_or_default();
            if status.code != refused.code || !status.message.contains(says) {
                return Err(format!("refused with {} {}", status.code, status.message));
            }
        }
        other => act(stand, other).await.map_err(|e| e.to_string())?,
    }
    Ok(())
}
