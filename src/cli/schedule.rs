//! `virtroll apply --dry-run=schedule`: the planner's forecast, or what stands against every schedule.

use serde::Serialize;

use super::output::{err, out, write_err, write_out};
use super::rehearse;
use super::report::Output;
use super::{Cluster, Exit, complain, complain_of_plan, print_json};
use crate::cluster::{inventory_of, records_among};
use crate::engine;
use crate::plan::Loaded;
use crate::report::{Outlook, conflict_text};
use crate::schedule::conflict::{Conflict, Never};
use crate::schedule::problem::{Durations, Progress};
use crate::schedule::search::{self, Effort};
use crate::schedule::{NoSchedule, Planned};

/// What is printed when no schedule exists.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Against<'a> {
    conflict: &'a Conflict,
    /// Everything else that never works by itself.
    nevers: &'a [Never],
}

/// Plans the campaign on what is known of the cluster, and says what came of it.
pub(super) fn run(loaded: &Loaded, cluster: &Cluster, effort: Effort, output: Output) -> Result<Exit, Exit> {
    if output == Output::Html {
        complain(&"--dry-run=schedule has no page: ask for text, json or dot, or leave out `=schedule`");
        return Err(Exit::BadInput);
    }
    let (objects, name) = rehearse::objects(loaded, cluster)?;
    let inventory = inventory_of(&objects);
    let spec = &loaded.plan.spec;
    let groups = crate::schedule::resolve(spec, &inventory)
        .map_err(|misfits| complain_of_plan(loaded, &engine::Error::Groups(misfits), output))?;
    let plan = loaded.plan.metadata.name.as_deref().unwrap_or_default();
    let durations = Durations::learned(&records_among(&objects, plan));
    let Planned { problem, taken_out } =
        Planned::new(spec, &groups, &inventory, &durations, &Progress::default()).map_err(|found| {
            refuse(&found, output);
            Exit::NoSchedule
        })?;
    let found = search::plan(&problem.instance, effort);
    let outlook = Outlook::new(plan, &name, &problem, &found, &taken_out);
    match output {
        Output::Json => print_json(&outlook),
        Output::Dot => write_out(&outlook.dot()),
        Output::Text | Output::Html => out!("{}", outlook.text()),
    }
    Ok(Exit::Done)
}

/// Says what stands against every schedule.
pub(super) fn refuse(found: &NoSchedule, output: Output) {
    let NoSchedule { conflict: found, nevers } = found;
    if output == Output::Json {
        return print_json(&Against { conflict: found, nevers });
    }
    write_err(&conflict_text(found));
    err!(
        "Or in the plan, onConflict: Skip leaves out the nodes that are affected, and Proceed begins all the same."
    );
    for never in nevers.iter().filter(|n| n.why != found.why) {
        let member = &never.member;
        err!("also: {} (nodes {}); {}: {}", never.why, never.nodes.join(", "), member.field, member.help);
    }
}
