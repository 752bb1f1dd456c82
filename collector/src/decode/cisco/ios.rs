//! Switches and routers: what a line of IOS or NX-OS says beyond its code.

use super::super::network::{lower, protocol};
use super::super::out::Out;
use super::super::scan;
use super::{
    Between, address_between, between, doubt, end, ends, login, text_between, told, verdict, word,
};
use crate::event::names;

/// Reads what is known; other lines have their code and severity only.
pub(super) fn read(facility: &str, name: &str, text: &str, out: &mut Out) {
    match (facility, name) {
        ("SYS", "CONFIG_I") | (_, "VSHD_SYSLOG_CONFIG_I") => configured(text, out),
        (_, "CFGLOG_LOGGEDCMD") => command(text, out),
        ("SEC_LOGIN", _) => sec_login(name, text, out),
        ("SYS", "LOGOUT") | (_, "LOGIN_LOGOUT") => logout(text, out),
        ("SSH", _) => ssh(name, text, out),
        ("AUTHPRIV" | "DAEMON" | "AUTH", _) => nxos_auth(text, out),
        ("LINK" | "LINEPROTO" | "ETHPORT" | "ETH_PORT_CHANNEL", _) => link(name, text, out),
        ("SEC" | "IPV6_ACL" | "IPV6" | "FMANFP" | "ACLLOG", _) => access_list(text, out),
        ("PORT_SECURITY", _) => {
            told("intrusion_detection", "port_security_violation", out);
            text_between(names::SOURCE_MAC, text, "MAC address ", " on", out);
            text_between(names::OBSERVER_INGRESS_INTERFACE_NAME, text, " on port ", ".", out);
        }
        ("PM", "ERR_DISABLE") => {
            told("network", "err_disable", out);
            if let Some((reason, _)) = text.split_once(" error detected") {
                out.some(names::EVENT_REASON, reason);
            }
            text_between(names::OBSERVER_INGRESS_INTERFACE_NAME, text, " detected on ", ",", out);
        }
        ("SW_DAI", _) => inspected(name, text, out),
        ("DHCP_SNOOPING", _) => {
            told("intrusion_detection", "dhcp_snooping", out);
            text_between(names::SOURCE_MAC, text, "MAC sa: ", " ", out);
            text_between(
                names::OBSERVER_INGRESS_INTERFACE_NAME,
                text,
                " on untrusted port ",
                ",",
                out,
            );
        }
        ("DOT1X" | "MAB" | "AUTHMGR" | "DOT1X_SWITCH", _) => port_login(name, text, out),
        ("LOGIN" | "AAA", "LOGIN_SUCCESS" | "LOGIN_FAIL" | "LOGIN_FAILED") => {
            ruijie(name, text, out)
        }
        ("TACACS" | "RADIUS" | "AAA" | "AAAA", _) => {
            out.word(names::EVENT_CATEGORY, "authentication");
            lower(names::EVENT_ACTION, name, out);
        }
        _ => {}
    }
}

/// `Configured from console by zhangsan on vty0 (192.0.2.1)`, `… from vty by zhangsan on 192.0.2.1@pts/0`.
fn configured(text: &str, out: &mut Out) {
    told("configuration", "config", out);
    let Some((_, who)) = text.split_once(" by ") else { return };
    let Some((user, place)) = who.rsplit_once(" on ") else {
        // Nobody signed in by name: `vty0 (192.0.2.1)`.
        let place = who.strip_suffix(')').and_then(|who| who.rsplit_once(" ("));
        return match place.and_then(|(_, address)| scan::address(address)) {
            Some(address) => out.address(names::SOURCE_IP, address),
            None => out.some(names::USER_NAME, who),
        };
    };
    out.some(names::USER_NAME, user);
    let place = place.trim_end_matches('.');
    let address = match place.strip_suffix(')').and_then(|place| place.rsplit_once('(')) {
        Some((_, address)) => address,
        None => place.split('@').next().unwrap_or_default(),
    };
    if let Some(address) = scan::address(address) {
        out.address(names::SOURCE_IP, address);
    }
}

/// Ruijie: `User login from vty0(192.0.2.1) OK.`, `User admin login from 192.0.2.1 failed`.
fn ruijie(name: &str, text: &str, out: &mut Out) {
    login(name.ends_with("SUCCESS"), out);
    let Some((who, place)) = text.rsplit_once(" from ") else { return };
    let user = who.strip_prefix("User ").and_then(|who| {
        let ends = [" failed to login", " login", " logged in"];
        ends.iter().find_map(|end| who.strip_suffix(end))
    });
    out.some(names::USER_NAME, user.unwrap_or_default().trim());
    let place = place.split(' ').next().unwrap_or_default().trim_end_matches(['.', ',']);
    let address = match place.strip_suffix(')').and_then(|place| place.rsplit_once('(')) {
        Some((_, address)) => address,
        None => place,
    };
    if let Some(address) = scan::address(address) {
        out.address(names::SOURCE_IP, address);
    }
}

/// `User:zhangsan  logged command:interface Gi0/1`.
fn command(text: &str, out: &mut Out) {
    told("configuration", "config", out);
    let Some((who, command)) = text.split_once("logged command:") else { return };
    out.dataset = Some("cisco.command");
    out.some(names::USER_NAME, who.trim_start_matches("User:").trim());
    out.some(names::PROCESS_COMMAND_LINE, command.trim());
}

/// `Login failed [user: a] [Source: 192.0.2.1] [localport: 22] [Reason: …] at …`.
fn sec_login(name: &str, text: &str, out: &mut Out) {
    match name {
        "QUIET_MODE_ON" => told("intrusion_detection", "login_block", out),
        "QUIET_MODE_OFF" => return told("network", "login_unblock", out),
        _ => login(name.contains("SUCCESS"), out),
    }
    text_between(names::USER_NAME, text, "[user: ", "]", out);
    address_between(text, "[Source: ", "]", out);
    text_between(names::EVENT_REASON, text, "[Reason: ", "]", out);
    if let Between::Once(port) = between(text, "[localport: ", "]") {
        out.digits(names::DESTINATION_PORT, port);
    }
}

/// `User zhangsan has exited tty session 2(192.0.2.1)`.
fn logout(text: &str, out: &mut Out) {
    told("authentication", "logout", out);
    let Some((user, rest)) = text.trim_start_matches("User ").split_once(" has exited") else {
        return;
    };
    out.some(names::USER_NAME, user);
    if let Some((_, address)) =
        rest.trim_end_matches(['.', ' ']).trim_end_matches(')').rsplit_once('(')
        && let Some(address) = scan::address(address)
    {
        out.address(names::SOURCE_IP, address);
    }
}

/// `User 'a' authentication for SSH2 Session from 192.0.2.1 (tty = 0) using … Succeeded`.
fn ssh(name: &str, text: &str, out: &mut Out) {
    if name.ends_with("CLOSE") {
        told("authentication", "logout", out);
    } else if name.contains("USERAUTH") {
        login(text.trim_end_matches('.').ends_with("Succeeded"), out);
        out.word(names::HENGWEI_AUTH_METHOD, "ssh");
    } else {
        told("network", "ssh_session", out);
        out.outcome(!text.trim_end_matches('.').ends_with("Failed"));
    }
    text_between(names::USER_NAME, text, "User '", "' authentication", out);
    address_between(text, " from ", " ", out);
}

/// `pam_aaa:Authentication failed for user a from 192.0.2.1 - sshd[1]`.
fn nxos_auth(text: &str, out: &mut Out) {
    let Some((_, who)) = text.split_once("Authentication failed for ") else { return };
    login(false, out);
    let who =
        who.strip_prefix("user ").or_else(|| who.strip_prefix("illegal user ")).unwrap_or(who);
    let Some((user, place)) = who.rsplit_once(" from ") else { return };
    out.some(names::USER_NAME, user);
    if let Some(address) = place.split(' ').next().and_then(scan::address) {
        out.address(names::SOURCE_IP, address);
    }
}

/// `Interface Gi1/0/1, changed state to down`, `Interface Ethernet1/1 is down (…)`.
fn link(name: &str, text: &str, out: &mut Out) {
    let state = text
        .split_once(" changed state to ")
        .or_else(|| text.split_once(" is "))
        .map(|(_, state)| state);
    let down = match state {
        Some(state) => state.contains("down"),
        None => name.contains("DOWN"),
    };
    if state.is_none() && !name.contains("UPDOWN") && !name.starts_with("IF_") {
        return;
    }
    told("network", if down { "link_down" } else { "link_up" }, out);
    if state.is_some()
        && let Some(interface) = word(text, "nterface ")
    {
        out.text(names::OBSERVER_INGRESS_INTERFACE_NAME, interface);
    }
}

/// `list OUT denied tcp 192.0.2.1(1024) -> 198.51.100.1(80), 1 packet`, and NX-OS's pairs.
fn access_list(text: &str, out: &mut Out) {
    let Some((_, rest)) = text.split_once("list ") else { return flow(text, out) };
    let Some((list, rest)) = rest.split_once(' ') else { return };
    let (word, rest) = rest.split_once(' ').unwrap_or((rest, ""));
    let allowed = match word {
        "permitted" | "est-allowed" => true,
        "denied" => false,
        _ => return,
    };
    verdict(allowed, out);
    out.some(names::RULE_NAME, list);
    let (head, tail) = rest.split_once(" -> ").unwrap_or((rest, ""));
    let mut words = head.split(' ').filter(|word| !word.is_empty());
    let first = words.next().unwrap_or_default();
    let source = match end(first) {
        Some(end) => Some(end),
        None => {
            protocol(first, out);
            words.next().and_then(end)
        }
    };
    ends(source, tail.split(' ').next().and_then(end), out);
}

/// `Src IP: 192.0.2.1, Dst IP: …, Src Port: 0, Dst Port: 0, … Protocol: "TCP"(6), …`.
fn flow(text: &str, out: &mut Out) {
    let value = |key: &str| match between(text, key, ",") {
        Between::Once(value) => Some(value.trim()),
        _ => None,
    };
    let (Some(source), Some(destination)) =
        (value("Src IP: ").and_then(scan::address), value("Dst IP: ").and_then(scan::address))
    else {
        return;
    };
    out.word(names::EVENT_CATEGORY, "network");
    out.address(names::SOURCE_IP, source);
    out.address(names::DESTINATION_IP, destination);
    for (key, id) in [("Src Port: ", names::SOURCE_PORT), ("Dst Port: ", names::DESTINATION_PORT)] {
        if let Some(port) = value(key).and_then(|port| port.parse::<u16>().ok()) {
            out.integer(id, port.into());
        }
    }
    if let Some(name) = value("Protocol: ") {
        protocol(name.split('(').next().unwrap_or(name).trim_matches('"'), out);
    }
    if let Some(interface) = value("Src Intf: ") {
        out.some(names::OBSERVER_INGRESS_INTERFACE_NAME, interface);
    }
    if let Some(list) = value("ACL Name: ") {
        out.some(names::RULE_NAME, list);
    }
    if let Some(action) = value("ACL Action: ") {
        let allowed = action.eq_ignore_ascii_case("permit");
        out.word(names::EVENT_ACTION, if allowed { "allow" } else { "deny" });
        out.word(names::EVENT_TYPE, if allowed { "allowed" } else { "denied" });
    }
}

/// `1 Invalid ARPs (Req) on Gi1/0/1, vlan 10.([0011.2233.4455/192.0.2.1/0000.0000.0000/192.0.2.2/…`.
fn inspected(name: &str, text: &str, out: &mut Out) {
    if name.contains("PERMIT") {
        verdict(true, out);
    } else {
        told("intrusion_detection", "arp_inspection", out);
        out.word(names::EVENT_TYPE, "denied");
    }
    text_between(names::OBSERVER_INGRESS_INTERFACE_NAME, text, " on ", ",", out);
    let Some((_, packet)) = text.split_once("([") else { return };
    let mut parts = packet.split('/');
    if let Some(mac) = parts.next() {
        out.some(names::SOURCE_MAC, mac);
    }
    if let Some(address) = parts.next().and_then(scan::address) {
        out.address(names::SOURCE_IP, address);
    }
}

/// `Authentication failed for client (0011.2233.4455) on Interface Gi1/0/1`.
fn port_login(name: &str, text: &str, out: &mut Out) {
    if name != "FAIL" && name != "SUCCESS" {
        out.word(names::EVENT_CATEGORY, "authentication");
        return lower(names::EVENT_ACTION, name, out);
    }
    login(name == "SUCCESS", out);
    match between(text, "client (", ")") {
        Between::Once(mac) => out.some(names::SOURCE_MAC, mac),
        Between::Again => doubt(names::SOURCE_MAC, out),
        Between::Nothing => {}
    }
    if let Some(interface) = word(text, "Interface ") {
        out.text(names::OBSERVER_INGRESS_INTERFACE_NAME, interface);
    }
}
