//! Rewriting and variables of one's own, as configured.

use super::{Handler, Return, Scope};
use evenkeel_wire::Prefix;
use serde::{Deserialize, Serialize};
use std::net::Ipv4Addr;

/// A directive of the rewrite module, in the order of the file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Step {
    /// `set`.
    Set {
        /// Without its dollar sign, lower case.
        variable: String,
        /// May hold variables.
        value: String,
    },
    /// `break`.
    Break,
    /// `return`.
    Return(Return),
    /// `rewrite`.
    Rewrite {
        /// Matched against the path.
        pattern: String,
        /// May hold variables and groups; a `?` at its end drops the arguments.
        replacement: String,
        /// What follows.
        then: Then,
    },
    /// `if`.
    If {
        /// Whether the block is gone through.
        condition: Condition,
        /// Its rewriting.
        steps: Vec<Step>,
        /// In a location: values, and what answers, from then on.
        inside: Option<Box<Inside>>,
    },
}

/// What is in force in an `if` of a location.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Inside {
    /// Values.
    pub scope: Scope,
    /// What answers; `None` leaves it to what is around.
    pub handler: Option<Handler>,
}

/// What follows a `rewrite` that matched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Then {
    /// The next directive; at the end the location is looked for again.
    Continue,
    /// `last`: the location is looked for again at once.
    Last,
    /// `break`: no more rewriting, and the location stays.
    Break,
    /// `redirect`, or a replacement that names a scheme: 302.
    Redirect,
    /// `permanent`: 301.
    Permanent,
}

/// What stands after `if`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Condition {
    /// What is looked at.
    pub test: Test,
    /// `!=`, `!~`, `!-f`: holds when the test fails.
    pub negated: bool,
}

/// A test of an `if`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Test {
    /// `$name`: neither empty nor `0`.
    True(String),
    /// `$name = value`.
    Equal(String, String),
    /// `$name ~ pattern`.
    Match {
        /// Without its dollar sign.
        variable: String,
        /// The expression.
        pattern: String,
        /// `~*`.
        ignore_case: bool,
    },
    /// `-f`, `-d`, `-e` or `-x`, and a path that may hold variables.
    File(FileTest, String),
}

/// What is asked of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FileTest {
    /// `-f`: a regular file.
    File,
    /// `-d`: a directory.
    Directory,
    /// `-e`: anything.
    Exists,
    /// `-x`: something that may be executed.
    Executable,
}

/// A variable that follows from others.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Computed {
    /// Without its dollar sign, lower case.
    pub name: String,
    /// What it follows from; may hold variables.
    pub source: String,
    /// How.
    pub rule: Rule,
}

/// How a variable follows from others.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Rule {
    /// `map`.
    Map(Map),
    /// `geo`.
    Geo(Geo),
    /// `split_clients`.
    Split(Vec<Share>),
}

/// `geo`: a value by the network of an address.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Geo {
    /// For addresses of no network, and for what is no address.
    pub default: String,
    /// Networks, in any order: the longest that holds the address has it.
    pub networks: Vec<(Prefix, String)>,
    /// `ranges`: from and to, none within another.
    pub ranges: Vec<(Ipv4Addr, Ipv4Addr, String)>,
}

/// A part of `split_clients`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Share {
    /// Hundredths of a per cent; `None` is all that is left.
    pub part: Option<u32>,
    /// As it stands: nginx looks for no variables in it.
    pub value: String,
}

/// `map`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Map {
    /// `hostnames`: keys may be `*.name`, `name.*` and `.name`.
    pub hostnames: bool,
    /// `volatile`: looked up anew each time.
    pub volatile: bool,
    /// May hold variables, as every value.
    pub default: String,
    /// Texts are compared without case.
    pub entries: Vec<(MapKey, String)>,
}

/// What stands on the left in a `map`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum MapKey {
    /// Lower case.
    Text(String),
    /// `~pattern` or `~*pattern`.
    Regex {
        /// The expression.
        pattern: String,
        /// `~*`.
        ignore_case: bool,
    },
}
