//! Whose turn it is: security goes first, and nobody starves.
//!
//! Smooth weighted round robin: each queue with something to send gains its weight, the highest
//! sends and pays the sum. Over any long run each gets its share of the batches.

use hengwei_protocol::Kind;

/// Shares of the connection while all queues have something.
const fn weight(kind: Kind) -> i64 {
    match kind {
        Kind::Security => 8,
        Kind::Log => 4,
        Kind::Asset => 2,
        Kind::Performance => 1,
    }
}

/// The turns taken so far.
#[derive(Debug, Default)]
pub(super) struct Turns {
    credit: [i64; Kind::ALL.len()],
}

impl Turns {
    /// Who sends next among the `ready`.
    pub(super) fn next(&mut self, ready: impl Fn(Kind) -> bool) -> Option<Kind> {
        let mut total = 0;
        let mut best: Option<usize> = None;
        for (at, kind) in Kind::ALL.into_iter().enumerate() {
            if !ready(kind) {
                // What was not asked for is not saved up.
                self.credit[at] = 0;
                continue;
            }
            total += weight(kind);
            self.credit[at] += weight(kind);
            if best.is_none_or(|best| self.credit[at] > self.credit[best]) {
                best = Some(at);
            }
        }
        let best = best?;
        self.credit[best] -= total;
        Some(Kind::ALL[best])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_follow_the_weights_and_security_is_first() {
        let check = |ready: &[Kind], rounds: usize, expected: [usize; 4]| {
            let mut turns = Turns::default();
            let taken: Vec<Kind> =
                (0..rounds).filter_map(|_| turns.next(|kind| ready.contains(&kind))).collect();
            let shares = Kind::ALL.map(|kind| taken.iter().filter(|k| **k == kind).count());
            assert_eq!(shares, expected, "{ready:?}");
            assert_eq!(taken.first(), ready.first());
        };
        check(&Kind::ALL, 150, [80, 40, 20, 10]);
        check(&[Kind::Security, Kind::Performance], 90, [80, 0, 0, 10]);
        check(&[Kind::Performance], 5, [0, 0, 0, 5]);
        check(&[], 5, [0, 0, 0, 0]);
    }
}
