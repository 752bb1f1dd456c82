//! What an operator can ask of a collector, running or stopped: one list of commands, carried out
//! over the same services whichever way they came.

use anyhow::Context as _;
use aws_lc_rs::rand;
use hengwei_protocol::identity::{self, Token};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::accounts::{self, Role};
use crate::alerts::{self, State};
use crate::console::Views as _;
use crate::history::tree;
use crate::logql::Query;
use crate::registry::{self, NewToken};
use crate::services::Services;
use crate::{backup, cost, coverage, export, packs, search, time};

/// How long an enrolment token is good for unless said otherwise.
const TOKEN_TTL: &str = "1h";
/// Events a search shows unless said otherwise.
const SEARCH_LIMIT: usize = 100;

/// A command, as it travels to the daemon.
#[derive(Debug, Clone, Serialize, Deserialize, clap::Subcommand)]
pub enum Command {
    /// Guarded hosts: where they belong, when they were last seen; one of them in full
    Hosts {
        /// Agent id: everything about this one
        host: Option<String>,
    },
    /// Alerts: list, acknowledge, close
    #[command(subcommand)]
    Alerts(Alerts),
    /// Events that fit a query, newest first; or counts of them over time
    ///
    /// A query is bare words and `field=value`, or LogQL: `{host="x", system=~"em.*"} |= "text"`
    /// `!= "other" |~ "pattern" | source.ip = ip("10.0.0.0/8") and event.duration > 10ms`, and
    /// `sum by (host) (count_over_time({...} [5m]))`.
    Search {
        /// Query
        #[arg(required = true)]
        terms: Vec<String>,
        /// Only of this agent
        #[arg(long)]
        agent: Option<String>,
        /// Only of these kinds: asset, performance, log, security
        #[arg(long)]
        kind: Vec<String>,
        /// Happened at or after: RFC 3339, a date, or an age such as 2h
        #[arg(long)]
        since: Option<String>,
        /// Happened before
        #[arg(long)]
        until: Option<String>,
        /// Events at most
        #[arg(long, default_value_t = SEARCH_LIMIT)]
        limit: usize,
        /// Goes on after this row: its `hengwei.cursor`
        #[arg(long, value_name = "CURSOR")]
        after: Option<String>,
        /// Of counts: time between two points, such as 5m; else the range each of them counts
        #[arg(long)]
        step: Option<String>,
        /// Tells how far it has come
        #[arg(long)]
        progress: bool,
    },
    /// What arrived of each queue of each agent, and what did not
    Ledger {
        /// Only the gaps
        #[arg(long)]
        gaps: bool,
    },
    /// How the collector is
    Status,
    /// Guarded systems: who reports and who is missing
    Coverage,
    /// Agents and their certificates. On the command line these stand among those of the CA itself
    #[command(skip)]
    Pki(Pki),
    /// Accounts of the console
    #[command(subcommand)]
    User(User),
    /// API tokens of accounts
    #[command(subcommand)]
    Token(ApiToken),
    /// What rules cost. On the command line this stands among what is done with rules
    #[command(skip)]
    RuleCost {
        /// Rules at most
        limit: usize,
    },
    /// What arrives, for `rules coverage`, which judges rules by it
    #[command(skip)]
    Arrived {
        /// Since when
        since: String,
    },
    /// What is in force of rules. On the command line this stands among what needs no daemon
    #[command(skip)]
    Rules(packs::Ordered),
    /// Packed and signed events, asked for by `export`, which writes them
    #[command(skip)]
    Export(export::Asked),
    /// Everything of a backup, asked for by `backup`, which writes it
    #[command(skip)]
    Backup(backup::Asked),
    /// That a backup arrived
    #[command(skip)]
    BackupMade(backup::Made),
}

/// What is done with alerts.
#[derive(Debug, Clone, Serialize, Deserialize, clap::Subcommand)]
pub enum Alerts {
    /// Alerts, newest first
    List {
        /// Those that are closed too
        #[arg(long)]
        all: bool,
        /// The review list: matches below `high`
        #[arg(long)]
        review: bool,
        /// Alerts at most
        #[arg(long, default_value_t = SEARCH_LIMIT)]
        limit: usize,
    },
    /// Says that somebody is on it
    Ack {
        /// Alert
        id: String,
        /// Why
        #[arg(long)]
        reason: String,
    },
    /// Closes it
    Close {
        /// Alert
        id: String,
        /// true-positive, false-positive or accepted-risk
        #[arg(long = "as", value_name = "STATE", value_parser = ["true-positive", "false-positive", "accepted-risk"])]
        outcome: String,
        /// Why
        #[arg(long)]
        reason: String,
        /// When an accepted risk ends, RFC 3339
        #[arg(long)]
        expires: Option<String>,
    },
}

/// What is done with agents' identities.
#[derive(Debug, Clone, Serialize, Deserialize, clap::Subcommand)]
pub enum Pki {
    /// A token for one enrolment; printed once
    Token {
        /// Where the agent will stand
        #[arg(long)]
        site: Option<String>,
        /// The guarded system it will belong to
        #[arg(long)]
        system: Option<String>,
        /// How long it is good: 30m, 1h, 2d
        #[arg(long, default_value = TOKEN_TTL)]
        ttl: String,
        /// An agent of the registry that is to enrol again: its old certificate is revoked
        #[arg(long)]
        agent: Option<String>,
    },
    /// Ends an agent's certificates and its connection
    Revoke {
        /// Agent
        id: String,
        /// Why
        #[arg(long)]
        reason: String,
    },
    /// Agents with their certificates
    List,
}

/// What is done with accounts.
#[derive(Debug, Clone, Serialize, Deserialize, clap::Subcommand)]
pub enum User {
    /// Adds an account; prints the link with which its owner sets a password
    Add {
        /// Name
        name: String,
        /// sysadmin, secadmin, auditadmin or viewer
        #[arg(long)]
        role: String,
    },
    /// A new link for an owner who lost the password
    Invite {
        /// Name
        name: String,
    },
    /// Ends an account, its sessions and tokens
    Disable {
        /// Name
        name: String,
    },
    /// Accounts
    List,
}

/// What is done with API tokens.
#[derive(Debug, Clone, Serialize, Deserialize, clap::Subcommand)]
pub enum ApiToken {
    /// Makes a token; printed once
    Add {
        /// Account it belongs to
        user: String,
        /// Its name
        name: String,
        /// alerts, read or full
        #[arg(long, default_value = "read")]
        scope: String,
        /// Days it is good for
        #[arg(long, default_value_t = 90)]
        days: i64,
    },
    /// Ends a token
    Revoke {
        /// Account it belongs to
        user: String,
        /// Its name
        name: String,
    },
    /// Tokens, without their text
    List,
}

/// Carries a command out: shows rows until `see` or `wanted` returns false, returns the exit code.
/// `wanted` is for what runs long without having a row to show.
pub async fn execute(
    services: &Services,
    who: &str,
    command: Command,
    wanted: &(dyn Fn() -> bool + Sync),
    see: &mut (dyn FnMut(Value) -> bool + Send),
) -> anyhow::Result<i32> {
    match command {
        Command::Hosts { host: None } => rows(services.hosts(), see),
        Command::Hosts { host: Some(id) } => {
            let detail = services
                .host(&id)
                .with_context(|| format!("no agent `{id}`: `hosts` lists them"))?;
            rows([detail], see)
        }
        Command::Coverage => rows(services.coverage(), see),
        Command::Status => rows([services.status()], see),
        Command::Ledger { gaps: true } => rows(services.ledger().gaps, see),
        Command::Ledger { gaps: false } => rows(services.ledger().queues, see),
        Command::Search { terms, agent, kind, since, until, limit, after, step, progress } => {
            let now = time::now();
            let asked = search::Asked {
                query: Query::parse(&terms.join(" "))
                    .map_err(|error| anyhow::Error::msg(error.message()))?,
                since: at(since, now)?,
                until: at(until, now)?,
                kinds: kind.iter().map(|name| name.parse()).collect::<Result<_, _>>()?,
                agent,
                limit: Some(limit),
                after: after.map(|text| text.parse()).transpose().map_err(anyhow::Error::msg)?,
                step: step.map(length).transpose()?,
                progress,
            };
            let history = services.history.clone();
            tokio::task::block_in_place(|| {
                search::run(&history, &asked, now, wanted, &mut |said| see(said.into_json()))
            })?;
            Ok(0)
        }
        Command::Alerts(command) => execute_alerts(services, who, command, see).await,
        Command::Pki(command) => execute_pki(services, who, command, see).await,
        Command::User(command) => execute_user(services, who, command, see).await,
        Command::Token(command) => execute_token(services, who, command, see).await,
        Command::RuleCost { limit } => rows(cost::rows(&services.desk.rules(), limit), see),
        Command::Arrived { since } => {
            let arrived =
                tokio::task::block_in_place(|| coverage::arrived(services, &since, wanted))?;
            rows(arrived, see)
        }
        Command::Rules(packs::Ordered { order, .. }) => {
            packs::execute(services, who, order, Vec::new(), wanted, see).await
        }
        Command::Export(asked) => export::stream(services, who, asked, wanted, see).await,
        Command::Backup(_) => {
            anyhow::bail!("a backup is handed over as open files, and here are rows only")
        }
        Command::BackupMade(made) => {
            backup::give::made(services, who, &made).await?;
            Ok(0)
        }
    }
}

/// A time an operator typed.
fn at(text: Option<String>, now: i64) -> anyhow::Result<Option<i64>> {
    text.map(|text| {
        time::parse_operator(&text, now)
            .with_context(|| format!("`{text}` is no time: RFC 3339, a date, or an age such as 2h"))
    })
    .transpose()
}

/// Nanoseconds an operator typed.
fn length(text: String) -> anyhow::Result<i64> {
    time::duration(&text)
        .filter(|nanos| *nanos > 0)
        .with_context(|| format!("`{text}` is no length of time: 30s, 5m, 2h, 1d"))
}

async fn execute_alerts(
    services: &Services,
    who: &str,
    command: Alerts,
    see: &mut (dyn FnMut(Value) -> bool + Send),
) -> anyhow::Result<i32> {
    let (id, state, reason, expires) = match command {
        Alerts::List { all, review, limit } => {
            let mut left = limit;
            services.history.scan_back(tree::ALERTS, b"", &mut |_, value| {
                let Ok(alert) = serde_json::from_slice::<alerts::Alert>(value) else { return true };
                let wanted = (all || alert.state.is_open()) && alert.is_review() == review;
                if !wanted || left == 0 {
                    return left > 0;
                }
                left -= 1;
                see(json!(alert)) && left > 0
            });
            return Ok(0);
        }
        Alerts::Ack { id, reason } => (id, State::Acknowledged, reason, None),
        Alerts::Close { id, outcome, reason, expires } => {
            (id, serde_json::from_value(Value::String(outcome))?, reason, expires)
        }
    };
    let who = who.to_owned();
    let alert = services
        .desk
        .transact(move |history, now| {
            alerts::change(history, now, &who, &id, state, &reason, expires.as_deref())
        })
        .await?;
    rows([alert], see)
}

async fn execute_pki(
    services: &Services,
    who: &str,
    command: Pki,
    see: &mut (dyn FnMut(Value) -> bool + Send),
) -> anyhow::Result<i32> {
    let who = who.to_owned();
    match command {
        Pki::List => rows(registry::list(&services.history), see),
        Pki::Revoke { id, reason } => {
            let agent = id.clone();
            let ended = services
                .desk
                .transact(move |history, now| registry::revoke(history, now, &id, &who, &reason))
                .await?;
            rows([json!({ "agent": agent, "revoked": ended })], see)
        }
        Pki::Token { site, system, ttl, agent } => {
            let ttl_nanos = time::duration(&ttl)
                .filter(|ttl| *ttl > 0)
                .with_context(|| format!("--ttl: `{ttl}` is no time: 30m, 1h, 2d"))?;
            let mut secret = [0; identity::TOKEN_SECRET];
            rand::fill(&mut secret).map_err(|_| anyhow::anyhow!("no randomness to be had"))?;
            let token = Token { secret, root: services.pki.root_digest() };
            let wanted = NewToken { site, system, agent, ttl_nanos, actor: who };
            let text = services
                .desk
                .transact(move |history, now| registry::create_token(history, now, &token, wanted))
                .await?;
            rows([json!({ "token": text })], see)
        }
    }
}

async fn execute_user(
    services: &Services,
    who: &str,
    command: User,
    see: &mut (dyn FnMut(Value) -> bool + Send),
) -> anyhow::Result<i32> {
    let who = who.to_owned();
    let link = |name: String, secret: accounts::Secret| json!({ "user": name, "link": format!("{}/invite/{}", services.console_url(), secret.reveal()) });
    match command {
        User::List => {
            let users = accounts::users(&services.history).into_iter().map(|user| {
                json!({
                    "user": user.name, "role": user.role, "disabled": user.disabled,
                    "created": time::rfc3339(user.created),
                    "last_login": user.last_login.map(time::rfc3339),
                    "password": user.password.is_some(),
                })
            });
            rows(users, see)
        }
        User::Add { name, role } => {
            let role: Role = role.parse().map_err(anyhow::Error::msg)?;
            let user = name.clone();
            let secret = services
                .desk
                .transact(move |history, now| accounts::user_add(history, now, &who, &name, role))
                .await?;
            rows([link(user, secret)], see)
        }
        User::Invite { name } => {
            let user = name.clone();
            let secret = services
                .desk
                .transact(move |history, now| accounts::user_invite(history, now, &who, &name))
                .await?;
            rows([link(user, secret)], see)
        }
        User::Disable { name } => {
            let user = name.clone();
            services
                .desk
                .transact(move |history, now| accounts::user_disable(history, now, &who, &name))
                .await?;
            rows([json!({ "user": user, "disabled": true })], see)
        }
    }
}

async fn execute_token(
    services: &Services,
    who: &str,
    command: ApiToken,
    see: &mut (dyn FnMut(Value) -> bool + Send),
) -> anyhow::Result<i32> {
    let who = who.to_owned();
    match command {
        ApiToken::List => {
            let tokens = accounts::tokens(&services.history).into_iter().map(|token| {
                json!({
                    "user": token.user, "token": token.name, "scope": token.scope,
                    "created": time::rfc3339(token.created), "expires": time::rfc3339(token.expires),
                })
            });
            rows(tokens, see)
        }
        ApiToken::Add { user, name, scope, days } => {
            let scope = scope.parse().map_err(anyhow::Error::msg)?;
            let text = services
                .desk
                .transact(move |history, now| {
                    accounts::token_create(history, now, &who, &user, &name, scope, days)
                })
                .await?;
            rows([json!({ "token": text })], see)
        }
        ApiToken::Revoke { user, name } => {
            services
                .desk
                .transact(move |history, now| {
                    accounts::token_revoke(history, now, &who, &user, &name)
                })
                .await?;
            rows([json!({ "revoked": true })], see)
        }
    }
}

fn rows<T: Serialize>(
    values: impl IntoIterator<Item = T>,
    see: &mut (dyn FnMut(Value) -> bool + Send),
) -> anyhow::Result<i32> {
    for value in values {
        if !see(serde_json::to_value(value)?) {
            break;
        }
    }
    Ok(0)
}
