//! Who may depend on whom. The picture stands in ARCHITECTURE.md; here it is a table.

use serde_json::Value;

/// One crate of ours and what its manifest may list. Dependencies of tests are not limited.
struct Rule {
    name: &'static str,
    ours: &'static [&'static str],
    foreign: Foreign,
}

/// Crates of others.
enum Foreign {
    /// A core: these, which know neither sockets nor clocks nor tasks.
    Only(&'static [&'static str]),
    /// No core, but pure: whatever does no I/O.
    Pure,
    /// A shell.
    Any,
}

const CORE: Foreign = Foreign::Only(&["serde", "thiserror"]);

/// A crate that lists one of these is not pure.
const IMPURE: &[&str] = &[
    "async-io",
    "libc",
    "mio",
    "nix",
    "rustix",
    "rustls",
    "smol",
    "socket2",
    "tokio",
    "tracing",
    "tracing-subscriber",
];

const RULES: &[Rule] = &[
    Rule { name: "evenkeel-wire", ours: &[], foreign: CORE },
    // Adverts are signed: digests are functions of bytes, and no protocol should bring its own.
    Rule {
        name: "evenkeel-vrrp",
        ours: &["evenkeel-wire"],
        foreign: Foreign::Only(&["serde", "thiserror", "hmac", "md-5", "sha2"]),
    },
    Rule { name: "evenkeel-bfd", ours: &["evenkeel-wire"], foreign: CORE },
    Rule {
        name: "evenkeel-peer",
        ours: &["evenkeel-wire"],
        foreign: Foreign::Only(&["serde", "thiserror", "hmac", "sha2"]),
    },
    Rule { name: "evenkeel-balance", ours: &["evenkeel-wire"], foreign: CORE },
    Rule { name: "evenkeel-site", ours: &["evenkeel-wire"], foreign: Foreign::Only(&["serde", "thiserror", "regex"]) },
    Rule {
        name: "evenkeel-conf",
        ours: &["evenkeel-wire", "evenkeel-vrrp", "evenkeel-site", "evenkeel-bfd", "evenkeel-balance", "evenkeel-peer"],
        foreign: Foreign::Pure,
    },
    Rule {
        name: "evenkeel-bus",
        ours: &["evenkeel-wire", "evenkeel-vrrp", "evenkeel-site", "evenkeel-bfd", "evenkeel-balance", "evenkeel-peer"],
        foreign: Foreign::Any,
    },
    Rule { name: "evenkeel-xdp", ours: &[], foreign: CORE },
    Rule {
        name: "evenkeel-kernel",
        ours: &["evenkeel-wire", "evenkeel-balance", "evenkeel-xdp"],
        foreign: Foreign::Any,
    },
    Rule { name: "evenkeel-proxy", ours: &["evenkeel-wire", "evenkeel-site"], foreign: Foreign::Any },
    Rule {
        name: "evenkeel",
        ours: &[
            "evenkeel-wire",
            "evenkeel-vrrp",
            "evenkeel-site",
            "evenkeel-bfd",
            "evenkeel-balance",
            "evenkeel-peer",
            "evenkeel-conf",
            "evenkeel-bus",
            "evenkeel-kernel",
            "evenkeel-proxy",
        ],
        foreign: Foreign::Any,
    },
    Rule {
        name: "evenkeel-sim",
        ours: &["evenkeel-wire", "evenkeel-vrrp", "evenkeel-bfd", "evenkeel-balance"],
        foreign: Foreign::Pure,
    },
];

/// Tools that nothing depends on: they may use what they like.
const FREE: &[&str] = &["evenkeel-e2e", "evenkeel-guest", "xtask"];

/// What `cargo metadata` says, against the rules.
pub(super) fn problems(metadata: &Value) -> Vec<String> {
    let packages = metadata["packages"].as_array().map_or(&[][..], Vec::as_slice);
    packages.iter().flat_map(package).collect()
}

fn package(package: &Value) -> Vec<String> {
    let name = package["name"].as_str().unwrap_or_default();
    if FREE.contains(&name) {
        return Vec::new();
    }
    let Some(rule) = RULES.iter().find(|rule| rule.name == name) else {
        return vec![format!("{name}: has no row in xtask/src/tidy/manifests.rs")];
    };
    let dependencies = package["dependencies"].as_array().map_or(&[][..], Vec::as_slice);
    dependencies
        .iter()
        .filter(|dependency| dependency["kind"].as_str() != Some("dev"))
        .filter_map(|dependency| dependency["name"].as_str())
        .filter(|dependency| !rule.allows(dependency))
        .map(|dependency| format!("{name}: must not depend on {dependency} (see ARCHITECTURE.md)"))
        .collect()
}

impl Rule {
    fn allows(&self, dependency: &str) -> bool {
        if dependency.starts_with("evenkeel") {
            return self.ours.contains(&dependency);
        }
        match self.foreign {
            Foreign::Only(these) => these.contains(&dependency),
            Foreign::Pure => !IMPURE.contains(&dependency),
            Foreign::Any => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn check(name: &str, dependencies: &[(&str, Option<&str>)]) -> Vec<String> {
        let dependencies: Vec<_> =
            dependencies.iter().map(|(name, kind)| json!({ "name": name, "kind": kind })).collect();
        problems(&json!({ "packages": [{ "name": name, "dependencies": dependencies }] }))
    }

    #[test]
    fn a_core_lists_nothing_that_does_io() {
        assert_eq!(check("evenkeel-vrrp", &[("evenkeel-wire", None), ("serde", None)]), [""; 0]);
        let problem = "evenkeel-vrrp: must not depend on tokio (see ARCHITECTURE.md)";
        assert_eq!(check("evenkeel-vrrp", &[("tokio", None)]), [problem]);
        assert_eq!(check("evenkeel-vrrp", &[("proptest", Some("dev"))]), [""; 0]);
    }

    #[test]
    fn cores_do_not_import_one_another() {
        assert_eq!(check("evenkeel-site", &[("evenkeel-vrrp", None)]).len(), 1);
    }

    #[test]
    fn the_proxy_does_not_reach_the_kernel() {
        assert_eq!(check("evenkeel-proxy", &[("evenkeel-kernel", None)]).len(), 1);
    }

    #[test]
    fn a_crate_without_a_rule_is_named() {
        assert_eq!(check("evenkeel-new", &[]), ["evenkeel-new: has no row in xtask/src/tidy/manifests.rs"]);
    }
}
