//! The questions, and how history is asked them: the one place that knows the search interface.

use std::path::Path;
use std::time::Instant;

use hengwei_collector::history::{History, Range, Writer};
use hengwei_collector::search::{self, Query};
use serde::{Deserialize, Serialize};

use super::corpus::NEEDLE;
use super::store::options;

const DAY: i64 = 86_400 * 1_000_000_000;
/// A question that takes so long is asked once.
const PATIENCE: f64 = 10.0;
/// A word no line has.
const ABSENT: &str = "hw0b5d1e77ac";

/// A question to history, and to grep.
#[derive(Debug, Clone)]
pub(super) struct Question {
    /// As its rows are called.
    pub(super) name: &'static str,
    /// As history is asked; None where it can't be.
    query: Option<String>,
    /// Hits that are wanted.
    limit: Option<usize>,
    /// On one host, on one day.
    narrow: bool,
    /// What grep is given to find the same lines.
    pub(super) grep: Vec<String>,
    /// Whether grep can say exactly the same.
    pub(super) exact: bool,
}

/// What came of a question, medians.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Answer {
    pub(super) name: String,
    pub(super) hits: u64,
    pub(super) seconds: f64,
    /// Until the first hit, or the end when there is none.
    pub(super) first: f64,
    pub(super) progress: Option<Progress>,
}

/// What a search looked at.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(super) struct Progress {
    pub(super) read_blocks: u64,
    pub(super) skipped_blocks: u64,
    pub(super) read_bytes: u64,
}

/// Every question. `day` is as grep finds it: `Nov  2`.
pub(super) fn questions(day: &str) -> Vec<Question> {
    let inside = &NEEDLE[2..NEEDLE.len() - 2];
    let timed_out = "card reader timed out after [0-9]{5,} ms";
    let root = format!("^{day} .* bastion-1 .*(user |for |USER=|user=)root");
    let mut first_100 = question("word_of_10_percent_first_100", "sshd", &["-Fw", "-m100", "sshd"]);
    first_100.limit = Some(100);
    let mut regex = question("regex", "", &["-E", timed_out]);
    regex.query = None;
    let mut narrow = question("field_one_host_one_day", "user.name=root", &["-E", &root]);
    (narrow.narrow, narrow.exact) = (true, false);
    vec![
        question("token_10_hits", NEEDLE, &["-Fw", NEEDLE]),
        question("token_0_hits", ABSENT, &["-Fw", ABSENT]),
        question("substring_in_token", inside, &["-F", inside]),
        first_100,
        question("word_of_10_percent_all", "sshd", &["-Fw", "sshd"]),
        regex,
        narrow,
    ]
}

fn question(name: &'static str, query: &str, grep: &[&str]) -> Question {
    Question {
        name,
        query: Some(query.to_owned()),
        limit: None,
        narrow: false,
        grep: grep.iter().map(|word| (*word).to_owned()).collect(),
        exact: true,
    }
}

/// Asks every question `runs` times, each time of a history just opened.
pub(super) fn all(dir: &Path, runs: usize, day: i64) -> anyhow::Result<Vec<Answer>> {
    let mut answers = Vec::new();
    for question in questions("") {
        let mut took: Vec<Answer> = Vec::new();
        while took.len() < runs && took.last().is_none_or(|last| last.seconds < PATIENCE) {
            let (writer, history) = Writer::open(dir, options())?;
            let answer = ask(&history, &question, day)?;
            drop(history);
            writer.close()?;
            match answer {
                Some(answer) => took.push(answer),
                None => break,
            }
        }
        took.sort_unstable_by(|a, b| a.seconds.total_cmp(&b.seconds));
        if !took.is_empty() {
            answers.push(took.swap_remove(took.len() / 2));
        }
    }
    Ok(answers)
}

/// Asks one question; None when this build has no way to ask it.
fn ask(history: &History, question: &Question, day: i64) -> anyhow::Result<Option<Answer>> {
    let Some(query) = &question.query else { return Ok(None) };
    let mut query = Query::parse(query).map_err(anyhow::Error::msg)?;
    query.limit = question.limit;
    if question.narrow {
        query.range = Range {
            since: Some(day),
            until: Some(day + DAY),
            agent: Some("bastion-1-agent".to_owned()),
            ..Range::default()
        };
    }
    let (began, mut first, mut hits) = (Instant::now(), None, 0);
    search::run(history, &query, &|| true, &mut |_event| {
        first.get_or_insert_with(|| began.elapsed().as_secs_f64());
        hits += 1;
        true
    })?;
    let seconds = began.elapsed().as_secs_f64();
    Ok(Some(Answer {
        name: question.name.to_owned(),
        hits,
        seconds,
        first: first.unwrap_or(seconds),
        progress: None,
    }))
}
