//! A hospital's logs, made up: the same lines for the same seed, on any machine, one at a time, so
//! that a measurement can have as many as it wants without holding them.
//!
//! In: a [`Plan`]. Out: [`Line`]s in the order they were written: which host, which file, when, and
//! the bytes without a newline. Everybody is invented and every address of the internet is random.
//!
//! A compressor that looks for templates should not find this easier than a real site. So lines come
//! in scenes (a login with what follows it, a page with its requests, a study with its images), and
//! scenes overlap; few users and addresses do most of it and most turn up once or twice; the services
//! have hundreds of messages of which most are rare; some lines come once in ten thousand or a
//! million, and some are never said again; ids, traces and tokens are random, as they are; the number
//! of fields varies; some of it is Chinese, in UTF-8 and in GB18030. What it is not: a model of an
//! attack, or of how much one kind of line there is next to another in any given hospital.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

mod clinical;
mod database;
mod dice;
mod intranet;
mod java;
mod network;
mod odd;
mod stamp;
mod system;
#[cfg(test)]
mod tests;
mod web;
mod world;

pub use dice::Dice;
pub use world::HOSTS;

const SECOND: i64 = 1_000_000_000;
const MILLI: i64 = 1_000_000;
/// 2026-11-02 07:30 in China: a Monday morning begins.
const MORNING: i64 = 1_793_575_800 * SECOND;
/// How busy each hour is, in percent of the average.
const DAY: [i64; 24] = [
    25, 20, 15, 15, 20, 35, 70, 140, 230, 240, 220, 180, 110, 130, 190, 190, 170, 120, 80, 65, 55,
    50, 40, 30,
];

/// What to make.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Another seed, another day.
    pub seed: u64,
    /// How many lines.
    pub lines: u64,
    /// When the first is written, Unix nanoseconds.
    pub start: i64,
    /// How long it takes until about the last one, nanoseconds; at most two years.
    pub lasts: i64,
}

impl Plan {
    /// So many lines of a morning and what follows it: about a hundred a second.
    pub fn new(seed: u64, lines: u64) -> Plan {
        let lasts = i64::try_from(lines).unwrap_or(i64::MAX / SECOND).saturating_mul(SECOND / 100);
        Plan { seed, lines, start: MORNING, lasts }
    }
}

/// A line of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Index into [`HOSTS`].
    pub host: usize,
    /// The file it is written to.
    pub path: &'static str,
    /// When, Unix nanoseconds.
    pub time: i64,
    /// What it says, without a newline.
    pub bytes: Vec<u8>,
}

/// Makes the lines of a plan.
#[derive(Debug)]
pub struct Generator {
    stage: Stage,
    plan: Plan,
    made: u64,
    /// Scenes left of a burst.
    burst: u64,
}

/// Everything scenes share. They say lines into `pending`, which gives them back in order of time.
#[derive(Debug)]
struct Stage {
    dice: Dice,
    now: i64,
    said: u64,
    pending: BinaryHeap<Reverse<Pending>>,
    pids: [u64; HOSTS.len()],
    counts: [u64; HOSTS.len()],
}

/// A line that waits for its time; of the same time, the one said first comes first.
#[derive(Debug, PartialEq, Eq)]
struct Pending {
    said: u64,
    line: Line,
}

impl Generator {
    /// Ready to make the first line.
    pub fn new(plan: Plan) -> Generator {
        let mut dice = Dice::new(plan.seed);
        let pids = std::array::from_fn(|_| dice.between(800, 30_000));
        let counts = std::array::from_fn(|_| dice.between(1_000, 90_000));
        let pending = BinaryHeap::new();
        let stage = Stage { dice, now: plan.start, said: 0, pending, pids, counts };
        Generator { stage, plan, made: 0, burst: 0 }
    }

    /// Plays one scene and moves the clock to the next: as fast as the hour and a burst ask, and so
    /// that the last line falls near the end of the plan.
    fn play(&mut self) {
        let before = self.stage.said;
        scene(&mut self.stage);
        let lines = i64::try_from(self.stage.said - before).unwrap_or(1).max(1);
        let left = i64::try_from(self.plan.lines.saturating_sub(self.made)).unwrap_or(i64::MAX);
        let end = self.plan.start.saturating_add(self.plan.lasts);
        let share = work(self.stage.now, end).max(0) / left.max(1) * lines;
        let mut gap = share / busy(self.stage.now);
        if self.burst > 0 {
            self.burst -= 1;
            gap /= 30;
        } else if self.stage.dice.chance(1, 4_000) {
            self.burst = self.stage.dice.between(50, 900);
        }
        let spread = i64::try_from(self.stage.dice.roll(2_000)).unwrap_or(1_000);
        self.stage.now += gap / 1_000 * spread;
    }
}

impl Iterator for Generator {
    type Item = Line;

    fn next(&mut self) -> Option<Line> {
        if self.made == self.plan.lines {
            return None;
        }
        loop {
            if let Some(Reverse(first)) = self.stage.pending.peek()
                && first.line.time <= self.stage.now
            {
                self.made += 1;
                return self.stage.pending.pop().map(|Reverse(pending)| pending.line);
            }
            self.play();
        }
    }
}

/// How busy the hour of a time is, in percent of the average.
fn busy(time: i64) -> i64 {
    let hour = usize::try_from(stamp::Stamp::of(time).hour).unwrap_or(0);
    DAY.get(hour).copied().unwrap_or(100)
}

/// What is done from `from` to `until`: nanoseconds, each as often as its hour is busy. Days, not
/// hours, are what a long plan is made of, so it is as cheap for half a year as for a morning.
fn work(from: i64, until: i64) -> i64 {
    const HOUR: i64 = 3_600 * SECOND;
    let since_day_began = |time: i64| {
        let hours = time.rem_euclid(24 * HOUR) / HOUR;
        let whole: i64 = (0..hours).map(|hour| busy(hour * HOUR) * HOUR).sum();
        whole + time.rem_euclid(HOUR) * busy(time)
    };
    let days = until.div_euclid(24 * HOUR) - from.div_euclid(24 * HOUR);
    days * DAY.iter().sum::<i64>() * HOUR + since_day_began(until) - since_day_began(from)
}

/// A time as syslog writes it in the hospital's zone: `Nov  2 07:30:00`.
pub fn syslog_stamp(time: i64) -> String {
    stamp::Stamp::of(time).syslog()
}

/// Which scene, by how often each is played in ten thousand.
fn scene(stage: &mut Stage) {
    type Play = fn(&mut Stage);
    const SCENES: [(u64, Play); 23] = [
        (1_500, Stage::his),
        (1_350, Stage::service),
        (1_000, Stage::visit),
        (1_000, Stage::statements),
        (900, Stage::firewall),
        (800, Stage::hl7),
        (640, Stage::audit),
        (500, Stage::cron),
        (420, Stage::daemon),
        (330, Stage::intranet),
        (300, Stage::tomcat),
        (280, Stage::laboratory),
        (200, Stage::orthanc),
        (160, Stage::guessing),
        (140, Stage::analyser),
        (130, Stage::images),
        (110, Stage::database),
        (70, Stage::nginx_error),
        (50, Stage::session),
        (50, Stage::redis),
        (40, Stage::probing),
        (20, Stage::kernel),
        (10, Stage::apache_error),
    ];
    if stage.dice.chance(1, 3_000) {
        return stage.odd();
    }
    let mut rolled = stage.dice.roll(10_000);
    for (share, play) in SCENES {
        if rolled < share {
            return play(stage);
        }
        rolled -= share;
    }
    stage.his();
}

impl Stage {
    /// So many milliseconds from now, and a little.
    fn at(&mut self, after: i64) -> i64 {
        let little = i64::try_from(self.dice.roll(MILLI.unsigned_abs())).unwrap_or(0);
        self.now + after.saturating_mul(MILLI) + little
    }

    fn line(&mut self, time: i64, host: usize, path: &'static str, bytes: impl Into<Vec<u8>>) {
        self.said += 1;
        let line = Line { host, path, time, bytes: bytes.into() };
        self.pending.push(Reverse(Pending { said: self.said, line }));
    }

    /// A new process of a host.
    fn pid(&mut self, host: usize) -> u64 {
        self.pids[host] = self.pids[host] % 4_194_000 + 1 + self.dice.zipf(40);
        self.pids[host]
    }

    /// The next number of something a host counts.
    fn count(&mut self, host: usize) -> u64 {
        self.counts[host] += 1;
        self.counts[host]
    }
}

impl Ord for Pending {
    fn cmp(&self, other: &Pending) -> std::cmp::Ordering {
        (self.line.time, self.said).cmp(&(other.line.time, other.said))
    }
}

impl PartialOrd for Pending {
    fn partial_cmp(&self, other: &Pending) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
