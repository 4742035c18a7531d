//! Paths of keepalived's objects.

use evenkeel_vrrp::config::Instance;

/// What is the same in all of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Root {
    /// `/org/keepalived/Vrrp1[/NAMESPACE][/INSTANCE]`.
    path: String,
    /// In the place of an interface where there is none.
    no_interface: String,
}

impl Root {
    /// For a daemon in this network namespace, and of this name among several.
    pub fn new(namespace: Option<&str>, daemon: Option<&str>, no_interface: Option<&str>) -> Self {
        let mut path = "/org/keepalived/Vrrp1".to_owned();
        for part in [namespace, daemon].into_iter().flatten() {
            path.push('/');
            path.push_str(&element(part));
        }
        Root { path, no_interface: element(no_interface.unwrap_or("none")) }
    }

    /// Path of the object of the whole daemon.
    pub fn daemon(&self) -> String {
        format!("{}/Vrrp", self.path)
    }

    /// Path of an instance's object.
    pub fn instance(&self, instance: &Instance) -> String {
        let interface = match instance.interface.as_str() {
            "" => self.no_interface.clone(),
            interface => element(interface),
        };
        format!("{}/Instance/{interface}/{}/{}", self.path, instance.vrid.get(), instance.family())
    }
}

/// A path has letters, digits and `_` only. keepalived spells interfaces so; a network namespace or an instance of another
/// spelling leaves it without any object (observed).
fn element(name: &str) -> String {
    let element: String = name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    if element.is_empty() { "_".to_owned() } else { element }
}

#[cfg(test)]
mod tests {
    use super::*;
    use evenkeel_vrrp::config::{GROUP_V6, Vrid};

    #[test]
    fn paths_are_those_of_keepalived() {
        let mut instance = Instance::new("VI_1", "v-0.5", Vrid::new(51).unwrap());
        for (namespace, daemon, path) in [
            (None, None, "/org/keepalived/Vrrp1/Instance/v_0_5/51/IPv4"),
            (Some("kdns"), None, "/org/keepalived/Vrrp1/kdns/Instance/v_0_5/51/IPv4"),
            (None, Some("inst1"), "/org/keepalived/Vrrp1/inst1/Instance/v_0_5/51/IPv4"),
            (Some("kd-ns"), Some("in.st"), "/org/keepalived/Vrrp1/kd_ns/in_st/Instance/v_0_5/51/IPv4"),
        ] {
            assert_eq!(Root::new(namespace, daemon, None).instance(&instance), path);
        }
        instance.group = GROUP_V6.into();
        let root = Root::new(None, None, None);
        assert_eq!(root.instance(&instance), "/org/keepalived/Vrrp1/Instance/v_0_5/51/IPv6");
        assert_eq!(root.daemon(), "/org/keepalived/Vrrp1/Vrrp");
        instance.interface.clear();
        assert_eq!(root.instance(&instance), "/org/keepalived/Vrrp1/Instance/none/51/IPv6");
        let root = Root::new(None, None, Some("no-if"));
        assert_eq!(root.instance(&instance), "/org/keepalived/Vrrp1/Instance/no_if/51/IPv6");
    }
}
