//! The patrol: what the collector sees of its agents and of itself, turned into records of its own,
//! and the gauges that somebody must bring up to date.
//!
//! In: what inputs tell of connections ([`Presence`]), and every few seconds a look around
//! ([`crate::watch`]). Out: the fleet's state, and notes through [`Own`]. It judges nothing: the notes
//! go through the same rules as everything else.

use std::sync::Arc;
use std::time::Duration;

use hengwei_protocol::Kind;
use hengwei_protocol::identity::hex;
use hengwei_protocol::record;
use hengwei_protocol::wire::Field;
use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;

use crate::event::Sender;
use crate::history::{Put, Status, tree};
use crate::inputs::{ConnectionInfo, Observer};
use crate::own::{Note, Own};
use crate::services::Services;
use crate::store::{Decision, Error};
use crate::systems::{self, Gauges};
use crate::time;
use crate::watch::{Disk, Limit, View, Watch};

/// How often it looks around.
const ROUND: Duration = Duration::from_secs(10);
/// Notes that wait to be written; beyond it they are told to the log alone.
const NOTES: usize = 1_000;
/// Where the watch's memory is, in tree `settings`.
const MEMORY: &[u8] = b"watch";

/// Hears of connections. Quick and without blocking, as inputs ask.
pub struct Presence {
    services: Arc<Services>,
    notes: mpsc::Sender<Note>,
    /// Has the patrol look around at once.
    look: Arc<Notify>,
    waiting: std::sync::Mutex<Option<mpsc::Receiver<Note>>>,
}

impl Presence {
    /// Tells the fleet of `services`.
    pub fn new(services: Arc<Services>) -> Presence {
        let (notes, waiting) = mpsc::channel(NOTES);
        let look = Arc::new(Notify::new());
        Presence { services, notes, look, waiting: std::sync::Mutex::new(Some(waiting)) }
    }

    fn note(
        &self,
        action: &str,
        agent: &str,
        info: Option<&ConnectionInfo>,
        mut fields: Vec<Field>,
    ) {
        fields.push(record::text("event.action", action));
        fields.push(record::text("hengwei.subject.agent", agent));
        if let Some(info) = info {
            fields.push(record::text("hengwei.subject.site", info.site.as_str()));
            fields.push(record::text("hengwei.subject.system", info.system.as_str()));
            fields.push(record::text("source.ip", info.peer.ip().to_string()));
        }
        let note = Note { dataset: "hengwei.agent", kind: Kind::Security, fields };
        if self.notes.try_send(note).is_err() {
            tracing::error!(
                agent,
                action,
                "more to note than can be written; this is told here alone"
            );
        }
    }
}

impl Observer for Presence {
    fn connected(&self, agent: &str, info: &ConnectionInfo) {
        let sender = Sender {
            agent: agent.into(),
            host: info.host.as_str().into(),
            site: info.site.as_str().into(),
            system: info.system.as_str().into(),
            zone: info.zone.as_str().into(),
        };
        self.services.fleet.connected(&sender, None, time::now());
    }

    fn disconnected(&self, agent: &str, _: &ConnectionInfo, orderly: bool) {
        self.services.fleet.disconnected(agent, orderly, time::now());
        if orderly {
            // Said once, so it is remembered before this collector can be killed and forget it.
            self.look.notify_one();
        }
    }

    fn clock_offset(&self, agent: &str, nanos: i64) {
        self.services.fleet.sign(agent, Some(nanos), time::now());
    }

    fn clone_seen(&self, agent: &str, here: &ConnectionInfo) {
        let message =
            format!("agent {agent} is alive on two machines; one connected from {}", here.peer);
        self.note("clone", agent, Some(here), vec![record::text("message", message)]);
    }

    fn rolled_back(&self, agent: &str, kind: Kind, from: [u8; 16], to: [u8; 16]) {
        let message = format!("queue {kind} of agent {agent} went on under a new epoch");
        let fields = vec![
            record::text("message", message),
            record::text("hengwei.queue", kind.as_str()),
            record::text("hengwei.epoch.from", hex(&from)),
            record::text("hengwei.epoch.to", hex(&to)),
        ];
        self.note("rolled-back", agent, None, fields);
    }
}

/// Looks around until stopped.
pub struct Patrol {
    services: Arc<Services>,
    own: Own,
    watch: Watch,
    notes: Option<mpsc::Receiver<Note>>,
    asked: Arc<Notify>,
    /// Notes that were not written yet, oldest first.
    unwritten: Vec<Note>,
    coverage: Gauges,
    started: i64,
    told: (u64, u64),
}

impl Patrol {
    /// Takes up the watch's memory.
    pub fn new(services: Arc<Services>, own: Own, presence: &Presence, coverage: Gauges) -> Patrol {
        let memory = services.history.get(tree::SETTINGS, MEMORY);
        let watch = Watch::new(memory.as_deref());
        watch.stopped().for_each(|agent| services.fleet.stopped(agent));
        let asked = Arc::clone(&presence.look);
        let notes =
            presence.waiting.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
        let (unwritten, started) = (Vec::new(), time::now());
        Patrol { services, own, watch, notes, asked, unwritten, coverage, started, told: (0, 0) }
    }

    /// Looks around until stopped.
    pub async fn run(mut self, stop: CancellationToken) {
        let Some(mut notes) = self.notes.take() else { return };
        loop {
            self.write().await;
            if let Err(error) = self.look().await {
                tracing::warn!(%error, "the collector's own observations wait");
            }
            let asked = Arc::clone(&self.asked);
            let round = time::stopped(&stop, ROUND);
            tokio::pin!(round);
            let ended = loop {
                tokio::select! {
                    ended = &mut round => break ended,
                    () = asked.notified() => break false,
                    Some(note) = notes.recv(), if self.unwritten.len() < NOTES => {
                        self.unwritten.push(note);
                        self.write().await;
                    }
                }
            };
            if ended {
                break;
            }
        }
        // Inputs have ended by now, so no more will come than what waits here.
        while let Ok(note) = notes.try_recv() {
            self.unwritten.push(note);
        }
        self.write().await;
        if let Err(error) = self.look().await {
            tracing::warn!(%error, "the last of the collector's own observations is lost");
        }
    }

    /// Writes what waits; what can't be written now waits for the next round.
    async fn write(&mut self) {
        if self.unwritten.is_empty() {
            return;
        }
        // They are of one kind: all of them are written, or none.
        match self.own.write(self.unwritten.clone(), time::now()).await {
            Ok(()) => self.unwritten.clear(),
            Err(error) => {
                let notes = self.unwritten.len();
                tracing::warn!(%error, notes, "notes of the collector wait");
            }
        }
    }

    async fn look(&mut self) -> Result<(), Error> {
        let now = time::now();
        let services = Arc::clone(&self.services);
        let mut watch = self.watch.clone();
        let (started, gauges) = (self.started, self.coverage.clone());
        let looked = tokio::task::spawn_blocking(move || {
            let status = services.history.status();
            // Agents that were enrolled or revoked since.
            services.fleet.recall(&services.history);
            let coverage =
                systems::coverage(&services.systems, &services.history, &services.fleet, now);
            gauges.set(coverage.clone());
            let disk = Disk {
                path: services.config.data.display().to_string(),
                size_bytes: status.total_bytes as f64,
                avail_bytes: status.free_bytes as f64,
            };
            let mut view = View::of(started, &services.fleet, coverage, vec![disk]);
            view.limits = limits(&status);
            let notes = watch.check(&view, now);
            (watch, notes, status, services.open_alerts().0)
        });
        let Ok((watch, notes, status, open)) = looked.await else {
            tracing::error!("looking around panicked: this is our bug");
            return Ok(());
        };
        self.gauge(&status, &open);
        let notes: Vec<Note> = notes
            .into_iter()
            .map(|own| Note { dataset: own.dataset, kind: own.kind, fields: own.fields })
            .collect();
        self.own.write(notes, now).await?;
        // Remembered after it was written: a crash in between says it twice rather than never.
        let memory = watch.state();
        if memory != self.watch.state() {
            let put = Put { tree: tree::SETTINGS, key: MEMORY.to_vec(), value: Some(memory) };
            self.services
                .desk
                .transact(move |_, _| Ok((Decision { entries: Vec::new(), puts: vec![put] }, ())))
                .await?;
        }
        self.watch = watch;
        Ok(())
    }

    fn gauge(&mut self, status: &Status, open: &std::collections::BTreeMap<String, u64>) {
        let metrics = &self.services.metrics;
        for level in ["informational", "low", "medium", "high", "critical"] {
            metrics.alerts_open(level, open.get(level).copied().unwrap_or_default());
        }
        for class in &status.classes {
            let name = class.class.as_str();
            metrics.history_bytes(name, class.bytes);
            metrics.history_class(name, class.bytes_per_day, class.oldest);
            metrics.history_days_left(name, class.days_left);
        }
        metrics.history_days_left("disk", status.days_left);
        metrics.history_bytes("log", status.log_bytes);
        metrics.history_free(status.free_bytes);
        for _ in self.told.0..status.rebuilds {
            metrics.history_rebuilt();
        }
        metrics.history_damaged(status.damaged.saturating_sub(self.told.1));
        self.told = (status.rebuilds, status.damaged);
    }
}

/// What of history can be full: each class that has a limit, and the disk under all of them.
fn limits(status: &Status) -> Vec<Limit> {
    let per_day = status.classes.iter().filter_map(|class| class.bytes_per_day).sum();
    let disk = Limit {
        name: "disk",
        bytes: status.classes.iter().map(|class| class.bytes).sum(),
        max_bytes: 0,
        bytes_per_day: per_day,
        days_left: status.days_left,
        warn_days: status.warn_days,
    };
    let classes = status.classes.iter().filter(|class| class.max_bytes > 0).map(|class| Limit {
        name: class.class.as_str(),
        bytes: class.bytes,
        max_bytes: class.max_bytes,
        bytes_per_day: class.bytes_per_day.unwrap_or(0),
        days_left: class.days_left,
        warn_days: status.warn_days,
    });
    std::iter::once(disk).chain(classes).collect()
}
