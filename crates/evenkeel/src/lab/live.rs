//! The lab at a terminal: draws the model, and does what the keys say.

use super::act::Act;
use super::model::Model;
use super::screen::{self, Paint};
use super::world::{News, World};
use anyhow::{Context, Result};
use evenkeel_kernel::clock;
use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use std::process::ExitCode;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender};
use std::thread;
use std::time::Duration;

/// Between two drawings.
const FRAME: Duration = Duration::from_millis(100);

/// Shows the lab until somebody has seen enough.
pub(super) fn run(world: &mut World, news: &Receiver<News>, keys: SyncSender<News>) -> Result<ExitCode> {
    let mut terminal = ratatui::try_init().context("use the terminal")?;
    thread::Builder::new().name("keys".to_owned()).spawn(move || {
        while let Ok(event) = event::read() {
            if keys.send(News::Terminal(event)).is_err() {
                return;
            }
        }
        // The terminal is gone, and with it whoever looked at it.
        let _ = keys.send(News::Down);
    })?;
    let result = show(world, news, &mut terminal);
    ratatui::restore();
    result
}

fn show(world: &mut World, news: &Receiver<News>, terminal: &mut DefaultTerminal) -> Result<ExitCode> {
    let paint = paint();
    let mut model = Model::new(clock::now());
    do_act(world, &mut model, Act::Start);
    loop {
        let now = clock::now();
        model.tick(now);
        terminal.draw(|frame| screen::draw(frame, &model, now, paint)).context("draw")?;
        let until = now + FRAME;
        loop {
            let left = until.since(clock::now());
            if left.is_zero() {
                break;
            }
            match news.recv_timeout(left) {
                Ok(News::Report(host, report)) => model.hear(clock::now(), host, report),
                Ok(News::Gone(host)) => model.note(clock::now(), host.name(), "the host is gone".to_owned()),
                Ok(News::Down) | Err(RecvTimeoutError::Disconnected) => return Ok(ExitCode::SUCCESS),
                Ok(News::Terminal(Event::Key(key))) => match read_key(key) {
                    Some(Press::Quit) => return Ok(ExitCode::SUCCESS),
                    Some(Press::Act(act)) => do_act(world, &mut model, act),
                    None => {}
                },
                // A new size is seen at the next drawing.
                Ok(News::Terminal(_)) | Err(RecvTimeoutError::Timeout) => break,
            }
        }
    }
}

fn do_act(world: &mut World, model: &mut Model, act: Act) {
    // Nothing is broken, so there is nothing to measure.
    if act == Act::Restore && model.broken().is_empty() {
        return;
    }
    if model.broken().contains(&act) {
        return;
    }
    for task in model.begin(clock::now(), act) {
        if let Err(error) = world.perform(&task) {
            model.note(clock::now(), "lab", format!("{error:#}"));
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Press {
    Act(Act),
    Quit,
}

/// What a key is for.
fn read_key(key: KeyEvent) -> Option<Press> {
    if key.kind == KeyEventKind::Release {
        return None;
    }
    let control = key.modifiers.contains(KeyModifiers::CONTROL);
    match key.code {
        KeyCode::Char('c' | 'd') if control => Some(Press::Quit),
        KeyCode::Char('q') | KeyCode::Esc => Some(Press::Quit),
        KeyCode::Char('0') => Some(Press::Act(Act::Restore)),
        KeyCode::Char(letter) if !control => {
            Act::KEYS.iter().find(|(key, _)| *key == letter).map(|(_, act)| Press::Act(*act))
        }
        _ => None,
    }
}

/// <https://no-color.org>, and terminals that say they have none.
fn paint() -> Paint {
    let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let plain_terminal = std::env::var("TERM").is_ok_and(|term| term == "dumb" || term.starts_with("vt1"));
    if set("NO_COLOR") || plain_terminal { Paint::Plain } else { Paint::Colour }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_on_the_screen_does_what_it_says() {
        for (letter, act) in Act::KEYS {
            assert_eq!(read_key(KeyCode::Char(letter).into()), Some(Press::Act(act)));
        }
        assert_eq!(read_key(KeyCode::Char('0').into()), Some(Press::Act(Act::Restore)));
        assert_eq!(read_key(KeyCode::Char('q').into()), Some(Press::Quit));
        assert_eq!(read_key(KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL)), Some(Press::Quit));
        assert_eq!(read_key(KeyEvent::new(KeyCode::Char('r'), KeyModifiers::CONTROL)), None);
        assert_eq!(read_key(KeyCode::Enter.into()), None);
    }
}
