//! Who may import whom, how large files may be, and that each says what it is.

use std::fs;
use std::path::{Path, PathBuf};

/// Room → the rooms that it may import.
const MAY_IMPORT: &[(&str, &[&str])] = &[
    ("plan", &[]),
    ("inventory", &[]),
    ("sim", &[]),
    ("schedule", &["plan", "inventory"]),
    ("reconcile", &["plan", "inventory", "schedule"]),
    ("check", &["plan", "inventory", "journal", "schedule"]),
    ("journal", &["plan", "inventory", "schedule", "reconcile"]),
    // The plan's custom resources are the record, so the room that writes it knows them.
    ("cluster", &["inventory", "reconcile", "plan"]),
    ("engine", &["plan", "inventory", "schedule", "reconcile", "journal", "cluster"]),
    // Progress of nodes is a value of reconcile, shown as it is; events name objects as the inventory does.
    ("report", &["plan", "inventory", "schedule", "journal", "reconcile"]),
    ("cli", &["plan", "inventory", "schedule", "reconcile", "journal", "cluster", "engine", "report", "sim"]),
];

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
}

fn all() -> Vec<(PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    for folder in ["src", "tests"] {
        sources(&root.join(folder), &mut found);
    }
    found.sort();
    found
        .into_iter()
        .map(|p| (p.strip_prefix(root).expect("inside").to_path_buf(), fs::read_to_string(&p).expect("text")))
        .collect()
}

/// Rooms named by `crate::ROOM` in code, comments left out.
fn imported(text: &str) -> Vec<String> {
    let code = text.lines().filter(|l| !l.trim_start().starts_with("//"));
    let mut rooms = Vec::new();
    for line in code {
        for (at, _) in line.match_indices("crate::") {
            let rest = &line[at + "crate::".len()..];
            rooms.push(rest.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect());
        }
    }
    rooms
}

#[test]
fn rooms_import_only_what_the_design_allows() {
    let mut wrong = Vec::new();
    let mut seen = 0;
    for (path, text) in all() {
        let Some(room) = path.strip_prefix("src").ok().and_then(|p| p.components().next()) else { continue };
        let room = room.as_os_str().to_string_lossy().into_owned();
        let Some((_, allowed)) = MAY_IMPORT.iter().find(|(name, _)| *name == room) else {
            assert!(["lib.rs", "main.rs"].contains(&room.as_str()), "room {room} has no rule");
            continue;
        };
        for import in imported(&text).into_iter().filter(|i| !i.is_empty() && *i != room) {
            seen += 1;
            if !allowed.contains(&import.as_str()) {
                wrong.push(format!("{}: {import}", path.display()));
            }
        }
    }
    assert!(seen > 50, "the scan found only {seen} imports");
    assert!(wrong.is_empty(), "forbidden imports:\n{}", wrong.join("\n"));
}

#[test]
fn pure_rooms_see_no_clock_no_randomness_and_no_hash_map() {
    let pure = ["plan", "inventory", "schedule", "reconcile", "journal"];
    let banned = [
        "Timestamp::now",
        "SystemTime",
        "Instant::now",
        "HashMap",
        "HashSet",
        "rand::",
        "async fn",
        "tokio::",
    ];
    for (path, text) in all() {
        let is_pure = pure.iter().any(|room| path.starts_with(Path::new("src").join(room)));
        // The one that can't be gone through, so that its order is nowhere seen.
        let is_lookup = path == Path::new("src/inventory/lookup.rs");
        let banned = banned.iter().filter(|word| **word != "HashMap" || !is_lookup);
        for word in banned.filter(|_| is_pure) {
            assert!(!text.contains(word), "{} uses {word}", path.display());
        }
    }
}

#[test]
fn files_are_small_and_say_what_they_are() {
    for (path, text) in all() {
        assert!(text.lines().count() <= 600, "{} is longer than 600 lines", path.display());
        assert!(text.starts_with("//!"), "{} does not open with its documentation", path.display());
    }
}
