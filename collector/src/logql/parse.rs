//! From the text of a query to what it means, by descent. Depth and length are bounded before
//! anything is built, so no query can exhaust stack or memory.

use memchr::memmem::Finder;

use super::aggregate::{Aggregation, Count, Expression, Grouping};
use super::error::Error;
use super::filter::{Filter, LabelMatcher, LabelTest, LineFilter, LineTest, Name, Tree};
use super::pattern::Pattern;
use super::quantity::{Addresses, duration};
use super::scan::{Quoted, Scan, in_name};
use super::series::Metric;
use super::{Label, Query};

/// Bytes of a query at most.
pub const MAX_QUERY: usize = 8192;
/// How deep brackets may be nested.
pub(super) const MAX_DEPTH: usize = 32;
/// Patterns in one query at most: each takes memory of its own.
const MAX_PATTERNS: usize = 32;

/// Stages that are taken and do nothing.
const DECODED: &[&str] = &["json", "logfmt", "unpack"];
/// Stages that are refused by name.
const REFUSED: &[&str] = &[
    "decolorize",
    "distinct",
    "drop",
    "keep",
    "label_format",
    "line_format",
    "pattern",
    "regexp",
    "unwrap",
];
/// Functions of LogQL that are refused by name.
const OTHER_FUNCTIONS: &[&str] = &[
    "absent_over_time",
    "avg_over_time",
    "first_over_time",
    "label_replace",
    "last_over_time",
    "max_over_time",
    "min_over_time",
    "quantile_over_time",
    "rate_counter",
    "sort",
    "sort_desc",
    "stddev",
    "stddev_over_time",
    "stdvar",
    "stdvar_over_time",
    "sum_over_time",
    "vector",
    "approx_topk",
];

pub(super) const TEXT: &str = "a text in quotes or backticks";
const FIELD_END: &str =
    "`and`, `or`, `,`, `|` or the end of the query (words stand before the first `|`)";
const AFTER_PIPE: &str = "`=`, `~`, the name of a field to compare, or `json` or `logfmt`";

pub(super) fn query(text: &str) -> Result<Query, Error> {
    if text.len() > MAX_QUERY {
        let at = (0..=MAX_QUERY).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        let found = format!("a query of {} bytes", text.len());
        return Err(Error::new(text, at, found, &format!("at most {MAX_QUERY} bytes")));
    }
    let mut parser = Parser { scan: Scan::new(text), patterns: 0 };
    let query = if parser.is_metric() {
        let (filter, expression) = parser.metric(0)?;
        Query { filter, metric: Some(Metric::new(expression)) }
    } else {
        Query { filter: parser.log(Scope::Whole)?.0, metric: None }
    };
    parser.scan.blanks();
    if parser.scan.peek().is_some() {
        let expected = "the end of the query: series are not calculated with or compared";
        return Err(parser.scan.fail(expected));
    }
    Ok(query)
}

/// Where a log part ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scope {
    /// With the query.
    Whole,
    /// At a closing bracket, with a range such as `[5m]` somewhere in it.
    Range,
}

#[derive(Debug)]
pub(super) struct Parser<'q> {
    pub(super) scan: Scan<'q>,
    patterns: usize,
}

impl<'q> Parser<'q> {
    /// Whether counts are asked for: a function's name and a bracket, perhaps a grouping between.
    fn is_metric(&self) -> bool {
        let Some(name) = self.scan.peek_name() else { return false };
        let after = self.scan.after_name();
        let called = after.starts_with('(');
        // `by host (` without its brackets is still meant as a grouping.
        let grouped = ["by", "without"].iter().any(|word| {
            let rest = after.strip_prefix(word).unwrap_or_default().trim_start();
            rest.trim_start_matches(in_name).trim_start().starts_with('(')
        });
        let known = Aggregation::named(name).is_some() || Count::named(name).is_some();
        known && (called || grouped) || called && OTHER_FUNCTIONS.contains(&name)
    }

    fn metric(&mut self, depth: usize) -> Result<(Filter, Expression), Error> {
        self.scan.blanks();
        let at = self.scan.at();
        if depth > MAX_DEPTH {
            return Err(self.too_deep(at));
        }
        let name = self.scan.peek_name().unwrap_or_default();
        if let Some(count) = Count::named(name) {
            self.scan.name();
            self.scan.expect("(", "`(`")?;
            let (filter, range) = self.log(Scope::Range)?;
            self.scan.expect(")", "`)`")?;
            return Ok((filter, Expression::Count { count, range }));
        }
        let Some(aggregation) = Aggregation::named(name) else {
            let expected = "count_over_time, rate, bytes_over_time, bytes_rate, sum, avg, min, \
                            max, count, topk or bottomk";
            return Err(self.scan.fail(expected));
        };
        self.scan.name();
        let before = self.grouping()?;
        self.scan.expect("(", "`(`, `by (…)` or `without (…)`")?;
        let most = if aggregation.takes_number() { self.most()? } else { 0 };
        let (filter, inner) = self.metric(depth + 1)?;
        self.scan.expect(")", "`)`")?;
        let grouping = match before {
            Some(grouping) => grouping,
            None => self.grouping()?.unwrap_or_default(),
        };
        Ok((filter, Expression::Aggregate { aggregation, grouping, most, inner: Box::new(inner) }))
    }

    fn grouping(&mut self) -> Result<Option<Grouping>, Error> {
        let by = self.scan.keyword("by");
        if !by && !self.scan.keyword("without") {
            return Ok(None);
        }
        self.scan.expect("(", "`(`")?;
        let mut names = Vec::new();
        while !self.scan.eat(")") {
            if !names.is_empty() {
                self.scan.expect(",", "`,` or `)`")?;
            }
            let name = self.scan.name();
            names.push(Name::new(name.ok_or_else(|| self.scan.fail("a label or a field"))?));
        }
        Ok(Some(if by { Grouping::By(names) } else { Grouping::Without(names) }))
    }

    /// The number of `topk(5, …)`.
    fn most(&mut self) -> Result<usize, Error> {
        let expected = "a number of series, at least 1";
        self.scan.blanks();
        let at = self.scan.at();
        let number = self.scan.name().and_then(|name| name.parse().ok()).filter(|most| *most > 0);
        let most = number.ok_or_else(|| self.scan.fail_at(at, expected))?;
        self.scan.expect(",", "`,`")?;
        Ok(most)
    }

    /// Words, selector, line filters and stages; the range, in nanoseconds, where there is one.
    fn log(&mut self, scope: Scope) -> Result<(Filter, i64), Error> {
        let mut filter = Filter::default();
        let (mut selected, mut staged, mut range) = (false, false, None);
        loop {
            self.scan.blanks();
            let rest = self.scan.rest();
            let line =
                ["|=", "|~", "!=", "!~", "|>", "!>"].iter().find(|op| rest.starts_with(**op));
            match self.scan.peek() {
                None => break,
                Some(')') if scope == Scope::Range => break,
                Some('[') if scope == Scope::Range && range.is_none() => {
                    range = Some(self.range()?)
                }
                Some('{') if selected => {
                    return Err(self.scan.fail("no second `{…}`: one holds all labels"));
                }
                Some('{') => {
                    filter.selector = self.selector()?;
                    selected = true;
                }
                Some(_) if line.is_some() => filter.lines.push(self.line_filter()?),
                Some('|') => {
                    self.scan.next();
                    filter.trees.extend(self.stage()?);
                    staged = true;
                }
                Some(_) if range.is_some() => return Err(self.scan.fail("`|` or `)`")),
                Some(_) if staged => return Err(self.scan.fail(FIELD_END)),
                Some(_) => self.word(scope, &mut filter)?,
            }
        }
        match (scope, range) {
            (Scope::Range, None) => Err(self.scan.fail("a range such as [5m]")),
            (_, range) => Ok((filter, range.unwrap_or_default())),
        }
    }

    fn range(&mut self) -> Result<i64, Error> {
        self.scan.expect("[", "`[`")?;
        self.scan.blanks();
        let at = self.scan.at();
        let text = self.scan.name().unwrap_or_default();
        let nanos = duration(text).filter(|nanos| *nanos >= 1.0 && *nanos <= i64::MAX as f64 / 4.0);
        let nanos = nanos.ok_or_else(|| self.scan.fail_at(at, "a duration such as 5m"))?;
        self.scan.expect("]", "`]`")?;
        if self.scan.peek_name() == Some("offset") {
            return Err(self
                .scan
                .fail("`)` or `|`: `offset` is not supported, ask for other times"));
        }
        // Bounded above, and whole: durations are read as floating point.
        Ok(nanos as i64)
    }

    fn selector(&mut self) -> Result<Vec<LabelMatcher>, Error> {
        self.scan.expect("{", "`{`")?;
        let mut matchers = Vec::new();
        while !self.scan.eat("}") {
            if !matchers.is_empty() {
                self.scan.expect(",", "`,` or `}`")?;
            }
            matchers.push(self.label_matcher()?);
        }
        Ok(matchers)
    }

    fn label_matcher(&mut self) -> Result<LabelMatcher, Error> {
        self.scan.blanks();
        let at = self.scan.at();
        let label = self.scan.name().and_then(Label::named);
        let label = label.ok_or_else(|| {
            let names: Vec<&str> = Label::ALL.iter().map(|label| label.name()).collect();
            let expected = format!("a label ({}); fields are compared after `|`", names.join(", "));
            self.scan.fail_at(at, &expected)
        })?;
        let (negated, pattern) = match () {
            () if self.scan.eat("=~") => (false, true),
            () if self.scan.eat("!~") => (true, true),
            () if self.scan.eat("!=") => (true, false),
            () if self.scan.eat("=") => (false, false),
            () => return Err(self.scan.fail("`=`, `!=`, `=~` or `!~`")),
        };
        let quoted = self.scan.quoted(TEXT)?;
        let test = match pattern {
            true => LabelTest::Fits(self.pattern(&quoted, true)?),
            false => LabelTest::Is(quoted.text),
        };
        Ok(LabelMatcher::new(label, test, negated))
    }

    fn line_filter(&mut self) -> Result<LineFilter, Error> {
        let (negated, pattern) = match () {
            () if self.scan.eat("|=") => (false, false),
            () if self.scan.eat("!=") => (true, false),
            () if self.scan.eat("|~") => (false, true),
            () if self.scan.eat("!~") => (true, true),
            () => return Err(self.scan.fail("`|=`, `!=`, `|~` or `!~`: `|>` is not supported")),
        };
        let mut tests = vec![self.line_test(pattern)?];
        while self.scan.keyword("or") {
            tests.push(self.line_test(pattern)?);
        }
        Ok(LineFilter { negated, tests })
    }

    fn line_test(&mut self, pattern: bool) -> Result<LineTest, Error> {
        if !pattern && self.calls_ip() {
            return self.ip().map(LineTest::Ip);
        }
        let quoted =
            self.scan.quoted(if pattern { TEXT } else { "a text in quotes, or ip(…)" })?;
        Ok(match pattern {
            true => LineTest::Fits(self.pattern(&quoted, false)?),
            false => LineTest::Text(Finder::new(quoted.text.as_bytes()).into_owned()),
        })
    }

    pub(super) fn calls_ip(&self) -> bool {
        self.scan.peek_name() == Some("ip") && self.scan.after_name().starts_with('(')
    }

    pub(super) fn ip(&mut self) -> Result<Addresses, Error> {
        self.scan.name();
        self.scan.expect("(", "`(`")?;
        let quoted = self.scan.quoted("an address, a network or a range in quotes")?;
        let addresses = Addresses::parse(&quoted.text).ok_or_else(|| {
            let expected = "an address, a network (10.0.0.0/8) or a range (10.1.2.3-10.1.2.9)";
            self.scan.fail_with(quoted.at, format!("{:?}", quoted.text), expected)
        })?;
        self.scan.expect(")", "`)`")?;
        Ok(addresses)
    }

    pub(super) fn pattern(&mut self, quoted: &Quoted, whole: bool) -> Result<Pattern, Error> {
        self.patterns += 1;
        if self.patterns > MAX_PATTERNS {
            let found = "one pattern too many".to_owned();
            let expected = format!("at most {MAX_PATTERNS} patterns");
            return Err(self.scan.fail_with(quoted.at, found, &expected));
        }
        Pattern::compile(&quoted.text, whole).map_err(|wrong| {
            let at = self.scan.inside(quoted, wrong.at);
            let found = format!("a pattern that is none ({})", wrong.why);
            self.scan.fail_with(at, found, "a regular expression")
        })
    }

    /// What follows `|`: a stage that does nothing, or comparisons.
    fn stage(&mut self) -> Result<Option<Tree>, Error> {
        let compared = self.scan.after_name().starts_with(['=', '!', '<', '>']);
        match self.scan.peek_name() {
            Some(name) if !compared && DECODED.contains(&name) => {
                self.scan.name();
                self.scan.blanks();
                match self.scan.peek() {
                    None | Some('|' | '!' | '[' | ')') => Ok(None),
                    _ => Err(self.scan.fail(
                        "`|` or the end of the query: fields are decoded already, under their own names",
                    )),
                }
            }
            Some(name) if !compared && REFUSED.contains(&name) => {
                let expected = "a comparison of a field: fields are decoded already, and events \
                                are shown as they are";
                let found = format!("the stage `{name}`, which is not supported");
                self.scan.blanks();
                Err(self.scan.fail_with(self.scan.at(), found, expected))
            }
            _ => self.any_of(0, AFTER_PIPE).map(Some),
        }
    }

    pub(super) fn too_deep(&self, at: usize) -> Error {
        let found = "brackets nested too deep".to_owned();
        self.scan.fail_with(at, found, &format!("at most {MAX_DEPTH} within each other"))
    }
}
