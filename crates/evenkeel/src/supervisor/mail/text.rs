//! What the mails say: keepalived's subjects, which people's filters know, and the reason below.

use evenkeel_balance::config::Pool;
use evenkeel_bus::{Letter, ServerNotice, WallTime};
use evenkeel_vrrp::Report;

/// Characters of a reason. Part of it may have been said by a server.
const MAX_REASON: usize = 400;

/// About the state of an instance; `None` for what is no state.
pub(super) fn instance(node: &str, name: &str, state: Report) -> Option<Letter> {
    let (event, body) = match state {
        Report::Master => ("Entering MASTER state", "=> VRRP Instance is now owning VRRP VIPs <="),
        Report::Backup => ("Entering BACKUP state", "=> VRRP Instance is no longer owning VRRP VIPs <="),
        Report::Fault => ("Entering FAULT state", "=> VRRP Instance is in fault and not owning VRRP VIPs <="),
        Report::Stop => ("Stopping", "=> VRRP Instance stopping <="),
        Report::Deleted => ("Deleted", "=> VRRP Instance deleted <="),
        Report::MasterRxLowerPri | Report::MasterPriority | Report::BackupPriority => return None,
    };
    Some(letter(format!("[{node}] VRRP Instance {name} - {event}"), body.to_owned()))
}

/// About the state of a sync group. keepalived writes none when it stops.
pub(super) fn group(node: &str, name: &str, state: Report) -> Option<Letter> {
    let state = match state {
        Report::Master => "MASTER",
        Report::Backup => "BACKUP",
        Report::Fault => "FAULT",
        Report::Stop | Report::Deleted => return None,
        Report::MasterRxLowerPri | Report::MasterPriority | Report::BackupPriority => return None,
    };
    let body = format!("=> All VRRP group instances are now in {state} state <=");
    Some(letter(format!("[{node}] VRRP Group {name} - Entering {state} state"), body))
}

/// About a real server or a virtual one; `pool` is the virtual server's configuration, when it has one still.
pub(super) fn server(node: &str, notice: &ServerNotice, pool: Option<&Pool>) -> Letter {
    let state = notice.state();
    match &notice.server {
        Some(server) => {
            let outcome = if notice.up { "succeeded" } else { "failed" };
            let mut body = format!("=> CHECK {outcome} on service <=");
            if !notice.reason.is_empty() {
                body += "\n";
                body.extend(notice.reason.chars().take(MAX_REASON));
            }
            letter(format!("[{node}] Realserver {server} of virtual server {} - {state}", notice.pool), body)
        }
        None => {
            let (word, sign) = if notice.up { ("Gained", '+') } else { ("Lost", '-') };
            let sum = pool.map_or_else(String::new, |pool| {
                let (quorum, hysteresis) = (pool.quorum.get(), pool.hysteresis);
                let sum = if notice.up { quorum.saturating_add(hysteresis) } else { quorum.saturating_sub(hysteresis) };
                format!(" {quorum}{sign}{hysteresis}={sum}")
            });
            letter(format!("[{node}] Virtualserver {} - {state}", notice.pool), format!("=> {word} quorum{sum} <="))
        }
    }
}

fn letter(subject: String, body: String) -> Letter {
    Letter { at: WallTime::now(), subject, body: body + "\n" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instance_has_keepaliveds_subjects() {
        for (state, subject) in [
            (Report::Master, "[lb01] VRRP Instance VI_1 - Entering MASTER state"),
            (Report::Backup, "[lb01] VRRP Instance VI_1 - Entering BACKUP state"),
            (Report::Fault, "[lb01] VRRP Instance VI_1 - Entering FAULT state"),
            (Report::Stop, "[lb01] VRRP Instance VI_1 - Stopping"),
            (Report::Deleted, "[lb01] VRRP Instance VI_1 - Deleted"),
        ] {
            assert_eq!(instance("lb01", "VI_1", state).unwrap().subject, subject);
        }
        assert_eq!(
            instance("lb01", "VI_1", Report::Master).unwrap().body,
            "=> VRRP Instance is now owning VRRP VIPs <=\n"
        );
    }

    #[test]
    fn a_group_has_keepaliveds_subjects() {
        let said = group("a", "G1", Report::Fault).unwrap();
        assert_eq!(said.subject, "[a] VRRP Group G1 - Entering FAULT state");
        assert_eq!(said.body, "=> All VRRP group instances are now in FAULT state <=\n");
        assert_eq!(group("a", "G1", Report::Stop), None);
    }

    #[test]
    fn a_server_and_a_quorum_have_keepaliveds_subjects_and_the_reason_below() {
        let notice = |server: Option<&str>, up, reason: &str| ServerNotice {
            number: 1,
            pool: "[10.0.0.100]:tcp:80".to_owned(),
            server: server.map(str::to_owned),
            up,
            script: None,
            mail: true,
            reason: reason.to_owned(),
        };
        let said = server("lb01", &notice(Some("[10.0.0.51]:tcp:80"), false, "connection refused"), None);
        assert_eq!(said.subject, "[lb01] Realserver [10.0.0.51]:tcp:80 of virtual server [10.0.0.100]:tcp:80 - DOWN");
        assert_eq!(said.body, "=> CHECK failed on service <=\nconnection refused\n");
        let said = server("lb01", &notice(Some("[10.0.0.51]:tcp:80"), true, ""), None);
        assert!(said.subject.ends_with(" - UP"));
        assert_eq!(said.body, "=> CHECK succeeded on service <=\n");
        let said = server("lb01", &notice(None, false, ""), None);
        assert_eq!(said.subject, "[lb01] Virtualserver [10.0.0.100]:tcp:80 - DOWN");
        assert_eq!(said.body, "=> Lost quorum <=\n");
    }
}
