//! What operators do with packs: import, list, make live, roll back, remove. Each is recorded in
//! history before it is answered.
//!
//! A version becomes live in this order: everything is compiled with it, `live.json` says so, the judge
//! records it and switches. When the judge can't, `live.json` says again what it said before; a crash
//! in between is seen at the next start, which records what is in force then.

use std::collections::BTreeMap;

use anyhow::{Context as _, bail, ensure};
use hengwei_protocol::identity::{hex, sha256};
use hengwei_rules::{Document, Mapping, Options, Rule, Set};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::store::{Live, Mark, Pack, Store, digest_of};
use super::{archive, check_name, force, lists};
use crate::config;
use crate::event::FieldNames;
use crate::services::Services;
use crate::time;

type See<'a> = &'a mut (dyn FnMut(Value) -> bool + Send);

/// What an archive is to be kept as.
#[derive(Debug, Clone, Serialize, Deserialize, clap::Args)]
#[group(skip)]
pub struct Import {
    /// The pack's name
    #[arg(long)]
    pub name: String,
    /// The version's; else the day and the beginning of its digest
    #[arg(long)]
    pub version: Option<String>,
    /// The file or folder it came as, for the record.
    #[arg(skip)]
    #[serde(default)]
    pub source: String,
}

/// Keeps an archive as a version of a pack, and shows what differs from the version before. Nothing of
/// it is in force.
pub(super) async fn import(
    services: &Services,
    who: &str,
    asked: Import,
    bytes: Vec<u8>,
    see: See<'_>,
) -> anyhow::Result<()> {
    check_name("--name", &asked.name)?;
    if let Some(version) = &asked.version {
        check_name("--version", version)?;
    }
    let settings = force::settings(&services.config)?;
    let store = Store::of(&services.config.data);
    let (kept, by) = (store.clone(), who.to_owned());
    let staged =
        tokio::task::spawn_blocking(move || stage(&settings, &kept, &by, asked, &bytes)).await??;
    let Staged { pack, before, rows } = staged;
    let counts = json!({
        "pack": pack.name, "version": pack.version, "digest": pack.digest, "source": pack.source,
        "rules": pack.rules.len(), "refused": pack.refused, "left_out": pack.left_out,
        "new": rows.iter().filter(|row| row["outcome"] == "new").count(),
        "changed": rows.iter().filter(|row| row["outcome"] == "changed").count(),
        "removed": rows.iter().filter(|row| row["outcome"] == "removed").count(),
        "compared_with": before,
    });
    if let Err(error) = services.note(who, "rules.imported", counts.clone()).await {
        store.remove(&pack.name, &pack.version)?;
        return Err(error.into());
    }
    // When everything is new, naming all of it says nothing.
    let first_of_all = counts["compared_with"].is_null();
    let told = |row: &Value| !(first_of_all && row["outcome"] == "new");
    if rows.into_iter().filter(told).all(&mut *see) {
        see(counts);
    }
    Ok(())
}

struct Staged {
    pack: Pack,
    /// The version it was compared with.
    before: Option<String>,
    rows: Vec<Value>,
}

/// Reads, compiles, compares and keeps an archive. Blocking.
fn stage(
    settings: &config::Rules,
    store: &Store,
    who: &str,
    asked: Import,
    bytes: &[u8],
) -> anyhow::Result<Staged> {
    let content = archive::read(bytes).with_context(|| asked.source.clone())?;
    ensure!(!content.rules.is_empty(), "{}: holds no rules (.yml)", asked.source);
    let digest = digest_of(&content.rules);
    let now = time::rfc3339(time::now());
    let version = asked.version.unwrap_or_else(|| format!("{}-{}", &now[..10], &digest[..8]));
    let versions = store.versions(&asked.name)?;
    if let Some(same) = versions.iter().find(|pack| pack.version == version) {
        let what = if same.digest == digest { "kept already" } else { "other rules" };
        bail!("{}@{version}: {what}: give it another --version", asked.name);
    }
    let optional = settings.lists.as_path() == std::path::Path::new(config::LISTS);
    let options = Options {
        mapping: Mapping::Ecs,
        placeholders: lists::read(&settings.lists, optional)?.values,
        without_retired: true,
        unique_ids: true,
        ..Options::default()
    };
    let documents = content.rules.iter().map(|(name, text)| Document { name, text });
    let (set, refused) = Set::compile(documents, &FieldNames, &options);
    ensure!(!set.rules().is_empty(), "{}: none of its rules can be used", asked.source);
    let marks = marks(&set, &content.rules);
    let live = store.live()?;
    let before = live
        .of(&asked.name)
        .and_then(|version| versions.iter().find(|pack| pack.version == version))
        .or(versions.last());
    let mut rows = before.map_or_else(
        || differences(&BTreeMap::new(), &marks),
        |before| differences(&before.rules, &marks),
    );
    let unread = content.unread.len();
    rows.extend(content.unread.iter().map(|(path, reason)| {
        json!({ "outcome": "refused", "rule": "", "document": path, "reason": reason })
    }));
    rows.extend(refused.iter().map(|it| {
        json!({ "outcome": "refused", "rule": it.rule, "document": it.document, "reason": it.reason })
    }));
    rows.extend(set.left_out().iter().map(|it| {
        json!({ "outcome": "off", "rule": it.rule, "document": it.document, "reason": it.reason })
    }));
    let pack = Pack {
        name: asked.name,
        version,
        imported: now,
        by: who.to_owned(),
        source: asked.source,
        digest,
        refused: refused.len() + unread,
        left_out: set.left_out().len() + content.retired,
        rules: marks,
    };
    store.add(&pack, &content.rules)?;
    Ok(Staged { pack, before: before.map(|it| it.version.clone()), rows })
}

fn marks(set: &Set, texts: &BTreeMap<String, String>) -> BTreeMap<String, Mark> {
    let digests: BTreeMap<&str, String> =
        texts.iter().map(|(path, text)| (path.as_str(), hex(&sha256(text.as_bytes())))).collect();
    let mark = |rule: &Rule| {
        let digest = digests.get(rule.document.as_str()).cloned().unwrap_or_default();
        (rule.key().to_owned(), Mark { title: rule.title.clone(), digest })
    };
    set.rules().iter().map(mark).collect()
}

fn differences(before: &BTreeMap<String, Mark>, after: &BTreeMap<String, Mark>) -> Vec<Value> {
    let row = |outcome: &str, rule: &str, mark: &Mark| json!({ "outcome": outcome, "rule": rule, "title": mark.title });
    let mut rows = Vec::new();
    for (rule, mark) in after {
        match before.get(rule) {
            None => rows.push(row("new", rule, mark)),
            Some(old) if old.digest != mark.digest => rows.push(row("changed", rule, mark)),
            Some(_) => {}
        }
    }
    let removed = before.iter().filter(|(rule, _)| !after.contains_key(*rule));
    rows.extend(removed.map(|(rule, mark)| row("removed", rule, mark)));
    rows
}

/// Shows every version of every pack.
pub(super) fn list(services: &Services, see: See<'_>) -> anyhow::Result<()> {
    let store = Store::of(&services.config.data);
    let live = store.live()?;
    let mut missing: BTreeMap<&str, &str> = live.versions().collect();
    for pack in store.packs()? {
        let is_live = live.of(&pack.name) == Some(pack.version.as_str());
        if is_live {
            missing.remove(pack.name.as_str());
        }
        let tested = store.tested(&pack)?;
        let row = json!({
            "pack": pack.name, "version": pack.version, "live": is_live,
            "imported": pack.imported, "by": pack.by, "source": pack.source,
            "rules": pack.rules.len(), "refused": pack.refused, "left_out": pack.left_out,
            "digest": pack.digest, "backtest": tested,
            "tested": tested.as_ref().map(|tested| tested.at.clone()),
        });
        if !see(row) {
            return Ok(());
        }
    }
    // After a restore packs are gone: they are imported again.
    for (name, version) in missing {
        let row = json!({ "pack": name, "version": version, "live": "missing" });
        if !see(row) {
            break;
        }
    }
    Ok(())
}

/// Makes a version live.
pub(super) async fn activate(
    services: &Services,
    who: &str,
    name: &str,
    version: Option<String>,
    without_backtest: bool,
    see: See<'_>,
) -> anyhow::Result<()> {
    check_name("pack", name)?;
    let store = Store::of(&services.config.data);
    let versions = store.versions(name)?;
    let pack = match &version {
        Some(version) => versions.iter().find(|pack| pack.version == *version),
        None => versions.last(),
    };
    let pack = pack.with_context(|| {
        let version = version.as_deref().unwrap_or("any");
        format!("there is no version `{version}` of `{name}`: `rules packs` lists those there are")
    })?;
    let mut live = store.live()?;
    let of = format!("{name}@{}", pack.version);
    ensure!(live.of(name) != Some(&pack.version), "{of} is live already");
    // Over no events at all nothing was learnt.
    let tested = store.tested(pack)?.filter(|tested| tested.events > 0);
    ensure!(
        tested.is_some() || without_backtest,
        "{of}: nobody knows what it would have alerted on: run `rules backtest --pack {of}` first, or say --without-backtest, which is recorded"
    );
    let more = json!({
        "pack": name, "version": pack.version, "before": live.of(name), "pack_digest": pack.digest,
        "backtest": tested, "without_backtest": tested.is_none(),
    });
    live.turn(name, Some(&pack.version));
    turn(services, who, "rules.activated", live, more, see).await
}

/// Makes live what was so before.
pub(super) async fn roll_back(
    services: &Services,
    who: &str,
    name: &str,
    see: See<'_>,
) -> anyhow::Result<()> {
    let mut live = Store::of(&services.config.data).live()?;
    let from = live.of(name).map(str::to_owned);
    let version = live.back(name)?;
    let more = json!({ "pack": name, "version": version, "before": from });
    turn(services, who, "rules.rolled-back", live, more, see).await
}

/// Makes none live.
pub(super) async fn deactivate(
    services: &Services,
    who: &str,
    name: &str,
    see: See<'_>,
) -> anyhow::Result<()> {
    let mut live = Store::of(&services.config.data).live()?;
    let from = live.of(name).map(str::to_owned);
    ensure!(from.is_some(), "no version of `{name}` is live");
    live.turn(name, None);
    let more = json!({ "pack": name, "version": null, "before": from });
    turn(services, who, "rules.deactivated", live, more, see).await
}

/// Puts in force what is so when these packs are live.
async fn turn(
    services: &Services,
    who: &str,
    action: &'static str,
    live: Live,
    more: Value,
    see: See<'_>,
) -> anyhow::Result<()> {
    let store = Store::of(&services.config.data);
    let former = store.live()?;
    let loaded = force::load_live(services, live.clone()).await?;
    let before = match services.runs {
        true => services.desk.rules(),
        false => force::load_live(services, former.clone()).await?.rules,
    };
    store.set_live(&live)?;
    let replaced = force::replace(services, who, action, &before, &loaded, more).await;
    let row = match replaced {
        Ok(row) => row,
        Err(error) => {
            store.set_live(&former)?;
            return Err(error);
        }
    };
    if see(row) {
        force::amiss(&loaded, see);
    }
    Ok(())
}

/// Removes a version.
pub(super) async fn remove(
    services: &Services,
    who: &str,
    name: &str,
    version: &str,
    see: See<'_>,
) -> anyhow::Result<()> {
    let store = Store::of(&services.config.data);
    ensure!(store.live()?.of(name) != Some(version), "{name}@{version} is live");
    let pack = store.pack(name, version)?.with_context(|| {
        format!("there is no version `{version}` of `{name}`: `rules packs` lists those there are")
    })?;
    let row = json!({ "pack": name, "version": version, "digest": pack.digest });
    services.note(who, "rules.removed", row.clone()).await?;
    store.remove(name, version)?;
    see(row);
    Ok(())
}
