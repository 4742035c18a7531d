//! Layer-7 I/O: listeners, HTTP/1, upstream connections, bodies, access log.
pub mod http1;
