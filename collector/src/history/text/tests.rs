//! Values of all kinds come back as they were, candidates are never missed, and damage is survived.

use std::collections::HashSet;

use proptest::prelude::*;

use super::*;
use crate::history::tokens;

/// Pieces of lines as programs write them, and as they do not.
fn piece() -> impl Strategy<Value = Vec<u8>> {
    let text = |pattern: &'static str| pattern.prop_map(String::into_bytes);
    prop_oneof![
        8 => text("(Failed|Accepted) password for (root|admin|user[0-9]{1,2}) from "),
        4 => text("(0|[1-9][0-9]{0,2})(\\.[0-9]{1,3}){3}"),
        2 => text("[0-9]{1,2}:[0-9]{2}:[0-9]{2}([.,][0-9]{1,9})?"),
        2 => text("20[12][0-9]-[0-9]{2}-[0-9]{2}[T ]"),
        3 => text("(20[12]|19[67])[0-9]-[01][0-9]-[0-3][0-9]T[012][0-9]:[0-5][0-9]:[0-5][0-9](\\.[0-9]{1,9})?(Z|\\+08)?"),
        3 => text("[-+]?[0-9]{1,3}"),
        2 => text("0{0,3}[0-9]{15,22}"),
        2 => text("[0-9]{1,2}\\.[0-9]{1,4}"),
        2 => text("[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"),
        2 => text("(0x)?[0-9a-f]{8,20}"),
        1 => text("[0-9a-fA-F]{8,40}"),
        3 => text("[ :=,.;/\"\\[\\]()-]{1,2}"),
        2 => text("/[a-z]{1,3}/[a-z0-9.]{1,5}(\\?[a-z]=[0-9]{1,2})?"),
        2 => text("[a-zA-Z_]{1,5}"),
        1 => text("[a-z0-9.]{1,8}"),
        1 => text("[中文错误é]{1,3}"),
        1 => prop::collection::vec(any::<u8>(), 1..6),
    ]
}

fn value() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        8 => prop::collection::vec(piece(), 0..12).prop_map(|pieces| pieces.concat()),
        1 => prop::collection::vec(any::<u8>(), 0..100),
        // Repeated, so that there are lines that are alike but for a number.
        4 => (0..300u32, 0..20u8).prop_map(|(number, user)| {
            format!("session {number} of user u{user} at 10.0.0.{user} took {}.{number:03}s", user / 7)
                .into_bytes()
        }),
    ]
}

fn values() -> impl Strategy<Value = Vec<Vec<u8>>> {
    prop_oneof![
        4 => prop::collection::vec(value(), 0..40),
        1 => (prop::collection::vec(value(), 1..8), 1..400usize).prop_map(|(some, times)| {
            some.iter().cycle().take(times).cloned().collect()
        }),
    ]
}

fn slices(values: &[Vec<u8>]) -> Vec<&[u8]> {
    values.iter().map(Vec::as_slice).collect()
}

/// The values packed for each effort, and in the template form even where that is larger.
fn packed(values: &[Vec<u8>]) -> [Vec<u8>; 3] {
    let values = slices(values);
    let (coded, _) = pack_coded(&values, Effort::Seal);
    [pack(&values, Effort::Seal).bytes, pack(&values, Effort::Merge).bytes, coded]
}

/// Fails unless the values come back, all together and some of them.
fn check(values: &[Vec<u8>]) {
    for bytes in packed(values) {
        let column = Column::open(bytes.into()).unwrap();
        assert_eq!(column.len(), values.len());
        let mut row = 0;
        column
            .each(&mut |number, value| {
                assert_eq!(number, row);
                assert_eq!(value, values[row]);
                row += 1;
            })
            .unwrap();
        assert_eq!(row, values.len());
        let wanted: Vec<u32> = (0..values.len() as u32).filter(|row| row % 3 == 1).collect();
        let mut seen = Vec::new();
        column
            .rows(&wanted, &mut |number, value| {
                assert_eq!(value, values[number]);
                seen.push(number as u32);
            })
            .unwrap();
        assert_eq!(seen, wanted);
    }
}

fn finds(value: &[u8], needle: Needle) -> bool {
    match needle {
        Needle::Word(word) => tokens::holds_word(value, word),
        Needle::Text(text) => memchr::memmem::find(value, text).is_some(),
    }
}

#[test]
fn extreme_values_come_back() {
    check(&[]);
    check(&[vec![]]);
    check(&vec![vec![]; 1000]);
    check(&[vec![b'7'; 256 << 10], vec![b'a'; 256 << 10], vec![0xff; 256 << 10], b"x".to_vec()]);
    check(&vec![b"the very same line 42".to_vec(); MAX_ROWS]);
    let long: Vec<u8> =
        (0..256u32 << 10).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    check(&[long]);
}

#[test]
fn numbers_of_all_kinds_come_back() {
    let numbers = [
        "0",
        "00",
        "7",
        "07",
        "007",
        "18446744073709551615",
        "18446744073709551616",
        "99999999999999999",
        "000000000000000000000",
        "1700000000123456789",
        "-5",
        "+5",
        "1.50",
        "01.5",
        "255.255.255.255",
        "256.1.1.1",
        "1.2.3",
        "1.2.3.4.5",
        "01.2.3.4",
        "1.2.3.04",
        "23:59:59",
        "24:00:00",
        "23:59:60",
        "1:02:03",
        "01:02:03.",
        "01:02:03.4",
        "01:02:03,456",
        "01:02:03.1234567890",
        "0xdeadbeef",
        "DEADBEEF1",
        "deadBEEF1",
        "0123456789abcdef",
        "123e4567-e89b-12d3-a456-426614174000",
        "123E4567-e89b-12d3-a456-426614174000",
        "123e4567-e89b-12d3-a456-42661417400g",
        "12:34:56:78",
    ];
    let line =
        |number: &str| format!("at {number} of [{number}] and x{number}y {number}").into_bytes();
    check(&numbers.map(line));
    let each: Vec<_> = numbers.iter().flat_map(|number| vec![line(number); 50]).collect();
    check(&each);
    let mixed: Vec<_> = (0..2000).map(|row| line(numbers[row * 7 % numbers.len()])).collect();
    check(&mixed);
}

proptest! {
    #[test]
    fn values_come_back(values in values()) {
        check(&values);
    }

    #[test]
    fn the_tokens_are_those_of_the_values(values in values()) {
        let mut expected = HashSet::new();
        for value in &values {
            tokens::each(value, &mut |token| { expected.insert(tokens::hash(token)); });
        }
        let tokens = pack(&slices(&values), Effort::Seal).tokens;
        prop_assert_eq!(tokens.len(), expected.len());
        prop_assert!(tokens.iter().all(|token| expected.contains(token)));
    }

    #[test]
    fn candidates_are_never_missed(
        values in values(),
        cuts in prop::collection::vec(
            (any::<prop::sample::Index>(), any::<prop::sample::Index>(), 0..24usize, any::<bool>()), 1..20
        ),
    ) {
        prop_assume!(!values.is_empty());
        let (coded, _) = pack_coded(&slices(&values), Effort::Seal);
        let column = Column::open(coded.into()).unwrap();
        let needles: Vec<_> = cuts.iter().map(|(row, start, len, upper)| {
            let value = row.get(&values);
            let start = start.index(value.len() + 1);
            let piece = &value[start..(start + len).min(value.len())];
            if *upper { piece.to_ascii_uppercase() } else { piece.to_vec() }
        }).collect();
        for pair in needles.windows(2).chain(needles.chunks(1)) {
            let kinds: [fn(&[u8]) -> Needle; 2] = [|n| Needle::Word(n), |n| Needle::Text(n)];
            for kind in kinds {
                let needles: Vec<Needle> = pair.iter().map(|needle| kind(needle)).collect();
                let rows = column.candidates(&needles).unwrap();
                for (row, value) in values.iter().enumerate() {
                    if needles.iter().all(|needle| finds(value, *needle)) {
                        prop_assert!(rows.contains(row), "{needles:?} in {:?}", value.escape_ascii().to_string());
                    }
                }
            }
        }
    }

    #[test]
    fn changed_bytes_are_survived(
        values in values(), at in any::<prop::sample::Index>(), flip in 1..=255u8, cut in any::<bool>()
    ) {
        let (mut bytes, _) = pack_coded(&slices(&values), Effort::Seal);
        let at = at.index(bytes.len());
        if cut { bytes.truncate(at) } else { bytes[at] ^= flip }
        if let Ok(column) = Column::open(bytes.into()) {
            let mut total = 0;
            let _ = column.each(&mut |_, value| total += value.len());
            let _ = column.candidates(&[Needle::Word(b"root"), Needle::Text(b"10.0.0.1")]);
            prop_assert!(total <= MAX_BYTES);
        }
    }

    /// Damage that zstd does not notice: the streams themselves are changed.
    #[test]
    fn changed_streams_are_survived(
        values in values(),
        changes in prop::collection::vec((0..12usize, any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let slices = slices(&values);
        let mut streams = Writer::default();
        write::write(gather::gather(&slices, shapes::take(&slices)), &mut streams);
        for (number, at, byte) in changes {
            // Most of what can go wrong is in the head.
            let stream = streams.stream(if number < 3 { number } else { 0 });
            if !stream.is_empty() {
                let at = at.index(stream.len());
                stream[at] = byte;
            }
        }
        let mut bytes = vec![VERSION, CODED];
        bytes.extend_from_slice(&streams.finish(Effort::Seal));
        if let Ok(column) = Column::open(bytes.into()) {
            let mut total = 0;
            let _ = column.each(&mut |_, value| total += value.len());
            prop_assert!(total <= MAX_BYTES);
            let needles = [Needle::Word(b"10"), Needle::Text(b"0.0.1"), Needle::Text(b"ssion")];
            for needle in needles {
                let _ = column.candidates(&[needle]);
            }
        }
    }
}
