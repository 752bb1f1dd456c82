//! The operator's socket: subcommands ask the running daemon over it.
//!
//! One request is one line of JSON (a [`Command`]), the answer NDJSON rows and a last line
//! `{"done": exit code}`. Who asks is the peer's user, which the kernel says; the socket's mode keeps
//! out whoever may not ask at all. Who closes its end before the answer is whole wants no more of it.
//!
//! An order about rules may have an archive behind its line, of the length the line says.
//!
//! Rows of a backup come with an open file each, passed as a descriptor (SCM_RIGHTS) with the first
//! byte of the row: whoever asked reads what only the daemon could open, and nothing is copied twice.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, IoSlice, IoSliceMut, Write as _};
use std::mem::MaybeUninit;
use std::os::fd::AsFd as _;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags,
};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Interest, Take};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, mpsc};
use tokio_util::sync::CancellationToken;

use crate::backup::{self, Piece};
use crate::commands::{self, Command};
use crate::packs;
use crate::services::Services;

/// The longest request.
const MAX_REQUEST: u64 = 64 << 10;
/// Requests answered at once.
const MAX_AT_ONCE: usize = 16;
/// How long a request may take to arrive.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// Rows that wait for a slow reader.
const ROWS: usize = 256;
/// Bytes of an answer read at once, where files may come along.
const READ: usize = 64 << 10;
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
    let mut archive = Vec::new();
    if let Command::Rules(ordered) = &command {
        archive = take_archive(&mut reader, ordered.archive_bytes).await?;
    }
    let (pieces, mut receiver) = mpsc::channel::<Piece>(ROWS);
    let work = tokio::spawn(async move {
        // A reader that is slow holds up its own request, not the threads that serve others.
        let mut send =
            |piece: Piece| tokio::task::block_in_place(|| pieces.blocking_send(piece)).is_ok();
        if let Command::Backup(asked) = command {
            return backup::give(&services, &who, asked, &mut send).await;
        }
        let wanted = || !pieces.is_closed();
        let mut see = |row| send((row, None));
        if let Command::Rules(ordered) = command {
            return packs::execute(&services, &who, ordered.order, archive, &wanted, &mut see)
                .await;
        }
        commands::execute(&services, &who, command, &wanted, &mut see).await
    });
    let mut more = [0];
    loop {
        tokio::select! {
            piece = receiver.recv() => match piece {
                Some((row, None)) => write.write_all(format!("{row}\n").as_bytes()).await?,
                Some((row, Some(file))) => pass(&mut write, &row, &file).await?,
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

/// Reads what comes behind a request. Its memory grows with what has come.
async fn take_archive(
    reader: &mut BufReader<Take<OwnedReadHalf>>,
    bytes: u64,
) -> anyhow::Result<Vec<u8>> {
    anyhow::ensure!(bytes <= packs::archive::MAX_ARCHIVE, "an archive longer than is taken");
    let here = reader.buffer().len() as u64;
    // One more, so that the end of the peer is told from the end of what may be read.
    reader.get_mut().set_limit(bytes.saturating_sub(here) + 1);
    let mut archive = Vec::new();
    while (archive.len() as u64) < bytes {
        let read = tokio::time::timeout(REQUEST_TIMEOUT, reader.fill_buf()).await??;
        anyhow::ensure!(!read.is_empty(), "the archive broke off");
        let left = usize::try_from(bytes)?.saturating_sub(archive.len());
        let taken = read.len().min(left);
        archive.extend_from_slice(&read[..taken]);
        reader.consume(taken);
    }
    Ok(archive)
}

/// Writes a row and passes an open file with its first byte.
async fn pass(write: &mut OwnedWriteHalf, row: &Value, file: &File) -> io::Result<()> {
    let line = format!("{row}\n");
    let stream: &UnixStream = write.as_ref();
    let sent = stream
        .async_io(Interest::WRITABLE, || {
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
            let mut control = SendAncillaryBuffer::new(&mut space);
            let files = [file.as_fd()];
            control.push(SendAncillaryMessage::ScmRights(&files));
            let bytes = [IoSlice::new(line.as_bytes())];
            Ok(rustix::net::sendmsg(stream, &bytes, &mut control, SendFlags::NOSIGNAL)?)
        })
        .await?;
    write.write_all(&line.as_bytes()[sent..]).await
}

/// Asks the daemon at `socket`; shows each row until `see` fails, returns the exit code.
///
/// `archive` goes behind the request.
pub async fn ask(
    socket: &Path,
    command: &Command,
    archive: &[u8],
    see: &mut dyn FnMut(Value) -> anyhow::Result<()>,
) -> anyhow::Result<i32> {
    let stream = UnixStream::connect(socket).await.with_context(|| nobody(socket))?;
    let (read, mut write) = stream.into_split();
    write.write_all(format!("{}\n", serde_json::to_string(command)?).as_bytes()).await?;
    write.write_all(archive).await.context("the collector takes no more: see its log")?;
    let mut lines = BufReader::new(read).lines();
    while let Some(line) = lines.next_line().await? {
        let row: Value = serde_json::from_str(&line)?;
        match done(&row)? {
            Some(code) => return Ok(code),
            None => see(row)?,
        }
    }
    anyhow::bail!("the collector broke off: see its log")
}

/// The same for what comes with open files. Blocking.
pub fn ask_for_files(
    socket: &Path,
    command: &Command,
    see: &mut dyn FnMut(Piece) -> anyhow::Result<()>,
) -> anyhow::Result<i32> {
    let mut stream =
        std::os::unix::net::UnixStream::connect(socket).with_context(|| nobody(socket))?;
    stream.write_all(format!("{}\n", serde_json::to_string(command)?).as_bytes())?;
    let mut files = VecDeque::new();
    let (mut bytes, mut buffer) = (Vec::new(), vec![0; READ]);
    loop {
        while let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = bytes.drain(..=end).collect();
            let row: Value = serde_json::from_slice(&line)?;
            if let Some(code) = done(&row)? {
                return Ok(code);
            }
            // A file comes with the first byte of its row, so it is here by now.
            let file = if row["file"] == true { files.pop_front() } else { None };
            see((row, file))?;
        }
        let read = receive(&stream, &mut buffer, &mut files)?;
        anyhow::ensure!(read > 0, "the collector broke off: see its log");
        bytes.extend_from_slice(&buffer[..read]);
    }
}

fn receive(
    stream: &std::os::unix::net::UnixStream,
    buffer: &mut [u8],
    files: &mut VecDeque<File>,
) -> io::Result<usize> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut bytes = [IoSliceMut::new(buffer)];
    let received = loop {
        match rustix::net::recvmsg(stream, &mut bytes, &mut control, RecvFlags::CMSG_CLOEXEC) {
            Err(rustix::io::Errno::INTR) => {}
            received => break received?,
        }
    };
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(passed) = message {
            files.extend(passed.map(File::from));
        }
    }
    Ok(received.bytes)
}

/// The exit code of the last row; None for any other.
fn done(row: &Value) -> anyhow::Result<Option<i32>> {
    let Some(code) = row.get("done").and_then(Value::as_i64) else { return Ok(None) };
    if let Some(error) = row.get("error").and_then(Value::as_str) {
        anyhow::bail!("{error}");
    }
    Ok(Some(i32::try_from(code)?))
}

fn nobody(socket: &Path) -> String {
    format!(
        "{}: no collector answers: start it, name its socket with --socket, or work on a stopped one with --data",
        socket.display()
    )
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
