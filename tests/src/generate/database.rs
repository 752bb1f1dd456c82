//! PostgreSQL with its statements and durations, and Redis.

use super::Stage;
use super::stamp::Stamp;
use super::world::{CACHE, DATABASES, EMR, HIS, HOSTS, WARDS};

pub(super) const POSTGRES: &str = "/var/log/postgresql/postgresql-15-main.log";
pub(super) const REDIS: &str = "/var/log/redis/redis-server.log";

impl Stage {
    fn statement(&mut self) -> String {
        let (patient, doctor) = (self.dice.patient(), self.dice.zipf(2_600));
        let (number, ward) = (self.dice.roll(1 << 28), self.dice.usual(&WARDS));
        let time = Stamp::of(self.now).plain();
        match self.dice.zipf(26) {
            0 => format!(
                "SELECT v.id, v.visit_no, v.state, d.name FROM visit v JOIN department d ON d.id = v.dept_id WHERE v.patient_id = {patient} AND v.state <> 'closed' ORDER BY v.created_at DESC LIMIT {}",
                10 + number % 3 * 20
            ),
            1 => format!(
                "UPDATE visit SET state = '{}', updated_at = '{time}', updated_by = {doctor} WHERE id = {number}",
                self.dice.usual(&["waiting", "called", "seen", "paid", "closed"])
            ),
            2 => format!(
                "INSERT INTO order_item (order_id, drug_code, qty, unit, dose, ward) VALUES ({number}, 'X{:06}', {}, '{}', '{}.{} mg', '{ward}')",
                self.dice.zipf(9_000),
                1 + number % 12,
                self.dice.usual(&["box", "bottle", "piece"]),
                number % 500,
                number % 10
            ),
            3 => format!(
                "SELECT count(*) FROM queue_ticket WHERE ward = '{ward}' AND called_at IS NULL"
            ),
            4 => "COMMIT".to_owned(),
            5 => format!(
                "SELECT * FROM lab_result WHERE specimen_no IN ('{}', '{}', '{}') AND verified",
                260_000_000 + number % 900_000,
                260_000_000 + number % 900_001,
                260_000_000 + number % 900_007
            ),
            6 => format!(
                "SELECT d.code, sum(i.qty) AS total FROM order_item i JOIN drug d ON d.code = i.drug_code JOIN orders o ON o.id = i.order_id WHERE o.doctor_id = {doctor} AND o.created_at >= '{time}' GROUP BY d.code"
            ),
            7 => format!(
                "UPDATE drug_stock SET qty = qty - {} WHERE drug_code = 'X{:06}' AND batch_no = '{}' AND qty >= {}",
                1 + number % 9,
                self.dice.zipf(9_000),
                self.dice.hex(8),
                1 + number % 9
            ),
            8 => format!(
                "INSERT INTO audit_trail (at, actor, object, object_id, action, detail) VALUES ('{time}', '{}', 'emr.document', '{}', '{}', '{{\"ward\": \"{ward}\", \"rev\": {}}}')",
                self.dice.person(),
                self.dice.uuid(),
                self.dice.usual(&["open", "save", "print", "sign"]),
                number % 40
            ),
            9 => format!(
                "SELECT name, id_no_masked, phone_masked FROM patient WHERE card_no = '{:08x}'",
                number
            ),
            10 => "BEGIN".to_owned(),
            11 => format!("DELETE FROM session WHERE expires_at < '{time}'"),
            12 => format!("SELECT pg_advisory_xact_lock({number})"),
            13 => format!(
                "INSERT INTO bill (visit_id, total, insured, self_paid, serial) VALUES ({number}, {}.{:02}, {}.{:02}, {}.{:02}, '{}')",
                number % 3000,
                number % 100,
                number % 2000,
                number % 97,
                number % 900,
                number % 89,
                self.dice.hex(12)
            ),
            14 => format!(
                "WITH latest AS (SELECT DISTINCT ON (patient_id) * FROM vital_sign WHERE ward = '{ward}' ORDER BY patient_id, taken_at DESC) SELECT patient_id, pulse, spo2, systolic, diastolic FROM latest WHERE spo2 < {}",
                85 + number % 10
            ),
            15 => format!(
                "UPDATE bed SET patient_id = {patient} WHERE ward = '{ward}' AND no = {}",
                number % 60
            ),
            16 => format!(
                "SELECT id FROM referral WHERE target_org = {} AND state = 'submitted' FOR UPDATE SKIP LOCKED LIMIT 20",
                131_100 + self.dice.zipf(132)
            ),
            17 => "COPY upload_queue (org, kind, body_id, created_at) FROM STDIN".to_owned(),
            18 => format!(
                "SELECT body FROM emr_document WHERE id = '{}' AND version = {}",
                self.dice.uuid(),
                number % 12
            ),
            19 => format!("CALL refresh_indicator({}, '{}')", number % 61 + 1, &time[..10]),
            20 => format!(
                "SELECT patient_id, similarity(name, '{}') AS s FROM patient WHERE name % '{}' ORDER BY s DESC LIMIT 20",
                self.dice.word(),
                self.dice.word()
            ),
            21 => format!("ANALYZE part_{}", number % 60),
            22 => format!(
                "INSERT INTO sms_outbox (phone_hash, template, args) VALUES ('{}{}', {}, ARRAY['{}','{ward}'])",
                self.dice.hex(16),
                self.dice.hex(16),
                number % 40,
                self.dice.person()
            ),
            23 => format!(
                "SELECT * FROM v_{}_{} WHERE {} = {number}",
                self.dice.word(),
                self.dice.word(),
                self.dice.word()
            ),
            24 => format!(
                "EXPLAIN SELECT 1 FROM imaging_study WHERE study_uid = '{}'",
                self.dice.uid()
            ),
            _ => format!("SET application_name = '{}'", self.dice.word()),
        }
    }

    /// A client of a database: statements, and how long they took.
    pub(super) fn statements(&mut self) {
        let at = self.dice.index(DATABASES.len());
        let host = DATABASES[at];
        let (database, user) = [("his", "his_app"), ("emr", "emr_app")][at];
        let client = HOSTS[[HIS, EMR][at][self.dice.index(2)]].1;
        let pid = 9_000 + self.dice.zipf(180);
        let port = 40_000 + pid * 7 % 20_000;
        for step in 0..=self.dice.zipf(8) {
            let time = self.at(i64::try_from(step * 12).unwrap_or(0));
            let micros = self.dice.tailed(900);
            let took = format!("{}.{:03}", micros / 1000, micros % 1000);
            let said = self.statement();
            let said = match self.dice.roll(3) {
                0 => {
                    format!("LOG:  duration: {took} ms  execute S_{}: {said}", self.dice.zipf(300))
                }
                1 => format!("LOG:  duration: {took} ms  statement: {said}"),
                _ => format!("LOG:  duration: {took} ms  execute <unnamed>: {said}"),
            };
            self.postgres(time, host, pid, &format!("{user}@{database} {client}({port})"), &said);
        }
    }

    fn postgres(&mut self, time: i64, host: usize, pid: u64, who: &str, said: &str) {
        let line = self.count(host);
        self.line(
            time,
            host,
            POSTGRES,
            format!("{} CST [{pid}] {who} {line} {said}", Stamp::of(time).millis()),
        );
    }

    /// What the server says unasked: errors with their statement, checkpoints, vacuums, logins.
    pub(super) fn database(&mut self) {
        let (time, host) = (self.at(0), self.dice.pick(&DATABASES));
        let (pid, number) = (9_000 + self.dice.zipf(180), self.dice.roll(1 << 26));
        let word = self.dice.word();
        let table = self.dice.usual(&["visit", "bill", "order_item", "queue_ticket"]);
        let who = "his_app@his 10.20.2.21(41234)";
        let none = "@ ";
        match self.dice.zipf(16) {
            0 => self.postgres(time, host, 812, none, &format!("LOG:  checkpoint complete: wrote {} buffers ({}.{}%); 0 WAL file(s) added, {} removed, {} recycled; write={}.{:03} s, sync=0.{:03} s, total={}.{:03} s; sync files={}, longest=0.0{:02} s, average=0.001 s; distance={} kB, estimate={} kB", number % 90_000, number % 30, number % 10, number % 3, number % 20, number % 270, number % 1000, number % 900, number % 270, number % 997, number % 300, number % 99, number % 400_000, number % 500_000)),
            1 => self.postgres(time, host, pid, none, &format!("LOG:  connection received: host={} port={}", HOSTS[HIS[0]].1, number % 60_000)),
            2 => self.postgres(time, host, pid, who, "LOG:  connection authorized: user=his_app database=his SSL enabled (protocol=TLSv1.3, cipher=TLS_AES_256_GCM_SHA384, bits=256)"),
            3 => self.postgres(time, host, pid, who, &format!("LOG:  disconnection: session time: {}:{:02}:{:02}.{:03} user=his_app database=his host=10.20.2.21 port={}", number % 9, number % 60, number % 59, number % 1000, number % 60_000)),
            4 => {
                self.postgres(time, host, pid, who, &format!("ERROR:  duplicate key value violates unique constraint \"{table}_pkey\""));
                self.postgres(time, host, pid, who, &format!("DETAIL:  Key (id)=({number}) already exists."));
                let said = self.statement();
                self.postgres(time, host, pid, who, &format!("STATEMENT:  {said}"));
            }
            5 => self.postgres(time, host, 812, none, "LOG:  checkpoint starting: time"),
            6 => {
                self.postgres(time, host, pid, who, "ERROR:  deadlock detected");
                self.postgres(time, host, pid, who, &format!("DETAIL:  Process {pid} waits for ShareLock on transaction {number}; blocked by process {}.", pid + 3));
            }
            7 => {
                self.postgres(time, host, pid, who, &format!("ERROR:  relation \"{word}\" does not exist at character {}", number % 300));
                let said = self.statement();
                self.postgres(time, host, pid, who, &format!("STATEMENT:  {said}"));
            }
            8 => self.postgres(time, host, pid, none, &format!("LOG:  automatic vacuum of table \"his.public.part_{}\": index scans: {}", number % 60, number % 3)),
            9 => self.postgres(time, host, pid, who, &format!("LOG:  temporary file: path \"base/pgsql_tmp/pgsql_tmp{pid}.{}\", size {}", number % 90, number * 8)),
            10 => self.postgres(time, host, pid, "[unknown]@[unknown] ", &format!("FATAL:  password authentication failed for user \"{word}\"")),
            11 => self.postgres(time, host, pid, who, "WARNING:  there is already a transaction in progress"),
            12 => self.postgres(time, host, pid, who, &format!("LOG:  process {pid} still waiting for ExclusiveLock on tuple ({},{}) of relation {} of database 16401 after 1000.{:03} ms", number % 60_000, number % 90, 16_000 + number % 900, number % 1000)),
            13 => self.postgres(time, host, pid, who, "FATAL:  terminating connection due to idle-in-transaction timeout"),
            14 => self.postgres(time, host, pid, "ops@postgres [local]", &format!("LOG:  AUDIT: SESSION,{},1,ROLE,GRANT,,,GRANT SELECT ON {word} TO report_{},<none>", number % 900, number % 7)),
            _ => self.postgres(time, host, pid, none, &format!("PANIC:  could not read block {} in file \"base/16401/{}\": read only {} of 8192 bytes", number % 90_000, number, number % 8192)),
        }
    }

    /// Redis keeps its snapshots.
    pub(super) fn redis(&mut self) {
        let number = self.dice.roll(1 << 20);
        let child = 20_000 + self.count(CACHE) % 40_000;
        let said: Vec<(i64, String)> = match self.dice.zipf(6) {
            0 => vec![
                (
                    0,
                    format!(
                        "881:M {{}} * {} changes in {} seconds. Saving...",
                        10_000 + number % 9_000,
                        60
                    ),
                ),
                (1, format!("881:M {{}} * Background saving started by pid {child}")),
                (900, format!("{child}:C {{}} * DB saved on disk")),
                (
                    910,
                    format!(
                        "{child}:C {{}} * Fork CoW for RDB: current {} MB, peak {} MB, average {} MB",
                        number % 90,
                        number % 120,
                        number % 60
                    ),
                ),
                (990, "881:M {} * Background saving terminated with success".to_owned()),
            ],
            1 => vec![(
                0,
                format!(
                    "881:M {{}} - DB 0: {} keys ({} volatile) in {} slots HT.",
                    number,
                    number / 3,
                    number.next_power_of_two()
                ),
            )],
            2 => vec![(
                0,
                format!("881:M {{}} - Accepted {}:{}", HOSTS[HIS[0]].1, 30_000 + number % 30_000),
            )],
            3 => vec![(
                0,
                format!(
                    "881:M {{}} # Client id={} addr={}:{} fd={} name={} age={} idle={} flags=N db=0 sub=0 psub=0 cmd=hgetall scheduled to be closed ASAP for overcoming of output buffer limits.",
                    number,
                    HOSTS[HIS[1]].1,
                    number % 60_000,
                    number % 900,
                    self.dice.word(),
                    number % 9_000,
                    number % 60
                ),
            )],
            4 => {
                vec![(0, "881:M {} * Replica 10.20.4.72:6379 asks for synchronization".to_owned())]
            }
            _ => vec![(
                0,
                format!(
                    "881:M {{}} # Possible SECURITY ATTACK detected. It looks like somebody is sending POST or Host: commands to Redis. Connection from {}:{} aborted.",
                    self.dice.stranger(),
                    number % 60_000
                ),
            )],
        };
        for (after, said) in said {
            let time = self.at(after);
            self.line(time, CACHE, REDIS, said.replacen("{}", &Stamp::of(time).redis(), 1));
        }
    }
}
