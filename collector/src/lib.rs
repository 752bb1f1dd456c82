//! The collector: receive, understand, remember, judge, tell.
//!
//! ```text
//! inputs ─▶ decode ─▶ detect ─▶ commit ─▶ ack
//!  agents    Event      rules      history   ├─▶ feed ─▶ console, channels
//!            (mTLS)                          └─▶ metrics
//! ```
//!
//! An input takes a batch from an agent ([`inputs`]), decodes it ([`decode`]) and hands it to the
//! [`judge`], the one writer. The judge matches it against the rules ([`detect`]), joins what they
//! found into [`alerts`], and writes batch, alerts and ledger in one commit ([`history`]). Only when
//! that is on disk does the agent hear its acknowledgement and the feed tell. Everything that answers
//! a question - console, API, commands, metrics - reads what was committed and changes it only by a
//! transaction of the judge.
//!
//! [`run`] builds every stage and hands it what it needs; nothing is found through a global.

pub mod accounts;
pub mod alerts;
pub mod backtest;
pub mod backup;
pub mod cli;
pub mod commands;
pub mod config;
pub mod console;
pub mod control;
pub mod cost;
pub mod coverage;
pub mod decode;
pub mod detect;
pub mod eval;
pub mod event;
pub mod export;
pub mod history;
pub mod hosts;
pub mod inputs;
pub mod judge;
pub mod logql;
pub mod metrics;
pub mod notify;
pub mod own;
pub mod packs;
pub mod patrol;
pub mod pki;
pub mod placed;
pub mod registry;
pub mod replay;
pub mod retention;
pub mod search;
pub mod serve;
pub mod services;
pub mod statement;
pub mod store;
pub mod systems;
pub mod table;
pub mod time;
pub mod watch;

mod run;

pub use run::run;

/// Exit code: a failed verify, rule test or lint.
pub const EXIT_FINDING: i32 = 1;
/// Exit code: the operator can mend it: usage, configuration, permission.
pub const EXIT_OPERATOR: i32 = 2;
/// Exit code: our bug, or a disk that can't be trusted.
pub const EXIT_BUG: i32 = 3;
