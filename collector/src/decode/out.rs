//! What decoders write to: the fields and the arena of a whole batch, and what they conclude about
//! the record at hand. Nothing here allocates per field; both buffers grow with the batch.

use super::time::{Clock, Stamp, Years, iso};
use crate::event::{FieldId, Value, names};
use foldhash::fast::FixedState;
use std::collections::HashMap;
use std::net::IpAddr;
use std::ops::Range;

/// How much of a problem's text is kept.
const MAX_PROBLEM: usize = 512;
/// Names of one vendor that a batch remembers.
const MAX_VENDOR_NAMES: usize = 512;

/// Ids of a vendor's names, by what stands behind the vendor in them.
type VendorNames = HashMap<Box<str>, FieldId, FixedState>;

/// The batch's buffers, and the conclusions about one record.
#[derive(Debug)]
pub(crate) struct Out {
    pub(crate) arena: String,
    pub(crate) fields: Vec<(FieldId, Value)>,
    /// Constant words that are in the arena already: `failure` is there once, not once per event.
    words: Vec<(&'static str, u32)>,
    clock: Clock,
    /// Where the record's text lies, to tell slices of it from other text. Only ever compared.
    text_at: usize,
    text_len: usize,
    created: i64,
    /// Names below a vendor's that were looked up: the same few dozen come with every line.
    vendors: Vec<(&'static str, VendorNames)>,
    /// The record's first field.
    first: usize,
    zone_named: bool,
    /// Events the record stands for.
    pub(crate) weight: u64,
    /// Whether it is a security event.
    pub(crate) security: bool,
    /// Its dataset, where the decoder has several.
    pub(crate) dataset: Option<&'static str>,
    /// Its own time, Unix nanoseconds.
    pub(crate) time: Option<i64>,
    /// The line inside, for whichever decoder claims it.
    pub(crate) handed: Option<Handed>,
    /// A buffer for [`Handed::Spare`], kept from line to line.
    pub(crate) spare: String,
}

/// A line that a decoder hands on: what it read was only a wrapper.
#[derive(Debug, Clone)]
pub(crate) enum Handed {
    /// A part of the message, by its bytes.
    Part(Range<usize>),
    /// Unescaped text, which was put into [`Out::spare`].
    Spare,
}

/// A state to go back to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Mark {
    arena: usize,
    pub(crate) fields: usize,
    words: usize,
    weight: u64,
    security: bool,
    time: Option<i64>,
}

impl Out {
    /// Empty buffers for a batch whose stamps without a zone are in `zone`.
    pub(crate) fn new(zone: &str) -> Out {
        Out {
            arena: String::new(),
            fields: Vec::new(),
            words: Vec::new(),
            clock: Clock::new(zone),
            text_at: 0,
            text_len: 0,
            created: 0,
            vendors: Vec::new(),
            first: 0,
            zone_named: false,
            weight: 1,
            security: false,
            dataset: None,
            time: None,
            handed: None,
            spare: String::new(),
        }
    }

    /// Says which year stamps without one are of.
    pub(crate) fn count_years(&mut self, years: Years) {
        self.clock.years = years;
    }

    /// Begins a record whose text is `text`: slices of it become spans of it.
    pub(crate) fn begin(&mut self, text: &str, created: i64) {
        self.text_at = text.as_ptr().addr();
        self.text_len = text.len();
        self.created = created;
        self.first = self.fields.len();
        self.zone_named = false;
        self.weight = 1;
        self.security = false;
        self.dataset = None;
        self.time = None;
        self.handed = None;
    }

    pub(crate) fn mark(&self) -> Mark {
        Mark {
            arena: self.arena.len(),
            fields: self.fields.len(),
            words: self.words.len(),
            weight: self.weight,
            security: self.security,
            time: self.time,
        }
    }

    /// Takes back everything since the mark.
    pub(crate) fn reset(&mut self, mark: Mark) {
        self.arena.truncate(mark.arena);
        self.fields.truncate(mark.fields);
        self.words.truncate(mark.words);
        self.weight = mark.weight;
        self.security = mark.security;
        self.time = mark.time;
        self.dataset = None;
        self.handed = None;
    }

    /// A text; a slice of the record's text costs nothing, any other is copied.
    pub(crate) fn text(&mut self, id: FieldId, value: &str) {
        let start = value.as_ptr().addr().wrapping_sub(self.text_at);
        if start < self.text_len && value.len() <= self.text_len - start {
            if let (Ok(start), Ok(len)) = (u32::try_from(start), u32::try_from(value.len())) {
                self.fields.push((id, Value::Text { start, len }));
            }
        } else {
            self.owned(id, value);
        }
    }

    /// The id of `vendor.key`, which a stranger gives; None when there is no room for such names.
    pub(crate) fn vendor_name(&mut self, vendor: &'static str, key: &str) -> Option<FieldId> {
        let at = match self.vendors.iter().position(|(known, _)| *known == vendor) {
            Some(at) => at,
            None => {
                self.vendors.push((vendor, HashMap::default()));
                self.vendors.len() - 1
            }
        };
        let (_, names) = self.vendors.get_mut(at)?;
        if let Some(id) = names.get(key) {
            return Some(*id);
        }
        let plain = |char: char| if char.is_whitespace() { '_' } else { char };
        let name: String = vendor.chars().chain(['.']).chain(key.chars().map(plain)).collect();
        let id = FieldId::outside(&name)?;
        if names.len() < MAX_VENDOR_NAMES {
            names.insert(key.into(), id);
        }
        Some(id)
    }

    /// Whether the record at hand has a field; for what is written last.
    pub(crate) fn has(&self, id: FieldId) -> bool {
        self.record().iter().any(|(known, _)| *known == id)
    }

    /// What was written of the record at hand so far.
    pub(crate) fn record(&self) -> &[(FieldId, Value)] {
        self.fields.get(self.first..).unwrap_or_default()
    }

    /// Whether the record at hand has a field of some name; for names that no constant stands for.
    pub(crate) fn has_named(&self, name: &str) -> bool {
        FieldId::find(name).is_some_and(|id| self.has(id))
    }

    /// A text that is present and not empty.
    pub(crate) fn some(&mut self, id: FieldId, value: &str) {
        if !value.is_empty() {
            self.text(id, value);
        }
    }

    /// Gives another name to what the record's header said of a field that its message says better.
    /// Only for a decoder that will claim the line: nothing brings the old name back.
    pub(crate) fn rename(&mut self, id: FieldId, other: FieldId) {
        let own = self.fields.get_mut(self.first..).unwrap_or_default();
        for (known, _) in own.iter_mut().filter(|(known, _)| *known == id) {
            *known = other;
        }
    }

    /// A text that is copied.
    pub(crate) fn owned(&mut self, id: FieldId, value: &str) {
        if let Some(span) = self.keep(value) {
            self.fields.push((id, Value::Arena { start: span.start, len: span.end - span.start }));
        }
    }

    /// One of our own constant words.
    pub(crate) fn word(&mut self, id: FieldId, word: &'static str) {
        let known = self
            .words
            .iter()
            .find(|(known, _)| std::ptr::eq(*known, word))
            .map(|(word, start)| (*start, word.len()));
        let (start, len) = match known {
            Some(known) => known,
            None => {
                let Some(span) = self.keep(word) else { return };
                self.words.push((word, span.start));
                (span.start, word.len())
            }
        };
        if let Ok(len) = u32::try_from(len) {
            self.fields.push((id, Value::Arena { start, len }));
        }
    }

    pub(crate) fn integer(&mut self, id: FieldId, value: i64) {
        self.fields.push((id, Value::Integer(value)));
    }

    pub(crate) fn number(&mut self, id: FieldId, value: f64) {
        self.fields.push((id, Value::Number(value)));
    }

    pub(crate) fn flag(&mut self, id: FieldId, value: bool) {
        self.fields.push((id, Value::Flag(value)));
    }

    pub(crate) fn address(&mut self, id: FieldId, value: IpAddr) {
        self.fields.push((id, Value::Address(value)));
    }

    /// A whole number in text; any other text is kept as it is.
    pub(crate) fn digits(&mut self, id: FieldId, value: &str) {
        match value.parse() {
            Ok(integer) => self.integer(id, integer),
            Err(_) => self.some(id, value),
        }
    }

    /// What was not as it should be.
    pub(crate) fn problem(&mut self, problem: &str) {
        let end = problem.floor_char_boundary(MAX_PROBLEM);
        self.owned(names::HENGWEI_PROBLEM, &problem[..end]);
    }

    /// What is known of the event as a whole.
    pub(crate) fn event(&mut self, category: &'static str, action: &'static str) {
        self.word(names::EVENT_CATEGORY, category);
        self.word(names::EVENT_ACTION, action);
    }

    /// Whether what the event tells of worked.
    pub(crate) fn outcome(&mut self, success: bool) {
        self.word(names::EVENT_OUTCOME, if success { "success" } else { "failure" });
    }

    /// Text for the arena; None when the arena is as long as spans can say.
    pub(crate) fn keep(&mut self, text: &str) -> Option<Range<u32>> {
        let start = u32::try_from(self.arena.len()).ok()?;
        let end = u32::try_from(self.arena.len() + text.len()).ok()?;
        self.arena.push_str(text);
        Some(start..end)
    }

    /// The text of a value written for the record at hand, whose message is `line`; empty when it is
    /// none.
    pub(crate) fn shown<'a>(&'a self, line: &'a str, value: Value) -> &'a str {
        let (text, start, len) = match value {
            Value::Text { start, len } => {
                let skipped = line.as_ptr().addr().wrapping_sub(self.text_at);
                (line, (start as usize).checked_sub(skipped), len)
            }
            Value::Arena { start, len } => (self.arena.as_str(), Some(start as usize), len),
            _ => return "",
        };
        let span = start.and_then(|start| Some(start..start.checked_add(len as usize)?));
        span.and_then(|span| text.get(span)).unwrap_or_default()
    }

    /// Dates the record by a stamp of its text.
    pub(crate) fn stamp(&mut self, stamp: &Stamp) {
        self.time = self.resolve(stamp);
    }

    /// The time of a line that begins with a full date and time, whoever wrote it.
    pub(crate) fn leading_stamp(&mut self, line: &str) -> Option<i64> {
        let line = line.strip_prefix('[').unwrap_or(line);
        let (stamp, _) = iso(line.as_bytes())?;
        self.resolve(&stamp)
    }

    /// A stamp as Unix nanoseconds: without a year the one nearest to when it was read, without a
    /// zone the sender's.
    pub(crate) fn resolve(&mut self, stamp: &Stamp) -> Option<i64> {
        if stamp.offset_secs.is_none()
            && !self.zone_named
            && let Some(zone) = self.clock.unknown_zone()
        {
            self.zone_named = true;
            let problem = format!("the zone `{zone}` is not known here, UTC is assumed");
            self.problem(&problem);
        }
        self.clock.resolve(stamp, self.created)
    }
}
