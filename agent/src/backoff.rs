//! Pauses between attempts: they double from one second to a minute, and each is shortened at random
//! so that a thousand agents don't come back at the same moment.

use std::time::Duration;

/// The first pause.
const FIRST: Duration = Duration::from_secs(1);
/// The longest.
const LONGEST: Duration = Duration::from_secs(60);

/// How long to wait before the next attempt.
#[derive(Debug, Clone)]
pub struct Backoff {
    first: Duration,
    next: Duration,
}

impl Default for Backoff {
    fn default() -> Backoff {
        Backoff::from(FIRST)
    }
}

impl From<Duration> for Backoff {
    /// Pauses that begin with this one.
    fn from(first: Duration) -> Backoff {
        Backoff { first, next: first }
    }
}

impl Backoff {
    /// The next pause: between half of it and all of it.
    pub fn next_pause(&mut self) -> Duration {
        let mut byte = [0];
        aws_lc_rs::rand::fill(&mut byte)
            .expect("the system's random numbers never fail once booted");
        let pause = self.next.mul_f64(0.5 + f64::from(byte[0]) / 510.0);
        self.next = (self.next * 2).min(LONGEST);
        pause
    }

    /// Whether nothing had to wait yet.
    pub fn is_fresh(&self) -> bool {
        self.next == self.first
    }

    /// It worked: the next pause is the first again.
    pub fn reset(&mut self) {
        self.next = self.first;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_to_a_minute_and_begin_anew() {
        let mut backoff = Backoff::default();
        for whole in [1, 2, 4, 8, 16, 32, 60, 60] {
            let (pause, whole) = (backoff.next_pause(), Duration::from_secs(whole));
            assert!(pause >= whole / 2 && pause <= whole, "{pause:?} of {whole:?}");
        }
        backoff.reset();
        assert!(backoff.next_pause() <= FIRST);
    }
}
