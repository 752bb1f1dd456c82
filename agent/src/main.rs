//! Arguments, configuration, the run, the exit code; everything else is the library's.

use std::collections::BTreeMap;
use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Parser, Subcommand};
use hengwei_agent::config::{self, Config};
use hengwei_agent::identity::{self, Identity};
use hengwei_agent::sources::SOURCES;
use hengwei_agent::{Unsafe, enroll, ship, sources, status, time};
use hengwei_protocol::identity::hex;
use tokio_util::sync::CancellationToken;

/// The operator can mend it: usage, configuration, permission.
const OPERATOR: u8 = 2;
/// Our bug.
const BUG: u8 = 3;

/// Observes a host and ships what it sees; nothing acknowledged is lost.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// The configuration.
    #[arg(long, global = true, default_value = config::PATH)]
    config: PathBuf,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Observe and ship until stopped.
    Run,
    /// Get a certificate from a collector with a one-time token.
    Enroll(enroll::Args),
    /// Check the configuration and name what cannot be read.
    Check,
    /// Print one snapshot of what the host is and has.
    Inventory {
        /// One JSON object per line.
        #[arg(long)]
        json: bool,
    },
    /// Ask the running agent how it is.
    Status {
        /// One JSON object per line.
        #[arg(long)]
        json: bool,
    },
    /// Print the chain heads of the collector's history that this agent keeps, and the history key it
    /// was given at enrolment: one JSON object per line, for `hengwei-collector verify --heads`.
    Heads,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let filter = tracing_subscriber::EnvFilter::try_from_env("HENGWEI_LOG");
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter.unwrap_or_else(|_| "info".into()))
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    // Under systemd the journal stamps lines itself.
    match std::env::var_os("JOURNAL_STREAM") {
        Some(_) => log.without_time().init(),
        None => log.init(),
    }
    match execute(arguments) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("hengwei-agent: {error:#}");
            let bug = error.downcast_ref::<tokio::task::JoinError>().is_some();
            ExitCode::from(if bug { BUG } else { OPERATOR })
        }
    }
}

fn execute(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let path = arguments.config.as_path();
    let config = Config::load(path, SOURCES)?;
    match arguments.command {
        Command::Run => run(path, config),
        Command::Check => Ok(check(path, &config)),
        Command::Status { json } => print_status(&config, json),
        Command::Enroll(args) => {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let outcome = runtime.block_on(enroll::run(args, &config.data))?;
            println!("{}", outcome.agent);
            Ok(ExitCode::SUCCESS)
        }
        Command::Inventory { json } => print_inventory(&config, json),
        Command::Heads => print_heads(&config),
    }
}

fn run(path: &Path, config: Config) -> anyhow::Result<ExitCode> {
    config.check_run(&path.display().to_string())?;
    let session: Arc<dyn ship::Session> = Arc::new(Identity::open(&config.data)?);
    // Sources wait far more than they compute; two threads keep the agent small.
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let ended = runtime.block_on(async {
        let stop = CancellationToken::new();
        tokio::spawn(stop_on_signal(stop.clone())?);
        hengwei_agent::run(config, session, stop).await
    });
    // What hangs in a system call must not keep the process.
    runtime.shutdown_timeout(std::time::Duration::from_secs(1));
    match ended {
        Err(error) if error.is::<Unsafe>() => {
            eprintln!("hengwei-agent: {error:#}");
            Ok(ExitCode::from(OPERATOR))
        }
        ended => ended.map(|()| ExitCode::SUCCESS),
    }
}

/// Cancels `stop` at SIGTERM or SIGINT.
fn stop_on_signal(
    stop: CancellationToken,
) -> std::io::Result<impl Future<Output = ()> + Send + 'static> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("stopping");
        stop.cancel();
    })
}

/// The configuration was good to get here; what cannot be read is told and is no error, as a host
/// need not have everything.
fn check(path: &Path, config: &Config) -> ExitCode {
    if let Err(error) = config.check_run(&path.display().to_string()) {
        eprintln!("hengwei-agent: {error}");
        return ExitCode::from(OPERATOR);
    }
    println!("{}: fine", path.display());
    for entry in SOURCES {
        let section = config.section(entry.name);
        if !section.enabled {
            continue;
        }
        if let Ok(Some(source)) = entry.configure(section.config) {
            for line in source.unreadable(&config.root) {
                println!("{}: {line}", entry.name);
            }
        }
    }
    ExitCode::SUCCESS
}

/// One object a line with `--json`; else how many items of each class there are.
fn print_inventory(config: &Config, json: bool) -> anyhow::Result<ExitCode> {
    let (items, problems) = sources::assets::snapshot(&config.root);
    let mut classes: BTreeMap<String, usize> = BTreeMap::new();
    for item in &items {
        let row = serde_json::to_value(item)?;
        if json {
            println!("{row}");
        } else {
            let class = row["event.dataset"].as_str().unwrap_or("asset").to_owned();
            *classes.entry(class).or_default() += 1;
        }
    }
    for (class, count) in classes {
        println!("{class}: {count}");
    }
    for problem in problems {
        eprintln!("{problem}");
    }
    Ok(ExitCode::SUCCESS)
}

/// One object a line, for `hengwei-collector verify --heads`; each says whose it is and which history
/// key this agent was given, so that one file is all an assessor takes along.
fn print_heads(config: &Config) -> anyhow::Result<ExitCode> {
    let (agent, key) = identity::pinned(&config.data);
    let key = key.map(|key| hex(&key));
    for heads in identity::heads::read(&config.data)? {
        let rows: Vec<_> = heads
            .heads
            .iter()
            .map(|head| serde_json::json!({ "class": head.class, "commit": head.commit, "link": hex(&head.link) }))
            .collect();
        let signature = hex(&heads.signature);
        println!(
            "{}",
            serde_json::json!({
                "agent": agent, "key": key,
                "time": heads.time, "heads": rows, "signature": signature,
            })
        );
    }
    Ok(ExitCode::SUCCESS)
}

fn print_status(config: &Config, json: bool) -> anyhow::Result<ExitCode> {
    let lines = status::ask(&config.socket)?;
    if json {
        for line in &lines {
            println!("{}", serde_json::to_string(line)?);
        }
    } else {
        let now = time::now();
        print!("{}", status::render(&lines, now));
    }
    Ok(ExitCode::SUCCESS)
}
