//! keepalived's statistics file.

use evenkeel_vrrp::{AdvertCounters, InstanceStatus};
use std::fmt::Write as _;

/// The text of the file.
pub fn text<'a>(instances: impl IntoIterator<Item = (&'a str, &'a AdvertCounters)>) -> String {
    let mut out = String::new();
    for (name, counters) in instances {
        let AdvertCounters {
            advert_rcvd,
            advert_sent,
            become_master,
            release_master,
            packet_len_err,
            ip_ttl_err,
            invalid_type_rcvd,
            advert_interval_err,
            addr_list_err,
            invalid_authtype,
            authtype_mismatch,
            auth_failure,
            auth_ext_missing,
            auth_ext_malformed,
            auth_ext_unknown_key,
            auth_ext_invalid_hmac,
            auth_ext_stale,
            auth_ext_replay,
            pri_zero_rcvd,
            pri_zero_sent,
            ..
        } = counters;
        let _ = write!(
            out,
            "VRRP Instance: {name}\n  Advertisements:\n    Received: {advert_rcvd}\n    Sent: {advert_sent}\n  \
             Became master: {become_master}\n  Released master: {release_master}\n  Packet Errors:\n    \
             Length: {packet_len_err}\n    TTL: {ip_ttl_err}\n    Invalid Type: {invalid_type_rcvd}\n    \
             Advertisement Interval: {advert_interval_err}\n    Address List: {addr_list_err}\n  \
             Authentication Errors:\n    Invalid Type: {invalid_authtype}\n    Type Mismatch: {authtype_mismatch}\n    \
             Failure: {auth_failure}\n  Authentication Extension Errors:\n    Missing: {auth_ext_missing}\n    \
             Malformed: {auth_ext_malformed}\n    Unknown Key: {auth_ext_unknown_key}\n    \
             Invalid HMAC: {auth_ext_invalid_hmac}\n    Stale: {auth_ext_stale}\n    Replay: {auth_ext_replay}\n  Priority Zero:\n    Received: {pri_zero_rcvd}\n    Sent: {pri_zero_sent}\n",
        );
    }
    out
}

/// What a clearing of the counters leaves of them.
pub fn since(now: &InstanceStatus, cleared: Option<&AdvertCounters>) -> AdvertCounters {
    let (now, then) = (now.counters, cleared.copied().unwrap_or_default());
    // A vrrp role that was started again counts from 0.
    let part = |now: u64, then: u64| now.checked_sub(then).unwrap_or(now);
    AdvertCounters {
        advert_rcvd: part(now.advert_rcvd, then.advert_rcvd),
        advert_sent: part(now.advert_sent, then.advert_sent),
        become_master: part(now.become_master, then.become_master),
        release_master: part(now.release_master, then.release_master),
        packet_len_err: part(now.packet_len_err, then.packet_len_err),
        advert_interval_err: part(now.advert_interval_err, then.advert_interval_err),
        ip_ttl_err: part(now.ip_ttl_err, then.ip_ttl_err),
        invalid_type_rcvd: part(now.invalid_type_rcvd, then.invalid_type_rcvd),
        addr_list_err: part(now.addr_list_err, then.addr_list_err),
        invalid_authtype: part(now.invalid_authtype, then.invalid_authtype),
        authtype_mismatch: part(now.authtype_mismatch, then.authtype_mismatch),
        auth_failure: part(now.auth_failure, then.auth_failure),
        auth_ext_missing: part(now.auth_ext_missing, then.auth_ext_missing),
        auth_ext_malformed: part(now.auth_ext_malformed, then.auth_ext_malformed),
        auth_ext_unknown_key: part(now.auth_ext_unknown_key, then.auth_ext_unknown_key),
        auth_ext_invalid_hmac: part(now.auth_ext_invalid_hmac, then.auth_ext_invalid_hmac),
        auth_ext_stale: part(now.auth_ext_stale, then.auth_ext_stale),
        auth_ext_replay: part(now.auth_ext_replay, then.auth_ext_replay),
        pri_zero_rcvd: part(now.pri_zero_rcvd, then.pri_zero_rcvd),
        pri_zero_sent: part(now.pri_zero_sent, then.pri_zero_sent),
        ..now
    }
}
