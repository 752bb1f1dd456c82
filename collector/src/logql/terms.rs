//! The parts of a query that look at fields: comparisons after `|`, and the words before it.

use super::error::Error;
use super::filter::{Compare, Filter, Name, Order, Test, Tree};
use super::parse::{MAX_DEPTH, Parser, Scope, TEXT};
use super::quantity::Quantity;
use super::scan::in_name;

const COMPARISON: &str = "`=`, `!=`, `=~`, `!~`, `==`, `>`, `>=`, `<` or `<=`";
const OPERAND: &str =
    "a text in quotes, a number, a duration (10ms), a size (5KB) or ip(\"10.0.0.0/8\")";
const JOINING: &str = "quotes around it to look for the word itself, or |= \"a\" or \"b\" to find either of two texts";

impl Parser<'_> {
    pub(super) fn any_of(&mut self, depth: usize, expected: &str) -> Result<Tree, Error> {
        let mut trees = vec![self.all_of(depth, expected)?];
        while self.scan.keyword("or") {
            trees.push(self.all_of(depth, "the name of a field")?);
        }
        Ok(if trees.len() == 1 { trees.remove(0) } else { Tree::Any(trees) })
    }

    /// Comparisons joined by `and`, a comma, or, as in LogQL, by nothing.
    fn all_of(&mut self, depth: usize, expected: &str) -> Result<Tree, Error> {
        let mut trees = vec![self.one(depth, expected)?];
        loop {
            let joined = self.scan.keyword("and") || self.scan.eat(",");
            if !joined && !self.begins_comparison() {
                break;
            }
            trees.push(self.one(depth, "the name of a field")?);
        }
        Ok(if trees.len() == 1 { trees.remove(0) } else { Tree::All(trees) })
    }

    fn begins_comparison(&self) -> bool {
        self.scan.peek_name().is_some_and(|name| name != "or")
            && self.scan.after_name().starts_with(['=', '!', '<', '>'])
    }

    fn one(&mut self, depth: usize, expected: &str) -> Result<Tree, Error> {
        if self.scan.eat("(") {
            if depth >= MAX_DEPTH {
                return Err(self.too_deep(self.scan.at() - 1));
            }
            let tree = self.any_of(depth + 1, "the name of a field")?;
            self.scan.expect(")", "`and`, `or`, `,` or `)`")?;
            return Ok(tree);
        }
        let name = self.scan.name().ok_or_else(|| self.scan.fail(expected))?;
        self.comparison(Name::new(name)).map(Tree::Compare)
    }

    fn comparison(&mut self, name: Name) -> Result<Compare, Error> {
        self.scan.blanks();
        let at = self.scan.at();
        let operators = ["=~", "!~", "!=", "==", ">=", "<=", "=", ">", "<"];
        let operator = operators.into_iter().find(|operator| self.scan.eat(operator));
        let operator = operator.ok_or_else(|| self.scan.fail(COMPARISON))?;
        let negated = operator.starts_with('!');
        let order = match operator {
            ">" => Some(Order::More),
            ">=" => Some(Order::MoreOrEqual),
            "<" => Some(Order::Less),
            "<=" => Some(Order::LessOrEqual),
            _ => None,
        };
        let is_pattern = operator.ends_with('~');
        self.scan.blanks();
        let test = match self.scan.peek() {
            Some('"' | '`') => {
                let quoted = self.scan.quoted(TEXT)?;
                match is_pattern {
                    true => Test::Fits(self.pattern(&quoted, true)?),
                    false if order.is_none() => Test::Is(quoted.text),
                    false => {
                        let expected = "a number, a duration or a size after this comparison";
                        return Err(self.scan.fail_at(quoted.at, expected));
                    }
                }
            }
            _ if is_pattern => return Err(self.scan.fail(TEXT)),
            _ if self.calls_ip() => {
                let addresses = self.ip()?;
                if order.is_some() {
                    return Err(self.scan.fail_at(at, "`=` or `!=` before ip(…)"));
                }
                Test::Ip(addresses)
            }
            _ => Test::Order(order.unwrap_or(Order::Equal), self.quantity()?),
        };
        Ok(Compare { name, negated, test })
    }

    fn quantity(&mut self) -> Result<Quantity, Error> {
        let at = self.scan.at();
        let mut last = ' ';
        while let Some(c) = self.scan.peek() {
            let sign = matches!(c, '-' | '+') && matches!(last, ' ' | 'e' | 'E');
            if !(c.is_alphanumeric() || c == '.' || sign) {
                break;
            }
            last = c;
            self.scan.next();
        }
        Quantity::parse(self.scan.since(at)).ok_or_else(|| self.scan.fail_at(at, OPERAND))
    }

    /// A bare word, or `field=value`.
    pub(super) fn word(&mut self, scope: Scope, filter: &mut Filter) -> Result<(), Error> {
        let at = self.scan.at();
        let (mut text, mut field, mut is_quoted) = (String::new(), None, false);
        while let Some(c) = self.scan.peek() {
            let ends = c.is_whitespace()
                || matches!(c, '|' | '{' | '}')
                || scope == Scope::Range && matches!(c, ')' | '[');
            if ends {
                break;
            }
            match c {
                '"' | '`' => {
                    text.push_str(&self.scan.quoted(TEXT)?.text);
                    is_quoted = true;
                    continue;
                }
                '=' if field.is_none() && !is_quoted && is_name(&text) => {
                    field = Some(std::mem::take(&mut text));
                }
                c => text.push(c),
            }
            self.scan.next();
        }
        if !is_quoted {
            self.not_a_comparison(at)?;
        }
        if let Some(name) = field {
            let (name, test) = (Name::new(&name), Test::Is(text));
            filter.trees.push(Tree::Compare(Compare { name, negated: false, test }));
            return Ok(());
        }
        if text.is_empty() {
            return Err(self.scan.fail_at(at, "a word, a `{…}`, or a `|`"));
        }
        let joining = ["or", "and"].iter().any(|word| text.eq_ignore_ascii_case(word));
        if joining && !is_quoted {
            let found = format!("`{text}` between words");
            return Err(self.scan.fail_with(at, found, JOINING));
        }
        filter.words.push(text);
        Ok(())
    }

    /// Who writes `status>499` or `a!=b` among the words means a comparison, and would look for a
    /// word that stands nowhere.
    fn not_a_comparison(&self, at: usize) -> Result<(), Error> {
        let word = self.scan.since(at);
        let end = word.find(|c| !in_name(c)).unwrap_or(word.len());
        let (name, rest) = word.split_at(end);
        let compares = ["!=", "!~", "=~"].iter().any(|op| rest.starts_with(op))
            || rest.strip_prefix("==").is_some_and(|value| !value.is_empty())
            || rest.starts_with(['<', '>'])
                && Quantity::parse(rest.trim_start_matches(['<', '>', '='])).is_some();
        if name.is_empty() || !compares {
            return Ok(());
        }
        let expected = format!("this comparison after `|`, as in `| {name} = \"value\"`");
        Err(self.scan.fail_at(at + end, &expected))
    }
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.chars().all(in_name)
}
