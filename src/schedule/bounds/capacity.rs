//! The bound from free capacity: (c′).

use super::{Binding, Bound, tail};
use crate::schedule::facts::Facts;
use crate::schedule::instance::{Instance, Landing, Millis, Standing};

/// (c′) A node in its tail wastes its capacity; an item that leaves holds two places meanwhile. Both together never exceed what
/// is free when every item has one place, so their integral is at most that times the makespan.
pub(super) fn bound(instance: &Instance, facts: &Facts) -> Option<Bound> {
    let bounds = (0..instance.resources.len()).filter_map(|resource| {
        let (mut offered, mut taken, mut wasted) = (0u128, 0u128, 0u128);
        for node in 0..instance.nodes.len() as u32 {
            let out = instance.nodes.standing[node as usize] == Standing::Out;
            let due = instance.nodes.is_due(node);
            if out && !due {
                continue;
            }
            let has = u128::from(instance.capacity(node)[resource]);
            offered += has;
            if due && !out {
                wasted += has * u128::from(tail(instance, node));
            }
            for item in facts.items_on.of(node) {
                if instance.items.landing[*item as usize] == Landing::Elsewhere {
                    let size = u128::from(instance.demand(*item)[resource]);
                    taken += size;
                    wasted += if due { size * u128::from(instance.items.leave[*item as usize]) } else { 0 };
                }
            }
        }
        let free = offered.checked_sub(taken).filter(|free| *free > 0)?;
        let at_least = Millis::try_from(wasted.div_ceil(free)).ok()?;
        Some(Bound { at_least, binding: Binding::Capacity { resource: resource as u32 } })
    });
    bounds.max_by_key(|bound| (bound.at_least, std::cmp::Reverse(bound.binding)))
}
