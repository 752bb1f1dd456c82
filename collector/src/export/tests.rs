use std::fs;

use serde_json::{Value, json};

use super::*;
use crate::services::Services;
use crate::statement::tests::Own;
use crate::statement::{self, Signer as _};
use crate::time;

/// An export of two rows, signed by a key of its own.
fn export(dir: &Path) -> (PathBuf, Own) {
    let own = Own::new();
    let content = "{\"a\":1}\n{\"a\":2}\n";
    let packed = zstd::bulk::compress(content.as_bytes(), 3).expect("packs");
    let sum = |bytes: &[u8]| {
        let mut sums = Sums::default();
        sums.take(bytes);
        sums.finish()
    };
    let mut heads = hengwei_protocol::wire::Heads { time: 7, ..Default::default() };
    heads.signature = own.sign(&crate::history::canonical_heads(&heads)).into();
    let manifest = Manifest {
        format: FORMAT,
        product: "hengwei-collector".to_owned(),
        version: "0".to_owned(),
        site: "here".to_owned(),
        by: "local:root".to_owned(),
        at: time::rfc3339(0),
        asked: Asked::default(),
        order: "newest first".to_owned(),
        rows: 2,
        first: None,
        last: None,
        file: sum(&packed),
        content: sum(content.as_bytes()),
        heads: StatedHeads::from(&heads),
    };
    let text = statement::sign(statement::EXPORT, &manifest, &own).expect("signs");
    let file = dir.join("a.ndjson.zst");
    let mut target = Target::create(&file).expect("begins");
    target.take(&json!({ "chunk": hex(&packed) })).expect("takes");
    target.take(&json!({ "manifest": text })).expect("takes");
    target.finish().expect("finishes");
    (file, own)
}

#[test]
fn every_changed_byte_of_file_and_manifest_is_a_finding() {
    let dir = tempfile::tempdir().expect("a directory");
    let (file, own) = export(dir.path());
    let good = check(&file, Some(&own.public())).expect("checks");
    assert_eq!(good.findings, Vec::<String>::new());
    assert_eq!(good.key, hex(&own.public()));
    assert!(!check(&file, Some(&Own::new().public())).expect("checks").findings.is_empty());
    for path in [file.clone(), manifest_of(&file)] {
        let bytes = fs::read(&path).expect("reads");
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 4;
            fs::write(&path, changed).expect("writes");
            let found = check(&file, None).expect("checks");
            assert!(!found.findings.is_empty(), "{} at {at}", path.display());
        }
        fs::write(&path, &bytes[..bytes.len() - 1]).expect("writes");
        assert!(!check(&file, None).expect("checks").findings.is_empty());
        fs::write(&path, [&bytes[..], b"\n"].concat()).expect("writes");
        assert!(!check(&file, None).expect("checks").findings.is_empty());
        fs::write(&path, bytes).expect("writes");
    }
    assert!(check(&file, None).expect("checks").findings.is_empty());
}

fn noted(services: &Services) -> Vec<(String, Value)> {
    let mut noted = Vec::new();
    services
        .history
        .entries(None, None, &mut |_, entry| {
            let body = serde_json::from_str(&entry.body).expect("JSON");
            noted.push((entry.action, body));
            true
        })
        .expect("reads");
    noted
}

#[tokio::test(flavor = "multi_thread")]
async fn history_hears_of_an_export_whole_or_broken() {
    let scene = crate::services::tests::Scene::new();
    let (services, judge) = scene.open();
    let asked = || Asked { query: Some("absent".to_owned()), ..Asked::default() };
    let file = scene.path("a.zst");
    let mut target = Target::create(&file).expect("begins");
    let mut see = |row| target.take(&row).is_ok();
    stream(&services, "local:me", asked(), &|| true, &mut see).await.expect("exports");
    let manifest = target.finish().expect("finishes");
    let checked = check(&file, Some(&services.pki.history_key())).expect("checks");
    assert_eq!((checked.findings, manifest.rows), (Vec::new(), 0));
    let [(made, body), (begun, _)] = &noted(&services)[..] else { panic!("two entries") };
    assert_eq!((made.as_str(), begun.as_str()), ("export.made", "export.begun"));
    assert_eq!(body["file"]["sha256"], manifest.file.sha256, "{body}");
    assert_eq!(body["asked"]["query"], "absent");
    assert_eq!(manifest.heads.newest(), 2, "the heads cover the record of the export");
    // Whoever turns away before the end has left a trace.
    let turned = stream(&services, "local:me", asked(), &|| true, &mut |_| false).await;
    assert!(turned.is_err());
    let turned = stream(&services, "local:me", asked(), &|| false, &mut |_| true).await;
    assert!(turned.is_err());
    let actions: Vec<_> = noted(&services).into_iter().map(|(action, _)| action).collect();
    let expected = ["export.broken", "export.begun", "export.broken", "export.begun"];
    assert_eq!(actions[..4], expected);
    services.desk.stop().await;
    judge.join().expect("ends");
}

#[test]
fn what_breaks_off_leaves_nothing_and_what_exists_is_kept() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("a");
    let mut target = Target::create(&file).expect("begins");
    target.take(&json!({ "chunk": "00" })).expect("takes");
    assert!(target.take(&json!({ "chunk": "0" })).is_err());
    assert!(target.finish().is_err());
    assert_eq!(fs::read_dir(dir.path()).expect("lists").count(), 0);
    fs::write(manifest_of(&file), "kept").expect("writes");
    assert!(Target::create(&file).is_err());
    let missing = check(&file, None).err().map(|error| error.to_string());
    assert!(missing.is_some_and(|text| text.contains(&file.display().to_string())));
}
