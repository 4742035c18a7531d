//! evenkeel: keeps a service and its address up.

fn main() {}
