//! A story for kubectl as text: one command a line, in both clusters, told apart by how it is judged.
//!
//! - `= get pods`: both must print the same, once names, times and numbers that differ between any two clusters are gone,
//!   and end with the same exit code.
//! - `~ wait …`: brings both to the same point; must succeed on both, what it prints doesn't matter.
//! - `! logs web => words`: on the embedded cluster only; must fail and say these words.
//! - `+ get vmi => words`: on the embedded cluster only; must succeed and say these words.

use std::time::{Duration, Instant};

/// How a command is judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Judged {
    Same,
    Sync,
    Refused,
    Shown,
}

/// A command.
#[derive(Debug, Clone)]
pub struct Step {
    pub line: usize,
    pub judged: Judged,
    pub arguments: Vec<String>,
    /// What it must say, where that is judged.
    pub words: String,
}

/// Reads a story.
pub fn read(text: &str) -> Vec<Step> {
    let lines = text.lines().enumerate().filter(|(_, l)| !l.trim().is_empty() && !l.starts_with('#'));
    lines
        .map(|(index, line)| {
            let (mark, rest) = line.split_once(' ').unwrap_or_else(|| panic!("line {}: {line}", index + 1));
            let judged = match mark {
                "=" => Judged::Same,
                "~" => Judged::Sync,
                "!" => Judged::Refused,
                "+" => Judged::Shown,
                _ => panic!("line {}: unknown mark {mark}", index + 1),
            };
            let (command, words) = rest.split_once(" => ").unwrap_or((rest, ""));
            Step { line: index + 1, judged, arguments: words_of(command), words: words.to_owned() }
        })
        .collect()
}

/// Splits at spaces outside of single quotes.
fn words_of(command: &str) -> Vec<String> {
    let (mut words, mut word, mut quoted, mut any) = (Vec::new(), String::new(), false, false);
    for c in command.chars() {
        match c {
            '\'' => {
                quoted = !quoted;
                any = true;
            }
            ' ' if !quoted => {
                if any || !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
                any = false;
            }
            c => word.push(c),
        }
    }
    if any || !word.is_empty() {
        words.push(word);
    }
    words
}

/// Tries until it succeeds, at most a minute and a half.
pub fn patiently<T>(mut try_once: impl FnMut() -> Result<T, String>) -> Result<T, String> {
    let end = Instant::now() + Duration::from_secs(90);
    loop {
        match try_once() {
            Ok(done) => return Ok(done),
            Err(why) if Instant::now() > end => return Err(why),
            Err(_) => std::thread::sleep(Duration::from_millis(500)),
        }
    }
}
