//! A column of whole numbers that mostly go up by the same: differences, divided by what they all
//! have in common, with how often each comes in a row.

use std::io;

/// Numbers in order. Both lists are as long as each other.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Series {
    #[prost(int64, tag = "1")]
    first: i64,
    /// What every difference is a multiple of; 0 stands for 1.
    #[prost(uint64, tag = "2")]
    unit: u64,
    #[prost(sint64, repeated, tag = "3")]
    steps: Vec<i64>,
    #[prost(uint32, repeated, tag = "4")]
    times: Vec<u32>,
}

impl Series {
    pub(super) fn of(values: impl IntoIterator<Item = i64>) -> Series {
        let mut series = Series::default();
        let mut values = values.into_iter();
        let Some(first) = values.next() else { return series };
        series.first = first;
        let mut last = first;
        for value in values {
            let step = value.wrapping_sub(last);
            last = value;
            match (series.steps.last(), series.times.last_mut()) {
                (Some(known), Some(times)) if *known == step && *times < u32::MAX => *times += 1,
                _ => {
                    series.steps.push(step);
                    series.times.push(1);
                }
            }
        }
        let unit = series.steps.iter().fold(0, |unit, step| divisor(unit, step.unsigned_abs()));
        if let Ok(by) = i64::try_from(unit)
            && by > 1
        {
            series.unit = unit;
            series.steps.iter_mut().for_each(|step| *step /= by);
        }
        series
    }

    /// The `count` numbers that were put in; an error when there are others.
    pub(super) fn read(&self, count: usize) -> io::Result<Vec<i64>> {
        let wrong = || io::Error::other("a column of another length");
        let rows = self.times.iter().try_fold(0usize, |sum, n| sum.checked_add(*n as usize));
        let fits = self.steps.len() == self.times.len()
            && rows.is_some_and(|rows| rows == count.saturating_sub(1));
        if !fits {
            return Err(wrong());
        }
        let mut values = Vec::with_capacity(count);
        if count == 0 {
            return Ok(values);
        }
        let unit = i64::try_from(self.unit.max(1)).map_err(|_| wrong())?;
        let mut value = self.first;
        values.push(value);
        for (step, times) in self.steps.iter().zip(&self.times) {
            for _ in 0..*times {
                value = value.wrapping_add(step.wrapping_mul(unit));
                values.push(value);
            }
        }
        Ok(values)
    }
}

fn divisor(mut a: u64, mut b: u64) -> u64 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use prost::Message;

    #[test]
    fn what_goes_up_evenly_costs_a_few_bytes() {
        let series = Series::of((0..60_000).map(|n| n * 1_000));
        assert!(series.encoded_len() < 20, "{}", series.encoded_len());
        let series = Series::of([i64::MIN, i64::MAX, 0, -1]);
        assert_eq!(series.read(4).expect("reads"), [i64::MIN, i64::MAX, 0, -1]);
    }

    #[test]
    fn a_column_of_another_length_is_refused() {
        let series = Series::of([1, 2, 3]);
        assert!(series.read(2).is_err());
        assert!(series.read(4).is_err());
        assert!(Series { times: vec![u32::MAX; 3], ..Series::default() }.read(3).is_err());
        assert_eq!(Series::of([]).read(0).expect("reads"), [0i64; 0]);
        assert!(Series::of([]).read(2).is_err());
    }

    proptest! {
        #[test]
        fn every_number_comes_back(values: Vec<i64>, small in prop::collection::vec(0i64..5, 0..50)) {
            for values in [values, small] {
                let count = values.len();
                prop_assert_eq!(Series::of(values.clone()).read(count).expect("reads"), values);
            }
        }
    }
}
