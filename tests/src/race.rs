//! Who is faster: contestants turn about, so that what else the machine does slows all of them. The clock is that of
//! this thread: what it had of a processor, not how long it waited for one.

use std::time::Duration;

use crate::figures::median;
use anyhow::ensure;
use rustix::time::{ClockId, clock_gettime};

/// How long a contestant runs before the next one's turn.
const SLICE: Duration = Duration::from_millis(80);

/// Somebody who goes over the same events again and again.
#[expect(missing_debug_implementations, reason = "it holds a closure")]
pub struct Contestant<'a> {
    /// What it goes by.
    pub name: &'static str,
    /// One pass: gets ready, starts the clock, and says what it found.
    pass: Box<dyn FnMut() -> Pass + 'a>,
    rates: Vec<f64>,
    /// What it found in every pass.
    pub hits: usize,
}

/// One pass over the events.
#[derive(Debug)]
pub struct Pass {
    took: Duration,
    hits: usize,
}

impl Pass {
    /// What `work` finds, and how long it takes.
    pub fn of(work: impl FnOnce() -> usize) -> Pass {
        let started = thread_time();
        let hits = work();
        Pass { took: thread_time().saturating_sub(started), hits }
    }
}

/// What this thread has had of a processor.
pub fn thread_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or(0))
}

impl<'a> Contestant<'a> {
    /// A contestant that goes over the events once in each `pass`.
    pub fn new(name: &'static str, pass: impl FnMut() -> Pass + 'a) -> Contestant<'a> {
        Contestant { name, pass: Box::new(pass), rates: Vec::new(), hits: 0 }
    }

    /// Events a second: the median of its turns.
    pub fn rate(&self) -> f64 {
        median(self.rates.clone())
    }
}

/// Lets each have `runs` turns over `events` events.
pub fn race(contestants: &mut [Contestant<'_>], events: usize, runs: usize) -> anyhow::Result<()> {
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
