//! The plane: the table that is held, and what each change does to the maps.

use super::map::{Map, id_of};
use super::network::{Network, Path, Unreachable};
use super::object::{Maps, Object};
use super::rings::{self, Candidate};
use super::statistics::Rates;
use super::{Attachment, Options, server};
use crate::Error;
use crate::error::During;
use aya::programs::{TestRun, TestRunOptions};
use evenkeel_balance::table::{
    Change, Destination, DestinationKey, Entry, Plane, Service, ServiceKey, Statistics, Table,
};
use evenkeel_xdp::abi;
use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;
use std::time::Duration;

/// Seconds after which IPVS forgets connections; the same here.
const TCP_TIMEOUT: u64 = 900;
const CLOSING_TIMEOUT: u64 = 120;
const UDP_TIMEOUT: u64 = 300;
const SECOND: u64 = 1_000_000_000;

/// Layer-4 balancing by a program for XDP.
#[derive(Debug)]
pub struct XdpPlane {
    pub(super) options: Options,
    pub(super) object: Object,
    pub(super) maps: Maps,
    pub(super) attachments: Vec<Attachment>,
    pub(super) network: Network,
    pub(super) held: BTreeMap<ServiceKey, Held>,
    pub(super) directors: Vec<IpAddr>,
    pub(super) settings: abi::Settings,
    pub(super) n_processors: usize,
    pub(super) rates: Rates,
    adopted: bool,
}

/// A service as the maps have it.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) id: u32,
    pub(super) key: abi::ServiceKey,
    pub(super) service: Service,
    /// What stands in the map; none before it was published.
    pub(super) entry: Option<abi::Service>,
    /// Number of the map that is its ring.
    pub(super) ring: u32,
    pub(super) servers: BTreeMap<DestinationKey, HeldServer>,
}

/// A server as the maps have it.
#[derive(Debug)]
pub(super) struct HeldServer {
    pub(super) id: u32,
    pub(super) destination: Destination,
    pub(super) entry: abi::Server,
    pub(super) path: Path,
}

/// What a change leaves to be done when all were looked at.
#[derive(Debug, Default)]
struct Staged {
    /// Services that need a new ring, with the last change to each.
    dirty: BTreeMap<ServiceKey, usize>,
    /// Servers, and of which services.
    gone: Vec<(u32, u32)>,
    gone_services: Vec<u32>,
}

/// What the program did with a packet in a test run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// What the kernel is to do with it: 0 aborted, 1 drop, 2 pass up, 3 send back, 4 redirect.
    pub verdict: u32,
    /// The frame afterwards.
    pub frame: Vec<u8>,
    /// Time for each repetition.
    pub duration: Duration,
}

impl XdpPlane {
    /// Loads the program, adopts what an earlier run left, and attaches to the interfaces. Takes `CAP_BPF`,
    /// `CAP_NET_ADMIN` and `CAP_PERFMON`.
    pub fn open(options: Options) -> Result<Self, Error> {
        let (object, maps) = Object::load(&options)?;
        let network = Network::open()?;
        let n_processors = aya::util::nr_cpus().map_err(|(path, error)| Error::new(format!("read {path}"), error))?;
        let found = maps.settings.get(&0).during(|| "read the settings of the data plane")?.unwrap_or_default();
        let settings = abi::Settings {
            abi: abi::VERSION,
            next_id: found.next_id.max(1),
            tcp_timeout: TCP_TIMEOUT * SECOND,
            closing_timeout: CLOSING_TIMEOUT * SECOND,
            udp_timeout: UDP_TIMEOUT * SECOND,
            n_directors: found.n_directors,
            pad: 0,
        };
        let mut plane = XdpPlane {
            options,
            object,
            maps,
            attachments: Vec::new(),
            network,
            held: BTreeMap::new(),
            directors: Vec::new(),
            settings,
            n_processors,
            rates: Rates::default(),
            adopted: false,
        };
        plane.store_settings()?;
        plane.adopt()?;
        for interface in plane.options.interfaces.clone() {
            let attachment = plane.object.attach(&mut plane.network.routes, &interface, plane.options.mode)?;
            plane.attachments.push(attachment);
        }
        plane.object.clean(&plane.options)?;
        Ok(plane)
    }

    /// Where and how the program is attached.
    pub fn attachments(&self) -> &[Attachment] {
        &self.attachments
    }

    /// Whether services of an earlier run were found.
    pub fn is_adopted(&self) -> bool {
        self.adopted
    }

    /// Ends balancing: detaches the program and forgets all connections. Dropping a plane without pins does the same; one
    /// with pins goes on without its process.
    pub fn close(mut self) -> Result<(), Error> {
        for attachment in std::mem::take(&mut self.attachments) {
            self.object.detach(&attachment)?;
        }
        self.object.forget()
    }

    /// Other directors of the same services, by addresses on links of this host. What they send to a virtual address has
    /// been balanced already: this host was chosen, and takes it itself.
    pub fn set_directors(&mut self, directors: &[IpAddr]) -> Result<(), Error> {
        // Looking at the network again takes as long as there are servers.
        if self.directors == directors {
            return Ok(());
        }
        self.directors = directors.to_vec();
        self.refresh().map(drop)
    }

    /// Brings what is known of the network up to date, and says which servers cannot be reached. To be called every
    /// second or so: hardware addresses are asked for here, and are there the next time.
    pub fn refresh(&mut self) -> Result<Vec<(ServiceKey, DestinationKey, Unreachable)>, Error> {
        self.network.look()?;
        let mut unreachable = Vec::new();
        let mut addresses = self.directors.clone();
        for (key, held) in &mut self.held {
            for (server_key, server) in &mut held.servers {
                let path = self.network.path(server_key.address)?;
                let entry = server::server(held.id, server_key, &server.destination, &path);
                if entry != server.entry {
                    let what = || format!("update server {} of {}", server_key.address, server::name(key));
                    self.maps.servers.set(&server.id, &entry).during(what)?;
                    server.entry = entry;
                }
                server.path = path;
                if let Path::None(reason) = path {
                    unreachable.push((*key, *server_key, reason));
                }
                addresses.push(server_key.address);
            }
        }
        self.refresh_directors()?;
        self.network.resolve(addresses)?;
        Ok(unreachable)
    }

    fn refresh_directors(&mut self) -> Result<(), Error> {
        let operation = || "tell the data plane about other directors";
        let mut wanted = Vec::new();
        for address in self.directors.clone() {
            wanted.extend(self.network.mac(address)?.map(|mac| abi::MacKey { mac: mac.0, pad: 0 }));
        }
        for key in &wanted {
            self.maps.directors.set(key, &1).during(operation)?;
        }
        let mut n_directors = wanted.len() as u32;
        for key in self.maps.directors.keys().during(operation)?.iter().filter(|key| !wanted.contains(key)) {
            // One that does not answer for a moment is still one, so nothing is removed while some are unknown.
            if wanted.len() == self.directors.len() {
                self.maps.directors.remove(key).during(operation)?;
            } else {
                n_directors += 1;
            }
        }
        if n_directors != self.settings.n_directors {
            self.settings.n_directors = n_directors;
            self.store_settings()?;
        }
        Ok(())
    }

    /// What differs from what the configuration says, because the program has no such thing.
    pub fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        for (key, held) in &self.held {
            if let (_, Some(instead)) = rings::choice(held.service.scheduler) {
                let scheduler = held.service.scheduler.name();
                let name = server::name(key);
                notes.push(format!("{name}: the XDP plane has no scheduler {scheduler}; {instead} stands in for it"));
            }
        }
        notes
    }

    /// Runs the program over a frame without sending it anywhere, as if it had arrived on the first interface attached to
    /// (or on `lo` without one).
    pub fn run(&self, frame: &[u8], repeat: u32) -> Result<Run, Error> {
        let mut out = vec![0; frame.len() + 256];
        // `struct xdp_md`: where the frame begins and ends, its metadata, interface, queue, and where it would go.
        let interface = self.attachments.first().map_or(1, |attachment| attachment.index);
        let mut context = [0u8; 24];
        context[4..8].copy_from_slice(&(frame.len() as u32).to_ne_bytes());
        context[12..16].copy_from_slice(&interface.to_ne_bytes());
        let options = TestRunOptions {
            data_in: Some(frame),
            data_out: Some(&mut out),
            ctx_in: Some(&context),
            repeat,
            ..TestRunOptions::default()
        };
        let result = self.object.xdp()?.test_run(options);
        let result = result.map_err(|error| Error::new("run the data plane over a frame", io::Error::other(error)))?;
        out.truncate(result.data_size_out as usize);
        Ok(Run { verdict: result.return_value, frame: out, duration: result.duration })
    }

    pub(super) fn store_settings(&self) -> Result<(), Error> {
        self.maps.settings.set(&0, &self.settings).during(|| "write the settings of the data plane")
    }

    /// A number that nothing has or had: flows of what is gone must not lead to what is new.
    fn new_id(&mut self) -> Result<u32, Error> {
        let id = self.settings.next_id;
        self.settings.next_id = id.checked_add(1).unwrap_or(1);
        self.store_settings()?;
        Ok(id)
    }

    /// Reads the maps back into a table.
    fn adopt(&mut self) -> Result<(), Error> {
        let operation = || "read the tables of an earlier run";
        let mut by_id = BTreeMap::new();
        for (key, entry) in self.maps.services.entries().during(operation)? {
            let Some(table_key) = server::table_key(&key) else { continue };
            let service = server::table_service(&table_key, &entry);
            let ring = self.maps.rings.get(&entry.id).during(operation)?.unwrap_or_default();
            let held = Held { id: entry.id, key, service, entry: Some(entry), ring, servers: BTreeMap::new() };
            self.held.insert(table_key, held);
            by_id.insert(entry.id, table_key);
        }
        let mut lost = Vec::new();
        for (id, entry) in self.maps.servers.entries().during(operation)? {
            let held = by_id.get(&entry.service).and_then(|key| self.held.get_mut(key));
            let (Some(held), Some((key, destination))) = (held, server::table_server(&entry)) else {
                lost.push(id);
                continue;
            };
            let path = self.network.path(key.address)?;
            if let Some(twice) = held.servers.insert(key, HeldServer { id, destination, entry, path }) {
                lost.push(twice.id);
            }
        }
        lost.into_iter().try_for_each(|id| self.drop_server(id)).during(operation)?;
        self.adopted = !self.held.is_empty();
        Ok(())
    }

    fn stage(&mut self, index: usize, change: &Change, staged: &mut Staged) -> Result<(), Error> {
        match change {
            Change::AddService(key, service) | Change::EditService(key, service) => {
                self.put_service(key, service)?;
                staged.dirty.insert(*key, index);
            }
            Change::RemoveService(key) => {
                staged.dirty.remove(key);
                let Some(held) = self.held.remove(key) else { return Ok(()) };
                staged.gone.extend(held.servers.values().map(|server| (held.id, server.id)));
                staged.gone_services.push(held.id);
                self.maps.services.remove(&held.key).during(|| format!("remove {}", server::name(key)))?;
            }
            Change::AddDestination(key, server, destination) | Change::EditDestination(key, server, destination) => {
                self.put_server(key, server, destination)?;
                staged.dirty.insert(*key, index);
            }
            Change::RemoveDestination(key, server) => {
                let Some(held) = self.held.get_mut(key) else { return Ok(()) };
                let Some(server) = held.servers.remove(server) else { return Ok(()) };
                staged.gone.push((held.id, server.id));
                staged.dirty.insert(*key, index);
            }
        }
        Ok(())
    }

    fn put_service(&mut self, key: &ServiceKey, service: &Service) -> Result<(), Error> {
        let abi_key = server::service_key(key)?;
        // Refuses what cannot be, before anything is changed.
        server::service(0, key, service)?;
        if let Some(held) = self.held.get_mut(key) {
            held.service = service.clone();
            return Ok(());
        }
        let id = self.new_id()?;
        let counts = self.maps.retired_counts.set(&id, &abi::Counts::default());
        counts.during(|| format!("add {}", server::name(key)))?;
        let service = service.clone();
        self.held.insert(*key, Held { id, key: abi_key, service, entry: None, ring: 0, servers: BTreeMap::new() });
        Ok(())
    }

    fn put_server(
        &mut self,
        key: &ServiceKey,
        server: &DestinationKey,
        destination: &Destination,
    ) -> Result<(), Error> {
        server::check(key, server, destination.forward)?;
        let what = || format!("put server {} into {}", server.address, server::name(key));
        let Some(service) = self.held.get(key).map(|held| held.id) else {
            return Err(Error::new(what(), io::Error::new(io::ErrorKind::NotFound, "there is no such service")));
        };
        let known = self.held.get(key).and_then(|held| held.servers.get(server)).map(|server| server.id);
        let path = self.network.path(server.address)?;
        let entry = server::server(service, server, destination, &path);
        let id = match known {
            Some(id) => id,
            None => {
                let id = self.new_id()?;
                self.count_server(id).during(what)?;
                id
            }
        };
        self.maps.servers.set(&id, &entry).during(what)?;
        if let Some(held) = self.held.get_mut(key) {
            held.servers.insert(*server, HeldServer { id, destination: destination.clone(), entry, path });
        }
        Ok(())
    }

    /// Gives services their rings and their places in the map: from here on packets see the new pools, and none sees half of
    /// one.
    pub(super) fn publish(&mut self, keys: &[ServiceKey]) -> Vec<(ServiceKey, Error)> {
        let mut failures = Vec::new();
        let mut prepared = Vec::new();
        for key in keys {
            let Some(held) = self.held.get(key) else { continue };
            match self.ring(held).during(|| format!("publish {}", server::name(key))) {
                Ok((map, number)) => prepared.push((*key, held.id, map, number)),
                Err(error) => failures.push((*key, error)),
            }
        }
        let n_set = match waits_once_for_many() {
            true => self.maps.rings.set_maps(prepared.iter().map(|(_, id, map, _)| (*id, map))),
            false => 0,
        };
        let set = |(_, id, map, _): &(_, u32, Map<u32, u32>, _)| self.maps.rings.set_map(*id, map);
        let outcomes = (0..n_set).map(|_| Ok(())).chain(side_by_side(&prepared[n_set..], set));
        for ((key, _, _, number), outcome) in prepared.iter().zip(outcomes) {
            let outcome = outcome.during(|| format!("publish {}", server::name(key)));
            if let Err(error) = outcome.and_then(|()| self.publish_service(key, *number)) {
                failures.push((*key, error));
            }
        }
        failures
    }

    /// A map with the ring of a service, and its number.
    fn ring(&self, held: &Held) -> io::Result<(Map<u32, u32>, u32)> {
        let candidates: Vec<Candidate<'_>> = held
            .servers
            .iter()
            .map(|(key, server)| Candidate { key: *key, id: server.id, destination: &server.destination })
            .collect();
        let ring = rings::ring(held.service.scheduler, &candidates, self.options.ring_size);
        // Where a cycle begins: not always with the first, or the first would get more after every change.
        let mut values = vec![ring.len() as u32, self.settings.next_id];
        values.extend(ring);
        let map = Map::inner_array(&values)?;
        let number = id_of(map.fd())?;
        Ok((map, number))
    }

    fn publish_service(&mut self, key: &ServiceKey, ring: u32) -> Result<(), Error> {
        let Some(held) = self.held.get_mut(key) else { return Ok(()) };
        held.ring = ring;
        let entry = server::service(held.id, key, &held.service)?;
        if held.entry != Some(entry) {
            self.maps.services.set(&held.key, &entry).during(|| format!("publish {}", server::name(key)))?;
            held.entry = Some(entry);
        }
        Ok(())
    }

    /// Makes room for what is counted of a server, unless it is there.
    pub(super) fn count_server(&self, id: u32) -> io::Result<()> {
        if self.maps.loads.get(&id)?.is_none() {
            self.maps.loads.set(&id, &abi::Load::default())?;
        }
        if self.maps.server_counts.get_each(&id, self.n_processors)?.is_empty() {
            self.maps.server_counts.set_each(&id, &abi::Counts::default(), self.n_processors)?;
        }
        Ok(())
    }

    /// What a server counted stays with its service, if that stays.
    fn retire_server(&self, service: u32, id: u32) -> io::Result<()> {
        if let Some(retired) = self.maps.retired_counts.get(&service)? {
            let counts = self.maps.server_counts.get_each(&id, self.n_processors)?;
            self.maps.retired_counts.set(&service, &counts.into_iter().fold(retired, |sum, counts| sum + counts))?;
        }
        self.drop_server(id)
    }

    pub(super) fn drop_server(&self, id: u32) -> io::Result<()> {
        self.maps.servers.remove(&id)?;
        self.maps.loads.remove(&id)?;
        self.maps.server_counts.remove(&id)
    }
}

impl Plane for XdpPlane {
    type Error = Error;

    /// What was applied, or adopted: the maps have no other editor. [`XdpPlane::repair`] sees to it that they have it.
    fn dump(&mut self) -> Result<Table, Error> {
        let entry = |held: &Held| Entry {
            service: held.service.clone(),
            destinations: held.servers.iter().map(|(key, server)| (*key, server.destination.clone())).collect(),
        };
        Ok(self.held.iter().map(|(key, held)| (*key, entry(held))).collect())
    }

    /// The servers of a service change at once, however many changes there are to it.
    fn apply(&mut self, changes: &[Change]) -> Vec<(usize, Error)> {
        let mut failures = Vec::new();
        let mut staged = Staged::default();
        for (index, change) in changes.iter().enumerate() {
            if let Err(error) = self.stage(index, change, &mut staged) {
                failures.push((index, error));
            }
        }
        let dirty: Vec<ServiceKey> = staged.dirty.keys().copied().collect();
        failures.extend(self.publish(&dirty).into_iter().map(|(key, error)| (staged.dirty[&key], error)));
        // Only now does nothing lead to them any more.
        let forget = |id: &u32| {
            self.maps.rings.remove(id)?;
            self.maps.retired_counts.remove(id)
        };
        let mut forgotten = side_by_side(&staged.gone_services, forget);
        forgotten.extend(staged.gone.iter().map(|(service, id)| self.retire_server(*service, *id)));
        for cause in forgotten.into_iter().filter_map(Result::err) {
            failures.push((changes.len().saturating_sub(1), Error::new("forget what was removed", cause)));
        }
        // What is not known yet is asked for now, and found at the next refresh; so a failure shows there.
        let unknown = |server: &&HeldServer| matches!(server.path, Path::None(_));
        let servers = self.held.values().flat_map(|held| held.servers.values());
        let addresses: Vec<IpAddr> = servers.filter(unknown).map(|server| server.entry.address.ip()).collect();
        let _ = self.network.resolve(addresses);
        failures.sort_by_key(|(index, _)| *index);
        failures
    }

    fn statistics(&mut self) -> Result<Statistics, Error> {
        self.read_statistics()
    }
}

/// After a change to a map of maps the kernel waits until no program can be using what was there, which takes ten
/// milliseconds: since Linux 6.8 once for all changes of a call, before for each.
fn waits_once_for_many() -> bool {
    let name = rustix::system::uname();
    let release = name.release().to_string_lossy();
    let mut numbers = release.split(['.', '-']).map_while(|word| word.parse::<u32>().ok());
    (numbers.next(), numbers.next()) >= (Some(6), Some(8))
}

/// So many changes to a map of maps are made at once.
const SIDE_BY_SIDE: usize = 128;

/// Does something for each of many, on several threads: the kernel waits as long for a hundred as for one.
fn side_by_side<T: Sync>(items: &[T], each: impl Fn(&T) -> io::Result<()> + Sync) -> Vec<io::Result<()>> {
    let share = items.len().div_ceil(SIDE_BY_SIDE).max(1);
    if items.len() <= 1 {
        return items.iter().map(each).collect();
    }
    std::thread::scope(|scope| {
        let shares: Vec<_> = items
            .chunks(share)
            .map(|share| {
                let work = || share.iter().map(&each).collect::<Vec<_>>();
                let thread = std::thread::Builder::new().stack_size(64 * 1024).spawn_scoped(scope, work);
                (share, thread)
            })
            .collect();
        let mut outcomes = Vec::with_capacity(items.len());
        for (share, thread) in shares {
            match thread.map(|thread| thread.join()) {
                Ok(Ok(done)) => outcomes.extend(done),
                // Where no thread can be had, one after another does it too.
                Ok(Err(_)) | Err(_) => outcomes.extend(share.iter().map(&each)),
            }
        }
        outcomes
    })
}
