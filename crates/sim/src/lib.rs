//! A seeded clock, LAN and kernel for the pure cores.
