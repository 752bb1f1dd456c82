//! What the records of one event say, before anything is concluded from it.
//!
//! Every known pair becomes its raw field at once. What the conclusions need is kept beside: the first
//! value of each key, the arguments, the paths. First, since what the kernel writes stands in front of
//! what user space adds, so an added `auid=0` changes nothing.

use std::borrow::Cow;

use super::keys::{self, COUNT, Key};
use super::types::Type;
use super::value::{Pair, Pairs, Value, lossy};
use crate::decode::out::Out;

/// Raw fields of one event; the records of a longer one are read on, without them.
const MAX_FIELDS: usize = 2_048;
/// Arguments that are kept.
const MAX_ARGUMENTS: usize = 1_024;
/// Paths that are kept.
const MAX_PATHS: usize = 64;
/// Keys of rules that are kept.
const MAX_KEYS: usize = 64;

/// One event's records, read.
#[derive(Debug)]
pub(super) struct Gathered<'a> {
    first: [Value<'a>; COUNT],
    /// The arguments of EXECVE, in order.
    pub(super) arguments: Vec<Cow<'a, [u8]>>,
    /// The first registers of the system call, in hexadecimal.
    pub(super) registers: [&'a str; 4],
    /// The items of PATH, in order.
    pub(super) paths: Vec<Item<'a>>,
    /// Every key of the rules that asked for the event.
    pub(super) keys: Vec<Cow<'a, str>>,
    /// The type that says what the event is.
    pub(super) leading: Option<&'static Type>,
    /// What SELinux decided, and about what: `denied`, `read`.
    pub(super) decision: Option<(&'a str, &'a str)>,
    /// A user message names its account or address twice.
    pub(super) ambiguous: bool,
    fields: usize,
    chunked: Option<usize>,
    missing: bool,
}

/// One PATH record.
#[derive(Debug, Default, Clone)]
pub(super) struct Item<'a> {
    pub(super) name: Value<'a>,
    pub(super) nametype: &'a str,
    pub(super) mode: &'a str,
    pub(super) uid: &'a str,
    pub(super) gid: &'a str,
}

impl<'a> Gathered<'a> {
    pub(super) fn new() -> Gathered<'a> {
        Gathered {
            first: [Value::default(); COUNT],
            arguments: Vec::new(),
            registers: [""; 4],
            paths: Vec::new(),
            keys: Vec::new(),
            leading: None,
            decision: None,
            ambiguous: false,
            fields: 0,
            chunked: None,
            missing: false,
        }
    }

    /// The first value of a key, where it says something.
    pub(super) fn get(&self, key: Key) -> Option<Value<'a>> {
        let value = *self.first.get(key.at())?;
        value.given().then_some(value)
    }

    /// As [`Gathered::get`], the text as it stands.
    pub(super) fn plain(&self, key: Key) -> Option<&'a str> {
        self.get(key).map(|value| value.text)
    }

    /// Reads one record.
    pub(super) fn record(&mut self, known: Option<&'static Type>, body: &'a str, out: &mut Out) {
        let name = known.map_or("", |known| known.name);
        if let Some(known) = known {
            self.lead(known);
        }
        let (body, enriched) = enriched(body);
        let mut item = Item::default();
        let mut open = false;
        for pair in Pairs::new(body) {
            open |= pair.open;
            match name {
                "EXECVE" if self.argument(pair, out) => continue,
                "SYSCALL" if self.register(pair, out) => continue,
                "PATH" => item.take(pair),
                _ => {}
            }
            self.pair(pair, name, out);
        }
        for pair in Pairs::new(enriched) {
            self.pair(pair, name, out);
        }
        match name {
            "PATH" if self.paths.len() < MAX_PATHS => self.paths.push(item),
            "AVC" | "USER_AVC" => self.decision = decision(body).or(self.decision),
            _ => {}
        }
        if open {
            out.problem("a quoted value is never closed: the record is cut");
        }
    }

    /// Says what is not as it should be, once all records are read.
    pub(super) fn check(&self, out: &mut Out) {
        let count = self.plain(keys::ARGC).and_then(|count| count.parse::<usize>().ok());
        let short = count.is_some_and(|count| count.min(MAX_ARGUMENTS) > self.arguments.len());
        if self.missing || short {
            out.problem("arguments are missing");
        }
        if self.fields > MAX_FIELDS {
            out.problem("the event has more fields than are kept");
        }
        if self.ambiguous {
            out.problem("the account or address stands in the message more than once");
        }
    }

    /// A record of its own kind leads; a SYSCALL leads those that only add to it.
    fn lead(&mut self, known: &'static Type) {
        let rank = |known: &Type| match (known.auxiliary, known.name) {
            (false, _) => 2,
            (true, "SYSCALL") => 1,
            (true, _) => 0,
        };
        if self.leading.is_none_or(|leading| rank(known) > rank(leading)) {
            self.leading = Some(known);
        }
    }

    fn pair(&mut self, pair: Pair<'a>, name: &str, out: &mut Out) {
        let Some(key) = keys::find(pair.key) else { return };
        if !pair.value.given() {
            return;
        }
        // `name=` of a path is the file's, not the event's.
        let own = !(name == "PATH" && key == keys::NAME);
        if own && let Some(first) = self.first.get_mut(key.at()) {
            if first.text.is_empty() {
                *first = pair.value;
            } else if pair.inner
                && matches!(key, keys::ACCT | keys::ADDR | keys::HOSTNAME)
                && *first != pair.value
            {
                self.ambiguous = true;
            }
        }
        if key == keys::KEY {
            return self.rule_keys(pair.value, out);
        }
        let text = match key {
            keys::PROCTITLE => title(pair.value),
            _ if key.coded() => pair.value.decoded(),
            _ => Cow::Borrowed(pair.value.text),
        };
        self.raw(key.field(), &text, out);
    }

    fn raw(&mut self, field: Option<crate::event::FieldId>, text: &str, out: &mut Out) {
        self.fields += 1;
        if let Some(field) = field
            && self.fields <= MAX_FIELDS
        {
            out.some(field, text);
        }
    }

    /// Several keys of one event stand in one value, with a control character between them.
    fn rule_keys(&mut self, value: Value<'a>, out: &mut Out) {
        match value.decoded() {
            Cow::Borrowed(text) => self.rule_key(Cow::Borrowed(text), out),
            Cow::Owned(text) => {
                for key in text.split('\u{1}').filter(|key| !key.is_empty()) {
                    self.rule_key(Cow::Owned(key.to_owned()), out);
                }
            }
        }
    }

    fn rule_key(&mut self, key: Cow<'a, str>, out: &mut Out) {
        if self.keys.len() < MAX_KEYS {
            self.raw(keys::KEY.field(), &key, out);
            self.keys.push(key);
        }
    }

    /// The registers of a system call.
    fn register(&mut self, pair: Pair<'a>, out: &mut Out) -> bool {
        let Some((index, "")) = numbered(pair.key) else { return false };
        if let Some(register) = self.registers.get_mut(index) {
            *register = pair.value.text;
        }
        self.raw(keys::argument(index), pair.value.text, out);
        true
    }

    /// `a1="x"`, `a1=6869`, and a long one in chunks: `a1_len=9000 a1[0]=6869 a1[1]=6869`.
    fn argument(&mut self, pair: Pair<'a>, out: &mut Out) -> bool {
        let Some((index, rest)) = numbered(pair.key) else { return false };
        if rest == "_len" {
            return true;
        }
        let bytes = pair.value.bytes();
        if rest.starts_with('[') && self.chunked == Some(index) {
            if let Some(last) = self.arguments.last_mut() {
                last.to_mut().extend_from_slice(&bytes);
            }
            self.raw(keys::argument(index), &pair.value.decoded(), out);
            return true;
        }
        self.raw(keys::argument(index), &pair.value.decoded(), out);
        if self.arguments.len() >= MAX_ARGUMENTS {
            self.chunked = None;
            return true;
        }
        // Chunks go on in the next record, which then begins with one.
        self.chunked = rest.starts_with('[').then_some(index);
        self.missing |= index != self.arguments.len();
        self.arguments.push(bytes);
        true
    }
}

impl<'a> Item<'a> {
    fn take(&mut self, pair: Pair<'a>) {
        match pair.key {
            "name" => self.name = pair.value,
            // Older kernels have the second name.
            "nametype" | "objtype" => self.nametype = pair.value.text,
            "mode" => self.mode = pair.value.text,
            "ouid" => self.uid = pair.value.text,
            "ogid" => self.gid = pair.value.text,
            _ => {}
        }
    }
}

/// What auditd adds behind a control character: `ARCH=x86_64 UID="root"`. rsyslog writes that character
/// in octal. The last one counts, since user space may send one of its own.
fn enriched(body: &str) -> (&str, &str) {
    let found = body.rsplit_once('\u{1d}').or_else(|| body.rsplit_once("#035"));
    let named = |text: &str| text.bytes().next().is_some_and(|byte| byte.is_ascii_uppercase());
    found.filter(|(_, names)| named(names)).unwrap_or((body, ""))
}

/// `a12[3]` as 12 and `[3]`.
fn numbered(key: &str) -> Option<(usize, &str)> {
    let digits = key.strip_prefix('a')?;
    let end = digits.bytes().position(|byte| !byte.is_ascii_digit()).unwrap_or(digits.len());
    let (number, rest) = digits.split_at(end);
    Some((number.parse().ok()?, rest))
}

/// `avc:  denied  { read write } for …`.
fn decision(body: &str) -> Option<(&str, &str)> {
    let (_, rest) = body.split_once("avc:")?;
    let rest = rest.trim_start();
    let (word, rest) = rest.split_once(' ')?;
    let (_, rest) = rest.split_once('{')?;
    let (permissions, _) = rest.split_once('}')?;
    matches!(word, "denied" | "granted").then_some((word, permissions.trim()))
}

/// The command line as the process shows it: NUL between the arguments.
pub(super) fn title(value: Value<'_>) -> Cow<'_, str> {
    match value.bytes() {
        Cow::Borrowed(_) => Cow::Borrowed(value.text),
        Cow::Owned(mut bytes) => {
            while bytes.last() == Some(&0) {
                bytes.pop();
            }
            bytes.iter_mut().filter(|byte| **byte == 0).for_each(|byte| *byte = b' ');
            Cow::Owned(lossy(bytes))
        }
    }
}
