//! `rules eval`, `rules bench`, `rules lint` and `rules explain`: rules over JSON events, offline.
//!
//! In: folders of rules and a file with one JSON object per line, flat or nested. Out: for each
//! line the rules it matched and the correlations it completed, one `{"line":n,"rule":"<id>"}`
//! each; on the error stream, what was refused. Field names are taken as given, nothing is mapped
//! and nothing is stored: the same evaluator as the collector's, without the rest of it.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use hengwei_rules::{
    Correlator, Document, Names, Options, Reference, Refused, Rule, Set, lint_knowing, lint_set,
};

use crate::coverage;
use crate::event::names::KNOWN;

mod bench;
mod explain;
mod json;
mod names;
mod programs;

pub use bench::{BenchArgs, bench};
pub use explain::{ExplainArgs, explain};
pub use json::{JsonEvent, JsonEvents, NotAnEvent, Origin};
pub use names::Interned;
pub use programs::Matcher;

/// Fine.
const FINE: i32 = 0;
/// A finding.
const FINDING: i32 = 1;
/// The operator can mend it.
const MENDABLE: i32 = 2;

/// Folders may nest this deep; beyond it a link leads back up.
const MAX_DEPTH: usize = 32;

/// Arguments of `rules eval`.
#[derive(Debug, Clone, clap::Args)]
pub struct EvalArgs {
    /// A folder of rules, read recursively, or a file; repeats.
    #[arg(long, required = true, value_name = "DIR")]
    pub rules: Vec<PathBuf>,
    /// Events, one JSON object per line.
    #[arg(long, value_name = "FILE")]
    pub events: PathBuf,
    /// End with 2 when a rule was refused or a line could not be read.
    #[arg(long)]
    pub strict: bool,
}

/// Arguments of `rules lint`.
#[derive(Debug, Clone, clap::Args)]
pub struct LintArgs {
    /// A folder of rules, read recursively, or a file; repeats.
    #[arg(long, required = true, value_name = "DIR")]
    pub rules: Vec<PathBuf>,
}

/// Runs `rules eval`; the exit code.
pub fn eval(args: &EvalArgs, out: &mut dyn Write, err: &mut dyn Write) -> anyhow::Result<i32> {
    let sources = match read_rules(&args.rules) {
        Ok(sources) => sources,
        Err(error) => return mendable(&error, err),
    };
    let file = File::open(&args.events)
        .with_context(|| format!("failed to open {}", args.events.display()));
    let file = match file {
        Ok(file) => file,
        Err(error) => return mendable(&error, err),
    };
    let names = Interned::default();
    let (set, refused) = sources.compile(&names, &Options::default());
    for refusal in &refused {
        writeln!(err, "{refusal}")?;
    }
    let mut run =
        Run { set: &set, matcher: Matcher::new(&set), correlator: Correlator::new(), time_ns: 0 };
    let mut events = JsonEvents::new();
    let mut unread = 0u64;
    let mut reader = BufReader::new(file);
    let mut bytes = Vec::new();
    let mut number = 0u64;
    loop {
        bytes.clear();
        if reader.read_until(b'\n', &mut bytes).context("failed to read events")? == 0 {
            break;
        }
        number += 1;
        let line = String::from_utf8_lossy(&bytes);
        if line.trim().is_empty() {
            continue;
        }
        events.clear();
        if let Err(error) = events.push(&line, &names) {
            unread += 1;
            writeln!(err, "{}:{number}: {error}", args.events.display())?;
            continue;
        }
        for rule in events.get(0).map(|event| run.event(&event)).unwrap_or_default() {
            let rule = serde_json::Value::String(rule);
            writeln!(out, "{{\"line\":{number},\"rule\":{rule}}}")?;
        }
    }
    out.flush()?;
    let amiss = !refused.is_empty() || unread > 0;
    Ok(if args.strict && amiss { MENDABLE } else { FINE })
}

/// Runs `rules lint`; the exit code.
///
/// One finding per line: `file:line: error|warning: check: message`. A refused rule is an error.
pub fn lint_rules(
    args: &LintArgs,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> anyhow::Result<i32> {
    let sources = match read_rules(&args.rules) {
        Ok(sources) => sources,
        Err(error) => return mendable(&error, err),
    };
    let (set, refused) = sources.compile(&Interned::default(), &Options::default());
    let mut errors = refused.len();
    for refusal in &refused {
        writeln!(out, "{}: error: refused: {}", refusal.document, short(refusal))?;
    }
    let decoded = coverage::known_fields();
    let known = |field: &str| KNOWN.contains(&field) || decoded.contains(field);
    let of_texts = sources.texts.iter().flat_map(|(name, text)| {
        lint_knowing(text, &known).into_iter().map(|finding| (name.clone(), finding))
    });
    for (name, finding) in lint_set(&set).into_iter().chain(of_texts) {
        let grade = if finding.error { "error" } else { "warning" };
        errors += usize::from(finding.error);
        let line = finding.line.map(|line| format!(":{line}")).unwrap_or_default();
        writeln!(out, "{name}{line}: {grade}: {}: {}", finding.check, finding.message)?;
    }
    out.flush()?;
    Ok(if errors > 0 { FINDING } else { FINE })
}

fn short(refusal: &Refused) -> String {
    match &refusal.rule {
        Some(rule) => format!("{rule}: {}", refusal.reason),
        None => refusal.reason.clone(),
    }
}

fn mendable(error: &anyhow::Error, err: &mut dyn Write) -> anyhow::Result<i32> {
    writeln!(err, "{error:#}")?;
    Ok(MENDABLE)
}

/// One run over a file of events.
struct Run<'a> {
    set: &'a Set,
    matcher: Matcher<'a>,
    correlator: Correlator,
    /// Event time of the line before.
    time_ns: i64,
}

impl Run<'_> {
    /// What an event prints: ids, each once, sorted.
    fn event(&mut self, event: &JsonEvent<'_>) -> BTreeSet<String> {
        self.time_ns = event.time_ns().unwrap_or(self.time_ns);
        let mut printed = BTreeSet::new();
        for &index in self.matcher.hits(event) {
            let Some(rule) = self.set.rule(index) else { continue };
            if rule.standalone {
                printed.insert(label(rule));
            }
            let hit = self.set.base_hit(index, event, self.time_ns, 1, Reference::default());
            for fired in hit.map(|hit| self.correlator.feed(self.set, &hit)).unwrap_or_default() {
                let Some(rule) = self.set.rule(fired.rule) else { continue };
                if rule.standalone {
                    printed.insert(label(rule));
                }
            }
        }
        printed
    }
}

fn label(rule: &Rule) -> String {
    rule.id.as_deref().unwrap_or(&rule.title).to_owned()
}

/// Texts of rules, read from files.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// File name, content.
    pub texts: Vec<(String, String)>,
    /// Files that could not be used at all.
    pub refused: Vec<Refused>,
}

impl Sources {
    /// Compiles them; what was refused comes with the rest, files that could not be read first.
    pub fn compile(&self, names: &dyn Names, options: &Options) -> (Set, Vec<Refused>) {
        let documents = self.texts.iter().map(|(name, text)| Document { name, text });
        let (set, refused) = Set::compile(documents, names, options);
        (set, self.refused.iter().cloned().chain(refused).collect())
    }
}

/// Reads every rule file of some folders. A folder that is not there is an error; a file that can
/// not be read is refused by name.
pub fn read_rules(folders: &[PathBuf]) -> anyhow::Result<Sources> {
    let mut sources = Sources::default();
    for path in rule_files(folders)? {
        let name = path.display().to_string();
        let text = std::fs::read(&path)
            .map_err(|error| error.to_string())
            .and_then(|bytes| String::from_utf8(bytes).map_err(|_| "not UTF-8".to_owned()));
        match text {
            Ok(text) => sources.texts.push((name, text)),
            Err(reason) => {
                sources.refused.push(Refused { document: name, rule: None, reason });
            }
        }
    }
    Ok(sources)
}

/// The rule files of some folders, or files named themselves: `.yml` and `.yaml`, without
/// `.test.yml`, sorted within each folder, each once.
pub fn rule_files(folders: &[PathBuf]) -> anyhow::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for folder in folders {
        let metadata = std::fs::metadata(folder)
            .with_context(|| format!("failed to read rules from {}", folder.display()))?;
        if metadata.is_dir() {
            walk(folder, 0, &mut files)?;
        } else {
            files.push(folder.clone());
        }
    }
    let mut seen = BTreeSet::new();
    files.retain(|file| seen.insert(file.clone()));
    Ok(files)
}

fn walk(folder: &Path, depth: usize, files: &mut Vec<PathBuf>) -> anyhow::Result<()> {
    let fail = || format!("failed to read rules from {}", folder.display());
    anyhow::ensure!(depth < MAX_DEPTH, "{}: folders nest too deep", folder.display());
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(folder).with_context(fail)? {
        paths.push(entry.with_context(fail)?.path());
    }
    paths.sort();
    for path in paths {
        // Follows links; one that leads nowhere is nothing to read.
        let Ok(metadata) = std::fs::metadata(&path) else { continue };
        if metadata.is_dir() {
            walk(&path, depth + 1, files)?;
        } else if metadata.is_file() && is_rule_file(&path) {
            files.push(path);
        }
    }
    Ok(())
}

fn is_rule_file(path: &Path) -> bool {
    let Some(name) = path.file_name().and_then(|name| name.to_str()) else { return false };
    let Some((stem, extension)) = name.rsplit_once('.') else { return false };
    matches!(extension, "yml" | "yaml") && !stem.ends_with(".test")
}

#[cfg(test)]
mod tests;
