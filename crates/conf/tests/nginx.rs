//! Fixtures of nginx's language: what is said about each, and whether the real nginx agrees.
//!
//! The first lines of a fixture say what there is to say about it, all of it and in this order:
//! `# error LINE: MESSAGE`, `# warning LINE: MESSAGE`; `# nginx: REASON` when the real one differs.

use evenkeel_conf::nginx::{Loaded, Options, Shape, load, reference};
use evenkeel_conf::{Diagnostic, DiskFiles, MemoryFiles, Severity};
use evenkeel_site::Site;
use evenkeel_site::config::{Config, Handler, HttpVersion, ListenAddress, LocationMatch, ServerName};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

fn fixtures(kind: &str) -> Vec<PathBuf> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/nginx").join(kind);
    let entries = std::fs::read_dir(&directory).expect("fixtures exist").map(|entry| entry.expect("readable").path());
    let mut paths: Vec<PathBuf> = entries.filter(|path| path.extension().is_some_and(|e| e == "conf")).collect();
    paths.sort();
    assert!(paths.len() > 3);
    paths
}

fn resolve(host: &str, port: u16) -> Vec<SocketAddr> {
    match host {
        "localhost" => vec![SocketAddr::from(([127, 0, 0, 1], port))],
        "two.test" => vec![SocketAddr::from(([10, 9, 0, 1], port)), SocketAddr::from(([10, 9, 0, 2], port))],
        _ => Vec::new(),
    }
}

fn options(shape: Shape) -> Options<'static> {
    Options { prefix: PathBuf::from("/usr/share/nginx"), globals: None, error_log: None, resolve: &resolve, shape }
}

fn load_file(path: &Path) -> Loaded {
    load(&DiskFiles, path, &options(Shape::Whole))
}

fn load_text(text: &str, shape: Shape) -> Loaded {
    let files = MemoryFiles([(PathBuf::from("/etc/nginx/nginx.conf"), text.as_bytes().to_vec())].into());
    load(&files, Path::new("/etc/nginx/nginx.conf"), &options(shape))
}

/// The configuration of text that has no errors.
fn site(http: &str) -> Config {
    let loaded = load_text(&format!("events {{}} http {{ {http} }}"), Shape::Whole);
    let errors: Vec<_> = loaded.diagnostics.iter().filter(|d| d.severity == Severity::Error).collect();
    assert!(errors.is_empty(), "{http}: {errors:?}");
    Site::new(loaded.site.clone()).expect("what has no errors compiles");
    loaded.site
}

fn said(diagnostic: &Diagnostic) -> String {
    let severity = match diagnostic.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Note => "note",
    };
    let line = diagnostic.span.map_or("-".to_owned(), |span| span.line.to_string());
    format!("# {severity} {line}: {}", diagnostic.message)
}

fn expected(path: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(path).expect("text");
    let directory = path.parent().expect("a directory").display().to_string();
    let lines = text.lines().take_while(|line| line.starts_with('#'));
    lines
        .filter(|line| line.starts_with("# error ") || line.starts_with("# warning "))
        .map(|line| line.replace("DIR", &directory))
        .collect()
}

#[test]
fn everything_there_is_to_say_about_a_fixture_is_said() {
    let mut differences = Vec::new();
    for path in fixtures("good").into_iter().chain(fixtures("bad")) {
        let loaded = load_file(&path);
        let said: Vec<String> = loaded.diagnostics.iter().map(said).collect();
        if said != expected(&path) {
            differences.push(format!("{}:\n{}", path.display(), said.join("\n")));
        }
        assert_eq!(loaded.has_errors(), path.parent().is_some_and(|p| p.ends_with("bad")), "{}", path.display());
        if !loaded.has_errors() {
            Site::new(loaded.site).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

/// nginx's own verdict: its first `[emerg]` message, without the place.
fn verdict_of_nginx(path: &Path, prefix: &Path) -> Option<String> {
    let output =
        Command::new("nginx").arg("-t").arg("-c").arg(path).arg("-p").arg(prefix).output().expect("nginx runs");
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    let line = text.lines().find(|line| line.contains("[emerg]"))?;
    let message = line.split_once("[emerg] ").map_or(line, |(_, message)| message);
    let message = message.split_once(": ").filter(|(pid, _)| pid.contains('#')).map_or(message, |(_, message)| message);
    Some(message.rsplit_once(" in /").map_or(message, |(message, _)| message).to_owned())
}

#[test]
fn nginx_agrees() {
    if Command::new("nginx").arg("-v").output().is_err() {
        assert!(std::env::var_os("CI").is_none(), "CI has nginx");
        eprintln!("skipped: nginx is not installed");
        return;
    }
    let prefix = std::env::temp_dir().join(format!("evenkeel-conf-nginx-{}", std::process::id()));
    std::fs::create_dir_all(prefix.join("logs")).expect("a prefix for nginx");
    let mut differences = Vec::new();
    for path in fixtures("good").into_iter().chain(fixtures("bad")) {
        let text = std::fs::read_to_string(&path).expect("text");
        if text.lines().any(|line| line.starts_with("# nginx:")) {
            continue;
        }
        let ours = load_file(&path);
        let theirs = verdict_of_nginx(&path, &prefix);
        // Whether it may bind a port or open a log is not the file's doing.
        let theirs = theirs.filter(|message| {
            !["bind()", "mkdir()", "getpwnam", "getgrnam"].iter().any(|machine| message.starts_with(machine))
                && (!message.contains("Permission denied") || message.contains(".conf"))
        });
        let agree = match &theirs {
            None => !ours.has_errors(),
            // The engines name their own mistakes.
            Some(message) if message.starts_with("pcre") => ours.has_errors(),
            Some(message) => ours.diagnostics.iter().any(|diagnostic| {
                diagnostic.severity == Severity::Error && message.starts_with(diagnostic.message.as_str())
            }),
        };
        if !agree {
            differences.push(format!("{}: nginx says {theirs:?}", path.display()));
        }
    }
    std::fs::remove_dir_all(&prefix).expect("the prefix is ours");
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

#[test]
fn the_reference_is_up_to_date() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/nginx-directives.md");
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        std::fs::write(&path, reference()).expect("docs can be written");
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(written == reference(), "run UPDATE_EXPECT=1 cargo test -p evenkeel-conf");
}

#[test]
fn a_stock_configuration_serves_the_articles_upstream() {
    let path = fixtures("good").into_iter().find(|path| path.ends_with("debian.conf")).expect("exists");
    let loaded = load_file(&path);
    let config = &loaded.site;
    assert_eq!(config.workers, None);
    assert_eq!(config.worker_connections, 768);
    assert_eq!(config.user, Some(("www-data".to_owned(), None)));
    assert_eq!(config.upstreams.len(), 1);
    assert_eq!(config.upstreams[0].name, "kd");
    let addresses: Vec<_> = config.upstreams[0].servers.iter().map(|server| server.address.clone()).collect();
    let tcp = |text: &str| ListenAddress::Tcp(text.parse().expect("an address"));
    assert_eq!(addresses, [tcp("10.0.0.51:80"), tcp("10.0.0.52:80")]);
    assert_eq!(config.listens[0].address, tcp("0.0.0.0:80"));
    assert_eq!(config.servers[0].names, [ServerName::Exact("_".to_owned())]);
    assert_eq!(config.servers[0].locations[0].scope.types.get("htm").map(String::as_str), Some("text/html"));
    let names: Vec<_> = loaded.sources.paths().filter_map(Path::file_name).collect();
    assert_eq!(names, ["debian.conf", "mime.types", "kd.test.conf"]);
}

#[test]
fn a_fragment_of_http_loads_by_itself() {
    let text = "upstream kd { server 10.0.0.51; }\nserver { listen 80; location / { proxy_pass http://kd; } }";
    let loaded = load_text(text, Shape::HttpFragment);
    assert_eq!(loaded.diagnostics, []);
    assert_eq!(loaded.site.servers.len(), 1);
    assert!(load_text(text, Shape::Whole).has_errors());
}

#[test]
fn limits_after_a_location_apply_to_it() {
    let config =
        site("server { location / { proxy_pass http://127.0.0.1; } proxy_connect_timeout 1s; } proxy_read_timeout 7;");
    let scope = &config.servers[0].locations[0].scope;
    assert_eq!(scope.proxy_connect_timeout, Duration::from_secs(1));
    assert_eq!(scope.proxy_read_timeout, Duration::from_secs(7));
    assert_eq!(scope.proxy_send_timeout, Duration::from_secs(60));
}

#[test]
fn lists_are_replaced_as_a_whole_by_an_inner_block() {
    let config = site(
        "proxy_set_header Host $host; proxy_set_header X-A a; access_log /a.log; index a b;
         server {
            location /inherits { }
            location /replaces { proxy_set_header X-B b; access_log /b.log; access_log /c.log combined buffer=32k; index c; }
            location /off { access_log off; }
         }",
    );
    let scope = |index: usize| &config.servers[0].locations[index].scope;
    let headers = |index: usize| -> Vec<String> {
        scope(index).proxy_headers.iter().map(|(name, value)| format!("{name}: {value}")).collect()
    };
    assert_eq!(headers(0), ["Host: $host", "X-A: a", "Connection: close"]);
    assert_eq!(headers(1), ["X-B: b", "Host: $proxy_host", "Connection: close"]);
    let logs = |index: usize| -> Vec<_> { scope(index).access_logs.iter().map(|log| log.path.clone()).collect() };
    assert_eq!(logs(0), [Path::new("/a.log")]);
    assert_eq!(logs(1), [Path::new("/b.log"), Path::new("/c.log")]);
    assert!(logs(2).is_empty());
    assert_eq!((scope(0).index.join(" "), scope(1).index.join(" ")), ("a b".to_owned(), "c".to_owned()));
}

#[test]
fn what_nobody_says_is_as_in_nginx() {
    let config = site("server { location / { } }");
    assert_eq!(config.workers, Some(1));
    assert_eq!(config.worker_connections, 512);
    let tcp = ListenAddress::Tcp(SocketAddr::from(([0, 0, 0, 0], 80)));
    assert_eq!(config.listens.iter().map(|listen| &listen.address).collect::<Vec<_>>(), [&tcp]);
    assert_eq!(config.servers[0].names, [ServerName::Exact(String::new())]);
    let scope = &config.servers[0].fallback;
    assert_eq!(scope.root, Path::new("/usr/share/nginx/html"));
    assert_eq!(scope.access_logs[0].path, Path::new("/var/log/nginx/access.log"));
    assert_eq!(scope.proxy_http_version, HttpVersion::Http10);
    assert_eq!(scope.types.get("html").map(String::as_str), Some("text/html"));
}

#[test]
fn servers_share_a_listen() {
    let config = site(
        "server { listen 80; listen 8080; server_name a; }
         server { listen *:80; server_name b; }
         server { listen 0.0.0.0:80 default_server; server_name c; }",
    );
    assert_eq!(config.listens.len(), 2);
    assert_eq!(config.listens[0].servers, [2, 0, 1]);
    assert_eq!(config.listens[1].servers, [0]);
}

#[test]
fn a_name_with_two_addresses_is_two_servers() {
    let config =
        site("upstream u { server two.test:81 weight=3 max_fails=0; server 10.0.0.1 backup down; keepalive 4; }");
    let shown: Vec<_> = config.upstreams[0].servers.iter().map(|s| (s.weight, s.max_fails, s.backup, s.down)).collect();
    assert_eq!(shown, [(3, 0, false, false), (3, 0, false, false), (1, 1, true, true)]);
    assert_eq!(config.upstreams[0].keepalive, 4);
}

#[test]
fn a_proxy_pass_names_a_block_or_a_server() {
    let config = site(
        "server {
            location /a { proxy_pass http://later; }
            location /b { proxy_pass http://127.0.0.1:8080/base; }
            location /c { proxy_pass http://127.0.0.1:8080; }
            location /d { proxy_pass http://127.0.0.1:80/; }
            location ~ ^/e { proxy_pass http://unix:/run/x.sock; }
         }
         upstream later { server 10.0.0.1; }",
    );
    let names: Vec<_> = config.upstreams.iter().map(|upstream| upstream.name.as_str()).collect();
    assert_eq!(names, ["later", "127.0.0.1:8080", "127.0.0.1:80", "unix:/run/x.sock"]);
    let passes: Vec<_> = config.servers[0]
        .locations
        .iter()
        .map(|location| match &location.handler {
            Handler::Proxy(pass) => (pass.upstream, pass.host.as_str(), pass.port, pass.uri.as_deref()),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(
        passes,
        [
            (0, "later", 80, None),
            (1, "127.0.0.1:8080", 8080, Some("/base")),
            (1, "127.0.0.1:8080", 8080, None),
            (2, "127.0.0.1", 80, Some("/")),
            (3, "localhost", 80, None)
        ]
    );
}

#[test]
fn a_location_is_written_in_many_ways() {
    let config = site(
        "server { location /a {} location = /b {} location ^~/c {} location ~ d {} location ~*e {} location @f {} }",
    );
    let regex = |pattern: &str, ignore_case| LocationMatch::Regex { pattern: pattern.to_owned(), ignore_case };
    let matches: Vec<_> = config.servers[0].locations.iter().map(|location| location.matches.clone()).collect();
    assert_eq!(
        matches,
        [
            LocationMatch::Prefix("/a".to_owned()),
            LocationMatch::Exact("/b".to_owned()),
            LocationMatch::PrefixNoRegex("/c".to_owned()),
            regex("d", false),
            regex("e", true),
            LocationMatch::Named("@f".to_owned()),
        ]
    );
}

#[test]
fn directives_of_the_command_line_come_first() {
    let files = MemoryFiles([(PathBuf::from("/n.conf"), b"events {} worker_processes 4;".to_vec())].into());
    let with = |globals: &str| {
        let options = Options { globals: Some(globals.to_owned()), ..options(Shape::Whole) };
        load(&files, Path::new("/n.conf"), &options)
    };
    assert_eq!(with("daemon off;").site.daemon, Some(false));
    let loaded = with("worker_processes 2;");
    assert_eq!(said(&loaded.diagnostics[0]), "# error 1: \"worker_processes\" directive is duplicate");
}

#[test]
fn an_unknown_word_comes_with_the_nearest_known_one() {
    let loaded = load_text("events {} http { server { proxy_conect_timeout 1s; lisen 80; zzzzzz 1; } }", Shape::Whole);
    let fixes: Vec<_> = loaded.diagnostics.iter().map(|diagnostic| diagnostic.fix.as_deref()).collect();
    assert_eq!(fixes, [Some("write `proxy_connect_timeout`"), Some("write `listen`"), None]);
}

#[test]
fn impossible_files_are_refused_and_nothing_worse() {
    for text in ["", "\0\u{1}\u{2}", "}}}}", "{{{{", ";;;", "http", "a b c", "events {} http { server { listen"] {
        assert!(load_text(text, Shape::Whole).has_errors(), "{text:?}");
    }
    let deep = format!("{}{}", "a {".repeat(100_000), "}".repeat(100_000));
    assert!(load_text(&deep, Shape::Whole).has_errors());
    assert!(load_file(Path::new("/nonexistent/nginx.conf")).has_errors());
    assert!(load_file(Path::new("/")).has_errors());
}

proptest::proptest! {
    #[test]
    fn no_text_panics(text in "(events|http|server|location|upstream|listen|proxy_pass|return|types|[a-z /~*=$\"'.0-9:@^-]{1,8}|[{};\n ]){0,40}") {
        let loaded = load_text(&text, Shape::HttpFragment);
        if !loaded.has_errors() {
            proptest::prop_assert!(Site::new(loaded.site).is_ok());
        }
    }
}
