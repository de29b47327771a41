//! Reports on stdout and in files: text, JSON, a graph, a page.

use std::path::{Path, PathBuf};

use clap::ValueEnum;
use jiff::tz::TimeZone;

use super::output::{out, write_out};
use super::{Exit, complain, print_json};
use crate::plan::Loaded;
use crate::report::{self, Forecast, Rehearsal, Report};

/// The form of a report on stdout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Output {
    /// Tables for people.
    Text,
    /// Everything, for programs; docs/report.md describes it.
    Json,
    /// The graph of what waited for what, for graphviz.
    Dot,
    /// A page with the timeline: one file that needs no network.
    Html,
}

/// The form of a report in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Json,
    Dot,
    Html,
}

/// A file for a report; its ending says the form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ReportFile {
    path: PathBuf,
    form: Form,
}

impl std::str::FromStr for ReportFile {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let path = PathBuf::from(text);
        let form = match path.extension().and_then(|e| e.to_str()) {
            Some("json") => Form::Json,
            Some("dot" | "gv") => Form::Dot,
            Some("html" | "htm") => Form::Html,
            _ => return Err("its name must end in .html, .json or .dot".to_owned()),
        };
        Ok(Self { path, form })
    }
}

/// A report with what its other forms need.
#[derive(Clone, Copy)]
pub(super) struct Printed<'a> {
    pub report: &'a Report,
    /// How a forecast was come to.
    pub rehearsal: Option<&'a Rehearsal>,
    pub loaded: &'a Loaded,
    pub zone: &'a TimeZone,
}

impl Printed<'_> {
    /// Prints it and writes the files. `text` is what people read on a terminal.
    pub(super) fn show(&self, output: Output, files: &[ReportFile], text: &str) -> Result<(), Exit> {
        for file in files {
            self.write(file)?;
        }
        match (output, self.rehearsal) {
            (Output::Text, _) => out!("{text}"),
            (Output::Json, Some(rehearsal)) => print_json(&Forecast { report: self.report, rehearsal }),
            (Output::Json, None) => print_json(self.report),
            (Output::Dot, _) => write_out(&report::dot(self.report)),
            (Output::Html, _) => write_out(&self.page()?),
        }
        Ok(())
    }

    fn page(&self) -> Result<String, Exit> {
        report::html(self.report, self.rehearsal, self.loaded.text(), self.zone).map_err(|error| {
            complain(&error);
            Exit::Failed
        })
    }

    fn write(&self, file: &ReportFile) -> Result<(), Exit> {
        let json = || match self.rehearsal {
            Some(rehearsal) => serde_json::to_string_pretty(&Forecast { report: self.report, rehearsal }),
            None => serde_json::to_string_pretty(self.report),
        };
        let text = match file.form {
            Form::Json => json().unwrap_or_default() + "\n",
            Form::Dot => report::dot(self.report),
            Form::Html => self.page()?,
        };
        save(&file.path, &text)
    }
}

fn save(path: &Path, text: &str) -> Result<(), Exit> {
    std::fs::write(path, text).map_err(|error| {
        complain(&format!("can't write {}: {error}", path.display()));
        Exit::Failed
    })
}
