//! The scenarios on the embedded cluster, in virtual time.

use std::time::Duration;

use virtroll::engine::Clock;
use virtroll::sim::{EmbeddedCluster, Settings, kubevirt};

use crate::scenarios::{Scenario, Stage, with_all_scenarios, with_lone_scenarios};

fn play(name: &str, scenario: Scenario) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
    runtime.expect("a runtime").block_on(async {
        let cluster = EmbeddedCluster::from_objects(
            "empty",
            vec![kubevirt::default_installation()],
            Settings::default(),
        );
        let cluster = cluster.expect("loads");
        cluster.start().await;
        let counted = cluster.clone();
        let mut stage = Stage {
            client: cluster.client(),
            clock: Clock::starting_at(cluster.now()),
            name: name
                .replace('_', "-")
                .chars()
                .take(40)
                .collect::<String>()
                .trim_end_matches('-')
                .to_owned(),
            events: Vec::new(),
            new: false,
            real: false,
            evictions: Box::new(move |namespace| {
                counted.requests().get(&format!("POST pods/eviction {namespace}")).copied().unwrap_or(0)
            }),
            patience: Duration::from_secs(86_400),
        };
        scenario(&mut stage).await;
    });
}

macro_rules! tests {
    ($($module:ident::$name:ident),* $(,)?) => {
        $(
            #[test]
            fn $name() {
                play(stringify!($name), |stage| Box::pin(crate::scenarios::$module::$name(stage)));
            }
        )*
    };
}
with_all_scenarios!(tests);
with_lone_scenarios!(tests);
