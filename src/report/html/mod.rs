//! The page: one HTML file that needs nothing from the network.
//!
//! # Why
//! A change board reads it in a browser, on a phone, or on paper; so it is complete without scripts, and what a script adds
//! (arcs of VM moves) stands in a table as well. The template engine escapes every value. The page's Content-Security-Policy
//! allows exactly its own style sheet and its own script, by their hashes: a name with markup in it, even if it were not
//! escaped, could run nothing and ask for nothing.

mod axis;
mod bands;
mod rows;
mod timeline;
mod view;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use jiff::tz::TimeZone;
use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Serde, Value};
use minijinja::{Environment, UndefinedBehavior};
use serde::Serialize;
use sha2::{Digest, Sha256};
use thiserror::Error;

use super::rehearsal::Rehearsal;
use super::summary::Report;

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");
/// Names end in `.html`, which turns escaping on.
const TEMPLATES: [(&str, &str); 5] = [
    ("page.html", include_str!("page.html")),
    ("timeline.html", include_str!("timeline.html")),
    ("findings.html", include_str!("findings.html")),
    ("tables.html", include_str!("tables.html")),
    ("patterns.html", include_str!("patterns.html")),
];

/// The page can't be made: a mistake in virtroll.
#[derive(Debug, Error)]
#[error("can't write the page: {0}")]
pub struct Error(#[from] minijinja::Error);

/// The page of a report; of a forecast, with how it was come to. `plan` is the plan's text, `zone` the time zone of its
/// clock times.
///
/// # Errors
/// A template that doesn't fit the report.
pub fn html(
    report: &Report,
    rehearsal: Option<&Rehearsal>,
    plan: &str,
    zone: &TimeZone,
) -> Result<String, Error> {
    let mut engine = Environment::new();
    engine.set_undefined_behavior(UndefinedBehavior::Strict);
    // A block's line leaves no empty line behind.
    engine.set_syntax(SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build()?);
    for (name, source) in TEMPLATES {
        engine.add_template(name, source)?;
    }
    let whole = Whole {
        page: view::page(report, rehearsal, plan, zone),
        style: STYLE,
        script: SCRIPT,
        style_hash: hash(STYLE),
        script_hash: hash(SCRIPT),
    };
    Ok(engine.get_template("page.html")?.render(Value::from(Serde(whole)))?)
}

/// What the templates see.
#[derive(Serialize)]
struct Whole {
    page: view::Page,
    style: &'static str,
    script: &'static str,
    style_hash: String,
    script_hash: String,
}

/// A source expression of a Content-Security-Policy: allows this text and no other.
fn hash(text: &str) -> String {
    format!("'sha256-{}'", BASE64_STANDARD.encode(Sha256::digest(text.as_bytes())))
}
