//! Requests as a web server logs them: real ones, and attacks as such a server would have logged them.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;
use yaml_serde::Value;

use super::raw::Log;

const PATH: &str = "/var/log/apache2/access.log";

/// Access lines of the corpora: a log, and a line for each request of the attack tests.
pub(super) fn log(corpora: &Path) -> anyhow::Result<Log> {
    let path = corpora.join("logs/apache_access_10k.log");
    let text = fs::read(&path).with_context(|| path.display().to_string())?;
    let mut lines: Vec<Vec<u8>> = text
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
        .map(<[u8]>::to_vec)
        .collect();
    let mut files = Vec::new();
    tests(&corpora.join("web"), &mut files)?;
    for file in files {
        let text = fs::read(&file).with_context(|| file.display().to_string())?;
        // Some tests send bytes that YAML has no way to say; those files are passed over.
        if let Ok(suite) = yaml_serde::from_str::<Value>(&String::from_utf8_lossy(&text)) {
            requests(&suite, &mut lines);
        }
    }
    Ok(Log::of(PATH, lines))
}

fn tests(folder: &Path, files: &mut Vec<PathBuf>) -> anyhow::Result<()> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        paths.push(entry?.path());
    }
    paths.sort();
    for path in paths {
        if path.is_dir() {
            tests(&path, files)?;
        } else if path.extension().is_some_and(|extension| extension == "yaml") {
            files.push(path);
        }
    }
    Ok(())
}

/// A line for each request of a file of tests.
fn requests(suite: &Value, lines: &mut Vec<Vec<u8>>) {
    let list = |value: &Value, key: &str| value.get(key).and_then(Value::as_sequence).cloned();
    for test in list(suite, "tests").unwrap_or_default() {
        for stage in list(&test, "stages").unwrap_or_default() {
            let Some(input) = stage.get("input") else { continue };
            let text = |key: &str| input.get(key).and_then(Value::as_str);
            let header = |key: &str| {
                input.get("headers").and_then(|all| all.get(key)).and_then(Value::as_str)
            };
            let request = format!(
                "{} {} {}",
                text("method").unwrap_or("GET"),
                text("uri").unwrap_or("/"),
                text("version").unwrap_or("HTTP/1.1")
            );
            let line = format!(
                "192.0.2.7 - - [10/Oct/2025:13:55:36 +0000] \"{}\" 200 512 \"{}\" \"{}\"",
                escaped(&request),
                escaped(header("Referer").unwrap_or("-")),
                escaped(header("User-Agent").unwrap_or("-"))
            );
            lines.push(line.into_bytes());
        }
    }
}

/// As the server escapes what would end a field or a line.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'"' => out.push_str("\\\""),
            b'\\' => out.push_str("\\\\"),
            b'\n' => out.push_str("\\n"),
            b'\t' => out.push_str("\\t"),
            b' '..=b'~' => out.push(char::from(byte)),
            _ => out.push_str(&format!("\\x{byte:02x}")),
        }
    }
    out
}
