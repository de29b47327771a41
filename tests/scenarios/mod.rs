//! The scenarios: written once, run on the embedded cluster and on the real control plane.
//!
//! Each has nodes, a namespace and a plan of its own, all named after it, so that they can share one cluster.

pub mod api;
pub mod budgets;
pub mod drains;
pub mod hooks;
pub mod nodes;
pub mod planned;
pub mod planned_order;
pub mod stage;
pub mod story;
pub mod vms;
pub mod vms_hands;
pub mod vms_kubevirt;
pub mod vms_releases;

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
            budgets::a_single_replica_leaves_when_a_second_one_serves,
            budgets::a_budget_that_allows_nothing_stands_against_a_surge_too,
            budgets::a_second_replica_that_finds_no_node_is_told_and_taken_back,
            budgets::what_somebody_scales_meanwhile_stays,
            budgets::an_override_passes_a_budget_after_its_time,
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
            planned::a_budget_over_nothing_holds_nobody,
            planned::as_many_apart_as_nodes_come_back_where_they_were,
            planned::a_spread_that_a_drain_breaks_waits_for_the_node,
            planned::a_node_lost_in_the_middle_counts_as_away,
            planned::guests_that_cannot_migrate_restart_beside_those_that_can,
            planned_order::nodes_that_hold_each_others_budgets_do_not_drain_together,
            planned_order::a_quorum_of_three_over_three_nodes_goes_one_by_one,
            planned_order::a_single_replica_that_must_be_there_is_a_conflict,
            planned_order::two_budgets_over_one_pod_are_a_conflict,
            planned_order::a_cluster_nearly_full_goes_in_the_only_order_that_works,
            planned_order::local_volumes_pin_their_pods_and_nodes_go_one_by_one,
            planned_order::a_spread_that_a_drain_breaks_for_good_is_a_conflict,
            planned_order::a_guest_that_cannot_migrate_is_a_conflict,
            planned_order::what_the_plan_does_not_consent_to_is_a_conflict,
            vms::live_migration_never_stops_a_guest,
            vms::twelve_guests_cost_at_most_eighteen_evictions,
            vms::without_a_strategy_it_comes_back_elsewhere,
            vms::replicas_are_replaced,
            vms::a_bare_instance_needs_consent,
            vms::a_run_strategy_that_leaves_it_off_needs_consent,
            vms::one_that_cannot_migrate_is_handled_as_the_plan_says,
            vms::a_failing_migration_is_tried_again,
            vms::hotplugged_volumes_leave_with_their_guest,
            vms_kubevirt::a_guest_goes_through_its_phases,
            vms_kubevirt::run_strategies_follow_the_end_of_a_guest,
            vms_kubevirt::evictions_are_answered_in_kubevirts_words,
            vms_kubevirt::reasons_stand_against_a_migration,
            vms_kubevirt::migrations_wait_for_their_turn,
            vms_kubevirt::migrations_fail_time_out_and_are_aborted,
            vms_kubevirt::a_failed_evacuation_backs_off,
            vms_kubevirt::a_targeted_migration_goes_where_it_is_told,
            vms_kubevirt::an_evacuation_is_cancelled
        }
    };
}
pub(crate) use with_all_scenarios;

/// The same of those that need a cluster to themselves.
macro_rules! with_lone_scenarios {
    ($with:ident) => {
        $with! {
            vms_releases::kubevirt_1_0_answers_by_its_budgets,
            vms_releases::kubevirt_1_4_answers_in_words_once,
            vms_releases::kubevirt_1_6_answers_in_words_alone,
            vms_releases::kubevirt_1_9_has_priorities,
            vms_releases::nothing_moves_while_virt_api_is_down
        }
    };
}
pub(crate) use with_lone_scenarios;
