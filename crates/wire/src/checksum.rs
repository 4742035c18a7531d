//! The Internet checksum (RFC 1071).

/// The ones' complement sum over `parts`, each of which but the last must have an even length.
///
/// Over data that carries its right checksum the result is 0.
pub fn internet(parts: &[&[u8]]) -> u16 {
    let mut sum: u64 = 0;
    for part in parts {
        let mut words = part.chunks_exact(2);
        for word in &mut words {
            sum += u64::from(u16::from_be_bytes([word[0], word[1]]));
        }
        if let [last] = words.remainder() {
            sum += u64::from(*last) << 8;
        }
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_rfc_1071() {
        let data = [0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7];
        assert_eq!(internet(&[&data]), !0xddf2);
    }

    #[test]
    fn data_with_its_checksum_sums_to_zero() {
        let data = [0x12, 0x34, 0x56];
        let sum = internet(&[&data]).to_be_bytes();
        assert_eq!(internet(&[&sum, &data]), 0);
    }
}
