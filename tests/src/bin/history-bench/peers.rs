//! The tools one would use without us: zstd on the raw text, zstdgrep and grep over it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, ensure};
use hengwei_tests::figures::median;

/// A peer that takes so long is asked once.
const PATIENCE: f64 = 10.0;

/// What grep found, and how long it took: a median.
#[derive(Debug, Clone, Copy)]
pub(super) struct Grepped {
    pub(super) lines: u64,
    pub(super) seconds: f64,
}

/// Compresses a file with the options given and returns where; on both cores, which changes the size
/// by less than a thousandth.
pub(super) fn zstd(raw: &Path, options: &[&str]) -> anyhow::Result<PathBuf> {
    let mut out = raw.as_os_str().to_owned();
    out.push(format!(".{}.zst", options.join("").replace(['-', '='], "")));
    let status = Command::new("zstd")
        .args(["-q", "-f", "-T2"])
        .args(options)
        .arg(raw)
        .arg("-o")
        .arg(&out)
        .status()
        .context("zstd: install it, or run packaging/install-deps.sh bench")?;
    ensure!(status.success(), "zstd ended with {status}");
    Ok(PathBuf::from(out))
}

/// The size of a file compressed, which is not kept.
pub(super) fn zstd_size(raw: &Path, options: &[&str]) -> anyhow::Result<u64> {
    let out = zstd(raw, options)?;
    let size = fs::metadata(&out)?.len();
    fs::remove_file(out)?;
    Ok(size)
}

/// `program` is grep or zstdgrep. Bytes are bytes: without a locale both are several times faster.
pub(super) fn grep(
    program: &str,
    words: &[String],
    file: &Path,
    runs: usize,
) -> anyhow::Result<Grepped> {
    let (mut lines, mut took) = (0, Vec::new());
    while took.len() < runs && took.last().is_none_or(|last| *last < PATIENCE) {
        let began = Instant::now();
        let output = Command::new(program)
            .env("LC_ALL", "C")
            .args(["-a", "-c"])
            .args(words)
            .arg(file)
            .stderr(Stdio::inherit())
            .output()
            .with_context(|| {
                format!("{program}: install it, or run packaging/install-deps.sh bench")
            })?;
        took.push(began.elapsed().as_secs_f64());
        let text = String::from_utf8_lossy(&output.stdout);
        lines = text.trim().parse().with_context(|| format!("{program} said {text:?}"))?;
    }
    Ok(Grepped { lines, seconds: median(took) })
}

/// Reads a file once, so that it lies in the page cache for whoever reads it next.
pub(super) fn warm(file: &Path) -> anyhow::Result<()> {
    let status = Command::new("cat").arg(file).stdout(Stdio::null()).status()?;
    ensure!(status.success(), "cat ended with {status}");
    Ok(())
}
