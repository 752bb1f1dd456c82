//! Rules on their way: a zip archive of a release, or a folder packed into one.
//!
//! In: the bytes of an archive, from anywhere. Out: its rules by path, or the reason why it is none of
//! ours. What it may hold is bounded before it is unpacked, names that lead anywhere else and links
//! are refused with the whole archive, and nothing is written here. [`pack`] makes an archive of
//! folders: what travels to the daemon, and what a version of a pack is kept as, has one form.
//!
//! Of an archive with folders `rules` or `rules-…` only these hold rules (a repository has more YAML
//! than that); of any other, all of it does. One folder around everything is not part of the names.
//! Rules below a folder `deprecated` or `unsupported` stay off.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Cursor, Read, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail, ensure};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipArchive, ZipWriter};

/// Bytes of an archive.
pub const MAX_ARCHIVE: u64 = 64 << 20;
/// Rules of one archive.
const MAX_FILES: usize = 30_000;
/// Bytes of one rule's file.
const MAX_FILE: u64 = 1 << 20;
/// Bytes of all of them. Tests need not make so many.
const MAX_UNPACKED: u64 = if cfg!(test) { 4 << 20 } else { 128 << 20 };
/// Bytes of a path in an archive.
const MAX_PATH: usize = 512;
/// Folders above a file in an archive.
const MAX_DEPTH: usize = 16;
/// Folders whose rules stay off.
const RETIRED: [&str; 2] = ["deprecated", "unsupported"];

/// What ends an archive: this record, its comment after it.
const END: &[u8] = b"PK\x05\x06";
/// What an archive of more than 65,535 members has in front of that.
const END_64: &[u8] = b"PK\x06\x07";
/// The record, the longest comment, and the locator in front.
const MAX_END: usize = 22 + 65_535 + 20;

/// The rules of an archive.
#[derive(Debug, Default)]
pub struct Content {
    /// Text by path, as rules are named from now on.
    pub rules: BTreeMap<String, String>,
    /// Rules in folders that stay off.
    pub retired: usize,
    /// Files that are no text: path, reason.
    pub unread: Vec<(String, String)>,
}

/// Reads an archive.
pub fn read(bytes: &[u8]) -> anyhow::Result<Content> {
    ensure!(bytes.len() as u64 <= MAX_ARCHIVE, "longer than {MAX_ARCHIVE} bytes");
    let end = &bytes[bytes.len().saturating_sub(MAX_END)..];
    ensure!(memchr::memmem::rfind(end, END).is_some(), "no zip archive");
    // So it has 65,535 members at most, and listing them takes little memory.
    ensure!(memchr::memmem::find(end, END_64).is_none(), "a zip archive of too many members");
    let mut archive = ZipArchive::new(Cursor::new(bytes)).context("no sound zip archive")?;
    let mut members: Vec<(Vec<String>, usize)> = Vec::new();
    for at in 0..archive.len() {
        let member = archive.by_index_raw(at).context("no sound zip archive")?;
        let name = std::str::from_utf8(member.name_raw()).context("a member's name is no text")?;
        ensure!(!member.is_symlink(), "`{}` is a link", printable(name));
        let parts = parts(name).with_context(|| format!("`{}`", printable(name)))?;
        if !name.ends_with('/') && is_rule(&parts) {
            ensure!(!member.encrypted(), "`{}` is encrypted", printable(name));
            ensure!(
                member.size() <= MAX_FILE,
                "`{}` is longer than {MAX_FILE} bytes",
                printable(name)
            );
            members.push((parts, at));
        }
    }
    let mut content = Content::default();
    let mut unpacked = 0;
    for (parts, at) in chosen(members) {
        if parts.iter().any(|part| RETIRED.contains(&part.as_str())) {
            content.retired += 1;
            continue;
        }
        let path = parts.join("/");
        ensure!(content.rules.len() < MAX_FILES, "more than {MAX_FILES} rules");
        let known = content.rules.contains_key(&path);
        ensure!(!known, "`{path}` is in it twice");
        let member = archive.by_index(at).with_context(|| format!("`{path}` does not unpack"))?;
        let mut text = Vec::new();
        // What a member says of its length need not be true.
        let limit = MAX_FILE.min(MAX_UNPACKED - unpacked);
        member
            .take(limit + 1)
            .read_to_end(&mut text)
            .with_context(|| format!("`{path}` does not unpack"))?;
        ensure!(
            text.len() as u64 <= limit,
            "`{path}` or all of it is too long: {MAX_FILE} bytes a rule, {MAX_UNPACKED} all"
        );
        unpacked += text.len() as u64;
        match String::from_utf8(text) {
            Ok(text) => drop(content.rules.insert(path, text)),
            Err(_) => content.unread.push((path, "not UTF-8".to_owned())),
        }
    }
    Ok(content)
}

/// Packs the rules of folders, or files named themselves, into an archive. `names` are in front of the
/// paths when there are several.
pub fn pack(folders: &[PathBuf]) -> anyhow::Result<Vec<u8>> {
    let mut rules = BTreeMap::new();
    let mut total = 0;
    for (at, folder) in folders.iter().enumerate() {
        let files = crate::eval::rule_files(std::slice::from_ref(folder))?;
        for file in files {
            let shown = || file.display().to_string();
            let mut text = Vec::new();
            let opened = File::open(&file).with_context(shown)?;
            opened.take(MAX_FILE + 1).read_to_end(&mut text).with_context(shown)?;
            ensure!(
                text.len() as u64 <= MAX_FILE,
                "{}: longer than {MAX_FILE} bytes",
                file.display()
            );
            total += text.len() as u64;
            ensure!(total <= MAX_UNPACKED, "more than {MAX_UNPACKED} bytes of rules");
            ensure!(rules.len() < MAX_FILES, "more than {MAX_FILES} rules");
            let path = below(folder, &file)?;
            let path = if folders.len() == 1 { path } else { format!("{at}/{path}") };
            rules.insert(path, text);
        }
    }
    write(rules.iter().map(|(path, text)| (path.as_str(), text.as_slice())))
}

/// Makes an archive of texts by path.
pub fn write<'a>(texts: impl Iterator<Item = (&'a str, &'a [u8])>) -> anyhow::Result<Vec<u8>> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default().compression_method(CompressionMethod::Deflated);
    for (path, text) in texts {
        writer.start_file(path, options)?;
        writer.write_all(text)?;
    }
    Ok(writer.finish()?.into_inner())
}

/// The path of a file below a folder, as archives write it.
fn below(folder: &Path, file: &Path) -> anyhow::Result<String> {
    let path = match file.strip_prefix(folder) {
        Ok(path) if !path.as_os_str().is_empty() => path,
        _ => Path::new(file.file_name().context("a file without a name")?),
    };
    let text =
        path.to_str().with_context(|| format!("{}: a name that is no text", file.display()))?;
    parts(text).with_context(|| file.display().to_string())?;
    Ok(text.to_owned())
}

/// The parts of a path that leads nowhere else.
fn parts(name: &str) -> anyhow::Result<Vec<String>> {
    ensure!(name.len() <= MAX_PATH, "a path longer than {MAX_PATH} bytes");
    let mut parts = Vec::new();
    for part in name.strip_suffix('/').unwrap_or(name).split('/') {
        let sound = !matches!(part, "" | "." | "..")
            && !part.contains(['\\', ':'])
            && !part.chars().any(char::is_control);
        if !sound {
            bail!("a path that leads elsewhere");
        }
        parts.push(part.to_owned());
    }
    ensure!(parts.len() <= MAX_DEPTH + 1, "more than {MAX_DEPTH} folders deep");
    Ok(parts)
}

fn is_rule(parts: &[String]) -> bool {
    let hidden = parts.iter().any(|part| part.starts_with('.'));
    let Some((stem, ending)) = parts.last().and_then(|name| name.rsplit_once('.')) else {
        return false;
    };
    !hidden && matches!(ending, "yml" | "yaml") && !stem.ends_with(".test")
}

/// Those that are rules, without the one folder around everything.
fn chosen(mut members: Vec<(Vec<String>, usize)>) -> Vec<(Vec<String>, usize)> {
    let is_rules = |parts: &[String]| {
        parts.len() > 1 && (parts[0] == "rules" || parts[0].starts_with("rules-"))
    };
    let first = members.first().map(|(parts, _)| parts[0].clone());
    let around = first.filter(|first| {
        members.iter().all(|(parts, _)| parts.len() > 1 && parts[0] == *first && !is_rules(parts))
    });
    if around.is_some() {
        members.iter_mut().for_each(|(parts, _)| drop(parts.remove(0)));
    }
    if members.iter().any(|(parts, _)| is_rules(parts)) {
        members.retain(|(parts, _)| is_rules(parts));
    }
    members
}

/// A name of a stranger as it may be shown.
fn printable(name: &str) -> String {
    name.chars().take(MAX_PATH).map(|c| if c.is_control() { '·' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn archive(names: &[&str]) -> Vec<u8> {
        write(names.iter().map(|name| (*name, b"title: t\n".as_slice()))).expect("packs")
    }

    fn paths(names: &[&str]) -> Vec<String> {
        read(&archive(names)).expect("reads").rules.into_keys().collect()
    }

    fn refused(bytes: &[u8], expected: &str) {
        let error = format!("{:#}", read(bytes).expect_err("refused"));
        assert!(error.contains(expected), "{error} lacks {expected}");
    }

    #[test]
    fn of_a_repository_only_the_rules_are_rules() {
        let names = [
            "sigma-1/.github/x.yml",
            "sigma-1/README.md",
            "sigma-1/rules/linux/a.yml",
            "sigma-1/rules-placeholder/b.yaml",
            "sigma-1/regression_data/c.yml",
            "sigma-1/rules/linux/a.test.yml",
            "sigma-1/deprecated/d.yml",
            "sigma-1/rules/deprecated/e.yml",
            "sigma-1/rules/unsupported/f.yml",
        ];
        let content = read(&archive(&names)).expect("reads");
        let found: Vec<&String> = content.rules.keys().collect();
        assert_eq!(found, ["rules-placeholder/b.yaml", "rules/linux/a.yml"]);
        assert_eq!(content.retired, 2);
        assert_eq!(paths(&["a.yml", "b/c.yml"]), ["a.yml", "b/c.yml"]);
        assert_eq!(paths(&["b/a.yml", "b/c.yml"]), ["a.yml", "c.yml"]);
        assert_eq!(paths(&["rules/a.yml"]), ["rules/a.yml"]);
    }

    #[test]
    fn what_leads_elsewhere_is_refused_whole() {
        for name in [
            "../a.yml",
            "/a.yml",
            "a/../../b.yml",
            "a//b.yml",
            "a\\..\\b.yml",
            "c:a.yml",
            "a\u{1b}.yml",
        ] {
            refused(&archive(&["good.yml", name]), "leads elsewhere");
        }
        refused(&archive(&[&format!("{}a.yml", "d/".repeat(20))]), "folders deep");
        refused(&archive(&[&format!("{}.yml", "d".repeat(600))]), "longer than");
        let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
        let options = SimpleFileOptions::default();
        writer.add_symlink("a.yml", "/etc/passwd", options).expect("packs");
        refused(&writer.finish().expect("packs").into_inner(), "is a link");
    }

    #[test]
    fn a_bomb_goes_off_nowhere() {
        let zeros = vec![b' '; usize::try_from(MAX_FILE).expect("fits") + 1];
        let bomb = write([("a.yml", zeros.as_slice())].into_iter()).expect("packs");
        assert!(bomb.len() < 64 << 10);
        refused(&bomb, "longer than");
        // One that lies of its length: the length in the list and in front of the data, made small.
        let mut liar = bomb.clone();
        let length = u32::try_from(zeros.len()).expect("fits").to_le_bytes();
        while let Some(at) = memchr::memmem::find(&liar, &length) {
            liar[at..at + 4].copy_from_slice(&9u32.to_le_bytes());
        }
        assert!(read(&liar).is_err());
        // Not read, since it is no rule.
        let other = write([("a.bin", zeros.as_slice())].into_iter()).expect("packs");
        assert!(read(&other).expect("reads").rules.is_empty());
        let whole = vec![b' '; usize::try_from(MAX_FILE).expect("fits")];
        let names: Vec<String> =
            (0..=MAX_UNPACKED / MAX_FILE).map(|n| format!("{n}.yml")).collect();
        let many = names.iter().map(|name| (name.as_str(), whole.as_slice()));
        refused(&write(many).expect("packs"), "too long");
    }

    #[test]
    fn damage_is_an_error_and_never_a_panic() {
        let good = archive(&["rules/a.yml", "rules/b.yml"]);
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 0x41;
            // A changed date or comment matters to nobody.
            let _ = read(&bad);
            let _ = read(&good[..at]);
        }
        refused(b"", "no zip archive");
        refused(b"title: a rule", "no zip archive");
        let mut many = good;
        many.splice(0..0, *b"PK\x06\x07");
        refused(&many, "too many");
    }

    #[test]
    fn what_is_no_text_is_named() {
        let bytes = write([("a.yml", b"\xff".as_slice()), ("b.yml", b"b".as_slice())].into_iter());
        let content = read(&bytes.expect("packs")).expect("reads");
        assert_eq!(content.unread, [("a.yml".to_owned(), "not UTF-8".to_owned())]);
        assert_eq!(content.rules.len(), 1);
    }

    #[test]
    fn folders_are_packed_as_archives_are() {
        let dir = tempfile::tempdir().expect("a directory");
        std::fs::create_dir(dir.path().join("rules")).expect("a directory");
        std::fs::write(dir.path().join("rules/a.yml"), "a").expect("writes");
        std::fs::write(dir.path().join("b.yml"), "b").expect("writes");
        let one = pack(&[dir.path().to_owned()]).expect("packs");
        assert_eq!(
            read(&one).expect("reads").rules.into_keys().collect::<Vec<_>>(),
            ["rules/a.yml"]
        );
        let file = dir.path().join("b.yml");
        let two = pack(&[dir.path().join("rules"), file]).expect("packs");
        let rules = read(&two).expect("reads").rules;
        assert_eq!(rules.into_keys().collect::<Vec<_>>(), ["0/a.yml", "1/b.yml"]);
    }
}
