//! A snapshot in a file: a JSON `List`, an object a line, readable by kubectl and by `--sim`.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use kube::Client;
use serde_json::Value;

use super::anonymize::Names;
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

/// Captures a cluster into a file, an object at a time. With `names`, which may know words of a plan already, names are replaced
/// by pseudonyms; campaigns, which are full of them, are left out then.
///
/// # Errors
/// What [`capture`] gives; a file that can't be written. No half file is left behind.
pub async fn write_snapshot(
    client: &Client,
    to: &Destination,
    names: Option<&mut Names>,
) -> Result<Written, Error> {
    match to {
        Destination::Stdout => {
            write(client, &mut io::stdout().lock(), &std::env::temp_dir().join("snapshot"), names).await
        }
        Destination::File(path) => {
            let part = Part::create(path, "part");
            let mut file = BufWriter::new(part.open().map_err(unwritable)?);
            let written = write(client, &mut file, path, names).await?;
            file.into_inner().map_err(|e| unwritable(e.into_error()))?.sync_all().map_err(unwritable)?;
            part.finish(path).map_err(unwritable)?;
            Ok(written)
        }
    }
}

fn unwritable(error: io::Error) -> Error {
    Error::Refused { what: "write the snapshot".to_owned(), why: error.to_string() }
}

async fn write(
    client: &Client,
    out: &mut dyn Write,
    beside: &Path,
    names: Option<&mut Names>,
) -> Result<Written, Error> {
    let mut list = List::begin(out)?;
    let unread = match names {
        None => {
            let mut each = |mut object: Value| {
                if kinds::is_record(&object) {
                    kinds::redact(&mut object);
                }
                list.item(&object)
            };
            capture(client, &mut each).await?
        }
        Some(names) => {
            // All names have to be known before the first is replaced.
            let part = Part::create(beside, "names");
            let unread = collect(client, &part, names).await?;
            names.assign();
            for line in BufReader::new(File::open(&part.0).map_err(unwritable)?).lines() {
                let mut object: Value =
                    serde_json::from_str(&line.map_err(unwritable)?).map_err(|e| unwritable(e.into()))?;
                names.apply(&mut object);
                list.item(&object)?;
            }
            unread
        }
    };
    let objects = list.objects;
    list.end()?;
    Ok(Written { objects, unread })
}

/// Captures into a file, an object a line, and learns the names.
async fn collect(client: &Client, part: &Part, names: &mut Names) -> Result<Vec<Unread>, Error> {
    let mut file = BufWriter::new(part.open().map_err(unwritable)?);
    let mut each = |object: Value| {
        // Definitions are public; a campaign is full of names.
        if kinds::is_record(&object) {
            return Ok(());
        }
        names.learn(&object);
        serde_json::to_writer(&mut file, &object).map_err(|e| unwritable(e.into()))?;
        file.write_all(b"\n").map_err(unwritable)
    };
    let unread = capture(client, &mut each).await?;
    file.flush().map_err(unwritable)?;
    Ok(unread)
}

/// A `List` on its way.
struct List<'a> {
    out: &'a mut dyn Write,
    objects: usize,
}

impl<'a> List<'a> {
    fn begin(out: &'a mut dyn Write) -> Result<Self, Error> {
        out.write_all(b"{\"apiVersion\":\"v1\",\"kind\":\"List\",\"metadata\":{},\"items\":[")
            .map_err(unwritable)?;
        Ok(Self { out, objects: 0 })
    }

    fn item(&mut self, object: &Value) -> Result<(), Error> {
        let separator: &[u8] = if self.objects == 0 { b"\n" } else { b",\n" };
        self.objects += 1;
        self.out.write_all(separator).map_err(unwritable)?;
        serde_json::to_writer(&mut *self.out, object).map_err(|e| unwritable(e.into()))
    }

    fn end(self) -> Result<(), Error> {
        self.out.write_all(b"\n]}\n").and_then(|()| self.out.flush()).map_err(unwritable)
    }
}

/// Writes text that says what names stand for, for its owner alone.
///
/// # Errors
/// A file that can't be written.
pub fn write_private(path: &Path, text: &str) -> Result<(), Error> {
    let part = Part::create(path, "part");
    part.open().and_then(|mut file| file.write_all(text.as_bytes())).map_err(unwritable)?;
    part.finish(path).map_err(unwritable)
}

/// A file on its way; gone if it isn't finished.
struct Part(PathBuf);

impl Part {
    fn create(path: &Path, what: &str) -> Self {
        let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        Self(path.with_file_name(format!(".{name}.{}.{what}", std::process::id())))
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
