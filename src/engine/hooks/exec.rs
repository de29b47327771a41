//! `exec`: a command on this machine, without a shell.

use std::process::Stdio;

use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::Command;

use super::Context;

/// Lines of output that an error shows.
const TAIL: usize = 5;

/// Runs the command. Its output goes to the log, the last lines into the error.
pub(super) async fn run(context: &Context, argv: &[String]) -> Result<(), String> {
    let (program, arguments) = argv.split_first().ok_or("exec is empty")?;
    let arguments = arguments.iter().map(|a| context.expand(a));
    let mut command = Command::new(context.expand(program));
    command.args(arguments).envs(context.variables()).stdin(Stdio::null());
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    // A group of its own: Ctrl-C for virtroll must not kill a hook half-way.
    command.process_group(0);
    let mut child = command.spawn().map_err(|e| format!("can't start {program}: {e}"))?;
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let name = &context.hook.name;
    let (out, err, status) = tokio::join!(tail(stdout, name), tail(stderr, name), child.wait());
    let status = status.map_err(|e| format!("can't wait for {program}: {e}"))?;
    if status.success() {
        return Ok(());
    }
    let how = status.code().map_or_else(|| "killed by a signal".to_owned(), |code| format!("exit {code}"));
    let last = if err.is_empty() { out } else { err };
    if last.is_empty() { Err(how) } else { Err(format!("{how}: {}", last.join(" | "))) }
}

/// Logs a stream's lines and gives the last of them.
async fn tail(stream: Option<impl AsyncRead + Unpin>, hook: &str) -> Vec<String> {
    let Some(stream) = stream else { return Vec::new() };
    let mut lines = BufReader::new(stream).lines();
    let mut last = Vec::new();
    while let Ok(Some(line)) = lines.next_line().await {
        tracing::info!(hook, "{line}");
        if last.len() == TAIL {
            last.remove(0);
        }
        last.push(line);
    }
    last
}
