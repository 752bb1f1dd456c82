//! The operator's socket: subcommands ask the running daemon over it.
//!
//! One request is one line of JSON (a [`Command`]), the answer NDJSON rows and a last line
//! `{"done": exit code}`. Who asks is the peer's user, which the kernel says; the socket's mode keeps
//! out whoever may not ask at all. Who closes its end before the answer is whole wants no more of it.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, mpsc};
use tokio_util::sync::CancellationToken;

use crate::commands::{self, Command};
use crate::services::Services;

/// The longest request.
const MAX_REQUEST: u64 = 64 << 10;
/// Requests answered at once.
const MAX_AT_ONCE: usize = 16;
/// How long a request may take to arrive.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// Rows that wait for a slow reader.
const ROWS: usize = 256;
/// How long to wait after the system would not accept.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Binds the socket: a stale one is replaced, one that answers is another daemon's.
pub fn bind(path: &Path) -> anyhow::Result<UnixListener> {
    if std::os::unix::net::UnixStream::connect(path).is_ok() {
        anyhow::bail!(
            "{}: another collector answers here: stop it, or set `socket`",
            path.display()
        );
    }
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            anyhow::bail!("{}: {error}: remove it, or set `socket`", path.display());
        }
        _ => {}
    }
    let listener = UnixListener::bind(path).with_context(|| {
        format!("{}: can't listen: create its folder, or set `socket`", path.display())
    })?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o660))?;
    Ok(listener)
}

/// Answers requests until stopped.
pub async fn serve(listener: UnixListener, services: Arc<Services>, stop: CancellationToken) {
    let slots = Arc::new(Semaphore::new(MAX_AT_ONCE));
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => return,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "could not accept on the operator's socket");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let services = Arc::clone(&services);
        let slots = Arc::clone(&slots);
        tokio::spawn(async move {
            let Ok(_slot) = slots.acquire_owned().await else { return };
            if let Err(error) = answer(stream, services).await {
                tracing::debug!(%error, "a request on the operator's socket broke off");
            }
        });
    }
}

async fn answer(stream: UnixStream, services: Arc<Services>) -> anyhow::Result<()> {
    let who = format!("local:{}", user_name(stream.peer_cred()?.uid()));
    let (read, mut write) = stream.into_split();
    let mut line = String::new();
    let mut reader = BufReader::new(read.take(MAX_REQUEST));
    tokio::time::timeout(REQUEST_TIMEOUT, reader.read_line(&mut line)).await??;
    let command: Command = match serde_json::from_str(&line) {
        Ok(command) => command,
        Err(error) => {
            let text =
                format!("request not understood: {error}: is the daemon of another version?");
            return Ok(write
                .write_all(
                    format!("{}\n", serde_json::json!({"error": text, "done": 2})).as_bytes(),
                )
                .await?);
        }
    };
    let (rows, mut receiver) = mpsc::channel::<Value>(ROWS);
    let work = tokio::spawn(async move {
        // A reader that is slow holds up its own request, not the threads that serve others.
        let mut see = |row| tokio::task::block_in_place(|| rows.blocking_send(row)).is_ok();
        let wanted = || !rows.is_closed();
        commands::execute(&services, &who, command, &wanted, &mut see).await
    });
    let mut more = [0];
    loop {
        tokio::select! {
            row = receiver.recv() => match row {
                Some(row) => write.write_all(format!("{row}\n").as_bytes()).await?,
                None => break,
            },
            // A second request is none, and a peer that is gone needs no answer.
            _ = reader.read(&mut more) => return Ok(()),
        }
    }
    let last = match work.await {
        Ok(Ok(code)) => serde_json::json!({ "done": code }),
        Ok(Err(error)) => {
            serde_json::json!({ "error": format!("{error:#}"), "done": crate::EXIT_OPERATOR })
        }
        Err(error) => {
            serde_json::json!({ "error": format!("internal: {error}"), "done": crate::EXIT_BUG })
        }
    };
    write.write_all(format!("{last}\n").as_bytes()).await?;
    Ok(write.flush().await?)
}

/// Asks the daemon at `socket`; shows each row, returns the exit code.
pub async fn ask(
    socket: &Path,
    command: &Command,
    see: &mut dyn FnMut(Value),
) -> anyhow::Result<i32> {
    let stream = UnixStream::connect(socket).await.with_context(|| {
        format!("{}: no collector answers: start it, name its socket with --socket, or work on a stopped one with --data", socket.display())
    })?;
    let (read, mut write) = stream.into_split();
    write.write_all(format!("{}\n", serde_json::to_string(command)?).as_bytes()).await?;
    let mut lines = BufReader::new(read).lines();
    while let Some(line) = lines.next_line().await? {
        let row: Value = serde_json::from_str(&line)?;
        if let Some(code) = row.get("done").and_then(Value::as_i64) {
            if let Some(error) = row.get("error").and_then(Value::as_str) {
                anyhow::bail!("{error}");
            }
            return Ok(i32::try_from(code)?);
        }
        see(row);
    }
    anyhow::bail!("the collector broke off: see its log")
}

/// The user's name, or its number when it has none.
pub fn user_name(uid: u32) -> String {
    let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    passwd
        .lines()
        .filter_map(|line| {
            let mut parts = line.split(':');
            let name = parts.next()?;
            (parts.nth(1)? == uid.to_string()).then(|| name.to_owned())
        })
        .next()
        .unwrap_or_else(|| uid.to_string())
}
