//! What one decision costs, and how that grows with the cluster: `cargo bench --bench decide`.
//!
//! The figure that counts is the ratio between two sizes in the same run: tenfold the nodes, pods and VMs should cost about
//! tenfold.

#![allow(clippy::print_stdout, reason = "its figures are what it is for")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use virtroll::inventory::{Inventory, Node, ObjectName, Owner, Pod, PodPhase, Readiness};
use virtroll::plan::v1alpha1::{CampaignNode, MaintenanceCampaignStatus, MaintenancePlanSpec};
use virtroll::reconcile::{Ledger, NodePhase, NodeState, STATE_ANNOTATION, View, decide};
use virtroll::schedule;

const PLAN: &str = "apiVersion: virtroll.dev/v1alpha1\nkind: MaintenancePlan\nmetadata: {name: p}\nspec:\n  \
    concurrency: {maxUnavailable: 10%, maxUnavailablePerZone: 20%}\n  groups: [{name: all, nodes: {selector: {}}}]\n";

const PODS_PER_NODE: usize = 30;

struct Campaign {
    plan: MaintenancePlanSpec,
    inventory: Inventory,
    status: MaintenanceCampaignStatus,
}

fn node(n: usize, of: usize, now: Timestamp) -> Node {
    let name = format!("worker-{n:05}");
    let zone = BTreeMap::from([("topology.kubernetes.io/zone".to_owned(), format!("z{}", n % 5))]);
    let mut node = Node { name, labels: zone, readiness: Readiness::Ready, ..Node::default() };
    // Half of the campaign is through, a tenth of all nodes is draining.
    if (of / 2..of / 2 + of / 10).contains(&n) {
        let state = NodeState {
            campaign: "p-1".into(),
            group: "all".into(),
            wave: 1,
            phase: NodePhase::Draining,
            since: Some(now),
            started_at: Some(now),
            ..NodeState::default()
        };
        node.unschedulable = true;
        node.annotations.insert(STATE_ANNOTATION.into(), serde_json::to_string(&state).unwrap_or_default());
    }
    node
}

fn campaign(nodes: usize, now: Timestamp) -> Campaign {
    let plan = virtroll::plan::load("plan.yaml", PLAN).unwrap_or_else(|e| panic!("{}", e.render())).plan.spec;
    let mut inventory = Inventory::new();
    let mut status = MaintenanceCampaignStatus { started_at: Some(now), ..Default::default() };
    for n in 0..nodes {
        let node = node(n, nodes, now);
        for p in 0..PODS_PER_NODE {
            inventory.put_pod(Pod {
                name: ObjectName::new(format!("team-{}", p % 10), format!("pod-{n}-{p}")),
                uid: format!("uid-{n}-{p}"),
                node: Some(node.name.clone()),
                phase: PodPhase::Running,
                ready: true,
                controller: Some(Arc::new(Owner { kind: "ReplicaSet".into(), ..Owner::default() })),
                ..Pod::default()
            });
        }
        if n < nodes / 2 {
            let record = CampaignNode {
                name: node.name.clone(),
                group: "all".into(),
                wave: 1,
                phase: NodePhase::Done.name().into(),
                started_at: Some(now),
                finished_at: Some(now),
                ..CampaignNode::default()
            };
            status.nodes.push(record.into());
        }
        inventory.put_node(node);
    }
    Campaign { plan, inventory, status }
}

/// The best of some rounds.
fn measure(campaign: &Campaign, now: Timestamp) -> (Duration, usize) {
    let groups = schedule::resolve(&campaign.plan, &campaign.inventory).unwrap_or_default();
    let ledger = Ledger::default();
    let guide = schedule::Guide::default();
    let view = View {
        inventory: &campaign.inventory,
        plan: &campaign.plan,
        campaign: "p-1",
        guide: &guide,
        groups: &groups,
        status: &campaign.status,
        ledger: &ledger,
        driver: "bench",
        adopts: &[],
        stopping: None,
        halted: None,
        given_up: None,
        now,
    };
    let rounds = (0..5).map(|_| {
        let began = Instant::now();
        let decision = decide(&view);
        (began.elapsed(), decision.effects.len())
    });
    rounds.min().unwrap_or_default()
}

fn main() {
    let now: Timestamp = "2026-03-01T12:00:00Z".parse().unwrap_or_default();
    let (small, large) = (500, 5000);
    let (few, few_effects) = measure(&campaign(small, now), now);
    let (many, many_effects) = measure(&campaign(large, now), now);
    println!("{small} nodes, {} pods: {few:?}, {few_effects} effects", small * PODS_PER_NODE);
    println!("{large} nodes, {} pods: {many:?}, {many_effects} effects", large * PODS_PER_NODE);
    println!("ratio {:.1} for 10 times the cluster", many.as_secs_f64() / few.as_secs_f64());
}
