//! Accounts and groups, from `/etc/passwd` and `/etc/group`.

use std::collections::HashMap;
use std::path::Path;

use super::item::{Class, Item};
use super::read;

/// Accounts, and groups, looked at on one host.
const MAX_ACCOUNTS: usize = 20_000;
/// Members named of one group, and groups of one account.
const MAX_MEMBERS: usize = 256;

/// Accounts with the groups they are in.
pub(crate) fn users(root: &Path) -> anyhow::Result<Vec<Item>> {
    let passwd = read::file(&root.join("etc/passwd"))?;
    let groups = read::file(&root.join("etc/group")).unwrap_or_default();
    Ok(parse_users(&passwd, &groups))
}

/// Groups with their members.
pub(crate) fn groups(root: &Path) -> anyhow::Result<Vec<Item>> {
    let text = read::file(&root.join("etc/group"))?;
    let groups = lines(&text, 4).map(|parts| {
        let mut item = Item::new(Class::Group, parts[0])
            .text("group.name", parts[0])
            .text("group.id", parts[2]);
        for member in members(parts[3]) {
            item = item.text("hengwei.group.members", member);
        }
        item
    });
    Ok(groups.collect())
}

/// Account names by number, for those who show processes.
pub(crate) fn names(root: &Path) -> HashMap<u32, String> {
    let text = read::file(&root.join("etc/passwd")).unwrap_or_default();
    let mut names = HashMap::new();
    for parts in lines(&text, 7) {
        if let Ok(id) = parts[2].parse() {
            names.entry(id).or_insert_with(|| read::clean(parts[0]));
        }
    }
    names
}

fn parse_users(passwd: &str, groups: &str) -> Vec<Item> {
    let mut name_of: HashMap<&str, &str> = HashMap::new();
    let mut groups_of: HashMap<&str, Vec<&str>> = HashMap::new();
    for parts in lines(groups, 4) {
        name_of.entry(parts[2]).or_insert(parts[0]);
        for member in members(parts[3]) {
            groups_of.entry(member).or_default().push(parts[0]);
        }
    }
    let users = lines(passwd, 7).map(|parts| {
        let mut item = Item::new(Class::User, parts[0])
            .text("user.name", parts[0])
            .text("user.id", parts[2])
            .text("group.id", parts[3])
            .text("user.home", parts[5])
            .text("hengwei.user.shell", parts[6]);
        let mut of = groups_of.get(parts[0]).cloned().unwrap_or_default();
        of.extend(name_of.get(parts[3]));
        of.sort_unstable();
        of.dedup();
        for group in of.into_iter().take(MAX_MEMBERS) {
            item = item.text("user.group", group);
        }
        item
    });
    users.collect()
}

/// The lines of such a file that have `columns` parts, without comments and the markers of NIS.
fn lines(text: &str, columns: usize) -> impl Iterator<Item = Vec<&str>> {
    text.lines()
        .filter(|line| !line.starts_with(['#', '+', '-', ':']))
        .map(|line| line.split(':').collect::<Vec<_>>())
        .filter(move |parts| parts.len() == columns)
        .take(MAX_ACCOUNTS)
}

fn members(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|member| !member.is_empty()).take(MAX_MEMBERS)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/bash\n\
        # comment:x:1:1:::\n\
        +::::::\n\
        too:few\n\
        wang:x:1000:1000:,,,:/home/wang:/bin/sh\n";
    const GROUP: &str = "root:x:0:\nsudo:x:27:wang, li\nwang:x:1000:\n";

    #[test]
    fn accounts_know_their_groups() {
        let users = parse_users(PASSWD, GROUP);
        let names: Vec<&str> = users.iter().map(|user| user.key.as_str()).collect();
        assert_eq!(names, ["root", "wang"]);
        let groups: Vec<String> = users[1]
            .fields
            .iter()
            .filter(|(name, _)| *name == "user.group")
            .map(|(_, value)| value.to_string())
            .collect();
        assert_eq!(groups, ["sudo", "wang"]);
        assert_eq!(users[1].get("hengwei.user.shell").as_deref(), Some("/bin/sh"));
        assert_eq!(users[0].get("user.id").as_deref(), Some("0"));
    }

    #[test]
    fn a_group_of_everybody_is_bounded() {
        let many: Vec<String> = (0..10_000).map(|n| format!("u{n}")).collect();
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("etc")).unwrap();
        std::fs::write(dir.path().join("etc/group"), format!("all:x:9:{}\n", many.join(",")))
            .unwrap();
        let groups = groups(dir.path()).unwrap();
        assert_eq!(groups[0].fields.len(), 2 + MAX_MEMBERS);
    }
}
