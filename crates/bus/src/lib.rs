//! Framed messages between supervisor, roles and clients; passing descriptors.
