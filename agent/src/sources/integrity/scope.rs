//! Which paths are guarded, and what they are to a security officer.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;

use crate::sources::files::pattern::Pattern;

/// The guarded paths as configured.
#[derive(Debug)]
pub(super) struct Scope {
    include: Vec<String>,
    exclude: Vec<Pattern>,
}

/// The guarded paths as they are on this host now: homes looked up.
pub(super) struct Resolved {
    scope: Arc<Scope>,
    root: PathBuf,
    /// The entry as configured, and a pattern of it.
    patterns: Vec<(String, Pattern)>,
}

impl Scope {
    /// Checks the entries as written. One that begins with `~/` is below every account's home.
    pub(super) fn parse(include: &[String], exclude: &[String]) -> anyhow::Result<Scope> {
        for text in include {
            let absolute = text.strip_prefix('~').unwrap_or(text);
            Pattern::parse(absolute).context("sources.integrity.paths")?;
        }
        let exclude = exclude.iter().map(|text| {
            // A bare name is left out wherever it is.
            let everywhere = !text.starts_with('/');
            let text = if everywhere { format!("/**/{text}") } else { text.clone() };
            Pattern::parse(&text).context("sources.integrity.exclude")
        });
        Ok(Scope {
            include: include.iter().map(|text| trimmed(text)).collect(),
            exclude: exclude.collect::<anyhow::Result<_>>()?,
        })
    }

    /// The entries as configured.
    pub(super) fn entries(&self) -> &[String] {
        &self.include
    }

    /// Looks the homes up.
    pub(super) fn resolve(self: &Arc<Scope>, root: &Path) -> Resolved {
        let homes = homes(root);
        let mut patterns = Vec::new();
        for entry in &self.include {
            let texts: Vec<String> = match entry.strip_prefix('~') {
                Some(rest) => homes.iter().map(|home| glob::Pattern::escape(home) + rest).collect(),
                None => vec![entry.clone()],
            };
            let parsed = texts.iter().filter_map(|text| Pattern::parse(text).ok());
            patterns.extend(parsed.map(|pattern| (entry.clone(), pattern)));
        }
        Resolved { scope: Arc::clone(self), root: root.to_owned(), patterns }
    }
}

impl Resolved {
    /// The configured entry that guards a path; None when it is not guarded.
    pub(super) fn entry_of(&self, path: &Path) -> Option<&str> {
        let below = path.strip_prefix(&self.root).ok()?.to_string_lossy();
        let name = format!("/{below}");
        let ancestors = || Path::new(&name).ancestors().filter_map(Path::to_str);
        if ancestors().any(|name| self.scope.exclude.iter().any(|p| p.matches(name))) {
            return None;
        }
        let guards =
            |pattern: &Pattern| ancestors().any(|name| name != "/" && pattern.matches(name));
        self.patterns.iter().find(|(_, pattern)| guards(pattern)).map(|(entry, _)| entry.as_str())
    }

    /// The files and folders where guarding begins, those that exist.
    pub(super) fn tops(&self) -> BTreeSet<PathBuf> {
        self.patterns.iter().flat_map(|(_, pattern)| pattern.expand(&self.root)).collect()
    }

    /// The folders in which a guarded top may appear.
    pub(super) fn folders(&self) -> BTreeSet<PathBuf> {
        self.patterns.iter().flat_map(|(_, pattern)| pattern.folders(&self.root)).collect()
    }
}

/// What an area of the file system is about (`hengwei.fim.area`).
pub(super) fn area(name: &str) -> &'static str {
    let below = |folder: &str| {
        name == folder || name.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'))
    };
    let file = name.rsplit('/').next().unwrap_or(name);
    if file.starts_with("authorized_keys") || name.contains("/.ssh/") {
        "authorized_keys"
    } else if below("/etc/ssh") {
        "sshd"
    } else if ["/etc/pam.d", "/etc/security", "/etc/pam.conf"].iter().any(|f| below(f))
        || file.starts_with("pam_")
    {
        "pam"
    } else if name.starts_with("/etc/cron")
        || ["/var/spool/cron", "/etc/anacrontab", "/etc/at.allow", "/etc/at.deny"]
            .iter()
            .any(|f| below(f))
    {
        "cron"
    } else if name.contains("/systemd/") {
        "systemd"
    } else if name.starts_with("/etc/sudo") {
        "sudoers"
    } else if ["passwd", "shadow", "group", "gshadow", "subuid", "subgid", "login.defs"]
        .iter()
        .any(|f| name.strip_prefix("/etc/").is_some_and(|n| n.trim_end_matches('-') == *f))
    {
        "accounts"
    } else if [
        "/bin",
        "/sbin",
        "/lib",
        "/usr/bin",
        "/usr/sbin",
        "/usr/lib",
        "/usr/local/bin",
        "/usr/local/sbin",
        "/usr/libexec",
    ]
    .iter()
    .any(|f| below(f))
    {
        "binaries"
    } else if [
        "/var/www",
        "/srv/www",
        "/usr/share/nginx",
        "/etc/nginx",
        "/etc/apache2",
        "/etc/httpd",
    ]
    .iter()
    .any(|f| below(f))
    {
        "web"
    } else {
        "other"
    }
}

fn trimmed(text: &str) -> String {
    let short = text.trim_end_matches('/');
    if short.is_empty() { "/" } else { short }.to_owned()
}

/// The home of every account, but for those that have none to speak of.
fn homes(root: &Path) -> BTreeSet<String> {
    let passwd = std::fs::read(root.join("etc/passwd")).unwrap_or_default();
    String::from_utf8_lossy(&passwd)
        .lines()
        .filter_map(|line| line.split(':').nth(5))
        .filter(|home| home.starts_with('/') && *home != "/" && *home != "/nonexistent")
        .map(trimmed)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn areas() {
        let check = |name: &str, expected: &str| assert_eq!(area(name), expected, "{name}");
        check("/etc/ssh/sshd_config.d/10.conf", "sshd");
        check("/etc/pam.d/sshd", "pam");
        check("/etc/crontab", "cron");
        check("/etc/cron.daily/x", "cron");
        check("/var/spool/cron/crontabs/root", "cron");
        check("/etc/systemd/system/a.service", "systemd");
        check("/usr/lib/systemd/system/a.service", "systemd");
        check("/home/wang/.config/systemd/user/a.service", "systemd");
        check("/root/.ssh/authorized_keys2", "authorized_keys");
        check("/etc/sudoers", "sudoers");
        check("/etc/sudoers.d/x", "sudoers");
        check("/etc/shadow", "accounts");
        check("/etc/passwd-", "accounts");
        check("/usr/bin/ls", "binaries");
        check("/var/www/html/a.php", "web");
        check("/opt/his/x", "other");
        check("/etc/sshx", "other");
    }

    #[test]
    fn a_path_is_guarded_by_its_top_and_not_when_left_out() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("etc")).unwrap();
        std::fs::write(dir.path().join("etc/passwd"), "wang:x:1:1::/home/wang:/bin/sh\nx:::::/:\n")
            .unwrap();
        let texts = |texts: &[&str]| texts.iter().map(|t| (*t).to_owned()).collect::<Vec<_>>();
        let include = texts(&["/etc/ssh/", "/etc/cron.*", "~/.ssh/authorized_keys"]);
        let scope = Scope::parse(&include, &texts(&["*.swp", "/etc/ssh/moduli"])).unwrap();
        let resolved = Arc::new(scope).resolve(dir.path());
        let check = |name: &str, expected: Option<&str>| {
            assert_eq!(resolved.entry_of(&dir.path().join(name)), expected, "{name}");
        };
        check("etc/ssh", Some("/etc/ssh"));
        check("etc/ssh/a/b", Some("/etc/ssh"));
        check("etc/ssh/a/.b.swp", None);
        check("etc/ssh/moduli", None);
        check("etc/sshd", None);
        check("etc/cron.d/x", Some("/etc/cron.*"));
        check("home/wang/.ssh/authorized_keys", Some("~/.ssh/authorized_keys"));
        check("home/li/.ssh/authorized_keys", None);
        assert!(Scope::parse(&texts(&["etc"]), &[]).is_err());
    }
}
