//! Sigma's own field names in ECS terms, by log source.
//!
//! A rule that names no taxonomy uses Sigma's names; decoded events carry ECS names. The tables are
//! the files of `rules/taxonomy`, one for each area:
//!
//! ```text
//! # a comment
//! @ webserver/-/-  proxy/-/-
//! cs-method<TAB>http.request.method
//! cs-uri<TAB>url.original<TAB>url.full
//! *<TAB>prefix.*
//! ```
//!
//! Lines that begin with `@` say for which log sources (category, product, service) the rows below
//! them hold. Of the tables whose keys a rule's log source includes, the one with the most keys
//! decides, of several the first, if it has a row of the name; `*` stands for every name its rows don't
//! give. A name that is in no table is looked up as it is written. Where a row has several names, what the rule calls by one
//! name may stand in any of them: their values count as those of one field.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::LazyLock;

use crate::LogSource;

/// The tables, by area. Of two that are as particular the one further up decides.
const AREAS: &[(&str, &str)] = &[
    ("windows", include_str!("../taxonomy/windows.tsv")),
    ("web", include_str!("../taxonomy/web.tsv")),
    ("linux", include_str!("../taxonomy/linux.tsv")),
    ("network", include_str!("../taxonomy/network.tsv")),
    ("database", include_str!("../taxonomy/database.tsv")),
    ("cloud", include_str!("../taxonomy/cloud.tsv")),
    ("identity", include_str!("../taxonomy/identity.tsv")),
];

/// Stands for every name in a row, and for that name in what it becomes.
const EVERY: &str = "*";

/// The names that a field of a rule for `source` has in events: one as a rule, at least one.
pub fn ecs<'a>(source: &LogSource, field: &'a str) -> Vec<Cow<'a, str>> {
    known(source, field).unwrap_or_else(|| vec![Cow::Borrowed(field)])
}

/// Whether some table says what a field of a rule for `source` is in events.
pub fn knows(source: &LogSource, field: &str) -> bool {
    known(source, field).is_some()
}

fn known<'a>(source: &LogSource, field: &'a str) -> Option<Vec<Cow<'a, str>>> {
    let mut tables = TABLES.iter().filter(|table| table.source.covers(source));
    let names = tables.find_map(|table| table.rows.get(field).or_else(|| table.rows.get(EVERY)))?;
    let named = |name: &&'static str| match name.contains(EVERY) {
        true => Cow::Owned(name.replace(EVERY, field)),
        false => Cow::Borrowed(*name),
    };
    Some(names.iter().map(named).collect())
}

/// What rows hold for one log source.
#[derive(Debug, Default)]
struct Table {
    source: LogSource,
    /// Sigma's name, the names in events.
    rows: HashMap<&'static str, Vec<&'static str>>,
}

/// Every table, the most particular first.
static TABLES: LazyLock<Vec<Table>> = LazyLock::new(|| {
    let mut tables: Vec<Table> = AREAS.iter().flat_map(|(_, text)| read(text)).collect();
    let keys = |source: &LogSource| {
        [&source.category, &source.product, &source.service].into_iter().flatten().count()
    };
    tables.sort_by_key(|table| std::cmp::Reverse(keys(&table.source)));
    tables
});

/// The tables of an area, in the order of its file.
fn read(text: &'static str) -> Vec<Table> {
    let mut tables: Vec<Table> = Vec::new();
    // Those that rows go to: the sources named since the last row.
    let mut open = 0..0;
    let mut rows_began = true;
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        if let Some(sources) = line.strip_prefix('@') {
            if std::mem::take(&mut rows_began) {
                open.start = tables.len();
            }
            tables.extend(
                sources
                    .split_whitespace()
                    .map(|source| Table { source: LogSource::read(source), rows: HashMap::new() }),
            );
            open.end = tables.len();
            continue;
        }
        rows_began = true;
        let mut columns = line.split('\t');
        let Some(sigma) = columns.next() else { continue };
        let names: Vec<&str> = columns.collect();
        for table in &mut tables[open.clone()] {
            table.rows.insert(sigma, names.clone());
        }
    }
    tables
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_map_by_log_source() {
        for (source, field, expected) in [
            ("webserver/-/-", "cs-uri-query", &["url.query", "url.original"][..]),
            ("proxy/-/-", "c-uri-query", &["url.query"]),
            ("webserver/nginx/-", "sc-status", &["http.response.status_code"]),
            ("process_creation/linux/-", "Image", &["process.executable"]),
            ("process_creation/linux/-", "User", &["user.name"]),
            ("process_creation/windows/-", "Image", &["process.executable"]),
            ("process_creation/windows/-", "User", &["winlog.event_data.User"]),
            (
                "process_creation/windows/-",
                "OriginalFileName",
                &["winlog.event_data.OriginalFileName"],
            ),
            ("-/windows/security", "EventID", &["event.code"]),
            ("-/windows/security", "SubjectUserName", &["winlog.event_data.SubjectUserName"]),
            ("-/windows/security", "Image", &["winlog.event_data.Image"]),
            (
                "registry_set/windows/-",
                "Details",
                &["winlog.event_data.Details", "registry.data.strings"],
            ),
            ("file_event/linux/-", "TargetFilename", &["file.path"]),
            ("-/linux/sshd", "src_ip", &["source.ip"]),
            ("-/linux/cron", "hostname", &["host.name"]),
            ("-/linux/auditd", "a0", &["auditd.a0"]),
            ("-/linux/auditd", "hostname", &["auditd.hostname"]),
            ("-/fortigate/event", "cfgpath", &["fortinet.cfgpath"]),
            ("-/zeek/http", "c-uri", &["uri", "url.original"]),
            ("-/nobody/-", "Image", &["Image"]),
            ("webserver/-/-", "url.path", &["url.path"]),
        ] {
            assert_eq!(ecs(&LogSource::read(source), field), expected, "{source} {field}");
        }
    }

    #[test]
    fn every_line_of_the_tables_is_a_row() {
        for (area, text) in AREAS {
            let mut lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
            assert!(lines.clone().next().is_some_and(|line| line.starts_with('@')), "{area}");
            let wrong = lines.find(|line| match line.strip_prefix('@') {
                Some(sources) => sources
                    .split_whitespace()
                    .any(|one| one.split('/').count() != 3 || one.split('/').any(str::is_empty)),
                None => {
                    let columns: Vec<&str> = line.split('\t').collect();
                    let every = columns[0] == EVERY;
                    columns.len() < 2
                        || columns.iter().any(|name| name.trim() != *name || name.is_empty())
                        || columns[1..].iter().any(|name| name.contains(EVERY) != every)
                }
            });
            assert_eq!(wrong, None, "{area}");
        }
    }

    #[test]
    fn a_source_has_one_row_for_a_name_in_an_area() {
        for (area, text) in AREAS {
            let mut seen: HashMap<(LogSource, &str), usize> = HashMap::new();
            for table in read(text) {
                for sigma in table.rows.keys() {
                    *seen.entry((table.source.clone(), sigma)).or_default() += 1;
                }
            }
            // The first decides; another would say what never holds, but for what webserver says first.
            seen.retain(|(source, _), rows| {
                *rows > 1 && *source != LogSource::read("webserver/-/-")
            });
            assert!(seen.is_empty(), "{area}: {seen:?}");
        }
    }
}
