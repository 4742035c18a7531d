//! The other nodes that run evenkeel.

use super::{Directive, does, rows};
use crate::keepalived::lower::peer;

rows! {
    in [Root] {
        "peer" "[NAME] { ... }" 0..1 Ours Peer does(peer::begin) "Another node that runs evenkeel too: both tell each other, signed, what they are; see docs/peer.md.";
    }
    in [Peer] {
        "address" "ADDRESS [PORT]" 1..2 Ours line does(peer::address) "Where it is, and the UDP port on both nodes (11200).";
        "source" "ADDRESS" 1..1 Ours line does(peer::source) "Which of our addresses it knows us by; the one that the kernel sends from when absent.";
        "interface" "IF" 1..1 Ours line does(peer::interface) "The only interface that is used; any when absent.";
        "key" "hex:DIGITS | file:PATH | TEXT" 1..1 Ours line does(peer::key) "The key that both nodes sign with: 16 to 64 bytes.";
        "interval" "0.1..60 s" 1..1 Ours line does(peer::interval) "From one hello to the next (1 s).";
    }
}
