//! The daemon's answers as people read them.

mod balance;
pub mod connections;
mod peers;
mod session;
mod status;
pub mod table;
mod why;

pub use peers::maintenance;
pub use status::status;
pub use why::why;

/// `0.4 s`, `12 s`, `3 min 5 s`, `2 h 10 min`, `5 d 3 h`.
pub fn span(seconds: f64) -> String {
    let whole = seconds.max(0.0) as u64;
    match whole {
        0..10 => format!("{seconds:.1} s"),
        10..60 => format!("{whole} s"),
        60..3600 => format!("{} min {} s", whole / 60, whole % 60),
        3600..86400 => format!("{} h {} min", whole / 3600, whole / 60 % 60),
        _ => format!("{} d {} h", whole / 86400, whole / 3600 % 24),
    }
}

/// A short span with its own unit: `38 us`, `4.1 ms`, `1.20 s`.
pub fn took(seconds: f64) -> String {
    if seconds < 0.001 {
        format!("{:.0} us", seconds * 1e6)
    } else if seconds < 1.0 {
        format!("{:.1} ms", seconds * 1e3)
    } else {
        format!("{seconds:.2} s")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_have_two_units_at_most() {
        for (seconds, text) in [
            (0.04, "0.0 s"),
            (9.94, "9.9 s"),
            (59.9, "59 s"),
            (185.0, "3 min 5 s"),
            (7800.0, "2 h 10 min"),
            (442_800.0, "5 d 3 h"),
        ] {
            assert_eq!(span(seconds), text);
        }
        assert_eq!([took(0.000_038), took(0.0041), took(1.2)], ["38 us", "4.1 ms", "1.20 s"]);
    }
}
