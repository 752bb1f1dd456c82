use std::collections::{HashMap, HashSet};

use super::*;

const SEED: u64 = 7;

fn lines(seed: u64, lines: u64) -> Vec<Line> {
    Generator::new(Plan::new(seed, lines)).collect()
}

/// A line with everything that varies taken out: digits, and words that hold one.
fn shape(line: &Line) -> String {
    let text = String::from_utf8_lossy(&line.bytes);
    let words = text.split(|c: char| !c.is_alphanumeric());
    let fixed = words.filter(|word| !word.is_empty() && !word.bytes().any(|b| b.is_ascii_digit()));
    format!("{} {}", line.path, fixed.collect::<Vec<_>>().join(" "))
}

#[test]
fn the_same_seed_makes_the_same_lines() {
    let made = lines(SEED, 20_000);
    assert_eq!(made.len(), 20_000);
    assert_eq!(made, lines(SEED, 20_000));
    assert_ne!(made, lines(SEED + 1, 20_000));
}

#[test]
fn time_goes_forward_and_ends_where_the_plan_does() {
    let plan = Plan { lasts: 180 * 86_400 * SECOND, ..Plan::new(SEED, 50_000) };
    let end = plan.start + plan.lasts;
    let made: Vec<Line> = Generator::new(plan.clone()).collect();
    assert!(made.is_sorted_by_key(|line| line.time));
    let last = made.last().expect("lines").time;
    assert!(
        (end - last).abs() < plan.lasts / 20,
        "ends {} days off",
        (end - last) / 86_400 / SECOND
    );
}

#[test]
fn hosts_and_files_all_have_their_say() {
    let made = lines(SEED, 100_000);
    let hosts: HashSet<usize> = made.iter().map(|line| line.host).collect();
    assert_eq!(hosts.len(), HOSTS.len());
    let files: HashSet<(usize, &str)> = made.iter().map(|line| (line.host, line.path)).collect();
    assert!(files.len() >= 50, "{} files", files.len());
    let bytes: usize = made.iter().map(|line| line.bytes.len() + 1).sum();
    let mean = bytes / made.len();
    assert!((150..350).contains(&mean), "{mean} bytes a line");
    assert!(made.iter().all(|line| !line.bytes.is_empty() && !line.bytes.contains(&b'\n')));
}

#[test]
fn it_is_no_easier_than_life() {
    let made = lines(SEED, 100_000);
    let mut shapes: HashMap<String, u64> = HashMap::new();
    for line in &made {
        *shapes.entry(shape(line)).or_default() += 1;
    }
    let common = shapes.values().filter(|count| **count >= 10).count();
    let once = shapes.values().filter(|count| **count == 1).count();
    assert!(common >= 150, "{common} shapes are common");
    assert!(once >= made.len() / 20, "{once} shapes come once");
    let distinct: HashSet<&[u8]> = made.iter().map(|line| line.bytes.as_slice()).collect();
    let repeated = made.len() - distinct.len();
    assert!(repeated < made.len() / 5, "{repeated} lines were said before");
    let chinese = made.iter().filter(|line| line.bytes.iter().any(|byte| *byte >= 0x80)).count();
    assert!(
        (made.len() / 100..made.len() / 10).contains(&chinese),
        "{chinese} lines are not ASCII"
    );
    let legacy = made.iter().filter(|line| std::str::from_utf8(&line.bytes).is_err()).count();
    assert!((10..made.len() / 50).contains(&legacy), "{legacy} lines are not UTF-8");
}
