//! Carries a command line out.

use super::Failure;
use super::command_line::{Command, CommandLine};
use crate::render::connections::{Engines, connections};
use crate::render::table::{self, Listed, Names, Style, View};
use evenkeel_balance::table::ServiceKey;
use evenkeel_kernel::Error;
use evenkeel_kernel::ipvs::Ipvs;
use rustix::io::Errno;
use std::io;

/// What `-L` prints.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listing {
    /// Services and their destinations.
    Services {
        /// This one alone.
        only: Option<ServiceKey>,
        /// What is shown of each.
        view: View,
        /// Large numbers in full.
        exact: bool,
        /// Numbers instead of names.
        numeric: bool,
        /// Sorted, or in the kernel's order.
        sorted: bool,
    },
    /// Connections.
    Connections {
        /// Numbers instead of names.
        numeric: bool,
        /// Data of persistence engines.
        engines: Engines,
    },
    /// How long connections are remembered.
    Timeouts,
    /// Sync daemons.
    SyncDaemons,
}

/// IPVS, or what is to be said where there is none.
pub fn open() -> Result<Ipvs, String> {
    let opened = Ipvs::open().and_then(|mut ipvs| ipvs.info().map(|_| ipvs));
    opened.map_err(|error| {
        let why = match error.kind() {
            io::ErrorKind::PermissionDenied => "Permission denied (you must be root)".to_owned(),
            io::ErrorKind::NotFound => "Protocol not available".to_owned(),
            _ => error.to_string(),
        };
        format!(
            "Can't initialize ipvs: {why}\nAre you sure that IP Virtual Server is built in the kernel or as module?"
        )
    })
}

/// Carries it out; the text for standard output.
pub fn out(ipvs: &mut Ipvs, line: &CommandLine) -> Result<String, Failure> {
    let done = |result: Result<(), Error>, absent: &str, missing: &str, exists: &str| match result {
        Ok(()) => Ok(String::new()),
        Err(error) => Err(Failure::Refused(said(&error, absent, missing, exists), 255)),
    };
    let no_scheduler = "Scheduler or persistence engine not found";
    let no_server = "No such destination";
    match &line.command {
        Command::AddService(record) => {
            done(ipvs.add_service(record), "No such service", no_scheduler, "Service already exists")
        }
        Command::EditService(record) => done(ipvs.edit_service(record), "No such service", no_scheduler, ""),
        Command::DeleteService(key) => done(ipvs.remove_service(key), "No such service", "", ""),
        Command::Clear => done(ipvs.flush(), "", "", ""),
        Command::AddServer(key, server, destination) => {
            let result = ipvs.add_destination(key, server, destination);
            done(result, "Service not defined", no_server, "Destination already exists")
        }
        Command::EditServer(key, server, destination) => {
            done(ipvs.edit_destination(key, server, destination), "Service not defined", no_server, "")
        }
        Command::DeleteServer(key, server) => {
            done(ipvs.remove_destination(key, server), "Service not defined", no_server, "")
        }
        Command::Zero(key) => done(ipvs.zero(key.as_ref()), "No such service", "", ""),
        Command::SetTimeouts(timeouts) => done(ipvs.set_timeouts(timeouts), "", "", ""),
        Command::StartDaemon(daemon) => done(ipvs.start_sync_daemon(daemon), "", "", "Daemon has already run"),
        Command::StopDaemon(state) => done(ipvs.stop_sync_daemon(*state), "No daemon is running", "", ""),
        Command::Save { numeric } => save(ipvs, *numeric).map_err(|error| refused_list(&error)),
        Command::List(listing) => list(ipvs, listing).map_err(|error| refused_list(&error)),
        Command::Help(text) => Ok(text.clone()),
        // Its caller reads the commands and carries them out one by one.
        Command::Restore => Ok(String::new()),
    }
}

/// A list as text.
pub fn list(ipvs: &mut Ipvs, listing: &Listing) -> Result<String, Error> {
    match listing {
        Listing::Timeouts => Ok(table::timeouts(&ipvs.timeouts()?)),
        Listing::SyncDaemons => Ok(table::sync_daemons(&ipvs.sync_daemons()?)),
        Listing::Connections { numeric, engines } => {
            let path = "/proc/net/ip_vs_conn";
            let kernel = std::fs::read_to_string(path).map_err(|error| Error::new(format!("read {path}"), error))?;
            Ok(connections(&kernel, &names(*numeric), *engines))
        }
        Listing::Services { only, view, exact, numeric, sorted } => {
            let mut listed = Vec::new();
            let mut text = String::new();
            match only {
                Some(key) => listed.push((ipvs.service(key)?, ipvs.destinations(key)?)),
                None => {
                    text += &table::version(&ipvs.info()?);
                    listed = all(ipvs)?;
                }
            }
            if *sorted {
                table::sort(&mut listed);
            }
            text += &table::header(*view);
            let style = Style { view: *view, exact: *exact, names: &names(*numeric) };
            text.extend(listed.iter().map(|listed| table::service(listed, &style)));
            Ok(text)
        }
    }
}

fn save(ipvs: &mut Ipvs, numeric: bool) -> Result<String, Error> {
    let mut listed = all(ipvs)?;
    table::sort(&mut listed);
    let names = names(numeric);
    Ok(listed.iter().map(|listed| table::saved(listed, &names)).collect())
}

fn all(ipvs: &mut Ipvs) -> Result<Vec<Listed>, Error> {
    let mut listed = Vec::new();
    for record in ipvs.services()? {
        let destinations = ipvs.destinations(&record.key)?;
        listed.push((record, destinations));
    }
    Ok(listed)
}

fn names(numeric: bool) -> Names {
    if numeric { Names::Numeric } else { Names::of_system() }
}

fn refused_list(error: &Error) -> Failure {
    Failure::Refused(said(error, "No such service", "No such service", ""), 1)
}

/// The program's words for the kernel's refusal; those for `ESRCH`, `ENOENT` and `EEXIST` depend on the command.
fn said(error: &Error, absent: &str, missing: &str, exists: &str) -> String {
    let errno = error.cause().raw_os_error().map(Errno::from_raw_os_error);
    let words = match errno {
        Some(Errno::SRCH) => absent,
        Some(Errno::NOENT) => missing,
        Some(Errno::EXIST) => exists,
        Some(Errno::PERM) => "Permission denied (you must be root)",
        Some(Errno::INVAL) => "Invalid operation.  Possibly wrong module version, address not unicast, ...",
        Some(Errno::NOPROTOOPT) => "Protocol not available",
        Some(Errno::NOMEM) => "Memory allocation problem",
        Some(Errno::OPNOTSUPP) => "Operation not supported with IPv6",
        Some(Errno::AFNOSUPPORT) => "Operation not supported with specified address family",
        Some(Errno::MSGSIZE) => "Module is wrong version",
        _ => "",
    };
    if !words.is_empty() {
        return words.to_owned();
    }
    let text = error.cause().to_string();
    text.split(" (").next().unwrap_or(&text).to_owned()
}
