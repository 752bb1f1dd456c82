//! Placeholder.
use super::tokens;
use bytes::Bytes;
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Effort {
    Seal,
    Merge,
}
pub(super) struct Packed {
    pub(super) bytes: Vec<u8>,
    pub(super) tokens: Vec<u64>,
}
#[derive(Debug, Clone, Copy)]
pub(super) enum Needle<'a> {
    Word(&'a [u8]),
    Text(&'a [u8]),
}
#[derive(Debug)]
pub(super) struct Column(Vec<Bytes>);
#[derive(Debug, thiserror::Error)]
#[error("damaged text column")]
pub(super) struct Damaged;
pub(super) fn pack(values: &[&[u8]], _effort: Effort) -> Packed {
    let mut raw = Vec::new();
    let mut set = std::collections::HashSet::new();
    for v in values {
        raw.extend_from_slice(&(v.len() as u32).to_le_bytes());
        raw.extend_from_slice(v);
        tokens::each(v, &mut |t| {
            set.insert(tokens::hash(t));
        });
    }
    let mut out = (raw.len() as u32).to_le_bytes().to_vec();
    out.extend(zstd::bulk::compress(&raw, 3).unwrap_or_default());
    Packed { bytes: out, tokens: set.into_iter().collect() }
}
impl Column {
    pub(super) fn open(bytes: Bytes) -> Result<Column, Damaged> {
        let n = u32::from_le_bytes(bytes.get(..4).ok_or(Damaged)?.try_into().map_err(|_| Damaged)?);
        if n > 1 << 28 {
            return Err(Damaged);
        }
        let raw: Bytes =
            zstd::bulk::decompress(&bytes[4..], n as usize).map_err(|_| Damaged)?.into();
        let mut at = 0;
        let mut all = Vec::new();
        while at < raw.len() {
            let l = u32::from_le_bytes(
                raw.get(at..at + 4).ok_or(Damaged)?.try_into().map_err(|_| Damaged)?,
            ) as usize;
            if at + 4 + l > raw.len() {
                return Err(Damaged);
            }
            all.push(raw.slice(at + 4..at + 4 + l));
            at += 4 + l;
        }
        Ok(Column(all))
    }
    pub(super) fn each(&self, see: &mut dyn FnMut(usize, &[u8])) -> Result<(), Damaged> {
        self.0.iter().enumerate().for_each(|(i, b)| see(i, b));
        Ok(())
    }
    pub(super) fn rows(
        &self,
        wanted: &[u32],
        see: &mut dyn FnMut(usize, &[u8]),
    ) -> Result<(), Damaged> {
        for w in wanted {
            see(*w as usize, self.0.get(*w as usize).ok_or(Damaged)?);
        }
        Ok(())
    }
    pub(super) fn candidates(&self, needles: &[Needle<'_>]) -> Result<Vec<u32>, Damaged> {
        Ok((0..self.0.len() as u32)
            .filter(|r| {
                needles.iter().all(|n| match n {
                    Needle::Word(w) => tokens::holds_word(&self.0[*r as usize], w),
                    Needle::Text(t) => memchr::memmem::find(&self.0[*r as usize], t).is_some(),
                })
            })
            .collect())
    }
}
