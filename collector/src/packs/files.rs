//! Files of a folder that an operator keeps, read within limits.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};

/// Files of one folder.
const MAX_FILES: usize = 10_000;

/// The files right in a folder, sorted; hidden ones are nobody's.
pub(super) fn of(dir: &Path, optional: bool) -> anyhow::Result<Vec<PathBuf>> {
    let shown = || format!("failed to read {}", dir.display());
    let entries = match fs::read_dir(dir) {
        Err(error) if optional && error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.with_context(shown)?,
    };
    let mut paths = Vec::new();
    for entry in entries {
        let path = entry.with_context(shown)?.path();
        let hidden = path.file_name().is_none_or(|name| name.as_encoded_bytes().starts_with(b"."));
        // Follows links: the folder is the operator's own.
        if !hidden && fs::metadata(&path).is_ok_and(|metadata| metadata.is_file()) {
            ensure!(paths.len() < MAX_FILES, "{}: more than {MAX_FILES} files", dir.display());
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

/// A file of text, at most so many bytes.
pub(super) fn text(path: &Path, most: u64) -> anyhow::Result<String> {
    let shown = || path.display().to_string();
    let mut bytes = Vec::new();
    File::open(path)
        .with_context(shown)?
        .take(most + 1)
        .read_to_end(&mut bytes)
        .with_context(shown)?;
    ensure!(bytes.len() as u64 <= most, "{}: longer than {most} bytes", path.display());
    String::from_utf8(bytes).map_err(|_| anyhow::anyhow!("{}: not UTF-8", path.display()))
}
