//! The model's behaviour, claim by claim of what KubeVirt's own controllers were seen to do: `sN_…` are the sections of the list of
//! claims, each test is named after one.

mod captures;
mod lab;
mod launchers;
mod s1_api;
mod s2_names;
mod s3_webhook;
mod s4_client;
mod s5_1_instances;
mod s5_2_stops;
mod s5_3_evacuation;
mod s5_4_admission;
mod s5_5_migrations;
mod s5_5_obstacles;
mod s5_5_queue;
mod s5_6_reasons;
mod s5_7_handler;
mod s5_8_nodes;
mod s5_9_hotplug;
mod s6_releases;
mod s7_defaults;
mod scale;
mod values;
