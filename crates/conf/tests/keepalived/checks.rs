//! Each kind of check: its keywords, and what is wrong with them.

use crate::balance::{address, check, loaded, pool, quiet, seconds, server, virtual_server};
use crate::{rules, said, text};
use evenkeel_balance::config::{
    BodyRegex, Check, HttpProbe, HttpVersion, Probe, Script, ScriptId, Target, TlsProbe, TrackFile, UdpProbe, UrlProbe,
};
use evenkeel_conf::Severity;
use std::num::NonZeroU32;

/// One word of what is said when a real server has this check.
#[track_caller]
fn refused(block: &str, rule: &str) -> Vec<Check> {
    let loaded = loaded("10.0.0.100 80", &format!("real_server 10.0.0.1 80 {{\n{block}\n}}"));
    let said_rules: Vec<_> =
        loaded.diagnostics.iter().filter(|d| d.severity > Severity::Note).map(|d| d.rule).collect();
    assert_eq!(said_rules, [rule], "{}", said(&loaded));
    loaded.balance.pools[0].servers[0].checks.clone()
}

fn target(port: u16) -> Target {
    Target {
        address: address("10.0.0.1"),
        port,
        source: None,
        source_port: None,
        interface: None,
        mark: None,
        via_dataplane: false,
    }
}

fn url(path: &str) -> UrlProbe {
    UrlProbe {
        path: path.to_owned(),
        virtualhost: None,
        sni: None,
        statuses: vec![(200, 299)],
        digest: None,
        regex: None,
        tls_compliant: false,
    }
}

#[test]
fn where_a_check_goes_and_comes_from() {
    let lines = "connect_ip 10.0.0.9\nconnect_port 8080\nbindto 10.0.0.2\nbind_port 999\nbind_if eth0\nfwmark 3\n\
                 log_all_failures";
    let expected = Target {
        address: address("10.0.0.9"),
        port: 8080,
        source: Some(address("10.0.0.2")),
        source_port: Some(999),
        interface: Some("eth0".to_owned()),
        mark: NonZeroU32::new(3),
        via_dataplane: false,
    };
    for kind in ["TCP_CHECK", "UDP_CHECK", "SMTP_CHECK", "DNS_CHECK", "AGENT_CHECK"] {
        let check = check(&format!("{kind} {{\n{lines}\n}}"));
        assert_eq!(check.target.as_ref(), Some(&expected), "{kind}");
        assert!(check.log_all_failures);
    }
    assert_eq!(check("PING_CHECK {\n}").target, Some(target(0)));
    assert_eq!(check("TCP_CHECK {\n}").target, Some(target(80)));
}

#[test]
fn a_check_needs_a_port_somewhere() {
    let lines = "lvs_method DR\nreal_server 10.0.0.1 {\nTCP_CHECK {\n}\n}";
    let loaded = loaded("fwmark 7", lines);
    assert!(loaded.has_errors());
    assert_eq!(rules(&loaded), ["check-without-port:5"]);
    let port = "lvs_method DR\nreal_server 10.0.0.1 {\nTCP_CHECK {\nconnect_port 80\n}\nPING_CHECK {\n}\n}";
    let checks = pool("fwmark 7", port).servers.remove(0).checks;
    assert_eq!(checks.into_iter().map(|check| check.target).collect::<Vec<_>>(), [Some(target(80)), Some(target(0))]);
    let agent = self::loaded("10.0.0.100 80", "real_server 10.0.0.1 80 {\nAGENT_CHECK {\n}\n}");
    assert_eq!(rules(&agent), ["check-without-port:6"]);
}

#[test]
fn a_source_of_another_family_is_left_to_the_kernel() {
    let checks = refused("TCP_CHECK {\nbindto ::1\n}", "mixed-families");
    assert_eq!(checks[0].target, Some(target(80)));
}

#[test]
fn an_http_check_with_everything() {
    let lines = "HTTP_GET {\nhttp_protocol 1.0C\nfast_recovery\nurl {\npath /a?b=c\n\
                 digest 640205b7b0fc66c1ea91c463fac6334d\nstatus_code 200 301-302\nstatus_code 404\nvirtualhost www\n\
                 regex \"^o{2}k!#\"\nregex_no_match\nregex_options caseless dotall\nregex_min_offset 3\n\
                 regex_max_offset 9\n}\nurl {\npath /\n}\n}";
    let first = UrlProbe {
        virtualhost: Some("www".to_owned()),
        statuses: vec![(200, 200), (301, 302), (404, 404)],
        digest: Some([100, 2, 5, 183, 176, 252, 102, 193, 234, 145, 196, 99, 250, 198, 51, 77]),
        regex: Some(BodyRegex {
            pattern: "^o{2}k!#".to_owned(),
            no_match: true,
            options: vec!["caseless".to_owned(), "dotall".to_owned()],
            min_offset: 3,
            max_offset: Some(9),
        }),
        ..url("/a?b=c")
    };
    let expected =
        HttpProbe { tls: None, version: HttpVersion::V10Close, urls: vec![first, url("/")], fast_recovery: true };
    assert_eq!(check(lines).probe, Probe::Http(expected));
}

#[test]
fn an_https_check_names_its_server_when_told() {
    let lines = "SSL_GET {\nenable_sni\nsni_name a.example\nhttp_protocol 1.1\nurl {\npath /\ntls_compliant\n}\n\
                 url {\npath /b\n}\n}";
    let tls = TlsProbe { sni: true, sni_name: Some("a.example".to_owned()), compliant: false };
    let urls = vec![UrlProbe { tls_compliant: true, ..url("/") }, url("/b")];
    let expected = HttpProbe { tls: Some(tls), version: HttpVersion::V11, urls, fast_recovery: false };
    assert_eq!(check(lines).probe, Probe::Http(expected));
}

#[test]
fn what_is_wrong_in_an_http_check() {
    for (lines, rule, n_checks) in [
        ("url {\npath /\ndigest 1234\n}", "bad-value", 1),
        ("url {\npath /\nstatus_code 99\n}", "bad-value", 1),
        ("url {\npath /\nstatus_code 200 300-200\n}", "bad-value", 1),
        ("url {\npath /\nregex_options foo\n}", "bad-value", 1),
        ("url {\npath \"/a b\"\n}\nurl {\npath /\n}", "bad-value", 1),
        ("url {\npath /\nregex x\nregex_min_offset 9\nregex_max_offset 3\n}", "check-never-succeeds", 1),
        ("url {\npath /\n}\nhttp_protocol 2.0", "bad-value", 1),
        ("url {\npath /\n}\nnb_get_retry 3", "old-spelling", 1),
        ("", "check-without-url", 0),
    ] {
        let loaded = loaded("10.0.0.100 80", &format!("real_server 10.0.0.1 80 {{\nHTTP_GET {{\n{lines}\n}}\n}}"));
        let said_rules: Vec<_> = loaded.diagnostics.iter().map(|d| d.rule).collect();
        assert!(said_rules.contains(&rule), "{lines}: {}", said(&loaded));
        assert_eq!(loaded.balance.pools[0].servers[0].checks.len(), n_checks, "{lines}");
    }
    let pathless = loaded("10.0.0.100 80", "real_server 10.0.0.1 80 {\nHTTP_GET {\nurl {\nstatus_code 200\n}\n}\n}");
    assert_eq!(rules(&pathless), ["check-without-url:6", "url-without-path:7"]);
}

#[test]
fn old_names_of_retry_mean_retry_and_say_so() {
    for kind in ["TCP_CHECK", "SMTP_CHECK", "UDP_CHECK", "DNS_CHECK", "PING_CHECK"] {
        assert_eq!(refused(&format!("{kind} {{\nnb_get_retry 7\n}}"), "old-spelling")[0].timing.retries, 7, "{kind}");
    }
}

#[test]
fn an_smtp_check_greets_with_a_name() {
    let helo = |check: &Check| match &check.probe {
        Probe::Smtp { helo } => helo.clone(),
        other => panic!("{other:?}"),
    };
    assert_eq!(helo(&check("SMTP_CHECK {\n}")), "localhost");
    assert_eq!(helo(&check("SMTP_CHECK {\nhelo_name lb.example\n}")), "lb.example");
    let of_server = virtual_server("10.0.0.100 25", "real_server 10.0.0.1 25 {\nSMTP_CHECK {\n}\n}");
    let config = quiet(&format!("global_defs {{\nsmtp_helo_name a.example\n}}\n{of_server}"));
    assert_eq!(helo(&config.pools[0].servers[0].checks[0]), "a.example");
}

#[test]
fn each_host_block_of_smtp_is_a_check() {
    let block = "SMTP_CHECK {\nhost {\nconnect_ip 10.0.0.8\nconnect_port 25\nconnect_timeout 2\n}\n\
                 host {\nconnect_ip 10.0.0.9\n}\nconnect_timeout 7\nretry 4\n}";
    let loaded = loaded("10.0.0.100 80", &format!("real_server 10.0.0.1 80 {{\n{block}\n}}"));
    assert_eq!(rules(&loaded), ["old-spelling:7", "old-spelling:12"]);
    let checks = &loaded.balance.pools[0].servers[0].checks;
    let got: Vec<_> = checks
        .iter()
        .map(|check| {
            let target = check.target.as_ref().expect("a target");
            (target.address, target.port, check.timing.timeout, check.timing.retries)
        })
        .collect();
    assert_eq!(got, [(address("10.0.0.8"), 25, seconds(2), 4), (address("10.0.0.9"), 80, seconds(7), 4)]);
}

#[test]
fn a_dns_check_has_a_type_and_a_name() {
    for (lines, query_type, name) in [
        ("", 6, "."),
        ("type A\nname example.org", 1, "example.org"),
        ("type aaaa\nname example.org.", 28, "example.org."),
        ("type MX\nname .", 15, "."),
        ("type DNSKEY", 48, "."),
    ] {
        let probe = check(&format!("DNS_CHECK {{\n{lines}\n}}")).probe;
        assert_eq!(probe, Probe::Dns { query_type, name: name.to_owned() }, "{lines}");
    }
    for line in
        ["type FOO", "name a..b", &format!("name {}.com", "a".repeat(64)), &format!("name {}a", "a.".repeat(127))]
    {
        let probe = refused(&format!("DNS_CHECK {{\n{line}\n}}"), "bad-value").remove(0).probe;
        assert_eq!(probe, Probe::Dns { query_type: 6, name: ".".to_owned() }, "{line}");
    }
}

#[test]
fn a_udp_check_sends_and_expects_bytes() {
    let plain = UdpProbe { max_length: 255, ..UdpProbe::default() };
    for (lines, expected) in [
        ("", plain.clone()),
        ("payload 0123abCD", UdpProbe { payload: Some(vec![1, 0x23, 0xab, 0xcd]), ..plain.clone() }),
        ("payload \"01 23\"", UdpProbe { payload: Some(vec![1, 0x23]), ..plain.clone() }),
        ("require_reply", UdpProbe { require_reply: true, ..plain.clone() }),
        (
            "require_reply 01x2xx\nmin_reply_length 3\nmax_reply_length 512",
            UdpProbe {
                require_reply: true,
                reply: Some(vec![(1, 0xff), (2, 0x0f), (0, 0)]),
                min_length: 3,
                max_length: 512,
                ..plain.clone()
            },
        ),
    ] {
        assert_eq!(check(&format!("UDP_CHECK {{\n{lines}\n}}")).probe, Probe::Udp(expected), "{lines}");
    }
    for line in ["payload 012", "payload 0x", "payload zz", "require_reply 0g", "max_reply_length 65536"] {
        assert_eq!(refused(&format!("UDP_CHECK {{\n{line}\n}}"), "bad-value")[0].probe, Probe::Udp(plain.clone()));
    }
    refused("UDP_CHECK {\nmin_reply_length 10\nmax_reply_length 5\n}", "check-never-succeeds");
}

#[test]
fn a_misc_check_runs_a_program() {
    let lines = "MISC_CHECK {\nmisc_path \"/bin/check 'a b' c\"\nmisc_timeout 4\nmisc_dynamic\nuser nobody nogroup\n}";
    let config = quiet(&virtual_server("10.0.0.100 80", &format!("real_server 10.0.0.1 80 {{\n{lines}\n}}")));
    let script = Script {
        argv: ["/bin/check", "a b", "c"].map(str::to_owned).to_vec(),
        user: Some(("nobody".to_owned(), Some("nogroup".to_owned()))),
        timeout: Some(seconds(4)),
    };
    assert_eq!(config.scripts, [script]);
    let check = &config.pools[0].servers[0].checks[0];
    assert_eq!((&check.probe, &check.target), (&Probe::Misc { script: ScriptId(0), dynamic: true }, &None));
    assert_eq!(refused("MISC_CHECK {\nmisc_timeout 4\n}", "check-without-command"), []);
    assert_eq!(refused("MISC_CHECK {\nmisc_path /bin/check a\n}", "unquoted-command").len(), 1);
}

#[test]
fn a_file_check_follows_a_track_file() {
    let file = "track_file load {\nfile /run/load\nweight 2 reverse\n}\n";
    for (lines, weight, reverse) in [
        ("track_file load", 2, true),
        ("track_file load\nweight 1000000", 1_000_000, false),
        ("weight -7 reverse\ntrack_file load", -7, true),
    ] {
        let server = format!("real_server 10.0.0.1 80 {{\nFILE_CHECK {{\n{lines}\n}}\nFILE_CHECK {{\n{lines}\n}}\n}}");
        // keepalived wants the file above its users; here it may stand anywhere.
        for text in [
            format!("{file}{}", virtual_server("10.0.0.100 80", &server)),
            format!("{}{file}", virtual_server("10.0.0.100 80", &server)),
        ] {
            let config = quiet(&text);
            assert_eq!(config.files, [TrackFile { name: "load".to_owned(), path: "/run/load".to_owned() }]);
            let probe = &config.pools[0].servers[0].checks[1].probe;
            assert_eq!(probe, &Probe::File { file: evenkeel_balance::config::FileId(0), weight, reverse }, "{lines}");
        }
    }
    assert_eq!(refused("FILE_CHECK {\ntrack_file none\n}", "check-without-object"), []);
    assert_eq!(refused("FILE_CHECK {\n}", "check-without-object"), []);
}

#[test]
fn a_bfd_check_follows_a_session() {
    let server = "real_server 10.0.0.1 80 {\nBFD_CHECK {\nname peer\nalpha\n}\n}";
    let session = "bfd_instance peer {\nneighbor_ip 10.0.0.1\n}\n";
    let loaded = text(&format!("{session}{}", virtual_server("10.0.0.100 80", server)));
    assert_eq!(rules(&loaded), [""; 0]);
    assert_eq!(loaded.balance.bfd_sessions, ["peer"]);
    let check = &loaded.balance.pools[0].servers[0].checks[0];
    assert_eq!(check.probe, Probe::Bfd { session: evenkeel_balance::config::BfdId(0) });
    assert!(check.alpha);
    assert_eq!(refused("BFD_CHECK {\nname none\n}", "check-without-object"), []);
}

#[test]
fn an_agent_check_asks_an_agent() {
    let check = check("AGENT_CHECK {\nconnect_port 5555\nsend \"state please\"\nretry 2\n}");
    assert_eq!(check.probe, Probe::Agent { send: Some("state please".to_owned()) });
    assert_eq!((check.target, check.timing.retries), (Some(target(5555)), 2));
}

#[test]
fn via_dataplane_is_for_tcp_and_needs_a_virtual_address() {
    let via = check("TCP_CHECK {\nvia dataplane\n}").target.expect("a target");
    assert_eq!(via, Target { via_dataplane: true, ..target(80) });
    let http = loaded("10.0.0.100 80", "real_server 10.0.0.1 80 {\nPING_CHECK {\nvia dataplane\n}\n}");
    assert_eq!(rules(&http), ["via-not-tcp:6"]);
    let loaded = loaded("fwmark 7", "real_server 10.0.0.1 80 {\nTCP_CHECK {\nvia dataplane\n}\n}");
    assert_eq!(rules(&loaded), ["via-without-address:5"]);
    assert_eq!(loaded.balance.pools[0].servers[0].checks[0].target, Some(target(80)));
}

#[test]
fn notices_run_commands_as_their_users() {
    let lines = "quorum_up \"/bin/up a\" root\nquorum_down /bin/down\nomega\n\
                 real_server 10.0.0.1 80 {\nnotify_up \"/bin/server up\" nobody :nogroup\nnotify_down '/bin/server down'\n}";
    let config = quiet(&virtual_server("10.0.0.100 80", lines));
    let pool = &config.pools[0];
    let command = |id: Option<ScriptId>| {
        let script = &config.scripts[id.expect("a script").0 as usize];
        (script.argv.join("|"), script.user.as_ref().map(|(user, group)| (user.as_str(), group.as_deref())))
    };
    assert_eq!(command(pool.quorum_up), ("/bin/up|a".to_owned(), Some(("root", None))));
    assert_eq!(command(pool.quorum_down), ("/bin/down".to_owned(), None));
    let server = &pool.servers[0];
    assert_eq!(command(server.notify_up), ("/bin/server|up".to_owned(), Some(("nobody", Some(":nogroup")))));
    assert_eq!(command(server.notify_down), ("/bin/server|down".to_owned(), None));
    assert!(pool.omega);
    assert_eq!(self::server("").notify_up, None);
}
