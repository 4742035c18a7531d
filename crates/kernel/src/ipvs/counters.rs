//! Counters in the kernel's messages.

use super::numbers::counter as at;
use crate::netlink::message::{attributes, u32_at};
use evenkeel_balance::table::Traffic;

/// Counters of either width: the kernel has two attributes for them, and since Linux 4.1 sends both.
pub(super) fn traffic(fields: &[u8]) -> Traffic {
    let mut traffic = Traffic::default();
    for (kind, value) in attributes(fields, 0) {
        let field = match kind {
            at::CONNECTIONS => &mut traffic.connections,
            at::PACKETS_IN => &mut traffic.packets_in,
            at::PACKETS_OUT => &mut traffic.packets_out,
            at::BYTES_IN => &mut traffic.bytes_in,
            at::BYTES_OUT => &mut traffic.bytes_out,
            at::CONNECTIONS_RATE => &mut traffic.connections_rate,
            at::PACKETS_IN_RATE => &mut traffic.packets_in_rate,
            at::PACKETS_OUT_RATE => &mut traffic.packets_out_rate,
            at::BYTES_IN_RATE => &mut traffic.bytes_in_rate,
            at::BYTES_OUT_RATE => &mut traffic.bytes_out_rate,
            _ => continue,
        };
        let wide = value.first_chunk::<8>().copied().map(u64::from_ne_bytes);
        *field = wide.or(u32_at(value, 0).map(u64::from)).unwrap_or(0);
    }
    traffic
}
