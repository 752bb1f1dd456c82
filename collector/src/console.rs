//! The console: pages for people and an API for programs, over the parts that know.
//!
//! In: HTTPS requests. Out: pages, JSON, the live feed; changes of alerts and accounts, which go to
//! the judge and are answered once they are on disk. It keeps nothing itself but counters that bound
//! what one peer can cost, and it knows hosts, systems, search and the life of an alert only through
//! [`Views`].
//!
//! What protects it, and where: every route is made either by `Routes::open` or by
//! `Routes::gated`, which wants a session or an API token with a named right (`guard`); a request
//! that changes something must come from our own pages; nothing is readable before somebody signed
//! in but `/healthz`, the sign-in and invitation pages, style sheet and script. Until an account
//! exists it listens on loopback only ([`run`]). Limits of connections, sizes and times are in
//! [`crate::serve`].

mod api;
mod formats;
mod guard;
mod lang;
mod live;
mod pages;
mod sign;
mod views;

pub use views::{
    Certificate, Change, Gap, HostDetail, HostRow, InventoryChange, Item, Ledger, Member, Presence,
    Queue, Search, Shelf, Source, System, Views,
};

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use axum::Router;
use axum::http::{StatusCode, header};
use axum::middleware::{from_fn, from_fn_with_state};
use axum::response::IntoResponse;
use axum::routing::{MethodRouter, get, post};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;

use crate::accounts::{self, Policy, Right};
use crate::metrics::Metrics;
use crate::serve::{ServerConfigs, serve};
use crate::store::{Judge, Store};

/// Where the console listens unless configured otherwise.
pub const DEFAULT_LISTEN: &str = "0.0.0.0:8443";

/// The newest sequence of tree `feed`. Whoever commits alerts sends it after the commit.
pub type Feed = watch::Receiver<u64>;

/// Passwords that are verified at once: each takes 19 MiB and 20 ms of a core.
const MAX_VERIFYING: usize = 2;
/// Searches that run at once: each reads history from disk.
const MAX_SEARCHES: usize = 4;
/// Readers of the live feed at once.
const MAX_READERS: usize = 256;
/// How often to look whether the first account came to be (it may by command, too).
const FIRST_ACCOUNT_POLL: Duration = Duration::from_millis(500);

/// What the console is built on.
#[derive(Clone)]
pub struct Services {
    /// Reads small records: history.
    pub store: Arc<dyn Store>,
    /// Decides changes: the judge's desk.
    pub judge: Arc<dyn Judge>,
    /// Counts.
    pub metrics: Arc<Metrics>,
    /// Says that the feed has more.
    pub feed: Feed,
    /// Knows hosts, systems, ledger, status, search, and how alerts change.
    pub views: Arc<dyn Views>,
    /// When sessions end.
    pub policy: Policy,
    /// The clock, Unix nanoseconds; [`crate::time::now`] but in tests.
    pub clock: fn() -> i64,
    /// Ends live streams, so that stopping does not wait for their readers.
    pub stop: CancellationToken,
}

impl std::fmt::Debug for Services {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Services")
    }
}

/// What handlers share.
struct Console {
    services: Services,
    attempts: guard::Attempts,
    verifying: Semaphore,
    searches: Arc<Semaphore>,
    readers: Arc<Semaphore>,
}

type App = Arc<Console>;

impl Console {
    fn now(&self) -> i64 {
        (self.services.clock)()
    }

    /// Reads off the threads that serve: a record may be on disk.
    async fn read<T, F>(&self, read: F) -> Result<T, guard::Failed>
    where
        T: Send + 'static,
        F: FnOnce(&dyn Store, &dyn Views) -> T + Send + 'static,
    {
        let (store, views) = (Arc::clone(&self.services.store), Arc::clone(&self.services.views));
        tokio::task::spawn_blocking(move || read(&*store, &*views)).await.map_err(|error| {
            tracing::error!("a question to the console failed: {error}");
            guard::Failed::ours()
        })
    }
}

/// Routes, each with what it takes to be let in.
struct Routes {
    app: App,
    router: Router<App>,
}

impl Routes {
    /// For anybody.
    fn open(mut self, path: &'static str, methods: MethodRouter<App>) -> Routes {
        self.router = self.router.route(path, methods);
        self
    }

    /// For accounts and tokens that have the right.
    fn gated(mut self, path: &'static str, right: Right, methods: MethodRouter<App>) -> Routes {
        let gate = from_fn_with_state((Arc::clone(&self.app), right), guard::gate);
        self.router = self.router.route(path, methods.layer(gate));
        self
    }
}

/// The whole console.
pub fn router(services: Services) -> Router {
    let app = Arc::new(Console {
        services,
        attempts: guard::Attempts::default(),
        verifying: Semaphore::new(MAX_VERIFYING),
        searches: Arc::new(Semaphore::new(MAX_SEARCHES)),
        readers: Arc::new(Semaphore::new(MAX_READERS)),
    });
    use Right::{Alerts, Handle, Inventory, Search};
    Routes { app: Arc::clone(&app), router: Router::new() }
        .open("/healthz", get(healthz))
        .open("/assets/{name}", get(asset))
        .open("/language/{to}", get(sign::language))
        .open("/sign-in", get(sign::form).post(sign::sign_in))
        .open("/invite/{secret}", get(sign::invited).post(sign::accept))
        .gated("/sign-out", Alerts, post(sign::sign_out))
        .gated("/", Alerts, get(pages::overview))
        .gated("/alerts", Alerts, get(pages::alerts))
        .gated("/alerts/{id}", Alerts, get(pages::alert))
        .gated("/alerts/{id}/ack", Handle, post(pages::acknowledge))
        .gated("/alerts/{id}/close", Handle, post(pages::close))
        .gated("/hosts", Inventory, get(pages::hosts))
        .gated("/hosts/{id}", Inventory, get(pages::host))
        .gated("/systems", Inventory, get(pages::systems))
        .gated("/ledger", Inventory, get(pages::ledger))
        .gated("/status", Inventory, get(pages::status))
        .gated("/search", Search, get(pages::search))
        .gated("/api/v1/alerts", Alerts, get(api::alerts))
        .gated("/api/v1/alerts.atom", Alerts, get(api::atom))
        .gated("/api/v1/alerts/stream", Alerts, get(live::stream))
        .gated("/api/v1/alerts/{id}", Alerts, get(api::alert))
        .gated("/api/v1/alerts/{id}/ack", Handle, post(api::acknowledge))
        .gated("/api/v1/alerts/{id}/close", Handle, post(api::close))
        .gated("/api/v1/hosts", Inventory, get(api::hosts))
        .gated("/api/v1/hosts/{id}", Inventory, get(api::host))
        .gated("/api/v1/coverage", Inventory, get(api::coverage))
        .gated("/api/v1/ledger", Inventory, get(api::ledger))
        .gated("/api/v1/status", Inventory, get(api::status))
        .gated("/api/v1/search", Search, get(api::search))
        .router
        .fallback(guard::nowhere)
        .method_not_allowed_fallback(guard::wrong_method)
        .with_state(app)
        .layer(from_fn(guard::front))
}

/// Where to listen now: the configured address once somebody can sign in, loopback before.
pub fn bind_address(store: &dyn Store, configured: SocketAddr) -> SocketAddr {
    if accounts::anybody(store) || configured.ip().is_loopback() {
        return configured;
    }
    let loopback = match configured.ip() {
        IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::LOCALHOST),
    };
    SocketAddr::new(loopback, configured.port())
}

/// Listens and serves until told to stop: on loopback until an account exists, then where configured.
/// `bound` is told each address. A configured port of 0 is chosen once.
///
/// # Errors
/// The address can't be listened on.
pub async fn run(
    configured: SocketAddr,
    tls: Option<ServerConfigs>,
    services: Services,
    bound: impl Fn(SocketAddr) + Send,
) -> anyhow::Result<()> {
    let (store, stop) = (Arc::clone(&services.store), services.stop.clone());
    let router = router(services);
    let mut configured = configured;
    loop {
        let address = bind_address(&*store, configured);
        let listener = TcpListener::bind(address)
            .await
            .with_context(|| format!("console: can't listen on {address}: is it in use?"))?;
        let address = listener.local_addr().context("console: no local address")?;
        configured.set_port(address.port());
        bound(address);
        let turn = stop.child_token();
        let serving = serve(listener, tls.clone(), router.clone(), turn.clone());
        let moved = async {
            while bind_address(&*store, configured) == address {
                tokio::time::sleep(FIRST_ACCOUNT_POLL).await;
            }
        };
        tokio::pin!(serving);
        tokio::select! {
            served = &mut serving => return served,
            () = moved => {
                turn.cancel();
                serving.await?;
            }
        }
    }
}

/// Alive, and able to answer.
async fn healthz() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], "ok\n")
}

/// The style sheet and the script, the only files there are.
async fn asset(
    axum::extract::Path(name): axum::extract::Path<String>,
) -> Result<impl IntoResponse, StatusCode> {
    let (kind, text) = match name.as_str() {
        "console.css" => ("text/css; charset=utf-8", include_str!("../assets/console.css")),
        "live.js" => ("text/javascript; charset=utf-8", include_str!("../assets/live.js")),
        "icon.svg" => ("image/svg+xml", include_str!("../assets/icon.svg")),
        _ => return Err(StatusCode::NOT_FOUND),
    };
    Ok(([(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, "public, max-age=300")], text))
}

#[cfg(test)]
mod tests;
