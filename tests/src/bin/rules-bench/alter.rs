//! A rule like another, with other literals: what a set of ten times the rules would be made of.
//!
//! Every run of letters is turned round by some places and has one letter changed, so a copy's texts
//! are as long and use about the same letters as the original's, and nothing that the original finds
//! is found by the copy. Names of fields, log sources, numbers and networks stay; a regular
//! expression's letters may mean something, so it gets a word in front instead.

use anyhow::Context;
use yaml_serde::Value;

/// The `copy`th copy of a rule.
pub(super) fn altered(text: &str, copy: u32) -> anyhow::Result<String> {
    let mut rule: Value = yaml_serde::from_str(text)?;
    let detection = rule.get_mut("detection").and_then(Value::as_mapping_mut);
    for (name, selection) in detection.context("no detection")?.iter_mut() {
        if !matches!(name.as_str(), Some("condition" | "timeframe")) {
            alter(selection, "", copy);
        }
    }
    for name in ["id", "title"] {
        if let Some(Value::String(said)) = rule.get_mut(name) {
            *said = if name == "id" { renumbered(said, copy) } else { format!("{said}, {copy}") };
        }
    }
    Ok(yaml_serde::to_string(&rule)?)
}

/// Alters what stands below a key.
fn alter(value: &mut Value, key: &str, copy: u32) {
    match value {
        Value::Sequence(values) => values.iter_mut().for_each(|value| alter(value, key, copy)),
        Value::Mapping(items) => {
            for (key, value) in items.iter_mut() {
                alter(value, key.as_str().unwrap_or_default(), copy);
            }
        }
        Value::String(text) => {
            let has = |modifier: &str| key.split('|').skip(1).any(|other| other == modifier);
            if has("re") {
                *text = format!("{}(?:{text})", word(copy));
            } else if !["cidr", "fieldref", "exists", "expand"].into_iter().any(has) {
                *text = other_text(text, copy);
            }
        }
        _ => {}
    }
}

/// A UUID like another.
fn renumbered(id: &str, copy: u32) -> String {
    match id.get(..8).and_then(|head| u32::from_str_radix(head, 16).ok()) {
        Some(head) => format!("{:08x}{}", head.wrapping_add(copy), &id[8..]),
        None => format!("{id}-{copy}"),
    }
}

fn word(copy: u32) -> String {
    format!("q{copy}")
}

fn other_text(text: &str, copy: u32) -> String {
    let mut bytes = text.as_bytes().to_vec();
    let turn = usize::try_from(copy).unwrap_or(0);
    for run in
        bytes.chunk_by_mut(|left, right| left.is_ascii_alphabetic() == right.is_ascii_alphabetic())
    {
        if !run[0].is_ascii_alphabetic() {
            continue;
        }
        let length = run.len();
        run.rotate_left(turn % length);
        let first = if run[0].is_ascii_uppercase() { b'A' } else { b'a' };
        let by = u8::try_from(1 + turn / length % 25).unwrap_or(1);
        run[0] = first + (run[0] - first + by) % 26;
    }
    String::from_utf8(bytes).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_has_other_literals_and_nothing_else() {
        let rule = "title: T\nid: 00000001-aaaa-4aaa-8aaa-aaaaaaaaaaaa\nlogsource:\n  product: windows\ndetection:\n  selection:\n    Image|endswith: ['\\powershell.exe', '\\x.exe']\n    EventID: 4688\n    Line|re: 'a\\d+b'\n    Ip|cidr: fe80::/10\n  condition: selection\n";
        let copy: Value = yaml_serde::from_str(&altered(rule, 2).unwrap()).unwrap();
        assert_eq!(copy["id"].as_str(), Some("00000003-aaaa-4aaa-8aaa-aaaaaaaaaaaa"));
        assert_eq!(copy["logsource"]["product"].as_str(), Some("windows"));
        let selection = &copy["detection"]["selection"];
        assert_eq!(selection["Image|endswith"][0].as_str(), Some(r"\xershellpo.fex"));
        assert_eq!(selection["EventID"].as_i64(), Some(4688));
        assert_eq!(selection["Line|re"].as_str(), Some(r"q2(?:a\d+b)"));
        assert_eq!(selection["Ip|cidr"].as_str(), Some("fe80::/10"));
        let texts: std::collections::BTreeSet<String> =
            (0..20).map(|copy| other_text("whoami", copy)).collect();
        assert_eq!(texts.len(), 20);
    }
}
