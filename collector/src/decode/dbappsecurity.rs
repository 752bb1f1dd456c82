//! DBAppSecurity (安恒): the web application firewall 明御.
//!
//! In: `发生时间/2026-11-22 08:00:00,威胁/高,事件/SQL注入,请求方法/GET,URL地址/…,客户端IP/203.0.113.7,…,动作/阻断,…`, a
//! slash between key and value and a comma between pairs. Out: see [`super::network`].
//!
//! URL, body, user agent and the matched text are the client's and not quoted: they may hold commas, slashes
//! and whole pairs. Only a known key behind a comma begins a pair, and an address that is named twice is
//! taken for none.

use super::network::words::Happening;
use super::network::{Dialect, Facts, Meaning, Side};
use super::out::Out;
use super::pairs::Pair;
use super::{Decoder, Line, Looks};
use crate::event::names;

pub(crate) const DECODER: Decoder = Decoder {
    name: "dbappsecurity",
    datasets: &["dbappsecurity"],
    programs: &["DBAppWAF", "DBAPPWAF", "DBAppSecurity"],
    paths: &[],
    looks: Looks { first: b"\xE5\xE4", test: looks_like },
    security: false,
    decode,
};

const DIALECT: Dialect = Dialect { vendor: "dbappsecurity", own };
/// The keys of 明御; one that others begin with stands behind them.
const KEYS: &[&str] = &[
    "发生时间",
    "威胁级别",
    "威胁",
    "事件",
    "请求方法",
    "URL地址",
    "POST数据",
    "服务器IP",
    "主机名",
    "服务器端口",
    "客户端IP",
    "客户端端口",
    "客户端环境",
    "标签",
    "动作",
    "HTTP/S响应码",
    "响应码",
    "攻击特征串",
    "攻击特征",
    "触发规则",
    "访问唯一编号",
    "国家",
    "省",
    "市",
    "XFF_IP",
];

fn own(key: &str) -> Option<Meaning> {
    Some(match key {
        "威胁" | "威胁级别" => Meaning::Severity,
        "事件" => Meaning::Attack,
        "标签" => Meaning::AttackCategory,
        "触发规则" => Meaning::PolicyId,
        "服务器IP" => Meaning::Address(Side::Destination),
        "客户端IP" => Meaning::Address(Side::Source),
        "客户端端口" => Meaning::Port(Side::Source),
        "客户端环境" => Meaning::Field(names::USER_AGENT_ORIGINAL),
        "主机名" => Meaning::Field(names::URL_DOMAIN),
        "HTTP/S响应码" | "响应码" => Meaning::Count(names::HTTP_RESPONSE_STATUS_CODE),
        "XFF_IP" => Meaning::Field(names::NETWORK_FORWARDED_IP),
        "POST数据" => Meaning::Field(names::HTTP_REQUEST_BODY_CONTENT),
        "攻击特征" | "攻击特征串" | "访问唯一编号" => Meaning::Keep,
        _ => return None,
    })
}

fn looks_like(line: &str) -> bool {
    line.starts_with("发生时间/") || line.starts_with("事件/")
}

fn decode(line: &Line<'_>, out: &mut Out) -> bool {
    let mut facts = Facts::new(DIALECT);
    let mut open: Option<(&str, usize)> = None;
    let message = line.message;
    let mut at = 0;
    loop {
        let rest = message.get(at..).unwrap_or_default();
        if let Some(key) = key(rest) {
            if let Some((before, start)) = open {
                take(before, message.get(start..at.saturating_sub(1)), &mut facts, out);
            }
            open = Some((key, at + key.len() + 1));
        } else if at == 0 {
            return false;
        }
        match memchr::memchr(b',', rest.as_bytes()) {
            Some(comma) => at += comma + 1,
            None => break,
        }
    }
    if let Some((last, start)) = open {
        take(last, message.get(start..), &mut facts, out);
    }
    if !facts.has_attack() {
        return false;
    }
    out.word(names::OBSERVER_VENDOR, "DBAppSecurity");
    out.word(names::OBSERVER_TYPE, "waf");
    facts.set_happening(Happening::Attack);
    facts.conclude(out);
    true
}

/// The known key, with its slash, that a text begins with.
fn key(text: &str) -> Option<&'static str> {
    KEYS.iter()
        .copied()
        .find(|key| text.strip_prefix(key).is_some_and(|rest| rest.starts_with('/')))
}

fn take<'a>(key: &'a str, value: Option<&'a str>, facts: &mut Facts<'a>, out: &mut Out) {
    let value = value.unwrap_or_default();
    facts.take(Pair { key, value, escaped: false }, out);
}
