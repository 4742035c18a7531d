//! All that needs a capability or unsafe: rtnetlink, raw sockets, namespaces, privileges.
