//! What a search reads: the blocks of segments and the frames of the log, the newest first, as far
//! as what it looks for can be in them.
//!
//! In: a [`Hunt`], which only ever says what may be passed over. Out: [`Unit`]s, each with the
//! records of it that may fit; who asked decides. History knows no query language and decodes
//! nothing here.
//!
//! A block is passed over by its time range, its streams, its datasets (as the decoders saw them
//! that sealed it; other decoders' datasets prove nothing) and at last by its filter, of which a
//! probe reads a few hundred bytes. The filter's checksum is looked at once for each block and
//! process: a flipped bit in it must not hide what the block holds.

use std::collections::HashSet;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use hengwei_protocol::Kind;
use hengwei_protocol::wire::{Block, Origin, Record, record::Body};

use super::chain::{self, Class};
use super::filter;
use super::log::{Frame, LogFile};
use super::read::{History, Sealed, View, damaged};
use super::segment::part;
use super::segment::rows::Opened;
use super::stored::{Batch, Catalog, Part, Rows, Sender, Stream};
use super::text::Needle;
use super::{Found, segment, tokens};
use crate::time::MINUTE;

/// How far `@timestamp` may be ahead of ingestion, nanoseconds.
const AHEAD: i64 = 5 * MINUTE;

/// What must be true of a record for a search to show it. A store may pass over what can't fulfil it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Need {
    /// All of these.
    All(Vec<Need>),
    /// One of these.
    Any(Vec<Need>),
    /// Its text, or a value it was received with, holds this as a whole word
    /// ([`holds_word`](super::holds_word)).
    Word(Vec<u8>),
    /// Its line has this in it, byte for byte. The line of a typed record is made of the names and
    /// values of its fields, so this may reach over several of them.
    Text(Vec<u8>),
    /// A decoded field, not one of the header, has exactly this value as text.
    Value(Vec<u8>),
    /// Nothing.
    Anything,
}

/// What a search looks for.
#[derive(Clone, Copy)]
pub struct Hunt<'a> {
    /// `@timestamp` at or after, Unix nanoseconds.
    pub since: Option<i64>,
    /// `@timestamp` before.
    pub until: Option<i64>,
    /// Of these kinds; empty is all.
    pub kinds: &'a [Kind],
    /// Whether a stream is wanted.
    pub stream: &'a dyn Fn(&Labels<'_>) -> bool,
    /// Whether a dataset is wanted.
    pub dataset: &'a dyn Fn(&str) -> bool,
    /// What must be true.
    pub need: &'a Need,
    /// Which decoders will read what is found ([`Understand::version`](super::Understand)).
    pub version: u64,
}

impl std::fmt::Debug for Hunt<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Hunt")
            .field("since", &self.since)
            .field("until", &self.until)
            .field("kinds", &self.kinds)
            .field("need", &self.need)
            .finish_non_exhaustive()
    }
}

/// What a record's stream is called.
#[derive(Debug, Clone, Copy)]
pub struct Labels<'a> {
    /// Agent id.
    pub agent: &'a str,
    /// Host name.
    pub host: &'a str,
    /// Site.
    pub site: &'a str,
    /// System.
    pub system: &'a str,
    /// As it stands: `security` for what was raised.
    pub kind: Kind,
    /// The agent's source.
    pub source: &'a str,
    /// What the source read.
    pub path: &'a str,
}

/// How far a search has come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Extent {
    /// Blocks and frames.
    pub blocks: u64,
    /// Their bytes on disk.
    pub bytes: u64,
}

impl Extent {
    fn add(&mut self, bytes: u64) {
        self.blocks += 1;
        self.bytes += bytes;
    }
}

/// What of a segment a search needs time and again.
#[derive(Debug)]
pub(super) struct Index {
    version: u64,
    /// False when the catalog was lost: then nothing is known of blocks but where they are.
    known: bool,
    streams: Vec<Stream>,
    datasets: Vec<String>,
    /// With where its stripe begins, and whether its filter's checksum is known to be good.
    blocks: Vec<(u64, Rows, AtomicBool)>,
}

impl Index {
    pub(super) fn of(reader: segment::Reader) -> Index {
        let known = reader.catalog.is_some();
        let Catalog { understood_by, streams, datasets, .. } = reader.catalog.unwrap_or_default();
        let blocks = reader.chunks.into_iter().flat_map(|chunk| {
            let offset = chunk.offset;
            chunk.blocks.into_iter().map(move |block| (offset, block, AtomicBool::new(false)))
        });
        Index { version: understood_by, known, streams, datasets, blocks: blocks.collect() }
    }

    /// Whether a block may have a dataset that is wanted.
    fn may_be_of(&self, block: &Rows, hunt: &Hunt<'_>) -> bool {
        let wanted = |place: &u32| {
            let dataset = self.datasets.get(*place as usize);
            dataset.is_none_or(|dataset| (hunt.dataset)(dataset))
        };
        !self.known
            || self.version != hunt.version
            || block.datasets.is_empty()
            || block.datasets.iter().any(wanted)
    }
}

/// Everything a search may have to read, the newest first.
#[derive(Debug)]
pub struct Units {
    history: History,
    _view: Arc<View>,
    sealed: Vec<(Arc<Sealed>, Class, OnceLock<Option<File>>)>,
    /// The next one last: ascending by the latest `@timestamp`.
    left: Vec<Place>,
    need: Hashes,
    read: Extent,
    skipped: Extent,
    remaining: Extent,
}

#[derive(Debug)]
enum Place {
    Frame { until: i64, file: Arc<LogFile>, frame: Frame },
    Block { until: i64, sealed: usize, block: usize },
}

impl Place {
    fn until(&self) -> i64 {
        match self {
            Place::Frame { until, .. } | Place::Block { until, .. } => *until,
        }
    }
}

/// A block or a frame that may hold what is looked for.
#[derive(Debug)]
pub struct Unit<'a> {
    units: &'a Units,
    place: Place,
    /// Earliest `@timestamp`; [`i64::MIN`] when nobody knows.
    pub since: i64,
    /// Latest `@timestamp`; [`i64::MAX`] when nobody knows.
    pub until: i64,
}

impl History {
    /// What there is to read for a hunt, at this moment.
    pub fn units(&self, hunt: &Hunt<'_>) -> Units {
        let view = self.view();
        let mut units = Units {
            history: self.clone(),
            _view: Arc::clone(&view),
            sealed: Vec::new(),
            left: Vec::new(),
            need: Hashes::of(hunt.need),
            read: Extent::default(),
            skipped: Extent::default(),
            remaining: Extent::default(),
        };
        for sealed in &view.segments {
            units.list_segment(sealed, hunt);
        }
        for file in &view.logs {
            units.list_frames(file, hunt);
        }
        // Stable: of the same time, the later written comes first.
        units.left.sort_by_key(Place::until);
        units
    }
}

impl Units {
    /// The next one that may hold what is looked for.
    pub fn next(&mut self, hunt: &Hunt<'_>) -> Option<Unit<'_>> {
        loop {
            let place = self.left.pop()?;
            let bytes = self.bytes(&place);
            self.remaining.blocks -= 1;
            self.remaining.bytes = self.remaining.bytes.saturating_sub(bytes);
            let (since, may) = match &place {
                Place::Frame { .. } => (i64::MIN, true),
                Place::Block { sealed, block, .. } => {
                    let since = self.index(*sealed).map_or(i64::MIN, |i| i.blocks[*block].1.since);
                    (since, self.may_hold(*sealed, *block, hunt))
                }
            };
            if may {
                self.read.add(bytes);
                let until = place.until();
                return Some(Unit { units: self, place, since, until });
            }
            self.skipped.add(bytes);
        }
    }

    /// No record of what is left is later than this; None when nothing is left.
    pub fn newest_left(&self) -> Option<i64> {
        self.left.last().map(Place::until)
    }

    /// What was handed out.
    pub fn read(&self) -> Extent {
        self.read
    }

    /// What can't hold what is looked for.
    pub fn skipped(&self) -> Extent {
        self.skipped
    }

    /// What has not been looked at yet.
    pub fn left(&self) -> Extent {
        self.remaining
    }

    fn list_segment(&mut self, sealed: &Arc<Sealed>, hunt: &Hunt<'_>) {
        let stored = &sealed.stored;
        let Some(class) = Class::from_number(stored.class) else { return };
        let Some(kind) = kind_of(class).filter(|kind| wants(hunt, *kind)) else { return };
        let too_old = |since| stored.until.saturating_add(AHEAD) < since;
        let Some(index) =
            sealed.index(self.history.counters()).filter(|_| !hunt.since.is_some_and(too_old))
        else {
            self.skipped.add(stored.bytes);
            return;
        };
        let streams: Vec<bool> =
            index.streams.iter().map(|stream| (hunt.stream)(&labels_of(stream, kind))).collect();
        let same = index.version == hunt.version;
        let datasets: Vec<bool> =
            index.datasets.iter().map(|dataset| (hunt.dataset)(dataset)).collect();
        let any = |places: &[u32], wanted: &[bool]| {
            places.iter().any(|place| wanted.get(*place as usize).is_none_or(|wanted| *wanted))
        };
        let at = self.sealed.len();
        self.sealed.push((Arc::clone(sealed), class, OnceLock::new()));
        for (number, (_, block, _)) in index.blocks.iter().enumerate() {
            let bytes = bytes_of(block);
            let wanted = hunt.since.is_none_or(|since| block.until >= since)
                && hunt.until.is_none_or(|until| block.since < until)
                && (!index.known || any(&block.streams, &streams))
                && (!index.known
                    || !same
                    || block.datasets.is_empty()
                    || any(&block.datasets, &datasets));
            if wanted {
                self.remaining.add(bytes);
                self.left.push(Place::Block { until: block.until, sealed: at, block: number });
            } else {
                self.skipped.add(bytes);
            }
        }
    }

    fn list_frames(&mut self, file: &Arc<LogFile>, hunt: &Hunt<'_>) {
        for frame in file.frames() {
            let has = |kind: Kind| wants(hunt, kind) && frame.has(kind.into());
            let kinds = [Kind::Asset, Kind::Performance, Kind::Log, Kind::Security];
            let late = hunt.since.is_some_and(|since| frame.until.saturating_add(AHEAD) < since);
            if !kinds.into_iter().any(has) || late {
                self.skipped.add(u64::from(frame.len));
                continue;
            }
            self.remaining.add(u64::from(frame.len));
            self.left.push(Place::Frame { until: i64::MAX, file: Arc::clone(file), frame });
        }
    }

    fn index(&self, sealed: usize) -> Option<&Index> {
        self.sealed.get(sealed)?.0.index(self.history.counters())
    }

    fn bytes(&self, place: &Place) -> u64 {
        match place {
            Place::Frame { frame, .. } => u64::from(frame.len),
            Place::Block { sealed, block, .. } => {
                self.index(*sealed).map_or(0, |index| bytes_of(&index.blocks[*block].1))
            }
        }
    }

    fn file(&self, sealed: usize) -> io::Result<&File> {
        let (sealed, _, file) = &self.sealed[sealed];
        let file = file.get_or_init(|| {
            let opened = File::open(&sealed.path);
            opened.inspect_err(|e| self.tell(sealed, &e.to_string())).ok()
        });
        file.as_ref().ok_or_else(|| io::Error::other("the segment can't be opened"))
    }

    fn tell(&self, sealed: &Sealed, text: &str) {
        damaged(self.history.counters(), &format!("{}: {text}", sealed.path.display()));
    }

    /// What the filter says; a filter that does not read says nothing.
    fn may_hold(&self, sealed: usize, block: usize, hunt: &Hunt<'_>) -> bool {
        let Some(index) = self.index(sealed) else { return false };
        let (offset, rows, checked) = &index.blocks[block];
        // Whoever samples wants fewer datasets than when the block was listed.
        if !index.may_be_of(rows, hunt) {
            return false;
        }
        if matches!(self.need, Hashes::Nothing) {
            return true;
        }
        let filter = rows.parts.iter().find(|part| part.kind == part::Kind::Filter.number());
        let (Some(part), Ok(file)) = (filter, self.file(sealed)) else { return true };
        if !checked.load(Ordering::Relaxed) {
            match part::read(file, offset.saturating_add(part.offset), part.len, part::Kind::Filter)
            {
                Ok(filter) => {
                    checked.store(true, Ordering::Relaxed);
                    let has = |hash| filter::contains(&filter, hash);
                    return self.need.may(&has, index.version == hunt.version);
                }
                Err(error) => {
                    let text = format!("a filter at byte {}: {error}", offset + part.offset);
                    self.tell(&self.sealed[sealed].0, &text);
                    return true;
                }
            }
        }
        let has = |hash| probe(file, *offset, part, hash).unwrap_or(true);
        self.need.may(&has, index.version == hunt.version)
    }
}

/// Asks a filter on disk whose checksum is known to be good.
fn probe(file: &File, offset: u64, part: &Part, hash: u64) -> io::Result<bool> {
    let (start, len) = part::plain(offset, part)?;
    let places = match filter::Probe::new(len, hash) {
        filter::Probe::Decided(has) => return Ok(has),
        filter::Probe::Read(places) => places,
    };
    let range = places.range();
    let size = usize::try_from(range.end - range.start).map_err(io::Error::other)?;
    let mut bytes = vec![0u8; size];
    file.read_exact_at(&mut bytes, start + range.start)?;
    Ok(places.decide(&bytes))
}

fn kind_of(class: Class) -> Option<Kind> {
    [Kind::Asset, Kind::Performance, Kind::Log, Kind::Security]
        .into_iter()
        .find(|kind| Class::from(*kind) == class)
}

fn wants(hunt: &Hunt<'_>, kind: Kind) -> bool {
    hunt.kinds.is_empty() || hunt.kinds.contains(&kind)
}

fn bytes_of(block: &Rows) -> u64 {
    block.parts.iter().map(|part| part.len).sum()
}

fn labels_of(stream: &Stream, kind: Kind) -> Labels<'_> {
    Labels {
        agent: &stream.agent,
        host: &stream.host,
        site: &stream.site,
        system: &stream.system,
        kind,
        source: &stream.source,
        path: &stream.path,
    }
}

fn labels<'a>(sender: &'a Sender, origin: &'a Origin, kind: Kind) -> Labels<'a> {
    Labels {
        agent: &sender.agent,
        host: &sender.host,
        site: &sender.site,
        system: &sender.system,
        kind,
        source: &origin.source,
        path: &origin.path,
    }
}

/// A need as filters know it.
#[derive(Debug)]
enum Hashes {
    All(Vec<Hashes>),
    Any(Vec<Hashes>),
    /// All of these tokens.
    Tokens(Vec<u64>),
    /// The same, of decoded values: only what the same decoders found counts.
    Derived(Vec<u64>),
    Nothing,
}

impl Hashes {
    fn of(need: &Need) -> Hashes {
        let hashed =
            |tokens: Vec<Vec<u8>>| tokens.iter().map(|token| tokens::hash(token)).collect();
        let node = match need {
            Need::All(needs) => Hashes::All(needs.iter().map(Hashes::of).collect()),
            Need::Any(needs) => Hashes::Any(needs.iter().map(Hashes::of).collect()),
            Need::Word(word) => Hashes::Tokens(hashed(tokens::of_word(word))),
            Need::Text(text) => Hashes::Tokens(hashed(tokens::inner(text))),
            Need::Value(value) => {
                let mut all = HashSet::new();
                tokens::each(value, &mut |token| {
                    all.insert(tokens::hash(token));
                });
                Hashes::Derived(all.into_iter().collect())
            }
            Need::Anything => Hashes::Nothing,
        };
        node.simple()
    }

    /// Without what says nothing.
    fn simple(self) -> Hashes {
        match self {
            Hashes::All(mut all) => {
                all.retain(|one| !matches!(one, Hashes::Nothing));
                if all.is_empty() { Hashes::Nothing } else { Hashes::All(all) }
            }
            Hashes::Any(any) if any.iter().any(|one| matches!(one, Hashes::Nothing)) => {
                Hashes::Nothing
            }
            Hashes::Tokens(tokens) | Hashes::Derived(tokens) if tokens.is_empty() => {
                Hashes::Nothing
            }
            other => other,
        }
    }

    fn may(&self, has: &dyn Fn(u64) -> bool, same_decoders: bool) -> bool {
        match self {
            Hashes::All(all) => all.iter().all(|one| one.may(has, same_decoders)),
            Hashes::Any(any) => any.iter().any(|one| one.may(has, same_decoders)),
            Hashes::Tokens(tokens) => tokens.iter().all(|token| has(*token)),
            Hashes::Derived(tokens) => !same_decoders || tokens.iter().all(|token| has(*token)),
            Hashes::Nothing => true,
        }
    }
}

impl Unit<'_> {
    /// Bytes on disk.
    pub fn bytes(&self) -> u64 {
        self.units.bytes(&self.place)
    }

    /// Shows the records that may fit, in no order, until `see` returns false. What does not read is
    /// told, counted and passed over.
    pub fn load(&self, hunt: &Hunt<'_>, see: &mut dyn FnMut(Found) -> bool) {
        match &self.place {
            Place::Frame { file, frame, .. } => self.frame(file, frame, hunt, see),
            Place::Block { sealed, block, .. } => {
                if let Err(error) = self.block(*sealed, *block, hunt, see) {
                    let text = format!("a block does not read: {error}");
                    self.units.tell(&self.units.sealed[*sealed].0, &text);
                }
            }
        }
    }

    fn block(
        &self,
        sealed: usize,
        block: usize,
        hunt: &Hunt<'_>,
        see: &mut dyn FnMut(Found) -> bool,
    ) -> io::Result<()> {
        let Some(index) = self.units.index(sealed) else { return Ok(()) };
        let class = self.units.sealed[sealed].1;
        let (offset, rows, _) = &index.blocks[block];
        let opened = Opened::new(self.units.file(sealed)?, *offset, rows)?;
        let Some(kind) = kind_of(class) else { return Ok(()) };
        let wanted =
            |sender: &Sender, origin: &Origin| (hunt.stream)(&labels(sender, origin, kind));
        let rows = candidates(&opened, hunt.need, &wanted)?;
        let streams: Vec<(&Sender, &Origin)> = opened.lanes().collect();
        let mut senders: Vec<Option<Naming>> = vec![None; streams.len()];
        // The newest of a lane come last, and who wants the newest few refuses older ones cheaply.
        for stored in opened.read(&rows)?.into_iter().rev() {
            let Some((sender, origin)) = streams.get(stored.lane) else { continue };
            let naming = senders[stored.lane].get_or_insert_with(|| Naming::of(sender));
            let found = naming.found(stored.commit, class, origin, stored.record, stored.ingested);
            if !see(found) {
                return Ok(());
            }
        }
        Ok(())
    }

    fn frame(
        &self,
        file: &LogFile,
        frame: &Frame,
        hunt: &Hunt<'_>,
        see: &mut dyn FnMut(Found) -> bool,
    ) {
        let counters = self.units.history.counters();
        let commit = match file.read(frame) {
            Ok(commit) => commit,
            Err(e) => {
                let text = format!("{}: commit {}: {e}", file.path.display(), frame.number);
                return damaged(counters, &text);
            }
        };
        for batch in &commit.batches {
            let Some(sender) = &batch.sender else { continue };
            let queue = chain::kind_of(sender);
            if !wants(hunt, queue) && (batch.raised.is_empty() || !wants(hunt, Kind::Security)) {
                continue;
            }
            match segment::unpack(batch) {
                Err(text) => damaged(counters, &format!("a stored batch does not unpack: {text}")),
                Ok(block) => {
                    if !self.batch(frame.number, batch, sender, block, hunt, see) {
                        return;
                    }
                }
            }
        }
    }

    fn batch(
        &self,
        commit: u64,
        batch: &Batch,
        sender: &Sender,
        block: Block,
        hunt: &Hunt<'_>,
        see: &mut dyn FnMut(Found) -> bool,
    ) -> bool {
        let naming = Naming::of(sender);
        let queue = chain::kind_of(sender);
        let Block { origins, records } = block;
        for record in records {
            let class = chain::class_of(queue, record.number, &batch.raised);
            let Some(kind) = kind_of(class).filter(|kind| wants(hunt, *kind)) else { continue };
            let origin = origins.get(record.origin as usize).unwrap_or(chain::no_origin());
            if !may_fit(hunt.need, origin, &record) || !(hunt.stream)(&labels(sender, origin, kind))
            {
                continue;
            }
            if !see(naming.found(commit, class, origin, record, sender.ingested)) {
                return false;
            }
        }
        true
    }
}

/// A sender as records that are found name it.
#[derive(Debug, Clone)]
struct Naming {
    agent: Arc<str>,
    host: Arc<str>,
    site: Arc<str>,
    system: Arc<str>,
    zone: Arc<str>,
    kind: Kind,
    epoch: [u8; 16],
}

impl Naming {
    fn of(sender: &Sender) -> Naming {
        Naming {
            agent: Arc::from(sender.agent.as_str()),
            host: Arc::from(sender.host.as_str()),
            site: Arc::from(sender.site.as_str()),
            system: Arc::from(sender.system.as_str()),
            zone: Arc::from(sender.zone.as_str()),
            kind: chain::kind_of(sender),
            epoch: sender.epoch[..].try_into().unwrap_or_default(),
        }
    }

    fn found(
        &self,
        commit: u64,
        class: Class,
        origin: &Origin,
        record: Record,
        ingested: i64,
    ) -> Found {
        Found {
            commit,
            agent: Arc::clone(&self.agent),
            host: Arc::clone(&self.host),
            site: Arc::clone(&self.site),
            system: Arc::clone(&self.system),
            zone: Arc::clone(&self.zone),
            kind: self.kind,
            raised: Class::from(self.kind) != class,
            epoch: self.epoch,
            origin: origin.clone(),
            record,
            ingested,
        }
    }
}

/// Rows of a block that may fulfil a need.
fn candidates(
    opened: &Opened<'_>,
    need: &Need,
    wanted: &dyn Fn(&Sender, &Origin) -> bool,
) -> io::Result<Vec<u32>> {
    match need {
        Need::All(needs) => {
            let needles: Vec<Needle<'_>> = needs.iter().filter_map(needle).collect();
            let mut rows = opened.candidates(&needles, wanted)?;
            for need in needs.iter().filter(|need| matches!(need, Need::Any(_) | Need::All(_))) {
                let own: HashSet<u32> = candidates(opened, need, wanted)?.into_iter().collect();
                rows.retain(|row| own.contains(row));
            }
            Ok(rows)
        }
        Need::Any(needs) => {
            let mut all = HashSet::new();
            for need in needs {
                all.extend(candidates(opened, need, wanted)?);
            }
            let mut rows: Vec<u32> = all.into_iter().collect();
            rows.sort_unstable();
            Ok(rows)
        }
        one => opened.candidates(&Vec::from_iter(needle(one)), wanted),
    }
}

fn needle(need: &Need) -> Option<Needle<'_>> {
    match need {
        Need::Word(word) => Some(Needle::Word(word)),
        Need::Text(text) => Some(Needle::Text(text)),
        _ => None,
    }
}

/// Whether a record of the log may fulfil a need, as far as its bytes alone say. Bytes that are no
/// plain text may become any text.
fn may_fit(need: &Need, origin: &Origin, record: &Record) -> bool {
    let Some(Body::Original(bytes)) = &record.body else { return true };
    let plain = bytes.is_ascii()
        || (matches!(origin.charset.as_str(), "" | "utf-8") && std::str::from_utf8(bytes).is_ok());
    !plain || fits(need, bytes)
}

fn fits(need: &Need, text: &[u8]) -> bool {
    match need {
        Need::All(all) => all.iter().all(|need| fits(need, text)),
        Need::Any(any) => any.iter().any(|need| fits(need, text)),
        Need::Word(word) => tokens::holds_word(text, word),
        Need::Text(needle) => memchr::memmem::find(text, needle).is_some(),
        Need::Value(_) | Need::Anything => true,
    }
}
