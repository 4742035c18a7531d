//! What is offered to other programs: DBus, and SNMP that is not.

use crate::text;
use evenkeel_conf::Severity;

#[test]
fn a_service_on_dbus_has_a_name_that_a_message_bus_takes() {
    for (lines, enabled, service) in [
        ("", false, None),
        ("enable_dbus", true, None),
        ("enable_dbus\ndbus_service_name org.example.Own1", true, Some("org.example.Own1")),
        ("dbus_service_name org.example-x._1", false, Some("org.example-x._1")),
        ("enable_dbus\ndbus_service_name keepalived", true, None),
        ("enable_dbus\ndbus_service_name org.1st", true, None),
        ("enable_dbus\ndbus_service_name org..x", true, None),
        ("enable_dbus\ndbus_service_name org/keepalived", true, None),
    ] {
        let loaded = text(&format!("global_defs {{\n{lines}\n}}\n"));
        let dbus = &loaded.settings.dbus;
        assert_eq!((dbus.enabled, dbus.service.as_deref()), (enabled, service), "{lines}");
        let is_refused = lines.contains("dbus_service_name") && service.is_none();
        assert_eq!(loaded.diagnostics.iter().any(|said| said.rule == "bad-value"), is_refused, "{lines}");
    }
}

#[test]
fn the_word_for_no_interface_is_as_configured() {
    let named = text("global_defs {\ndbus_no_interface_name nowhere\n}\n").settings.dbus.no_interface;
    assert_eq!(named.as_deref(), Some("nowhere"));
    assert_eq!(text("global_defs {\n}\n").settings.dbus.no_interface, None);
}

#[test]
fn snmp_is_accepted_with_a_warning_that_says_what_to_use() {
    for (line, severity) in [
        ("enable_traps", Severity::Warning),
        ("enable_snmp_vrrp", Severity::Warning),
        ("enable_snmp_checker", Severity::Warning),
        ("enable_snmp_rfc", Severity::Warning),
        ("snmp_socket unix:/var/agentx/master", Severity::Note),
        ("snmp_vs_stats_update_interval 2", Severity::Note),
    ] {
        let loaded = text(&format!("global_defs {{\n{line}\n}}\n"));
        let said = loaded.diagnostics.iter().find(|said| said.rule == "not-acted-on");
        let said = said.unwrap_or_else(|| panic!("nothing is said of {line}"));
        assert_eq!(said.severity, severity, "{line}");
        assert!(said.message.contains("`evenkeel status --json`"), "{}", said.message);
    }
}
