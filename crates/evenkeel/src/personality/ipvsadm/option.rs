//! The options, which of them go with which command, and words as popt reads them.

use super::Failure;

/// An option that a command may have. The order is that in which they are checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "each is the option that its name is given for below")]
pub enum Name {
    Numeric,
    Connection,
    Service,
    Scheduler,
    Persistent,
    Netmask,
    Server,
    Method,
    Weight,
    UpperThreshold,
    LowerThreshold,
    Interface,
    Timeout,
    Daemon,
    Statistics,
    Rate,
    Thresholds,
    PersistentConnections,
    NoSort,
    SyncId,
    Exact,
    OnePacket,
    Engine,
    SchedulerFlags,
    Group,
    Port,
    Ttl,
    MaxLength,
    TunnelInfo,
    TunnelType,
    TunnelPort,
    TunnelNoChecksum,
    TunnelChecksum,
    TunnelRemoteChecksum,
}

use Name::{
    Connection, Daemon, Engine, Exact, Group, Interface, LowerThreshold, MaxLength, Method, Netmask, NoSort, Numeric,
    OnePacket, Persistent, PersistentConnections, Port, Rate, Scheduler, SchedulerFlags, Server, Service, Statistics,
    SyncId, Thresholds, Timeout, Ttl, TunnelChecksum, TunnelInfo, TunnelNoChecksum, TunnelPort, TunnelRemoteChecksum,
    TunnelType, UpperThreshold, Weight,
};

impl Name {
    const ALL: [Name; 34] = [
        Numeric,
        Connection,
        Service,
        Scheduler,
        Persistent,
        Netmask,
        Server,
        Method,
        Weight,
        UpperThreshold,
        LowerThreshold,
        Interface,
        Timeout,
        Daemon,
        Statistics,
        Rate,
        Thresholds,
        PersistentConnections,
        NoSort,
        SyncId,
        Exact,
        OnePacket,
        Engine,
        SchedulerFlags,
        Group,
        Port,
        Ttl,
        MaxLength,
        TunnelInfo,
        TunnelType,
        TunnelPort,
        TunnelNoChecksum,
        TunnelChecksum,
        TunnelRemoteChecksum,
    ];

    /// Its name in complaints.
    pub fn name(self) -> &'static str {
        match self {
            Numeric => "numeric",
            Connection => "connection",
            Service => "service-address",
            Scheduler => "scheduler",
            Persistent => "persistent",
            Netmask => "netmask",
            Server => "real-server",
            Method => "forwarding-method",
            Weight => "weight",
            UpperThreshold => "u-threshold",
            LowerThreshold => "l-threshold",
            Interface => "mcast-interface",
            Timeout => "timeout",
            Daemon => "daemon",
            Statistics => "stats",
            Rate => "rate",
            Thresholds => "thresholds",
            PersistentConnections => "persistent-conn",
            NoSort => "nosort",
            SyncId => "syncid",
            Exact => "exact",
            OnePacket => "ops",
            Engine => "pe",
            SchedulerFlags => "sched-flags",
            Group => "mcast-group",
            Port => "mcast-port",
            Ttl => "mcast-ttl",
            MaxLength => "sync-maxlen",
            TunnelInfo => "tun-info",
            TunnelType => "tun-type",
            TunnelPort => "tun-port",
            TunnelNoChecksum => "tun-nocsum",
            TunnelChecksum => "tun-csum",
            TunnelRemoteChecksum => "tun-remcsum",
        }
    }
}

/// What a word on the command line stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Word {
    /// `-A`.
    AddService,
    /// `-E`.
    EditService,
    /// `-D`.
    DeleteService,
    /// `-C`.
    Clear,
    /// `-L` or `-l`.
    List,
    /// `-a`.
    AddServer,
    /// `-e`.
    EditServer,
    /// `-d`.
    DeleteServer,
    /// `-R`.
    Restore,
    /// `-S`.
    Save,
    /// `-Z`.
    Zero,
    /// `--set`.
    SetTimeouts,
    /// `--start-daemon`.
    StartDaemon,
    /// `--stop-daemon`.
    StopDaemon,
    /// `-h`.
    Help,
    /// `--version`, `-v`.
    Version,
    /// `-t`.
    Tcp,
    /// `-u`.
    Udp,
    /// `--sctp-service`.
    Sctp,
    /// `-f`.
    Mark,
    /// `-g`.
    Gatewaying,
    /// `-i`.
    Ipip,
    /// `-m`.
    Masquerading,
    /// `-6`.
    Ipv6,
    /// `--sort`.
    Sort,
    /// Any other.
    Plain(Name),
}

/// What follows a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Follows {
    /// Nothing.
    Nothing,
    /// A value.
    Value,
    /// A value that does not begin with a dash, or nothing.
    Perhaps,
}

struct Row(char, &'static str, Follows, Word);

use Follows::{Nothing, Perhaps, Value};

const ROWS: &[Row] = &[
    Row('A', "add-service", Nothing, Word::AddService),
    Row('E', "edit-service", Nothing, Word::EditService),
    Row('D', "delete-service", Nothing, Word::DeleteService),
    Row('C', "clear", Nothing, Word::Clear),
    Row('L', "list", Nothing, Word::List),
    Row('l', "list", Nothing, Word::List),
    Row('a', "add-server", Nothing, Word::AddServer),
    Row('e', "edit-server", Nothing, Word::EditServer),
    Row('d', "delete-server", Nothing, Word::DeleteServer),
    Row('R', "restore", Nothing, Word::Restore),
    Row('S', "save", Nothing, Word::Save),
    Row('Z', "zero", Nothing, Word::Zero),
    Row(' ', "set", Nothing, Word::SetTimeouts),
    Row(' ', "start-daemon", Value, Word::StartDaemon),
    Row(' ', "stop-daemon", Value, Word::StopDaemon),
    Row('h', "help", Nothing, Word::Help),
    Row('v', "version", Nothing, Word::Version),
    Row('t', "tcp-service", Value, Word::Tcp),
    Row('u', "udp-service", Value, Word::Udp),
    Row(' ', "sctp-service", Value, Word::Sctp),
    Row('f', "fwmark-service", Value, Word::Mark),
    Row('g', "gatewaying", Nothing, Word::Gatewaying),
    Row('i', "ipip", Nothing, Word::Ipip),
    Row('m', "masquerading", Nothing, Word::Masquerading),
    Row('6', "ipv6", Nothing, Word::Ipv6),
    Row(' ', "sort", Nothing, Word::Sort),
    Row('n', "numeric", Nothing, Word::Plain(Numeric)),
    Row('c', "connection", Nothing, Word::Plain(Connection)),
    Row('s', "scheduler", Value, Word::Plain(Scheduler)),
    Row('p', "persistent", Perhaps, Word::Plain(Persistent)),
    Row('M', "netmask", Value, Word::Plain(Netmask)),
    Row('r', "real-server", Value, Word::Plain(Server)),
    Row('w', "weight", Value, Word::Plain(Weight)),
    Row('x', "u-threshold", Value, Word::Plain(UpperThreshold)),
    Row('y', "l-threshold", Value, Word::Plain(LowerThreshold)),
    Row(' ', "mcast-interface", Value, Word::Plain(Interface)),
    Row(' ', "timeout", Nothing, Word::Plain(Timeout)),
    Row(' ', "daemon", Nothing, Word::Plain(Daemon)),
    Row(' ', "stats", Nothing, Word::Plain(Statistics)),
    Row(' ', "rate", Nothing, Word::Plain(Rate)),
    Row(' ', "thresholds", Nothing, Word::Plain(Thresholds)),
    Row(' ', "persistent-conn", Nothing, Word::Plain(PersistentConnections)),
    Row(' ', "nosort", Nothing, Word::Plain(NoSort)),
    Row(' ', "syncid", Value, Word::Plain(SyncId)),
    Row(' ', "exact", Nothing, Word::Plain(Exact)),
    Row('o', "ops", Nothing, Word::Plain(OnePacket)),
    Row(' ', "pe", Value, Word::Plain(Engine)),
    Row('b', "sched-flags", Value, Word::Plain(SchedulerFlags)),
    Row(' ', "mcast-group", Value, Word::Plain(Group)),
    Row(' ', "mcast-port", Value, Word::Plain(Port)),
    Row(' ', "mcast-ttl", Value, Word::Plain(Ttl)),
    Row(' ', "sync-maxlen", Value, Word::Plain(MaxLength)),
    Row(' ', "tun-info", Nothing, Word::Plain(TunnelInfo)),
    Row(' ', "tun-type", Value, Word::Plain(TunnelType)),
    Row(' ', "tun-port", Value, Word::Plain(TunnelPort)),
    Row(' ', "tun-nocsum", Nothing, Word::Plain(TunnelNoChecksum)),
    Row(' ', "tun-csum", Nothing, Word::Plain(TunnelChecksum)),
    Row(' ', "tun-remcsum", Nothing, Word::Plain(TunnelRemoteChecksum)),
];

/// An option that was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Given {
    /// What it stands for.
    pub word: Word,
    /// What followed.
    pub value: Option<String>,
    /// The word of the command line in which it was.
    pub text: String,
}

/// Options one after the other, and the words that are none.
pub struct Reader<'a> {
    words: std::slice::Iter<'a, String>,
    /// Letters of a bundle that are still to come, and the bundle.
    bundle: (&'a str, &'a str),
    /// Words that are no options.
    pub rest: Vec<String>,
    only_rest: bool,
}

impl<'a> Reader<'a> {
    /// Reads the words after the program's name.
    pub fn new(words: &'a [String]) -> Self {
        Reader { words: words.iter(), bundle: ("", ""), rest: Vec::new(), only_rest: false }
    }

    /// The next option.
    pub fn next(&mut self) -> Result<Option<Given>, Failure> {
        loop {
            let (letters, bundle) = self.bundle;
            if let Some(letter) = letters.chars().next() {
                let after = &letters[letter.len_utf8()..];
                let row = ROWS.iter().find(|Row(short, ..)| *short == letter && letter != ' ');
                let Some(Row(_, _, follows, word)) = row else {
                    return Err(unknown(bundle));
                };
                // A value may follow at once, or after an equals sign.
                let glued =
                    (!after.is_empty() && *follows != Nothing).then(|| after.strip_prefix('=').unwrap_or(after));
                self.bundle = if *follows == Nothing { (after, bundle) } else { ("", "") };
                let value = self.value(*follows, glued, bundle)?;
                return Ok(Some(Given { word: *word, value, text: bundle.to_owned() }));
            }
            let Some(text) = self.words.next() else {
                return Ok(None);
            };
            if self.only_rest || !text.starts_with('-') || text == "-" {
                self.rest.push(text.clone());
            } else if text == "--" {
                self.only_rest = true;
            } else if let Some(long) = text.strip_prefix("--") {
                let (name, glued) = match long.split_once('=') {
                    Some((name, value)) => (name, Some(value)),
                    None => (long, None),
                };
                let Some(Row(_, _, follows, word)) = ROWS.iter().find(|Row(_, long, ..)| *long == name) else {
                    return Err(unknown(text));
                };
                let value = self.value(*follows, glued, text)?;
                return Ok(Some(Given { word: *word, value, text: text.clone() }));
            } else {
                self.bundle = (&text[1..], text);
            }
        }
    }

    fn value(&mut self, follows: Follows, glued: Option<&str>, text: &str) -> Result<Option<String>, Failure> {
        match (follows, glued) {
            (Nothing, _) => Ok(None),
            (Value | Perhaps, Some(glued)) => Ok(Some(glued.to_owned())),
            (Value, None) => match self.words.next() {
                Some(value) => Ok(Some(value.clone())),
                None => Err(Failure::Word(format!("{text}: missing argument"))),
            },
            (Perhaps, None) => {
                let next = self.words.as_slice().first().filter(|next| !next.starts_with('-'));
                if next.is_some() {
                    self.words.next();
                }
                Ok(next.cloned())
            }
        }
    }
}

fn unknown(text: &str) -> Failure {
    Failure::Word(format!("{text}: unknown option"))
}

/// What a command needs, takes, and takes only one of. The rest it refuses.
pub struct Rule {
    /// Its name in complaints.
    pub name: &'static str,
    /// What it needs.
    pub needs: &'static [Name],
    /// What it takes.
    pub takes: &'static [Name],
    /// Of which it takes one.
    pub one_of: &'static [Name],
}

const OF_SERVICE: &[Name] = &[Scheduler, Persistent, Netmask, OnePacket, Engine, SchedulerFlags];
const OF_SERVER: &[Name] = &[
    Method,
    Weight,
    UpperThreshold,
    LowerThreshold,
    TunnelType,
    TunnelPort,
    TunnelNoChecksum,
    TunnelChecksum,
    TunnelRemoteChecksum,
];
const OF_LIST: &[Name] =
    &[Numeric, Statistics, Rate, Thresholds, PersistentConnections, NoSort, SyncId, Exact, TunnelInfo];
const ONE_OF_LIST: &[Name] = &[Connection, Service, Timeout, Daemon];
const OF_DAEMON: &[Name] = &[Interface, SyncId, Group, Port, Ttl, MaxLength];

/// The rule of a command.
pub fn rule(command: Word) -> Rule {
    let rule = |name, needs, takes| Rule { name, needs, takes, one_of: &[] };
    match command {
        Word::AddService => rule("add-service", &[Service], OF_SERVICE),
        Word::EditService => rule("edit-service", &[Service], OF_SERVICE),
        Word::DeleteService => rule("delete-service", &[Service], &[]),
        Word::Clear => rule("flush", &[], &[]),
        Word::AddServer => rule("add-server", &[Service, Server], OF_SERVER),
        Word::EditServer => rule("edit-server", &[Service, Server], OF_SERVER),
        Word::DeleteServer => rule("delete-server", &[Service, Server], &[]),
        Word::SetTimeouts => rule("set", &[], &[]),
        Word::StartDaemon => rule("start-daemon", &[], OF_DAEMON),
        Word::StopDaemon => rule("stop-daemon", &[], &[SyncId]),
        Word::Restore => rule("restore", &[], &[]),
        Word::Save => rule("save", &[], &[Numeric]),
        Word::Zero => rule("zero", &[], &[Service]),
        _ => Rule { name: "list", needs: &[], takes: OF_LIST, one_of: ONE_OF_LIST },
    }
}

impl Rule {
    /// Holds what was given against the rule.
    pub fn check(&self, given: &[Name], what: &str) -> Result<(), Failure> {
        let mut last: Option<Name> = None;
        for option in Name::ALL {
            let name = option.name();
            if !given.contains(&option) {
                if self.needs.contains(&option) {
                    let text = format!("You need to supply the '{name}' option for the '{}' {what}", self.name);
                    return Err(Failure::Wrong(text));
                }
            } else if self.one_of.contains(&option) {
                if let Some(last) = last {
                    let text = format!(
                        "The option '{name}' conflicts with the '{}' option in the '{}' {what}",
                        last.name(),
                        self.name
                    );
                    return Err(Failure::Wrong(text));
                }
                last = Some(option);
            } else if !self.needs.contains(&option) && !self.takes.contains(&option) {
                return Err(Failure::Wrong(format!("Illegal '{name}' option with the '{}' {what}", self.name)));
            }
        }
        Ok(())
    }
}

/// The options that say more about a tunnel.
pub const OF_TUNNEL: &[Name] = &[TunnelType, TunnelPort, TunnelNoChecksum, TunnelChecksum, TunnelRemoteChecksum];

/// The rule of a kind of tunnel, for all but its type.
pub fn tunnel_rule(name: &str) -> Rule {
    match name {
        "gue" => Rule {
            name: "gue",
            needs: &[TunnelPort],
            takes: &[],
            one_of: &[TunnelNoChecksum, TunnelChecksum, TunnelRemoteChecksum],
        },
        "gre" => Rule { name: "gre", needs: &[], takes: &[], one_of: &[TunnelNoChecksum, TunnelChecksum] },
        _ => Rule { name: "ipip", needs: &[], takes: &[], one_of: &[] },
    }
}
