//! Checking what a plan means: names, references, cycles, hooks, limits, times.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;

use super::diagnostic::Diagnostics;
use super::structure::nearest;
use super::tree::Located;
use super::v1alpha1::{
    Concurrency, Group, Hook, HookPoint, IntOrPercent, MaintenancePlanSpec, OnTimeout, WaitForHook,
};

struct Check<'a> {
    spec: &'a MaintenancePlanSpec,
    tree: &'a Located,
    found: &'a mut Diagnostics,
}

/// Checks a plan that has the right structure.
pub(super) fn check(spec: &MaintenancePlanSpec, tree: &Located, found: &mut Diagnostics) {
    let mut check = Check { spec, tree, found };
    check.groups();
    check.cycle();
    check.hooks();
    check.limits();
    check.times();
    check.selectors();
    check.overrides();
    check.not_kept_yet();
}

impl Check<'_> {
    fn error(&mut self, path: &[&str], message: String, hint: impl Into<String>) {
        let place = self.tree.place(path);
        self.found.error(Some(place), message, hint);
    }

    fn groups(&mut self) {
        if self.spec.groups.is_empty() {
            self.error(
                &["spec", "groups"],
                "the plan has no groups".to_owned(),
                "add at least one group of nodes",
            );
        }
        let mut owner: BTreeMap<&str, usize> = BTreeMap::new();
        for (index, group) in self.spec.groups.iter().enumerate() {
            let at = index.to_string();
            let base = ["spec", "groups", at.as_str()];
            if self.spec.groups[..index].iter().any(|g| g.name == group.name) {
                let path = [&base[..], &["name"]].concat();
                self.error(
                    &path,
                    format!("two groups are called `{}`", group.name),
                    "each group needs a name of its own",
                );
            }
            if group.nodes.names.is_empty() && group.nodes.selector.is_none() {
                let path = [&base[..], &["nodes"]].concat();
                self.error(
                    &path,
                    format!("group `{}` selects no nodes", group.name),
                    "give names, or a selector ({} selects all)",
                );
            }
            self.depends(index, group);
            for (position, name) in group.nodes.names.iter().enumerate() {
                let position = position.to_string();
                let path = [&base[..], &["nodes", "names", position.as_str()]].concat();
                if let Some(first) = owner.insert(name, index) {
                    let first = &self.spec.groups[first].name;
                    let where_ = if *first == group.name {
                        format!("twice in group `{first}`")
                    } else {
                        format!("in two groups: `{first}` and `{}`", group.name)
                    };
                    self.error(&path, format!("node `{name}` is {where_}"), "name each node once");
                }
            }
        }
    }

    fn depends(&mut self, index: usize, group: &Group) {
        let names: Vec<&str> = self.spec.groups.iter().map(|g| g.name.as_str()).collect();
        for (position, dependency) in group.depends_on.iter().enumerate() {
            let (at, position) = (index.to_string(), position.to_string());
            let path = ["spec", "groups", at.as_str(), "dependsOn", position.as_str()];
            if *dependency == group.name {
                self.error(&path, format!("group `{dependency}` depends on itself"), "remove it");
            } else if !names.contains(&dependency.as_str()) {
                let hint = nearest(dependency, names.iter().copied());
                let hint = hint.map_or_else(
                    || format!("groups: {}", names.join(", ")),
                    |n| format!("did you mean `{n}`?"),
                );
                self.error(&path, format!("there is no group `{dependency}`"), hint);
            }
        }
    }

    fn cycle(&mut self) {
        let groups = &self.spec.groups;
        let Some(cycle) = super::cycle::cycle(groups) else { return };
        let round = cycle.iter().chain(cycle.first());
        let names: Vec<&str> = round.map(|i| groups[*i].name.as_str()).collect();
        let at = cycle[0].to_string();
        let message = format!("dependsOn goes round in a circle: {}", names.join(" → "));
        let path = ["spec", "groups", at.as_str(), "dependsOn"];
        self.error(&path, message, "one of these must not depend on the next");
    }

    fn hooks(&mut self) {
        for (index, hook) in self.spec.hooks.iter().enumerate() {
            let at = index.to_string();
            let base = ["spec", "hooks", at.as_str()];
            let path = |field: &'static str| [&base[..], &[field]].concat();
            if self.spec.hooks[..index].iter().any(|h| h.name == hook.name) {
                self.error(
                    &path("name"),
                    format!("two hooks are called `{}`", hook.name),
                    "each hook needs a name of its own",
                );
            }
            let kinds = kinds(hook);
            if kinds.len() != 1 {
                let message = match kinds.len() {
                    0 => format!("hook `{}` does nothing", hook.name),
                    _ => format!("hook `{}` does several things: {}", hook.name, kinds.join(", ")),
                };
                self.error(&base, message, "give exactly one of exec, job, http, waitFor, reboot");
            }
            if hook.timeout.0.is_zero() {
                self.error(
                    &path("timeout"),
                    format!("hook `{}` has no time to run", hook.name),
                    "a timeout above zero",
                );
            }
            if let Some(expected) = hook.expected.filter(|e| e.0 > hook.timeout.0) {
                let message = format!(
                    "hook `{}` is expected to take {expected}, but has {} to run",
                    hook.name, hook.timeout
                );
                self.error(&path("expected"), message, "a timeout that is longer");
            }
            if hook.exec.as_ref().is_some_and(Vec::is_empty) {
                self.error(
                    &path("exec"),
                    format!("hook `{}` has an empty command", hook.name),
                    "[program, argument, …]",
                );
            }
            if hook.reboot.is_some() && !is_node_point(hook.at) {
                let message =
                    format!("hook `{}` reboots, but {:?} is no point of a node", hook.name, hook.at);
                self.error(&path("at"), message, "use Maintenance");
            }
            self.wait_for(&base, hook);
            for (position, group) in hook.groups.iter().enumerate() {
                if !self.spec.groups.iter().any(|g| g.name == *group) {
                    let position = position.to_string();
                    let path = [&base[..], &["groups", position.as_str()]].concat();
                    self.error(&path, format!("there is no group `{group}`"), "");
                }
            }
        }
    }

    fn wait_for(&mut self, base: &[&str], hook: &Hook) {
        let Some(wait) = &hook.wait_for else { return };
        let WaitForHook { condition, json_path, name, .. } = wait;
        let path = [base, &["waitFor"]].concat();
        if condition.is_some() == json_path.is_some() {
            let message = format!("hook `{}`: waitFor takes a condition or a jsonPath", hook.name);
            self.error(&path, message, "exactly one of condition, jsonPath");
        }
        if let Some(Err(why)) = json_path.as_deref().map(super::json_path::parse) {
            let path = [base, &["waitFor", "jsonPath"]].concat();
            self.error(&path, format!("hook `{}`: {why}", hook.name), "as kubectl takes it: {.status.phase}");
        }
        if name.is_none() && !is_node_point(hook.at) {
            let message = format!("hook `{}`: at {:?} there is no node to wait for", hook.name, hook.at);
            self.error(&path, message, "give kind and name");
        }
    }

    fn limits(&mut self) {
        self.concurrency(&["spec", "concurrency"], self.spec.concurrency.as_ref());
        for (index, group) in self.spec.groups.iter().enumerate() {
            let at = index.to_string();
            self.concurrency(&["spec", "groups", at.as_str(), "concurrency"], group.concurrency.as_ref());
        }
    }

    fn concurrency(&mut self, path: &[&str], concurrency: Option<&Concurrency>) {
        let Some(concurrency) = concurrency else { return };
        let limits = [
            ("maxUnavailable", concurrency.max_unavailable),
            ("maxUnavailablePerZone", concurrency.max_unavailable_per_zone),
        ];
        for (field, limit) in limits {
            if matches!(limit, Some(IntOrPercent::Int(0) | IntOrPercent::Percent(0))) {
                let path = [path, &[field]].concat();
                self.error(
                    &path,
                    format!("{field} of nothing: no node could ever start"),
                    "at least 1 or 1%",
                );
            }
        }
    }

    fn times(&mut self) {
        for (path, duration) in [
            (["spec", "drain", "timeout"], self.spec.drain.timeout),
            (["spec", "safePowerOff", "timeout"], self.spec.safe_power_off.timeout),
            (["spec", "verify", "timeout"], self.spec.verify.timeout),
        ] {
            if duration.0.is_zero() {
                self.error(
                    &path,
                    format!("{} of nothing", path[1..].join(".")),
                    "a duration above zero, such as 30m",
                );
            }
        }
        let requirement = self.spec.verify.kernel_version.as_deref();
        if let Some(text) = requirement.filter(|t| !is_kernel_requirement(t)) {
            self.error(
                &["spec", "verify", "kernelVersion"],
                format!("`{text}` is no requirement on a version"),
                "such as >=6.12",
            );
        }
        let windows = self.spec.windows.clone();
        for (index, window) in windows.iter().enumerate() {
            let at = index.to_string();
            self.cron(&["spec", "windows", at.as_str()], &window.cron, window.time_zone.as_deref());
        }
        if let Some(schedule) = self.spec.schedule.clone() {
            self.cron(&["spec", "schedule"], &schedule.cron, schedule.time_zone.as_deref());
        }
    }

    fn overrides(&mut self) {
        let drain = &self.spec.drain;
        for (index, over) in drain.overrides.iter().enumerate() {
            let at = index.to_string();
            let base = ["spec", "drain", "overrides", at.as_str()];
            let path = |fields: &[&'static str]| [&base[..], fields].concat();
            let workload = &over.workload;
            if over.reason.trim().is_empty() {
                let message = format!("the override for {workload} gives no reason");
                self.error(
                    &path(&["reason"]),
                    message,
                    "say why its budget may be passed: it stands in the report",
                );
            }
            for (field, value) in [("namespace", &workload.namespace), ("name", &workload.name)] {
                if value.trim().is_empty() {
                    let message = format!("an override's {field} is empty: it names one workload");
                    self.error(&path(&["workload", field]), message, format!("the workload's {field}"));
                }
            }
            if drain.overrides[..index].iter().any(|o| o.workload == *workload) {
                let message = format!("two overrides are for {workload}");
                self.error(&path(&["workload"]), message, "one for each workload");
            }
            if over.after.0 >= drain.timeout.0 && drain.on_timeout != OnTimeout::Wait {
                let message = format!(
                    "after {}, but the drain has {}: the override would never be used",
                    over.after, drain.timeout
                );
                self.error(&path(&["after"]), message, "less than drain.timeout");
            }
        }
    }

    /// Someone who writes a window relies on it.
    fn not_kept_yet(&mut self) {
        let warn = |check: &mut Self, field: &str, message: &str, hint: &str| {
            let place = check.tree.place(&["spec", field]);
            check.found.warning(Some(place), message, hint);
        };
        if !self.spec.windows.is_empty() {
            let hint = "run `apply` inside the window, and stop it with Ctrl-C before its end";
            warn(self, "windows", "windows are checked, but this version does not keep to them", hint);
        }
        if self.spec.schedule.is_some() {
            let hint = "start `virtroll apply` by a timer of your own";
            warn(
                self,
                "schedule",
                "schedule is checked, but this version begins no campaign by itself",
                hint,
            );
        }
    }

    fn cron(&mut self, path: &[&str], cron: &str, zone: Option<&str>) {
        if let Err(why) = cron.parse::<croner::Cron>() {
            self.error(
                &[path, &["cron"]].concat(),
                format!("`{cron}` is no cron expression: {why}"),
                "such as 0 22 * * SAT",
            );
        }
        if let Some(zone) = zone.filter(|z| jiff::tz::TimeZone::get(z).is_err()) {
            self.error(
                &[path, &["timeZone"]].concat(),
                format!("`{zone}` is no time zone"),
                "an IANA name such as Europe/Berlin",
            );
        }
    }

    fn selectors(&mut self) {
        for (index, group) in self.spec.groups.iter().enumerate() {
            let index = index.to_string();
            let path = ["spec", "groups", index.as_str(), "nodes", "selector"];
            self.selector(&path, group.nodes.selector.as_ref());
        }
        self.selector(&["spec", "drain", "podSelector"], self.spec.drain.pod_selector.as_ref());
        for (index, tier) in self.spec.drain.tiers.iter().enumerate() {
            let index = index.to_string();
            self.selector(&["spec", "drain", "tiers", index.as_str(), "selector"], tier.selector.as_ref());
        }
    }

    fn selector(&mut self, path: &[&str], selector: Option<&LabelSelector>) {
        let expressions = selector.and_then(|s| s.match_expressions.as_ref());
        for (position, expression) in expressions.into_iter().flatten().enumerate() {
            let position = position.to_string();
            let path = [path, &["matchExpressions", position.as_str()]].concat();
            let values = expression.values.as_ref().is_some_and(|v| !v.is_empty());
            let wants = match expression.operator.as_str() {
                "In" | "NotIn" => Some(true),
                "Exists" | "DoesNotExist" => Some(false),
                other => {
                    let known = ["In", "NotIn", "Exists", "DoesNotExist"];
                    let hint = nearest(other, known.into_iter())
                        .map_or_else(|| known.join(", "), |n| format!("did you mean `{n}`?"));
                    let message = format!("`{other}` is no operator");
                    self.error(&[&path[..], &["operator"]].concat(), message, hint);
                    None
                }
            };
            if wants.is_some_and(|w| w != values) {
                let hint = if wants == Some(true) { "add values" } else { "remove values" };
                let message = format!("operator {} and its values don't go together", expression.operator);
                self.error(&path, message, hint);
            }
        }
    }
}

fn kinds(hook: &Hook) -> Vec<&'static str> {
    let given = [
        ("exec", hook.exec.is_some()),
        ("job", hook.job.is_some()),
        ("http", hook.http.is_some()),
        ("waitFor", hook.wait_for.is_some()),
        ("reboot", hook.reboot.is_some()),
    ];
    given.into_iter().filter(|(_, is)| *is).map(|(name, _)| name).collect()
}

fn is_node_point(point: HookPoint) -> bool {
    match point {
        HookPoint::PreDrain
        | HookPoint::Maintenance
        | HookPoint::PreUncordon
        | HookPoint::PostUncordon
        | HookPoint::OnFailure => true,
        HookPoint::BeforeCampaign
        | HookPoint::BeforeGroup
        | HookPoint::AfterGroup
        | HookPoint::AfterCampaign => false,
    }
}

fn is_kernel_requirement(text: &str) -> bool {
    let version = text.trim().trim_start_matches(['>', '<', '=']).trim();
    let operator = text.trim().len() - text.trim().trim_start_matches(['>', '<', '=']).len();
    operator <= 2
        && !version.is_empty()
        && version.split('.').all(|p| !p.is_empty() && p.bytes().all(|b| b.is_ascii_digit()))
}
