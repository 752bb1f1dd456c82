//! The source against a journalctl of the test's own, and against a real one where there is one.

use std::sync::Mutex;

use hengwei_protocol::wire::field::Value;
use hengwei_protocol::wire::record::Body;

use super::*;

#[derive(Default)]
struct Kept {
    messages: Mutex<Vec<String>>,
    positions: Mutex<std::collections::BTreeMap<String, bytes::Bytes>>,
}

impl Sink for Kept {
    async fn send(&self, chunk: Chunk) -> Result<(), crate::sources::Stopping> {
        let (key, value) = chunk.position.unwrap();
        self.positions.lock().unwrap().insert(key, value);
        for record in chunk.records {
            self.messages.lock().unwrap().push(match record.body.unwrap() {
                Body::Fields(fields) => match &fields.fields[0].value {
                    Some(Value::Text(text)) => format!("{} {text}", chunk.kind),
                    other => panic!("{other:?}"),
                },
                Body::Gap(gap) => format!("{} gap {} {}", chunk.kind, gap.cause, gap.records),
                Body::Original(_) => panic!("an entry has fields"),
            });
        }
        Ok(())
    }

    fn report(&self, _: Option<String>) {}
}

impl Kept {
    fn batcher(&self) -> Batcher {
        let positions = self.positions.lock().unwrap();
        let mark = |key: &str| positions.get(key).and_then(|bytes| Mark::decode(bytes));
        Batcher::new(mark("log"), mark("security"))
    }
}

/// A journalctl whose journal is a folder of entries, `1`, `2` …, and that ends instead of following. It
/// writes them all at once: those that come a moment apart are other batches.
fn fake(dir: &Path, from: From) -> Journal {
    let program = dir.join("journalctl");
    let script = format!(
        "#!/bin/sh\ncd {}\nfrom=0\nfor a in \"$@\"; do case $a in\n\
         --cursor=*) from=$(printf %d 0x$(echo \"$a\" | sed 's/.*;i=\\([0-9a-f]*\\);.*/\\1/'));;\n\
         --lines=1) from=$(ls journal | sort -n | tail -1);;\nesac; done\n\
         for n in $(ls journal | sort -n); do [ \"$n\" -ge \"$from\" ] && cat journal/$n; done >said\n\
         cat said\ncat complaint >&2 2>/dev/null\nexit 0\n",
        dir.display()
    );
    std::fs::create_dir_all(dir.join("journal")).unwrap();
    std::fs::write(dir.join("script"), script).unwrap();
    // Had this process written the program, a child that another test starts at this moment would still
    // have it open for writing, and then it can't be run.
    let mut install = std::process::Command::new("install");
    install.args(["-m", "755"]).arg(dir.join("script")).arg(&program);
    assert!(install.status().unwrap().success());
    Journal { from, program }
}

fn log(dir: &Path, number: u64, identifier: &str) {
    let text = format!(
        "__CURSOR=s=aa;i={number:x};b=b;m=1;t={number:x};x=c\n__REALTIME_TIMESTAMP={number}\n\
         MESSAGE={number}\nSYSLOG_IDENTIFIER={identifier}\n\n"
    );
    std::fs::write(dir.join(format!("journal/{number}")), text).unwrap();
}

async fn follow(journal: &Journal, kept: &Kept) -> String {
    let ended = journal.follow(Path::new("/"), &mut kept.batcher(), kept).await.to_string();
    kept.messages.lock().unwrap().sort();
    ended
}

#[tokio::test]
async fn a_first_start_reads_from_the_end_and_goes_on_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let journal = fake(dir.path(), From::End);
    let kept = Kept::default();
    log(dir.path(), 1, "nginx");
    log(dir.path(), 2, "sshd");
    follow(&journal, &kept).await;
    assert!(kept.messages.lock().unwrap().is_empty());
    log(dir.path(), 3, "sudo");
    log(dir.path(), 4, "nginx");
    follow(&journal, &kept).await;
    follow(&journal, &kept).await;
    assert_eq!(*kept.messages.lock().unwrap(), ["log 4", "security 3"]);
    for gone in 1..=4 {
        std::fs::remove_file(dir.path().join(format!("journal/{gone}"))).unwrap();
    }
    log(dir.path(), 9, "nginx");
    follow(&journal, &kept).await;
    let messages = kept.messages.lock().unwrap();
    assert!(messages.iter().any(|m| m.ends_with("gap journal-lost 4")), "{messages:?}");
    assert!(messages.contains(&"log 9".to_owned()), "{messages:?}");
}

#[tokio::test]
async fn from_start_reads_all() {
    let dir = tempfile::tempdir().unwrap();
    let journal = fake(dir.path(), From::Start);
    let kept = Kept::default();
    (1..=1_500).for_each(|number| log(dir.path(), number, "nginx"));
    assert!(follow(&journal, &kept).await.starts_with("journalctl ended"));
    assert_eq!(kept.messages.lock().unwrap().len(), 1_500);
}

#[tokio::test]
async fn what_keeps_it_from_reading_is_told_with_the_remedy() {
    let dir = tempfile::tempdir().unwrap();
    let journal = fake(dir.path(), From::Start);
    let kept = Kept::default();
    let complaint = "No journal files were opened due to insufficient permissions.";
    std::fs::write(dir.path().join("complaint"), complaint).unwrap();
    assert!(follow(&journal, &kept).await.contains("systemd-journal"));
    assert!(journal.unreadable(Path::new("/"))[0].contains("systemd-journal"));
    let missing = Journal { from: From::Start, program: dir.path().join("absent") };
    assert!(follow(&missing, &kept).await.contains("journalctl is missing"));
    assert!(missing.unreadable(Path::new("/"))[0].contains("journalctl is missing"));
}

#[test]
fn a_configuration_is_checked() {
    assert!(toml::from_str::<Config>("from = 'start'").is_ok());
    let error = toml::from_str::<Config>("since = 'start'").unwrap_err().to_string();
    assert!(error.contains("unknown field `since`"), "{error}");
}

/// Writes a journal with systemd's own tool and reads it with systemd's own reader.
#[tokio::test]
async fn a_real_journal() {
    let tool = Path::new("/lib/systemd/systemd-journal-remote");
    let found = std::process::Command::new("journalctl").arg("--version").output().is_ok();
    if !tool.exists() || !found {
        eprintln!("skipped: no journalctl or no systemd-journal-remote on this machine");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("var/log/journal");
    std::fs::create_dir_all(&folder).unwrap();
    let text: String = (1..=20_u64)
        .map(|n| {
            let micros = 1_700_000_000_000_000 + n;
            format!(
                "__REALTIME_TIMESTAMP={micros}\n__MONOTONIC_TIMESTAMP={n}\n\
                 _BOOT_ID=0123456789abcdef0123456789abcdef\nMESSAGE={n}\n\
                 SYSLOG_IDENTIFIER=sshd\n\n"
            )
        })
        .collect();
    std::fs::write(dir.path().join("export"), text).unwrap();
    let output = format!("--output={}", folder.join("system.journal").display());
    let status = std::process::Command::new(tool)
        .arg(output)
        .arg(dir.path().join("export"))
        .status()
        .unwrap();
    assert!(status.success());
    let journal = Journal { from: From::Start, program: PathBuf::from("journalctl") };
    let kept = Kept::default();
    let mut batcher = kept.batcher();
    let read = journal.follow(dir.path(), &mut batcher, &kept);
    let enough = async {
        while kept.messages.lock().unwrap().len() < 20 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::select! {
        ended = read => panic!("{ended}"),
        () = enough => {}
        () = tokio::time::sleep(Duration::from_secs(30)) => panic!("only {:?}", kept.messages),
    }
    assert_eq!(kept.messages.lock().unwrap()[19], "security 20");
}
