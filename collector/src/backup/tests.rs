use super::*;
use crate::history::{Draft, Entry, History, Options, Writer};
use crate::statement::Signer;
use crate::statement::tests::Own;
use keys::{Keys, Passphrase};
use restore::How;
use serde_json::json;
use std::fs;
use std::path::PathBuf;
use take::Taking;

/// A history without a key, and a backup's folder that somebody else's key signs for.
struct Place {
    _temporary: tempfile::TempDir,
    root: PathBuf,
    writer: Writer,
    history: History,
    own: Own,
}

impl Place {
    fn new() -> Place {
        let temporary = tempfile::tempdir().expect("a directory");
        let root = temporary.path().to_owned();
        let options = Options { reserve_bytes: 0, ..Options::default() };
        let (writer, history) = Writer::open(&root.join("data"), options).expect("opens");
        Place { root, writer, history, own: Own::new(), _temporary: temporary }
    }

    fn commit(&mut self, action: &str) {
        let entry =
            Entry { time: 7, actor: "local:root".into(), action: action.into(), body: "{}".into() };
        self.writer.commit(Draft { entries: vec![entry], ..Draft::default() }).expect("commits");
    }

    fn dir(&self) -> PathBuf {
        self.root.join("backup")
    }

    /// What the giving end would send.
    fn pieces(&self) -> Vec<Piece> {
        let frozen = self.history.freeze().expect("freezes");
        let manifest = format!("{HISTORY}/manifest-{}", frozen.commit);
        let mut files = vec![Listed::of(manifest.clone(), &frozen.manifest)];
        files.extend(frozen.files.iter().map(|file| Listed {
            name: format!("{HISTORY}/{}", file.name),
            bytes: file.bytes,
            sha256: hex(&file.digest),
        }));
        let statement = Statement {
            format: FORMAT,
            product: "hengwei-collector".into(),
            version: "0".into(),
            site: "here".into(),
            by: "local:root".into(),
            at: crate::time::rfc3339(0),
            commit: frozen.commit,
            heads: StatedHeads::from(&frozen.heads),
            files,
        };
        let text = statement::sign(statement::BACKUP, &statement, &self.own).expect("signs");
        let content = json!({ "name": manifest, "content": hex(&frozen.manifest) });
        let mut pieces = vec![(json!({ "statement": text }), None), (content, None)];
        pieces.extend(frozen.files.iter().map(|file| {
            let row = json!({ "name": format!("{HISTORY}/{}", file.name), "file": true });
            (row, Some(file.open().expect("opens")))
        }));
        pieces
    }

    fn back_up(&self) -> Taken {
        let mut taking = Taking::begin(&self.dir()).expect("begins");
        for (row, file) in self.pieces() {
            taking.take(&row, file).expect("takes");
        }
        taking.finish().expect("finishes")
    }

    fn files(&self) -> Vec<String> {
        let mut files = Vec::new();
        let mut dirs = vec![self.dir()];
        while let Some(dir) = dirs.pop() {
            for entry in fs::read_dir(dir).expect("lists") {
                let path = entry.expect("lists").path();
                if path.is_dir() {
                    dirs.push(path);
                } else {
                    let below = path.strip_prefix(self.dir()).expect("below");
                    files.push(below.display().to_string());
                }
            }
        }
        files.sort();
        files
    }

    /// What the folder's backup says is in it.
    fn listed(&self) -> Vec<String> {
        let signed = read_statement(&self.dir()).expect("reads").expect("a statement");
        signed.statement.files.into_iter().map(|file| file.name).collect()
    }

    fn findings(&self) -> Vec<String> {
        check(&self.dir(), None, Some(&self.own.public())).expect("checks").findings
    }
}

fn actions(history: &History) -> Vec<String> {
    let mut actions = Vec::new();
    history
        .entries(None, None, &mut |_, entry| {
            actions.push(entry.action);
            true
        })
        .expect("reads");
    actions
}

#[test]
fn a_second_backup_copies_what_is_new_and_drops_what_is_not_listed() {
    let mut place = Place::new();
    let mut before = Vec::new();
    for action in ["one", "two", "three"] {
        place.commit(action);
        let taken = place.back_up();
        let after = place.files();
        let mut expected = place.listed();
        expected.extend(["backup.json", "history/manifest", "lock"].map(str::to_owned));
        expected.sort();
        assert_eq!(after, expected, "what is listed, and nothing else");
        let is_new = |name: &&String| !before.contains(*name) && !name.contains("manifest");
        let new = after.iter().filter(|name| name.starts_with("history/")).filter(is_new).count();
        assert!(new > 0 && taken.copied == new as u64, "{taken:?}");
        assert_eq!(place.findings(), Vec::<String>::new());
        before = after;
        assert_eq!(place.back_up().copied, 0);
        assert_eq!(place.files(), before);
    }
    // A checkpoint of which nothing depends any more went; no segment did.
    assert_eq!(before.iter().filter(|name| name.ends_with(".seg")).count(), 3);
    assert!(before.iter().filter(|name| name.ends_with(".ckpt")).count() <= 2);
}

#[test]
fn a_backup_that_breaks_off_leaves_the_last_one_whole() {
    let mut place = Place::new();
    place.commit("one");
    place.back_up();
    let before = fs::read(place.dir().join(STATEMENT)).expect("reads");
    place.commit("two");
    let whole = place.pieces().len();
    for pieces in 0..whole {
        let mut taking = Taking::begin(&place.dir()).expect("begins");
        assert!(Taking::begin(&place.dir()).is_err(), "one at a time");
        for (row, file) in place.pieces().into_iter().take(pieces) {
            taking.take(&row, file).expect("takes");
        }
        assert!(taking.finish().is_err(), "{pieces} of {whole}");
        assert_eq!(fs::read(place.dir().join(STATEMENT)).expect("reads"), before);
        assert_eq!(place.findings(), Vec::<String>::new(), "{pieces} of {whole}");
    }
    // What came before it broke off is looked at and not copied again: only the last never came.
    assert_eq!(place.back_up().copied, 1);
}

#[test]
fn what_was_damaged_is_named_and_not_restored_unless_accepted() {
    let mut place = Place::new();
    place.commit("one");
    place.commit("two");
    place.back_up();
    let name = "history/segments/record-00000000000000000001-00000000000000000002.seg";
    let path = place.dir().join(name);
    let good = fs::read(&path).expect("reads");
    let mut bad = good.clone();
    bad[100] ^= 1;
    let target = place.root.join("restored");
    let how = |accept_damage| How { accept_damage, who: "local:root", ..How::default() };
    for bytes in [&bad[..], &good[..good.len() - 1], b""] {
        fs::write(&path, bytes).expect("writes");
        assert_eq!(place.findings(), [format!("{name}: is not what was backed up")]);
        let refused = restore(&place.dir(), &target, &how(false)).expect_err("refuses");
        assert!(format!("{refused:#}").contains(name), "{refused:#}");
        assert!(!target.exists(), "nothing is left");
    }
    let restored = restore(&place.dir(), &target, &how(true)).expect("restores");
    assert_eq!(restored.damaged, [name]);
    fs::remove_dir_all(&target).expect("removes");
    // A file that is gone is copied again.
    fs::remove_file(&path).expect("removes");
    assert_eq!(place.findings().len(), 1);
    assert_eq!(place.back_up().copied, 1);
    restore(&place.dir(), &target, &how(false)).expect("restores");
    let options = Options { reserve_bytes: 0, ..Options::default() };
    let (_writer, history) = Writer::open(&target.join(HISTORY), options).expect("opens");
    assert_eq!(actions(&history), ["two", "one"]);
}

#[test]
fn a_statement_is_believed_by_its_key_and_leads_nowhere_else() {
    let mut place = Place::new();
    place.commit("one");
    place.back_up();
    let (dir, target) = (place.dir(), place.root.join("restored"));
    let other = Own::new().public();
    let how = How { key: Some(&other), who: "local:root", ..How::default() };
    let refused = restore(&dir, &target, &how).expect_err("refuses");
    assert!(refused.to_string().contains("another key"), "{refused:#}");
    let text = fs::read_to_string(dir.join(STATEMENT)).expect("reads");
    for (from, to) in [
        ("history/segments/", "../history/segments/"),
        ("history/segments/", "/history/segments/"),
        ("history/segments/", "history/../segments/"),
        ("history/segments/", ".restoring/segments/"),
        ("\"format\":1", "\"format\":2"),
        ("history/manifest-1", "history/manifest-2"),
    ] {
        fs::write(dir.join(STATEMENT), text.replacen(from, to, 1)).expect("writes");
        let refused = restore(&dir, &target, &How::default()).expect_err("refuses");
        assert!(refused.to_string().contains("no list of a backup"), "{refused:#}");
    }
    fs::write(dir.join(STATEMENT), text.replacen("\"site\":\"here\"", "\"site\":\"her\"", 1))
        .expect("writes");
    let refused = restore(&dir, &target, &How::default()).expect_err("refuses");
    assert!(refused.to_string().contains("not what was signed"), "{refused:#}");
    assert!(!target.exists());
}

#[test]
fn a_restore_takes_an_empty_folder_or_one_it_did_not_finish() {
    let mut place = Place::new();
    place.commit("one");
    place.back_up();
    let target = place.root.join("restored");
    fs::create_dir_all(&target).expect("makes");
    fs::write(target.join("something"), "").expect("writes");
    let how = How { who: "local:root", ..How::default() };
    let refused = restore(&place.dir(), &target, &how).expect_err("refuses");
    assert!(refused.to_string().contains("is not empty"), "{refused:#}");
    assert_eq!(fs::read_dir(&target).expect("lists").count(), 1, "and stays as it was");
    fs::remove_file(target.join("something")).expect("removes");
    // What a power cut would leave.
    fs::create_dir_all(target.join(".restoring/history/segments")).expect("makes");
    fs::create_dir_all(target.join("pki")).expect("makes");
    restore(&place.dir(), &target, &how).expect("restores");
    assert!(!target.join(".restoring").exists() && !target.join("pki").exists());
    let refused = restore(&place.dir(), &target, &how).expect_err("refuses");
    assert!(refused.to_string().contains("is not empty"), "{refused:#}");
}

#[test]
fn a_folder_that_is_of_no_backup_is_left_alone() {
    let place = Place::new();
    fs::create_dir_all(place.dir()).expect("makes");
    fs::write(place.dir().join("thesis.doc"), "precious").expect("writes");
    let refused = Taking::begin(&place.dir()).expect_err("refuses");
    assert!(refused.to_string().contains("thesis.doc"), "{refused:#}");
    assert_eq!(place.files(), ["thesis.doc"]);
}

#[test]
fn keys_come_back_under_their_passphrase_alone() {
    let dir = tempfile::tempdir().expect("a directory");
    let data = dir.path().join("data");
    let write = |name: &str, text: &str| {
        let path = dir.path().join(name);
        fs::write(&path, text).expect("writes");
        path
    };
    let passphrase = |text: &str| Passphrase::read(&write("passphrase", text)).expect("reads");
    let good = passphrase("a good long passphrase\n");
    crate::pki::setup::init(
        &data,
        &["localhost".into()],
        &dir.path().join("root"),
        b"another passphrase",
        crate::time::now(),
    )
    .expect("makes");
    let secret = write("webhook", "a secret of a channel");
    let mut config = crate::config::Config { data: data.clone(), ..Default::default() };
    let section = toml::toml! { url = "https://x/" };
    config.notify.insert("webhook".into(), section.into());
    config.notify["webhook"]
        .as_table_mut()
        .expect("a table")
        .insert("secret_file".into(), secret.display().to_string().into());
    let keys = Keys::of(&config).expect("reads");
    assert!(keys.seal(&passphrase("short")).is_err());
    let sealed = keys.seal(&good).expect("seals");
    assert!(!String::from_utf8_lossy(&sealed).contains("PRIVATE"));
    assert!(Keys::open(&sealed, &passphrase("a wrong long passphrase")).is_err());
    let opened = Keys::open(&sealed, &good).expect("opens");
    let public = crate::pki::history_public_key(&data).expect("reads");
    assert_eq!(opened.history_public_key(), public);
    let target = dir.path().join("restored");
    opened.write(&target).expect("writes");
    for name in ["roots.pem", "issuing.pem", "server.pem", "history.pem"] {
        let read = |data: &Path| fs::read(data.join("pki").join(name)).expect("reads");
        assert_eq!(read(&target), read(&data), "{name}");
    }
    let secret = fs::read_to_string(target.join("secrets/webhook")).expect("reads");
    assert_eq!(secret, "a secret of a channel");
    assert_eq!(format!("{good:?}"), "Passphrase(secret)");
}

#[tokio::test(flavor = "multi_thread")]
async fn history_hears_who_took_a_backup_and_keys_are_not_for_everybody() {
    let scene = crate::services::tests::Scene::new();
    let (services, judge) = scene.open();
    let passphrase = || {
        let path = scene.path("passphrase");
        fs::write(&path, "a good long passphrase").expect("writes");
        Some(Passphrase::read(&path).expect("reads"))
    };
    let me = format!("local:{}", crate::control::user_name(rustix::process::getuid().as_raw()));
    let mut names = Vec::new();
    let mut send = |(row, file): Piece| {
        assert_eq!(row["file"] == true, file.is_some(), "{row}");
        names.extend(row["name"].as_str().map(str::to_owned));
        true
    };
    let asked = Asked { passphrase: passphrase() };
    let refused = give(&services, "local:somebody", asked, &mut send).await;
    assert!(refused.expect_err("refuses").to_string().contains("keys are given to root"));
    assert_eq!(actions(&services.history), Vec::<String>::new(), "nothing left");
    give(&services, "local:somebody", Asked::default(), &mut send).await.expect("gives");
    assert!(!names.contains(&KEYS.to_owned()));
    let asked = Asked { passphrase: passphrase() };
    give(&services, &me, asked, &mut |(row, _)| row["name"] != KEYS).await.expect("gives");
    let made = Made { commit: 2, files: 3, bytes: 4, copied_bytes: 4, damaged: Vec::new() };
    give::made(&services, &me, &made).await.expect("notes");
    assert_eq!(actions(&services.history), ["backup.made", "backup.begun", "backup.begun"]);
    services.desk.stop().await;
    judge.join().expect("ends");
}
