//! Bytes in, events out: the one table of decoders.
//!
//! A record goes through three steps. Its bytes become text (`decode/charset.rs`, before anything
//! splits on ASCII). What carried it is taken off: a syslog header of a file, the fields of a journal
//! record, "message repeated N times". What is left goes to the first decoder that claims it, chosen
//! by the configured dataset, the program, the path, and a glance at its beginning. Typed records
//! (`decode/typed.rs`) need no decoder. A decoder of wrappers (`decode/docker.rs`) hands the line inside
//! on, which goes the third step again.
//!
//! A decoder claims a line only when it parses it; what it wrote before it gave up is taken back.
//! A panic is caught per record, which is kept raw with the problem named. Nothing here does I/O
//! or looks at a clock: the same block and context give the same events, which is what lets history
//! be read again by better decoders.

mod access;
mod accounts;
mod application;
mod audit;
mod bind;
mod bmc;
mod cef;
mod charset;
mod checkpoint;
mod cisco;
mod clamav;
mod consoles;
mod cron;
mod csv;
mod daemons;
mod dameng;
mod dbappsecurity;
mod dnsmasq;
mod docker;
mod dovecot;
mod error_log;
mod f5;
mod fail2ban;
mod firewall;
mod fortinet;
mod freeradius;
mod ftp;
mod gear;
mod haproxy;
mod hillstone;
mod hl7;
mod hostwatch;
mod iis;
mod infocenter;
mod ipsec;
mod iris;
mod java;
mod json;
mod juniper;
mod kamailio;
mod keepalived;
mod kernel;
mod kubernetes;
mod leef;
mod logfmt;
mod login;
mod mikrotik;
mod modsecurity;
mod moment;
mod mongodb;
mod mysql;
mod nas;
mod netfilter;
mod network;
mod node;
mod nsfocus;
mod ocserv;
mod openldap;
mod openvpn;
mod oracle;
mod orthanc;
mod out;
mod packages;
mod pairs;
mod paloalto;
mod pam;
mod pass;
mod pfsense;
mod phrase;
mod polkit;
mod postfix;
mod postgresql;
mod proxmox;
mod python;
mod qianxin;
mod rabbitmq;
mod redis;
mod route;
mod samba;
mod sangfor;
mod scan;
mod sftp;
mod signin;
mod sql;
mod sqlserver;
mod squid;
mod sshd;
mod su;
mod sudo;
mod suricata;
mod syslog;
mod systemd;
mod time;
mod topsec;
mod trail;
mod tryton;
mod typed;
mod utmp;
mod venustech;
mod vmware;
mod vsftpd;
mod watchers;
mod webapps;
mod weblogic;
mod welf;
mod windows;
mod zeek;

use std::borrow::Borrow;

use hengwei_protocol::Kind;
use hengwei_protocol::wire::Block;

use crate::event::{Events, Sender};
pub(crate) use route::{ANY, DAY_FIRST, DIGITS, ISO, Looks, NUMBER, SLASHED, UNDATED};
pub use route::{Decoder, Router};
use time::Years;
pub(crate) use time::read_in;

/// What decoding needs beside the block.
#[derive(Debug, Clone)]
pub struct Context<'a> {
    /// Who sent it.
    pub sender: &'a Sender,
    /// `event.ingested`, Unix nanoseconds.
    pub ingested: i64,
    /// The queue the block came in.
    pub kind: Kind,
}

/// Every decoder. To add one, write its file and name it here, twice. The order is that in which
/// those are tried that only a line's beginning speaks for: the particular before the general.
pub const DECODERS: &[Decoder] = &[
    sshd::DECODER,
    sudo::DECODER,
    su::DECODER,
    accounts::DECODER,
    systemd::LOGIND,
    systemd::DECODER,
    cron::DECODER,
    pam::DECODER,
    login::DECODER,
    sftp::DECODER,
    audit::DECODER,
    modsecurity::DECODER,
    suricata::DECODER,
    zeek::DECODER,
    kubernetes::DECODER,
    haproxy::DECODER,
    squid::DECODER,
    iis::DECODER,
    mysql::DECODER,
    dameng::DECODER,
    oracle::DECODER,
    sqlserver::DECODER,
    mongodb::DECODER,
    redis::DECODER,
    iris::IRIS,
    iris::GAUSSDB,
    postgresql::DECODER,
    postgresql::KINGBASE,
    openldap::DECODER,
    freeradius::DECODER,
    samba::DECODER,
    postfix::DECODER,
    dovecot::DECODER,
    orthanc::DECODER,
    kamailio::DECODER,
    kamailio::ASTERISK,
    kamailio::FREESWITCH,
    hl7::DECODER,
    windows::DECODER,
    kernel::DECODER,
    polkit::DECODER,
    packages::DPKG,
    packages::APT,
    packages::YUM,
    clamav::DECODER,
    vsftpd::DECODER,
    bind::DECODER,
    dnsmasq::DECODER,
    ftp::PROFTPD,
    ftp::PURE_FTPD,
    ftp::FILEZILLA,
    fail2ban::FAIL2BAN,
    fail2ban::SNOOPY,
    hostwatch::ROOTKITS,
    hostwatch::STORAGE,
    watchers::GRAFANA,
    watchers::CROWDSEC,
    hostwatch::DHCP,
    hostwatch::NETWORK_MANAGER,
    daemons::CLOCK,
    daemons::LOGGING,
    daemons::FIREWALLD,
    cef::DECODER,
    leef::DECODER,
    cisco::DECODER,
    infocenter::H3C,
    infocenter::HUAWEI,
    fortinet::DECODER,
    pfsense::DECODER,
    pfsense::SSHGUARD,
    mikrotik::DECODER,
    openvpn::DECODER,
    ipsec::STRONGSWAN,
    ipsec::LIBRESWAN,
    ocserv::DECODER,
    keepalived::DECODER,
    dbappsecurity::DECODER,
    f5::ASM,
    f5::BIGIP,
    checkpoint::DECODER,
    welf::SONICWALL,
    welf::STORMSHIELD,
    vmware::ESXI,
    vmware::VCENTER,
    proxmox::DECODER,
    nas::SYNOLOGY,
    nas::QNAP,
    bmc::IDRAC,
    bmc::ILO,
    bmc::UPS,
    juniper::DECODER,
    paloalto::DECODER,
    hillstone::DECODER,
    topsec::DECODER,
    venustech::DECODER,
    nsfocus::DECODER,
    qianxin::DECODER,
    sangfor::DECODER,
    utmp::DECODER,
    consoles::ZABBIX,
    consoles::XRDP,
    consoles::WEBMIN,
    consoles::JUMPSERVER,
    node::DECODER,
    webapps::PHP,
    webapps::GIN,
    weblogic::WEBLOGIC,
    weblogic::WEBSPHERE,
    rabbitmq::DECODER,
    error_log::NGINX,
    error_log::APACHE,
    java::DECODER,
    python::DECODER,
    tryton::DECODER,
    application::DECODER,
    access::DECODER,
    docker::DECODER,
    json::DECODER,
    firewall::GAP,
    firewall::DECODER,
    logfmt::DECODER,
];

/// What a decoder is given of a record.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Line<'a> {
    /// The program's message, or the whole line when nothing carried it.
    pub(crate) message: &'a str,
    /// The program, when something said so.
    pub(crate) program: Option<&'a str>,
    /// What was read.
    pub(crate) path: &'a str,
    /// The configured dataset, empty when none is.
    pub(crate) configured: &'a str,
}

/// Decodes a block. Never fails and never panics: a record nothing understands is an event with its
/// original, and a decoder that panics leaves its record raw with the problem named.
pub fn block(block: impl Borrow<Block>, context: &Context<'_>) -> Events {
    decode_with(block.borrow(), context, Router::usual())
}

/// Decodes a block with the decoders of a table, see [`block`].
pub fn decode_with(block: &Block, context: &Context<'_>, router: &Router) -> Events {
    pass::decode(block, context, router, Years::Nearest)
}

/// Decodes a block of a file that is at hand as a whole: a stamp without a year is counted back from when the
/// file was read ([`Record::created`](hengwei_protocol::wire::Record)), see [`block`].
pub fn file(block: &Block, context: &Context<'_>) -> Events {
    pass::decode(block, context, Router::usual(), Years::Back)
}

/// What a panic said.
pub(crate) fn panic_text(panic: &(dyn std::any::Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("without a word")
}

#[cfg(test)]
#[path = "decode/tests.rs"]
mod tests;
