//! How measurements print a figure: `name value unit`, beside it `| peer value | ratio` where a peer did
//! the same, and behind it the goal where there is one.

/// What a figure should be, where somebody said so.
#[derive(Debug, Clone, Copy)]
pub enum Goal {
    /// The figure itself.
    AtMost(f64),
    /// The figure over the peer's.
    RatioAtMost(f64),
    /// The figure itself.
    AtLeast(f64),
    /// The figure over the peer's.
    RatioAtLeast(f64),
}

/// A figure alone.
pub fn row(name: &str, value: f64, unit: &str) {
    println!("{name} {} {unit}", figure(value));
}

/// A figure with its goal.
pub fn row_for(name: &str, value: f64, unit: &str, goal: Goal) {
    println!("{name} {} {unit}{}", figure(value), met(value, value, goal));
}

/// A figure and that of a peer, in the same unit.
pub fn row_beside(name: &str, value: f64, unit: &str, peer: (&str, f64), goal: Option<Goal>) {
    let ratio = if peer.1 == 0.0 { f64::NAN } else { value / peer.1 };
    let goal = goal.map(|goal| met(value, ratio, goal)).unwrap_or_default();
    println!(
        "{name} {} {unit} | {} {} | {}{goal}",
        figure(value),
        peer.0,
        figure(peer.1),
        figure(ratio)
    );
}

fn met(value: f64, ratio: f64, goal: Goal) -> String {
    let (held, bound, what) = match goal {
        Goal::AtMost(most) => (value <= most, most, "at most"),
        Goal::RatioAtMost(most) => (ratio <= most, most, "ratio at most"),
        Goal::AtLeast(least) => (value >= least, least, "at least"),
        Goal::RatioAtLeast(least) => (ratio >= least, least, "ratio at least"),
    };
    let word = if held { "met" } else { "missed" };
    format!(" | goal: {what} {}: {word}", figure(bound))
}

fn figure(value: f64) -> String {
    match value.abs() {
        1000.0.. => format!("{value:.0}"),
        10.0..1000.0 => format!("{value:.1}"),
        1.0..10.0 => format!("{value:.2}"),
        0.0 => "0".to_owned(),
        _ => format!("{value:.4}"),
    }
}

/// The middle one of several, 0 of none.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(0.0)
}
