//! Bodies written by hand, as a Go client would send them.

use super::*;

/// A length-delimited field.
fn part(number: u8, bytes: &[u8]) -> Vec<u8> {
    assert!(bytes.len() < 128 * 128);
    let mut all = vec![number << 3 | 2];
    if bytes.len() >= 128 {
        all.extend([bytes.len() as u8 | 0x80, (bytes.len() >> 7) as u8]);
    } else {
        all.push(bytes.len() as u8);
    }
    all.extend(bytes);
    all
}

fn body(api_version: &str, kind: &str, raw: &[u8]) -> Vec<u8> {
    let meta = [part(1, api_version.as_bytes()), part(2, kind.as_bytes())].concat();
    [MAGIC, &part(1, &meta), &part(2, raw)].concat()
}

fn read_ok(api_version: &str, kind: &str, raw: &[u8]) -> Value {
    read(&body(api_version, kind, raw)).expect("well-formed").expect("a known kind")
}

#[test]
fn a_deployment_keeps_the_zero_that_was_said_and_drops_those_that_were_not() {
    // metadata.name, spec {replicas: 0, selector, template {}, minReadySeconds: 0}
    let label = [part(1, b"app"), part(2, b"web")].concat();
    let selector = part(1, &label);
    let spec = [&[1 << 3, 0][..], &part(2, &selector), &part(3, &[]), &[5 << 3, 0]].concat();
    let raw = [part(1, &[part(1, b"web"), part(3, b"")].concat()), part(2, &spec)].concat();
    assert_eq!(
        read_ok("apps/v1", "Deployment", &raw),
        json!({
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"},
            "spec": {"replicas": 0, "selector": {"matchLabels": {"app": "web"}}, "template": {}},
        })
    );
}

#[test]
fn inlined_messages_quantities_times_and_bytes_have_their_json_forms() {
    // A volume's source is its own message on the wire and the volume's fields in JSON.
    let volume = [part(1, b"data"), part(2, &part(2, &part(1, b"Memory")))].concat();
    let requests = [part(1, b"cpu"), part(2, &part(1, b"100m"))].concat();
    let container = [part(1, b"c"), part(8, &part(2, &requests))].concat();
    let raw = part(2, &[part(1, &volume), part(2, &container)].concat());
    let pod = read_ok("v1", "Pod", &raw);
    assert_eq!(pod["spec"]["volumes"], json!([{"name": "data", "emptyDir": {"medium": "Memory"}}]));
    assert_eq!(pod["spec"]["containers"][0]["resources"], json!({"requests": {"cpu": "100m"}}));
    let secret = read_ok("v1", "Secret", &part(2, &[part(1, b"key"), part(2, b"\x00\xff")].concat()));
    assert_eq!(secret["data"], json!({"key": "AP8="}));
    // 2026-01-01T00:00:00Z is second 1767225600.
    let seconds = [1 << 3, 0x80, 0xf2, 0xd6, 0xca, 0x06];
    let pod = read_ok("v1", "Pod", &part(3, &part(7, &seconds)));
    assert_eq!(pod["status"]["startTime"], "2026-01-01T00:00:00Z");
}

#[test]
fn counts_and_percentages_are_told_apart() {
    let budget = |value: &[u8]| read_ok("policy/v1", "PodDisruptionBudget", &part(2, &part(1, value)));
    assert_eq!(budget(&[1 << 3, 0, 2 << 3, 2])["spec"]["minAvailable"], 2);
    assert_eq!(budget(&[&[1 << 3, 1][..], &part(3, b"50%")].concat())["spec"]["minAvailable"], "50%");
}

#[test]
fn a_broken_body_is_refused_and_an_unknown_kind_is_told_apart() {
    assert!(read(b"{}").is_err_and(|e| e.contains("marker")));
    let cut = body("v1", "Pod", &part(1, b"abc"));
    assert!(read(&cut[..cut.len() - 1]).is_err_and(|e| e.contains("ends early")));
    assert_eq!(read(&body("example.org/v1", "Thing", &[])), Ok(None));
}
