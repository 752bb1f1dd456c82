//! Checking an export where there is nothing else of ours: a file and its manifest in, what does not
//! fit out. Nothing of the file is believed: what it may unpack to is bounded by what is signed.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use anyhow::Context as _;
use hengwei_protocol::identity::hex;

use super::{FORMAT, Manifest, Sums, manifest_of};
use crate::statement;

/// The longest manifest that is read.
const MAX_MANIFEST: u64 = 1 << 20;
/// The longest line of an export that is read, above any event.
const MAX_LINE: u64 = 64 << 20;
/// The largest window a zstd frame may ask for when it is read: 2 to this power.
const MAX_WINDOW: u32 = 27;

/// What checking an export came to.
#[derive(Debug)]
pub struct Checked {
    /// As it stands there; None when it does not read.
    pub manifest: Option<Manifest>,
    /// The key it is signed by, hex.
    pub key: String,
    /// What does not fit; none when all is well.
    pub findings: Vec<String>,
}

/// Checks an export: its manifest's signature, by `key` if one is given, and every byte of the file.
///
/// # Errors
/// When a file is not there or does not open; what is wrong with it is a finding.
pub fn check(file: &Path, key: Option<&[u8]>) -> anyhow::Result<Checked> {
    let opened = File::open(file).with_context(|| file.display().to_string())?;
    let place = manifest_of(file);
    let manifest = File::open(&place).with_context(|| {
        format!("{}: the manifest of an export lies beside it", place.display())
    })?;
    let mut text = Vec::new();
    manifest
        .take(MAX_MANIFEST)
        .read_to_end(&mut text)
        .with_context(|| place.display().to_string())?;
    let signed = match statement::read::<Manifest>(&text) {
        Ok(signed) => signed,
        Err(text) => {
            let findings = vec![format!("the manifest does not read: {text}")];
            return Ok(Checked { manifest: None, key: String::new(), findings });
        }
    };
    let mut findings: Vec<String> = signed
        .check(statement::EXPORT, key)
        .into_iter()
        .map(|text| format!("the manifest: {text}"))
        .collect();
    let manifest = &signed.statement;
    if manifest.format != FORMAT {
        findings.push(format!("a manifest of format {}, which is not known here", manifest.format));
    }
    if !manifest.heads.are_signed_by(&signed.key) {
        findings.push("the chain heads in the manifest are not signed by its key".to_owned());
    }
    match sums(opened, manifest) {
        Ok(more) => findings.extend(more),
        Err(error) => findings.push(format!("the file does not unpack: {error}")),
    }
    Ok(Checked { key: hex(&signed.key), manifest: Some(signed.statement), findings })
}

/// What of a file is not as its manifest says.
fn sums(file: File, manifest: &Manifest) -> io::Result<Vec<String>> {
    let mut findings = Vec::new();
    let mut packed = Summing { from: file, sums: Sums::default() };
    let (mut content, mut rows) = (Sums::default(), 0);
    let unpacked = unpack(&mut packed, manifest.content.bytes, &mut |line| {
        content.take(line);
        rows += 1;
    });
    // What the decoder did not ask for belongs to the file all the same.
    io::copy(&mut packed, &mut io::sink())?;
    let file = packed.sums.finish();
    if file != manifest.file {
        findings.push(format!(
            "the file has {} bytes and SHA-256 {}, the manifest {} and {}",
            file.bytes, file.sha256, manifest.file.bytes, manifest.file.sha256
        ));
    }
    if let Err(error) = unpacked {
        findings.push(format!("the file does not unpack: {error}"));
        return Ok(findings);
    }
    if content.finish() != manifest.content {
        findings.push("what is in the file is not what the manifest says".to_owned());
    }
    if rows != manifest.rows {
        findings.push(format!("the file has {rows} rows, the manifest {}", manifest.rows));
    }
    Ok(findings)
}

/// Shows the lines of a packed file, which may unpack to `most` bytes and no more.
fn unpack(packed: &mut impl Read, most: u64, see: &mut dyn FnMut(&[u8])) -> io::Result<()> {
    let mut decoder = zstd::stream::read::Decoder::new(packed)?;
    decoder.window_log_max(MAX_WINDOW)?;
    let mut lines = BufReader::new(decoder);
    let (mut line, mut seen) = (Vec::new(), 0);
    loop {
        line.clear();
        let read = (&mut lines).take(MAX_LINE).read_until(b'\n', &mut line)? as u64;
        if read == 0 {
            return Ok(());
        }
        seen += read;
        if seen > most || line.last() != Some(&b'\n') {
            return Err(io::Error::other("more than the manifest says, or a line without an end"));
        }
        see(&line);
    }
}

/// Sums up what is read.
struct Summing<R> {
    from: R,
    sums: Sums,
}

impl<R: Read> Read for Summing<R> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let read = self.from.read(bytes)?;
        self.sums.take(&bytes[..read]);
        Ok(read)
    }
}
