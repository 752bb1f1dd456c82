//! From the text of a JSON object to fields, in one pass and without a tree.
//!
//! Every value gets the name of the way to it, joined by dots; elements of an array share that of the
//! array. Two ways can come to one name only where an object has a key with a dot in it beside one
//! that leads further down, and a key can be said twice: an object of which either is so is settled
//! when it ends, all others are right as they were read. The text of an object below the top is written
//! as it is read, once for all the levels it is in, and the texts in it point into it.

use std::collections::HashMap;
use std::fmt::{self, Write};

use hengwei_rules::Key;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::super::names::{self, Table};
use super::{Field, Held, JsonEvents, NotAnEvent};

/// What reading takes besides, kept from one event to the next.
#[derive(Debug, Default)]
pub(super) struct Buffers {
    /// The name of the way to where reading is.
    path: String,
    /// Texts inside an object that look different in its text.
    apart: String,
    /// The members of the objects that reading is in, outermost first.
    members: Vec<Member>,
    /// Keys as they were said, of those with spaces.
    spaced: String,
    /// By key, the object in which it was last met, counted from 1.
    met: Vec<u64>,
    objects: u64,
}

/// A key of an object with its value.
#[derive(Debug, Clone, Copy)]
struct Member {
    /// The name of the way to it.
    key: Key,
    /// Bytes of the key itself.
    len: u32,
    /// The key as it was said, when it had spaces: a span of [`Buffers::spaced`].
    said: Option<(u32, u32)>,
    /// Where its fields begin.
    first: usize,
}

/// Reads an object. What an error leaves behind is the caller's to remove.
pub(super) fn object(
    line: &str,
    table: &mut Table,
    text: &mut String,
    fields: &mut Vec<Field>,
    buffers: &mut Buffers,
) -> Result<(), NotAnEvent> {
    if line.len() > JsonEvents::MAX_LINE {
        return Err(NotAnEvent::TooLong);
    }
    buffers.path.clear();
    buffers.apart.clear();
    buffers.members.clear();
    buffers.spaced.clear();
    let (base, first) = (text.len(), fields.len());
    let mut reader =
        Reader { table, text, fields, buffers, base, before: names::NONE, writes: false };
    let mut json = serde_json::Deserializer::from_str(line);
    let read = Top(&mut reader).deserialize(&mut json).and_then(|()| json.end());
    read.map_err(|error| match error.is_data() {
        true => NotAnEvent::NotAnObject,
        false => NotAnEvent::Malformed(error),
    })?;
    if !buffers.apart.is_empty() {
        let moved = narrow(text.len() - base);
        text.push_str(&buffers.apart);
        for field in &mut fields[first..] {
            if let Held::Apart { start, len } = field.held {
                field.held = Held::Text { start: start + moved, len };
            }
        }
    }
    Ok(())
}

/// A length within a line, which is far below 4 GiB whatever is written of it.
fn narrow(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

/// Writes text as JSON; whether it is the same between its quotes.
fn quote(out: &mut String, text: &str) -> bool {
    let same = !text.bytes().any(|byte| byte < b' ' || byte == b'"' || byte == b'\\');
    if same {
        out.push('"');
        out.push_str(text);
        out.push('"');
    } else {
        out.push_str(&serde_json::Value::from(text).to_string());
    }
    same
}

struct Reader<'r> {
    table: &'r mut Table,
    text: &'r mut String,
    fields: &'r mut Vec<Field>,
    buffers: &'r mut Buffers,
    /// Where the event's text begins.
    base: usize,
    /// The name met before.
    before: Key,
    /// Whether the text of an object is being written.
    writes: bool,
}

impl Reader<'_> {
    fn field(&mut self, key: Key, held: Held) {
        self.fields.push(Field { key, held });
    }

    fn scalar(&mut self, key: Key, held: Held, written: impl fmt::Display) {
        if self.writes {
            // Writing to a String cannot fail.
            let _ = write!(self.text, "{written}");
        }
        self.field(key, held);
    }

    fn string(&mut self, key: Key, text: &str) {
        let len = narrow(text.len());
        let held = if !self.writes {
            let start = narrow(self.text.len() - self.base);
            self.text.push_str(text);
            Held::Text { start, len }
        } else if quote(self.text, text) {
            Held::Text { start: narrow(self.text.len() - self.base) - len - 1, len }
        } else {
            let start = narrow(self.buffers.apart.len());
            self.buffers.apart.push_str(text);
            Held::Apart { start, len }
        };
        self.field(key, held);
    }

    /// Notes a key below the path as it was up to `base`: its length and, when it had spaces, as it was.
    fn key(&mut self, said: &str, base: Option<usize>) -> (usize, Option<(u32, u32)>) {
        let path = &mut self.buffers.path;
        path.truncate(base.unwrap_or(0));
        if base.is_some() {
            path.push('.');
        }
        let start = path.len();
        if !said.as_bytes().contains(&b' ') {
            path.push_str(said);
            return (start, None);
        }
        path.extend(said.chars().filter(|character| *character != ' '));
        let spaced = &mut self.buffers.spaced;
        let span = (narrow(spaced.len()), narrow(said.len()));
        spaced.push_str(said);
        (start, Some(span))
    }

    /// Reads the members of an object whose name is the path; `base` is None at the top.
    fn members<'de, A: MapAccess<'de>>(
        &mut self,
        mut map: A,
        base: Option<usize>,
    ) -> Result<(), A::Error> {
        let (first_member, first_field) = (self.buffers.members.len(), self.fields.len());
        self.buffers.objects += 1;
        let object = self.buffers.objects;
        let (mut repeats, mut dotted, mut leads_on, mut began) = (false, false, false, false);
        while let Some((start, said)) = map.next_key_seed(NextKey { reader: self, base })? {
            let (key, reads) = self.name(base.is_none());
            let len = self.buffers.path.len() - start;
            dotted |= self.buffers.path.as_bytes()[start..].contains(&b'.');
            if self.writes {
                if std::mem::replace(&mut began, true) {
                    self.text.push(',');
                }
                quote(self.text, &self.buffers.path[start..]);
                self.text.push(':');
            }
            if matches!(reads, Reads::Nothing) {
                map.next_value::<IgnoredAny>()?;
                continue;
            }
            if key != names::NONE {
                let index = key.0 as usize;
                if self.buffers.met.len() <= index {
                    self.buffers.met.resize(self.table.len().max(index + 1), 0);
                }
                repeats |= std::mem::replace(&mut self.buffers.met[index], object) == object;
            }
            let first = self.fields.len();
            self.buffers.members.push(Member { key, len: narrow(len), said, first });
            leads_on |= map.next_value_seed(At { reader: self, key, reads })?;
        }
        if repeats || (dotted && leads_on) {
            self.settle(first_member, first_field);
        }
        self.buffers.members.truncate(first_member);
        Ok(())
    }

    /// The key of the path, and what is read of its value.
    fn name(&mut self, top: bool) -> (Key, Reads) {
        let name = &self.buffers.path;
        if top && name.starts_with('_') {
            return match self.table.find(name) {
                Some(key) if key < names::HIDDEN => (key, Reads::Scalars),
                _ => (names::NONE, Reads::Nothing),
            };
        }
        let key = self.table.meet(name, self.before);
        self.before = key;
        (key, Reads::All)
    }

    /// Of the members of an object that ends, removes those said again elsewhere, and takes the name
    /// from the values that another way to it goes before.
    fn settle(&mut self, first_member: usize, first_field: usize) {
        let members = &self.buffers.members[first_member..];
        let said = |member: &Member| {
            member.said.map(|(start, len)| {
                let start = start as usize;
                self.buffers.spaced.get(start..start + len as usize)
            })
        };
        let mut order: Vec<usize> = (0..members.len()).collect();
        order.sort_by_key(|&index| members[index].key);
        let mut stays = vec![false; members.len()];
        for same in order.chunk_by(|&left, &right| members[left].key == members[right].key) {
            for &index in same {
                stays[index] = members[index].key == names::NONE;
            }
            let first = said(&members[same[0]]);
            if let Some(&last) = same.iter().rev().find(|&&index| said(&members[index]) == first) {
                stays[last] = true;
            }
        }
        let mut kept: Vec<(u32, Field)> = Vec::new();
        for (index, member) in members.iter().enumerate() {
            if stays[index] {
                let end = members.get(index + 1).map_or(self.fields.len(), |next| next.first);
                kept.extend(
                    self.fields[member.first..end].iter().map(|field| (member.len, *field)),
                );
            }
        }
        let mut longest: HashMap<Key, u32> = HashMap::new();
        for (len, field) in &kept {
            let most = longest.entry(field.key).or_default();
            *most = (*most).max(*len);
        }
        self.fields.truncate(first_field);
        for (len, mut field) in kept {
            if longest.get(&field.key).is_some_and(|most| len < *most) {
                field.key = names::NONE;
            }
            if field.key != names::NONE || field.held.is_leaf() {
                self.fields.push(field);
            }
        }
    }
}

/// What is read of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reads {
    All,
    /// Not what is inside an object or array.
    Scalars,
    Nothing,
}

/// The object at the top.
struct Top<'t, 'r>(&'t mut Reader<'r>);

impl<'de> DeserializeSeed<'de> for Top<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Top<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<(), A::Error> {
        self.0.members(map, None)
    }
}

/// A key of the object whose path goes up to `base`; its value is where it begins in the path.
struct NextKey<'t, 'r> {
    reader: &'t mut Reader<'r>,
    base: Option<usize>,
}

impl<'de> DeserializeSeed<'de> for NextKey<'_, '_> {
    type Value = (usize, Option<(u32, u32)>);

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for NextKey<'_, '_> {
    type Value = (usize, Option<(u32, u32)>);

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E: Error>(self, said: &str) -> Result<Self::Value, E> {
        Ok(self.reader.key(said, self.base))
    }
}

/// A value at the reader's path; whether it is an object or an array.
struct At<'t, 'r> {
    reader: &'t mut Reader<'r>,
    key: Key,
    reads: Reads,
}

impl<'de> DeserializeSeed<'de> for At<'_, '_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for At<'_, '_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_str<E>(self, text: &str) -> Result<bool, E> {
        self.reader.string(self.key, text);
        Ok(false)
    }

    fn visit_i64<E>(self, number: i64) -> Result<bool, E> {
        self.reader.scalar(self.key, Held::Integer(number), number);
        Ok(false)
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<bool, E> {
        match i64::try_from(number) {
            Ok(number) => self.visit_i64(number),
            // Beyond 64 bits with a sign, what is written says more than the nearest number.
            Err(_) if !self.reader.writes => self.visit_str(&number.to_string()),
            Err(_) => {
                let reader = self.reader;
                let written = number.to_string();
                let start = narrow(reader.text.len() - reader.base);
                let held = Held::Text { start, len: narrow(written.len()) };
                reader.scalar(self.key, held, written);
                Ok(false)
            }
        }
    }

    fn visit_f64<E>(self, number: f64) -> Result<bool, E> {
        self.reader.scalar(self.key, Held::Number(number), serde_json::Value::from(number));
        Ok(false)
    }

    fn visit_bool<E>(self, flag: bool) -> Result<bool, E> {
        self.reader.scalar(self.key, Held::Flag(flag), flag);
        Ok(false)
    }

    fn visit_unit<E>(self) -> Result<bool, E> {
        self.reader.scalar(self.key, Held::Null, "null");
        Ok(false)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<bool, A::Error> {
        let At { reader, key, reads } = self;
        if reads == Reads::Scalars {
            while items.next_element::<IgnoredAny>()?.is_some() {}
            reader.field(key, Held::Empty);
            return Ok(false);
        }
        let mut count = 0u64;
        if reader.writes {
            reader.text.push('[');
        }
        loop {
            let comma = reader.writes && count > 0;
            let before = reader.text.len();
            if comma {
                reader.text.push(',');
            }
            if items.next_element_seed(At { reader: &mut *reader, key, reads })?.is_none() {
                reader.text.truncate(before);
                break;
            }
            count += 1;
        }
        if reader.writes {
            reader.text.push(']');
        }
        if count == 0 {
            reader.field(key, Held::Empty);
        }
        Ok(true)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<bool, A::Error> {
        let At { reader, key, reads } = self;
        if reads == Reads::Scalars {
            while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
            reader.field(key, Held::Empty);
            return Ok(false);
        }
        let place = reader.fields.len();
        reader.field(key, Held::Empty);
        let start = reader.text.len();
        let outside = std::mem::replace(&mut reader.writes, true);
        reader.text.push('{');
        let base = reader.buffers.path.len();
        reader.members(map, Some(base))?;
        reader.buffers.path.truncate(base);
        reader.text.push('}');
        reader.writes = outside;
        let span = (narrow(start - reader.base), narrow(reader.text.len() - start));
        reader.fields[place].held = Held::Whole { start: span.0, len: span.1 };
        Ok(true)
    }
}
