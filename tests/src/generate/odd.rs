//! What is hardly ever said, and what is said once.

use super::Stage;
use super::network::KERNEL;
use super::stamp::Stamp;
use super::system::{AUTH, SYSLOG};
use super::world::HOSTS;

impl Stage {
    /// One of the rare lines; some of them so rare that a day may pass without.
    pub(super) fn odd(&mut self) {
        let host = self.dice.index(HOSTS.len());
        let number = self.dice.roll(1 << 30);
        let (word, person) = (self.dice.word(), self.dice.person());
        let (path, said) = match self.dice.zipf(200) {
            0..=2 => {
                (AUTH, format!("su[{}]: (to root) {person} on pts/{}", number % 60_000, number % 9))
            }
            3..=5 => (
                AUTH,
                format!(
                    "useradd[{}]: new user: name={word}, UID={}, GID={}, home=/home/{word}, shell=/bin/bash, from=/dev/pts/{}",
                    number % 60_000,
                    1_000 + number % 900,
                    1_000 + number % 900,
                    number % 9
                ),
            ),
            6..=8 => (KERNEL, format!("kernel: device eth{} entered promiscuous mode", number % 3)),
            9..=12 => (
                SYSLOG,
                format!(
                    "dpkg: status installed {word}:amd64 {}.{}.{}-{}",
                    number % 9,
                    number % 30,
                    number % 17,
                    number % 5
                ),
            ),
            13..=16 => (
                AUTH,
                format!(
                    "passwd[{}]: pam_unix(passwd:chauthtok): password changed for {person}",
                    number % 60_000
                ),
            ),
            17..=20 => (
                SYSLOG,
                format!(
                    "systemd[1]: {word}.service: Main process exited, code=killed, status=9/KILL"
                ),
            ),
            21..=40 => return self.dump(host),
            _ => return self.remark(host),
        };
        self.program(0, host, path, &said);
    }

    /// A sentence no program has: somebody typed it.
    fn remark(&mut self, host: usize) {
        let mut said = String::new();
        for _ in 0..self.dice.between(4, 40) {
            match self.dice.roll(9) {
                0 => said += &self.dice.roll(100_000).to_string(),
                1 => {
                    said +=
                        self.dice.pick(&["的", "请", "已", "处理", "系统", "升级", "回退", "值班"])
                }
                _ => said += &self.dice.word(),
            }
            said.push(self.dice.pick(&[' ', ' ', ' ', ' ', ',', '.', ':']));
        }
        let user = self.dice.operator();
        self.program(0, host, SYSLOG, &format!("{user}: {said}"));
    }

    /// Bytes that are no text to speak of: a program prints what it was sent.
    fn dump(&mut self, host: usize) {
        let time = self.at(0);
        let mut line = format!(
            "{} {} gateway[{}]: bad frame: ",
            Stamp::of(time).syslog(),
            HOSTS[host].0,
            900 + host
        )
        .into_bytes();
        for _ in 0..self.dice.between(8, 300) {
            let byte = self.dice.bits().to_le_bytes()[0];
            line.push(if matches!(byte, b'\n' | b'\r' | 0) { b'.' } else { byte });
        }
        self.line(time, host, SYSLOG, line);
    }
}
