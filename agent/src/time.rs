//! The clocks, read here and nowhere else in the agent. What decides is given the time as an argument.

use std::time::Instant;

/// Unix nanoseconds.
pub fn now() -> i64 {
    i64::try_from(jiff::Timestamp::now().as_nanosecond()).unwrap_or(i64::MAX)
}

/// Both clocks: the one records bear, which can be set, and the one that measures how long.
#[derive(Debug, Clone, Copy)]
pub struct Now {
    /// Unix nanoseconds.
    pub wall: i64,
    /// Never goes back.
    pub steady: Instant,
}

impl Now {
    /// Reads them.
    pub fn read() -> Now {
        Now { wall: now(), steady: Instant::now() }
    }
}
