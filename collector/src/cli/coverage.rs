//! `rules coverage`: the rules are read here, what arrives comes from the collector, from raw logs or
//! from what decoders know; rows for machines, tables for people.

use std::io::Write;

use serde_json::Value;

use super::Reach;
use crate::commands::Command;
use crate::coverage::{self, Arrival, CoverageArgs, Report};
use crate::{replay, table};

/// Missing fields that people are shown.
const FIELDS_SHOWN: usize = 20;

pub(super) fn run(
    reach: &Reach,
    json: bool,
    args: &CoverageArgs,
    out: &mut (dyn Write + Send),
) -> anyhow::Result<i32> {
    let (set, refused) = replay::load(&args.rules)?;
    let arrivals = match args {
        _ if args.known => coverage::known(),
        _ if !args.logs.is_empty() => coverage::of_logs(&args.logs, &args.reading)?,
        _ => arrived(reach, &args.since)?,
    };
    let report = coverage::report(&set, refused, &arrivals);
    if json {
        let Report { rules, sources, fields, datasets, total } = &report;
        let rows = rules.iter().chain(sources).chain(fields).chain(datasets);
        rows.chain([total]).try_for_each(|row| writeln!(out, "{row}"))?;
    } else {
        tables(&report, args.each, out)?;
    }
    Ok(0)
}

fn arrived(reach: &Reach, since: &str) -> anyhow::Result<Vec<Arrival>> {
    let mut arrivals = Vec::new();
    let command = Command::Arrived { since: since.to_owned() };
    reach.ask(command, &mut |row: Value| {
        arrivals.push(serde_json::from_value(row)?);
        Ok(())
    })?;
    Ok(arrivals)
}

/// A row whose lists are text, for a cell.
fn joined(mut row: Value) -> Value {
    for cell in row.as_object_mut().into_iter().flat_map(|row| row.values_mut()) {
        if let Value::Array(items) = cell {
            let texts: Vec<&str> = items.iter().filter_map(Value::as_str).collect();
            *cell = Value::String(texts.join(", "));
        }
    }
    row
}

fn tables(report: &Report, each: bool, out: &mut dyn Write) -> std::io::Result<()> {
    if each {
        let rows: Vec<Value> = report.rules.iter().cloned().map(joined).collect();
        table::print(&table::COVERED_RULES, &rows, out)?;
        writeln!(out)?;
    }
    table::print(&table::COVERED_SOURCES, &report.sources, out)?;
    writeln!(out)?;
    if !report.fields.is_empty() {
        let shown = report.fields.len().min(FIELDS_SHOWN);
        table::print(&table::LACKED_FIELDS, &report.fields[..shown], out)?;
        if report.fields.len() > shown {
            writeln!(out, "and {} more", report.fields.len() - shown)?;
        }
        writeln!(out)?;
    }
    table::print(&table::ARRIVING, &report.datasets, out)?;
    writeln!(out)?;
    table::print(&table::Shape::default(), std::slice::from_ref(&report.total), out)
}
