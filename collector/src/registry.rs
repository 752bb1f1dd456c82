//! The registry: which agents there are, where they belong, which certificates and tokens are good.
//!
//! In: the state of history ([`Store`]) and what is wanted. Out: a [`Decision`] (chained entries and
//! changes of small records) that the judge commits in one piece, and the answer to give once it is
//! on disk. Every function is pure: time comes in as an argument, nothing here does I/O, so each can
//! be run by `Desk::transact` over the state as of the last commit. Signing is handed in as a
//! closure, because a token must burn in the same commit that keeps the certificate it bought.
//!
//! Who an agent is comes from its certificate alone; where it belongs (site, system) from its token,
//! that is from an operator; its host name and zone are the agent's own words.

use hengwei_protocol::Kind;
use hengwei_protocol::identity::{self, Token as Secret};
use hengwei_protocol::refusal::Reason;
use hengwei_protocol::wire::HostInfo;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::event::OWN_AGENT;
use crate::history::{QueueLedger, tree};
use crate::pki::{Facts, Issued};
use crate::store::{Decision, Error, Store, entry, get, parse, put, remove};
use crate::time::DAY;

/// The longest life of a token, nanoseconds: 30 days.
const MAX_TTL_NANOS: i64 = 30 * DAY;
/// Tokens past their time are forgotten after so long, nanoseconds: 7 days.
const FORGET_TOKEN_NANOS: i64 = 7 * DAY;
/// What is kept of each text in a [`HostInfo`], bytes.
const MAX_HOST_TEXT: usize = 255;
/// Certificates of one agent that are remembered beside the new one and the one it was asked for
/// with. Older ones that a renewal ended are unknown from then on, which keeps them out as well; an
/// agent that renews all the time must not make its own record grow.
const MAX_REMEMBERED: usize = 8;
/// The longest reason of a revocation, bytes.
const MAX_REASON: usize = 1024;

/// An agent. Times are Unix nanoseconds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Agent {
    /// Its id.
    pub id: String,
    /// Where it stands.
    pub site: String,
    /// The system it belongs to.
    pub system: String,
    /// When it last enrolled; renewals do not count.
    pub enrolled: i64,
    /// Host name, as it said when it enrolled.
    pub host: String,
    /// Time zone, as it said when it enrolled.
    pub zone: String,
    /// Operating system, as it said when it enrolled.
    pub os: String,
    /// Kernel, as it said when it enrolled.
    pub kernel: String,
    /// Architecture, as it said when it enrolled.
    pub architecture: String,
    /// Serials of its certificates that are kept, oldest first.
    pub certificates: Vec<String>,
    /// Set when an operator revoked the agent.
    pub revoked: Option<Revocation>,
}

/// Why and by whom.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revocation {
    /// Unix nanoseconds.
    pub time: i64,
    /// Account, `local:<user>` or `agent:<id>`.
    pub actor: String,
    /// In words.
    pub reason: String,
}

/// A certificate of an agent. Times are Unix nanoseconds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Certificate {
    /// Hexadecimal.
    pub serial: String,
    /// Whose it is.
    pub agent: String,
    /// SHA-256 of the certificate, hexadecimal: a serial of another CA is not this certificate.
    pub fingerprint: String,
    /// SHA-256 of its public key, hexadecimal.
    pub key: String,
    /// From when on it is good.
    pub not_before: i64,
    /// Until when.
    pub not_after: i64,
    /// The chain as it was issued, leaf first, DER in hexadecimal: a retry gets the same.
    pub chain: Vec<String>,
    /// Set when it is good no longer.
    pub revoked: Option<Revocation>,
}

/// An enrolment token, without its secret. Times are Unix nanoseconds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Token {
    /// SHA-256 of the secret, hexadecimal.
    pub stored: String,
    /// The agent that may enrol again with it; None for a new one.
    pub agent: Option<String>,
    /// Where the agent will stand.
    pub site: String,
    /// The system it will belong to.
    pub system: String,
    /// When it was made.
    pub created: i64,
    /// Until when it is good.
    pub expires: i64,
    /// Set when it was used.
    pub used: Option<Use>,
}

/// What a token bought.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Use {
    /// Unix nanoseconds.
    pub time: i64,
    /// SHA-256 of the public key, hexadecimal.
    pub key: String,
    /// The agent.
    pub agent: String,
    /// The certificate.
    pub serial: String,
}

/// What an operator asks of a new token.
#[derive(Debug, Clone)]
pub struct NewToken {
    /// Required for a new agent.
    pub site: Option<String>,
    /// Required for a new agent.
    pub system: Option<String>,
    /// An agent of the registry that is to enrol again.
    pub agent: Option<String>,
    /// How long it is good, nanoseconds.
    pub ttl_nanos: i64,
    /// Who asks.
    pub actor: String,
}

/// What a certificate is, once it was granted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Granted {
    /// The agent it is for.
    pub agent: String,
    /// Leaf first, DER.
    pub chain: Vec<Vec<u8>>,
}

/// An agent with its certificates, for `pki list` and the pages.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Listed {
    /// The agent.
    pub agent: Agent,
    /// Its certificates, oldest first.
    pub certificates: Vec<Certificate>,
}

/// Makes a token; the text is what the operator copies, and is kept nowhere. `secret` is fresh
/// randomness and the root's digest.
pub fn create_token(
    store: &dyn Store,
    now: i64,
    secret: &Secret,
    wanted: NewToken,
) -> Result<(Decision, String), Error> {
    let known = match &wanted.agent {
        None => None,
        Some(id) => Some(agent(store, id).ok_or_else(|| {
            Error::Refused(format!("no agent `{id}`; without --agent the token is for a new one"))
        })?),
    };
    let place = |given: Option<String>, known: Option<&String>, flag: &str| {
        let value = given.or_else(|| known.cloned()).ok_or_else(|| {
            Error::Refused(format!("where does the new agent belong? give --{flag}"))
        })?;
        match identity::is_id(&value) {
            true => Ok(value),
            false => Err(Error::Refused(format!(
                "--{flag} `{value}`: use lower-case letters, digits, `-`, `_`, `.`, at most {} bytes",
                identity::MAX_ID
            ))),
        }
    };
    let site = place(wanted.site, known.as_ref().map(|agent| &agent.site), "site")?;
    let system = place(wanted.system, known.as_ref().map(|agent| &agent.system), "system")?;
    if !(1..=MAX_TTL_NANOS).contains(&wanted.ttl_nanos) {
        return Err(Error::Refused("--ttl must be positive and at most 30 days".to_owned()));
    }
    let token = Token {
        stored: secret.stored(),
        agent: wanted.agent,
        site,
        system,
        created: now,
        expires: now.saturating_add(wanted.ttl_nanos),
        used: None,
    };
    let mut decision = Decision::default();
    forget_tokens(store, now, &mut decision);
    let body = json!({ "token": &token.stored[..16], "agent": token.agent, "site": token.site,
        "system": token.system, "expires": token.expires });
    decision.entries.push(entry(now, &wanted.actor, "token.created", &body));
    decision.puts.push(put(tree::TOKENS, token.stored.as_str(), &token));
    Ok((decision, secret.reveal()))
}

/// Enrols: burns the token `stored` and grants a certificate for the key whose SHA-256 is `key`.
/// The same token with the same key gets the same certificate again, as long as it is good; any
/// other use of a used token is refused. `issue` signs for the agent id it is given.
pub fn enroll(
    store: &dyn Store,
    now: i64,
    stored: &str,
    key: &[u8; 32],
    host: &HostInfo,
    issue: impl FnOnce(&str) -> Result<Issued, String>,
) -> Result<(Decision, Granted), Error> {
    let refuse = |text: &str| Error::Refused(text.to_owned());
    let key = identity::hex(key);
    let mut token: Token = get(store, tree::TOKENS, stored.as_bytes())
        .ok_or_else(|| refuse("the token is unknown"))?;
    if let Some(used) = &token.used {
        let certificate = certificate(store, &used.serial)
            .filter(|known| used.key == key && known.revoked.is_none() && now < known.not_after)
            .ok_or_else(|| refuse("the token was used before"))?;
        return Ok((Decision::default(), granted(&certificate)));
    }
    if now >= token.expires {
        return Err(refuse("the token is past its time"));
    }
    let host = Host::of(host);
    let known = token.agent.as_deref().and_then(|id| agent(store, id));
    let id = match &token.agent {
        Some(id) => id.clone(),
        None => fresh_id(store, &host.name),
    };
    let actor = format!("agent:{id}");
    let mut decision = Decision::default();
    for serial in known.iter().flat_map(|agent| &agent.certificates) {
        end(store, &mut decision, serial, &revocation(now, &actor, "the agent enrolled again"));
    }
    let certificate = certificate_of(&id, &issue(&id).map_err(Error::Busy)?);
    let enrolled = Agent {
        id: id.clone(),
        site: token.site.clone(),
        system: token.system.clone(),
        enrolled: now,
        host: host.name,
        zone: host.zone,
        os: host.os,
        kernel: host.kernel,
        architecture: host.architecture,
        certificates: known
            .map(|agent| agent.certificates)
            .unwrap_or_default()
            .into_iter()
            .chain([certificate.serial.clone()])
            .collect(),
        revoked: None,
    };
    token.used = Some(Use { time: now, key, agent: id, serial: certificate.serial.clone() });
    let body = json!({ "agent": enrolled.id, "site": enrolled.site, "system": enrolled.system,
        "host": enrolled.host, "serial": certificate.serial, "token": token.stored.get(..16),
        "fingerprint": certificate.fingerprint, "again": token.agent.is_some() });
    decision.entries.push(entry(now, &actor, "agent.enrolled", &body));
    decision.puts.push(put(tree::TOKENS, token.stored.as_str(), &token));
    decision.puts.push(put(tree::CERTIFICATES, certificate.serial.as_str(), &certificate));
    decision.puts.push(put(tree::AGENTS, enrolled.id.as_str(), &enrolled));
    Ok((decision, granted(&certificate)))
}

/// Renews: grants a certificate for a new key to the agent that shows certificate `serial`. The
/// shown one stays good until its end, so that nothing is lost while the agent changes over; any
/// other is ended, so that an agent never has more than two. The same key gets the same again.
pub fn renew(
    store: &dyn Store,
    now: i64,
    serial: &str,
    key: &[u8; 32],
    issue: impl FnOnce(&str) -> Result<Issued, String>,
) -> Result<(Decision, Granted), Error> {
    let refuse = |text: &str| Error::Refused(text.to_owned());
    let shown = certificate(store, serial)
        .filter(|shown| shown.revoked.is_none() && now < shown.not_after)
        .ok_or_else(|| refuse("the certificate shown is good no longer"))?;
    let mut agent = agent(store, &shown.agent)
        .filter(|agent| agent.revoked.is_none())
        .ok_or_else(|| refuse("the agent was revoked"))?;
    let key = identity::hex(key);
    if shown.key == key {
        return Err(refuse("a renewal needs a new key"));
    }
    let actor = format!("agent:{}", agent.id);
    let mut decision = Decision::default();
    let mut kept = Vec::new();
    for other in &agent.certificates {
        let Some(known) = certificate(store, other) else { continue };
        if known.revoked.is_none() && now < known.not_after && known.key == key {
            return Ok((Decision::default(), granted(&known)));
        }
        if now >= known.not_after {
            // Its end refuses it from here on; what it was stands in the chain.
            decision.puts.push(remove(tree::CERTIFICATES, other.as_str()));
            continue;
        }
        if *other != shown.serial {
            end(store, &mut decision, other, &revocation(now, &actor, "superseded by a renewal"));
        }
        kept.push(other.clone());
    }
    let certificate = certificate_of(&agent.id, &issue(&agent.id).map_err(Error::Busy)?);
    // The one shown is among them, and stays.
    let mut beyond = kept.len().saturating_sub(MAX_REMEMBERED + 1);
    kept.retain(|serial| {
        let forgotten = beyond > 0 && *serial != shown.serial;
        if forgotten {
            beyond -= 1;
            decision.puts.push(remove(tree::CERTIFICATES, serial.as_bytes()));
        }
        !forgotten
    });
    kept.push(certificate.serial.clone());
    agent.certificates = kept;
    let body = json!({ "agent": agent.id, "serial": certificate.serial, "before": shown.serial,
        "fingerprint": certificate.fingerprint });
    decision.entries.push(entry(now, &actor, "agent.renewed", &body));
    decision.puts.push(put(tree::CERTIFICATES, certificate.serial.as_str(), &certificate));
    decision.puts.push(put(tree::AGENTS, agent.id.as_str(), &agent));
    Ok((decision, granted(&certificate)))
}

/// Revokes an agent with all its certificates; how many of those were good until now.
pub fn revoke(
    store: &dyn Store,
    now: i64,
    id: &str,
    actor: &str,
    reason: &str,
) -> Result<(Decision, usize), Error> {
    let mut agent = agent(store, id)
        .ok_or_else(|| Error::Refused(format!("no agent `{id}`; `pki list` shows them")))?;
    if reason.trim().is_empty() || reason.len() > MAX_REASON {
        return Err(Error::Refused(format!("give a reason, at most {MAX_REASON} bytes: --reason")));
    }
    let revocation = revocation(now, actor, reason);
    let mut decision = Decision::default();
    let mut ended = 0;
    for serial in &agent.certificates {
        ended += usize::from(end(store, &mut decision, serial, &revocation));
    }
    agent.revoked = Some(revocation);
    let body = json!({ "agent": id, "reason": reason, "certificates": agent.certificates });
    decision.entries.push(entry(now, actor, "agent.revoked", &body));
    decision.puts.push(put(tree::AGENTS, id, &agent));
    Ok((decision, ended))
}

/// Whether the owner of a verified certificate may come in, or stay: its agent, or the reason and
/// the text for the log. Two lookups.
pub fn admit(store: &dyn Store, facts: &Facts) -> Result<Agent, (Reason, String)> {
    let unknown = |text: &str| Err((Reason::UnknownAgent, text.to_owned()));
    let Some(known) = certificate(store, &facts.serial) else {
        return unknown("the registry knows no certificate of this serial; enrol the agent again");
    };
    if known.fingerprint != facts.fingerprint {
        return unknown("another CA issued this certificate under a serial of ours");
    }
    if facts.agent.as_deref() != Some(known.agent.as_str()) {
        return unknown("the certificate names another agent than it was issued to");
    }
    let Some(agent) = agent(store, &known.agent) else {
        return unknown("the registry knows no such agent");
    };
    match known.revoked.as_ref().or(agent.revoked.as_ref()) {
        Some(why) => Err((Reason::Revoked, format!("by {}: {}", why.actor, why.reason))),
        None => Ok(agent),
    }
}

/// The agent of that id.
pub fn agent(store: &dyn Store, id: &str) -> Option<Agent> {
    get(store, tree::AGENTS, id.as_bytes())
}

/// Every agent, by id.
pub fn agents(store: &dyn Store) -> Vec<Agent> {
    let mut agents = Vec::new();
    store.scan(tree::AGENTS, b"", &mut |_, value| {
        agents.extend(parse::<Agent>(tree::AGENTS, value));
        true
    });
    agents
}

/// Every agent with its certificates, by id.
pub fn list(store: &dyn Store) -> Vec<Listed> {
    agents(store)
        .into_iter()
        .map(|agent| Listed {
            certificates: agent
                .certificates
                .iter()
                .filter_map(|serial| certificate(store, serial))
                .collect(),
            agent,
        })
        .collect()
}

/// The epochs of a queue that history knows.
pub fn epochs(store: &dyn Store, agent: &str, kind: Kind) -> Vec<([u8; 16], QueueLedger)> {
    let prefix = format!("{agent}\0{kind}\0");
    let mut epochs = Vec::new();
    store.scan(tree::LEDGER, prefix.as_bytes(), &mut |key, value| {
        let epoch = key
            .get(prefix.len()..)
            .and_then(|hex| identity::unhex(std::str::from_utf8(hex).ok()?)?.try_into().ok());
        epochs.extend(epoch.zip(parse(tree::LEDGER, value)));
        true
    });
    epochs
}

/// What an agent says of its host, cut and cleaned: it goes to pages, logs and file names.
struct Host {
    name: String,
    zone: String,
    os: String,
    kernel: String,
    architecture: String,
}

impl Host {
    fn of(info: &HostInfo) -> Host {
        Host {
            name: clean(&info.hostname),
            zone: clean(&info.timezone),
            os: clean(&info.os),
            kernel: clean(&info.kernel),
            architecture: clean(&info.architecture),
        }
    }
}

/// Text of an agent without control characters, of bounded length.
pub fn clean(text: &str) -> String {
    let mut clean: String = text.chars().filter(|c| !c.is_control()).collect();
    let mut end = clean.len().min(MAX_HOST_TEXT);
    while !clean.is_char_boundary(end) {
        end -= 1;
    }
    clean.truncate(end);
    clean
}

/// An id made from a host name that no agent has yet.
fn fresh_id(store: &dyn Store, host: &str) -> String {
    let plain: String = host
        .chars()
        .map(|c| c.to_ascii_lowercase())
        .map(|c| if matches!(c, 'a'..='z' | '0'..='9' | '-' | '_' | '.') { c } else { '-' })
        .collect();
    // Room for a number behind it.
    let plain = plain.trim_start_matches(['-', '_', '.']);
    let plain = plain[..plain.len().min(identity::MAX_ID - 12)].trim_end_matches(['-', '_', '.']);
    let base = if identity::is_id(plain) { plain } else { "host" };
    let taken = |id: &str| id == OWN_AGENT || store.get(tree::AGENTS, id.as_bytes()).is_some();
    std::iter::once(base.to_owned())
        .chain((2u64..).map(|n| format!("{base}-{n}")))
        .find(|id| !taken(id))
        .expect("agents are fewer than numbers")
}

/// Ends a certificate; whether it was good until now.
fn end(store: &dyn Store, decision: &mut Decision, serial: &str, why: &Revocation) -> bool {
    let Some(mut known) = certificate(store, serial).filter(|known| known.revoked.is_none()) else {
        return false;
    };
    known.revoked = Some(why.clone());
    decision.puts.push(put(tree::CERTIFICATES, serial, &known));
    true
}

fn forget_tokens(store: &dyn Store, now: i64, decision: &mut Decision) {
    store.scan(tree::TOKENS, b"", &mut |key, value| {
        let old = parse::<Token>(tree::TOKENS, value)
            .is_some_and(|token| token.expires.saturating_add(FORGET_TOKEN_NANOS) < now);
        if old {
            decision.puts.push(remove(tree::TOKENS, key));
        }
        true
    });
}

fn certificate(store: &dyn Store, serial: &str) -> Option<Certificate> {
    get(store, tree::CERTIFICATES, serial.as_bytes())
}

fn certificate_of(agent: &str, issued: &Issued) -> Certificate {
    Certificate {
        serial: issued.facts.serial.clone(),
        agent: agent.to_owned(),
        fingerprint: issued.facts.fingerprint.clone(),
        key: identity::hex(&issued.facts.key),
        not_before: issued.facts.not_before,
        not_after: issued.facts.not_after,
        chain: issued.chain.iter().map(|der| identity::hex(der)).collect(),
        revoked: None,
    }
}

fn granted(certificate: &Certificate) -> Granted {
    Granted {
        agent: certificate.agent.clone(),
        chain: certificate.chain.iter().filter_map(|hex| identity::unhex(hex)).collect(),
    }
}

fn revocation(now: i64, actor: &str, reason: &str) -> Revocation {
    Revocation { time: now, actor: actor.to_owned(), reason: reason.to_owned() }
}

#[cfg(test)]
mod tests;
