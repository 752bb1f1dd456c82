//! Regular expressions of rules.
//!
//! Sigma's flavour is PCRE without look-around. What PCRE reads as plain characters and the regex
//! crate reads as syntax is escaped here: braces that are no repetition, `[`, `&&`, `--`, `~~`
//! inside a class, `\<`, `\>`, and escaped letters that mean nothing. `$` and `\Z` are also met before
//! a line feed that ends the text. What cannot be expressed (look-around, back references, possessive
//! repetitions) is an error that says so.

use regex::{Regex, RegexBuilder};

use crate::budget::Budget;

/// Memory one expression may take when compiled.
const MAX_COMPILED_BYTES: usize = 8 << 20;

/// Steps in which memory of expressions is charged.
const CHARGES: [usize; 3] = [16 << 10, 128 << 10, 1 << 20];

/// The flags of the sub-modifiers.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Flags {
    /// `i`.
    pub(crate) ignore_case: bool,
    /// `m`.
    pub(crate) multi_line: bool,
    /// `s`.
    pub(crate) dot_all: bool,
}

/// Compiles an expression as rules write them.
pub(crate) fn compile(expression: &str, flags: Flags) -> Result<Regex, String> {
    let translated = translate(expression, flags)
        .map_err(|reason| format!("regular expression {expression:?}: {reason}"))?;
    // The flags are part of the text, so that the text alone says what is matched.
    let flags = [(flags.ignore_case, 'i'), (flags.multi_line, 'm'), (flags.dot_all, 's')];
    let flags: String = flags.iter().filter(|(set, _)| *set).map(|(_, flag)| *flag).collect();
    let flags = if flags.is_empty() { flags } else { format!("(?{flags})") };
    RegexBuilder::new(&(flags + &translated)).size_limit(MAX_COMPILED_BYTES).build().map_err(
        |error| {
            let text = error.to_string();
            // The crate draws the expression over several lines; its last line says what is wrong.
            let reason = text.lines().last().unwrap_or_default().trim();
            format!("regular expression {expression:?}: {}", reason.trim_start_matches("error: "))
        },
    )
}

/// The same, charged for the memory it takes: that is known only by trying.
pub(crate) fn compile_within(
    expression: &str,
    flags: Flags,
    budget: &Budget,
) -> Result<Regex, String> {
    let bytes = CHARGES
        .into_iter()
        .find(|bytes| !is_larger(expression, flags, *bytes))
        .unwrap_or(MAX_COMPILED_BYTES);
    budget.take(bytes)?;
    compile(expression, flags)
}

/// Whether an expression that compiles takes more memory than this.
pub(crate) fn is_larger(expression: &str, flags: Flags, bytes: usize) -> bool {
    let Ok(translated) = translate(expression, flags) else { return false };
    let built = RegexBuilder::new(&translated)
        .case_insensitive(flags.ignore_case)
        .multi_line(flags.multi_line)
        .dot_matches_new_line(flags.dot_all)
        .size_limit(bytes)
        .build();
    matches!(built, Err(regex::Error::CompiledTooBig(_)))
}

/// The end of a text, a line feed before it or not.
const END: &str = "(?:\\n?\\z)";

fn translate(expression: &str, flags: Flags) -> Result<String, &'static str> {
    let multi_line = flags.multi_line || sets_multi_line(expression);
    let characters: Vec<char> = expression.chars().collect();
    let mut out = String::with_capacity(expression.len() + 8);
    let mut index = 0;
    // Inside a class, the place of its first member, where `]` is plain.
    let mut class: Option<usize> = None;
    // Whether what was read last repeats what is before it.
    let mut repeated = false;
    while let Some(&character) = characters.get(index) {
        let next = characters.get(index + 1).copied();
        let was_repeated = std::mem::take(&mut repeated);
        match (character, class) {
            ('\\', None) if next == Some('Z') => {
                out.push_str(END);
                index += 1;
            }
            ('\\', _) => {
                out.push_str(&escaped(next, class.is_some()));
                index += 1;
            }
            ('[', None) => {
                out.push('[');
                if next == Some('^') {
                    out.push('^');
                    index += 1;
                }
                class = Some(index + 1);
            }
            (']', Some(first)) if index != first => {
                out.push(']');
                class = None;
            }
            ('[', Some(_)) if next == Some(':') => out.push('['),
            ('[' | ']', Some(_)) => {
                out.push('\\');
                out.push(character);
            }
            (':', Some(_)) if next == Some(']') && posix(&characters[..index]) => {
                out.push_str(":]");
                index += 1;
            }
            ('&' | '~', Some(_)) => {
                out.push('\\');
                out.push(character);
            }
            ('-', Some(_)) if next == Some('-') => out.push_str("\\-"),
            ('{', None) if !repeats(&characters[index..]) => out.push_str("\\{"),
            ('$', None) if !multi_line => out.push_str(END),
            ('+', None) if was_repeated => return Err("possessive repetitions are not supported"),
            ('*' | '+' | '?' | '}', None) => {
                // Behind a parenthesis a question mark begins a group's flags or name.
                repeated = character != '?' || index == 0 || characters[index - 1] != '(';
                out.push(character);
            }
            _ => out.push(character),
        }
        index += 1;
    }
    Ok(out)
}

/// Whether an expression sets `m` by itself, as `(?m)` or `(?im:...)` do.
fn sets_multi_line(expression: &str) -> bool {
    expression.split("(?").skip(1).any(|flags| {
        let end = flags.find(|c: char| !c.is_ascii_lowercase()).unwrap_or(flags.len());
        flags[..end].contains('m')
    })
}

/// Whether what ends here opened a named class, such as `[:alpha`.
fn posix(before: &[char]) -> bool {
    let name = before.iter().rev().take_while(|c| c.is_ascii_lowercase()).count();
    before[..before.len() - name].ends_with(&['[', ':'])
}

/// Whether `{...}` repeats what stands before it.
fn repeats(from: &[char]) -> bool {
    let Some(end) = from.iter().position(|c| *c == '}') else { return false };
    let inner: String = from[1..end].iter().collect();
    let digits = |text: &str| text.chars().all(|c| c.is_ascii_digit());
    match inner.split_once(',') {
        Some((least, most)) => !least.is_empty() && digits(least) && digits(most),
        None => !inner.is_empty() && digits(&inner),
    }
}

fn escaped(next: Option<char>, in_class: bool) -> String {
    match next {
        None => "\\\\".to_owned(),
        Some(character @ ('<' | '>')) => character.to_string(),
        Some('e') => "\\x1B".to_owned(),
        // In a class, \b is a backspace.
        Some('b') if in_class => "\\x08".to_owned(),
        // A letter that means nothing stands for itself; digits stay, to be refused as references.
        Some(character) if character.is_ascii_alphabetic() && !MEANINGFUL.contains(character) => {
            character.to_string()
        }
        Some(character) if !character.is_ascii() => character.to_string(),
        Some(character) => format!("\\{character}"),
    }
}

/// Letters that mean something behind a backslash, or must be refused rather than misread.
const MEANINGFUL: &str = "abdfnrstvwxzABDGKPQRSWXEUkpughHNCcolLV";

#[cfg(test)]
mod tests {
    use super::*;

    fn check(expression: &str, matching: &[&str], others: &[&str]) {
        let regex = compile(expression, Flags::default()).unwrap();
        for text in matching {
            assert!(regex.is_match(text), "{expression} should match {text:?}");
        }
        for text in others {
            assert!(!regex.is_match(text), "{expression} should not match {text:?}");
        }
    }

    #[test]
    fn an_expression_is_found_anywhere_in_its_case() {
        check("b+c", &["abbcd"], &["aBBCd", "ac"]);
        check("^a.c$", &["abc", "abc\n"], &["a\nc", "xabc", "abc\n\n", "abc\nd"]);
        check("(a$|b)", &["a", "a\n", "bx"], &["ax"]);
        check("[$]", &["$"], &["a"]);
        check(r"a\$", &["a$b"], &["a"]);
        check("(?m)^b$", &["a\nb\nc"], &["ab"]);
        check("a+?b(?:c)??", &["aab"], &["a"]);
    }

    #[test]
    fn what_is_plain_in_pcre_is_plain_here() {
        check(r"\${env", &["${env:x}"], &["$env"]);
        check(r"{\d}", &["{1}"], &["1"]);
        check(r"a{2,3}", &["aa"], &["a{2,3}"]);
        check(r"a{,3}", &["a{,3}"], &["aaa"]);
        check(r"[[]x", &["[x"], &["x"]);
        check(r"[]x]", &["]", "x"], &["["]);
        check(r"[^]x]", &["a"], &["]", "x"]);
        check(r"[a&&b]", &["&", "a", "b"], &["c"]);
        check(r"[+--]", &["-"], &["a"]);
        check(r"[[:digit:]x]", &["1", "x"], &[":", "d"]);
        check(r"\<a\>", &["<a>"], &["a"]);
        check(r"\/\-\'\y", &["/-'y"], &[]);
        check(r"end\Z", &["the end", "end\n"], &["ends", "end\n\n"]);
    }

    #[test]
    fn flags_do_what_they_say() {
        let with = |expression, flags| compile(expression, flags).unwrap();
        assert!(with("ABC", Flags { ignore_case: true, ..Flags::default() }).is_match("abc"));
        assert!(with("^b$", Flags { multi_line: true, ..Flags::default() }).is_match("a\nb\nc"));
        assert!(!with("^b$", Flags::default()).is_match("a\nb\nc"));
        assert!(with("a.b", Flags { dot_all: true, ..Flags::default() }).is_match("a\nb"));
        assert!(!with("a.b", Flags::default()).is_match("a\nb"));
    }

    #[test]
    fn what_cannot_be_expressed_is_refused_by_name() {
        for expression in [
            r"(?=a)b",
            r"(?<!a)b",
            r"(a)\1",
            "(",
            r"\Gx",
            "a{1000}{1000}{1000}",
            "a++b",
            "a*+",
            "a?+",
            "a{2}+",
        ] {
            let reason = compile(expression, Flags::default()).unwrap_err();
            assert!(reason.contains("regular expression"), "{reason}");
            assert!(!reason.contains('\n'), "{reason}");
        }
    }
}
