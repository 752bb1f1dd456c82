//! Exports for an assessor: the events that fit a query in one file, and beside it a signed manifest
//! that says what the file is, to be checked on another machine without any of our data.
//!
//! ```text
//! FILE                 zstd of NDJSON: the objects `search` prints, newest first: `zstdcat FILE | jq`
//! FILE.manifest.json   a signed statement ([`crate::statement`]) of who exported what, when: query and
//!                      range, rows, times, length and SHA-256 of FILE and of what is in it, chain heads
//! ```
//!
//! Two files, so that `sha256sum FILE` is what the manifest says and both can be read without us.
//!
//! **Who does what.** The daemon finds the rows, packs them, counts and hashes what it packs, and
//! signs; the command at the other end of the socket only writes what comes, so that the file is the
//! operator's, 0600, and the key stays where it is. Nothing is signed that the daemon did not make
//! itself. Over a stopped collector (`--data`) one process is both.
//!
//! **What history hears of it.** `export.begun` is committed before the first row leaves, so that who
//! breaks off before the end has left a trace all the same; then `export.made` with rows and digests,
//! or `export.broken`. The heads in the manifest are signed after `export.made`: they cover every
//! row, and the record of the export itself.
//!
//! **What a crash leaves.** The manifest comes last: a file without one is no export. Until both are
//! whole and synced they have temporary names; a full disk leaves neither.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail, ensure};
use aws_lc_rs::digest;
use hengwei_protocol::identity::{hex, unhex};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::history::History;
use crate::placed::{self, Placed};
use crate::services::Services;
use crate::statement::{self, StatedHeads};
use crate::store::{self, Decision};
use crate::{logql, search, time};

/// The form of the manifest.
const FORMAT: u32 = 1;
/// zstd level: the daemon has other things to do.
const LEVEL: i32 = 3;
/// Compressed bytes that travel in one row.
const CHUNK: usize = 32 << 10;
/// The longest manifest that is read.
const MAX_MANIFEST: u64 = 1 << 20;
/// The longest line of an export that is read, above any event.
const MAX_LINE: u64 = 64 << 20;
/// The largest window a zstd frame may ask for when it is read: 2 to this power.
const MAX_WINDOW: u32 = 27;

/// What is to be exported, as asked.
#[derive(Debug, Clone, Default, Serialize, Deserialize, clap::Args)]
pub struct Asked {
    /// Only events that fit: the language of `search`
    #[arg(long)]
    pub query: Option<String>,
    /// Only of this agent
    #[arg(long)]
    pub agent: Option<String>,
    /// Only of these kinds: asset, performance, log, security
    #[arg(long)]
    pub kind: Vec<String>,
    /// Taken in at or after: RFC 3339, a date, or an age such as 2h
    #[arg(long)]
    pub since: Option<String>,
    /// Taken in before
    #[arg(long)]
    pub until: Option<String>,
}

/// What the manifest states.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Manifest {
    /// Of the manifest: 1.
    pub format: u32,
    /// `hengwei-collector`.
    pub product: String,
    /// Its version.
    pub version: String,
    /// The site the collector stands at.
    pub site: String,
    /// Who exported.
    pub by: String,
    /// When it was done, RFC 3339.
    pub at: String,
    /// What was asked for, times resolved.
    pub asked: Asked,
    /// `newest first`.
    pub order: String,
    /// Events in it.
    pub rows: u64,
    /// The earliest `@timestamp` in it.
    pub first: Option<String>,
    /// The latest.
    pub last: Option<String>,
    /// The compressed file.
    pub file: Sum,
    /// The NDJSON in it.
    pub content: Sum,
    /// The chain heads when the last row was packed; `verify --heads` takes them.
    pub heads: StatedHeads,
}

/// Length and digest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sum {
    /// Bytes.
    pub bytes: u64,
    /// SHA-256, hex.
    pub sha256: String,
}

/// What checking an export came to.
#[derive(Debug)]
pub struct Checked {
    /// As it stands there; None when it does not read.
    pub manifest: Option<Manifest>,
    /// The key it is signed by, hex.
    pub key: String,
    /// What does not fit; none when all is well.
    pub findings: Vec<String>,
}

/// Finds, packs and signs: rows `{"chunk": hex}` that together are the file, then `{"manifest": text}`.
pub async fn stream(
    services: &Services,
    who: &str,
    asked: Asked,
    wanted: &(dyn Fn() -> bool + Sync),
    see: &mut (dyn FnMut(Value) -> bool + Send),
) -> anyhow::Result<i32> {
    let (query, asked) = resolved(asked, time::now())?;
    note(services, who, "export.begun", json!({ "asked": &asked })).await?;
    let history = services.history.clone();
    let packed = tokio::task::block_in_place(|| pack(&history, &query, wanted, see));
    let packed = match packed {
        Ok(packed) => packed,
        Err((rows, error)) => {
            let body = json!({ "asked": &asked, "rows": rows, "error": format!("{error:#}") });
            note(services, who, "export.broken", body).await?;
            return Err(error);
        }
    };
    let Packed { tally, file, content } = packed;
    let body = json!({
        "asked": &asked, "rows": tally.rows, "file": &file, "content": &content,
    });
    note(services, who, "export.made", body).await?;
    let manifest = Manifest {
        format: FORMAT,
        product: env!("CARGO_PKG_NAME").to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        site: services.config.site.clone(),
        by: who.to_owned(),
        at: time::rfc3339(time::now()),
        asked,
        order: "newest first".to_owned(),
        rows: tally.rows,
        first: tally.first.map(time::rfc3339),
        last: tally.last.map(time::rfc3339),
        file,
        content,
        heads: StatedHeads::from(&services.history.sign_heads()),
    };
    let text = statement::sign(statement::EXPORT, &manifest, &*services.pki)?;
    ensure!(see(json!({ "manifest": text })), "broken off by who asked");
    Ok(0)
}

async fn note(services: &Services, who: &str, action: &str, body: Value) -> anyhow::Result<()> {
    let (who, action) = (who.to_owned(), action.to_owned());
    let decide = move |_: &History, now| {
        let entries = vec![store::entry(now, &who, &action, &body)];
        Ok((Decision { entries, puts: Vec::new() }, ()))
    };
    Ok(services.desk.transact(decide).await?)
}

/// What is asked for in the words of search, and with its times as they are.
fn resolved(asked: Asked, now: i64) -> anyhow::Result<(search::Asked, Asked)> {
    let text = asked.query.as_deref().unwrap_or_default();
    let query = logql::Query::parse(text).map_err(|error| anyhow::Error::msg(error.message()))?;
    ensure!(
        query.metric.is_none(),
        "`{text}` counts events, and an export is of events themselves"
    );
    let at = |text: &Option<String>| -> anyhow::Result<Option<i64>> {
        let Some(text) = text else { return Ok(None) };
        let time = time::parse_operator(text, now).with_context(|| {
            format!("`{text}` is no time: RFC 3339, a date, or an age such as 2h")
        })?;
        Ok(Some(time))
    };
    let search = search::Asked {
        query,
        since: at(&asked.since)?,
        until: at(&asked.until)?,
        agent: asked.agent.clone(),
        kinds: asked.kind.iter().map(|name| name.parse()).collect::<Result<_, _>>()?,
        ..search::Asked::default()
    };
    let since = search.since.map(time::rfc3339);
    let until = search.until.map(time::rfc3339);
    Ok((search, Asked { since, until, ..asked }))
}

/// The events that fit, as `search` shows them. What search is, is known here alone.
fn find(
    history: &History,
    asked: &search::Asked,
    wanted: &(dyn Fn() -> bool + Sync),
    see: &mut dyn FnMut(Value) -> bool,
) -> anyhow::Result<()> {
    search::run(history, asked, time::now(), wanted, &mut |said| match said {
        search::Said::Row(row) => see(row),
        search::Said::Progress(_) => true,
    })?;
    Ok(())
}

#[derive(Debug, Default)]
struct Tally {
    rows: u64,
    first: Option<i64>,
    last: Option<i64>,
}

impl Tally {
    fn count(&mut self, row: &Value) {
        self.rows += 1;
        let Some(time) = row["@timestamp"].as_str().and_then(time::parse) else { return };
        self.first = Some(self.first.map_or(time, |first| first.min(time)));
        self.last = Some(self.last.map_or(time, |last| last.max(time)));
    }
}

#[derive(Debug)]
struct Packed {
    tally: Tally,
    file: Sum,
    content: Sum,
}

/// Packs what fits; with an error comes how many rows had gone before it.
fn pack(
    history: &History,
    query: &search::Asked,
    wanted: &(dyn Fn() -> bool + Sync),
    see: &mut (dyn FnMut(Value) -> bool + Send),
) -> Result<Packed, (u64, anyhow::Error)> {
    let mut tally = Tally::default();
    let packed = pack_into(&mut tally, history, query, wanted, see);
    match packed {
        Ok((file, content)) => Ok(Packed { tally, file, content }),
        Err(error) => Err((tally.rows, error)),
    }
}

fn pack_into(
    tally: &mut Tally,
    history: &History,
    query: &search::Asked,
    wanted: &(dyn Fn() -> bool + Sync),
    see: &mut (dyn FnMut(Value) -> bool + Send),
) -> anyhow::Result<(Sum, Sum)> {
    let chunks = Chunks { see, pending: Vec::with_capacity(CHUNK), sums: Sums::default() };
    let mut encoder = zstd::stream::write::Encoder::new(chunks, LEVEL)?;
    encoder.include_checksum(true)?;
    let mut content = Sums::default();
    let mut written = Ok(());
    find(history, query, wanted, &mut |row| {
        let line = format!("{row}\n");
        written = encoder.write_all(line.as_bytes());
        content.take(line.as_bytes());
        tally.count(&row);
        written.is_ok()
    })?;
    written?;
    ensure!(wanted(), "broken off by who asked");
    let mut chunks = encoder.finish()?;
    chunks.send()?;
    Ok((chunks.sums.finish(), content.finish()))
}

/// Sends what the encoder writes, in rows, and sums it up.
struct Chunks<'a> {
    see: &'a mut (dyn FnMut(Value) -> bool + Send),
    pending: Vec<u8>,
    sums: Sums,
}

impl Chunks<'_> {
    fn send(&mut self) -> io::Result<()> {
        if self.pending.is_empty() {
            return Ok(());
        }
        self.sums.take(&self.pending);
        let row = json!({ "chunk": hex(&self.pending) });
        self.pending.clear();
        if (self.see)(row) {
            Ok(())
        } else {
            Err(io::Error::new(io::ErrorKind::BrokenPipe, "broken off by who asked"))
        }
    }
}

impl Write for Chunks<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = bytes.len().min(CHUNK - self.pending.len());
        self.pending.extend_from_slice(&bytes[..taken]);
        if self.pending.len() == CHUNK {
            self.send()?;
        }
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Length and digest of what passes.
struct Sums {
    bytes: u64,
    digest: digest::Context,
}

impl Default for Sums {
    fn default() -> Sums {
        Sums { bytes: 0, digest: digest::Context::new(&digest::SHA256) }
    }
}

impl Sums {
    fn take(&mut self, bytes: &[u8]) {
        self.bytes += bytes.len() as u64;
        self.digest.update(bytes);
    }

    fn finish(self) -> Sum {
        Sum { bytes: self.bytes, sha256: hex(self.digest.finish().as_ref()) }
    }
}

/// Writes what [`stream`] sends.
#[derive(Debug)]
pub struct Target {
    place: PathBuf,
    file: Placed,
    manifest: Option<String>,
}

impl Target {
    /// Begins at `place`, where nothing may be yet: an export is evidence, and not written over.
    pub fn create(place: &Path) -> anyhow::Result<Target> {
        for path in [place, &manifest_of(place)] {
            ensure!(!path.exists(), "{} exists already; name another file", path.display());
        }
        Ok(Target { place: place.to_owned(), file: Placed::create(place)?, manifest: None })
    }

    /// Takes one row.
    pub fn take(&mut self, row: &Value) -> anyhow::Result<()> {
        if let Some(text) = row["manifest"].as_str() {
            self.manifest = Some(text.to_owned());
            return Ok(());
        }
        let chunk = row["chunk"].as_str().and_then(unhex).context("an answer that is no export")?;
        self.file.write_all(&chunk).with_context(|| self.place.display().to_string())
    }

    /// Puts file and manifest into their places; what the manifest says.
    pub fn finish(self) -> anyhow::Result<Manifest> {
        let Some(text) = self.manifest else {
            bail!("the collector broke off: nothing was written")
        };
        let signed = statement::read::<Manifest>(text.as_bytes()).map_err(anyhow::Error::msg)?;
        let place = manifest_of(&self.place);
        let mut manifest = Placed::create(&place)?;
        manifest.write_all(text.as_bytes()).with_context(|| place.display().to_string())?;
        manifest.sync()?;
        self.file.place()?;
        manifest.place()?;
        placed::sync_dir(placed::parent(&self.place))?;
        Ok(signed.statement)
    }
}

/// Where the manifest of an export is.
pub fn manifest_of(file: &Path) -> PathBuf {
    let mut name = file.file_name().unwrap_or_default().to_owned();
    name.push(".manifest.json");
    file.with_file_name(name)
}

/// Checks an export: its manifest's signature, by `key` if one is given, and every byte of the file.
///
/// # Errors
/// When a file is not there or does not open; what is wrong with it is a finding.
pub fn check(file: &Path, key: Option<&[u8]>) -> anyhow::Result<Checked> {
    let opened = File::open(file).with_context(|| file.display().to_string())?;
    let place = manifest_of(file);
    let manifest = File::open(&place).with_context(|| {
        format!("{}: the manifest of an export lies beside it", place.display())
    })?;
    let mut text = Vec::new();
    manifest
        .take(MAX_MANIFEST)
        .read_to_end(&mut text)
        .with_context(|| place.display().to_string())?;
    let signed = match statement::read::<Manifest>(&text) {
        Ok(signed) => signed,
        Err(text) => {
            let findings = vec![format!("the manifest does not read: {text}")];
            return Ok(Checked { manifest: None, key: String::new(), findings });
        }
    };
    let mut findings: Vec<String> = signed
        .check(statement::EXPORT, key)
        .into_iter()
        .map(|text| format!("the manifest: {text}"))
        .collect();
    let manifest = &signed.statement;
    if manifest.format != FORMAT {
        findings.push(format!("a manifest of format {}, which is not known here", manifest.format));
    }
    if !manifest.heads.are_signed_by(&signed.key) {
        findings.push("the chain heads in the manifest are not signed by its key".to_owned());
    }
    match sums(opened, manifest) {
        Ok(more) => findings.extend(more),
        Err(error) => findings.push(format!("the file does not unpack: {error}")),
    }
    Ok(Checked { key: hex(&signed.key), manifest: Some(signed.statement), findings })
}

/// What of a file is not as its manifest says.
fn sums(file: File, manifest: &Manifest) -> io::Result<Vec<String>> {
    let mut findings = Vec::new();
    let mut packed = Summing { from: file, sums: Sums::default() };
    let (mut content, mut rows) = (Sums::default(), 0);
    let unpacked = unpack(&mut packed, manifest.content.bytes, &mut |line| {
        content.take(line);
        rows += 1;
    });
    // What the decoder did not ask for belongs to the file all the same.
    io::copy(&mut packed, &mut io::sink())?;
    let file = packed.sums.finish();
    if file != manifest.file {
        findings.push(format!(
            "the file has {} bytes and SHA-256 {}, the manifest {} and {}",
            file.bytes, file.sha256, manifest.file.bytes, manifest.file.sha256
        ));
    }
    if let Err(error) = unpacked {
        findings.push(format!("the file does not unpack: {error}"));
        return Ok(findings);
    }
    if content.finish() != manifest.content {
        findings.push("what is in the file is not what the manifest says".to_owned());
    }
    if rows != manifest.rows {
        findings.push(format!("the file has {rows} rows, the manifest {}", manifest.rows));
    }
    Ok(findings)
}

/// Shows the lines of a packed file, which may unpack to `most` bytes and no more.
fn unpack(packed: &mut impl Read, most: u64, see: &mut dyn FnMut(&[u8])) -> io::Result<()> {
    let mut decoder = zstd::stream::read::Decoder::new(packed)?;
    decoder.window_log_max(MAX_WINDOW)?;
    let mut lines = BufReader::new(decoder);
    let (mut line, mut seen) = (Vec::new(), 0);
    loop {
        line.clear();
        let read = (&mut lines).take(MAX_LINE).read_until(b'\n', &mut line)? as u64;
        if read == 0 {
            return Ok(());
        }
        seen += read;
        if seen > most || line.last() != Some(&b'\n') {
            return Err(io::Error::other("more than the manifest says, or a line without an end"));
        }
        see(&line);
    }
}

/// Sums up what is read.
struct Summing<R> {
    from: R,
    sums: Sums,
}

impl<R: Read> Read for Summing<R> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let read = self.from.read(bytes)?;
        self.sums.take(&bytes[..read]);
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::statement::Signer as _;
    use crate::statement::tests::Own;
    use std::fs;

    /// An export of two rows, signed by a key of its own.
    fn export(dir: &Path) -> (PathBuf, Own) {
        let own = Own::new();
        let content = "{\"a\":1}\n{\"a\":2}\n";
        let packed = zstd::bulk::compress(content.as_bytes(), LEVEL).expect("packs");
        let sum = |bytes: &[u8]| {
            let mut sums = Sums::default();
            sums.take(bytes);
            sums.finish()
        };
        let mut heads = hengwei_protocol::wire::Heads { time: 7, ..Default::default() };
        heads.signature = own.sign(&crate::history::canonical_heads(&heads)).into();
        let manifest = Manifest {
            format: FORMAT,
            product: "hengwei-collector".to_owned(),
            version: "0".to_owned(),
            site: "here".to_owned(),
            by: "local:root".to_owned(),
            at: time::rfc3339(0),
            asked: Asked::default(),
            order: "newest first".to_owned(),
            rows: 2,
            first: None,
            last: None,
            file: sum(&packed),
            content: sum(content.as_bytes()),
            heads: StatedHeads::from(&heads),
        };
        let text = statement::sign(statement::EXPORT, &manifest, &own).expect("signs");
        let file = dir.join("a.ndjson.zst");
        let mut target = Target::create(&file).expect("begins");
        target.take(&json!({ "chunk": hex(&packed) })).expect("takes");
        target.take(&json!({ "manifest": text })).expect("takes");
        target.finish().expect("finishes");
        (file, own)
    }

    #[test]
    fn every_changed_byte_of_file_and_manifest_is_a_finding() {
        let dir = tempfile::tempdir().expect("a directory");
        let (file, own) = export(dir.path());
        let good = check(&file, Some(&own.public())).expect("checks");
        assert_eq!(good.findings, Vec::<String>::new());
        assert_eq!(good.key, hex(&own.public()));
        assert!(!check(&file, Some(&Own::new().public())).expect("checks").findings.is_empty());
        for path in [file.clone(), manifest_of(&file)] {
            let bytes = fs::read(&path).expect("reads");
            for at in 0..bytes.len() {
                let mut changed = bytes.clone();
                changed[at] ^= 4;
                fs::write(&path, changed).expect("writes");
                let found = check(&file, None).expect("checks");
                assert!(!found.findings.is_empty(), "{} at {at}", path.display());
            }
            fs::write(&path, &bytes[..bytes.len() - 1]).expect("writes");
            assert!(!check(&file, None).expect("checks").findings.is_empty());
            fs::write(&path, [&bytes[..], b"\n"].concat()).expect("writes");
            assert!(!check(&file, None).expect("checks").findings.is_empty());
            fs::write(&path, bytes).expect("writes");
        }
        assert!(check(&file, None).expect("checks").findings.is_empty());
    }

    fn noted(services: &Services) -> Vec<(String, Value)> {
        let mut noted = Vec::new();
        services
            .history
            .entries(None, None, &mut |_, entry| {
                let body = serde_json::from_str(&entry.body).expect("JSON");
                noted.push((entry.action, body));
                true
            })
            .expect("reads");
        noted
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn history_hears_of_an_export_whole_or_broken() {
        let scene = crate::services::tests::Scene::new();
        let (services, judge) = scene.open();
        let asked = || Asked { query: Some("absent".to_owned()), ..Asked::default() };
        let file = scene.path("a.zst");
        let mut target = Target::create(&file).expect("begins");
        let mut see = |row| target.take(&row).is_ok();
        stream(&services, "local:me", asked(), &|| true, &mut see).await.expect("exports");
        let manifest = target.finish().expect("finishes");
        let checked = check(&file, Some(&services.pki.history_key())).expect("checks");
        assert_eq!((checked.findings, manifest.rows), (Vec::new(), 0));
        let [(made, body), (begun, _)] = &noted(&services)[..] else { panic!("two entries") };
        assert_eq!((made.as_str(), begun.as_str()), ("export.made", "export.begun"));
        assert_eq!(body["file"]["sha256"], manifest.file.sha256, "{body}");
        assert_eq!(body["asked"]["query"], "absent");
        assert_eq!(manifest.heads.newest(), 2, "the heads cover the record of the export");
        // Whoever turns away before the end has left a trace.
        let turned = stream(&services, "local:me", asked(), &|| true, &mut |_| false).await;
        assert!(turned.is_err());
        let turned = stream(&services, "local:me", asked(), &|| false, &mut |_| true).await;
        assert!(turned.is_err());
        let actions: Vec<_> = noted(&services).into_iter().map(|(action, _)| action).collect();
        let expected = ["export.broken", "export.begun", "export.broken", "export.begun"];
        assert_eq!(actions[..4], expected);
        services.desk.stop().await;
        judge.join().expect("ends");
    }

    #[test]
    fn what_breaks_off_leaves_nothing_and_what_exists_is_kept() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("a");
        let mut target = Target::create(&file).expect("begins");
        target.take(&json!({ "chunk": "00" })).expect("takes");
        assert!(target.take(&json!({ "chunk": "0" })).is_err());
        assert!(target.finish().is_err());
        assert_eq!(fs::read_dir(dir.path()).expect("lists").count(), 0);
        fs::write(manifest_of(&file), "kept").expect("writes");
        assert!(Target::create(&file).is_err());
        let missing = check(&file, None).err().map(|error| error.to_string());
        assert!(missing.is_some_and(|text| text.contains(&file.display().to_string())));
    }
}
