//! The guarded systems, and how much of each reports.
//!
//! In: one data file per system (compiled in from `packaging/systems/`, replaced or added to by files
//! of a folder), the agents that are known, the fleet. Out: for each system its [`Coverage`]: members
//! that report, those silent and since when, those never seen, datasets that are missing; and two
//! gauges. It raises nothing: the watch does.
//!
//! A member of a system is a site (a hospital, a health centre). It reports when each of its agents
//! in that system does, so that a silent machine is never hidden behind its neighbour; a dataset it
//! must deliver may come from any of them.

mod coverage;

use std::collections::BTreeMap;
use std::path::Path;

use hengwei_protocol::identity::is_id;
use serde::Deserialize;

pub use self::coverage::{Coverage, Gauges, Missing, REPORTS_WITHIN, Silent, coverage};

/// The largest system file that is read.
const MAX_FILE: u64 = 1 << 20;

macro_rules! files {
    ($($name:literal)*) => {
        /// The files that come with the collector.
        const FILES: &[(&str, &str)] = &[
            $((
                concat!($name, ".toml"),
                include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../packaging/systems/", $name, ".toml")),
            ),)*
        ];
    };
}

files! {
    "big-data"
    "blood-bank"
    "citizen-app"
    "county-card"
    "dispatch-120"
    "edge"
    "family-doctor"
    "family-doctor-kit"
    "health-card"
    "hospital-his"
    "imaging-cloud"
    "internet-consultation"
    "outbound-calls"
    "population-health"
    "provincial-collaboration"
    "public-health"
    "direct-report"
    "referral"
    "regional-emr"
    "security-platform"
    "settlement"
    "supervision"
    "tele-rooms"
    "telemedicine"
    "workflow"
}

/// A guarded system.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct System {
    /// What the registry ties agents to.
    pub id: String,
    /// Chinese name.
    pub name_zh: String,
    /// English name.
    pub name_en: String,
    /// Level of its protection (等保), 1 to 5.
    pub mlps_level: u8,
    /// How many members it has; None when nobody said.
    pub expected: Option<u32>,
    /// Members whose names are known.
    #[serde(default)]
    pub members: Vec<Member>,
    /// What each member of it must deliver.
    pub datasets: Vec<Requirement>,
}

/// A member that is known by name.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Member {
    /// The site, as the registry names it.
    pub site: String,
    /// Chinese name.
    pub name_zh: String,
}

/// Something each member must deliver, by whichever of its agents.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Requirement {
    /// One of these datasets will do.
    pub any_of: Vec<String>,
    /// At least so often, in hours.
    pub within_hours: u32,
}

/// Why systems could not be read; names file, key and remedy.
#[derive(Debug, thiserror::Error)]
#[error("{file}: {problem}")]
pub struct Error {
    file: String,
    problem: String,
}

/// All guarded systems, by id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Systems(BTreeMap<String, System>);

impl Systems {
    /// Those that come with the collector, and those of `dir`, which win.
    pub fn load(dir: Option<&Path>) -> Result<Systems, Error> {
        let mut systems = BTreeMap::new();
        for (file, text) in FILES {
            let system = parse(file, text)?;
            systems.insert(system.id.clone(), system);
        }
        let Some(dir) = dir else { return Ok(Systems(systems)) };
        let shown = dir.display().to_string();
        let failed =
            |error: std::io::Error| Error { file: shown.clone(), problem: error.to_string() };
        let mut own: BTreeMap<String, String> = BTreeMap::new();
        for entry in std::fs::read_dir(dir).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            if path.extension().is_none_or(|extension| extension != "toml") {
                continue;
            }
            let file = path.display().to_string();
            let system = parse(&file, &read(&path, &file)?)?;
            if let Some(other) = own.insert(system.id.clone(), file.clone()) {
                let problem = format!("id = \"{}\" is also in {other}: keep one", system.id);
                return Err(Error { file, problem });
            }
            systems.insert(system.id.clone(), system);
        }
        Ok(Systems(systems))
    }

    /// The system of that id.
    pub fn get(&self, id: &str) -> Option<&System> {
        self.0.get(id)
    }

    /// Every system, by id.
    pub fn iter(&self) -> impl Iterator<Item = &System> {
        self.0.values()
    }
}

fn read(path: &Path, file: &str) -> Result<String, Error> {
    let failed = |problem: String| Error { file: file.to_owned(), problem };
    let data = std::fs::metadata(path).map_err(|error| failed(error.to_string()))?;
    if !data.is_file() || data.len() > MAX_FILE {
        return Err(failed(format!("not a file of at most {MAX_FILE} bytes: take it away")));
    }
    std::fs::read_to_string(path).map_err(|error| failed(error.to_string()))
}

fn parse(file: &str, text: &str) -> Result<System, Error> {
    let failed = |problem: String| Error { file: file.to_owned(), problem };
    let system: System = toml::from_str(text).map_err(|error| {
        // The message alone is one line; where it is comes from the span.
        let at = error.span().map_or(0, |span| span.start).min(text.len());
        let line = text.as_bytes()[..at].iter().filter(|&&byte| byte == b'\n').count() + 1;
        failed(format!("line {line}: {}", error.message().replace('\n', " ")))
    })?;
    match problem(&system) {
        Some(problem) => Err(failed(problem)),
        None => Ok(system),
    }
}

fn problem(system: &System) -> Option<String> {
    let bad_id = |key: &str, id: &str| {
        (!is_id(id)).then(|| {
            format!("{key} = \"{id}\": use lower-case letters, digits, `-`, `_`, `.`, at most 64")
        })
    };
    if let Some(problem) = bad_id("id", &system.id) {
        return Some(problem);
    }
    if system.name_zh.trim().is_empty() || system.name_en.trim().is_empty() {
        return Some("name_zh and name_en: give both".to_owned());
    }
    if !(1..=5).contains(&system.mlps_level) {
        return Some(format!("mlps_level = {}: give 1 to 5", system.mlps_level));
    }
    let mut sites = Vec::new();
    for member in &system.members {
        if let Some(problem) = bad_id("members.site", &member.site) {
            return Some(problem);
        }
        if sites.contains(&&member.site) {
            return Some(format!("members.site = \"{}\" is there twice: keep one", member.site));
        }
        sites.push(&member.site);
    }
    if system.expected.is_some_and(|expected| (expected as usize) < sites.len()) {
        return Some(format!("expected is less than the {} members named: raise it", sites.len()));
    }
    if system.datasets.is_empty() {
        return Some("datasets: name at least one".to_owned());
    }
    for requirement in &system.datasets {
        if requirement.any_of.is_empty() || requirement.any_of.iter().any(String::is_empty) {
            return Some("datasets.any_of: name at least one dataset".to_owned());
        }
        if !(1..=24 * 366).contains(&requirement.within_hours) {
            return Some(format!(
                "datasets.within_hours = {}: give 1 to 8784",
                requirement.within_hours
            ));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_packaged_file_is_compiled_in_and_valid() {
        let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/../packaging/systems");
        let mut on_disk: Vec<String> = std::fs::read_dir(dir)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        on_disk.sort();
        let mut listed: Vec<&str> = FILES.iter().map(|(file, _)| *file).collect();
        listed.sort_unstable();
        assert_eq!(listed, on_disk);
        for (file, text) in FILES {
            let system = parse(file, text).unwrap();
            assert_eq!(format!("{}.toml", system.id), *file, "a file is named after its system");
        }
        assert_eq!(Systems::load(None).unwrap().iter().count(), FILES.len(), "ids are unique");
        assert!(Systems::load(Some(Path::new(dir))).is_ok());
    }

    #[test]
    fn the_figures_are_those_of_the_programme() {
        let systems = Systems::load(None).unwrap();
        for (id, expected) in [
            ("population-health", Some(27)),
            ("health-card", Some(26)),
            ("citizen-app", Some(25)),
            ("imaging-cloud", Some(20)),
            ("referral", Some(20)),
            ("telemedicine", Some(14)),
            ("dispatch-120", Some(5)),
            ("regional-emr", Some(132)),
            ("family-doctor", Some(132)),
            ("public-health", Some(132)),
            ("county-card", None),
        ] {
            assert_eq!(systems.get(id).unwrap().expected, expected, "{id}");
        }
    }

    const GOOD: &str = "id = \"a\"\nname_zh = \"甲\"\nname_en = \"A\"\nmlps_level = 3\nexpected = 2\n\
        [[datasets]]\nany_of = [\"perf.cpu\"]\nwithin_hours = 1\n";

    #[test]
    fn a_bad_file_names_key_and_remedy() {
        let check = |from: &str, to: &str, expected: &str| {
            assert!(GOOD.contains(from));
            let error = parse("a.toml", &GOOD.replace(from, to)).unwrap_err().to_string();
            assert!(error.starts_with("a.toml: ") && error.contains(expected), "{error}");
            assert!(!error.contains('\n'), "one line: {error}");
        };
        assert!(parse("a.toml", GOOD).is_ok());
        check("id = \"a\"", "id = \"A b\"", "id = \"A b\": use lower-case letters");
        check("expected", "expectd", "unknown field `expectd`");
        check("mlps_level = 3", "mlps_level = 6", "mlps_level = 6: give 1 to 5");
        check("within_hours = 1", "within_hours = 0", "datasets.within_hours = 0: give 1 to 8784");
        check("[\"perf.cpu\"]", "[]", "datasets.any_of: name at least one dataset");
        check("mlps_level = 3", "mlps_level = ", "line 4: ");
        check("甲", "", "name_zh and name_en: give both");
        let member = "[[members]]\nsite = \"s\"\nname_zh = \"乙\"\n";
        let twice = format!("{GOOD}{member}{member}");
        assert!(parse("a.toml", &twice).unwrap_err().to_string().contains("is there twice"));
    }

    #[test]
    fn a_folder_replaces_and_adds() {
        let dir = tempfile::tempdir().unwrap();
        let write = |file: &str, text: &str| std::fs::write(dir.path().join(file), text).unwrap();
        write("mine.toml", &GOOD.replace("\"a\"", "\"health-card\""));
        write("new.toml", GOOD);
        write("notes.txt", "not a system");
        let systems = Systems::load(Some(dir.path())).unwrap();
        assert_eq!(systems.get("health-card").unwrap().expected, Some(2));
        assert!(systems.get("a").is_some() && systems.get("referral").is_some());
        write("again.toml", GOOD);
        let error = Systems::load(Some(dir.path())).unwrap_err().to_string();
        assert!(error.contains("id = \"a\" is also in"), "{error}");
        assert!(Systems::load(Some(&dir.path().join("none"))).is_err());
    }
}
