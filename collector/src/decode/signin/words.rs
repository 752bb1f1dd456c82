//! The words, quotes and marks of a line, and what single ones of them are: names, addresses, keys.

use std::net::IpAddr;
use std::ops::Deref;
use std::sync::OnceLock;

use super::super::network::{self, Meaning, Side};
use super::super::scan;
use super::Told;

/// More words than the line of a sign-in has.
const MAX_TOKENS: usize = 160;
/// The longest name of a user, in bytes.
const MAX_NAME: usize = 64;

/// Words with blanks between them, each compared by itself.
#[derive(Debug)]
pub(super) struct Words {
    text: &'static str,
    list: OnceLock<Vec<&'static str>>,
}

impl Words {
    pub(super) const fn new(text: &'static str) -> Words {
        Words { text, list: OnceLock::new() }
    }
}

impl Deref for Words {
    type Target = [&'static str];

    fn deref(&self) -> &[&'static str] {
        self.list.get_or_init(|| self.text.split_ascii_whitespace().collect())
    }
}

/// An address and maybe a port.
pub(super) type Place = (IpAddr, Option<u16>);

/// What a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Word,
    /// Text between quotes, without them.
    Quoted,
    /// Punctuation, full-width forms as the others.
    Mark(char),
}

/// One of them, and where it stands, its quotes included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Token<'a> {
    pub(super) kind: Kind,
    pub(super) text: &'a str,
    pub(super) start: usize,
    pub(super) end: usize,
}

/// Words that follow `user` in a sentence about one.
static NO_NAMES: Words = Words::new(
    "a an the is was has had are were does did do not no and or in on at to by of with from for \
     via who that this if when name account id login logon logged authentication auth password \
     session failed failure successfully unknown disabled locked expired invalid denied using \
     user users username some any all every each these those many multiple several too database \
     directory agent interface count limit group profile role 密码 口令 名 名称 账号 帐号 信息 \
     身份 认证 登录 登陆 终端 会话 多次 连续 首次 数 组 列表 界面 页面 行为 日志 状态 权限 不存在 \
     已锁定",
);
/// Keys of addresses that only daemons write.
const MORE_SOURCES: &[&str] =
    &["rhost", "remote", "remotehost", "peer", "clienthost", "remoteaddr"];
/// Keys of why.
static REASONS: Words =
    Words::new("reason msg message error err cause detail 原因 失败原因 描述 错误信息 错误");

/// Takes a text apart; None when it has more parts than the line of a sign-in.
pub(super) fn tokens(text: &str) -> Option<Vec<Token<'_>>> {
    let mut tokens: Vec<Token<'_>> = Vec::with_capacity(32);
    let mut at = 0;
    while let Some(first) = text.get(at..).and_then(|rest| rest.chars().next()) {
        let width = first.len_utf8();
        if first.is_whitespace() {
            at += width;
            continue;
        }
        if tokens.len() >= MAX_TOKENS {
            return None;
        }
        let token = if let Some(inside) = quoted(text, at, first) {
            let end = at + width + inside.len() + width;
            Token { kind: Kind::Quoted, text: inside, start: at, end }
        } else if let Some(mark) = mark(first).or_else(|| stop(text, at, first)) {
            let end = at + width;
            Token { kind: Kind::Mark(mark), text: text.get(at..end)?, start: at, end }
        } else {
            let end = word_end(text, at);
            Token { kind: Kind::Word, text: text.get(at..end)?, start: at, end }
        };
        at = token.end;
        tokens.push(token);
    }
    Some(tokens)
}

/// The ASCII form of a mark.
fn mark(char: char) -> Option<char> {
    Some(match char {
        '(' | '（' => '(',
        ')' | '）' => ')',
        '[' | '【' | '「' => '[',
        ']' | '】' | '」' => ']',
        '<' | '《' => '<',
        '>' | '》' => '>',
        '{' | '}' | '=' | ';' | '|' | '"' | '`' => char,
        ',' | '，' | '、' => ',',
        '；' => ';',
        '：' => ':',
        '。' => '.',
        '“' | '”' => '"',
        _ => return None,
    })
}

/// A mark that stands for itself only where no word goes on behind it.
fn stop(text: &str, at: usize, first: char) -> Option<char> {
    let behind = text.get(at + 1..).and_then(|rest| rest.chars().next());
    match first {
        ':' => Some(':').filter(|_| behind != Some(':')),
        '.' | '!' | '?' => Some('.').filter(|_| behind.is_none_or(char::is_whitespace)),
        '-' | '—' => Some('-').filter(|_| behind.is_none_or(|next| !next.is_alphanumeric())),
        _ => None,
    }
}

/// The text between quotes that begin here; the closing one ends a word.
fn quoted(text: &str, at: usize, first: char) -> Option<&str> {
    let close = match first {
        '"' | '\'' | '`' => first,
        '“' => '”',
        '‘' => '’',
        _ => return None,
    };
    let inside = text.get(at + first.len_utf8()..)?;
    let (inside, behind) = inside.split_once(close)?;
    let ends = behind.chars().next().is_none_or(|next| !next.is_ascii_alphanumeric());
    ends.then_some(inside)
}

/// Where the word that begins here ends. A colon is part of it (`::1`, `08:00:00`, `192.0.2.1:22`) unless
/// nothing follows it, or a key stands before it.
fn word_end(text: &str, start: usize) -> usize {
    let rest = text.get(start..).unwrap_or_default();
    let mut chars = rest.char_indices().peekable();
    let mut keyed = false;
    while let Some((at, char)) = chars.next() {
        let ends = char.is_whitespace() || mark(char).is_some();
        if ends && at > 0 {
            return start + at;
        }
        let last =
            chars.peek().is_none_or(|(_, next)| next.is_whitespace() || mark(*next).is_some());
        if at == 0 {
            continue;
        }
        if char == ':' && !keyed {
            keyed = true;
            if last || rest.get(..at).and_then(key).is_some() {
                return start + at;
            }
        } else if last && matches!(char, ':' | '.' | '!' | '?') {
            return start + at;
        }
    }
    start + rest.len()
}

/// What a key tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Key {
    User,
    Account,
    Source,
    Reason,
}

/// What a key tells, when it tells who or why.
pub(super) fn key(key: &str) -> Option<Key> {
    if any(key, MORE_SOURCES) {
        return Some(Key::Source);
    }
    if any(key, &REASONS) {
        return Some(Key::Reason);
    }
    match network::meaning(key)? {
        Meaning::User => Some(Key::User),
        Meaning::Account => Some(Key::Account),
        Meaning::Address(Side::Source | Side::Peer) => Some(Key::Source),
        _ => None,
    }
}

/// Whether a word is one of some, whatever its case.
pub(super) fn any(word: &str, words: &[&str]) -> bool {
    words.iter().any(|known| known.eq_ignore_ascii_case(word))
}

/// An address as it stands in a line, with or without a port.
pub(super) fn place(word: &str) -> Option<Place> {
    let word = word.strip_prefix('/').unwrap_or(word);
    if !word.bytes().any(|byte| matches!(byte, b'.' | b':')) {
        return None;
    }
    let whole = scan::address(word).map(|address| (address, None));
    whole.or_else(|| scan::endpoint(word).map(|(address, port)| (address, Some(port))))
}

/// Whether a word is a date, a time, or part of one.
pub(super) fn is_stamp(word: &str) -> bool {
    let plain = |byte: u8| {
        byte.is_ascii_digit()
            || matches!(byte, b':' | b'-' | b'/' | b'.' | b'+' | b'T' | b'Z' | b',')
    };
    word.bytes().all(plain)
        && word.bytes().filter(u8::is_ascii_digit).count() >= 2
        && word.bytes().any(|byte| matches!(byte, b':' | b'-' | b'/'))
}

/// Whether a text may be the name of a user: one word, and none that a sentence has.
pub(super) fn is_name(name: &str) -> bool {
    let odd = |char: char| {
        char.is_control() || matches!(char, '?' | '&' | '"' | '\'' | '`' | '=' | '<' | '>')
    };
    !name.is_empty()
        && name.len() <= MAX_NAME
        && !name.contains(odd)
        && name.contains(char::is_alphanumeric)
        && !any(name, &NO_NAMES)
        && place(name).is_none()
}

impl<'a> Token<'a> {
    pub(super) fn is_mark(&self, mark: char) -> bool {
        self.kind == Kind::Mark(mark)
    }

    /// The name that a token is; in quotes it may have blanks, but no sentence.
    pub(super) fn name(&self) -> Option<&'a str> {
        let name = match self.kind {
            Kind::Word => self.text,
            Kind::Quoted => self.text.trim(),
            Kind::Mark(_) => return None,
        };
        let sentence = name.split_ascii_whitespace().count() > 3
            || name.split_ascii_whitespace().any(|word| word == "from" || place(word).is_some());
        (!sentence && is_name(name)).then_some(name)
    }
}

/// The tokens of a line, by number.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tokens<'a, 't>(pub(super) &'t [Token<'a>]);

impl<'a> Tokens<'a, '_> {
    pub(super) fn get(&self, at: usize) -> Option<&Token<'a>> {
        self.0.get(at)
    }

    /// The word at a place, empty when none is there.
    pub(super) fn word(&self, at: usize) -> &'a str {
        self.0.get(at).filter(|token| token.kind == Kind::Word).map_or("", |token| token.text)
    }

    pub(super) fn is(&self, at: usize, words: &[&str]) -> bool {
        any(self.word(at), words)
    }

    pub(super) fn mark(&self, at: usize) -> Option<char> {
        match self.0.get(at)?.kind {
            Kind::Mark(mark) => Some(mark),
            _ => None,
        }
    }

    /// An address, in brackets or quotes or not, and what follows.
    pub(super) fn place(&self, at: usize) -> Option<(Place, usize)> {
        match self.get(at)?.kind {
            Kind::Mark('(' | '[' | '<') => {
                let found = place(self.word(at + 1))?;
                matches!(self.mark(at + 2), Some(')' | ']' | '>')).then_some((found, at + 3))
            }
            Kind::Mark(_) => None,
            _ => Some((place(self.get(at)?.text)?, at + 1)),
        }
    }

    /// A name, in brackets or quotes or not, and what follows.
    pub(super) fn name(&self, at: usize) -> Option<(&'a str, usize)> {
        match self.mark(at) {
            Some('[' | '(' | '<') => {
                let name = self.get(at + 1)?.name()?;
                matches!(self.mark(at + 2), Some(')' | ']' | '>')).then_some((name, at + 3))
            }
            _ => Some((self.get(at)?.name()?, at + 1)),
        }
    }

    /// Reads a pair that begins here: what it says, and what follows; None when none does.
    pub(super) fn pair(&self, text: &'a str, at: usize, told: &mut Told<'a>) -> Option<usize> {
        let first = self.get(at).filter(|token| token.kind == Kind::Word)?;
        let (mark_at, last) = match (self.mark(at + 1), self.mark(at + 2)) {
            (Some('=' | ':'), _) => (at + 1, first),
            (None, Some('=' | ':')) if !self.word(at + 1).is_empty() => (at + 2, self.get(at + 1)?),
            _ => return None,
        };
        let mark = self.get(mark_at)?;
        let known = text.get(first.start..last.end).and_then(key);
        if known.is_none() && mark.is_mark(':') {
            return None;
        }
        let value_at = mark_at + 1;
        let value = self.get(value_at);
        // `logname= uid=0`: what stands behind a blank is the next key, unless one stands before `=` too.
        let empty = value.is_none_or(|value| {
            mark.is_mark('=') && value.start > mark.end && mark.start == last.end
        });
        if empty {
            return Some(value_at);
        }
        match known {
            Some(Key::User | Key::Account) => {
                let (name, next) = match self.name(value_at) {
                    Some((name, next)) => (name, next),
                    None => {
                        // A mark is an empty value; anything else is no name.
                        if value.is_some_and(|value| {
                            value.kind != Kind::Quoted || !value.text.is_empty()
                        }) && !self.word(value_at).is_empty()
                            && !network::words::nothing(self.word(value_at))
                        {
                            told.user = super::One::Unclear;
                        }
                        return Some(value_at);
                    }
                };
                if network::words::nothing(name) {
                    return Some(next);
                }
                if known == Some(Key::User) {
                    told.user(name)
                } else {
                    told.account.tell(name)
                }
                Some(next)
            }
            Some(Key::Source) => match self.place(value_at) {
                Some((found, next)) => {
                    told.source(found);
                    Some(next)
                }
                None => Some(value_at),
            },
            Some(Key::Reason) => {
                let value = value?;
                if value.kind == Kind::Quoted {
                    told.reason(value.text);
                    return Some(value_at + 1);
                }
                let end = self.clause_end(value_at);
                let last = end.checked_sub(1).and_then(|last| self.get(last)).unwrap_or(value);
                told.reason(text.get(value.start..last.end).unwrap_or_default());
                Some(value_at)
            }
            None => Some(
                value_at
                    + usize::from(value.is_some_and(|value| !matches!(value.kind, Kind::Mark(_)))),
            ),
        }
    }

    /// Where the clause that begins here ends: at a separator, or before the key of a pair.
    pub(super) fn clause_end(&self, from: usize) -> usize {
        let mut at = from;
        while let Some(token) = self.get(at) {
            if matches!(token.kind, Kind::Mark(',' | ';' | '|' | '.' | '(' | '[' | '{' | '}'))
                && at > from
            {
                break;
            }
            if at > from
                && matches!(self.mark(at + 1), Some('=' | ':'))
                && !self.word(at).is_empty()
            {
                break;
            }
            at += 1;
        }
        at
    }
}
