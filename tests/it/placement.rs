//! The planner's placement and the embedded scheduler, two implementations, agree on where a pod may go.
//!
//! On generated clusters a node is drained in thought. For each of its pods and each other node the planner says whether the pod may
//! go there now; the scheduler is asked the same with a copy of the pod while every other node is cordoned. The planner asks less
//! than the cluster, never more: where it sees no place there is none. Where it sees one that the scheduler refuses, the refusal
//! must be one of the omissions that the planner's documentation names.

mod bend;
mod cluster;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use virtroll::cluster::inventory_of;
use virtroll::schedule::decode::places;
use virtroll::schedule::instance::Way;
use virtroll::schedule::model::Model;
use virtroll::schedule::problem::{self, Durations, Progress};
use virtroll::sim::generate::{Family, Recipe, generate};

use cluster::{Answer, Scheduler, is_guest};

/// Nodes that are drained in thought, of each cluster.
const DRAINED: usize = 2;
/// Pods of each of them that are asked about.
const PODS: usize = 8;
/// Other nodes that each of them is held against.
const TARGETS: usize = 5;

/// A pod of a drained node, and where the planner would put it.
struct Question {
    pod: Value,
    way: Way,
    places: BTreeSet<String>,
}

/// What the planner says about the pods of a node.
fn planned(objects: &[Value], node: &str) -> Vec<Question> {
    let plan = format!(
        "apiVersion: virtroll.dev/v1alpha1\nkind: MaintenancePlan\nmetadata: {{name: p}}\nspec:\n  \
         groups: [{{name: all, nodes: {{names: [{node}]}}}}]\n  drain: {{force: true, deleteEmptyDirData: true}}\n"
    );
    let spec = virtroll::plan::load("plan.yaml", &plan).expect("a plan").plan.spec;
    let inventory = inventory_of(objects);
    let groups = virtroll::schedule::resolve(&spec, &inventory).expect("groups");
    let problem = problem::of(&spec, &groups, &inventory, &Durations::default(), &Progress::default());
    let instance = &problem.instance;
    let name_of = |node: u32| instance.nodes.name[node as usize].clone();
    let leaving: Vec<u32> = (0..instance.items.len() as u32)
        .filter(|item| name_of(instance.items.node[*item as usize]) == node)
        .collect();
    let found = places(&Model::new(instance), &leaving);
    let by_name: BTreeMap<String, &Value> =
        objects.iter().filter(|o| o["kind"] == "Pod").map(|pod| (item_name(pod), pod)).collect();
    let question = |(item, places): (&u32, Vec<u32>)| Question {
        pod: by_name[&instance.items.name[*item as usize]].clone(),
        way: instance.items.way[*item as usize],
        places: places.into_iter().map(name_of).collect(),
    };
    leaving.iter().zip(found).map(question).collect()
}

/// The name under which the planner knows a pod: a guest's is that of its VMI.
fn item_name(pod: &Value) -> String {
    let metadata = &pod["metadata"];
    let name = if is_guest(pod) { &metadata["annotations"]["kubevirt.io/domain"] } else { &metadata["name"] };
    format!("{}/{}", text(&metadata["namespace"]), text(name))
}

fn text(value: &Value) -> &str {
    value.as_str().expect("a text")
}

/// How often what was said.
#[derive(Default)]
struct Tally {
    both_may: usize,
    /// By the scheduler's reason.
    neither: BTreeMap<String, usize>,
    /// The planner would and the scheduler wouldn't, by what the planner leaves out.
    omitted: BTreeMap<&'static str, usize>,
    /// Pods with a place somewhere by both, and by neither.
    pods: (usize, usize),
    wrong: Vec<String>,
}

impl Tally {
    fn compare(&mut self, objects: &[Value], asked: &Question, target: &str, answer: &Answer) {
        let name = item_name(&asked.pod);
        match (asked.places.contains(target), answer) {
            (true, Answer::On(_)) => self.both_may += 1,
            (false, Answer::Nowhere(reasons)) => {
                for reason in reasons {
                    *self.neither.entry(reason.clone()).or_default() += 1;
                }
            }
            (false, Answer::On(_)) => {
                self.wrong.push(format!("{name} may go to {target}, and the planner says it may not"));
            }
            (true, Answer::Nowhere(reasons)) => {
                let omission = |reason: &String| bend::omission(objects, &asked.pod, target, reason);
                match reasons.iter().map(omission).collect::<Option<Vec<_>>>() {
                    Some(omitted) => omitted.iter().for_each(|o| *self.omitted.entry(o).or_default() += 1),
                    None => self.wrong.push(format!("{name} may not go to {target}: {reasons:?}")),
                }
            }
        }
    }

    fn add(&mut self, other: Self) {
        self.both_may += other.both_may;
        other.neither.into_iter().for_each(|(reason, n)| *self.neither.entry(reason).or_default() += n);
        other.omitted.into_iter().for_each(|(what, n)| *self.omitted.entry(what).or_default() += n);
        self.pods = (self.pods.0 + other.pods.0, self.pods.1 + other.pods.1);
        self.wrong.extend(other.wrong);
    }

    /// A pod may go somewhere, or nowhere.
    fn somewhere(&mut self, asked: &Question, answer: &Answer) {
        let name = item_name(&asked.pod);
        match (asked.places.is_empty(), answer) {
            (false, Answer::On(node)) if asked.places.contains(node) => self.pods.0 += 1,
            (true, Answer::Nowhere(_)) => self.pods.1 += 1,
            (_, Answer::On(node)) => self.wrong.push(format!("{name} went to {node}: {:?}", asked.places)),
            // Which omission that is, the pairs tell.
            (false, Answer::Nowhere(_)) => {}
        }
    }
}

/// What the scheduler refuses for and the planner knows of.
const KNOWN: [&str; 9] = [
    "Insufficient cpu",
    "Insufficient memory",
    "Too many pods",
    "node(s) didn't have free ports for the requested pod ports",
    "node(s) didn't match PersistentVolume's node affinity",
    "node(s) didn't match Pod's node affinity/selector",
    "node(s) didn't match pod anti-affinity rules",
    "node(s) didn't match pod topology spread constraints",
    "node(s) had untolerated taint(s)",
];

/// What the planner leaves out; its documentation says the same.
const OMISSIONS: [&str; 7] = [
    "a second constraint among a pod's own kind",
    "anti-affinity to other workloads",
    "host ports of other workloads",
    "how a spread stands at the moment",
    "required affinity to pods",
    "topologies other than node and zone",
    "topologies that not every node has",
];

impl Tally {
    /// Agreement means little where nothing was asked.
    fn says_enough(&self) {
        assert!(self.both_may >= 200, "{} pairs", self.both_may);
        assert!(self.pods.0 >= 50 && self.pods.1 >= 20, "{:?} pods", self.pods);
        for reason in KNOWN {
            assert!(self.neither.get(reason).is_some_and(|n| *n >= 5), "{reason}: {:?}", self.neither);
        }
        // Each of them is met, and no other.
        assert_eq!(self.omitted.keys().copied().collect::<Vec<_>>(), OMISSIONS, "{:?}", self.omitted);
    }
}

/// So many of a list, others for another seed.
fn some(mut of: Vec<String>, most: usize, seed: u64) -> Vec<String> {
    let length = of.len();
    if length > most {
        of.rotate_left(seed as usize * 7 % length);
        let step = length / most;
        of = of.into_iter().step_by(step.max(1)).take(most).collect();
    }
    of
}

fn compare(recipe: &Recipe, bent: bool, tally: &mut Tally) {
    let mut objects = generate(recipe).expect("a cluster");
    if bent {
        bend::bend(&mut objects, recipe.seed);
    }
    bend::tighten(&mut objects, recipe.seed);
    let nodes: Vec<String> = objects
        .iter()
        .filter(|o| o["kind"] == "Node")
        .map(|n| text(&n["metadata"]["name"]).to_owned())
        .collect();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
    runtime.expect("a runtime").block_on(async {
        let mut scheduler = Scheduler::of(&objects).await;
        for drained in some(nodes.clone(), DRAINED, recipe.seed) {
            let mut asked = planned(&objects, &drained);
            let start = asked.len().saturating_sub(PODS) / 2 * usize::from(recipe.seed.is_multiple_of(2));
            asked = asked.into_iter().skip(start).take(PODS).collect();
            scheduler.open_all_but(&drained).await;
            for question in &asked {
                let answers = scheduler.place(&objects, &question.pod, question.way, &[]).await;
                tally.somewhere(question, &answers[0]);
            }
            scheduler.close_all().await;
            let others: Vec<String> = nodes.iter().filter(|n| **n != drained).cloned().collect();
            let targets = some(others, TARGETS, recipe.seed + 1);
            for question in &asked {
                let answers = scheduler.place(&objects, &question.pod, question.way, &targets).await;
                for (target, answer) in targets.iter().zip(&answers) {
                    tally.compare(&objects, question, target, answer);
                }
            }
        }
    });
}

/// Of a family: plain, and bent with two seeds.
fn of_family(index: usize, family: Family) -> Tally {
    let mut tally = Tally::default();
    for seed in [1, 2, 4] {
        let seed = seed + 20 * index as u64;
        let recipe = Recipe { nodes: 12, pods: 150, vms: 8, zones: 3, pdbs: 24, family, seed };
        compare(&recipe, seed.is_multiple_of(2), &mut tally);
    }
    tally
}

/// Large enough for a pool of tainted nodes.
fn pooled() -> Tally {
    let mut tally = Tally::default();
    let recipe = Recipe { nodes: 60, pods: 500, vms: 20, zones: 3, pdbs: 20, family: Family::Mixed, seed: 3 };
    compare(&recipe, false, &mut tally);
    tally
}

#[test]
fn the_planner_and_the_scheduler_agree_on_where_pods_may_go() {
    let mut tally = Tally::default();
    std::thread::scope(|scope| {
        let families = Family::ALL.into_iter().enumerate();
        let mut compared: Vec<_> =
            families.map(|(i, family)| scope.spawn(move || of_family(i, family))).collect();
        compared.push(scope.spawn(pooled));
        for one in compared {
            tally.add(one.join().expect("compared"));
        }
    });
    println!(
        "both may {}, neither {:?}, omitted {:?}, pods {:?}",
        tally.both_may, tally.neither, tally.omitted, tally.pods
    );
    assert!(tally.wrong.is_empty(), "{} wrong:\n{}", tally.wrong.len(), tally.wrong.join("\n"));
    tally.says_enough();
}
