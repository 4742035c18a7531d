//! Layer-7 I/O: listeners, HTTP/1, upstream connections, bodies, access log.
//!
//! A [`Proxy`] is some threads, each with a current-thread runtime of its own and nothing shared on the way of a
//! request. Follow one request: `client` reads its head, `evenkeel_site` plans the answer, `body` takes the request's
//! body, `exchange` asks an upstream and a `pump` moves what it says. `files` and `reply` answer without an upstream.
//!
//! There is no process, capability or configuration language here: the caller hands over sockets and log files that
//! are open already.

pub mod http1;

mod body;
mod buffer;
mod client;
mod clock;
mod exchange;
mod files;
mod log;
mod proxy;
mod pump;
mod record;
mod reply;
mod rewrite;
mod stream;
mod upstream;
mod worker;

pub use proxy::{Options, Proxy, Resources, StartError};
