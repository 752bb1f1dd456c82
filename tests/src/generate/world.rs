//! Who and what the lines speak of: hosts, people, addresses, patients. Some of each turn up all day
//! and most hardly ever, as in a hospital.

use super::dice::Dice;

/// A host by index into [`HOSTS`].
pub(super) type Host = usize;

/// Name and address of every host.
pub const HOSTS: [(&str, &str); 16] = [
    ("portal-web-1", "10.20.1.11"),
    ("portal-web-2", "10.20.1.12"),
    ("his-app-1", "10.20.2.21"),
    ("his-app-2", "10.20.2.22"),
    ("emr-app-1", "10.20.2.31"),
    ("emr-app-2", "10.20.2.32"),
    ("pacs-1", "10.20.3.41"),
    ("lis-1", "10.20.3.51"),
    ("his-db-1", "10.20.4.61"),
    ("emr-db-1", "10.20.4.62"),
    ("cache-1", "10.20.4.71"),
    ("hie-engine-1", "10.20.5.81"),
    ("audit-1", "10.20.5.91"),
    ("bastion-1", "10.20.0.5"),
    ("fw-core-1", "10.20.0.1"),
    ("intranet-web-1", "10.20.1.21"),
];

pub(super) const PORTALS: [Host; 2] = [0, 1];
pub(super) const HIS: [Host; 2] = [2, 3];
pub(super) const EMR: [Host; 2] = [4, 5];
pub(super) const PACS: Host = 6;
pub(super) const LIS: Host = 7;
pub(super) const DATABASES: [Host; 2] = [8, 9];
pub(super) const CACHE: Host = 10;
pub(super) const ENGINE: Host = 11;
pub(super) const AUDIT: Host = 12;
pub(super) const BASTION: Host = 13;
pub(super) const FIREWALL: Host = 14;
pub(super) const INTRANET: Host = 15;

const SURNAMES: [&str; 24] = [
    "wang", "li", "zhang", "liu", "chen", "yang", "zhao", "huang", "zhou", "wu", "xu", "sun", "hu",
    "zhu", "gao", "lin", "he", "guo", "ma", "luo", "liang", "song", "zheng", "xie",
];
const GIVEN: [&str; 28] = [
    "wei", "fang", "na", "min", "jing", "lei", "qiang", "yan", "juan", "yong", "jie", "tao",
    "ming", "chao", "xia", "ping", "gang", "hui", "hong", "ting", "bo", "xin", "yu", "hao", "lan",
    "dan", "kai", "rui",
];
const GUESSED: [&str; 30] = [
    "root",
    "admin",
    "test",
    "oracle",
    "postgres",
    "user",
    "ubuntu",
    "git",
    "guest",
    "ftpuser",
    "deploy",
    "mysql",
    "hadoop",
    "www",
    "nagios",
    "pi",
    "support",
    "ec2-user",
    "tomcat",
    "jenkins",
    "minecraft",
    "steam",
    "zabbix",
    "backup",
    "es",
    "debian",
    "centos",
    "dev",
    "sftp",
    "odoo",
];
const SYLLABLES: [&str; 32] = [
    "an", "bo", "cor", "den", "el", "fra", "gen", "hol", "in", "jo", "ka", "lum", "mi", "nor", "o",
    "pra", "qui", "re", "sol", "tra", "u", "val", "wen", "xi", "yo", "zan", "shi", "tek", "mon",
    "dra", "pe", "ci",
];
/// Departments, as ids and in pinyin they all have.
pub(super) const WARDS: [&str; 18] = [
    "outpatient",
    "emergency",
    "cardiology",
    "respiratory",
    "surgery-1",
    "surgery-2",
    "icu",
    "paediatrics",
    "gynaecology",
    "oncology",
    "orthopaedics",
    "neurology",
    "radiology",
    "laboratory",
    "pharmacy",
    "registration",
    "cashier",
    "ultrasound",
];
const STAFF: u64 = 2_600;
const STATIONS: u64 = 3_800;
const PATIENTS: u64 = 450_000;

impl Dice {
    /// A member of staff.
    pub(super) fn person(&mut self) -> String {
        let number = self.zipf(STAFF);
        name_of(number)
    }

    /// Who may log in to servers.
    pub(super) fn operator(&mut self) -> String {
        match self.zipf(24) {
            0 => "root".to_owned(),
            1 => "ops".to_owned(),
            2 => "deploy".to_owned(),
            3 => "backup".to_owned(),
            other => name_of(other * 97),
        }
    }

    /// A name somebody tries: a usual one, or one out of a long list.
    pub(super) fn guess(&mut self) -> String {
        match self.roll(10) {
            0..=6 => self.usual(&GUESSED).to_owned(),
            7..=8 => name_of(self.bits() % 100_000),
            _ => self.word(),
        }
    }

    /// A workstation of a ward.
    pub(super) fn station(&mut self) -> String {
        let at = self.zipf(STATIONS);
        // Neighbours in rank sit in different wards.
        let at = at * 2_654_435_761 % 4_096;
        format!("10.{}.{}.{}", 32 + at % 7, at / 7 % 60, 2 + at * 31 % 250)
    }

    /// An address of the internet: few do most of it, the rest come once.
    pub(super) fn stranger(&mut self) -> String {
        let number = if self.chance(7, 10) { self.zipf(260) } else { self.bits() >> 16 };
        let mixed = Dice::new(number).bits();
        let first = [45, 61, 80, 91, 103, 112, 117, 141, 167, 185, 193, 218][number as usize % 12];
        format!("{first}.{}.{}.{}", mixed & 0xff, mixed >> 8 & 0xff, 1 + (mixed >> 16) % 254)
    }

    /// A citizen's phone or home line.
    pub(super) fn citizen(&mut self) -> String {
        let number = self.zipf(60_000);
        let mixed = Dice::new(number ^ 0xc171).bits();
        let net = [(111, 11), (106, 8), (123, 180), (223, 104), (27, 128), (183, 196)];
        let (a, b) = net[number as usize % net.len()];
        format!("{a}.{b}.{}.{}", mixed & 0xff, 1 + (mixed >> 8) % 254)
    }

    /// A patient's number: today's come again, most are seen once.
    pub(super) fn patient(&mut self) -> u64 {
        10_000_000 + self.zipf(PATIENTS) * 7_919 % 9_000_000
    }

    /// A port a client speaks from.
    pub(super) fn port(&mut self) -> u64 {
        self.between(32_768, 60_999)
    }

    /// A word nobody has heard, two to four syllables.
    pub(super) fn word(&mut self) -> String {
        (0..self.between(2, 4)).map(|_| self.pick(&SYLLABLES)).collect()
    }

    /// A UID below the root of a maker or of this site.
    pub(super) fn uid(&mut self) -> String {
        let root = self.usual(&[
            "1.2.840.113619.2.55.3",
            "1.2.826.0.1.3680043.9.7433",
            "1.3.12.2.1107.5.2.43",
            "1.2.392.200036.9116.2.6.1",
            "1.3.46.670589.11.0.1",
        ]);
        let (study, serial) = (self.between(1_000_000_000, 4_000_000_000), self.roll(90_000));
        match self.roll(3) {
            0 => format!("{root}.{study}.{serial}.{}", self.roll(999)),
            1 => format!("{root}.{study}.{}.{serial}.{}", self.roll(30), self.roll(4_000)),
            _ => format!("{root}.{}.{study}", self.roll(400)),
        }
    }
}

fn name_of(number: u64) -> String {
    let mixed = Dice::new(number).bits() as usize;
    let surname = SURNAMES[mixed % SURNAMES.len()];
    let given = GIVEN[mixed / 64 % GIVEN.len()];
    match number % 5 {
        0 => format!("{surname}{given}{}", GIVEN[mixed / 4096 % GIVEN.len()]),
        1 => format!("{surname}{given}{}", number % 9 + 1),
        2 => format!("d{:05}", number * 37 % 90_000),
        _ => format!("{surname}{given}"),
    }
}
