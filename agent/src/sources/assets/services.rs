//! Services of systemd: what is loaded (`systemctl show`) and what could be (`list-unit-files`).
//!
//! Both are asked for in the plain form, which systemd had long before JSON: hospitals run
//! distributions of 2014.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use super::command;
use super::item::{Class, Item};

/// Services looked at on one host.
const MAX_SERVICES: usize = 4096;
const PROPERTIES: &str = "--property=Id,LoadState,ActiveState,UnitFileState,FragmentPath";

/// Every service; None where systemd does not run.
pub(crate) fn list(root: &Path) -> anyhow::Result<Option<Vec<Item>>> {
    // systemctl speaks to the systemd of this machine, whatever root is looked at.
    if root != Path::new("/") || !Path::new("/run/systemd/system").exists() {
        return Ok(None);
    }
    let loaded = command::output(Command::new("systemctl").args([
        "show",
        "--no-pager",
        PROPERTIES,
        "--",
        "*.service",
    ]))?;
    let files = command::output(Command::new("systemctl").args([
        "list-unit-files",
        "--no-pager",
        "--no-legend",
        "--full",
        "--type=service",
    ]))?;
    Ok(Some(parse(&loaded, &files)))
}

fn parse(loaded: &str, files: &str) -> Vec<Item> {
    let mut services: BTreeMap<String, Item> = BTreeMap::new();
    for block in loaded.split("\n\n") {
        let property = |name: &str| {
            let mut lines = block.lines();
            lines.find_map(|line| line.strip_prefix(name)?.strip_prefix('=')).unwrap_or_default()
        };
        let name = property("Id");
        if name.is_empty() || matches!(property("LoadState"), "not-found" | "masked") {
            continue;
        }
        let item = Item::new(Class::Service, name)
            .text("service.name", name)
            .text("service.state", state(property("ActiveState")))
            .text("hengwei.service.enabled", property("UnitFileState"))
            .text("hengwei.service.unit_file", property("FragmentPath"));
        services.insert(name.to_owned(), item);
    }
    for line in files.lines() {
        let mut words = line.split_ascii_whitespace();
        let (Some(name), Some(enabled)) = (words.next(), words.next()) else { continue };
        services.entry(name.to_owned()).or_insert_with(|| {
            Item::new(Class::Service, name)
                .text("service.name", name)
                .text("service.state", "inactive")
                .text("hengwei.service.enabled", enabled)
        });
    }
    services.into_values().take(MAX_SERVICES).collect()
}

/// A passing state is named by what it leads to or comes from, so that a service that is looked at
/// while it starts is no change. A service of kind oneshot is `activating` as long as it works.
fn state(active: &str) -> &str {
    match active {
        "reloading" | "refreshing" => "active",
        "activating" | "deactivating" | "maintenance" => "inactive",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loaded_services_and_unit_files_are_one_list() {
        let loaded = "Id=ssh.service\nLoadState=loaded\nActiveState=reloading\nUnitFileState=enabled\nFragmentPath=/lib/systemd/system/ssh.service\n\n\
            Id=ghost.service\nLoadState=not-found\nActiveState=inactive\nUnitFileState=\nFragmentPath=\n\n\
            Id=user@0.service\nLoadState=loaded\nActiveState=failed\nUnitFileState=static\nFragmentPath=/lib/systemd/system/user@.service\n";
        let files = "ssh.service enabled enabled\nnfs.service  disabled enabled\n\nlonely\n";
        let items = parse(loaded, files);
        let found: Vec<_> = items
            .iter()
            .map(|item| {
                let get = |name| item.get(name).unwrap_or_default();
                (
                    item.key.clone(),
                    get("service.state"),
                    get("hengwei.service.enabled"),
                    get("hengwei.service.unit_file"),
                )
            })
            .collect();
        let expected = [
            ("nfs.service", "inactive", "disabled", ""),
            ("ssh.service", "active", "enabled", "/lib/systemd/system/ssh.service"),
            ("user@0.service", "failed", "static", "/lib/systemd/system/user@.service"),
        ];
        let expected: Vec<_> = expected
            .iter()
            .map(|(a, b, c, d)| (a.to_string(), b.to_string(), c.to_string(), d.to_string()))
            .collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn a_fake_root_has_no_services_of_this_machine() {
        let dir = tempfile::tempdir().unwrap();
        assert!(list(dir.path()).unwrap().is_none());
    }
}
