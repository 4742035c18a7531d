//! The lab unattended: everything is done once, and what was seen is held against what was expected.

use super::act::Act;
use super::model::{LogLine, Model};
use super::trial::Finding;
use super::world::{News, World};
use anyhow::{Result, bail};
use evenkeel_kernel::clock;
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
    let mut n_printed = 0;
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
            print_log(out, &model, &mut n_printed)?;
            if let Some(finding) = model.tick(clock::now()) {
                break finding;
            }
        };
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

/// What happened since it was printed last.
fn print_log(out: &mut impl Write, model: &Model, n_printed: &mut u64) -> Result<()> {
    let new = model.n_logged().saturating_sub(*n_printed);
    let skip = model.log().len().saturating_sub(usize::try_from(new).unwrap_or(usize::MAX));
    for LogLine { at, who, text } in model.log().skip(skip) {
        writeln!(out, "{:9.3}  {who:6}  {text}", at.as_secs_f64())?;
    }
    if new > 0 {
        out.flush()?;
    }
    *n_printed = model.n_logged();
    Ok(())
}

fn print_finding(out: &mut impl Write, finding: &Finding) -> Result<()> {
    let Finding { act, expected, seen, ok } = finding;
    let verdict = if *ok { "ok" } else { "DIFFERENT" };
    writeln!(out, "{:22}  expected: {expected}", act.title())?;
    writeln!(out, "{:22}  seen:     {seen}   {verdict}\n", "")?;
    Ok(out.flush()?)
}
