//! F5 BIG-IP: attacks that ASM found, and what LTM, APM and the system say.
//!
//! In: ASM's `attack_type="SQL-Injection",…,ip_client="203.0.113.7",…,violations="…"`, keys in the order an administrator
//! chose; and messages that begin with a number, `01070638:5: Pool /Common/web member /Common/192.0.2.80:80 monitor
//! status down.` Out: the attack with its request; logins, commands, members that go up and down, failover.
//!
//! ASM quotes its values and doubles quotes within them; the request is the client's text, and an address
//! that is named twice is taken for none. In the other messages names of users are read from the end.

use std::sync::LazyLock;

use super::network::words::Happening;
use super::network::{self, Dialect, Meaning, Side};
use super::out::Out;
use super::pairs::{Assign, Between, Style};
use super::phrase::{Phrases, Row, row};
use super::{Decoder, Line, Looks, gear};
use crate::event::names;

pub(crate) const ASM: Decoder = Decoder {
    name: "f5-asm",
    datasets: &["f5.asm"],
    programs: &["ASM"],
    paths: &[],
    looks: Looks { first: b"abcdeghimpqrsuvwA", test: is_asm },
    security: false,
    decode: asm,
};

pub(crate) const BIGIP: Decoder = Decoder {
    name: "f5-bigip",
    datasets: &["f5.bigip"],
    programs: &["mcpd", "tmm", "apmd", "tmsh", "bigd"],
    paths: &["log/ltm", "log/apm"],
    looks: Looks { first: b"0123456789", test: |line| numbered(line).is_some() },
    security: false,
    decode: bigip,
};

const DIALECT: Dialect = Dialect { vendor: "f5", own };
const STYLE: Style = Style { assign: Assign::Equals, between: Between::Comma };

fn own(key: &str) -> Option<Meaning> {
    Some(match key {
        "attack_type" => Meaning::AttackCategory,
        "violations" | "sig_names" => Meaning::Attack,
        "sig_ids" => Meaning::PolicyId,
        "policy_name" | "http_class_name" => Meaning::Policy,
        "ip_client" => Meaning::Address(Side::Source),
        "dest_ip" => Meaning::Address(Side::Destination),
        "dest_port" => Meaning::Port(Side::Destination),
        "src_port" => Meaning::Port(Side::Source),
        "request_status" => Meaning::Action,
        "response_code" => Meaning::Count(names::HTTP_RESPONSE_STATUS_CODE),
        "date_time" => Meaning::Time,
        "query_string" => Meaning::Field(names::URL_QUERY),
        "uri" => Meaning::Field(names::URL_ORIGINAL),
        "protocol" => Meaning::Lower(names::NETWORK_PROTOCOL),
        "unit_hostname" => Meaning::Field(names::OBSERVER_NAME),
        "x_forwarded_for_header_value" => Meaning::Field(names::NETWORK_FORWARDED_IP),
        "request" | "management_ip_address" | "geo_location" | "ip_list" | "session_id" => {
            Meaning::Keep
        }
        _ => return None,
    })
}

fn is_asm(line: &str) -> bool {
    let line = line.strip_prefix("ASM:").unwrap_or(line);
    gear::begins_pair(line)
        && line.contains("support_id=\"")
        && (line.contains("attack_type=\"") || line.contains("violations=\""))
}

fn asm(line: &Line<'_>, out: &mut Out) -> bool {
    let message = line.message.strip_prefix("ASM:").unwrap_or(line.message).trim_start();
    if !is_asm(message) {
        return false;
    }
    let mut facts = network::read(message, STYLE, DIALECT, out);
    out.word(names::OBSERVER_VENDOR, "F5");
    out.word(names::OBSERVER_TYPE, "waf");
    // A request that broke no rule is logged, too.
    facts.set_happening(if facts.has_attack() { Happening::Attack } else { Happening::Web });
    facts.conclude(out);
    true
}

const ROWS: &[Row] = &[
    row("Pool {*} member {service.name} monitor status down.{reason}", "network", "backend_down").failed(),
    row("Pool {*} member {service.name} monitor status up.{reason}", "network", "backend_up").ok(),
    row("Pool {*} member {service.name} monitor status forced down.{reason}", "network", "backend_disabled"),
    row("No members available for pool {service.name}", "network", "service_down").failed(),
    row("Virtual Server {service.name} has become unavailable", "network", "service_down").failed(),
    row("AUDIT - user {*} - RAW: httpd(pam_audit): User={user} tty={_} host={ip} failed to login after {reason}", "authentication", "login").failed(),
    row("AUDIT - user {*} - RAW: sshd(pam_audit): User={user} tty={_} host={ip} failed to login after {reason}", "authentication", "login").failed(),
    row("AUDIT - user {user} - RAW: {_} user={_} partition={_} level={_} tty={_} host={ip} attempts={_} start={*}", "authentication", "login").ok(),
    row("AUDIT - pid={_} user={user} folder={_} module={_} status=[{reason}] cmd_data={process.command_line*}", "configuration", "config"),
    row("AUDIT - user {user} - transaction {_} - object {_} - {reason}", "configuration", "config"),
    row("Active", "network", "failover_active"),
    row("Standby", "network", "failover_standby"),
    row("SSL Handshake failed for TCP {peer} -> {destination}", "network", "tls_error").failed(),
    row("{_} Username '{user}'", "session", "vpn_user_named"),
    row("{_} New session from client IP {ip} ({*}) at VIP {destination.ip} Listener {_}", "session", "vpn_session").kind("start"),
    row("{_} New session from client IP {ip} ({*}) at VIP {destination.ip} Listener {_} (Reputation={_}", "session", "vpn_session").kind("start"),
    row("{_} Session deleted {reason}", "session", "vpn_session").kind("end"),
    row("{_} {_} module: authentication with '{user}' failed{reason}", "authentication", "vpn_login").failed(),
    row("{_} {_} module: authentication with '{user}' successful", "authentication", "vpn_login").ok(),
    row("{_} Access policy result: Logon_Deny", "authentication", "vpn_login").failed(),
];
static SAID: LazyLock<Phrases> = LazyLock::new(|| Phrases::new(ROWS));

/// `01070638:5: message`: the number of the message, its severity and itself.
fn numbered(line: &str) -> Option<(&str, u8, &str)> {
    const NUMBER: usize = 8;
    let (number, rest) = line.split_at_checked(NUMBER)?;
    let digits = number.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'a'..=b'f'));
    let [b':', severity @ b'0'..=b'7', b':', b' ', ..] = rest.as_bytes() else { return None };
    digits.then(|| (number, severity - b'0', rest.get(4..).unwrap_or_default()))
}

fn bigip(line: &Line<'_>, out: &mut Out) -> bool {
    let Some((number, severity, message)) = numbered(line.message) else { return false };
    out.word(names::OBSERVER_VENDOR, "F5");
    out.text(names::EVENT_CODE, number);
    gear::severity(severity, out);
    SAID.read(message, out).is_some() || line.program.is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms() {
        super::super::phrase::check(ROWS);
    }

    #[test]
    fn numbers() {
        assert_eq!(numbered("01070638:5: Pool x"), Some(("01070638", 5, "Pool x")));
        assert_eq!(numbered("010c0019:5: Active"), Some(("010c0019", 5, "Active")));
        for other in
            ["0107063:5: x", "01070638:9: x", "01070638-5: x", "", "01070638:5:x", "2026-11-22"]
        {
            assert_eq!(numbered(other), None, "{other}");
        }
    }
}
