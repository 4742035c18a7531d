use super::text::Text;
use std::ops::Range;

/// `~SEQ(...)` or `~LST(...)` in front of a text.
#[derive(Debug)]
pub(super) struct Loop {
    /// The variables, and for each round their values.
    pub(super) variables: Vec<String>,
    pub(super) rounds: Rounds,
}

/// The values of a loop, made as they are needed: a sequence may be long.
#[derive(Debug)]
pub(super) enum Rounds {
    /// From, step, to, hexadecimal.
    Sequence { from: i64, step: i64, to: i64, hex: bool },
    /// One list of values for each round.
    Lists(Vec<Vec<String>>),
}

impl Rounds {
    /// The values of round `n`, or `None` after the last one.
    pub(super) fn values(&self, n: usize) -> Option<Vec<String>> {
        match self {
            Rounds::Lists(rounds) => rounds.get(n).cloned(),
            &Rounds::Sequence { from, step, to, hex } => {
                let value = from.checked_add(step.checked_mul(i64::try_from(n).ok()?)?)?;
                if step > 0 && value > to || step < 0 && value < to {
                    return None;
                }
                Some(vec![if hex { format!("{value:x}") } else { value.to_string() }])
            }
        }
    }
}

/// Which loop a line starts with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Sequence { hex: bool },
    List,
}

/// The kind of loop, where its arguments are, and where the text begins.
pub(super) type Head = (Kind, Range<usize>, usize);

/// The head of the loop that `line` starts with, when it starts with one.
pub(super) fn head(line: &Text) -> Option<Result<Head, &'static str>> {
    let bytes = line.bytes();
    let (kind, open) = [
        (&b"~SEQx("[..], Kind::Sequence { hex: true }),
        (b"~SEQ(", Kind::Sequence { hex: false }),
        (b"~LST(", Kind::List),
    ]
    .into_iter()
    .find_map(|(start, kind)| bytes.starts_with(start).then_some((kind, start.len())))?;
    // Braces of definitions and lists may stand between the parentheses, parentheses may not.
    Some(match bytes.iter().position(|b| *b == b')') {
        Some(close) => Ok((kind, open..close, close + 1)),
        None => Err("the `)` of the loop is missing"),
    })
}

/// The loop that the arguments describe.
pub(super) fn parse(kind: Kind, arguments: &str) -> Result<Loop, &'static str> {
    let arguments = split_arguments(arguments);
    match kind {
        Kind::Sequence { hex } => sequence(&arguments, hex),
        Kind::List => list(&arguments),
    }
}

fn sequence(arguments: &[String], hex: bool) -> Result<Loop, &'static str> {
    const SHAPE: &str = "a sequence is ~SEQ(var, start, step, end), with start and step optional";
    let [variable, numbers @ ..] = arguments else { return Err(SHAPE) };
    let numbers: Vec<i64> = numbers.iter().map(|n| number(n)).collect::<Option<_>>().ok_or(SHAPE)?;
    let (from, step, to) = match *numbers {
        [to] => (if to < 0 { -1 } else { 1 }, None, to),
        [from, to] => (from, None, to),
        [from, step, to] => (from, Some(step), to),
        _ => return Err(SHAPE),
    };
    let step = step.unwrap_or(if to < from { -1 } else { 1 });
    if step == 0 {
        return Err("a sequence with step 0 never ends");
    }
    Ok(Loop { variables: vec![variable.clone()], rounds: Rounds::Sequence { from, step, to, hex } })
}

fn number(text: &str) -> Option<i64> {
    let (sign, digits) = text.strip_prefix('-').map_or((1, text), |digits| (-1, digits));
    let value = match digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X")) {
        Some(hex) => i64::from_str_radix(hex, 16).ok()?,
        None => digits.parse().ok()?,
    };
    Some(sign * value)
}

fn list(arguments: &[String]) -> Result<Loop, &'static str> {
    let [first, values @ ..] = arguments else { return Err("a list is ~LST(var, value, ...)") };
    let variables = braced(first);
    if variables.is_empty() {
        return Err("a list needs a variable");
    }
    let rounds = values
        .iter()
        .map(|value| {
            let mut values = if variables.len() > 1 { braced(value) } else { vec![value.clone()] };
            values.resize(variables.len(), String::new());
            values
        })
        .collect();
    Ok(Loop { variables, rounds: Rounds::Lists(rounds) })
}

/// `{a, b}` as its parts, anything else as one.
fn braced(text: &str) -> Vec<String> {
    match text.strip_prefix('{').and_then(|t| t.strip_suffix('}')) {
        Some(inside) => inside.split(',').map(|part| part.trim().to_owned()).collect(),
        None => vec![text.to_owned()],
    }
}

/// Splits at commas outside braces.
fn split_arguments(text: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut depth = 0_usize;
    for c in text.chars() {
        match c {
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => {
                parts.push(String::new());
                continue;
            }
            _ => {}
        }
        if let Some(last) = parts.last_mut() {
            last.push(c);
        }
    }
    parts.iter().map(|part| part.trim().to_owned()).collect()
}
