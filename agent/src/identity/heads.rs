//! The chain heads the collector has shown this agent: what makes history that was rewritten later
//! stand out, because the proof is on every host.
//!
//! In: heads from acks. Out: `<data>/heads`, bounded: the last of each minute for an hour, of each
//! hour for a week, of each day for 180 days. The file is a magic with version and then messages
//! with their length in front; it is replaced as a whole, at most once a minute. A damaged file is
//! set aside under another name, never overwritten: it may be what somebody wants to see.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use hengwei_protocol::wire::Heads;
use prost::Message as _;

use super::files;

/// Where the heads are, below the data folder.
pub const FILE: &str = "heads";
const MAGIC: &[u8; 8] = b"HWHEADS\x01";
/// Heads of one moment, bytes: five classes and a signature are a quarter of it.
const MAX_HEADS: usize = 2_048;
/// Classes in one set of heads.
const MAX_CLASSES: usize = 16;

const MINUTE: i64 = 60 * 1_000_000_000;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;
/// How long (nanoseconds) heads of which distance (nanoseconds) are kept.
const KEPT: [(i64, i64); 3] = [(HOUR, MINUTE), (7 * DAY, HOUR), (180 * DAY, DAY)];

/// Keeps heads.
#[derive(Debug)]
pub(super) struct Keeper {
    path: PathBuf,
    kept: Vec<Heads>,
    /// The minute of the last write.
    written: i64,
}

impl Keeper {
    pub(super) fn open(dir: &Path) -> Keeper {
        let path = dir.join(FILE);
        let kept = read(dir).unwrap_or_else(|error| {
            tracing::warn!("{error:#}; it is set aside as {FILE}.damaged");
            if let Err(error) = std::fs::rename(&path, dir.join(format!("{FILE}.damaged"))) {
                tracing::warn!(%error, "could not set {} aside", path.display());
            }
            Vec::new()
        });
        Keeper { path, kept, written: i64::MIN }
    }

    /// Takes heads, and writes the file when a minute has begun.
    pub(super) fn keep(&mut self, heads: &Heads) -> anyhow::Result<()> {
        if heads.heads.len() > MAX_CLASSES || heads.encoded_len() > MAX_HEADS {
            bail!("heads of unreasonable size");
        }
        if heads.heads.is_empty() {
            return Ok(());
        }
        put(&mut self.kept, heads.clone());
        let minute = heads.time.div_euclid(MINUTE);
        if minute == self.written {
            return Ok(());
        }
        self.kept = thin(std::mem::take(&mut self.kept));
        let mut bytes = MAGIC.to_vec();
        for heads in &self.kept {
            heads.encode_length_delimited(&mut bytes).context("memory holds what is written")?;
        }
        files::write(&self.path, &bytes)?;
        self.written = minute;
        Ok(())
    }
}

/// The heads kept below `data`, oldest first; none when there is no file.
pub fn read(data: &Path) -> anyhow::Result<Vec<Heads>> {
    let path = data.join(FILE);
    let bytes = match std::fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => {
            return Err(error).with_context(|| format!("could not read {}", path.display()));
        }
    };
    let damaged = || format!("{} is damaged", path.display());
    let mut rest = bytes.strip_prefix(MAGIC).with_context(damaged)?;
    let mut heads = Vec::new();
    while !rest.is_empty() {
        heads.push(Heads::decode_length_delimited(&mut rest).with_context(damaged)?);
    }
    Ok(heads)
}

/// Puts heads in their place by time. Of one minute the last stays; a signed one is not given up
/// for one without signature.
fn put(kept: &mut Vec<Heads>, heads: Heads) {
    let minute = heads.time.div_euclid(MINUTE);
    let at = kept.partition_point(|known| known.time.div_euclid(MINUTE) < minute);
    match kept.get_mut(at) {
        Some(known) if known.time.div_euclid(MINUTE) == minute => {
            let loses_signature = heads.signature.is_empty() && !known.signature.is_empty();
            if known.time <= heads.time && !loses_signature {
                *known = heads;
            }
        }
        _ => kept.insert(at, heads),
    }
}

/// Drops what is nearer to its successor than its age allows, and what is too old.
fn thin(kept: Vec<Heads>) -> Vec<Heads> {
    let newest = kept.last().map_or(0, |heads| heads.time);
    let mut thinned: Vec<Heads> = Vec::new();
    let mut last = None;
    // Newest first: the last of each slot is the one that stays.
    for heads in kept.into_iter().rev() {
        let age = newest.saturating_sub(heads.time);
        let Some((_, distance)) = KEPT.iter().find(|(until, _)| age < *until) else { break };
        let slot = (*distance, heads.time.div_euclid(*distance));
        if last != Some(slot) {
            last = Some(slot);
            thinned.push(heads);
        }
    }
    thinned.reverse();
    thinned
}

#[cfg(test)]
mod tests {
    use super::*;
    use hengwei_protocol::wire::Head;

    fn heads(time: i64) -> Heads {
        let link = vec![7; 32].into();
        let head = Head { class: "log".into(), commit: time.unsigned_abs(), link };
        Heads { time, heads: vec![head], signature: vec![1; 64].into() }
    }

    #[test]
    fn what_is_kept_is_bounded_and_reaches_back() {
        let start = 20_000 * DAY;
        let mut kept = Vec::new();
        // A year, six hours apart, then a day by the minute.
        for step in 0..365 * 4 {
            put(&mut kept, heads(start + step * 6 * HOUR));
            kept = thin(kept);
        }
        let recent = start + 365 * DAY;
        for minute in 0..24 * 60 {
            put(&mut kept, heads(recent + minute * MINUTE));
            kept = thin(kept);
        }
        let newest = kept.last().expect("some are kept").time;
        let within = |age: i64| kept.iter().filter(|heads| newest - heads.time < age).count();
        assert_eq!(within(HOUR), 60);
        assert!((24 + 59..=24 + 61).contains(&within(DAY)), "{}", within(DAY));
        assert!(newest - kept[0].time > 178 * DAY);
        assert!(kept.len() < 60 + 7 * 24 + 181, "{}", kept.len());
        assert!(kept.is_sorted_by_key(|heads| heads.time));
    }

    #[test]
    fn a_signed_head_is_not_given_up_for_one_without() {
        let mut kept = Vec::new();
        put(&mut kept, heads(5));
        put(&mut kept, Heads { signature: Default::default(), ..heads(6) });
        assert_eq!(kept, [heads(5)]);
        put(&mut kept, heads(7));
        assert_eq!(kept, [heads(7)]);
    }

    #[test]
    fn heads_survive_a_restart_and_a_damaged_file_is_set_aside() {
        let dir = tempfile::tempdir().expect("a folder");
        Keeper::open(dir.path()).keep(&heads(DAY)).expect("keeps");
        assert_eq!(read(dir.path()).expect("reads"), [heads(DAY)]);
        Keeper::open(dir.path()).keep(&heads(DAY + HOUR)).expect("keeps");
        assert_eq!(read(dir.path()).expect("reads"), [heads(DAY), heads(DAY + HOUR)]);
        std::fs::write(dir.path().join(FILE), b"not heads").expect("writes");
        assert!(Keeper::open(dir.path()).kept.is_empty());
        assert!(dir.path().join("heads.damaged").exists());
    }
}
