//! What people have been told, so that they are told of changes only.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use super::tasks;
use crate::inventory::ObjectName;
use crate::journal::{EventKind, phase_words};
use crate::plan::v1alpha1::{CampaignNode, CampaignVm, VmOutcome};
use crate::reconcile::{Decision, Hold, HookStatus, Ledger, NodePhase};

/// A wait is told of after this long: what passes in a moment isn't worth a line.
const WORTH_TELLING: SignedDuration = SignedDuration::from_secs(10);
/// The same warning is not given again before.
const AGAIN: SignedDuration = SignedDuration::from_secs(60);
/// Nor the same wait of a node, however often it turned into another one and back.
const SAME_WAIT: SignedDuration = SignedDuration::from_mins(15);

#[derive(Debug)]
struct Wait {
    why: String,
    since: Timestamp,
    is_told: bool,
}

/// See the module's documentation.
#[derive(Debug, Default)]
pub(super) struct Told {
    phases: BTreeMap<String, NodePhase>,
    /// The nodes' record as told.
    nodes: Vec<Arc<CampaignNode>>,
    /// By node; by the empty name, what everybody waits for.
    waits: BTreeMap<String, Wait>,
    /// Waits that were told, by node and words.
    told_waits: BTreeMap<(String, String), Timestamp>,
    /// The VMs' record as told.
    vms: Vec<Arc<CampaignVm>>,
    warnings: BTreeSet<String>,
    /// Warnings that come from answers, which may come again and again.
    repeated: BTreeMap<String, Timestamp>,
    stopping: bool,
}

impl Told {
    /// What is new in a decision. How each node is doing is taken out of it: that is told every time.
    pub(super) fn news(
        &mut self,
        decision: &mut Decision,
        ledger: &Ledger,
        stopping: bool,
        now: Timestamp,
    ) -> Vec<EventKind> {
        let mut news = Vec::new();
        self.phases(decision, &mut news);
        self.vms(&decision.status.virtual_machines, &mut news);
        for (node, progress) in &decision.nodes {
            // Of hooks, their own events tell.
            let mut holds = progress.holds.iter().filter(|h| !matches!(h, Hold::Hook { .. }));
            let why = holds.next().filter(|_| progress.phase.is_active());
            news.extend(self.wait(node, why.map(ToString::to_string), now));
        }
        news.extend(self.wait("", standstill(decision), now));
        if stopping && !std::mem::replace(&mut self.stopping, true) {
            news.push(EventKind::Stopping { under_way: under_way(decision, ledger) });
        }
        for text in &decision.warnings {
            if self.warnings.insert(text.clone()) {
                news.push(EventKind::Warning { text: text.clone() });
            }
        }
        news.push(EventKind::Progress(std::mem::take(&mut decision.nodes)));
        news
    }

    fn phases(&mut self, decision: &Decision, news: &mut Vec<EventKind>) {
        for (place, record) in decision.status.nodes.iter().enumerate() {
            match self.nodes.get_mut(place) {
                Some(told) if Arc::ptr_eq(told, record) => continue,
                Some(told) => *told = record.clone(),
                None => self.nodes.push(record.clone()),
            }
            if self.phases.get(&record.name).is_none_or(|known| known.name() != record.phase) {
                self.phases.insert(record.name.clone(), NodePhase::named(&record.phase));
                news.push(EventKind::NodePhaseChanged {
                    node: record.name.clone(),
                    group: record.group.clone(),
                    wave: record.wave,
                    phase: record.phase.clone(),
                    reason: record.reason.clone(),
                });
            }
        }
    }

    /// Both records are in the order of namespaces and names. A VM that was seen, and left before it was recorded, isn't in the
    /// next one.
    fn vms(&mut self, vms: &[Arc<CampaignVm>], news: &mut Vec<EventKind>) {
        // There may be thousands: those that are the same are only compared, not copied.
        for (place, vm) in vms.iter().enumerate() {
            if self.vms.get(place).is_some_and(|told| Arc::ptr_eq(told, vm)) {
                continue;
            }
            while self.vms.get(place).is_some_and(|told| name(told) < name(vm)) {
                self.vms.remove(place);
            }
            match self.vms.get_mut(place) {
                Some(told) if name(told) == name(vm) => {
                    news.extend(changed(told, vm));
                    *told = vm.clone();
                }
                _ => self.vms.insert(place, vm.clone()),
            }
        }
        self.vms.truncate(vms.len());
    }

    /// What a node waits for, if that has become worth a line.
    pub(super) fn wait(&mut self, node: &str, why: Option<String>, now: Timestamp) -> Option<EventKind> {
        let Some(why) = why else {
            self.waits.remove(node);
            return None;
        };
        let fresh = || Wait { why: why.clone(), since: now, is_told: false };
        let wait = self.waits.entry(node.to_owned()).or_insert_with(fresh);
        if wait.why != why {
            *wait = fresh();
        }
        if wait.is_told || now.duration_since(wait.since) < WORTH_TELLING {
            return None;
        }
        wait.is_told = true;
        self.told_waits.retain(|_, at| now.duration_since(*at) < SAME_WAIT);
        let known = self.told_waits.insert((node.to_owned(), why.clone()), now);
        if known.is_some() {
            return None;
        }
        Some(EventKind::NodeWaits { node: node.to_owned(), why })
    }

    /// When a wait becomes worth a line, if nothing else happens.
    pub(super) fn due(&self) -> Option<Timestamp> {
        let untold = self.waits.values().filter(|w| !w.is_told);
        untold.map(|w| w.since.saturating_add(WORTH_TELLING).unwrap_or(w.since)).min()
    }

    /// False for a warning that was given a moment ago.
    pub(super) fn is_news(&mut self, kind: &EventKind, now: Timestamp) -> bool {
        let EventKind::Warning { text } = kind else { return true };
        let recent = |at: &Timestamp| now.duration_since(*at) < AGAIN;
        self.repeated.retain(|_, at| recent(at));
        if self.repeated.contains_key(text) {
            return false;
        }
        self.repeated.insert(text.clone(), now);
        true
    }
}

fn name(vm: &CampaignVm) -> (&str, &str) {
    (&vm.namespace, &vm.name)
}

/// What has become of a VM.
fn changed(before: &CampaignVm, vm: &CampaignVm) -> Option<EventKind> {
    // A replica isn't the same machine elsewhere: another one stands in for it.
    let told = |vm: &CampaignVm| {
        let replaced = vm.replica && vm.outcome == VmOutcome::Restarted;
        if replaced { ("Replaced".to_owned(), None) } else { (format!("{:?}", vm.outcome), vm.node.clone()) }
    };
    let (before, now) = (told(before), told(vm));
    if before == now {
        return None;
    }
    let from = before.1.filter(|from| now.1.as_ref() != Some(from));
    let name = ObjectName::new(&vm.namespace, &vm.name);
    Some(EventKind::VmChanged { vm: name, outcome: now.0, node: now.1, from })
}

/// Nodes are left, none is in work: why nobody begins.
fn standstill(decision: &Decision) -> Option<String> {
    let waits = |phase: NodePhase| !phase.is_active() && !phase.is_terminal();
    let nodes = || decision.nodes.iter().filter(move |(_, n)| waits(n.phase));
    let busy = decision.nodes.values().any(|n| n.phase.is_active());
    let (name, hold) = nodes().filter(|_| !busy).find_map(|(name, n)| Some((name, n.holds.first()?)))?;
    let others = nodes().count() - 1;
    let others = if others == 0 { String::new() } else { format!(" (and {others} more)") };
    Some(format!("{name}{others}: {hold}"))
}

/// What is begun when a stop is asked for: the nodes in work, and the hooks that run.
fn under_way(decision: &Decision, ledger: &Ledger) -> Vec<String> {
    let nodes = decision.nodes.iter().filter(|(_, n)| n.phase.is_active()).map(|(name, node)| {
        let pods = match node.pods_left {
            0 => String::new(),
            1 => ", 1 pod left".to_owned(),
            n => format!(", {n} pods left"),
        };
        format!("{name} ({}{pods})", phase_words(node.phase))
    });
    let running = ledger.hooks.iter().filter(|(_, status)| **status == HookStatus::Running);
    let hooks = running.map(|(run, _)| format!("a hook for {}", tasks::scope_words(&run.scope)));
    nodes.chain(hooks).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_becomes_of_vms_is_told_also_behind_one_that_has_left() {
        let vm = |name: &str, node: &str| {
            let (namespace, name) = ("ns".to_owned(), name.to_owned());
            Arc::new(CampaignVm { namespace, name, node: Some(node.to_owned()), ..CampaignVm::default() })
        };
        let (a, b, c, d) = (vm("a", "w1"), vm("b", "w1"), vm("c", "w1"), vm("d", "w1"));
        let mut told = Told::default();
        let mut news = |vms: &[&Arc<CampaignVm>]| {
            let mut news = Vec::new();
            told.vms(&vms.iter().map(|vm| (*vm).clone()).collect::<Vec<_>>(), &mut news);
            let names = news.iter().map(|kind| match kind {
                EventKind::VmChanged { vm, node, .. } => {
                    format!("{vm} on {}", node.as_deref().unwrap_or("-"))
                }
                other => format!("{other:?}"),
            });
            (names.collect::<Vec<_>>(), told.vms.len())
        };
        let nothing = |known: usize| (Vec::<String>::new(), known);
        assert_eq!(news(&[&a, &b, &d]), nothing(3));
        assert_eq!(news(&[&a, &b, &c, &d]), nothing(4));
        let moved = vm("d", "w2");
        assert_eq!(news(&[&a, &c, &moved]), (vec!["ns/d on w2".to_owned()], 3));
        let back = vm("c", "w3");
        assert_eq!(news(&[&back]), (vec!["ns/c on w3".to_owned()], 1));
        assert_eq!(news(&[]), nothing(0));
    }
}
