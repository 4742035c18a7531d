//! From the text of a configuration to what requests get. The answers are those of Debian's nginx 1.22.1 with the same
//! text, observed on loopback ports.

use evenkeel_conf::MemoryFiles;
use evenkeel_conf::nginx::{Options, Shape, load};
use evenkeel_site::{Answer, Facts, Look, Plan, Request, Site, Template, Values, Variable};
use std::path::{Path, PathBuf};

const CONFIGURATION: &str = r#"
events {}
http {
  server { listen 18080; server_name first.test;
    location / { return 200 "root $uri|$args|$host"; }
    location /none/ { proxy_pass http://127.0.0.1:18999; }
    location /slash/ { proxy_pass http://127.0.0.1:18999/; }
    location /base/ { proxy_pass http://127.0.0.1:18999/b/; }
    location /bare { proxy_pass http://127.0.0.1:18999/x; }
    location = /exact { proxy_pass http://127.0.0.1:18999/e; }
    location ~ ^/re/ { proxy_pass http://127.0.0.1:18999; }
    location "/sp ace/" { proxy_pass http://127.0.0.1:18999; }
    location ^~ /np/ { return 200 "np"; location ~ x { return 200 "np-x"; } }
    location /p/ { return 200 "p"; location /p/q/ { return 200 "q"; } location ~ \.n$ { return 200 "n"; } }
    location ~ \.php$ { return 200 "php"; }
    location ~* \.PNG$ { return 200 "png"; }
    location = /p/q/ { return 200 "exact"; }
    location /redirme/ { return 302 /there?x=$arg_q; }
    location ~ ^/cap/(\w+)/(?<rest>.*)$ { return 200 "$1 $rest"; }
    location /files/ { root /srv; index a b; }
  }
  server { listen 18080; server_name *.wild.test www.pre.* ~^re(?<n>\d+)\.test$ second.test;
    location / { return 200 "second $server_name $n"; } }
  server { listen 18080; server_name .dot.test ""; location / { return 200 "third $server_name"; } }
  server { listen 18080; server_name *.sub.wild.test; location / { return 200 "fourth"; } }
}
"#;

fn site() -> Site {
    let files = MemoryFiles([(PathBuf::from("/n.conf"), CONFIGURATION.as_bytes().to_vec())].into());
    let resolve = |_: &str, _: u16| Vec::new();
    let options =
        Options { prefix: PathBuf::from("/"), globals: None, error_log: None, resolve: &resolve, shape: Shape::Whole };
    let loaded = load(&files, Path::new("/n.conf"), &options);
    assert_eq!(loaded.diagnostics, []);
    Site::new(loaded.site).expect("compiles")
}

struct OfPlan<'p>(&'p Plan<'p>);

impl Values for OfPlan<'_> {
    fn write(&self, variable: &Variable, out: &mut Vec<u8>) -> bool {
        self.0.variable(variable, self, out).expect("a variable of the plan")
    }
}

/// A request of which nothing else is known.
struct Bare;

impl Values for Bare {
    fn write(&self, _: &Variable, _: &mut Vec<u8>) -> bool {
        false
    }
}

impl Facts for Bare {
    fn look(&self, _: &Path) -> Look {
        Look::default()
    }
}

fn render(plan: &Plan<'_>, template: &Template) -> String {
    let mut out = Vec::new();
    template.render(&OfPlan(plan), &mut out);
    String::from_utf8(out).expect("text")
}

/// The answer in a word: `STATUS TEXT`, `-> URI` for an upstream, `file PATH`.
fn shown(plan: &Plan<'_>) -> String {
    match &plan.answer {
        Answer::Proxy { target, .. } => format!("-> {}", target.resolve(&plan.request_uri)),
        Answer::TryFiles => "files".to_owned(),
        Answer::File { path, .. } => format!("file {}", path.display()),
        Answer::Return { status, text } if *status < 300 => format!("{status} {}", render(plan, text)),
        Answer::Return { status, text } => {
            format!("{status} {}", plan.redirect_target(&render(plan, text), "http", 18080))
        }
        Answer::Redirect { status, target } => {
            format!("{status} {}", plan.redirect_target(&String::from_utf8_lossy(target), "http", 18080))
        }
        Answer::Error { status, .. } => status.to_string(),
    }
}

fn get(site: &Site, host: Option<&str>, target: &str) -> String {
    shown(&site.plan(0, &Request { method: "GET", target, host, client: None }, &Bare))
}

#[test]
fn a_target_gets_what_nginx_gives_it() {
    let site = site();
    for (target, answer) in [
        ("/none/a%20b?x", "-> /none/a%20b?x"),
        ("/none/../none//c", "-> /none/../none//c"),
        ("/none/a?b#c", "-> /none/a?b#c"),
        ("http://first.test/none/x?y", "-> /none/x?y"),
        ("/slash/a%20b?x", "-> /a%20b?x"),
        ("/slash/", "-> /"),
        ("/slash", "301 http://first.test:18080/slash/"),
        ("/slash?q=1", "301 http://first.test:18080/slash/?q=1"),
        ("/sp%20ace", "301 http://first.test:18080/sp%20ace/"),
        ("/slash/a+b", "-> /a+b"),
        ("/base/c%3Fd", "-> /b/c%3Fd"),
        ("/base/%c3%a9", "-> /b/%C3%A9"),
        ("/base/a%2fb", "-> /b/a/b"),
        ("/base/a\"b<c>", "-> /b/a\"b<c>"),
        ("/base/a#b", "-> /b/a"),
        ("/base/a?b#c", "-> /b/a?b"),
        ("/base/..", "200 root /||first.test"),
        ("/bare", "-> /x"),
        ("/bareness", "-> /xness"),
        ("/bare/x", "-> /x/x"),
        ("/exact", "-> /e"),
        ("/exact?a", "-> /e?a"),
        ("/exact/", "200 root /exact/||first.test"),
        ("/re/a%20b/../c", "-> /re/a%20b/../c"),
        ("/np/x", "200 np-x"),
        ("/np/", "200 np"),
        ("/np/y.php", "200 np"),
        ("/p/", "200 p"),
        ("/p/q/", "200 exact"),
        ("/p/q/z", "200 q"),
        ("/p/x.n", "200 n"),
        ("/p/q/x.n", "200 n"),
        ("/p/x.php", "200 php"),
        ("/x.png", "200 png"),
        ("/a.PHP", "200 root /a.PHP||first.test"),
        ("/redirme/?q=5", "302 http://first.test:18080/there?x=5"),
        ("/cap/a/b%20c", "200 a b c"),
        ("/files/x/../y", "file /srv/files/y"),
        ("/files/", "file /srv/files/"),
        ("http://h?x", "200 root /|x|h"),
        ("/%2f%2fa", "200 root /a||first.test"),
        ("/a%zz", "400"),
        ("/..", "400"),
        ("/a/%2e%2e/%2e%2e/b", "400"),
        ("/a%00", "400"),
        ("/a%", "400"),
        ("*", "400"),
    ] {
        assert_eq!(get(&site, Some("first.test"), target), answer, "{target}");
    }
}

#[test]
fn a_host_gets_the_server_that_nginx_gives_it() {
    let site = site();
    for (host, answer) in [
        (Some("a.wild.test"), "200 second *.wild.test "),
        (Some("a.sub.wild.test"), "200 fourth"),
        (Some("sub.wild.test"), "200 second *.wild.test "),
        (Some("wild.test"), "200 root /||wild.test"),
        (Some("www.pre.com"), "200 second *.wild.test "),
        (Some("www.pre.a.b"), "200 second *.wild.test "),
        (Some("pre.com"), "200 root /||pre.com"),
        (Some("re12.test"), "200 second *.wild.test 12"),
        (Some("RE12.TEST"), "200 second *.wild.test 12"),
        (Some("dot.test"), "200 third dot.test"),
        (Some("x.dot.test"), "200 third dot.test"),
        (Some("second.test:99"), "200 second *.wild.test "),
        (Some("second.test."), "200 second *.wild.test "),
        (Some("nobody"), "200 root /||nobody"),
        (Some("[::1]:80"), "200 root /||[::1]"),
        (None, "200 third dot.test"),
        (Some("a..b"), "400"),
        (Some("a/b"), "400"),
        (Some(""), "400"),
        (Some("."), "400"),
        (Some(":80"), "400"),
    ] {
        assert_eq!(get(&site, host, "/"), answer, "{host:?}");
    }
}

#[test]
fn methods_that_no_proxy_serves_are_refused() {
    let site = site();
    for (method, target, answer) in [
        ("TRACE", "/", "405"),
        ("CONNECT", "/", "405"),
        ("DELETE", "/files/x", "405"),
        ("DELETE", "/none/x", "-> /none/x"),
        ("HEAD", "/files/x", "file /srv/files/x"),
    ] {
        let request = Request { method, target, host: Some("first.test"), client: None };
        assert_eq!(shown(&site.plan(0, &request, &Bare)), answer, "{method} {target}");
    }
}

#[test]
fn an_index_file_is_looked_up_anew() {
    let site = site();
    let request = Request { method: "GET", target: "/files/?q", host: Some("first.test"), client: None };
    let mut plan = site.plan(0, &request, &Bare);
    site.redirect(&mut plan, b"/files/index.php".to_vec(), "GET", &Bare);
    assert_eq!(shown(&plan), "200 php");
    assert_eq!(plan.args.as_deref(), Some(&b"q"[..]));
    site.redirect(&mut plan, b"/none/a b".to_vec(), "GET", &Bare);
    assert_eq!(shown(&plan), "-> /none/a%20b?q");
}

#[test]
fn redirects_of_an_upstream_are_put_in_the_clients_terms() {
    let site = site();
    for (target, location, expected) in [
        ("/base/x", "http://127.0.0.1:18999/b/R/1", Some("/base/R/1")),
        ("/none/x", "http://127.0.0.1:18999/none/R", Some("/none/R")),
        ("/slash/x", "http://127.0.0.1:18999/R/x", Some("/slash/R/x")),
        ("/exact?x", "http://127.0.0.1:18999/e?R", Some("/exact?R")),
        ("/none/x", "http://elsewhere/none/R", None),
        ("/none/x", "/none/R", None),
    ] {
        let request = Request { method: "GET", target, host: Some("first.test"), client: None };
        let plan = site.plan(0, &request, &Bare);
        let Answer::Proxy { pass, .. } = &plan.answer else { panic!("{target}") };
        assert_eq!(pass.redirect(location).as_deref(), expected, "{location}");
    }
}

proptest::proptest! {
    #[test]
    fn no_request_panics(target in "(/|\\.|%2e|%2F|//|slash|base|np|p/q|\\PC){0,12}", host in "\\PC{0,20}", method in "[A-Z]{1,8}") {
        let site = site();
        let plan = site.plan(0, &Request { method: &method, target: &target, host: Some(&host), client: None }, &Bare);
        if let Answer::File { path, .. } = &plan.answer {
            proptest::prop_assert!(path.starts_with("/srv/files"));
        }
    }
}
