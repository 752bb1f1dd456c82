//! What stands before the words of signing in: who it was, from where, at which door, back to where the sentence
//! begins.

use super::super::words::{self, Kind, Token, Words, is_stamp};
use super::phrases::{DOORS, Form, PROVING, Phrase};
use super::{HELPERS, MAX_OBJECT, NOUNS_OF_PEOPLE, Reader};

static LEVELS: Words = Words::new(
    "trace debug info information notice note warn warning error err crit critical alert emerg \
     fatal severe security audit auth authpriv",
);
/// Before the words of signing in they make something else of them.
static NO_SUBJECTS: Words = Words::new(
    "last previous first next total number count no max maximum recent clear reset show set \
     enable disable log logs record notify on if when every each many multiple several repeated \
     consecutive after allow banner for users who someone nobody everyone all some any it he she \
     they you we i not never already must be are is and or test retry initial automatic \
     concurrent only post pre before until while because since that this of with without detect \
     block",
);

impl<'a> Reader<'a, '_> {
    /// Reads backwards from the words of signing in to where the sentence begins.
    pub(super) fn before(&mut self, main: Phrase) -> Option<()> {
        let mut at = main.from;
        while at > 0 && self.tokens.is(at - 1, HELPERS) {
            at -= 1;
        }
        let mut named = main.form != Form::Person;
        for _ in 0..MAX_OBJECT * 2 {
            let Some(last) = at.checked_sub(1) else { return Some(()) };
            // `(192.0.2.7)`, `[admin]`, before a name or behind `user`.
            if matches!(self.tokens.mark(last), Some(')' | ']' | '>')) && at >= 3 {
                let noun = at >= 4 && self.tokens.is(at - 4, &NOUNS_OF_PEOPLE);
                let from = at >= 4 && self.tokens.is(at - 4, &["from"]);
                if let Some((place, _)) = self.tokens.place(at - 3).filter(|_| from) {
                    self.told.source(place);
                    at -= 4;
                    continue;
                }
                if let Some((place, _)) = self.tokens.place(at - 3)
                    && at >= 4
                    && !named
                    && self.tokens.get(at - 4).and_then(Token::name).is_some()
                {
                    self.told.source(place);
                    at -= 3;
                    continue;
                }
                if let Some((name, _)) = self.tokens.name(at - 3).filter(|_| noun) {
                    self.told.user(name);
                    named = true;
                    at -= 4;
                    continue;
                }
                return Some(());
            }
            let token = self.tokens.get(last)?;
            match token.kind {
                Kind::Mark(mark) => {
                    // `root@192.0.2.7: login failed`.
                    let who = last.checked_sub(1).and_then(|at| self.tokens.get(at)?.name());
                    let host = who.and_then(|who| words::place(who.rsplit_once('@')?.1));
                    if let Some(who) = who.filter(|_| mark == ':' && host.is_some() && !named) {
                        self.told.user(who);
                    }
                    return Some(());
                }
                Kind::Word if words::any(token.text, &LEVELS) => return Some(()),
                Kind::Word if is_stamp(token.text) => return Some(()),
                _ => {}
            }
            if let Some((place, _)) = self.tokens.place(last) {
                if last > 0 && self.tokens.is(last - 1, &["from"]) {
                    self.told.source(place);
                    at = last - 1;
                    continue;
                }
                return Some(());
            }
            if last > 0 && self.tokens.is(last - 1, &["via", "over", "through", "using"]) {
                at = last - 1;
                continue;
            }
            if last > 0 && self.tokens.is(last - 1, &NOUNS_OF_PEOPLE) && token.name().is_some() {
                if named && main.form == Form::Person {
                    return None;
                }
                self.told.user(token.name()?);
                named = true;
                at = last - 1;
                continue;
            }
            // The key of a pair is looked at with all pairs.
            if last > 0 && matches!(self.tokens.mark(last - 1), Some('=')) {
                return Some(());
            }
            if words::any(token.text, &DOORS) && token.kind == Kind::Word {
                at = last;
                continue;
            }
            if words::any(token.text, &NO_SUBJECTS) {
                return None;
            }
            let next = at == main.from || self.tokens.is(at, HELPERS);
            if !named && self.begins(last) && (!next || main.success.is_none()) {
                // `Gitea user login failure`, `nobody login …`: a title, or a sentence's beginning.
                return main.success.map(|_| ());
            }
            if !named && self.begins(last) {
                let name = token.name()?;
                if let Some(key) = self.tokens.mark(last.wrapping_sub(1)) {
                    // `user: admin`: told by the pair.
                    if key == ':' && last >= 2 && words::key(self.tokens.word(last - 2)).is_some() {
                        return Some(());
                    }
                }
                self.told.user(name);
                return Some(());
            }
            let asks = self.tokens.is(main.from, PROVING) && at == main.from;
            if token.kind == Kind::Word && asks && self.begins(last) && token.name().is_some() {
                // `Gitea authentication failed`: what it is that asks.
                return Some(());
            }
            return None;
        }
        None
    }

    /// Whether a sentence begins at a token.
    fn begins(&self, at: usize) -> bool {
        let Some(before) = at.checked_sub(1).and_then(|at| self.tokens.get(at)) else {
            return true;
        };
        match before.kind {
            Kind::Mark(_) => true,
            Kind::Quoted => false,
            Kind::Word => {
                words::any(before.text, &LEVELS)
                    || is_stamp(before.text)
                    || words::place(before.text).is_some()
            }
        }
    }
}
