//! The command line: what the daemon answers over its socket, what works on a stopped collector
//! (`--data`), and what needs neither. Results on standard output, everything else on standard error.

use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Parser, Subcommand};
use hengwei_protocol::identity;
use serde_json::Value;

use crate::commands::{self, Command};
use crate::config::{self, Config};
use crate::logql;
use crate::pki::setup;
use crate::search::Said;
use crate::{
    EXIT_BUG, EXIT_OPERATOR, backtest, eval, export, history, packs, pki, replay, table, time,
};

mod carry;
mod coverage;
mod order;
mod reach;
mod verify;

use reach::Reach;

/// Rules that `rules cost` shows unless said otherwise.
const RULES_SHOWN: usize = 20;

#[derive(Debug, Parser)]
#[command(
    name = "hengwei-collector",
    version,
    about = "Receives, understands, remembers, judges and tells"
)]
struct Cli {
    /// Configuration file
    #[arg(long, global = true, default_value = config::PATH)]
    config: PathBuf,
    /// Socket of the running daemon, when it is not the configured one
    #[arg(long, global = true)]
    socket: Option<PathBuf>,
    /// Works on a stopped collector's data folder instead of asking the daemon
    #[arg(long, global = true)]
    data: Option<PathBuf>,
    /// Rows as NDJSON instead of a table
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// The daemon
    Run,
    /// Checks the configuration, without starting anything
    Check,
    /// Rules: those in force, packs of them, and what can be done with rules without a daemon
    #[command(subcommand)]
    Rules(RulesVerb),
    /// Raw logs through decoders and rules: one alert per line
    Replay(replay::ReplayArgs),
    /// Raw logs through decoders: what is understood of each line, one event per line
    Decode(replay::DecodeArgs),
    /// Walks the chains of history and names what differs; reads files only. Exit 1 on any finding
    Verify(verify::Args),
    /// Rebuilds the index of a stopped collector from history
    Rebuild,
    /// Events for an assessor: a file of packed NDJSON, and a signed manifest beside it
    Export {
        #[command(flatten)]
        asked: export::Asked,
        /// The file; its manifest is FILE.manifest.json
        #[arg(short, long, value_name = "FILE")]
        output: PathBuf,
    },
    /// Everything a collector needs to stand up again, into a folder; only what is new is copied
    Backup {
        /// A folder of its own: new, empty, or with an earlier backup
        dir: PathBuf,
        /// File with the passphrase that the keys are sealed under; `-` reads standard input
        #[arg(long)]
        passphrase_file: Option<PathBuf>,
        /// Reads every file of the backup that is there and compares, and changes nothing
        #[arg(long)]
        check: bool,
        /// With --check: the public key of history that must have signed (hexadecimal, or a file of it)
        #[arg(long, requires = "check")]
        key: Option<String>,
    },
    /// A backup into a new data folder, named with --data
    Restore {
        /// The backup
        dir: PathBuf,
        /// File with the passphrase of the keys; `-` reads standard input
        #[arg(long)]
        passphrase_file: Option<PathBuf>,
        /// The public key of history that must have signed (hexadecimal, or a file of it)
        #[arg(long)]
        key: Option<String>,
        /// Takes over files that are not what was backed up, and names them
        #[arg(long)]
        accept_damage: bool,
    },
    /// Keys and certificates: the collector's own, and those of agents
    #[command(subcommand)]
    Pki(PkiVerb),
    #[command(flatten)]
    Ask(Command),
}

#[derive(Debug, Subcommand)]
enum RulesVerb {
    /// Events from a file through rules: prints which rule matched which line
    Eval(eval::EvalArgs),
    /// How many events of a file the rules take in a second, on one thread
    Bench(eval::BenchArgs),
    /// What rules cost: how long their conditions took in sampled events, the costliest first
    Cost {
        /// Rules at most
        #[arg(long, default_value_t = RULES_SHOWN)]
        limit: usize,
    },
    /// Why a rule matched events of a file, or why it did not
    Explain(eval::ExplainArgs),
    /// Which rules can fire on what arrives, and which fields the others lack
    Coverage(crate::coverage::CoverageArgs),
    /// What is wrong with rules
    Lint(eval::LintArgs),
    /// Runs the examples beside rules
    Test(replay::TestArgs),
    /// Keeps an archive (zip) or a folder of rules as a version of a pack; nothing of it is in force
    Import {
        /// The archive or folder
        #[arg(value_name = "FILE|DIR")]
        path: PathBuf,
        #[command(flatten)]
        asked: packs::Import,
    },
    /// What a set of rules would have alerted on, over stored history, beside the rules in force
    Backtest {
        /// A folder of rules, or a file, in place of all that is in force; repeats
        #[arg(long, value_name = "DIR")]
        rules: Vec<PathBuf>,
        #[command(flatten)]
        asked: backtest::Asked,
    },
    #[command(flatten)]
    Order(packs::Order),
}

#[derive(Debug, Subcommand)]
enum PkiVerb {
    /// Makes a root, an issuing CA, this server's certificate and the history key
    Init {
        /// Name or address agents and browsers reach this collector by; repeats
        #[arg(long = "name", required = true)]
        names: Vec<String>,
        /// File with the passphrase the root's key is sealed under; `-` reads standard input
        #[arg(long)]
        passphrase_file: PathBuf,
        /// Where the sealed root goes: move it off this machine
        #[arg(long)]
        root_out: Option<PathBuf>,
    },
    /// Takes over an existing issuing CA
    Import {
        /// Name or address agents and browsers reach this collector by; repeats
        #[arg(long = "name", required = true)]
        names: Vec<String>,
        /// The CA's certificate and those up to the root, PEM
        #[arg(long)]
        chain: PathBuf,
        /// The CA's key, PEM
        #[arg(long)]
        key: PathBuf,
        /// The root, PEM
        #[arg(long)]
        root: PathBuf,
    },
    /// A new issuing CA and server certificate from the sealed root
    Reissue {
        /// Name or address agents and browsers reach this collector by; repeats
        #[arg(long = "name", required = true)]
        names: Vec<String>,
        /// File with the passphrase; `-` reads standard input
        #[arg(long)]
        passphrase_file: PathBuf,
        /// The sealed root
        #[arg(long)]
        root: PathBuf,
    },
    /// Trusts another root too
    Trust {
        /// PEM
        root: PathBuf,
    },
    /// Trusts a root no longer
    Distrust {
        /// Beginning of its SHA-256
        digest: String,
    },
    /// The collector's own certificates
    Own,
    /// The public key of history (hexadecimal), as agents get it when they are enrolled: to keep where
    /// nobody here can write, for `verify --key`
    HistoryKey,
    #[command(flatten)]
    Agents(commands::Pki),
}

/// Everything `main` does.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    log_to_stderr(matches!(cli.verb, Verb::Run));
    let code = match run(cli) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("hengwei-collector: {}", format!("{error:#}").replace('\n', " "));
            EXIT_OPERATOR
        }
    };
    ExitCode::from(u8::try_from(code).unwrap_or(u8::try_from(EXIT_BUG).unwrap_or(u8::MAX)))
}

fn run(cli: Cli) -> anyhow::Result<i32> {
    // Not locked: rows of a search are written by the thread that finds them.
    let out = &mut std::io::stdout();
    match cli.verb {
        Verb::Run => reach::runtime()?.block_on(crate::run(Config::load(&cli.config)?)),
        Verb::Check => check(&cli.config, out),
        Verb::Rules(verb) => {
            order::run(&Reach::of(cli.config, cli.socket, cli.data), cli.json, verb, out)
        }
        Verb::Replay(args) => replay::replay(&args, out).map(|()| 0),
        Verb::Decode(args) => replay::decode(&args, out).map(|()| 0),
        Verb::Verify(args) => {
            let (given, config) = (cli.data, cli.config);
            verify::run(&|| data(&config, given.clone()), &args, cli.json, out)
        }
        Verb::Export { asked, output } => carry::export(
            &Reach::of(cli.config, cli.socket, cli.data),
            asked,
            &output,
            cli.json,
            out,
        ),
        Verb::Backup { dir, passphrase_file, check: true, key } => carry::check_backup(
            &dir,
            passphrase_file.as_deref(),
            verify::public_key(key.as_deref())?,
            cli.json,
            out,
        ),
        Verb::Backup { dir, passphrase_file, .. } => {
            let reach = Reach::of(cli.config, cli.socket, cli.data);
            carry::backup(&reach, &dir, passphrase_file.as_deref(), cli.json, out)
        }
        Verb::Restore { dir, passphrase_file, key, accept_damage } => {
            let data = cli.data.context("name a new or empty folder with --data")?;
            let (passphrase, key) =
                (passphrase_file.as_deref(), verify::public_key(key.as_deref())?);
            carry::restore(&dir, &data, passphrase, key, accept_damage, cli.json, out)
        }
        Verb::Rebuild => {
            let data = data(&cli.config, cli.data)?;
            let options =
                history::Options { key: Some(pki::history_key_file(&data)), ..Default::default() };
            let status = history::rebuild(&data.join(config::HISTORY), options)?;
            writeln!(out, "rebuilt up to commit {}", status.commits)?;
            Ok(0)
        }
        Verb::Pki(PkiVerb::Agents(command)) => {
            let reach = Reach::of(cli.config, cli.socket, cli.data);
            ask(&reach, cli.json, Command::Pki(command), out)
        }
        Verb::Pki(verb) => pki(&data(&cli.config, cli.data)?, verb, cli.json, out),
        Verb::Ask(command) => {
            ask(&Reach::of(cli.config, cli.socket, cli.data), cli.json, command, out)
        }
    }
}

fn check(path: &Path, out: &mut dyn Write) -> anyhow::Result<i32> {
    let config = Config::load(path)?;
    // Opening the keys is reading them, and an unreadable key should be known before the start.
    crate::pki::Pki::open(&config.data, config.pki_settings())?;
    crate::systems::Systems::load(config.systems.dir.as_deref())?;
    let loaded = packs::load_at_start(&config, time::now())?;
    for refused in &loaded.refused {
        tracing::warn!("rule refused: {refused}");
    }
    for complaint in &loaded.complaints {
        tracing::warn!("{complaint}");
    }
    writeln!(
        out,
        "{}: fine; {} rules, {} refused, {} off",
        path.display(),
        loaded.rules.set().rules().len(),
        loaded.refused.len(),
        loaded.left_out.len()
    )?;
    Ok(0)
}

/// Asks the daemon, or opens a stopped collector, and prints what it answers.
fn ask(
    reach: &Reach,
    json: bool,
    command: Command,
    out: &mut (dyn Write + Send),
) -> anyhow::Result<i32> {
    if let Command::Search { terms, .. } = &command
        && let Err(error) = logql::Query::parse(&terms.join(" "))
    {
        eprintln!("hengwei-collector: {error}");
        return Ok(EXIT_OPERATOR);
    }
    let mut rows: Vec<Value> = Vec::new();
    let shape = table::shape(&command);
    let searches = matches!(command, Command::Search { .. });
    let lines = json || searches && !std::io::stdout().is_terminal();
    let mut gone = false;
    let code = reach.ask(command, &mut |row| {
        let written = match Said::progress_of(&row).filter(|_| searches) {
            Some(progress) => {
                eprintln!("{}", table::progress(progress));
                Ok(())
            }
            None if lines => writeln!(out, "{row}"),
            None if searches => writeln!(out, "{}", table::event(&row)),
            None => {
                rows.push(row);
                Ok(())
            }
        };
        gone = written.is_err();
        Ok(written?)
    });
    if gone {
        // Whoever reads no further wants no more.
        return Ok(0);
    }
    let code = code?;
    if !json && !searches {
        table::print(&shape, &rows, out)?;
    }
    Ok(code)
}

fn pki(data: &Path, verb: PkiVerb, json: bool, out: &mut dyn Write) -> anyhow::Result<i32> {
    let now = time::now();
    match verb {
        PkiVerb::Init { names, passphrase_file, root_out } => {
            let root_out = root_out.unwrap_or_else(|| data.join("root.sealed"));
            std::fs::create_dir_all(data).with_context(|| data.display().to_string())?;
            setup::init(data, &names, &root_out, &setup::passphrase(&passphrase_file)?, now)?;
            eprintln!(
                "the root's key is sealed in {}: move it off this machine",
                root_out.display()
            );
        }
        PkiVerb::Import { names, chain, key, root } => {
            setup::import(data, &names, &chain, &key, &root, now)?
        }
        PkiVerb::Reissue { names, passphrase_file, root } => {
            setup::reissue(data, &names, &root, &setup::passphrase(&passphrase_file)?, now)?;
        }
        PkiVerb::Trust { root } => setup::trust(data, &root)?,
        PkiVerb::Distrust { digest } => setup::distrust(data, &digest)?,
        PkiVerb::HistoryKey => {
            let key = pki::history_public_key(data)?.context("no history key; run `pki init`")?;
            writeln!(out, "{}", identity::hex(&key))?;
        }
        PkiVerb::Own => {
            let rows: Vec<Value> = setup::list(data)?
                .into_iter()
                .map(|listed| {
                    serde_json::json!({
                        "role": listed.role, "serial": listed.facts.serial, "names": listed.names,
                        "fingerprint": listed.facts.fingerprint,
                        "not_after": time::rfc3339(listed.facts.not_after),
                    })
                })
                .collect();
            if json {
                rows.iter().try_for_each(|row| writeln!(out, "{row}"))?;
            } else {
                table::print(&table::Shape::default(), &rows, out)?;
            }
        }
        PkiVerb::Agents(_) => unreachable!("handled where the daemon is asked"),
    }
    Ok(0)
}

/// The data folder: as given, else as configured.
fn data(config: &Path, given: Option<PathBuf>) -> anyhow::Result<PathBuf> {
    given.map_or_else(|| Ok(Config::load(config)?.data), Ok)
}

/// A daemon tells what it does; a command only what went wrong. RUST_LOG says otherwise.
fn log_to_stderr(daemon: bool) {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| {
        tracing_subscriber::EnvFilter::new(if daemon { "info" } else { "warn" })
    });
    // Under systemd the journal stamps lines itself.
    let bare = std::env::var_os("JOURNAL_STREAM").is_some();
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_target(false)
        .with_ansi(std::io::stderr().is_terminal());
    // A logger that is there already is a test's.
    let _ = if bare { builder.without_time().try_init() } else { builder.try_init() };
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }
}
