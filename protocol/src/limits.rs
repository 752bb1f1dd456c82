//! Every limit both ends hold to, in one place. Sizes in bytes unless the name says otherwise.

use std::time::Duration;

/// A batch's block as it travels, compressed.
pub const MAX_BLOCK_COMPRESSED: usize = 4 << 20;
/// A batch's block once unpacked.
pub const MAX_BLOCK: usize = 32 << 20;
/// One frame on the wire: a batch and its envelope.
pub const MAX_FRAME: usize = MAX_BLOCK_COMPRESSED + (64 << 10);
/// Any message but a batch: what is small when it is honest must not be made of a million parts.
pub const MAX_MESSAGE: usize = 64 << 10;
/// One frame on a connection that only enrols.
pub const MAX_ENROL_FRAME: usize = 32 << 10;
/// Records in one block.
pub const MAX_RECORDS: usize = 65_536;
/// Origins in one block.
pub const MAX_ORIGINS: usize = 4_096;
/// Fields of one typed record.
pub const MAX_FIELDS: usize = 1_024;
/// Fields of all typed records of one block.
pub const MAX_BLOCK_FIELDS: usize = 1 << 20;
/// What is kept of one line; the rest is told by its length and digest.
pub const MAX_ORIGINAL: usize = 256 << 10;
/// A name in an origin: source, path, dataset, charset.
pub const MAX_NAME: usize = 4_096;
/// The name of a typed field.
pub const MAX_FIELD_NAME: usize = 256;
/// Epochs (queues) in one Hello.
pub const MAX_QUEUES: usize = 16;
/// How long the other end may take over its first message.
pub const HELLO_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a whole enrolment may take.
pub const ENROL_TIMEOUT: Duration = Duration::from_secs(15);
/// A connection on which nothing was said for so long is dead. The agent says Hello again, with its
/// clock, well before: see [`KEEPALIVE`].
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(120);
/// How often an agent with nothing to say shows that it lives.
pub const KEEPALIVE: Duration = Duration::from_secs(20);
/// What a block costs in memory while it is unpacked, decoded and judged, in times its unpacked
/// length: short records and small fields are several times as large in memory as on the wire.
pub const UNPACKED_FACTOR: usize = 8;
/// Memory for frames being read and unpacked, over all connections of a collector.
pub const BUDGET: usize = 512 << 20;
