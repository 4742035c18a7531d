//! Mail about changes of state: to whom, through whom, about what.

use crate::text;

#[test]
fn mail_about_instances_is_off_unless_the_nearest_word_turns_it_on() {
    for (global, of_instance, expected) in [
        ("", "", false),
        ("smtp_alert", "", true),
        ("smtp_alert", "smtp_alert off", false),
        ("smtp_alert off", "smtp_alert", true),
        ("smtp_alert\nsmtp_alert_vrrp off", "", false),
        ("smtp_alert off\nsmtp_alert_vrrp", "", true),
        ("smtp_alert_vrrp", "smtp_alert off", false),
        ("smtp_alert_checker", "", false),
    ] {
        let loaded = text(&format!(
            "vrrp_instance A {{\ninterface eth0\nvirtual_router_id 1\n{of_instance}\nvirtual_ipaddress {{\n10.0.0.9\n}}\n}}\n\
             global_defs {{\n{global}\n}}\n"
        ));
        assert_eq!(loaded.settings.instances[0].mail_alert, expected, "{global}/{of_instance}");
    }
}

#[test]
fn faults_can_be_left_out_and_a_time_limit_of_zero_is_a_second() {
    let mail =
        text("global_defs {\nno_email_faults\nsmtp_connect_timeout 0\nsmtp_server mx.example.org\n}\n").settings.mail;
    assert!(mail.without_faults);
    assert_eq!(mail.timeout, Some(std::time::Duration::from_secs(1)));
    assert_eq!(mail.server, Some(("mx.example.org".to_owned(), 25)));
    assert!(!text("global_defs {\n}\n").settings.mail.without_faults);
}
