//! The giving end of an export: events found, packed, summed up and signed.

use std::io::{self, Write};

use anyhow::{Context as _, ensure};
use hengwei_protocol::identity::hex;
use serde_json::{Value, json};

use super::{Asked, FORMAT, Manifest, Sum, Sums};
use crate::history::History;
use crate::services::Services;
use crate::statement::{self, StatedHeads};
use crate::{logql, search, time};

/// zstd level: the daemon has other things to do.
const LEVEL: i32 = 3;
/// Compressed bytes that travel in one row.
const CHUNK: usize = 32 << 10;

/// Finds, packs and signs: rows `{"chunk": hex}` that together are the file, then `{"manifest": text}`.
pub async fn stream(
    services: &Services,
    who: &str,
    asked: Asked,
    wanted: &(dyn Fn() -> bool + Sync),
    see: &mut (dyn FnMut(Value) -> bool + Send),
) -> anyhow::Result<i32> {
    let (query, asked) = resolved(asked, time::now())?;
    services.note(who, "export.begun", json!({ "asked": &asked })).await?;
    let history = services.history.clone();
    let packed = tokio::task::block_in_place(|| pack(&history, &query, wanted, see));
    let packed = match packed {
        Ok(packed) => packed,
        Err((rows, error)) => {
            let body = json!({ "asked": &asked, "rows": rows, "error": format!("{error:#}") });
            services.note(who, "export.broken", body).await?;
            return Err(error);
        }
    };
    let Packed { tally, file, content } = packed;
    let body = json!({
        "asked": &asked, "rows": tally.rows, "file": &file, "content": &content,
    });
    services.note(who, "export.made", body).await?;
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
