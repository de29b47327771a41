//! `exec`: a command on this machine, without a shell.

use std::process::Stdio;
use std::time::Duration;

use futures::FutureExt;
use futures::future::FusedFuture;
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::Command;
use tokio::time::timeout;

use super::Context;

/// Lines of output that an error shows.
const TAIL: usize = 5;
/// What a command that has ended left in its pipes is read for so long; a process that it left behind may keep them open.
const REST: Duration = Duration::from_secs(1);

/// Runs the command. Its output goes to the log, the last lines into the error. When the run is given up, the command is
/// killed with all its children.
pub(super) async fn run(context: &Context, argv: &[String]) -> Result<(), String> {
    let (program, arguments) = argv.split_first().ok_or("exec is empty")?;
    let arguments = arguments.iter().map(|a| context.expand(a));
    let mut command = Command::new(context.expand(program));
    command.args(arguments).envs(context.variables()).stdin(Stdio::null());
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    // A group of its own: Ctrl-C for virtroll must not kill a hook half-way.
    command.process_group(0);
    let mut child = command.spawn().map_err(|e| format!("can't start {program}: {e}"))?;
    let mut group = Group(child.id().and_then(|id| Pid::from_raw(id.cast_signed())));
    let name = &context.hook.name;
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let status = {
        let reading = async { tokio::join!(tail(stdout, name, &mut out), tail(stderr, name, &mut err)) };
        let mut reading = std::pin::pin!(reading.fuse());
        let status = tokio::select! {
            biased;
            status = child.wait() => status,
            _ = &mut reading => child.wait().await,
        };
        group.0 = None;
        if !reading.is_terminated() {
            let _ = timeout(REST, reading).await;
        }
        status
    };
    let status = status.map_err(|e| format!("can't wait for {program}: {e}"))?;
    if status.success() {
        return Ok(());
    }
    let how = status.code().map_or_else(|| "killed by a signal".to_owned(), |code| format!("exit {code}"));
    let last = if err.is_empty() { out } else { err };
    if last.is_empty() { Err(how) } else { Err(format!("{how}: {}", last.join(" | "))) }
}

/// The process group of a command that runs; killed when dropped.
struct Group(Option<Pid>);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(leader) = self.0 {
            // Fails only if all of it has just ended.
            let _ = kill_process_group(leader, Signal::KILL);
        }
    }
}

/// Logs a stream's lines and keeps the last of them.
async fn tail(stream: Option<impl AsyncRead + Unpin>, hook: &str, last: &mut Vec<String>) {
    let Some(stream) = stream else { return };
    let mut lines = BufReader::new(stream).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        tracing::info!(hook, "{line}");
        if last.len() == TAIL {
            last.remove(0);
        }
        last.push(line);
    }
}
