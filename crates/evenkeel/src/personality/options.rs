//! Options as getopt_long reads them: bundled short ones, values glued on or apart, long ones with `=` and by unique prefix.

/// One option of a program.
#[derive(Clone, Copy, Debug)]
pub struct Opt {
    /// `-f`; a blank when there is only the long form.
    pub short: char,
    /// `--use-file`; empty when there is only the short form.
    pub long: &'static str,
    /// What follows.
    pub value: Value,
}

/// What follows an option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value {
    /// Nothing.
    No,
    /// A value, glued on or the next word.
    Required,
    /// A value only when glued on.
    Optional,
}

/// An option that was given: its row and its value.
pub type Given<'t> = (&'t Opt, Option<String>);

/// Options in order, and the words that are none; or the mistake.
pub fn parse<'t>(table: &'t [Opt], words: &[String]) -> Result<(Vec<Given<'t>>, Vec<String>), Mistake> {
    let mut given = Vec::new();
    let mut rest = Vec::new();
    let mut words = words.iter();
    while let Some(word) = words.next() {
        if word == "--" {
            rest.extend(words.by_ref().cloned());
        } else if let Some(long) = word.strip_prefix("--") {
            let (name, glued) = match long.split_once('=') {
                Some((name, value)) => (name, Some(value.to_owned())),
                None => (long, None),
            };
            let opt = find_long(table, name).ok_or_else(|| Mistake::Unknown(word.clone()))?;
            let value = match (opt.value, glued) {
                (Value::No, Some(_)) => return Err(Mistake::Unknown(word.clone())),
                (Value::Required, None) => {
                    Some(words.next().cloned().ok_or_else(|| Mistake::MissingValue(word.clone()))?)
                }
                (_, glued) => glued,
            };
            given.push((opt, value));
        } else if word.len() > 1 && word.starts_with('-') {
            for (at, letter) in word[1..].char_indices() {
                let opt = table.iter().find(|opt| opt.short == letter && letter != ' ');
                let opt = opt.ok_or_else(|| Mistake::Unknown(format!("-{letter}")))?;
                let glued = &word[1 + at + letter.len_utf8()..];
                let value = match opt.value {
                    Value::No => None,
                    Value::Optional => (!glued.is_empty()).then(|| glued.to_owned()),
                    Value::Required if !glued.is_empty() => Some(glued.to_owned()),
                    Value::Required => {
                        Some(words.next().cloned().ok_or_else(|| Mistake::MissingValue(format!("-{letter}")))?)
                    }
                };
                given.push((opt, value));
                if opt.value != Value::No {
                    break;
                }
            }
        } else {
            rest.push(word.clone());
        }
    }
    Ok((given, rest))
}

fn find_long<'t>(table: &'t [Opt], name: &str) -> Option<&'t Opt> {
    let named = |opt: &&Opt| !opt.long.is_empty();
    if let Some(exact) = table.iter().filter(named).find(|opt| opt.long == name) {
        return Some(exact);
    }
    let mut starting = table.iter().filter(named).filter(|opt| opt.long.starts_with(name));
    match (starting.next(), starting.next()) {
        (Some(one), None) => Some(one),
        _ => None,
    }
}

/// What is wrong with a command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mistake {
    /// No such option.
    Unknown(String),
    /// An option at the end that wants a value.
    MissingValue(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &[Opt] = &[
        Opt { short: 'f', long: "use-file", value: Value::Required },
        Opt { short: 'n', long: "dont-fork", value: Value::No },
        Opt { short: 'd', long: "dump-conf", value: Value::No },
        Opt { short: 't', long: "config-test", value: Value::Optional },
    ];

    fn given(line: &str) -> Result<Vec<(char, Option<String>)>, Mistake> {
        let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        parse(TABLE, &words).map(|(given, _)| given.into_iter().map(|(opt, value)| (opt.short, value)).collect())
    }

    #[test]
    fn options_are_read_as_getopt_reads_them() {
        let value = |text: &str| Some(text.to_owned());
        for (line, expected) in [
            ("-nd -f k.conf", vec![('n', None), ('d', None), ('f', value("k.conf"))]),
            ("-nfk.conf", vec![('n', None), ('f', value("k.conf"))]),
            ("--use-file=a --dont", vec![('f', value("a")), ('n', None)]),
            ("--use-file a", vec![('f', value("a"))]),
            ("-t -n", vec![('t', None), ('n', None)]),
            ("-t/tmp/log", vec![('t', value("/tmp/log"))]),
        ] {
            assert_eq!(given(line), Ok(expected), "{line}");
        }
        assert_eq!(given("-x"), Err(Mistake::Unknown("-x".to_owned())));
        assert_eq!(given("--d"), Err(Mistake::Unknown("--d".to_owned())));
        assert_eq!(given("-f"), Err(Mistake::MissingValue("-f".to_owned())));
    }
}
