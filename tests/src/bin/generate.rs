//! `hengwei-generate --lines N --seed S [--dir OUT]`: made-up logs of a hospital, to look at or to
//! measure with. Without `--dir` the lines go to stdout; with it, to `OUT/all.log`, and each besides
//! to a file of its own host and path below `OUT/hosts`.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail};
use hengwei_tests::generate::{Generator, HOSTS, Line, Plan};

const USAGE: &str = "usage: hengwei-generate --lines N --seed S [--dir OUT]";

fn main() -> ExitCode {
    match arguments().and_then(|(plan, dir)| match dir {
        Some(dir) => files(plan, &dir),
        None => Ok(write(plan, &mut BufWriter::new(io::stdout().lock()), &mut |_| Ok(()))?),
    }) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::from(2)
        }
    }
}

fn arguments() -> anyhow::Result<(Plan, Option<PathBuf>)> {
    let (mut lines, mut seed, mut dir) = (None, None, None);
    let mut arguments = std::env::args().skip(1);
    while let Some(name) = arguments.next() {
        let value = arguments.next().context(USAGE)?;
        match name.as_str() {
            "--lines" => lines = Some(value.parse().context("--lines: not a number")?),
            "--seed" => seed = Some(value.parse().context("--seed: not a number")?),
            "--dir" => dir = Some(PathBuf::from(value)),
            _ => bail!(USAGE),
        }
    }
    Ok((Plan::new(seed.context(USAGE)?, lines.context(USAGE)?), dir))
}

fn files(plan: Plan, dir: &Path) -> anyhow::Result<()> {
    let mut files: HashMap<(usize, &'static str), BufWriter<File>> = HashMap::new();
    fs::create_dir_all(dir)?;
    let mut all = BufWriter::new(File::create(dir.join("all.log"))?);
    write(plan, &mut all, &mut |line| {
        let file = match files.entry((line.host, line.path)) {
            std::collections::hash_map::Entry::Occupied(known) => known.into_mut(),
            std::collections::hash_map::Entry::Vacant(new) => {
                let host = dir.join("hosts").join(HOSTS[line.host].0);
                let path = host.join(line.path.trim_start_matches('/'));
                fs::create_dir_all(path.parent().unwrap_or(&host))?;
                new.insert(BufWriter::new(File::create(path)?))
            }
        };
        file.write_all(&line.bytes)?;
        file.write_all(b"\n")
    })?;
    files.into_values().try_for_each(|mut file| file.flush())?;
    Ok(())
}

/// Every line to `all`, and shown to `each`. A reader that has seen enough is no failure.
fn write(
    plan: Plan,
    all: &mut impl Write,
    each: &mut dyn FnMut(&Line) -> io::Result<()>,
) -> io::Result<()> {
    let mut write = || {
        for line in Generator::new(plan.clone()) {
            all.write_all(&line.bytes)?;
            all.write_all(b"\n")?;
            each(&line)?;
        }
        all.flush()
    };
    match write() {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}
