//! The model as a screen. It draws what it is given and knows no terminal.
//!
//! Nothing is told by colour alone: a state is a word, and a mark stands before what differs.

use super::act::Act;
use super::message::{Node, Outcome};
use super::model::{Model, Second};
use super::probe;
use super::topology::{Host, VIP};
use evenkeel_wire::Instant;
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Borders, Paragraph, Sparkline, Wrap};
use std::time::Duration;

/// Whether the terminal is to show colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Paint {
    /// Yes.
    Colour,
    /// No: `NO_COLOR` is set, or the terminal has none.
    Plain,
}

#[derive(Clone, Copy)]
enum Tone {
    Good,
    Bad,
    Quiet,
    Strong,
}

impl Paint {
    fn style(self, tone: Tone) -> Style {
        let plain = Style::default();
        match (self, tone) {
            (Paint::Colour, Tone::Good) => plain.fg(Color::Green),
            (Paint::Colour, Tone::Bad) => plain.fg(Color::Red).add_modifier(Modifier::BOLD),
            (Paint::Colour, Tone::Quiet) => plain.fg(Color::DarkGray),
            (Paint::Plain, Tone::Bad) | (_, Tone::Strong) => plain.add_modifier(Modifier::BOLD),
            (Paint::Plain, Tone::Good | Tone::Quiet) => plain,
        }
    }
}

/// Smaller than this, only the most important lines fit.
const SMALLEST: (u16, u16) = (60, 20);

/// Draws the whole screen.
pub(super) fn draw(frame: &mut Frame<'_>, model: &Model, now: Instant, paint: Paint) {
    let area = frame.area();
    if area.width < SMALLEST.0 || area.height < SMALLEST.1 {
        let text = format!("{}\n\nq quit; the lab needs {} x {}", model.verdict(now), SMALLEST.0, SMALLEST.1);
        frame.render_widget(Paragraph::new(text).wrap(Wrap { trim: true }), area);
        return;
    }
    // Of what is left, the log gets a little more than the list of acts.
    let [title, pair, traffic, acts, log, keys] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(6),
        Constraint::Length(5),
        Constraint::Fill(2),
        Constraint::Fill(3),
        Constraint::Length(1),
    ])
    .areas(area);
    draw_title(frame, title, model, now, paint);
    let columns = Layout::horizontal([Constraint::Fill(1), Constraint::Fill(1)]).areas::<2>(pair);
    for (host, column) in Host::BALANCERS.into_iter().zip(columns) {
        draw_balancer(frame, column, host, model, now, paint);
    }
    draw_traffic(frame, traffic, model, now, paint);
    draw_acts(frame, acts, model, now, paint);
    draw_log(frame, log, model, paint);
    draw_keys(frame, keys, model, paint);
}

fn draw_title(frame: &mut Frame<'_>, area: Rect, model: &Model, now: Instant, paint: Paint) {
    let tone = if model.holders(now).len() == 1 { Tone::Good } else { Tone::Bad };
    let line = Line::from(vec![
        Span::styled(format!(" {VIP}  "), paint.style(Tone::Strong)),
        Span::styled(model.verdict(now), paint.style(tone)),
    ]);
    frame.render_widget(Paragraph::new(line), area);
}

fn draw_balancer(frame: &mut Frame<'_>, area: Rect, host: Host, model: &Model, now: Instant, paint: Paint) {
    let holding = model.holders(now).contains(&host);
    let mut block = Block::bordered().title(format!(" {host} {} ", host.address()));
    if holding {
        block = block.title_bottom(" * holds the address ");
    }
    let lines = match model.node(now, host) {
        Some(node) => describe(node, paint),
        None => vec![Line::styled("the daemon gives no answer", paint.style(Tone::Bad))],
    };
    frame.render_widget(Paragraph::new(lines).block(block), area);
}

fn describe(node: &Node, paint: Paint) -> Vec<Line<'static>> {
    let tone = if node.state == "MASTER" { Tone::Good } else { Tone::Strong };
    let state = Line::from(vec![
        Span::styled(node.state.clone(), paint.style(tone)),
        Span::raw(format!(" for {}, priority {}", span(node.since), node.priority)),
    ]);
    let peer = match (&node.conflict, node.peer_age) {
        (Some(conflict), _) => Line::styled(format!("! {conflict}"), paint.style(Tone::Bad)),
        (None, Some(age)) => Line::raw(format!("peer heard {} ago", span(age))),
        (None, None) => Line::raw("no peer heard"),
    };
    let proxy = match node.proxy_healthy {
        Some(true) => Line::raw("proxy serves"),
        Some(false) => Line::styled(format!("! proxy: {}", node.proxy_reason), paint.style(Tone::Bad)),
        None => Line::raw("proxy: nothing known"),
    };
    vec![state, Line::styled(node.reason.clone(), paint.style(Tone::Quiet)), peer, proxy]
}

fn draw_traffic(frame: &mut Frame<'_>, area: Rect, model: &Model, now: Instant, paint: Paint) {
    let Second { pages: [one, two], n_failed, .. } = model.last_second();
    let (n_requests, n_lost) = model.totals();
    let to = model.client_uses().map_or("nobody".to_owned(), |host| host.to_string());
    let title = format!(" client: sends to {to}, {n_requests} requests, {n_lost} failed ");
    let block = Block::bordered().title(title);
    let inner = block.inner(area);
    frame.render_widget(block, area);
    let [numbers, curve] = Layout::horizontal([Constraint::Length(34), Constraint::Fill(1)]).areas(inner);
    let failures = match (n_failed, model.last_failure()) {
        (0, None) => Line::raw("errors   0/s"),
        (n, Some((at, outcome))) => {
            let tone = if n > 0 { Tone::Bad } else { Tone::Quiet };
            let text = format!("errors {n:3}/s  {} {} ago", word(outcome), span(now.since(at)));
            Line::styled(text, paint.style(tone))
        }
        (n, None) => Line::raw(format!("errors {n:3}/s")),
    };
    let text = vec![
        Line::raw(format!("web01  {one:3}/s  {}", bar(one))),
        Line::raw(format!("web02  {two:3}/s  {}", bar(two))),
        failures,
    ];
    frame.render_widget(Paragraph::new(text), numbers);
    // The newest second is not over, and would look like a dip.
    let finished = model.seconds().len().saturating_sub(1);
    let skip = finished.saturating_sub(usize::from(curve.width));
    let good: Vec<u64> =
        model.seconds().take(finished).skip(skip).map(|second| second.pages.iter().sum::<u64>()).collect();
    frame.render_widget(Sparkline::default().data(good).style(paint.style(Tone::Good)), curve);
}

/// A bar of as many marks as fit the share of all requests in one second.
fn bar(n: u64) -> String {
    let all = Duration::from_secs(1).as_millis() / probe::INTERVAL.as_millis();
    let marks = u128::from(n) * 16 / all.max(1);
    "#".repeat(marks.min(16) as usize)
}

fn draw_acts(frame: &mut Frame<'_>, area: Rect, model: &Model, now: Instant, paint: Paint) {
    let block = Block::new().borders(Borders::TOP).title(" what was done, and what clients noticed ");
    let room = usize::from(block.inner(area).height);
    let mut lines: Vec<Line<'_>> = Vec::new();
    for finding in model.findings() {
        let (mark, tone) = if finding.ok { ("  ", Tone::Good) } else { ("! ", Tone::Bad) };
        lines.push(Line::from(vec![
            Span::styled(format!("{mark}{:22} ", finding.act.title()), paint.style(tone)),
            Span::raw(finding.seen.clone()),
        ]));
    }
    if let Some(trial) = model.trial() {
        let text = format!(
            "> {:22} {} ms without an answer, {} of {} failed ...",
            trial.act.title(),
            trial.window.outage(now).as_millis(),
            trial.window.n_failed,
            trial.window.n_requests
        );
        lines.push(Line::styled(text, paint.style(Tone::Strong)));
    }
    let skip = lines.len().saturating_sub(room);
    frame.render_widget(Paragraph::new(lines.split_off(skip)).block(block), area);
}

fn draw_log(frame: &mut Frame<'_>, area: Rect, model: &Model, paint: Paint) {
    let block = Block::new().borders(Borders::TOP).title(" what happened, and why ");
    let inner = block.inner(area);
    let room = usize::from(inner.height);
    // A line that is too long is broken, so the newest ones may need more than one row each.
    let width = usize::from(inner.width).max(20);
    let mut rows: Vec<Line<'_>> = Vec::new();
    for line in model.log().rev() {
        let text = format!("{:7.1} {:6} {}", line.at.as_secs_f64(), line.who, line.text);
        let tone = if line.text.starts_with("SPLIT BRAIN") { Tone::Bad } else { Tone::Quiet };
        let style = if line.who == "you" { paint.style(Tone::Strong) } else { paint.style(tone) };
        let pieces = break_line(&text, width);
        if rows.len() + pieces.len() > room {
            break;
        }
        rows.extend(pieces.into_iter().rev().map(|piece| Line::styled(piece, style)));
    }
    rows.reverse();
    frame.render_widget(Paragraph::new(rows).block(block), area);
}

/// Cuts a line between words. What follows is indented to where the text begins.
fn break_line(text: &str, width: usize) -> Vec<String> {
    const INDENT: usize = 15;
    let mut rows = vec![String::new()];
    let mut length = 0;
    for word in text.split_inclusive(' ') {
        let n = word.trim_end().chars().count();
        if length + n > width && length > INDENT {
            rows.push(" ".repeat(INDENT));
            length = INDENT;
        }
        if let Some(row) = rows.last_mut() {
            row.push_str(word);
        }
        length += word.chars().count();
    }
    rows
}

fn draw_keys(frame: &mut Frame<'_>, area: Rect, model: &Model, paint: Paint) {
    let mut spans = Vec::new();
    for (key, act) in Act::KEYS {
        let done = model.broken().contains(&act);
        let tone = if done { Tone::Quiet } else { Tone::Strong };
        spans.push(Span::styled(format!(" {key}"), paint.style(tone)));
        spans.push(Span::raw(format!(" {}{} ", if done { "*" } else { "" }, short(act))));
    }
    spans.push(Span::styled(" q", paint.style(Tone::Strong)));
    spans.push(Span::raw(" quit"));
    frame.render_widget(Paragraph::new(Line::from(spans)), area);
}

/// What the row of keys says.
fn short(act: Act) -> &'static str {
    match act {
        Act::FreezeProxy => "hang proxy",
        Act::KillDaemon => "kill -9",
        Act::CutLink => "cable",
        Act::CutPeers => "cut peers",
        Act::StopDaemon => "stop",
        Act::Restore => "restore",
        Act::Start | Act::Watch => "",
    }
}

/// How a request failed, in a word.
fn word(outcome: Outcome) -> String {
    match outcome {
        Outcome::Page(host) => host.to_string(),
        Outcome::Status(status) => format!("status {status}"),
        Outcome::Refused => "refused".to_owned(),
        Outcome::CutOff => "cut off".to_owned(),
        Outcome::TimedOut => "timed out".to_owned(),
        Outcome::Garbled => "garbled".to_owned(),
        Outcome::Unreachable => "unreachable".to_owned(),
    }
}

/// `0.4 s`, `12 s`, `3 min`.
fn span(span: Duration) -> String {
    match span.as_secs() {
        0..10 => format!("{:.1} s", span.as_secs_f64()),
        seconds @ 10..120 => format!("{seconds} s"),
        seconds => format!("{} min", seconds / 60),
    }
}

#[cfg(test)]
mod tests {
    use super::super::message::{Report, Sample};
    use super::*;
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    fn at(millis: u64) -> Instant {
        Instant::from_origin(Duration::from_millis(millis))
    }

    fn node(state: &str, conflict: Option<&str>) -> Report {
        Report::Node(Some(Node {
            state: state.to_owned(),
            since: Duration::from_secs(12),
            reason: "no advert for 3.61 s".to_owned(),
            priority: 150,
            holding: state == "MASTER",
            peer_age: Some(Duration::from_millis(400)),
            conflict: conflict.map(str::to_owned),
            proxy_healthy: Some(true),
            proxy_reason: String::new(),
        }))
    }

    /// Three seconds of traffic, with both daemons heard at the end.
    fn lab(lb02: Report) -> (Model, Instant) {
        let mut model = Model::new(at(0));
        model.hear(at(0), Host::Client, Report::Neighbour(Some(Host::Lb01.mac())));
        for n in (0..3000).step_by(5) {
            let outcome = if n == 1500 { Outcome::TimedOut } else { Outcome::Page(Host::SERVERS[n / 5 % 2]) };
            let n = at(n as u64);
            model.hear(n, Host::Client, Report::Sample(Sample { began: n, ended: n, outcome }));
        }
        model.hear(at(3000), Host::Lb01, node("MASTER", None));
        model.hear(at(3000), Host::Lb02, lb02);
        (model, at(3000))
    }

    fn rows(width: u16, height: u16, model: &Model, now: Instant, paint: Paint) -> Vec<String> {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        terminal.draw(|frame| draw(frame, model, now, paint)).unwrap();
        let buffer = terminal.backend().buffer().clone();
        (0..height)
            .map(|y| (0..width).map(|x| buffer[(x, y)].symbol()).collect::<String>().trim_end().to_owned())
            .collect()
    }

    #[test]
    fn the_smallest_common_terminal_shows_all_that_matters() {
        let (model, now) = lab(node("BACKUP", None));
        let screen = rows(80, 24, &model, now, Paint::Plain).join("\n");
        for text in [
            " 10.0.0.100  the address is on lb01",
            " lb01 10.0.0.10 ",
            "* holds the address",
            "MASTER for 12 s, priority 150",
            "BACKUP for 12 s, priority 150",
            "sends to lb01, 600 requests, 1 failed",
            "web01   99/s  #######",
            "errors   1/s  timed out 1.5 s ago",
            "what was done, and what clients noticed",
            "client sends to lb01 now",
            " 1 hang proxy  2 kill -9  3 cable  4 cut peers  5 stop  r restore  q quit",
        ] {
            assert!(screen.contains(text), "{text:?} in\n{screen}");
        }
    }

    #[test]
    fn a_split_brain_is_said_in_words() {
        let (model, now) = lab(node("MASTER", Some("10.0.0.100 is also at 02:00:00:00:00:0a")));
        let screen = rows(100, 30, &model, now, Paint::Plain).join("\n");
        assert!(screen.contains("SPLIT BRAIN: lb01 and lb02 hold the address, the client uses lb01"), "{screen}");
        assert!(screen.contains("! 10.0.0.100 is also at"), "{screen}");
    }

    #[test]
    fn a_daemon_that_is_silent_is_not_shown_with_its_last_words() {
        let (mut model, now) = lab(node("BACKUP", None));
        model.hear(now, Host::Lb02, Report::Node(None));
        let screen = rows(80, 24, &model, now, Paint::Plain).join("\n");
        assert!(screen.contains("the daemon gives no answer") && !screen.contains("BACKUP"), "{screen}");
    }

    #[test]
    fn an_act_under_way_and_its_finding_are_shown() {
        let (mut model, now) = lab(node("BACKUP", None));
        model.begin(now, Act::KillDaemon);
        let screen = rows(80, 24, &model, now, Paint::Plain).join("\n");
        assert!(screen.contains("> kill -9 lb01's daemon  0 ms without an answer, 0 of 0 failed"), "{screen}");
        assert!(screen.contains("2 *kill -9"), "{screen}");
        assert!(model.tick(at(30_000)).is_some_and(|finding| !finding.ok));
        let screen = rows(80, 24, &model, at(30_000), Paint::Plain).join("\n");
        assert!(screen.contains("! kill -9 lb01's daemon  not settled after 20 s"), "{screen}");
    }

    #[test]
    fn the_words_are_the_same_without_colour() {
        let (model, now) = lab(node("BACKUP", None));
        assert_eq!(rows(120, 40, &model, now, Paint::Plain), rows(120, 40, &model, now, Paint::Colour));
    }

    #[test]
    fn every_size_can_be_drawn() {
        let (model, now) = lab(node("BACKUP", None));
        for (width, height) in [(1, 1), (20, 5), (59, 40), (60, 20), (300, 100)] {
            rows(width, height, &model, now, Paint::Colour);
        }
        assert!(rows(40, 10, &model, now, Paint::Plain)[0].contains("the address is on lb01"));
    }

    #[test]
    fn long_lines_are_broken_between_words() {
        assert_eq!(
            break_line("    1.0 lb01   aaaa bbbb cccc", 24),
            ["    1.0 lb01   aaaa bbbb ", "               cccc"]
        );
        assert_eq!(break_line("short", 24), ["short"]);
    }
}
