//! A snapshot in a file: a JSON `List`, an object a line, readable by kubectl and by `--sim`.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use kube::Client;
use serde_json::Value;

use super::{Error, Unread, capture, kinds};

/// Where a snapshot goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Destination {
    /// Standard output.
    Stdout,
    /// A file, which appears when it is complete; only its owner may read it.
    File(PathBuf),
}

/// What was written.
#[derive(Debug, Default)]
pub struct Written {
    /// Objects.
    pub objects: usize,
    /// Kinds that could not be read.
    pub unread: Vec<Unread>,
}

/// Captures a cluster into a file, an object at a time.
///
/// # Errors
/// What [`capture`] gives; a file that can't be written. No half file is left behind.
pub async fn write_snapshot(client: &Client, to: &Destination) -> Result<Written, Error> {
    let unwritable =
        |error: io::Error| Error::Refused { what: "write the snapshot".to_owned(), why: error.to_string() };
    match to {
        Destination::Stdout => write(client, &mut io::stdout().lock()).await,
        Destination::File(path) => {
            let part = Part::create(path).map_err(unwritable)?;
            let mut file = BufWriter::new(part.open().map_err(unwritable)?);
            let written = write(client, &mut file).await?;
            file.into_inner().map_err(|e| unwritable(e.into_error()))?.sync_all().map_err(unwritable)?;
            part.finish(path).map_err(unwritable)?;
            Ok(written)
        }
    }
}

async fn write(client: &Client, out: &mut dyn Write) -> Result<Written, Error> {
    let unwritable =
        |error: io::Error| Error::Refused { what: "write the snapshot".to_owned(), why: error.to_string() };
    let mut objects = 0;
    out.write_all(b"{\"apiVersion\":\"v1\",\"kind\":\"List\",\"metadata\":{},\"items\":[")
        .map_err(unwritable)?;
    let unread = capture(client, &mut |mut object: Value| {
        if object["kind"] == "MaintenanceCampaign" {
            kinds::redact(&mut object);
        }
        let separator: &[u8] = if objects == 0 { b"\n" } else { b",\n" };
        objects += 1;
        out.write_all(separator).map_err(unwritable)?;
        serde_json::to_writer(&mut *out, &object).map_err(|e| unwritable(e.into()))
    })
    .await?;
    out.write_all(b"\n]}\n").and_then(|()| out.flush()).map_err(unwritable)?;
    Ok(Written { objects, unread })
}

/// A file on its way; gone if it isn't finished.
struct Part(PathBuf);

impl Part {
    fn create(path: &Path) -> io::Result<Self> {
        let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        Ok(Self(path.with_file_name(format!(".{name}.{}.part", std::process::id()))))
    }

    fn open(&self) -> io::Result<File> {
        let _ = std::fs::remove_file(&self.0);
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(&self.0)
    }

    fn finish(self, path: &Path) -> io::Result<()> {
        std::fs::rename(&self.0, path)
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}
