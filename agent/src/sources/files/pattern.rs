//! Patterns of log paths, below a root.

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};

use anyhow::Context;

/// How patterns match: `*` stays within one folder and takes hidden files too, as logs may be.
const OPTIONS: glob::MatchOptions = glob::MatchOptions {
    case_sensitive: true,
    require_literal_separator: true,
    require_literal_leading_dot: false,
};

/// One configured pattern: an absolute path in which `*`, `?`, `[…]` and `**` may stand.
#[derive(Debug)]
pub(in crate::sources) struct Pattern {
    text: String,
    compiled: glob::Pattern,
}

impl Pattern {
    /// Checks a pattern as written.
    pub(in crate::sources) fn parse(text: &str) -> anyhow::Result<Pattern> {
        anyhow::ensure!(
            text.starts_with('/'),
            "`{text}` is not absolute: write the whole path, from / on"
        );
        let plain = Path::new(text).components().all(|part| part != Component::ParentDir);
        anyhow::ensure!(plain, "`{text}` contains `..`: write the path without it");
        let compiled =
            glob::Pattern::new(text).with_context(|| format!("`{text}` is not a pattern"))?;
        Ok(Pattern { text: text.to_owned(), compiled })
    }

    /// The pattern as written.
    pub(in crate::sources) fn text(&self) -> &str {
        &self.text
    }

    /// Whether it matches a path below the root.
    pub(in crate::sources) fn matches(&self, name: &str) -> bool {
        self.compiled.matches_with(name, OPTIONS)
    }

    /// What it matches now.
    pub(in crate::sources) fn expand(&self, root: &Path) -> Vec<PathBuf> {
        self.below(root, &self.text)
    }

    /// The folders in which something that matches may appear, or the nearest that exists.
    pub(in crate::sources) fn folders(&self, root: &Path) -> BTreeSet<PathBuf> {
        let mut folders = BTreeSet::new();
        let path = Path::new(&self.text);
        let mut ancestors: Vec<&Path> = path.ancestors().skip(1).collect();
        ancestors.reverse();
        let mut nearest = root.to_owned();
        let mut last_was_fixed = true;
        for ancestor in ancestors {
            let text = ancestor.to_string_lossy();
            let found: Vec<PathBuf> =
                self.below(root, &text).into_iter().filter(|path| path.is_dir()).collect();
            // Of a fixed chain of folders only the last that exists matters.
            let fixed = !text.contains(['*', '?', '[']);
            if !fixed && last_was_fixed {
                folders.insert(nearest.clone());
            }
            last_was_fixed = fixed;
            match found.first() {
                Some(first) if fixed => nearest.clone_from(first),
                Some(_) => folders.extend(found),
                None => break,
            }
        }
        if folders.is_empty() || last_was_fixed {
            folders.insert(nearest);
        }
        folders
    }

    fn below(&self, root: &Path, text: &str) -> Vec<PathBuf> {
        let root = glob::Pattern::escape(&root.to_string_lossy());
        let whole = format!("{}/{}", root.trim_end_matches('/'), text.trim_start_matches('/'));
        match glob::glob_with(&whole, OPTIONS) {
            Ok(paths) => paths.flatten().collect(),
            Err(_) => Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_checked() {
        let check = |text: &str, error: &str| {
            let got = Pattern::parse(text).unwrap_err();
            assert!(format!("{got:#}").contains(error), "{got:#}");
        };
        check("var/log/a", "is not absolute");
        check("/var/log/../a", "`..`");
        check("/var/log/[", "not a pattern");
        assert!(Pattern::parse("/var/log/**/*.log").is_ok());
    }

    #[test]
    fn folders_to_watch() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        std::fs::create_dir_all(root.join("var/log/nginx")).unwrap();
        std::fs::create_dir_all(root.join("var/log/his/2026")).unwrap();
        let check = |text: &str, expected: &[&str]| {
            let folders = Pattern::parse(text).unwrap().folders(root);
            let expected: BTreeSet<PathBuf> = expected.iter().map(|name| root.join(name)).collect();
            assert_eq!(folders, expected, "{text}");
        };
        check("/var/log/auth.log", &["var/log"]);
        check("/var/log/*.log", &["var/log"]);
        check("/var/log/*/access.log", &["var/log", "var/log/nginx", "var/log/his"]);
        check("/var/lib/his/a.log", &["var"]);
        check("/opt/*.log", &[""]);
    }
}
