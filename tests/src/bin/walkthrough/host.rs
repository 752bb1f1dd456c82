//! The servers of the attacked host, as real as Debian has them, on free ports of loopback.
//!
//! All configuration and data is below the site's folder, so that ending the processes whose command
//! line names it ends all of them. What has to be outside (the account, `/etc/cron.d`) has names of its
//! own, and [`take_away`] removes it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::LazyLock;
use std::time::Duration;

use anyhow::{Context, ensure};
use hengwei_tests::{free_ports, wait};

use super::program;

/// The account whose password is guessed.
pub(super) const ACCOUNT: &str = "hw-walkthrough";
/// Its password, and that of the database: another for each run, so that nobody else gets in by it.
pub(super) static PASSWORD: LazyLock<String> = LazyLock::new(|| {
    let random = fs::read_to_string("/proc/sys/kernel/random/uuid");
    random.expect("Linux has random numbers").trim().to_owned()
});
/// What the attacker leaves for cron.
pub(super) const CRON_FILE: &str = "/etc/cron.d/hw-walkthrough";
/// Where programs log to.
const LOG_SOCKET: &str = "/dev/log";
const SUDOERS_FILE: &str = "/etc/sudoers.d/hw-walkthrough";
/// Tables of the made-up hospital's database.
const TABLES: usize = 24;

/// The running host.
pub(super) struct Host {
    pub(super) folder: PathBuf,
    pub(super) ssh: u16,
    pub(super) web: u16,
    pub(super) database: u16,
    auth: PathBuf,
}

impl Host {
    /// Starts all of it.
    pub(super) fn start(folder: &Path) -> anyhow::Result<Host> {
        // The servers' own users read below it; what is secret there has its own mode.
        fs::set_permissions(folder, fs::Permissions::from_mode(0o755))?;
        let [ssh, web, database] = free_ports()?;
        let mut host = Host { folder: folder.to_owned(), ssh, web, database, auth: PathBuf::new() };
        take_away();
        host.syslog()?;
        host.account()?;
        host.sshd()?;
        host.php()?;
        host.nginx()?;
        host.postgres()?;
        Ok(host)
    }

    /// What its agent reads and watches.
    pub(super) fn sources(&self) -> String {
        let home = format!("/home/{ACCOUNT}/.ssh");
        let watched =
            [self.www().display().to_string(), home, "/etc/cron.d".into(), "/etc/sudoers.d".into()];
        let file = |path: PathBuf, kind: &str, more: &str| {
            format!(
                "[[sources.files.path]]\nglob = [{path:?}]\nkind = {kind:?}\nfrom = \"start\"\n{more}"
            )
        };
        let logs = [
            file(self.auth.clone(), "security", ""),
            file(self.log("access.log"), "log", "dataset = \"nginx.access\"\n"),
            file(self.log("error.log"), "log", "dataset = \"nginx.error\"\n"),
            file(self.log("modsec_audit.json"), "security", ""),
            file(self.log("postgresql.json"), "log", ""),
        ];
        format!(
            "\n[sources.files]\n{}[sources.integrity]\npaths = {watched:?}\n[sources.assets]\n",
            logs.concat()
        )
    }

    /// Where the portal's pages are.
    pub(super) fn www(&self) -> PathBuf {
        self.folder.join("www")
    }

    fn log(&self, name: &str) -> PathBuf {
        self.folder.join("logs").join(name)
    }

    /// Where programs log to, written as Debian's rsyslog writes; a host that has one keeps it.
    fn syslog(&mut self) -> anyhow::Result<()> {
        if log_is_served() {
            self.auth = PathBuf::from("/var/log/auth.log");
            ensure!(
                self.auth.exists(),
                "somebody serves {LOG_SOCKET}, but there is no /var/log/auth.log: start rsyslog, \
                 which writes it (systemctl start rsyslog), and run this again"
            );
            return Ok(());
        }
        drop(fs::remove_file(LOG_SOCKET));
        self.auth = self.log("auth.log");
        fs::write(&self.auth, "")?;
        let config = format!(
            "module(load=\"imuxsock\" SysSock.Name=\"{LOG_SOCKET}\")\n*.* {}\n",
            self.auth.display()
        );
        let (path, pid) = (self.folder.join("rsyslog.conf"), self.folder.join("rsyslog.pid"));
        fs::write(&path, config)?;
        let mut server = Command::new(program("rsyslogd")?);
        server.args(["-n", "-f"]).arg(&path).arg("-i").arg(&pid);
        self.spawn(server, "rsyslog")?;
        wait(LOG_SOCKET, Duration::from_secs(10), || Ok(log_is_served().then_some(())))
    }

    /// An account that may become root, as an administrator's may.
    fn account(&self) -> anyhow::Result<()> {
        run(Command::new(program("useradd")?).args(["-m", "-s", "/bin/bash", ACCOUNT]))?;
        let list = self.folder.join("account");
        fs::write(&list, format!("{ACCOUNT}:{}\n", *PASSWORD))?;
        run(Command::new(program("chpasswd")?).stdin(fs::File::open(list)?))?;
        fs::write(SUDOERS_FILE, format!("{ACCOUNT} ALL=(root) NOPASSWD: ALL\n"))?;
        Ok(fs::set_permissions(SUDOERS_FILE, fs::Permissions::from_mode(0o440))?)
    }

    fn sshd(&self) -> anyhow::Result<()> {
        let key = self.folder.join("ssh_host_key");
        run(Command::new(program("ssh-keygen")?)
            .args(["-q", "-t", "ed25519", "-N", "", "-f"])
            .arg(&key))?;
        fs::create_dir_all("/run/sshd")?;
        let config = self.folder.join("sshd_config");
        fs::write(
            &config,
            format!(
                "Port {}\nListenAddress 127.0.0.1\nHostKey {}\nPidFile {}\nUsePAM yes\n\
                 PasswordAuthentication yes\nKbdInteractiveAuthentication no\nAllowUsers {ACCOUNT}\n\
                 LogLevel INFO\n",
                self.ssh,
                key.display(),
                self.folder.join("sshd.pid").display()
            ),
        )?;
        let mut server = Command::new(program("sshd")?);
        server.arg("-D").arg("-f").arg(&config);
        self.spawn(server, "sshd")?;
        open(self.ssh)
    }

    fn php(&self) -> anyhow::Result<()> {
        let uploads = self.www().join("uploads");
        fs::create_dir_all(&uploads)?;
        fs::write(self.www().join("index.html"), "<h1>County hospital</h1>\n")?;
        fs::write(
            self.www().join("patient.php"),
            "<?php header('Content-Type: text/plain'); echo 'patient ', (int)($_GET['id'] ?? 0);\n",
        )?;
        // The attacker's account keeps the pages, as accounts of web masters do.
        run(Command::new(program("chown")?).args(["-R", ACCOUNT]).arg(self.www()))?;
        let config = self.folder.join("php-fpm.conf");
        fs::write(
            &config,
            format!(
                "[global]\npid = {0}/php.pid\nerror_log = {0}/logs/php.log\ndaemonize = no\n[www]\n\
                 user = www-data\ngroup = www-data\nlisten = {0}/php.sock\nlisten.owner = www-data\n\
                 pm = static\npm.max_children = 2\n",
                self.folder.display()
            ),
        )?;
        let mut server = Command::new(php_fpm()?);
        server.args(["-n", "-F", "-y"]).arg(&config);
        self.spawn(server, "php-fpm")?;
        let socket = self.folder.join("php.sock");
        wait("PHP", Duration::from_secs(10), || Ok(socket.exists().then_some(())))
    }

    fn nginx(&self) -> anyhow::Result<()> {
        let rules = self.folder.join("modsecurity.conf");
        let audit = self.log("modsec_audit.json");
        fs::write(&audit, "")?;
        run(Command::new(program("chown")?).arg("www-data").arg(&audit))?;
        fs::write(
            &rules,
            format!(
                "SecRuleEngine On\nSecRequestBodyAccess On\nSecAuditEngine RelevantOnly\n\
                 SecAuditLogRelevantStatus \"^(?:5|4(?!04))\"\nSecAuditLogParts ABIJDEFHZ\n\
                 SecAuditLogType Serial\nSecAuditLogFormat JSON\nSecAuditLog {}\n\
                 Include /etc/modsecurity/crs/crs-setup.conf\n\
                 Include /usr/share/modsecurity-crs/rules/*.conf\n",
                audit.display()
            ),
        )?;
        let config = self.folder.join("nginx.conf");
        fs::write(
            &config,
            format!(
                "load_module /usr/lib/nginx/modules/ngx_http_modsecurity_module.so;\n\
                 user www-data;\npid {0}/nginx.pid;\nerror_log {0}/logs/error.log;\n\
                 events {{}}\nhttp {{\n  access_log {0}/logs/access.log combined;\n\
                 \x20 include /etc/nginx/mime.types;\n  modsecurity on;\n\
                 \x20 modsecurity_rules_file {1};\n  server {{\n    listen 127.0.0.1:{2};\n\
                 \x20   root {3};\n    location ~ \\.php$ {{\n      include /etc/nginx/fastcgi_params;\n\
                 \x20     fastcgi_param SCRIPT_FILENAME $document_root$fastcgi_script_name;\n\
                 \x20     fastcgi_pass unix:{0}/php.sock;\n    }}\n  }}\n}}\n",
                self.folder.display(),
                rules.display(),
                self.web,
                self.www().display(),
            ),
        )?;
        let mut server = Command::new(program("nginx")?);
        server.args(["-g", "daemon off;", "-c"]).arg(&config);
        self.spawn(server, "nginx")?;
        open(self.web)
    }

    fn postgres(&self) -> anyhow::Result<()> {
        let data = self.folder.join("postgresql");
        fs::create_dir_all(&data)?;
        run(Command::new(program("chown")?).arg("postgres").arg(&data))?;
        let log = self.log("postgresql.json");
        fs::write(&log, "")?;
        run(Command::new(program("chown")?)
            .arg("postgres")
            .arg(self.folder.join("logs"))
            .arg(&log))?;
        let as_postgres = |name: &str| -> anyhow::Result<Command> {
            let mut command = Command::new(program("runuser")?);
            command.args(["-u", "postgres", "--"]).arg(program(name)?).current_dir("/");
            Ok(command)
        };
        run(as_postgres("initdb")?
            .args(["-A", "scram-sha-256", "--pwfile"])
            .arg(self.password()?)
            .arg("-D")
            .arg(&data))?;
        let mut server = as_postgres("postgres")?;
        server.arg("-D").arg(&data);
        for setting in [
            format!("port={}", self.database),
            format!("unix_socket_directories={}", data.display()),
            "listen_addresses=127.0.0.1".into(),
            "shared_preload_libraries=pgaudit".into(),
            "pgaudit.log=read,write,ddl,role".into(),
            "log_connections=on".into(),
            "log_destination=jsonlog".into(),
            "logging_collector=on".into(),
            format!("log_directory={}", self.folder.join("logs").display()),
            // The ending is the server's.
            "log_filename=postgresql.log".into(),
        ] {
            server.arg("-c").arg(setting);
        }
        self.spawn(server, "postgresql")?;
        wait("PostgreSQL", Duration::from_secs(30), || {
            let ready = self.psql("postgres", "select 1").is_ok();
            Ok(ready.then_some(()))
        })?;
        self.psql("postgres", "create database his")?;
        for table in 0..TABLES {
            self.psql("his", &format!("create table record_{table} (id int, patient text)"))?;
            self.psql("his", &format!("insert into record_{table} select g, 'patient ' || g from generate_series(1, 50) g"))?;
        }
        Ok(())
    }

    /// A statement, as the administrator.
    fn psql(&self, database: &str, statement: &str) -> anyhow::Result<()> {
        let mut command = self.database_client("psql")?;
        run(command.args(["-X", "-q", "-d", database, "-c", statement]))
    }

    /// A client of the database that knows where it is and as whom.
    pub(super) fn database_client(&self, name: &str) -> anyhow::Result<Command> {
        let mut command = Command::new(program(name)?);
        command
            .env("PGPASSWORD", PASSWORD.as_str())
            .args(["-h", "127.0.0.1", "-U", "postgres", "-p"])
            .arg(self.database.to_string());
        Ok(command)
    }

    fn password(&self) -> anyhow::Result<PathBuf> {
        let path = self.folder.join("database-password");
        fs::write(&path, format!("{}\n", *PASSWORD))?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644))?;
        Ok(path)
    }

    fn spawn(&self, mut command: Command, name: &str) -> anyhow::Result<()> {
        let said = fs::File::create(self.folder.join(format!("{name}.out")))?;
        command.stdin(Stdio::null()).stdout(said.try_clone()?).stderr(said);
        command.spawn().with_context(|| format!("failed to start {name}"))?;
        Ok(())
    }
}

/// Whether somebody listens where programs log to.
fn log_is_served() -> bool {
    let socket = UnixDatagram::unbound();
    socket.is_ok_and(|socket| socket.connect(LOG_SOCKET).is_ok())
}

/// Removes the socket that programs log to when nobody serves it any more: our rsyslogd, which is ended,
/// made it.
pub(super) fn take_away_log_socket() {
    for _ in 0..20 {
        if !log_is_served() {
            drop(fs::remove_file(LOG_SOCKET));
            return;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Asks the servers whose workers' command lines don't name the folder to end with all of them.
pub(super) fn stop(folder: &Path) {
    use rustix::process::{Pid, Signal, kill_process};
    for name in ["nginx.pid", "php.pid"] {
        let text = fs::read_to_string(folder.join(name)).unwrap_or_default();
        if let Some(pid) = text.trim().parse().ok().and_then(Pid::from_raw) {
            // It may have ended by itself.
            let _ = kill_process(pid, Signal::TERM);
        }
    }
    std::thread::sleep(Duration::from_millis(500));
}

/// Removes what lies outside the folder, as far as it is there.
pub(super) fn take_away() {
    for file in [CRON_FILE, SUDOERS_FILE] {
        drop(fs::remove_file(file));
    }
    let spool = Path::new("/var/spool/cron/crontabs").join(ACCOUNT);
    drop(fs::remove_file(spool));
    if fs::read_to_string("/etc/passwd").is_ok_and(|text| text.contains(&format!("\n{ACCOUNT}:"))) {
        let removed = program("userdel")
            .and_then(|userdel| run(Command::new(userdel).args(["-f", "-r", ACCOUNT])));
        if let Err(error) = removed {
            eprintln!("the account {ACCOUNT} is left: {error:#}");
        }
    }
}

/// Runs a command to its end; what it said is in the error when it failed.
pub(super) fn run(command: &mut Command) -> anyhow::Result<()> {
    let output = command.output().with_context(|| format!("failed to run {command:?}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{command:?} ended with {}: {said}", output.status);
    Ok(())
}

/// Waits until somebody listens.
fn open(port: u16) -> anyhow::Result<()> {
    wait(&format!("port {port}"), Duration::from_secs(20), || {
        Ok(std::net::TcpStream::connect(("127.0.0.1", port)).is_ok().then_some(()))
    })
}

/// Debian puts the version into the name.
fn php_fpm() -> anyhow::Result<PathBuf> {
    let found = fs::read_dir("/usr/sbin")?.flatten().map(|entry| entry.path()).find(|path| {
        path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("php-fpm"))
    });
    found.context("PHP-FPM is missing: ./packaging/install-deps.sh walkthrough")
}
