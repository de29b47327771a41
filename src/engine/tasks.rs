//! Effects under way: requests and hooks as tasks, whose outcomes come back into the loop.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::Clock;
use super::hooks::{self, Context};
use crate::cluster::{self, Actor};
use crate::inventory::{Inventory, Node, ObjectName};
use crate::journal::EventKind;
use crate::reconcile::{
    Effect, EvictionAnswer, EvictionAttempt, HookRunId, HookScope, HookStatus, Ledger, VmRequest,
};

/// Requests under way at once.
const AT_ONCE: usize = 16;
/// Wait before a patch that met another's write is decided anew.
const AFTER_CONFLICT: Duration = Duration::from_millis(200);
/// Wait before a patch that was refused otherwise is decided anew.
const AFTER_REFUSAL: Duration = Duration::from_secs(2);

/// What came of an effect.
pub(super) enum Outcome {
    Patched(String, Result<Node, cluster::Error>),
    Answered { pod: ObjectName, uid: String, node: String, answer: EvictionAnswer },
    VmAsked(ObjectName, Result<(), cluster::Error>),
    Hook(HookRunId, String, Result<(), String>),
    Recorded(Result<(), cluster::Error>),
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

    /// Starts an effect and notes it in the ledger, so that it isn't asked for again. `hook` makes the context of a run.
    pub(super) fn start(
        &mut self,
        effect: Effect,
        ledger: &mut Ledger,
        hook: impl FnOnce(HookRunId, String, jiff::Timestamp) -> Option<Context>,
    ) -> Option<EventKind> {
        let actor = self.actor.clone();
        let now = self.clock.now();
        match effect {
            Effect::PatchNode(patch) => {
                ledger.patching.insert(patch.node.clone());
                self.spawn(async move {
                    let result = match actor.patch_node(&patch).await {
                        Ok(node) => Ok(node),
                        Err(error) => after_refusal(&actor, &patch.node, error).await,
                    };
                    Outcome::Patched(patch.node, result)
                });
            }
            Effect::Evict { pod, uid, node, grace_seconds } => {
                note(ledger, &pod, &uid, &node, now);
                self.spawn(async move {
                    let answer = actor.evict(&pod, &uid, grace_seconds).await;
                    Outcome::Answered { pod, uid, node, answer }
                });
            }
            Effect::Delete { pod, uid, node, grace_seconds } => {
                note(ledger, &pod, &uid, &node, now);
                self.spawn(async move {
                    let answer = actor.delete_pod(&pod, &uid, grace_seconds).await;
                    Outcome::Answered { pod, uid, node, answer }
                });
            }
            Effect::StartVm { vm } => {
                ledger.vm_requests.insert(vm.clone(), VmRequest { asked_at: now, refused: None });
                self.spawn(async move {
                    let result = actor.start_vm(&vm).await;
                    Outcome::VmAsked(vm, result)
                });
            }
            Effect::RestartVmi { vmi, uid, by_subresource } => {
                ledger.vm_requests.insert(vmi.clone(), VmRequest { asked_at: now, refused: None });
                self.spawn(async move {
                    let result = actor.restart_vmi(&vmi, &uid, by_subresource).await;
                    Outcome::VmAsked(vmi, result)
                });
            }
            Effect::CancelEvacuation { vmi, mark, migrations } => {
                self.spawn(async move {
                    let result = actor.cancel_evacuation(&vmi, &mark, &migrations).await;
                    Outcome::VmAsked(vmi, result)
                });
            }
            Effect::RunHook { run, boot_id, started_at } => {
                if ledger.hooks.contains_key(&run) {
                    return None;
                }
                let context = hook(run.clone(), boot_id, started_at)?;
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

/// After a refused patch: a moment's wait, so that no refusal becomes a storm of requests; after a conflict the node as it
/// is now, for the event that told of the change may have been taken in before.
async fn after_refusal(actor: &Actor, node: &str, error: cluster::Error) -> Result<Node, cluster::Error> {
    let is_conflict = matches!(error, cluster::Error::Conflict(_));
    tokio::time::sleep(if is_conflict { AFTER_CONFLICT } else { AFTER_REFUSAL }).await;
    if is_conflict { actor.node(node).await } else { Err(error) }
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
            match result {
                Ok(patched) => {
                    inventory.put_node(patched);
                    None
                }
                Err(error) => Some(EventKind::Warning { text: error.to_string() }),
            }
        }
        Outcome::Answered { pod, uid, node, answer } => {
            let event = answer_event(&pod, &node, &answer);
            if let Some(attempt) = ledger.evictions.get_mut(&uid) {
                attempt.answer = Some(answer);
            }
            event
        }
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
        Outcome::Recorded(Ok(())) => None,
        Outcome::Recorded(Err(error)) => Some(EventKind::Warning { text: error.to_string() }),
    }
}

fn answer_event(pod: &ObjectName, node: &str, answer: &EvictionAnswer) -> Option<EventKind> {
    let refused = |why: &str| {
        Some(EventKind::EvictionRefused { pod: pod.clone(), node: node.to_owned(), why: why.to_owned() })
    };
    match answer {
        EvictionAnswer::Granted | EvictionAnswer::Evacuating => {
            Some(EventKind::PodEvicted { pod: pod.clone(), node: node.to_owned() })
        }
        EvictionAnswer::Gone | EvictionAnswer::NamespaceTerminating => None,
        EvictionAnswer::BudgetRefused { message, .. }
        | EvictionAnswer::NotMigratable { message }
        | EvictionAnswer::Wait { message }
        | EvictionAnswer::ManyBudgets { message }
        | EvictionAnswer::Forbidden { message }
        | EvictionAnswer::Trouble { message } => refused(message),
    }
}
