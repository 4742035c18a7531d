use crate::buffer::LARGE;
use crate::client::{After, Line};
use crate::http1::Known;
use crate::record::{Asked, Record};
use crate::reply::{self, Reply};
use crate::rewrite::push_field;
use evenkeel_site::config::{LogLevel, Scope};
use evenkeel_site::{time, uri};
use std::fs::{File, Metadata};
use std::io::{self, ErrorKind};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::Path;

/// What became of a request for a file.
pub(crate) enum Answered {
    Done(After),
    /// The directory has this index file.
    Index(String),
}

/// Sends the file at `path`, which the plan made from `root` and a normalised URI.
///
/// Files are read in the worker: a proxy serves few of them and they are small or cached.
pub(crate) async fn answer(
    line: &mut Line,
    asked: &Asked<'_>,
    path: &Path,
    index: &[String],
    keep: bool,
    record: &mut Record,
) -> Answered {
    if path.as_os_str().as_bytes().ends_with(b"/") {
        return match index.iter().find(|name| path.join(name.trim_start_matches('/')).is_file()) {
            Some(name) => Answered::Index(name.trim_start_matches('/').to_owned()),
            None => Answered::Done(without_index(line, asked, path, keep, record).await),
        };
    }
    // `O_NONBLOCK` is not needed to open a regular file, and what is none is refused before it is opened.
    let opened = std::fs::metadata(path).and_then(|metadata| match metadata.is_file() {
        true => File::open(path).and_then(|file| Ok((file.metadata()?, Some(file)))),
        false => Ok((metadata, None)),
    });
    Answered::Done(match opened {
        Ok((metadata, Some(file))) if metadata.is_file() => {
            send_file(line, asked, path, &file, &metadata, keep, record).await
        }
        Ok((metadata, _)) if metadata.is_dir() => to_directory(line, asked, keep, record).await,
        Ok(_) => reply::page(line, asked, 404, keep, record).await,
        Err(error) => refused(line, asked, path, &error, keep, record).await,
    })
}

async fn without_index(line: &mut Line, asked: &Asked<'_>, path: &Path, keep: bool, record: &mut Record) -> After {
    match std::fs::metadata(path) {
        Ok(_) => {
            let text = format!("directory index of \"{}\" is forbidden", path.display());
            asked.error(LogLevel::Error, &text, None);
            reply::page(line, asked, 403, keep, record).await
        }
        Err(error) => refused(line, asked, path, &error, keep, record).await,
    }
}

/// A directory without its slash.
async fn to_directory(line: &mut Line, asked: &Asked<'_>, keep: bool, record: &mut Record) -> After {
    let mut target = String::new();
    if let Some(plan) = asked.plan {
        uri::escape(&plan.uri, &mut target);
        target.push('/');
        if let Some(args) = plan.args.as_deref().filter(|args| !args.is_empty()) {
            target.push('?');
            target.push_str(&String::from_utf8_lossy(args));
        }
    }
    reply::redirect(line, asked, 301, &target, keep, record).await
}

async fn refused(
    line: &mut Line,
    asked: &Asked<'_>,
    path: &Path,
    error: &io::Error,
    keep: bool,
    record: &mut Record,
) -> After {
    let status = match error.kind() {
        ErrorKind::NotFound | ErrorKind::NotADirectory | ErrorKind::InvalidFilename => 404,
        ErrorKind::PermissionDenied => 403,
        _ => 500,
    };
    let text = format!("open() \"{}\" failed ({})", path.display(), crate::worker::error_text(error));
    asked.error(LogLevel::Error, &text, None);
    reply::page(line, asked, status, keep, record).await
}

async fn send_file(
    line: &mut Line,
    asked: &Asked<'_>,
    path: &Path,
    file: &File,
    metadata: &Metadata,
    keep: bool,
    record: &mut Record,
) -> After {
    let Some(plan) = asked.plan else { return After::Close };
    let scope = &plan.scope.values;
    if asked.method() == b"POST" {
        return reply::page(line, asked, 405, keep, record).await;
    }
    let mut modified = Vec::new();
    time::http(metadata.mtime(), &mut modified);
    let tag = format!("\"{:x}-{:x}\"", metadata.mtime(), metadata.len());
    let mut early = Vec::new();
    // The page of an error has no date.
    if matches!(asked.status(200), 200 | 206 | 304) {
        push_field(&mut early, b"Last-Modified", &modified);
    }
    let mut headers = Vec::new();
    push_field(&mut headers, b"ETag", tag.as_bytes());
    let is_plain = plan.status.is_none_or(|status| status == 200);
    if is_plain && is_unchanged(asked, &modified, tag.as_bytes()) {
        let reply = Reply { status: 304, content_type: "", early: &early, headers: &headers, body: b"", keep };
        return reply::send(line, asked, &reply, record).await;
    }
    let length = metadata.len();
    let range = asked
        .head
        .known(asked.bytes, Known::Range)
        .filter(|_| is_plain && is_still_whole(asked, &modified, tag.as_bytes()))
        .map(|range| parse_range(range, length));
    let (status, from, to) = match range {
        None | Some(Range::Ignored) => {
            if is_plain {
                push_field(&mut headers, b"Accept-Ranges", b"bytes");
            }
            (200, 0, length)
        }
        Some(Range::Part(from, to)) => {
            push_field(&mut headers, b"Content-Range", format!("bytes {from}-{}/{length}", to - 1).as_bytes());
            (206, from, to)
        }
        Some(Range::Unsatisfiable) => {
            let mut headers = Vec::new();
            push_field(&mut headers, b"Content-Range", format!("bytes */{length}").as_bytes());
            let body = evenkeel_site::error_page(416, scope.server_tokens);
            let reply =
                Reply { status: 416, content_type: "text/html", early: b"", headers: &headers, body: &body, keep };
            return reply::send(line, asked, &reply, record).await;
        }
    };
    let status = asked.status(status);
    let reply =
        Reply { status, content_type: media_type(scope, &plan.uri), early: &early, headers: &headers, body: b"", keep };
    let mut out = Vec::with_capacity(512);
    record.status = status;
    reply::head(asked, scope, &reply, to - from, record, &mut out);
    record.head_sent = out.len() as u64;
    if asked.is_logged() {
        record.sent_head.clone_from(&out);
    }
    let to = if asked.is_head() { from } else { to };
    match send_part(line, scope, file, out, from, to, record).await {
        Ok(()) if keep => After::KeepAlive,
        Ok(()) => After::Linger,
        Err(error) => {
            asked.error(LogLevel::Info, &format!("sending \"{}\" failed ({error})", path.display()), None);
            After::Close
        }
    }
}

async fn send_part(
    line: &mut Line,
    scope: &Scope,
    file: &File,
    mut head: Vec<u8>,
    mut from: u64,
    to: u64,
    record: &mut Record,
) -> io::Result<()> {
    let mut chunk = vec![0; usize::try_from(to - from).unwrap_or(LARGE).min(LARGE)];
    loop {
        let wanted = usize::try_from(to - from).unwrap_or(LARGE).min(chunk.len());
        let n = if wanted == 0 { 0 } else { file.read_at(&mut chunk[..wanted], from)? };
        if n == 0 && from < to {
            // It was cut short while it was being sent; the length is promised already.
            return Err(ErrorKind::UnexpectedEof.into());
        }
        line.write_all(&head, &chunk[..n], scope.send_timeout).await?;
        head.clear();
        record.body_sent += n as u64;
        from += n as u64;
        if from == to {
            return Ok(());
        }
    }
}

/// nginx's `if_modified_since exact`: the date is compared as text. `If-None-Match` goes first (RFC 9110, section 13.2.2).
fn is_unchanged(asked: &Asked<'_>, modified: &[u8], tag: &[u8]) -> bool {
    if let Some(tags) = asked.head.known(asked.bytes, Known::IfNoneMatch) {
        return tags
            .split(|&byte| byte == b',')
            .map(<[u8]>::trim_ascii)
            .any(|known| known == b"*" || known == tag || known.strip_prefix(b"W/") == Some(tag));
    }
    asked.head.known(asked.bytes, Known::IfModifiedSince) == Some(modified)
}

/// `If-Range`: a part of another version than the one the client has would spoil what it puts together
/// (RFC 9110, section 13.1.5).
fn is_still_whole(asked: &Asked<'_>, modified: &[u8], tag: &[u8]) -> bool {
    let mut validator = Vec::new();
    !asked.header("if-range", b", ", &mut validator) || validator == tag || validator == modified
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Range {
    /// From here to before there.
    Part(u64, u64),
    Unsatisfiable,
    /// Not bytes, malformed, or several: the whole file is a correct answer (RFC 9110, section 14.2).
    Ignored,
}

fn parse_range(text: &[u8], length: u64) -> Range {
    let Some((first, last)) = std::str::from_utf8(text)
        .ok()
        .and_then(|text| text.strip_prefix("bytes="))
        .and_then(|range| range.trim().split_once('-'))
    else {
        return Range::Ignored;
    };
    let number = |text: &str| crate::http1::parse_length(text.as_bytes());
    let (from, to) = match (number(first), number(last)) {
        (Some(from), Some(last)) if from <= last => (from, last.saturating_add(1).min(length)),
        (Some(from), None) if last.is_empty() => (from, length),
        (None, Some(suffix)) if first.is_empty() && suffix > 0 => (length.saturating_sub(suffix), length),
        (None, Some(0)) if first.is_empty() => return Range::Unsatisfiable,
        (Some(from), Some(last)) if from > last => return Range::Unsatisfiable,
        _ => return Range::Ignored,
    };
    if from < to { Range::Part(from, to) } else { Range::Unsatisfiable }
}

/// By what stands after the last dot of a path; names that begin with a dot have no extension.
pub(crate) fn media_type<'a>(scope: &'a Scope, path: &[u8]) -> &'a str {
    let name = path.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
    let extension = name.iter().rposition(|byte| *byte == b'.').filter(|at| *at > 0).map(|at| &name[at + 1..]);
    extension
        .and_then(|extension| std::str::from_utf8(extension).ok())
        .and_then(|extension| scope.types.get(&extension.to_ascii_lowercase()))
        .unwrap_or(&scope.default_type)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_range_of_bytes_is_understood() {
        let table = [
            ("bytes=0-0", Range::Part(0, 1)),
            ("bytes=2-", Range::Part(2, 10)),
            ("bytes=-3", Range::Part(7, 10)),
            ("bytes=-30", Range::Part(0, 10)),
            ("bytes=5-99", Range::Part(5, 10)),
            ("bytes=10-", Range::Unsatisfiable),
            ("bytes=-0", Range::Unsatisfiable),
            ("bytes=5-4", Range::Unsatisfiable),
            ("bytes=0-1,3-4", Range::Ignored),
            ("lines=1-2", Range::Ignored),
            ("bytes=-", Range::Ignored),
        ];
        for (text, range) in table {
            assert_eq!(parse_range(text.as_bytes(), 10), range, "{text}");
        }
    }
}
