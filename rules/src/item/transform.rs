//! What modifiers make of a text value, one after the other: wildcards at its ends, dashes that
//! stand for each other, encodings, and the values of placeholder lists.

use rsigma_parser::{Modifier, SigmaString, SpecialChar, StringPart};

use super::Compiling;
use crate::budget::Budget;
use crate::encode;
use crate::pattern::{DASHES, Piece};
use crate::set::Options;

/// Ways to write one value that an encoding behind `windash` may need.
const MAX_PERMUTATIONS: usize = 625;

/// Values one value with placeholders may become.
const MAX_EXPANSIONS: usize = 100_000;

/// A value on its way through the modifiers: pieces, or the bytes of an encoding that may not be
/// text yet.
pub(super) enum Encoded {
    Pieces(Vec<Piece>),
    /// Bytes of UTF-16; `marked` when the byte order mark leads them.
    Bytes {
        bytes: Vec<u8>,
        marked: bool,
    },
}

impl Encoded {
    /// Applies one modifier; one value may become several.
    pub(super) fn apply(
        self,
        step: Modifier,
        budget: &Budget,
        out: &mut Vec<Encoded>,
    ) -> Result<(), String> {
        match step {
            Modifier::Base64 | Modifier::Base64Offset => {
                for bytes in self.into_bytes(budget)? {
                    let texts = match step {
                        Modifier::Base64 => vec![encode::base64(&bytes)],
                        _ => encode::base64_offsets(&bytes).to_vec(),
                    };
                    for text in texts {
                        if text.is_empty() {
                            return Err("a value too short for base64offset".to_owned());
                        }
                        out.push(Encoded::Pieces(vec![Piece::Text(text)]));
                    }
                }
            }
            Modifier::Wide | Modifier::Utf16 | Modifier::Utf16be => {
                let order = match step {
                    Modifier::Utf16be => encode::Order::Big,
                    _ => encode::Order::Little,
                };
                let Encoded::Pieces(pieces) = self else {
                    return Err("two encodings of UTF-16 in one item".to_owned());
                };
                out.extend(widened(&pieces, order, step == Modifier::Utf16, budget)?);
            }
            _ => out.push(Encoded::Pieces(placed(self.into_pieces()?, step))),
        }
        Ok(())
    }

    fn into_bytes(self, budget: &Budget) -> Result<Vec<Vec<u8>>, String> {
        match self {
            Encoded::Bytes { mut bytes, marked } => {
                if marked {
                    bytes.splice(0..0, [0xff, 0xfe]);
                }
                Ok(vec![bytes])
            }
            Encoded::Pieces(pieces) => permuted(&pieces, budget)?
                .into_iter()
                .map(|pieces| plain(&pieces).map(String::into_bytes))
                .collect(),
        }
    }

    /// What a pattern is made of in the end.
    pub(super) fn into_pieces(self) -> Result<Vec<Piece>, String> {
        match self {
            Encoded::Pieces(pieces) => Ok(pieces),
            Encoded::Bytes { bytes, marked } => {
                let text = String::from_utf8(bytes).map_err(
                    |_| "UTF-16 of other than ASCII needs base64 or base64offset behind it",
                )?;
                Ok(vec![Piece::Text(if marked { format!("\u{feff}{text}") } else { text })])
            }
        }
    }
}

fn permuted(pieces: &[Piece], budget: &Budget) -> Result<Vec<Vec<Piece>>, String> {
    let dashes = pieces.iter().filter(|piece| **piece == Piece::Dash).count();
    let ways = u32::try_from(dashes).ok().and_then(|dashes| DASHES.len().checked_pow(dashes));
    let ways = ways.unwrap_or(usize::MAX).min(MAX_PERMUTATIONS);
    // Each is written out, encoded, and kept in several forms.
    budget.take(bytes(pieces).saturating_mul(ways))?;
    encode::permutations(pieces, MAX_PERMUTATIONS)
        .ok_or_else(|| "too many dashes for windash before an encoding".to_owned())
}

/// Memory of pieces, roughly.
fn bytes(pieces: &[Piece]) -> usize {
    let text = |piece: &Piece| match piece {
        Piece::Text(text) => text.len(),
        Piece::Any | Piece::One | Piece::Dash => 0,
    };
    pieces.iter().map(|piece| size_of::<Piece>() + text(piece)).sum()
}

fn plain(pieces: &[Piece]) -> Result<String, String> {
    pieces.iter().try_fold(String::new(), |text, piece| match piece {
        Piece::Text(more) => Ok(text + more),
        _ => Err("an encoding of a value with wildcards".to_owned()),
    })
}

fn widened(
    pieces: &[Piece],
    order: encode::Order,
    marked: bool,
    budget: &Budget,
) -> Result<Vec<Encoded>, String> {
    let mut all = Vec::new();
    for pieces in permuted(pieces, budget)? {
        if pieces.iter().any(|piece| matches!(piece, Piece::Any | Piece::One)) {
            // Wildcards stay between the encoded runs of text, which must then be text themselves.
            let mut wide = Vec::with_capacity(pieces.len() + 1);
            if marked {
                wide.push(Piece::Text("\u{feff}".to_owned()));
            }
            for piece in pieces {
                wide.push(match piece {
                    Piece::Text(text) => Piece::Text(
                        String::from_utf8(encode::utf16(&text, order))
                            .map_err(|_| "UTF-16 of other than ASCII beside wildcards")?,
                    ),
                    other => other,
                });
            }
            all.push(Encoded::Pieces(wide));
        } else {
            let bytes = encode::utf16(&plain(&pieces)?, order);
            all.push(Encoded::Bytes { bytes, marked });
        }
    }
    Ok(all)
}

fn placed(mut pieces: Vec<Piece>, step: Modifier) -> Vec<Piece> {
    if step == Modifier::WindAsh {
        return dashed(pieces);
    }
    let start = matches!(step, Modifier::Contains | Modifier::EndsWith);
    let end = matches!(step, Modifier::Contains | Modifier::StartsWith);
    if start && pieces.first() != Some(&Piece::Any) {
        pieces.insert(0, Piece::Any);
    }
    if end && pieces.last() != Some(&Piece::Any) {
        pieces.push(Piece::Any);
    }
    pieces
}

/// Takes the dashes that begin a parameter out of the text: no word character before, one behind.
fn dashed(pieces: Vec<Piece>) -> Vec<Piece> {
    let word = |character: char| character.is_alphanumeric() || character == '_';
    let mut out = Vec::with_capacity(pieces.len());
    for piece in pieces {
        let Piece::Text(text) = piece else {
            out.push(piece);
            continue;
        };
        let mut run = String::new();
        let mut before = None;
        let mut characters = text.chars().peekable();
        while let Some(character) = characters.next() {
            let begins = DASHES.contains(&character)
                && !before.is_some_and(word)
                && characters.peek().copied().is_some_and(word);
            if begins {
                if !run.is_empty() {
                    out.push(Piece::Text(std::mem::take(&mut run)));
                }
                out.push(Piece::Dash);
            } else {
                run.push(character);
            }
            before = Some(character);
        }
        if !run.is_empty() {
            out.push(Piece::Text(run));
        }
    }
    out
}

/// The pieces of a value as it is written.
pub(super) fn pieces(string: &SigmaString) -> Vec<Piece> {
    string
        .parts
        .iter()
        .map(|part| match part {
            StringPart::Plain(text) => Piece::Text(text.clone()),
            StringPart::Special(SpecialChar::WildcardMulti) => Piece::Any,
            StringPart::Special(SpecialChar::WildcardSingle) => Piece::One,
        })
        .collect()
}

/// A piece of text with placeholders: text, or the name of a list.
enum Template {
    Text(String),
    List(String),
}

/// Splits `srv-%Servers%` into text and names of lists; `\%` is a percent sign.
fn placeholders(text: &str) -> Vec<Template> {
    let mut out = Vec::new();
    let mut run = String::new();
    let mut rest = text;
    while let Some(character) = rest.chars().next() {
        if let Some(after) = rest.strip_prefix("\\%") {
            run.push('%');
            rest = after;
            continue;
        }
        let name = rest.strip_prefix('%').and_then(|after| after.split_once('%'));
        match name {
            Some((name, after)) if is_name(name) => {
                if !run.is_empty() {
                    out.push(Template::Text(std::mem::take(&mut run)));
                }
                out.push(Template::List(name.to_owned()));
                rest = after;
            }
            _ => {
                run.push(character);
                rest = &rest[character.len_utf8()..];
            }
        }
    }
    if !run.is_empty() {
        out.push(Template::Text(run));
    }
    out
}

fn is_name(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || "_-.".contains(c))
}

fn list<'a>(name: &str, options: &'a Options) -> Result<&'a [String], String> {
    match options.placeholders.get(name) {
        Some(values) if !values.is_empty() => Ok(values),
        _ => Err(format!("no list for the placeholder %{name}%")),
    }
}

/// Every value that `pieces` become when each placeholder is replaced by each value of its list.
pub(super) fn expanded(pieces: &[Piece], with: Compiling<'_>) -> Result<Vec<Vec<Piece>>, String> {
    let mut all: Vec<Vec<Piece>> = vec![Vec::new()];
    for piece in pieces {
        let Piece::Text(text) = piece else {
            all.iter_mut().for_each(|one| one.push(piece.clone()));
            continue;
        };
        for part in placeholders(text) {
            match part {
                Template::Text(text) => {
                    all.iter_mut().for_each(|one| one.push(Piece::Text(text.clone())));
                }
                Template::List(name) => {
                    let values = list(&name, with.options)?;
                    if all.len() * values.len() > MAX_EXPANSIONS {
                        return Err(format!("more than {MAX_EXPANSIONS} values of placeholders"));
                    }
                    let begun: usize = all.iter().map(|one| bytes(one)).sum();
                    let listed: usize =
                        values.iter().map(|value| size_of::<Piece>() + value.len()).sum();
                    let whole = begun.saturating_mul(values.len());
                    with.budget.take(whole.saturating_add(listed.saturating_mul(all.len())))?;
                    all = all
                        .iter()
                        .flat_map(|begun| {
                            values.iter().map(|value| {
                                let mut one = begun.clone();
                                one.extend(self::pieces(&SigmaString::new(value)));
                                one
                            })
                        })
                        .collect();
                }
            }
        }
    }
    // Neighbouring runs of text are one, as if the value had been written out.
    all.iter_mut().for_each(|one| *one = joined(std::mem::take(one)));
    Ok(all)
}

fn joined(pieces: Vec<Piece>) -> Vec<Piece> {
    let mut out: Vec<Piece> = Vec::with_capacity(pieces.len());
    for piece in pieces {
        match (out.last_mut(), piece) {
            (Some(Piece::Text(before)), Piece::Text(text)) => before.push_str(&text),
            (_, piece) => out.push(piece),
        }
    }
    out
}

/// The same for an expression, where the values of a list stand for themselves.
pub(super) fn expanded_expression(
    source: &str,
    expand: bool,
    with: Compiling<'_>,
) -> Result<Vec<String>, String> {
    if !expand {
        return Ok(vec![source.to_owned()]);
    }
    let mut out = String::new();
    for part in placeholders(source) {
        match part {
            Template::Text(text) => out.push_str(&text),
            Template::List(name) => {
                let values: Vec<String> =
                    list(&name, with.options)?.iter().map(|value| regex::escape(value)).collect();
                with.budget.take(values.iter().map(|value| value.len() + 1).sum())?;
                out.push_str(&format!("(?:{})", values.join("|")));
            }
        }
    }
    Ok(vec![out])
}
