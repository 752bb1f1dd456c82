//! The table of `docs/noise.md`: why an alert over benign material is right, or why it remains.
//!
//! A row is `| stretch | rule | attack or incident or false | why |`; a stretch may end in `*`. What the
//! rest of the file says is for people.

use std::path::Path;

use anyhow::Context;

/// What an alert over benign material is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sort {
    /// The line tells of an attack, or of an incident somebody should see: the material is not benign.
    True,
    /// Everyday life, and the rule is worth it all the same.
    False,
}

#[derive(Debug)]
pub(super) struct Reasons {
    rows: Vec<Row>,
}

#[derive(Debug)]
struct Row {
    stretch: String,
    rule: String,
    sort: Sort,
    why: String,
    used: bool,
    /// Whether its stretch was gone through.
    met: bool,
}

impl Reasons {
    pub(super) fn read(path: &Path) -> anyhow::Result<Reasons> {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("failed to read {}", path.display()))?;
        Reasons::of(&text).with_context(|| path.display().to_string())
    }

    fn of(text: &str) -> anyhow::Result<Reasons> {
        let mut rows = Vec::new();
        let table = text.lines().filter(|line| line.starts_with("| ")).skip(1);
        for line in table {
            let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
            let [stretch, rule, sort, why] = cells.as_slice() else {
                anyhow::bail!("a row has not four cells: {line}");
            };
            let sort = match *sort {
                "attack" | "incident" => Sort::True,
                "false" => Sort::False,
                other => anyhow::bail!("`{other}` is not attack, incident or false: {line}"),
            };
            anyhow::ensure!(!why.is_empty(), "a row gives no reason: {line}");
            let (stretch, rule, why) =
                ((*stretch).to_owned(), (*rule).to_owned(), (*why).to_owned());
            rows.push(Row { stretch, rule, sort, why, used: false, met: false });
        }
        Ok(Reasons { rows })
    }

    /// What the table says of an alert of a rule over a stretch.
    pub(super) fn of_alert(&mut self, stretch: &str, rule: &str) -> Option<(Sort, &str)> {
        let row =
            self.rows.iter_mut().find(|row| row.rule == rule && fits(&row.stretch, stretch))?;
        row.used = true;
        Some((row.sort, &row.why))
    }

    /// Notes that a stretch was gone through: what the table says of it should have come up.
    pub(super) fn went_through(&mut self, stretch: &str) {
        for row in &mut self.rows {
            row.met |= fits(&row.stretch, stretch);
        }
    }

    /// Rows whose stretch was gone through and whose rule told nothing.
    pub(super) fn unused(&self) -> impl Iterator<Item = (&str, &str)> {
        let unused = self.rows.iter().filter(|row| row.met && !row.used);
        unused.map(|row| (row.stretch.as_str(), row.rule.as_str()))
    }
}

fn fits(pattern: &str, stretch: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(start) => stretch.starts_with(start),
        None => pattern == stretch,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "# Noise\n\n| stretch | rule | sort | why |\n|---|---|---|---|\n\
                         | goldens/* | SSH brute force | attack | it is one |\n\
                         | day | Disk full | false | because |\n";

    #[test]
    fn rows_are_found_by_stretch_and_rule() {
        let mut reasons = Reasons::of(TABLE).expect("a table");
        let attack = reasons.of_alert("goldens/sshd", "SSH brute force");
        assert_eq!(attack, Some((Sort::True, "it is one")));
        assert_eq!(reasons.of_alert("day", "SSH brute force"), None);
        reasons.went_through("goldens/sshd");
        assert_eq!(reasons.unused().count(), 0, "the other stretch did not come");
        reasons.went_through("day");
        assert_eq!(reasons.unused().collect::<Vec<_>>(), [("day", "Disk full")]);
    }

    #[test]
    fn rows_must_say_what_and_why() {
        for row in ["| a | b | false |", "| a | b | maybe | c |", "| a | b | false | |"] {
            let text = format!("{TABLE}{row}\n");
            assert!(Reasons::of(&text).is_err(), "{row}");
        }
    }
}
