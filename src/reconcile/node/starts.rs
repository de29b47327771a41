//! VMs that a drain stops and that the plan wants started again (`staysOff: StartAfterwards`): remembered in the node's
//! record before they are stopped, started when their old life is over, and not forgotten until they live.

use jiff::{SignedDuration, Timestamp};

use super::Step;
use crate::inventory::{Node, RunStrategy, VirtualMachineInstance};
use crate::plan::v1alpha1::StaysOff;
use crate::reconcile::drain::{Comeback, VmFate, fate};
use crate::reconcile::{DrainedVm, Effect, Hold, NodeState, View, vms::COMEBACK};

/// A start that had no effect is asked for again after this long.
const START_AGAIN: SignedDuration = SignedDuration::from_secs(15);

/// The VMs of a node, each with whether it is to be started again.
pub(super) fn drained_vms(view: &View<'_>, node: &Node) -> Vec<DrainedVm> {
    let afterwards = view.plan.virtual_machines.stays_off == StaysOff::StartAfterwards;
    let pods = view.inventory.pods_on(&node.name).filter(|p| p.is_launcher() && !p.phase.is_terminal());
    let vms = pods.filter_map(|pod| {
        let vmi = view.inventory.vmi_of(pod)?;
        let stays_off = matches!(fate(view.inventory, pod), VmFate::ShutsDown(Comeback::StaysOff(_)));
        let (name, uid) = (vmi.name.clone(), vmi.uid.clone());
        Some(DrainedVm { name, uid, start_afterwards: afterwards && stays_off })
    });
    vms.collect()
}

impl Step<'_, '_> {
    /// A VM that arrived since, or whose fate has changed, and that this drain is about to stop: its start is recorded as
    /// owed first. True if that is being written.
    pub(super) fn records_starts(&mut self) -> bool {
        if self.view.plan.virtual_machines.stays_off != StaysOff::StartAfterwards {
            return false;
        }
        let known = |vm: &DrainedVm| {
            self.state.vms.iter().any(|v| v.name == vm.name && v.uid == vm.uid && v.start_afterwards)
        };
        let mut owed = drained_vms(self.view, self.node);
        owed.retain(|vm| vm.start_afterwards && !known(vm));
        if owed.is_empty() {
            return false;
        }
        let mut vms = self.state.vms.clone();
        vms.retain(|v| !owed.iter().any(|o| o.name == v.name));
        vms.extend(owed);
        self.write(NodeState { vms, ..self.state.clone() });
        true
    }

    /// VMs that are to be started again, whose old life is over or ending, and that don't live yet.
    fn owed(&self) -> Vec<&DrainedVm> {
        let lives = |vm: &DrainedVm, vmi: &VirtualMachineInstance| {
            vmi.uid != vm.uid && !vmi.phase.is_final() || vmi.uid == vm.uid && !self.is_ending(vmi)
        };
        let owed = self.state.vms.iter().filter(|vm| {
            let vmi = self.view.inventory.vmi(&vm.name);
            let there = self.view.inventory.vm(&vm.name).is_some();
            vm.start_afterwards && there && !vmi.is_some_and(|vmi| lives(vm, vmi))
        });
        owed.collect()
    }

    /// Its guest has ended, or was told to.
    fn is_ending(&self, vmi: &VirtualMachineInstance) -> bool {
        let mut pods = self.view.inventory.launchers_of(vmi);
        vmi.phase.is_final() || vmi.deleting || pods.any(|p| p.deletion.is_some())
    }

    /// Some VM that was here is to be started again and doesn't live yet; given up after a while, in words.
    pub(super) fn owes_starts(&mut self) -> bool {
        let names: Vec<_> = self.owed().into_iter().map(|vm| vm.name.clone()).collect();
        if names.is_empty() {
            return false;
        }
        let until = self.state.finished_at.unwrap_or(self.view.now) + COMEBACK;
        if self.view.now < until {
            self.decision.wake(until);
            return true;
        }
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        self.decision.warnings.push(format!(
            "not started again {} minutes after node {}: vm {}; start it by hand",
            COMEBACK.as_mins(),
            self.node.name,
            names.join(", ")
        ));
        false
    }

    /// Starts VMs that the plan wants started again, as soon as their old life is over.
    pub(super) fn start_vms(&mut self) {
        let owed: Vec<DrainedVm> = self.owed().into_iter().cloned().collect();
        let given_up = self.state.finished_at.is_some_and(|at| self.view.now >= at + COMEBACK);
        if owed.is_empty() || given_up {
            return;
        }
        for vm in &owed {
            let vmi = self.view.inventory.vmi(&vm.name);
            let over = vmi.is_none_or(|v| v.uid == vm.uid && v.phase.is_final());
            let record = self.view.inventory.vm(&vm.name);
            let Some(record) = record.filter(|_| over) else { continue };
            if let Some(request) = self.view.ledger.vm_requests.get(&vm.name) {
                let again: Timestamp = request.asked_at + START_AGAIN;
                if self.view.now < again {
                    self.decision.wake(again);
                    continue;
                }
            }
            self.decision.effects.push(match (record.run_strategy, vmi) {
                // Once: its finished VMI stays in the way; deleting it starts another.
                (RunStrategy::Once, Some(vmi)) => {
                    Effect::RestartVmi { vmi: vm.name.clone(), uid: vmi.uid.clone(), by_subresource: false }
                }
                _ => Effect::StartVm { vm: vm.name.clone() },
            });
        }
        self.hold(Hold::Start { vms: owed.into_iter().map(|vm| vm.name).collect() });
    }
}
