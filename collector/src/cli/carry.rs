//! Commands that carry something out of the collector, or back in: export, backup, restore, and the
//! checks of what was carried. What they print, and the exit code.

use std::io::Write;
use std::path::Path;

use anyhow::Context as _;
use serde_json::{Value, json};

use super::reach::{Reach, operator};
use crate::backup::keys::Passphrase;
use crate::backup::{self, Taking};
use crate::commands::Command;
use crate::{EXIT_FINDING, export, pki, table};

/// `export -o FILE`.
pub(super) fn export(
    reach: &Reach,
    asked: export::Asked,
    output: &Path,
    json: bool,
    out: &mut dyn Write,
) -> anyhow::Result<i32> {
    let mut target = export::Target::create(output)?;
    let code = reach.ask(Command::Export(asked), &mut |row| target.take(&row))?;
    let manifest = target.finish()?;
    if json {
        writeln!(out, "{}", serde_json::to_string(&manifest)?)?;
        return Ok(code);
    }
    let between = match (&manifest.first, &manifest.last) {
        (Some(first), Some(last)) => format!(", from {first} to {last}"),
        _ => String::new(),
    };
    writeln!(out, "{} events{between}", manifest.rows)?;
    writeln!(out, "{}  {}", manifest.file.sha256, output.display())?;
    writeln!(out, "its signed manifest: {}", export::manifest_of(output).display())?;
    Ok(code)
}

/// `verify --export FILE`. Without a key, that of a data folder on this machine is taken, if any.
pub(super) fn verify_export(
    file: &Path,
    key: Option<Vec<u8>>,
    data: Option<&Path>,
    json: bool,
    out: &mut dyn Write,
) -> anyhow::Result<i32> {
    let key = match (key, data) {
        (None, Some(data)) => pki::history_public_key(data).ok().flatten(),
        (key, _) => key,
    };
    let checked = export::check(file, key.as_deref())?;
    tell(&checked.findings, json, out)?;
    let rows = checked.manifest.as_ref().map_or(0, |manifest| manifest.rows);
    if checked.findings.is_empty() {
        eprintln!(
            "{rows} events, every byte as the manifest says{}",
            by_whom(&checked.key, key.is_some())
        );
        return Ok(0);
    }
    eprintln!("{}: {} findings", file.display(), checked.findings.len());
    Ok(EXIT_FINDING)
}

/// `backup DIR`.
pub(super) fn backup(
    reach: &Reach,
    dir: &Path,
    passphrase_file: Option<&Path>,
    json: bool,
    out: &mut dyn Write,
) -> anyhow::Result<i32> {
    let passphrase = passphrase_file.map(Passphrase::read).transpose()?;
    let mut taking = Taking::begin(dir)?;
    let asked = backup::Asked { passphrase };
    reach.ask_for_files(asked, &mut |(row, file)| taking.take(&row, file))?;
    let taken = taking.finish()?;
    reach.ask(Command::BackupMade(taken.made.clone()), &mut |_| Ok(()))?;
    let made = &taken.made;
    if json {
        let mut row = serde_json::to_value(made)?;
        row["copied"] = taken.copied.into();
        row["keys"] = taken.keys.into();
        writeln!(out, "{row}")?;
    } else {
        writeln!(
            out,
            "history up to commit {}: {} files, {} bytes; {} segments and checkpoints copied, {} bytes",
            made.commit, made.files, made.bytes, taken.copied, made.copied_bytes
        )?;
        let keys = match (taken.keys, taken.earlier_keys) {
            (true, _) => "keys: sealed under the passphrase in keys.sealed",
            (false, true) => {
                "keys: NOT backed up this time; keys.sealed is that of an earlier backup"
            }
            (false, false) => {
                "keys: NOT in this backup, and a collector does not come back without them: \
                 give --passphrase-file"
            }
        };
        writeln!(out, "{keys}")?;
    }
    for name in &made.damaged {
        eprintln!("{name}: history has damaged bytes here; `verify` tells which commits");
    }
    Ok(if made.damaged.is_empty() { 0 } else { EXIT_FINDING })
}

/// `backup DIR --check`.
pub(super) fn check_backup(
    dir: &Path,
    passphrase_file: Option<&Path>,
    key: Option<Vec<u8>>,
    json: bool,
    out: &mut dyn Write,
) -> anyhow::Result<i32> {
    let passphrase = passphrase_file.map(Passphrase::read).transpose()?;
    let checked = backup::check(dir, passphrase.as_ref(), key.as_deref())?;
    tell(&checked.findings, json, out)?;
    if checked.findings.is_empty() {
        eprintln!(
            "history up to commit {}, backed up {}: {} files, every byte as listed{}",
            checked.statement.commit,
            checked.statement.at,
            checked.statement.files.len(),
            by_whom(&checked.key, checked.trusted)
        );
        return Ok(0);
    }
    eprintln!(
        "{}: {} findings; remove what is damaged and back up again",
        dir.display(),
        checked.findings.len()
    );
    Ok(EXIT_FINDING)
}

/// `restore DIR --data NEWDIR`.
pub(super) fn restore(
    dir: &Path,
    data: &Path,
    passphrase_file: Option<&Path>,
    key: Option<Vec<u8>>,
    accept_damage: bool,
    json: bool,
    out: &mut dyn Write,
) -> anyhow::Result<i32> {
    let passphrase = passphrase_file.map(Passphrase::read).transpose()?;
    let how = backup::restore::How {
        passphrase: passphrase.as_ref(),
        key: key.as_deref(),
        accept_damage,
        who: &operator(),
    };
    let restored = backup::restore(dir, data, &how)
        .with_context(|| format!("nothing was restored to {}", data.display()))?;
    let statement = &restored.statement;
    if json {
        let row = json!({
            "commit": statement.commit, "at": &statement.at, "keys": restored.keys,
            "trusted": restored.trusted, "damaged": &restored.damaged,
        });
        writeln!(out, "{row}")?;
    } else {
        writeln!(
            out,
            "history up to commit {}, as of {}, is in {}",
            statement.commit,
            statement.at,
            data.display()
        )?;
        let keys = match (restored.keys, restored.trusted) {
            (true, _) => "keys: restored; its configuration is beside them as collector.toml",
            (false, true) => "keys: not restored; put the `pki` folder there before it is started",
            (false, false) => {
                "keys: not restored; put the `pki` folder there before it is started. Who signed the \
                 backup is only its own word: --key or --passphrase-file would prove it"
            }
        };
        writeln!(out, "{keys}")?;
        writeln!(out, "`verify --data {}` walks its chains", data.display())?;
    }
    for name in &restored.damaged {
        eprintln!("{name}: is not what was backed up, and was taken over as it is");
    }
    Ok(if restored.damaged.is_empty() { 0 } else { EXIT_FINDING })
}

fn tell(findings: &[String], json: bool, out: &mut dyn Write) -> anyhow::Result<()> {
    let rows: Vec<Value> = findings.iter().map(|text| json!({ "finding": text })).collect();
    if json {
        rows.iter().try_for_each(|row| writeln!(out, "{row}"))?;
        return Ok(());
    }
    Ok(table::print(&table::Shape::default(), &rows, out)?)
}

fn by_whom(key: &str, trusted: bool) -> String {
    if trusted {
        format!("; signed by {key}")
    } else {
        format!("; signed by {key}, which only it says itself: compare with --key")
    }
}
