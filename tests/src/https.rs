//! A browser's half of HTTP, over TLS to a collector's console: one request per connection.

use std::io::{BufRead, BufReader, Read, Write};

use anyhow::{Context, ensure};
use serde_json::Value;

use crate::Collector;
use crate::tls::Client;

/// An answer, read to its end.
#[derive(Debug)]
pub struct Answer {
    /// Such as 200.
    pub status: u16,
    headers: Vec<(String, String)>,
    /// The body as text.
    pub body: String,
}

impl Answer {
    /// The first header of that name, in lower case; empty when there is none.
    pub fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(known, _)| known == name);
        found.map_or("", |(_, value)| value)
    }

    /// The body as JSON.
    pub fn json(&self) -> anyhow::Result<Value> {
        serde_json::from_str(&self.body).with_context(|| self.body.clone())
    }
}

/// A GET with these headers.
pub fn get(collector: &Collector, path: &str, headers: &[(&str, &str)]) -> anyhow::Result<Answer> {
    request(collector, "GET", path, headers, "")
}

/// A POST of a form.
pub fn post(
    collector: &Collector,
    path: &str,
    headers: &[(&str, &str)],
    form: &[(&str, &str)],
) -> anyhow::Result<Answer> {
    let pairs: Vec<String> =
        form.iter().map(|(name, value)| format!("{name}={}", encoded(value))).collect();
    let kind = ("Content-Type", "application/x-www-form-urlencoded");
    let headers = [headers, &[kind]].concat();
    request(collector, "POST", path, &headers, &pairs.join("&"))
}

fn request(
    collector: &Collector,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> anyhow::Result<Answer> {
    let mut client = send(collector, method, path, headers, body)?;
    let (status, headers) = head(&mut client)?;
    let mut body = String::new();
    let named = |name: &str| headers.iter().find(|(known, _)| known == name).map(|(_, v)| v);
    if named("transfer-encoding").is_some_and(|coding| coding == "chunked") {
        while let Some(chunk) = chunk(&mut client)? {
            body.push_str(&chunk);
        }
    } else {
        let length: u64 = named("content-length").map_or(Ok(0), |length| length.parse())?;
        client.take(length).read_to_string(&mut body)?;
    }
    Ok(Answer { status, headers, body })
}

fn send(
    collector: &Collector,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> anyhow::Result<BufReader<Client>> {
    let mut client = Client::connect(collector, collector.console, &[b"http/1.1"], None)?;
    let mut text = format!("{method} {path} HTTP/1.1\r\nHost: localhost:{}\r\n", collector.console);
    for (name, value) in headers {
        text += &format!("{name}: {value}\r\n");
    }
    text += &format!("Connection: close\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    client.write_all(text.as_bytes())?;
    client.flush()?;
    Ok(BufReader::new(client))
}

type Head = (u16, Vec<(String, String)>);

fn head(client: &mut impl BufRead) -> anyhow::Result<Head> {
    let mut line = String::new();
    client.read_line(&mut line)?;
    let status = line.split(' ').nth(1).with_context(|| format!("no HTTP answer: {line:?}"))?;
    let status = status.parse()?;
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        ensure!(client.read_line(&mut line)? > 0, "the answer broke off");
        match line.trim_end().split_once(':') {
            Some((name, value)) => headers.push((name.to_lowercase(), value.trim().to_owned())),
            None => return Ok((status, headers)),
        }
    }
}

fn chunk(client: &mut impl BufRead) -> anyhow::Result<Option<String>> {
    let mut line = String::new();
    ensure!(client.read_line(&mut line)? > 0, "the body broke off");
    let length = usize::from_str_radix(line.trim(), 16).with_context(|| line.clone())?;
    let mut bytes = vec![0; length + 2];
    client.read_exact(&mut bytes)?;
    bytes.truncate(length);
    Ok((length > 0).then(|| String::from_utf8(bytes)).transpose()?)
}

fn encoded(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => char::from(byte).to_string(),
            _ => format!("%{byte:02X}"),
        })
        .collect()
}

/// A live stream of server-sent events.
#[derive(Debug)]
pub struct Events {
    client: BufReader<Client>,
    unread: String,
}

/// One server-sent event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// What `Last-Event-ID` resumes after.
    pub id: String,
    /// Its kind.
    pub event: String,
    /// What it carries.
    pub data: String,
}

impl Events {
    /// Opens a stream.
    pub fn open(
        collector: &Collector,
        path: &str,
        headers: &[(&str, &str)],
    ) -> anyhow::Result<Events> {
        let mut client = send(collector, "GET", path, headers, "")?;
        let (status, headers) = head(&mut client)?;
        ensure!(status == 200, "the stream was answered {status}");
        let kind = headers.iter().find(|(name, _)| name == "content-type");
        ensure!(kind.is_some_and(|(_, kind)| kind == "text/event-stream"), "{headers:?}");
        Ok(Events { client, unread: String::new() })
    }

    /// The next event but comments; None when the stream ended.
    pub fn event(&mut self) -> anyhow::Result<Option<Event>> {
        loop {
            while let Some((block, rest)) = self.unread.split_once("\n\n") {
                let line = |name: &str| {
                    let found = block.lines().find_map(|line| line.strip_prefix(name));
                    found.map(|value| value.trim_start().to_owned())
                };
                let event = line("id:").zip(line("event:")).zip(line("data:"));
                self.unread = rest.to_owned();
                if let Some(((id, event), data)) = event {
                    return Ok(Some(Event { id, event, data }));
                }
            }
            match chunk(&mut self.client)? {
                Some(text) => self.unread.push_str(&text),
                None => return Ok(None),
            }
        }
    }
}
