//! The peer: rsyslog reads the same file and sends it over TLS to another rsyslog, which writes a
//! plain file. Two private instances on loopback with configurations and folders of their own; the
//! host's is not touched.

use std::fs;
use std::io::{Read, Seek, SeekFrom};
use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use hengwei_tests::{free_ports, wait, write_secret};

use super::{Carried, LINES, PATIENCE, cpu_seconds};

const DAEMON: &str = "/usr/sbin/rsyslogd";
/// Enough of a file's end to hold its last line.
const TAIL: u64 = 4 << 10;

/// An instance; it ends with this.
struct Instance(Child);

impl Drop for Instance {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Carries a file of [`LINES`] numbered lines; None where rsyslog or its TLS is not installed.
pub(super) fn carry(folder: &Path, log: &Path) -> anyhow::Result<Option<Carried>> {
    if !Path::new(DAEMON).exists() || driver().is_none() {
        return Ok(None);
    }
    let folder = folder.join("rsyslog");
    fs::create_dir_all(&folder)?;
    let (certificate, key) = (folder.join("cert.pem"), folder.join("key.pem"));
    let issued = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()])?;
    fs::write(&certificate, issued.cert.pem())?;
    write_secret(&key, &issued.signing_key.serialize_pem())?;
    let [port] = free_ports()?;
    let out = folder.join("out.log");
    let receiver = start(
        &folder.join("receiver"),
        &format!(
            "global(defaultNetstreamDriverCAFile={certificate:?} \
             defaultNetstreamDriverCertFile={certificate:?} defaultNetstreamDriverKeyFile={key:?})\n\
             module(load=\"imtcp\" StreamDriver.Name=\"gtls\" StreamDriver.Mode=\"1\" \
             StreamDriver.AuthMode=\"anon\")\n\
             input(type=\"imtcp\" port=\"{port}\" address=\"127.0.0.1\")\n\
             action(type=\"omfile\" file={out:?})\n"
        ),
    )?;
    wait("rsyslog to listen", PATIENCE, || {
        Ok(TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok().then_some(()))
    })?;
    let (begun, before) = (Instant::now(), cpu_seconds(receiver.0.id())?);
    let sender = start(
        &folder.join("sender"),
        &format!(
            "global(defaultNetstreamDriverCAFile={certificate:?})\n\
             module(load=\"imfile\" mode=\"inotify\")\n\
             input(type=\"imfile\" file={log:?} tag=\"measure:\" freshStartTail=\"off\")\n\
             action(type=\"omfwd\" protocol=\"tcp\" target=\"127.0.0.1\" port=\"{port}\" \
             StreamDriver=\"gtls\" StreamDriverMode=\"1\" StreamDriverAuthMode=\"anon\")\n"
        ),
    )?;
    let last = format!("n={} ", LINES - 1);
    wait("rsyslog to write the last line", PATIENCE, || {
        Ok(end_of(&out).is_some_and(|end| end.contains(&last) && end.ends_with('\n')).then_some(()))
    })?;
    let took = begun.elapsed();
    let (sent, received) = (cpu_seconds(sender.0.id())?, cpu_seconds(receiver.0.id())? - before);
    drop((sender, receiver));
    let lines = fs::read(&out)?.split(|byte| *byte == b'\n').count() as u64 - 1;
    anyhow::ensure!(lines >= LINES, "rsyslog wrote {lines} lines of {LINES}");
    Ok(Some(Carried::of(took, sent, received)))
}

fn start(folder: &Path, config: &str) -> anyhow::Result<Instance> {
    fs::create_dir_all(folder)?;
    let file = folder.join("rsyslog.conf");
    fs::write(&file, format!("global(workDirectory={folder:?})\n{config}"))?;
    let log = fs::File::create(folder.join("log"))?;
    let child = Command::new(DAEMON)
        .arg("-n")
        .arg("-f")
        .arg(&file)
        .arg("-i")
        .arg(folder.join("pid"))
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()?;
    Ok(Instance(child))
}

/// Where Debian and Red Hat put the module that speaks TLS.
fn driver() -> Option<PathBuf> {
    let mut folders = vec![PathBuf::from("/usr/lib64/rsyslog"), PathBuf::from("/usr/lib/rsyslog")];
    for entry in fs::read_dir("/usr/lib").into_iter().flatten().flatten() {
        folders.push(entry.path().join("rsyslog"));
    }
    folders.into_iter().map(|folder| folder.join("lmnsd_gtls.so")).find(|path| path.exists())
}

fn end_of(path: &Path) -> Option<String> {
    let mut file = fs::File::open(path).ok()?;
    let length = file.metadata().ok()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(TAIL))).ok()?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}
