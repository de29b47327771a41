//! How far a plan's makespan spreads when nothing takes exactly as long as expected.
//!
//! A schedule is packed tightly, so what takes longer pushes others back and what takes less leaves gaps: the median of real
//! makespans lies some percent above the makespan of expected durations. A forecast should say the median.

use super::decode::{Rules, score};
use super::generate::Random;
use super::instance::{Instance, Millis};
use super::model::Model;

/// The instance with each duration drawn around the expected one: log-normal with this sigma, its mean kept.
pub fn drawn(instance: &Instance, sigma: f64, random: &mut Random) -> Instance {
    let mut other = instance.clone();
    let mut factor = || {
        // Box and Muller's normal variate.
        let mut unit = || (random.below(1 << 52) as f64 + 0.5) / (1u64 << 52) as f64;
        let (a, b) = (unit(), unit());
        let normal = (-2.0 * a.ln()).sqrt() * (std::f64::consts::TAU * b).cos();
        (sigma * normal - sigma * sigma / 2.0).exp()
    };
    for time in other.nodes.head.iter_mut().chain(&mut other.nodes.tail) {
        *time = (*time as f64 * factor()) as Millis;
    }
    for item in 0..other.items.len() {
        let factor = factor();
        other.items.leave[item] = (other.items.leave[item] as f64 * factor) as Millis;
        other.items.ready[item] = (other.items.ready[item] as f64 * factor) as Millis;
    }
    other
}

/// Makespans of `draws` campaigns with drawn durations under a plan's rules, ascending: the middle one is the median. Rules and
/// instance belong together; `sigma` is 0.3 where nothing better is known.
pub fn makespans(instance: &Instance, rules: &Rules, sigma: f64, draws: usize, seed: u64) -> Vec<Millis> {
    let mut random = Random::new(seed);
    let play = |_| score(&Model::new(&drawn(instance, sigma, &mut random)), rules).makespan;
    let mut found: Vec<Millis> = (0..draws).map(play).collect();
    found.sort_unstable();
    found
}
