//! Before anything is touched: what the API server itself says to the evictions that a plan would ask for.
//!
//! # Why
//! Webhooks and budgets have the last word, and a model of them can be wrong. A server-side dry run is answered by the same
//! code as the real request and persists nothing.

use futures::StreamExt;
use jiff::Timestamp;
use kube::Client;

use super::Error;
use crate::cluster::{Actor, Observer, Scope};
use crate::inventory::{Inventory, ObjectName, Pod};
use crate::plan::v1alpha1::{MaintenancePlan, Surge};
use crate::reconcile::EvictionAnswer;
use crate::reconcile::drain::filter::{self, Verdict};
use crate::reconcile::drain::{DrainOptions, VmFate, fate};

/// Requests under way at once.
const AT_ONCE: usize = 16;

/// The answer to one dry-run eviction, and what was expected.
#[derive(Debug, Clone)]
pub struct Preflight {
    /// The node.
    pub node: String,
    /// The pod.
    pub pod: ObjectName,
    /// The VM behind it, and what the model expects of it.
    pub guest: Option<(ObjectName, VmFate)>,
    /// What the plan does before it asks, or instead, so that a budget's refusal now isn't the last word.
    pub by_plan: Option<String>,
    /// What the API server said.
    pub answer: EvictionAnswer,
}

/// Asks for each pod that a plan's drains would evict, by node and name. Nothing is changed.
///
/// # Errors
/// A plan that doesn't fit the cluster, a cluster that can't be observed.
pub async fn preflight(
    client: &Client,
    plan: &MaintenancePlan,
    now: Timestamp,
) -> Result<Vec<Preflight>, Error> {
    let mut inventory = Inventory::new();
    let workloads = plan.spec.drain.surge == Surge::SingleReplica;
    let scope = Scope { workloads, ..Scope::default() };
    let _observer = Observer::start(client, scope, &mut inventory).await?;
    let groups = super::prepare(plan, &inventory)?;
    let options = DrainOptions::of_plan(&plan.spec.drain, &plan.spec.virtual_machines);
    let actor = Actor::new(client.clone(), true);
    let mut asked = Vec::new();
    for node in groups.iter().flat_map(|g| &g.nodes) {
        for pod in inventory.pods_on(node) {
            if !matches!(filter::judge(pod, &inventory, &options, now), Verdict::Evict(_)) {
                continue;
            }
            let vmi = inventory.vmi_of(pod).filter(|_| pod.is_launcher());
            let guest = vmi.map(|vmi| (vmi.name.clone(), fate(&inventory, pod)));
            let by_plan = by_plan(&options, &inventory, pod);
            asked.push((node.clone(), pod.name.clone(), pod.uid.clone(), guest, by_plan));
        }
    }
    asked.sort_by(|a, b| (&a.0, &a.1).cmp(&(&b.0, &b.1)));
    let requests = asked.into_iter().map(|(node, pod, uid, guest, by_plan)| {
        let actor = actor.clone();
        async move {
            let answer = actor.evict(&pod, &uid, None).await;
            Preflight { node, pod, guest, by_plan, answer }
        }
    });
    Ok(futures::stream::iter(requests).buffered(AT_ONCE).collect().await)
}

/// What the plan does about a budget that keeps a pod.
fn by_plan(options: &DrainOptions, inventory: &Inventory, pod: &Pod) -> Option<String> {
    if options.surges(inventory, pod) {
        return Some("the plan's drain.surge gives its workload a second replica first".to_owned());
    }
    let over = options.override_of(pod)?;
    Some(format!("the plan's drain.overrides lets it be deleted past that after {}", over.after))
}
