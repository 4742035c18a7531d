//! nginx.conf.
