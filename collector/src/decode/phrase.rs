//! Messages that a program writes as sentences, told by what is fixed in them.
//!
//! In: a table of forms such as `login failure for user {user} from {ip} via {method}`, and a message. Out: the
//! fields that stand in the form's holes, and what the form says happened. A form fits only as a whole.
//!
//! A hole is typed: an address must be one, a word has no blanks. Where a hole may hold anything (a user
//! name that a stranger typed, a reason), what stands behind it is found from the end of the message,
//! where the program wrote it. A user called `x from 192.0.2.1 via ssh` therefore is one with a long name,
//! and the address stays that of the connection.
//!
//! Holes: `{user}` and `{reason}` (anything), `{ip}`, `{peer}` (an address, maybe with a port), `{from}` (a
//! host, whose name is no address), `{method}`, `{code}`, `{_}` (a word that is not kept), `{*}` (anything
//! that is not kept), or the name of any field: an address where it ends in `.ip`, a number where it ends
//! in `.port` or `.pid`, an address with a port where it is `destination`, otherwise a word; with a `*`
//! behind the name it may be anything.

use super::out::Out;
use super::scan;
use crate::event::{FieldId, names};

/// The longest text that a hole takes, in bytes.
const MAX_HOLE: usize = 1_024;

/// One form and what it means.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Row {
    form: &'static str,
    category: &'static str,
    action: &'static str,
    outcome: Option<bool>,
    kind: Option<&'static str>,
    method: Option<&'static str>,
}

/// A message of this form is an event of this category and action.
pub(crate) const fn row(form: &'static str, category: &'static str, action: &'static str) -> Row {
    Row { form, category, action, outcome: None, kind: None, method: None }
}

impl Row {
    /// It worked.
    pub(crate) const fn ok(self) -> Row {
        Row { outcome: Some(true), ..self }
    }

    /// It did not work.
    pub(crate) const fn failed(self) -> Row {
        Row { outcome: Some(false), ..self }
    }

    /// `event.type`.
    pub(crate) const fn kind(self, kind: &'static str) -> Row {
        Row { kind: Some(kind), ..self }
    }

    /// The method by which somebody signed in, where the form knows it.
    pub(crate) const fn by(self, method: &'static str) -> Row {
        Row { method: Some(method), ..self }
    }
}

/// The forms of a family of messages, taken apart.
#[derive(Debug)]
pub(crate) struct Phrases {
    phrases: Vec<Phrase>,
    /// Which phrases may fit a message, by its first byte.
    by_first: Vec<Vec<u16>>,
}

#[derive(Debug)]
struct Phrase {
    row: &'static Row,
    parts: Vec<Part>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Part {
    Literal(&'static str),
    Hole(Hole),
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Hole {
    Free(Option<FieldId>),
    Word(Option<FieldId>),
    Address(FieldId),
    Number(FieldId),
    /// An address, maybe with a port.
    Peer(FieldId, FieldId),
    /// An address, maybe with a port, or a name.
    From,
}

impl Phrases {
    /// Takes the forms of a table apart; the first that fits a message counts.
    pub(crate) fn new(rows: &'static [Row]) -> Phrases {
        let phrases: Vec<Phrase> =
            rows.iter().map(|row| Phrase { row, parts: parts(row.form) }).collect();
        let mut by_first = vec![Vec::new(); 256];
        for (index, phrase) in (0..).zip(&phrases) {
            let first = match phrase.parts.first() {
                Some(Part::Literal(literal)) => literal.as_bytes().first(),
                _ => None,
            };
            for (byte, list) in (0..=u8::MAX).zip(&mut by_first) {
                if first.is_none_or(|first| *first == byte) {
                    list.push(index);
                }
            }
        }
        Phrases { phrases, by_first }
    }

    /// Reads a message; None when no form fits.
    pub(crate) fn read(&self, message: &str, out: &mut Out) -> Option<&'static Row> {
        let first = usize::from(*message.as_bytes().first()?);
        let candidates = self.by_first.get(first)?;
        let phrase = candidates.iter().find_map(|index| {
            let phrase = self.phrases.get(usize::from(*index))?;
            let mark = out.mark();
            let fits = fill(&phrase.parts, message, out).is_some();
            if !fits {
                // Only the fields: what the caller concluded before stays.
                out.fields.truncate(mark.fields);
            }
            fits.then_some(phrase)
        })?;
        let row = phrase.row;
        out.event(row.category, row.action);
        if let Some(success) = row.outcome {
            out.outcome(success);
        }
        if let Some(kind) = row.kind {
            out.word(names::EVENT_TYPE, kind);
        }
        if let Some(method) = row.method {
            out.word(names::HENGWEI_AUTH_METHOD, method);
        }
        out.security |= matches!(
            row.category,
            "authentication" | "configuration" | "intrusion_detection" | "iam"
        );
        Some(row)
    }
}

/// A form's literals and holes. What is no hole that is known becomes a literal, which fits nothing.
fn parts(form: &'static str) -> Vec<Part> {
    let mut parts = Vec::new();
    let mut rest = form;
    while let Some((before, behind)) = rest.split_once('{') {
        let Some((name, after)) = behind.split_once('}') else { break };
        if !before.is_empty() {
            parts.push(Part::Literal(before));
        }
        parts.push(Part::Hole(hole(name)));
        rest = after;
    }
    if !rest.is_empty() {
        parts.push(Part::Literal(rest));
    }
    parts
}

fn hole(name: &str) -> Hole {
    match name {
        "*" => Hole::Free(None),
        "_" => Hole::Word(None),
        "user" => Hole::Free(Some(names::USER_NAME)),
        "reason" => Hole::Free(Some(names::EVENT_REASON)),
        "ip" => Hole::Address(names::SOURCE_IP),
        "peer" => Hole::Peer(names::SOURCE_IP, names::SOURCE_PORT),
        "destination" => Hole::Peer(names::DESTINATION_IP, names::DESTINATION_PORT),
        "from" => Hole::From,
        "method" => Hole::Word(Some(names::HENGWEI_AUTH_METHOD)),
        "code" => Hole::Word(Some(names::EVENT_CODE)),
        name => match name.strip_suffix('*') {
            Some(name) => Hole::Free(Some(FieldId::of(name))),
            None if name.ends_with(".ip") => Hole::Address(FieldId::of(name)),
            None if name.ends_with(".port") || name.ends_with(".pid") => {
                Hole::Number(FieldId::of(name))
            }
            None => Hole::Word(Some(FieldId::of(name))),
        },
    }
}

/// Fits parts to a text: from its beginning up to the hole that takes anything, then from its end.
fn fill(parts: &[Part], text: &str, out: &mut Out) -> Option<()> {
    let free = parts.iter().position(|part| matches!(part, Part::Hole(Hole::Free(_))));
    let (front, back) = parts.split_at(free.unwrap_or(parts.len()));
    let mut rest = text;
    let mut front = front.iter().peekable();
    while let Some(part) = front.next() {
        match part {
            Part::Literal(literal) => rest = rest.strip_prefix(literal)?,
            Part::Hole(hole) => {
                let end = match front.peek() {
                    Some(Part::Literal(literal)) => {
                        memchr::memmem::find(rest.as_bytes(), literal.as_bytes())?
                    }
                    _ => rest.len(),
                };
                take(*hole, rest.get(..end)?, out)?;
                rest = rest.get(end..)?;
            }
        }
    }
    let Some((Part::Hole(free), back)) = back.split_first() else {
        return rest.is_empty().then_some(());
    };
    let mut at = back.len();
    while let Some(part) = at.checked_sub(1).and_then(|last| back.get(last)) {
        at -= 1;
        match part {
            Part::Literal(literal) => rest = rest.strip_suffix(literal)?,
            Part::Hole(hole) => {
                let start = match at.checked_sub(1).and_then(|before| back.get(before)) {
                    Some(Part::Literal(literal)) => {
                        memchr::memmem::rfind(rest.as_bytes(), literal.as_bytes())? + literal.len()
                    }
                    _ => return None,
                };
                take(*hole, rest.get(start..)?, out)?;
                rest = rest.get(..start)?;
            }
        }
    }
    take(*free, rest, out)
}

/// Writes what stands in a hole, if it may stand there.
fn take(hole: Hole, text: &str, out: &mut Out) -> Option<()> {
    match hole {
        Hole::Free(id) => {
            let end = text.floor_char_boundary(MAX_HOLE);
            if let Some(id) = id {
                out.some(id, text.get(..end)?.trim());
            }
        }
        Hole::Word(id) => {
            if text.is_empty() || text.len() > MAX_HOLE || text.contains([' ', '\t']) {
                return None;
            }
            if let Some(id) = id {
                out.text(id, text);
            }
        }
        Hole::Number(id) => {
            let number: u32 = text.parse().ok()?;
            out.integer(id, number.into());
        }
        Hole::Address(id) => out.address(id, scan::address(text)?),
        Hole::Peer(ip, port) => peer(ip, port, text, out)?,
        Hole::From => {
            if peer(names::SOURCE_IP, names::SOURCE_PORT, text, out).is_none() {
                take(Hole::Word(Some(names::SOURCE_ADDRESS)), text, out)?;
            }
        }
    }
    Some(())
}

fn peer(ip: FieldId, port: FieldId, text: &str, out: &mut Out) -> Option<()> {
    if let Some(address) = scan::address(text) {
        out.address(ip, address);
    } else {
        let (address, number) = scan::endpoint(text)?;
        out.address(ip, address);
        out.integer(port, number.into());
    }
    Some(())
}

/// For the tests of those who have forms: no hole touches another, and no brace is left over.
#[cfg(test)]
pub(crate) fn check(rows: &'static [Row]) {
    for row in rows {
        let parts = parts(row.form);
        let touching = parts.windows(2).any(|two| matches!(two, [Part::Hole(_), Part::Hole(_)]));
        assert!(!touching, "{}", row.form);
        let braces = |part: &Part| matches!(part, Part::Literal(text) if text.contains(['{', '}']));
        assert!(!parts.iter().any(braces), "{}", row.form);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Value;

    const ROWS: &[Row] = &[
        row("login failure for user {user} from {ip} via {method}", "authentication", "login")
            .failed(),
        row("peer {peer} gone", "network", "end"),
        row("{source.domain} said {reason}", "network", "said"),
    ];

    #[track_caller]
    fn read(message: &str) -> Option<(&'static str, Vec<(FieldId, Value)>)> {
        let phrases = Phrases::new(ROWS);
        let mut out = Out::new("");
        out.begin(message, 0);
        let row = phrases.read(message, &mut out)?;
        Some((row.action, out.fields))
    }

    #[test]
    fn what_follows_a_name_is_read_from_the_end() {
        check(ROWS);
        let forged = "login failure for user x from 192.0.2.1 via ssh from 203.0.113.9 via telnet";
        let (action, fields) = read(forged).expect("it fits");
        assert_eq!(action, "login");
        let address =
            fields.iter().find(|(id, _)| *id == names::SOURCE_IP).map(|(_, value)| *value);
        assert_eq!(address, Some(Value::Address("203.0.113.9".parse().expect("an address"))));
        let user = fields.iter().find(|(id, _)| *id == names::USER_NAME).map(|(_, value)| *value);
        assert_eq!(user, Some(Value::Text { start: 23, len: 24 }));
    }

    #[test]
    fn a_form_fits_as_a_whole_or_not() {
        assert_eq!(read("peer 192.0.2.1:80 gone").map(|(action, _)| action), Some("end"));
        assert_eq!(read("peer [2001:db8::1]:80 gone").map(|(action, _)| action), Some("end"));
        assert_eq!(read("peer pc01 gone"), None);
        assert_eq!(read("peer 192.0.2.1 gone away"), None);
        assert_eq!(read("login failure for user a from pc01 via ssh"), None);
        assert_eq!(read("host said no").map(|(action, _)| action), Some("said"));
        assert_eq!(read("a host said no"), None);
        assert_eq!(read(""), None);
    }
}
