//! Contestants turn about, so that what else the machine does slows all of them.

use std::time::{Duration, Instant};

use anyhow::ensure;
use hengwei_tests::figures::median;

/// How long a contestant runs before the next one's turn.
const SLICE: Duration = Duration::from_millis(80);

/// Somebody who goes over the same events again and again.
pub(super) struct Contestant<'a> {
    pub(super) name: &'static str,
    /// One pass: gets ready, starts the clock, and says what it found.
    pass: Box<dyn FnMut() -> Pass + 'a>,
    rates: Vec<f64>,
    /// In every pass.
    pub(super) hits: usize,
}

/// One pass over the events.
pub(super) struct Pass {
    took: Duration,
    hits: usize,
}

impl Pass {
    /// What `work` finds, and how long it takes.
    pub(super) fn of(work: impl FnOnce() -> usize) -> Pass {
        let started = Instant::now();
        let hits = work();
        Pass { took: started.elapsed(), hits }
    }
}

impl<'a> Contestant<'a> {
    pub(super) fn new(name: &'static str, pass: impl FnMut() -> Pass + 'a) -> Contestant<'a> {
        Contestant { name, pass: Box::new(pass), rates: Vec::new(), hits: 0 }
    }

    /// Events a second: the median of its turns.
    pub(super) fn rate(&self) -> f64 {
        median(self.rates.clone())
    }
}

/// Lets each have `runs` turns over `events` events.
pub(super) fn race(
    contestants: &mut [Contestant<'_>],
    events: usize,
    runs: usize,
) -> anyhow::Result<()> {
    // What is made once, and never again, is made before.
    for contestant in &mut *contestants {
        contestant.hits = (contestant.pass)().hits;
    }
    for _ in 0..runs {
        for contestant in &mut *contestants {
            let (mut passes, mut took) = (0usize, Duration::ZERO);
            while took < SLICE {
                let pass = (contestant.pass)();
                ensure!(
                    pass.hits == contestant.hits,
                    "{}: {} hits in one pass, {} in another",
                    contestant.name,
                    contestant.hits,
                    pass.hits
                );
                took += pass.took;
                passes += 1;
            }
            contestant.rates.push((passes * events) as f64 / took.as_secs_f64());
        }
    }
    Ok(())
}
