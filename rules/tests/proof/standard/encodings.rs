//! UTF-16 and Base64.

use super::*;
use crate::values::base64;

#[test]
fn utf16_little_endian_and_its_other_name() {
    for name in ["utf16le", "wide"] {
        item(&format!("f|{name}: cmd"))
            .met(["c\0m\0d\0", "C\0M\0D\0"])
            .not_met(["cmd", "\0c\0m\0d"]);
        item(&format!("f|{name}|contains: ab")).met(["xa\0b\0y"]).not_met(["ab", "a\0b"]);
        item(&format!("f|{name}|base64: cmd")).met(["YwBtAGQA"]).not_met(["Y21k"]);
        item(&format!("f|{name}|base64offset|contains: ping"))
            // At offsets 0, 1 and 2 of a longer text.
            .met(["cABpAG4AZwA=", "eHAAaQBuAGcA", "eHlwAGkAbgBnAA=="])
            .not_met(["cGluZw=="]);
        item(&format!("f|{name}: 'a*b'")).met(["a\0b\0", "a\0xxb\0"]).not_met(["ab", "a*b"]);
    }
}

#[test]
fn utf16_big_endian_and_with_its_mark() {
    item("f|utf16be: cmd").met(["\0c\0m\0d"]).not_met(["c\0m\0d\0", "cmd"]);
    item("f|utf16be|base64: cmd").met(["AGMAbQBk"]).not_met(["YwBtAGQA"]);
    // FF FE 63 00 6D 00 64 00.
    item("f|utf16|base64: cmd").met(["//5jAG0AZAA="]).not_met(["YwBtAGQA"]);
    item("f|utf16: cmd").met(["\u{feff}c\0m\0d\0"]).not_met(["c\0m\0d\0"]);
    // Beyond ASCII the bytes are no text, but Base64 of them is.
    item("f|wide|base64: 'é衡'").met(["6QBhiA=="]).not_met(["w6nooaE="]);
    refused("f|wide: 'é'", "base64");
    refused("f|utf16be|contains: '衡'", "base64");
    refused("f|wide|utf16be: a", "two encodings");
}

#[test]
fn base64_of_the_whole_value() {
    item("f|base64: foobar").met(["Zm9vYmFy"]).not_met(["foobar", "Zm9vYmE="]);
    item("f|base64: fooba").met(["Zm9vYmE="]);
    item("f|base64|contains: 'http://'").met(["xaHR0cDovLw==x"]).not_met(["http://"]);
    item("f|base64: 'ä'").met(["w6Q="]);
    item("f|base64: [foo, ba]").met(["Zm9v", "YmE="]).not_met(["foo"]);
    item("f|base64|contains|all: [foo, bar]").met(["Zm9v YmFy"]).not_met(["Zm9v"]);
    item("f|base64: 5").met(["NQ=="]).not_met(["5"]);
    item("f|base64|base64: a").met(["WVE9PQ=="]);
    // As every value, in any case unless `cased` says so.
    item("f|base64: foo").met(["ZM9V"]);
    item("f|base64|cased: foo").met(["Zm9v"]).not_met(["ZM9V"]);
    refused("f|base64: 'a*'", "wildcards");
    refused("f|contains|base64: a", "wildcards");
    refused("f|base64offset|contains: 'a?'", "wildcards");
}

#[test]
fn base64offset_finds_a_value_at_any_place_of_the_encoded_text() {
    let mut case = item("f|base64offset|contains: '/bin/sh'");
    for before in ["", "x", "xy", "xyz", "wxyz"] {
        for after in ["", "1", "12", "123"] {
            let encoded = base64(format!("{before}/bin/sh{after}").as_bytes());
            case = case.met([format!("echo {encoded}|base64 -d")]);
        }
    }
    case.not_met(["/bin/sh", "L2Jpbi9i", ""]);
    // Its three forms, whole.
    item("f|base64offset: foobar").met(["Zm9vYmFy", "Zvb2Jhc", "mb29iYX"]).not_met(["foobar"]);
    refused("f|base64offset|contains: a", "too short");
    refused("f|base64offset|contains: ''", "too short");
}
