//! TLS as a test speaks it: any protocol, any certificate, any bytes. Blocking, one connection at a
//! time; what a client sees is what a test asserts.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::Context;
use hengwei_protocol::frame;
use hengwei_protocol::wire::{Frame, frame::Body};
use prost::Message;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType,
};
use rustls::client::Resumption;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};

use crate::{Collector, PATIENCE};

/// A key and the chain that belongs to it, leaf first.
#[derive(Debug)]
pub struct Credential {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

impl Credential {
    /// From a PEM file that holds both, as agents and collectors keep them.
    pub fn read(path: &Path) -> anyhow::Result<Credential> {
        let pem = std::fs::read(path).with_context(|| path.display().to_string())?;
        let chain = CertificateDer::pem_slice_iter(&pem).collect::<Result<_, _>>()?;
        Ok(Credential { chain, key: PrivateKeyDer::from_pem_slice(&pem)? })
    }

    /// The certificate itself, DER.
    pub fn certificate(&self) -> &[u8] {
        &self.chain[0]
    }
}

/// A certificate authority a test holds the key of.
#[derive(Debug)]
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    /// Itself, and those above it.
    chain: Vec<CertificateDer<'static>>,
    certificate: String,
}

impl Authority {
    /// A root of its own, of that name.
    pub fn root(name: &str) -> anyhow::Result<Authority> {
        let key = KeyPair::generate()?;
        let mut params = authority(name, SystemTime::now() + Duration::from_secs(86_400))?;
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(1));
        let own = params.self_signed(&key)?;
        Ok(Authority {
            certificate: own.pem(),
            chain: vec![own.der().clone()],
            issuer: Issuer::new(params, key),
        })
    }

    /// The CA that issues for this collector: what somebody has who stole it.
    pub fn stolen(collector: &Collector) -> anyhow::Result<Authority> {
        let file = collector.data().join("pki/issuing.pem");
        let Credential { chain, key } = Credential::read(&file)?;
        let issuer = Issuer::from_ca_cert_der(&chain[0], KeyPair::try_from(&key)?)?;
        Ok(Authority { issuer, chain, certificate: std::fs::read_to_string(file)? })
    }

    /// A CA below this one that ends at `until`.
    pub fn below(&self, name: &str, until: SystemTime) -> anyhow::Result<Authority> {
        let key = KeyPair::generate()?;
        let params = authority(name, until)?;
        let own = params.signed_by(&key, &self.issuer)?;
        Ok(Authority {
            certificate: own.pem(),
            chain: [vec![own.der().clone()], self.chain.clone()].concat(),
            issuer: Issuer::new(params, key),
        })
    }

    /// A certificate for an agent, good from `from` until `until`.
    pub fn agent(
        &self,
        id: &str,
        from: SystemTime,
        until: SystemTime,
    ) -> anyhow::Result<Credential> {
        let key = KeyPair::generate()?;
        let mut params = between(id, from, until)?;
        params.is_ca = IsCa::ExplicitNoCa;
        params.subject_alt_names = vec![SanType::URI(format!("hengwei:agent:{id}").try_into()?)];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.use_authority_key_identifier_extension = true;
        let own = params.signed_by(&key, &self.issuer)?.der().clone();
        let chain = [vec![own], self.chain.clone()].concat();
        Ok(Credential { chain, key: PrivatePkcs8KeyDer::from(key.serialize_der()).into() })
    }

    /// Its own certificate, PEM.
    pub fn certificate_pem(&self) -> &str {
        &self.certificate
    }

    /// Its key, PEM.
    pub fn key_pem(&self) -> String {
        self.issuer.key().serialize_pem()
    }
}

fn authority(name: &str, until: SystemTime) -> anyhow::Result<CertificateParams> {
    // A day ago, for what it issues begins in the past as well.
    let mut params = between(name, SystemTime::now() - Duration::from_secs(86_400), until)?;
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    Ok(params)
}

fn between(name: &str, from: SystemTime, until: SystemTime) -> anyhow::Result<CertificateParams> {
    let stamp = |time: SystemTime| -> anyhow::Result<_> {
        let seconds = time.duration_since(SystemTime::UNIX_EPOCH)?.as_secs();
        Ok(rcgen::date_time_ymd(1970, 1, 1) + Duration::from_secs(seconds))
    };
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    (params.not_before, params.not_after) = (stamp(from)?, stamp(until)?);
    Ok(params)
}

/// One TLS connection to a collector.
#[derive(Debug)]
pub struct Client(StreamOwned<ClientConnection, TcpStream>);

impl Client {
    /// Connects to `localhost:port`, trusting the collector's roots, offering `alpn` and showing
    /// `credential`. In TLS 1.3 a client is through before the server has looked at its
    /// certificate: what the server thinks of it comes with the first read.
    pub fn connect(
        collector: &Collector,
        port: u16,
        alpn: &[&[u8]],
        credential: Option<&Credential>,
    ) -> anyhow::Result<Client> {
        let mut roots = RootCertStore::empty();
        for root in CertificateDer::pem_file_iter(collector.data().join("pki/roots.pem"))? {
            roots.add(root?)?;
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots);
        let mut config = match credential {
            Some(own) => builder.with_client_auth_cert(own.chain.clone(), own.key.clone_key())?,
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
        config.resumption = Resumption::disabled();
        let tcp = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        tcp.set_read_timeout(Some(PATIENCE))?;
        tcp.set_write_timeout(Some(PATIENCE))?;
        let name = ServerName::try_from("localhost")?;
        let tls = ClientConnection::new(Arc::new(config), name)?;
        let mut stream = StreamOwned::new(tls, tcp);
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock)?;
        }
        Ok(Client(stream))
    }

    /// Where the collector sees it come from.
    pub fn address(&self) -> anyhow::Result<SocketAddr> {
        Ok(self.0.sock.local_addr()?)
    }

    /// Says a message of the protocol.
    pub fn say(&mut self, body: Body) -> io::Result<()> {
        self.write_all(&frame::encode(body))?;
        self.flush()
    }

    /// The next message of the protocol but policies; None at an orderly end.
    pub fn hear(&mut self) -> io::Result<Option<Body>> {
        loop {
            let mut head = [0; 4];
            match self.read(&mut head)? {
                0 => return Ok(None),
                n => self.read_exact(&mut head[n..])?,
            }
            let mut bytes = vec![0; u32::from_be_bytes(head) as usize];
            self.read_exact(&mut bytes)?;
            match Frame::decode(&bytes[..]).map_err(io::Error::other)?.body {
                Some(Body::Policy(_)) => {}
                body => return Ok(body),
            }
        }
    }
}

impl Read for Client {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl Write for Client {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}
