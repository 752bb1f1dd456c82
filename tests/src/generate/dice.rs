//! Disorder that can be repeated: the same seed, the same numbers, on every machine. Integers only,
//! because a float's last digit may differ from one libm to the next. Not for secrets.

/// A splitmix64 sequence.
#[derive(Debug, Clone)]
pub struct Dice(u64);

impl Dice {
    /// A sequence of its own for each seed.
    pub fn new(seed: u64) -> Dice {
        Dice(seed)
    }

    /// 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Below `sides`; 0 when there are none.
    pub fn roll(&mut self, sides: u64) -> u64 {
        self.bits().checked_rem(sides).unwrap_or(0)
    }

    /// From `low` to `high`, both possible.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.roll(high.saturating_sub(low) + 1)
    }

    /// True `part` times in `of`.
    pub fn chance(&mut self, part: u64, of: u64) -> bool {
        self.roll(of) < part
    }

    /// Below `sides`, small numbers far more often: each doubling of the rank is as likely as the one
    /// before it, which is Zipf's law.
    pub fn zipf(&mut self, sides: u64) -> u64 {
        let octaves = u64::from(64 - sides.leading_zeros());
        loop {
            let octave = self.roll(octaves.max(1));
            let rank = (1_u64 << octave) - 1 + self.roll(1 << octave);
            if rank < sides || sides == 0 {
                return if sides == 0 { 0 } else { rank };
            }
        }
    }

    /// About `typical`, now and then many times that: how long things take and how big they are.
    pub fn tailed(&mut self, typical: u64) -> u64 {
        let spread = typical / 2 + self.roll(typical.max(1));
        let doublings = (self.bits() | 1 << 40).trailing_zeros() / 2;
        (spread << doublings.min(12)) + self.roll(1 << doublings.min(12))
    }

    /// One of them, each as likely.
    pub fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.index(of.len())]
    }

    /// One of them, the first ones far more often.
    pub fn usual<T: Copy>(&mut self, of: &[T]) -> T {
        let rank = self.zipf(of.len() as u64);
        of[usize::try_from(rank).unwrap_or(0)]
    }

    /// An index below `len`.
    pub fn index(&mut self, len: usize) -> usize {
        usize::try_from(self.roll(len as u64)).unwrap_or(0)
    }

    /// `digits` hexadecimal digits, at most 16.
    pub fn hex(&mut self, digits: usize) -> String {
        let mut text = format!("{:016x}", self.bits());
        text.truncate(digits);
        text
    }

    /// A random UUID, version 4.
    pub fn uuid(&mut self) -> String {
        let (high, low) = (self.bits(), self.bits());
        format!(
            "{:08x}-{:04x}-4{:03x}-{:04x}-{:012x}",
            high >> 32,
            high >> 16 & 0xffff,
            high & 0xfff,
            0x8000 | low >> 48 & 0x3fff,
            low & 0xffff_ffff_ffff
        )
    }
}
