//! What a hospital is for: the HIS, HL7 messages through the engine, Orthanc's images, laboratory
//! machines that speak Chinese in GB18030, and audit messages as ATNA has them.

use super::Stage;
use super::stamp::Stamp;
use super::world::{AUDIT, ENGINE, HIS, HOSTS, LIS, PACS, WARDS};

pub(super) const HIS_LOG: &str = "/opt/his/logs/his-gateway.log";
pub(super) const ENGINE_LOG: &str = "/var/log/hie/messages.log";
pub(super) const ORTHANC: &str = "/var/log/orthanc/Orthanc.log";
pub(super) const ANALYSER: &str = "/opt/lis/log/analyser.log";
pub(super) const LIS_LOG: &str = "/opt/lis/log/lis.log";
pub(super) const ATNA: &str = "/var/log/atna/audit.log";

/// Words of the laboratory in GB18030: machine trouble, quality control, results, reagents, link.
const SAID: [&[u8]; 6] = [
    b"\xd1\xaa\xcc\xc7\xd2\xc7\xc1\xac\xbd\xd3\xb3\xac\xca\xb1",
    b"\xb1\xea\xb1\xbe\xcc\xf5\xc2\xeb\xce\xde\xb7\xa8\xca\xb6\xb1\xf0",
    b"\xd6\xca\xbf\xd8\xca\xa7\xbf\xd8\xc7\xeb\xb8\xb4\xba\xcb",
    b"\xbd\xe1\xb9\xfb\xd2\xd1\xc9\xcf\xb4\xab",
    b"\xca\xd4\xbc\xc1\xd3\xe0\xc1\xbf\xb2\xbb\xd7\xe3",
    b"\xcd\xa8\xd1\xb6\xbb\xd6\xb8\xb4",
];
const OPERATORS: [&[u8]; 3] = [b"\xc0\xee\xc4\xc8", b"\xcd\xf5\xc7\xbf", b"\xd5\xc5\xce\xb0"];
const ACTIONS: [&str; 24] = [
    "visit.open",
    "order.save",
    "queue.call",
    "bill.pay",
    "bill.refund",
    "card.read",
    "drug.check",
    "drug.dispense",
    "lab.order",
    "lab.result.read",
    "bed.assign",
    "patient.search",
    "patient.merge",
    "schedule.read",
    "insurance.verify",
    "insurance.settle",
    "emr.open",
    "emr.print",
    "emr.sign",
    "transfer.request",
    "consult.invite",
    "report.export",
    "stock.count",
    "login",
];

impl Stage {
    /// A call to the HIS: key=value, with as many fields as the action has.
    pub(super) fn his(&mut self) {
        let (time, host) = (self.at(0), self.dice.pick(&HIS));
        let action = self.dice.usual(&ACTIONS);
        let (user, station) = (self.dice.person(), self.dice.station());
        let took = self.dice.tailed(18);
        let level = self.dice.usual(&["INFO", "INFO", "INFO", "WARN", "ERROR"]);
        let mut line = format!(
            "{} level={level} app=his-gateway thread=http-{} trace={} user={user} ip={station} action={action}",
            Stamp::of(time).iso(),
            self.dice.zipf(200),
            self.dice.hex(16)
        );
        if self.dice.chance(4, 5) {
            line += &format!(" patient={}", self.dice.patient());
        }
        if self.dice.chance(1, 2) {
            line += &format!(
                " visit=V{}{:06}",
                &Stamp::of(time).packed()[2..8],
                self.count(host) % 1_000_000
            );
        }
        if self.dice.chance(1, 3) {
            line += &format!(" ward={}", self.dice.usual(&WARDS));
        }
        let number = self.dice.roll(1 << 20);
        match action {
            "bill.pay" | "bill.refund" | "insurance.settle" => {
                line += &format!(
                    " amount={}.{:02} channel={} serial={}",
                    number % 4_000,
                    number % 100,
                    self.dice.usual(&["insurance", "wechat", "alipay", "cash"]),
                    self.dice.uuid()
                )
            }
            "drug.check" | "drug.dispense" | "stock.count" => {
                line += &format!(
                    " drug=X{:06} batch={} qty={}",
                    self.dice.zipf(9_000),
                    self.dice.hex(8),
                    1 + number % 30
                )
            }
            "patient.search" => {
                line += &format!(" q=\"{}\" hits={}", self.dice.word(), self.dice.zipf(500))
            }
            "lab.order" | "lab.result.read" => {
                line += &format!(
                    " specimen={} panel={}",
                    260_000_000 + self.count(LIS),
                    self.dice.usual(&["cbc", "liver", "renal", "lipid", "coag", "urine", "tsh"])
                )
            }
            "report.export" => {
                line += &format!(
                    " rows={} format=xlsx reason=\"{} {}\"",
                    self.dice.tailed(900),
                    self.dice.word(),
                    self.dice.word()
                )
            }
            "emr.open" | "emr.print" | "emr.sign" => {
                line += &format!(" document={} version={}", self.dice.uuid(), number % 14)
            }
            _ => {}
        }
        match level {
            "ERROR" => {
                line += &format!(
                    " status=500 code=E{:04} error=\"{} timed out after {} ms\"",
                    1_000 + self.dice.zipf(600),
                    self.dice.usual(&[
                        "insurance gateway",
                        "drug service",
                        "card reader",
                        "database"
                    ]),
                    self.dice.tailed(3_000)
                )
            }
            "WARN" => {
                line += &format!(
                    " status=409 retry={} msg=\"患者{}号未找到\"",
                    number % 4,
                    number % 900
                )
            }
            _ => line += " status=200",
        }
        self.line(time, host, HIS_LOG, format!("{line} took_ms={took}"));
    }

    /// HL7 v2 through the integration engine: the engine's words and now and then the message.
    pub(super) fn hl7(&mut self) {
        let time = self.at(0);
        let kind = self.dice.usual(&[
            "ORU^R01", "ADT^A08", "ORM^O01", "ADT^A04", "SIU^S12", "ADT^A01", "ADT^A03", "MDM^T02",
            "DFT^P03", "ADT^A40",
        ]);
        let (from, to) = (
            self.dice.usual(&["LIS", "HIS", "RIS", "EMR", "ICU"]),
            self.dice.usual(&["EMR", "PLATFORM", "HIS", "CDR"]),
        );
        let control = format!("{}{:07}", &Stamp::of(time).packed()[2..8], self.count(ENGINE));
        let stamp = Stamp::of(time).millis();
        let bytes = self.dice.tailed(900);
        let (lane, port) = (1 + self.dice.roll(6), self.dice.port());
        self.line(time, ENGINE, ENGINE_LOG, format!("{stamp} [{from}-{to}-{lane}] received {kind} control={control} bytes={bytes} from {}:{port}", HOSTS[LIS].1));
        if self.dice.chance(1, 6) {
            let (packed, patient, day) =
                (Stamp::of(time).packed(), self.dice.patient(), self.dice.roll(28) + 1);
            let mut said = format!(
                "{stamp} body MSH|^~\\&|{from}|HOSP|{to}|HOSP|{packed}||{kind}|{control}|P|2.5.1|PID|1||{patient}^^^HOSP^MR||***||19{}{:02}{day:02}|{}",
                40 + self.dice.roll(60),
                1 + self.dice.roll(12),
                self.dice.pick(&["M", "F"])
            );
            for test in 0..self.dice.zipf(12) {
                said += &format!(
                    "|OBX|{}|NM|{}^{}||{}.{}|{}|{}-{}|{}|||F",
                    test + 1,
                    1_000 + self.dice.zipf(400),
                    self.dice.usual(&[
                        "WBC", "RBC", "HGB", "PLT", "ALT", "AST", "CREA", "UREA", "GLU", "K", "NA",
                        "CRP"
                    ]),
                    self.dice.roll(300),
                    self.dice.roll(10),
                    self.dice.usual(&["10*9/L", "g/L", "U/L", "mmol/L", "umol/L"]),
                    self.dice.roll(20),
                    20 + self.dice.roll(200),
                    self.dice.usual(&["N", "H", "L"])
                );
            }
            self.line(time, ENGINE, ENGINE_LOG, said);
        }
        let took = self.dice.tailed(30);
        let after = self.at(i64::try_from(took).unwrap_or(0));
        let said = match self.dice.zipf(7) {
            0..=3 => format!("delivered {control} to {to} in {took} ms ack=AA"),
            4 => format!("filtered {control} by rule {}", self.dice.zipf(90)),
            5 => format!(
                "retry {} of 5 for {control}: connect to {}:2575 timed out",
                1 + self.dice.roll(5),
                HOSTS[HIS[0]].1
            ),
            _ => format!(
                "rejected {control} ack=AE segment={} field={} text=\"{} {}\"",
                self.dice.pick(&["PID", "OBX", "PV1", "ORC"]),
                self.dice.roll(30),
                self.dice.word(),
                self.dice.word()
            ),
        };
        self.line(
            after,
            ENGINE,
            ENGINE_LOG,
            format!("{} [{from}-{to}-{lane}] {said}", Stamp::of(after).millis()),
        );
    }

    /// A study arrives at Orthanc, is looked for, or is fetched.
    pub(super) fn orthanc(&mut self) {
        let (title, from) = (
            self.dice
                .usual(&["CT01", "MR01", "CR02", "DX01", "US05", "WS-READ1", "WS-READ2", "CLOUD"]),
            self.dice.station(),
        );
        let (study, series) = (self.dice.uid(), self.dice.uid());
        for instance in 0..=self.dice.zipf(20) {
            let time = self.at(i64::try_from(instance * 210).unwrap_or(0));
            let ids = format!(
                "{}-{}-{}-{}-{}",
                self.dice.hex(8),
                self.dice.hex(8),
                self.dice.hex(8),
                self.dice.hex(8),
                self.dice.hex(8)
            );
            let (level, place, said) = match self.dice.zipf(12) {
                0 | 1 => ('I', "ServerContext.cpp:731", format!("New instance stored ({ids})")),
                2 => (
                    'I',
                    "StoreScp.cpp:246",
                    format!(
                        "Incoming C-STORE from {title} ({from}): SOPInstanceUID {series}.{instance}"
                    ),
                ),
                3 => (
                    'I',
                    "FilesystemStorage.cpp:123",
                    format!(
                        "Creating attachment \"{}\" of \"DICOM\" type (size: {}MB)",
                        self.dice.uuid(),
                        1 + self.dice.zipf(40)
                    ),
                ),
                4 => (
                    'T',
                    "OrthancFindRequestHandler.cpp:507",
                    format!("(0020,000d) StudyInstanceUID = {study}"),
                ),
                5 => (
                    'I',
                    "CommandDispatcher.cpp:333",
                    format!("Association Received from AET {title} on IP {from}"),
                ),
                6 => {
                    ('I', "CommandDispatcher.cpp:960", format!("Association Release from {title}"))
                }
                7 => (
                    'W',
                    "OrthancMoveRequestHandler.cpp:61",
                    format!("Move-SCU request received for AET \"{title}\" study {study}"),
                ),
                8 => (
                    'I',
                    "HttpServer.cpp:1254",
                    format!("(http) GET /studies/{ids}/archive from {from}"),
                ),
                9 => (
                    'W',
                    "ServerToolbox.cpp:222",
                    format!("Number of series in study {study}: {}", self.dice.zipf(40)),
                ),
                10 => (
                    'E',
                    "OrthancException.cpp:59",
                    format!(
                        "Error in the network protocol: DicomAssociation - C-MOVE to AET \"{title}\": Peer aborted Association (or never connected)"
                    ),
                ),
                _ => (
                    'E',
                    "DicomUserConnection.cpp:170",
                    format!("{} {} at {from}", self.dice.word(), self.dice.word()),
                ),
            };
            let thread = format!("DICOM-{}", self.dice.zipf(9));
            self.line(
                time,
                PACS,
                ORTHANC,
                format!("{level}{} {thread:>16} {place}] {said}", Stamp::of(time).glog()),
            );
        }
    }

    /// Laboratory machines, in the charset of their Windows.
    pub(super) fn analyser(&mut self) {
        let time = self.at(0);
        let mut line =
            format!("{} COM{} ", Stamp::of(time).plain(), 1 + self.dice.roll(8)).into_bytes();
        line.extend_from_slice(self.dice.usual(&SAID));
        line.extend_from_slice(
            format!(" NO={} ID={:04} ", 260_000_000 + self.count(LIS), self.dice.zipf(3_000))
                .as_bytes(),
        );
        line.extend_from_slice(self.dice.pick(&OPERATORS));
        self.line(time, LIS, ANALYSER, line);
    }

    /// The laboratory system, in UTF-8.
    pub(super) fn laboratory(&mut self) {
        let time = self.at(0);
        let (specimen, number) = (260_000_000 + self.count(LIS), self.dice.roll(10_000));
        let said = match self.dice.zipf(8) {
            0 => format!(
                "标本 {specimen} 已接收 科室={} 操作员={}",
                self.dice.usual(&["心内科", "呼吸科", "急诊", "儿科", "外科一", "肿瘤科"]),
                self.dice.person()
            ),
            1 => format!(
                "检验结果审核通过 specimen={specimen} 项目={} 审核人={}",
                self.dice.usual(&["血常规", "肝功能", "尿常规", "凝血四项", "电解质"]),
                self.dice.person()
            ),
            2 => format!(
                "危急值 specimen={specimen} item={} value={}.{} 已通知 {}",
                self.dice.usual(&["K", "GLU", "TNI", "PLT"]),
                number % 30,
                number % 10,
                self.dice.person()
            ),
            3 => format!("analyser {} heartbeat ok queue={}", 1 + number % 14, self.dice.zipf(60)),
            4 => format!(
                "upload to platform batch={} rows={} rejected={}",
                self.dice.uuid(),
                self.dice.tailed(200),
                number % 3
            ),
            5 => format!(
                "质控超限 仪器={} 项目=CREA SD={}.{}",
                1 + number % 14,
                number % 4,
                number % 10
            ),
            6 => format!(
                "reprint label {specimen} by {} at {}",
                self.dice.person(),
                self.dice.station()
            ),
            _ => format!("备注: {} {} {specimen}", self.dice.word(), self.dice.word()),
        };
        let level = self.dice.usual(&["INFO", "WARN", "ERROR"]);
        self.line(time, LIS, LIS_LOG, format!("[{}] [{level}] {said}", Stamp::of(time).millis()));
    }

    /// An audit message, XML in syslog.
    pub(super) fn audit(&mut self) {
        let time = self.at(0);
        let (event, label, action) = self.dice.usual(&[
            ("110112", "Query", "E"),
            ("110110", "Patient Record", "R"),
            ("110104", "DICOM Instances Transferred", "C"),
            ("110106", "Export", "R"),
            ("110114", "User Authentication", "E"),
            ("110103", "DICOM Instances Accessed", "R"),
            ("110107", "Import", "C"),
            ("110100", "Application Activity", "E"),
            ("110113", "Security Alert", "E"),
        ]);
        let outcome = self.dice.usual(&["0", "0", "0", "0", "4", "8", "12"]);
        let host = self.dice.pick(&[4, 5, 6, 11]);
        let stamp = Stamp::of(time).iso();
        let (person, station) = (self.dice.person(), self.dice.station());
        let mut said = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?><AuditMessage><EventIdentification EventActionCode=\"{action}\" EventDateTime=\"{stamp}\" EventOutcomeIndicator=\"{outcome}\"><EventID csd-code=\"{event}\" codeSystemName=\"DCM\" originalText=\"{label}\"/>"
        );
        if event == "110112" {
            let (code, name) = self.dice.usual(&[
                ("ITI-18", "Registry Stored Query"),
                ("ITI-9", "PIX Query"),
                ("ITI-21", "Patient Demographics Query"),
                ("ITI-47", "Patient Demographics Query V3"),
            ]);
            said += &format!(
                "<EventTypeCode csd-code=\"{code}\" codeSystemName=\"IHE Transactions\" originalText=\"{name}\"/>"
            );
        }
        said += &format!(
            "</EventIdentification><ActiveParticipant UserID=\"{person}\" AlternativeUserID=\"{}\" UserIsRequestor=\"true\" NetworkAccessPointID=\"{station}\" NetworkAccessPointTypeCode=\"2\"><RoleIDCode csd-code=\"110153\" codeSystemName=\"DCM\" originalText=\"Source Role ID\"/></ActiveParticipant>",
            self.dice.roll(60_000)
        );
        if self.dice.chance(2, 3) {
            said += &format!(
                "<ActiveParticipant UserID=\"http://{}:8080/services/{}\" UserIsRequestor=\"false\" NetworkAccessPointID=\"{}\" NetworkAccessPointTypeCode=\"2\"><RoleIDCode csd-code=\"110152\" codeSystemName=\"DCM\" originalText=\"Destination Role ID\"/></ActiveParticipant>",
                HOSTS[host].0,
                self.dice.usual(&["xds-iti18", "pixquery", "pdq", "xcpd", "store"]),
                HOSTS[host].1
            );
        }
        said += &format!(
            "<AuditSourceIdentification AuditSourceID=\"{}\" AuditEnterpriseSiteID=\"1.2.156.112605.{}\"><AuditSourceTypeCode csd-code=\"4\"/></AuditSourceIdentification>",
            HOSTS[host].0,
            self.dice.zipf(40)
        );
        if event != "110114" && event != "110100" {
            said += &format!(
                "<ParticipantObjectIdentification ParticipantObjectID=\"{}^^^&amp;1.2.156.112605.1&amp;ISO\" ParticipantObjectTypeCode=\"1\" ParticipantObjectTypeCodeRole=\"1\"><ParticipantObjectIDTypeCode csd-code=\"2\" codeSystemName=\"RFC-3881\" originalText=\"Patient Number\"/></ParticipantObjectIdentification>",
                self.dice.patient()
            );
            for _ in 0..self.dice.zipf(4) {
                said += &format!(
                    "<ParticipantObjectIdentification ParticipantObjectID=\"{}\" ParticipantObjectTypeCode=\"2\" ParticipantObjectTypeCodeRole=\"3\"><ParticipantObjectIDTypeCode csd-code=\"110180\" codeSystemName=\"DCM\" originalText=\"Study Instance UID\"/><ParticipantObjectDetail type=\"QueryEncoding\" value=\"VVRGOA{}\"/></ParticipantObjectIdentification>",
                    self.dice.uid(),
                    self.dice.word()
                );
            }
        }
        let line = format!(
            "<85>1 {stamp} {} atna {} IHE+RFC-3881 - {said}</AuditMessage>",
            HOSTS[host].0,
            700 + host
        );
        self.line(time, AUDIT, ATNA, line);
    }
}
