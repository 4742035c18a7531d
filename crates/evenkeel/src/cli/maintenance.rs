//! `evenkeel maintenance`: this node leaves its addresses to others.

use super::client::Client;
use super::node::{do_it, unexpected};
use super::{DaemonArgs, print};
use crate::render;
use clap::{Args, Subcommand};
use evenkeel_bus::{Reply, Request};
use std::process::ExitCode;

#[derive(Debug, Args)]
pub struct MaintenanceArgs {
    #[command(subcommand)]
    action: Option<Action>,
    #[command(flatten)]
    daemon: DaemonArgs,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Hand every address over, and take one only when nobody else answers for it.
    On {
        /// For so long: 90s, 30m, 1h30m, 2d [default: until `maintenance off`].
        #[arg(long = "for", value_name = "TIME", value_parser = seconds)]
        seconds: Option<u64>,
        /// Take no address at all, even when nobody else answers.
        #[arg(long)]
        strict: bool,
        #[command(flatten)]
        daemon: DaemonArgs,
    },
    /// End it: the virtual routers take part as configured.
    Off {
        #[command(flatten)]
        daemon: DaemonArgs,
    },
    /// Whether it is in maintenance, and which peers are (exit 0: this node is, 1: it is not).
    Status {
        /// As JSON: `null` when it is not.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        daemon: DaemonArgs,
    },
}

pub fn main(args: &MaintenanceArgs) -> anyhow::Result<ExitCode> {
    match &args.action {
        Some(Action::On { seconds, strict, daemon }) => {
            do_it(daemon, &Request::MaintenanceOn { seconds: *seconds, strict: *strict })
        }
        Some(Action::Off { daemon }) => do_it(daemon, &Request::MaintenanceOff),
        Some(Action::Status { json, daemon }) => status(daemon, *json),
        None => status(&args.daemon, false),
    }
}

fn status(daemon: &DaemonArgs, json: bool) -> anyhow::Result<ExitCode> {
    let status = match Client::connect(daemon)?.ask(&Request::Status)? {
        Reply::Status(status) => status,
        other => return unexpected(other),
    };
    let here = status.maintenance.as_ref();
    if json {
        print(&(serde_json::to_string_pretty(&here)? + "\n"))?;
    } else {
        let mut text = match here {
            Some(view) => format!("this node is {}\n", render::maintenance(view)),
            None => "this node is not in maintenance\n".to_owned(),
        };
        let peers = status.peers.iter().flatten();
        for (peer, view) in peers.filter_map(|peer| Some((peer, peer.maintenance.as_ref()?))) {
            text.push_str(&format!("the peer {} is {}\n", peer.name, render::maintenance(view)));
        }
        print(&text)?;
    }
    Ok(ExitCode::from(u8::from(here.is_none())))
}

/// Numbers with units one behind the other, or a number of seconds.
fn seconds(text: &str) -> Result<u64, String> {
    let wrong = || format!("`{text}` is no time: write 90s, 30m, 1h30m or 2d");
    let mut sum: u64 = 0;
    let mut rest = text;
    while !rest.is_empty() {
        let n_digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (digits, after) = rest.split_at(n_digits);
        let n_letters = after.bytes().take_while(u8::is_ascii_alphabetic).count();
        let (unit, after) = after.split_at(n_letters);
        let factor = match unit {
            "" if after.is_empty() => 1,
            "s" => 1,
            "m" | "min" => 60,
            "h" => 3600,
            "d" => 86400,
            _ => return Err(wrong()),
        };
        let number: u64 = digits.parse().map_err(|_| wrong())?;
        sum = number.checked_mul(factor).and_then(|part| sum.checked_add(part)).ok_or_else(wrong)?;
        rest = after;
    }
    if sum == 0 { Err(wrong()) } else { Ok(sum) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_people_write_them() {
        let rows = [("90", 90), ("90s", 90), ("30m", 1800), ("1h30m", 5400), ("2d", 172_800), ("1d2h3min4s", 93_784)];
        for (text, expected) in rows {
            assert_eq!(seconds(text), Ok(expected), "{text}");
        }
        for text in ["", "0", "m", "-5m", "5 m", "5x", "1h-3", "99999999999999999999", "9999999999999999d", "30m5x"] {
            assert!(seconds(text).is_err(), "{text}");
        }
    }
}
