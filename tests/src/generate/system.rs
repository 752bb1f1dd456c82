//! What Linux says of itself: sshd, sudo, cron, systemd.

use super::Stage;
use super::stamp::Stamp;
use super::world::{BASTION, FIREWALL, HOSTS, Host};

pub(super) const AUTH: &str = "/var/log/auth.log";
pub(super) const SYSLOG: &str = "/var/log/syslog";

impl Stage {
    /// A syslog line in a file, as rsyslog writes it.
    pub(super) fn program(&mut self, after: i64, host: Host, path: &'static str, said: &str) {
        let time = self.at(after);
        // Newer hosts write the long stamp.
        let stamp = match host % 3 {
            0 => Stamp::of(time).iso(),
            _ => Stamp::of(time).syslog(),
        };
        self.line(time, host, path, format!("{stamp} {} {said}", HOSTS[host].0));
    }

    pub(super) fn any_host(&mut self) -> Host {
        loop {
            let host = self.dice.index(HOSTS.len());
            if host != FIREWALL {
                return host;
            }
        }
    }

    /// Somebody works on a server: key or password, session, commands, and out again.
    pub(super) fn session(&mut self) {
        let host = if self.dice.chance(1, 2) { BASTION } else { self.any_host() };
        let (pid, user, port) = (self.pid(host), self.dice.operator(), self.dice.port());
        let from = if host == BASTION { self.dice.station() } else { HOSTS[BASTION].1.to_owned() };
        let key = format!("{}{}", self.dice.hex(16), self.dice.hex(16));
        let how = match self.dice.roll(4) {
            0 => format!("Accepted password for {user} from {from} port {port} ssh2"),
            1 => format!(
                "Accepted publickey for {user} from {from} port {port} ssh2: RSA SHA256:{key}"
            ),
            _ => format!(
                "Accepted publickey for {user} from {from} port {port} ssh2: ED25519 SHA256:{key}"
            ),
        };
        if self.dice.chance(1, 3) {
            self.program(
                -90,
                host,
                AUTH,
                &format!(
                    "sshd[{pid}]: Connection from {from} port {port} on {} port 22 rdomain \"\"",
                    HOSTS[host].1
                ),
            );
        }
        self.program(0, host, AUTH, &format!("sshd[{pid}]: {how}"));
        let uid = self.dice.roll(40) + 1_000;
        self.program(2, host, AUTH, &format!("sshd[{pid}]: pam_unix(sshd:session): session opened for user {user}(uid={uid}) by (uid=0)"));
        let session = self.count(host);
        self.program(
            5,
            host,
            AUTH,
            &format!("systemd-logind[{}]: New session {session} of user {user}.", 600 + host),
        );
        self.program(
            9,
            host,
            SYSLOG,
            &format!(
                "systemd[1]: Started session-{session}.scope - Session {session} of User {user}."
            ),
        );
        let stays = i64::try_from(self.dice.tailed(40_000)).unwrap_or(1);
        for _ in 0..self.dice.zipf(6) {
            let when = i64::try_from(self.dice.roll(stays.unsigned_abs())).unwrap_or(1);
            self.sudo(when + 500, host, &user);
        }
        let end = match self.dice.roll(4) {
            0 => format!("Received disconnect from {from} port {port}:11: disconnected by user"),
            1 => format!("Disconnected from user {user} {from} port {port}"),
            2 => format!("Connection closed by {from} port {port}"),
            _ => format!("Timeout, client not responding from user {user} {from} port {port}"),
        };
        self.program(stays + 600, host, AUTH, &format!("sshd[{pid}]: {end}"));
        self.program(
            stays + 602,
            host,
            AUTH,
            &format!("sshd[{pid}]: pam_unix(sshd:session): session closed for user {user}"),
        );
        self.program(
            stays + 620,
            host,
            SYSLOG,
            &format!("systemd[1]: session-{session}.scope: Deactivated successfully."),
        );
        self.program(
            stays + 625,
            host,
            AUTH,
            &format!(
                "systemd-logind[{}]: Session {session} logged out. Waiting for processes to exit.",
                600 + host
            ),
        );
    }

    fn sudo(&mut self, after: i64, host: Host, user: &str) {
        let number = self.dice.zipf(400);
        let unit = self.dice.usual(&[
            "nginx",
            "postgresql",
            "tomcat9",
            "orthanc",
            "redis-server",
            "his-gateway",
            "chrony",
            "rsyslog",
        ]);
        let command = match self.dice.zipf(14) {
            0 => format!("/usr/bin/systemctl status {unit}"),
            1 => format!("/usr/bin/systemctl restart {unit}"),
            2 => format!("/usr/bin/journalctl -u {unit} -n {}", 50 * (number % 9 + 1)),
            3 => format!("/usr/bin/tail -f /var/log/{unit}/{unit}.log"),
            4 => "/usr/bin/apt-get update".to_owned(),
            5 => format!("/usr/bin/vim /etc/{unit}/conf.d/site-{number}.conf"),
            6 => format!("/usr/bin/grep -r {} /var/log", self.dice.word()),
            7 => format!("/bin/kill -HUP {}", self.dice.roll(60_000)),
            8 => format!("/usr/bin/less /var/log/syslog.{}", number % 7),
            9 => format!("/usr/sbin/tcpdump -ni eth0 host {} -c {number}", self.dice.station()),
            10 => format!(
                "/usr/bin/cp /srv/backup/{}.sql.gz /mnt/nas/{}/",
                self.dice.word(),
                self.dice.hex(8)
            ),
            11 => format!("/usr/bin/psql -h {} -c select count(*) from visit", HOSTS[8].1),
            12 => "/usr/bin/du -sh /var/lib".to_owned(),
            _ => format!(
                "/opt/tools/{}.sh --ticket {} --reason {}",
                self.dice.word(),
                20_000 + number,
                self.dice.word()
            ),
        };
        let tty = self.dice.roll(6);
        if self.dice.chance(1, 25) {
            self.program(after, host, AUTH, &format!("sudo: pam_unix(sudo:auth): authentication failure; logname={user} uid=1004 euid=0 tty=/dev/pts/{tty} ruser={user} rhost=  user={user}"));
            return;
        }
        self.program(
            after,
            host,
            AUTH,
            &format!(
                "sudo:   {user} : TTY=pts/{tty} ; PWD=/home/{user} ; USER=root ; COMMAND={command}"
            ),
        );
        self.program(after + 3, host, AUTH, &format!("sudo: pam_unix(sudo:session): session opened for user root(uid=0) by {user}(uid=1004)"));
        self.program(
            after + 90,
            host,
            AUTH,
            "sudo: pam_unix(sudo:session): session closed for user root",
        );
    }

    /// Somebody tries names and passwords.
    pub(super) fn guessing(&mut self) {
        let host = if self.dice.chance(3, 4) { BASTION } else { self.any_host() };
        let from = self.dice.stranger();
        for round in 0..=self.dice.zipf(16) {
            let (pid, port, user) = (self.pid(host), self.dice.port(), self.dice.guess());
            let after = i64::try_from(round * 1_700 + self.dice.roll(900)).unwrap_or(0);
            let (known, group) = (self.dice.chance(1, 4), 14 + self.dice.roll(3));
            let invalid = if known { "" } else { "invalid user " };
            match self.dice.zipf(9) {
                0..=3 => {
                    if !known {
                        self.program(after, host, AUTH, &format!("sshd[{pid}]: Invalid user {user} from {from} port {port}"));
                        self.program(after + 1, host, AUTH, &format!("sshd[{pid}]: pam_unix(sshd:auth): check pass; user unknown"));
                    }
                    let suffix = if known { format!("  user={user}") } else { String::new() };
                    self.program(after + 2, host, AUTH, &format!("sshd[{pid}]: pam_unix(sshd:auth): authentication failure; logname= uid=0 euid=0 tty=ssh ruser= rhost={from}{suffix}"));
                    self.program(after + 2_100, host, AUTH, &format!("sshd[{pid}]: Failed password for {invalid}{user} from {from} port {port} ssh2"));
                    self.program(after + 2_400, host, AUTH, &format!("sshd[{pid}]: Connection closed by {invalid}{user} {from} port {port} [preauth]"));
                }
                4 => self.program(after, host, AUTH, &format!("sshd[{pid}]: Received disconnect from {from} port {port}:11: Bye Bye [preauth]")),
                5 => self.program(after, host, AUTH, &format!("sshd[{pid}]: banner exchange: Connection from {from} port {port}: invalid format")),
                6 => self.program(after, host, AUTH, &format!("sshd[{pid}]: error: kex_exchange_identification: Connection closed by remote host")),
                7 => self.program(after, host, AUTH, &format!("sshd[{pid}]: Unable to negotiate with {from} port {port}: no matching key exchange method found. Their offer: diffie-hellman-group1-sha1,diffie-hellman-group{group}-sha1 [preauth]")),
                _ => self.program(after, host, AUTH, &format!("sshd[{pid}]: error: maximum authentication attempts exceeded for {invalid}{user} from {from} port {port} ssh2 [preauth]")),
            }
        }
    }

    /// What runs by the clock.
    pub(super) fn cron(&mut self) {
        let host = self.any_host();
        let (pid, number) = (self.pid(host), self.dice.zipf(60));
        let (user, command) = match self.dice.zipf(8) {
            0 => ("root", "   cd / && run-parts --report /etc/cron.hourly".to_owned()),
            1 => ("root", "command -v debian-sa1 > /dev/null && debian-sa1 1 1".to_owned()),
            2 => (
                "backup",
                format!("/usr/local/bin/backup --set {} --keep {}", number % 7, number % 30 + 1),
            ),
            3 => (
                "his",
                format!(
                    "/opt/his/bin/push-upload.sh org{:03} >> /opt/his/logs/upload.log 2>&1",
                    number
                ),
            ),
            4 => ("postgres", format!("/usr/bin/vacuumdb -q -t part_{} his", number)),
            5 => {
                ("root", "[ -x /usr/lib/php/sessionclean ] && /usr/lib/php/sessionclean".to_owned())
            }
            6 => (
                "ops",
                format!(
                    "/usr/local/bin/probe.py --target {} --timeout {}",
                    self.dice.station(),
                    number + 1
                ),
            ),
            _ => ("orthanc", "/usr/local/bin/orthanc-prune --older 5y".to_owned()),
        };
        self.program(0, host, AUTH, &format!("CRON[{pid}]: pam_unix(cron:session): session opened for user {user}(uid=0) by (uid=0)"));
        self.program(2, host, SYSLOG, &format!("CRON[{}]: ({user}) CMD ({command})", pid + 1));
        let after = i64::try_from(self.dice.tailed(300)).unwrap_or(0);
        self.program(
            after,
            host,
            AUTH,
            &format!("CRON[{pid}]: pam_unix(cron:session): session closed for user {user}"),
        );
    }

    /// Units, time, names, leases: the small talk of a host.
    pub(super) fn daemon(&mut self) {
        let host = self.any_host();
        let pid = 400 + (host as u64) * 13;
        let number = self.dice.roll(1 << 20);
        let unit = self.dice.usual(&[
            "logrotate",
            "fstrim",
            "man-db",
            "apt-daily",
            "dpkg-db-backup",
            "phpsessionclean",
            "systemd-tmpfiles-clean",
            "e2scrub_all",
            "motd-news",
        ]);
        let station = self.dice.station();
        let said = match self.dice.zipf(22) {
            0 => format!("systemd[1]: Starting {unit}.service - {}...", describe(unit)),
            1 => format!("systemd[1]: {unit}.service: Deactivated successfully."),
            2 => format!("systemd[1]: Finished {unit}.service - {}.", describe(unit)),
            3 => format!(
                "systemd[1]: {unit}.service: Consumed {}.{:03}s CPU time.",
                number % 9,
                number % 1000
            ),
            4 => format!("chronyd[{pid}]: Selected source 10.20.0.{}", 2 + number % 3),
            5 => format!(
                "chronyd[{pid}]: System clock wrong by {}.{:06} seconds",
                number % 2,
                number % 1_000_000
            ),
            6 => format!(
                "systemd-resolved[{pid}]: Using degraded feature set UDP instead of UDP+EDNS0 for DNS server 10.20.0.{}.",
                2 + number % 3
            ),
            7 => format!(
                "snmpd[{pid}]: Connection from UDP: [10.20.0.{}]:{}->[{}]:161",
                40 + number % 6,
                self.dice.port(),
                HOSTS[host].1
            ),
            8 => format!(
                "rsyslogd: [origin software=\"rsyslogd\" swVersion=\"8.2302.0\" x-pid=\"{pid}\" x-info=\"https://www.rsyslog.com\"] rsyslogd was HUPed"
            ),
            9 => format!(
                "dhcpd[{pid}]: DHCPACK on {station} to {:02x}:{:02x}:{:02x}:1e:{:02x}:{:02x} ({}) via eth1",
                number & 0xfe,
                number >> 3 & 0xff,
                number >> 5 & 0xff,
                number >> 9 & 0xff,
                number >> 11 & 0xff,
                self.dice.word()
            ),
            10 => format!(
                "dhcpd[{pid}]: DHCPREQUEST for {station} from 00:1e:{:02x}:{:02x}:{:02x}:07 via eth1: lease owned by peer",
                number & 0xff,
                number >> 8 & 0xff,
                number >> 4 & 0xff
            ),
            11 => format!(
                "smbd[{pid}]:   {} ({station}) connect to service scans initially as user {} (uid={}, gid=2000) (pid {})",
                self.dice.word(),
                self.dice.person(),
                3_000 + number % 900,
                number % 60_000
            ),
            12 => format!(
                "multipathd[{pid}]: sd{}: remaining active paths: {}",
                (b'b' + (number % 8) as u8) as char,
                number % 4
            ),
            13 => format!(
                "smartd[{pid}]: Device: /dev/sd{} [SAT], SMART Usage Attribute: 194 Temperature_Celsius changed from {} to {}",
                (b'a' + (number % 8) as u8) as char,
                30 + number % 19,
                30 + number / 19 % 19
            ),
            14 => format!(
                "postfix/smtp[{}]: {:X}: to=<{}@hospital.example>, relay=10.20.0.25[10.20.0.25]:25, delay={}.{}, delays=0.1/0/0.0{}/0.{}, dsn=2.0.0, status=sent (250 2.0.0 Ok: queued as {:X})",
                self.pid(host),
                number * 77,
                self.dice.person(),
                number % 5,
                number % 97,
                number % 9,
                number % 89,
                number * 131
            ),
            15 => format!(
                "named[{pid}]: client @0x7f{:010x} {station}#{} ({}.lan): query: {}.lan IN A + (10.20.0.2)",
                number * 4096,
                self.dice.port(),
                self.dice.word(),
                self.dice.word()
            ),
            16 => format!(
                "keepalived_vrrp[{pid}]: (VI_{}) Received advert from 10.20.0.{} with lower priority {}, ours 150, forcing new election",
                number % 3,
                number % 9,
                number % 100
            ),
            17 => format!(
                "hengwei-agent[{pid}]: sent batch of {} records, {} bytes in {} ms",
                number % 5_000,
                number % 900_000,
                number % 60
            ),
            18 => format!(
                "dockerd[{pid}]: time=\"{}\" level=info msg=\"ignoring event\" container={}{}{}{} module=libcontainerd namespace=moby topic=/tasks/delete type=\"*events.TaskDelete\"",
                Stamp::of(self.now).iso(),
                self.dice.hex(16),
                self.dice.hex(16),
                self.dice.hex(16),
                self.dice.hex(16)
            ),
            19 => format!(
                "ntpd_intres[{pid}]: host name not found: {}.pool.example",
                self.dice.word()
            ),
            20 => format!(
                "zabbix_agentd[{pid}]: failed to accept an incoming connection: connection from \"{}\" rejected, allowed hosts: \"10.20.0.40\"",
                self.dice.stranger()
            ),
            _ => format!(
                "polkitd[{pid}]: Registered Authentication Agent for unix-process:{}:{number} (system bus name :1.{} [/usr/bin/pkttyagent --notify-fd 5 --fallback], object path /org/freedesktop/PolicyKit1/AuthenticationAgent, locale zh_CN.UTF-8)",
                self.pid(host),
                number % 9_000
            ),
        };
        self.program(0, host, SYSLOG, &said);
    }
}

fn describe(unit: &str) -> &'static str {
    match unit {
        "logrotate" => "Rotate log files",
        "fstrim" => "Discard unused blocks on filesystems from /etc/fstab",
        "man-db" => "Daily man-db regeneration",
        "apt-daily" => "Daily apt download activities",
        "dpkg-db-backup" => "Daily dpkg database backup service",
        _ => "Periodic maintenance",
    }
}
