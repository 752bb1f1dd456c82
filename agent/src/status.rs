//! What the running agent answers an operator: over a Unix socket, one JSON object per line and then
//! the end of the stream. In: a snapshot taken when somebody asks. Out: the lines, and for people the
//! same as text. It takes no commands.

use std::fmt::Write as _;
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};
use tokio::io::AsyncWriteExt;
use tokio::net::{UnixListener, UnixStream};
use tokio_util::sync::CancellationToken;

use crate::{ship, sources, spool};

/// Who may ask: the owner and the group.
const MODE: u32 = 0o660;
/// How long a caller may take to read the answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// The longest answer that is read.
const MAX_ANSWER: u64 = 16 << 20;

/// One line of the answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "lowercase")]
pub enum Line {
    /// The agent itself.
    Agent {
        /// Its version.
        version: String,
        /// Its id, from its certificate.
        id: String,
        /// Whether sources that can wait do.
        spool_full: bool,
    },
    /// The connection to the collector.
    Connection(ship::Status),
    /// One queue of the spool.
    Queue(spool::QueueStatus),
    /// One source.
    Source(sources::Status),
}

/// Takes a snapshot. It may read the spool's files.
pub type Snapshot = Arc<dyn Fn() -> Vec<Line> + Send + Sync>;

/// Opens the socket, in place of one that a killed agent left behind.
pub fn listen(path: &Path) -> anyhow::Result<UnixListener> {
    let name = path.display();
    if std::os::unix::net::UnixStream::connect(path).is_ok() {
        anyhow::bail!(
            "{name}: another hengwei-agent answers there: stop it or set another `socket`"
        );
    }
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(error).context(format!("{name}: cannot be replaced: set another `socket`"));
        }
        _ => {}
    }
    if let Some(dir) = path.parent() {
        std::fs::create_dir_all(dir).with_context(|| {
            format!("{}: cannot be created: set another `socket`", dir.display())
        })?;
    }
    let listener = UnixListener::bind(path)
        .with_context(|| format!("{name}: cannot be opened: set another `socket`"))?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(MODE))?;
    Ok(listener)
}

/// Answers until stopped.
pub async fn serve(listener: UnixListener, snapshot: Snapshot, stop: CancellationToken) {
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) => {
                tokio::spawn(tokio::time::timeout(PATIENCE, answer(stream, Arc::clone(&snapshot))));
            }
            Err(error) => {
                tracing::warn!("the status socket does not accept: {error}");
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        }
    }
}

async fn answer(mut stream: UnixStream, snapshot: Snapshot) -> io::Result<()> {
    let lines = tokio::task::spawn_blocking(move || snapshot()).await.map_err(io::Error::other)?;
    let mut text = String::new();
    for line in lines {
        text.push_str(&serde_json::to_string(&line).map_err(io::Error::other)?);
        text.push('\n');
    }
    stream.write_all(text.as_bytes()).await?;
    stream.shutdown().await
}

/// Asks the running agent. Blocking.
pub fn ask(path: &Path) -> anyhow::Result<Vec<Line>> {
    let stream = std::os::unix::net::UnixStream::connect(path).with_context(|| {
        format!(
            "{}: no hengwei-agent answers: is it running, and are you in its group?",
            path.display()
        )
    })?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut text = String::new();
    stream.take(MAX_ANSWER).read_to_string(&mut text)?;
    text.lines()
        .map(|line| serde_json::from_str(line).context("the agent's answer is of another version"))
        .collect()
}

/// The answer for people. `now` is Unix nanoseconds.
pub fn render(lines: &[Line], now: i64) -> String {
    let mut text = String::new();
    for line in lines {
        // Writing to a String never fails.
        let _ = match line {
            Line::Agent { version, id, spool_full } => {
                let full = if *spool_full { ", spool full: sources wait" } else { "" };
                writeln!(text, "agent       {id} (hengwei-agent {version}{full})")
            }
            Line::Connection(status) => {
                let address = status.address.as_deref().unwrap_or("no collector");
                let ack = status.last_ack.map_or("never".to_owned(), |at| age(now, at));
                let since = age(now, status.since);
                let state = &status.state;
                let _ =
                    writeln!(text, "connection  {state} to {address} for {since}, last ack {ack}");
                for (address, why) in &status.problems {
                    let _ = writeln!(text, "            {address}: {why}");
                }
                Ok(())
            }
            Line::Queue(queue) => {
                let oldest = queue.oldest.map_or("-".to_owned(), |at| age(now, at));
                writeln!(
                    text,
                    "queue       {:<12} waiting {:>9}, oldest {oldest}, acked {}, next {}, {} KiB, {} gaps",
                    queue.kind,
                    queue.waiting,
                    queue.acked.saturating_sub(1),
                    queue.next,
                    queue.bytes / 1024,
                    queue.gaps,
                )
            }
            Line::Source(source) => {
                let (name, state) = (&source.name, &source.state);
                let _ =
                    writeln!(text, "source      {name:<12} {state}, restarts {}", source.restarts);
                for (what, line) in &source.reports {
                    let _ = writeln!(text, "            {what}: {line}");
                }
                Ok(())
            }
        };
    }
    text
}

/// How long ago something was, in the largest unit that fits.
fn age(now: i64, then: i64) -> String {
    let secs = now.saturating_sub(then).max(0) / 1_000_000_000;
    match secs {
        0..120 => format!("{secs} s"),
        120..7_200 => format!("{} min", secs / 60),
        7_200..172_800 => format!("{} h", secs / 3_600),
        _ => format!("{} d", secs / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines() -> Vec<Line> {
        vec![
            Line::Agent { version: "1".into(), id: "emr-1".into(), spool_full: false },
            Line::Connection(ship::Status {
                state: "waiting".into(),
                problems: [("c:7443".to_owned(), "no answer".to_owned())].into(),
                ..ship::Status::default()
            }),
            Line::Queue(spool::QueueStatus {
                kind: "log".into(),
                epoch: "00".into(),
                next: 11,
                acked: 4,
                waiting: 7,
                oldest: Some(5_000_000_000),
                bytes: 2048,
                gaps: 1,
            }),
            Line::Source(sources::Status {
                name: "files".into(),
                state: "running".into(),
                restarts: 2,
                reports: [("/var/log/a".to_owned(), "permission denied".to_owned())].into(),
            }),
        ]
    }

    #[tokio::test]
    async fn who_asks_gets_every_line() {
        let dir = tempfile::TempDir::new().expect("a folder");
        let path = dir.path().join("run/agent.sock");
        let stop = CancellationToken::new();
        let listener = listen(&path).expect("listens");
        let mode = std::fs::metadata(&path).expect("a socket").permissions().mode();
        assert_eq!(mode & 0o777, MODE);
        let served = tokio::spawn(serve(listener, Arc::new(lines), stop.clone()));
        let asked = path.clone();
        let answer = tokio::task::spawn_blocking(move || ask(&asked)).await.expect("joins");
        assert_eq!(answer.expect("answers"), lines());
        let second = listen(&path).expect_err("one agent answers already").to_string();
        assert!(second.contains("another hengwei-agent"), "{second}");
        stop.cancel();
        served.await.expect("ends");
        // What a killed agent leaves does not stop the next.
        listen(&path).expect("listens again");
    }

    #[test]
    fn the_text_for_people_has_what_matters() {
        let text = render(&lines(), 200_000_000_000);
        for part in [
            "emr-1",
            "no answer",
            "waiting         7, oldest 3 min, acked 3, next 11",
            "restarts 2",
            "/var/log/a: permission denied",
        ] {
            assert!(text.contains(part), "{part} in {text}");
        }
    }
}
