//! How good the planner's schedules are, and what they cost: `cargo bench --bench planner -- [policies|optimum|noise|curve|export]…`.
//!
//! `policies`: makespan over the proven lower bound, of the planner and of other tools' policies, on seeded clusters; numbers
//! behind it are nodes (default 50 200 1000). `optimum`: against the stored optima of small instances (`optimum.py` makes them from
//! `export`). `noise`: the plan carried out with other durations than expected. `curve`: time and memory from 100 to 5,000 nodes.
//! Without arguments everything but `export`.

#![allow(clippy::print_stdout, reason = "its figures are what it is for")]

use std::time::Duration;

use virtroll::schedule::bounds::Bounds;
use virtroll::schedule::decode::score;
use virtroll::schedule::forecast::Score;
use virtroll::schedule::generate::{Family, cluster, large, small};
use virtroll::schedule::instance::{Goal, Instance, Millis, NONE, Way};
use virtroll::schedule::model::Model;
use virtroll::schedule::policies::Policy;
use virtroll::schedule::search::{Effort, Plan, plan};
use virtroll::schedule::spread::makespans;

const SEEDS: u64 = 5;
const OPTIMA: &str = include_str!("planner/optima.tsv");

fn main() {
    let args: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with("--")).collect();
    let sizes: Vec<u32> = args.iter().filter_map(|a| a.parse().ok()).collect();
    let sizes = if sizes.is_empty() { vec![50, 200, 1000] } else { sizes };
    let wanted = |name: &str| {
        let named = args.iter().any(|a| a.parse::<u32>().is_err());
        if named { args.iter().any(|a| a == name) } else { name != "export" }
    };
    let parts: [(&str, &dyn Fn()); 5] = [
        ("export", &export),
        ("policies", &|| policies(&sizes)),
        ("optimum", &optimum),
        ("noise", &noise),
        ("curve", &curve),
    ];
    for (name, part) in parts {
        if wanted(name) {
            part();
        }
    }
}

fn ratio(score: &Score, bounds: &Bounds) -> f64 {
    score.makespan as f64 / bounds.makespan().max(1) as f64
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}

fn worst(values: &[f64]) -> f64 {
    values.iter().copied().fold(0.0, f64::max)
}

/// The figures of one family, size and width, over the seeds.
#[derive(Default)]
struct Row {
    ratios: Vec<Vec<f64>>,
    scores: Vec<Vec<Score>>,
    thrifty: Vec<(Score, f64, u32)>,
    /// Instances on which another policy ends earlier.
    behind: u32,
    seconds: f64,
}

fn row(family: Family, nodes: u32, width: u32) -> Row {
    let columns = 1 + Policy::ALL.len();
    let mut row =
        Row { ratios: vec![Vec::new(); columns], scores: vec![Vec::new(); columns], ..Row::default() };
    for seed in 0..SEEDS {
        let instance = cluster(family, nodes, width, seed);
        let began = on_core();
        let planned = plan(&instance, Effort::default());
        row.seconds += (on_core().saturating_sub(began)).as_secs_f64() / SEEDS as f64;
        let others = Policy::ALL.iter().map(|policy| policy.schedule(&instance).score);
        let scores: Vec<Score> = std::iter::once(planned.schedule.score).chain(others).collect();
        row.behind += u32::from(scores.iter().any(|s| s.makespan < scores[0].makespan && s.unfinished == 0));
        for (column, score) in scores.into_iter().enumerate() {
            row.ratios[column].push(ratio(&score, &planned.bounds));
            row.scores[column].push(score);
        }
        if width > 10 || nodes > 200 {
            continue;
        }
        let moves = plan(&Instance { goal: Goal::Moves, ..instance }, Effort { plays: 500_000, seed: 1 });
        row.thrifty.push((
            moves.schedule.score,
            ratio(&moves.schedule.score, &moves.bounds),
            moves.least_extra_moves,
        ));
    }
    row
}

fn policies(sizes: &[u32]) {
    println!(
        "\nMakespan over the lower bound, mean of {SEEDS} seeds [extra moves of VMs]; for the planner also the worst; in brackets"
    );
    println!("behind optimizeFor Moves: extra moves, and E(w), which no schedule avoids.\n");
    let names: Vec<&str> = Policy::ALL.iter().map(|p| p.name()).collect();
    println!(
        "| nodes | width | family | planner | worst | optimizeFor Moves | {} | seconds |",
        names.join(" | ")
    );
    println!("|---|---|---|---|---|---|{}---|", "---|".repeat(names.len()));
    let mut details = String::new();
    let mut behind = 0;
    for nodes in sizes {
        for width in [10, 20] {
            let mut all = Vec::new();
            for family in Family::ALL {
                let row = row(family, *nodes, width);
                print_row(*nodes, width, family, &row);
                all.extend(row.ratios[0].iter().copied());
                behind += row.behind;
                details += &detail(*nodes, width, family, &row);
            }
            println!("| {nodes} | {width}% | **all** | **{:.3}** | **{:.3}** |", mean(&all), worst(&all));
        }
    }
    println!("\nTime away a node in seconds / most nodes away at once / refused evictions, means.\n");
    println!("| nodes | width | family | planner | {} |", names.join(" | "));
    println!("|---|---|---|---|{}", "---|".repeat(names.len()));
    println!("{details}\nBehind another policy on {behind} instances.");
}

fn moves(scores: &[Score]) -> f64 {
    mean(&scores.iter().map(|s| f64::from(s.extra_moves)).collect::<Vec<_>>())
}

fn print_row(nodes: u32, width: u32, family: Family, row: &Row) {
    let cell =
        |column: usize| format!("{:.3} [{:.0}]", mean(&row.ratios[column]), moves(&row.scores[column]));
    let thrifty: Vec<Score> = row.thrifty.iter().map(|t| t.0).collect();
    let least = mean(&row.thrifty.iter().map(|t| f64::from(t.2)).collect::<Vec<_>>());
    let longer = mean(&row.thrifty.iter().map(|t| t.1).collect::<Vec<_>>());
    let thrifty = if thrifty.is_empty() {
        "–".to_owned()
    } else {
        format!("{longer:.3} [{:.1}, {least:.1}]", moves(&thrifty))
    };
    let others: Vec<String> = (1..=Policy::ALL.len()).map(cell).collect();
    println!(
        "| {nodes} | {width}% | {} | {} | {:.3} | {thrifty} | {} | {:.1} |",
        family.name(),
        cell(0),
        worst(&row.ratios[0]),
        others.join(" | "),
        row.seconds
    );
}

fn detail(nodes: u32, width: u32, family: Family, row: &Row) -> String {
    let cell = |scores: &Vec<Score>| {
        let of = |figure: &dyn Fn(&Score) -> f64| mean(&scores.iter().map(figure).collect::<Vec<_>>());
        let away = of(&|s| s.time_away as f64 / 1000.0 / f64::from(nodes));
        let peak = of(&|s| f64::from(s.peak_away));
        format!("{away:.0} / {peak:.0} / {:.0}", of(&|s| f64::from(s.refused)))
    };
    let cells: Vec<String> = row.scores.iter().map(cell).collect();
    format!("| {nodes} | {width}% | {} | {} |\n", family.name(), cells.join(" | "))
}

/// Small instances against stored optima.
fn optimum() {
    let (mut planned, mut named, mut proven) = (Vec::new(), Vec::new(), 0);
    for line in OPTIMA.lines().filter(|l| !l.starts_with('#')) {
        let mut fields = line.split('\t');
        let (Some(seed), Some(bound), Some(status)) = (fields.next(), fields.next(), fields.next()) else {
            continue;
        };
        let (Ok(seed), Ok(bound)) = (seed.parse(), bound.parse::<Millis>()) else { continue };
        let instance = small(seed);
        let reached = plan(&instance, Effort::default()).schedule.score.makespan;
        planned.push(reached as f64 / bound as f64);
        named.push(Policy::FixedWidth.schedule(&instance).score.makespan as f64 / bound as f64);
        proven += u32::from(status == "optimal");
    }
    println!(
        "\nSmall instances of 5 to 8 nodes: makespan over the optimum ({proven} of {} closed, else its bound).\n",
        planned.len()
    );
    println!("| | mean | worst |\n|---|---|---|");
    println!("| planner | {:.4} | {:.4} |", mean(&planned), worst(&planned));
    println!("| fixed width, by name | {:.4} | {:.4} |", mean(&named), worst(&named));
}

/// The plan carried out with drawn durations: over the makespan of expected ones, and over the median of other draws, which is
/// the forecast that a person should be told.
fn noise() {
    println!(
        "\nReal makespan, durations log-normal around the expected ones, sigma 0.3, 20 draws on each of {SEEDS} seeds.\n"
    );
    println!(
        "| nodes | family | over expected: median | 90th percentile | over forecast: median | 90th percentile |"
    );
    println!("|---|---|---|---|---|---|");
    for nodes in [50, 200] {
        for family in Family::ALL {
            let (mut expected, mut forecast) = (Vec::new(), Vec::new());
            for seed in 0..SEEDS {
                let instance = cluster(family, nodes, 10, seed);
                let Plan { schedule, rules, .. } = plan(&instance, Effort { plays: 500_000, seed: 1 });
                let told = makespans(&instance, &rules, 0.3, 25, 77)[12] as f64;
                for real in makespans(&instance, &rules, 0.3, 20, seed) {
                    expected.push(real as f64 / schedule.score.makespan as f64);
                    forecast.push(real as f64 / told);
                }
            }
            let at = |ratios: &mut Vec<f64>, part: usize| {
                ratios.sort_by(f64::total_cmp);
                ratios[(ratios.len() - 1) * part / 100]
            };
            let cells =
                [at(&mut expected, 50), at(&mut expected, 90), at(&mut forecast, 50), at(&mut forecast, 90)];
            let cells: Vec<String> = cells.iter().map(|c| format!("{c:.3}")).collect();
            println!("| {nodes} | {} | {} |", family.name(), cells.join(" | "));
        }
    }
}

/// Time that this thread has spent on a core: what others do on a shared machine doesn't count.
fn on_core() -> Duration {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    Duration::from_nanos(stat.split_whitespace().next().and_then(|n| n.parse().ok()).unwrap_or(0))
}

/// The mean of as many runs as it takes to make little of the clock's ticks, which may be 4 ms apart.
fn mean_on_core(run: impl Fn()) -> Duration {
    let (began, mut runs) = (on_core(), 0);
    loop {
        run();
        runs += 1;
        let took = on_core().saturating_sub(began);
        if took >= Duration::from_millis(800) {
            return took / runs;
        }
    }
}

fn peak_memory() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|l| l.starts_with("VmHWM")).unwrap_or_default();
    let kib: f64 = line.split_whitespace().nth(1).and_then(|k| k.parse().ok()).unwrap_or(0.0);
    format!("{:.0} MB", kib / 1024.0)
}

fn curve() {
    println!(
        "\nTime and memory; 30 pods and 4 VMs a node. n log n: seconds over items times their logarithm, least = 1.\n"
    );
    println!(
        "| nodes | items | budgets | one exact decode | a schedule | over n log n | makespan over bound | peak memory of the process |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    let mut unit = None;
    for nodes in [100, 200, 500, 1000, 2000, 5000] {
        let instance = large(nodes, 1);
        let model = Model::new(&instance);
        let rules = virtroll::schedule::decode::Rules::new(model.facts.due.clone());
        let decode = mean_on_core(|| {
            std::hint::black_box(score(&model, &rules));
        });
        drop(model);
        let began = on_core();
        let planned = plan(&instance, Effort::default());
        let took = on_core().saturating_sub(began);
        let items = instance.items.len() as f64;
        let per = decode.as_secs_f64() / (items * items.log2());
        let unit = *unit.get_or_insert(per);
        println!(
            "| {nodes} | {} | {} | {decode:.1?} | {took:.2?} | {:.2} | {:.3} | {} |",
            instance.items.len(),
            instance.budgets.len(),
            per / unit,
            ratio(&planned.schedule.score, &planned.bounds),
            peak_memory()
        );
    }
}

/// The small instances, a JSON object a line, for `optimum.py`.
fn export() {
    for seed in 0..200 {
        let instance = small(seed);
        let planned = plan(&instance, Effort::default());
        let items = &instance.items;
        let item = |i: usize| {
            serde_json::json!({
                "node": items.node[i],
                "vm": items.way[i] == Way::Migration,
                "leave": items.leave[i],
                "ready": items.ready[i].max(items.leave[i]),
                "budget": if items.budget[i] == NONE { -1 } else { i64::from(items.budget[i]) },
            })
        };
        let case = serde_json::json!({
            "seed": seed,
            "lower": planned.bounds.makespan(),
            "upper": planned.schedule.score.makespan,
            "width": instance.limits[0].most,
            "cluster": instance.slots.cluster,
            "per_node": instance.slots.per_node,
            "tail": instance.nodes.tail,
            "items": (0..items.len()).map(item).collect::<Vec<_>>(),
        });
        println!("{case}");
    }
}
