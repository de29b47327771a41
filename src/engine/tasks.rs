//! Effects under way: requests and hooks as tasks, whose outcomes come back into the loop.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::Clock;
use super::hooks::{self, Context};
use crate::cluster::{self, Actor, Record};
use crate::inventory::{Inventory, Node, ObjectName, ScalableName};
use crate::journal::EventKind;
use crate::plan::v1alpha1::PastBudget;
use crate::reconcile::drain::{budget::budgets_of, retry_after};
use crate::reconcile::{
    Effect, EvictionAnswer, EvictionAttempt, HookRunId, HookScope, HookStatus, Ledger, NodePatch, NodePhase,
    NodeState, ScaleRequest, StateChange, VmRequest,
};

/// Requests under way at once.
const AT_ONCE: usize = 16;
/// Wait before a patch that met another's write is decided anew.
const AFTER_CONFLICT: Duration = Duration::from_millis(200);
/// Wait before a patch that was refused otherwise is decided anew.
const AFTER_REFUSAL: Duration = Duration::from_secs(2);
/// A request is answered in this time, or doubted: longer than the API server's own limits for admission webhooks (30 s
/// at the most), so that its answer, if there is one, is heard.
const PATIENCE: Duration = Duration::from_secs(35);

/// What came of an effect.
pub(super) enum Outcome {
    Patched(String, Result<Node, cluster::Error>),
    Answered { pod: ObjectName, uid: String, node: String, answer: EvictionAnswer, past: Option<PastBudget> },
    Scaled { workload: ScalableName, from: u32, to: u32, node: String, result: Result<(), cluster::Error> },
    VmAsked(ObjectName, Result<(), cluster::Error>),
    Hook(HookRunId, String, Result<(), String>),
    Recorded(Box<Record>, Result<(), cluster::Error>),
}

/// The tasks of one run.
pub(super) struct Tasks {
    pub set: JoinSet<Outcome>,
    actor: Actor,
    slots: Arc<Semaphore>,
    clock: Clock,
}

impl Tasks {
    pub(super) fn new(actor: Actor, clock: Clock) -> Self {
        Self { set: JoinSet::new(), actor, slots: Arc::new(Semaphore::new(AT_ONCE)), clock }
    }

    fn spawn(&mut self, work: impl Future<Output = Outcome> + Send + 'static) {
        let slots = self.slots.clone();
        self.set.spawn(async move {
            let _slot = slots.acquire().await;
            work.await
        });
    }

    fn patch(&mut self, patch: NodePatch, ledger: &mut Ledger) {
        let actor = self.actor.clone();
        // A taint alone takes no node away.
        let steers = patch.taints.is_some() && patch.state == StateChange::Keep;
        let set = if steers { &mut ledger.steering } else { &mut ledger.patching };
        set.insert(patch.node.clone());
        self.spawn(async move {
            let result = match answered(actor.patch_node(&patch)).await {
                Ok(node) => Ok(node),
                Err(error) => after_refusal(&actor, &patch.node, error).await,
            };
            Outcome::Patched(patch.node, result)
        });
    }

    /// Starts an effect and notes it in the ledger, so that it isn't asked for again. `hook` makes the context of a run.
    pub(super) fn start(
        &mut self,
        effect: Effect,
        ledger: &mut Ledger,
        hook: impl FnOnce(HookRunId, String) -> Option<Context>,
    ) -> Option<EventKind> {
        let actor = self.actor.clone();
        let now = self.clock.now();
        match effect {
            Effect::PatchNode(patch) => self.patch(patch, ledger),
            Effect::Evict { pod, uid, node, grace_seconds } => {
                note(ledger, &pod, &uid, &node, now);
                self.spawn(async move {
                    let answer = answer(actor.evict(&pod, &uid, grace_seconds)).await;
                    Outcome::Answered { pod, uid, node, answer, past: None }
                });
            }
            Effect::Delete { pod, uid, node, grace_seconds } => {
                note(ledger, &pod, &uid, &node, now);
                self.spawn(async move {
                    let answer = answer(actor.delete_pod(&pod, &uid, grace_seconds)).await;
                    Outcome::Answered { pod, uid, node, answer, past: None }
                });
            }
            Effect::DeletePastBudget { pod, node, grace_seconds, past } => {
                let uid = past.uid.clone();
                note(ledger, &pod, &uid, &node, now);
                self.spawn(async move {
                    let answer = answer(actor.delete_pod(&pod, &uid, grace_seconds)).await;
                    Outcome::Answered { pod, uid, node, answer, past: Some(past) }
                });
            }
            Effect::Scale { workload, uid, from, to, node } => {
                ledger.scales.insert(workload.clone(), ScaleRequest { to, asked_at: now, refused: None });
                self.spawn(async move {
                    let result = answered(actor.scale(&workload, &uid, from, to)).await;
                    Outcome::Scaled { workload, from, to, node, result }
                });
            }
            Effect::StartVm { vm } => {
                ask(ledger, &vm, now, None);
                self.spawn(async move {
                    let result = answered(actor.start_vm(&vm)).await;
                    Outcome::VmAsked(vm, result)
                });
            }
            Effect::RestartVmi { vmi, uid, by_subresource } => {
                ask(ledger, &vmi, now, Some(&uid));
                self.spawn(async move {
                    let result = answered(actor.restart_vmi(&vmi, &uid, by_subresource)).await;
                    Outcome::VmAsked(vmi, result)
                });
            }
            Effect::CancelEvacuation { vmi, mark, migrations } => {
                ask(ledger, &vmi, now, None);
                self.spawn(async move {
                    let result = answered(actor.cancel_evacuation(&vmi, &mark, &migrations)).await;
                    Outcome::VmAsked(vmi, result)
                });
            }
            Effect::RunHook { run, boot_id } => {
                if ledger.hooks.contains_key(&run) {
                    return None;
                }
                let context = hook(run.clone(), boot_id)?;
                ledger.hooks.insert(run.clone(), HookStatus::Running);
                let name = context.hook.name.clone();
                let event = EventKind::HookStarted {
                    hook: name.clone(),
                    scope: scope_words(&run.scope),
                    attempt: run.attempt,
                };
                // Not through a slot: a hook may run for an hour.
                self.set.spawn(async move { Outcome::Hook(run, name, hooks::run(context).await) });
                return Some(event);
            }
        }
        None
    }
}

/// A request that isn't answered for so long is given up; what it did, if anything, is observed.
pub(super) async fn answered<T>(
    request: impl Future<Output = Result<T, cluster::Error>>,
) -> Result<T, cluster::Error> {
    timeout(PATIENCE, request).await.unwrap_or_else(|_| Err(cluster::Error::Unreachable(silence())))
}

/// The same for an eviction or a deletion.
async fn answer(request: impl Future<Output = EvictionAnswer>) -> EvictionAnswer {
    timeout(PATIENCE, request).await.unwrap_or_else(|_| EvictionAnswer::Trouble { message: silence() })
}

fn silence() -> String {
    format!("no answer in {} s", PATIENCE.as_secs())
}

fn ask(ledger: &mut Ledger, vm: &ObjectName, now: jiff::Timestamp, stops: Option<&String>) {
    let request = VmRequest { asked_at: now, refused: None, stops: stops.cloned() };
    ledger.vm_requests.insert(vm.clone(), request);
}

/// After a refused patch: a moment's wait, so that no refusal becomes a storm of requests; after a conflict the node as it
/// is now, for the event that told of the change may have been taken in before.
async fn after_refusal(actor: &Actor, node: &str, error: cluster::Error) -> Result<Node, cluster::Error> {
    let is_conflict = matches!(error, cluster::Error::Conflict(_));
    tokio::time::sleep(if is_conflict { AFTER_CONFLICT } else { AFTER_REFUSAL }).await;
    if is_conflict { answered(actor.node(node)).await } else { Err(error) }
}

fn note(ledger: &mut Ledger, pod: &ObjectName, uid: &str, node: &str, now: jiff::Timestamp) {
    let count = ledger.evictions.get(uid).map_or(0, |a| a.count) + 1;
    let attempt =
        EvictionAttempt { pod: pod.clone(), node: node.to_owned(), asked_at: now, count, answer: None };
    ledger.evictions.insert(uid.to_owned(), attempt);
}

/// What a hook is run for, in words.
pub(super) fn scope_words(scope: &HookScope) -> String {
    match scope {
        HookScope::Campaign => "the campaign".to_owned(),
        HookScope::Group(group) => format!("group {group}"),
        HookScope::Node(node) => format!("node {node}"),
    }
}

/// Takes an outcome into ledger and inventory; gives what people should hear of it.
pub(super) fn absorb(
    outcome: Outcome,
    ledger: &mut Ledger,
    inventory: &mut Inventory,
    now: jiff::Timestamp,
) -> Option<EventKind> {
    match outcome {
        Outcome::Patched(node, result) => {
            ledger.patching.remove(&node);
            ledger.steering.remove(&node);
            match result {
                Ok(patched) => {
                    let state = NodeState::of(&patched).and_then(Result::ok);
                    if state.is_none_or(|s| s.phase >= NodePhase::InMaintenance) {
                        ledger.forget(&node);
                    }
                    inventory.put_node(patched);
                    None
                }
                Err(error) => Some(EventKind::Warning { text: error.to_string() }),
            }
        }
        Outcome::Answered { pod, uid, node, answer, past } => {
            let attempt = ledger.evictions.get_mut(&uid)?;
            let again = retry_after(attempt, &answer).as_secs();
            let event = match past {
                Some(past) if answer == EvictionAnswer::Granted => {
                    let PastBudget { workload, budgets, reason, .. } = past;
                    Some(EventKind::PodDeletedPastBudget { pod, node, workload, budgets, reason })
                }
                _ => answer_event(&pod, &node, &answer, again, inventory),
            };
            attempt.answer = Some(answer);
            event
        }
        Outcome::Scaled { workload, from, to, node, result } => match result {
            Ok(()) => Some(EventKind::WorkloadScaled { workload: workload.to_string(), from, to, node }),
            Err(error) => {
                let text = error.to_string();
                if let Some(request) = ledger.scales.get_mut(&workload) {
                    request.refused = Some(text.clone());
                }
                Some(EventKind::Warning { text })
            }
        },
        Outcome::VmAsked(vm, result) => {
            let error = result.err()?.to_string();
            if let Some(request) = ledger.vm_requests.get_mut(&vm) {
                request.refused = Some(error.clone());
            }
            Some(EventKind::Warning { text: error })
        }
        Outcome::Hook(run, hook, result) => {
            let (scope, attempt) = (scope_words(&run.scope), run.attempt);
            let error = result.err();
            let status = match &error {
                None => HookStatus::Succeeded { at: now },
                Some(message) => HookStatus::Failed { at: now, message: message.clone() },
            };
            ledger.hooks.insert(run, status);
            Some(EventKind::HookEnded { hook, scope, attempt, error })
        }
        Outcome::Recorded(_, result) => Some(EventKind::Warning { text: result.err()?.to_string() }),
    }
}

fn answer_event(
    pod: &ObjectName,
    node: &str,
    answer: &EvictionAnswer,
    again: i64,
    inventory: &Inventory,
) -> Option<EventKind> {
    let known = inventory.pod(pod);
    let refused = |why: &str, again_after| {
        let (pod, node, why) = (pod.clone(), node.to_owned(), why.to_owned());
        let by_budget =
            matches!(answer, EvictionAnswer::BudgetRefused { .. } | EvictionAnswer::ManyBudgets { .. });
        let budgets = known.filter(|_| by_budget).into_iter().flat_map(|pod| budgets_of(inventory, pod));
        let budgets = budgets.map(|b| b.name.clone()).collect();
        Some(EventKind::EvictionRefused { pod, node, why, again_after, budgets })
    };
    match answer {
        EvictionAnswer::Granted | EvictionAnswer::Evacuating => {
            let vm = known.and_then(|pod| inventory.vmi_of(pod)).map(|vmi| vmi.name.clone());
            Some(EventKind::PodEvicted { pod: pod.clone(), node: node.to_owned(), vm })
        }
        EvictionAnswer::Gone | EvictionAnswer::NamespaceTerminating => None,
        EvictionAnswer::BudgetRefused { message, .. }
        | EvictionAnswer::NotMigratable { message }
        | EvictionAnswer::Wait { message }
        | EvictionAnswer::Trouble { message } => refused(message, Some(again)),
        EvictionAnswer::ManyBudgets { message } | EvictionAnswer::Forbidden { message } => {
            refused(message, None)
        }
    }
}
