//! §5.7: virt-handler's heartbeat.

use super::lab::{self, Lab, pass, reboot, schedulable};
use crate::sim::kubevirt::world::Kind;

/// §5.7: heartbeats every 60 to 132 s; after a boot the first comes when the device plugins are ready, within 10 s.
#[tokio::test(start_paused = true)]
async fn heartbeats_keep_their_rhythm() {
    let lab = Lab::new(1, &lab::vm("g", "Halted", "", ""), 9, "").await;
    let beat = async |lab: &Lab| {
        let node = lab.get(Kind::Node, "n1").await;
        let at = node["metadata"]["annotations"]["kubevirt.io/heartbeat"].as_str().expect("a heartbeat");
        at.parse::<jiff::Timestamp>().expect("a time")
    };
    let mut beats = vec![beat(&lab).await];
    for _ in 0..1000 {
        pass(1).await;
        let last = beat(&lab).await;
        if beats.last() != Some(&last) {
            beats.push(last);
        }
    }
    for pair in beats.windows(2) {
        let gap = pair[1].duration_since(pair[0]).as_secs();
        assert!((60..=133).contains(&gap), "{beats:?}");
    }
    assert!(beats.len() >= 8, "{beats:?}");
    reboot(&lab).await;
    pass(85).await;
    let ready = async |lab: &Lab| {
        let conditions = lab.get(Kind::Node, "n1").await["status"]["conditions"].clone();
        conditions.as_array().is_some_and(|c| c.iter().any(|c| c["type"] == "Ready" && c["status"] == "True"))
    };
    lab.until(20, ready).await;
    let before = beat(&lab).await;
    assert_eq!(schedulable(&lab).await, "false", "virt-handler is starting");
    let took = lab.until(20, async |lab| beat(lab).await != before).await;
    assert!(took <= 10 && schedulable(&lab).await == "true", "{took} s");
}

/// §5.7: virt-handler's orderly stop writes that no VMs are to come; a power cut writes nothing for five minutes.
#[tokio::test(start_paused = true)]
async fn an_orderly_stop_of_virt_handler_is_written_down() {
    let lab = Lab::new(1, &lab::vm("g", "Always", "", ""), 9, "").await;
    assert_eq!(schedulable(&lab).await, "true");
    reboot(&lab).await;
    pass(5).await;
    assert_eq!(schedulable(&lab).await, "false");
    pass(120).await;
    assert_eq!(schedulable(&lab).await, "true");
    lab.annotate(Kind::Node, "n1", "down", "true").await;
    pass(120).await;
    assert_eq!(schedulable(&lab).await, "true");
}
