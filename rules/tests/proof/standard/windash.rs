//! Dashes and slashes that begin a parameter stand for each other.

use super::*;

const DASHES: [&str; 5] = ["-", "/", "–", "—", "―"];

#[test]
fn each_of_the_five_stands_for_each() {
    for written in DASHES {
        let begun = DASHES.map(|dash| format!("cmd {dash}enc x"));
        item(&format!("f|contains|windash: ' {written}enc '")).met(begun.clone()).not_met([
            "cmd enc x",
            "cmd +enc x",
            "cmd \u{2010}enc x",
            "cmd -en x",
        ]);
        item(&format!("f|windash|contains: ' {written}enc '")).met(begun.clone());
        item(&format!("f|windash: 'cmd {written}enc x'")).met(begun);
        item(&format!("f|windash|startswith: '{written}a'"))
            .met(DASHES.map(|dash| format!("{dash}A b")))
            .not_met(["a b", " -a"]);
        item(&format!("f|windash|endswith: ' {written}a'"))
            .met(DASHES.map(|dash| format!("x {dash}a")));
    }
}

#[test]
fn only_where_one_begins_a_parameter() {
    // Between letters, and before anything but a letter, digit or underscore, it is itself.
    item("f|windash: 'a-b'").met(["a-b"]).not_met(["a/b", "a–b"]);
    item("f|windash: '1-b'").met(["1-b"]).not_met(["1/b"]);
    item("f|windash: '_-b'").met(["_-b"]).not_met(["_/b"]);
    item("f|windash: 'a -'").met(["a -"]).not_met(["a /"]);
    item("f|windash: 'a - b'").met(["a - b"]).not_met(["a / b"]);
    item("f|windash: '-é'").met(["/É"]).not_met(["é"]);
    item("f|windash: '-_'").met(["/_"]);
    item("f|windash: '-5'").met(["/5"]);
    item("f|windash: '-\"x'").met(["-\"x"]).not_met(["/\"x"]);
    // Of two in a row the second begins it.
    item("f|windash: '--x'").met(["--x", "-/x"]).not_met(["//x", "/-x"]);
    item("f|windash: 'http://x'").met(["http://x", "http:/-x"]).not_met(["http:-/x"]);
    // In a longer name only the first.
    item("f|windash: '-no-exit'").met(["/no-exit"]).not_met(["/no/exit"]);
    item("f|windash: '(-x'").met(["(/x"]);
}

#[test]
fn several_at_once() {
    item("f|windash|contains: ' -a -b '")
        .met([" /a -b ", " –a /b ", " -a -b "])
        .not_met([" a -b "]);
    item("f|windash|contains|all: [' -a', ' /b']")
        .met(["x /a -b", "—b –a /a /b x —a —b —a"].map(|t| format!(" {t}")))
        .not_met([" /a"]);
    item("f|windash|contains: ' -a -b -c -d -e -f'").met([" /a -b /c –d —e ―f"]);
    item("f|windash|contains: [' -a', plain]").met(["x /a", "is plain"]).not_met(["x a"]);
    item("f|windash: '* -x *'").met(["cmd /x y", " -x "]).not_met(["cmd x y"]);
    item("f|windash: '*-x'").met(["a/x", "-x"]).not_met(["x"]);
    item("f|windash|neq: '-x'").met(["x"]).not_met(["/x", "–x"]);
}

#[test]
fn before_an_encoding_each_form_is_encoded() {
    // "-a", "/a", en dash and "a".
    item("f|windash|base64: '-a'").met(["LWE=", "L2E=", "4oCTYQ=="]).not_met(["K2E=", "YQ=="]);
    item("f|windash|wide|base64offset|contains: '-a'")
        .met(["LQBhAA==", "LwBhAA=="])
        .not_met(["KwBhAA=="]);
    refused("f|windash|base64: '-a -a -a -a -a -a'", "too many dashes");
}
