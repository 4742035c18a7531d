//! IPVS as a [`Plane`]: what it holds as a table, and changes sent many at a time.

use super::numbers::command;
use super::{Ipvs, ServiceRecord, destination, destination_operation, service, service_name};
use crate::Error;
use crate::netlink::message::Message;
use crate::netlink::socket::Refusal;
use evenkeel_balance::table::{Change, DestinationKey, Entry, Plane, ServiceKey, ServiceStatistics, Statistics, Table};
use rustix::io::Errno;
use std::collections::HashSet;
use std::io;

impl Plane for Ipvs {
    type Error = Error;

    /// Services whose scheduler has no name in our table are left out: nobody configured them here.
    fn dump(&mut self) -> Result<Table, Error> {
        let mut table = Table::new();
        for record in self.services()? {
            let Some(service) = record.service() else {
                continue;
            };
            let destinations = self.destinations(&record.key)?;
            let destinations = destinations.into_iter().map(|record| (record.key, record.destination)).collect();
            table.insert(record.key, Entry { service, destinations });
        }
        Ok(table)
    }

    /// Adding what is there changes it into what was asked for, and changing what is not there adds it.
    fn apply(&mut self, changes: &[Change]) -> Vec<(usize, Error)> {
        let mut failures = Vec::new();
        let mut start = 0;
        for batch in batches(changes) {
            self.apply_batch(batch, start, &mut failures);
            start += batch.len();
        }
        failures
    }

    fn statistics(&mut self) -> Result<Statistics, Error> {
        let mut statistics = Statistics::new();
        for record in self.services()? {
            let destinations = self.destinations(&record.key)?;
            let destinations = destinations.into_iter().map(|record| (record.key, record.statistics)).collect();
            statistics.insert(record.key, ServiceStatistics { traffic: record.traffic, destinations });
        }
        Ok(statistics)
    }
}

impl Ipvs {
    fn apply_batch(&mut self, batch: &[Change], start: usize, failures: &mut Vec<(usize, Error)>) {
        let orders: Vec<Message> = batch.iter().map(|change| self.order(change, Attempt::First)).collect();
        let mut again = Vec::new();
        for ((index, change), answer) in batch.iter().enumerate().zip(self.send(&orders)) {
            match answer {
                Err(refusal) if is_done(change, refusal.errno) => {}
                Err(refusal) if is_the_other(change, refusal.errno) => again.push(index),
                Err(refusal) => failures.push((start + index, refused(change, refusal))),
                Ok(()) => {}
            }
        }
        let orders: Vec<Message> = again.iter().map(|&index| self.order(&batch[index], Attempt::Second)).collect();
        for (index, answer) in again.into_iter().zip(self.send(&orders)) {
            if let Err(refusal) = answer {
                failures.push((start + index, refused(&batch[index], refusal)));
            }
        }
        failures.sort_by_key(|(index, _)| *index);
    }

    /// The kernel's answer to each. When the socket itself fails, nothing is known about any of them.
    fn send(&mut self, orders: &[Message]) -> Vec<Result<(), Refusal>> {
        self.family.socket().requests(orders).unwrap_or_else(|cause| {
            let errno = cause.raw_os_error().map_or(Errno::IO, Errno::from_raw_os_error);
            vec![Err(errno.into()); orders.len()]
        })
    }

    fn order(&self, change: &Change, attempt: Attempt) -> Message {
        let order = self.family.order(command(change, attempt));
        match change {
            Change::AddService(key, service) | Change::EditService(key, service) => {
                service::describe(order, &ServiceRecord::new(*key, service))
            }
            Change::RemoveService(key) => service::name(order, key),
            Change::AddDestination(key, server, destination) | Change::EditDestination(key, server, destination) => {
                destination::describe(service::name(order, key), server, destination)
            }
            Change::RemoveDestination(key, server) => destination::name(service::name(order, key), server),
        }
    }
}

/// Whether an addition is tried as one, or as an edit after all.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Attempt {
    First,
    Second,
}

fn command(change: &Change, attempt: Attempt) -> u8 {
    match (change, attempt) {
        (Change::AddService(..), Attempt::First) | (Change::EditService(..), Attempt::Second) => command::NEW_SERVICE,
        (Change::AddService(..), Attempt::Second) | (Change::EditService(..), Attempt::First) => command::SET_SERVICE,
        (Change::AddDestination(..), Attempt::First) | (Change::EditDestination(..), Attempt::Second) => {
            command::NEW_DEST
        }
        (Change::AddDestination(..), Attempt::Second) | (Change::EditDestination(..), Attempt::First) => {
            command::SET_DEST
        }
        (Change::RemoveService(_), _) => command::DEL_SERVICE,
        (Change::RemoveDestination(..), _) => command::DEL_DEST,
    }
}

/// What was to be removed is not there, or its service is not.
fn is_done(change: &Change, errno: Errno) -> bool {
    match change {
        Change::RemoveService(_) => errno == Errno::SRCH,
        Change::RemoveDestination(..) => errno == Errno::SRCH || errno == Errno::NOENT,
        Change::AddService(..) | Change::EditService(..) | Change::AddDestination(..) | Change::EditDestination(..) => {
            false
        }
    }
}

/// What was to be added is there, or what was to be changed is not.
fn is_the_other(change: &Change, errno: Errno) -> bool {
    match change {
        Change::AddService(..) | Change::AddDestination(..) => errno == Errno::EXIST,
        // NOENT would be the scheduler's absence.
        Change::EditService(..) => errno == Errno::SRCH,
        Change::EditDestination(..) => errno == Errno::NOENT,
        Change::RemoveService(_) | Change::RemoveDestination(..) => false,
    }
}

fn refused(change: &Change, refusal: Refusal) -> Error {
    match change {
        Change::AddService(key, service) | Change::EditService(key, service) => {
            let verb = if matches!(change, Change::AddService(..)) { "add" } else { "edit" };
            let operation = format!("{verb} service {}", service_name(key));
            if refusal.errno != Errno::NOENT {
                return Error::new(operation, refusal);
            }
            let engine = service.persistence.as_ref().and_then(|persistence| persistence.engine.as_deref());
            let what = match engine {
                Some(engine) => format!("no scheduler {} or no persistence engine {engine}", service.scheduler.name()),
                None => format!("no scheduler {}", service.scheduler.name()),
            };
            Error::new(operation, io::Error::new(io::ErrorKind::NotFound, format!("this kernel has {what}")))
        }
        Change::RemoveService(key) => Error::new(format!("remove service {}", service_name(key)), refusal),
        Change::AddDestination(key, server, _) => of_destination("add", key, server, refusal),
        Change::EditDestination(key, server, _) => of_destination("edit", key, server, refusal),
        Change::RemoveDestination(key, server) => of_destination("remove", key, server, refusal),
    }
}

fn of_destination(verb: &str, key: &ServiceKey, server: &DestinationKey, refusal: Refusal) -> Error {
    let operation = destination_operation(verb, key, server);
    if refusal.errno == Errno::SRCH {
        return Error::new(operation, io::Error::new(io::ErrorKind::NotFound, "there is no such service"));
    }
    Error::new(operation, refusal)
}

/// Cuts the changes so that none of a batch is about what another one of it is about: a second attempt, which comes after
/// the batch, would otherwise undo a later change.
fn batches(changes: &[Change]) -> impl Iterator<Item = &[Change]> {
    let mut rest = changes;
    std::iter::from_fn(move || {
        let (mut objects, mut services) = (HashSet::new(), HashSet::new());
        let repeats = |change: &Change| {
            let (service, server) = object(change);
            let removes_known = matches!(change, Change::RemoveService(_)) && services.contains(&service);
            services.insert(service);
            !objects.insert((service, server)) || removes_known
        };
        let end = rest.iter().position(repeats).unwrap_or(rest.len());
        let (batch, others) = rest.split_at(end);
        rest = others;
        (!batch.is_empty()).then_some(batch)
    })
}

fn object(change: &Change) -> (ServiceKey, Option<DestinationKey>) {
    match change {
        Change::AddService(key, _) | Change::EditService(key, _) | Change::RemoveService(key) => (*key, None),
        Change::AddDestination(key, server, _)
        | Change::EditDestination(key, server, _)
        | Change::RemoveDestination(key, server) => (*key, Some(*server)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use evenkeel_balance::table::{Destination, Forward, Protocol};

    #[test]
    fn a_batch_says_one_thing_about_each_object() {
        let service = |port| ServiceKey::Address { protocol: Protocol::Tcp, address: [10, 0, 0, 1].into(), port };
        let server = |port| DestinationKey { address: [10, 0, 0, 2].into(), port };
        let destination = Destination { weight: 1, forward: Forward::Direct, upper_threshold: 0, lower_threshold: 0 };
        let add = |key, number| Change::AddDestination(service(key), server(number), destination.clone());
        let edit = |key, number| Change::EditDestination(service(key), server(number), destination.clone());
        let check = |changes: &[Change], lengths: &[usize]| {
            assert_eq!(batches(changes).map(<[Change]>::len).collect::<Vec<_>>(), lengths, "{changes:?}");
        };
        check(&[], &[]);
        check(&[add(1, 1), add(1, 2), add(2, 1)], &[3]);
        check(&[add(1, 1), edit(1, 1), add(2, 1)], &[1, 2]);
        check(&[add(1, 1), Change::RemoveService(service(1)), add(1, 1)], &[1, 2]);
        check(&[Change::RemoveService(service(1)), Change::RemoveService(service(2))], &[2]);
    }
}
