//! Hooks: one of each kind, and one that fails.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use virtroll::journal::EventKind;

use super::Stage;
use super::stage::all_done;

/// Answers every request with 200 and counts them.
async fn listen() -> (u16, Arc<AtomicUsize>) {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            count.fetch_add(1, Ordering::SeqCst);
            let mut request = [0; 4096];
            let _ = stream.read(&mut request).await;
            let _ =
                stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").await;
        }
    });
    (port, asked)
}

pub async fn hooks_of_each_kind(stage: &mut Stage) {
    stage.nodes(1).await;
    let rest = "  drain: {force: true}\n  hooks:\n  \
        - {name: command, at: PreDrain, exec: ['true'], expected: 2s}\n  \
        - {name: request, at: PreDrain, http: {url: 'http://127.0.0.1:PORT/x', body: '${NODE}'}, expected: 1s}\n  \
        - {name: job, at: Maintenance, job: {image: tools, command: [prepare], namespace: NAME}, timeout: 2m}\n  \
        - {name: reboot, at: Maintenance, reboot: {by: Annotation}, timeout: 10m}\n  \
        - {name: ready, at: PreUncordon, waitFor: {condition: Ready}, timeout: 2m}\n  \
        - {name: kernel, at: PreUncordon, waitFor: {jsonPath: '$.status.nodeInfo.kernelVersion', value: 6.12.4}, timeout: 2m}\n";
    let (port, asked) = listen().await;
    let outcome = stage.roll(&rest.replace("PORT", &port.to_string())).await;
    all_done(&outcome, 1);
    // Where hooks are played, nothing outside is touched.
    assert_eq!(asked.load(Ordering::SeqCst), usize::from(stage.real));
    let ended: Vec<&str> = stage
        .events
        .iter()
        .filter_map(|e| match &e.kind {
            EventKind::HookEnded { hook, error: None, .. } => Some(hook.as_str()),
            _ => None,
        })
        .collect();
    assert_eq!(ended, ["command", "request", "job", "reboot", "ready", "kernel"]);
    let jobs = stage.list("batch/v1", "Job").await;
    assert_eq!(jobs.len(), 1);
    let spec = &jobs[0]["spec"]["template"]["spec"];
    let pinned = spec["nodeName"] == stage.node_name(1) || spec.to_string().contains(&stage.node_name(1));
    assert!(pinned && jobs[0]["status"]["succeeded"] == 1, "{}", jobs[0]);
}

pub async fn a_failing_hook_pauses_and_keeps_the_cordon(stage: &mut Stage) {
    stage.nodes(2).await;
    let rest = "  hooks: [{name: never, at: Maintenance, waitFor: {condition: Gone}, timeout: 2s, retries: 1, backoff: 1s}]\n";
    let outcome = stage.roll(rest).await;
    assert_eq!(outcome.status.nodes.len(), 1, "{outcome:#?}");
    assert_eq!(outcome.status.nodes[0].phase, "Failed");
    assert_eq!(
        outcome.status.nodes[0].reason.as_deref(),
        Some("hook never: not done after 2s after 2 tries")
    );
    let tries = stage.events.iter().filter(|e| matches!(e.kind, EventKind::HookStarted { .. })).count();
    assert_eq!(tries, 2);
    assert!(stage.is_cordoned(&stage.node_name(1)).await && !stage.is_cordoned(&stage.node_name(2)).await);
}
