//! Sign-ins told in English.
//!
//! The words of signing in are found first ([`Phrase`]); then what stands before them up to the
//! beginning of the sentence, and what follows, word by word. A word that has no place there ends the
//! reading: at once when it stands next to the words of signing in, where it makes another sentence of
//! them (`login failed count reset`).

mod before;
mod phrases;

use super::words::{Kind, Token, Tokens, Words};
use super::{One, SignIn, Told};
use phrases::{BETWEEN, FAILED, Form, Phrase, WORKED, phrase};

/// What became of a text.
#[derive(Debug)]
pub(super) enum Read<'a> {
    /// It has no words of signing in.
    None,
    /// It has, and says something else with them, or two things at once.
    Ambiguous,
    SignIn(SignIn<'a>),
}

/// Before `logged in`, and after a user.
const HELPERS: &[&str] = &["has", "have", "had", "was", "just", "been", "successfully"];
/// Before words of signing in they make something else of them.
static NOUNS_OF_PEOPLE: Words =
    Words::new("user username account administrator admin operator principal client member");
/// Those that accounts are called.
const ALSO_NAMES: &[&str] = &["admin", "administrator", "operator"];
const ARTICLES: &[&str] = &["the", "a", "an", "your", "its"];
/// Before a user who is not one of the product's.
static STRANGE: Words = Words::new(
    "invalid unknown nonexistent non-existent illegal local remote existing valid privileged",
);
/// Those of them by which an attempt has failed.
const UNKNOWN: &[&str] = &["invalid", "unknown", "nonexistent", "non-existent", "illegal"];
/// Before an address.
static HOSTS: Words =
    Words::new("ip host address client source remote addr workstation station peer");
/// Before what is neither the user nor where he is.
const BY_WHAT: &[&str] = &[
    "via", "through", "using", "over", "on", "at", "in", "to", "into", "onto", "with", "after",
    "within", "during",
];
const BECAUSE: &[&str] = &["due", "because", "since", "reason"];
/// Words of an object that the reader walks over: `to the web console`.
const MAX_OBJECT: usize = 4;
/// Phrases of one text.
const MAX_PHRASES: usize = 3;

/// Reads a text.
pub(super) fn read<'a>(text: &'a str, all: &[Token<'a>]) -> Read<'a> {
    let tokens = Tokens(all);
    let mut phrases: Vec<Phrase> = Vec::new();
    let mut open = None;
    let mut at = 0;
    while at < all.len() {
        match phrase(&tokens, at) {
            Some(found) if found.success.is_some() => {
                at = found.to;
                phrases.push(found);
            }
            found => {
                at += 1;
                open = open.or(found);
            }
        }
        if phrases.len() > MAX_PHRASES {
            return Read::Ambiguous;
        }
    }
    let main = phrases.iter().find(|found| found.form != Form::Secret).or(phrases.first());
    let Some(main) = main.copied().or(open) else { return Read::None };
    match choose(&tokens, main, &phrases) {
        Some((main, limit)) => {
            let reader = Reader {
                text,
                tokens: Tokens(all.get(..limit).unwrap_or(all)),
                told: Told::default(),
            };
            match reader.read(main) {
                Some(mut sign_in) => {
                    let last = tokens.get(all.len() - 1).map_or(0, |token| token.end);
                    if let Some(reason) = tokens.get(limit) {
                        sign_in.told.reason(text.get(reason.start..last).unwrap_or_default());
                    }
                    Read::SignIn(sign_in)
                }
                None => Read::Ambiguous,
            }
        }
        None => Read::Ambiguous,
    }
}

/// The phrase that counts, and up to where it is read, where a text has several: what follows a mark and names
/// nobody is the reason (`…: authentication failed`). None when they say different things.
fn choose(
    tokens: &Tokens<'_, '_>,
    mut main: Phrase,
    phrases: &[Phrase],
) -> Option<(Phrase, usize)> {
    let all = tokens.0.len();
    let mut limit = all;
    for other in phrases.iter().filter(|other| other.from != main.from) {
        if other.success != main.success.or(other.success) || other.action != main.action {
            return None;
        }
        if other.form == Form::Secret {
            continue;
        }
        let apart = (main.to..other.from).any(|at| tokens.mark(at).is_none());
        if other.from < main.from {
            return None;
        }
        if !apart {
            main.to = other.to;
            main.form = other.form;
            continue;
        }
        let marked = other.from.checked_sub(1).and_then(|at| tokens.mark(at)).is_some();
        let names_nobody = (other.to..all)
            .all(|at| tokens.place(at).is_none() && !matches!(tokens.mark(at), Some('=' | ':')));
        if !marked || !names_nobody || limit < all {
            return None;
        }
        limit = other.from;
    }
    Some((main, limit))
}

struct Reader<'a, 't> {
    text: &'a str,
    tokens: Tokens<'a, 't>,
    told: Told<'a>,
}

impl<'a> Reader<'a, '_> {
    fn read(mut self, main: Phrase) -> Option<SignIn<'a>> {
        // `sshd[7]: …` within a line is a line within a line, which anybody may have put there.
        let tagged = (0..main.from).any(|at| {
            let pid = self.tokens.word(at + 2);
            self.tokens.mark(at + 1) == Some('[')
                && (self.tokens.mark(at + 3), self.tokens.mark(at + 4)) == (Some(']'), Some(':'))
                && !pid.is_empty()
                && pid.bytes().all(|byte| byte.is_ascii_digit())
                && !self.tokens.word(at).is_empty()
        });
        if tagged {
            return None;
        }
        self.before(main)?;
        // Pairs in front of it all: `user=root ip=192.0.2.7 login failed`.
        let mut at = 0;
        while at < main.from {
            at = self.tokens.pair(self.text, at, &mut self.told).unwrap_or(at + 1);
        }
        let before = self.told.source;
        let success = self.behind(main)?;
        if self.told.source == One::Unclear && before.is_nothing() {
            self.last_address(main);
        }
        Some(SignIn { action: main.action, success, told: self.told })
    }

    /// Reads on from the words of signing in; how it went comes back.
    fn behind(&mut self, main: Phrase) -> Option<bool> {
        let mut success = main.success;
        let mut at = main.to;
        let mut fresh = true;
        while let Some(token) = self.tokens.get(at).copied() {
            if let Some(next) = self.tokens.pair(self.text, at, &mut self.told) {
                (at, fresh) = (next, false);
                continue;
            }
            if let Kind::Mark(mark) = token.kind {
                if let Some((place, next)) = self.tokens.place(at).filter(|_| success.is_some()) {
                    self.told.source(place);
                    at = next;
                } else if mark == ':' && fresh {
                    at = self.colon(at + 1, success)?;
                } else if mark == ':' && success == Some(false) && self.names_nobody(at + 1) {
                    at = self.reason(at + 1);
                } else {
                    at += 1;
                }
                fresh = false;
                continue;
            }
            if let Some(next) = self.item(at, &mut success, fresh) {
                (at, fresh) = (next, false);
                continue;
            }
            if fresh || success.is_none() {
                return None;
            }
            break;
        }
        // What is left may name somebody else, which makes all of it unclear.
        while at < self.tokens.0.len() {
            at = match self.tokens.pair(self.text, at, &mut self.told) {
                Some(next) => next,
                None => {
                    if (self.tokens.is(at, &["from"]) || self.tokens.is(at, &HOSTS))
                        && let Some((place, _)) = self.tokens.place(at + 1)
                    {
                        self.told.source(place);
                    }
                    at + 1
                }
            };
        }
        success
    }

    /// What follows `login failed:`, either who it was or why.
    fn colon(&mut self, at: usize, success: Option<bool>) -> Option<usize> {
        if let Some((name, next)) = self.tokens.name(at) {
            let from = self.tokens.is(next, &["from"])
                || matches!(self.tokens.mark(next), Some('(' | '[' | '@'));
            if from
                && self.tokens.place(next + usize::from(self.tokens.is(next, &["from"]))).is_some()
            {
                self.told.user(name);
                return Some(next);
            }
        }
        let strange = self.tokens.is(at, &STRANGE) && self.tokens.is(at + 1, &NOUNS_OF_PEOPLE);
        if strange
            || self.tokens.is(at, &NOUNS_OF_PEOPLE)
            || self.tokens.is(at, &["from", "for", "by"])
        {
            return Some(at);
        }
        // What follows `logged in:` is a list or a number.
        (success == Some(false)).then(|| self.reason(at))
    }

    /// Keeps the clause that begins here as the reason; where who it was goes on behind it.
    fn reason(&mut self, at: usize) -> usize {
        let Some(first) = self.tokens.get(at) else { return at };
        let end = self.tokens.clause_end(at);
        let last = end.checked_sub(1).and_then(|last| self.tokens.get(last)).unwrap_or(first);
        let reason = self.text.get(first.start..last.end).unwrap_or_default();
        // `wrong password for user root from …`.
        let cut = reason.find(" for ").or_else(|| reason.find(" from ")).unwrap_or(reason.len());
        self.told.reason(reason.get(..cut).unwrap_or_default());
        let stop = first.start + cut;
        (at..end)
            .find(|at| self.tokens.get(*at).is_some_and(|token| token.start >= stop))
            .unwrap_or(end)
    }

    /// Whether what follows is only words.
    fn names_nobody(&self, from: usize) -> bool {
        (from..self.tokens.0.len()).all(|at| {
            self.tokens.place(at).is_none() && !matches!(self.tokens.mark(at), Some('=' | ':'))
        })
    }

    /// Reads `from 192.0.2.7`, `for user root`, `via ssh`; what follows.
    fn item(&mut self, at: usize, success: &mut Option<bool>, fresh: bool) -> Option<usize> {
        let tokens = self.tokens;
        if let Some(reason) = phrase(&tokens, at).filter(|phrase| phrase.form == Form::Secret) {
            let slice = tokens.get(reason.from)?.start..tokens.get(reason.to.checked_sub(1)?)?.end;
            self.told.reason(self.text.get(slice).unwrap_or_default());
            *success = success.or(reason.success);
            return Some(reason.to);
        }
        if tokens.is(at, HELPERS) || success.is_none() && tokens.is(at, &BETWEEN) {
            return Some(at + 1);
        }
        if success.is_none() && (tokens.is(at, &FAILED) || tokens.is(at, &WORKED)) && !fresh {
            // `failure rates`: the words of another sentence.
            let ends = tokens.word(at + 1).is_empty()
                || tokens.is(at + 1, BECAUSE)
                || tokens.is(at + 1, BY_WHAT)
                || tokens.is(at + 1, &["from", "for", "by"]);
            *success = Some(tokens.is(at, &WORKED)).filter(|_| ends);
            return success.map(|_| at + 1);
        }
        if tokens.is(at, &["from"]) {
            let mut next = at + 1;
            while next < at + 4 && (tokens.is(next, ARTICLES) || tokens.is(next, &HOSTS)) {
                next += 1;
            }
            next += usize::from(tokens.mark(next) == Some(':'));
            if let Some((place, next)) = tokens.place(next) {
                self.told.source(place);
                return Some(next);
            }
            if self.tokens.is(next, &NOUNS_OF_PEOPLE) {
                return self.person(next, true);
            }
            // A host by name, or none.
            return Some(self.object(next));
        }
        if tokens.is(at, &["port"]) {
            if let (Ok(port), None) = (tokens.word(at + 1).parse(), self.told.port) {
                self.told.port = Some(port);
            }
            return Some(at + 2);
        }
        if tokens.is(at, &HOSTS)
            && let Some((place, next)) = tokens.place(at + 1)
        {
            self.told.source(place);
            return Some(next);
        }
        if tokens.is(at, BECAUSE) {
            let start = tokens.get(at)?.end;
            let end = self.tokens.clause_end(at + 1);
            let last = end.checked_sub(1).and_then(|last| tokens.get(last))?;
            let reason = self.text.get(start..last.end).unwrap_or_default().trim_start();
            self.told.reason(
                reason.strip_prefix("to ").or(reason.strip_prefix("of ")).unwrap_or(reason),
            );
            return Some(end.max(at + 1));
        }
        if success.is_none()
            && (at..at + 2).any(|at| tokens.is(at, UNKNOWN) && tokens.is(at + 1, &NOUNS_OF_PEOPLE))
        {
            *success = Some(false);
        }
        if tokens.is(at, &["for", "of", "by", "as"]) {
            return self.person(at + 1, false);
        }
        if tokens.is(at, &NOUNS_OF_PEOPLE)
            || tokens.is(at, &STRANGE) && tokens.is(at + 1, &NOUNS_OF_PEOPLE)
        {
            return self.person(at, true);
        }
        if tokens.is(at, BY_WHAT) {
            let next = at + 1 + usize::from(tokens.is(at + 1, ARTICLES));
            if tokens.is(next, &NOUNS_OF_PEOPLE)
                && tokens.name(next + 1).is_some()
                && tokens.is(at, &["with"])
            {
                return self.person(next, true);
            }
            return Some(match tokens.place(next) {
                Some((_, next)) => next,
                None => self.object(next),
            });
        }
        if tokens.get(at)?.kind == Kind::Quoted && fresh && self.told.user.is_nothing() {
            let (name, next) = tokens.name(at)?;
            self.told.user(name);
            return Some(next);
        }
        None
    }

    /// Walks over the words of an object.
    fn object(&self, from: usize) -> usize {
        let ends = |at: usize| {
            let token = self.tokens.get(at);
            token.is_none_or(|token| matches!(token.kind, Kind::Mark(_)))
                || self.tokens.is(at, BY_WHAT)
                || self.tokens.is(at, BECAUSE)
                || self.tokens.is(at, &["from", "for", "by", "as", "port", "and"])
                || self.tokens.is(at, &FAILED)
                || self.tokens.is(at, &WORKED)
                || self.tokens.is(at, HELPERS)
        };
        (from..from + MAX_OBJECT).find(|at| ends(*at)).unwrap_or(from + MAX_OBJECT)
    }

    /// `[the] [invalid] user NAME`, or a bare name behind `for`, which needs an end or a known word behind.
    fn person(&mut self, from: usize, marked: bool) -> Option<usize> {
        let tokens = self.tokens;
        let mut at = from;
        let mut marked = marked;
        while at < from + 4 {
            // At the end of all, `admin` is who it was.
            if tokens.is(at, ALSO_NAMES) && tokens.get(at + 1).is_none() {
                break;
            }
            if tokens.is(at, &NOUNS_OF_PEOPLE) && self.follows_name(at + 1) {
                marked = true;
            } else if tokens.is(at, &["user", "account"])
                && tokens.is(at + 1, &["name", "id", "account"])
            {
                marked = true;
                at += 1;
            } else if !(tokens.is(at, ARTICLES) || tokens.is(at, &STRANGE)) {
                break;
            }
            at += 1;
        }
        at += usize::from(marked && tokens.mark(at) == Some(':'));
        if let Some((place, next)) =
            tokens.place(at).filter(|_| !marked || tokens.is(at - 1, &HOSTS))
        {
            // `authentication failed for client 192.0.2.7`; a bare address is a host that somebody asked.
            return if marked {
                self.told.source(place);
                Some(next)
            } else {
                None
            };
        }
        let Some((name, next)) = tokens.name(at) else {
            // `for user` alone says nobody; a name that is none leaves all unclear.
            return if tokens.is(at, &["user", "username", "account", "client"]) {
                Some(at + 1)
            } else if marked && tokens.get(at).is_none_or(|token| token.kind == Kind::Mark(',')) {
                Some(at)
            } else if marked
                && tokens
                    .get(at)
                    .is_some_and(|token| token.kind == Kind::Quoted && token.text.is_empty())
            {
                Some(at + 1)
            } else {
                None
            };
        };
        let ends = tokens.get(next).is_none_or(|token| matches!(token.kind, Kind::Mark(_)))
            || tokens.is(next, &["from", "port", "by"])
            || tokens.is(next, BY_WHAT)
            || tokens.is(next, BECAUSE)
            || tokens.is(next, &FAILED)
            || tokens.is(next, &WORKED)
            || tokens.is(next, HELPERS)
            || tokens.is(next, &HOSTS);
        if !ends {
            // Of a name of several words the first is another's name.
            self.told.many_words = marked;
            return marked.then_some(next);
        }
        let client = tokens.is(from.wrapping_sub(1), &["as"]) && !self.told.user.is_nothing();
        if !client {
            self.told.user(name);
        }
        Some(next)
    }

    /// Whether a name, or what leads to one, stands here.
    fn follows_name(&self, at: usize) -> bool {
        self.tokens.name(at).is_some()
            || self.tokens.mark(at) == Some(':')
            || self.tokens.is(at, &NOUNS_OF_PEOPLE)
            || self.tokens.get(at).is_some_and(|token| token.kind == Kind::Quoted)
            || self.tokens.place(at).is_some()
            || self.tokens.get(at).is_none()
    }

    /// Where the words of signing in are followed by the name at once and an address ends the line, the name is
    /// what holds the other addresses.
    fn last_address(&mut self, main: Phrase) {
        let tokens = self.tokens;
        let named =
            tokens.is(main.to, &["for", "of", "by"]) || tokens.is(main.to, &NOUNS_OF_PEOPLE);
        let count = tokens.0.len();
        let froms = |at: &usize| tokens.is(*at, &["from"]) && tokens.place(at + 1).is_some();
        let (Some(last), true) = ((main.to..count).rev().find(froms), named) else { return };
        let Some((place, mut at)) = tokens.place(last + 1) else { return };
        // Only the product's own words stand behind it, and no second name.
        while at < count {
            at += match tokens.word(at) {
                "via" | "port" | "using" | "over" if !tokens.word(at + 1).is_empty() => 2,
                "ssh2" => 1,
                _ => return,
            };
        }
        let second = (main.to + 2..last).any(|at| {
            tokens.is(at, &["for", "user", "username", "account", "by", "as"])
                || tokens.mark(at).is_some()
        });
        if second {
            return;
        }
        self.told.source = One::Said(place.0);
        self.told.port = place.1;
        self.told.user = One::Nothing;
        self.told.forged = true;
    }
}
