//! The lab unattended: everything is done once, and what was seen is held against what was expected.

use super::act::Act;
use super::model::{LATE, LogLine, Model};
use super::trial::Finding;
use super::world::{News, World};
use anyhow::{Result, bail};
use evenkeel_kernel::clock;
use evenkeel_wire::Instant;
use std::io::Write;
use std::process::ExitCode;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

/// Between two judgements.
const TICK: Duration = Duration::from_millis(50);

/// Runs the script. Exit status 1 when anything differed from what was expected.
pub(super) fn run(world: &mut World, news: &Receiver<News>, out: &mut impl Write) -> Result<ExitCode> {
    let mut model = Model::new(clock::now());
    let mut n_different = 0;
    for act in Act::SCRIPT {
        for task in model.begin(clock::now(), act) {
            world.perform(&task)?;
        }
        let finding = loop {
            match news.recv_timeout(TICK) {
                Ok(News::Report(host, report)) => model.hear(clock::now(), host, report),
                Ok(News::Gone(host)) => bail!("{host} ended"),
                Ok(News::Down) => return Ok(ExitCode::FAILURE),
                Ok(News::Terminal(_)) | Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => bail!("all hosts ended"),
            }
            // An earlier line may still come than those of the last moment.
            print_log(out, &mut model, clock::now() - LATE)?;
            if let Some(finding) = model.tick(clock::now()) {
                break finding;
            }
        };
        print_log(out, &mut model, clock::now())?;
        print_finding(out, &finding)?;
        n_different += usize::from(!finding.ok);
        if act == Act::Start && !finding.ok {
            bail!("nothing can be tried on a lab that does not work");
        }
    }
    match n_different {
        0 => writeln!(out, "all {} as expected", Act::SCRIPT.len())?,
        n => writeln!(out, "{n} of {} differ from what was expected", Act::SCRIPT.len())?,
    }
    Ok(if n_different == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What happened since it was printed last, up to `until`.
fn print_log(out: &mut impl Write, model: &mut Model, until: Instant) -> Result<()> {
    for LogLine { at, who, text } in model.unread(until) {
        writeln!(out, "{:9.3}  {who:6}  {text}", at.as_secs_f64())?;
    }
    Ok(out.flush()?)
}

fn print_finding(out: &mut impl Write, finding: &Finding) -> Result<()> {
    let Finding { act, expected, seen, ok } = finding;
    let verdict = if *ok { "ok" } else { "DIFFERENT" };
    writeln!(out, "{:22}  expected: {expected}", act.title())?;
    writeln!(out, "{:22}  seen:     {seen}   {verdict}\n", "")?;
    Ok(out.flush()?)
}
