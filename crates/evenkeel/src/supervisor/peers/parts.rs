//! Digests of those parts of a configuration that should be the same on nodes which stand in for each other. What is a node's
//! own is left out: its addresses as a client, its interfaces, its programs' users and files, where it logs.
//!
//! Virtual routers are no part: peers compare them one by one, and can say what differs.

use crate::supervisor::load::Compiled;
use evenkeel_balance::config::Script;
use evenkeel_peer::packet::Digest;
use serde_json::{Value, json};

/// Each part that is configured, by the name that people read.
pub(super) fn of(compiled: &Compiled) -> Vec<(String, [u8; 16])> {
    let mut parts = Vec::new();
    let mut add = |name: &str, value: &Value| {
        // Maps are written in the order of their keys.
        parts.push((name.to_owned(), Digest::of(value.to_string().as_bytes()).0));
    };
    let mut groups = groups(compiled);
    if !groups.is_empty() {
        groups.sort_unstable();
        add("sync groups", &json!(groups));
    }
    if !compiled.balance.pools.is_empty() {
        add("virtual servers", &pools(compiled));
    }
    if let Some(site) = &compiled.site {
        add("the proxy", &self::site(site));
    }
    parts
}

/// The virtual routers that go together, by number and family, whatever their names.
fn groups(compiled: &Compiled) -> Vec<Vec<String>> {
    let instances = &compiled.vrrp.instances;
    let group = |group: &evenkeel_vrrp::config::Group| {
        let members = group.members.iter().filter_map(|id| instances.get(id.0 as usize));
        let mut members: Vec<_> =
            members.map(|instance| format!("{} {:?}", instance.vrid.get(), instance.family())).collect();
        members.sort_unstable();
        members
    };
    compiled.vrrp.groups.iter().map(group).collect()
}

fn pools(compiled: &Compiled) -> Value {
    const OWN: &[&str] = &[
        "source",
        "source_port",
        "interface",
        "notify_up",
        "notify_down",
        "quorum_up",
        "quorum_down",
        "mail",
        "label",
    ];
    let mut pools: Vec<Value> = compiled.balance.pools.iter().map(|pool| json!(pool)).collect();
    for pool in &mut pools {
        strip(pool, OWN);
        name_scripts(pool, &compiled.balance.scripts);
    }
    pools.sort_by_cached_key(|pool| pool["name"].to_string());
    Value::Array(pools)
}

/// The number of a script depends on what other scripts there are: what counts is what runs.
fn name_scripts(value: &mut Value, scripts: &[Script]) {
    match value {
        Value::Object(fields) => {
            for (key, field) in fields {
                let script =
                    field.as_u64().filter(|_| key == "script").and_then(|id| scripts.get(usize::try_from(id).ok()?));
                match script {
                    Some(script) => *field = json!(script.argv),
                    None => name_scripts(field, scripts),
                }
            }
        }
        Value::Array(values) => values.iter_mut().for_each(|value| name_scripts(value, scripts)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Servers and upstreams, and the ports of the sockets: nodes listen at addresses of their own.
fn site(site: &evenkeel_site::Config) -> Value {
    use evenkeel_site::config::ListenAddress;
    let listens = site.listens.iter().map(|listen| match &listen.address {
        ListenAddress::Tcp(address) => json!({ "port": address.port(), "servers": listen.servers }),
        ListenAddress::Unix(_) => json!({ "servers": listen.servers }),
    });
    let mut value = json!({
        "servers": site.servers,
        "upstreams": site.upstreams,
        "listens": listens.collect::<Vec<_>>(),
    });
    strip(&mut value, &["access_logs", "error_log"]);
    value
}

/// Takes fields of these names out, wherever they are.
fn strip(value: &mut Value, names: &[&str]) {
    match value {
        Value::Object(fields) => {
            fields.retain(|name, _| !names.contains(&name.as_str()));
            fields.values_mut().for_each(|value| strip(value, names));
        }
        Value::Array(values) => values.iter_mut().for_each(|value| strip(value, names)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use evenkeel_conf::{MemoryFiles, keepalived, nginx};
    use std::path::{Path, PathBuf};

    fn compiled(text: &str, site: Option<&str>) -> Compiled {
        let path = PathBuf::from("/k.conf");
        // A file that says nothing at all is an error.
        let text = format!("global_defs {{\nrouter_id here\n}}\n{text}");
        let files = MemoryFiles([(path.clone(), text.into_bytes())].into());
        let options = keepalived::Options { config_id: None, env: &|_| None, all_checks: false, seed: 1 };
        let loaded = keepalived::load(&files, &path, &options);
        assert!(!loaded.has_errors(), "{:?}", loaded.diagnostics);
        let site = site.map(|text| {
            let files = MemoryFiles([(PathBuf::from("/n.conf"), text.as_bytes().to_vec())].into());
            let options = nginx::Options {
                prefix: PathBuf::from("/"),
                globals: None,
                error_log: None,
                resolve: &|_, _| Vec::new(),
                shape: nginx::Shape::Whole,
            };
            nginx::load(&files, Path::new("/n.conf"), &options).site
        });
        Compiled { vrrp: loaded.vrrp, balance: loaded.balance, site, ..Compiled::default() }
    }

    fn pool(port: u16, weight: u32, check: &str) -> String {
        format!(
            "virtual_server 10.0.0.100 {port} {{\nlb_algo rr\nlb_kind DR\nprotocol TCP\nreal_server 10.0.0.51 {port} {{\nweight {weight}\n{check}\n}}\n}}\n"
        )
    }

    fn misc(program: &str) -> String {
        format!("MISC_CHECK {{\nmisc_path \"{program}\"\n}}")
    }

    #[track_caller]
    fn check(one: &Compiled, other: &Compiled, same: bool) {
        assert_eq!(of(one) == of(other), same, "{:?}\n{:?}", one.balance.pools, other.balance.pools);
    }

    #[test]
    fn virtual_servers_are_compared_by_what_clients_notice() {
        let tcp = |source: &str| format!("TCP_CHECK {{\nconnect_timeout 1\n{source}\n}}");
        let here = compiled(&(pool(80, 1, &tcp("bindto 10.0.0.10")) + &pool(81, 1, &misc("/bin/one"))), None);
        let there = compiled(&(pool(81, 1, &misc("/bin/one")) + &pool(80, 1, &tcp("bindto 10.0.0.11"))), None);
        check(&here, &there, true);
        assert_eq!(of(&here).iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["virtual servers"]);
        let heavier = compiled(&(pool(81, 1, &misc("/bin/one")) + &pool(80, 2, &tcp(""))), None);
        check(&here, &heavier, false);
        let other_program = compiled(&(pool(80, 1, &tcp("")) + &pool(81, 1, &misc("/bin/two"))), None);
        check(&here, &other_program, false);
        check(&here, &compiled("", None), false);
    }

    #[test]
    fn the_number_of_a_script_does_not_matter_and_what_it_runs_does() {
        let quorum =
            |words: &str| pool(80, 1, &misc("/bin/one")).replace("lb_algo rr", &format!("lb_algo rr\n{words}"));
        let alone = compiled(&quorum(""), None);
        let after_another = compiled(&quorum("quorum_up \"/bin/tell me\""), None);
        check(&alone, &after_another, true);
    }

    #[test]
    fn sync_groups_are_compared_by_numbers() {
        let instance = |name: &str, vrid: u8| {
            format!(
                "vrrp_instance {name} {{\ninterface eth0\nvirtual_router_id {vrid}\nvirtual_ipaddress {{\n10.0.0.{vrid}\n}}\n}}\n"
            )
        };
        let group = |names: [&str; 2]| format!("vrrp_sync_group G {{\ngroup {{\n{}\n{}\n}}\n}}\n", names[0], names[1]);
        let both = instance("A", 1) + &instance("B", 2);
        let renamed = instance("Y", 2) + &instance("X", 1);
        check(
            &compiled(&(both.clone() + &group(["A", "B"])), None),
            &compiled(&(renamed + &group(["Y", "X"])), None),
            true,
        );
        check(&compiled(&(both.clone() + &group(["A", "B"])), None), &compiled(&both, None), false);
    }

    #[test]
    fn the_proxy_is_compared_without_what_is_a_nodes_own() {
        let site = |listen: &str, server: &str| {
            format!(
                "http {{\nupstream u {{\nserver {server};\n}}\naccess_log /var/log/{listen}.log;\nserver {{\nlisten {listen};\nlocation / {{\nproxy_pass http://u;\n}}\n}}\n}}\nevents {{}}\n"
            )
        };
        let here = compiled("", Some(&site("10.0.0.10:80", "10.0.0.51:80")));
        check(&here, &compiled("", Some(&site("10.0.0.11:80", "10.0.0.51:80"))), true);
        check(&here, &compiled("", Some(&site("10.0.0.10:81", "10.0.0.51:80"))), false);
        check(&here, &compiled("", Some(&site("10.0.0.10:80", "10.0.0.52:80"))), false);
    }
}
