//! Who may speak for a virtual router: the two ways besides the plain password, which is part of the advert itself.
//!
//! [`trailer`] is keepalived's `auth_hmac`, 28 bytes behind the advert. [`header`] is the IP Authentication Header
//! between IP and the advert.

pub mod header;
pub mod trailer;
