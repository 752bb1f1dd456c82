//! The agent: observe a host, keep what was seen on disk, ship it, forget it when it is stored.
//!
//! ```text
//! sources ─▶ spool (disk) ─▶ ship ══ mTLS ══▶ collector
//!    ▲                        │
//!    └── positions            └── acknowledgements: the spool deletes up to them
//! ```
//!
//! A source sends a chunk: records, and the place it goes on from after them. Both go to disk in one
//! frame, so a crash repeats neither and loses neither. The shipper reads numbered ranges of what is
//! synced and sends them; when the collector says that they are on its disk, they go from this one.
//! Every stage can be killed between any two steps; what each leaves is told at the top of its file.
//!
//! [`run`] builds the stages and hands each its input, its output and its stop signal. Stopping follows
//! the flow: sources first, then what they sent is synced, then it is shipped for a few seconds, then
//! the spool closes.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::sources::SOURCES;
use crate::spool::{Health, Spool};
use crate::status::Line;

pub mod backoff;
pub mod config;
pub mod enroll;
pub mod identity;
pub mod record;
pub mod ship;
pub mod sources;
pub mod spool;
pub mod status;
mod systemd;
pub mod time;

/// The spool's disk failed: the process must end and open it again.
#[derive(Debug)]
pub struct Unsafe(String);

impl fmt::Display for Unsafe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}: nothing was lost that was told stored; check the disk, then start again",
            self.0
        )
    }
}

impl std::error::Error for Unsafe {}

/// Runs the agent until `stop` is cancelled, or its disk fails.
pub async fn run(
    config: Config,
    session: Arc<dyn ship::Session>,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let (dir, options) = (config.spool_dir(), config.spool.clone());
    let listener = status::listen(&config.socket)?;
    let spool = tokio::task::spawn_blocking(move || Spool::open(&dir, &options))
        .await
        .context("opening the spool")??;
    let mut health = spool.health();

    let sources_stop = stop.child_token();
    let section = |name: &str| config.section(name);
    let mut sources = sources::supervise(SOURCES, section, &config.root, &spool, &sources_stop);
    let source_tasks = sources.take_tasks();

    let ship_stop = CancellationToken::new();
    let connection = Arc::new(Mutex::new(ship::Status::default()));
    let ship = ship::Ship {
        dial: ship::Tls::new(Arc::clone(&session)),
        collectors: config.collectors.clone(),
        spool: spool.clone(),
        session: Arc::clone(&session),
        host: ship::host_info(&config.root),
        instance: ship::instance(),
        status: Arc::clone(&connection),
        pace: ship::Pace::default(),
    };
    let shipping = tokio::spawn(ship.run(ship_stop.clone()));

    let snapshot = snapshot(session, spool.clone(), connection, sources);
    let answering = tokio::spawn(status::serve(listener, snapshot, ship_stop.clone()));
    let watchdog = tokio::spawn(systemd::watchdog(spool.clone()));
    systemd::ready();

    let failed = tokio::select! {
        () = stop.cancelled() => None,
        ended = health.wait_for(|health| *health != Health::Running) => {
            Some(ended.map_or(Health::Closed, |health| health.clone()))
        }
    };

    systemd::stopping();
    sources_stop.cancel();
    for task in source_tasks {
        task.await.context("a source's supervisor")?;
    }
    // What cannot be flushed, because the spool is full or failed, its sources read again.
    drop(tokio::time::timeout(FLUSH_PATIENCE, spool.flush()).await);
    ship_stop.cancel();
    shipping.await.context("shipping")?;
    answering.await.context("the status socket")?;
    watchdog.abort();
    drop(std::fs::remove_file(&config.socket));
    match (failed, spool.close().await) {
        (Some(Health::Poisoned(why)), _) | (_, Health::Poisoned(why)) => Err(Unsafe(why).into()),
        _ => Ok(()),
    }
}

/// How long the last records of the sources may take to get to disk.
const FLUSH_PATIENCE: Duration = Duration::from_secs(5);

/// What `hengwei-agent status` is answered with.
fn snapshot(
    session: Arc<dyn ship::Session>,
    spool: Spool,
    connection: Arc<Mutex<ship::Status>>,
    sources: sources::Supervisor,
) -> status::Snapshot {
    Arc::new(move || {
        let version = env!("CARGO_PKG_VERSION").to_owned();
        let (_, id) = session.connector();
        let connection = connection.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let agent = Line::Agent { version, id, spool_full: spool.is_full() };
        [agent, Line::Connection(connection)]
            .into_iter()
            .chain(spool.status().into_iter().map(Line::Queue))
            .chain(sources.status().into_iter().map(Line::Source))
            .collect()
    })
}
