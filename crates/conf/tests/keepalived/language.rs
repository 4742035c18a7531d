//! Every construct of the language, seen through what `router_id` or an address list becomes.

use crate::{files, options, rules, said, text};
use evenkeel_conf::keepalived::{Loaded, Options, load};
use evenkeel_conf::{DiskFiles, MemoryFiles, Severity};
use std::path::Path;

fn router_id(loaded: &Loaded) -> Option<&str> {
    loaded.settings.router_id.as_deref()
}

/// The router id that `lines` give when they stand inside global_defs.
#[track_caller]
fn id(lines: &str, expected: &str, said_rules: &[&str]) {
    let loaded = text(&format!("global_defs {{\n{lines}\n}}\n"));
    assert_eq!(router_id(&loaded), Some(expected), "{lines}\n{}", said(&loaded));
    assert_eq!(rules(&loaded), said_rules, "{lines}\n{}", said(&loaded));
}

#[test]
fn comments_begin_anywhere_outside_quotes() {
    id("router_id a#b", "a", &[]);
    id("router_id a # b ! c", "a", &[]);
    id("router_id a!b", "a", &["comment-inside-word:2"]);
    id("router_id \"a#b!c\"", "a#b!c", &[]);
    id("router_id a\\#b\\!c", "a#b!c", &[]);
    id("router_id ${_HASH}x${_BANG}", "#x!", &[]);
    id("  ! nothing\n#nothing\nrouter_id a\t# \"", "a", &[]);
}

#[test]
fn words_and_quotes() {
    id("\t router_id \t \"a b\"", "a b", &[]);
    id("router_id\"a\"", "a", &[]);
    id("router_id 'a", "'a", &[]);
    id("router_id \"open # and on", "open # and on", &["unmatched-quote:2"]);
    id("router_id a b", "a", &["extra-text:2"]);
    id("router_id a enable_script_security", "a", &["stuck-keyword:2"]);
    id("router_id a\\", "a\\", &[]);
    id("router_id a\r", "a", &[]);
}

#[test]
fn braces_stand_anywhere() {
    for lines in [
        "global_defs { router_id a }",
        "global_defs{router_id a}",
        "global_defs\n{\nrouter_id a\n}",
        "global_defs {router_id a\n} global_defs { }",
        "global_defs { router_id \"a\" } # }",
    ] {
        let loaded = text(lines);
        assert_eq!(router_id(&loaded), Some("a"), "{lines}");
        assert_eq!(rules(&loaded), [""; 0], "{lines}");
    }
    let quoted = text("global_defs {\nrouter_id \"}{\"\n}");
    assert_eq!(router_id(&quoted), Some("}{"));
}

#[test]
fn braces_that_do_not_match_are_reported_and_survived() {
    for (lines, said_rules) in [
        ("global_defs {\nrouter_id a\n", ["missing-brace:1"].as_slice()),
        ("global_defs {\nrouter_id a\n}\n}\n", &["unexpected-brace:4"]),
        ("global_defs {\n{\nrouter_id a\n}\n}\n", &["unexpected-brace:2"]),
        ("global_defs {\nenable_script_security {\nrouter_id a\n}\n}\n", &["unexpected-brace:2"]),
        ("global_defs\nglobal_defs {\nrouter_id a\n}\n", &["missing-brace:1"]),
    ] {
        let loaded = text(lines);
        assert_eq!(router_id(&loaded), Some("a"), "{lines}");
        assert_eq!(rules(&loaded), said_rules, "{lines}");
    }
}

#[test]
fn the_block_of_an_unknown_keyword_is_read_as_if_it_had_no_braces() {
    id("unknwon {\nrouter_id a\nother\n}", "a", &["unknown-keyword:2", "inside-unknown-block:3", "unknown-keyword:4"]);
}

#[test]
fn conditions_keep_a_line_or_drop_it() {
    id("router_id a\n@lb01 router_id b", "b", &[]);
    id("router_id a\n@lb02 router_id b", "a", &[]);
    id("router_id a\n@^lb02 router_id b", "b", &[]);
    id("router_id a\n@^lb01 router_id b", "a", &[]);
    id("router_id a\n@lb01 @^lb02 router_id b", "b", &[]);
    id("$IF=@lb01\nrouter_id a\n$IF router_id b", "b", &[]);
    id("router_id a\n@lb01", "a", &["empty-condition:3"]);
    id("router_id a\n@ router_id b", "a", &["empty-condition:3"]);
}

#[test]
fn names_stand_for_their_text() {
    id("$A=x\nrouter_id $A", "x", &[]);
    id("$A=x\nrouter_id a${A}b", "axb", &[]);
    id("$A=x\nrouter_id $Ab", "$Ab", &[]);
    id("$A=x\nrouter_id $A,", "x,", &[]);
    id("router_id $NONE", "$NONE", &[]);
    id("router_id ${NONE}", "${NONE}", &["undefined-name:2"]);
    id("$A=x\n$A=y\nrouter_id $A", "y", &[]);
    id("$A=$B\n$B=x\nrouter_id $A", "x", &[]);
    id("$A=  router_id x\n$A", "x", &[]);
    id("$A=\"x  y\"\nrouter_id $A", "x  y", &[]);
}

#[test]
fn predefined_names() {
    id("router_id ${_PWD}", "/etc/keepalived", &[]);
    id("router_id ${_INSTANCE}", "lb01", &[]);
    id("router_id ${_ENV HOME}", "/root", &[]);
    id("router_id x${_ENV NONE}", "x", &[]);
    id("router_id ${_RANDOM 5 5}", "5", &[]);
    let drawn = || text("global_defs {\nrandom_seed 3\nrouter_id ${_RANDOM}\n}").settings.router_id;
    assert_eq!(drawn(), drawn());
    let number: u32 = drawn().expect("an id").parse().expect("a number");
    assert!(number <= 32767);
}

#[test]
fn definitions_of_several_lines_replace_a_whole_line() {
    id("$A=\\\nenable_script_security\\\nrouter_id x\n$A", "x", &[]);
    id("$A=router_id x\\\nenable_script_security\n$A", "x", &[]);
    id("$A=\\\n@lb02 router_id x\\\n@lb01 router_id y\n${A}", "y", &[]);
    id("$A=\\\nrouter_id x\\\n\n$B=\\\n$A\\\nenable_script_security\n$B", "x", &[]);
    let loaded = text("$A=\\\nglobal_defs {\\\nrouter_id x\\\n}\n$A\n");
    assert_eq!(router_id(&loaded), Some("x"));
}

#[test]
fn what_a_definition_says_is_reported_where_it_is_used() {
    let loaded = text("$A=\\\nglobal_defs {\\\nnonsense\\\n}\n\n  $A\n");
    let span = loaded.diagnostics[0].span.expect("a place");
    assert_eq!((span.line, span.start, span.end), (6, 2, 4));
    let loaded = text("$A=nonsense\nglobal_defs {\n x${A} y\n}\n");
    let span = loaded.diagnostics[0].span.expect("a place");
    assert_eq!((span.line, span.start, span.end), (3, 1, 6));
}

/// The addresses that `lines` put into an instance.
#[track_caller]
fn addresses(lines: &str, expected: &[&str]) {
    let loaded = text(&format!(
        "vrrp_instance a {{\ninterface eth0\nvirtual_router_id 1\nvirtual_ipaddress {{\n{lines}\n}}\n}}\n"
    ));
    let found: Vec<_> = loaded.vrrp.instances[0].addresses.iter().map(|a| a.prefix.address().to_string()).collect();
    assert_eq!(found, expected, "{lines}\n{}", said(&loaded));
    assert_eq!(rules(&loaded), [""; 0], "{lines}");
}

#[test]
fn sequences_and_lists_repeat_the_rest_of_the_line() {
    addresses("~SEQ(n, 1, 3) 10.0.0.$n", &["10.0.0.1", "10.0.0.2", "10.0.0.3"]);
    addresses("~SEQ(n, 3) 10.0.0.${n}", &["10.0.0.1", "10.0.0.2", "10.0.0.3"]);
    addresses("~SEQ(n, 6, -2, 2) 10.0.0.$n", &["10.0.0.6", "10.0.0.4", "10.0.0.2"]);
    addresses("~SEQ(n, 0x9, 2, 0xb) 10.0.0.$n", &["10.0.0.9", "10.0.0.11"]);
    addresses("~SEQ(n, 3, 1) 10.0.0.$n", &["10.0.0.3", "10.0.0.2", "10.0.0.1"]);
    addresses("~LST(n, 7, 9) 10.0.0.$n", &["10.0.0.7", "10.0.0.9"]);
    addresses("~LST({n,m}, {1,2}, {3,4}) 10.0.${n}.$m", &["10.0.1.2", "10.0.3.4"]);
    addresses("~LST({n,m}, {1,2}, {3}) 10.0.${n}.2${m}", &["10.0.1.22", "10.0.3.2"]);
    addresses("~SEQ(n, 1, 2) ~SEQ(m, 1, 2) 10.0.${n}.$m", &["10.0.1.1", "10.0.1.2", "10.0.2.1", "10.0.2.2"]);
    addresses("$LAST=2\n~SEQ(n, 1, $LAST) 10.0.0.$n", &["10.0.0.1", "10.0.0.2"]);
    addresses(
        "$BODY=\\\n10.0.0.$n\\\n10.0.1.$n\n~SEQ(n, 1, 2) $BODY",
        &["10.0.0.1", "10.0.1.1", "10.0.0.2", "10.0.1.2"],
    );
    let hex = text("global_defs {\n~SEQx(n, 10, 10) router_id $n\n}");
    assert_eq!(router_id(&hex), Some("a"));
}

#[test]
fn loops_that_make_no_sense_are_reported() {
    for line in ["~SEQ(n, x, 2) y", "~SEQ(n) y", "~SEQ(n, 1, 2 y", "~SEQ(n, 1, 0, 2) y", "~SEQ(n,1,2,3,4) y"] {
        assert_eq!(rules(&text(line)), ["bad-loop:1"], "{line}");
    }
}

const INNER: (&str, &str) = ("inner.conf", "router_id inner\n");

#[test]
fn included_files_stand_where_the_include_is() {
    for line in [
        "include inner.conf",
        "include \"inner.conf\"",
        "include inn*",
        "include {inner,outer}.conf",
        "$F=inner.conf\ninclude $F",
        "include /etc/keepalived/inner.conf",
    ] {
        let loaded = files(&[("k.conf", &format!("global_defs {{\n{line}\n}}")), INNER]);
        assert_eq!(router_id(&loaded), Some("inner"), "{line}");
        assert_eq!(rules(&loaded), [""; 0], "{line}");
        assert_eq!(loaded.sources.paths().count(), 2);
    }
}

#[test]
fn an_include_is_relative_to_the_file_it_is_in() {
    let loaded = files(&[
        ("k.conf", "include sub/a.conf\n"),
        ("sub/a.conf", "include b.conf\n"),
        ("sub/b.conf", "global_defs {\nrouter_id ${_PWD}\n}\n"),
    ]);
    assert_eq!(router_id(&loaded), Some("/etc/keepalived/sub"));
}

#[test]
fn a_failing_include_is_as_bad_as_its_keyword_says() {
    for (line, severity) in [
        ("include none.conf", Severity::Note),
        ("include none*.conf", Severity::Note),
        ("includer none.conf", Severity::Note),
        ("includem none.conf", Severity::Error),
        ("includem none*.conf", Severity::Note),
        ("includew none*.conf", Severity::Error),
        ("includeb {inner,none}.conf", Severity::Error),
        ("include {inner,none}.conf", Severity::Note),
        ("includea none.conf", Severity::Error),
        ("include", Severity::Error),
        ("global_defs {\ninclude_check\n}\ninclude none.conf", Severity::Error),
        ("global_defs {\ninclude_check match\n}\ninclude none*.conf", Severity::Note),
        ("global_defs {\ninclude_check\ninclude_check -match\n}\ninclude none.conf", Severity::Note),
    ] {
        let loaded = files(&[("k.conf", line), ("inner.conf", "global_defs {\n}\n")]);
        let worst = loaded.diagnostics.iter().map(|d| d.severity).max();
        assert_eq!(worst, Some(severity), "{line}\n{}", said(&loaded));
    }
}

#[test]
fn all_checks_make_every_include_strict() {
    let path = Path::new("/k.conf");
    let memory = MemoryFiles([(path.to_owned(), b"include none.conf\n".to_vec())].into());
    let strict = Options { all_checks: true, ..options(None) };
    assert!(load(&memory, path, &strict).has_errors());
    assert!(!load(&memory, path, &options(None)).has_errors());
}

#[test]
fn an_executable_file_is_not_read() {
    let loaded = load(&DiskFiles, Path::new("/bin/sh"), &options(None));
    assert_eq!(loaded.diagnostics.len(), 1);
    assert_eq!(loaded.diagnostics[0].rule, "executable-file");
}

#[test]
fn a_line_too_long_for_keepalived_is_dropped() {
    id(&format!("router_id a\nrouter_id {}", "b".repeat(1100)), "a", &["line-too-long:3"]);
}

#[test]
fn numbers_and_times_with_units_mean_what_they_say() {
    let loaded = text(
        "vrrp_script s {\nscript /bin/true\ninterval 2s\nweight 10%\nrise x\n}\nvrrp_instance a {\ninterface eth0\nvirtual_router_id 1\npriority 300\nadvert_int 500ms\npreempt_delay 3s\nversion 3\nvirtual_ipaddress {\n10.0.0.1\n}\ntrack_script {\ns\n}\n}\n",
    );
    let expected = [
        "number-with-text:3",
        "number-with-text:4",
        "bad-value:5",
        "bad-value:10",
        "number-with-text:11",
        "number-with-text:12",
    ];
    assert_eq!(rules(&loaded), expected);
    let instance = &loaded.vrrp.instances[0];
    assert_eq!(loaded.settings.scripts[0].interval.as_secs(), 2);
    assert_eq!(instance.tracks[0].weight, 10);
    assert_eq!(instance.advert_interval.0, 50);
    assert_eq!(instance.priority.get(), 100);
    assert_eq!(instance.preempt, evenkeel_vrrp::config::Preempt::After(std::time::Duration::from_secs(3)));
}

#[test]
fn version_2_has_whole_seconds_and_version_3_hundredths() {
    for (version, interval, centis) in
        [(2, "1", 100), (2, "0.3", 100), (2, "1.6", 200), (3, "0.01", 1), (3, "1.234", 123), (3, "60", 4095)]
    {
        let loaded = text(&format!(
            "vrrp_instance a {{\nversion {version}\nadvert_int {interval}\ninterface eth0\nvirtual_router_id 1\nvirtual_ipaddress {{\n10.0.0.1\n}}\n}}\n"
        ));
        assert_eq!(loaded.vrrp.instances[0].advert_interval.0, centis, "{version} {interval}");
    }
}
