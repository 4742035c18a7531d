//! The other nodes.

use super::Host;
use crate::Diagnostic;
use crate::keepalived::Loaded;

/// Rules `peer-self` and `peer-source`.
pub(super) fn peers(loaded: &Loaded, host: &dyn Host, found: &mut Vec<Diagnostic>) {
    for draft in &loaded.drafts.peers {
        if let Some(address) = draft.address.as_ref().filter(|address| host.has_address(address.value) == Some(true)) {
            found.push(
                Diagnostic::warning(
                    "peer-self",
                    address.span,
                    format!("the peer {} is this node itself", address.value),
                )
                .so("nobody answers, and the other node is not known")
                .fix("name the other node; a file for both nodes may say `@lb01 address ...` and `@lb02 address ...`"),
            );
        }
        if let Some(source) = draft.source.as_ref().filter(|source| host.has_address(source.value) == Some(false)) {
            found.push(
                Diagnostic::warning(
                    "peer-source",
                    source.span,
                    format!("this machine does not have the address {}", source.value),
                )
                .so("nothing is sent to the peer until it has")
                .fix("name an address that is here whoever is master"),
            );
        }
    }
}
