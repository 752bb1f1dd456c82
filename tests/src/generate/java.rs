//! Java services: lines of many loggers, a long tail of messages that hardly anybody ever reads, and
//! traces of many lines.

use super::Stage;
use super::dice::Dice;
use super::stamp::Stamp;
use super::world::{EMR, HIS};

pub(super) const TOMCAT: &str = "/opt/his/tomcat/logs/catalina.out";
pub(super) const SERVICE: &str = "/opt/emr/logs/emr-service.log";
/// Messages the services know, the common ones first.
const MESSAGES: u64 = 900;
const PACKAGES: [&str; 10] = [
    "com.hospital.emr.document",
    "com.hospital.emr.sign",
    "com.hospital.his.order",
    "com.hospital.his.bill",
    "com.hospital.common.cache",
    "com.hospital.platform.upload",
    "org.springframework.web.servlet",
    "com.zaxxer.hikari.pool",
    "org.apache.catalina.core",
    "com.hospital.insurance.client",
];
const SUFFIXES: [&str; 8] =
    ["Service", "Controller", "Repository", "Listener", "Client", "Job", "Filter", "Mapper"];
const VERBS: [&str; 16] = [
    "loaded",
    "saved",
    "skipped",
    "retrying",
    "refreshed",
    "sent",
    "received",
    "locked",
    "released",
    "evicted",
    "resolved",
    "validated",
    "queued",
    "merged",
    "timed out",
    "rejected",
];
const NOUNS: [&str; 24] = [
    "document",
    "order",
    "cache entry",
    "session",
    "signature",
    "visit",
    "template",
    "bill",
    "token",
    "subscription",
    "batch",
    "connection",
    "lock",
    "index",
    "certificate",
    "attachment",
    "dictionary",
    "report",
    "schedule",
    "message",
    "upload",
    "indicator",
    "referral",
    "consent",
];

impl Stage {
    /// A line of a service's logger.
    pub(super) fn service(&mut self) {
        let host = self.dice.pick(&EMR);
        let message = self.dice.zipf(MESSAGES);
        let said = self.message(message);
        let level = match message % 23 {
            0..=3 => "WARN ",
            4 => "ERROR",
            5..=8 => "DEBUG",
            _ => "INFO ",
        };
        let time = self.at(0);
        let logger = logger(message);
        let thread = match message % 3 {
            0 => format!("http-nio-8080-exec-{}", 1 + self.dice.zipf(200)),
            1 => format!("scheduling-{}", 1 + self.dice.roll(8)),
            _ => format!("pool-{}-thread-{}", 1 + message % 6, 1 + self.dice.zipf(32)),
        };
        let trace = if message.is_multiple_of(2) { self.dice.hex(16) } else { String::new() };
        self.line(
            time,
            host,
            SERVICE,
            format!(
                "{} {level} [emr-service,{trace}] {} --- [{thread}] {logger} : {said}",
                Stamp::of(time).millis(),
                1 + host
            ),
        );
        if level == "ERROR" || self.dice.chance(1, 400) {
            self.trace(host, SERVICE, message);
        }
    }

    /// What message `number` says: its words are its own, its values are of now.
    fn message(&mut self, number: u64) -> String {
        let mut words = Dice::new(number ^ 0x6d65_7373);
        let mut said = String::new();
        for part in 0..words.between(1, 4) {
            if part > 0 {
                said += words.pick(&[", ", "; ", " ", " - "]);
            }
            said += words.pick(&NOUNS);
            said.push(' ');
            said += &match words.roll(12) {
                0 => self.dice.uuid(),
                1 => self.dice.patient().to_string(),
                2 => format!("[{}]", self.dice.zipf(4_000)),
                3 => format!("'{}'", self.dice.person()),
                4 => format!(
                    "{{id={}, version={}, owner={}}}",
                    self.dice.roll(1 << 24),
                    self.dice.zipf(30),
                    self.dice.person()
                ),
                5 => format!(
                    "key=emr:{}:{}",
                    words.pick(&["doc", "user", "dict", "lock"]),
                    self.dice.zipf(50_000)
                ),
                6 => self.dice.usual(&["outpatient", "icu", "surgery", "pharmacy"]).to_owned(),
                7 => format!("{}/{}", self.dice.zipf(90), 90 + words.roll(400)),
                8 => self.dice.station(),
                _ => String::new(),
            };
            if said.ends_with(' ') {
                said.pop();
            }
            said.push(' ');
            said += words.pick(&VERBS);
        }
        match words.roll(4) {
            0 => said += &format!(" in {} ms", self.dice.tailed(20)),
            1 => said += &format!(" after {}.{:03}s", self.dice.zipf(40), self.dice.roll(1000)),
            2 => {
                said += &format!(
                    " (active={}, idle={}, waiting={})",
                    self.dice.zipf(50),
                    self.dice.roll(20),
                    self.dice.zipf(9)
                )
            }
            _ => {}
        }
        said
    }

    /// Tomcat's own file, where everything else ends up.
    pub(super) fn tomcat(&mut self) {
        let (time, host) = (self.at(0), self.dice.pick(&HIS));
        let number = self.dice.zipf(120);
        let said = match number % 6 {
            0 => format!(
                "INFO [main] org.apache.catalina.startup.HostConfig.deployWAR Deployment of web application archive [/opt/his/tomcat/webapps/{}.war] has finished in [{}] ms",
                words(number),
                self.dice.tailed(9_000)
            ),
            1 => format!(
                "WARNING [ContainerBackgroundProcessor[StandardEngine[Catalina]]] org.apache.catalina.valves.StuckThreadDetectionValve.notifyStuckThreadDetected Thread [http-nio-8080-exec-{}] (id=[{}]) has been active for [{}] milliseconds (since [{}]) to serve the same request for [http://his/{}/{}.do] and may be stuck",
                self.dice.zipf(200),
                self.dice.roll(900),
                self.dice.tailed(60_000),
                Stamp::of(time).plain(),
                words(number),
                words(number + 7)
            ),
            2 => format!(
                "SEVERE [http-nio-8080-exec-{}] org.apache.catalina.core.StandardWrapperValve.invoke Servlet.service() for servlet [{}] in context with path [/his] threw exception",
                self.dice.zipf(200),
                words(number)
            ),
            3 => format!(
                "INFO [GC] [{}.{:03}s][info][gc] GC({}) Pause Young (Normal) (G1 Evacuation Pause) {}M->{}M({}M) {}.{:03}ms",
                self.now / 1_000_000_000 % 900_000,
                self.dice.roll(1000),
                self.count(host),
                900 + self.dice.roll(3_000),
                300 + self.dice.roll(600),
                4096,
                self.dice.zipf(200),
                self.dice.roll(1000)
            ),
            4 => format!(
                "INFO [http-nio-8080-exec-{}] {} <== Total: {}",
                self.dice.zipf(200),
                logger(number),
                self.dice.zipf(900)
            ),
            _ => format!(
                "FINE [catalina-utility-{}] {} {}",
                1 + number % 4,
                logger(number),
                self.message(MESSAGES + number)
            ),
        };
        self.line(time, host, TOMCAT, format!("{} {said}", Stamp::of(time).millis()));
        if number % 6 == 2 {
            self.trace(host, TOMCAT, number);
        }
    }

    /// A trace: the frames of a place are its own, so the same trouble gives the same trace.
    fn trace(&mut self, host: usize, path: &'static str, number: u64) {
        let time = self.at(1);
        let mut fixed = Dice::new(number ^ 0x7472_6163);
        let exception = fixed.pick(&[
            "java.lang.NullPointerException",
            "java.util.concurrent.TimeoutException",
            "org.springframework.dao.DataIntegrityViolationException",
            "java.net.SocketTimeoutException",
            "java.sql.SQLTransientConnectionException",
            "java.lang.IllegalStateException",
            "com.fasterxml.jackson.databind.exc.MismatchedInputException",
        ]);
        let said = self.message(number + 5_000);
        self.line(time, host, path, format!("{exception}: {said}"));
        for _ in 0..fixed.between(6, 30) {
            let (seed, line) = (fixed.roll(400), fixed.between(20, 900));
            let frame = match fixed.roll(4) {
                0 => format!(
                    "\tat java.base/java.util.{}.{}({}.java:{line})",
                    fixed.pick(&[
                        "ArrayList",
                        "HashMap",
                        "concurrent.FutureTask",
                        "stream.ReferencePipeline"
                    ]),
                    fixed.pick(&["get", "run", "forEach", "accept", "collect"]),
                    fixed.pick(&["ArrayList", "HashMap", "FutureTask", "ReferencePipeline"])
                ),
                1 => format!(
                    "\tat org.springframework.web.servlet.DispatcherServlet.{}(DispatcherServlet.java:{line})",
                    fixed.pick(&["doService", "doDispatch", "processRequest"])
                ),
                _ => format!(
                    "\tat {}.{}({}.java:{line})",
                    logger(seed),
                    words(seed),
                    words(seed + 1)
                ),
            };
            self.line(time, host, path, frame);
        }
        if fixed.chance(1, 2) {
            let (cause, peer, port) = (self.dice.word(), self.dice.station(), self.dice.port());
            self.line(
                time,
                host,
                path,
                format!("Caused by: java.io.IOException: {cause} closed by peer {peer}:{port}"),
            );
            self.line(time, host, path, format!("\t... {} more", fixed.between(8, 60)));
        }
    }
}

fn logger(number: u64) -> String {
    let mut dice = Dice::new(number.wrapping_mul(31) ^ 0x6c6f_6767);
    format!("{}.{}{}", dice.usual(&PACKAGES), capital(&dice.word()), dice.pick(&SUFFIXES))
}

fn words(number: u64) -> String {
    let mut dice = Dice::new(number ^ 0x776f_7264);
    dice.word()
}

fn capital(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map(|first| first.to_ascii_uppercase()).into_iter().chain(letters).collect()
}
