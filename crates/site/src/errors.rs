//! Error pages and named locations.

use crate::config::answer::{ErrorPage, Shown};
use crate::plan::{Answer, Facts, Plan};
use crate::site::{CompileError, Compiler, Site};
use crate::template::{Template, Values, Variable};

/// `error_page`, compiled.
#[derive(Clone, Debug)]
pub(crate) struct CompiledPage {
    statuses: Vec<u16>,
    shown: Shown,
    target: Template,
}

impl CompiledPage {
    pub(crate) fn new(page: &ErrorPage, compiler: &Compiler<'_>) -> Result<CompiledPage, CompileError> {
        let target = compiler.template("error_page", &page.target)?;
        Ok(CompiledPage { statuses: page.statuses.clone(), shown: page.shown, target })
    }
}

impl Site {
    /// The page that the configuration has for an error: the plan is another one then. False when the built-in page is to
    /// be sent.
    pub fn on_error<'s>(&'s self, plan: &mut Plan<'s>, status: u16, method: &str, facts: &dyn Facts) -> bool {
        let scope = plan.scope;
        let may = plan.may_have_page();
        let Some(page) = scope.error_pages.iter().find(|page| page.statuses.contains(&status)).filter(|_| may) else {
            plan.status = None;
            return false;
        };
        plan.in_error_page = !scope.values.recursive_error_pages;
        plan.status = match page.shown {
            Shown::Error => Some(status),
            Shown::Page => None,
            Shown::This(status) => Some(status),
        };
        let target = plan.render(&page.target, &WithStatus { facts, status });
        let is_fixed = page.target.literal().is_some();
        match target.first() {
            Some(b'/') => {
                if method != "HEAD" {
                    plan.method = Some("GET");
                }
                let method = plan.method.unwrap_or(method);
                let (path, args) = split_args(&target);
                // nginx has arguments then, if only empty ones.
                plan.args = args.or((!is_fixed).then(Vec::new));
                self.redirect(plan, path, method, facts);
            }
            Some(b'@') => self.to_named(plan, &target, method, facts),
            _ => {
                let status = plan.status.take().filter(|status| matches!(status, 301 | 302 | 303 | 307 | 308));
                plan.answer = Answer::Redirect { status: status.unwrap_or(302), target };
            }
        }
        true
    }
}

/// What is known of a request whose answer is an error.
struct WithStatus<'f> {
    facts: &'f dyn Facts,
    status: u16,
}

impl Values for WithStatus<'_> {
    fn write(&self, variable: &Variable, out: &mut Vec<u8>) -> bool {
        if *variable == Variable::Status {
            out.extend_from_slice(format!("{:03}", self.status).as_bytes());
            return true;
        }
        self.facts.write(variable, out)
    }
}

/// The path and the arguments of a target; without a `?` there are none.
pub(crate) fn split_args(target: &[u8]) -> (Vec<u8>, Option<Vec<u8>>) {
    match target.iter().position(|byte| *byte == b'?') {
        Some(at) => (target[..at].to_vec(), Some(target[at + 1..].to_vec())),
        None => (target.to_vec(), None),
    }
}
