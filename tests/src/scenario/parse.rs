//! Text to [`Scenario`].

use super::{Act, Expected, Scenario, Step, Whose};
use anyhow::{Context, Result, bail, ensure};
use std::path::Path;

impl Scenario {
    /// Reads a file.
    pub fn load(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
        parse(path, &text).with_context(|| format!("{}", path.display()))
    }

    /// Every file of a folder, by name.
    pub fn load_all(folder: &Path) -> Result<Vec<Self>> {
        let mut paths: Vec<_> = std::fs::read_dir(folder)
            .with_context(|| format!("read {}", folder.display()))?
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter(|path| path.extension().is_some_and(|extension| extension == "scenario"))
            .collect();
        paths.sort();
        paths.iter().map(|path| Scenario::load(path)).collect()
    }

    /// The file's name.
    pub fn name(&self) -> String {
        self.path.file_stem().unwrap_or_default().to_string_lossy().into_owned()
    }

    /// The reasons it gives for differences.
    pub fn reasons(&self) -> impl Iterator<Item = &str> {
        self.steps.iter().filter_map(|step| step.act.expected()?.because.as_deref())
    }
}

fn parse(path: &Path, text: &str) -> Result<Scenario> {
    let lines: Vec<&str> = text.lines().collect();
    let sentence = lines.first().filter(|line| line.ends_with('.')).context("line 1: a sentence says what is so")?;
    let mut scenario = Scenario {
        path: path.to_owned(),
        sentence: (*sentence).to_owned(),
        nodes: Vec::new(),
        steps: Vec::new(),
        only_evenkeel: false,
    };
    let mut at = 1;
    while at < lines.len() {
        let (line, text) = (at, lines[at]);
        at += 1;
        if text.is_empty() || text.starts_with('#') {
            continue;
        }
        let block = &lines[at..at + lines[at..].iter().take_while(|line| line.starts_with("    ")).count()];
        let n_block = block.len();
        let within = || format!("line {}: {text}", line + 1);
        let (verb, rest) = text.split_once(' ').unwrap_or((text, ""));
        let takes_block = match verb {
            "only" => {
                ensure!(rest == "evenkeel", "{}: `only evenkeel`", within());
                scenario.only_evenkeel = true;
                false
            }
            "node" => {
                let conf = (n_block > 0).then(|| unindented(block));
                scenario.nodes.push((rest.to_owned(), conf));
                true
            }
            _ => {
                let (node, act) = act(verb, rest, block, at).with_context(within)?;
                ensure!(scenario.nodes.iter().any(|(name, _)| *name == node), "{}: no node {node}", within());
                let takes_block = matches!(act, Act::Configure(_) | Act::See(..) | Act::Wire(_));
                scenario.steps.push(Step { line, node, act });
                takes_block
            }
        };
        ensure!(takes_block || n_block == 0, "{}: nothing is expected below it", within());
        at += n_block;
    }
    ensure!(!scenario.steps.is_empty(), "nothing happens");
    Ok(scenario)
}

fn act(verb: &str, rest: &str, block: &[&str], first: usize) -> Result<(String, Act)> {
    let (node, command) =
        rest.split_once(": ").map_or((rest, None), |(node, command)| (node, Some(command.to_owned())));
    let command = || command.clone().context("a command after the colon");
    let act = match verb {
        "start" => Act::Start,
        "stop" => Act::Stop,
        "reload" => Act::Reload,
        "kill" => Act::Kill,
        "off" => Act::Off,
        "unplug" => Act::Unplug,
        "plug" => Act::Plug,
        "conf" => Act::Configure(unindented(block)),
        "do" => Act::Do(command()?),
        "await" => Act::Await(command()?),
        "see" => Act::See(command()?, expected(block, first)?),
        "wire" => Act::Wire(expected(block, first)?),
        _ => bail!("unknown step `{verb}`"),
    };
    Ok((node.to_owned(), act))
}

fn expected(block: &[&str], first: usize) -> Result<Expected> {
    let mut expected = Expected { first, n_lines: block.len(), ..Expected::default() };
    for line in block {
        let line = line.trim_start();
        if let Some(words) = line.strip_prefix("because: ") {
            expected.because = Some(words.to_owned());
            continue;
        }
        let (mark, text) = line.split_once('|').with_context(|| format!("`{line}`: a bar begins what is seen"))?;
        let whose = match mark {
            "" => Whose::Both,
            "k" => Whose::Keepalived,
            "e" => Whose::Evenkeel,
            _ => bail!("`{line}`: whose is it?"),
        };
        expected.lines.push((whose, text.strip_prefix(' ').unwrap_or(text).to_owned()));
    }
    let differs = expected.lines.iter().any(|(whose, _)| *whose != Whose::Both);
    ensure!(!differs || expected.because.is_some(), "a difference has no `because`");
    Ok(expected)
}

fn unindented(block: &[&str]) -> String {
    block.iter().map(|line| format!("{}\n", &line[4..])).collect()
}
