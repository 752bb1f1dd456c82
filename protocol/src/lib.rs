//! What agent and collector say to each other.
//!
//! In: nothing. Out: the messages of `proto/hengwei.proto` as Rust types ([`wire`]), how one is read
//! and written within a memory budget ([`frame`], [`budget`]), how a batch's block is packed and
//! unpacked ([`block`]), what a record's identity and canonical bytes are ([`record`]), which lines of a
//! log make one record ([`lines`]), and every limit ([`limits`]). It knows neither files nor sockets
//! nor either end.

pub mod block;
pub mod budget;
pub mod frame;
pub mod gap;
pub mod identity;
pub mod kind;
pub mod limits;
pub mod lines;
pub mod record;
pub mod refusal;
mod scan;

/// The messages of `proto/hengwei.proto`, as compiled.
#[expect(missing_docs, reason = "the documentation is the schema's, which the compiler leaves out")]
pub mod wire {
    include!(concat!(env!("OUT_DIR"), "/hengwei.v1.rs"));
}

pub use kind::Kind;

/// ALPN of an agent that has a certificate.
pub const ALPN_AGENT: &[u8] = b"hengwei/1";
/// ALPN of an agent that has only a token: enrolment and nothing else.
pub const ALPN_ENROLL: &[u8] = b"hengwei-enroll/1";
