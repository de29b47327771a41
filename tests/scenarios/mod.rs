//! The scenarios: written once, run on the embedded cluster and on the real control plane.
//!
//! Each has nodes, a namespace and a plan of its own, all named after it, so that they can share one cluster.

pub mod api;
pub mod drains;
pub mod hooks;
pub mod nodes;
pub mod stage;
pub mod story;
pub mod vms;

use std::pin::Pin;

pub use stage::Stage;

/// A scenario: panics when what must hold doesn't.
pub type Scenario = for<'a> fn(&'a mut Stage) -> Pin<Box<dyn Future<Output = ()> + 'a>>;

/// Gives the list of all scenarios to a macro: `module::name` each.
macro_rules! with_all_scenarios {
    ($with:ident) => {
        $with! {
            api::patches_answer_as_the_api_server_does,
            api::refusals_answer_as_the_api_server_does,
            api::verbs_answer_as_the_api_server_does,
            api::watches_tell_what_the_api_server_tells,
            drains::filters_speak_as_kubectls,
            drains::only_virtual_machines_leave_by_the_guides_first_recipe,
            drains::a_budget_refuses_and_recovers,
            drains::a_pod_under_two_budgets_never_leaves,
            hooks::hooks_of_each_kind,
            hooks::a_failing_hook_pauses_and_keeps_the_cordon,
            nodes::rolling_keeps_its_limit,
            nodes::waves_wait_for_each_other,
            nodes::a_zone_keeps_its_limit,
            nodes::found_cordoned_stays_cordoned,
            nodes::uncordoned_in_the_middle_is_cordoned_again,
            nodes::a_kernel_upgrade_is_verified,
            nodes::writes_of_others_do_not_stop_it,
            vms::live_migration_never_stops_a_guest,
            vms::twelve_guests_cost_at_most_eighteen_evictions,
            vms::without_a_strategy_it_comes_back_elsewhere,
            vms::replicas_are_replaced,
            vms::a_bare_instance_needs_consent,
            vms::a_run_strategy_that_leaves_it_off_needs_consent,
            vms::one_that_cannot_migrate_is_handled_as_the_plan_says,
            vms::a_failing_migration_is_tried_again,
            vms::hotplugged_volumes_leave_with_their_guest
        }
    };
}
pub(crate) use with_all_scenarios;
