//! Rewriting, compiled: a flat list of codes in which an `if` that does not hold jumps over its block.

use crate::config::rewrite::{Condition, FileTest, Step, Test, Then};
use crate::locations::CompiledHandler;
use crate::pattern::Pattern;
use crate::plan::{Answer, Facts, Known, Plan};
use crate::site::{CompileError, CompiledReturn, CompiledScope, Compiler};
use crate::template::{Part, Template, Values, Variable};
use crate::uri;
use std::borrow::Cow;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// The rewriting of a server or a location. Empty for most.
#[derive(Clone, Debug, Default)]
pub(crate) struct Script(Vec<Code>);

#[derive(Clone, Debug)]
enum Code {
    Set(Target, Template),
    Break,
    Return(CompiledReturn),
    Rewrite(Box<Rewrite>),
    /// Goes on at `otherwise` unless the condition holds.
    If {
        test: CompiledTest,
        negated: bool,
        otherwise: usize,
        inside: Option<Box<Inside>>,
    },
}

#[derive(Clone, Copy, Debug)]
enum Target {
    Slot(usize),
    Args,
}

#[derive(Clone, Debug)]
struct Rewrite {
    pattern: Pattern,
    path: Template,
    /// What follows the `?` of the replacement.
    args: Option<Template>,
    /// The request's own arguments are added.
    keeps_args: bool,
    then: Then,
}

#[derive(Clone, Debug)]
enum CompiledTest {
    True(Variable),
    Equal(Variable, Template),
    Match(Variable, Pattern),
    File(FileTest, Template),
}

#[derive(Clone, Debug)]
struct Inside {
    scope: CompiledScope,
    handler: Option<CompiledHandler>,
}

/// How rewriting ended.
pub(crate) enum End<'s> {
    /// The request goes on.
    Done,
    /// It is answered.
    Answered(Answer<'s>),
}

impl Script {
    pub(crate) fn new(steps: &[Step], compiler: &Compiler<'_>) -> Result<Script, CompileError> {
        let mut script = Script::default();
        script.add(steps, compiler)?;
        Ok(script)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds what a block answers at its end.
    pub(crate) fn push_return(&mut self, answer: CompiledReturn) {
        self.0.push(Code::Return(answer));
    }

    fn add(&mut self, steps: &[Step], compiler: &Compiler<'_>) -> Result<(), CompileError> {
        for step in steps {
            match step {
                Step::Set { variable, value } => {
                    let target = match compiler.own.slot_of(variable) {
                        Some(slot) => Target::Slot(slot),
                        None => Target::Args,
                    };
                    self.0.push(Code::Set(target, compiler.template("set", value)?));
                }
                Step::Break => self.0.push(Code::Break),
                Step::Return(answer) => self.0.push(Code::Return(compiler.answer(answer)?)),
                Step::Rewrite { pattern, replacement, then } => {
                    let rewrite = Rewrite::new(pattern, replacement, *then, compiler)?;
                    self.0.push(Code::Rewrite(Box::new(rewrite)));
                }
                Step::If { condition, steps, inside } => {
                    let inside = inside.as_ref().map(|inside| {
                        let handler =
                            inside.handler.as_ref().map(|handler| compiler.handler_in_if(handler, &inside.scope));
                        Ok(Box::new(Inside { scope: compiler.scope(&inside.scope)?, handler: handler.transpose()? }))
                    });
                    let at = self.0.len();
                    self.0.push(Code::If {
                        test: test(condition, compiler)?,
                        negated: condition.negated,
                        otherwise: 0,
                        inside: inside.transpose()?,
                    });
                    self.add(steps, compiler)?;
                    let end = self.0.len();
                    if let Code::If { otherwise, .. } = &mut self.0[at] {
                        *otherwise = end;
                    }
                }
            }
        }
        Ok(())
    }

    /// Performs it on a plan.
    pub(crate) fn run<'s>(&'s self, plan: &mut Plan<'s>, facts: &dyn Facts) -> End<'s> {
        let mut at = 0;
        while let Some(code) = self.0.get(at) {
            at += 1;
            match code {
                Code::Set(target, template) => {
                    let value = plan.render(template, facts);
                    match target {
                        Target::Slot(slot) => plan.set_slot(*slot, Some(value)),
                        Target::Args => {
                            plan.args = Some(value);
                            plan.is_as_sent = false;
                        }
                    }
                }
                Code::Break => break,
                Code::Return(answer) => return End::Answered(answer.answer()),
                Code::Rewrite(rewrite) => match rewrite.run(plan, facts) {
                    Rewritten::No | Rewritten::GoOn => {}
                    Rewritten::Stop => break,
                    Rewritten::Answered(answer) => return End::Answered(answer),
                },
                Code::If { test, negated, otherwise, inside } => {
                    if test.holds(plan, facts) == *negated {
                        at = *otherwise;
                        continue;
                    }
                    if let Some(inside) = inside {
                        plan.scope = &inside.scope;
                        match (&inside.handler, plan.of_location) {
                            (Some(handler), _) => plan.handler = handler,
                            (None, CompiledHandler::Proxy(_)) => plan.handler = plan.of_location,
                            (None, CompiledHandler::Static) => {}
                        }
                    }
                }
            }
        }
        End::Done
    }
}

enum Rewritten<'s> {
    No,
    GoOn,
    Stop,
    Answered(Answer<'s>),
}

impl Rewrite {
    fn new(pattern: &str, replacement: &str, then: Then, compiler: &Compiler<'_>) -> Result<Rewrite, CompileError> {
        let (replacement, keeps_args) = match replacement.strip_suffix('?') {
            Some(rest) => (rest, false),
            None => (replacement, true),
        };
        let is_redirect = matches!(then, Then::Redirect | Then::Permanent);
        let (path, args) = match replacement.split_once('?') {
            // A redirect is put together as one text; whether it has arguments decides what the request's are added with.
            Some((path, args)) => (path, Some(args)),
            None => (replacement, None),
        };
        let path = if is_redirect { replacement } else { path };
        Ok(Rewrite {
            pattern: compiler.pattern(pattern, false)?,
            path: compiler.template("rewrite", path)?,
            args: args.map(|args| compiler.template("rewrite", args)).transpose()?,
            keeps_args,
            then,
        })
    }

    fn run<'s>(&'s self, plan: &mut Plan<'s>, facts: &dyn Facts) -> Rewritten<'s> {
        if !plan.match_uri(&self.pattern) {
            return Rewritten::No;
        }
        let request_args = plan.args.take().filter(|args| !args.is_empty());
        plan.args.clone_from(&request_args);
        let status = match self.then {
            Then::Redirect => Some(302),
            Then::Permanent => Some(301),
            Then::Continue | Then::Last | Then::Break => None,
        };
        if let Some(status) = status {
            let mut target = uri::unescape_redirect(&render(&self.path, plan, facts, plan.escapes_groups()));
            if let Some(args) = request_args.filter(|_| self.keeps_args) {
                target.push(if self.args.is_some() { b'&' } else { b'?' });
                target.extend_from_slice(&args);
            }
            return Rewritten::Answered(Answer::Redirect { status, target });
        }
        let path = render(&self.path, plan, facts, false);
        match &self.args {
            Some(args) => {
                let mut args = render(args, plan, facts, plan.escapes_groups());
                if let Some(old) = request_args.filter(|_| self.keeps_args) {
                    args.push(b'&');
                    args.extend_from_slice(&old);
                }
                plan.args = Some(args);
            }
            None if !self.keeps_args => plan.args = Some(Vec::new()),
            None => {}
        }
        if path.is_empty() {
            plan.uri.clear();
            return Rewritten::Answered(Answer::Error {
                status: 500,
                why: Some("the rewritten URI has a zero length"),
            });
        }
        plan.uri = path;
        plan.is_internal = true;
        plan.is_as_sent = false;
        match self.then {
            Then::Break => {
                plan.has_location = false;
                plan.uri_changed = false;
                Rewritten::Stop
            }
            Then::Last => {
                plan.uri_changed = true;
                Rewritten::Stop
            }
            Then::Continue | Then::Redirect | Then::Permanent => {
                plan.uri_changed = true;
                Rewritten::GoOn
            }
        }
    }
}

/// Groups of a path that was written with `%` are escaped anew where they become arguments, or part of a redirect.
fn render(template: &Template, plan: &Plan<'_>, facts: &dyn Facts, escaped: bool) -> Vec<u8> {
    if !escaped {
        return plan.render(template, facts);
    }
    let known = Known { plan, facts };
    let mut out = Vec::new();
    for part in &template.parts {
        match part {
            Part::Text(text) => out.extend_from_slice(text.as_bytes()),
            Part::Variable(variable @ Variable::Capture(_)) => {
                let mut value = Vec::new();
                known.write(variable, &mut value);
                uri::escape_args(&value, &mut out);
            }
            Part::Variable(variable) => {
                known.write(variable, &mut out);
            }
        }
    }
    out
}

fn test(condition: &Condition, compiler: &Compiler<'_>) -> Result<CompiledTest, CompileError> {
    let variable = |name: &str| {
        Variable::parse(name, &compiler.own).map_err(|error| CompileError::Template { what: "if".to_owned(), error })
    };
    Ok(match &condition.test {
        Test::True(name) => CompiledTest::True(variable(name)?),
        Test::Equal(name, value) => CompiledTest::Equal(variable(name)?, compiler.template("if", value)?),
        Test::Match { variable: name, pattern, ignore_case } => {
            CompiledTest::Match(variable(name)?, compiler.pattern(pattern, *ignore_case)?)
        }
        Test::File(what, path) => CompiledTest::File(*what, compiler.template("if", path)?),
    })
}

impl CompiledTest {
    fn holds<'s>(&'s self, plan: &Plan<'s>, facts: &dyn Facts) -> bool {
        let value = |variable: &Variable| {
            let mut value = Vec::new();
            Known { plan, facts }.write(variable, &mut value);
            value
        };
        match self {
            CompiledTest::True(variable) => !matches!(value(variable).as_slice(), b"" | b"0"),
            CompiledTest::Equal(variable, other) => value(variable) == plan.render(other, facts),
            CompiledTest::Match(variable, pattern) => {
                let matched = plan.match_text(pattern, &value(variable));
                if !matched {
                    plan.forget_captures();
                }
                matched
            }
            CompiledTest::File(test, path) => {
                let path = plan.render(path, facts);
                let look = facts.look(Path::new(OsStr::from_bytes(&path)));
                match test {
                    FileTest::File => look.is_file,
                    FileTest::Directory => look.is_directory,
                    FileTest::Exists => look.exists,
                    FileTest::Executable => look.is_executable,
                }
            }
        }
    }
}

impl CompiledReturn {
    /// What it answers.
    pub(crate) fn answer(&self) -> Answer<'_> {
        match &self.text {
            // Below 400 nginx sends a text, if only an empty one; above, its page.
            None if self.status >= 400 && self.status != 444 => Answer::Error { status: self.status, why: None },
            text => Answer::Return {
                status: self.status,
                text: text.as_ref().map_or(Cow::Owned(Template::default()), Cow::Borrowed),
            },
        }
    }
}
