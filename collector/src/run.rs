//! The daemon: every stage built and given what it needs, on one screen; stopped in the order of the
//! flow: inputs first, then what was taken is committed and answered, then history is closed.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use hengwei_protocol::budget::Budget;
use hengwei_protocol::limits;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::accounts::Policy;
use crate::config::Config;
use crate::console;
use crate::inputs::{self, INPUTS};
use crate::own::Own;
use crate::patrol::{Patrol, Presence};
use crate::services::Services;
use crate::{control, cost, metrics, notify, packs, retention, systems, time};

/// How often keys on disk are looked at, the server's certificate renewed.
const MAINTAIN: Duration = Duration::from_secs(5);

/// Runs until SIGTERM or SIGINT; the exit code. Every port is bound before anything is said to be
/// ready, and a port that is taken ends it before anything was written.
pub async fn run(config: Config) -> anyhow::Result<i32> {
    let mut bound = Vec::new();
    for input in INPUTS {
        if let Some(input) = input.configure(config.inputs.get(input.name).cloned())? {
            bound.push(input.bind()?);
        }
    }
    let metrics_listener = TcpListener::bind(config.metrics.listen).await.with_context(|| {
        format!(
            "can't listen on {}: stop what uses it, or set metrics.listen",
            config.metrics.listen
        )
    })?;
    let channels = notify::configure(config.notify.clone())?;
    let control_listener = control::bind(&config.socket)?;
    let socket = config.socket.clone();

    let (services, judge, loaded) = Services::open(config)?;
    let services = Arc::new(services);
    packs::started(&services, &loaded).await;
    drop(loaded);
    services.metrics.register(Box::new(services.fleet.clone()))?;
    let coverage = systems::Gauges::new();
    services.metrics.register(Box::new(coverage.clone()))?;
    let desk = services.desk.clone();
    services.metrics.register(Box::new(cost::Gauges::new(move || desk.rules())))?;
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let own = Own::open(services.desk.clone(), &services.config.site, &host).await?;
    let presence = Arc::new(Presence::new(Arc::clone(&services)));

    // Inputs stop first; what answers questions goes on until they have drained.
    let (stop_inputs, stop) = (CancellationToken::new(), CancellationToken::new());
    let mut receiving = JoinSet::new();
    for (address, input) in bound {
        services.listens("agents", address);
        let context = inputs::Context {
            desk: services.desk.clone(),
            store: Arc::new(services.history.clone()),
            pki: Arc::clone(&services.pki),
            metrics: Arc::clone(&services.metrics),
            observer: presence.clone(),
            budget: Budget::new(limits::BUDGET),
            stop: stop_inputs.clone(),
        };
        receiving.spawn(input.run(context));
    }
    let mut serving: JoinSet<anyhow::Result<()>> = JoinSet::new();
    serving.spawn(serve_console(Arc::clone(&services), stop.clone()));
    services.listens("metrics", metrics_listener.local_addr()?);
    serving.spawn(metrics::serve_metrics(
        metrics_listener,
        Arc::clone(&services.metrics),
        stop.clone(),
    ));
    serving.spawn(quietly(control::serve(control_listener, Arc::clone(&services), stop.clone())));
    if !channels.is_empty() {
        serving.spawn(quietly(notify::run(channels, tools(&services), stop.clone())));
    }
    serving.spawn(quietly(maintain(Arc::clone(&services), stop.clone())));
    serving.spawn(quietly(
        Patrol::new(Arc::clone(&services), own, &presence, coverage).run(stop.clone()),
    ));
    let (ruled, ruled_stop) = (Arc::clone(&services), stop.clone());
    serving.spawn(async move { packs::keep(&ruled, ruled_stop).await });
    serving.spawn(quietly(retention::run(Arc::clone(&services), stop.clone())));
    serving.spawn(quietly(watchdog(Arc::clone(&services), stop.clone())));
    notify_systemd(&[sd_notify::NotifyState::Ready]);
    tracing::info!(
        rules = services.desk.rules().set().rules().len(),
        "ready: {}",
        serde_json::to_string(
            &*services.listening.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
        )?
    );

    let (mut terminate, mut interrupt) =
        (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let ended = tokio::select! {
        _ = terminate.recv() => None,
        _ = interrupt.recv() => None,
        ended = receiving.join_next() => ended,
        ended = serving.join_next() => ended,
        // It would look alive and store nothing.
        () = services.desk.ended() => None,
    };
    notify_systemd(&[sd_notify::NotifyState::Stopping]);
    tracing::info!("stopping");
    stop_inputs.cancel();
    while receiving.join_next().await.is_some() {}
    stop.cancel();
    while serving.join_next().await.is_some() {}
    services.desk.stop().await;
    tokio::task::spawn_blocking(move || judge.join())
        .await?
        .map_err(|_| anyhow::anyhow!("the judge panicked: this is our bug"))?;
    // A socket that is gone already was removed by somebody.
    let _ = std::fs::remove_file(socket);
    match ended {
        None => Ok(0),
        Some(Ok(Ok(()))) => {
            anyhow::bail!("a part of the collector ended by itself: this is our bug")
        }
        Some(Ok(Err(error))) => Err(error),
        Some(Err(error)) => anyhow::bail!("a part of the collector panicked: {error}"),
    }
}

async fn serve_console(services: Arc<Services>, stop: CancellationToken) -> anyhow::Result<()> {
    let pki = Arc::clone(&services.pki);
    let policy = Policy {
        idle_secs: i64::from(services.config.console.idle_minutes) * 60,
        ..Policy::default()
    };
    let console = console::Services {
        store: Arc::new(services.history.clone()),
        judge: Arc::new(services.desk.clone()),
        metrics: Arc::clone(&services.metrics),
        feed: services.desk.feed(),
        views: services.clone(),
        policy,
        clock: time::now,
        stop,
    };
    let listen = services.config.console.listen;
    console::run(listen, Some(Arc::new(move || pki.web())), console, move |address| {
        services.listens("console", address)
    })
    .await
}

fn tools(services: &Services) -> notify::Tools {
    notify::Tools {
        store: Arc::new(services.history.clone()),
        judge: Arc::new(services.desk.clone()),
        feed: services.desk.feed(),
        metrics: Arc::clone(&services.metrics),
    }
}

/// Takes over changed keys and renews the server's certificate.
async fn maintain(services: Arc<Services>, stop: CancellationToken) {
    while !time::stopped(&stop, MAINTAIN).await {
        if let Err(error) = services.pki.maintain(time::now()) {
            tracing::error!("keys and certificates stay as they were: {error:#}");
        }
    }
}

/// Tells systemd that the judge still answers.
async fn watchdog(services: Arc<Services>, stop: CancellationToken) {
    let Some(limit) = sd_notify::watchdog_enabled() else {
        stop.cancelled().await;
        return;
    };
    while !time::stopped(&stop, limit / 3).await {
        // An empty transaction goes the way of all: a judge that hangs is not answered for.
        let alive = services.desk.transact(|_, _| Ok((Default::default(), ()))).await;
        if alive.is_ok() {
            notify_systemd(&[sd_notify::NotifyState::Watchdog]);
        }
    }
}

fn notify_systemd(state: &[sd_notify::NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::warn!(%error, "systemd was not told");
    }
}

/// A part that only ends when told to.
async fn quietly(part: impl Future<Output = ()>) -> anyhow::Result<()> {
    part.await;
    Ok(())
}
