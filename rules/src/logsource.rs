//! Which log sources an event belongs to.
//!
//! In: the dataset a decoder named, or what a Windows event says of itself (channel, event id,
//! event type; [`windows`]). Out: a set of log sources, the more than one because generic categories
//! overlap: a deleted registry key is a `registry_event`, a `registry_delete` and part of service
//! `sysmon`.

use crate::LogSource;

pub mod windows;

pub use windows::{of_windows, windows_dataset};

pub(crate) use windows::usual;

impl LogSource {
    /// From keys that are given or not: category, product, service.
    pub fn new(category: Option<&str>, product: Option<&str>, service: Option<&str>) -> LogSource {
        LogSource {
            category: category.map(Into::into),
            product: product.map(Into::into),
            service: service.map(Into::into),
        }
    }

    /// Whether a rule that asks for `self` applies to an event of `event`: every key the rule has
    /// is the event's too.
    pub fn covers(&self, event: &LogSource) -> bool {
        let same = |wanted: &Option<Box<str>>, found: &Option<Box<str>>| {
            wanted.is_none() || wanted == found
        };
        same(&self.category, &event.category)
            && same(&self.product, &event.product)
            && same(&self.service, &event.service)
    }

    /// Whether it has no key at all.
    pub fn is_empty(&self) -> bool {
        self.category.is_none() && self.product.is_none() && self.service.is_none()
    }

    /// From `category/product/service`, `-` for a key that is not there.
    pub(crate) fn read(text: &str) -> LogSource {
        let mut keys = text.split('/').map(|key| Some(key).filter(|key| *key != "-"));
        let mut next = || keys.next().flatten();
        LogSource::new(next(), next(), next())
    }
}

/// The log sources of a decoded event, by its dataset. Every dataset is also a service of product
/// `hengwei`, so that rules can address any.
pub fn of_dataset(dataset: &str) -> Vec<LogSource> {
    let mut sources: Vec<LogSource> = named(dataset).iter().copied().map(LogSource::read).collect();
    if sources.is_empty() {
        sources = by_pattern(dataset);
    }
    sources.push(LogSource::new(None, Some("hengwei"), Some(dataset)));
    sources
}

/// Those of the datasets that decoders name, and of the others a site is likely to configure.
fn named(dataset: &str) -> &'static [&'static str] {
    match dataset {
        // Linux hosts.
        "sshd" => &["-/linux/sshd", "-/linux/auth"],
        "sudo" => &["-/linux/sudo", "-/linux/auth"],
        "su" => &["-/linux/su", "-/linux/auth"],
        "auth" | "secure" | "login" | "pam" | "passwd" | "chpasswd" | "chage" | "useradd"
        | "userdel" | "usermod" | "groupadd" | "groupdel" | "groupmod" | "gpasswd"
        | "systemd-logind" | "polkit" => &["-/linux/auth"],
        "syslog" | "logging" | "clock" | "firewalld" | "bind" => &["-/linux/syslog"],
        "systemd" => &["-/linux/systemd", "-/linux/syslog"],
        "kernel" => &["-/linux/kernel", "-/linux/syslog"],
        "cron" => &["-/linux/cron"],
        "vsftpd" => &["-/linux/vsftpd"],
        "guacamole" => &["-/linux/guacamole"],
        "dpkg" => &["-/linux/dpkg"],
        "apt" => &["-/linux/apt"],
        "yum" => &["-/linux/yum"],
        "clamav" => &["-/linux/clamav", "antivirus/clamav/-"],
        "iptables" => &["firewall/linux/iptables", "-/linux/kernel"],
        "auditd" => &["-/linux/auditd"],
        // Whoever preloads snoopy logs every command of every user.
        "snoopy" => &["process_creation/linux/-"],
        "auditd.execve" | "process" => &["process_creation/linux/-", "-/linux/auditd"],
        // What was done to the file stands in the event; the name of the dataset does not tell.
        "auditd.file" => &[
            "file_event/linux/-",
            "file_access/linux/-",
            "file_change/linux/-",
            "file_rename/linux/-",
            "file_delete/linux/-",
            "-/linux/auditd",
        ],
        "auditd.network" => &["network_connection/linux/-", "-/linux/auditd"],
        "fim" => &["file_event/linux/-"],
        // Names and mail.
        "bind.query" => &["dns/bind/-", "-/linux/syslog"],
        "dnsmasq" => &["dns/dnsmasq/-", "-/linux/syslog"],
        "postfix" => &["-/linux/postfix"],
        "dovecot" => &["-/linux/dovecot"],
        // The web.
        "gin.access" => &["webserver/gin/-"],
        "nginx.error" => &["-/nginx/nginx"],
        "apache.error" => &["-/apache/apache"],
        "haproxy" => &["webserver/haproxy/-"],
        "modsecurity" => &["webserver/modsecurity/-"],
        // Applications, by the language or framework whose errors they print.
        "java" => &["application/jvm/-", "application/spring/-", "application/velocity/-"],
        "spring" => &["application/spring/-", "application/jvm/-"],
        "velocity" => &["application/velocity/-", "application/jvm/-"],
        "python" | "tryton" => &["application/python/-"],
        "django" => &["application/django/-", "application/python/-"],
        "nodejs" => &["application/nodejs/-"],
        // Lines of applications nobody has described: in what language they are written is not known.
        "application" => &["application/jvm/-", "application/nodejs/-", "application/sql/-"],
        "wildfly" | "tongweb" | "bes" | "apusic" | "weblogic" | "websphere" | "cas" | "nacos"
        | "keycloak" | "elasticsearch" | "jenkins" | "activemq" => {
            &["application/jvm/-", "application/spring/-", "application/velocity/-"]
        }
        "ruby" | "rails" | "ruby_on_rails" => &["application/ruby_on_rails/-"],
        "opencanary" => &["application/opencanary/-"],
        "sql" => &["application/sql/-", "database/-/-"],
        "kubernetes.audit" => &["application/kubernetes/audit"],
        // Requests that no one server's log is known for.
        "web.access" => &["webserver/-/-"],
        "suricata" => &["-/suricata/-"],
        "zeek" => &["-/zeek/-"],
        // Databases. Their errors are those that applications print as well.
        "redis" => &["database/redis/-"],
        "mongodb" => &["database/mongodb/-"],
        "clickhouse" => &["database/clickhouse/-"],
        "cassandra" => &["database/cassandra/-"],
        "tidb" => &["database/tidb/-", "application/sql/-"],
        "oceanbase" => &["database/oceanbase/-", "application/sql/-"],
        "iris" => &["database/iris/-"],
        "gaussdb" => &["database/gaussdb/-", "application/sql/-"],
        "db2" => &["database/db2/-", "application/sql/-"],
        "sqlserver" => &["database/mssql/-", "application/sql/-"],
        "postgresql" => &["database/postgresql/-", "application/sql/-"],
        // Network devices.
        "cisco.ios" => &["-/cisco/ios", "-/cisco/bgp", "-/cisco/ldp"],
        "cisco.asa" => &["firewall/cisco/asa"],
        // What somebody typed: the public rules of service aaa look for words of commands.
        "cisco.command" => &["-/cisco/aaa"],
        "cisco.duo" => &["-/cisco/duo"],
        "huawei" => &["firewall/huawei/-", "-/huawei/bgp"],
        "juniper" => &["firewall/juniper/-", "-/juniper/bgp"],
        "fortinet.fortigate" => &["firewall/fortigate/-", "-/fortigate/event"],
        "h3c" => &["firewall/h3c/-"],
        "paloalto.panos" => &["firewall/paloalto/-"],
        "sangfor" => &["firewall/sangfor/-"],
        "topsec" => &["firewall/topsec/-"],
        "venustech" => &["firewall/venustech/-"],
        "nsfocus" => &["firewall/nsfocus/-"],
        "hillstone" => &["firewall/hillstone/-"],
        "qianxin" => &["firewall/qianxin/-"],
        "gap_gateway" => &["firewall/gap_gateway/-"],
        "firewall" => &["firewall/-/-"],
        "checkpoint" => &["firewall/checkpoint/-"],
        "pfsense" => &["firewall/pfsense/-"],
        "mikrotik" => &["firewall/mikrotik/-"],
        "sonicwall" => &["firewall/sonicwall/-"],
        "stormshield" => &["firewall/stormshield/-"],
        "dbappsecurity" => &["firewall/dbappsecurity/-"],
        "f5.asm" => &["firewall/f5/asm"],
        "openvpn" => &["firewall/openvpn/-"],
        "strongswan" => &["firewall/strongswan/-"],
        "libreswan" => &["firewall/libreswan/-"],
        "ocserv" => &["firewall/ocserv/-"],
        // Services elsewhere, whose logs come as JSON under the names of their makers.
        "aws.cloudtrail" => &["-/aws/cloudtrail"],
        "gcp.audit" => &["-/gcp/gcp.audit"],
        "google_workspace.admin" => &["-/gcp/google_workspace.admin"],
        "google_workspace.login" => &["-/gcp/google_workspace.login"],
        "okta.system" => &["-/okta/okta"],
        "onelogin.events" => &["-/onelogin/onelogin.events"],
        "github.audit" => &["-/github/audit"],
        "bitbucket.audit" => &["-/bitbucket/audit"],
        _ => &[],
    }
}

/// Those of datasets whose name says by its form what they are.
fn by_pattern(dataset: &str) -> Vec<LogSource> {
    let one = |category, product, service| vec![LogSource::new(category, product, service)];
    let Some((product, kind)) = dataset.split_once('.') else {
        return windows::of_dataset(dataset);
    };
    match (product, kind) {
        ("windows", _) => windows::of_dataset(dataset),
        ("nginx" | "apache" | "iis" | "tomcat" | "caddy" | "lighttpd" | "openresty", "access") => {
            one(Some("webserver"), Some(product), None)
        }
        (_, "proxy") => one(Some("proxy"), Some(product), None),
        ("postgresql" | "mysql" | "mariadb" | "dameng" | "kingbase" | "oracle", service) => vec![
            LogSource::new(Some("database"), Some(product), Some(service)),
            LogSource::new(Some("application"), Some("sql"), None),
        ],
        ("zeek" | "suricata", "dns") => one(Some("dns"), Some(product), Some("dns")),
        // Who looks at the wire sees requests to our servers and those of our own machines.
        ("zeek" | "suricata", "http") => vec![
            LogSource::new(Some("webserver"), Some(product), Some("http")),
            LogSource::new(Some("proxy"), Some(product), Some("http")),
        ],
        ("zeek" | "suricata" | "azure" | "m365", service) => {
            one(None, Some(product), Some(service))
        }
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn short(sources: &[LogSource]) -> Vec<String> {
        sources
            .iter()
            .map(|source| {
                [&source.category, &source.product, &source.service]
                    .map(|key| key.as_deref().unwrap_or("-").to_owned())
                    .join("/")
            })
            .collect()
    }

    #[test]
    fn datasets_have_sigma_log_sources() {
        for (dataset, expected) in [
            ("sshd", &["-/linux/sshd", "-/linux/auth", "-/hengwei/sshd"][..]),
            ("nginx.access", &["webserver/nginx/-", "-/hengwei/nginx.access"]),
            ("apache.error", &["-/apache/apache", "-/hengwei/apache.error"]),
            ("squid.proxy", &["proxy/squid/-", "-/hengwei/squid.proxy"]),
            ("suricata.dns", &["dns/suricata/dns", "-/hengwei/suricata.dns"]),
            ("zeek.http", &["webserver/zeek/http", "proxy/zeek/http", "-/hengwei/zeek.http"]),
            ("zeek.dce_rpc", &["-/zeek/dce_rpc", "-/hengwei/zeek.dce_rpc"]),
            ("web.access", &["webserver/-/-", "-/hengwei/web.access"]),
            ("fim", &["file_event/linux/-", "-/hengwei/fim"]),
            (
                "auditd.execve",
                &["process_creation/linux/-", "-/linux/auditd", "-/hengwei/auditd.execve"],
            ),
            ("iptables", &["firewall/linux/iptables", "-/linux/kernel", "-/hengwei/iptables"]),
            ("mysql.slow", &["database/mysql/slow", "application/sql/-", "-/hengwei/mysql.slow"]),
            ("cisco.asa", &["firewall/cisco/asa", "-/hengwei/cisco.asa"]),
            (
                "windows.sysmon.registry_delete",
                &[
                    "registry_event/windows/sysmon",
                    "registry_delete/windows/sysmon",
                    "-/hengwei/windows.sysmon.registry_delete",
                ],
            ),
            ("windows", &["-/windows/-", "-/hengwei/windows"]),
            ("windows.nobody", &["-/hengwei/windows.nobody"]),
            ("asset.socket", &["-/hengwei/asset.socket"]),
            ("hengwei.agent", &["-/hengwei/hengwei.agent"]),
            ("", &["-/hengwei/"]),
        ] {
            assert_eq!(short(&of_dataset(dataset)), expected, "{dataset}");
        }
    }

    #[test]
    fn a_rule_applies_when_its_keys_are_the_events() {
        let rule = LogSource::new(None, Some("linux"), None);
        assert!(rule.covers(&LogSource::new(Some("x"), Some("linux"), Some("sshd"))));
        assert!(!rule.covers(&LogSource::new(Some("x"), None, Some("sshd"))));
        assert!(!LogSource::new(Some("x"), None, None).covers(&rule));
    }
}
