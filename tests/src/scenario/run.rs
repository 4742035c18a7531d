//! A scenario with real programs.

use super::{Act, Program, Scenario, Step, wire};
use crate::{Lan, Machine, Service, wait_until};
use anyhow::{Context, Result, bail, ensure};
use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::path::PathBuf;
use std::process::Child;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// How long something may take that is to happen, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long what is written down may come after what it tells of.
const LAG: Duration = Duration::from_secs(2);

const CONF: &str = "/etc/keepalived/keepalived.conf";

const HELPERS: &[(&str, &str)] = &[
    ("holds", "ip -o addr show to \"$1\" | grep -q ."),
    ("lacks", "! ip -o addr show to \"$1\" | grep -q ."),
    ("note", "echo \"$@\" >>/tmp/notified"),
    (
        "addresses",
        "ip -o addr show | sed -E 's/^[0-9]+: //; s/\\\\\\\\? *valid_lft.*//; s/ +/ /g; s/@[^ ]+//' | grep -vE '^lo |10\\.0\\.0\\.1[0-3]/|fd00::1[0-3]/|inet6 fe80::([0-9a-f]+:)?[0-9a-f]*ff:fe' | sort",
    ),
];

/// What runs on the machines, the first one's and the others'.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Programs {
    /// On the first machine.
    pub first: Program,
    /// On all others.
    pub others: Program,
}

/// Runs it, and says what was not as expected. With `UPDATE_EXPECT=1` what one program alone shows goes into the file instead.
pub fn run(scenario: &Scenario, programs: Programs) -> Result<()> {
    let mut stage = Stage::new(scenario, programs);
    let is_update = std::env::var_os("UPDATE_EXPECT").is_some() && programs.first == programs.others;
    let mut updates = Vec::new();
    for step in &scenario.steps {
        let within = || format!("{}:{}, {programs:?}", scenario.path.display(), step.line + 1);
        stage.perform(step).with_context(|| format!("{}\n{}", within(), stage.logs()))?;
        let Some(expected) = step.act.expected() else { continue };
        let program = stage.program(&step.node);
        // A notice or a capture may lag behind what it tells of.
        let patience = if is_update { LAG } else { PATIENCE };
        let mut seen = Vec::new();
        let is_as_expected = wait_until(patience, || {
            seen = stage.look(step);
            seen == expected.of(program)
        });
        stage.mark(step);
        if is_as_expected {
            continue;
        }
        if is_update {
            updates.push((expected.first, expected.n_lines, expected.updated(program, &seen)));
            continue;
        }
        let wanted = expected.of(program).join("\n  ");
        bail!("{}\nexpected:\n  {wanted}\nseen:\n  {}\n{}", within(), seen.join("\n  "), stage.logs());
    }
    update(scenario, updates)
}

/// Puts blocks in the place of others.
fn update(scenario: &Scenario, mut updates: Vec<(usize, usize, String)>) -> Result<()> {
    if updates.is_empty() {
        return Ok(());
    }
    let text = std::fs::read_to_string(&scenario.path)?;
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    updates.sort_by_key(|(first, ..)| std::cmp::Reverse(*first));
    for (first, n_lines, block) in updates {
        lines.splice(first..first + n_lines, block.lines().map(str::to_owned));
    }
    std::fs::write(&scenario.path, lines.join("\n") + "\n").context("write the scenario")
}

struct Stage<'a> {
    programs: Programs,
    scenario: &'a Scenario,
    lan: Lan,
    machines: HashMap<String, Machine>,
    capture: PathBuf,
    tcpdump: Child,
    /// Packets that a `wire` has looked at.
    n_looked_at: HashMap<String, usize>,
}

impl<'a> Stage<'a> {
    fn new(scenario: &'a Scenario, programs: Programs) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let lan = Lan::new();
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let capture = std::env::temp_dir().join(format!("ek-scenario-{}-{number}.pcap", std::process::id()));
        let tcpdump = lan.capture(&capture, "ip proto 112 or ip proto 51 or ip6 proto 112");
        let machines = HashMap::new();
        let mut stage = Stage { programs, scenario, lan, machines, capture, tcpdump, n_looked_at: HashMap::new() };
        for (n, (name, conf)) in scenario.nodes.iter().enumerate() {
            let machine = stage.lan.machine(&cable(name), "eth0", &format!("10.0.0.{}/24", 10 + n));
            machine.shell(&format!("ip addr add fd00::{}/64 dev eth0 nodad", 10 + n));
            if stage.program(name) == Program::Evenkeel {
                machine.evenkeel_as(Service::Keepalived);
            }
            for (helper, line) in HELPERS {
                machine.install(&format!("/usr/local/bin/{helper}"), &format!("#!/bin/sh\n{line}\n"));
            }
            if let Some(conf) = conf {
                machine.write(CONF, conf);
            }
            stage.machines.insert(name.clone(), machine);
        }
        stage
    }

    fn program(&self, node: &str) -> Program {
        let is_first = self.scenario.nodes.first().is_some_and(|(name, _)| name == node);
        if is_first { self.programs.first } else { self.programs.others }
    }

    /// Does what a step does; what is to be seen is looked at afterwards.
    fn perform(&mut self, step: &Step) -> Result<()> {
        if let Act::Off = step.act {
            self.machines.get_mut(&step.node).context("a machine")?.power_off();
            return Ok(());
        }
        let machine = &self.machines[&step.node];
        match &step.act {
            Act::Start => succeed(machine, "systemctl start keepalived >>/tmp/keepalived.log 2>&1")?,
            Act::Stop => succeed(machine, "systemctl stop keepalived")?,
            Act::Reload => succeed(machine, "systemctl reload keepalived")?,
            // Stopped first: the others would be told of the death of one, and could still do something about it. Children
            // die before their parent, whose death would have the kernel continue them (an orphaned process group).
            Act::Kill => {
                let processes = "pgrep -x 'keepalived|evenkeel' | sort -rn";
                succeed(machine, &format!("kill -STOP $({processes}) && kill -KILL $({processes})"))?;
            }
            Act::Unplug => self.lan.cable(&cable(&step.node), false),
            Act::Plug => self.lan.cable(&cable(&step.node), true),
            Act::Configure(conf) => machine.write(CONF, conf),
            Act::Do(line) => succeed(machine, line)?,
            Act::Await(line) => {
                let succeeds = || machine.run(&["sh", "-c", line]).status.success();
                ensure!(wait_until(PATIENCE, succeeds), "`{line}` does not come true");
            }
            Act::Off | Act::See(..) | Act::Wire(_) => {}
        }
        Ok(())
    }

    /// What there is to be seen now.
    fn look(&self, step: &Step) -> Vec<String> {
        match &step.act {
            Act::See(line, _) => {
                let output = self.machines[&step.node].run(&["sh", "-c", line]);
                let text = String::from_utf8_lossy(&output.stdout).into_owned();
                text.lines().map(|line| line.trim_end().to_owned()).collect()
            }
            Act::Wire(_) => self.sent_by(&step.node),
            _ => Vec::new(),
        }
    }

    /// The next look at the wire begins here.
    fn mark(&mut self, step: &Step) {
        if let Act::Wire(_) = step.act {
            self.n_looked_at.insert(step.node.clone(), wire::read(&self.capture).len());
        }
    }

    /// Each message that a machine has sent since the last time, once.
    fn sent_by(&self, node: &str) -> Vec<String> {
        let n = self.scenario.nodes.iter().position(|(name, _)| name == node).unwrap_or_default() as u8;
        let own = IpAddr::from([10, 0, 0, 10 + n]);
        let from = self.n_looked_at.get(node).copied().unwrap_or(0);
        let mut known = HashSet::new();
        let sent = wire::read(&self.capture).into_iter().skip(from).filter(|packet| packet.source == own);
        sent.map(|packet| packet.line).filter(|line| known.insert(line.clone())).collect()
    }

    fn logs(&self) -> String {
        self.scenario.nodes.iter().filter_map(|(name, _)| Some(self.machines.get(name)?.logs())).collect()
    }
}

impl Drop for Stage<'_> {
    fn drop(&mut self) {
        let _ = self.tcpdump.kill();
        let _ = self.tcpdump.wait();
        let _ = std::fs::remove_file(&self.capture);
    }
}

/// What the LAN calls a machine; `ip` takes short names for words of its own.
fn cable(node: &str) -> String {
    format!("node-{node}")
}

fn succeed(machine: &Machine, line: &str) -> Result<()> {
    let output = machine.run(&["sh", "-c", line]);
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "`{line}`: {}: {said}", output.status);
    Ok(())
}
