//! Pairs as they are written, and texts that only look like some.

use super::*;
use proptest::prelude::*;

const KNOWN: &[&str] = &["src", "dst", "src IP", "源IP", "目的IP", "源端口"];

#[track_caller]
fn check(text: &str, expected: &[(&str, &str)]) {
    let style = sniff(text, |key| KNOWN.contains(&key)).expect("a style");
    let found: Vec<_> = pairs(text, style).map(|pair| (pair.key, pair.text())).collect();
    let found: Vec<_> = found.iter().map(|(key, value)| (*key, &**value)).collect();
    assert_eq!(found, expected, "{style:?}");
}

#[test]
fn ways_to_write_pairs() {
    check("src=1 dst=2 msg=a b c x=", &[("src", "1"), ("dst", "2"), ("msg", "a b c"), ("x", "")]);
    check("src=1, dst=2, m=a,b", &[("src", "1"), ("dst", "2"), ("m", "a,b")]);
    check("src=1;dst=2;m=(8)a;", &[("src", "1"), ("dst", "2"), ("m", "(8)a")]);
    check("src=1|dst=2|m=a", &[("src", "1"), ("dst", "2"), ("m", "a")]);
    check("src = 1 dst = 2 x", &[("src", "1"), ("dst", "2 x")]);
    check("a b src: 1 dst: 2 t:08:00:01", &[("src", "1"), ("dst", "2"), ("t", "08:00:01")]);
    check("user= src=1 rule=x dst=2", &[("user", ""), ("src", "1"), ("rule", "x"), ("dst", "2")]);
    check(
        "源IP：192.0.2.1，目的IP：192.0.2.2，备注：a,b",
        &[("源IP", "192.0.2.1"), ("目的IP", "192.0.2.2"), ("备注", "a,b")],
    );
    check(
        "类型:服务, 源IP:192.0.2.1, 源端口:1, URL:http://a/?x=1&y=2",
        &[("类型", "服务"), ("源IP", "192.0.2.1"), ("源端口", "1"), ("URL", "http://a/?x=1&y=2")],
    );
    check(
        "policy name:a b, src IP: 192.0.2.1, src IP:x",
        &[("policy name", "a b"), ("src IP", "192.0.2.1"), ("src IP", "x")],
    );
    check("08:00:01 fw src=1, dst=2", &[("src", "1"), ("dst", "2")]);
    check("closed: src=1; dst=2", &[("src", "1"), ("dst", "2")]);
    check("src: fe80::1 dst: 2001:db8::1", &[("src", "fe80::1"), ("dst", "2001:db8::1")]);
}

#[test]
fn quotes() {
    check(
        r#"src="1" dst='2' m="a \"b\" = c" p="C:\new" q="x"y" z=1"#,
        &[
            ("src", "1"),
            ("dst", "2"),
            ("m", r#"a "b" = c"#),
            ("p", r"C:\new"),
            ("q", r#"x"y"#),
            ("z", "1"),
        ],
    );
    check(r#"src=1 dst="2 m=3"#, &[("src", "1"), ("dst", "\"2"), ("m", "3")]);
    check(r#""src"="1","dst"="2""#, &[("src", "1"), ("dst", "2")]);
}

#[test]
fn a_style_needs_two_known_keys() {
    let known = |key: &str| KNOWN.contains(&key);
    for text in ["", "src=1", "src=1 x=2", "a: b", "hello there", "dst", "=", "：", "src"] {
        assert_eq!(sniff(text, known), None, "{text}");
    }
}

#[test]
fn many_pairs_are_cut() {
    let text = "a=1 ".repeat(MAX_PAIRS + 1);
    let mut all = pairs(&text, Style::PLAIN);
    assert_eq!((all.by_ref().count(), all.cut()), (MAX_PAIRS, true));
}

proptest! {
    /// What is read is slices of the text, in their order, and no more of it than there is.
    #[test]
    fn any_text(
        words in prop::collection::vec(
            prop::sample::select(&["src", "dst", "=", ":", "：", "，", "；", ",", ";", "|", " ", "\"", "'", "\\", "张", "(", "\n", "::", "//", "1"][..]),
            0..60,
        ),
        equals in any::<bool>(),
        between in 0usize..4,
    ) {
        let text = words.concat();
        let assign = if equals { Assign::Equals } else { Assign::Colon };
        let between = [Between::Blank, Between::Comma, Between::Semicolon, Between::Bar][between];
        let mut last = 0;
        for pair in pairs(&text, Style { assign, between }) {
            let at = pair.key.as_ptr().addr() - text.as_ptr().addr();
            prop_assert!(at >= last && at + pair.key.len() <= text.len());
            prop_assert!(!pair.key.is_empty() && pair.key.len() <= MAX_KEY + 1);
            prop_assert!(text.contains(pair.value));
            last = at + pair.key.len();
        }
        let _ = sniff(&text, |key| KNOWN.contains(&key));
    }

    /// Pairs that were written are read again.
    #[test]
    fn there_and_back(values in prop::collection::vec("[a-z0-9.]{1,8}", 2..8), comma in any::<bool>()) {
        let between = if comma { Between::Comma } else { Between::Blank };
        let written: Vec<_> = values.iter().map(|value| format!("key=\"{value}\"")).collect();
        let text = written.join(if comma { "," } else { " " });
        let read: Vec<_> = pairs(&text, Style { assign: Assign::Equals, between }).map(|pair| pair.value).collect();
        prop_assert_eq!(read, values);
    }
}
