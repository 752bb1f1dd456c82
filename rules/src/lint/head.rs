//! Checks of a document's head: what it lacks, keys that look misspelt, tags.

use super::{Kind, Place, Report, Subject};

/// Keys of the standard and of ours.
const KEYS: &[&str] = &[
    "action",
    "author",
    "correlation",
    "custom_attributes",
    "date",
    "description",
    "detection",
    "falsepositives",
    "fields",
    "filter",
    "hengwei",
    "id",
    "level",
    "license",
    "logsource",
    "modified",
    "name",
    "references",
    "related",
    "scope",
    "sigma-version",
    "status",
    "tags",
    "taxonomy",
    "title",
];

/// Tactics of ATT&CK, of all its matrices, under the names tags give them.
const TACTICS: &[&str] = &[
    "collection",
    "command-and-control",
    "credential-access",
    "defense-evasion",
    "defense-impairment",
    "discovery",
    "evasion",
    "execution",
    "exfiltration",
    "impact",
    "impair-process-control",
    "inhibit-response-function",
    "initial-access",
    "lateral-movement",
    "network-effects",
    "persistence",
    "privilege-escalation",
    "reconnaissance",
    "remote-service-effects",
    "resource-development",
    "stealth",
];

/// What a rule should say of itself and the standard does not insist on.
pub(super) fn missing(subject: &Subject<'_>, report: &mut Report<'_>) {
    if !subject.has_id {
        let what = match subject.kind {
            Kind::Filter => "a filter without id cannot be named when it keeps a rule quiet",
            Kind::Rule | Kind::Correlation => {
                "without id its alerts cannot be told from those of another of its title"
            }
        };
        report.warn("missing_id", Place::Top, what.to_owned());
    }
    if !subject.has_status {
        report.warn(
            "missing_status",
            Place::Top,
            "no status: stable, test or experimental".to_owned(),
        );
    }
}

/// A key that nothing reads and that is nearly one that is read.
pub(super) fn misspelt(subject: &Subject<'_>, report: &mut Report<'_>) {
    let Some(map) = subject.source.as_mapping() else { return };
    for key in map.keys().filter_map(|key| key.as_str()) {
        if KEYS.contains(&key) || key.starts_with("hengwei.") {
            continue;
        }
        let folded = key.to_lowercase();
        let near = KEYS.iter().find(|known| folded == **known || is_near(&folded, known));
        if let Some(near) = near {
            report.warn(
                "misspelt_key",
                Place::Key(key),
                format!("{key} is not read: is it {near}?"),
            );
        }
    }
}

/// Whether two words differ by one letter: another, one more, one less, or two that changed places.
fn is_near(word: &str, known: &str) -> bool {
    if known.len() < 4 || word.len().abs_diff(known.len()) > 1 {
        return false;
    }
    let (word, known): (Vec<char>, Vec<char>) = (word.chars().collect(), known.chars().collect());
    let same = word.iter().zip(&known).take_while(|(left, right)| left == right).count();
    let (left, right) = (&word[same..], &known[same..]);
    let behind = |left: &[char], right: &[char], skip: (usize, usize)| {
        left.get(skip.0..).is_some_and(|left| right.get(skip.1..) == Some(left))
    };
    let swapped = left.len() >= 2
        && right.len() >= 2
        && left[0] == right[1]
        && left[1] == right[0]
        && left[2..] == right[2..];
    swapped || [(1, 1), (1, 0), (0, 1)].into_iter().any(|skip| behind(left, right, skip))
}

/// Tags whose namespace says what they look like, and that look otherwise.
pub(super) fn tags(subject: &Subject<'_>, report: &mut Report<'_>) {
    for tag in subject.tags {
        let Some((namespace, name)) = tag.split_once('.') else { continue };
        let expected = match namespace {
            "attack" if !is_attack(name) => "a tactic, or t, g or s with four digits",
            "cve" if !is_cve(name) => "a year, a dash and a number",
            "tlp"
                if !["red", "amber", "amber-strict", "green", "clear", "white"].contains(&name) =>
            {
                "red, amber, amber-strict, green or clear"
            }
            "detection" if !["dfir", "emerging-threats", "threat-hunting"].contains(&name) => {
                "dfir, emerging-threats or threat-hunting"
            }
            "car" if !is_car(name) => "a year, a month and a number",
            _ => continue,
        };
        report.warn(
            "odd_tag",
            Place::Key("tags"),
            format!("{tag}: behind {namespace}. {expected}"),
        );
    }
}

fn digits(text: &str, lengths: std::ops::RangeInclusive<usize>) -> bool {
    lengths.contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_attack(name: &str) -> bool {
    // Older rules write tactics with underscores.
    if TACTICS.contains(&name.replace('_', "-").as_str()) {
        return true;
    }
    let Some(number) = name.strip_prefix(['t', 'g', 's']) else { return false };
    match number.split_once('.') {
        Some((number, sub)) => name.starts_with('t') && digits(number, 4..=4) && digits(sub, 3..=3),
        None => digits(number, 4..=4),
    }
}

fn is_cve(name: &str) -> bool {
    // Older rules write the year behind a dot.
    let parts = name.split_once(['-', '.']);
    parts.is_some_and(|(year, number)| digits(year, 4..=4) && digits(number, 4..=7))
}

fn is_car(name: &str) -> bool {
    let parts: Vec<&str> = name.split('-').collect();
    let [year, month, number] = parts.as_slice() else { return false };
    digits(year, 4..=4) && digits(month, 2..=2) && digits(number, 3..=3)
}
