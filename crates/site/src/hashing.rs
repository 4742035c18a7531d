//! Hashes as nginx has them: CRC-32, the points of a consistent hash, and MurmurHash2.

/// CRC-32 of pieces one after the other.
pub(crate) fn crc32(pieces: &[&[u8]]) -> u32 {
    !pieces.iter().fold(u32::MAX, |sum, piece| crc32_update(sum, piece))
}

fn crc32_update(sum: u32, bytes: &[u8]) -> u32 {
    bytes.iter().fold(sum, |sum, byte| TABLE[usize::from(sum as u8 ^ byte)] ^ (sum >> 8))
}

const TABLE: [u32; 256] = {
    let mut table = [0; 256];
    let mut at = 0;
    while at < 256 {
        let mut sum = at as u32;
        let mut bit = 0;
        while bit < 8 {
            sum = if sum & 1 == 1 { 0xedb8_8320 ^ (sum >> 1) } else { sum >> 1 };
            bit += 1;
        }
        table[at] = sum;
        at += 1;
    }
    table
};

/// Points that one part of weight has.
const POINTS: u32 = 160;

/// The ring of a consistent hash, as `Cache::Memcached::Fast` has it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ring {
    /// Sorted, none twice; and the server's index.
    points: Vec<(u32, usize)>,
    /// By server: the first that has the same name.
    same: Vec<usize>,
}

impl Ring {
    /// Of servers' indices, names and weights, in order.
    pub(crate) fn new<'n>(servers: impl Iterator<Item = (usize, &'n str, u32)>) -> Ring {
        let mut ring = Ring::default();
        let mut names: Vec<(usize, &str)> = Vec::new();
        for (index, name, weight) in servers {
            let first = names.iter().find(|(_, known)| *known == name).map_or(index, |(first, _)| *first);
            names.push((index, name));
            ring.same.resize(index, usize::MAX);
            ring.same.push(first);
            let (host, port) = host_and_port(name);
            let base = [host.as_bytes(), b"\0", port.as_bytes()].iter().fold(u32::MAX, |sum, p| crc32_update(sum, p));
            let mut previous = 0u32;
            for _ in 0..weight.saturating_mul(POINTS) {
                previous = !crc32_update(base, &previous.to_le_bytes());
                ring.points.push((previous, index));
            }
        }
        ring.points.sort_by_key(|(point, _)| *point);
        ring.points.dedup_by_key(|(point, _)| *point);
        ring
    }

    /// The place of the first point from a hash on; behind the last when there is none.
    pub(crate) fn find(&self, hash: u32) -> usize {
        self.points.partition_point(|(point, _)| *point < hash)
    }

    /// The server of a place, which may be beyond the end.
    pub(crate) fn at(&self, place: u64) -> Option<usize> {
        let n = u64::try_from(self.points.len()).ok()?;
        let place = usize::try_from(place.checked_rem(n)?).ok()?;
        Some(self.points[place].1)
    }

    /// Whether two servers have one name.
    pub(crate) fn is_same(&self, one: usize, other: usize) -> bool {
        let first = |server: usize| self.same.get(server).filter(|first| **first != usize::MAX);
        first(one).is_some() && first(one) == first(other)
    }
}

/// Only digits after the last colon are a port; a Unix socket has none.
fn host_and_port(name: &str) -> (&str, &str) {
    if name.get(..5).is_some_and(|start| start.eq_ignore_ascii_case("unix:")) {
        return (&name[5..], "");
    }
    match name.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => (host, port),
        _ => (name, ""),
    }
}

/// MurmurHash2 with seed 0.
pub(crate) fn murmur2(bytes: &[u8]) -> u32 {
    const M: u32 = 0x5bd1_e995;
    let mut hash = bytes.len() as u32;
    let mut words = bytes.chunks_exact(4);
    for word in &mut words {
        let mut k = word.iter().rev().fold(0u32, |k, byte| k << 8 | u32::from(*byte)).wrapping_mul(M);
        k ^= k >> 24;
        hash = hash.wrapping_mul(M) ^ k.wrapping_mul(M);
    }
    let rest = words.remainder();
    if !rest.is_empty() {
        hash ^= rest.iter().rev().fold(0u32, |k, byte| k << 8 | u32::from(*byte));
        hash = hash.wrapping_mul(M);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(M);
    hash ^ hash >> 15
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_those_that_everybody_has() {
        assert_eq!(crc32(&[b"123456789"]), 0xcbf4_3926);
        assert_eq!(crc32(&[b"1234", b"56789"]), 0xcbf4_3926);
        assert_eq!(murmur2(b""), 0);
        assert_eq!(murmur2(b"abc"), 0x1357_7c9b);
    }

    #[test]
    fn a_name_is_taken_apart_at_its_port() {
        assert_eq!(host_and_port("10.0.0.1:80"), ("10.0.0.1", "80"));
        assert_eq!(host_and_port("10.0.0.1"), ("10.0.0.1", ""));
        assert_eq!(host_and_port("unix:/run/x:y"), ("/run/x:y", ""));
    }
}
