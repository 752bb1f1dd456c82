//! `rules`: what needs no daemon is done here; orders go to the collector, with the archive of what
//! they are about, since the daemon may read next to nothing of the host.

use std::io::{IsTerminal as _, Write};
use std::path::Path;

use anyhow::Context as _;
use serde_json::Value;

use super::{Reach, RulesVerb};
use crate::commands::Command;
use crate::packs::{Order, archive};
use crate::{EXIT_FINDING, eval, packs, replay, table};

pub(super) fn run(
    reach: &Reach,
    json: bool,
    verb: RulesVerb,
    out: &mut (dyn Write + Send),
) -> anyhow::Result<i32> {
    let (order, archive) = match verb {
        RulesVerb::Eval(args) => return eval::eval(&args, out, &mut std::io::stderr()),
        RulesVerb::Bench(args) => return eval::bench(&args, out, &mut std::io::stderr()),
        RulesVerb::Explain(args) => {
            return eval::explain(&args, json, out, &mut std::io::stderr());
        }
        RulesVerb::Cost { limit } => {
            return super::ask(reach, json, Command::RuleCost { limit }, out);
        }
        RulesVerb::Coverage(args) => return super::coverage::run(reach, json, &args, out),
        RulesVerb::Lint(args) => return eval::lint_rules(&args, out, &mut std::io::stderr()),
        RulesVerb::Test(args) => {
            return Ok(if replay::test(&args, out)? == 0 { 0 } else { EXIT_FINDING });
        }
        RulesVerb::Order(order) => (order, Vec::new()),
        RulesVerb::Import { path, mut asked } => {
            packs::check_name("--name", &asked.name)?;
            asked.source = path.display().to_string();
            (Order::Import(asked), read(&path)?)
        }
        RulesVerb::Backtest { rules, mut asked } => {
            asked.progress = std::io::stderr().is_terminal();
            let archive = if rules.is_empty() { Vec::new() } else { archive::pack(&rules)? };
            (Order::Backtest(asked), archive)
        }
    };
    let shape = table::order(&order);
    let mut rows = Vec::new();
    let backtest = matches!(order, Order::Backtest(_));
    let code = reach.order(order, archive, &mut |row: Value| {
        match row.get("progress") {
            Some(progress) => eprintln!("{} events, {}", progress["events"], progress["at"]),
            None if json => writeln!(out, "{row}")?,
            None if backtest && row.get("change").is_some() => {
                writeln!(out, "{}", table::backtested(&row))?;
            }
            None => rows.push(row),
        }
        Ok(())
    })?;
    if !json {
        table::print(&shape, &rows, out)?;
    }
    Ok(code)
}

/// The archive, or the folder as one.
fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    use std::io::Read as _;
    let shown = || path.display().to_string();
    if std::fs::metadata(path).with_context(shown)?.is_dir() {
        return archive::pack(&[path.to_owned()]);
    }
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).with_context(shown)?;
    file.take(archive::MAX_ARCHIVE + 1).read_to_end(&mut bytes).with_context(shown)?;
    let most = archive::MAX_ARCHIVE;
    anyhow::ensure!(bytes.len() as u64 <= most, "{}: longer than {most} bytes", path.display());
    Ok(bytes)
}
