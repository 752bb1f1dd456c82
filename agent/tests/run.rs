//! The agent as a whole, with a collector that is not there: it starts, answers its operator, and
//! stops in order and in time.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hengwei_agent::config::Config;
use hengwei_agent::ship::Session;
use hengwei_agent::status::{self, Line};
use hengwei_protocol::wire::{Heads, Policy};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

struct Nobody;

impl Session for Nobody {
    fn connector(&self) -> (tokio_rustls::TlsConnector, String) {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("the provider has TLS 1.3")
            .with_root_certificates(rustls::RootCertStore::empty())
            .with_no_client_auth();
        (Arc::new(config).into(), "emr-1".to_owned())
    }

    fn renewal(&self, _now: i64) -> Option<Bytes> {
        None
    }

    fn renewed(&self, _chain: Vec<Bytes>) -> anyhow::Result<()> {
        Ok(())
    }

    fn policy(&self, _policy: &Policy) -> anyhow::Result<()> {
        Ok(())
    }

    fn heads(&self, _heads: &Heads) {}
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_starts_answers_and_stops_in_order() {
    let dir = TempDir::new().expect("a folder");
    let at = dir.path().display();
    // A port that was free a moment ago: nobody answers there.
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| listener.local_addr())
        .expect("a port")
        .port();
    let text = format!(
        "data = '{at}/data'\nsocket = '{at}/run/agent.sock'\nroot = '{at}/root'\n\
         collectors = ['localhost:{port}']"
    );
    let config = Config::parse(&text, "test", hengwei_agent::sources::SOURCES).expect("is fine");
    let (socket, spool) = (config.socket.clone(), config.spool_dir());
    let stop = CancellationToken::new();
    let run = tokio::spawn(hengwei_agent::run(config, Arc::new(Nobody), stop.clone()));
    let lines = loop {
        let path = socket.clone();
        let asked = tokio::task::spawn_blocking(move || status::ask(&path)).await.expect("joins");
        let has_tried =
            |line: &Line| matches!(line, Line::Connection(status) if !status.problems.is_empty());
        match asked {
            Ok(lines) if lines.iter().any(has_tried) => break lines,
            _ => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    };
    assert!(matches!(&lines[0], Line::Agent { id, .. } if id == "emr-1"), "{lines:?}");
    assert_eq!(lines.iter().filter(|line| matches!(line, Line::Queue(_))).count(), 4);
    stop.cancel();
    let ended = tokio::time::timeout(Duration::from_secs(20), run).await;
    ended.expect("in time").expect("joins").expect("an orderly stop");
    assert!(!socket.exists());
    // Nothing holds the spool any more.
    hengwei_agent::spool::Spool::open(&spool, &Default::default()).expect("opens again");
}
