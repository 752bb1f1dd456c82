//! `verify`: what an assessor brings along is read, history walked, and what was found is told.
//!
//! In: a key in any form it is passed around in, heads as agents print them. Out: findings and a
//! summary on standard output, progress on standard error. A file that does not read is the operator's
//! to mend (exit 2) and never a finding (exit 1): the two must not be taken for one another.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use hengwei_protocol::identity::unhex;
use hengwei_protocol::wire::{Head, Heads};
use rustls_pki_types::SubjectPublicKeyInfoDer;
use rustls_pki_types::pem::PemObject;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::history::{self, Kept, KeyFrom, Report, VerifyOptions};
use crate::{EXIT_FINDING, config, time};

/// How often progress is told.
const PROGRESS: Duration = Duration::from_secs(10);
/// An Ed25519 public key, bytes.
const KEY_BYTES: usize = 32;
/// What stands before it in a SubjectPublicKeyInfo.
const SPKI_PREFIX: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0];
/// The longest file of a key.
const MAX_KEY_FILE: u64 = 64 << 10;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Passes over segments that end before: RFC 3339, a date, or an age such as 30d
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Chain heads that agents kept (`hengwei-agent heads`); repeats
    #[arg(long, value_name = "FILE")]
    heads: Vec<PathBuf>,
    /// The public key of history: a file of PEM, DER, base64 or hexadecimal, or the text itself (`pki
    /// history-key`), from a place that whoever runs this collector can't write to
    #[arg(long)]
    key: Option<String>,
    /// An export to check instead, with its manifest beside it; no data folder is needed
    #[arg(long, value_name = "FILE", conflicts_with_all = ["heads", "since"])]
    export: Option<PathBuf>,
}

/// Verifies the history of a data folder, or an export.
pub(super) fn run(
    data: &dyn Fn() -> anyhow::Result<PathBuf>,
    args: &Args,
    as_json: bool,
    out: &mut dyn Write,
) -> anyhow::Result<i32> {
    let key = public_key(args.key.as_deref())?;
    if let Some(file) = &args.export {
        return super::carry::verify_export(file, key, data().ok().as_deref(), as_json, out);
    }
    let data = data()?;
    let since = args.since.as_deref().map(|text| {
        time::parse_operator(text, time::now()).with_context(|| format!("--since: {text}: no time"))
    });
    let mut heads = Vec::new();
    for file in &args.heads {
        heads.extend(kept(file).with_context(|| format!("--heads {}", file.display()))?);
    }
    let options = VerifyOptions {
        key,
        // Only the daemon's user may read it, and an assessor need not be that.
        local_key: crate::pki::history_public_key(&data).unwrap_or_default(),
        heads,
        since: since.transpose()?,
    };
    let mut told = Instant::now();
    let mut watch = |done: u64, total: u64| {
        if told.elapsed() >= PROGRESS {
            told = Instant::now();
            let percent = done.saturating_mul(100).checked_div(total).unwrap_or(100);
            eprintln!("{percent} % of {} MiB", total >> 20);
        }
    };
    let report = history::verify_watched(&data.join(config::HISTORY), options, &mut watch)?;
    if as_json {
        print_json(&report, out)?
    } else {
        print_text(&report, out)?
    }
    Ok(if report.is_clean() { 0 } else { EXIT_FINDING })
}

/// One object a line: findings, then the summary.
fn print_json(report: &Report, out: &mut dyn Write) -> anyhow::Result<()> {
    for finding in &report.findings {
        writeln!(out, "{}", marked("finding", serde_json::to_value(finding)?))?;
    }
    let mut summary = marked("summary", serde_json::to_value(report)?);
    summary["findings"] = json!(report.findings.len());
    summary["clean"] = json!(report.is_clean());
    Ok(writeln!(out, "{summary}")?)
}

fn marked(is: &str, value: Value) -> Value {
    let mut marked = serde_json::Map::from_iter([("is".to_owned(), json!(is))]);
    if let Value::Object(fields) = value {
        marked.extend(fields);
    }
    Value::Object(marked)
}

fn print_text(report: &Report, out: &mut dyn Write) -> anyhow::Result<()> {
    for finding in &report.findings {
        writeln!(out, "{finding}")?;
    }
    let verdict = match report.findings.len() {
        0 => "every link holds".to_owned(),
        1 => "1 finding".to_owned(),
        count => format!("{count} findings"),
    };
    writeln!(
        out,
        "{} commits, {} records, {} decisions, {} segments, {} log files: {verdict}",
        report.commits, report.records, report.decisions, report.segments, report.log_files
    )?;
    if let (Some(first), Some(last)) = (report.first_time, report.last_time) {
        writeln!(out, "walked: {} to {}", time::rfc3339(first), time::rfc3339(last))?;
    }
    if report.segments_passed_over > 0 {
        let count = report.segments_passed_over;
        writeln!(out, "passed over: {count} segments that end before the time asked for")?;
    }
    if report.starts > 0 {
        writeln!(out, "retention: {} classes begin where a decision says", report.starts)?;
    }
    let from = match report.key {
        KeyFrom::Given => "with the key that was given",
        KeyFrom::Agents => "with the key agents were given when they were enrolled",
        KeyFrom::SameDisk => {
            "with the key found on this disk, which whoever rewrites history can replace: it proves \
             less than one from elsewhere (--key, --heads)"
        }
        KeyFrom::Nowhere => "without a key: nothing is signed, or nobody knows by whom",
    };
    writeln!(out, "signatures: {}, {from}", report.signatures)?;
    let heads = report.heads;
    writeln!(
        out,
        "heads: {} signed and {} unsigned are in the chain, {} are not; {} older than what retention \
         left, {} passed over",
        heads.matched,
        heads.matched_unsigned,
        heads.unmatched,
        heads.before_start,
        heads.passed_over
    )?;
    writeln!(
        out,
        "checkpoints: {} are what the commits give, {} taken as they are",
        report.checkpoints, report.checkpoints_taken
    )?;
    let note = report.index_note.as_ref().map(|note| format!(" ({note})")).unwrap_or_default();
    writeln!(out, "index: {}, {} rows as history has them{note}", report.index, report.index_rows)?;
    if report.torn_tail_bytes > 0 {
        let bytes = report.torn_tail_bytes;
        writeln!(out, "log: {bytes} bytes of a commit that was never answered at the end")?;
    }
    Ok(())
}

/// Reads an Ed25519 public key in whatever form it comes: a file, or its text itself.
pub(super) fn public_key(given: Option<&str>) -> anyhow::Result<Option<Vec<u8>>> {
    let Some(given) = given else { return Ok(None) };
    let read = || -> anyhow::Result<Option<Vec<u8>>> {
        // A name of 32 bytes is no raw key.
        if let Some(key) = key_of(given.as_bytes()).filter(|_| given.len() != KEY_BYTES) {
            return Ok(Some(key));
        }
        let len = std::fs::metadata(given)?.len();
        ensure!(len <= MAX_KEY_FILE, "too long for a key");
        let key = key_of(&std::fs::read(given)?);
        key.map(Some).context("no Ed25519 public key as PEM, DER, base64 or hexadecimal")
    };
    read().with_context(|| format!("--key {given}"))
}

fn key_of(bytes: &[u8]) -> Option<Vec<u8>> {
    let raw = |der: &[u8]| {
        let key = der.strip_prefix(&SPKI_PREFIX).unwrap_or(der);
        (key.len() == KEY_BYTES).then(|| key.to_vec())
    };
    let text = std::str::from_utf8(bytes).map(str::trim).unwrap_or_default();
    let armoured = if text.starts_with("-----BEGIN") {
        text.to_owned()
    } else {
        format!("-----BEGIN PUBLIC KEY-----\n{text}\n-----END PUBLIC KEY-----\n")
    };
    let hexadecimal = || unhex(text).and_then(|key| raw(&key));
    let base64 = || raw(&SubjectPublicKeyInfoDer::from_pem_slice(armoured.as_bytes()).ok()?);
    hexadecimal().or_else(|| raw(bytes)).or_else(base64)
}

/// What `hengwei-agent heads` prints.
#[derive(Deserialize)]
struct Line {
    time: i64,
    heads: Vec<Row>,
    signature: String,
    /// Older agents don't say who they are.
    #[serde(default)]
    agent: Option<String>,
    /// The history key the agent was given.
    #[serde(default)]
    key: Option<String>,
}

#[derive(Deserialize)]
struct Row {
    class: String,
    commit: u64,
    link: String,
}

/// Reads heads, one object a line: those of each agent together.
fn kept(path: &Path) -> anyhow::Result<Vec<Kept>> {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let mut agents: BTreeMap<(Option<String>, Option<String>), Vec<Heads>> = BTreeMap::new();
    for (number, line) in std::fs::read_to_string(path)?.lines().enumerate() {
        if line.trim().is_empty() {
            continue;
        }
        let line = heads_line(line).with_context(|| format!("line {}", number + 1))?;
        agents.entry((line.1, line.2)).or_default().push(line.0);
    }
    if agents.is_empty() {
        bail!("no heads in it");
    }
    let kept = agents.into_iter().map(|((agent, key), heads)| {
        let from = match agent {
            Some(agent) => format!("heads of {agent} in {name}"),
            None => format!("heads in {name}"),
        };
        let key = key.map(|key| {
            unhex(&key).filter(|key| key.len() == KEY_BYTES).context("a key that is none")
        });
        Ok(Kept { from, key: key.transpose()?, heads })
    });
    kept.collect()
}

fn heads_line(line: &str) -> anyhow::Result<(Heads, Option<String>, Option<String>)> {
    let bytes = |text: &str| -> anyhow::Result<bytes::Bytes> {
        Ok(unhex(text).context("not hexadecimal")?.into())
    };
    let Line { time, heads, signature, agent, key } = serde_json::from_str(line)?;
    let heads = heads
        .into_iter()
        .map(|row| Ok(Head { class: row.class, commit: row.commit, link: bytes(&row.link)? }));
    let heads = heads.collect::<anyhow::Result<_>>()?;
    Ok((Heads { time, heads, signature: bytes(&signature)? }, agent, key))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_read_in_every_form_it_is_passed_around_in() {
        let key: Vec<u8> = (100..132).collect();
        let der = [&SPKI_PREFIX[..], &key].concat();
        let hex: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
        let spki = "MCowBQYDK2VwAyEAZGVmZ2hpamtsbW5vcHFyc3R1dnd4eXp7fH1+f4CBgoM=";
        let pem = format!("-----BEGIN PUBLIC KEY-----\n{spki}\n-----END PUBLIC KEY-----\n");
        let check = |bytes: &[u8]| assert_eq!(key_of(bytes).as_deref(), Some(&key[..]));
        check(&key);
        check(&der);
        check(format!("{hex}\n").as_bytes());
        check(hex.to_uppercase().as_bytes());
        check(format!("{spki}\n").as_bytes());
        check(b"ZGVmZ2hpamtsbW5vcHFyc3R1dnd4eXp7fH1+f4CBgoM=");
        check(pem.as_bytes());
        for none in [&b""[..], b"\n", &key[1..], &der[1..], b"zz", &hex.as_bytes()[2..]] {
            assert_eq!(key_of(none), None, "{none:?}");
        }
    }

    #[test]
    fn heads_are_read_by_agent_and_a_wrong_line_is_named() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("web.ndjson");
        let head = r#""time":5,"heads":[{"class":"log","commit":7,"link":"0a"}],"signature":"""#;
        let key = "11".repeat(KEY_BYTES);
        let text = format!(
            "{{{head}}}\n\n{{\"agent\":\"a\",\"key\":\"{key}\",{head}}}\n{{\"agent\":\"a\",\"key\":\"{key}\",{head}}}\n"
        );
        std::fs::write(&path, text).expect("writes");
        let found = kept(&path).expect("reads");
        let of = |kept: &Kept| (kept.from.clone(), kept.key.is_some(), kept.heads.len());
        assert_eq!(
            found.iter().map(of).collect::<Vec<_>>(),
            [
                ("heads in web.ndjson".to_owned(), false, 1),
                ("heads of a in web.ndjson".to_owned(), true, 2)
            ]
        );
        assert_eq!(found[0].heads[0].heads[0].link, &b"\x0a"[..]);
        for (text, says) in [
            ("", "no heads"),
            ("{}", "line 1"),
            ("\n{\"time\":1,\"heads\":[],\"signature\":\"x\"}", "line 2"),
        ] {
            std::fs::write(&path, text).expect("writes");
            let error = format!("{:#}", kept(&path).expect_err(says));
            assert!(error.contains(says), "{error}");
        }
    }
}
