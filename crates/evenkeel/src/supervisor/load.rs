//! Both configurations from their files: compiled whole, or refused with every reason.

use super::plan::Plan;
use super::trust;
use evenkeel_bus::Kept;
use evenkeel_conf::keepalived::{self, Settings};
use evenkeel_conf::{Diagnostic, DiskFiles, Severity, SourceMap, nginx, render};
use evenkeel_site::config::ErrorLogTarget;
use serde::Serialize;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};

/// What is to run.
#[derive(Debug, Default)]
pub struct Compiled {
    /// What keepalived.conf says to the supervisor.
    pub settings: Settings,
    /// What it says to the virtual routers.
    pub vrrp: evenkeel_vrrp::Config,
    /// Its BFD sessions.
    pub bfd: evenkeel_bfd::Config,
    /// What it says to the balancer.
    pub balance: evenkeel_balance::Config,
    /// The other nodes.
    pub peer: evenkeel_peer::Config,
    /// At most so long is it as a message.
    pub balance_length: usize,
    /// The proxy's sites, when there is a proxy.
    pub site: Option<evenkeel_site::Config>,
    /// Every file that was read.
    pub files: Vec<String>,
    /// What keepalived.conf and all that it includes are made of, when `config_save_dir` wants a copy.
    pub text: String,
    /// Remarks about what is valid but odd, rendered.
    pub remarks: Vec<String>,
}

/// Why nothing is to run.
#[derive(Debug)]
pub struct Refused {
    /// Every diagnostic, rendered.
    pub diagnostics: Vec<String>,
    /// A file that was named is not there, or there was nothing in it to do.
    pub is_missing: bool,
}

/// Loads what `plan` names.
pub fn compile(plan: &Plan) -> Result<Compiled, Refused> {
    let mut compiled = Compiled::default();
    let mut refused = Refused { diagnostics: Vec::new(), is_missing: false };
    let mut has_errors = false;
    if let Some(path) = &plan.keepalived {
        let mut loaded = load_keepalived(path, plan.config_id.as_deref(), plan.all_checks);
        has_errors |= loaded.has_errors();
        refused.is_missing |= !path.exists();
        refused.diagnostics.extend(render_all(&loaded.diagnostics, &loaded.sources));
        compiled.files.extend(loaded.sources.paths().map(|path| path.display().to_string()));
        if loaded.settings.process.reload.save_directory.is_some() {
            compiled.text = loaded.sources.concatenated();
        }
        compiled.settings = std::mem::take(&mut loaded.settings);
        compiled.vrrp = std::mem::take(&mut loaded.vrrp);
        compiled.bfd = std::mem::take(&mut loaded.bfd);
        compiled.balance = std::mem::take(&mut loaded.balance);
        compiled.peer = std::mem::take(&mut loaded.peer);
        throw_away(loaded);
    }
    if let Some(path) = plan.nginx.clone().or_else(|| compiled.settings.nginx_conf.clone()) {
        let loaded = load_nginx(&path, &plan.nginx_options, nginx::Shape::Whole);
        has_errors |= loaded.has_errors();
        refused.is_missing |= !path.exists();
        refused.diagnostics.extend(match plan.nginx_style {
            true => loaded.diagnostics.iter().map(|d| nginx_line(d, &loaded.sources)).collect(),
            false => render_all(&loaded.diagnostics, &loaded.sources),
        });
        compiled.files.extend(loaded.sources.paths().map(|path| path.display().to_string()));
        compiled.site = Some(loaded.site);
    }
    if has_errors {
        return Err(refused);
    }
    compiled.remarks = refused.diagnostics;
    trust::enforce(&mut compiled);
    Ok(compiled)
}

/// Frees something beside everything else: what ten thousand virtual servers were made of is a million pieces, and nobody
/// should wait until they are gone.
pub(super) fn throw_away<T: Send + 'static>(what: T) {
    // Where no thread can be had it is freed here, with the closure.
    let _ = std::thread::Builder::new().name("throw-away".to_owned()).spawn(move || drop(what));
}

/// What is wrong with the scripts of a configuration, and whether they run while nothing keeps others' from running as root.
pub fn judge_scripts(loaded: &keepalived::Loaded) -> (Vec<String>, bool) {
    let mut compiled = Compiled {
        settings: loaded.settings.clone(),
        vrrp: loaded.vrrp.clone(),
        balance: loaded.balance.clone(),
        ..Compiled::default()
    };
    trust::enforce(&mut compiled);
    let is_lax = trust::is_lax(&compiled);
    (compiled.remarks, is_lax)
}

/// Why what was compiled cannot be handed to its roles, if it cannot: better said before anything is started or replaced.
/// Pools that were measured `before` are not measured again.
pub fn too_large(compiled: &mut Compiled, before: Option<&Compiled>) -> Option<String> {
    // Beside the configuration there are paths of logs and a few options.
    const REST: usize = 1 << 16;
    let most = evenkeel_bus::MAX_FRAME - REST;
    compiled.balance_length = match before {
        Some(before) => {
            let pools = Kept::between(&compiled.balance, &before.balance).rest(&compiled.balance.pools);
            before.balance_length.saturating_add(length(&pools))
        }
        None => usize::MAX,
    };
    if compiled.balance_length > most {
        // Not known, or more than it is, for what left was never taken off.
        compiled.balance_length = length(&compiled.balance);
    }
    let longest = compiled.balance_length.max(length(&compiled.vrrp)).max(length(&compiled.site));
    (longest > most).then(|| format!("the configuration is too large: {longest} bytes when compiled, {most} at most"))
}

/// Of what `value` is as JSON.
fn length(value: &impl Serialize) -> usize {
    struct Count(usize);
    impl std::io::Write for Count {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0 += bytes.len();
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let mut count = Count(0);
    serde_json::to_writer(&mut count, value).map_or(0, |()| count.0)
}

/// One keepalived.conf.
pub fn load_keepalived(path: &Path, config_id: Option<&str>, all_checks: bool) -> keepalived::Loaded {
    let host = host_name();
    let short = host.split('.').next().unwrap_or_default();
    let options = keepalived::Options {
        config_id: Some(config_id.unwrap_or(short)),
        env: &|name| std::env::var(name).ok(),
        all_checks,
        seed: super::seed(),
    };
    keepalived::load(&DiskFiles, path, &options)
}

/// One nginx.conf, or a part of one.
pub fn load_nginx(path: &Path, options: &NginxOptions, shape: nginx::Shape) -> nginx::Loaded {
    let NginxOptions { prefix, globals, error_log } = options.clone();
    let options = nginx::Options { prefix, globals, error_log, resolve: &resolve, shape };
    nginx::load(&DiskFiles, path, &options)
}

/// What nginx's command line adds to its file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NginxOptions {
    /// `-p`: relative paths are relative to it.
    pub prefix: PathBuf,
    /// `-g`: directives of the main level.
    pub globals: Option<String>,
    /// `-e`: where errors go when the file does not say.
    pub error_log: Option<ErrorLogTarget>,
}

impl Default for NginxOptions {
    fn default() -> Self {
        NginxOptions { prefix: PathBuf::from("/usr/share/nginx"), globals: None, error_log: None }
    }
}

fn resolve(name: &str, port: u16) -> Vec<SocketAddr> {
    let mut addresses: Vec<_> = (name, port).to_socket_addrs().into_iter().flatten().collect();
    addresses.dedup();
    addresses
}

/// Each diagnostic in our own form.
pub fn render_all(diagnostics: &[Diagnostic], sources: &SourceMap) -> Vec<String> {
    diagnostics.iter().map(|diagnostic| render(diagnostic, sources, Some("evenkeel"))).collect()
}

/// `[emerg] unknown directive "servr" in /etc/nginx/nginx.conf:2`, as nginx writes it.
pub fn nginx_line(diagnostic: &Diagnostic, sources: &SourceMap) -> String {
    let level = match diagnostic.severity {
        Severity::Error => "emerg",
        Severity::Warning => "warn",
        Severity::Note => "notice",
    };
    match diagnostic.span {
        Some(span) => {
            format!("[{level}] {} in {}:{}", diagnostic.message, sources.path(span.file).display(), span.line)
        }
        None => format!("[{level}] {}", diagnostic.message),
    }
}

/// This machine's name.
pub fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}
