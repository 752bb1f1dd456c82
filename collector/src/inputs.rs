//! Where data comes in: what an input is, and the one table of all of them.
//!
//! An input owns its socket and its protocol. It turns what a peer says into prepared batches,
//! hands them to the judge and tells the peer once they are on disk; it decides nothing about
//! what the data means and writes nothing itself. Site, system and identity of what it delivers
//! come from the registry, never from the peer.

mod agents;

use std::net::SocketAddr;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use hengwei_protocol::Kind;
use hengwei_protocol::budget::Budget;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use crate::judge::{Desk, Prepared, Stored};
use crate::metrics::Metrics;
use crate::pki::Pki;
use crate::store::{Error, Judge, Store};

pub use agents::{Agents, Config as AgentsConfig};

/// Every input. To add one, write its file and name it here, twice.
pub const INPUTS: &[Entry] = &[Entry::of::<agents::Agents>("agents")];

/// Something data comes in by.
pub trait Input: Sized + Send + Sync + 'static {
    /// Its section in the configuration, as written.
    type Config: serde::de::DeserializeOwned + Default;
    /// Checks the configuration without I/O; None when the input is off. The error names the key
    /// and the remedy.
    fn configure(config: Self::Config) -> anyhow::Result<Option<Self>>;
    /// Takes its port, before anything starts; where it listens then. The error names the address
    /// and the remedy.
    fn bind(&mut self) -> anyhow::Result<SocketAddr>;
    /// Serves until stopped, and then until what was taken is answered.
    fn run<T: Take>(self, context: Context<T>) -> impl Future<Output = anyhow::Result<()>> + Send;
}

/// What every input is given.
pub struct Context<T = Desk> {
    /// Where batches and decisions go.
    pub desk: T,
    /// What is asked without deciding: the registry, where queues stand.
    pub store: Arc<dyn Store>,
    /// Keys and certificates.
    pub pki: Arc<Pki>,
    /// Counts.
    pub metrics: Arc<Metrics>,
    /// Who wants to know about connections.
    pub observer: Arc<dyn Observer>,
    /// Memory that peers may make us hold.
    pub budget: Budget,
    /// Cancelled when the collector stops.
    pub stop: CancellationToken,
}

/// The way to the judge, as inputs use it: [`Desk`], or a test's double.
pub trait Take: Judge + Clone + 'static {
    /// As [`Desk::submit`].
    fn submit(
        &self,
        prepared: Prepared,
    ) -> impl Future<Output = oneshot::Receiver<Result<Stored, Error>>> + Send;
}

impl Take for Desk {
    async fn submit(&self, prepared: Prepared) -> oneshot::Receiver<Result<Stored, Error>> {
        Desk::submit(self, prepared).await
    }
}

/// What is known of an agent's connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectionInfo {
    /// The other end.
    pub peer: SocketAddr,
    /// This run of the agent.
    pub instance: [u8; 16],
    /// Its version, as it says.
    pub version: String,
    /// Its host, as it says, cleaned.
    pub host: String,
    /// Its time zone, as it says, cleaned.
    pub zone: String,
    /// Its operating system, as it says, cleaned.
    pub os: String,
    /// Its kernel, as it says, cleaned.
    pub kernel: String,
    /// Its architecture, as it says, cleaned.
    pub architecture: String,
    /// Its site, from the registry.
    pub site: String,
    /// Its system, from the registry.
    pub system: String,
    /// Its certificate's serial number, hexadecimal.
    pub serial: String,
    /// When its certificate ends, Unix nanoseconds.
    pub not_after: i64,
    /// When it connected, Unix nanoseconds.
    pub since: i64,
}

/// Hears about connections. Called from the connection's task: must be quick and must not block.
pub trait Observer: Send + Sync {
    /// An agent said Hello and was let in.
    fn connected(&self, agent: &str, info: &ConnectionInfo);
    /// Its connection ended, `orderly` when the agent said that it stops; a newer one of the same
    /// agent is `connected` only after this.
    fn disconnected(&self, agent: &str, info: &ConnectionInfo, orderly: bool);
    /// The agent's clock less ours, nanoseconds; with each Hello.
    fn clock_offset(&self, agent: &str, nanos: i64);
    /// One identity is in use by two machines: a run of the agent that another had followed was
    /// heard again.
    fn clone_seen(&self, agent: &str, here: &ConnectionInfo);
    /// A queue went on under a new epoch although nobody enrolled the agent again: its spool was
    /// restored, or lost. Called once, when the first batch of the new epoch is on disk.
    fn rolled_back(&self, agent: &str, kind: Kind, from: [u8; 16], to: [u8; 16]);
}

/// An input of the table, its type erased.
pub struct Entry {
    /// Its name: its section in the configuration.
    pub name: &'static str,
    configure: fn(Option<toml::Value>) -> Configured,
}

/// A section that was checked; None when it turns its input off.
pub type Configured = anyhow::Result<Option<Box<dyn Bind>>>;

impl Entry {
    const fn of<I: Input>(name: &'static str) -> Entry {
        Entry {
            name,
            configure: |section| {
                let config = section.map(I::Config::deserialize_from).transpose()?;
                let input = I::configure(config.unwrap_or_default())?;
                Ok(input.map(|input| Box::new(input) as Box<dyn Bind>))
            },
        }
    }

    /// Checks its section, without I/O; None when the input is off.
    pub fn configure(&self, section: Option<toml::Value>) -> Configured {
        (self.configure)(section).map_err(|error| error.context(format!("inputs.{}", self.name)))
    }
}

/// A configured input that has no port yet.
pub trait Bind: Send {
    /// Takes its port. The error names the address and the remedy.
    fn bind(self: Box<Self>) -> anyhow::Result<(SocketAddr, Box<dyn Run>)>;
}

/// An input that has its port.
pub trait Run: Send {
    /// Serves until stopped, and then until what was taken is answered.
    fn run(self: Box<Self>, context: Context) -> BoxFuture<'static, anyhow::Result<()>>;
}

impl<I: Input> Bind for I {
    fn bind(mut self: Box<Self>) -> anyhow::Result<(SocketAddr, Box<dyn Run>)> {
        let address = Input::bind(&mut *self)?;
        Ok((address, self))
    }
}

impl<I: Input> Run for I {
    fn run(self: Box<Self>, context: Context) -> BoxFuture<'static, anyhow::Result<()>> {
        Box::pin(Input::run(*self, context))
    }
}

/// Reads a type from a section, with toml's own message.
trait Section: Sized {
    fn deserialize_from(section: toml::Value) -> anyhow::Result<Self>;
}

impl<T: serde::de::DeserializeOwned> Section for T {
    fn deserialize_from(section: toml::Value) -> anyhow::Result<T> {
        Ok(section.try_into()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(name: &str) -> &'static Entry {
        INPUTS.iter().find(|entry| entry.name == name).expect("is in the table")
    }

    #[test]
    fn a_section_is_checked_before_anything_starts() {
        let check = |text: &str, expected: &str| {
            let section = text.parse::<toml::Table>().expect("TOML");
            let checked = entry("agents").configure(Some(section.into()));
            let error = format!("{:#}", checked.err().expect(expected));
            assert!(error.starts_with("inputs.agents: ") && error.contains(expected), "{error}");
        };
        check("lisen = \"127.0.0.1:0\"", "unknown field `lisen`, expected `listen`");
        check("listen = \"nowhere\"", "invalid socket address");
        assert!(entry("agents").configure(None).expect("the defaults are good").is_some());
    }

    #[test]
    fn a_port_in_use_is_named() {
        let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = taken.local_addr().expect("an address");
        let section = format!("listen = \"{address}\"").parse::<toml::Table>().expect("TOML");
        let input = entry("agents").configure(Some(section.into())).expect("good").expect("on");
        let error = input.bind().err().expect("the port is taken").to_string();
        assert!(error.contains(&format!("could not listen on {address}")), "{error}");
        assert!(error.contains("inputs.agents.listen"), "{error}");
    }
}
