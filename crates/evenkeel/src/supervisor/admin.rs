//! What people asked of servers: apart from the configuration, and kept in a file so that it outlives everything else. Nodes
//! that are peers have the same words: the latest one about a server counts, wherever it was said.

use evenkeel_balance::AdminState;
use evenkeel_bus::{Administered, WallTime};
use evenkeel_peer::{Asked, Stamp, Word, Words};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// Words about servers, each of them in the file too.
#[derive(Debug, Default)]
pub struct Admin {
    path: Option<PathBuf>,
    /// Tells this node's words from those that others said at the same millisecond.
    node: u64,
    words: Words,
}

/// The file.
#[derive(Debug, Serialize, Deserialize)]
struct Book {
    node: u64,
    words: Vec<Word>,
}

impl Admin {
    /// Reads what was kept at `path`. A file that cannot be read or understood is told, and nothing is asked of any server.
    pub fn open(path: PathBuf) -> Self {
        let Book { node, words } = match std::fs::read(&path) {
            Ok(text) => parse(&text).unwrap_or_else(|error| {
                tracing::error!(target: "supervisor", "{} is not understood, and no server is drained: {error}", path.display());
                Book::new()
            }),
            Err(error) => {
                if error.kind() != std::io::ErrorKind::NotFound {
                    tracing::error!(target: "supervisor", "read {}: {error}", path.display());
                }
                Book::new()
            }
        };
        Admin { path: Some(path), node, words: Words::new(words) }
    }

    /// All that stands now.
    pub fn all(&self) -> Vec<Administered> {
        self.words.all().map(|word| administered(&word)).filter(|word| word.state != AdminState::Enabled).collect()
    }

    /// All that was ever said, for the peers: what was taken back, too.
    pub fn words(&self) -> Vec<Word> {
        self.words.all().collect()
    }

    /// Takes a word that replaces the one before about the same server.
    ///
    /// # Errors
    /// When it cannot be kept: then it does not hold either.
    pub fn keep(&mut self, word: &Administered) -> Result<(), String> {
        let mut words = self.words.clone();
        let asked = asked(word.state);
        if words.ask(WallTime::now().unix_millis(), self.node, &word.pool, &word.server, asked).is_none() {
            return Err(format!("there are words about {} servers already: enable some of them", Words::MOST));
        }
        self.write(&words)?;
        self.words = words;
        Ok(())
    }

    /// Takes in what a peer knows. What is news comes back; it holds even when it cannot be kept.
    pub fn merge(&mut self, words: Vec<Word>) -> Vec<Administered> {
        let news = self.words.merge(words);
        if !news.is_empty()
            && let Err(error) = self.write(&self.words)
        {
            tracing::error!(target: "supervisor", "{error}; what the peer says of servers is forgotten with this process");
        }
        news.iter().map(administered).collect()
    }

    fn write(&self, words: &Words) -> Result<(), String> {
        let Some(path) = &self.path else { return Ok(()) };
        let book = Book { node: self.node, words: words.all().collect() };
        write(path, &book).map_err(|error| format!("write {}: {error}", path.display()))
    }
}

impl Book {
    fn new() -> Self {
        Book { node: super::seed(), words: Vec::new() }
    }
}

/// The file, or the plain list that was there before nodes had peers: older than whatever they say.
fn parse(text: &[u8]) -> serde_json::Result<Book> {
    if !text.trim_ascii_start().starts_with(b"[") {
        return serde_json::from_slice(text);
    }
    let old: Vec<Administered> = serde_json::from_slice(text)?;
    let word = |old: Administered| Word {
        asked: asked(old.state),
        pool: old.pool,
        server: old.server,
        stamp: Stamp { at_ms: 1, node: 0 },
    };
    Ok(Book { words: old.into_iter().map(word).collect(), ..Book::new() })
}

fn asked(state: AdminState) -> Asked {
    match state {
        AdminState::Enabled => Asked::Enabled,
        AdminState::Drained => Asked::Drained,
        AdminState::Disabled => Asked::Disabled,
        AdminState::Weight(weight) => Asked::Weight(weight),
    }
}

fn administered(word: &Word) -> Administered {
    let state = match word.asked {
        Asked::Enabled => AdminState::Enabled,
        Asked::Drained => AdminState::Drained,
        Asked::Disabled => AdminState::Disabled,
        Asked::Weight(weight) => AdminState::Weight(weight),
    };
    Administered { pool: word.pool.clone(), server: word.server.clone(), state }
}

/// Replaces a file in one step.
pub(super) fn write(path: &Path, content: &impl Serialize) -> std::io::Result<()> {
    if let Some(directory) = path.parent() {
        std::fs::create_dir_all(directory)?;
    }
    let text = serde_json::to_string_pretty(content)? + "\n";
    let new = path.with_extension("new");
    std::fs::write(&new, text)?;
    std::fs::rename(new, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn word(server: &str, state: AdminState) -> Administered {
        Administered { pool: "[10.0.0.1]:tcp:80".to_owned(), server: server.to_owned(), state }
    }

    #[test]
    fn words_outlive_the_process_and_the_last_one_about_a_server_counts() {
        let directory = std::env::temp_dir().join(format!("evenkeel-admin-{}", std::process::id()));
        let path = directory.join("servers.json");
        let mut admin = Admin::open(path.clone());
        assert_eq!(admin.all(), []);
        admin.keep(&word("10.0.0.2:80", AdminState::Drained)).unwrap();
        admin.keep(&word("10.0.0.3:80", AdminState::Weight(5))).unwrap();
        admin.keep(&word("10.0.0.2:80", AdminState::Disabled)).unwrap();
        let expected = [word("10.0.0.2:80", AdminState::Disabled), word("10.0.0.3:80", AdminState::Weight(5))];
        assert_eq!(Admin::open(path.clone()).all(), expected);
        assert_eq!(Admin::open(path.clone()).node, admin.node);
        admin.keep(&word("10.0.0.3:80", AdminState::Enabled)).unwrap();
        assert_eq!(Admin::open(path.clone()).all(), expected[..1]);
        assert_eq!(Admin::open(path.clone()).words().len(), 2, "peers have to hear that it was taken back");
        std::fs::write(&path, "[{").unwrap();
        assert_eq!(Admin::open(path).all(), []);
        std::fs::remove_dir_all(directory).unwrap();
    }

    #[test]
    fn the_list_of_an_older_version_is_read_and_any_peer_knows_better() {
        let directory = std::env::temp_dir().join(format!("evenkeel-admin-old-{}", std::process::id()));
        let path = directory.join("servers.json");
        let old = [word("10.0.0.2:80", AdminState::Drained), word("10.0.0.3:80", AdminState::Disabled)];
        write(&path, &old).unwrap();
        let mut admin = Admin::open(path.clone());
        assert_eq!(admin.all(), old);
        let pool = "[10.0.0.1]:tcp:80".to_owned();
        let said = |server: &str, asked, at_ms| Word {
            pool: pool.clone(),
            server: server.to_owned(),
            asked,
            stamp: Stamp { at_ms, node: 9 },
        };
        let news = admin.merge(vec![said("10.0.0.2:80", Asked::Enabled, 2), said("10.0.0.4:80", Asked::Weight(3), 3)]);
        assert_eq!(news, [word("10.0.0.2:80", AdminState::Enabled), word("10.0.0.4:80", AdminState::Weight(3))]);
        assert_eq!(admin.merge(vec![said("10.0.0.2:80", Asked::Drained, 1)]), [], "that is older");
        let kept = [word("10.0.0.3:80", AdminState::Disabled), word("10.0.0.4:80", AdminState::Weight(3))];
        assert_eq!(Admin::open(path).all(), kept);
        std::fs::remove_dir_all(directory).unwrap();
    }
}
