//! Conflicts in words: what it is, which field to change, what would help.

use super::{Member, Object, Reason, consents};
use crate::inventory::remedy;
use crate::schedule::overridable;
use crate::schedule::problem::{Problem, Workload};

/// The node that a reason is about.
pub(super) fn node_id(reason: &Reason) -> u32 {
    match reason {
        Reason::Limit { node }
        | Reason::NeverAllows { node, .. }
        | Reason::ManyBudgets { node, .. }
        | Reason::Stranded { node, .. }
        | Reason::NoHost { node, .. }
        | Reason::Lacks { node, .. }
        | Reason::Pinned { node, .. }
        | Reason::Capacity { node, .. }
        | Reason::Crowded { node, .. } => *node,
    }
}

/// Its name.
pub(super) fn node(problem: &Problem, reason: &Reason) -> String {
    problem.instance.nodes.name[node_id(reason) as usize].clone()
}

/// The object whose never it is.
pub(super) fn subject(problem: &Problem, reason: &Reason) -> Object {
    match reason {
        Reason::Lacks { workload, .. } => Object::Workload(*workload),
        _ => culprit(problem, reason),
    }
}

/// The object that an operator would look at first.
pub(super) fn culprit(problem: &Problem, reason: &Reason) -> Object {
    match reason {
        Reason::Lacks { lack, .. } => Object::Setting(problem.lacks[*lack as usize].consent.setting()),
        Reason::NeverAllows { budget, .. } | Reason::Pinned { budget, .. } => Object::Budget(*budget),
        Reason::ManyBudgets { budgets, .. } => Object::Budget(budgets[1]),
        Reason::Stranded { workload, .. } | Reason::NoHost { workload, .. } => Object::Workload(*workload),
        Reason::Limit { node } | Reason::Capacity { node, .. } | Reason::Crowded { node, .. } => {
            Object::Node(*node)
        }
    }
}

fn pods(count: u32) -> String {
    if count == 1 { "1 pod".to_owned() } else { format!("{count} pods") }
}

/// An amount of a resource as people write it.
fn amount(resource: &str, amount: u64) -> String {
    let tenths = |value: u64, unit: u64| {
        let tenths = u128::from(value) * 10 / u128::from(unit);
        format!("{}.{}", tenths / 10, tenths % 10)
    };
    match resource {
        "cpu" => format!("{} CPUs", tenths(amount, 1000)),
        "memory" => format!("{} GiB of memory", tenths(amount, 1 << 30)),
        "ephemeral-storage" => format!("{} GiB of ephemeral storage", tenths(amount, 1 << 30)),
        "pods" => format!("places for {}", pods(u32::try_from(amount).unwrap_or(u32::MAX))),
        other => format!("{amount} of {other}"),
    }
}

/// Why there is no schedule.
pub(super) fn why(problem: &Problem, reason: &Reason) -> String {
    let node = node(problem, reason);
    let workload = |id: u32| problem.workloads[id as usize].to_string();
    let budget = |id: u32| &problem.budgets[id as usize];
    match reason {
        Reason::Limit { .. } => format!("a limit of 0 unavailable nodes never lets node {node} begin"),
        Reason::NeverAllows { budget: id, workload: of, .. } => {
            let budget = budget(*id);
            let (name, terms, of) = (&budget.name, &budget.terms, workload(*of));
            match &budget.uncounted {
                Some(message) => format!(
                    "budget {name} ({terms}) allows no disruption of {of}: its pods can't be counted ({message})"
                ),
                None => format!(
                    "budget {name} ({terms}) never allows a disruption of {of}: it wants {} healthy and has {} in all",
                    pods(budget.desired),
                    budget.expected
                ),
            }
        }
        Reason::ManyBudgets { budgets: [one, other], workload: of, .. } => format!(
            "pods of {} are under two budgets, {} and {}; the API server refuses their eviction always",
            workload(*of),
            budget(*one).name,
            budget(*other).name
        ),
        Reason::Stranded { stranded, workload: of, .. } => {
            let stranded = &problem.stranded[*stranded as usize];
            let message = &stranded.message;
            let message = if message.is_empty() { String::new() } else { format!(" ({message})") };
            format!("{} on {node} cannot live-migrate: {}{message}", workload(*of), stranded.reason)
        }
        Reason::NoHost { workload: of, .. } => {
            format!("{} on {node} can live-migrate, and no other node can host it", workload(*of))
        }
        Reason::Lacks { lack, workload: of, .. } => {
            consents::why(&problem.lacks[*lack as usize].consent, &workload(*of), &node)
        }
        Reason::Pinned { budget: id, pods: count, .. } => {
            let budget = budget(*id);
            format!(
                "{} on {node} can come back to that node only, and budget {} ({}) lets {} be away at once",
                pods(*count),
                budget.name,
                budget.terms,
                budget.most
            )
        }
        Reason::Capacity { resource, asked, there, .. } => {
            let resource = &problem.instance.resources[*resource as usize];
            format!(
                "without node {node}, {} would be needed and {} are there",
                amount(resource, *asked),
                amount(resource, *there)
            )
        }
        Reason::Crowded { owner, pods: count, places, .. } => {
            let owner = &problem.instance.owners[*owner as usize].name;
            format!("without node {node}, {} like those of {owner} have {places} places apart", pods(*count))
        }
    }
}

/// An object's part in it.
pub(super) fn member(problem: &Problem, reason: &Reason, object: Object) -> Member {
    match object {
        Object::Node(node) => of_node(problem, reason, node),
        Object::Budget(budget) => of_budget(problem, reason, budget),
        Object::Workload(workload) => of_workload(problem, reason, &problem.workloads[workload as usize]),
        Object::Setting(setting) => consents::of_plan(problem, reason, setting),
    }
}

fn of_node(problem: &Problem, reason: &Reason, node: u32) -> Member {
    let group = problem.instance.nodes.group[node as usize];
    let (field, help) = match reason {
        Reason::Limit { .. } => ("spec.concurrency".to_owned(), "allow one unavailable node or more"),
        _ => (format!("spec.groups[{}].nodes", group_name(problem, group)), "leave the node out of the plan"),
    };
    Member {
        kind: "Node".to_owned(),
        namespace: String::new(),
        name: problem.instance.nodes.name[node as usize].clone(),
        field,
        help: help.to_owned(),
    }
}

fn group_name(problem: &Problem, group: u32) -> &str {
    problem.instance.groups.get(group as usize).map_or("", |g| g.name.as_str())
}

/// What the plan itself could allow.
fn by_plan(problem: &Problem, reason: &Reason) -> String {
    let (Reason::NeverAllows { workload, .. } | Reason::ManyBudgets { workload, .. }) = reason else {
        return String::new();
    };
    let kind = problem.workloads[*workload as usize].kind.as_str();
    if kind.starts_with("VirtualMachine") {
        return String::new();
    }
    let surge_helps = |budget: u32| problem.budgets[budget as usize].allows_with_one_more;
    match reason {
        Reason::NeverAllows { budget, .. } if problem.singles.contains(workload) && surge_helps(*budget) => {
            format!(", or set drain.surge: SingleReplica in the plan, or {}", overridable(kind))
        }
        _ => format!(", or {}", overridable(kind)),
    }
}

fn of_budget(problem: &Problem, reason: &Reason, budget: u32) -> Member {
    let terms = &problem.budgets[budget as usize];
    let (field, help) = match reason {
        Reason::ManyBudgets { .. } => {
            ("spec.selector", "let only one budget select these pods, or delete one of the two".to_owned())
        }
        Reason::Pinned { pods, .. } => (terms.field, format!("let {pods} of its pods be away at once")),
        _ if terms.uncounted.is_some() => (
            terms.field,
            "say minAvailable as a whole number, or select pods whose controller has a scale".to_owned(),
        ),
        _ if terms.field == "spec.minAvailable" => {
            (terms.field, format!("want {} at most, or run more replicas", terms.expected.saturating_sub(1)))
        }
        _ => (terms.field, "allow 1 or more, or run more replicas".to_owned()),
    };
    Member {
        kind: "PodDisruptionBudget".to_owned(),
        namespace: terms.name.namespace.clone(),
        name: terms.name.name.clone(),
        field: field.to_owned(),
        help: help + &by_plan(problem, reason),
    }
}

/// Where a workload's pods are described.
fn template(workload: &Workload) -> &'static str {
    match workload.kind.as_str() {
        "Pod" | "VirtualMachineInstance" => "spec",
        "Job"
        | "ReplicaSet"
        | "ReplicationController"
        | "Deployment"
        | "StatefulSet"
        | "DaemonSet"
        | "VirtualMachine" => "spec.template.spec",
        // What an operator's own resource calls it isn't known.
        _ => "spec",
    }
}

fn of_workload(problem: &Problem, reason: &Reason, workload: &Workload) -> Member {
    let spec = template(workload);
    let is_guest = workload.kind.starts_with("VirtualMachine");
    let (field, help) = match reason {
        Reason::NeverAllows { budget, .. } if !is_guest => {
            let wanted = problem.budgets[*budget as usize].desired.saturating_add(1);
            ("spec.replicas".to_owned(), format!("run {wanted} replicas or more"))
        }
        Reason::NeverAllows { .. } => {
            (format!("{spec}.evictionStrategy"), "LiveMigrate: a migration asks no budget".to_owned())
        }
        Reason::ManyBudgets { .. } => (
            format!("{}metadata.labels", spec.strip_suffix("spec").unwrap_or_default()),
            "label its pods so that one budget only selects them".to_owned(),
        ),
        Reason::Stranded { stranded, .. } => {
            let reason = problem.stranded[*stranded as usize].reason.as_str();
            let field = match reason {
                "InterfaceNotLiveMigratable" => "domain.devices.interfaces",
                "DisksNotLiveMigratable" => "volumes",
                "HostDeviceNotLiveMigratable" => "domain.devices",
                "CPUModeLiveMigratable" => "domain.cpu.model",
                _ => "evictionStrategy",
            };
            let help = format!("{}, or set virtualMachines.nonMigratable: Restart in the plan", remedy(reason));
            (format!("{spec}.{field}"), help)
        }
        Reason::NoHost { .. } => (
            format!("{spec}.nodeSelector"),
            "let another node host it (selector, affinity, taints, volumes, CPU model, size), or let it restart".to_owned(),
        ),
        Reason::Pinned { .. } => (
            format!("{spec}.volumes"),
            "let other nodes host its pods (volumes, selector, affinity, size)".to_owned(),
        ),
        Reason::Capacity { .. } if is_guest => {
            (format!("{spec}.domain"), "make it smaller, or stop it meanwhile".to_owned())
        }
        Reason::Capacity { .. } => {
            (format!("{spec}.containers"), "request less, run fewer replicas, or add a node".to_owned())
        }
        Reason::Crowded { .. } => (
            format!("{spec}.affinity.podAntiAffinity"),
            "prefer to be apart instead of requiring it, run one replica less, or add a node".to_owned(),
        ),
        Reason::Lacks { lack, .. } => consents::of_workload(&problem.lacks[*lack as usize].consent, spec),
        Reason::Limit { .. } => (spec.to_owned(), String::new()),
    };
    Member {
        kind: workload.kind.clone(),
        namespace: workload.name.namespace.clone(),
        name: workload.name.name.clone(),
        field,
        help: help + &by_plan(problem, reason),
    }
}
