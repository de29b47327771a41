//! Journals written by hand: what a campaign would tell, without a cluster.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use virtroll::inventory::ObjectName;
use virtroll::journal::{Event, EventKind};
use virtroll::plan::v1alpha1::{
    CampaignNode, CampaignPhase, CampaignVm, MaintenanceCampaignStatus, MaintenancePlan, VmOutcome,
};
use virtroll::reconcile::{GroupNodes, Hold, NodePhase, NodeProgress, Prospect, Stage};
use virtroll::report::{About, Report, Story};

/// A name that would run a script if it were not escaped.
pub const HOSTILE: &str = "</script><img src=x onerror=\"window.pwned=1\">&'\"{{ 7*7 }}";

/// A campaign that is being told.
pub struct Telling {
    start: Timestamp,
    now: i64,
    story: Story,
    plan: MaintenancePlan,
    /// The plan's text.
    pub text: String,
    status: MaintenanceCampaignStatus,
    groups: Vec<GroupNodes>,
    progress: BTreeMap<String, NodeProgress>,
}

impl Telling {
    /// A campaign with groups of nodes; each node with its zone.
    pub fn begin(text: &str, groups: &[(&str, Vec<(String, &str)>)]) -> Self {
        let plan = match virtroll::plan::load("plan.yaml", text) {
            Ok(loaded) => loaded.plan,
            Err(found) => panic!("{}", found.render()),
        };
        let mut telling = Self {
            start: "2026-03-14T22:00:00Z".parse().expect("a time"),
            now: 0,
            story: Story::default(),
            plan,
            text: text.to_owned(),
            status: MaintenanceCampaignStatus { phase: CampaignPhase::Running, ..Default::default() },
            groups: Vec::new(),
            progress: BTreeMap::new(),
        };
        telling.status.started_at = Some(telling.start);
        let mut zones = BTreeMap::new();
        for (group, nodes) in groups {
            let names = nodes.iter().map(|(name, _)| name.clone()).collect();
            telling.groups.push(GroupNodes { name: (*group).to_owned(), nodes: names });
            for (node, zone) in nodes {
                zones.insert(node.clone(), (*zone).to_owned());
                let progress = NodeProgress { group: (*group).to_owned(), ..NodeProgress::default() };
                telling.progress.insert(node.clone(), progress);
            }
        }
        telling.tell(EventKind::CampaignStarted {
            campaign: "maintenance-1".to_owned(),
            plan: "maintenance".to_owned(),
            groups: groups.iter().map(|(group, nodes)| ((*group).to_owned(), nodes.len())).collect(),
            pods: 41,
            virtual_machines: 9,
            budgets: 4,
            zones,
            resumed: false,
        });
        telling
    }

    fn clock(&self) -> Timestamp {
        self.start + SignedDuration::from_secs(self.now)
    }

    /// Goes to a second after the beginning.
    pub fn at(&mut self, second: i64) -> &mut Self {
        assert!(second >= self.now, "time runs forwards");
        self.now = second;
        self
    }

    /// Tells of something.
    pub fn tell(&mut self, kind: EventKind) -> &mut Self {
        self.story.event(&Event { at: self.clock(), kind });
        self
    }

    /// A node enters a phase.
    pub fn phase(&mut self, node: &str, phase: NodePhase, reason: Option<&str>) -> &mut Self {
        let now = self.clock();
        let group = self.progress[node].group.clone();
        let nodes = &mut self.status.nodes;
        let wave = nodes.iter().filter(|n| NodePhase::named(&n.phase).is_terminal()).map(|n| n.wave).max();
        let place = nodes.iter().position(|n| n.name == node).unwrap_or_else(|| {
            nodes.push(Arc::new(CampaignNode {
                name: node.to_owned(),
                group: group.clone(),
                wave: wave.unwrap_or(0) + 1,
                started_at: Some(now),
                pods_evicted: 6,
                ..CampaignNode::default()
            }));
            nodes.len() - 1
        });
        let record = Arc::make_mut(&mut nodes[place]);
        record.phase = phase.name().to_owned();
        record.reason = reason.map(str::to_owned);
        if phase.is_terminal() {
            record.finished_at = Some(now);
        }
        let wave = record.wave;
        let away = nodes.iter().filter(|n| NodePhase::named(&n.phase).is_active()).count() as u32;
        self.status.peak_unavailable = self.status.peak_unavailable.max(away);
        let progress = self.progress.get_mut(node).expect("a node");
        progress.phase = phase;
        progress.holds.clear();
        self.tell(EventKind::NodePhaseChanged {
            node: node.to_owned(),
            group,
            wave,
            phase: phase.name().to_owned(),
            reason: reason.map(str::to_owned),
        });
        self.waits(&[node], Vec::new())
    }

    /// Nodes wait for something, or for nothing any more.
    pub fn waits(&mut self, nodes: &[&str], holds: Vec<Hold>) -> &mut Self {
        let mut changed = BTreeMap::new();
        for node in nodes {
            let progress = self.progress.get_mut(*node).expect("a node");
            progress.holds.clone_from(&holds);
            changed.insert((*node).to_owned(), progress.clone());
        }
        self.tell(EventKind::Progress(changed))
    }

    /// A hook runs for a node, and fails if it says so.
    pub fn hook(&mut self, hook: &str, node: &str, seconds: i64, error: Option<&str>) -> &mut Self {
        let (hook, scope) = (hook.to_owned(), format!("node {node}"));
        self.tell(EventKind::HookStarted { hook: hook.clone(), scope: scope.clone(), attempt: 1 });
        let end = self.now + seconds;
        self.at(end).tell(EventKind::HookEnded { hook, scope, attempt: 1, error: error.map(str::to_owned) })
    }

    /// A VM leaves a node and comes to another, later.
    pub fn moves(&mut self, vm: &str, from: &str, to: &str, seconds: i64, outcome: VmOutcome) -> &mut Self {
        let name = ObjectName::new("lab", vm);
        let pod = ObjectName::new("lab", format!("virt-launcher-{vm}"));
        self.tell(EventKind::PodEvicted { pod, node: from.to_owned(), vm: Some(name.clone()) });
        let vms = &mut self.status.virtual_machines;
        match vms.iter_mut().find(|v| v.name == vm) {
            Some(known) => Arc::make_mut(known).moves += 1,
            None => vms.push(Arc::new(CampaignVm {
                namespace: "lab".to_owned(),
                name: vm.to_owned(),
                moves: 1,
                outcome,
                ..CampaignVm::default()
            })),
        }
        let end = self.now + seconds;
        self.at(end).tell(EventKind::VmChanged {
            vm: name,
            outcome: format!("{outcome:?}"),
            node: Some(to.to_owned()),
            from: Some(from.to_owned()),
        })
    }

    /// The end.
    pub fn end(mut self, phase: CampaignPhase, reason: Option<&str>) -> (Report, String) {
        self.status.phase = phase;
        self.status.reason = reason.map(str::to_owned);
        self.status.finished_at = Some(self.clock());
        self.tell(EventKind::CampaignEnded {
            phase: format!("{phase:?}"),
            reason: reason.map(str::to_owned),
        });
        let about = About {
            plan: &self.plan,
            campaign: "maintenance-1",
            forecast: true,
            cluster: "prod-eu",
            seed: Some(1),
            made_at: self.start,
        };
        (Report::new(about, &self.status, &self.groups, &self.story), self.text)
    }
}

fn concurrency(scope: &str, limit: usize, unavailable: &[&str]) -> Hold {
    let unavailable = unavailable.iter().map(|n| (*n).to_owned()).collect();
    Hold::Concurrency { scope: scope.to_owned(), limit, unavailable, more: 0 }
}

const PLAN: &str = "apiVersion: virtroll.dev/v1alpha1\nkind: MaintenancePlan\nmetadata: {name: maintenance}\nspec:\n  \
    # </script><img src=x onerror=\"window.pwned=1\">\n  concurrency: {maxUnavailable: 2}\n  groups:\n  \
    - {name: canary, nodes: {names: [alpha]}, soak: 5m}\n  - {name: rest, nodes: {selector: {}}, dependsOn: [canary]}\n  \
    hooks:\n  - {name: firmware, at: Maintenance, exec: [flash]}\n  failure: {maxFailedNodes: 1}\n  \
    windows: [{cron: '0 22 * * *', duration: 15m}]\n";

/// A campaign with everything that can be told: a soak, a budget that slows and one that refuses, a migration queue, VMs
/// that move and one that is stopped, a hook that fails and takes its node with it, a node that can't begin, and names
/// with markup.
pub fn troubled() -> (Report, String) {
    let rest = ["beta", "gamma", HOSTILE, "delta"];
    let zones = ["eu-a", "eu-b", "eu-a", "eu-b"];
    let nodes = rest.iter().zip(zones).map(|(n, z)| ((*n).to_owned(), z)).collect();
    let mut t = Telling::begin(PLAN, &[("canary", vec![("alpha".to_owned(), "eu-a")]), ("rest", nodes)]);
    let why = "vm lab/gpu-1 on delta cannot live-migrate: HostDeviceNotLiveMigratable (VMI specifies a GPU); waiting will not help: detach the host device or GPU";
    t.tell(EventKind::NodeObstructed { node: "delta".to_owned(), why: why.to_owned() });
    t.waits(&rest, vec![Hold::Group { waits_for: vec!["canary".to_owned()] }]);
    t.phase("alpha", NodePhase::Cordoned, None).phase("alpha", NodePhase::Draining, None);
    t.moves("web-1", "alpha", "beta", 40, VmOutcome::Migrated);
    t.at(60).phase("alpha", NodePhase::Drained, None).phase("alpha", NodePhase::SafeToPowerOff, None);
    t.at(65).phase("alpha", NodePhase::InMaintenance, None).hook("firmware", "alpha", 120, None);
    t.at(190).phase("alpha", NodePhase::Verifying, None);
    t.at(200).phase("alpha", NodePhase::Uncordoning, None).at(202).phase("alpha", NodePhase::Done, None);
    let until = "2026-03-14T22:08:22Z".parse().expect("a time");
    t.waits(&rest, vec![Hold::Soak { group: "canary".to_owned(), until }]);
    t.at(502).waits(&rest, Vec::new());
    for node in ["beta", "gamma"] {
        t.phase(node, NodePhase::Cordoned, None).phase(node, NodePhase::Draining, None);
    }
    t.waits(&[HOSTILE, "delta"], vec![concurrency("the campaign", 2, &["beta", "gamma"])]);
    let (pod, budget) = (ObjectName::new("shop", "db-0"), ObjectName::new("shop", "db"));
    let why = "minAvailable 2: needs 2 healthy pods of 3, has 2; goes on when another of its pods is Ready"
        .to_owned();
    let held = Hold::Budget { pod: pod.clone(), budget: budget.clone(), why, prospect: Prospect::Slow };
    t.waits(&["beta"], vec![held]);
    let refused = "Cannot evict pod as it would violate the pod's disruption budget.".to_owned();
    for second in [505, 510, 515] {
        t.at(second).tell(EventKind::EvictionRefused {
            pod: pod.clone(),
            node: "beta".to_owned(),
            why: refused.clone(),
            again_after: Some(5),
            budgets: vec![budget.clone()],
        });
    }
    let (vmi, progress) = (ObjectName::new("lab", "web-2"), "queued for migration".to_owned());
    let queued = Hold::Migrating { vmi, progress, stage: Stage::Queued, prospect: Prospect::Slow };
    t.waits(&["gamma"], vec![queued]);
    t.moves("web-1", "beta", "alpha", 30, VmOutcome::Migrated);
    t.at(580).waits(&["beta", "gamma"], Vec::new());
    t.moves(HOSTILE, "gamma", "alpha", 20, VmOutcome::Restarted).moves(
        "db",
        "gamma",
        "beta",
        1,
        VmOutcome::Stopped,
    );
    t.at(610).phase("beta", NodePhase::InMaintenance, None).hook("firmware", "beta", 100, None);
    t.phase("beta", NodePhase::Done, None).waits(&[HOSTILE, "delta"], Vec::new());
    t.phase(HOSTILE, NodePhase::Cordoned, None).phase(HOSTILE, NodePhase::Draining, None);
    t.waits(&["delta"], vec![concurrency("zone eu-b", 1, &["gamma"])]);
    let error = format!("exit 1 {HOSTILE}");
    t.at(720).phase("gamma", NodePhase::InMaintenance, None).hook("firmware", "gamma", 60, Some(&error));
    t.phase("gamma", NodePhase::Failed, Some(&format!("hook firmware: {error}")));
    t.at(800).phase(HOSTILE, NodePhase::InMaintenance, None).hook("firmware", HOSTILE, 100, None);
    t.phase(HOSTILE, NodePhase::Done, None);
    t.tell(EventKind::Warning { text: format!("label {HOSTILE} is odd; look at it") });
    t.at(960);
    t.end(CampaignPhase::Paused, Some("1 node failed (limit 0): gamma"))
}

/// A large campaign: nodes in three zones and two groups, a fifth of them in work at once, a VM or two on each.
pub fn fleet(nodes: usize) -> (Report, String) {
    let zone = |n: usize| ["eu-a", "eu-b", "eu-c"][n % 3];
    let name = |n: usize| format!("node-{n:04}");
    let canary = (0..2).map(|n| (name(n), zone(n))).collect();
    let rest = (2..nodes).map(|n| (name(n), zone(n))).collect();
    let mut t = Telling::begin(PLAN, &[("canary", canary), ("rest", rest)]);
    let all: Vec<String> = (0..nodes).map(name).collect();
    let width = (nodes / 5).clamp(2, 50);
    for (wave, batch) in all.chunks(width).enumerate() {
        let start = wave as i64 * 600;
        t.at(start);
        let waiting: Vec<&str> = all[((wave + 1) * width).min(nodes)..].iter().map(String::as_str).collect();
        t.waits(&waiting, vec![concurrency("the campaign", width, &[&batch[0]])]);
        for node in batch {
            t.phase(node, NodePhase::Cordoned, None).phase(node, NodePhase::Draining, None);
        }
        for (index, node) in batch.iter().enumerate() {
            let vm = format!("vm-{}", wave * width + index);
            let to = &all[(wave * width + index + width) % nodes];
            t.moves(&vm, node, to, 1, VmOutcome::Migrated);
        }
        t.at(start + 90);
        for node in batch {
            t.phase(node, NodePhase::InMaintenance, None);
            t.tell(EventKind::HookStarted {
                hook: "firmware".to_owned(),
                scope: format!("node {node}"),
                attempt: 1,
            });
        }
        for (index, node) in batch.iter().enumerate() {
            t.at(start + 400 + index as i64).phase(node, NodePhase::Verifying, None);
        }
        for (index, node) in batch.iter().enumerate() {
            t.at(start + 460 + index as i64).phase(node, NodePhase::Done, None);
        }
    }
    t.end(CampaignPhase::Succeeded, None)
}
