//! `GET /api/v1/alerts/stream`: the feed as server-sent events, without a gap.
//!
//! Each event is a change of an alert: its sequence as `id`, the alert as it was then as `data`. A
//! reader that comes back with `Last-Event-ID` (or `?after=`) goes on behind it; one that comes
//! without begins now, and is told its place at once, so that even a connection that breaks before
//! the first alert is resumed rightly.
//!
//! Nothing waits here for a slow reader but a cursor: rows are read from history as the connection
//! takes them, and a connection that takes none is ended by [`crate::serve`]. Every heartbeat looks
//! whether the session or token is still good, and whether its owner still is.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::time::Duration;

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use tokio::sync::OwnedSemaphorePermit;

use super::guard::{Asked, Caller, Failed};
use super::{App, Feed, api};
use crate::alerts::Alert;
use crate::history::tree;
use crate::store;

/// Between comments that keep proxies from closing the connection.
pub(super) const HEARTBEAT: Duration = Duration::from_secs(15);
/// What a browser waits before it comes back.
const RETRY_MILLIS: u32 = 2000;
/// Changes read at once.
const BATCH: usize = 64;

/// What is asked of the stream.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    after: Option<u64>,
    format: Option<String>,
}

/// Opens the stream.
pub(super) async fn stream(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    Asked(wanted): Asked<Wanted>,
) -> Result<Response, Failed> {
    let ocsf = api::wants_ocsf(wanted.format.as_deref())?;
    let permit = std::sync::Arc::clone(&app.readers).try_acquire_owned().map_err(|_| {
        let said = "too many readers of the live feed";
        Failed::new(StatusCode::SERVICE_UNAVAILABLE, said, "close one, or read /api/v1/alerts")
    })?;
    let last = match headers.get("last-event-id") {
        Some(id) => Some(
            id.to_str()
                .ok()
                .and_then(|id| id.parse().ok())
                .ok_or_else(|| Failed::bad("`Last-Event-ID` is no sequence of ours"))?,
        ),
        None => wanted.after,
    };
    let feed = app.services.feed.clone();
    let at = last.unwrap_or(*feed.borrow());
    app.services.metrics.feed_readers(1);
    let reader = Reader {
        greeting: Some(format!("retry: {RETRY_MILLIS}\nid: {at}\nevent: hello\ndata: {at}\n\n")),
        at,
        ocsf,
        ready: VecDeque::new(),
        feed,
        caller,
        _open: Open { app: app.clone(), _permit: permit },
        app,
    };
    let events = futures_util::stream::unfold(reader, |mut reader| async move {
        let text = reader.next().await?;
        Some((Ok::<_, Infallible>(text), reader))
    });
    let kind = [(header::CONTENT_TYPE, "text/event-stream"), (header::CACHE_CONTROL, "no-store")];
    Ok((kind, Body::from_stream(events)).into_response())
}

/// One reader and its place.
struct Reader {
    greeting: Option<String>,
    at: u64,
    ocsf: bool,
    ready: VecDeque<String>,
    feed: Feed,
    caller: Caller,
    app: App,
    _open: Open,
}

/// Counts a reader for as long as it lives.
struct Open {
    app: App,
    _permit: OwnedSemaphorePermit,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.app.services.metrics.feed_readers(-1);
    }
}

impl Reader {
    /// What is sent next; None ends the stream.
    async fn next(&mut self) -> Option<String> {
        if let Some(greeting) = self.greeting.take() {
            return Some(greeting);
        }
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some(event);
            }
            // Marked as seen before reading: a change after the read wakes us again.
            self.feed.borrow_and_update();
            self.fill().await?;
            if !self.ready.is_empty() {
                continue;
            }
            let stop = self.app.services.stop.clone();
            tokio::select! {
                () = stop.cancelled() => return None,
                changed = self.feed.changed() => changed.ok()?,
                () = tokio::time::sleep(HEARTBEAT) => {
                    return self.still_good().await.then(|| ": still here\n\n".to_owned());
                }
            }
        }
    }

    /// Reads what came after our place.
    async fn fill(&mut self) -> Option<()> {
        let (at, ocsf) = (self.at, self.ocsf);
        let read = self.app.read(move |store, _| {
            let (mut events, mut last) = (VecDeque::new(), at);
            store.scan_from(tree::FEED, &at.saturating_add(1).to_be_bytes(), &mut |key, value| {
                let Ok(seq) = key.try_into().map(u64::from_be_bytes) else { return true };
                last = seq;
                if let Some(alert) = store::parse::<Alert>(tree::FEED, value) {
                    let data = api::shown(&alert, ocsf);
                    events.push_back(format!("id: {seq}\nevent: alert\ndata: {data}\n\n"));
                }
                events.len() < BATCH
            });
            (events, last)
        });
        let (events, last) = read.await.ok()?;
        (self.ready, self.at) = (events, last);
        Some(())
    }

    async fn still_good(&self) -> bool {
        let (caller, app, now) = (self.caller.clone(), self.app.clone(), self.app.now());
        let read = self.app.read(move |store, _| caller.still_good(store, now, &app));
        read.await.unwrap_or(false)
    }
}
