//! The page of a rehearsal in a real browser: its accessibility tree, its keyboard, its colours, its print. Pictures of it
//! are written to `target/tmp/pages`.

mod browser;
mod checks;
mod journal;

use std::path::{Path, PathBuf};
use std::process::Command;

use browser::{Browser, Tab};
use jiff::tz::TimeZone;
use serde_json::{Value, json};

/// Where the pages of this run are.
fn file(name: &str) -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("pages");
    std::fs::create_dir_all(&folder).expect("a folder");
    folder.join(format!("{name}.html"))
}

fn written(name: &str, (report, text): (virtroll::report::Report, String)) -> PathBuf {
    let page = virtroll::report::html(&report, None, &text, &TimeZone::UTC).expect("a page");
    std::fs::write(file(name), page).expect("written");
    file(name)
}

/// The page of the quickstart, as a user makes it.
fn quickstart() -> PathBuf {
    let output = Command::new(env!("CARGO_BIN_EXE_virtroll"))
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .env_remove("KUBECONFIG")
        .args([
            "apply",
            "plans/quickstart.yaml",
            "--sim",
            "examples/clusters/homelab.yaml",
            "--dry-run",
            "-o",
            "html",
        ])
        .output()
        .expect("runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    std::fs::write(file("quickstart"), output.stdout).expect("written");
    file("quickstart")
}

/// What holds of every page in every shape.
fn check_shape(browser: &mut Browser, tab: &Tab, page: &Path) {
    let url = format!("file://{}", page.display());
    assert_eq!(browser.requests(tab), [url], "nothing is asked for but the file itself");
    assert_eq!(browser.complaints(tab), Vec::<String>::new());
    let wide = browser.value(tab, checks::OVERFLOW);
    assert_eq!(wide, json!([]), "wider than the window: {}", page.display());
    let faint = browser.value(tab, checks::CONTRAST);
    assert_eq!(faint["faint"], json!([]), "contrast below AA: {}", page.display());
    assert!(faint["texts"].as_u64() > Some(50), "the check saw {} texts", faint["texts"]);
}

#[test]
fn pages_are_quiet_readable_and_fit_every_window() {
    let pages = [
        ("quickstart", quickstart()),
        ("troubled", written("troubled", journal::troubled())),
        ("fleet", written("fleet", journal::fleet(200))),
    ];
    let mut browser = Browser::start("shapes");
    for (name, page) in &pages {
        for (shape, width, height, scheme) in [
            ("light", 1280, 900, "light"),
            ("dark", 1280, 900, "dark"),
            ("phone", 390, 844, "light"),
            ("phone-dark", 360, 640, "dark"),
        ] {
            let tab = browser.tab(width, height, scheme);
            browser.open(&tab, page);
            check_shape(&mut browser, &tab, page);
            browser.picture(&tab, &format!("{name}-{shape}"));
        }
    }
}

#[test]
fn assistive_technology_is_told_the_whole_story() {
    let page = quickstart();
    let mut browser = Browser::start("story");
    let tab = browser.tab(1280, 900, "light");
    browser.open(&tab, &page);
    assert_eq!(browser.value(&tab, "document.documentElement.lang"), json!("en"));
    let title = browser.value(&tab, "document.title");
    assert_eq!(title, json!("Rehearsal of quickstart on homelab: goes through"));
    let tree = browser.accessible(&tab);
    let named = |role: &str| -> Vec<&str> {
        tree.iter().filter(|n| n.role == role).map(|n| n.name.as_str()).collect()
    };
    assert_eq!(named("main").len(), 1);
    let levels: Vec<u64> = tree.iter().filter(|n| n.role == "heading").map(|n| n.level).collect();
    assert_eq!(levels.first(), Some(&1));
    assert!(levels.windows(2).all(|pair| pair[1] <= pair[0] + 1), "a level is left out: {levels:?}");
    assert_eq!(levels.iter().filter(|l| **l == 1).count(), 1);
    let headings = named("heading");
    for heading in [
        "Rehearsal of quickstart on homelab",
        "Timeline",
        "What held nodes back",
        "Conflicts and warnings",
        "Virtual machines",
        "Nodes",
        "The plan as applied",
        "How this was made",
    ] {
        assert!(headings.contains(&heading), "{heading}: {headings:?}");
    }
    assert!(
        named("table").contains(&"Group workers, rack-a")
            || named("table").contains(&"Group workers, zone rack-a")
    );
    let rows = named("rowheader");
    for node in 1..=5 {
        let name = format!("worker-0{node}");
        // In the timeline, and in the table of nodes.
        assert!(rows.iter().filter(|r| **r == name).count() >= 2, "{name}: {rows:?}");
    }
    let bars = named("image");
    let first = bars.iter().find(|b| b.contains("hook reboot")).expect("a row in words");
    for words in ["draining 22:0", "maintenance 22:0", "verifying 22:0", "done at 22:0"] {
        assert!(first.contains(words), "{words}: {first}");
    }
    assert!(named("region").iter().any(|r| r.starts_with("Timeline")), "{:?}", named("region"));
}

/// From the address bar: the skip link, the timeline, a row; the row's arcs appear.
#[test]
fn the_keyboard_reaches_rows_and_shows_where_their_vms_go() {
    let page = written("keyboard", journal::troubled());
    let mut browser = Browser::start("keyboard");
    let tab = browser.tab(1280, 900, "light");
    browser.open(&tab, &page);
    let focus = "(e => (e.textContent || e.getAttribute('aria-label')).trim())(document.activeElement)";
    browser.press(&tab, "Tab");
    assert_eq!(browser.value(&tab, focus), json!("Skip to the content"));
    let arcs = "document.querySelectorAll('.arcs path').length";
    assert_eq!(browser.value(&tab, arcs), json!(0));
    let mut reached = Vec::new();
    while !reached.contains(&"alpha".to_owned()) {
        assert!(reached.len() < 40, "{reached:?}");
        browser.press(&tab, "Tab");
        let outline = browser.value(&tab, "getComputedStyle(document.activeElement).outlineStyle");
        assert_ne!(outline, json!("none"), "focus is seen: {reached:?}");
        reached.push(browser.value(&tab, focus).as_str().unwrap_or_default().to_owned());
    }
    assert!(reached.iter().any(|r| r == "Skip the timeline"), "{reached:?}");
    // web-1 leaves alpha and comes back; the restarted VM comes, too: an arc and a tip each.
    assert_eq!(browser.value(&tab, arcs), json!(6));
    let cold = "document.querySelectorAll('.arcs path.cold').length";
    assert_eq!(browser.value(&tab, cold), json!(2));
    browser.picture(&tab, "arcs");
    browser.press(&tab, "Tab");
    browser.press(&tab, "Tab");
    assert_ne!(browser.value(&tab, arcs), json!(6), "arcs follow the focus");
}

#[test]
fn names_with_markup_are_text() {
    let page = written("hostile", journal::troubled());
    let mut browser = Browser::start("hostile");
    let tab = browser.tab(1280, 900, "light");
    browser.open(&tab, &page);
    let seen = browser.value(&tab, "[document.images.length, document.scripts.length, typeof window.pwned]");
    assert_eq!(seen, json!([0, 2, "undefined"]));
    let shown = format!("document.body.innerText.split({}).length - 1", json!(journal::HOSTILE));
    assert!(browser.value(&tab, &shown).as_u64() >= Some(5), "it is shown as it is");
    // Even markup that got in could run nothing: the policy knows the page's own script only.
    let run = "(() => { const s = document.createElement('script'); s.textContent = 'window.pwned = 1'; document.body.append(s);
        const i = document.createElement('img'); i.setAttribute('onerror', 'window.pwned = 1'); i.src = 'data:,x'; document.body.append(i);
        return new Promise(done => setTimeout(() => done(typeof window.pwned), 200)); })()";
    assert_eq!(browser.value(&tab, run), json!("undefined"));
}

#[test]
fn without_scripts_nothing_is_missing() {
    let page = written("scriptless", journal::troubled());
    let mut browser = Browser::start("scriptless");
    let tab = browser.tab(1280, 900, "light");
    browser.call(&tab, "Emulation.setScriptExecutionDisabled", json!({"value": true}));
    browser.open(&tab, &page);
    let tree = browser.accessible(&tab);
    let has = |words: &str| tree.iter().any(|n| n.name.contains(words));
    for words in [
        "Rehearsal would pause",
        "gamma fails",
        "budget shop/db",
        "lab/web-1",
        "firmware",
        "Detach the host device",
    ] {
        assert!(has(words), "{words}");
    }
    // What only a script can show isn't promised.
    assert!(!has("Point at a node"));
    assert_eq!(browser.complaints(&tab), Vec::<String>::new());
}

#[test]
fn paper_shows_everything_on_a_few_pages() {
    let pages =
        [("quickstart", quickstart(), 2..=5), ("fleet", written("paper", journal::fleet(200)), 8..=30)];
    let mut browser = Browser::start("paper");
    for (name, page, expected) in pages {
        let tab = browser.tab(1280, 900, "light");
        browser.open(&tab, &page);
        let pdf = browser.paper(&tab, &format!("{name}-print"));
        let text = String::from_utf8_lossy(&pdf);
        let count = text.matches("/Type /Page\n").count();
        assert!(expected.contains(&count), "{name}: {count} pages");
        let closed = browser.value(&tab, "document.querySelectorAll('details:not([open])').length");
        assert_eq!(closed == json!(0), name == "quickstart", "what was opened for print is closed again");
    }
}

#[test]
fn a_thousand_nodes_stay_usable() {
    let (report, text) = journal::fleet(1000);
    let names: Vec<String> = report.nodes.iter().map(|n| n.name.clone()).collect();
    let page = written("thousand", (report, text));
    let size = std::fs::metadata(&page).expect("a file").len();
    assert!(size < 3_000_000, "{size} bytes");
    let mut browser = Browser::start("thousand");
    let tab = browser.tab(1280, 900, "light");
    browser.open(&tab, &page);
    // Groups are closed: what is seen at first is a few screens.
    let height = browser.value(&tab, "document.documentElement.scrollHeight");
    assert!(height.as_u64() < Some(6000), "{height} pixels");
    let open = browser.value(&tab, "(() => { const d = document.querySelector('#timeline details'); d.querySelector('summary').click(); return d.open; })()");
    assert_eq!(open, json!(true));
    let missing = format!(
        "(names => names.filter(n => ![...document.querySelectorAll('#timeline th a')].some(a => a.textContent === n)).length)({})",
        json!(names.iter().step_by(97).collect::<Vec<_>>())
    );
    assert_eq!(browser.value(&tab, &missing), Value::from(0));
    browser.picture(&tab, "thousand");
}
