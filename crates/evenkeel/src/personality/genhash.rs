//! `genhash`: the digest of a page, for `digest` in HTTP_GET and SSL_GET. Options, texts and exit status are those of
//! keepalived 2.2.7; the request and the digest are the check's own, so they agree with it by construction.

use super::options::{self, Given, Mistake, Opt, Value};
use crate::role::balance::probe::http::{self, Fetched};
use evenkeel_balance::config::{ClientTls, HttpProbe, HttpVersion, Target, TlsProbe, UrlProbe};
use std::ffi::OsString;
use std::fmt::Write as _;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::process::ExitCode;
use std::time::{Duration, Instant};

const DEFAULT_TIMEOUT: Duration = Duration::from_secs(5);

const OPTIONS: &[Opt] = &[
    Opt { short: 'S', long: "use-ssl", value: Value::No },
    Opt { short: 'I', long: "use-sni", value: Value::No },
    Opt { short: 's', long: "server", value: Value::Required },
    Opt { short: 'p', long: "port", value: Value::Required },
    Opt { short: 'u', long: "url", value: Value::Required },
    Opt { short: 'V', long: "use-virtualhost", value: Value::Required },
    Opt { short: 'v', long: "verbose", value: Value::No },
    Opt { short: 'h', long: "help", value: Value::No },
    Opt { short: 'm', long: "fwmark", value: Value::Required },
    Opt { short: 'P', long: "protocol", value: Value::Required },
    Opt { short: 't', long: "timeout", value: Value::Required },
];

const USAGE: &str = "\
Usage: genhash COMMAND [OPTIONS]
Commands:
   -s server-address -p port -u url
   -S -s server-address -p port -u url
   -h

Options:
Either long or short options are allowed.
   --use-ssl         -S       Connect by TLS.
   --use-sni         -I       Send the virtual host of -V as server name in TLS.
   --server          -s       Address of the server.
   --port            -p       Its port.
   --url             -u       Path of the page.
   --use-virtualhost -V       Host header, instead of the address.
   --verbose         -v       Show header, body and time too.
   --help            -h       Show this.
   --fwmark          -m       Mark of the packets.
   --protocol        -P       '1.0', '1.0c' (1.0 with 'Connection: close') or '1.1'.
   --timeout         -t       Seconds.
";

/// What a page that could not be fetched does to the exit status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// Nothing, as in keepalived: the word on standard output has to be read.
    IsNoError,
    /// It is 1.
    IsAnError,
}

/// What the command line asks for.
#[derive(Clone, Debug, PartialEq)]
struct Request {
    target: Target,
    probe: HttpProbe,
    url: UrlProbe,
    timeout: Duration,
    verbose: bool,
}

/// Runs as genhash with `words` after its name.
pub fn main(words: &[OsString]) -> ExitCode {
    run(words, Failure::IsNoError)
}

/// The same, with a choice of exit status.
pub fn run(words: &[OsString], failure: Failure) -> ExitCode {
    let texts: Vec<String> = words.iter().map(|word| word.to_string_lossy().into_owned()).collect();
    let request = match parse(&texts) {
        Ok(request) => request,
        Err(complaint) => {
            eprint!("{complaint}{USAGE}");
            return ExitCode::FAILURE;
        }
    };
    let begun_at = Instant::now();
    let fetched = fetch(&request);
    let took = Instant::now().duration_since(begun_at);
    let (mut text, status) = match fetched {
        Ok(fetched) => (render(&fetched, request.verbose), ExitCode::SUCCESS),
        Err(reason) => {
            eprintln!("genhash: {reason}");
            let status = if failure == Failure::IsAnError { ExitCode::FAILURE } else { ExitCode::SUCCESS };
            (word_of(&reason), status)
        }
    };
    if request.verbose {
        let _ = write!(text, "\nGlobal response time for [{}] = {} usecs\n", request.url.path, took.as_micros());
    }
    match crate::cli::print(&text) {
        Ok(()) => status,
        Err(_) => ExitCode::FAILURE,
    }
}

fn fetch(request: &Request) -> Result<Fetched, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| format!("start: {error}"))?;
    let Request { target, probe, url, timeout, .. } = request;
    runtime.block_on(http::fetch(target, probe, url, &ClientTls::default(), *timeout))
}

/// The word that keepalived's genhash has for a failure, on standard output. An answer that is none has no word there.
fn word_of(reason: &str) -> String {
    let word = if reason.starts_with("Error connecting") {
        "Connection failed"
    } else if reason.starts_with("Timeout connecting") {
        "Timeout connecting"
    } else if reason.starts_with("Timeout") {
        "Timeout HTTP read"
    } else {
        return String::new();
    };
    format!("{word}\n")
}

fn render(fetched: &Fetched, verbose: bool) -> String {
    let digest = http::hex(&fetched.digest);
    if !verbose {
        return format!("{digest}\n");
    }
    let mut text = String::new();
    let section = |text: &mut String, title: &str| {
        let _ = writeln!(text, "-----------------------[{title}]-----------------------");
    };
    section(&mut text, "    HTTP Header Buffer    ");
    dump(&mut text, &fetched.head);
    section(&mut text, " HTTP Header Ascii Buffer ");
    let _ = writeln!(text, "{}", String::from_utf8_lossy(&fetched.head));
    if !fetched.body.is_empty() {
        section(&mut text, "        HTML Buffer        ");
        dump(&mut text, &fetched.body);
        text.push('\n');
    }
    section(&mut text, "    HTML hash resulting    ");
    dump(&mut text, &fetched.digest);
    section(&mut text, " HTML hash final resulting ");
    let _ = writeln!(text, "{digest}");
    text
}

/// Sixteen bytes a line: where they begin, in decimal, as numbers, as letters.
fn dump(text: &mut String, bytes: &[u8]) {
    for (at, line) in bytes.chunks(16).enumerate() {
        let mut numbers = String::new();
        for place in 0..16 {
            if place == 8 {
                numbers.push_str("- ");
            }
            match line.get(place) {
                Some(byte) => _ = write!(numbers, "{byte:02x} "),
                None => numbers.push_str("   "),
            }
        }
        let letters: String =
            line.iter().map(|byte| if matches!(byte, 0x20..0x7f) { char::from(*byte) } else { '.' }).collect();
        let _ = writeln!(text, "{:04}  {numbers}  {letters:16}", at * 16);
    }
}

/// What is asked for, or what stands before the usage.
fn parse(words: &[String]) -> Result<Request, String> {
    let (given, rest) = options::parse(OPTIONS, words).map_err(|mistake| match mistake {
        Mistake::Unknown(option) => format!("Unknown option {option}\n"),
        Mistake::MissingValue(option) => format!("option {option} requires an argument\n"),
    })?;
    if let Some(word) = rest.first() {
        return Err(format!("Unexpected argument {word}\n"));
    }
    if has(&given, 'h') {
        return Err(String::new());
    }
    let (Some(address), Some(port), Some(path)) = (value(&given, 's'), value(&given, 'p'), value(&given, 'u')) else {
        return Err(String::new());
    };
    let address: IpAddr = address.parse().map_err(|_| format!("server should be an IP, not {address}\n"))?;
    let port = port.parse().ok().filter(|port| *port != 0).ok_or_else(|| format!("invalid port number '{port}'\n"))?;
    let version = match value(&given, 'P').unwrap_or("1.0") {
        "1.0" => HttpVersion::V10,
        "1.0c" | "1.0C" => HttpVersion::V10Close,
        "1.1" => HttpVersion::V11,
        other => return Err(format!("invalid HTTP protocol version '{other}'\n")),
    };
    let mark = match value(&given, 'm') {
        None => None,
        Some(text) => NonZeroU32::new(text.parse().map_err(|_| format!("invalid fwmark '{text}'\n"))?),
    };
    let timeout = match value(&given, 't') {
        None => DEFAULT_TIMEOUT,
        Some(text) => match text.parse() {
            Ok(seconds @ 1..) => Duration::from_secs(seconds),
            _ => return Err(format!("invalid timeout '{text}'\n")),
        },
    };
    let virtualhost = value(&given, 'V').map(str::to_owned);
    let tls = TlsProbe { sni: has(&given, 'I'), sni_name: None, compliant: false };
    Ok(Request {
        target: Target { address, port, source: None, source_port: None, interface: None, mark, via_dataplane: false },
        probe: HttpProbe { tls: has(&given, 'S').then_some(tls), version, urls: Vec::new(), fast_recovery: false },
        url: UrlProbe {
            path: path.to_owned(),
            sni: virtualhost.clone(),
            virtualhost,
            statuses: vec![(0, u16::MAX)],
            digest: None,
            regex: None,
            tls_compliant: false,
        },
        timeout,
        verbose: has(&given, 'v'),
    })
}

/// The last value of an option.
fn value<'g>(given: &'g [Given<'_>], short: char) -> Option<&'g str> {
    given.iter().rev().find(|(opt, _)| opt.short == short).and_then(|(_, value)| value.as_deref())
}

fn has(given: &[Given<'_>], short: char) -> bool {
    given.iter().any(|(opt, _)| opt.short == short)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Request, String> {
        parse(&line.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn options_become_a_check() {
        let request = parsed("-S -I --server ::1 -p 443 -u /a -V www.test -P 1.0c -t 3 -m 7 -v").unwrap();
        assert_eq!((request.target.address, request.target.port), ("::1".parse().unwrap(), 443));
        assert_eq!(request.target.mark, NonZeroU32::new(7));
        assert_eq!((request.probe.version, request.timeout), (HttpVersion::V10Close, Duration::from_secs(3)));
        assert_eq!(request.probe.tls.map(|tls| tls.sni), Some(true));
        assert_eq!(request.url.virtualhost.as_deref(), Some("www.test"));
        assert!(request.verbose);
        let plain = parsed("-s 192.0.2.1 -p 80 -u /").unwrap();
        assert_eq!((plain.probe.tls, plain.probe.version, plain.timeout), (None, HttpVersion::V10, DEFAULT_TIMEOUT));
    }

    /// Observed of keepalived 2.2.7.
    #[test]
    fn mistakes_are_said_as_genhash_says_them() {
        for (line, said) in [
            ("", ""),
            ("-h", ""),
            ("-s 127.0.0.1 -p 80", ""),
            ("-s localhost -p 80 -u /", "server should be an IP, not localhost\n"),
            ("-s 127.0.0.1 -p 0 -u /", "invalid port number '0'\n"),
            ("-s 127.0.0.1 -p 99999 -u /", "invalid port number '99999'\n"),
            ("-s 127.0.0.1 -p 80 -u / -P 2", "invalid HTTP protocol version '2'\n"),
            ("-s 127.0.0.1 -p 80 -u / -t x", "invalid timeout 'x'\n"),
            ("-s 127.0.0.1 -p 80 -u / -m x", "invalid fwmark 'x'\n"),
            ("-z", "Unknown option -z\n"),
        ] {
            assert_eq!(parsed(line), Err(said.to_owned()), "{line}");
        }
    }

    /// Captured from keepalived 2.2.7.
    #[test]
    fn output_is_what_genhash_prints() {
        let hello = [0x5d, 0x41, 0x40, 0x2a, 0xbc, 0x4b, 0x2a, 0x76, 0xb9, 0x71, 0x9d, 0x91, 0x10, 0x17, 0xc5, 0x92];
        let head = b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\n".to_vec();
        let fetched = Fetched { head, body: b"hello".to_vec(), digest: hello };
        assert_eq!(render(&fetched, false), "5d41402abc4b2a76b9719d911017c592\n");
        let lines = [
            "-----------------------[    HTTP Header Buffer    ]-----------------------",
            "0000  48 54 54 50 2f 31 2e 30 - 20 32 30 30 20 4f 4b 0d   HTTP/1.0 200 OK.",
            "0016  0a 43 6f 6e 74 65 6e 74 - 2d 4c 65 6e 67 74 68 3a   .Content-Length:",
            "0032  20 35 0d 0a 0d 0a       -                            5....          ",
            "-----------------------[ HTTP Header Ascii Buffer ]-----------------------",
            "HTTP/1.0 200 OK\r",
            "Content-Length: 5\r",
            "\r",
            "",
            "-----------------------[        HTML Buffer        ]-----------------------",
            "0000  68 65 6c 6c 6f          -                           hello           ",
            "",
            "-----------------------[    HTML hash resulting    ]-----------------------",
            "0000  5d 41 40 2a bc 4b 2a 76 - b9 71 9d 91 10 17 c5 92   ]A@*.K*v.q......",
            "-----------------------[ HTML hash final resulting ]-----------------------",
            "5d41402abc4b2a76b9719d911017c592",
            "",
        ];
        assert_eq!(render(&fetched, true), lines.join("\n"));
    }
}
