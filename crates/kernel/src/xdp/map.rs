//! The kernel's maps as typed tables.
//!
//! The loader makes the maps; reading and writing is here, since entries by the thousand go in one call and per-processor
//! counters are summed as they come.

use evenkeel_xdp::abi;
use rustix::io::Errno;
use std::io;
use std::marker::PhantomData;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

const MAP_CREATE: libc::c_long = 0;
const LOOKUP: libc::c_long = 1;
const UPDATE: libc::c_long = 2;
const DELETE: libc::c_long = 3;
const NEXT_KEY: libc::c_long = 4;
const INFO: libc::c_long = 15;
const LOOKUP_BATCH: libc::c_long = 24;
const UPDATE_BATCH: libc::c_long = 26;

const TYPE_ARRAY: u32 = 2;
/// An inner map may have another length than the one that the program was shown.
const INNER_MAP: u32 = 0x1000;

/// Entries in one call.
const BATCH: usize = 4096;

/// Values that a map may hold.
///
/// # Safety
///
/// Every pattern of bytes must be a value, and no byte may be padding.
pub(crate) unsafe trait Plain: Copy + Default {}

macro_rules! plain {
    ($($kind:ty),+) => {
        $(
            // SAFETY: made of integers and arrays of them, with every gap filled by a member (`pad`); abi.rs checks sizes
            // and offsets against the object.
            unsafe impl Plain for $kind {}
        )+
    };
}

plain!(u32, u64);
plain!(abi::ServiceKey, abi::Service, abi::Server, abi::Load, abi::FlowKey, abi::Flow, abi::Reply);
plain!(abi::ClientKey, abi::Client, abi::Counts, abi::Settings, abi::MacKey);

/// A map with these keys and values.
#[derive(Debug)]
pub(crate) struct Map<K, V> {
    fd: OwnedFd,
    kinds: PhantomData<(K, V)>,
}

/// Attributes of the calls about one entry.
#[repr(C)]
struct Entry {
    map: u32,
    pad: u32,
    key: u64,
    value: u64,
    flags: u64,
}

/// Attributes of the calls about many.
#[repr(C)]
struct Batch {
    from: u64,
    next: u64,
    keys: u64,
    values: u64,
    count: u32,
    map: u32,
    entry_flags: u64,
    flags: u64,
}

/// The first attributes of a new map.
#[repr(C)]
struct Create {
    kind: u32,
    key_size: u32,
    value_size: u32,
    max_entries: u32,
    flags: u32,
}

/// Where to write what the kernel knows of a map.
#[repr(C)]
struct Info {
    map: u32,
    length: u32,
    place: u64,
}

/// The command with its attributes, which hold addresses of values that live through the call.
fn bpf<T>(command: libc::c_long, attributes: &mut T) -> io::Result<libc::c_long> {
    // SAFETY: the attributes are a structure of the kernel's layout, and its size is given; those who call make the
    // addresses in it from references to values of the sizes that the map has.
    let result = unsafe {
        libc::syscall(libc::SYS_bpf, command, std::ptr::from_mut(attributes), size_of::<T>() as libc::c_uint)
    };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

fn is_absent(error: &io::Error) -> bool {
    error.raw_os_error() == Some(Errno::NOENT.raw_os_error())
}

/// The number of a map, by which one map of maps knows another.
pub(crate) fn id_of(map: BorrowedFd<'_>) -> io::Result<u32> {
    // Type and number are the first of the kernel's fields.
    let mut info = [0u32; 2];
    let mut attributes =
        Info { map: map.as_raw_fd() as u32, length: size_of_val(&info) as u32, place: info.as_mut_ptr() as u64 };
    bpf(INFO, &mut attributes)?;
    Ok(info[1])
}

impl<K: Plain, V: Plain> Map<K, V> {
    pub(super) fn new(fd: OwnedFd) -> Self {
        Map { fd, kinds: PhantomData }
    }

    fn entry(&self, key: &K, value: u64, flags: u64) -> Entry {
        Entry { map: self.fd.as_raw_fd() as u32, pad: 0, key: std::ptr::from_ref(key) as u64, value, flags }
    }

    /// The value of a key.
    pub(crate) fn get(&self, key: &K) -> io::Result<Option<V>> {
        let mut value = V::default();
        match bpf(LOOKUP, &mut self.entry(key, std::ptr::from_mut(&mut value) as u64, 0)) {
            Ok(_) => Ok(Some(value)),
            Err(error) if is_absent(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The values of a key on each processor.
    pub(crate) fn get_each(&self, key: &K, n_processors: usize) -> io::Result<Vec<V>> {
        debug_assert!(size_of::<V>().is_multiple_of(8), "the kernel would round the size up");
        let mut values = vec![V::default(); n_processors];
        match bpf(LOOKUP, &mut self.entry(key, values.as_mut_ptr() as u64, 0)) {
            Ok(_) => Ok(values),
            Err(error) if is_absent(&error) => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    /// Adds an entry, or replaces it.
    pub(crate) fn set(&self, key: &K, value: &V) -> io::Result<()> {
        bpf(UPDATE, &mut self.entry(key, std::ptr::from_ref(value) as u64, 0)).map(drop)
    }

    /// Sets a key's value on every processor.
    pub(crate) fn set_each(&self, key: &K, value: &V, n_processors: usize) -> io::Result<()> {
        let values = vec![*value; n_processors];
        bpf(UPDATE, &mut self.entry(key, values.as_ptr() as u64, 0)).map(drop)
    }

    /// Removes an entry; one that is not there is no error.
    pub(crate) fn remove(&self, key: &K) -> io::Result<()> {
        match bpf(DELETE, &mut self.entry(key, 0, 0)) {
            Err(error) if !is_absent(&error) => Err(error),
            _ => Ok(()),
        }
    }

    /// All keys. Those that come or go meanwhile may be among them or not.
    pub(crate) fn keys(&self) -> io::Result<Vec<K>> {
        let mut keys: Vec<K> = Vec::new();
        loop {
            let mut next = K::default();
            let place = std::ptr::from_mut(&mut next) as u64;
            let from = keys.last().map_or(0, |last| std::ptr::from_ref(last) as u64);
            let mut attributes = Entry { map: self.fd.as_raw_fd() as u32, pad: 0, key: from, value: place, flags: 0 };
            match bpf(NEXT_KEY, &mut attributes) {
                Ok(_) => keys.push(next),
                Err(error) if is_absent(&error) => return Ok(keys),
                Err(error) => return Err(error),
            }
        }
    }

    /// All entries.
    pub(crate) fn entries(&self) -> io::Result<Vec<(K, V)>> {
        let mut entries = Vec::new();
        for key in self.keys()? {
            entries.extend(self.get(&key)?.map(|value| (key, value)));
        }
        Ok(entries)
    }

    /// All entries of a hash table, some thousand at a time. Fast, and as exact as a table that changes allows.
    pub(crate) fn each(&self, mut visit: impl FnMut(&K, &V)) -> io::Result<()> {
        let mut keys = vec![K::default(); BATCH];
        let mut values = vec![V::default(); BATCH];
        // Where the kernel goes on: a number of four bytes for a hash table.
        let (mut position, mut next, mut begun) = (0u64, 0u64, false);
        loop {
            let mut attributes = Batch {
                from: if begun { &raw mut position as u64 } else { 0 },
                next: &raw mut next as u64,
                keys: keys.as_mut_ptr() as u64,
                values: values.as_mut_ptr() as u64,
                count: keys.len() as u32,
                map: self.fd.as_raw_fd() as u32,
                entry_flags: 0,
                flags: 0,
            };
            let result = bpf(LOOKUP_BATCH, &mut attributes);
            if result.as_ref().is_err_and(|error| error.raw_os_error() == Some(libc::ENOSPC)) {
                // A bucket has more entries than there is room for.
                keys.resize(keys.len() * 2, K::default());
                values.resize(values.len() * 2, V::default());
                continue;
            }
            let ended = match result {
                Ok(_) => false,
                Err(error) if is_absent(&error) => true,
                Err(error) => return Err(error),
            };
            let n = (attributes.count as usize).min(keys.len());
            keys[..n].iter().zip(&values[..n]).for_each(|(key, value)| visit(key, value));
            if ended {
                return Ok(());
            }
            (position, begun) = (next, true);
        }
    }

    /// Another handle on the same map.
    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Map<u32, u32> {
    /// A new array that can be put into a map of maps.
    pub(crate) fn inner_array(values: &[u32]) -> io::Result<Self> {
        let mut create =
            Create { kind: TYPE_ARRAY, key_size: 4, value_size: 4, max_entries: values.len() as u32, flags: INNER_MAP };
        let fd = bpf(MAP_CREATE, &mut create)?;
        // SAFETY: the kernel has just given us this descriptor, and nobody else knows of it.
        let map = Map::new(unsafe { OwnedFd::from_raw_fd(fd as libc::c_int) });
        map.fill(values)?;
        Ok(map)
    }

    /// Sets the first entries of an array in one call.
    fn fill(&self, values: &[u32]) -> io::Result<()> {
        let keys: Vec<u32> = (0..values.len() as u32).collect();
        self.set_all(&keys, values).map_err(|(_, error)| error)
    }

    /// Sets entries in one call. The error comes with how many of them are set.
    fn set_all(&self, keys: &[u32], values: &[u32]) -> Result<(), (usize, io::Error)> {
        debug_assert_eq!(keys.len(), values.len());
        let mut attributes = Batch {
            from: 0,
            next: 0,
            keys: keys.as_ptr() as u64,
            values: values.as_ptr() as u64,
            count: keys.len() as u32,
            map: self.fd.as_raw_fd() as u32,
            entry_flags: 0,
            flags: 0,
        };
        match bpf(UPDATE_BATCH, &mut attributes) {
            Ok(_) => Ok(()),
            // What the kernel does not know leaves the count as it was.
            Err(error) if attributes.count as usize >= keys.len() => Err((0, error)),
            Err(error) => Err((attributes.count as usize, error)),
        }
    }

    /// Puts a map into this map of maps.
    pub(crate) fn set_map(&self, key: u32, map: &Self) -> io::Result<()> {
        self.set(&key, &(map.fd.as_raw_fd() as u32))
    }

    /// Puts several into it in one call; how many of them, from the first, are there.
    pub(crate) fn set_maps<'m>(&self, maps: impl Iterator<Item = (u32, &'m Self)>) -> usize {
        let (keys, values): (Vec<u32>, Vec<u32>) = maps.map(|(key, map)| (key, map.fd.as_raw_fd() as u32)).unzip();
        match self.set_all(&keys, &values) {
            Ok(()) => keys.len(),
            Err((n_set, _)) => n_set,
        }
    }
}
