//! Log lines of applications nobody has described: a stamp, a level, a thread, a logger and words, in
//! whatever order and brackets the application's pattern puts them.
//!
//! ```text
//! [2026-11-22 08:00:00 123] [INFO] [main] [core] [started]
//! 2026-11-22 08:00:00,123 WARN  [org.keycloak.events] (executor-thread-1) type="LOGIN_ERROR", …
//! 2026-11-22 08:00:00.1234|ERROR|His.Web.Login|refused
//! 2026.11.22 08:00:00.123456 [ 811 ] {} <Error> TCPHandler: Code: 516
//! [2026-11-22 08:00:00] production.ERROR: no such bed
//! INFO  [main] 2026-11-22 08:00:00,123 CassandraDaemon.java:507 - started
//! 【2026年11月22日 08:00:00】【错误】数据库连接失败
//! ```
//!
//! In: a line that no decoder with a product in mind has claimed. Out: its time, `log.level`, thread,
//! logger and message. A head is read from the left, piece by piece (`application/head.rs`), and the line
//! is only claimed when a stamp and a level were among the pieces: words that merely hold a level further
//! on make no line ours. Java's own decoder comes before this one and keeps what it is certain of.
//!
//! The path, and else the logger, say which of the products known by name wrote the line. Of what it says
//! only sentences of known loggers are taken for more than text (`application/said.rs`): an application
//! logs what strangers type, and a sentence about a login may be somebody's name. Whoever can add a line
//! feed to a log can write a whole line, logger included, as in every log of lines.

mod head;
mod level;
pub(super) mod said;

use super::out::Out;
use super::{Decoder, Line, Looks, java, moment};
use crate::event::names;
use head::Head;

pub(crate) const DECODER: Decoder = Decoder {
    name: "application",
    datasets: &[
        "application",
        "keycloak",
        "kafka",
        "zookeeper",
        "nacos",
        "elasticsearch",
        "wildfly",
        "tongweb",
        "bes",
        "apusic",
        "activemq",
        "rocketmq",
        "jenkins",
        "tidb",
        "oceanbase",
        "clickhouse",
        "cassandra",
        "hadoop",
        "django",
        "rails",
        "laravel",
        "cas",
    ],
    programs: &["keycloak", "kafka", "zookeeper", "nacos", "elasticsearch", "wildfly", "jenkins"],
    paths: &[],
    looks: Looks { first: FIRST, test: looks_like },
    security: false,
    decode,
};

/// What heads begin with: digits, brackets, levels, months, and Chinese characters.
const FIRST: &[u8] = b"0123456789[(<ACDEFIJMNOPSTVWcdefintvw\xe3\xe4\xe5";
/// Products by a part of the path.
const PATHS: &[(&str, &str)] = &[
    ("keycloak", "keycloak"),
    ("kafka", "kafka"),
    ("zookeeper", "zookeeper"),
    ("nacos", "nacos"),
    ("elasticsearch", "elasticsearch"),
    ("opensearch", "elasticsearch"),
    ("wildfly", "wildfly"),
    ("jboss", "wildfly"),
    ("tongweb", "tongweb"),
    ("TongWeb", "tongweb"),
    ("/bes", "bes"),
    ("apusic", "apusic"),
    ("Apusic", "apusic"),
    ("activemq", "activemq"),
    ("rocketmq", "rocketmq"),
    ("jenkins", "jenkins"),
    ("tidb", "tidb"),
    ("tikv", "tidb"),
    ("oceanbase", "oceanbase"),
    ("observer.log", "oceanbase"),
    ("clickhouse", "clickhouse"),
    ("cassandra", "cassandra"),
    ("hadoop", "hadoop"),
    ("cloudera", "hadoop"),
    ("django", "django"),
    ("laravel", "laravel"),
    ("/cas.log", "cas"),
];
/// Products by how a logger begins.
const LOGGERS: &[(&str, &str)] = &[
    ("org.keycloak.", "keycloak"),
    ("kafka.", "kafka"),
    ("org.apache.kafka.", "kafka"),
    ("org.apache.zookeeper.", "zookeeper"),
    ("com.alibaba.nacos.", "nacos"),
    ("org.elasticsearch.", "elasticsearch"),
    ("o.e.", "elasticsearch"),
    ("org.jboss.", "wildfly"),
    ("org.wildfly.", "wildfly"),
    ("com.tongweb.", "tongweb"),
    ("com.bes.", "bes"),
    ("com.apusic.", "apusic"),
    ("org.apache.activemq.", "activemq"),
    ("org.apache.hadoop.", "hadoop"),
    ("hudson.", "jenkins"),
    ("jenkins.", "jenkins"),
    ("django", "django"),
    ("org.apereo.", "cas"),
];

/// Whether a line may be one. A stamp or a bracket is enough: reading the head will tell, once.
fn looks_like(line: &str) -> bool {
    match line.as_bytes().first() {
        Some(b'0'..=b'9') if moment::read(line).is_some() => true,
        Some(b'[' | b'(' | b'<' | 0xe3) => true,
        _ => said::is_request(line) || head::read(first_line(line)).is_some(),
    }
}

/// Reads one record.
fn decode(line: &Line<'_>, out: &mut Out) -> bool {
    let text = line.message;
    if said::is_request(text) {
        out.dataset = Some("rails").filter(|_| line.configured.is_empty());
        return said::rails(text, out).is_some();
    }
    let (first, below) = text.split_once('\n').unwrap_or((text, ""));
    let Some(head) = head::read(first) else { return false };
    if let Some(stamp) = &head.stamp {
        out.stamp(stamp);
    }
    out.word(names::LOG_LEVEL, head.level);
    out.some(names::LOG_LOGGER, head.logger);
    let product = product(line, &head);
    // Elasticsearch has the name of its node there.
    if product != Some("elasticsearch") {
        out.some(names::PROCESS_THREAD_NAME, head.thread);
    }
    if !head.pid.is_empty() && !out.has(names::PROCESS_PID) {
        out.digits(names::PROCESS_PID, head.pid);
    }
    if !out.has(names::MESSAGE) {
        let whole = if below.is_empty() { head.said } else { from(head.said, text) };
        out.some(names::MESSAGE, whole);
    }
    if head.ruby {
        said::rails(head.said, out);
    } else {
        said::read(head.logger, head.said, out);
    }
    if line.configured.is_empty() {
        out.dataset = product.or_else(|| of_program(line.program?));
    }
    if !java::trace_below(below, out)
        && matches!(head.level, "error" | "fatal" | "critical" | "severe")
    {
        out.some(names::ERROR_MESSAGE, head.said);
    }
    true
}

fn first_line(text: &str) -> &str {
    text.split('\n').next().unwrap_or(text)
}

/// A text from where a slice of it begins.
fn from<'a>(slice: &'a str, text: &'a str) -> &'a str {
    let at = slice.as_ptr().addr().wrapping_sub(text.as_ptr().addr());
    text.get(at..).unwrap_or(slice)
}

/// The product that wrote a line, when it is known by name.
fn product(line: &Line<'_>, head: &Head<'_>) -> Option<&'static str> {
    let by = |table: &'static [(&str, &'static str)], is: &dyn Fn(&str) -> bool| {
        table.iter().find(|(part, _)| is(part)).map(|(_, product)| *product)
    };
    by(LOGGERS, &|part| head.logger.starts_with(part))
        .or_else(|| by(PATHS, &|part| line.path.contains(part)))
        .or_else(|| head.ruby.then_some("rails"))
}

fn of_program(program: &str) -> Option<&'static str> {
    DECODER.datasets.iter().copied().find(|dataset| *dataset == program)
}
