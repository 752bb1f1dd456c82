//! Token filters: ten bits per token that say of a block whether a token may be in it.
//!
//! In: the hashes of the distinct tokens of a block (`tokens::hash`). Out: bytes to be stored; and for
//! a search, which few of those bytes decide about one token, so that a filter on disk is asked with
//! one small read and never loaded. What it says no to is not in the block; what it says yes to is, but
//! for one in 256.
//!
//! A binary fuse filter (Graf and Lemire, 2022): an array of fingerprints of a byte, cut into segments.
//! A hash names one place in each of three neighbouring segments; where the three bytes there make the
//! fingerprint of the hash when xored, the answer is yes. The array is all that is stored:
//!
//! ```text
//! fingerprints (a multiple of the segment length) | 0 to 7 zero bytes: their number is the seed
//! ```
//!
//! The length of a segment follows from the length of the array, so that a probe needs to know nothing
//! but how long the filter is. Building fails for few sets of hashes, hence the seeds; should all fail,
//! the array grows by an eighth. Any bytes can be asked and give some answer.
//!
//! Measured with 60,000 tokens: 9.7 bits a token and 0.39 % wrong, 50 ns a token to build. A Bloom filter
//! of blocks of 32 bytes takes 12.3 bits for 0.5 % and builds in 5 ns; of a block that takes 80 ms to
//! pack, the difference is 3 ms and a fifth of the filter.

use std::ops::Range;

/// Seeds tried before the array grows. They are told apart by the filter's length, and the length of a
/// segment is a multiple of their number.
const SEEDS: usize = 8;
/// The shortest and longest segments, as powers of two.
const SEGMENT: Range<u32> = 3..18;

/// How often the array grows before a set of hashes goes without a filter. Chance needs one or two;
/// who crafts tokens whose places coincide must not make it grow for ever.
const GROWTHS: usize = 8;
/// What has no shape says yes to everything.
const ANYTHING: [u8; 1] = [0];

/// The filter of distinct hashes. Ones that occur twice are suffered, and cost time. A set that no
/// array of a reasonable size holds gets one that says yes to all.
pub(super) fn build(hashes: &[u64]) -> Vec<u8> {
    if hashes.is_empty() {
        return Vec::new();
    }
    if let Some(filter) = with_any_seed(hashes, room(hashes.len())) {
        return filter;
    }
    let mut distinct = hashes.to_vec();
    distinct.sort_unstable();
    distinct.dedup();
    let mut wanted = room(distinct.len());
    for _ in 0..GROWTHS {
        if let Some(filter) = with_any_seed(&distinct, wanted) {
            return filter;
        }
        wanted += wanted / 8;
    }
    ANYTHING.to_vec()
}

/// Whether a filter that is in memory may hold a hash.
pub(super) fn contains(filter: &[u8], hash: u64) -> bool {
    match Probe::new(filter.len() as u64, hash) {
        Probe::Decided(answer) => answer,
        Probe::Read(places) => {
            let range = places.range();
            places.decide(&filter[range.start as usize..range.end as usize])
        }
    }
}

/// What it takes to ask a stored filter for a hash.
pub(super) enum Probe {
    /// Nothing is to be read: the filter is empty, or is none.
    Decided(bool),
    /// These bytes decide.
    Read(Places),
}

/// Where in a filter the bytes are that decide about one hash.
pub(super) struct Places {
    at: [u64; 3],
    fingerprint: u8,
}

impl Probe {
    /// For a filter that is `len` bytes long.
    pub(super) fn new(len: u64, hash: u64) -> Probe {
        let Some(shape) = Shape::of(len) else { return Probe::Decided(len > 0) };
        let mixed = shape.mix(hash);
        Probe::Read(Places { at: shape.places(mixed), fingerprint: fingerprint(mixed) })
    }
}

impl Places {
    /// The bytes of the filter to read: a few thousand at most, for usual blocks.
    pub(super) fn range(&self) -> Range<u64> {
        self.at[0]..self.at[2] + 1
    }

    /// Whether the filter may hold the hash, by the bytes at [`range`](Self::range). Too few bytes
    /// rule nothing out.
    pub(super) fn decide(&self, bytes: &[u8]) -> bool {
        let byte = |at: u64| bytes.get((at - self.at[0]) as usize);
        match self.at.map(byte) {
            [Some(a), Some(b), Some(c)] => a ^ b ^ c == self.fingerprint,
            _ => true,
        }
    }
}

/// How an array is divided, all of it known from the length of the filter.
#[derive(Clone, Copy)]
struct Shape {
    /// Fingerprints, a multiple of the segment.
    len: u64,
    segment: u64,
    seed: u64,
}

impl Shape {
    /// The shape of a filter; None when none has this length.
    fn of(filter_len: u64) -> Option<Shape> {
        let seed = filter_len % SEEDS as u64;
        let len = filter_len - seed;
        let segment = segment(len);
        (len.is_multiple_of(segment) && len >= 3 * segment).then_some(Shape { len, segment, seed })
    }

    /// The shape of an array with room for `wanted` fingerprints.
    fn with_room(wanted: u64, seed: u64) -> Shape {
        let mut len = wanted.max(3 << SEGMENT.start);
        // Rounding up may pass the length where segments become longer.
        while len < 3 * segment(len) || !len.is_multiple_of(segment(len)) {
            len = len.next_multiple_of(segment(len)).max(3 * segment(len));
        }
        Shape { len, segment: segment(len), seed }
    }

    fn mix(&self, hash: u64) -> u64 {
        let mut mixed = hash.wrapping_add(self.seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        mixed = (mixed ^ (mixed >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
        mixed = (mixed ^ (mixed >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
        mixed ^ (mixed >> 33)
    }

    /// One place in each of three neighbouring segments, in ascending order.
    fn places(&self, mixed: u64) -> [u64; 3] {
        let starts = self.len - 2 * self.segment;
        let first = ((u128::from(mixed) * u128::from(starts)) >> 64) as u64;
        let mask = self.segment - 1;
        let second = (first + self.segment) ^ ((mixed >> 18) & mask);
        let third = (first + 2 * self.segment) ^ (mixed & mask);
        [first, second, third]
    }
}

/// The length of a segment for an array: it grows a little slower than the array, as the authors found
/// best. In whole numbers, for it must never come out differently.
fn segment(len: u64) -> u64 {
    let mut bits = SEGMENT.start;
    // 3.33 to the power of (bits - 1.25), which is where their formula adds a bit, times 9 / 8.
    let mut threshold = 10_000;
    while bits + 1 < SEGMENT.end && len >= threshold / 1000 {
        bits += 1;
        threshold = threshold / 100 * 333;
    }
    1 << bits
}

fn fingerprint(mixed: u64) -> u8 {
    (mixed ^ (mixed >> 32)) as u8
}

/// Fingerprints with which most seeds succeed, by the authors' formula: a fifth more than hashes for
/// usual blocks, and more than that for few.
fn room(hashes: usize) -> u64 {
    let hashes = hashes as f64;
    let factor = 0.875 + 0.25 * 1e6f64.ln() / hashes.max(2.0).ln();
    (hashes * factor.clamp(1.125, 2.0)) as u64 + 8
}

fn with_any_seed(hashes: &[u64], wanted: u64) -> Option<Vec<u8>> {
    (0..SEEDS).find_map(|seed| {
        let shape = Shape::with_room(wanted, seed as u64);
        let order = peel(hashes, shape)?;
        let mut filter = vec![0; shape.len as usize + seed];
        // A place that was free of all later hashes is set so that the three make the fingerprint.
        for &(mixed, place) in order.iter().rev() {
            let others = shape.places(mixed).iter().fold(0, |sum, at| sum ^ filter[*at as usize]);
            filter[place as usize] = fingerprint(mixed) ^ others;
        }
        Some(filter)
    })
}

/// An order of the (mixed) hashes in which each has a place that no later one uses; None if there is
/// none.
fn peel(hashes: &[u64], shape: Shape) -> Option<Vec<(u64, u32)>> {
    let len = shape.len as usize;
    let (mut counts, mut sums) = (vec![0u32; len], vec![0u64; len]);
    for hash in hashes {
        let mixed = shape.mix(*hash);
        for at in shape.places(mixed) {
            counts[at as usize] += 1;
            sums[at as usize] ^= mixed;
        }
    }
    let mut alone: Vec<u32> = (0..len as u32).filter(|at| counts[*at as usize] == 1).collect();
    let mut order = Vec::with_capacity(hashes.len());
    while let Some(place) = alone.pop() {
        if counts[place as usize] != 1 {
            continue;
        }
        let mixed = sums[place as usize];
        order.push((mixed, place));
        for at in shape.places(mixed) {
            let count = &mut counts[at as usize];
            *count -= 1;
            sums[at as usize] ^= mixed;
            if *count == 1 {
                alone.push(at as u32);
            }
        }
    }
    (order.len() == hashes.len()).then_some(order)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn hashes(range: Range<u64>) -> Vec<u64> {
        range.map(|number| crate::history::tokens::hash(&number.to_le_bytes())).collect()
    }

    #[test]
    fn every_size_holds_its_hashes_and_few_others() {
        for len in [0, 1, 2, 3, 10, 100, 1_000, 5_000, 70_000] {
            let held = hashes(0..len);
            let filter = build(&held);
            assert!(held.iter().all(|hash| contains(&filter, *hash)), "{len}");
            let others = hashes(1_000_000..1_100_000);
            let wrong = others.iter().filter(|hash| contains(&filter, **hash)).count();
            assert!(wrong <= 500, "{wrong} of 100,000 with {len}");
        }
    }

    #[test]
    fn a_usual_filter_is_ten_bits_per_hash_and_asked_by_a_small_read() {
        let held = hashes(0..60_000);
        let filter = build(&held);
        assert!(filter.len() < held.len() * 125 / 100, "{}", filter.len());
        for hash in &held {
            let Probe::Read(places) = Probe::new(filter.len() as u64, *hash) else { panic!() };
            let range = places.range();
            assert!(range.end - range.start <= 3 * 2048);
            assert!(places.decide(&filter[range.start as usize..range.end as usize]));
        }
    }

    #[test]
    fn hashes_that_occur_twice_are_suffered() {
        let mut held = hashes(0..100);
        held.extend_from_within(..50);
        let filter = build(&held);
        assert!(held.iter().all(|hash| contains(&filter, *hash)));
    }

    proptest! {
        #[test]
        fn any_bytes_can_be_asked(
            bytes in prop::collection::vec(any::<u8>(), 0..200), hash in any::<u64>(), len in any::<u64>()
        ) {
            let first = contains(&bytes, hash);
            prop_assert_eq!(first, contains(&bytes, hash));
            if let Probe::Read(places) = Probe::new(len, hash) {
                prop_assert!(places.range().end <= len);
                prop_assert!(places.decide(&[]));
            }
        }

        #[test]
        fn what_was_put_in_is_found(hashes in prop::collection::vec(any::<u64>(), 0..300)) {
            let filter = build(&hashes);
            prop_assert!(hashes.iter().all(|hash| contains(&filter, *hash)));
        }
    }

    #[test]
    fn what_stands_for_any_set_says_yes() {
        assert!((0..1000).all(|hash| contains(&ANYTHING, hash)));
    }
}
