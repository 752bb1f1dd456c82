//! The rules in force, packs of rules, and how operators change both while the collector runs.
//!
//! What is in force is made of the site's own folders, the packs that are live, and the site's tuning
//! and lists ([`mod@load`]). A pack is a release of somebody else's rules: imported from an archive or
//! a folder ([`archive`]), kept by name and version below the data folder ([`store`]), tried on what
//! history holds ([`crate::backtest`]), made live, and rolled back when it disappoints.
//!
//! Every change is an [`Order`], carried out one after the other. Everything is read and compiled anew
//! beside what runs; when that fails, what is in force stays and the error says why. Else the judge
//! records the order in history and goes on with the new rules from that commit on
//! ([`crate::judge::Desk::replace_rules`]): no event is missed, none is judged twice, and half-filled
//! windows of correlations stay.
//!
//! Which set is in force is in history at any time: each order, and a start with other rules than the
//! collector ended with, is an entry with the set's digest.

use std::sync::atomic::{AtomicI64, Ordering};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::backtest;
use crate::services::Services;

pub mod archive;
mod files;
mod force;
pub mod lists;
pub mod load;
mod orders;
pub mod store;
pub mod tuning;

pub(crate) use force::{amiss, load_packs, pack, settings};
pub use force::{keep, load_at_start, started};
pub use load::Loaded;
pub use orders::Import;

/// The longest name of a pack or a version.
const MAX_NAME: usize = 64;

/// What is done with rules in force and packs.
#[derive(Debug, Clone, Serialize, Deserialize, clap::Subcommand)]
pub enum Order {
    /// Reads the rules anew, with the `[rules]` section of the configuration, tuning and lists
    ///
    /// When nothing of it compiles or a folder is missing, the rules in force stay.
    Reload,
    /// Packs and their versions, and which of them are live
    Packs,
    /// Makes a version of a pack live
    Activate {
        /// Pack
        name: String,
        /// Version; the one imported last unless said otherwise
        version: Option<String>,
        /// Although no backtest of it has run, which is recorded
        #[arg(long)]
        without_backtest: bool,
    },
    /// Makes the version of a pack live that was so before, or none if none was
    Rollback {
        /// Pack
        name: String,
    },
    /// Makes no version of a pack live
    Deactivate {
        /// Pack
        name: String,
    },
    /// Removes a version of a pack that is not live
    Remove {
        /// Pack
        name: String,
        /// Version
        version: String,
    },
    /// An archive to be kept as a version of a pack. On the command line, with the file it is in
    #[command(skip)]
    Import(Import),
    /// Rules over history. On the command line, with the folders they are in
    #[command(skip)]
    Backtest(backtest::Asked),
}

/// An order on its way, with what comes behind it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Ordered {
    /// The order.
    pub order: Order,
    /// Bytes of the archive that follows.
    pub archive_bytes: u64,
}

/// What keeps orders in order.
#[derive(Debug)]
pub struct Office {
    turn: tokio::sync::Mutex<()>,
    /// Held by the backtest that runs.
    pub(crate) backtest: tokio::sync::Mutex<()>,
    /// When an override ends, Unix nanoseconds.
    until: AtomicI64,
}

impl Default for Office {
    fn default() -> Office {
        let until = AtomicI64::new(i64::MAX);
        Office { turn: Default::default(), backtest: Default::default(), until }
    }
}

impl Office {
    fn note(&self, loaded: &Loaded) {
        self.until.store(loaded.until.unwrap_or(i64::MAX), Ordering::Relaxed);
    }
}

/// Carries an order out: shows rows until `see` or `wanted` returns false, returns the exit code.
pub async fn execute(
    services: &Services,
    who: &str,
    order: Order,
    archive: Vec<u8>,
    wanted: &(dyn Fn() -> bool + Sync),
    see: &mut (dyn FnMut(Value) -> bool + Send),
) -> anyhow::Result<i32> {
    if let Order::Backtest(asked) = order {
        return backtest::order(services, who, asked, archive, wanted, see).await;
    }
    let _turn = services.packs.turn.lock().await;
    match order {
        Order::Reload => {
            anyhow::ensure!(
                services.runs,
                "a stopped collector has no rules in force: it reads them when it starts"
            );
            force::reload(services, who, see).await?;
        }
        Order::Packs => orders::list(services, see)?,
        Order::Activate { name, version, without_backtest } => {
            orders::activate(services, who, &name, version, without_backtest, see).await?;
        }
        Order::Rollback { name } => orders::roll_back(services, who, &name, see).await?,
        Order::Deactivate { name } => orders::deactivate(services, who, &name, see).await?,
        Order::Remove { name, version } => {
            orders::remove(services, who, &name, &version, see).await?;
        }
        Order::Import(asked) => orders::import(services, who, asked, archive, see).await?,
        Order::Backtest(_) => unreachable!("it waits for nobody"),
    }
    Ok(0)
}

/// Whether a pack, or a version of one, may be called so: its name is a folder's.
pub fn check_name(what: &str, name: &str) -> anyhow::Result<()> {
    let plain =
        |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_' | '.');
    anyhow::ensure!(
        !name.is_empty()
            && name.len() <= MAX_NAME
            && name.chars().all(plain)
            && name.starts_with(|c: char| c.is_ascii_alphanumeric()),
        "{what}: `{name}` is no name: lower-case letters, digits, `-`, `_`, `.`, at most {MAX_NAME}"
    );
    Ok(())
}
