//! A set of rows of one column, a bit per row.

/// Rows of a column that has so many.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::history) struct Rows {
    words: Vec<u64>,
    len: usize,
}

impl Rows {
    /// None of `len` rows.
    pub(in crate::history) fn none(len: usize) -> Rows {
        Rows { words: vec![0; len.div_ceil(64)], len }
    }

    /// All of `len` rows.
    pub(in crate::history) fn all(len: usize) -> Rows {
        let mut rows = Rows { words: vec![u64::MAX; len.div_ceil(64)], len };
        if let (Some(last), 1..) = (rows.words.last_mut(), len % 64) {
            *last = (1 << (len % 64)) - 1;
        }
        rows
    }

    /// Those of `len` rows of which it holds.
    pub(super) fn of(len: usize, mut holds: impl FnMut(usize) -> bool) -> Rows {
        let mut rows = Rows::none(len);
        (0..len).filter(|row| holds(*row)).for_each(|row| rows.insert(row));
        rows
    }

    pub(in crate::history) fn insert(&mut self, row: usize) {
        self.words[row / 64] |= 1 << (row % 64);
    }

    pub(in crate::history) fn remove(&mut self, row: usize) {
        self.words[row / 64] &= !(1 << (row % 64));
    }

    pub(in crate::history) fn contains(&self, row: usize) -> bool {
        row < self.len && self.words[row / 64] & (1 << (row % 64)) != 0
    }

    pub(in crate::history) fn is_empty(&self) -> bool {
        self.words.iter().all(|word| *word == 0)
    }

    /// How many rows are in the set.
    pub(in crate::history) fn count(&self) -> usize {
        self.words.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// Keeps what is in both; they are of one column.
    pub(in crate::history) fn intersect(&mut self, other: &Rows) {
        for (word, other) in self.words.iter_mut().zip(&other.words) {
            *word &= other;
        }
    }

    /// The rows of the set in ascending order.
    pub(in crate::history) fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        self.words.iter().enumerate().flat_map(|(index, word)| {
            let mut rest = *word;
            std::iter::from_fn(move || {
                let bit = (rest != 0).then(|| rest.trailing_zeros())?;
                rest &= rest - 1;
                Some(index as u32 * 64 + bit)
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_of_rows() {
        for len in [0, 1, 63, 64, 65, 200] {
            let all = Rows::all(len);
            assert_eq!(all.count(), len);
            assert!(all.iter().eq(0..len as u32));
            assert!(Rows::none(len).is_empty());
        }
        let mut odd = Rows::none(100);
        (1..100).step_by(2).for_each(|row| odd.insert(row));
        let mut rows = Rows::all(100);
        rows.remove(3);
        rows.intersect(&odd);
        assert_eq!(rows.iter().take(3).collect::<Vec<_>>(), [1, 5, 7]);
        assert!(!rows.contains(3) && rows.contains(99) && !rows.contains(100));
    }
}
