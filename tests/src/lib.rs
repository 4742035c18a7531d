//! Namespaces, hosts and probes for the end-to-end tests.
