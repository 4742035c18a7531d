//! What passed the LAN, from a capture in pcap's format.

use std::net::IpAddr;
use std::path::Path;

const FILE_HEADER: usize = 24;
const RECORD_HEADER: usize = 16;
const ETHERNET: usize = 14;

/// A packet of VRRP as it was seen.
pub(super) struct Seen {
    pub(super) source: IpAddr,
    /// Destination, hop limit, and the IP payload in hexadecimal.
    pub(super) line: String,
}

/// All whole packets of a capture.
pub(super) fn read(file: &Path) -> Vec<Seen> {
    let bytes = std::fs::read(file).unwrap_or_default();
    let mut seen = Vec::new();
    let mut at = FILE_HEADER;
    while let Some(header) = bytes.get(at..at + RECORD_HEADER) {
        let length = u32::from_le_bytes([header[8], header[9], header[10], header[11]]) as usize;
        at += RECORD_HEADER;
        let Some(frame) = bytes.get(at..at + length) else { break };
        at += length;
        seen.extend(packet(frame));
    }
    seen
}

fn packet(frame: &[u8]) -> Option<Seen> {
    let packet = frame.get(ETHERNET..)?;
    match frame.get(12..14)? {
        [0x08, 0x00] => {
            let header = usize::from(packet.first()? & 0x0f) * 4;
            let total = usize::from(u16::from_be_bytes([*packet.get(2)?, *packet.get(3)?]));
            let source: [u8; 4] = packet.get(12..16)?.try_into().ok()?;
            let to: [u8; 4] = packet.get(16..20)?.try_into().ok()?;
            let line = line(to.into(), *packet.get(8)?, *packet.get(9)?, packet.get(header..total)?);
            Some(Seen { source: source.into(), line })
        }
        [0x86, 0xdd] => {
            let length = usize::from(u16::from_be_bytes([*packet.get(4)?, *packet.get(5)?]));
            let source: [u8; 16] = packet.get(8..24)?.try_into().ok()?;
            let to: [u8; 16] = packet.get(24..40)?.try_into().ok()?;
            let line = line(to.into(), *packet.get(7)?, *packet.get(6)?, packet.get(40..40 + length)?);
            Some(Seen { source: source.into(), line })
        }
        _ => None,
    }
}

fn line(to: IpAddr, hops: u8, protocol: u8, payload: &[u8]) -> String {
    let hex: String = payload.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("to {to}, ttl {hops}, protocol {protocol}: {hex}")
}
