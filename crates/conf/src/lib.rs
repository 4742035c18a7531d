//! keepalived.conf and nginx.conf: text to tree to typed values, with diagnostics.
//!
//! Nothing here but [`DiskFiles`] reads a disk: files come through the [`Files`] trait, so that a test, a lint in an
//! editor and the daemon all take the same path.

mod diagnostic;
pub mod keepalived;
pub mod nginx;
mod source;

pub use diagnostic::{Diagnostic, Severity, render};
pub use source::{DiskFiles, FileId, Files, MemoryFiles, ReadError, SourceMap, Span};
