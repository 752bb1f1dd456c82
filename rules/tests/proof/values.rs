//! Choices, and the values that rules and events are made of.

use std::net::IpAddr;

use crate::made::Owned;

/// A stream of choices: bytes given, then those a seed makes.
pub(crate) struct Choices<'a> {
    bytes: &'a [u8],
    state: Option<u64>,
}

impl<'a> Choices<'a> {
    /// Made by a seed.
    pub(crate) fn of_seed(seed: u64) -> Choices<'static> {
        Choices { bytes: &[], state: Some(seed) }
    }

    /// Made by bytes; behind the last all choices are the first.
    pub(crate) fn of_bytes(bytes: &'a [u8]) -> Choices<'a> {
        Choices { bytes, state: None }
    }

    /// One of so many; the first for none.
    pub(crate) fn below(&mut self, many: usize) -> usize {
        let many = many.max(1) as u64;
        let number = match (self.bytes.split_first(), &mut self.state) {
            (Some((byte, rest)), _) => {
                self.bytes = rest;
                u64::from(*byte)
            }
            (None, Some(state)) => next(state) >> 33,
            (None, None) => 0,
        };
        usize::try_from(number % many).unwrap()
    }

    /// True once in so many times.
    pub(crate) fn one_in(&mut self, many: usize) -> bool {
        self.below(many) == many - 1
    }

    /// One of these.
    fn of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())]
    }
}

/// SplitMix64.
fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut mixed = *state;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// What texts are put together of: few, so that they meet, share ends and lie in each other.
const ATOMS: [&str; 58] = [
    "cmd",
    "whoami",
    "powershell",
    ".exe",
    "\\",
    "C:\\Windows\\",
    "a",
    "b",
    "ab",
    "ba",
    "aba",
    "k",
    "s",
    "x",
    " ",
    "-enc",
    " /c ",
    "--x",
    "a-b",
    "4688",
    "1",
    "0",
    "true",
    "null",
    "Ü",
    "straße",
    "衡",
    "卫星",
    "Σίς",
    "İ",
    "\u{212a}",
    "\u{17f}",
    "é",
    "e\u{301}",
    "root",
    "srv1",
    "dc01",
    "http://",
    "/bin/sh",
    "..",
    "%",
    "\t",
    "\n",
    "|",
    "10.0.0.1",
    "fe80::1",
    "=",
    ",",
    "\0",
    "\u{1f600}",
    "mimikatz",
    "Invoke-",
    "/etc/passwd",
    "user",
    "Temp",
    "rundll32",
    "ⱥ",
    "ẞ",
];

const ASCII_ATOMS: [&str; 12] =
    ["cmd", "foo", "http://", "-enc", "ab", "/bin/sh", "x", "Invoke", " -w ", "0", "IEX", "whoami"];

const DASHES: [char; 5] = ['-', '/', '–', '—', '―'];

/// Plain text.
fn text(choices: &mut Choices<'_>) -> String {
    let most = match choices.below(240) {
        239 => 250,
        1..6 => 60,
        _ => 4,
    };
    (0..choices.below(most)).map(|_| choices.of(&ATOMS)).collect()
}

/// Text without anything but ASCII, never empty.
pub(crate) fn ascii(choices: &mut Choices<'_>) -> String {
    let first = choices.of(&ASCII_ATOMS);
    let more: String = (0..choices.below(3)).map(|_| choices.of(&ASCII_ATOMS)).collect();
    // Long enough for every offset of Base64.
    format!("{first}{more}abc")
}

/// A value as a rule writes it: text with wildcards and escapes in it.
pub(crate) fn pattern(choices: &mut Choices<'_>) -> String {
    let mut out = String::new();
    for _ in 0..1 + choices.below(3) {
        match choices.below(12) {
            0 => out.push('*'),
            1 => out.push('?'),
            2 => out.push_str(choices.of(&["\\*", "\\?", "\\\\", "\\\\*", "\\\\\\*"])),
            3 => out.push_str(&text(choices)),
            _ => out.push_str(choices.of(&ATOMS)),
        }
    }
    out
}

/// A value with a parameter in it.
pub(crate) fn parameter(choices: &mut Choices<'_>) -> String {
    let mut out = String::new();
    for _ in 0..1 + choices.below(2) {
        out.push_str(choices.of(&["", " ", "x ", "a", "(", "*", "-"]));
        out.push(choices.of(&DASHES));
        out.push_str(choices.of(&["enc", "e", "a-b", "É", "_", "5", " ", "no/exit", ""]));
    }
    out
}

/// A number.
pub(crate) fn number(choices: &mut Choices<'_>) -> i64 {
    choices.of(&[0, 1, 5, 46, 4688, 4104, -1, 443, 1_000_000, i64::MAX - 1])
}

/// A hash with its name.
pub(crate) fn hash(choices: &mut Choices<'_>) -> String {
    let digits = choices.of(&["0123456789abcdef0123456789abcdef", "ABCDEF", "00"]);
    format!("{}={digits}", choices.of(&["MD5", "SHA256", "IMPHASH"]))
}

const NETWORKS: [&str; 6] =
    ["10.0.0.0/8", "192.0.2.0/24", "0.0.0.0/0", "fe80::/10", "::1/128", "10.1.2.3/32"];

/// A network.
pub(crate) fn network(choices: &mut Choices<'_>) -> &'static str {
    choices.of(&NETWORKS)
}

/// An address in a network, or beside it; as an address or as text.
pub(crate) fn address_in(network: &str, choices: &mut Choices<'_>) -> Owned {
    let near: &[&str] = match network {
        "10.0.0.0/8" => &["10.0.0.0", "10.255.255.255", "11.0.0.0", "::ffff:10.1.1.1"],
        "192.0.2.0/24" => &["192.0.2.0", "192.0.2.255", "192.0.3.0"],
        "0.0.0.0/0" => &["0.0.0.0", "255.255.255.255", "::"],
        "fe80::/10" => &["fe80::1", "febf::1", "fec0::"],
        "::1/128" => &["::1", "::2", "0:0:0:0:0:0:0:1"],
        _ => &["10.1.2.3", "10.1.2.4", "10.1.2.3 "],
    };
    let text = choices.of(near);
    match text.parse::<IpAddr>() {
        Ok(address) if choices.one_in(2) => Owned::Address(address),
        _ => Owned::Text(text.to_owned()),
    }
}

/// Pieces of expressions, each with a text it finds.
const EXPRESSIONS: [(&str, &str); 22] = [
    ("cmd", "cmd"),
    (r"\d+", "42"),
    ("[a-c]{2}", "ab"),
    ("(foo|bar)", "bar"),
    (r"\.exe", ".exe"),
    (r"\\", "\\"),
    (".", "x"),
    (".*", ""),
    ("a?", ""),
    ("x+", "xx"),
    ("[^a]", "b"),
    (r"\s", " "),
    (r"\w{3}", "abc"),
    ("(ab)*c", "ababc"),
    ("Ü", "Ü"),
    ("衡", "衡"),
    ("(?:one|two)three", "twothree"),
    ("k", "k"),
    (r"(whoami|mimikatz)\s+/all", "whoami /all"),
    ("a{1,3}b", "aab"),
    ("=", "="),
    (r"\$\{", "${"),
];

/// An expression, and a text it finds.
pub(crate) fn expression(choices: &mut Choices<'_>) -> (String, String) {
    let (mut expression, mut example) = (String::new(), String::new());
    if choices.one_in(6) {
        expression.push('^');
    }
    for _ in 0..1 + choices.below(3) {
        let (piece, found) = choices.of(&EXPRESSIONS);
        expression.push_str(piece);
        example.push_str(found);
    }
    if choices.one_in(6) {
        expression.push('$');
    }
    (expression, example)
}

/// A text that a rule's value means: wildcards filled in, escapes undone, modifiers done.
pub(crate) fn meaning(written: &str, modifiers: &[&str], choices: &mut Choices<'_>) -> String {
    let has = |name: &str| modifiers.contains(&name);
    let mut out = if has("expand") { expanded(written, choices) } else { written.to_owned() };
    out = filled(&out, choices);
    if has("windash") && choices.one_in(2) {
        let to = choices.of(&DASHES);
        out = out.chars().map(|c| if DASHES.contains(&c) { to } else { c }).collect();
    }
    let mut bytes = out.clone().into_bytes();
    if has("wide") || has("utf16le") || has("utf16") || has("utf16be") {
        bytes = out
            .encode_utf16()
            .flat_map(|unit| if has("utf16be") { unit.to_be_bytes() } else { unit.to_le_bytes() })
            .collect();
        out = String::from_utf8_lossy(&bytes).into_owned();
        if has("utf16") {
            bytes.splice(0..0, [0xff, 0xfe]);
        }
    }
    if has("base64offset") {
        let before = choices.below(4);
        bytes.splice(0..0, std::iter::repeat_n(b'x', before));
        bytes.extend(std::iter::repeat_n(b'y', choices.below(3)));
    }
    if has("base64") || has("base64offset") {
        out = base64(&bytes);
    }
    placed(&out, modifiers, choices)
}

fn expanded(written: &str, choices: &mut Choices<'_>) -> String {
    let server = choices.of(&["srv*", "dc01", "Ünx"]);
    let admin = choices.of(&["root", "a.b"]);
    written.replace("%Servers%", server).replace("%Admins%", admin)
}

/// Wildcards filled in and escapes undone.
fn filled(written: &str, choices: &mut Choices<'_>) -> String {
    let mut out = String::new();
    let mut characters = written.chars().peekable();
    while let Some(character) = characters.next() {
        match (character, characters.peek()) {
            ('\\', Some(next @ ('*' | '?' | '\\'))) => {
                out.push(*next);
                characters.next();
            }
            ('*', _) => out.push_str(&text(choices)),
            ('?', _) => out.push(choices.of(&['x', '衡', 'É', '?', '-'])),
            _ => out.push(character),
        }
    }
    out
}

/// Text at the place that modifiers ask for.
pub(crate) fn placed(text: &str, modifiers: &[&str], choices: &mut Choices<'_>) -> String {
    let has = |name: &str| modifiers.contains(&name);
    let before = has("contains") || has("endswith");
    let after = has("contains") || has("startswith");
    let before = if before && choices.one_in(2) { self::text(choices) } else { String::new() };
    let after = if after && choices.one_in(2) { self::text(choices) } else { String::new() };
    format!("{before}{text}{after}")
}

/// Text with something around it, mostly.
pub(crate) fn surrounded(text: &str, choices: &mut Choices<'_>) -> String {
    placed(text, &["contains"], choices)
}

/// The same, or something that looks like it.
pub(crate) fn spoiled(text: String, choices: &mut Choices<'_>) -> String {
    let characters: Vec<char> = text.chars().collect();
    let at = choices.below(characters.len());
    let other = |character: char| match character {
        'k' | 'K' => '\u{212a}',
        's' | 'S' => '\u{17f}',
        'σ' | 'Σ' => 'ς',
        lower if lower.is_lowercase() => lower.to_uppercase().next().unwrap_or(lower),
        upper => upper.to_lowercase().next().unwrap_or(upper),
    };
    match choices.below(20) {
        0..7 => text,
        7..10 => characters.iter().map(|c| other(*c)).collect(),
        10 => text.to_uppercase(),
        11 => text.to_lowercase(),
        12 => characters.iter().enumerate().filter(|(i, _)| *i != at).map(|(_, c)| c).collect(),
        13 => format!("{text}{}", choices.of(&ATOMS)),
        14 => format!("{}{text}", choices.of(&ATOMS)),
        15 => {
            let to = choices.of(&DASHES);
            characters.iter().map(|c| if DASHES.contains(c) { to } else { *c }).collect()
        }
        16 => characters
            .iter()
            .enumerate()
            .map(|(i, c)| if i == at { other(*c) } else { *c })
            .collect(),
        17 => format!("{text}{text}"),
        18 => characters.iter().rev().collect(),
        _ => text.replace('a', "aa"),
    }
}

/// Text as the type it may be.
pub(crate) fn typed(text: String, choices: &mut Choices<'_>) -> Owned {
    if choices.one_in(3) {
        return Owned::Text(text);
    }
    if let Ok(number) = text.parse::<i64>() {
        return Owned::Integer(number);
    }
    if let Ok(number) = text.parse::<f64>()
        && number.is_finite()
    {
        return Owned::Number(number);
    }
    match (text.as_str(), text.parse()) {
        ("true", _) => Owned::Flag(true),
        ("false", _) => Owned::Flag(false),
        ("null", _) => Owned::Null,
        (_, Ok(address)) => Owned::Address(address),
        _ => Owned::Text(text),
    }
}

/// Base64, written here a second time.
pub(crate) fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let bits: Vec<u8> =
        bytes.iter().flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1)).collect();
    let mut out: String = bits
        .chunks(6)
        .map(|six| {
            let number = (0..6).fold(0, |sum, bit| sum << 1 | six.get(bit).copied().unwrap_or(0));
            char::from(ALPHABET[usize::from(number)])
        })
        .collect();
    while !out.len().is_multiple_of(4) {
        out.push('=');
    }
    out
}
