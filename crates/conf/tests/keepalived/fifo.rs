//! FIFOs that are told of events.

use crate::{rules, text};
use evenkeel_conf::keepalived::{CommandLine, NotifyFifo};

#[test]
fn a_fifo_has_an_owner_and_a_reader_in_either_order_and_the_first_of_each_counts() {
    let reader = CommandLine {
        words: vec!["/usr/bin/reader".to_owned(), "a b".to_owned()],
        user: Some(("nobody".to_owned(), Some(":nogroup".to_owned()))),
    };
    let fifo = NotifyFifo {
        path: "/run/lvs.fifo".to_owned(),
        owner: Some(("nobody".to_owned(), Some("adm".to_owned()))),
        reader: Some(reader),
    };
    let path = "lvs_notify_fifo /run/lvs.fifo nobody adm";
    let script = "lvs_notify_fifo_script \"/usr/bin/reader 'a b'\" nobody :nogroup";
    for lines in [[path, script], [script, path]] {
        let loaded = text(&format!("global_defs {{\n{}\n}}\n", lines.join("\n")));
        assert_eq!(loaded.settings.lvs_fifo.as_ref(), Some(&fifo));
        assert_eq!(rules(&loaded), [""; 0]);
    }
    let twice = [path, script, "lvs_notify_fifo /other", "lvs_notify_fifo_script /other"].join("\n");
    let loaded = text(&format!("global_defs {{\n{twice}\n}}\n"));
    assert_eq!(loaded.settings.lvs_fifo, Some(fifo));
    assert_eq!(rules(&loaded), ["repeated:4", "repeated:5"]);
}

#[test]
fn a_reader_without_a_fifo_is_not_started() {
    let loaded = text("global_defs {\nlvs_notify_fifo_script /usr/bin/reader\n}\n");
    assert_eq!(loaded.settings.lvs_fifo, None);
    assert_eq!(rules(&loaded), ["reader-without-fifo:2"]);
}
