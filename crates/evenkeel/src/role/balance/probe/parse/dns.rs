//! DNS queries, and which datagram is the reply.
//!
//! ```text
//!  0               16              32
//!  +---------------+---------------+   QR: 1 in a reply. RD: 1, as keepalived asks.
//!  | id            |QR....RD..RCODE|   The query has one question and nothing else:
//!  | questions     | answers       |   name as labels, type, class IN.
//!  | authorities   | additional    |
//!  +---------------+---------------+   RFC 1035, section 4.1
//! ```

const HEADER: usize = 12;
const CLASS_IN: u16 = 1;

/// A query that waits for its reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    bytes: Vec<u8>,
}

/// What a datagram is to a query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Datagram {
    /// Its reply, with this status.
    Reply(u8),
    /// Something else: another id, another question, a query.
    Stranger,
}

impl Query {
    /// A query for `name` (`.` is the root), or what is wrong with the name.
    pub fn new(id: u16, name: &str, query_type: u16) -> Result<Self, String> {
        let mut bytes = Vec::with_capacity(HEADER + name.len() + 6);
        bytes.extend(id.to_be_bytes());
        // RD, and one question.
        bytes.extend([0x01, 0x00, 0, 1, 0, 0, 0, 0, 0, 0]);
        let name = name.strip_suffix('.').unwrap_or(name);
        for label in name.split('.').filter(|_| !name.is_empty()) {
            let length = u8::try_from(label.len()).ok().filter(|length| (1..=63).contains(length));
            let length = length.ok_or_else(|| format!("DNS name {name:?}: label {label:?} is empty or too long"))?;
            bytes.push(length);
            bytes.extend(label.bytes());
        }
        bytes.push(0);
        // RFC 1035, section 2.3.4.
        if bytes.len() - HEADER > 255 {
            return Err(format!("DNS name {name:?} is too long"));
        }
        bytes.extend(query_type.to_be_bytes());
        bytes.extend(CLASS_IN.to_be_bytes());
        Ok(Self { bytes })
    }

    /// The datagram to send.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Whether a datagram is the reply: our id, a reply at all, and our question in it. keepalived compares no questions,
    /// so that whoever guesses an id of 16 bits answers for the server.
    pub fn judge(&self, datagram: &[u8]) -> Datagram {
        let Some((header, rest)) = datagram.split_at_checked(HEADER) else { return Datagram::Stranger };
        let (question, rcode) = (&self.bytes[HEADER..], header[3] & 0x0f);
        if header[..2] != self.bytes[..2] || header[2] & 0x80 == 0 {
            return Datagram::Stranger;
        }
        match u16::from_be_bytes([header[4], header[5]]) {
            // Servers that refuse may leave the question away.
            0 if rcode != 0 => Datagram::Reply(rcode),
            // Lower and upper case are the same to a server, and lengths are no letters.
            1 if rest.get(..question.len()).is_some_and(|theirs| theirs.eq_ignore_ascii_case(question)) => {
                Datagram::Reply(rcode)
            }
            _ => Datagram::Stranger,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOA: u16 = 6;

    /// Captured from keepalived 2.2.7, which asks so by default.
    #[test]
    fn the_query_for_the_root_is_keepaliveds() {
        let query = Query::new(0xa4ae, ".", SOA).unwrap();
        assert_eq!(query.bytes(), b"\xa4\xae\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x00\x06\x00\x01");
    }

    #[test]
    fn names_become_labels_or_are_refused() {
        let query = |name: &str| Query::new(1, name, 1).map(|query| query.bytes()[HEADER..].to_vec());
        assert_eq!(query("a.bc").unwrap(), b"\x01a\x02bc\0\0\x01\0\x01");
        assert_eq!(query("a.bc.").unwrap(), query("a.bc").unwrap());
        assert!(query("a..b").unwrap_err().contains("empty"));
        assert!(query(&"a".repeat(64)).is_err());
        assert!(query(&"a.".repeat(127)).is_ok());
        assert!(query(&"a.".repeat(128)).unwrap_err().contains("too long"));
    }

    #[test]
    fn only_the_answer_to_the_question_is_one() {
        let query = Query::new(0x1234, "www.test", 1).unwrap();
        let answer = |change: fn(&mut Vec<u8>)| {
            let mut bytes = query.bytes().to_vec();
            bytes[2] |= 0x80;
            change(&mut bytes);
            query.judge(&bytes)
        };
        assert_eq!(answer(|_| {}), Datagram::Reply(0));
        assert_eq!(answer(|bytes| bytes[3] = 0x82), Datagram::Reply(2));
        assert_eq!(answer(|bytes| bytes[13] = b'W'), Datagram::Reply(0));
        assert_eq!(answer(|bytes| bytes.extend([0; 100])), Datagram::Reply(0));
        assert_eq!(answer(|bytes| bytes[0] = 0), Datagram::Stranger);
        assert_eq!(answer(|bytes| bytes[2] = 1), Datagram::Stranger);
        assert_eq!(answer(|bytes| bytes[13] = b'x'), Datagram::Stranger);
        assert_eq!(answer(|bytes| bytes[5] = 2), Datagram::Stranger);
        assert_eq!(answer(|bytes| bytes.truncate(20)), Datagram::Stranger);
        assert_eq!(answer(Vec::clear), Datagram::Stranger);
        let refused = |bytes: &mut Vec<u8>| {
            bytes.truncate(HEADER);
            (bytes[3], bytes[5]) = (5, 0);
        };
        assert_eq!(answer(refused), Datagram::Reply(5));
        assert_eq!(answer(|bytes| bytes[5] = 0), Datagram::Stranger);
    }
}
