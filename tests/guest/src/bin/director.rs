//! Runs in the guest for `cargo xtask bench l4`, which reads what this prints and sends what this balances.

use evenkeel_guest::director::measure;

fn main() {
    measure(|work| {
        if let Some(line) = work.line() {
            println!("{line}");
        }
    });
}
