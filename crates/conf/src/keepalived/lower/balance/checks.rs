//! Makes checks of the drafts.

use super::super::{At, Lower};
use super::finish::{Around, Finish};
use super::targets::{self, Checked};
use super::{CheckDraft, HostDraft, HttpDraft, MiscDraft, PoolDraft, ProbeDraft, ServerDraft, UrlDraft};
use crate::{Diagnostic, Span};
use evenkeel_balance::config::{
    BfdId, Check, FileId, HttpProbe, Probe, Script, Target, Timing, TlsProbe, TrackFile, UrlProbe,
};
use std::time::Duration;

impl Finish<'_> {
    /// The checks of a block: one; several for an SMTP_CHECK with several `host` blocks; none after saying why.
    pub(super) fn checks(
        &mut self,
        around: &Around,
        server: &ServerDraft,
        draft: &CheckDraft,
        of: Checked,
        lower: &mut Lower,
    ) -> Vec<Check> {
        let inherited = draft.timing.over(server.common.timing).over(around.draft.common.timing);
        let timing = targets::timing(&draft.probe, inherited);
        let alpha = draft.alpha.or(server.common.alpha).or(around.draft.common.alpha).unwrap_or(false);
        let log_all_failures = draft.log_all_failures.unwrap_or(self.drafts.globals.log_all_failures);
        let probes: Vec<Unaimed> = match &draft.probe {
            ProbeDraft::Misc(misc) => self.misc(misc, draft.span, timing.timeout, lower).into_iter().collect(),
            ProbeDraft::File { file, weight } => {
                self.file(file.as_ref(), *weight, draft.span, lower).into_iter().collect()
            }
            ProbeDraft::Bfd { session, problem } => {
                self.bfd(session.as_ref(), problem.as_ref(), draft.span, lower).into_iter().collect()
            }
            ProbeDraft::Smtp { helo, hosts } if !hosts.is_empty() => {
                let aim = |host: &HostDraft| {
                    let target = targets::target(&host.target, draft, of, lower)?;
                    Some((smtp(helo.as_ref(), lower), Some(target), host.timeout))
                };
                hosts.iter().filter_map(aim).collect()
            }
            probe => {
                let probe = match probe {
                    ProbeDraft::Http(http) => {
                        http_probe(http, server, around.draft, draft.span, lower).map(Probe::Http)
                    }
                    probe => asked(probe, draft.span, lower),
                };
                let aimed = probe.and_then(|probe| {
                    let target = targets::target(&draft.target, draft, of, lower)?;
                    Some((probe, Some(target), None))
                });
                aimed.into_iter().collect()
            }
        };
        let check = |(probe, target, timeout): Unaimed| Check {
            probe,
            target,
            timing: Timing { timeout: timeout.unwrap_or(timing.timeout), ..timing.clone() },
            alpha,
            log_all_failures,
        };
        probes.into_iter().map(check).collect()
    }

    fn misc(&mut self, draft: &MiscDraft, span: Span, timeout: Duration, lower: &mut Lower) -> Option<Unaimed> {
        let Some(command) = &draft.command else {
            lower.say(
                Diagnostic::warning("check-without-command", span, "this MISC_CHECK has no `misc_path`")
                    .so("it is left out, as in keepalived: the server is up without it")
                    .fix("write `misc_path \"COMMAND\"` into it"),
            );
            return None;
        };
        let script = Script { argv: command.value.clone(), user: draft.user.clone(), timeout: Some(timeout) };
        Some((Probe::Misc { script: self.script(script), dynamic: draft.dynamic }, None, None))
    }

    fn file(
        &mut self,
        file: Option<&At<String>>,
        weight: Option<(i32, Option<bool>)>,
        span: Span,
        lower: &mut Lower,
    ) -> Option<Unaimed> {
        let Some(name) = file else {
            unknown(span, "this FILE_CHECK names no track_file", "write `track_file NAME` into it", lower);
            return None;
        };
        let defined = self.files.get_mut(name.value.as_str());
        let defined = defined.and_then(|(file, id)| Some((&*file, file.path.as_ref()?, id)));
        let Some((defined, path, id)) = defined else {
            let message = format!("there is no track_file `{}` with a `file`", name.value);
            let fix = format!("define it: `track_file {} {{ file \"PATH\" }}`", name.value);
            unknown(name.span, message, fix, lower);
            return None;
        };
        let (weight, reverse) = match weight {
            Some((weight, reverse)) => (weight, reverse.unwrap_or(false)),
            None => defined.weight,
        };
        let files = &mut self.config.files;
        let file = *id.get_or_insert_with(|| {
            files.push(TrackFile { name: name.value.clone(), path: path.clone() });
            FileId(u32::try_from(files.len() - 1).unwrap_or(u32::MAX))
        });
        Some((Probe::File { file, weight, reverse }, None, None))
    }

    fn bfd(
        &mut self,
        session: Option<&At<String>>,
        problem: Option<&(String, String)>,
        span: Span,
        lower: &mut Lower,
    ) -> Option<Unaimed> {
        let Some(name) = session else {
            unknown(span, "this BFD_CHECK names no session", "write `name BFD_INSTANCE` into it", lower);
            return None;
        };
        if let Some((message, fix)) = problem {
            unknown(name.span, message, fix, lower);
            return None;
        }
        let known = &mut self.config.bfd_sessions;
        let session = *self.sessions.entry(name.value.clone()).or_insert_with(|| {
            known.push(name.value.clone());
            BfdId(u32::try_from(known.len() - 1).unwrap_or(u32::MAX))
        });
        Some((Probe::Bfd { session }, None, None))
    }
}

/// A probe, where it goes, and the timeout when its own differs from that of the check.
type Unaimed = (Probe, Option<Target>, Option<Duration>);

fn unknown(span: Span, message: impl Into<String>, fix: impl Into<String>, lower: &mut Lower) {
    lower.say(
        Diagnostic::warning("check-without-object", span, message)
            .so("the check is left out, as in keepalived: the server is up without it")
            .fix(fix),
    );
}

fn smtp(helo: Option<&String>, lower: &Lower) -> Probe {
    let helo = helo.or(lower.settings.mail.helo.as_ref());
    Probe::Smtp { helo: helo.cloned().unwrap_or_else(|| "localhost".to_owned()) }
}

/// The probes that say everything about themselves.
fn asked(draft: &ProbeDraft, span: Span, lower: &mut Lower) -> Option<Probe> {
    Some(match draft {
        ProbeDraft::Tcp => Probe::Tcp,
        ProbeDraft::Ping => Probe::Ping,
        ProbeDraft::Agent { send } => Probe::Agent { send: send.clone() },
        ProbeDraft::Smtp { helo, .. } => smtp(helo.as_ref(), lower),
        ProbeDraft::Dns { query_type, name } => Probe::Dns { query_type: *query_type, name: name.clone() },
        ProbeDraft::Udp(udp) => {
            if udp.min_length > udp.max_length {
                never(span, "the shortest reply is longer than the longest", lower);
            }
            Probe::Udp(udp.clone())
        }
        ProbeDraft::Http(_) | ProbeDraft::Misc(_) | ProbeDraft::File { .. } | ProbeDraft::Bfd { .. } => return None,
    })
}

fn never(span: Span, why: &str, lower: &mut Lower) {
    lower.say(Diagnostic::warning("check-never-succeeds", span, why).so("the check can never succeed"));
}

fn http_probe(
    draft: &HttpDraft,
    server: &ServerDraft,
    pool: &PoolDraft,
    span: Span,
    lower: &mut Lower,
) -> Option<HttpProbe> {
    let urls: Vec<UrlProbe> = draft.urls.iter().filter_map(|url| url_probe(url, draft, server, pool, lower)).collect();
    if urls.is_empty() {
        lower.say(
            Diagnostic::warning("check-without-url", span, "this check asks for no url")
                .so("it is left out, as in keepalived: the server is up without it")
                .fix("write `url { path / }` into it"),
        );
        return None;
    }
    let tls =
        draft.tls.then(|| TlsProbe { sni: draft.sni, sni_name: draft.sni_name.clone(), compliant: draft.compliant });
    Some(HttpProbe { tls, version: draft.version, urls, fast_recovery: draft.fast_recovery })
}

fn url_probe(
    draft: &UrlDraft,
    http: &HttpDraft,
    server: &ServerDraft,
    pool: &PoolDraft,
    lower: &mut Lower,
) -> Option<UrlProbe> {
    let Some(path) = &draft.path else {
        lower.say(
            Diagnostic::warning("url-without-path", draft.span, "this url has no `path`")
                .so("it is left out, as in keepalived")
                .fix("write `path /` into it"),
        );
        return None;
    };
    if draft.regex.max_offset.is_some_and(|most| most < draft.regex.min_offset) {
        never(draft.span, "regex_max_offset is below regex_min_offset", lower);
    }
    let near = draft.virtualhost.as_ref().or(http.virtualhost.as_ref());
    let (of_server, of_pool) = (server.common.virtualhost.as_ref(), pool.common.virtualhost.as_ref());
    Some(UrlProbe {
        path: path.clone(),
        virtualhost: near.or(of_server).or(of_pool).cloned(),
        // keepalived does not look at the real server's for this one.
        sni: near.or(of_pool).filter(|_| http.tls).cloned(),
        statuses: if draft.statuses.is_empty() { vec![(200, 299)] } else { draft.statuses.clone() },
        digest: draft.digest,
        regex: (!draft.regex.pattern.is_empty()).then(|| draft.regex.clone()),
        tls_compliant: draft.compliant || http.compliant,
    })
}
