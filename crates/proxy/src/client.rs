use crate::body::RequestBody;
use crate::buffer::Buffer;
use crate::clock::SlotHandle;
use crate::http1::{Reject, RequestHead, parse_request};
use crate::record::{Asked, Identity, Record};
use crate::stream::Stream;
use crate::worker::{Snapshot, Worker};
use crate::{body, exchange, files, reply};
use evenkeel_site::config::LogLevel;
use evenkeel_site::{Answer, Plan, Request, Site};
use std::io::{self, IoSlice};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

/// A client's connection and what has been read from it.
#[derive(Debug)]
pub(crate) struct Line {
    pub(crate) worker: Rc<Worker>,
    pub(crate) stream: Stream,
    pub(crate) slot: SlotHandle,
    pub(crate) buffer: Buffer,
}

/// What becomes of a connection after an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum After {
    /// The next request may come.
    KeepAlive,
    /// Nothing more.
    Close,
    /// The client may still be sending; it must get to see the answer before the connection is reset.
    Linger,
    /// Nothing was sent yet: the configuration has a page for this error.
    Error(u16),
}

enum Next {
    Request,
    Closed,
    Reject(Reject),
    TimedOut,
}

/// Limits of the lingering close: nginx's `lingering_timeout`, its `lingering_time`, and a bound on what is read.
const LINGER_EACH: Duration = Duration::from_secs(5);
const LINGER_WHOLE: Duration = Duration::from_secs(30);
const LINGER_READS: usize = 4096;

/// Serves a client to the end of its connection.
pub(crate) async fn serve(worker: Rc<Worker>, snapshot: Rc<Snapshot>, identity: Identity, stream: Stream) {
    let slot = worker.clock.slot();
    let mut line = Line { worker, stream, slot, buffer: Buffer::default() };
    let mut head = RequestHead::default();
    let mut n_requests = 0;
    let mut idle_limit = None;
    let after = loop {
        let next = line.next_head(&snapshot, &identity, &mut head, idle_limit).await;
        n_requests += 1;
        match next {
            Next::Request => {}
            Next::Closed => break After::Close,
            Next::Reject(reject) => break refuse(&mut line, &snapshot, &identity, &mut head, reject).await,
            Next::TimedOut => {
                log_unread(&line, &snapshot, &identity, &mut head, 408, "client timed out");
                break After::Close;
            }
        }
        match handle(&mut line, &snapshot, &identity, &head, n_requests).await {
            (After::KeepAlive, limit) => idle_limit = Some(limit),
            (after, _) => break after,
        }
    };
    if after == After::Linger {
        line.linger().await;
    }
    line.worker.buffers.put(line.buffer);
}

/// Tells a client for whom there is no room to come back, if that can be said without waiting.
pub(crate) fn turn_away(mut stream: Stream) {
    const ANSWER: &[u8] =
        b"HTTP/1.1 503 Service Temporarily Unavailable\r\nRetry-After: 1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    let _ = stream.poll_write(&mut Context::from_waker(Waker::noop()), &[IoSlice::new(ANSWER)]);
}

impl Line {
    /// Reads the next request head into the buffer and parses it.
    async fn next_head(
        &mut self,
        snapshot: &Snapshot,
        identity: &Identity,
        head: &mut RequestHead,
        idle_limit: Option<Duration>,
    ) -> Next {
        let config = snapshot.site.config();
        let server = config.listens[identity.listen].servers.first().and_then(|&server| config.servers.get(server));
        let Some(server) = server else { return Next::Closed };
        if self.buffer.is_empty() && !self.first_bytes(idle_limit.unwrap_or(server.client_header_timeout)).await {
            return Next::Closed;
        }
        // A head that arrives byte by byte is parsed once for each line, not once for each byte.
        let mut n_parsed = 0;
        self.slot.arm(server.client_header_timeout);
        loop {
            let new = &self.buffer.filled()[n_parsed..];
            if memchr::memchr(b'\n', new).is_some() {
                match parse_request(self.buffer.filled(), head) {
                    Ok(true) => return Next::Request,
                    Ok(false) => {}
                    Err(reject) => return Next::Reject(reject),
                }
            }
            n_parsed = self.buffer.len();
            if !self.buffer.make_room(server.max_head) {
                let line_is_complete = memchr::memchr(b'\n', self.buffer.filled()).is_some();
                return Next::Reject(match line_is_complete {
                    true => Reject { status: 494, reason: "client sent too large request" },
                    false => Reject { status: 414, reason: "client sent too long URI" },
                });
            }
            let (stream, buffer) = (&mut self.stream, &mut self.buffer);
            match self.slot.until_deadline(|cx| stream.poll_read(cx, buffer.room())).await {
                Ok(0) => return Next::Closed,
                Ok(n) => self.buffer.fill(n),
                Err(error) if error.kind() == io::ErrorKind::TimedOut => return Next::TimedOut,
                Err(_) => return Next::Closed,
            }
        }
    }

    /// Waits for the first bytes of a request, without holding a buffer. False when the connection should end instead.
    async fn first_bytes(&mut self, limit: Duration) -> bool {
        let Line { worker, stream, slot, buffer } = self;
        worker.buffers.put(std::mem::take(buffer));
        slot.set_idle(true);
        let outcome = slot
            .within(limit, |cx| {
                let mut candidate = worker.buffers.small();
                match stream.poll_read(cx, candidate.room()) {
                    Poll::Ready(Ok(n)) => {
                        candidate.fill(n);
                        *buffer = candidate;
                        Poll::Ready(Ok(n > 0))
                    }
                    Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
                    Poll::Pending => {
                        worker.buffers.put(candidate);
                        if slot.should_close() { Poll::Ready(Ok(false)) } else { Poll::Pending }
                    }
                }
            })
            .await;
        slot.set_idle(false);
        outcome.unwrap_or(false)
    }

    /// Reads what comes next into the buffer, which has room. 0 bytes is the end.
    pub(crate) async fn read_more(&mut self, limit: Duration) -> io::Result<usize> {
        let (stream, buffer) = (&mut self.stream, &mut self.buffer);
        let n = self.slot.within(limit, |cx| stream.poll_read(cx, buffer.room())).await?;
        self.buffer.fill(n);
        Ok(n)
    }

    /// Writes a head and a body together. `limit` is for each time that something gets written.
    pub(crate) async fn write_all(&mut self, head: &[u8], body: &[u8], limit: Duration) -> io::Result<()> {
        write_all(&mut self.stream, &self.slot, head, body, limit).await
    }

    /// Lets the client read the answer: says that nothing more comes, and throws away what it still sends.
    async fn linger(&mut self) {
        let Line { worker, stream, slot, buffer } = self;
        let shut = slot.within(LINGER_EACH, |cx| stream.poll_shutdown(cx)).await;
        if shut.is_err() {
            return;
        }
        worker.buffers.put(std::mem::replace(buffer, worker.buffers.small()));
        let until = worker.clock.now().saturating_add(LINGER_WHOLE);
        for _ in 0..LINGER_READS {
            let limit = until.saturating_sub(worker.clock.now()).min(LINGER_EACH);
            if limit.is_zero() {
                return;
            }
            match slot.within(limit, |cx| stream.poll_read(cx, buffer.room())).await {
                Ok(n) if n > 0 => {}
                _ => return,
            }
        }
    }
}

/// Writes two slices together to the end.
pub(crate) async fn write_all(
    stream: &mut Stream,
    slot: &SlotHandle,
    head: &[u8],
    body: &[u8],
    limit: Duration,
) -> io::Result<()> {
    let mut n_written = 0;
    let total = head.len() + body.len();
    while n_written < total {
        let head = head.get(n_written..).unwrap_or_default();
        let body = &body[n_written.saturating_sub(total - body.len())..];
        let slices = [IoSlice::new(head), IoSlice::new(body)];
        let slices = match (head.is_empty(), body.is_empty()) {
            (true, _) => &slices[1..],
            (false, true) => &slices[..1],
            (false, false) => &slices[..],
        };
        match slot.within(limit, |cx| stream.poll_write(cx, slices)).await? {
            0 => return Err(io::ErrorKind::WriteZero.into()),
            n => n_written += n,
        }
    }
    Ok(())
}

/// Answers one request. Also says how long the connection may then be idle.
async fn handle(
    line: &mut Line,
    snapshot: &Snapshot,
    identity: &Identity,
    head: &RequestHead,
    n_requests: u32,
) -> (After, Duration) {
    let worker = Rc::clone(&line.worker);
    let site = &*snapshot.site;
    let base = Asked { worker: &worker, site, identity, head, bytes: b"", plan: None, n_requests };
    let Some(mut plan) = make_plan(site, &Asked { bytes: line.buffer.filled(), ..base }) else {
        return (After::Close, Duration::ZERO);
    };
    let idle_limit = plan.scope.values.keepalive_timeout;
    let mut record = Record { request_length: head.len as u64, ..Record::default() };
    if plan.scope.is_observed() {
        record.started_at = worker.clock.precise();
    }
    let mut keep = head.keep_alive
        && !idle_limit.is_zero()
        && n_requests < plan.scope.values.keepalive_requests
        && !worker.draining.get()
        && !snapshot.retired.get()
        && !line.slot.should_close();

    let unread = body::skip(line, head);
    let mut body = None;
    if plan.is_located() && body::exceeds_length(&plan.scope.values, head) {
        keep = false;
        let asked = Asked { bytes: line.buffer.filled(), plan: Some(&plan), ..base };
        asked.error(LogLevel::Error, "client intended to send too large body", None);
        plan.answer = Answer::Error { status: 413, why: None };
    }
    // Each turn is another place that answers: an index file, the page of an error.
    let after = loop {
        if let (Answer::Proxy { .. }, None) = (&plan.answer, &body) {
            match body::prepare(line, head, &plan.scope.values).await {
                Ok(prepared) => body = Some(prepared),
                Err(failure) => {
                    let asked = Asked { bytes: line.buffer.filled(), plan: Some(&plan), ..base };
                    asked.error(failure.level, &failure.text, None);
                    if matches!(failure.status, 408 | 499) {
                        record.status = failure.status;
                        break After::Close;
                    }
                    keep = false;
                    body = Some(RequestBody::None { in_buffer: 0, unread: true });
                    plan.answer = Answer::Error { status: failure.status, why: None };
                }
            }
        }
        keep &= !body.as_ref().unwrap_or(&unread).must_close();
        // To the end of the answer the head stays where it is; bodies have buffers of their own.
        let buffer = std::mem::take(&mut line.buffer);
        let asked = Asked { bytes: buffer.filled(), plan: Some(&plan), ..base };
        let step = answer(line, snapshot, &asked, body.as_mut(), keep, &mut record).await;
        let facts = Asked { bytes: buffer.filled(), ..base };
        let method = text_of(facts.method());
        let done = match step {
            Step::Done(After::Error(status)) => {
                keep &= !reply::ends_connection(status);
                site.on_error(&mut plan, status, method, &facts);
                None
            }
            Step::Done(after) => Some(after),
            Step::TryFiles => {
                let method = plan.method.unwrap_or(method);
                site.try_files(&mut plan, method, &facts);
                None
            }
            Step::Index(name) => {
                let path = [&plan.uri, name.as_bytes()].concat();
                let method = plan.method.unwrap_or(method);
                site.redirect(&mut plan, path, method, &facts);
                None
            }
        };
        line.buffer = buffer;
        if let Some(after) = done {
            break after;
        }
    };
    let mut body = body.unwrap_or(unread);
    let after = if body.must_close() && after == After::Close { After::Linger } else { after };
    record.complete = after == After::KeepAlive;
    worker.count(record.status);
    if record.status == 400 {
        worker.n_bad_requests.set(worker.n_bad_requests.get() + 1);
    }
    Asked { bytes: line.buffer.filled(), plan: Some(&plan), ..base }.log(&record);
    drop(plan);
    line.buffer.consume(head.len + body.used());
    let leftover = body.take_leftover();
    if !leftover.is_empty() {
        line.buffer.append(leftover.filled());
    }
    worker.buffers.put(leftover);
    (after, idle_limit)
}

/// What one place said.
enum Step {
    Done(After),
    /// Files are to be looked for.
    TryFiles,
    /// A directory has this index file.
    Index(String),
}

async fn answer(
    line: &mut Line,
    snapshot: &Snapshot,
    asked: &Asked<'_>,
    body: Option<&mut RequestBody>,
    keep: bool,
    record: &mut Record,
) -> Step {
    let Some(plan) = asked.plan else { return Step::Done(After::Close) };
    Step::Done(match (&plan.answer, body) {
        (Answer::Proxy { pass, upstream, target }, Some(body)) => {
            let upstream = &snapshot.upstreams[*upstream];
            let target = target.resolve(&plan.request_uri);
            exchange::run(line, asked, upstream, pass, target, body, keep, record).await
        }
        (Answer::Proxy { .. }, None) => After::Close,
        (Answer::File { path, index, .. }, _) => match files::answer(line, asked, path, index, keep, record).await {
            files::Answered::Done(after) => after,
            files::Answered::Index(name) => return Step::Index(name),
        },
        (Answer::TryFiles, _) => return Step::TryFiles,
        (Answer::Return { status, text }, _) => reply::returned(line, asked, *status, text, keep, record).await,
        (Answer::Redirect { status, target }, _) => {
            reply::redirect(line, asked, *status, &String::from_utf8_lossy(target), keep, record).await
        }
        (Answer::Error { status, why }, _) => {
            if let Some(why) = why {
                asked.error(LogLevel::Error, why, None);
            }
            reply::page(line, asked, *status, keep, record).await
        }
    })
}

fn text_of(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap_or_default()
}

fn make_plan<'s>(site: &'s Site, asked: &Asked<'_>) -> Option<Plan<'s>> {
    let Asked { head, bytes, .. } = *asked;
    let text = |span: crate::http1::Span| std::str::from_utf8(span.of_bytes(bytes)).ok();
    // A host that is no text is one that nobody has; the parser has looked at its characters.
    let host = head.host.map(|host| text(host).unwrap_or("-"));
    let client = asked.identity.peer.map(|peer| peer.ip());
    let request = Request { method: text(head.method)?, target: text(head.target)?, host, client };
    Some(site.plan(asked.identity.listen, &request, asked))
}

/// Answers what could not be read as a request.
async fn refuse(
    line: &mut Line,
    snapshot: &Snapshot,
    identity: &Identity,
    head: &mut RequestHead,
    reject: Reject,
) -> After {
    let worker = Rc::clone(&line.worker);
    if matches!(reject.status, 400 | 494) {
        worker.n_bad_requests.set(worker.n_bad_requests.get() + 1);
    }
    let buffer = std::mem::take(&mut line.buffer);
    *head = first_line(buffer.filled());
    let asked = Asked {
        worker: &worker,
        site: &snapshot.site,
        identity,
        head,
        bytes: buffer.filled(),
        plan: None,
        n_requests: 1,
    };
    asked.error(LogLevel::Info, reject.reason, None);
    let mut record = Record { started_at: worker.clock.precise(), ..Record::default() };
    reply::page(line, &asked, reject.status, false, &mut record).await;
    worker.count(record.status);
    asked.log(&record);
    After::Linger
}

fn log_unread(line: &Line, snapshot: &Snapshot, identity: &Identity, head: &mut RequestHead, status: u16, why: &str) {
    let bytes = line.buffer.filled();
    *head = first_line(bytes);
    let asked = Asked { worker: &line.worker, site: &snapshot.site, identity, head, bytes, plan: None, n_requests: 1 };
    asked.error(LogLevel::Info, &format!("{why} while reading client request headers"), None);
    asked.log(&Record { status, started_at: line.worker.clock.precise(), ..Record::default() });
}

/// A head of which only the first line, for logs, may be known.
fn first_line(bytes: &[u8]) -> RequestHead {
    let mut head = RequestHead::default();
    let end = memchr::memchr2(b'\r', b'\n', bytes).unwrap_or(0);
    head.line.end = end as u32;
    head.len = bytes.len();
    head
}
