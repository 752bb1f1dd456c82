//! The questions, and how history is asked them: the one place that knows the search interface.

use std::path::Path;
use std::time::Instant;

use anyhow::Context;
use hengwei_collector::history::{History, Writer};
use hengwei_collector::logql::Query;
use hengwei_collector::search::{self, Asked, Said};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::corpus::{DAY, NEEDLE, Span};
use super::store::options;

/// A question that takes so long is asked once.
const PATIENCE: f64 = 10.0;
/// A word no line has.
const ABSENT: &str = "hw0b5d1e77ac";

/// A question to history, and to grep.
#[derive(Debug, Clone)]
pub(super) struct Question {
    /// As its rows are called.
    pub(super) name: &'static str,
    /// As history is asked.
    query: String,
    /// Hits that are wanted.
    limit: Option<usize>,
    /// Of which time.
    time: Time,
    /// What grep is given to find the same lines.
    pub(super) grep: Vec<String>,
    /// Whether grep can say exactly the same.
    pub(super) exact: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Time {
    All,
    /// All, said with its first and last day: a count has a point for each.
    EachDay,
    OneDay,
}

/// What came of a question, medians.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Answer {
    pub(super) name: String,
    pub(super) hits: u64,
    pub(super) seconds: f64,
    /// Until the first hit, or the end when there is none.
    pub(super) first: f64,
    pub(super) progress: Progress,
}

/// What a search looked at.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(super) struct Progress {
    pub(super) read_blocks: u64,
    pub(super) skipped_blocks: u64,
    pub(super) left_blocks: u64,
    pub(super) read_bytes: u64,
}

/// Every question. `day` is as grep finds it: `Nov  2`.
pub(super) fn questions(day: &str) -> Vec<Question> {
    let inside = &NEEDLE[2..NEEDLE.len() - 2];
    let timed_out = "card reader timed out after [0-9]{5,} ms";
    let root = format!("^{day} .* bastion-1 .*(user |for |USER=|user=)root");
    let mut first_100 = question("word_of_10_percent_first_100", "sshd", &["-Fw", "-m100", "sshd"]);
    first_100.limit = Some(100);
    let counted = "sum(count_over_time(sshd [1d]))";
    let mut counted = question("word_of_10_percent_count", counted, &["-Fw", "sshd"]);
    counted.time = Time::EachDay;
    let narrow = "{host=\"bastion-1\"} | user.name=\"root\"";
    let mut narrow = question("field_one_host_one_day", narrow, &["-E", &root]);
    (narrow.time, narrow.exact) = (Time::OneDay, false);
    vec![
        question("token_10_hits", NEEDLE, &["-Fw", NEEDLE]),
        question("token_0_hits", ABSENT, &["-Fw", ABSENT]),
        question("substring_in_token", &format!("|= {inside:?}"), &["-F", inside]),
        first_100,
        counted,
        question("regex", &format!("|~ `{timed_out}`"), &["-E", timed_out]),
        narrow,
    ]
}

fn question(name: &'static str, query: &str, grep: &[&str]) -> Question {
    Question {
        name,
        query: query.to_owned(),
        limit: None,
        time: Time::All,
        grep: grep.iter().map(|word| (*word).to_owned()).collect(),
        exact: true,
    }
}

/// Asks every question `runs` times, each time of a history just opened.
pub(super) fn all(dir: &Path, runs: usize, span: Span) -> anyhow::Result<Vec<Answer>> {
    let mut answers = Vec::new();
    for question in questions("") {
        let mut took: Vec<Answer> = Vec::new();
        while took.len() < runs && took.last().is_none_or(|last| last.seconds < PATIENCE) {
            let (writer, history) = Writer::open(dir, options())?;
            took.push(ask(&history, &question, span)?);
            drop(history);
            writer.close()?;
        }
        took.sort_unstable_by(|a, b| a.seconds.total_cmp(&b.seconds));
        answers.push(took.swap_remove(took.len() / 2));
    }
    Ok(answers)
}

/// Asks one question. All the search interface there is in this bench.
fn ask(history: &History, question: &Question, span: Span) -> anyhow::Result<Answer> {
    let query = Query::parse(&question.query).map_err(|error| anyhow::anyhow!("{error}"))?;
    let mut asked = Asked { query, limit: question.limit, ..Asked::default() };
    (asked.since, asked.until) = match question.time {
        Time::All => (None, None),
        // A point stands at the end of what it counts.
        Time::EachDay => (Some(span.start + DAY), Some(span.end())),
        Time::OneDay => (Some(span.day), Some(span.day + DAY)),
    };
    let (began, mut first, mut hits, mut progress) = (Instant::now(), None, 0, None);
    search::run(history, &asked, span.end(), &|| true, &mut |said| {
        match said {
            Said::Row(row) => {
                first.get_or_insert_with(|| began.elapsed().as_secs_f64());
                hits += if question.time == Time::EachDay { counted(&row) } else { 1 };
            }
            Said::Progress(now) => progress = Some(now),
        }
        true
    })?;
    let seconds = began.elapsed().as_secs_f64();
    let progress = progress.context("a search that did not say how far it came")?;
    Ok(Answer {
        name: question.name.to_owned(),
        hits,
        seconds,
        first: first.unwrap_or(seconds),
        progress: Progress {
            read_blocks: progress.read.blocks,
            skipped_blocks: progress.skipped.blocks,
            left_blocks: progress.left.blocks,
            read_bytes: progress.read.bytes,
        },
    })
}

/// The sum of a series, which is `[[seconds, "value"], ...]`.
fn counted(row: &Value) -> u64 {
    let points = row["values"].as_array().into_iter().flatten();
    let values = points.filter_map(|point| point[1].as_str()?.parse::<f64>().ok());
    values.sum::<f64>() as u64
}
