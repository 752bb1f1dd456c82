//! Many substrings in one text at once.
//!
//! An automaton of ten thousand substrings does not fit a processor's cache, and a text walks it byte
//! by byte. Here each substring (a needle) is represented by a short piece of itself, a gram, chosen
//! to be rare; the grams of a text are looked up in a bitmap that does fit, and only where one is
//! marked are the needles that chose it compared with the text. Needles are sorted by length into
//! three tiers: long ones are found by looking at every fourth place only (four neighbouring grams of
//! each are known, one of which must lie at such a place), middling ones at every place, and those of
//! up to three bytes by pairs of bytes.
//!
//! Texts come folded and [padded](PADDING), so that a gram can be read at any place in one step.

use std::collections::HashMap;

use aho_corasick::packed;

use super::{Span, place};

/// Bytes after the end of a text that can be read; they are never part of a match.
pub(super) const PADDING: usize = 8;

/// So few needles of a tier, each so many bytes long, are first looked for all at once with the
/// processor's vectors: mostly none is there.
const MAX_FEW: usize = 64;
const MIN_FEW: usize = 2;

/// Bytes of a long needle's gram.
const LONG: usize = 6;
/// Bytes of a middling needle's gram.
const MIDDLING: usize = 4;
/// Of a long needle's grams, one lies at a place divisible by this.
const STRIDE: usize = 4;
/// As [`scan`] reads grams.
const _: () = assert!(LONG == STRIDE + 2 && MIDDLING == 4 && STRIDE == 4);
/// Bits of a bitmap for each gram in it, at least.
const BITS_PER_GRAM: usize = 32;

/// What is looked for.
#[derive(Debug)]
pub(super) struct Needle {
    /// In `bytes`.
    text: Span,
    /// What the caller keeps for it.
    pub(super) value: Span,
    /// Whether the caller has to look again; a place in an array of the caller's.
    pub(super) check: Option<u32>,
}

/// All needles of a field.
#[derive(Debug, Default)]
pub(super) struct Grams {
    needles: Vec<Needle>,
    bytes: Vec<u8>,
    long: Option<Tier>,
    middling: Option<Tier>,
    short: Option<Short>,
}

/// Needles found by grams of one width.
#[derive(Debug)]
struct Tier {
    sieve: Sieve,
    bitmap: Bitmap,
    /// Grams and their range in `found`, by hash, with gaps; a gap's range is empty.
    table: Vec<(u64, Span)>,
    /// Needle, and where in it the gram stands.
    found: Vec<(u32, u32)>,
}

/// Needles of up to three bytes.
#[derive(Debug)]
struct Short {
    sieve: Sieve,
    /// One bit for each pair of bytes.
    pairs: Box<[u64; PAIRS]>,
    /// Range in `found` by the first byte, for needles of one byte.
    single: Vec<Span>,
    /// The same by both bytes, for needles of two and three.
    double: HashMap<u16, Span, foldhash::fast::FixedState>,
    /// Needle, its bytes as a number, and which bits of one are compared.
    found: Vec<(u32, u32, u32)>,
}

/// Tells whether a text holds any needle of a tier, where that is fast to tell.
#[derive(Debug, Default)]
struct Sieve(Option<packed::Searcher>);

impl Sieve {
    fn new<'a>(needles: impl ExactSizeIterator<Item = &'a [u8]> + Clone) -> Sieve {
        let few = needles.len() <= MAX_FEW && needles.clone().all(|text| text.len() >= MIN_FEW);
        Sieve(few.then(|| packed::Searcher::new(needles)).flatten())
    }

    /// False only when no needle is there. Texts too short for vectors are not looked at.
    fn may_hold(&self, text: &[u8]) -> bool {
        match &self.0 {
            Some(searcher) if text.len() >= searcher.minimum_len() => searcher.find(text).is_some(),
            _ => true,
        }
    }
}

/// Words that hold one bit for each pair of bytes.
const PAIRS: usize = 1 << 10;

/// Words of a bitmap.
const SMALL: usize = 1 << 6;
const MEDIUM: usize = 1 << 10;
const LARGE: usize = 1 << 13;

/// One bit for each gram that is looked for, by its hash. Its size is known when this is compiled, so
/// that looking one up is a multiplication, two shifts and a test.
#[derive(Debug)]
enum Bitmap {
    Small(Box<[u64; SMALL]>),
    Medium(Box<[u64; MEDIUM]>),
    Large(Box<[u64; LARGE]>),
}

impl Grams {
    /// Builds it. `common` says how often a gram of four bytes is met, about.
    pub(super) fn new(
        wanted: Vec<(Vec<u8>, Span, Option<u32>)>,
        common: &dyn Fn(&[u8]) -> u32,
    ) -> Grams {
        let mut grams = Grams::default();
        let (mut long, mut middling, mut short) = (Vec::new(), Vec::new(), Vec::new());
        for (text, value, check) in wanted {
            let needle = place(grams.needles.len());
            let start = place(grams.bytes.len());
            grams.bytes.extend_from_slice(&text);
            grams.needles.push(Needle { text: (start, place(grams.bytes.len())), value, check });
            match text.len() {
                0 => {}
                1..MIDDLING => short.push((needle, text)),
                len if len >= LONG + STRIDE - 1 => {
                    let counts: Vec<u32> = text.windows(MIDDLING).map(common).collect();
                    let grams = counts.windows(LONG - MIDDLING + 1);
                    let rarities: Vec<u32> =
                        grams.map(|counts| counts.iter().copied().min().unwrap_or(0)).collect();
                    let runs = rarities.windows(STRIDE).map(|run| run.iter().sum::<u32>());
                    let at = rarest(runs);
                    for at in at..at + STRIDE {
                        long.push((load(&text[at..], LONG), (needle, place(at))));
                    }
                }
                _ => {
                    let at = rarest(text.windows(MIDDLING).map(common));
                    middling.push((load(&text[at..], MIDDLING), (needle, place(at))));
                }
            }
        }
        let sieve = |tier: &[(u64, (u32, u32))]| {
            let mut needles: Vec<u32> = tier.iter().map(|(_, (needle, _))| *needle).collect();
            needles.dedup();
            Sieve::new(needles.iter().map(|needle| grams.text(*needle)))
        };
        let (long_sieve, sieve) = (sieve(&long), sieve(&middling));
        grams.long = (!long.is_empty()).then(|| Tier::new(long, long_sieve));
        grams.middling = (!middling.is_empty()).then(|| Tier::new(middling, sieve));
        grams.short = (!short.is_empty()).then(|| Short::new(&short));
        grams
    }

    fn text(&self, needle: u32) -> &[u8] {
        let (start, end) = self.needles[needle as usize].text;
        &self.bytes[start as usize..end as usize]
    }

    /// Whether nothing is looked for.
    pub(super) fn is_empty(&self) -> bool {
        self.needles.is_empty()
    }

    /// How many needles there are.
    pub(super) fn len(&self) -> usize {
        self.needles.len()
    }

    /// Shows each needle that stands in `text`, at each place where it does, with its number.
    /// `padded` is the text and [`PADDING`] bytes more.
    pub(super) fn each(&self, padded: &[u8], mut see: impl FnMut(usize, &Needle)) {
        let Some(len) = padded.len().checked_sub(PADDING) else { return };
        let text = &padded[..len];
        let mut look = |needle: u32, start: Option<usize>| {
            let wanted = self.text(needle);
            let there = start.and_then(|start| text.get(start..start + wanted.len()));
            if there == Some(wanted) {
                see(needle as usize, &self.needles[needle as usize]);
            }
        };
        if let Some(tier) = &self.long
            && tier.sieve.may_hold(text)
        {
            tier.each::<true>(padded, &mut look);
        }
        if let Some(tier) = &self.middling
            && tier.sieve.may_hold(text)
        {
            tier.each::<false>(padded, &mut look);
        }
        if let Some(short) = &self.short
            && short.sieve.may_hold(text)
        {
            short.each(padded, |needle| see(needle as usize, &self.needles[needle as usize]));
        }
    }
}

/// The place of the first of the least.
fn rarest(counts: impl Iterator<Item = u32>) -> usize {
    counts.enumerate().min_by_key(|(_, count)| *count).map_or(0, |(at, _)| at)
}

/// The first `width` bytes as a number.
fn load(bytes: &[u8], width: usize) -> u64 {
    let mut eight = [0; 8];
    eight[..width].copy_from_slice(&bytes[..width]);
    u64::from_le_bytes(eight)
}

/// Spreads a gram over the high bits.
fn spread(gram: u64) -> u64 {
    gram.wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

/// The word and the bit of a gram in a bitmap of so many words, a power of two.
#[inline]
fn bit<const WORDS: usize>(gram: u64) -> (usize, u64) {
    let hash = spread(gram) >> (64 - 6 - WORDS.ilog2());
    ((hash >> 6) as usize, 1 << (hash & 63))
}

impl Bitmap {
    fn new(grams: &[(u64, (u32, u32))]) -> Bitmap {
        fn filled<const WORDS: usize>(grams: &[(u64, (u32, u32))]) -> Box<[u64; WORDS]> {
            let mut words = Box::new([0; WORDS]);
            for (gram, _) in grams {
                let (word, bit) = bit::<WORDS>(*gram);
                words[word] |= bit;
            }
            words
        }
        let bits = grams.len() * BITS_PER_GRAM;
        if bits <= SMALL * 64 {
            Bitmap::Small(filled(grams))
        } else if bits <= MEDIUM * 64 {
            Bitmap::Medium(filled(grams))
        } else {
            Bitmap::Large(filled(grams))
        }
    }
}

/// Shows the grams of a text that are marked, and where they stand. In a long tier only those at every
/// [`STRIDE`]th place are looked at.
#[inline]
fn scan<const WORDS: usize, const LONG_TIER: bool>(
    bitmap: &[u64; WORDS],
    padded: &[u8],
    mut marked: impl FnMut(u64, usize),
) {
    let width = if LONG_TIER { LONG } else { MIDDLING };
    let Some(last) = (padded.len() - PADDING).checked_sub(width) else { return };
    let mut look = |gram: u64, at: usize| {
        let (word, bit) = bit::<WORDS>(gram);
        if bitmap[word] & bit != 0 {
            marked(gram, at);
        }
    };
    if LONG_TIER {
        let (pieces, _) = padded.as_chunks::<STRIDE>();
        let places = pieces.array_windows().take(last / STRIDE + 1);
        for (place, [first, second]) in places.enumerate() {
            let high = u64::from(u16::from_le_bytes([second[0], second[1]]));
            look(u64::from(u32::from_le_bytes(*first)) | high << 32, place * STRIDE);
        }
    } else {
        for (at, four) in padded.array_windows().take(last + 1).enumerate() {
            look(u64::from(u32::from_le_bytes(*four)), at);
        }
    }
}

impl Tier {
    fn new(mut grams: Vec<(u64, (u32, u32))>, sieve: Sieve) -> Tier {
        grams.sort_unstable();
        let size = (grams.len() * 2).next_power_of_two();
        let mut tier = Tier {
            sieve,
            bitmap: Bitmap::new(&grams),
            table: vec![(0, (0, 0)); size],
            found: grams.iter().map(|(_, found)| *found).collect(),
        };
        let mut start = 0;
        for same in grams.chunk_by(|(one, _), (other, _)| one == other) {
            let gram = same[0].0;
            let mut slot = tier.slot(gram);
            while tier.table[slot].1 != (0, 0) {
                slot = (slot + 1) & (size - 1);
            }
            tier.table[slot] = (gram, (place(start), place(start + same.len())));
            start += same.len();
        }
        tier
    }

    fn slot(&self, gram: u64) -> usize {
        (spread(gram) >> 20) as usize & (self.table.len() - 1)
    }

    fn each<const LONG_TIER: bool>(
        &self,
        padded: &[u8],
        look: &mut impl FnMut(u32, Option<usize>),
    ) {
        let marked = |gram, at| self.marked(gram, at, look);
        match &self.bitmap {
            Bitmap::Small(bitmap) => scan::<_, LONG_TIER>(bitmap, padded, marked),
            Bitmap::Medium(bitmap) => scan::<_, LONG_TIER>(bitmap, padded, marked),
            Bitmap::Large(bitmap) => scan::<_, LONG_TIER>(bitmap, padded, marked),
        }
    }

    #[inline(never)]
    fn marked(&self, gram: u64, at: usize, look: &mut impl FnMut(u32, Option<usize>)) {
        let mut slot = self.slot(gram);
        loop {
            let (other, range) = self.table[slot];
            if range == (0, 0) {
                return;
            }
            if other == gram {
                for (needle, before) in &self.found[range.0 as usize..range.1 as usize] {
                    look(*needle, at.checked_sub(*before as usize));
                }
                return;
            }
            slot = (slot + 1) & (self.table.len() - 1);
        }
    }
}

impl Short {
    fn new(needles: &[(u32, Vec<u8>)]) -> Short {
        let mut short = Short {
            sieve: Sieve::new(needles.iter().map(|(_, text)| text.as_slice())),
            pairs: Box::new([0; PAIRS]),
            single: vec![(0, 0); 256],
            double: HashMap::default(),
            found: Vec::new(),
        };
        let mut sorted: Vec<(&[u8], u32, &[u8])> = needles
            .iter()
            .map(|(needle, text)| (&text[..text.len().min(2)], *needle, text.as_slice()))
            .collect();
        sorted.sort_unstable();
        for same in sorted.chunk_by(|(one, ..), (other, ..)| one == other) {
            let start = place(short.found.len());
            short.found.extend(same.iter().map(|(_, needle, text)| {
                let mut four = [0; 4];
                four[..text.len()].copy_from_slice(text);
                (*needle, u32::from_le_bytes(four), u32::MAX >> (32 - 8 * text.len()))
            }));
            let range = (start, place(short.found.len()));
            match *same[0].0 {
                [first, second] => {
                    let pair = u16::from_le_bytes([first, second]);
                    short.mark(pair);
                    short.double.insert(pair, range);
                }
                [first] => {
                    (0..=255).for_each(|second| short.mark(u16::from_le_bytes([first, second])));
                    short.single[usize::from(first)] = range;
                }
                _ => {}
            }
        }
        short
    }

    fn mark(&mut self, pair: u16) {
        self.pairs[usize::from(pair >> 6)] |= 1 << (pair & 63);
    }

    fn each(&self, padded: &[u8], mut see: impl FnMut(u32)) {
        let len = padded.len() - PADDING;
        for (at, four) in padded.array_windows().take(len).enumerate() {
            let four = u32::from_le_bytes(*four);
            let pair = four as u16;
            if self.pairs[usize::from(pair >> 6)] & (1 << (pair & 63)) != 0 {
                self.marked(four, len - at, &mut see);
            }
        }
    }

    #[inline(never)]
    fn marked(&self, four: u32, left: usize, see: &mut impl FnMut(u32)) {
        let single = self.single[usize::from(four as u8)];
        let double = self.double.get(&(four as u16)).copied().unwrap_or_default();
        for range in [single, double] {
            for (needle, text, mask) in &self.found[range.0 as usize..range.1 as usize] {
                // What stands behind the text is no part of it.
                if four & mask == *text && mask.count_ones() as usize <= 8 * left {
                    see(*needle);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn found(needles: &[Vec<u8>], text: &[u8]) -> BTreeSet<u32> {
        let wanted = (0u32..).zip(needles);
        let wanted = wanted.map(|(at, text)| (text.clone(), (at, at + 1), None)).collect();
        let grams = Grams::new(wanted, &|gram| gram.iter().map(|byte| u32::from(*byte)).sum());
        let mut padded = text.to_vec();
        padded.extend_from_slice(&[0; PADDING]);
        let mut found = BTreeSet::new();
        grams.each(&padded, |_, needle| {
            found.insert(needle.value.0);
        });
        found
    }

    proptest! {
        #[test]
        fn it_finds_what_a_look_for_each_finds(
            // Few letters, and zero among them: it is also what stands behind a text.
            needles in prop::collection::btree_set(
                prop::collection::vec(prop::sample::select(vec![0u8, b'a', b'b']), 1..14), 0..40),
            text in prop::collection::vec(prop::sample::select(vec![0u8, b'a', b'b', b'c']), 0..80),
            cut in 0usize..80,
        ) {
            let mut needles: Vec<Vec<u8>> = needles.into_iter().collect();
            // Some that are sure to be there.
            for len in [1, 2, 3, 4, 6, 9, 12] {
                if let Some(piece) = text.get(cut..cut + len) {
                    needles.push(piece.to_vec());
                }
            }
            needles.sort();
            needles.dedup();
            let expected: BTreeSet<u32> = (0u32..)
                .zip(&needles)
                .filter(|(_, needle)| text.windows(needle.len()).any(|place| place == *needle))
                .map(|(at, _)| at)
                .collect();
            prop_assert_eq!(found(&needles, &text), expected);
        }
    }

    #[test]
    fn the_ends_of_a_text_count_and_what_follows_does_not() {
        let needles = [b"powershell.exe".to_vec(), b"exe".to_vec(), b"e\0".to_vec()];
        assert_eq!(found(&needles, b"powershell.exe"), BTreeSet::from([0, 1]));
        assert_eq!(found(&needles, b"powershell.ex"), BTreeSet::new());
        assert_eq!(found(&needles, b""), BTreeSet::new());
    }
}
