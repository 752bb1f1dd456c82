//! What is counted and how series are put together: `sum by (host) (count_over_time(…))` as a tree.

use std::collections::BTreeMap;

use super::Label;
use super::filter::Name;

#[derive(Debug, Clone)]
pub(super) enum Expression {
    Count {
        count: Count,
        /// Nanoseconds.
        range: i64,
    },
    Aggregate {
        aggregation: Aggregation,
        grouping: Grouping,
        /// How many `topk` and `bottomk` keep.
        most: usize,
        inner: Box<Expression>,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Count {
    Events,
    EventRate,
    Bytes,
    ByteRate,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Aggregation {
    Sum,
    Avg,
    Min,
    Max,
    Count,
    Top,
    Bottom,
}

/// Which series belong together.
#[derive(Debug, Clone)]
pub(super) enum Grouping {
    By(Vec<Name>),
    Without(Vec<Name>),
}

/// A series' labels by name.
pub(super) type Labels = BTreeMap<String, String>;
/// Its value at each point.
pub(super) type Points = Vec<Option<f64>>;
pub(super) type Row = (Labels, Points);

impl Expression {
    pub(super) fn count(&self) -> (Count, i64) {
        match self {
            Expression::Count { count, range } => (*count, *range),
            Expression::Aggregate { inner, .. } => inner.count(),
        }
    }

    /// What must keep series apart while they are counted.
    pub(super) fn names(&self) -> Vec<Name> {
        if let Expression::Aggregate { aggregation: Aggregation::Sum, grouping, inner, .. } = self
            && matches!(**inner, Expression::Count { .. })
        {
            return match grouping {
                Grouping::By(names) => distinct(names.iter().cloned()),
                Grouping::Without(names) => {
                    all_labels().filter(|name| !names.iter().any(|other| other.is(name))).collect()
                }
            };
        }
        match self {
            Expression::Count { .. } => all_labels().collect(),
            Expression::Aggregate { grouping, inner, .. } => match grouping {
                Grouping::By(names) if !inner.is_sum() => {
                    distinct(inner.names().into_iter().chain(names.iter().cloned()))
                }
                _ => inner.names(),
            },
        }
    }

    /// Whether this, or what it is made of, is summed already: then no name can be added.
    fn is_sum(&self) -> bool {
        match self {
            Expression::Count { .. } => false,
            Expression::Aggregate { aggregation: Aggregation::Sum, .. } => true,
            Expression::Aggregate { inner, .. } => inner.is_sum(),
        }
    }

    pub(super) fn aggregate(&self, rows: BTreeMap<Labels, Points>) -> BTreeMap<Labels, Points> {
        let Expression::Aggregate { aggregation, grouping, most, inner } = self else {
            return rows;
        };
        let mut groups: BTreeMap<Labels, Vec<Row>> = BTreeMap::new();
        for (labels, points) in inner.aggregate(rows) {
            groups.entry(grouping.keep(&labels)).or_default().push((labels, points));
        }
        match aggregation {
            Aggregation::Top | Aggregation::Bottom => {
                let top = *aggregation == Aggregation::Top;
                groups.into_values().flat_map(|rows| ranked(rows, *most, top)).collect()
            }
            _ => {
                let one = |rows: Vec<Row>| aggregation.merge(&rows);
                groups.into_iter().map(|(labels, rows)| (labels, one(rows))).collect()
            }
        }
    }
}

impl Grouping {
    fn keep(&self, labels: &Labels) -> Labels {
        let named = |names: &[Name], label: &str| names.iter().any(|name| name.shown() == label);
        let kept = labels.iter().filter(|(label, _)| match self {
            Grouping::By(names) => named(names, label),
            Grouping::Without(names) => !named(names, label),
        });
        kept.map(|(label, value)| (label.clone(), value.clone())).collect()
    }
}

impl Default for Grouping {
    fn default() -> Grouping {
        Grouping::By(Vec::new())
    }
}

impl Name {
    /// What a series calls it: labels have one name, fields that which the query gave them.
    pub(super) fn shown(&self) -> String {
        self.label.map_or_else(|| self.text.clone(), |label| label.name().to_owned())
    }

    fn is(&self, other: &Name) -> bool {
        self.shown() == other.shown()
    }
}

fn all_labels() -> impl Iterator<Item = Name> {
    Label::ALL.into_iter().map(|label| Name::new(label.name()))
}

fn distinct(names: impl IntoIterator<Item = Name>) -> Vec<Name> {
    let mut distinct: Vec<Name> = Vec::new();
    for name in names {
        if !distinct.iter().any(|other| other.is(&name)) {
            distinct.push(name);
        }
    }
    distinct
}

impl Count {
    pub(super) fn named(name: &str) -> Option<Count> {
        Some(match name {
            "count_over_time" => Count::Events,
            "rate" => Count::EventRate,
            "bytes_over_time" => Count::Bytes,
            "bytes_rate" => Count::ByteRate,
            _ => return None,
        })
    }
}

impl Aggregation {
    pub(super) fn named(name: &str) -> Option<Aggregation> {
        Some(match name {
            "sum" => Aggregation::Sum,
            "avg" => Aggregation::Avg,
            "min" => Aggregation::Min,
            "max" => Aggregation::Max,
            "count" => Aggregation::Count,
            "topk" => Aggregation::Top,
            "bottomk" => Aggregation::Bottom,
            _ => return None,
        })
    }

    pub(super) fn takes_number(self) -> bool {
        matches!(self, Aggregation::Top | Aggregation::Bottom)
    }

    /// One series of many: at each point, of those that have one.
    fn merge(self, rows: &[Row]) -> Points {
        let points = rows.iter().map(|(_, points)| points.len()).max().unwrap_or_default();
        (0..points)
            .map(|at| {
                let values = || rows.iter().filter_map(|(_, points)| points[at]);
                let count = values().count();
                let value = match self {
                    Aggregation::Sum => values().sum(),
                    Aggregation::Avg => values().sum::<f64>() / count as f64,
                    Aggregation::Min => values().fold(f64::INFINITY, f64::min),
                    Aggregation::Max => values().fold(f64::NEG_INFINITY, f64::max),
                    _ => count as f64,
                };
                (count > 0).then_some(value)
            })
            .collect()
    }
}

/// Leaves each point to the series that are largest there, or smallest.
fn ranked(mut rows: Vec<Row>, most: usize, top: bool) -> Vec<Row> {
    let points = rows.first().map_or(0, |(_, points)| points.len());
    for at in 0..points {
        let mut values: Vec<(f64, usize)> = rows
            .iter()
            .enumerate()
            .filter_map(|(row, (_, points))| Some((points[at]?, row)))
            .collect();
        values.sort_by(|one, other| {
            let order = one.0.total_cmp(&other.0);
            if top { order.reverse() } else { order }
        });
        for (_, row) in values.into_iter().skip(most) {
            rows[row].1[at] = None;
        }
    }
    rows
}
