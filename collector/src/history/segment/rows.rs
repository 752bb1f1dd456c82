//! A block of rows: the records of some streams by column, in parts that are packed apart.
//!
//! In: lanes, each the records of one stream in the order they were committed. Out: parts, and the
//! [`Rows`] that say where they lie and what can't be in them; and back. A block is whole in itself:
//! who searches needs neither the stripe's structure nor another block.
//!
//! Of a record its number, its times and its origin go into `Heads`, its original into a text
//! column, its typed fields into columns of their own. What fits in none (a gap, a line that was cut)
//! is kept whole. The filter has every token of what a search may ask for: the event's line, the
//! values that came typed, the values a decoder found.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io;

use bytes::Bytes;
use hengwei_protocol::wire::{Block, Origin, Record, record::Body};
use prost::Message;

use super::part::{self, Kind};
use super::series::Series;
use super::{Level, fields};
use crate::history::filter;
use crate::history::stored::{Part, Rows, Sender, Stream};
use crate::history::text::{self, Column, Needle};
use crate::history::tokens;

/// Rows of one block.
pub(super) const MAX_ROWS: usize = 65_536;
/// Bytes of the records of one block.
pub(super) const MAX_RAW: usize = 12 << 20;

/// Different fields whose values get columns of their own in one block; a record with others is kept
/// whole. An agent that makes names up must not make a column of each.
const MAX_COLUMNS: usize = 4_096;
/// Streams that a catalog lists; what comes beyond is in its block, and no search passes it over.
const MAX_STREAMS: usize = 65_536;
/// The place of a stream that is not listed.
const UNLISTED: u32 = u32::MAX;

/// Where a row's body is.
const ORIGINAL: i64 = 0;
const CONVERTED: i64 = 1;
const TYPED: i64 = 2;
const ODD: i64 = 3;

/// Records of one stream.
#[derive(Debug)]
pub(super) struct Lane<'a> {
    /// `ingested` is each row's own.
    pub(super) sender: &'a Sender,
    pub(super) origin: &'a Origin,
    pub(super) rows: Vec<Row<'a>>,
    /// Datasets its records were found to be of.
    pub(super) datasets: Vec<&'static str>,
    /// Hashes of tokens that are not in the bytes of originals.
    pub(super) tokens: HashSet<u64>,
}

/// One record.
#[derive(Debug, Clone, Copy)]
pub(super) struct Row<'a> {
    pub(super) commit: u64,
    pub(super) ingested: i64,
    /// `@timestamp`.
    pub(super) time: i64,
    /// Whether its text is not its bytes.
    pub(super) converted: bool,
    pub(super) record: &'a Record,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Heads {
    #[prost(message, repeated, tag = "1")]
    lanes: Vec<LaneHead>,
    #[prost(message, optional, tag = "2")]
    commits: Option<Series>,
    #[prost(message, optional, tag = "3")]
    ingested: Option<Series>,
    #[prost(message, optional, tag = "4")]
    numbers: Option<Series>,
    #[prost(message, optional, tag = "5")]
    times: Option<Series>,
    #[prost(message, optional, tag = "6")]
    created: Option<Series>,
    #[prost(message, optional, tag = "7")]
    bodies: Option<Series>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct LaneHead {
    #[prost(message, optional, tag = "1")]
    sender: Option<Sender>,
    #[prost(message, optional, tag = "2")]
    origin: Option<Origin>,
    #[prost(uint32, tag = "3")]
    rows: u32,
}

/// Where each row's body goes.
fn bodies<'a>(rows: impl Iterator<Item = &'a Row<'a>>) -> Vec<i64> {
    let mut columns: HashSet<&str> = HashSet::new();
    rows.map(|row| {
        let whole = row.record.length == 0 && row.record.sha256.is_empty();
        match &row.record.body {
            Some(Body::Original(_)) if whole && row.converted => CONVERTED,
            Some(Body::Original(_)) if whole => ORIGINAL,
            Some(Body::Fields(typed)) if whole => {
                let names = || typed.fields.iter().map(|field| field.name.as_str());
                let new = names().filter(|name| !columns.contains(name)).count();
                if columns.len() + new > MAX_COLUMNS {
                    return ODD;
                }
                columns.extend(names());
                TYPED
            }
            _ => ODD,
        }
    })
    .collect()
}

/// Appends the parts of a block to `to`, which begins where the stripe does.
pub(super) fn pack(
    lanes: &[Lane<'_>],
    level: Level,
    names: &mut Names,
    to: &mut Vec<u8>,
) -> io::Result<Rows> {
    let rows = || lanes.iter().flat_map(|lane| &lane.rows);
    let bodies = bodies(rows());
    let of = |which: i64| {
        let own = rows().zip(&bodies).filter(move |(_, body)| **body == which);
        own.map(|(row, _)| row)
    };
    let mut block = Rows {
        rows: u32::try_from(rows().count()).map_err(io::Error::other)?,
        since: rows().map(|row| row.time).min().unwrap_or(i64::MAX),
        until: rows().map(|row| row.time).max().unwrap_or(i64::MIN),
        streams: lanes.iter().map(|lane| names.stream(stream(lane))).collect(),
        datasets: lanes
            .iter()
            .flat_map(|lane| &lane.datasets)
            .map(|dataset| names.dataset(dataset))
            .collect(),
        parts: Vec::new(),
        raw: rows().map(|row| row.record.encoded_len() as u64).sum(),
    };
    block.streams.sort();
    block.streams.dedup();
    block.datasets.sort();
    block.datasets.dedup();
    let mut known: HashSet<u64> =
        lanes.iter().flat_map(|lane| lane.tokens.iter().copied()).collect();
    let mut add = |kind: Kind, bytes: &[u8], plain: bool| {
        let offset = to.len();
        if plain {
            part::put_plain(to, kind, bytes)?;
        } else {
            part::put(to, kind, bytes, level.zstd)?;
        }
        let len = (to.len() - offset) as u64;
        block.parts.push(Part { kind: kind.number(), offset: offset as u64, len });
        io::Result::Ok(())
    };
    add(Kind::Heads, &heads(lanes, &bodies).encode_to_vec(), false)?;
    for (which, kind) in [(ORIGINAL, Kind::Originals), (CONVERTED, Kind::Converted)] {
        let originals: Vec<&[u8]> = of(which)
            .filter_map(|row| match &row.record.body {
                Some(Body::Original(bytes)) => Some(&bytes[..]),
                _ => None,
            })
            .collect();
        if !originals.is_empty() {
            let packed = text::pack(&originals, level.effort);
            if which == ORIGINAL {
                known.extend(packed.tokens);
            }
            add(kind, &packed.bytes, true)?;
        }
    }
    let typed: Vec<_> = of(TYPED)
        .filter_map(|row| match &row.record.body {
            Some(Body::Fields(fields)) => Some(fields),
            _ => None,
        })
        .collect();
    if !typed.is_empty() {
        let packed = fields::pack(&typed, level.effort, &mut |token| {
            known.insert(token);
        });
        add(Kind::Fields, &packed.columns, false)?;
        packed.texts.iter().try_for_each(|bytes| add(Kind::FieldTexts, bytes, true))?;
    }
    let odd: Vec<Record> = of(ODD).map(|row| row.record.clone()).collect();
    for record in &odd {
        let mut add = |token| {
            known.insert(token);
        };
        match &record.body {
            Some(Body::Original(bytes)) => tokens::each(bytes, &mut |t| add(tokens::hash(t))),
            Some(Body::Fields(typed)) => fields::tokens_of(typed, &mut add),
            _ => {}
        }
    }
    if !odd.is_empty() {
        let odd = Block { origins: Vec::new(), records: odd };
        add(Kind::Odd, &odd.encode_to_vec(), false)?;
    }
    let known: Vec<u64> = known.into_iter().collect();
    add(Kind::Filter, &filter::build(&known), true)?;
    Ok(block)
}

/// What the blocks of a segment name: each stream and dataset once.
#[derive(Debug, Default)]
pub(super) struct Names {
    streams: HashMap<Stream, u32>,
    datasets: HashMap<&'static str, u32>,
}

impl Names {
    fn stream(&mut self, stream: Stream) -> u32 {
        let next = u32::try_from(self.streams.len()).unwrap_or(UNLISTED);
        if self.streams.len() >= MAX_STREAMS {
            return self.streams.get(&stream).copied().unwrap_or(UNLISTED);
        }
        *self.streams.entry(stream).or_insert(next)
    }

    fn dataset(&mut self, dataset: &'static str) -> u32 {
        let next = u32::try_from(self.datasets.len()).unwrap_or(u32::MAX);
        *self.datasets.entry(dataset).or_insert(next)
    }

    /// Both lists, for the catalog.
    pub(super) fn lists(self) -> (Vec<Stream>, Vec<String>) {
        let mut streams: Vec<_> = self.streams.into_iter().collect();
        streams.sort_by_key(|(_, place)| *place);
        let mut datasets: Vec<_> = self.datasets.into_iter().collect();
        datasets.sort_by_key(|(_, place)| *place);
        let streams = streams.into_iter().map(|(stream, _)| stream).collect();
        (streams, datasets.into_iter().map(|(dataset, _)| dataset.to_owned()).collect())
    }
}

fn stream(lane: &Lane<'_>) -> Stream {
    let (sender, origin) = (lane.sender, lane.origin);
    Stream {
        agent: sender.agent.clone(),
        host: sender.host.clone(),
        site: sender.site.clone(),
        system: sender.system.clone(),
        kind: sender.kind,
        source: origin.source.clone(),
        path: origin.path.clone(),
    }
}

fn heads(lanes: &[Lane<'_>], bodies: &[i64]) -> Heads {
    let series = |of: &dyn Fn(&Row<'_>) -> i64| {
        Some(Series::of(lanes.iter().flat_map(|lane| &lane.rows).map(of)))
    };
    let lane = |lane: &Lane<'_>| LaneHead {
        sender: Some(Sender { ingested: 0, ..lane.sender.clone() }),
        origin: Some(lane.origin.clone()),
        rows: u32::try_from(lane.rows.len()).unwrap_or(u32::MAX),
    };
    Heads {
        lanes: lanes.iter().map(lane).collect(),
        commits: series(&|row| row.commit.cast_signed()),
        ingested: series(&|row| row.ingested),
        numbers: series(&|row| row.record.number.cast_signed()),
        times: series(&|row| row.record.time),
        created: series(&|row| row.record.created),
        bodies: Some(Series::of(bodies.iter().copied())),
    }
}

/// A block open for reading: its heads are known, its bodies are read when they are asked for.
#[derive(Debug)]
pub(in crate::history) struct Opened<'a> {
    file: &'a File,
    base: u64,
    block: &'a Rows,
    /// Each lane's stream, and its first row.
    lanes: Vec<(Sender, Origin, usize)>,
    commits: Vec<i64>,
    ingested: Vec<i64>,
    numbers: Vec<i64>,
    times: Vec<i64>,
    created: Vec<i64>,
    bodies: Vec<i64>,
}

/// A record of a block, with what its stripe or a search needs to know of it.
#[derive(Debug)]
pub(in crate::history) struct Stored {
    /// Which lane of the block.
    pub(in crate::history) lane: usize,
    pub(in crate::history) commit: u64,
    pub(in crate::history) ingested: i64,
    /// Its `origin` is 0.
    pub(in crate::history) record: Record,
}

impl<'a> Opened<'a> {
    pub(in crate::history) fn new(file: &'a File, base: u64, block: &'a Rows) -> io::Result<Self> {
        let wrong = || io::Error::other("the heads of a block do not fit");
        let count = block.rows as usize;
        if count > MAX_ROWS {
            return Err(wrong());
        }
        let mut opened = Opened {
            file,
            base,
            block,
            lanes: Vec::new(),
            commits: Vec::new(),
            ingested: Vec::new(),
            numbers: Vec::new(),
            times: Vec::new(),
            created: Vec::new(),
            bodies: Vec::new(),
        };
        let heads = opened.part(Kind::Heads)?.ok_or_else(wrong)?;
        let heads = Heads::decode(heads).map_err(io::Error::other)?;
        let mut first = 0;
        for lane in heads.lanes {
            let (Some(sender), Some(origin)) = (lane.sender, lane.origin) else {
                return Err(wrong());
            };
            opened.lanes.push((sender, origin, first));
            first += lane.rows as usize;
        }
        if first != count {
            return Err(wrong());
        }
        let series = |series: Option<Series>| series.unwrap_or_default().read(count);
        opened.commits = series(heads.commits)?;
        opened.ingested = series(heads.ingested)?;
        opened.numbers = series(heads.numbers)?;
        opened.times = series(heads.times)?;
        opened.created = series(heads.created)?;
        opened.bodies = series(heads.bodies)?;
        Ok(opened)
    }

    /// The stream of each lane.
    pub(in crate::history) fn lanes(&self) -> impl Iterator<Item = (&Sender, &Origin)> {
        self.lanes.iter().map(|(sender, origin, _)| (sender, origin))
    }

    fn lane_of(&self, row: usize) -> usize {
        self.lanes.partition_point(|(_, _, first)| *first <= row).saturating_sub(1)
    }

    fn parts(&self, kind: Kind) -> impl Iterator<Item = io::Result<Bytes>> {
        let own = self.block.parts.iter().filter(move |part| part.kind == kind.number());
        own.map(move |part| read_part(self.file, self.base, part, kind))
    }

    fn part(&self, kind: Kind) -> io::Result<Option<Bytes>> {
        self.parts(kind).next().transpose()
    }

    fn texts(&self, kind: Kind) -> io::Result<Option<Column>> {
        self.part(kind)?.map(Column::open).transpose().map_err(io::Error::other)
    }

    /// Rows that may hold all of `needles` and whose stream is `wanted`, ascending: no others do,
    /// and what can't be told from the originals' column is left in.
    pub(in crate::history) fn candidates(
        &self,
        needles: &[Needle<'_>],
        wanted: &dyn Fn(&Sender, &Origin) -> bool,
    ) -> io::Result<Vec<u32>> {
        let lanes: Vec<bool> =
            self.lanes().map(|(sender, origin)| wanted(sender, origin)).collect();
        let originals = self.bodies.iter().filter(|body| **body == ORIGINAL).count();
        let mut hits = vec![true; originals];
        if !needles.is_empty()
            && let Some(column) = self.texts(Kind::Originals)?
        {
            let rows = column.candidates(needles).map_err(io::Error::other)?;
            hits.fill(false);
            for row in rows.iter() {
                if let Some(hit) = hits.get_mut(row as usize) {
                    *hit = true;
                }
            }
        }
        let mut hits = hits.into_iter();
        let mut rows = Vec::new();
        for (row, body) in self.bodies.iter().enumerate() {
            let may = if *body == ORIGINAL { hits.next().unwrap_or(true) } else { true };
            if may && lanes.get(self.lane_of(row)).is_some_and(|wanted| *wanted) {
                rows.push(u32::try_from(row).map_err(io::Error::other)?);
            }
        }
        Ok(rows)
    }

    /// The records of these rows, which are ascending.
    pub(in crate::history) fn read(&self, rows: &[u32]) -> io::Result<Vec<Stored>> {
        let wrong = || io::Error::other("a row that is not there");
        let mut bodies: Vec<Option<Record>> = vec![None; rows.len()];
        for kind in [ORIGINAL, CONVERTED, TYPED, ODD] {
            self.read_bodies(kind, rows, &mut bodies)?;
        }
        let mut stored = Vec::with_capacity(rows.len());
        for (row, record) in rows.iter().zip(bodies) {
            let row = *row as usize;
            let mut record = record.ok_or_else(wrong)?;
            let at = |column: &[i64]| column.get(row).copied().ok_or_else(wrong);
            record.origin = 0;
            record.number = at(&self.numbers)?.cast_unsigned();
            record.time = at(&self.times)?;
            record.created = at(&self.created)?;
            stored.push(Stored {
                lane: self.lane_of(row),
                commit: at(&self.commits)?.cast_unsigned(),
                ingested: at(&self.ingested)?,
                record,
            });
        }
        Ok(stored)
    }

    /// All of them.
    pub(in crate::history) fn read_all(&self) -> io::Result<Vec<Stored>> {
        let rows: Vec<u32> = (0..self.block.rows).collect();
        self.read(&rows)
    }

    /// Fills in the bodies of one kind: those of `rows` that are of it.
    fn read_bodies(&self, kind: i64, rows: &[u32], to: &mut [Option<Record>]) -> io::Result<()> {
        let wrong = || io::Error::other("a block without one of its columns");
        // Where in its column each row's body is.
        let (mut places, mut wanted) = (Vec::new(), Vec::new());
        let mut ordinal = 0u32;
        let mut next = rows.iter().enumerate().peekable();
        for (row, body) in self.bodies.iter().enumerate() {
            let place = next.next_if(|(_, wanted)| **wanted as usize == row);
            if *body == kind {
                if let Some((place, _)) = place {
                    places.push(place);
                    wanted.push(ordinal);
                }
                ordinal += 1;
            }
        }
        if wanted.is_empty() {
            return Ok(());
        }
        let all = ordinal as usize;
        let mut put = |place: usize, record: Record| match to.get_mut(place) {
            Some(slot) => *slot = Some(record),
            None => debug_assert!(false, "places are of this slice"),
        };
        match kind {
            ORIGINAL | CONVERTED => {
                let part = if kind == ORIGINAL { Kind::Originals } else { Kind::Converted };
                let column = self.texts(part)?.ok_or_else(wrong)?;
                for (place, bytes) in places.into_iter().zip(originals(&column, &wanted)?) {
                    put(place, Record { body: Some(Body::Original(bytes)), ..Record::default() });
                }
            }
            TYPED => {
                let texts: Vec<Bytes> = self.parts(Kind::FieldTexts).collect::<Result<_, _>>()?;
                let columns = self.part(Kind::Fields)?.ok_or_else(wrong)?;
                let mut typed = fields::read(&columns, &texts, all)?;
                for (place, ordinal) in places.into_iter().zip(wanted) {
                    let fields = typed.get_mut(ordinal as usize).map(std::mem::take);
                    let body = Some(Body::Fields(fields.ok_or_else(wrong)?));
                    put(place, Record { body, ..Record::default() });
                }
            }
            _ => {
                let odd = self.part(Kind::Odd)?.ok_or_else(wrong)?;
                let odd = Block::decode(odd).map_err(io::Error::other)?.records;
                for (place, ordinal) in places.into_iter().zip(wanted) {
                    put(place, odd.get(ordinal as usize).cloned().ok_or_else(wrong)?);
                }
            }
        }
        Ok(())
    }
}

/// Values of a text column, in one piece of memory that they share.
fn originals(column: &Column, wanted: &[u32]) -> io::Result<Vec<Bytes>> {
    let mut arena = Vec::new();
    let mut ends = Vec::with_capacity(wanted.len());
    column
        .rows(wanted, &mut |_, bytes| {
            arena.extend_from_slice(bytes);
            ends.push(arena.len());
        })
        .map_err(io::Error::other)?;
    if ends.len() != wanted.len() {
        return Err(io::Error::other("a text column of another length"));
    }
    let (arena, mut from) = (Bytes::from(arena), 0);
    Ok(ends.into_iter().map(|end| arena.slice(std::mem::replace(&mut from, end)..end)).collect())
}

pub(super) fn read_part(file: &File, base: u64, part: &Part, kind: Kind) -> io::Result<Bytes> {
    let offset = base.checked_add(part.offset);
    let offset = offset.ok_or_else(|| io::Error::other("a part beyond the end"))?;
    part::read(file, offset, part.len, kind)
}
