//! What two clusters may differ in: names, times, addresses, revisions. Everything else has to be the same.

use std::collections::BTreeSet;

/// Output without what differs between any two clusters. Rows come in the order of their text: names are random.
pub fn normal(output: &str) -> String {
    let lines: Vec<String> = output.lines().map(line).filter(|l| !l.is_empty()).collect();
    // The order of pods in a table is that of their random names.
    let (tables, rest): (Vec<String>, Vec<String>) = lines.into_iter().partition(|l| l.contains("NAME-"));
    let mut all = rest;
    let mut rows = tables;
    rows.sort();
    all.extend(rows);
    all.join("\n")
}

fn line(text: &str) -> String {
    let words: Vec<String> = text.split_whitespace().map(word).collect();
    let line = words.join(" ");
    // `Mon, 01 Jan 2026 10:00:00 +0000`
    let mut parts: Vec<&str> = line.split(' ').collect();
    if text.starts_with("--- ") || text.starts_with("+++ ") {
        parts.truncate(2);
    }
    if text.starts_with("@@ ") {
        parts.truncate(1);
    }
    if parts.first().is_some_and(|p| matches!(*p, "resourceVersion:" | "uid:")) {
        parts.truncate(1);
    }
    while let Some(at) =
        parts.iter().position(|p| matches!(*p, "Mon," | "Tue," | "Wed," | "Thu," | "Fri," | "Sat," | "Sun,"))
    {
        let end = (at + 6).min(parts.len());
        parts.splice(at..end, ["TIME"]);
    }
    parts.join(" ")
}

fn word(word: &str) -> String {
    let core = word.trim_matches(|c: char| "\"',;:()[]{}".contains(c));
    let replaced = if is_age(core) {
        "AGE".to_owned()
    } else if is_time(core) {
        "TIME".to_owned()
    } else if is_uid(core) {
        "UID".to_owned()
    } else if let Some(addresses) = addresses(core) {
        addresses
    } else if let Some(at) = core.find("controller-uid=") {
        format!("{}UID", &core[..at + "controller-uid=".len()])
    } else if let Some((port, protocol)) = node_port(core) {
        format!("{port}:NODEPORT/{protocol}")
    } else {
        name(core)
    };
    if core.is_empty() { word.to_owned() } else { word.replacen(core, &replaced, 1) }
}

/// `5s`, `2m10s`, `3h`, `4d1h`, `<invalid>`.
fn is_age(word: &str) -> bool {
    word == "<invalid>"
        || (word.starts_with(|c: char| c.is_ascii_digit())
            && word.ends_with(['s', 'm', 'h', 'd'])
            && word.chars().all(|c| c.is_ascii_digit() || "smhd".contains(c)))
}

fn is_time(word: &str) -> bool {
    word.len() >= 20 && word.starts_with("20") && word.contains('T') && word.ends_with('Z')
}

fn is_uid(word: &str) -> bool {
    let parts: Vec<&str> = word.split('-').collect();
    parts.iter().map(|p| p.len()).eq([8, 4, 4, 4, 12])
        && word.chars().all(|c| c.is_ascii_hexdigit() || c == '-')
}

/// `80:31234/TCP`, in a table of services.
fn node_port(word: &str) -> Option<(&str, &str)> {
    let (port, rest) = word.split_once(':')?;
    let (number, protocol) = rest.split_once('/')?;
    [port, number].iter().all(|n| n.parse::<u16>().is_ok()).then_some((port, protocol))
}

fn is_ip(word: &str) -> bool {
    word.split('.').count() == 4 && word.split('.').all(|p| p.parse::<u8>().is_ok())
}

/// `10.0.0.1`, `10.0.0.1:80,10.0.0.2:80`: how many there are, and their ports, are the same in both.
fn addresses(word: &str) -> Option<String> {
    let one = |part: &str| match part.split_once(':') {
        Some((ip, port)) => (is_ip(ip) && port.parse::<u16>().is_ok()).then(|| format!("IP:{port}")),
        None => is_ip(part).then(|| "IP".to_owned()),
    };
    let all: Option<Vec<String>> = word.split(',').map(one).collect();
    all.map(|all| all.join(","))
}

/// Names with a template's hash and a random end lose both.
fn name(word: &str) -> String {
    if let Some(label) =
        ["pod-template-hash=", "controller-revision-hash="].iter().find(|l| word.starts_with(**l))
    {
        return format!("{label}HASH");
    }
    // What `kubectl diff` calls its temporary folders.
    if let Some(rest) = ["/tmp/LIVE-", "/tmp/MERGED-"].iter().find_map(|start| word.strip_prefix(start)) {
        return format!("TEMPORARY/{}", rest.split_once('/').map_or("", |(_, file)| file));
    }
    let parts: Vec<&str> = word.split('-').collect();
    let hashed = |part: &str| {
        (5..=10).contains(&part.len())
            && part.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit())
            && (part.chars().any(|c| c.is_ascii_digit()) || !part.chars().any(|c| "aeiou".contains(c)))
    };
    let keep = parts.iter().skip(1).take_while(|p| !hashed(p)).count() + 1;
    if keep == parts.len() { word.to_owned() } else { format!("{}-NAME-", parts[..keep].join("-")) }
}

/// Lines of one that the other hasn't, for people.
pub fn shown(real: &str, embedded: &str) -> String {
    let (r, e): (BTreeSet<&str>, BTreeSet<&str>) = (real.lines().collect(), embedded.lines().collect());
    let only = |a: &BTreeSet<&str>, b: &BTreeSet<&str>, mark: &str| {
        a.difference(b).fold(String::new(), |text, line| text + &format!("    {mark} {line}\n"))
    };
    let found = only(&r, &e, "real    ") + &only(&e, &r, "embedded");
    if found.is_empty() {
        format!("    order or number of lines:\n{real}\n    ----\n{embedded}\n")
    } else {
        found
    }
}

#[test]
fn what_differs_between_any_two_clusters_is_gone_and_nothing_else() {
    assert_eq!(
        normal("pod/web-5bf11b185a-9wjbl   1/1  Running  0  2m10s"),
        "pod/web-NAME- 1/1 Running 0 AGE"
    );
    assert_eq!(normal("web-5bf11b185a  3  3"), "web-NAME- 3 3");
    assert_eq!(normal("worker-01 Ready <none> 5d"), "worker-01 Ready <none> AGE");
    assert_eq!(normal("node/w1 kube-system story-controller"), "node/w1 kube-system story-controller");
    assert_eq!(normal("Start Time:   Tue, 24 Nov 2026 17:40:19 +0000"), "Start Time: TIME");
    assert_eq!(normal("IP: 10.115.38.15"), "IP: IP");
    assert_eq!(normal("w2 10.0.0.7:80,10.0.0.9:80 5s"), "w2 IP:80,IP:80 AGE");
    assert_eq!(normal("web 10.0.0.7:80,nothing"), "web 10.0.0.7:80,nothing");
    assert_eq!(normal("d2 NodePort 90:31359/TCP"), "d2 NodePort 90:NODEPORT/TCP");
    assert_eq!(
        normal("batch.kubernetes.io/controller-uid=707485dc-974f-4755-a274-2709da173007"),
        "batch.kubernetes.io/controller-uid=UID"
    );
}
