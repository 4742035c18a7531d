//! `NAT | DR | TUN [type ipip|gue port N|gre] [nocsum|csum|remcsum]`

use super::super::Lower;
use crate::keepalived::language::Word;
use evenkeel_balance::table::{Forward, Tunnel, TunnelChecksum};

impl Lower {
    /// A forwarding method, or `None` after saying why the line is not taken.
    pub(super) fn method(&mut self, words: &[Word]) -> Option<Forward> {
        let (first, rest) = words.split_first()?;
        match first.text.as_str() {
            "NAT" => self.no_tunnel(rest, Forward::Masquerade),
            "DR" => self.no_tunnel(rest, Forward::Direct),
            "TUN" => self.tunnel(first, rest).map(Forward::Tunnel),
            other => {
                let upper = other.to_ascii_uppercase();
                let hint = if matches!(upper.as_str(), "NAT" | "DR" | "TUN") { " (in capitals)" } else { "" };
                self.refuse(first, format!("`{other}` is none of NAT, DR, TUN{hint}"));
                None
            }
        }
    }

    fn no_tunnel(&mut self, rest: &[Word], forward: Forward) -> Option<Forward> {
        if let Some(word) = rest.first() {
            self.refuse(word, format!("`{}` belongs to TUN only", word.text));
            return None;
        }
        Some(forward)
    }

    fn tunnel(&mut self, first: &Word, rest: &[Word]) -> Option<Tunnel> {
        let (mut kind, mut port, mut checksum) = ("ipip", None, None);
        let mut words = rest.iter();
        while let Some(word) = words.next() {
            match word.text.as_str() {
                "type" => match words.next().map(|word| word.text.as_str()) {
                    Some(name @ ("ipip" | "gue" | "gre")) => kind = name,
                    _ => {
                        self.refuse(word, "`type` needs ipip, gue or gre".to_owned());
                        return None;
                    }
                },
                "port" => match words.next() {
                    Some(number) => port = Some(self.port(number)?),
                    None => {
                        self.refuse(word, "`port` needs a number".to_owned());
                        return None;
                    }
                },
                "nocsum" => checksum = Some(TunnelChecksum::Absent),
                "csum" => checksum = Some(TunnelChecksum::Present),
                "remcsum" => checksum = Some(TunnelChecksum::Remote),
                other => {
                    self.refuse(word, format!("`{other}` says nothing about a tunnel"));
                    return None;
                }
            }
        }
        let tunnel = match (kind, port, checksum) {
            ("gue", Some(port), checksum) => Ok(Tunnel::Gue { port, checksum: checksum.unwrap_or_default() }),
            ("gue", None, _) => Err("a gue tunnel needs `port N`"),
            (_, Some(_), _) => Err("only a gue tunnel has a port"),
            ("gre", None, Some(TunnelChecksum::Remote)) => Err("a gre tunnel has no remote checksum"),
            ("gre", None, checksum) => Ok(Tunnel::Gre { checksum: checksum.unwrap_or_default() }),
            (_, None, None | Some(TunnelChecksum::Absent)) => Ok(Tunnel::Ipip),
            (_, None, Some(_)) => Err("an ipip tunnel has no checksum"),
        };
        tunnel.map_err(|why| self.refuse(first, why.to_owned())).ok()
    }
}
