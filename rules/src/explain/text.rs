//! An explanation as a person reads it: a few lines, indented.
//!
//! In: what a rule made of an event. Out: text. Values stand between apostrophes as they are, with
//! what a terminal would obey written out as its number.

use std::fmt::{Display, Formatter, Result, Write};

use super::{
    Asked, Correlated, Counted, Coverage, Evidence, Explained, Explanation, Lacking, Shown, Verdict,
};

const STEP: usize = 2;

impl Display for Explained {
    fn fmt(&self, out: &mut Formatter<'_>) -> Result {
        explained(self, 0, out)
    }
}

fn explained(what: &Explained, indent: usize, out: &mut dyn Write) -> Result {
    match what {
        Explained::Event(explanation) => event(explanation, indent, out),
        Explained::Correlation(correlated) => correlation(correlated, indent, out),
    }
}

fn event(explanation: &Explanation, indent: usize, out: &mut dyn Write) -> Result {
    let Explanation { matched, log_source, detection, filters } = explanation;
    line(indent, out, format_args!("{}", if *matched { "matched" } else { "no match" }))?;
    let indent = indent + STEP;
    if !log_source.covered {
        uncovered(log_source, indent, out)?;
    }
    verdict("", detection, indent, out)?;
    for filter in filters.iter().filter(|filter| detection.held || !filter.verdict.held) {
        let name = filter.id.as_deref().unwrap_or("no id");
        let state = if filter.verdict.held { "lets it pass" } else { "keeps it quiet" };
        line(indent, out, format_args!("filter {} ({name}) {state}", Quoted(&filter.title)))?;
        verdict("", &filter.verdict, indent + STEP, out)?;
    }
    Ok(())
}

fn uncovered(coverage: &Coverage, indent: usize, out: &mut dyn Write) -> Result {
    let found = match coverage.found.as_slice() {
        [] => "nothing a rule could ask for".to_owned(),
        found => found.join(", "),
    };
    line(
        indent,
        out,
        format_args!("log source: the rule is for {}, the event is {found}", coverage.wanted),
    )?;
    for differs in &coverage.differs {
        let found = differs.found.as_deref().unwrap_or("not given");
        line(indent + STEP, out, format_args!("{}: {found}, not {}", differs.key, differs.wanted))?;
    }
    Ok(())
}

fn verdict(lead: &str, verdict: &Verdict, indent: usize, out: &mut dyn Write) -> Result {
    let state = if verdict.held { "holds" } else { "does not hold" };
    line(indent, out, format_args!("{lead}condition {state}: {}", Plain(&verdict.condition)))?;
    for selection in &verdict.selections {
        counted(selection, indent + STEP, out)?;
    }
    if verdict.more > 0 {
        line(indent + STEP, out, format_args!("and {} more", verdict.more))?;
    }
    Ok(())
}

fn counted(counted: &Counted, indent: usize, out: &mut dyn Write) -> Result {
    let mut head = Plain(&counted.name).to_string();
    if let (Some(entry), Some(entries)) = (counted.entry, counted.entries) {
        let nearest = if counted.held { "" } else { "nearest: " };
        head.push_str(&format!(" [{nearest}{entry} of {entries}]"));
    }
    head.push_str(match (counted.held, counted.negated) {
        (true, false) => " holds",
        (true, true) => " holds and must not",
        (false, true) => " does not hold, as it should",
        (false, false) => " does not hold",
    });
    match counted.instead {
        0 => {}
        1 => head.push_str("; another would do, and does not hold either"),
        others => head.push_str(&format!("; {others} others would do, and none holds")),
    }
    line(indent, out, format_args!("{head}"))?;
    counted.asked.iter().try_for_each(|one| asked(one, indent + STEP, out))?;
    match counted.more {
        0 => Ok(()),
        more => line(indent + STEP, out, format_args!("and {more} more")),
    }
}

fn asked(asked: &Asked, indent: usize, out: &mut dyn Write) -> Result {
    let mut name = Plain(asked.field.as_deref().unwrap_or("any value")).to_string();
    for modifier in &asked.modifiers {
        name.push('|');
        name.push_str(modifier);
    }
    if let Some(in_event) = &asked.in_event {
        name.push_str(&format!(" ({})", Plain(in_event)));
    }
    for evidence in &asked.found {
        line(indent, out, format_args!("{name}: {evidence}"))?;
    }
    match &asked.lacking {
        Some(lacking) => line(indent, out, format_args!("{name}: {}", unmet(lacking, asked.held))),
        None => Ok(()),
    }
}

impl Display for Evidence {
    fn fmt(&self, out: &mut Formatter<'_>) -> Result {
        write!(out, "{}", Quoted(&self.wanted))?;
        let Some(value) = &self.value else { return out.write_str(", and there is none") };
        if let Some(other) = &self.other {
            write!(out, ", which is {other},")?;
        }
        match self.span {
            Some((start, end)) if end - start < value.bytes => {
                write!(out, " at {start}..{end} of {value}")
            }
            _ => write!(out, " is {value}"),
        }
    }
}

/// What was not met; with `held` that is as the rule asks.
fn unmet(lacking: &Lacking, held: bool) -> String {
    let wanted: Vec<Quoted<'_>> = lacking.wanted.iter().map(|value| Quoted(value)).collect();
    let wanted = list(&wanted, lacking.more_wanted, " or ");
    if lacking.absent {
        let link = if held { ", so not" } else { "; wanted" };
        format!("absent{link} {wanted}")
    } else if lacking.values.is_empty() {
        format!("nowhere {wanted}")
    } else {
        format!("{}, not {wanted}", list(&lacking.values, lacking.more_values, ", "))
    }
}

fn list<T: Display>(all: &[T], more: usize, between: &str) -> String {
    let mut text = all.iter().map(T::to_string).collect::<Vec<_>>().join(between);
    if more > 0 {
        text.push_str(&format!("{between}{more} more"));
    }
    text
}

fn correlation(correlated: &Correlated, indent: usize, out: &mut dyn Write) -> Result {
    let Correlated { correlation, group_by, timespan_secs, condition, members } = correlated;
    let by = if group_by.is_empty() { "all events".to_owned() } else { group_by.join(", ") };
    line(
        indent,
        out,
        format_args!(
            "{correlation} by {}: {} within {timespan_secs} s",
            Plain(&by),
            Plain(condition)
        ),
    )?;
    for member in members {
        let name = if member.name == member.rule {
            member.rule.clone()
        } else {
            format!("{} ({})", member.name, member.rule)
        };
        line(indent + STEP, out, format_args!("of {}", Plain(&name)))?;
        for (field, value) in &member.group {
            line(indent + 2 * STEP, out, format_args!("group {}={}", Plain(field), Quoted(value)))?;
        }
        explained(&member.explained, indent + 2 * STEP, out)?;
    }
    Ok(())
}

fn line(indent: usize, out: &mut dyn Write, text: std::fmt::Arguments<'_>) -> Result {
    writeln!(out, "{:indent$}{text}", "")
}

impl Display for Shown {
    fn fmt(&self, out: &mut Formatter<'_>) -> Result {
        let before = if self.from > 0 { "…" } else { "" };
        let after = if self.from + self.text.len() < self.bytes { "…" } else { "" };
        write!(out, "{before}{}{after}", Quoted(&self.text))
    }
}

/// Text between apostrophes.
struct Quoted<'a>(&'a str);

impl Display for Quoted<'_> {
    fn fmt(&self, out: &mut Formatter<'_>) -> Result {
        write!(out, "'{}'", Plain(self.0))
    }
}

/// Text in which nothing steers a terminal.
struct Plain<'a>(&'a str);

impl Display for Plain<'_> {
    fn fmt(&self, out: &mut Formatter<'_>) -> Result {
        self.0.chars().try_for_each(|character| match character {
            '\n' => out.write_str("\\n"),
            '\t' => out.write_str("\\t"),
            '\r' => out.write_str("\\r"),
            _ if character.is_control() => write!(out, "{}", character.escape_unicode()),
            _ => out.write_char(character),
        })
    }
}
