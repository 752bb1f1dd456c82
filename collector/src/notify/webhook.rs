//! Channel `webhook`: one POST per message to a URL, signed.
//!
//! The body is `{"seq":…,"alert":{…}}`, the alert as in the API. `X-Hengwei-Signature` is
//! `t=<Unix seconds>,v1=<hex HMAC-SHA256 of "<t>.<body>">` under the secret of `secret_file`; a
//! receiver checks it, refuses a `t` that is minutes old, and drops a `seq` it has seen. The secret is
//! read from a file, so that it is in no argument list, and is shown by no message and no Debug.
//! Redirects are not followed: alerts go where the operator said and nowhere else.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, bail};
use aws_lc_rs::hmac;
use bytes::Bytes;
use hengwei_protocol::identity;
use http_body_util::{BodyExt, Full, Limited};
use hyper::header::{CONTENT_TYPE, HOST, USER_AGENT};
use hyper::{Method, Request, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName};
use serde::Deserialize;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::{Channel, Failure, Message, Sending};
use crate::metrics::LEVELS;
use crate::time;

/// The header that carries time and signature.
pub const SIGNATURE: &str = "X-Hengwei-Signature";
/// Shortest secret.
pub const MIN_SECRET: usize = 16;

/// What is read of an answer's body before the connection is dropped.
const MAX_ANSWER: usize = 64 << 10;
/// Bundles of public roots, where Debian and Red Hat keep them.
const SYSTEM_ROOTS: &[&str] =
    &["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt"];

/// Section `[notify.webhook]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// `https://host[:port]/path`, or `http://`.
    pub url: String,
    /// File with the secret, not readable by everybody.
    pub secret_file: PathBuf,
    /// PEM file of the roots to trust in place of the system's.
    pub ca_file: Option<PathBuf>,
    /// The mildest level that is sent.
    #[serde(default = "default_min_level")]
    pub min_level: String,
}

fn default_min_level() -> String {
    "high".to_owned()
}

/// The channel, ready to send.
struct Webhook {
    uri: Uri,
    host: String,
    port: u16,
    tls: Option<(TlsConnector, ServerName<'static>)>,
    key: hmac::Key,
    min_level: String,
}

/// Makes the channel from its section.
///
/// # Errors
/// What is wrong with the section or the files it names.
pub fn build(section: toml::Table) -> anyhow::Result<Box<dyn Channel>> {
    let config: Config = super::section(section)?;
    Ok(Box::new(Webhook::new(&config)?))
}

impl Webhook {
    fn new(config: &Config) -> anyhow::Result<Webhook> {
        let (uri, host, port, secure) = target(&config.url)?;
        if !LEVELS.contains(&config.min_level.as_str()) {
            bail!("min_level `{}` is none of {}", config.min_level, LEVELS.join(", "));
        }
        let tls = match secure {
            true => {
                let name = ServerName::try_from(host.clone())
                    .with_context(|| format!("url: `{host}` is no host name"))?;
                Some((connector(config.ca_file.as_deref())?, name))
            }
            false if config.ca_file.is_some() => bail!("ca_file is given, but url is not https"),
            false => None,
        };
        let key = hmac::Key::new(hmac::HMAC_SHA256, &secret(&config.secret_file)?);
        Ok(Webhook { uri, host, port, tls, key, min_level: config.min_level.clone() })
    }

    async fn post(&self, message: &Message, seconds: i64) -> Result<(), Failure> {
        let stream = TcpStream::connect((self.host.as_str(), self.port)).await;
        let stream = stream.map_err(|error| later("connect to", &self.host, &error))?;
        match &self.tls {
            None => self.exchange(stream, message, seconds).await,
            Some((connector, name)) => {
                let stream = connector.connect(name.clone(), stream).await;
                let stream =
                    stream.map_err(|error| later("agree on TLS with", &self.host, &error))?;
                self.exchange(stream, message, seconds).await
            }
        }
    }

    async fn exchange<S>(&self, stream: S, message: &Message, seconds: i64) -> Result<(), Failure>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let request = self.request(message, seconds)?;
        let handshake = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
        let (mut sender, connection) =
            handshake.map_err(|error| later("speak HTTP with", &self.host, &error))?;
        // Dropped with this future, so that a time-out closes the connection as well.
        let mut driver = tokio::task::JoinSet::new();
        driver.spawn(connection);
        let answer = sender.send_request(request).await;
        let answer = answer.map_err(|error| later("post to", &self.host, &error))?;
        let status = answer.status();
        // Read so that the receiver does not see a reset; what it says is not needed.
        let _ = Limited::new(answer.into_body(), MAX_ANSWER).collect().await;
        judge(status)
    }

    fn request(&self, message: &Message, seconds: i64) -> Result<Request<Full<Bytes>>, Failure> {
        let ours =
            |error: &dyn std::fmt::Display| Failure::Rejected(format!("not sendable: {error}"));
        let body = serde_json::to_vec(message).map_err(|error| ours(&error))?;
        let path = self.uri.path_and_query().map_or("/", |path| path.as_str());
        let authority = self.uri.authority().map_or("", |authority| authority.as_str());
        Request::builder()
            .method(Method::POST)
            .uri(path)
            .header(HOST, authority)
            .header(CONTENT_TYPE, "application/json")
            .header(USER_AGENT, concat!("hengwei/", env!("CARGO_PKG_VERSION")))
            .header(SIGNATURE, sign(&self.key, seconds, &body))
            .body(Full::new(Bytes::from(body)))
            .map_err(|error| ours(&error))
    }
}

impl Channel for Webhook {
    fn send<'a>(&'a self, message: &'a Message) -> Sending<'a> {
        let seconds = time::now() / 1_000_000_000;
        Box::pin(self.post(message, seconds))
    }

    fn min_level(&self) -> &str {
        &self.min_level
    }
}

/// The value of [`SIGNATURE`].
fn sign(key: &hmac::Key, seconds: i64, body: &[u8]) -> String {
    let mut context = hmac::Context::with_key(key);
    context.update(format!("{seconds}.").as_bytes());
    context.update(body);
    format!("t={seconds},v1={}", identity::hex(context.sign().as_ref()))
}

/// What an answer means. Wrong credentials and wrong paths are mended by people, so they are tried
/// again; a body the receiver calls wrong stays wrong.
fn judge(status: StatusCode) -> Result<(), Failure> {
    match status.as_u16() {
        200..=299 => Ok(()),
        400 | 411 | 413 | 415 | 422 => Err(Failure::Rejected(format!("answered {status}"))),
        _ => Err(Failure::Later(format!("answered {status}"))),
    }
}

fn later(what: &str, host: &str, error: &dyn std::fmt::Display) -> Failure {
    Failure::Later(format!("failed to {what} {host}: {error}"))
}

/// URI, host, port, and whether it is https.
fn target(url: &str) -> anyhow::Result<(Uri, String, u16, bool)> {
    // The URL itself is not repeated: some receivers put a key into it.
    let uri: Uri = url.parse().context("url is no URL")?;
    let secure = match uri.scheme_str() {
        Some("https") => true,
        Some("http") => false,
        _ => bail!("url must begin with https:// or http://"),
    };
    let authority = uri.authority().context("url has no host")?;
    if authority.as_str().contains('@') {
        bail!("url must not hold a user or password: sign with secret_file");
    }
    let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
    let port = authority.port_u16().unwrap_or(if secure { 443 } else { 80 });
    Ok((uri, host, port, secure))
}

fn secret(path: &Path) -> anyhow::Result<Vec<u8>> {
    use std::os::unix::fs::PermissionsExt;
    let shown = path.display();
    let metadata = std::fs::metadata(path).with_context(|| format!("secret_file {shown}"))?;
    if metadata.permissions().mode() & 0o007 != 0 {
        bail!("secret_file {shown} is open to everybody: chmod o= {shown}");
    }
    let bytes = std::fs::read(path).with_context(|| format!("secret_file {shown}"))?;
    let secret = bytes.trim_ascii();
    if secret.len() < MIN_SECRET {
        bail!("secret_file {shown} holds fewer than {MIN_SECRET} bytes: put a longer secret there");
    }
    Ok(secret.to_vec())
}

fn connector(ca_file: Option<&Path>) -> anyhow::Result<TlsConnector> {
    let path = match ca_file {
        Some(path) => path,
        None => SYSTEM_ROOTS
            .iter()
            .map(Path::new)
            .find(|path| path.exists())
            .context("no public roots on this host: install ca-certificates or give ca_file")?,
    };
    let mut roots = rustls::RootCertStore::empty();
    let certificates = CertificateDer::pem_file_iter(path)
        .map_err(|error| anyhow::anyhow!("ca_file {}: {error}", path.display()))?;
    let (added, _) = roots.add_parsable_certificates(certificates.flatten());
    if added == 0 {
        bail!("ca_file {} holds no certificate", path.display());
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .context("TLS could not be set up")?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_signature_is_the_documented_one() {
        let key = hmac::Key::new(hmac::HMAC_SHA256, b"0123456789abcdef");
        // printf '1700000000.{"seq":1}' | openssl dgst -sha256 -hmac 0123456789abcdef
        assert_eq!(sign(&key, 1_700_000_000, br#"{"seq":1}"#), EXPECTED);
    }

    const EXPECTED: &str =
        "t=1700000000,v1=e08bda826cf051c0f1f919531cf4fec45eca56a374d4a56a26f82fcfb9101386";

    #[test]
    fn answers_are_told_apart() {
        let check = |status: u16, expected: &str| {
            let said = match judge(StatusCode::from_u16(status).unwrap()) {
                Ok(()) => "delivered",
                Err(Failure::Later(_)) => "later",
                Err(Failure::Rejected(_)) => "rejected",
            };
            assert_eq!(said, expected, "{status}");
        };
        for status in [200, 202, 204] {
            check(status, "delivered");
        }
        for status in [301, 401, 403, 404, 408, 429, 500, 503] {
            check(status, "later");
        }
        for status in [400, 413, 422] {
            check(status, "rejected");
        }
    }

    fn refused(section: &str) -> String {
        let error = build(toml::from_str(section).unwrap()).err().unwrap();
        format!("{error:#}")
    }

    #[test]
    fn wrong_sections_are_told_in_one_line() {
        let dir = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str, mode: u32| {
            use std::os::unix::fs::PermissionsExt;
            let path = dir.path().join(name);
            std::fs::write(&path, text).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            path.display().to_string()
        };
        let good = file("good", "0123456789abcdef0123\n", 0o640);
        let open = file("open", "0123456789abcdef0123\n", 0o644);
        let short = file("short", "hunter2\n", 0o600);
        let check = |url: &str, secret: &str, more: &str, expected: &str| {
            let text = format!("url = '{url}'\nsecret_file = '{secret}'\n{more}");
            let said = refused(&text);
            assert!(said.contains(expected) && !said.contains('\n'), "{text}: {said}");
            assert!(!said.contains("hunter2"), "{said}");
        };
        check("ftp://a/", &good, "", "must begin with https://");
        check("/only/a/path", &good, "", "must begin with https://");
        check("https://u:p@a/", &good, "", "must not hold a user");
        check("http://a/", &open, "", "chmod o=");
        check("http://a/", &short, "", "fewer than 16 bytes");
        check("http://a/", "/nowhere/secret", "", "secret_file /nowhere/secret");
        check("http://a/", &good, "min_level = 'bad'", "none of critical");
        check("http://a/", &good, "ca_file = '/x'", "url is not https");
        check("https://a/", &good, "ca_file = '/nowhere/ca'", "ca_file /nowhere/ca");
        check("https://a/", &good, &format!("ca_file = '{good}'"), "holds no certificate");
        check("http://a/", &good, "secret = 'x'", "unknown field `secret`");
        assert!(refused("url = 'http://a/'").contains("secret_file"));
    }
}
