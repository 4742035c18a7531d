//! Every keyword of keepalived, one row each: the parser, the checks, the lowering and the documentation read these.

mod check;
mod global;
mod instance;
mod peer;
mod vrrp;

use super::language::Node;
use super::lower::Lower;
use std::sync::OnceLock;

/// One keyword in the blocks where it means the same.
#[derive(Clone, Copy)]
pub struct Directive {
    /// The keyword.
    pub name: &'static str,
    /// The blocks it may stand in.
    pub contexts: &'static [Block],
    /// Its arguments, as a person writes them down.
    pub arguments: &'static str,
    /// Fewest and most arguments.
    pub arity: (u8, u8),
    /// How common it is.
    pub tier: Tier,
    /// What becomes of it.
    pub support: Support,
    /// What is between its braces.
    pub body: Body,
    /// One line about it.
    pub doc: &'static str,
    pub(super) lower: Option<fn(&mut Lower, &Node)>,
}

impl std::fmt::Debug for Directive {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Directive").field("name", &self.name).field("contexts", &self.contexts).finish_non_exhaustive()
    }
}

/// A kind of block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "each is the block of that name")]
pub enum Block {
    /// Outside every block.
    Root,
    GlobalDefs,
    TrackGroup,
    SyncGroup,
    GarpGroup,
    Script,
    TrackProcess,
    TrackFile,
    /// `vrrp_track_file`
    LegacyTrackFile,
    Instance,
    Authentication,
    AuthHmac,
    Bfd,
    Ssl,
    VirtualServer,
    RealServer,
    HttpGet,
    SslGet,
    Url,
    TcpCheck,
    PingCheck,
    UdpCheck,
    SmtpCheck,
    SmtpHost,
    DnsCheck,
    MiscCheck,
    FileCheck,
    BfdCheck,
    AgentCheck,
    Peer,
}

impl Block {
    /// As the documentation names it.
    pub fn title(self) -> &'static str {
        match self {
            Block::Root => "outside every block",
            Block::GlobalDefs => "global_defs",
            Block::TrackGroup => "track_group",
            Block::SyncGroup => "vrrp_sync_group",
            Block::GarpGroup => "garp_group",
            Block::Script => "vrrp_script",
            Block::TrackProcess => "vrrp_track_process",
            Block::TrackFile => "track_file",
            Block::LegacyTrackFile => "vrrp_track_file",
            Block::Instance => "vrrp_instance",
            Block::Authentication => "authentication",
            Block::AuthHmac => "auth_hmac",
            Block::Bfd => "bfd_instance",
            Block::Ssl => "SSL",
            Block::VirtualServer => "virtual_server",
            Block::RealServer => "real_server",
            Block::HttpGet => "HTTP_GET",
            Block::SslGet => "SSL_GET",
            Block::Url => "url",
            Block::TcpCheck => "TCP_CHECK",
            Block::PingCheck => "PING_CHECK",
            Block::UdpCheck => "UDP_CHECK",
            Block::SmtpCheck => "SMTP_CHECK",
            Block::SmtpHost => "SMTP_CHECK host",
            Block::DnsCheck => "DNS_CHECK",
            Block::MiscCheck => "MISC_CHECK",
            Block::FileCheck => "FILE_CHECK",
            Block::BfdCheck => "BFD_CHECK",
            Block::AgentCheck => "AGENT_CHECK",
            Block::Peer => "peer",
        }
    }
}

/// How common a keyword is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tier {
    /// In almost every real configuration.
    T1,
    /// Common.
    T2,
    /// Rare.
    T3,
    /// Obsolete, an alias, or without effect.
    T4,
    /// Unknown to keepalived, which would only log it.
    Ours,
}

/// What evenkeel does with a keyword.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Support {
    /// What keepalived does.
    Supported,
    /// It is understood and changes nothing.
    Accepted {
        /// Why.
        reason: &'static str,
        /// A service that relies on it will notice.
        missed: bool,
    },
}

/// What the braces of a keyword hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body {
    /// It has none.
    Line,
    /// Keywords.
    Block(Block),
    /// Lines of data.
    Values,
    /// Lines of data, and the braces may be left out.
    OptionalValues,
}

/// All rows.
pub fn directives() -> &'static [Directive] {
    static ALL: OnceLock<Vec<Directive>> = OnceLock::new();
    ALL.get_or_init(|| [global::ROWS, vrrp::ROWS, instance::ROWS, check::ROWS, peer::ROWS].concat())
}

/// The row of `name` in `block`.
pub(super) fn find(block: Block, name: &str) -> Option<&'static Directive> {
    static BY_NAME: OnceLock<std::collections::HashMap<&'static str, Vec<&'static Directive>>> = OnceLock::new();
    let by_name = BY_NAME.get_or_init(|| {
        let mut by_name = std::collections::HashMap::<_, Vec<_>>::new();
        for directive in directives() {
            by_name.entry(directive.name).or_default().push(directive);
        }
        by_name
    });
    by_name.get(name)?.iter().find(|directive| directive.contexts.contains(&block)).copied()
}

/// Spellings of older releases and of articles, with what keepalived calls the same thing today.
pub(super) fn present_name(block: Block, name: &str) -> Option<&'static str> {
    const CHECKS: [Block; 6] =
        [Block::TcpCheck, Block::PingCheck, Block::UdpCheck, Block::SmtpCheck, Block::DnsCheck, Block::MiscCheck];
    match name {
        "lvs_sync_daemon_inteface" if block == Block::Instance => Some("lvs_sync_daemon_interface"),
        "nb_get_retry" if CHECKS.contains(&block) => Some("retry"),
        "lb_kind" if block == Block::RealServer => Some("lvs_method"),
        _ => None,
    }
}

/// The valid word nearest to `name`, when one is near enough to be meant.
pub(super) fn nearest(block: Block, name: &str) -> Option<&'static str> {
    directives()
        .iter()
        .filter(|directive| directive.contexts.contains(&block))
        .map(|directive| (strsim::damerau_levenshtein(name, directive.name), directive.name))
        .min()
        .filter(|(distance, nearest)| *distance <= 1 + nearest.len() / 5)
        .map(|(_, nearest)| nearest)
}

/// The block other than `block` where `name` is a keyword; where it is most common when there are several.
pub(super) fn elsewhere(block: Block, name: &str) -> Option<Block> {
    let mut rows: Vec<_> = directives().iter().filter(|directive| directive.name == name).collect();
    rows.sort_by_key(|directive| directive.tier as u8);
    rows.iter().flat_map(|directive| directive.contexts).copied().find(|context| *context != block)
}

/// Any number of arguments.
const MANY: u8 = u8::MAX;

/// Support level and lowering of a row.
type Act = (Support, Option<fn(&mut Lower, &Node)>);

const fn does(lower: fn(&mut Lower, &Node)) -> Act {
    (Support::Supported, Some(lower))
}

/// Lowered, though nothing acts on it.
const fn kept(lower: fn(&mut Lower, &Node), reason: &'static str) -> Act {
    (Support::Accepted { reason, missed: false }, Some(lower))
}

/// Without effect for good.
const fn moot(reason: &'static str) -> Act {
    (Support::Accepted { reason, missed: false }, None)
}

/// Without effect for good, and somebody relies on it.
const fn lacks(reason: &'static str) -> Act {
    (Support::Accepted { reason, missed: true }, None)
}

/// `in [BLOCK ...] { "keyword" "arguments" FEWEST..MOST TIER BODY act "doc"; ... }` makes `ROWS`.
macro_rules! rows {
    ($(in $contexts:tt {
        $($name:literal $arguments:literal $min:literal..$max:tt $tier:ident $body:ident $act:ident($($of:expr),*) $doc:literal;)*
    })*) => {
        pub(super) const ROWS: &[Directive] = &[$($({
            let act = $act($($of),*);
            Directive {
                name: $name,
                contexts: $crate::keepalived::rows::contexts!($contexts),
                arguments: $arguments,
                arity: ($min, $max),
                tier: $crate::keepalived::rows::Tier::$tier,
                support: act.0,
                body: $crate::keepalived::rows::body!($body),
                doc: $doc,
                lower: act.1,
            }
        },)*)*];
    };
}

macro_rules! contexts {
    ([$($block:ident)+]) => {
        &[$($crate::keepalived::rows::Block::$block),+]
    };
}

macro_rules! body {
    (line) => {
        $crate::keepalived::rows::Body::Line
    };
    (values) => {
        $crate::keepalived::rows::Body::Values
    };
    (optional) => {
        $crate::keepalived::rows::Body::OptionalValues
    };
    ($block:ident) => {
        $crate::keepalived::rows::Body::Block($crate::keepalived::rows::Block::$block)
    };
}

use {body, contexts, rows};
