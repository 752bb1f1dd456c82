//! One message on a stream: a 4-byte big-endian length, then a `Frame`.
//!
//! The length is checked and memory is taken from the budget before a byte of the message is read;
//! only a batch may be long, since what it carries is bytes until it is unpacked.

use bytes::{Bytes, BytesMut};
use prost::Message;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::budget::{Budget, Share};
use crate::limits;
use crate::scan::{self, Malformed};
use crate::wire::{Frame, frame::Body};

/// The number of a batch among the bodies of a frame.
const BATCH: u64 = 3;

/// Why no message was read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The stream broke.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// The peer announced more than is allowed.
    #[error("a message of {len} bytes, where {limit} are allowed")]
    TooLong {
        /// What was announced.
        len: usize,
        /// What is allowed.
        limit: usize,
    },
    /// The peer sent bytes that are no message.
    #[error("malformed message: {0}")]
    Malformed(String),
}

/// Reads one message, or None when the stream ended between two. The share lives as long as the
/// caller keeps the message.
pub async fn read<S: AsyncRead + Unpin>(
    stream: &mut S,
    budget: &Budget,
    limit: usize,
) -> Result<Option<(Body, Share)>, Error> {
    let mut head = [0u8; 4];
    match stream.read(&mut head).await? {
        0 => return Ok(None),
        n => stream.read_exact(&mut head[n..]).await?,
    };
    let len = u32::from_be_bytes(head) as usize;
    if len > limit {
        return Err(Error::TooLong { len, limit });
    }
    let share = budget.take(len).await;
    let mut bytes = BytesMut::zeroed(len);
    stream.read_exact(&mut bytes).await?;
    Ok(Some((decode(bytes.freeze())?, share)))
}

/// Writes one message and flushes it.
pub async fn write<S: AsyncWrite + Unpin>(stream: &mut S, body: Body) -> std::io::Result<()> {
    stream.write_all(&encode(body)).await?;
    stream.flush().await
}

/// The bytes of one message, length in front.
pub fn encode(body: Body) -> Bytes {
    let frame = Frame { body: Some(body) };
    let len = frame.encoded_len();
    let mut bytes = BytesMut::with_capacity(4 + len);
    bytes.extend_from_slice(&u32::try_from(len).expect("a frame is far below 4 GiB").to_be_bytes());
    frame.encode(&mut bytes).expect("room was reserved");
    bytes.freeze()
}

impl From<Malformed> for Error {
    fn from(_: Malformed) -> Error {
        Error::Malformed("bytes that are no message".to_owned())
    }
}

fn decode(bytes: Bytes) -> Result<Body, Error> {
    if bytes.len() > limits::MAX_MESSAGE {
        scan::fields(&bytes, |number, _| match number {
            BATCH => Ok(()),
            _ => Err(Error::TooLong { len: bytes.len(), limit: limits::MAX_MESSAGE }),
        })?;
    }
    Frame::decode(bytes)
        .map_err(|error| Error::Malformed(error.to_string()))?
        .body
        .ok_or_else(|| Error::Malformed("an empty message".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Batch, Policy, Refusal};

    fn block<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().build().expect("a runtime").block_on(future)
    }

    fn read_all(bytes: &[u8], limit: usize) -> Result<Option<Body>, Error> {
        let mut stream = bytes;
        block(read(&mut stream, &Budget::new(1 << 20), limit))
            .map(|read| read.map(|(body, _)| body))
    }

    #[test]
    fn a_message_reads_back() {
        let body = Body::Refusal(Refusal { reason: "busy".into(), text: "later".into() });
        let bytes = encode(body.clone());
        assert_eq!(read_all(&bytes, 1024).expect("reads"), Some(body));
        assert_eq!(read_all(&[], 1024).expect("reads"), None);
    }

    #[test]
    fn only_a_batch_may_be_long() {
        let long = |body: Body| {
            let bytes = encode(body);
            let mut stream = &bytes[..];
            let budget = Budget::new(limits::MAX_FRAME);
            block(read(&mut stream, &budget, limits::MAX_FRAME)).map(|read| read.is_some())
        };
        let batch = Batch { block: vec![0; limits::MAX_MESSAGE + 1].into(), ..Batch::default() };
        assert!(long(Body::Batch(batch)).expect("reads"));
        let roots = vec![Bytes::new(); limits::MAX_MESSAGE];
        let policy = Policy { roots, ..Policy::default() };
        assert!(matches!(
            long(Body::Policy(policy)),
            Err(Error::TooLong { limit: limits::MAX_MESSAGE, .. })
        ));
    }

    #[test]
    fn lengths_and_garbage_are_named() {
        assert!(matches!(
            read_all(&[0xff; 8], 1024),
            Err(Error::TooLong { len: 0xffff_ffff, limit: 1024 })
        ));
        assert!(matches!(read_all(&[0, 0, 0, 2, 0xff, 0xff], 1024), Err(Error::Malformed(_))));
        assert!(matches!(read_all(&[0, 0, 0, 0], 1024), Err(Error::Malformed(_))));
        assert!(matches!(read_all(&[0, 0, 0, 9, 1], 1024), Err(Error::Io(_))));
        assert!(matches!(read_all(&[0, 0], 1024), Err(Error::Io(_))));
    }
}
