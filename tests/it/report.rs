//! Reports of a journal that was written by hand: JSON as documented, and the graph.

use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

#[path = "../page/journal.rs"]
mod journal;

/// `BLESS=1 cargo test` rewrites it; read the difference before you keep it.
#[test]
fn the_json_report_is_what_the_documentation_says() {
    let (report, _) = journal::troubled();
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/golden/report.json");
    let mut now = serde_json::to_value(&report).expect("JSON");
    now["version"] = Value::from("0.0.0");
    let now = serde_json::to_string_pretty(&now).expect("JSON") + "\n";
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(&golden, &now).expect("written");
    }
    let expected = std::fs::read_to_string(&golden).expect("the golden file");
    assert_eq!(now, expected);
}

/// Worked out from the journal by hand.
#[test]
fn what_is_summed_up_is_what_was_told() {
    let (report, _) = journal::troubled();
    let report = serde_json::to_value(&report).expect("JSON");
    // alpha begins at 0 s, the last node ends at 15 min.
    assert_eq!(
        (&report["makespanSeconds"], &report["peakUnavailable"]),
        (&Value::from(900), &Value::from(2))
    );
    let constraint = |kind: &str| {
        let all = report["constraints"].as_array().expect("constraints");
        all.iter().find(|c| c["kind"] == kind).cloned().unwrap_or_default()
    };
    // Four nodes wait for the soak from 3:22 to 8:22.
    assert_eq!(constraint("soak")["nodeSeconds"], Value::from(4 * 300));
    assert_eq!(constraint("soak")["intervals"].as_array().map(Vec::len), Some(1));
    // beta waits for the budget from 8:22 to 9:40, gamma in KubeVirt's queue from 8:35.
    assert_eq!(constraint("budget")["nodeSeconds"], Value::from(78));
    assert_eq!(constraint("migrationLimit")["nodeSeconds"], Value::from(65));
    assert_eq!(report["refusals"][0]["count"], Value::from(3));
    // web-1 left alpha at 0 s and was on beta 40 s later.
    let first = &report["moves"][0];
    assert_eq!((&first["from"], &first["to"]), (&Value::from("alpha"), &Value::from("beta")));
    assert_eq!(first["startedAt"], "2026-03-14T22:00:00Z");
    assert_eq!(first["finishedAt"], "2026-03-14T22:00:40Z");
    let alpha = &report["nodes"][0];
    let draining =
        alpha["phases"].as_array().and_then(|p| p.iter().find(|p| p["phase"] == "Draining").cloned());
    assert_eq!(draining.map(|d| d["finishedAt"].clone()), Some(Value::from("2026-03-14T22:01:00Z")));
    // The window closes at 22:15; all have begun by then.
    assert!(!report["findings"].to_string().contains("outside the plan's windows"));
    assert_eq!(report["findings"][0]["help"], "Detach the host device or GPU.");
}

/// What is kept has a bound, however long a node goes to and fro.
#[test]
fn a_report_does_not_grow_with_time() {
    let size = |nodes| {
        let (report, _) = journal::fleet(nodes);
        serde_json::to_vec(&report).expect("JSON").len() as f64 / nodes as f64
    };
    let (small, large) = (size(50), size(500));
    assert!(large < small * 1.2, "{large} bytes a node against {small}");
}

#[test]
fn the_graph_says_what_waited_for_what() {
    let graph = virtroll::report::dot(&journal::troubled().0);
    for line in [
        "\"node/alpha\" -> \"node/beta\" [label=\"group canary soaks\"];",
        "\"budget/shop/db\" -> \"node/beta\" [label=\"its drain waited 1m 18s\", style=dashed];",
        "label=\"group canary\"",
    ] {
        assert!(graph.contains(line), "{line}\n{graph}");
    }
    // A quote in a name ends no string.
    assert!(graph.contains(r#"onerror=\"window.pwned=1\">&'\"{{"#), "{graph}");
    // Where graphviz is there, it reads the graph.
    let Ok(mut dot) = Command::new("dot")
        .arg("-Tsvg")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
    else {
        return;
    };
    std::io::Write::write_all(dot.stdin.as_mut().expect("stdin"), graph.as_bytes()).expect("read");
    let output = dot.wait_with_output().expect("ends");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(String::from_utf8_lossy(&output.stdout).contains("&lt;/script&gt;"));
}
