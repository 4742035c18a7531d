//! The program in the kernel: loaded, with its maps; attached to interfaces; and both kept over a restart of the process.
//!
//! With a directory for pins the maps and attachments outlive the process that made them: packets flow while the role is
//! down, and the next one adopts what it finds. Without one, everything goes with the last descriptor.
//!
//! ```text
//! PINS/maps-1-262144/flows ...        by version of the layouts and size of the tables
//! PINS/link-eth0-generic              one for each interface
//! ```

use super::map::Map;
use super::routes::Routes;
use super::{Attachment, Mode, Options};
use crate::Error;
use crate::error::During;
use aya::maps::{Map as Loaded, MapError};
use aya::programs::links::{FdLink, LinkError, PinnedLink};
use aya::programs::xdp::XdpLink;
use aya::programs::{ProgramError, Xdp, XdpMode};
use aya::{Ebpf, EbpfError, EbpfLoader};
use evenkeel_xdp::abi;
use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

/// What `statfs` says of a BPF file system.
const BPF_FS: u64 = 0xcafe_4a11;
const OPERATION: &str = "load the data plane";
const LOAD_ATTEMPTS: usize = 5;

/// The program's maps.
#[derive(Debug)]
pub(super) struct Maps {
    pub(super) settings: Map<u32, abi::Settings>,
    pub(super) services: Map<abi::ServiceKey, abi::Service>,
    pub(super) rings: Map<u32, u32>,
    pub(super) servers: Map<u32, abi::Server>,
    pub(super) loads: Map<u32, abi::Load>,
    pub(super) server_counts: Map<u32, abi::Counts>,
    pub(super) retired_counts: Map<u32, abi::Counts>,
    pub(super) flows: Map<abi::FlowKey, abi::Flow>,
    pub(super) replies: Map<abi::FlowKey, abi::Reply>,
    pub(super) clients: Map<abi::ClientKey, abi::Client>,
    pub(super) directors: Map<abi::MacKey, u32>,
    pub(super) events: Map<u32, u64>,
}

/// The loaded program.
#[derive(Debug)]
pub(super) struct Object {
    program: Ebpf,
    pins: Option<PathBuf>,
}

impl Object {
    /// Loads the program, adopting maps that an earlier run pinned.
    pub(super) fn load(options: &Options) -> Result<(Object, Maps), Error> {
        // Before Linux 5.11 maps counted as locked memory. Later this does nothing, and a refusal is no loss.
        let _ = rustix::process::setrlimit(
            rustix::process::Resource::Memlock,
            rustix::process::Rlimit { current: None, maximum: None },
        );
        let mut loader = EbpfLoader::new();
        for name in ["flows", "replies"] {
            loader.map_max_entries(name, options.flows);
        }
        let mut paths = Vec::new();
        if let Some(pins) = &options.pins {
            let directory = pins.join(format!("maps-{}-{}", abi::VERSION, options.flows));
            check_pins(pins)?;
            fs::create_dir_all(&directory).during(|| format!("make {}", directory.display()))?;
            paths.extend(NAMES.map(|name| (name, directory.join(name))));
        }
        for (name, path) in &paths {
            loader.map_pin_path(name, path.as_path());
        }
        let mut program = loader.load(evenkeel_xdp::object()).map_err(|error| Error::new(OPERATION, reason(error)))?;
        load(&mut program).during(|| OPERATION)?;
        let maps = maps(&mut program)?;
        let object = Object { program, pins: options.pins.clone() };
        Ok((object, maps))
    }

    /// Attaches the program to an interface, in place of the one that an earlier run left there.
    pub(super) fn attach(&mut self, routes: &mut Routes, name: &str, wanted: Mode) -> Result<Attachment, Error> {
        let interface = routes.interface(name)?;
        if let Some(mode) = self.replace(name)? {
            return Ok(Attachment { interface: name.to_owned(), index: interface.index, mode });
        }
        let modes: &[Mode] = match wanted {
            // A veth carries native mode, but loses what the program sends unless its other end is prepared for that.
            Mode::Automatic if routes.kind(name)?.as_deref() == Some("veth") => &[Mode::Generic],
            Mode::Automatic => &[Mode::Native, Mode::Generic],
            Mode::Native => &[Mode::Native],
            Mode::Generic => &[Mode::Generic],
        };
        let mut failure = io::Error::from(io::ErrorKind::Unsupported);
        for mode in modes {
            match self.attach_in(interface.index, name, *mode) {
                Ok(()) => return Ok(Attachment { interface: name.to_owned(), index: interface.index, mode: *mode }),
                Err(error) => failure = error,
            }
        }
        if failure.raw_os_error() == Some(libc::EBUSY) {
            failure = io::Error::other("another XDP program is there");
        }
        Err(Error::new(format!("attach the data plane to {name}"), failure))
    }

    fn attach_in(&mut self, index: u32, name: &str, mode: Mode) -> io::Result<()> {
        let flags = if mode == Mode::Native { XdpMode::Driver } else { XdpMode::Skb };
        let program = xdp(&mut self.program)?;
        let id = program.attach_to_if_index(index, flags).map_err(|error| reason(error.into()))?;
        let Some(pins) = &self.pins else { return Ok(()) };
        let link = program.take_link(id).map_err(|error| reason(error.into()))?;
        let link = FdLink::try_from(link).map_err(link_reason)?;
        let path = pins.join(format!("link-{name}-{}", mode.name()));
        link.pin(path).map(drop).map_err(io::Error::other)
    }

    /// Puts the program into the place of the one behind a pinned link; packets are handled by one or the other.
    fn replace(&mut self, name: &str) -> Result<Option<Mode>, Error> {
        let Some(pins) = &self.pins else { return Ok(None) };
        for mode in [Mode::Native, Mode::Generic] {
            let path = pins.join(format!("link-{name}-{}", mode.name()));
            if !path.exists() {
                continue;
            }
            let link = PinnedLink::from_pin(&path).map_err(link_reason).and_then(|pinned| {
                // The descriptor is taken while the pin stays: only removing the file unpins.
                let link = FdLink::from(pinned);
                XdpLink::try_from(link).map_err(link_reason)
            });
            let replaced = link.and_then(|link| {
                xdp(&mut self.program)?.attach_to_link(link).map(drop).map_err(|error| reason(error.into()))
            });
            match replaced {
                Ok(()) => return Ok(Some(mode)),
                // The interface that it was for is gone, and another of that name is here.
                Err(_) => fs::remove_file(&path).during(|| format!("remove {}", path.display()))?,
            }
        }
        Ok(None)
    }

    /// Takes the program off an interface, for good.
    pub(super) fn detach(&mut self, attachment: &Attachment) -> Result<(), Error> {
        let Some(pins) = &self.pins else { return Ok(()) };
        let path = pins.join(format!("link-{}-{}", attachment.interface, attachment.mode.name()));
        // The link ends with its last descriptor, and ours go with the program.
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(Error::new(format!("remove {}", path.display()), error))
            }
            _ => Ok(()),
        }
    }

    /// Removes the pins of the maps: the next run begins with empty ones.
    pub(super) fn forget(&self) -> Result<(), Error> {
        let Some(pins) = &self.pins else { return Ok(()) };
        for entry in fs::read_dir(pins).during(|| format!("list {}", pins.display()))? {
            let path = entry.during(|| format!("list {}", pins.display()))?.path();
            if path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("maps-")) {
                fs::remove_dir_all(&path).during(|| format!("remove {}", path.display()))?;
            }
        }
        Ok(())
    }

    /// Detaches pinned links of interfaces that are not among these, and removes maps of other layouts.
    pub(super) fn clean(&self, options: &Options) -> Result<(), Error> {
        let Some(pins) = &self.pins else { return Ok(()) };
        let current = format!("maps-{}-{}", abi::VERSION, options.flows);
        let wanted = |name: &str| {
            let mut interfaces = options.interfaces.iter();
            name == current
                || interfaces.any(|interface| {
                    name.strip_prefix("link-")
                        .and_then(|rest| rest.rsplit_once('-'))
                        .is_some_and(|(i, _)| i == interface)
                })
        };
        for entry in fs::read_dir(pins).during(|| format!("list {}", pins.display()))? {
            let path = entry.during(|| format!("list {}", pins.display()))?.path();
            let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            let removed = match name.split('-').next() {
                Some("maps") if !wanted(&name) => fs::remove_dir_all(&path),
                Some("link") if !wanted(&name) => fs::remove_file(&path),
                _ => Ok(()),
            };
            removed.during(|| format!("remove {}", path.display()))?;
        }
        Ok(())
    }

    /// The program itself, for test runs.
    pub(super) fn xdp(&self) -> Result<&Xdp, Error> {
        let program = self.program.program(evenkeel_xdp::PROGRAM);
        let program = program.and_then(|program| <&Xdp>::try_from(program).ok());
        program.ok_or_else(|| Error::new("find the data plane", io::Error::from(io::ErrorKind::NotFound)))
    }
}

/// Has the program verified. A signal in the middle of it makes the kernel say `try again`, and that is done.
fn load(program: &mut Ebpf) -> io::Result<()> {
    for _ in 1..LOAD_ATTEMPTS {
        match xdp(program)?.load() {
            Err(ProgramError::LoadError { io_error, .. }) if io_error.kind() == io::ErrorKind::WouldBlock => {}
            outcome => return outcome.map_err(|error| reason(error.into())),
        }
    }
    xdp(program)?.load().map_err(|error| reason(error.into()))
}

/// Mounts a BPF file system at `directory` unless one is there. Takes `CAP_SYS_ADMIN`, which the plane itself does without.
pub fn prepare_pins(directory: &Path) -> Result<(), Error> {
    fs::create_dir_all(directory).during(|| format!("make {}", directory.display()))?;
    if is_bpf_fs(directory) {
        return Ok(());
    }
    rustix::mount::mount("bpf", directory, "bpf", rustix::mount::MountFlags::empty(), None)
        .during(|| format!("mount a BPF file system at {}", directory.display()))
}

fn is_bpf_fs(directory: &Path) -> bool {
    rustix::fs::statfs(directory).is_ok_and(|found| found.f_type as u64 & 0xffff_ffff == BPF_FS)
}

fn check_pins(directory: &Path) -> Result<(), Error> {
    let existing = directory.ancestors().find(|ancestor| ancestor.exists()).unwrap_or(directory);
    if is_bpf_fs(existing) {
        return Ok(());
    }
    let cause = io::Error::new(io::ErrorKind::Unsupported, "it is not in a BPF file system");
    Err(Error::new(format!("pin the data plane in {}", directory.display()), cause))
}

fn xdp(program: &mut Ebpf) -> io::Result<&mut Xdp> {
    let program = program.program_mut(evenkeel_xdp::PROGRAM);
    let program = program.and_then(|program| <&mut Xdp>::try_from(program).ok());
    program.ok_or_else(|| io::Error::other("the object has no such program"))
}

/// Maps that are kept over a restart; the others hold nothing that lasts.
const NAMES: [&str; 13] = [
    "settings",
    "services",
    "rings",
    "servers",
    "loads",
    "server_counts",
    "retired_counts",
    "flows",
    "replies",
    "clients",
    "fragments",
    "directors",
    "events",
];

fn maps(program: &mut Ebpf) -> Result<Maps, Error> {
    let mut fd = |name: &str| -> Result<OwnedFd, Error> {
        let data = match program.take_map(name) {
            Some(
                Loaded::Array(data)
                | Loaded::HashMap(data)
                | Loaded::LruHashMap(data)
                | Loaded::PerCpuArray(data)
                | Loaded::PerCpuHashMap(data)
                | Loaded::HashOfMaps(data),
            ) => data,
            _ => return Err(Error::new(OPERATION, io::Error::other(format!("the object has no map {name}")))),
        };
        data.fd().as_fd().try_clone_to_owned().during(|| OPERATION)
    };
    Ok(Maps {
        settings: Map::new(fd("settings")?),
        services: Map::new(fd("services")?),
        rings: Map::new(fd("rings")?),
        servers: Map::new(fd("servers")?),
        loads: Map::new(fd("loads")?),
        server_counts: Map::new(fd("server_counts")?),
        retired_counts: Map::new(fd("retired_counts")?),
        flows: Map::new(fd("flows")?),
        replies: Map::new(fd("replies")?),
        clients: Map::new(fd("clients")?),
        directors: Map::new(fd("directors")?),
        events: Map::new(fd("events")?),
    })
}

/// The system's error within the library's, with what to do about the one that operators meet.
fn reason(error: EbpfError) -> io::Error {
    let cause = match error {
        EbpfError::MapError(error) => map_reason(error),
        EbpfError::ProgramError(ProgramError::LoadError { io_error, verifier_log }) => {
            let log = verifier_log.to_string();
            match io_error.kind() {
                io::ErrorKind::PermissionDenied if log.is_empty() => io_error,
                kind => io::Error::new(kind, format!("{io_error}; the verifier says: {}", end_of(&log))),
            }
        }
        EbpfError::ProgramError(ProgramError::SyscallError(error)) => error.io_error,
        EbpfError::ProgramError(ProgramError::MapError(error)) => map_reason(error),
        error => io::Error::other(chain(&error)),
    };
    // Without CAP_PERFMON it is the verifier that refuses, and it says so in another number and without words.
    if matches!(cause.raw_os_error(), Some(libc::EPERM | libc::EACCES)) {
        let needs = "operation not permitted (needs CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON)";
        return io::Error::new(io::ErrorKind::PermissionDenied, needs);
    }
    cause
}

fn map_reason(error: MapError) -> io::Error {
    match error {
        MapError::CreateError { io_error, .. } => io_error,
        MapError::IoError(error) => error,
        MapError::SyscallError(error) => error.io_error,
        error => io::Error::other(chain(&error)),
    }
}

fn link_reason(error: LinkError) -> io::Error {
    match error {
        LinkError::SyscallError(error) => error.io_error,
        error => io::Error::other(error.to_string()),
    }
}

/// An error with all its causes, as the library's texts alone say little.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text = format!("{text}: {cause}");
        next = cause.source();
    }
    text
}

/// The verifier says why in its last lines.
fn end_of(log: &str) -> String {
    let lines: Vec<&str> = log.lines().collect();
    lines[lines.len().saturating_sub(4)..].join("; ")
}
