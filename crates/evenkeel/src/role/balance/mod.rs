//! The balance role: health checks, and the layer-4 table that follows them.

// The role's loop calls it; until that is here, only `genhash` does.
#[allow(dead_code, reason = "the role's loop is not here yet")]
pub mod probe;
