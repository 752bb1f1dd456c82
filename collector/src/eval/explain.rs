//! `rules explain`: why a rule matched events of a file, or why it did not.
//!
//! In: folders of rules, the id, name or title of one, and a file with a JSON object per line as
//! `rules eval` reads it, or raw log lines, which are decoded as the collector does. Out: for each
//! line a few lines of text, or one JSON object: [`hengwei_rules::explain`] says what is in it.
//! Values of events are shown as they are, cut to a bounded length.

use std::collections::HashSet;
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use hengwei_rules::explain::{Explained, Explainer};
use hengwei_rules::{Document, Event, Mapping, Names, Options, Refused, Rule, Set};
use serde::Serialize;

use super::{FINE, Interned, JsonEvents, Sources, mendable, read_rules};
use crate::event::FieldNames;
use crate::replay::{self, Reading};

/// Rules named when the one asked for is not there.
const MAX_NEAREST: usize = 5;

/// How much alike two names must be, in percent, to be named.
const ALIKE_PERCENT: usize = 30;

/// Arguments of `rules explain`.
#[derive(Debug, Clone, clap::Args)]
pub struct ExplainArgs {
    /// A folder of rules, read recursively, or a file; repeats.
    #[arg(long, required = true, value_name = "DIR")]
    pub rules: Vec<PathBuf>,
    /// Id, name or title of the rule.
    #[arg(long, value_name = "ID")]
    pub rule: String,
    /// Events, one JSON object per line.
    #[arg(long, value_name = "FILE", required_unless_present = "log", conflicts_with = "log")]
    pub events: Option<PathBuf>,
    /// Raw log lines instead, decoded as the collector does.
    #[arg(long, value_name = "FILE")]
    pub log: Option<PathBuf>,
    /// Only this line of the file, from 1.
    #[arg(long, value_name = "N")]
    pub line: Option<u64>,
    /// What raw lines do not say of themselves.
    #[command(flatten)]
    pub reading: Reading,
}

/// Runs `rules explain`; the exit code. `json` is one object per line instead of text.
pub fn explain(
    args: &ExplainArgs,
    json: bool,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> anyhow::Result<i32> {
    let sources = match read_rules(&args.rules) {
        Ok(sources) => sources,
        Err(error) => return mendable(&error, err),
    };
    let done = match (&args.events, &args.log) {
        (Some(path), _) => {
            let names = Interned::default();
            let asked = Asked { sources: &sources, names: &names, options: &Options::default() };
            asked.explainer(&args.rule, |explainer, rule| {
                let mut printer = Printer { rule, only: args.line, json, out, shown: 0 };
                let mut events = JsonEvents::new();
                each_line(path, &mut |number, line| {
                    if !printer.wants(number) {
                        return Ok(());
                    }
                    events.clear();
                    let pushed = events.push(line, &names);
                    if let Err(reason) = pushed {
                        return Ok(writeln!(err, "{}:{number}: {reason}", path.display())?);
                    }
                    events.iter().try_for_each(|event| printer.print(number, explainer, &event))
                })?;
                printer.end()
            })
        }
        (None, Some(path)) => {
            let options = Options { mapping: Mapping::Ecs, ..Options::default() };
            let asked = Asked { sources: &sources, names: &FieldNames, options: &options };
            asked.explainer(&args.rule, |explainer, rule| {
                let mut printer = Printer { rule, only: args.line, json, out, shown: 0 };
                replay::each_event(path, &args.reading, &mut |number, event| {
                    if printer.wants(number) {
                        printer.print(number, explainer, &event)?;
                    }
                    Ok(())
                })?;
                printer.end()
            })
        }
        (None, None) => Err(anyhow::anyhow!("name a file with --events or --log")),
    };
    match done {
        Ok(()) => Ok(FINE),
        Err(error) => mendable(&error, err),
    }
}

/// Shows the lines of a file that hold something, with their numbers.
fn each_line(
    path: &Path,
    see: &mut dyn FnMut(u64, &str) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let context = || format!("failed to read {}", path.display());
    let mut reader = BufReader::new(File::open(path).with_context(context)?);
    let mut bytes = Vec::new();
    for number in 1.. {
        bytes.clear();
        if reader.read_until(b'\n', &mut bytes).with_context(context)? == 0 {
            break;
        }
        let line = String::from_utf8_lossy(&bytes);
        if !line.trim().is_empty() {
            see(number, &line)?;
        }
    }
    Ok(())
}

/// What is needed to find a rule and read it.
struct Asked<'a> {
    sources: &'a Sources,
    names: &'a dyn Names,
    options: &'a Options,
}

impl Asked<'_> {
    fn explainer(
        &self,
        wanted: &str,
        then: impl FnOnce(&Explainer<'_>, &Rule) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let (set, refused) = self.sources.compile(self.names, self.options);
        let index = find(&set, wanted).ok_or_else(|| unknown(&set, &refused, wanted))?;
        let texts = &self.sources.texts;
        let documents: Vec<Document<'_>> =
            texts.iter().map(|(name, text)| Document { name, text }).collect();
        then(&set.explainer(index, &documents, self.names)?, &set.rules()[index])
    }
}

fn find(set: &Set, wanted: &str) -> Option<usize> {
    let rules = set.rules();
    let by = |same: &dyn Fn(&Rule) -> bool| rules.iter().position(same);
    by(&|rule| rule.id.as_deref().is_some_and(|id| id.eq_ignore_ascii_case(wanted)))
        .or_else(|| by(&|rule| rule.name.as_deref() == Some(wanted)))
        .or_else(|| by(&|rule| rule.title.to_lowercase() == wanted.to_lowercase()))
}

fn unknown(set: &Set, refused: &[Refused], wanted: &str) -> anyhow::Error {
    if let Some(refusal) = refused.iter().find(|one| one.rule.as_deref() == Some(wanted)) {
        return anyhow::anyhow!("the rule was refused: {refusal}");
    }
    let grams = trigrams(wanted);
    let mut near: Vec<(usize, &Rule)> = set
        .rules()
        .iter()
        .map(|rule| {
            let names = [rule.id.as_deref(), rule.name.as_deref(), Some(&rule.title)];
            let best = names.into_iter().flatten().map(|name| alike(&grams, name)).max();
            (best.unwrap_or_default(), rule)
        })
        .filter(|(percent, _)| *percent >= ALIKE_PERCENT)
        .collect();
    near.sort_by_key(|(percent, _)| std::cmp::Reverse(*percent));
    let named: Vec<String> = near
        .iter()
        .take(MAX_NEAREST)
        .map(|(_, rule)| match &rule.id {
            Some(id) => format!("{id} ({})", rule.title),
            None => rule.title.clone(),
        })
        .collect();
    if named.is_empty() {
        return anyhow::anyhow!("no rule `{wanted}` among {}", set.rules().len());
    }
    anyhow::anyhow!("no rule `{wanted}`; the nearest: {}", named.join(", "))
}

/// Three characters in a row, in lower case, with the ends marked.
fn trigrams(text: &str) -> HashSet<[char; 3]> {
    let ends = [' '; 2];
    let characters: Vec<char> =
        ends.into_iter().chain(text.to_lowercase().chars()).chain(ends).collect();
    characters.windows(3).filter_map(|three| three.try_into().ok()).collect()
}

/// How much of what two names are made of they share, in percent of all of it.
fn alike(grams: &HashSet<[char; 3]>, name: &str) -> usize {
    let others = trigrams(name);
    let shared = grams.intersection(&others).count();
    // A beginning or a piece of a title is a good guess, however long the title.
    100 * shared / grams.len().min(others.len()).max(1)
}

/// A line of machine output.
#[derive(Serialize)]
struct Row<'a> {
    line: u64,
    rule: &'a str,
    #[serde(flatten)]
    explained: &'a Explained,
}

struct Printer<'a> {
    rule: &'a Rule,
    only: Option<u64>,
    json: bool,
    out: &'a mut dyn Write,
    shown: u64,
}

impl Printer<'_> {
    fn wants(&self, number: u64) -> bool {
        self.only.is_none_or(|only| only == number)
    }

    fn print<E: Event>(
        &mut self,
        line: u64,
        explainer: &Explainer<'_>,
        event: &E,
    ) -> anyhow::Result<()> {
        self.shown += 1;
        let explained = explainer.explain(event);
        if self.json {
            let row = Row { line, rule: self.rule.key(), explained: &explained };
            writeln!(self.out, "{}", serde_json::to_string(&row)?)?;
        } else {
            write!(self.out, "line {line}: {}: {explained}", self.rule.title)?;
        }
        Ok(())
    }

    fn end(self) -> anyhow::Result<()> {
        self.out.flush()?;
        match (self.shown, self.only) {
            (0, Some(only)) => Err(anyhow::anyhow!("no event in line {only}")),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Ran {
        code: i32,
        out: String,
        err: String,
    }

    const RULES: &str = "title: Who is asking\nid: 11111111-aaaa\nlogsource: {product: p}\ndetection:\n  s: {f|contains: who}\n  condition: s\n---\ntitle: Many\nid: 22222222-bbbb\ncorrelation:\n  type: event_count\n  rules: [11111111-aaaa]\n  group-by: [user]\n  timespan: 1h\n  condition: {gte: 5}\n---\ntitle: Refused\nid: 33333333-cccc\nlogsource: {product: p}\ndetection:\n  s: {f|re: '(?=x)'}\n  condition: s\n";

    const EVENTS: &str = "{\"product\":\"p\",\"f\":\"a whoami\",\"user\":\"root\"}\n\n[]\n{\"product\":\"q\",\"f\":\"x\"}\n";

    fn run(rule: &str, change: impl FnOnce(&mut ExplainArgs), json: bool) -> Ran {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        std::fs::write(path("rules.yml"), RULES).unwrap();
        std::fs::write(path("events.ndjson"), EVENTS).unwrap();
        std::fs::write(path("auth.log"), LOG).unwrap();
        let reading = Reading { year: Some(2026), ..Reading::default() };
        let mut args = ExplainArgs {
            rules: vec![path("rules.yml")],
            rule: rule.to_owned(),
            events: Some(path("events.ndjson")),
            log: None,
            line: None,
            reading,
        };
        change(&mut args);
        args.rules = args.rules.iter().map(|rules| folder.path().join(rules)).collect();
        args.log = args.log.map(|log| folder.path().join(log));
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let code = explain(&args, json, &mut out, &mut err).unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Ran { code, out: text(out), err: text(err) }
    }

    const LOG: &str = "Nov 22 05:00:00 web1 sshd[17]: Server listening on 0.0.0.0 port 22.\nNov 22 05:00:01 web1 sshd[18]: Accepted password for root from 10.0.0.9 port 4711 ssh2\n";

    #[test]
    fn every_line_is_explained() {
        let ran = run("11111111-aaaa", |_| {}, false);
        assert_eq!(
            ran.out,
            "line 1: Who is asking: matched
  condition holds: s
    s holds
      f|contains: 'who' at 2..5 of 'a whoami'
line 4: Who is asking: no match
  log source: the rule is for product=p, the event is product=q
    product: q, not p
  condition does not hold: s
    s does not hold
      f|contains: 'x', not 'who'
"
        );
        assert_eq!(ran.code, 0);
        assert!(ran.err.contains("events.ndjson:3: not a JSON object"), "{}", ran.err);
    }

    #[test]
    fn one_line_as_json() {
        let ran = run("who is ASKING", |args| args.line = Some(1), true);
        let row: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
        assert_eq!(
            row,
            serde_json::json!({
                "line": 1, "rule": "11111111-aaaa", "matched": true,
                "log_source": {"covered": true, "wanted": "product=p", "found": ["product=p"]},
                "detection": {"held": true, "condition": "s", "selections": [{
                    "name": "s", "negated": false, "held": true, "asked": [{
                        "field": "f", "modifiers": ["contains"], "held": true, "found": [{
                            "wanted": "who", "span": [2, 5],
                            "value": {"text": "a whoami", "from": 0, "bytes": 8},
                        }],
                    }],
                }]},
            })
        );
        assert_eq!((ran.code, ran.err.as_str()), (0, ""));
    }

    #[test]
    fn a_correlation_brings_its_rules() {
        let ran = run("22222222-bbbb", |args| args.line = Some(1), false);
        assert!(ran.out.contains("event_count by user: events >= 5 within 3600 s"), "{}", ran.out);
        assert!(ran.out.contains("group user='root'"), "{}", ran.out);
    }

    #[test]
    fn raw_lines_are_decoded_first() {
        let rules = concat!(env!("CARGO_MANIFEST_DIR"), "/../rules/library/authentication");
        let raw = |args: &mut ExplainArgs| {
            args.rules = vec![rules.into()];
            args.events = None;
            args.log = Some("auth.log".into());
            args.line = Some(2);
        };
        let ran = run("root logged in over SSH with a password", raw, false);
        assert_eq!((ran.code, ran.err.as_str()), (0, ""));
        assert!(ran.out.starts_with("line 2: "), "{}", ran.out);
        assert!(ran.out.contains("matched"), "{}", ran.out);
    }

    #[test]
    fn what_is_not_there_is_said_with_what_is_near() {
        for (rule, line, expected) in [
            (
                "11111111-aaab",
                None,
                "no rule `11111111-aaab`; the nearest: 11111111-aaaa (Who is asking)",
            ),
            ("asking", None, "(Who is asking)"),
            ("zzz", None, "no rule `zzz` among 2"),
            ("33333333-cccc", None, "the rule was refused: "),
            ("Many", Some(2), "no event in line 2"),
        ] {
            let ran = run(rule, |args| args.line = line, false);
            assert_eq!((ran.code, ran.out.as_str()), (2, ""));
            assert!(ran.err.contains(expected), "{}", ran.err);
        }
    }
}
