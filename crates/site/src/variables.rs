//! Variables that the configuration itself defines.

use crate::config::Config;
use crate::config::rewrite::{MapKey, Rule, Step, Test};
use crate::config::{Location, LocationMatch, ServerName};
use crate::pattern::{Pattern, PatternError};
use crate::template::Variable;
use std::collections::BTreeMap;

/// Names and what they stand for. Names are compared without case.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Variables {
    by_name: BTreeMap<String, Variable>,
    /// By slot: `set` gives a variable the empty value from the start, a group of an expression gives it none.
    was_set: Vec<bool>,
    n_computed: usize,
}

/// A pattern and why it was refused.
pub type RefusedPattern = (String, PatternError);

impl Variables {
    /// All that a configuration defines.
    pub fn of(config: &Config) -> Result<Variables, RefusedPattern> {
        let mut variables = Variables::default();
        for computed in &config.computed {
            variables.add_computed(&computed.name);
            match &computed.rule {
                Rule::Map(map) => {
                    for (key, _) in &map.entries {
                        if let MapKey::Regex { pattern, .. } = key {
                            variables.add_groups(pattern)?;
                        }
                    }
                }
                Rule::Geo(_) | Rule::Split(_) => {}
            }
        }
        for server in &config.servers {
            for name in &server.names {
                if let ServerName::Regex(pattern) = name {
                    variables.add_groups(pattern)?;
                }
            }
            variables.add_steps(&server.rewrite)?;
            variables.add_locations(&server.locations)?;
        }
        Ok(variables)
    }

    fn add_locations(&mut self, locations: &[Location]) -> Result<(), RefusedPattern> {
        for location in locations {
            if let LocationMatch::Regex { pattern, .. } = &location.matches {
                self.add_groups(pattern)?;
            }
            self.add_steps(&location.rewrite)?;
            self.add_locations(&location.nested)?;
        }
        Ok(())
    }

    fn add_steps(&mut self, steps: &[Step]) -> Result<(), RefusedPattern> {
        for step in steps {
            match step {
                Step::Set { variable, .. } => self.add_set(variable),
                Step::Rewrite { pattern, .. } => self.add_groups(pattern)?,
                Step::If { condition, steps, .. } => {
                    if let Test::Match { pattern, .. } = &condition.test {
                        self.add_groups(pattern)?;
                    }
                    self.add_steps(steps)?;
                }
                Step::Break | Step::Return(_) => {}
            }
        }
        Ok(())
    }

    /// The names of an expression's groups.
    pub fn add_groups(&mut self, pattern: &str) -> Result<(), RefusedPattern> {
        let compiled = Pattern::new(pattern, false).map_err(|error| (pattern.to_owned(), error))?;
        for name in compiled.group_names() {
            self.slot(name);
        }
        Ok(())
    }

    /// A variable that `set` names. `$args` is the request's own.
    pub fn add_set(&mut self, name: &str) {
        if name != "args" {
            let slot = self.slot(name);
            self.was_set[slot] = true;
        }
    }

    /// The next of the variables that follow from others.
    pub fn add_computed(&mut self, name: &str) {
        self.by_name.insert(name.to_ascii_lowercase(), Variable::Computed(self.n_computed));
        self.n_computed += 1;
    }

    /// What a name, in lower case, stands for.
    pub(crate) fn get(&self, name: &str) -> Option<&Variable> {
        self.by_name.get(name)
    }

    pub(crate) fn slot_of(&self, name: &str) -> Option<usize> {
        match self.by_name.get(&name.to_ascii_lowercase())? {
            Variable::Slot(slot) => Some(*slot),
            _ => None,
        }
    }

    pub(crate) fn is_set_somewhere(&self, slot: usize) -> bool {
        self.was_set.get(slot).copied().unwrap_or_default()
    }

    /// Where the value of a computed variable is kept once it is known: behind the slots.
    pub(crate) fn place_of_computed(&self, index: usize) -> usize {
        self.was_set.len() + index
    }

    fn slot(&mut self, name: &str) -> usize {
        let name = name.to_ascii_lowercase();
        if let Some(Variable::Slot(slot)) = self.by_name.get(&name) {
            return *slot;
        }
        let slot = self.was_set.len();
        self.was_set.push(false);
        self.by_name.insert(name, Variable::Slot(slot));
        slot
    }
}
