//! The fuzz targets over mutated samples: the same inputs on every run, so that a failure is a
//! reproduction; under `CI=true` a minute of further ones. What
//! libFuzzer does with coverage and time to spare is `cargo fuzz run TARGET --features libfuzzer`.

use evenkeel_fuzz::{TARGETS, Target};
use std::panic::catch_unwind;
use std::time::{Duration, Instant};

/// Mutations of each sample.
const ROUNDS: usize = 4_000;
/// How long each target goes on with further seeds where nobody waits for the result.
const CI_TIME: Duration = Duration::from_secs(60);
/// Bytes of the longest input.
const MAX_LENGTH: usize = 4_096;

fn check(name: &str) {
    let (_, target, samples) = TARGETS.iter().find(|(known, ..)| *known == name).unwrap();
    for sample in *samples {
        for end in 0..sample.len() {
            run(*target, &sample[..end]);
        }
    }
    mutate_all(*target, samples, 0x5eed);
    let until = Instant::now() + if is_ci() { CI_TIME } else { Duration::ZERO };
    let mut seed = 1;
    while Instant::now() < until {
        mutate_all(*target, samples, seed);
        seed += 1;
    }
}

/// Mutations of every sample, always the same ones for a seed.
fn mutate_all(target: Target, samples: &[&[u8]], seed: u64) {
    let mut random = Random(seed);
    for sample in samples {
        run(target, sample);
        let mut bytes = sample.to_vec();
        for round in 0..ROUNDS {
            // Mutations add up, and now and then start anew.
            if round % 16 == 0 {
                bytes = sample.to_vec();
            }
            mutate(&mut bytes, samples, &mut random);
            run(target, &bytes);
        }
    }
}

fn is_ci() -> bool {
    std::env::var("CI").as_deref() == Ok("true")
}

fn run(target: Target, bytes: &[u8]) {
    if catch_unwind(|| target(bytes)).is_err() {
        panic!("the input is {:?}, as bytes {bytes:02x?}", String::from_utf8_lossy(bytes));
    }
}

fn mutate(bytes: &mut Vec<u8>, samples: &[&[u8]], random: &mut Random) {
    const ODD: &[u8] = b"\0\n\r\t \"'#!${}()~@;:/\\*?-0\x7f\x80\xff";
    let at = random.below(bytes.len() + 1);
    let end = (at + random.below(12)).min(bytes.len());
    match random.below(7) {
        0 => bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte = random.below(256) as u8),
        1 => bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= 1 << random.below(8)),
        2 => bytes.insert(at, ODD[random.below(ODD.len())]),
        3 => drop(bytes.drain(at..end)),
        4 => {
            let copy = bytes[at..end].to_vec();
            let to = random.below(bytes.len() + 1);
            bytes.splice(to..to, copy);
        }
        5 => {
            let other = samples[random.below(samples.len())];
            let from = random.below(other.len());
            let until = (from + random.below(40)).min(other.len());
            bytes.splice(at..at, other[from..until].iter().copied());
        }
        _ => bytes.truncate(at.max(1)),
    }
    bytes.truncate(MAX_LENGTH);
}

struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % limit.max(1) as u64) as usize
    }
}

#[test]
fn adverts_of_any_bytes_do_no_harm() {
    check("advert");
}

#[test]
fn bfd_packets_of_any_bytes_do_no_harm() {
    check("bfd_packet");
}

#[test]
fn any_text_is_a_keepalived_configuration_or_diagnostics() {
    check("keepalived_conf");
}

#[test]
fn any_text_is_an_nginx_configuration_or_diagnostics() {
    check("nginx_conf");
}

#[test]
fn any_bytes_are_frames_or_an_error() {
    check("bus_frame");
}

#[test]
fn any_bytes_are_an_http_head_or_an_error() {
    check("http_head");
}

#[test]
fn any_bytes_are_an_answer_to_a_probe_or_none() {
    check("probe_answers");
}

#[test]
fn any_bytes_to_the_port_of_hellos_change_nothing_without_the_key() {
    check("peer_packet");
}
