//! Reads the template form: the values of all rows or some.
//!
//! The head is read at once and bounded; a column's streams are unpacked when a row first needs it. What
//! the head says of columns and templates is checked here, what streams hold when they are read.

use std::ops::Range;
use std::sync::OnceLock;

use bytes::Bytes;

use super::context;
use super::lex::{self, Kind};
use super::numbers::{self, Numbers};
use super::print::{digits, number};
use super::streams::Streams;
use super::texts::{List, Texts};
use super::varint::Reader;
use super::write::{EACH_ITS_WIDTH, OF_WIDTH, SHORT};
use super::{Damaged, MAX_BYTES, MAX_ROWS};

/// Columns and templates a head may have.
const MAX_COLUMNS: usize = 1 << 18;
const MAX_TEMPLATES: usize = 1 << 16;
/// Slots all templates may have together.
const MAX_SLOTS: usize = 1 << 22;
/// Values all columns may have together.
const MAX_VALUES: usize = 1 << 23;

/// A column in the template form.
pub(super) struct Coded {
    pub(super) streams: Streams,
    pub(super) columns: Vec<Slots>,
    pub(super) templates: Vec<Template>,
    parents: Vec<Option<usize>>,
    fixed: Bytes,
    rows: usize,
    row_planes: usize,
    row_stream: usize,
    template_of: OnceLock<Result<Vec<u16>, Damaged>>,
}

/// A column of slots.
pub(super) struct Slots {
    pub(super) kind: Kind,
    /// How many rows have it.
    pub(super) count: usize,
    pub(super) stored: Stored,
    /// The fixed text before each.
    before: Range<u32>,
    loaded: OnceLock<Result<Loaded, Damaged>>,
}

/// How a column is stored.
pub(super) enum Stored {
    Integers { width: Width, numbers: Numbers },
    Numbers(Numbers),
    Texts(Texts),
}

/// How many digits an integer is written with.
#[derive(Clone, Copy)]
pub(super) enum Width {
    Short,
    Fixed(usize),
    /// As a stream says for each.
    Each(usize),
}

/// A column unpacked.
pub(super) enum Loaded {
    Integers { values: Vec<u64>, width: Width, widths: Bytes },
    Numbers(Vec<u64>),
    Texts { list: List, places: Option<Vec<u64>> },
}

/// A template: columns, and the fixed text after the last.
pub(super) struct Template {
    pub(super) columns: Vec<u32>,
    tail: Range<u32>,
    pub(super) count: usize,
}

impl Coded {
    pub(super) fn open(streams: Streams) -> Result<Coded, Damaged> {
        let head = streams.get(0)?;
        let fixed = streams.get(1)?;
        let mut reader = Reader::new(&head);
        let rows = reader.count(MAX_ROWS)?;
        let mut texts = Fixed { end: 0, len: fixed.len() };
        let mut stream = 2;
        let (mut columns, parents) = read_columns(&mut reader, &mut texts, &mut stream)?;
        let count = reader.count(MAX_TEMPLATES.min(reader.len()))?;
        let mut templates = Vec::with_capacity(count);
        let (mut slots, mut values, mut counted) = (0, 0, 0);
        for _ in 0..count {
            let last = reader.count(columns.len())?.checked_sub(1);
            let tail = texts.next(&mut reader)?;
            let count = reader.count(rows - counted)?;
            counted += count;
            let up = |column: &usize| parents[*column];
            let mut path = Vec::new();
            for column in std::iter::successors(last, up) {
                slots += 1;
                if slots > MAX_SLOTS || values > MAX_VALUES {
                    return Err(Damaged("its templates are too long"));
                }
                columns[column].count += count;
                values += count;
                path.push(column as u32);
            }
            path.reverse();
            templates.push(Template { columns: path, tail, count });
        }
        if counted != rows {
            return Err(Damaged("its templates have not as many rows as it"));
        }
        let row_planes = numbers::read_planes(&mut reader)?;
        if stream + row_planes != streams.len() {
            return Err(Damaged("it has not the streams its head says"));
        }
        let template_of = OnceLock::new();
        Ok(Coded {
            parents,
            streams,
            columns,
            templates,
            fixed,
            rows,
            row_planes,
            row_stream: stream,
            template_of,
        })
    }

    pub(super) fn len(&self) -> usize {
        self.rows
    }

    /// The template of each row.
    pub(super) fn template_of(&self) -> Result<&[u16], Damaged> {
        let read = || {
            let rows =
                numbers::unplane(self.row_stream, self.row_planes, self.rows, &self.streams)?;
            let mut left: Vec<usize> =
                self.templates.iter().map(|template| template.count).collect();
            let checked = rows.into_iter().map(|template| {
                let left = left.get_mut(template as usize)?;
                *left = left.checked_sub(1)?;
                Some(template as u16)
            });
            checked.collect::<Option<_>>().ok_or(Damaged("a row has no template"))
        };
        self.template_of.get_or_init(read).as_deref().map_err(|damaged| *damaged)
    }

    /// The fixed texts of a template: before each of its columns, and after the last.
    pub(super) fn fixed<'c>(&'c self, template: &'c Template) -> impl Iterator<Item = &'c [u8]> {
        let before = template.columns.iter().map(|column| &self.columns[*column as usize].before);
        before.chain([&template.tail]).map(|range| self.text(range))
    }

    fn text(&self, range: &Range<u32>) -> &[u8] {
        &self.fixed[range.start as usize..range.end as usize]
    }

    /// A column, unpacked.
    pub(super) fn loaded(&self, column: u32) -> Result<&Loaded, Damaged> {
        let slots = &self.columns[column as usize];
        slots.loaded.get_or_init(|| self.load(column)).as_ref().map_err(|damaged| *damaged)
    }

    fn load(&self, column: u32) -> Result<Loaded, Damaged> {
        let Slots { count, stored, .. } = &self.columns[column as usize];
        let (count, streams) = (*count, &self.streams);
        let untell = |up, places: &mut [u64]| self.untell(column as usize, up, places);
        Ok(match stored {
            Stored::Integers { width, numbers } => {
                let widths = match width {
                    Width::Each(stream) => streams.get(*stream)?,
                    _ => Bytes::new(),
                };
                if matches!(width, Width::Each(_)) && widths.len() != count {
                    return Err(Damaged("the widths of integers are missing"));
                }
                let values = numbers.all(count, streams, untell)?;
                Loaded::Integers { values, width: *width, widths }
            }
            Stored::Numbers(numbers) => Loaded::Numbers(numbers.all(count, streams, untell)?),
            Stored::Texts(texts) => Loaded::Texts {
                list: texts.list(count, streams)?,
                places: texts.places(count, streams, untell)?,
            },
        })
    }

    /// Puts the places of a column back that are told by the one so many up.
    fn untell(&self, column: usize, up: usize, places: &mut [u64]) -> Result<(), Damaged> {
        if up == 0 {
            return Ok(());
        }
        let teller = (0..up).try_fold(column, |column, _| self.parents[column]);
        let teller = teller.ok_or(Damaged("what tells a column is missing"))?;
        let keys = match self.loaded(teller as u32)? {
            Loaded::Integers { values, .. } | Loaded::Numbers(values) => values,
            Loaded::Texts { places: Some(places), .. } => places,
            Loaded::Texts { places: None, .. } => {
                return Err(Damaged("what tells a column has no list"));
            }
        };
        // A row that has the column has the one above it, too.
        let has = |template: &Template, column| template.columns.contains(&(column as u32));
        let has: Vec<(bool, bool)> = self
            .templates
            .iter()
            .map(|template| (has(template, column), has(template, teller)))
            .collect();
        let mut at = 0;
        let mut aligned = Vec::with_capacity(places.len());
        for template in self.template_of()? {
            let (told, tells) = has[usize::from(*template)];
            if told {
                aligned.push(keys[at]);
            }
            at += usize::from(tells);
        }
        context::untell(&aligned, places)
    }

    /// Shows the values of some rows, which are in ascending order.
    pub(super) fn some(
        &self,
        wanted: impl Iterator<Item = usize>,
        see: &mut dyn FnMut(usize, &[u8]),
    ) -> Result<(), Damaged> {
        let template_of = self.template_of()?;
        let mut cursors = Cursors::new(self);
        let mut value = Vec::new();
        let mut total = 0;
        let mut next = 0;
        for row in wanted {
            let skipped = template_of.get(next..row).ok_or(Damaged("a row is missing"))?;
            skipped.iter().for_each(|template| cursors.skip(*template));
            let number = *template_of.get(row).ok_or(Damaged("a row is missing"))?;
            next = row + 1;
            cursors.settle();
            value.clear();
            let template = &self.templates[usize::from(number)];
            for column in &template.columns {
                let slots = &self.columns[*column as usize];
                value.extend_from_slice(self.text(&slots.before));
                let loaded = self.loaded(*column)?;
                let at = cursors.step(*column);
                loaded.write(slots.kind, at, &mut value);
                if value.len() > MAX_BYTES {
                    break;
                }
            }
            value.extend_from_slice(self.text(&template.tail));
            total += value.len();
            if total > MAX_BYTES {
                return Err(Damaged("its values are too long"));
            }
            see(row, &value);
        }
        Ok(())
    }
}

/// How far each column has been read. Rows that are skipped are counted by template, and only settled
/// with the columns before the next row that is wanted.
struct Cursors<'c> {
    coded: &'c Coded,
    at: Vec<u32>,
    skipped: Vec<u32>,
    touched: Vec<u16>,
}

impl<'c> Cursors<'c> {
    fn new(coded: &'c Coded) -> Cursors<'c> {
        Cursors {
            coded,
            at: vec![0; coded.columns.len()],
            skipped: vec![0; coded.templates.len()],
            touched: Vec::new(),
        }
    }

    fn skip(&mut self, template: u16) {
        let skipped = &mut self.skipped[usize::from(template)];
        if *skipped == 0 {
            self.touched.push(template);
        }
        *skipped += 1;
    }

    fn settle(&mut self) {
        for template in self.touched.drain(..) {
            let skipped = std::mem::take(&mut self.skipped[usize::from(template)]);
            for column in &self.coded.templates[usize::from(template)].columns {
                self.at[*column as usize] += skipped;
            }
        }
    }

    fn step(&mut self, column: u32) -> usize {
        let at = &mut self.at[column as usize];
        *at += 1;
        *at as usize - 1
    }
}

/// The fixed texts, which are read one after the other.
struct Fixed {
    end: usize,
    len: usize,
}

impl Fixed {
    fn next(&mut self, reader: &mut Reader) -> Result<Range<u32>, Damaged> {
        let start = self.end;
        self.end += reader.count(self.len - start)?;
        Ok(start as u32..self.end as u32)
    }
}

/// The columns, and the parent of each.
fn read_columns(
    reader: &mut Reader,
    texts: &mut Fixed,
    stream: &mut usize,
) -> Result<(Vec<Slots>, Vec<Option<usize>>), Damaged> {
    let count = reader.count(MAX_COLUMNS.min(reader.len()))?;
    let mut columns = Vec::with_capacity(count);
    let mut parents: Vec<Option<usize>> = Vec::with_capacity(count);
    let mut chains: Vec<u8> = Vec::with_capacity(count);
    for number in 0..count {
        // A parent comes before its children, so there are no circles.
        parents.push(reader.count(number)?.checked_sub(1));
        let before = texts.next(reader)?;
        let code = [reader.byte()?, reader.byte()?];
        let kind = Kind::of(code).ok_or(Damaged("a column is of no known kind"))?;
        let stored = match kind {
            Kind::Integer => {
                let width = match reader.byte()? {
                    SHORT => Width::Short,
                    OF_WIDTH => Width::Fixed(reader.count(lex::MAX_DIGITS)?),
                    EACH_ITS_WIDTH => {
                        *stream += 1;
                        Width::Each(*stream - 1)
                    }
                    _ => return Err(Damaged("integers are of no known width")),
                };
                Stored::Integers { width, numbers: Numbers::read(reader, stream)? }
            }
            kind if kind.is_number() => Stored::Numbers(Numbers::read(reader, stream)?),
            kind => Stored::Texts(Texts::read(kind, reader, stream)?),
        };
        let up = match &stored {
            Stored::Integers { numbers, .. } | Stored::Numbers(numbers) => numbers.up,
            Stored::Texts(texts) => texts.up,
        };
        let told_by = (0..up).try_fold(number, |column, _| *parents.get(column)?);
        let chain = match told_by.ok_or(Damaged("what tells a column is missing"))? {
            by if by == number => 0,
            by => chains[by] + 1,
        };
        if chain > context::MAX_CHAIN {
            return Err(Damaged("its columns are told by too many others"));
        }
        chains.push(chain);
        columns.push(Slots { kind, count: 0, stored, before, loaded: OnceLock::new() });
    }
    Ok((columns, parents))
}

impl Loaded {
    /// Appends what stands in the slot of one row of the column.
    pub(super) fn write(&self, kind: Kind, at: usize, value: &mut Vec<u8>) {
        match self {
            Loaded::Integers { values, width, widths } => {
                let width = match width {
                    Width::Short => 0,
                    Width::Fixed(width) => *width,
                    Width::Each(_) => usize::from(widths[at]),
                };
                digits(values[at], width, value);
            }
            Loaded::Numbers(values) => number(kind, values[at], value),
            Loaded::Texts { list, places } => {
                let place = places.as_ref().map_or(at, |places| places[at] as usize);
                value.extend_from_slice(list.get(place));
            }
        }
    }
}
