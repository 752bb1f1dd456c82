//! Lines of log files, each once, through every kind of rotation.
//!
//! In: the files that the configured patterns match. Out: one record per line, or per lines that belong
//! together, with its original bytes, in chunks that carry the place after them, so that a kill at any
//! time neither loses nor doubles a record. What can't be had (rotated away unread, truncated) is a gap
//! record. Of what the lines say it knows only where a record begins ([`hengwei_protocol::lines`]); it
//! decodes no charset and keeps no copy of them. Files of records of one size, such as wtmp, are read
//! by the same machinery for another source.
//!
//! `place` says how a file is known again, `lines` what a record is, `tail` reads one file, `rotation`
//! names the generations of a log, `engine` decides what is read in which order, and `watch` waits for
//! something to happen.

mod engine;
mod lines;
pub(super) mod pattern;
mod place;
mod rotation;
mod tail;
#[cfg(test)]
mod torture;
mod watch;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use hengwei_protocol::wire::Origin;
use hengwei_protocol::{Kind, limits};
use serde::Deserialize;

use super::{Chunk, Context, From, Source};
use crate::time::Now;
use engine::Engine;
pub(super) use lines::Form;
use pattern::Pattern;
use watch::{Look, Watch};

/// How long a rotated file must have been quiet before its last line counts as finished.
const LINGER: Duration = Duration::from_secs(15);
/// How long handing over what waits may take when the agent stops.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// `[sources.files]` as written.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// What to read: `[[sources.files.path]]`.
    pub path: Vec<PathConfig>,
}

/// One `[[sources.files.path]]` as written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PathConfig {
    /// Absolute paths in which `*`, `?`, `[…]` and `**` may stand.
    pub glob: Vec<String>,
    /// Patterns of paths that are left out although `glob` matches.
    pub exclude: Vec<String>,
    /// The queue of its lines: `security` for authentication and audit logs.
    pub kind: LogKind,
    /// The dataset of its lines; empty lets the collector find out.
    pub dataset: String,
    /// What its bytes mean.
    pub charset: Charset,
    /// Whether lines that belong together (traces, audit events, entries of several lines) are one
    /// record.
    pub join: Join,
    /// Where a file is begun that is there when its pattern is first read; later ones are always
    /// read from their start.
    pub from: From,
}

impl Default for PathConfig {
    fn default() -> PathConfig {
        PathConfig {
            glob: Vec::new(),
            exclude: Vec::new(),
            kind: LogKind::Log,
            dataset: String::new(),
            charset: Charset::Utf8,
            join: Join::Auto,
            from: From::End,
        }
    }
}

/// The two kinds a line can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogKind {
    /// Lines that programs wrote.
    Log,
    /// Authentication and audit.
    Security,
}

/// The charsets a log may be in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum Charset {
    /// UTF-8, and so ASCII.
    #[serde(rename = "utf-8")]
    Utf8,
    /// GB18030, and so GBK and GB2312.
    #[serde(rename = "gb18030")]
    Gb18030,
}

/// How lines become records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Join {
    /// Lines that belong together by what they say are one record.
    Auto,
    /// Every line is a record.
    None,
}

/// What is to be read for which source: the configuration as used.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) source: &'static str,
    pub(super) entries: Vec<Entry>,
}

/// Some logs that are read alike.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) patterns: Vec<Pattern>,
    pub(super) exclude: Vec<Pattern>,
    pub(super) kind: Kind,
    pub(super) dataset: String,
    pub(super) charset: &'static str,
    pub(super) form: Form,
    pub(super) from_end: bool,
}

impl Plan {
    fn new(config: Config) -> anyhow::Result<Plan> {
        let entries = config.path.into_iter().enumerate().map(|(index, path)| {
            Entry::new(path).with_context(|| format!("sources.files.path number {}", index + 1))
        });
        Ok(Plan { source: "files", entries: entries.collect::<anyhow::Result<_>>()? })
    }

    /// What it would need to read and can't, one line each.
    pub(super) fn unreadable(&self, root: &Path) -> Vec<String> {
        let paths: BTreeSet<PathBuf> =
            self.entries.iter().flat_map(|entry| entry.expand(root)).collect();
        paths
            .iter()
            .filter_map(|path| place::open(path).err().map(|error| (path, error)))
            .filter(|(_, error)| !error.is_missing())
            .map(|(path, error)| format!("{}: {error}", path.display()))
            .collect()
    }
}

impl Entry {
    fn new(config: PathConfig) -> anyhow::Result<Entry> {
        anyhow::ensure!(!config.glob.is_empty(), "`glob` is missing: name at least one path");
        anyhow::ensure!(
            config.dataset.len() <= limits::MAX_NAME,
            "`dataset` is longer than {} bytes: shorten it",
            limits::MAX_NAME
        );
        let parse = |texts: &[String], key: &'static str| -> anyhow::Result<Vec<Pattern>> {
            texts.iter().map(|text| Pattern::parse(text).context(key)).collect()
        };
        Ok(Entry {
            patterns: parse(&config.glob, "`glob`")?,
            exclude: parse(&config.exclude, "`exclude`")?,
            kind: match config.kind {
                LogKind::Log => Kind::Log,
                LogKind::Security => Kind::Security,
            },
            dataset: config.dataset,
            charset: match config.charset {
                Charset::Utf8 => "utf-8",
                Charset::Gb18030 => "gb18030",
            },
            form: match config.join {
                Join::Auto => Form::Joined,
                Join::None => Form::Lines,
            },
            from_end: config.from == From::End,
        })
    }

    fn matches(&self, name: &str) -> bool {
        self.patterns.iter().any(|pattern| pattern.matches(name))
            && !self.exclude.iter().any(|pattern| pattern.matches(name))
    }

    fn expand(&self, root: &Path) -> BTreeSet<PathBuf> {
        let mut found: BTreeSet<PathBuf> =
            self.patterns.iter().flat_map(|pattern| pattern.expand(root)).collect();
        found.retain(|path| {
            let name = path.strip_prefix(root).unwrap_or(path).to_string_lossy();
            !self.exclude.iter().any(|pattern| pattern.matches(&format!("/{name}")))
        });
        found
    }

    fn origin(&self, source: &str, name: &str) -> Origin {
        Origin {
            source: source.to_owned(),
            path: name.to_owned(),
            dataset: self.dataset.clone(),
            charset: self.charset.to_owned(),
        }
    }
}

/// The source.
#[derive(Debug)]
pub struct Files {
    plan: Arc<Plan>,
}

impl Source for Files {
    type Config = Config;
    const CAN_WAIT: bool = true;

    fn configure(config: Config) -> anyhow::Result<Option<Files>> {
        let plan = Plan::new(config)?;
        Ok((!plan.entries.is_empty()).then(|| Files { plan: Arc::new(plan) }))
    }

    fn unreadable(&self, root: &Path) -> Vec<String> {
        self.plan.unreadable(root)
    }

    async fn run(&mut self, context: Context) -> anyhow::Result<()> {
        follow(Arc::clone(&self.plan), context).await
    }
}

/// Reads what a plan names until stopped.
pub(super) async fn follow(plan: Arc<Plan>, context: Context) -> anyhow::Result<()> {
    let mut positions = context.output.positions(place::KEY);
    positions.extend(context.output.positions(place::MARK));
    let mut engine = Engine::new(plan, &context.root, LINGER, positions);
    let mut watch = Watch::new()?;
    let mut look = Look::Everywhere;
    let mut discovered = Instant::now();
    while !context.stop.is_cancelled() {
        if look == Look::Everywhere {
            discovered = Instant::now();
            engine = blocking(engine, |engine| engine.discover(Now::read())).await?.0;
            watch.follow(engine.folders());
        }
        loop {
            let (back, chunk) = blocking(engine, |engine| engine.step(Now::read())).await?;
            engine = back;
            for (what, problem) in engine.take_reports() {
                context.output.report(&what, problem);
            }
            let Some(chunk) = chunk else { break };
            if send(&context, chunk).await.is_err() {
                return Ok(());
            }
        }
        look = tokio::select! {
            () = context.stop.cancelled() => break,
            look = watch.changed(&mut engine, discovered) => look,
        };
    }
    last_words(&context, engine).await
}

/// Hands over the records that wait for another line, as far as the spool takes them at once: what it
/// does not take is read again when the agent starts.
async fn last_words(context: &Context, mut engine: Engine) -> anyhow::Result<()> {
    let deadline = tokio::time::Instant::now() + LAST_WORDS;
    engine.let_go(Now::read());
    loop {
        let (back, chunk) = blocking(engine, |engine| engine.step(Now::read())).await?;
        engine = back;
        let Some(chunk) = chunk else { return Ok(()) };
        let sent = tokio::time::timeout_at(deadline, context.output.send(chunk)).await;
        if !matches!(sent, Ok(Ok(()))) {
            return Ok(());
        }
    }
}

/// Hands a chunk over unless the agent stops first, even while the spool is full.
async fn send(context: &Context, chunk: Chunk) -> Result<(), super::Stopping> {
    tokio::select! {
        biased;
        sent = context.output.send(chunk) => sent,
        () = context.stop.cancelled() => Err(super::Stopping),
    }
}

/// Runs a step where a slow disk holds up nobody else.
async fn blocking<T: Send + 'static>(
    mut engine: Engine,
    step: impl FnOnce(&mut Engine) -> T + Send + 'static,
) -> anyhow::Result<(Engine, T)> {
    let stepped = tokio::task::spawn_blocking(move || {
        let result = step(&mut engine);
        (engine, result)
    });
    stepped.await.context("reading log files panicked")
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use hengwei_protocol::wire::record::Body;
    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::sources::Output;
    use crate::spool::{Options, Spool};

    fn configure(text: &str) -> anyhow::Result<Option<Files>> {
        Files::configure(toml::from_str(text)?)
    }

    #[test]
    fn a_configuration_is_checked() {
        assert!(configure("").unwrap().is_none());
        let good = "[[path]]\nglob = ['/var/log/auth.log']\nkind = 'security'\ndataset = 'sshd'\n\
                    join = 'none'\ncharset = 'gb18030'\nfrom = 'start'\nexclude = ['/var/log/*.gz']";
        assert!(configure(good).unwrap().is_some());
        let check = |text: &str, error: &str| {
            let got = format!("{:#}", configure(text).unwrap_err());
            assert!(got.contains(error), "{got}");
        };
        check("[[path]]\nglobs = ['/a']", "unknown field `globs`");
        check("[[path]]\nkind = 'log'", "path number 1: `glob` is missing");
        check("[[path]]\nglob = ['a']", "path number 1: `glob`: `a` is not absolute");
        check("[[path]]\nglob = ['/a']\ncharset = 'utf-16le'", "unknown variant `utf-16le`");
        check("[[path]]\nglob = ['/a']\nkind = 'asset'", "unknown variant `asset`");
        check("[[path]]\nglob = ['/a']\nfrom = 'middle'", "unknown variant `middle`");
        check("[[path]]\nglob = ['/a']\njoin = 'always'", "unknown variant `always`");
    }

    /// The text of the first record that comes, and how long it took.
    async fn first(spool: &Spool, since: Instant) -> (Bytes, Duration) {
        for from in 1.. {
            tokio::time::sleep(Duration::from_millis(2)).await;
            assert!(since.elapsed() < Duration::from_secs(60), "nothing comes: {from}");
            let Ok(Some(slice)) = spool.read(Kind::Log, 1, 1 << 20) else { continue };
            let Some(record) = slice.block.records.last() else { continue };
            let Some(Body::Original(text)) = record.body.clone() else { continue };
            return (text, since.elapsed());
        }
        unreachable!("the loop has no end")
    }

    #[tokio::test]
    async fn only_what_another_line_may_go_on_with_waits_and_not_until_the_next_look() {
        let run = async |written: &'static str| {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("app.log");
            std::fs::write(&path, "").unwrap();
            let spool = Spool::open(&dir.path().join("spool"), &Options::default()).unwrap();
            let output = Output::new("files", true, spool.clone(), Default::default());
            let stop = CancellationToken::new();
            let context = Context { root: dir.path().to_owned(), output, stop: stop.clone() };
            let mut files = configure("[[path]]\nglob = ['/app.log']").unwrap().unwrap();
            let running = tokio::spawn(async move { files.run(context).await });
            // Past the first looks, so that what follows is the kernel's word alone.
            let begun = Instant::now();
            while spool.positions("files", place::KEY).is_empty() {
                assert!(begun.elapsed() < Duration::from_secs(60), "the log is not found");
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
            tokio::time::sleep(Duration::from_millis(300)).await;
            let since = Instant::now();
            std::fs::write(&path, written).unwrap();
            let found = first(&spool, since).await;
            stop.cancel();
            running.await.unwrap().unwrap();
            found
        };
        // The poll alone would bring it two seconds after the last look. A busy machine can take as
        // long for a while, but not each time.
        const TRIES: usize = 20;
        let mut took = Vec::new();
        for _ in 0..TRIES {
            let (plain, at_once) = run("words\n").await;
            let (waited, later) = run("2026-11-22 08:00:00 failed\n\tat a.B.c(B.java:1)\n").await;
            assert_eq!(plain, "words");
            assert_eq!(waited, "2026-11-22 08:00:00 failed\n\tat a.B.c(B.java:1)");
            assert!(later >= tail::HOLD, "{later:?}");
            if at_once.max(later) < Duration::from_secs(1) {
                return;
            }
            took.push((at_once, later));
        }
        panic!("none of {TRIES} came at the kernel's word: {took:?}");
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("log/sub")).unwrap();
        std::fs::write(dir.path().join("log/good"), "").unwrap();
        let files = configure("[[path]]\nglob = ['/log/*', '/log/absent']").unwrap().unwrap();
        let unreadable = files.unreadable(dir.path());
        assert_eq!(unreadable.len(), 1, "{unreadable:?}");
        assert!(unreadable[0].contains("log/sub: a directory is not a regular file"));
    }
}
