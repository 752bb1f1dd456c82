//! Whether both ends still speak of the same numbers: what Hello said of a queue against what Welcome
//! answers. A plain function; the spool is asked through a closure.
//!
//! - The same number and digest: go on.
//! - The collector has less than it acknowledged: it was restored from a backup. New epoch.
//! - It has more, and the spool still holds that very record: an acknowledgement was lost on the way.
//! - It has more than the spool ever had, or another record under that number: the spool was restored
//!   or the machine cloned. New epoch.
//! - It has more, and the spool has lost the records themselves: there is nothing to compare, and the
//!   collector having them is the better news.

use hengwei_protocol::gap::Cause;
use hengwei_protocol::wire::QueueState;

use crate::spool::Known;

/// What to do with a queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Send from the acknowledged number on.
    GoOn,
    /// The collector has everything below this number; the digest is its own.
    AckUpTo(u64, Option<[u8; 32]>),
    /// Begin a new epoch.
    NewEpoch(Cause, String),
}

/// Compares one queue. `ours` is what Hello said, `theirs` what Welcome answers, `next` the number
/// the next record would get, `known` what the spool knows of a number.
pub(super) fn reconcile<E>(
    ours: &QueueState,
    theirs: &QueueState,
    next: u64,
    known: impl FnOnce(u64) -> Result<Known, E>,
) -> Result<Verdict, E> {
    // A collector that has nothing may say 0 as well as 1.
    let (have, theirs_next) = (ours.next.max(1), theirs.next.max(1));
    let rolled_back = |why: String| Ok(Verdict::NewEpoch(Cause::RolledBack, why));
    if theirs_next < have {
        let why = format!("the collector has {} of {} it acknowledged", theirs_next - 1, have - 1);
        return Ok(Verdict::NewEpoch(Cause::CollectorRolledBack, why));
    }
    if theirs_next == have {
        let comparable = have > 1 && !ours.digest.is_empty() && !theirs.digest.is_empty();
        return match comparable && ours.digest != theirs.digest {
            true => rolled_back(format!("record {} is another one at the collector", have - 1)),
            false => Ok(Verdict::GoOn),
        };
    }
    if theirs_next > next {
        let why = format!("the collector has {}, the spool {}", theirs_next - 1, next - 1);
        return rolled_back(why);
    }
    let digest = <[u8; 32]>::try_from(&theirs.digest[..]).ok();
    match known(theirs_next - 1)? {
        Known::Digest(ours) if Some(ours) == digest => Ok(Verdict::AckUpTo(theirs_next, digest)),
        Known::Lost => Ok(Verdict::AckUpTo(theirs_next, digest)),
        Known::Digest(_) => {
            rolled_back(format!("record {} is another one at the collector", theirs_next - 1))
        }
        Known::Absent => {
            rolled_back(format!("the spool has no record {} to compare", theirs_next - 1))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(next: u64, digest: u8) -> QueueState {
        let digest = if digest == 0 { Vec::new() } else { vec![digest; 32] };
        QueueState { next, digest: digest.into(), ..QueueState::default() }
    }

    #[test]
    fn every_way_two_ends_can_differ_has_its_verdict() {
        let check =
            |ours: (u64, u8), theirs: (u64, u8), next: u64, known: Known, expected: &str| {
                let (ours, theirs) = (state(ours.0, ours.1), state(theirs.0, theirs.1));
                let verdict = reconcile(&ours, &theirs, next, |_| Ok::<_, ()>(known));
                let text = match verdict.expect("never fails here") {
                    Verdict::GoOn => "go on".to_owned(),
                    Verdict::AckUpTo(next, digest) => {
                        format!("ack {next} {}", digest.is_some_and(|d| d == [2; 32]))
                    }
                    Verdict::NewEpoch(cause, _) => cause.as_str().to_owned(),
                };
                assert_eq!(text, expected, "{ours:?} {theirs:?} {next} {known:?}");
            };
        let (same, other) = (Known::Digest([2; 32]), Known::Digest([3; 32]));
        check((1, 0), (0, 0), 9, same, "go on");
        check((1, 0), (1, 0), 9, same, "go on");
        check((5, 1), (5, 1), 9, same, "go on");
        check((5, 0), (5, 1), 9, same, "go on");
        check((5, 1), (5, 2), 9, same, "rolled-back");
        check((5, 1), (4, 1), 9, same, "collector-rolled-back");
        check((5, 1), (0, 0), 9, same, "collector-rolled-back");
        check((5, 1), (9, 2), 9, same, "ack 9 true");
        check((1, 0), (2, 2), 9, same, "ack 2 true");
        check((5, 1), (9, 2), 9, Known::Lost, "ack 9 true");
        check((5, 1), (9, 2), 9, other, "rolled-back");
        check((5, 1), (9, 2), 9, Known::Absent, "rolled-back");
        check((5, 1), (10, 2), 9, same, "rolled-back");
        check((5, 1), (u64::MAX, 2), 9, same, "rolled-back");
    }
}
