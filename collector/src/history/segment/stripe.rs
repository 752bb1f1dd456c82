//! A stripe: whole commits of one class, their records laid into blocks of rows, and the structure
//! that says which record came after which, so that the chain can be computed again.
//!
//! ```text
//! stripe  blocks' parts | structure
//! ```
//!
//! Records of one stream (a sender and what it read) lie together in a lane, in the order of their
//! commits, and lanes that are alike lie side by side: that is what packs well. What comes late
//! (more than [`LATE`] after it happened: a spool that was drained after days) lies in blocks of its
//! own, by day, so that the others' time ranges stay narrow. A structure holds the order as runs of
//! records of one lane, decisions as they are, and a copy of the chunk that the catalog has of it,
//! for when the catalog does not read.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::hash::{BuildHasher, RandomState};
use std::io;

use bytes::Bytes;
use hengwei_protocol::wire::{Block, Origin};
use prost::Message;

use super::part::{self, Kind};
use super::rows::{self, Lane, MAX_RAW, MAX_ROWS, Names, Opened, Row, Stored};
use super::series::Series;
use super::{Level, span};
use crate::history::chain::{self, Class};
use crate::history::stored::{Chunk, Group, Item, Part, Sender, StoredEntry, StoredPut};
use crate::history::tokens;
use crate::history::understand::{Delivery, Meaning, Understand};
use crate::time::{DAY, HOUR};

/// Behind its time by more than this a record is late, nanoseconds.
const LATE: i64 = HOUR;
/// Days that late records of one stripe are kept apart by; what is of others lies together.
const MAX_DAYS: usize = 32;
/// A block with fewer rows takes another day's late records too.
const MIN_ROWS: usize = 4_096;
/// The bucket of records that are not late.
const TIMELY: i64 = i64::MAX;
/// The bucket of days beyond [`MAX_DAYS`].
const OTHER_DAYS: i64 = i64::MIN;
/// Records of a stripe at most, when it is read: what a length can claim.
const MAX_RECORDS: usize = 1 << 26;

#[derive(Clone, PartialEq, prost::Message)]
struct Structure {
    #[prost(uint32, tag = "1")]
    items: u32,
    #[prost(message, optional, tag = "2")]
    commits: Option<Series>,
    #[prost(message, optional, tag = "3")]
    times: Option<Series>,
    /// Records of each item.
    #[prost(message, optional, tag = "4")]
    records: Option<Series>,
    /// Whether the class advanced, 0 or 1.
    #[prost(message, optional, tag = "5")]
    advanced: Option<Series>,
    /// Of each item that advanced, the beginning of its link.
    #[prost(bytes = "bytes", tag = "6")]
    checks: Bytes,
    /// The lanes of all blocks, one after the other: which block, and how many rows.
    #[prost(uint32, repeated, tag = "7")]
    lane_blocks: Vec<u32>,
    #[prost(uint32, repeated, tag = "8")]
    lane_rows: Vec<u32>,
    /// The order of all records: so many of the next ones of this lane.
    #[prost(uint32, repeated, tag = "9")]
    run_lanes: Vec<u32>,
    #[prost(uint32, repeated, tag = "10")]
    run_rows: Vec<u32>,
    #[prost(message, repeated, tag = "11")]
    decided: Vec<Decided>,
    #[prost(message, optional, tag = "12")]
    chunk: Option<Chunk>,
}

/// What an item has beside records.
#[derive(Clone, PartialEq, prost::Message)]
struct Decided {
    #[prost(uint32, tag = "1")]
    item: u32,
    #[prost(message, repeated, tag = "2")]
    entries: Vec<StoredEntry>,
    #[prost(message, repeated, tag = "3")]
    puts: Vec<StoredPut>,
    #[prost(bytes = "bytes", repeated, tag = "4")]
    hits: Vec<Bytes>,
}

/// Packs items, whose steps are whole, into a stripe that will begin at `offset`.
pub(super) fn pack(
    items: &[Item],
    class: Class,
    understand: Option<&dyn Understand>,
    level: Level,
    names: &mut Names,
    offset: u64,
) -> io::Result<(Vec<u8>, Chunk)> {
    let mut lanes = Lanes { understand, ..Lanes::default() };
    for item in items {
        for group in &item.groups {
            lanes.take(class, item.commit, group);
        }
    }
    let mut bytes = Vec::new();
    let mut chunk = described(items, offset);
    let mut structure = structure(items)?;
    let (blocks, slots) = arrange(lanes.lanes);
    for (at, lanes) in blocks.iter().enumerate() {
        for lane in lanes {
            structure.lane_blocks.push(number(at)?);
            structure.lane_rows.push(number(lane.rows.len())?);
        }
        chunk.blocks.push(rows::pack(lanes, level, names, &mut bytes)?);
    }
    order(&lanes.order, slots, &mut structure)?;
    structure.chunk = Some(chunk.clone());
    let at = bytes.len();
    part::put(&mut bytes, Kind::Structure, &structure.encode_to_vec(), level.zstd)?;
    let len = (bytes.len() - at) as u64;
    chunk.structure = Some(Part { kind: Kind::Structure.number(), offset: at as u64, len });
    chunk.len = bytes.len() as u64;
    Ok((bytes, chunk))
}

fn number(n: usize) -> io::Result<u32> {
    u32::try_from(n).map_err(io::Error::other)
}

fn described(items: &[Item], offset: u64) -> Chunk {
    let mut chunk = Chunk { offset, since: i64::MAX, until: i64::MIN, ..Chunk::default() };
    chunk.first_commit = items.first().map_or(0, |item| item.commit);
    chunk.last_commit = items.last().map_or(0, |item| item.commit);
    for item in items {
        let (since, until) = span(item);
        chunk.since = chunk.since.min(since);
        chunk.until = chunk.until.max(until);
        if let Some(step) = &item.step {
            if chunk.link.is_empty() {
                chunk.previous = step.previous.clone();
            }
            chunk.link = step.link.clone();
            chunk.link_commit = item.commit;
        }
    }
    chunk
}

fn structure(items: &[Item]) -> io::Result<Structure> {
    let records = |item: &Item| {
        let blocks = item.groups.iter().filter_map(|group| group.block.as_ref());
        blocks.map(|block| block.records.len() as i64).sum::<i64>()
    };
    let links = items.iter().filter_map(|item| item.step.as_ref()).map(|step| &step.link);
    let mut structure = Structure {
        items: number(items.len())?,
        commits: Some(Series::of(items.iter().map(|item| item.commit.cast_signed()))),
        times: Some(Series::of(items.iter().map(|item| item.time))),
        records: Some(Series::of(items.iter().map(records))),
        advanced: Some(Series::of(items.iter().map(|item| i64::from(item.step.is_some())))),
        checks: links.flat_map(|link| link.iter().take(4).copied()).collect::<Vec<u8>>().into(),
        ..Structure::default()
    };
    for (at, item) in items.iter().enumerate() {
        if !(item.entries.is_empty() && item.puts.is_empty() && item.hits.is_empty()) {
            structure.decided.push(Decided {
                item: number(at)?,
                entries: item.entries.clone(),
                puts: item.puts.clone(),
                hits: item.hits.clone(),
            });
        }
    }
    Ok(structure)
}

/// Records on their way into lanes.
#[derive(Default)]
struct Lanes<'a> {
    understand: Option<&'a dyn Understand>,
    lanes: Vec<(i64, Lane<'a>)>,
    senders: HashMap<[&'a [u8]; 6], usize>,
    streams: HashMap<(usize, u32, [&'a str; 4]), usize>,
    by_bucket: HashMap<(usize, i64), usize>,
    days: HashSet<i64>,
    /// Texts whose tokens a lane has already, by lane and hash. The hash is keyed: two texts that
    /// somebody made to collide would hide the tokens of one.
    texts: HashSet<(usize, u64)>,
    keyed: RandomState,
    /// The order of all records: so many of the next ones of this lane.
    order: Vec<(usize, usize)>,
}

impl<'a> Lanes<'a> {
    fn take(&mut self, class: Class, commit: u64, group: &'a Group) {
        let (Some(sender), Some(block)) = (&group.sender, &group.block) else { return };
        let streams: Vec<usize> = (0..block.origins.len().max(1))
            .map(|at| self.stream(sender, block.origins.get(at).unwrap_or(chain::no_origin())))
            .collect();
        let understand = self.understand;
        let mut at = 0;
        let mut add = |meaning: Option<Meaning<'_>>| {
            let Some(record) = block.records.get(at) else { return };
            at += 1;
            let own = if record.time == 0 { record.created } else { record.time };
            let time = meaning.map_or(own, |meaning| meaning.time);
            let stream = streams.get(record.origin as usize);
            let (stream, origin) = match stream {
                Some(stream) if (record.origin as usize) < block.origins.len() => {
                    (*stream, &block.origins[record.origin as usize])
                }
                _ => (self.stream(sender, chain::no_origin()), chain::no_origin()),
            };
            let bucket = self.bucket(time, sender.ingested);
            let lane = self.lane(stream, bucket, sender, origin);
            let converted = meaning.is_some_and(|meaning| meaning.line.is_some());
            self.lanes[lane].1.rows.push(Row {
                commit,
                ingested: sender.ingested,
                time,
                converted,
                record,
            });
            match self.order.last_mut() {
                Some((last, rows)) if *last == lane => *rows += 1,
                _ => self.order.push((lane, 1)),
            }
            if let Some(meaning) = meaning {
                self.note(lane, meaning);
            }
        };
        if let Some(understand) = understand {
            let delivery = Delivery {
                agent: &sender.agent,
                host: &sender.host,
                site: &sender.site,
                system: &sender.system,
                zone: &sender.zone,
                kind: chain::kind_of(sender),
                raised: Class::from(chain::kind_of(sender)) != class,
                ingested: sender.ingested,
            };
            understand.understand(&delivery, block, &mut |meaning| add(Some(meaning)));
        }
        // Whatever was not understood is kept all the same.
        for _ in 0..block.records.len() {
            add(None);
        }
    }

    fn stream(&mut self, sender: &'a Sender, origin: &'a Origin) -> usize {
        let names = [&sender.agent, &sender.host, &sender.site, &sender.system, &sender.zone];
        let [agent, host, site, system, zone] = names.map(|name| name.as_bytes());
        let next = self.senders.len();
        let key = [agent, host, site, system, zone, &sender.epoch[..]];
        let known = *self.senders.entry(key).or_insert(next);
        let origin = [&origin.source, &origin.path, &origin.dataset, &origin.charset];
        let next = self.streams.len();
        let key = (known, sender.kind, origin.map(String::as_str));
        *self.streams.entry(key).or_insert(next)
    }

    fn bucket(&mut self, time: i64, ingested: i64) -> i64 {
        if ingested.saturating_sub(time) <= LATE {
            return TIMELY;
        }
        let day = time.div_euclid(DAY);
        if self.days.len() < MAX_DAYS || self.days.contains(&day) {
            self.days.insert(day);
            return day;
        }
        OTHER_DAYS
    }

    fn lane(
        &mut self,
        stream: usize,
        bucket: i64,
        sender: &'a Sender,
        origin: &'a Origin,
    ) -> usize {
        *self.by_bucket.entry((stream, bucket)).or_insert_with(|| {
            let lane = Lane {
                sender,
                origin,
                rows: Vec::new(),
                datasets: Vec::new(),
                tokens: HashSet::new(),
            };
            self.lanes.push((bucket, lane));
            self.lanes.len() - 1
        })
    }

    fn note(&mut self, at: usize, meaning: Meaning<'_>) {
        let (texts, keyed, lane) = (&mut self.texts, &self.keyed, &mut self.lanes[at].1);
        if !lane.datasets.contains(&meaning.dataset) {
            lane.datasets.push(meaning.dataset);
        }
        let mut add = |text: &str| {
            if texts.insert((at, keyed.hash_one(text))) {
                tokens::each(text.as_bytes(), &mut |token| {
                    lane.tokens.insert(tokens::hash(token));
                });
            }
        };
        if let Some(line) = meaning.line {
            add(line);
        }
        (meaning.values)(&mut add);
    }
}

/// Where the rows of a lane went: lanes of blocks, each with how many rows it has room for.
type Slots = Vec<Vec<(usize, usize)>>;

/// Lays lanes into blocks: alike ones side by side, none longer than a block may be.
fn arrange(lanes: Vec<(i64, Lane<'_>)>) -> (Vec<Vec<Lane<'_>>>, Slots) {
    let mut slots: Slots = vec![Vec::new(); lanes.len()];
    let mut lanes: Vec<_> = lanes.into_iter().enumerate().collect();
    lanes.sort_by(|(_, (bucket, lane)), (_, (other_bucket, other))| {
        let key = |lane: &Lane<'_>| {
            let path = lane.origin.path.as_str();
            let name = path.rsplit_once('/').map_or(path, |(_, name)| name);
            (lane.origin.source.clone(), name.to_owned(), path.to_owned(), lane.sender.host.clone())
        };
        bucket.cmp(other_bucket).then_with(|| key(lane).cmp(&key(other)))
    });
    let mut blocks: Vec<Vec<Lane<'_>>> = Vec::new();
    let mut block: Vec<Lane<'_>> = Vec::new();
    let (mut rows, mut raw, mut current) = (0, 0, None);
    let mut slot = 0;
    for (at, (bucket, lane)) in lanes {
        let other_day = current.is_some_and(|current| {
            current != bucket && (rows >= MIN_ROWS || current == TIMELY || bucket == TIMELY)
        });
        if other_day && !block.is_empty() {
            blocks.push(std::mem::take(&mut block));
            (rows, raw) = (0, 0);
        }
        current = Some(bucket);
        let Lane { sender, origin, rows: all, datasets, tokens } = lane;
        let mut rest = &all[..];
        while !rest.is_empty() {
            let mut take = 0;
            for row in rest {
                let len = row.record.encoded_len();
                if rows + take == MAX_ROWS || (raw + len > MAX_RAW && rows + take > 0) {
                    break;
                }
                raw += len;
                take += 1;
            }
            let (now, later) = rest.split_at(take);
            rest = later;
            if !now.is_empty() {
                slots[at].push((slot, now.len()));
                slot += 1;
                rows += take;
                block.push(Lane {
                    sender,
                    origin,
                    rows: now.to_vec(),
                    datasets: datasets.clone(),
                    tokens: tokens.clone(),
                });
            }
            if !rest.is_empty() {
                blocks.push(std::mem::take(&mut block));
                (rows, raw) = (0, 0);
            }
        }
    }
    if !block.is_empty() {
        blocks.push(block);
    }
    (blocks, slots)
}

/// Writes down the order of all records in terms of the blocks' lanes.
fn order(order: &[(usize, usize)], mut slots: Slots, to: &mut Structure) -> io::Result<()> {
    slots.iter_mut().for_each(|slots| slots.reverse());
    for (lane, rows) in order {
        let mut rows = *rows;
        while rows > 0 {
            let Some((slot, room)) = slots[*lane].last_mut() else {
                return Err(io::Error::other("more records than were laid into blocks"));
            };
            let take = rows.min(*room);
            to.run_lanes.push(number(*slot)?);
            to.run_rows.push(number(take)?);
            rows -= take;
            *room -= take;
            if *room == 0 {
                slots[*lane].pop();
            }
        }
    }
    Ok(())
}

/// The chunk a structure part has of its stripe, which begins where the part's offset says: for
/// when there is no catalog.
pub(super) fn chunk_of(structure: &[u8], part: Part, end: u64) -> Option<Chunk> {
    let mut chunk = Structure::decode(structure).ok()?.chunk?;
    // Their lists were the catalog's.
    for block in &mut chunk.blocks {
        (block.streams, block.datasets) = (Vec::new(), Vec::new());
    }
    chunk.offset = end.checked_sub(part.len)?.checked_sub(chunk_len(&chunk)?)?;
    chunk.structure = Some(Part { offset: end - part.len - chunk.offset, ..part });
    chunk.len = end - chunk.offset;
    Some(chunk)
}

/// Bytes of a stripe before its structure.
fn chunk_len(chunk: &Chunk) -> Option<u64> {
    let parts = chunk.blocks.iter().flat_map(|block| &block.parts);
    parts.map(|part| part.offset.checked_add(part.len)).max().unwrap_or(Some(0))
}

/// The items of a stripe as far as they read, and what is wrong with the rest.
pub(super) fn read(file: &File, chunk: &Chunk) -> io::Result<(Vec<Item>, Vec<String>)> {
    let wrong = || io::Error::other("the structure of a stripe does not fit");
    let place = chunk.structure.as_ref().ok_or_else(wrong)?;
    let bytes = rows::read_part(file, chunk.offset, place, Kind::Structure)?;
    let structure = Structure::decode(bytes).map_err(io::Error::other)?;
    let count = structure.items as usize;
    let total = structure.run_rows.iter().map(|rows| *rows as usize).sum::<usize>();
    if total > MAX_RECORDS || count > MAX_RECORDS {
        return Err(wrong());
    }
    let series = |series: &Option<Series>| series.clone().unwrap_or_default().read(count);
    let (commits, times) = (series(&structure.commits)?, series(&structure.times)?);
    let (records, advanced) = (series(&structure.records)?, series(&structure.advanced)?);
    let mut damage = Vec::new();
    let mut order = Order::new(file, chunk, &structure, &mut damage)?;
    let mut checks = structure.checks.chunks_exact(4);
    let mut items = Vec::with_capacity(count);
    for at in 0..count {
        let check = match advanced[at] {
            0 => None,
            _ => Some(checks.next().and_then(|four| four.try_into().ok()).ok_or_else(wrong)?),
        };
        let records = usize::try_from(records[at]).map_err(|_| wrong())?;
        items.push(Item {
            commit: commits[at].cast_unsigned(),
            time: times[at],
            check,
            groups: order.groups(records).ok_or_else(wrong)?,
            ..Item::default()
        });
    }
    for decided in structure.decided {
        let item = items.get_mut(decided.item as usize).ok_or_else(wrong)?;
        (item.entries, item.puts, item.hits) = (decided.entries, decided.puts, decided.hits);
    }
    Ok((items, damage))
}

/// A stripe's records on their way back into the order they came in.
struct Order {
    /// Of every lane of every block: its stream, and its records; None where the block is damaged.
    lanes: Vec<Option<(usize, Origin, std::vec::IntoIter<Stored>)>>,
    senders: Vec<Sender>,
    runs: std::iter::Peekable<std::vec::IntoIter<(u32, u32)>>,
}

impl Order {
    fn new(
        file: &File,
        chunk: &Chunk,
        structure: &Structure,
        damage: &mut Vec<String>,
    ) -> io::Result<Order> {
        let wrong = || io::Error::other("the structure of a stripe does not fit its blocks");
        let mut senders: Vec<Sender> = Vec::new();
        let mut known: HashMap<Vec<u8>, usize> = HashMap::new();
        let mut lanes = Vec::new();
        for (at, block) in chunk.blocks.iter().enumerate() {
            let own = structure.lane_blocks.iter().filter(|block| **block as usize == at).count();
            let opened = Opened::new(file, chunk.offset, block);
            let read = opened.and_then(|opened| Ok((opened.read_all()?, opened)));
            let (stored, opened) = match read {
                Ok((stored, opened)) if opened.lanes().count() == own => (stored, opened),
                Ok(_) => return Err(wrong()),
                Err(error) => {
                    let rows = block.rows;
                    damage.push(format!("a block of {rows} records does not read: {error}"));
                    lanes.extend((0..own).map(|_| None));
                    continue;
                }
            };
            let mut by_lane: Vec<Vec<Stored>> = (0..own).map(|_| Vec::new()).collect();
            for stored in stored {
                by_lane.get_mut(stored.lane).ok_or_else(wrong)?.push(stored);
            }
            for ((sender, origin), stored) in opened.lanes().zip(by_lane) {
                let sender = *known.entry(sender.encode_to_vec()).or_insert_with(|| {
                    senders.push(sender.clone());
                    senders.len() - 1
                });
                lanes.push(Some((sender, origin.clone(), stored.into_iter())));
            }
        }
        if lanes.len() != structure.lane_blocks.len() {
            return Err(wrong());
        }
        let runs: Vec<_> =
            structure.run_lanes.iter().copied().zip(structure.run_rows.iter().copied()).collect();
        Ok(Order { lanes, senders, runs: runs.into_iter().peekable() })
    }

    /// The next `count` records, grouped by who sent them when.
    fn groups(&mut self, count: usize) -> Option<Vec<Group>> {
        let mut groups: Vec<Group> = Vec::new();
        // Of the last group: its sender, when it came, and which lane has which origin in it.
        let mut last: Option<(usize, i64)> = None;
        let mut origins: Vec<(u32, u32)> = Vec::new();
        for _ in 0..count {
            let (lane, rows) = self.runs.peek_mut()?;
            let at = *lane;
            *rows = rows.checked_sub(1)?;
            if *rows == 0 {
                self.runs.next();
            }
            let Some((sender, origin, stored)) = self.lanes.get_mut(at as usize)? else { continue };
            let Stored { ingested, mut record, .. } = stored.next()?;
            if last.replace((*sender, ingested)) != Some((*sender, ingested)) {
                origins.clear();
                let sender = Sender { ingested, ..self.senders.get(*sender)?.clone() };
                groups.push(Group { sender: Some(sender), block: Some(Block::default()) });
            }
            let block = groups.last_mut()?.block.as_mut()?;
            record.origin = match origins.iter().find(|(lane, _)| *lane == at) {
                Some((_, origin)) => *origin,
                None => {
                    let next = u32::try_from(block.origins.len()).ok()?;
                    block.origins.push(origin.clone());
                    origins.push((at, next));
                    next
                }
            };
            block.records.push(record);
        }
        Some(groups)
    }
}
