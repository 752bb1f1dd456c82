//! What a regular expression can't match without.
//!
//! In: an expression as it is compiled. Out: a few folded texts of which every text it matches
//! contains one, once that text is folded too; none when there are no such texts. Only what is
//! found here lets the matcher skip an expression, so whatever is not understood gives none.

use regex_syntax::hir::{Class, Hir, HirKind};

use crate::text::fold;

/// Texts one expression may need; beyond it too much would be looked for.
const MAX_TEXTS: usize = 48;
/// The longest text, in bytes; what is longer is cut.
const MAX_BYTES: usize = 48;
/// A text that weighs less is in nearly every line. A letter or a digit weighs 1, ...
const MIN_WEIGHT: usize = 3;
/// ... each of these 2, ...
const MARKS: &str = "-/\\.:=,_";
/// ... and each of these 3.
const RARE: &str = "`^%$#@!~|&;<>{}[]()*?+\"'";
/// The largest class that is taken apart into its characters.
const MAX_CLASS: usize = 10;
/// Repetitions written out.
const MAX_REPEATED: u32 = 8;

/// The texts, each long or rare enough to be worth looking for.
pub(super) fn required(expression: &str) -> Option<Vec<String>> {
    let hir = regex_syntax::Parser::new().parse(expression).ok()?;
    let mut texts = needed(&hir)?;
    texts.sort_unstable();
    texts.dedup();
    is_useful(&texts).then_some(texts)
}

fn is_useful(texts: &[String]) -> bool {
    !texts.is_empty() && texts.len() <= MAX_TEXTS && weight(texts) >= MIN_WEIGHT
}

/// That of the lightest.
fn weight(texts: &[String]) -> usize {
    let one = |c| match c {
        c if RARE.contains(c) => 3,
        c if MARKS.contains(c) => 2,
        _ => 1,
    };
    texts.iter().map(|text| text.chars().map(one).sum()).min().unwrap_or(0)
}

/// The better of two choices: weightier texts, then fewer.
fn better(left: Option<Vec<String>>, right: Option<Vec<String>>) -> Option<Vec<String>> {
    let rank = |texts: &Vec<String>| (weight(texts), MAX_TEXTS.saturating_sub(texts.len()));
    match (left, right) {
        (Some(left), Some(right)) => Some(if rank(&right) > rank(&left) { right } else { left }),
        (left, right) => left.or(right),
    }
}

/// Texts of which every match holds one.
fn needed(hir: &Hir) -> Option<Vec<String>> {
    if let Some(texts) = exact(hir) {
        return Some(texts);
    }
    match hir.kind() {
        HirKind::Concat(parts) => concatenated(parts),
        HirKind::Alternation(parts) => {
            let mut all = Vec::new();
            for part in parts {
                all.extend(needed(part)?);
                if all.len() > MAX_TEXTS {
                    return None;
                }
            }
            Some(all)
        }
        HirKind::Repetition(repetition) if repetition.min > 0 => needed(&repetition.sub),
        HirKind::Capture(capture) => needed(&capture.sub),
        _ => None,
    }
}

/// The best run of parts that are known exactly, or the best single part.
fn concatenated(parts: &[Hir]) -> Option<Vec<String>> {
    let mut best = None;
    let mut run: Option<Vec<String>> = None;
    for part in parts {
        let exactly = exact(part);
        let joined = match (&run, &exactly) {
            (Some(run), Some(next)) => joined(run, next),
            (None, Some(next)) => Some(next.clone()),
            (_, None) => None,
        };
        if joined.is_none() {
            best = better(best, run.take());
            best = better(best, needed(part));
        }
        run = joined.or(exactly);
    }
    better(best, run)
}

/// All texts a part can match, folded, when they are few. An assertion matches the empty text.
fn exact(hir: &Hir) -> Option<Vec<String>> {
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => Some(vec![String::new()]),
        HirKind::Literal(literal) => {
            let text = std::str::from_utf8(&literal.0).ok()?;
            let folded: String = text.chars().map(fold).collect();
            (folded.len() <= MAX_BYTES).then(|| vec![folded])
        }
        HirKind::Class(class) => characters(class),
        HirKind::Capture(capture) => exact(&capture.sub),
        HirKind::Concat(parts) => {
            let mut all = vec![String::new()];
            for part in parts {
                all = joined(&all, &exact(part)?)?;
            }
            Some(all)
        }
        HirKind::Alternation(parts) => {
            let mut all = Vec::new();
            for part in parts {
                all.extend(exact(part)?);
            }
            all.sort_unstable();
            all.dedup();
            (all.len() <= MAX_TEXTS).then_some(all)
        }
        HirKind::Repetition(repetition) => {
            let max = repetition.max.filter(|max| *max <= MAX_REPEATED)?;
            let one = exact(&repetition.sub)?;
            let mut all = Vec::new();
            let mut times = vec![String::new()];
            for count in 0..=max {
                if count >= repetition.min {
                    all.extend(times.iter().cloned());
                }
                if count < max {
                    times = joined(&times, &one)?;
                }
            }
            all.sort_unstable();
            all.dedup();
            (all.len() <= MAX_TEXTS).then_some(all)
        }
    }
}

fn characters(class: &Class) -> Option<Vec<String>> {
    let mut folded = Vec::new();
    let mut add = |first: u32, last: u32| {
        let wide = last.saturating_sub(first) as usize >= MAX_CLASS;
        if wide || folded.len() > MAX_CLASS {
            return None;
        }
        for code in first..=last {
            folded.push(fold(char::from_u32(code)?).to_string());
        }
        Some(())
    };
    match class {
        Class::Unicode(class) => {
            for range in class.ranges() {
                add(range.start().into(), range.end().into())?;
            }
        }
        Class::Bytes(class) => {
            for range in class.ranges() {
                if !range.end().is_ascii() {
                    return None;
                }
                add(range.start().into(), range.end().into())?;
            }
        }
    }
    folded.sort_unstable();
    folded.dedup();
    Some(folded)
}

/// Every text of `left` followed by every one of `right`, when they are few and short.
fn joined(left: &[String], right: &[String]) -> Option<Vec<String>> {
    if left.len().saturating_mul(right.len()) > MAX_TEXTS {
        return None;
    }
    let mut all = Vec::with_capacity(left.len() * right.len());
    for head in left {
        for tail in right {
            if head.len() + tail.len() > MAX_BYTES {
                return None;
            }
            all.push(format!("{head}{tail}"));
        }
    }
    all.sort_unstable();
    all.dedup();
    Some(all)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(expression: &str, expected: Option<&[&str]>) {
        let found = required(expression);
        let found: Option<Vec<&str>> =
            found.as_ref().map(|texts| texts.iter().map(String::as_str).collect());
        assert_eq!(found.as_deref(), expected, "{expression}");
    }

    #[test]
    fn the_longest_text_every_match_holds() {
        check("powershell.*-enc", Some(&["powershell"]));
        check("(?i)PowerShell", Some(&["powershell"]));
        check("(cmd|powershell)\\.exe", Some(&["cmd.exe", "powershell.exe"]));
        check("a.b", None);
        check(".*", None);
        check("(abc)?def", Some(&["abcdef", "def"]));
        check("(abc)*def", Some(&["def"]));
        check("x(abc)+", Some(&["abc"]));
        check("[0-9a-f]{32}", None);
        check("foo[12]bar", Some(&["foo1bar", "foo2bar"]));
        check("^\\bnet1?\\s+user$", Some(&["user"]));
        check("(?s)\\$\\{jndi:(ldap|rmi)", Some(&["${jndi:ldap", "${jndi:rmi"]));
        check("abc|d", None);
        check("\\w+`\\w+", Some(&["`"]));
        check("\\w+a\\w+", None);
        check("\"(?:\\{\\d\\})+\"\\s*-f", Some(&["\""]));
        check("衡卫x", Some(&["衡卫x"]));
        check("(", None);
    }

    proptest! {
        #[test]
        fn whatever_matches_holds_one(
            expression in "[abK]{0,2}((\\([ab]{1,3}(\\|[kab]{1,3})?\\)|[a-c]|\\.|\\[abc\\]|k)[?+*]?){1,6}",
            insensitive in any::<bool>(),
            texts in prop::collection::vec("[abckABCK\u{212a}]{0,12}", 32),
        ) {
            let expression =
                if insensitive { format!("(?i){expression}") } else { expression };
            let Ok(regex) = regex::Regex::new(&expression) else { return Ok(()) };
            let Some(needed) = required(&expression) else { return Ok(()) };
            for text in texts {
                if regex.is_match(&text) {
                    let folded: String = text.chars().map(fold).collect();
                    prop_assert!(
                        needed.iter().any(|needle| folded.contains(needle)),
                        "{expression} matches {text:?} without {needed:?}"
                    );
                }
            }
        }
    }
}
