//! Text to [`File`].

use super::{Answer, Case, File, Send, host};
use anyhow::{Context, Result, bail, ensure};
use std::path::Path;

impl File {
    /// Reads a file.
    pub fn load(path: &Path) -> Result<File> {
        let text = std::fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
        parse(path, &text).with_context(|| format!("{}", path.display()))
    }

    /// Every file of a folder, by name.
    pub fn load_all(folder: &Path) -> Result<Vec<File>> {
        let mut paths: Vec<_> = std::fs::read_dir(folder)
            .with_context(|| format!("read {}", folder.display()))?
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter(|path| path.extension().is_some_and(|extension| extension == "case"))
            .collect();
        paths.sort();
        paths.iter().map(|path| File::load(path)).collect()
    }

    /// The file's name.
    pub fn name(&self) -> String {
        self.path.file_stem().unwrap_or_default().to_string_lossy().into_owned()
    }
}

fn parse(path: &Path, text: &str) -> Result<File> {
    let lines: Vec<&str> = text.lines().collect();
    let sentence = lines.first().filter(|line| line.ends_with('.')).context("line 1: a sentence says what is so")?;
    let mut file = File {
        path: path.to_owned(),
        sentence: (*sentence).to_owned(),
        http: Vec::new(),
        files: Vec::new(),
        cases: Vec::new(),
    };
    let mut at = 1;
    while at < lines.len() {
        let (number, line) = (at + 1, lines[at]);
        at += 1;
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let block = block(&lines[at..]);
        at += block.len();
        add(&mut file, line, number, &unindented(block)).with_context(|| format!("line {number}: {line}"))?;
    }
    ensure!(!file.cases.is_empty(), "no cases");
    for case in &file.cases {
        ensure!(!case.sends.is_empty(), "line {}: nothing is sent", case.line);
    }
    Ok(file)
}

/// Indented lines, and empty ones between them.
fn block<'l>(lines: &'l [&'l str]) -> &'l [&'l str] {
    let all = lines.iter().take_while(|line| line.is_empty() || line.starts_with("    ")).count();
    let trailing = lines[..all].iter().rev().take_while(|line| line.is_empty()).count();
    &lines[..all - trailing]
}

fn unindented(block: &[&str]) -> Vec<String> {
    block.iter().map(|line| line.get(4..).unwrap_or_default().to_owned()).collect()
}

fn add(file: &mut File, line: &str, number: usize, block: &[String]) -> Result<()> {
    let (verb, rest) = line.split_once(' ').unwrap_or((line, ""));
    match verb {
        "http" => file.http.extend_from_slice(block),
        "file" => file.files.push((rest.to_owned(), block.join("\n") + "\n")),
        "case" => {
            ensure!(block.is_empty() && !rest.is_empty(), "a title alone");
            file.cases.push(Case {
                title: rest.to_owned(),
                line: number,
                server: Vec::new(),
                answers: Vec::new(),
                sends: Vec::new(),
                only_nginx: Vec::new(),
                only_evenkeel: Vec::new(),
                because: None,
            });
        }
        _ => {
            let name = host(file.cases.len());
            let case = file.cases.last_mut().context("before the first case")?;
            within(case, verb, rest, &name, block)?;
        }
    }
    Ok(())
}

fn within(case: &mut Case, verb: &str, rest: &str, host: &str, block: &[String]) -> Result<()> {
    match verb {
        "server" => case.server.extend(block.iter().map(|line| line.replace("CASE", host))),
        "origin" => {
            let (origin, path) = rest.split_once(' ').context("origin NAME PATH")?;
            let is_whole = block.iter().any(String::is_empty) || block.len() == 1;
            let text = if is_whole { ended(block, "") } else { ended(block, "\n\n") };
            let text = message(&text.replace("CASE", host));
            case.answers.push(Answer { origin: origin.to_owned(), path: path.to_owned(), text });
        }
        "send" => {
            let from = if rest.is_empty() { "127.0.0.1" } else { rest };
            case.sends.push(send(from, host, block)?);
        }
        "differs" => {
            for line in block {
                match line.split_once(['|', ':']).map(|(mark, text)| (mark, text.strip_prefix(' ').unwrap_or(text))) {
                    Some(("n", text)) => case.only_nginx.push(text.to_owned()),
                    Some(("e", text)) => case.only_evenkeel.push(text.to_owned()),
                    Some(("because", text)) => case.because = Some(text.to_owned()),
                    _ => bail!("`{line}`: whose is it?"),
                }
            }
            ensure!(case.because.is_some(), "a difference has no `because`");
        }
        _ => bail!("unknown block `{verb}`"),
    }
    Ok(())
}

fn send(from: &str, host: &str, block: &[String]) -> Result<Send> {
    let first = block.first().context("nothing is sent")?;
    let (times, first) = match first.split_once(" x ") {
        Some((times, rest)) if times.bytes().all(|b| b.is_ascii_digit()) => (times.parse()?, rest),
        _ => (1, first.as_str()),
    };
    let mut text = first.to_owned();
    let head = block[1..].iter().take_while(|line| !line.is_empty()).count();
    if first.contains(" HTTP/") {
        match block {
            [_] => text += "\n\n",
            [_, rest @ ..] => text += &format!("\n{}", ended(rest, "\n\n")),
            [] => {}
        }
    } else {
        text += " HTTP/1.1";
        let headers = &block[1..=head];
        if !headers.iter().any(|line| line.to_ascii_lowercase().starts_with("host:")) {
            text += &format!("\nHost: {host}");
        }
        headers.iter().for_each(|line| text += &format!("\n{line}"));
        text += "\nConnection: close\n\n";
        text += &block.get(head + 2..).unwrap_or_default().join("\n");
    }
    Ok(Send { from: from.to_owned(), times, bytes: message(&text.replace("CASE", host)) })
}

/// Lines with what ends them; a `.` alone ends them as they stand, with the empty line before it.
fn ended(lines: &[String], end: &str) -> String {
    match lines.split_last() {
        Some((dot, lines)) if dot == "." => {
            let empty = lines.last().is_some_and(String::is_empty);
            lines.join("\n") + if empty { "\n" } else { "" }
        }
        _ => lines.join("\n") + end,
    }
}

/// Line ends, escapes and `Content-Length: auto` of a message.
fn message(text: &str) -> Vec<u8> {
    let text = text.replace("\\\n", "");
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        rest = after;
        match (first, after) {
            (b'\n', _) => bytes.extend_from_slice(b"\r\n"),
            (b'\\', [b'x', high, low, after @ ..]) if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                let digit = |byte: u8| (byte as char).to_digit(16).unwrap_or_default() as u8;
                bytes.push(digit(*high) << 4 | digit(*low));
                rest = after;
            }
            (byte, _) => bytes.push(*byte),
        }
    }
    with_length(bytes)
}

fn with_length(bytes: Vec<u8>) -> Vec<u8> {
    const AUTO: &[u8] = b"Content-Length: auto";
    let find = |what: &[u8]| bytes.windows(what.len()).position(|window| window == what);
    let (Some(auto), Some(end)) = (find(AUTO), find(b"\r\n\r\n")) else { return bytes };
    let length = format!("Content-Length: {}", bytes.len() - end - 4);
    [&bytes[..auto], length.as_bytes(), &bytes[auto + AUTO.len()..]].concat()
}
