//! Lists of the site for `expand`: `NAME.txt` holds the values of `%NAME%`, one a line.
//!
//! In: a folder. Out: the lists by name, and a complaint for each file that is none; the others count.
//! Lines are trimmed; empty ones and those that begin with `#` are passed over.

use std::collections::BTreeMap;
use std::path::Path;

use super::files;

/// Bytes of one list.
const MAX_LIST: u64 = 4 << 20;
/// Values of all lists.
const MAX_VALUES: usize = 200_000;

/// What the folder holds.
#[derive(Debug, Default)]
pub struct Lists {
    /// Values by the list's name.
    pub values: BTreeMap<String, Vec<String>>,
    /// What was wrong, one line each.
    pub complaints: Vec<String>,
}

/// Reads the lists of a folder; `optional` when it need not be there.
pub fn read(dir: &Path, optional: bool) -> anyhow::Result<Lists> {
    let mut lists = Lists::default();
    let mut left = MAX_VALUES;
    for path in files::of(dir, optional)? {
        let shown = path.display();
        let name = match (path.file_stem().and_then(|stem| stem.to_str()), path.extension()) {
            (Some(name), Some(extension)) if extension == "txt" => name,
            _ => {
                lists.complaints.push(format!("{shown}: no list: their names end in .txt"));
                continue;
            }
        };
        let text = match files::text(&path, MAX_LIST) {
            Ok(text) => text,
            Err(error) => {
                lists.complaints.push(format!("{error:#}"));
                continue;
            }
        };
        let values: Vec<String> = values(&text).map(str::to_owned).collect();
        if values.is_empty() {
            lists
                .complaints
                .push(format!("{shown}: an empty list: rules that need it are refused"));
            continue;
        }
        if values.len() > left {
            let text =
                format!("{shown}: left out: all lists together have at most {MAX_VALUES} values");
            lists.complaints.push(text);
            continue;
        }
        left -= values.len();
        lists.values.insert(name.to_owned(), values);
    }
    Ok(lists)
}

fn values(text: &str) -> impl Iterator<Item = &str> {
    let lines = text.strip_prefix('\u{feff}').unwrap_or(text).lines().map(str::trim);
    lines.filter(|line| !line.is_empty() && !line.starts_with('#'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_stand_on_lines_of_their_own() {
        let text = "\u{feff}# DNS servers\n10.0.0.1\r\n\n  10.0.0.2  \n#10.0.0.3\n血站#1\n";
        assert_eq!(values(text).collect::<Vec<_>>(), ["10.0.0.1", "10.0.0.2", "血站#1"]);
    }

    #[test]
    fn a_wrong_list_is_named_and_the_others_count() {
        let dir = tempfile::tempdir().expect("a directory");
        let write =
            |name: &str, bytes: &[u8]| std::fs::write(dir.path().join(name), bytes).unwrap();
        write("good.txt", b"a\nb\n");
        write("empty.txt", b"# nothing\n");
        write("latin.txt", b"\xff\xfe");
        write("list.csv", b"a\n");
        write(".hidden.txt", b"a\n");
        let lists = read(dir.path(), false).expect("reads");
        assert_eq!(lists.values.keys().collect::<Vec<_>>(), ["good"]);
        assert_eq!(lists.complaints.len(), 3, "{:?}", lists.complaints);
        for (complaint, name) in lists.complaints.iter().zip(["empty.txt", "latin.txt", "list.csv"])
        {
            assert!(complaint.contains(name), "{complaint}");
        }
    }

    #[test]
    fn only_the_default_folder_may_be_missing() {
        let missing = Path::new("/nonexistent/lists");
        assert!(read(missing, true).expect("reads").values.is_empty());
        assert!(read(missing, false).is_err());
    }
}
