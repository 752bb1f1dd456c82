//! `rules bench`: how many events a second a set of rules takes, on one thread.
//!
//! In: what `rules eval` takes. Out: one `name value unit` a line. `decoded` is the rate over events
//! that are already what a decoder hands over; `parsed` begins with the lines. Each is the median of
//! several passes over the file, and before each pass everything that was learnt from events is
//! forgotten. The clock covers finding an event's log sources, looking up its fields, matching and
//! conditions: detection, not what correlations make of it. A pass that finds something else than the
//! one before is a bug and ends the command.

use std::io::Write;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use hengwei_rules::Options;

use super::{FINE, Interned, JsonEvents, MENDABLE, Matcher, mendable, read_rules};

/// A figure is the median of at least so many passes ...
const MIN_PASSES: usize = 5;
/// ... that took at least so long together.
const MIN_TIME: Duration = Duration::from_secs(1);

/// Arguments of `rules bench`.
#[derive(Debug, Clone, clap::Args)]
pub struct BenchArgs {
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

/// Runs `rules bench`; the exit code.
pub fn bench(args: &BenchArgs, out: &mut dyn Write, err: &mut dyn Write) -> anyhow::Result<i32> {
    let sources = match read_rules(&args.rules) {
        Ok(sources) => sources,
        Err(error) => return mendable(&error, err),
    };
    let file = std::fs::read(&args.events)
        .with_context(|| format!("failed to read {}", args.events.display()));
    let file = match file {
        Ok(file) => file,
        Err(error) => return mendable(&error, err),
    };
    let names = Interned::default();
    let started = Instant::now();
    let (set, refused) = sources.compile(&names, &Options::default());
    let mut compiled = started.elapsed();
    drop(sources);
    for refusal in &refused {
        writeln!(err, "{refusal}")?;
    }

    let text = String::from_utf8_lossy(&file);
    let mut lines = Vec::new();
    let mut events = JsonEvents::new();
    let mut unread = 0u64;
    for (index, line) in text.lines().enumerate() {
        if line.trim().is_empty() {
            continue;
        }
        match events.push(line, &names) {
            Ok(()) => lines.push(line),
            Err(error) => {
                unread += 1;
                writeln!(err, "{}:{}: {error}", args.events.display(), index + 1)?;
            }
        }
    }
    if events.is_empty() {
        return mendable(&anyhow::anyhow!("{}: no events", args.events.display()), err);
    }

    let mut matcher = Matcher::new(&set);
    // What rules become for events of a kind is made when one comes; it is part of compiling.
    let started = Instant::now();
    events.iter().for_each(|event| matcher.prepare(&event));
    compiled += started.elapsed();
    let decoded = rate(events.len(), &mut matcher, &mut |matcher| {
        events.iter().map(|event| matcher.hits(&event).len()).sum()
    })?;
    let mut one = JsonEvents::new();
    let parsed = rate(lines.len(), &mut matcher, &mut |matcher| {
        let mut hits = 0;
        for line in &lines {
            one.clear();
            if one.push(line, &names).is_ok() {
                hits += one.iter().map(|event| matcher.hits(&event).len()).sum::<usize>();
            }
        }
        hits
    })?;
    ensure!(
        decoded.hits == parsed.hits,
        "{} hits in decoded events, {} in parsed ones",
        decoded.hits,
        parsed.hits
    );

    writeln!(out, "decoded {:.0} events/s", decoded.per_second)?;
    writeln!(out, "parsed {:.0} events/s", parsed.per_second)?;
    writeln!(out, "rules {} rules", set.rules().len())?;
    writeln!(out, "refused {} rules", refused.len())?;
    writeln!(out, "hits {} hits", decoded.hits)?;
    writeln!(out, "compile_ms {:.0} ms", compiled.as_secs_f64() * 1_000.0)?;
    writeln!(out, "rss_mib {:.1} MiB", peak_rss_mib()?)?;
    out.flush()?;
    let amiss = !refused.is_empty() || unread > 0;
    Ok(if args.strict && amiss { MENDABLE } else { FINE })
}

struct Rate {
    per_second: f64,
    hits: usize,
}

/// The median rate of passes over `events` events.
fn rate(
    events: usize,
    matcher: &mut Matcher<'_>,
    pass: &mut dyn FnMut(&mut Matcher<'_>) -> usize,
) -> anyhow::Result<Rate> {
    let mut seconds = Vec::new();
    let mut found = None;
    let mut spent = Duration::ZERO;
    while seconds.len() < MIN_PASSES || spent < MIN_TIME {
        matcher.forget();
        let started = Instant::now();
        let hits = pass(matcher);
        let took = started.elapsed();
        spent += took;
        seconds.push(took.as_secs_f64());
        let before = *found.get_or_insert(hits);
        ensure!(hits == before, "{before} hits in one pass, {hits} in another");
    }
    seconds.sort_unstable_by(f64::total_cmp);
    let median = seconds[seconds.len() / 2].max(f64::MIN_POSITIVE);
    Ok(Rate { per_second: events as f64 / median, hits: found.unwrap_or(0) })
}

/// The most memory this process ever held.
fn peak_rss_mib() -> anyhow::Result<f64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("no VmHWM")?;
    let kib: u64 = line.trim().trim_end_matches("kB").trim().parse()?;
    Ok(kib as f64 / 1_024.0)
}
