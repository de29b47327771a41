//! Small instances against stored optima, which a solver that shares nothing with the planner has proven.

use super::*;
use crate::schedule::generate::small;

const OPTIMA: &str = include_str!("../../../../benches/planner/optima.tsv");

#[test]
fn plans_of_small_instances_come_close_to_stored_optima() {
    let (mut ratios, mut closed) = (Vec::new(), 0);
    for line in OPTIMA.lines().filter(|l| !l.starts_with('#')).take(40) {
        let fields: Vec<&str> = line.split('\t').collect();
        let (seed, stored): (u64, Millis) =
            (fields[0].parse().expect("seed"), fields[1].parse().expect("ms"));
        let instance = small(seed);
        let plan = plan(&instance, Effort { plays: 60_000, seed: 1 });
        assert!(judge(&instance, &plan.schedule).is_empty());
        let reached = plan.schedule.score.makespan;
        assert!(reached >= stored, "seed {seed}: {reached} below the proven bound {stored}");
        if fields[2] == "optimal" {
            closed += 1;
            assert!(plan.bounds.makespan() <= stored, "seed {seed}: {:?} above {stored}", plan.bounds);
            ratios.push(reached as f64 / stored as f64);
        }
    }
    assert!(closed >= 20, "{closed} closed");
    let mean = ratios.iter().sum::<f64>() / f64::from(closed);
    println!("{closed} closed, mean {mean:.4}, worst {:.4}", ratios.iter().copied().fold(0.0, f64::max));
    assert!(mean <= 1.01, "{mean}");
}
