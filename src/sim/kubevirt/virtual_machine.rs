//! The controller of VirtualMachines: one VMI for each, as its run strategy wants it.

use std::time::Duration;

use jiff::SignedDuration;

use super::conditions::{self, has_been};
use super::world::{Kind, Object, Trouble, World, is_deleting, is_final, owned_by, reference, text, uid};
use crate::sim::clock::{parse_time, seconds_text};
use crate::sim::json::{Value, json};
use crate::sim::store::Key;

/// `spec.runStrategy`, or what `spec.running` means.
pub(super) fn run_strategy(vm: &Value) -> &str {
    match vm["spec"]["runStrategy"].as_str() {
        Some(strategy) => strategy,
        None if vm["spec"]["running"] == true => "Always",
        None => "Halted",
    }
}

/// On a VM and its VMI.
const FINALIZER: &str = "kubevirt.io/virtualMachineControllerFinalize";

/// Conditions of a VM that no VMI has.
const OWN_CONDITIONS: [&str; 2] = ["Failure", "RestartRequired"];

/// What is to be done about the VMI.
#[derive(Debug, PartialEq, Eq, Clone, Copy)]
enum Move {
    Nothing,
    Start,
    Stop,
    /// Stop, and note that another one is wanted.
    StopAndRerun,
}

fn asks(vm: &Value, action: &str) -> bool {
    let requests = vm["status"]["stateChangeRequests"].as_array();
    requests.is_some_and(|r| r.iter().any(|request| request["action"] == action))
}

fn asks_to_stop(vm: &Value, vmi: &Value) -> bool {
    let requests = vm["status"]["stateChangeRequests"].as_array();
    requests.is_some_and(|r| r.iter().any(|q| q["action"] == "Stop" && text(&q["uid"]) == uid(vmi)))
}

fn decide(vm: &Value, vmi: Option<&Value>) -> Move {
    let strategy = run_strategy(vm);
    let Some(vmi) = vmi else {
        // Older releases don't write the strategy down: there, a VM that has any status isn't new.
        let seen = &vm["status"]["runStrategy"];
        let begins =
            if seen.is_null() { vm["status"]["printableStatus"].is_null() } else { *seen != strategy };
        return match strategy {
            "Always" | "Once" => Move::Start,
            "RerunOnFailure" if begins || asks(vm, "Start") => Move::Start,
            "Manual" if asks(vm, "Start") => Move::Start,
            _ => Move::Nothing,
        };
    };
    if is_deleting(vmi) {
        return Move::Nothing;
    }
    let (over, failed) = (is_final(vmi), vmi["status"]["phase"] == "Failed");
    match strategy {
        "Always" if over || asks_to_stop(vm, vmi) => Move::Stop,
        "RerunOnFailure" if failed => Move::StopAndRerun,
        "RerunOnFailure" if over || asks_to_stop(vm, vmi) => Move::Stop,
        "Manual" if asks_to_stop(vm, vmi) => Move::Stop,
        "Manual" if over && asks(vm, "Start") => Move::Stop,
        "Halted" => Move::Stop,
        _ => Move::Nothing,
    }
}

/// One round of a VirtualMachine.
pub(super) async fn reconcile(world: &mut World, key: &Key) -> Result<Option<Duration>, Trouble> {
    let Some(vm) = world.get(Kind::Vm, key).cloned() else { return Ok(None) };
    let vmi = world.get(Kind::Instance, key).filter(|v| owned_by(v, "VirtualMachine").is_some()).cloned();
    let mut wait = None;
    hold(world, key, &vm, vmi.is_some()).await?;
    if let Some(seen) = &vmi {
        note_start_failure(world, key, &vm, seen).await?;
    }
    if is_deleting(&vm) {
        stop(world, vmi.as_ref().filter(|vmi| !is_deleting(vmi))).await?;
    } else {
        match decide(&vm, vmi.as_deref()) {
            Move::Nothing => {}
            Move::Start => wait = start(world, key, &vm).await?,
            Move::Stop => stop(world, vmi.as_ref()).await?,
            Move::StopAndRerun => {
                world
                    .update(Kind::Vm, key, |vm| {
                        vm["status"]["stateChangeRequests"] = json!([{"action": "Start"}]);
                    })
                    .await?;
                stop(world, vmi.as_ref()).await?;
            }
        }
    }
    report(world, key).await?;
    Ok(wait)
}

/// A VM stays until its VMI is gone.
async fn hold(world: &mut World, key: &Key, vm: &Value, has_vmi: bool) -> Result<(), Trouble> {
    let deleting = is_deleting(vm);
    if deleting && has_vmi {
        return Ok(());
    }
    let held = world
        .update(Kind::Vm, key, |vm| {
            let list = &mut vm["metadata"]["finalizers"];
            if deleting {
                if let Some(list) = list.as_array_mut() {
                    list.retain(|f| f != FINALIZER);
                }
            } else if !list.is_array() {
                *list = json!([FINALIZER]);
            } else if let Some(list) = list.as_array_mut().filter(|l| !l.contains(&json!(FINALIZER))) {
                list.push(json!(FINALIZER));
            }
        })
        .await;
    match held {
        Err(Trouble::Gone) => Ok(()),
        other => other,
    }
}

async fn stop(world: &mut World, vmi: Option<&Object>) -> Result<(), Trouble> {
    match vmi {
        Some(vmi) => world.delete(Kind::Instance, vmi).await,
        None => Ok(()),
    }
}

/// Starts a VMI unless the backoff of starts says to wait.
async fn start(world: &mut World, key: &Key, vm: &Value) -> Result<Option<Duration>, Trouble> {
    if let Some(at) = vm["status"]["startFailure"]["retryAfterTimestamp"].as_str().and_then(parse_time)
        && let Ok(wait) = Duration::try_from(at.duration_since(world.now()))
        && !wait.is_zero()
    {
        return Ok(Some(wait));
    }
    let template = &vm["spec"]["template"];
    let mut metadata = json!({
        "name": key.name, "namespace": key.namespace, "ownerReferences": [reference(vm)],
        "finalizers": [FINALIZER],
    });
    for field in ["labels", "annotations"] {
        if template["metadata"][field].is_object() {
            metadata[field] = template["metadata"][field].clone();
        }
    }
    metadata["labels"]["kubevirt.io/vm"] = json!(key.name);
    let vmi = json!({
        "apiVersion": "kubevirt.io/v1", "kind": "VirtualMachineInstance",
        "metadata": metadata, "spec": template["spec"],
    });
    match world.create(Kind::Instance, vmi).await {
        // Somebody else's VMI of that name, or our own that the cache hasn't seen.
        Err(Trouble::Conflict) => return Ok(Some(Duration::from_secs(1))),
        other => other?,
    };
    world
        .update(Kind::Vm, key, |vm| {
            vm["status"].as_object_mut().map(|s| s.remove("stateChangeRequests"));
        })
        .await?;
    Ok(None)
}

/// A VMI that ended without ever having run: the next start waits, longer each time.
async fn note_start_failure(world: &mut World, key: &Key, vm: &Value, vmi: &Value) -> Result<(), Trouble> {
    let failure = &vm["status"]["startFailure"];
    if has_been(vmi, "Running") {
        if vmi["status"]["phase"] == "Running" && !failure.is_null() {
            world
                .update(Kind::Vm, key, |vm| {
                    vm["status"].as_object_mut().map(|s| s.remove("startFailure"));
                })
                .await?;
        }
        return Ok(());
    }
    if !is_final(vmi) || text(&failure["lastFailedVMIUID"]) == uid(vmi) {
        return Ok(());
    }
    let count = failure["consecutiveFailCount"].as_u64().unwrap_or(0) + 1;
    let after = start_backoff(world, count, uid(vmi));
    let at = seconds_text(world.now() + SignedDuration::try_from(after).unwrap_or_default());
    let record = json!({
        "consecutiveFailCount": count, "lastFailedVMIUID": uid(vmi), "retryAfterTimestamp": at,
    });
    world.update(Kind::Vm, key, |vm| vm["status"]["startFailure"] = record).await
}

/// 10·n² seconds plus up to half of that, at most 300.
fn start_backoff(world: &World, failures: u64, of: &str) -> Duration {
    let settings = &world.settings;
    let base = settings.start_backoff.saturating_mul(u32::try_from(failures * failures).unwrap_or(u32::MAX));
    let extra = base.mul_f64(0.5 * (world.chance(&["start", of]) % 1000) as f64 / 1000.0);
    (base + extra).min(settings.start_backoff_max)
}

/// Brings the status up to what is seen.
async fn report(world: &mut World, key: &Key) -> Result<(), Trouble> {
    let Some(vm) = world.get(Kind::Vm, key).cloned() else { return Ok(()) };
    let vmi = world.get(Kind::Instance, key).filter(|v| owned_by(v, "VirtualMachine").is_some()).cloned();
    let printable = printable(&vm, vmi.as_deref());
    let ready = vmi.as_deref().is_some_and(|v| conditions::is_true(v, "Ready"));
    let strategy = run_strategy(&vm).to_owned();
    let stopped = vmi.as_deref().is_none_or(|vmi| !asks_to_stop(&vm, vmi));
    let now = world.now_text();
    world
        .update(Kind::Vm, key, |vm| {
            let generation = vm["metadata"]["generation"].clone();
            let status = &mut vm["status"];
            status["printableStatus"] = json!(printable);
            status["runStrategy"] = json!(strategy);
            status["observedGeneration"] = generation;
            set_or_remove(status, "created", vmi.is_some());
            set_or_remove(status, "ready", ready);
            mirror(status, vmi.as_deref(), &now);
            let stop_requests = status["stateChangeRequests"].as_array_mut();
            if let Some(requests) = stop_requests.filter(|_| stopped) {
                // The VMI that was to stop is gone.
                requests.retain(|r| r["action"] != "Stop");
            }
        })
        .await
}

/// A VM has the conditions of its VMI, besides those that are its own. The mark of an eviction stays with the VMI: it comes and
/// goes when nothing else of the VM changes, and would cost each migration two writes.
fn mirror(status: &mut Value, vmi: Option<&Value>, now: &str) {
    let seen = vmi.and_then(|vmi| vmi["status"]["conditions"].as_array());
    let seen: Vec<&Value> = seen.into_iter().flatten().filter(|c| c["type"] != "EvictionRequested").collect();
    let is_kept = |c: &Value| {
        c["type"].as_str().is_some_and(|kind| kind == "Ready" || OWN_CONDITIONS.contains(&kind))
            || seen.iter().any(|s| s["type"] == c["type"])
    };
    if let Some(list) = status["conditions"].as_array_mut() {
        list.retain(is_kept);
    }
    if vmi.is_none() {
        conditions::set(status, "Ready", "False", "VMINotExists", "VMI does not exist", now);
    } else if seen.iter().all(|c| c["type"] != "Ready") {
        // What a new VMI says first of all: so that this is one write with the status that goes with it.
        conditions::set(status, "Ready", "False", "GuestNotRunning", "", now);
    }
    for condition in seen {
        let said = |field: &str| text(&condition[field]);
        conditions::set(status, said("type"), said("status"), said("reason"), said("message"), now);
    }
}

fn set_or_remove(status: &mut Value, field: &str, value: bool) {
    if value {
        status[field] = json!(true);
    } else if let Some(status) = status.as_object_mut() {
        status.remove(field);
    }
}

fn is_unschedulable(vmi: &Value) -> bool {
    let scheduled = conditions::get(vmi, "PodScheduled");
    scheduled.is_some_and(|c| c["status"] == "False" && c["reason"] == "Unschedulable")
}

fn printable(vm: &Value, vmi: Option<&Value>) -> &'static str {
    if is_deleting(vm) {
        return "Terminating";
    }
    let Some(vmi) = vmi.filter(|v| !is_final(v)) else {
        let waits = !vm["status"]["startFailure"].is_null() && run_strategy(vm) != "Halted";
        return if waits { "CrashLoopBackOff" } else { "Stopped" };
    };
    if is_deleting(vmi) {
        return "Stopping";
    }
    let state = &vmi["status"]["migrationState"];
    let migrates = state["startTimestamp"].is_string() && state["completed"] != true;
    match vmi["status"]["phase"].as_str() {
        Some("Running") if migrates => "Migrating",
        Some("Running") => "Running",
        Some("Scheduling") if is_unschedulable(vmi) => "ErrorUnschedulable",
        _ => "Starting",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The table of `kubevirt.md` §5.2: what a run strategy does about a guest that ended.
    #[test]
    fn run_strategies_answer_the_end_of_a_guest() {
        let vmi = |phase: &str| Some(json!({"metadata": {"uid": "u"}, "status": {"phase": phase}}));
        for (strategy, seen, expected) in [
            ("Always", vmi("Succeeded"), Move::Stop),
            ("Always", vmi("Failed"), Move::Stop),
            ("Always", None, Move::Start),
            ("RerunOnFailure", vmi("Succeeded"), Move::Stop),
            ("RerunOnFailure", vmi("Failed"), Move::StopAndRerun),
            ("RerunOnFailure", None, Move::Nothing),
            ("Manual", vmi("Succeeded"), Move::Nothing),
            ("Manual", vmi("Failed"), Move::Nothing),
            ("Manual", None, Move::Nothing),
            ("Once", vmi("Succeeded"), Move::Nothing),
            ("Once", vmi("Failed"), Move::Nothing),
            ("Once", None, Move::Start),
            ("Halted", vmi("Running"), Move::Stop),
            ("Halted", None, Move::Nothing),
        ] {
            let vm = json!({"spec": {"runStrategy": strategy}, "status": {"runStrategy": strategy}});
            assert_eq!(decide(&vm, seen.as_ref()), expected, "{strategy} {seen:?}");
        }
    }

    #[test]
    fn a_new_vm_starts_and_one_that_was_off_stays_off() {
        for (status, expected) in [
            (json!({}), Move::Start),
            (json!({"printableStatus": "Stopped"}), Move::Nothing),
            (json!({"printableStatus": "Stopped", "runStrategy": "Halted"}), Move::Start),
            (json!({"printableStatus": "Stopped", "runStrategy": "RerunOnFailure"}), Move::Nothing),
        ] {
            let vm = json!({"spec": {"runStrategy": "RerunOnFailure"}, "status": status});
            assert_eq!(decide(&vm, None), expected, "{vm}");
        }
    }
}
