//! What an object means that no product's decoder knows: a request to a web server, a finding of a security
//! appliance, somebody signing in, a line of an application's log.
//!
//! The fields stay as they are, under the line's own names; what is certain is said once more in the names of
//! the Elastic Common Schema. Certain means by several keys and their values together: an address and a status
//! and a method, two ends of a connection and a decision, a user and a word that says nothing but "login failed".
//! One key alone says nothing: `ip`, `status`, `type` and `action` stand in everybody's lines.
//!
//! Any value may be a stranger's, but JSON keeps it a value. Where a line names two users, two clients or two
//! outcomes, none is taken and the event says so. What a line says in ECS itself is never overruled.

use std::borrow::Cow;

use super::roles::{self, KEYS, Key};
use super::{appliance, application, products, requests, signing};
use crate::decode::out::Out;
use crate::decode::{Line, network, time};
use crate::event::{FieldId, Value, names};

/// The place of what is not there.
const NOWHERE: u16 = u16::MAX;

/// What stands where in a line.
pub(super) struct Picture<'l> {
    /// The message that was read: text of fields are slices of it or in the arena.
    message: &'l str,
    /// The first of the line's own fields.
    from: usize,
    /// The fields of each key: the first, and the last where there are more.
    places: [[u16; 2]; KEYS],
    /// The keys that are there, by their bits.
    keys: u64,
    /// The traits of all names together.
    pub(super) traits: u8,
    /// What the names say for the line being an appliance's.
    pub(super) meanings: u32,
}

/// Says what the line's fields mean together.
pub(super) fn conclude(line: &Line<'_>, picture: &Picture<'_>, out: &mut Out) {
    // Of most lines nothing more is known.
    if picture.keys == 0 && picture.traits & roles::TOLD == 0 {
        return;
    }
    if out.time.is_none() {
        date(picture, out);
    }
    application::conclude(picture, out);
    let named = picture.traits & roles::PRODUCT != 0;
    let told = signing::conclude(picture, out) || named && products::conclude(picture, out);
    if picture.traits & roles::ECS != 0 || told {
        return;
    }
    if let Some(dataset) =
        appliance::conclude(picture, out).or_else(|| requests::conclude(picture, out))
        && line.configured.is_empty()
    {
        out.dataset = Some(dataset);
    }
}

/// Dates a line that says when under another name than most.
fn date(picture: &Picture<'_>, out: &mut Out) {
    let Some(value) = picture.value(Key::Time, out) else { return };
    let text = picture.text(value, out);
    let bytes = text.as_bytes();
    let stamp = time::iso(bytes).or_else(|| time::slashes(bytes)).map(|(stamp, _)| stamp);
    match stamp.or_else(|| time::clf(bytes)) {
        Some(stamp) => out.stamp(&stamp),
        None => out.time = text.parse().ok().and_then(super::epoch),
    }
}

impl<'l> Picture<'l> {
    /// That of the fields from `from` on.
    pub(super) fn of(message: &'l str, from: usize, out: &Out) -> Picture<'l> {
        let mut picture = Picture {
            message,
            from,
            places: [[NOWHERE; 2]; KEYS],
            keys: 0,
            traits: 0,
            meanings: 0,
        };
        let fields = out.fields.get(from..).unwrap_or_default();
        roles::each(fields.iter().map(|(id, _)| *id), |at, role| {
            picture.traits |= role.traits;
            picture.meanings += u32::from(role.weight);
            let Some(place) = picture.places.get_mut(usize::from(role.key)) else { return };
            let Ok(at) = u16::try_from(at) else { return };
            picture.keys |= 1 << role.key;
            let [first, last] = place;
            if *first == NOWHERE {
                *first = at;
            } else {
                *last = at;
            }
        });
        picture
    }

    /// Whether a name is one that only a product with a decoder of its own gives.
    pub(super) fn is_of_product(&self) -> bool {
        self.traits & roles::DECODED != 0
    }

    /// Whether some key is there at all.
    pub(super) fn has(&self, key: Key) -> bool {
        self.keys & 1 << key as u8 != 0
    }

    fn fields<'o>(&self, out: &'o Out) -> &'o [(FieldId, Value)] {
        out.fields.get(self.from..).unwrap_or_default()
    }

    /// The value of a key, the first where there are several.
    pub(super) fn value(&self, key: Key, out: &Out) -> Option<Value> {
        let [first, _] = *self.places.get(key as usize)?;
        Some(self.fields(out).get(usize::from(first))?.1)
    }

    /// The first and the last value of a key.
    pub(super) fn values(&self, key: Key, out: &Out) -> [Option<Value>; 2] {
        let place = self.places.get(key as usize).copied().unwrap_or([NOWHERE; 2]);
        place.map(|at| Some(self.fields(out).get(usize::from(at))?.1))
    }

    /// The name that the line gives to the value of a key.
    pub(super) fn name(&self, key: Key, out: &Out) -> &'static str {
        let at = self.places.get(key as usize).map(|place| place[0]);
        let field = at.and_then(|at| self.fields(out).get(usize::from(at)));
        field.map_or("", |(id, _)| id.name())
    }

    /// A value as text: a slice of the line where it is one.
    pub(super) fn text(&self, value: Value, out: &Out) -> Cow<'l, str> {
        match value {
            Value::Text { .. } | Value::Arena { .. } => {
                let shown = out.shown(self.message, value);
                let start = shown.as_ptr().addr().wrapping_sub(self.message.as_ptr().addr());
                let end = start.saturating_add(shown.len());
                match self.message.get(start..end) {
                    Some(slice) if slice.as_ptr() == shown.as_ptr() => Cow::Borrowed(slice),
                    _ => Cow::Owned(shown.to_owned()),
                }
            }
            Value::Integer(integer) => Cow::Owned(integer.to_string()),
            Value::Number(number) => Cow::Owned(number.to_string()),
            Value::Flag(flag) => Cow::Borrowed(if flag { "true" } else { "false" }),
            Value::Address(address) => Cow::Owned(address.to_string()),
        }
    }

    /// The text of a key, when its value is text that says something.
    pub(super) fn said(&self, key: Key, out: &Out) -> Option<Cow<'l, str>> {
        let value = self.value(key, out)?;
        let plain = matches!(value, Value::Text { .. } | Value::Arena { .. });
        Some(self.text(value, out)).filter(|text| plain && !network::words::nothing(text))
    }

    /// Says the value of a key once more under a name of ours, unless the line uses that name itself.
    pub(super) fn copy(&self, key: Key, id: FieldId, out: &mut Out) {
        if let Some(value) = self.value(key, out)
            && !network::words::nothing(&self.text(value, out))
            && !self.uses(id, out)
        {
            out.fields.push((id, value));
        }
    }

    /// Whether the line, or what was concluded of it, uses a name of ours.
    pub(super) fn uses(&self, id: FieldId, out: &Out) -> bool {
        self.fields(out).iter().any(|(known, _)| *known == id)
    }

    /// The whole number of a key, also one written as text.
    pub(super) fn integer(&self, key: Key, out: &Out) -> Option<i64> {
        match self.value(key, out)? {
            Value::Integer(integer) => Some(integer),
            value @ (Value::Text { .. } | Value::Arena { .. }) => {
                self.text(value, out).parse().ok()
            }
            _ => None,
        }
    }

    /// The first value of one of the line's own fields.
    pub(super) fn field(&self, field: FieldId, out: &Out) -> Option<Value> {
        self.fields(out).iter().find(|(id, _)| *id == field).map(|(_, value)| *value)
    }

    /// The line's own names and values, as an appliance's pairs.
    pub(super) fn pairs(&self, out: &Out) -> Vec<(&'static str, Cow<'l, str>)> {
        let own = |id: FieldId| id.0 as usize >= names::KNOWN.len();
        let fields = self.fields(out).iter().filter(|(id, _)| own(*id));
        fields.map(|(id, value)| (roles::inside(id.name()), self.text(*value, out))).collect()
    }
}
