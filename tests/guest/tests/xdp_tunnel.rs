//! Connections through IP in IP on Debian's kernel, which has devices for it.

#[path = "../../../crates/kernel/tests/xdp_tunnel.rs"]
mod tunnel;
