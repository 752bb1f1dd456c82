//! The public corpora, where they are: rules, events, lines.
//!
//! Found at `CORPORA`, else at `../shared/corpora` beside the workspace; a test that needs them says
//! so when they are absent. Tests take a sample; `HENGWEI_ALL=1` takes all.

use std::fs;
use std::path::{Path, PathBuf};

use hengwei_rules::{LogSource, logsource};
use serde_json::{Map, Value as Json};

use crate::made::{Made, Owned};

const SOURCE_KEYS: [&str; 3] = ["category", "product", "service"];

/// Where they are, if they are.
pub(crate) fn root() -> Option<PathBuf> {
    let root = std::env::var_os("CORPORA")
        .map(PathBuf::from)
        .unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/corpora"));
    if root.join("sigma/rules").is_dir() {
        return Some(root);
    }
    println!("skipped: no corpora at {}", root.display());
    None
}

/// Every how manieth event of a lane is taken, for this many.
pub(crate) fn stride(events: usize, wanted: usize) -> usize {
    match std::env::var_os("HENGWEI_ALL") {
        Some(_) => 1,
        None => events.div_ceil(wanted).max(1),
    }
}

/// Texts of the public rules, in order of their paths.
pub(crate) fn rules(root: &Path) -> Vec<String> {
    texts(&root.join("sigma/rules"))
}

/// Texts of the rules of a folder, in order of their paths.
pub(crate) fn texts(folder: &Path) -> Vec<String> {
    let mut files = Vec::new();
    walk(folder, &mut files);
    let rules = files.iter().filter(|path| path.extension().is_some_and(|e| e == "yml"));
    rules.map(|path| fs::read_to_string(path).unwrap()).collect()
}

/// The lanes of events: name, JSON objects.
pub(crate) fn events(root: &Path) -> Vec<(String, Vec<Map<String, Json>>)> {
    let mut files = Vec::new();
    walk(&root.join("sigma/events"), &mut files);
    let lane = |path: &PathBuf| {
        let text = fs::read_to_string(path).unwrap();
        let events = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        (path.file_stem().unwrap().to_string_lossy().into_owned(), events)
    };
    files.iter().filter(|path| path.extension().is_some_and(|e| e == "ndjson")).map(lane).collect()
}

/// The lanes of lines: name, lines.
pub(crate) fn lines(root: &Path) -> Vec<(String, Vec<String>)> {
    let lane = |name: &str| {
        let mut files = Vec::new();
        walk(&root.join(name), &mut files);
        let mut lines = Vec::new();
        for path in files {
            let bytes = fs::read(path).unwrap();
            lines.extend(String::from_utf8_lossy(&bytes).lines().map(str::to_owned));
        }
        (name.to_owned(), lines)
    };
    ["logs", "web"].map(lane).into()
}

fn walk(folder: &Path, files: &mut Vec<PathBuf>) {
    let mut entries: Vec<PathBuf> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            walk(&path, files);
        } else {
            files.push(path);
        }
    }
}

/// An event of a lane: what begins with an underscore says where it comes from and is no field;
/// without any such, `category`, `product` and `service` do.
pub(crate) fn event(object: &Map<String, Json>) -> Made {
    let text = |key: &str| object.get(key).and_then(Json::as_str).filter(|text| !text.is_empty());
    let explicit = object.keys().any(|key| key.starts_with("_ls_"));
    let [category, product, service] = match explicit {
        true => ["_ls_category", "_ls_product", "_ls_service"],
        false => SOURCE_KEYS,
    }
    .map(text);
    let hidden = |key: &str| key.starts_with('_') || (!explicit && SOURCE_KEYS.contains(&key));
    let mut made =
        Made { sources: vec![LogSource::new(category, product, service)], ..Made::default() };
    if let Some(channel) = text("Channel") {
        let id = object.get("EventID").and_then(|id| match id {
            Json::String(text) => text.parse().ok(),
            other => other.as_i64(),
        });
        made.sources.extend(logsource::of_windows(channel, id, text("EventType")));
    }
    for (key, value) in object.iter().filter(|(key, _)| !hidden(key)) {
        put(&key.replace(' ', ""), value, &mut made);
    }
    made
}

fn put(name: &str, value: &Json, made: &mut Made) {
    let value = match value {
        Json::Object(inner) => {
            for (key, value) in inner {
                put(&format!("{name}.{key}"), value, made);
            }
            return;
        }
        Json::Array(items) => {
            items.iter().for_each(|item| put(name, item, made));
            return;
        }
        Json::Null => Owned::Null,
        Json::Bool(flag) => Owned::Flag(*flag),
        Json::Number(number) => match number.as_i64() {
            Some(number) => Owned::Integer(number),
            None => Owned::Text(number.to_string()),
        },
        Json::String(text) => Owned::Text(text.clone()),
    };
    made.fields.push((name.to_owned(), value));
}
