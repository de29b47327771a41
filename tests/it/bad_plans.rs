//! Broken plans, each with the exact text that it gets. `BLESS=1 cargo test` rewrites the texts; read the difference.

use std::fs;
use std::path::Path;

#[test]
fn every_broken_plan_gets_its_text() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/bad");
    let mut files: Vec<_> =
        fs::read_dir(&folder).expect("folder").map(|e| e.expect("entry").path()).collect();
    files.retain(|p| p.extension().is_some_and(|e| e == "yaml"));
    files.sort();
    assert!(files.len() >= 30, "only {} broken plans", files.len());
    let mut wrong = Vec::new();
    for file in files {
        let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let text = fs::read_to_string(&file).expect("text");
        let shown = match virtroll::plan::load(&name, &text) {
            Ok(_) => "valid\n".to_owned(),
            Err(found) => found.render(),
        };
        let expected = file.with_extension("txt");
        if std::env::var_os("BLESS").is_some() {
            fs::write(&expected, &shown).expect("written");
        }
        if fs::read_to_string(&expected).unwrap_or_default() != shown {
            wrong.push(format!("{name}:\n{shown}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What virtroll prints for each file of a folder, beside which its exact text stands; nothing may have been done.
fn judge(folder: &str, arguments: &dyn Fn(&str) -> Vec<String>) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = Path::new("tests/it/bad").join(folder);
    let mut files: Vec<_> =
        fs::read_dir(root.join(&folder)).expect("folder").map(|e| e.expect("entry").path()).collect();
    files.retain(|p| p.extension().is_some_and(|e| e == "yaml"));
    files.sort();
    assert!(files.len() >= 4);
    let mut wrong = Vec::new();
    for file in files {
        let name = folder.join(file.file_name().unwrap_or_default()).display().to_string();
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_virtroll"));
        command.env("VIRTROLL_EFFORT", crate::scene::EFFORT.to_string());
        let output = command.current_dir(root).args(arguments(&name)).output().expect("runs");
        assert_eq!(output.status.code(), Some(2), "{name}");
        assert!(output.stdout.is_empty(), "{name}: {}", String::from_utf8_lossy(&output.stdout));
        let shown = String::from_utf8_lossy(&output.stderr).into_owned();
        let expected = file.with_extension("txt");
        if std::env::var_os("BLESS").is_some() {
            fs::write(&expected, &shown).expect("written");
        }
        if fs::read_to_string(&expected).unwrap_or_default() != shown {
            wrong.push(format!("{name}:\n{shown}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_broken_cluster_gets_its_text() {
    judge("clusters", &|file| ["apply", "plans/quickstart.yaml", "--sim", file].map(str::to_owned).to_vec());
}

#[test]
fn a_plan_that_does_not_fit_the_cluster_gets_the_place() {
    judge("misfits", &|file| {
        ["apply", file, "--sim", "examples/clusters/homelab.yaml"].map(str::to_owned).to_vec()
    });
}
