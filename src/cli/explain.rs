//! `virtroll explain`: what stands in the way of a node or a VM, and what it waits for.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::host::{self, Host};
use super::output::{err, out, write_err};
use super::report::Output;
use super::{Cluster, Exit, complain, complain_of_plan, print_json};
use crate::cluster::{Error, Observer, Scope, campaigns, whole};
use crate::engine::prepare;
use crate::inventory::{Inventory, ObjectName};
use crate::plan::Loaded;
use crate::plan::v1alpha1::{CampaignPhase, MaintenanceCampaign};
use crate::report::{NodeExplained, SoFar, VmExplained, planned};
use crate::schedule::problem::Durations;
use crate::schedule::search::Effort;

/// Say what stands in the way of a node or a VM, and what it waits for.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
      virtroll explain worker-05 --plan plan.yaml      when may this node start, and why not earlier?\n  \
      virtroll explain vm/db-1 -n shop                 what would a drain do to this VM?\n  \
      virtroll explain shop/db-1 --plan plan.yaml      the same, and when it moves")]
pub(super) struct Explain {
    /// A node (NODE or node/NODE), or a VM (vm/NAME or NAMESPACE/NAME); the kind may stand before the name as a word of its own.
    #[arg(required = true, num_args = 1..=2, value_name = "NODE|VM")]
    target: Vec<String>,
    /// Namespace of the VM.
    #[arg(short, long, value_name = "NAME", default_value = "default")]
    namespace: String,
    /// The plan whose schedule it is about.
    #[arg(long, value_name = "PLAN")]
    plan: Option<PathBuf>,
    /// How hard the planner looks for a good order, as in `apply`.
    #[arg(long, value_name = "MOVES", env = "VIRTROLL_EFFORT", hide_env_values = true, default_value_t = Effort::default().plays)]
    effort: u64,
    /// Output format.
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    output: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people.
    Text,
    /// For programs.
    Json,
}

/// What is asked about.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Target {
    Node(String),
    Vm(ObjectName),
}

/// Reads what kubectl's users write: `NAME`, `KIND/NAME`, `KIND NAME`, `NAMESPACE/NAME`.
fn target(words: &[String], namespace: &str) -> Result<Target, String> {
    let text = words.join("/");
    let parts: Vec<&str> = text.split('/').collect();
    let vm = |namespace: &str, name: &str| Target::Vm(ObjectName::new(namespace, name));
    match parts.as_slice() {
        parts if parts.iter().any(|p| p.is_empty()) => Err(format!("{text:?} names nothing")),
        [name] | ["node", name] => Ok(Target::Node((*name).to_owned())),
        [kind, rest @ ..] if is_vm(kind) => match rest {
            [name] => Ok(vm(namespace, name)),
            [namespace, name] => Ok(vm(namespace, name)),
            _ => Err(format!("{text:?} has too many parts; write vm/NAME or NAMESPACE/NAME")),
        },
        [namespace, name] => Ok(vm(namespace, name)),
        _ => Err(format!("{text:?} has too many parts; write NODE, vm/NAME or NAMESPACE/NAME")),
    }
}

/// Not their plurals, which are names that namespaces have.
fn is_vm(kind: &str) -> bool {
    ["vm", "vmi", "virtualmachine", "virtualmachineinstance"].contains(&kind)
}

/// `; did you mean NAME?` for the nearest of these names, if it is near.
fn nearest<'a>(name: &str, known: impl Iterator<Item = String> + 'a) -> String {
    let near = known.map(|k| (strsim::jaro_winkler(name, &k), k)).max_by(|a, b| a.0.total_cmp(&b.0));
    near.filter(|(likeness, _)| *likeness > 0.7)
        .map_or_else(String::new, |(_, k)| format!("; did you mean {k}?"))
}

impl Explain {
    pub(super) fn run(&self, cluster: &Cluster) -> Exit {
        self.try_run(cluster).unwrap_or_else(|exit| exit)
    }

    fn try_run(&self, cluster: &Cluster) -> Result<Exit, Exit> {
        let target = target(&self.target, &self.namespace).map_err(|why| {
            complain(&why);
            Exit::BadInput
        })?;
        let loaded = self.plan.as_ref().map(|file| load(file)).transpose()?;
        let (host, inventory, so_far) = cluster.runtime()?.block_on(async {
            let host = cluster.host().await?;
            let mut inventory = Inventory::new();
            let scope = Scope { placement: true, ..Scope::default() };
            let observed = Observer::start(&host.client, scope, &mut inventory).await;
            observed.map_err(|error| {
                complain(&error);
                Exit::Failed
            })?;
            let so_far = match &loaded {
                Some(loaded) => so_far(&host.client, loaded).await,
                None => SoFar::default(),
            };
            Ok((host, inventory, so_far))
        })?;
        self.explain(&target, loaded.as_ref(), &host, &inventory, so_far)
    }

    fn explain(
        &self,
        target: &Target,
        loaded: Option<&Loaded>,
        host: &Host,
        inventory: &Inventory,
        so_far: SoFar,
    ) -> Result<Exit, Exit> {
        // An unknown name is told before the planner's work, which may be long.
        if let Some(unknown) = unknown(target, inventory) {
            complain(&unknown);
            return Err(Exit::BadInput);
        }
        let groups = loaded.map(|loaded| {
            prepare(&loaded.plan, inventory).map_err(|e| complain_of_plan(loaded, &e, Output::Text))
        });
        let groups = groups.transpose()?;
        let now = host.clock.now();
        let plan = loaded.zip(groups.as_deref()).map(|(loaded, groups)| {
            let plan = (loaded.plan.metadata.name.as_deref().unwrap_or_default(), &loaded.plan.spec);
            planned(plan, groups, &host.name, inventory, so_far, now, Effort::of(self.effort))
        });
        match target {
            Target::Node(name) => {
                if let Some(found) = NodeExplained::of(inventory, name, plan.as_ref(), now) {
                    self.show(&found, || found.text());
                }
            }
            Target::Vm(name) => {
                if let Some(found) = VmExplained::of(inventory, name, plan.as_ref()) {
                    self.show(&found, || found.text());
                }
            }
        }
        Ok(Exit::Done)
    }

    fn show(&self, found: &impl serde::Serialize, text: impl Fn() -> String) {
        match self.output {
            Format::Json => print_json(found),
            Format::Text => out!("{}", text()),
        }
    }
}

/// What the plan's campaigns have shown, and what the unfinished one has behind it; nothing where they can't be read, which is said.
async fn so_far(client: &kube::Client, loaded: &Loaded) -> SoFar {
    let of_plan = of_plan(client, loaded.plan.metadata.name.as_ref()).await.unwrap_or_else(|error| {
        err!("Warning: {error}; the schedule is that of a campaign that begins now");
        Vec::new()
    });
    let record = of_plan.last().and_then(|c| c.status.as_ref());
    let record = record.filter(|r| r.phase != CampaignPhase::Succeeded);
    let nodes = record.into_iter().flat_map(|r| &r.nodes);
    SoFar {
        done: nodes.filter(|n| n.is_done()).map(|n| n.name.clone()).collect(),
        durations: Durations::learned(of_plan.iter().filter_map(|c| c.status.as_ref())),
    }
}

async fn of_plan(client: &kube::Client, plan: Option<&String>) -> Result<Vec<MaintenanceCampaign>, Error> {
    let mut records = Vec::new();
    for campaign in campaigns(client).await?.into_iter().filter(|c| Some(&c.spec.plan_name) == plan) {
        records.push(whole(client, campaign).await?);
    }
    Ok(records)
}

fn load(file: &std::path::Path) -> Result<Loaded, Exit> {
    let text = host::read(file)?;
    let loaded = crate::plan::load(&file.display().to_string(), &text).map_err(|found| {
        write_err(&found.render());
        Exit::BadInput
    })?;
    write_err(&loaded.warnings.render());
    Ok(loaded)
}

/// Words for a name that nothing has.
fn unknown(target: &Target, inventory: &Inventory) -> Option<String> {
    let vms = || inventory.vms().map(|vm| &vm.name).chain(inventory.vmis().map(|vmi| &vmi.name));
    match target {
        Target::Node(name) if inventory.node(name).is_none() => {
            let of_node = nearest(name, inventory.nodes().keys().cloned());
            // Whoever forgot to say that it is a VM.
            let vm = vms().find(|vm| vm.name == *name);
            let hint =
                vm.map_or(of_node, |vm| format!("; there is a VM of that name: virtroll explain {vm}"));
            Some(format!("node {name:?} not found{hint}"))
        }
        Target::Vm(name) if inventory.vm(name).is_none() && inventory.vmi(name).is_none() => {
            let known = vms().map(ToString::to_string);
            Some(format!("vm {:?} not found{}", name.to_string(), nearest(&name.to_string(), known)))
        }
        Target::Node(_) | Target::Vm(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_read_as_kubectls_users_write_them() {
        let node = |name: &str| Ok(Target::Node(name.to_owned()));
        let vm = |namespace: &str, name: &str| Ok(Target::Vm(ObjectName::new(namespace, name)));
        for (words, expected) in [
            (vec!["worker-05"], node("worker-05")),
            (vec!["node/worker-05"], node("worker-05")),
            (vec!["node", "worker-05"], node("worker-05")),
            (vec!["vm/db-1"], vm("lab", "db-1")),
            (vec!["vm", "db-1"], vm("lab", "db-1")),
            (vec!["shop/db-1"], vm("shop", "db-1")),
            (vec!["vmi", "shop/db-1"], vm("shop", "db-1")),
            (vec!["vms/db-1"], vm("vms", "db-1")),
            (vec!["vm/"], Err("\"vm/\" names nothing".to_owned())),
            (
                vec!["a/b/c"],
                Err("\"a/b/c\" has too many parts; write NODE, vm/NAME or NAMESPACE/NAME".to_owned()),
            ),
        ] {
            let words: Vec<String> = words.into_iter().map(str::to_owned).collect();
            assert_eq!(target(&words, "lab"), expected, "{words:?}");
        }
    }
}
