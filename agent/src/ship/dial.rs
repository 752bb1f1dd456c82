//! TCP and TLS to a collector: what is between an address in the configuration and a stream.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use rustls_pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use super::{Dial, Session};

/// How long the kernel waits for an answer to what was sent before it gives the connection up; also
/// what ends an idle one whose other end vanished, as Hello is said again on it.
const SILENCE: Duration = Duration::from_secs(60);

/// Dials with the agent's own certificate.
pub struct Tls {
    session: Arc<dyn Session>,
}

impl Tls {
    /// Dials as `session`; a renewed certificate is used from the next connection on.
    pub fn new(session: Arc<dyn Session>) -> Tls {
        Tls { session }
    }
}

impl Dial for Tls {
    type Stream = TlsStream<TcpStream>;

    async fn dial(&self, address: &str) -> anyhow::Result<Self::Stream> {
        let (host, _) = address.rsplit_once(':').context("the address has no port")?;
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let name = ServerName::try_from(host).context("the address is no host name")?;
        let tcp = TcpStream::connect(address).await.context("no connection")?;
        // Acknowledgements are small and waited for.
        tcp.set_nodelay(true)?;
        let millis = u32::try_from(SILENCE.as_millis()).unwrap_or(u32::MAX);
        rustix::net::sockopt::set_tcp_user_timeout(&tcp, millis)?;
        let (connector, _) = self.session.connector();
        connector.connect(name, tcp).await.context("TLS failed")
    }
}
