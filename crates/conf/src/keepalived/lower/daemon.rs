//! The daemon as processes: what stands outside every block and in global_defs about names, files, dumps and reloads.

use super::number::Garbage;
use super::{Drafts, GarpDraft, Lower};
use crate::keepalived::language::{Node, Word};
use crate::keepalived::process::{Defaults, Processes};
use evenkeel_vrrp::config::{GROUP_V4, GROUP_V6};
use std::path::PathBuf;
use std::time::Duration;

impl Lower {
    fn process(&mut self) -> &mut Processes {
        &mut self.settings.process
    }

    /// A path from the root on.
    fn absolute(&mut self, word: &Word) -> Option<PathBuf> {
        if word.text.starts_with('/') {
            return Some(PathBuf::from(&word.text));
        }
        self.refuse(word, format!("`{}` does not begin with /", word.text));
        None
    }
}

/// The first one is kept.
pub(in crate::keepalived) fn instance(lower: &mut Lower, node: &Node) {
    if lower.process().instance.is_some() {
        return lower.repeated(node);
    }
    let Some(word) = node.argument(1) else { return };
    if word.text.contains('/') {
        return lower.refuse(word, format!("`{}` cannot be part of a file's name", word.text));
    }
    lower.process().instance = Some(word.text.clone());
}

pub(in crate::keepalived) fn use_pid_dir(lower: &mut Lower, _: &Node) {
    lower.process().use_pid_dir = true;
}

pub(in crate::keepalived) fn child_wait_time(lower: &mut Lower, node: &Node) {
    let seconds = node.argument(1).and_then(|word| lower.integer(word, 0..=3600, Garbage::Tolerated));
    lower.process().child_wait = seconds.map(|seconds| Duration::from_secs(seconds.unsigned_abs()));
}

pub(in crate::keepalived) fn process_names(lower: &mut Lower, _: &Node) {
    lower.process().names.usual = true;
}

pub(in crate::keepalived) fn process_name(lower: &mut Lower, node: &Node) {
    let name = name(lower, node);
    lower.process().names.parent = name;
}

pub(in crate::keepalived) fn vrrp_process_name(lower: &mut Lower, node: &Node) {
    let name = name(lower, node);
    lower.process().names.vrrp = name;
}

pub(in crate::keepalived) fn checker_process_name(lower: &mut Lower, node: &Node) {
    let name = name(lower, node);
    lower.process().names.checker = name;
}

pub(in crate::keepalived) fn bfd_process_name(lower: &mut Lower, node: &Node) {
    let name = name(lower, node);
    lower.process().names.bfd = name;
}

pub(in crate::keepalived) fn lvs_process_name(lower: &mut Lower, node: &Node) {
    lower.formerly(node, "checker_process_name", "it means the same");
    checker_process_name(lower, node);
}

/// The kernel keeps fifteen bytes.
fn name(lower: &mut Lower, node: &Node) -> Option<String> {
    let word = node.argument(1)?;
    if word.text.len() > 15 {
        lower.refuse(word, format!("`{}` has more than 15 bytes", word.text));
        return None;
    }
    Some(word.text.clone())
}

pub(in crate::keepalived) fn startup_script(lower: &mut Lower, node: &Node) {
    let before = lower.process().startup.command.take();
    lower.process().startup.command = lower.command(node, before);
}

pub(in crate::keepalived) fn shutdown_script(lower: &mut Lower, node: &Node) {
    let before = lower.process().shutdown.command.take();
    lower.process().shutdown.command = lower.command(node, before);
}

pub(in crate::keepalived) fn startup_script_timeout(lower: &mut Lower, node: &Node) {
    lower.process().startup.timeout = hook_limit(lower, node);
}

pub(in crate::keepalived) fn shutdown_script_timeout(lower: &mut Lower, node: &Node) {
    lower.process().shutdown.timeout = hook_limit(lower, node);
}

fn hook_limit(lower: &mut Lower, node: &Node) -> Option<Duration> {
    let seconds = lower.integer(node.argument(1)?, 1..=1000, Garbage::Tolerated)?;
    Some(Duration::from_secs(seconds.unsigned_abs()))
}

pub(in crate::keepalived) fn use_symlink_paths(lower: &mut Lower, node: &Node) {
    if let Some(keep) = lower.boolean(node.argument(1)) {
        lower.process().use_symlink_paths = keep;
    }
}

pub(in crate::keepalived) fn set_supplementary_groups(lower: &mut Lower, node: &Node) {
    if let Some(set) = lower.boolean(node.argument(1)) {
        lower.process().supplementary_groups = set;
    }
}

/// A number in C's notation, or names of permissions with `|` between them.
pub(in crate::keepalived) fn umask(lower: &mut Lower, node: &Node) {
    let Some(word) = node.argument(1) else { return };
    match parse_umask(&word.text) {
        Some(mask) => lower.process().umask = Some(mask),
        None => lower.refuse(word, format!("`{}` is neither a mask nor names of permissions", word.text)),
    }
}

fn parse_umask(text: &str) -> Option<u32> {
    if text.starts_with(|c: char| c.is_ascii_digit()) {
        let mask = match (text.strip_prefix("0x"), text.strip_prefix('0')) {
            (Some(hex), _) => u32::from_str_radix(hex, 16),
            (None, Some(octal)) if !octal.is_empty() => u32::from_str_radix(octal, 8),
            (None, _) => text.parse(),
        };
        return mask.ok().filter(|mask| *mask <= 0o777);
    }
    text.split('|').try_fold(0, |mask, name| {
        let bits = match name.trim().trim_start_matches("S_") {
            "IRUSR" => 0o400,
            "IWUSR" => 0o200,
            "IXUSR" => 0o100,
            "IRWXU" => 0o700,
            "IRGRP" => 0o040,
            "IWGRP" => 0o020,
            "IXGRP" => 0o010,
            "IRWXG" => 0o070,
            "IROTH" => 0o004,
            "IWOTH" => 0o002,
            "IXOTH" => 0o001,
            "IRWXO" => 0o007,
            _ => return None,
        };
        Some(mask | bits)
    })
}

pub(in crate::keepalived) fn data_use_instance(lower: &mut Lower, node: &Node) {
    if let Some(on) = lower.boolean(node.argument(1)) {
        lower.process().dumps.use_instance = on;
    }
}

pub(in crate::keepalived) fn json_version(lower: &mut Lower, node: &Node) {
    let Some(version) = node.argument(1).and_then(|word| lower.integer(word, 1..=2, Garbage::Refused)) else { return };
    lower.process().dumps.json_version_2 = version == 2;
}

pub(in crate::keepalived) fn state_dump_file(lower: &mut Lower, node: &Node) {
    let Some(word) = node.argument(1) else { return };
    if lower.absolute(word).is_some() {
        lower.process().dumps.state_file = Some(word.text.clone());
    }
}

pub(in crate::keepalived) fn reload_time_file(lower: &mut Lower, node: &Node) {
    let path = node.argument(1).and_then(|word| lower.absolute(word));
    lower.process().reload.time_file = path;
}

pub(in crate::keepalived) fn reload_repeat(lower: &mut Lower, _: &Node) {
    lower.process().reload.repeat = true;
}

pub(in crate::keepalived) fn reload_file(lower: &mut Lower, node: &Node) {
    let path = match node.argument(1) {
        None => None,
        Some(word) => match lower.absolute(word) {
            Some(path) => Some(path),
            None => return,
        },
    };
    lower.process().reload.file = Some(path);
}

pub(in crate::keepalived) fn reload_check_config(lower: &mut Lower, node: &Node) {
    let log = node.argument(1).map(|word| PathBuf::from(&word.text));
    lower.process().reload.check = Some(log);
}

pub(in crate::keepalived) fn config_save_dir(lower: &mut Lower, node: &Node) {
    lower.process().reload.save_directory = node.argument(1).map(|word| PathBuf::from(&word.text));
}

pub(in crate::keepalived) fn tmp_config_directory(lower: &mut Lower, node: &Node) {
    lower.process().reload.tmp_directory = node.argument(1).map(|word| PathBuf::from(&word.text));
}

/// What global_defs says of every instance.
pub(super) fn defaults(drafts: &Drafts) -> Defaults {
    let globals = &drafts.globals;
    Defaults {
        version: globals.version,
        garp: GarpDraft::default().over(&globals.garp),
        down_adverts: globals.down_adverts.map(std::num::NonZeroU8::get),
        lower_prio_no_advert: globals.lower_prio_no_advert,
        higher_prio_send_advert: globals.higher_prio_send_advert,
        notify_priority_changes: globals.notify_priority_changes,
        check_unicast_source: globals.check_unicast_src,
        skip_check_adv_addr: globals.skip_check_adv_addr,
        group_v4: globals.group_v4.unwrap_or(GROUP_V4),
        group_v6: globals.group_v6.unwrap_or(GROUP_V6),
        interface: globals.interface.clone(),
        smtp_alert_checker: drafts.balance.mail(),
        strict: globals.strict.as_ref().is_some_and(|strict| strict.value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_umask_is_a_number_as_c_writes_it_or_names() {
        for (text, expected) in [
            ("0177", Some(0o177)),
            ("127", Some(127)),
            ("0x1f", Some(0x1f)),
            ("0", Some(0)),
            ("IXUSR|IRWXG|IRWXO", Some(0o177)),
            ("S_IWGRP|S_IWOTH", Some(0o022)),
            ("01000", None),
            ("IRWXX", None),
            ("", None),
        ] {
            assert_eq!(parse_umask(text), expected, "{text}");
        }
    }
}
