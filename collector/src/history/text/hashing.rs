//! Hash tables whose keys strangers choose: keyed anew each time, so that nobody can prepare keys that
//! collide. What is equal is always decided by comparing bytes.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hasher, RandomState};

/// A table for one packing.
pub(super) type Table<K, V> = HashMap<K, V, Keyed>;

/// Starts hashes from a random key.
#[derive(Clone, Copy)]
pub(super) struct Keyed(u64);

impl Default for Keyed {
    fn default() -> Keyed {
        Keyed(RandomState::new().hash_one(0))
    }
}

impl BuildHasher for Keyed {
    type Hasher = Folding;

    fn build_hasher(&self) -> Folding {
        Folding { state: self.0, key: self.0 | 1 }
    }
}

/// Folded multiplication with a key that is not known outside.
pub(super) struct Folding {
    state: u64,
    key: u64,
}

impl Folding {
    fn fold(&mut self, word: u64) {
        let wide = u128::from(self.state ^ word) * u128::from(self.key ^ 0xa076_1d64_78bd_642f);
        self.state = (wide as u64) ^ ((wide >> 64) as u64) ^ self.key.rotate_left(32);
    }
}

impl Hasher for Folding {
    fn write(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks::<8>();
        for word in words {
            self.fold(u64::from_le_bytes(*word));
        }
        let mut tail = [0; 8];
        tail[..rest.len()].copy_from_slice(rest);
        tail[7] = rest.len() as u8;
        self.fold(u64::from_le_bytes(tail));
    }

    fn write_u8(&mut self, number: u8) {
        self.fold(number.into());
    }

    fn write_u32(&mut self, number: u32) {
        self.fold(number.into());
    }

    fn write_u64(&mut self, number: u64) {
        self.fold(number);
    }

    fn write_usize(&mut self, number: usize) {
        self.fold(number as u64);
    }

    fn finish(&self) -> u64 {
        let wide = u128::from(self.state) * u128::from(self.key ^ 0xd1b5_4a32_d192_ed03);
        (wide as u64) ^ ((wide >> 64) as u64)
    }
}
