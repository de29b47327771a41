//! Workloads and their budgets.

use jiff::Timestamp;

use super::cells::{age_text, holds, joined_or_none, labels, list, scalar, selector, since, text};
use super::{Column, Source, pod};
use crate::sim::clock::parse_time;
use crate::sim::json::Value;

pub(super) fn columns(resource: &str) -> Option<Vec<Column>> {
    Some(match resource {
        "pods" => pod::columns(),
        "deployments.apps" => with_template(
            vec![
                Column::name(),
                Column::of("Ready", ready_of_desired),
                Column::number("Up-to-date", "/status/updatedReplicas"),
                Column::number("Available", "/status/availableReplicas"),
                Column::age(),
            ],
            true,
        ),
        "replicasets.apps" => with_template(replicas(), true),
        "replicationcontrollers" => {
            let mut columns = with_template(replicas(), false);
            columns.push(Column::of("Selector", |o| labels(&o["spec"]["selector"])).wide());
            columns
        }
        "statefulsets.apps" => {
            with_template(vec![Column::name(), Column::of("Ready", ready_of_desired), Column::age()], false)
        }
        "daemonsets.apps" => with_template(daemon_sets(), true),
        "jobs.batch" => with_template(
            vec![
                Column::name(),
                Column::of("Status", job_status),
                Column::of("Completions", completions),
                Column::new("Duration", "string", Source::At(job_duration)),
                Column::age(),
            ],
            true,
        ),
        "cronjobs.batch" => cron_jobs(),
        "controllerrevisions.apps" => vec![
            Column::name(),
            Column::of("Controller", controller),
            Column::number("Revision", "/revision"),
            Column::age(),
        ],
        "poddisruptionbudgets.policy" => vec![
            Column::name(),
            Column::text_or("Min Available", "/spec/minAvailable", "N/A"),
            Column::text_or("Max Unavailable", "/spec/maxUnavailable", "N/A"),
            Column::number("Allowed Disruptions", "/status/disruptionsAllowed"),
            Column::age(),
        ],
        _ => return None,
    })
}

fn replicas() -> Vec<Column> {
    vec![
        Column::name(),
        Column::number("Desired", "/spec/replicas"),
        Column::number("Current", "/status/replicas"),
        Column::number("Ready", "/status/readyReplicas"),
        Column::age(),
    ]
}

fn daemon_sets() -> Vec<Column> {
    vec![
        Column::name(),
        Column::number("Desired", "/status/desiredNumberScheduled"),
        Column::number("Current", "/status/currentNumberScheduled"),
        Column::number("Ready", "/status/numberReady"),
        Column::number("Up-to-date", "/status/updatedNumberScheduled"),
        Column::number("Available", "/status/numberAvailable"),
        Column::of("Node Selector", |o| labels(&o["spec"]["template"]["spec"]["nodeSelector"])),
        Column::age(),
    ]
}

fn cron_jobs() -> Vec<Column> {
    vec![
        Column::name(),
        Column::text("Schedule", "/spec/schedule"),
        Column::text_or("Timezone", "/spec/timeZone", "<none>"),
        Column::of("Suspend", |o| if o["spec"]["suspend"] == true { "True" } else { "False" }.to_owned()),
        Column::new("Active", "integer", Source::Count("/status/active")),
        Column::new("Last Schedule", "string", Source::At(last_schedule)),
        Column::age(),
        Column::of("Containers", |o| containers_of(&o["spec"]["jobTemplate"], "name")).wide(),
        Column::of("Images", |o| containers_of(&o["spec"]["jobTemplate"], "image")).wide(),
        Column::of("Selector", |o| selector(&o["spec"]["jobTemplate"]["spec"]["selector"])).wide(),
    ]
}

fn last_schedule(object: &Value, now: Timestamp) -> String {
    match &object["status"]["lastScheduleTime"] {
        Value::Null => "<none>".to_owned(),
        time => since(time, now),
    }
}

/// Containers and images of the template, and the selector where the kind shows one.
fn with_template(mut columns: Vec<Column>, selects: bool) -> Vec<Column> {
    columns.push(Column::of("Containers", |o| containers_of(o, "name")).wide());
    columns.push(Column::of("Images", |o| containers_of(o, "image")).wide());
    if selects {
        columns.push(Column::of("Selector", |o| selector(&o["spec"]["selector"])).wide());
    }
    columns
}

fn containers_of(object: &Value, field: &str) -> String {
    let containers = list(&object["spec"]["template"]["spec"]["containers"]);
    containers.map(|c| text(&c[field]).to_owned()).collect::<Vec<_>>().join(",")
}

fn ready_of_desired(object: &Value) -> String {
    let number = |v: &Value| v.as_i64().unwrap_or(0);
    format!("{}/{}", number(&object["status"]["readyReplicas"]), number(&object["spec"]["replicas"]))
}

fn job_status(job: &Value) -> String {
    let shown = if holds(job, "Complete") {
        "Complete"
    } else if holds(job, "Failed") {
        "Failed"
    } else if !job["metadata"]["deletionTimestamp"].is_null() {
        "Terminating"
    } else {
        ["Suspended", "FailureTarget", "SuccessCriteriaMet"]
            .into_iter()
            .find(|c| holds(job, c))
            .unwrap_or("Running")
    };
    shown.to_owned()
}

fn completions(job: &Value) -> String {
    let succeeded = job["status"]["succeeded"].as_i64().unwrap_or(0);
    match (job["spec"]["completions"].as_i64(), job["spec"]["parallelism"].as_i64().unwrap_or(0)) {
        (Some(completions), _) => format!("{succeeded}/{completions}"),
        (None, parallelism) if parallelism > 1 => format!("{succeeded}/1 of {parallelism}"),
        (None, _) => format!("{succeeded}/1"),
    }
}

fn job_duration(job: &Value, now: Timestamp) -> String {
    let time = |field: &str| job["status"][field].as_str().and_then(parse_time);
    let Some(began) = time("startTime") else { return String::new() };
    age_text(time("completionTime").unwrap_or(now).duration_since(began).as_secs())
}

fn controller(object: &Value) -> String {
    let owner = list(&object["metadata"]["ownerReferences"]).find(|o| o["controller"] == true);
    joined_or_none(owner.into_iter().map(|o| {
        let group = scalar(&o["apiVersion"])
            .split_once('/')
            .map(|(group, _)| format!(".{group}"))
            .unwrap_or_default();
        format!("{}{group}/{}", text(&o["kind"]).to_lowercase(), text(&o["name"]))
    }))
}
