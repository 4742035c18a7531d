//! Runs in the guest for `cargo xtask bench l4`, which reads what this prints.

use evenkeel_guest::forwarding::{IN_THE_GUEST, measure};
use evenkeel_guest::in_fresh_namespace;

/// Datagrams in a round: a second or so for the emulated machine.
const PACKETS: usize = 20_000;

fn main() {
    in_fresh_namespace(|| {
        for cost in measure(IN_THE_GUEST, PACKETS) {
            if let Some(line) = cost.line(IN_THE_GUEST) {
                println!("{line}");
            }
        }
    });
}
