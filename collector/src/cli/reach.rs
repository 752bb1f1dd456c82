//! How a subcommand gets its answers: from the daemon over its socket, or from the data folder of a
//! stopped collector, opened for this one command and closed in order.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::backup;
use crate::commands::{self, Command};
use crate::config::Config;
use crate::control;
use crate::packs::{self, Order, Ordered};
use crate::services::Services;

/// How a collector is reached: over its socket when it runs, by its data folder when it does not.
pub(super) struct Reach {
    config: PathBuf,
    socket: Option<PathBuf>,
    data: Option<PathBuf>,
}

impl Reach {
    pub(super) fn of(config: PathBuf, socket: Option<PathBuf>, data: Option<PathBuf>) -> Reach {
        Reach { config, socket, data }
    }

    fn socket(&self) -> anyhow::Result<PathBuf> {
        match &self.socket {
            Some(socket) => Ok(socket.clone()),
            None => Ok(Config::load(&self.config)?.socket),
        }
    }

    /// Carries a command out and shows each row until `see` fails; the exit code.
    pub(super) fn ask(
        &self,
        command: Command,
        see: &mut (dyn FnMut(Value) -> anyhow::Result<()> + Send),
    ) -> anyhow::Result<i32> {
        let Some(data) = &self.data else {
            return runtime()?.block_on(control::ask(&self.socket()?, &command, &[], see));
        };
        let mut failed = Ok(());
        let mut keep = |row| {
            failed = see(row);
            failed.is_ok()
        };
        let code = self.offline(data, async |services, who| {
            commands::execute(services, who, command, &|| true, &mut keep).await
        });
        failed?;
        code
    }

    /// The same for an order about rules, with the archive it is about.
    pub(super) fn order(
        &self,
        order: Order,
        archive: Vec<u8>,
        see: &mut (dyn FnMut(Value) -> anyhow::Result<()> + Send),
    ) -> anyhow::Result<i32> {
        let Some(data) = &self.data else {
            let ordered = Ordered { order, archive_bytes: archive.len() as u64 };
            let command = Command::Rules(ordered);
            let socket = self.socket()?;
            return runtime()?.block_on(control::ask(&socket, &command, &archive, see));
        };
        let mut failed = Ok(());
        let mut keep = |row| {
            failed = see(row);
            failed.is_ok()
        };
        let code = self.offline(data, async |services, who| {
            packs::execute(services, who, order, archive, &|| true, &mut keep).await
        });
        failed?;
        code
    }

    /// The same for a backup, whose rows come with files.
    pub(super) fn ask_for_files(
        &self,
        asked: backup::Asked,
        see: &mut (dyn FnMut(backup::Piece) -> anyhow::Result<()> + Send),
    ) -> anyhow::Result<i32> {
        let Some(data) = &self.data else {
            return control::ask_for_files(&self.socket()?, &Command::Backup(asked), see);
        };
        let mut failed = Ok(());
        let mut keep = |piece| {
            failed = see(piece);
            failed.is_ok()
        };
        let code = self.offline(data, async |services, who| {
            backup::give(services, who, asked, &mut keep).await
        });
        failed?;
        code
    }

    /// Opens a stopped collector, works on it, and closes it in order.
    fn offline(
        &self,
        data: &Path,
        work: impl AsyncFnOnce(&Services, &str) -> anyhow::Result<i32>,
    ) -> anyhow::Result<i32> {
        let mut config =
            if self.config.exists() { Config::load(&self.config)? } else { Config::default() };
        config.data = data.to_owned();
        runtime()?.block_on(async {
            let (services, judge) = Services::offline(config)?;
            let code = work(&services, &operator()).await;
            services.desk.stop().await;
            tokio::task::spawn_blocking(move || judge.join())
                .await?
                .map_err(|_| anyhow::anyhow!("the judge panicked"))?;
            code
        })
    }
}

/// Who runs this command, as history knows operators on the machine itself.
pub(super) fn operator() -> String {
    format!("local:{}", control::user_name(rustix::process::getuid().as_raw()))
}

pub(super) fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_multi_thread().enable_all().build()?)
}
