use crate::body::RequestBody;
use crate::buffer::Buffer;
use crate::client::{After, Line, write_all};
use crate::http1::{Framing, ResponseHead, Strictness, parse_response};
use crate::pump::{Pump, PumpError, Sink, Source};
use crate::record::{Asked, Attempt, Record};
use crate::reply;
use crate::rewrite::{AnswerBody, BodyHeader, empty_body, request_head, response_head, sends_header};
use crate::stream::Stream;
use crate::upstream::{Connection, UpstreamState, connect};
use crate::worker::error_text;
use evenkeel_site::config::{HttpVersion, LogLevel};
use evenkeel_site::{Answer, CompiledPass, CompiledScope, Failure, Outcome, Tried, is_idempotent};
use evenkeel_wire::Instant;
use std::io;
use std::io::Write as _;
use std::task::{Context, Poll};

/// Longest head of an answer.
const MAX_RESPONSE_HEAD: usize = 64 * 1024;

/// Passes a request to an upstream and its answer back.
#[allow(clippy::too_many_arguments, reason = "one call; each is a different thing the request consists of")]
pub(crate) async fn run(
    line: &mut Line,
    asked: &Asked<'_>,
    upstream: &UpstreamState,
    pass: &CompiledPass,
    target: &str,
    body: &mut RequestBody,
    keep: bool,
    record: &mut Record,
) -> After {
    let Some(plan) = asked.plan else { return After::Close };
    let mut text = asked.worker.buffers.text();
    let body_header = match (&*body, body.len()) {
        (RequestBody::None { .. }, _) => empty_body(asked.head),
        (_, Some(length)) => BodyHeader::Length(length),
        (_, None) => BodyHeader::Chunked,
    };
    request_head(asked, plan.scope, target, body_header, &mut text);
    let n_before = record.attempts.len();
    let mut exchange = Exchange { n_before, line, asked, upstream, pass, scope: plan.scope, target, keep, record };
    let after = exchange.try_servers(&text, body).await;
    asked.worker.buffers.put_text(text);
    after
}

struct Exchange<'e> {
    line: &'e mut Line,
    asked: &'e Asked<'e>,
    upstream: &'e UpstreamState,
    pass: &'e CompiledPass,
    scope: &'e CompiledScope,
    target: &'e str,
    keep: bool,
    record: &'e mut Record,
    /// Attempts before this upstream was asked.
    n_before: usize,
}

/// How one attempt ended without an answer for the client.
enum Failed {
    /// The server is to blame: perhaps another one can do it.
    Server { failure: Failure, text: String, sent: bool, stale: bool },
    /// The client is: this is the status for it, or for the log when it has gone.
    Client { status: u16, text: &'static str },
    /// Neither is: something has run out here, and no server may be set aside for it.
    Ours { text: String },
}

/// A request that is with a server.
struct Busy<'e> {
    upstream: &'e UpstreamState,
    server: usize,
}

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.upstream.balancer.borrow_mut().release(self.server);
    }
}

/// An answer whose head has been read.
struct Response {
    connection: Connection,
    head: ResponseHead,
    /// The head and what came after it.
    buffer: Buffer,
    /// Boxed: rare and large, and an answer is moved several times.
    upload: Option<Box<Upload>>,
}

/// A request body on its way to the upstream, beside which the answer may come already.
struct Upload {
    pump: Pump,
    /// The upstream takes no more of it.
    broken: bool,
    done: bool,
}

enum UploadFailed {
    Client(u16, &'static str),
}

impl Upload {
    /// Moves on. Ready when it is over, however it ended.
    fn poll(&mut self, cx: &mut Context<'_>, line: &mut Line, to: &mut Stream) -> Poll<Result<(), UploadFailed>> {
        if self.done || self.broken {
            return Poll::Ready(Ok(()));
        }
        let Line { worker, stream, slot, .. } = line;
        let Poll::Ready(outcome) = self.pump.poll(cx, stream, to, slot, &worker.buffers) else { return Poll::Pending };
        match outcome {
            Ok(()) => self.done = true,
            // It may have answered and closed: what it said is still to be read.
            Err(PumpError::Write(_) | PumpError::WriteTimeout) => self.broken = true,
            Err(PumpError::Chunk(_)) => {
                return Poll::Ready(Err(UploadFailed::Client(400, "client sent invalid chunked body")));
            }
            Err(PumpError::TooLong) => {
                return Poll::Ready(Err(UploadFailed::Client(413, "client intended to send too large chunked body")));
            }
            Err(PumpError::Ended | PumpError::Read(_) | PumpError::ReadTimeout) => {
                return Poll::Ready(Err(UploadFailed::Client(499, "client prematurely closed connection")));
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl Exchange<'_> {
    async fn try_servers(&mut self, text: &[u8], body: &mut RequestBody) -> After {
        let next = self.scope.values.proxy_next_upstream;
        let method = self.asked.method();
        let idempotent = std::str::from_utf8(method).is_ok_and(is_idempotent);
        let started_at = self.asked.worker.clock.now();
        // A server that is down is none that could be tried.
        let n_servers = self.upstream.config.servers.iter().filter(|server| !server.down).count() as u32;
        let tries = if next.tries == 0 { n_servers } else { next.tries.min(n_servers) };
        let mut tried = Tried::default();
        let mut key = Vec::new();
        if let Some(Answer::Proxy { upstream, .. }) = self.asked.plan.map(|plan| &plan.answer) {
            self.asked.site.balance_key(*upstream, self.asked, &mut key);
        }
        let mut last = None;
        loop {
            let now = self.now();
            let picked = self.upstream.balancer.borrow_mut().pick(now, &mut tried, &key);
            let Some(server) = picked else {
                let url = format!("http://{}{}", self.upstream.config.name, self.target);
                self.asked.error(LogLevel::Error, "no live upstreams while connecting to upstream", Some(&url));
                self.note_attempt(self.upstream.config.name.clone(), Some(502));
                let status = last.map_or(502, Failure::status);
                // What is left of a body that nobody took must not be read as the next request.
                let keep = self.keep && !matches!(body, RequestBody::Stream { .. });
                return reply::page(self.line, self.asked, status, keep, self.record).await;
            };
            // To the end of the attempt, or of the answer.
            let _busy = Busy { upstream: self.upstream, server };
            let state = &self.upstream.servers[server];
            state.n_requests.set(state.n_requests.get() + 1);
            let attempted = self.attempt(server, text, body, idempotent || next.non_idempotent).await;
            let may_retry = |failure, sent| {
                let in_time = next.timeout_total.is_zero()
                    || self.asked.worker.clock.now().saturating_sub(started_at) < next.timeout_total;
                let whole = !matches!(body, RequestBody::Stream { source: Source::Done, .. });
                tried.count() < tries && in_time && whole && next.retries(failure, idempotent, sent, false)
            };
            let failed = match attempted {
                // An answer whose status is a reason to ask another server is none, as long as there is another.
                Ok(answer) if answer.upload.is_none() && may_retry(Failure::Status(answer.head.status), true) => {
                    let status = answer.head.status;
                    self.asked.worker.buffers.put(answer.buffer);
                    let text = format!("upstream answered {status} while reading response header from upstream");
                    Failed::Server { failure: Failure::Status(status), text, sent: true, stale: false }
                }
                Ok(answer) => {
                    self.report(server, Outcome::Success);
                    return self.respond(answer, body).await;
                }
                Err(failed) => failed,
            };
            match failed {
                Failed::Client { status, text } => return self.blame_client(status, text).await,
                Failed::Ours { text } => {
                    self.asked.error(LogLevel::Crit, &text, Some(&self.url(server)));
                    return reply::page(self.line, self.asked, 500, false, self.record).await;
                }
                Failed::Server { failure, text, sent, .. } => {
                    let retry = may_retry(failure, sent);
                    let whole = !matches!(body, RequestBody::Stream { .. });
                    self.note_failure(server, failure, &text);
                    last = Some(failure);
                    if !retry {
                        return reply::page(self.line, self.asked, failure.status(), self.keep && whole, self.record)
                            .await;
                    }
                }
            }
        }
    }

    /// One server: with a connection at rest, or a new one when that turns out to be closed.
    async fn attempt(
        &mut self,
        server: usize,
        text: &[u8],
        body: &mut RequestBody,
        can_repeat: bool,
    ) -> Result<Response, Failed> {
        if let Some(connection) = self.upstream.take(server) {
            match self.ask(connection, text, body, true).await {
                Err(Failed::Server { stale: true, sent, .. })
                    if (!sent || can_repeat) && !matches!(body, RequestBody::Stream { source: Source::Done, .. }) => {}
                outcome => return outcome,
            }
        }
        let address = &self.upstream.config.servers[server].address;
        let values = &self.scope.values;
        if self.asked.is_logged() {
            self.note_attempt(self.upstream.servers[server].text.clone(), None);
        }
        let stream = connect(address, &self.line.slot, values.proxy_connect_timeout).await;
        let stream = stream.map_err(|error| {
            if is_about_us(&error) {
                let text = format!("socket() failed ({}) while connecting to upstream", error_text(&error));
                return Failed::Ours { text };
            }
            let (failure, text) = match error.kind() {
                io::ErrorKind::TimedOut => {
                    (Failure::Timeout, "upstream timed out (110: Connection timed out)".to_owned())
                }
                _ => (Failure::Error, format!("connect() failed ({})", error_text(&error))),
            };
            Failed::Server { failure, text: format!("{text} while connecting to upstream"), sent: false, stale: false }
        })?;
        let since = self.since();
        if let Some(attempt) = self.record.attempts.last_mut() {
            attempt.connect = Some(since);
        }
        let connection = Connection { stream, server, n_requests: 0 };
        self.ask(connection, text, body, false).await
    }

    /// Sends the request on a connection and reads the head of the answer.
    async fn ask(
        &mut self,
        mut connection: Connection,
        text: &[u8],
        body: &mut RequestBody,
        reused: bool,
    ) -> Result<Response, Failed> {
        if reused && self.asked.is_logged() {
            self.note_attempt(self.upstream.servers[connection.server].text.clone(), None);
        }
        connection.n_requests += 1;
        let values = &self.scope.values;
        let mut upload = None;
        let whole: &[u8] = match body {
            RequestBody::None { .. } => b"",
            RequestBody::InBuffer(n) => &self.asked.bytes[self.asked.head.len..self.asked.head.len + *n],
            RequestBody::Collected(body) => body,
            RequestBody::Stream { .. } => {
                upload = Some(Box::new(self.upload(text, body)));
                b""
            }
        };
        if upload.is_none() {
            let slot = &self.line.slot;
            let sent = write_all(&mut connection.stream, slot, text, whole, values.proxy_send_timeout).await;
            if let Err(error) = sent {
                let failure = if error.kind() == io::ErrorKind::TimedOut { Failure::Timeout } else { Failure::Error };
                let text = match failure {
                    Failure::Timeout => "upstream timed out (110: Connection timed out)".to_owned(),
                    _ => format!("send() failed ({})", error_text(&error)),
                };
                let text = format!("{text} while sending request to upstream");
                return Err(Failed::Server { failure, text, sent: true, stale: reused });
            }
        }
        let (head, buffer) = self.read_head(&mut connection.stream, &mut upload, reused).await?;
        Ok(Response { connection, head, buffer, upload })
    }

    /// Takes the beginning of a long body. After that it cannot be sent to anybody else.
    fn upload(&self, text: &[u8], body: &mut RequestBody) -> Upload {
        let RequestBody::Stream { collected, buffer, source, .. } = body else {
            return Upload { pump: Pump::idle(), broken: false, done: true };
        };
        let values = &self.scope.values;
        let sink = if matches!(source, Source::Chunked(_)) { Sink::Chunked } else { Sink::Plain };
        let mut prefix = text.to_vec();
        if !collected.is_empty() {
            let _ = write!(prefix, "{:x}\r\n", collected.len());
            prefix.extend_from_slice(collected);
            prefix.extend_from_slice(b"\r\n");
        }
        let source = std::mem::replace(source, Source::Done);
        let limits = (values.client_body_timeout, values.proxy_send_timeout);
        let mut pump = Pump::new(prefix, std::mem::take(buffer), source, sink, limits);
        if values.client_max_body_size != 0 {
            pump.allowed = values.client_max_body_size.saturating_sub(collected.len() as u64);
        }
        Upload { pump, broken: false, done: false }
    }

    async fn read_head(
        &mut self,
        stream: &mut Stream,
        upload: &mut Option<Box<Upload>>,
        reused: bool,
    ) -> Result<(ResponseHead, Buffer), Failed> {
        const WHERE: &str = "while reading response header from upstream";
        let server_failed = |failure, text: String, stale| Failed::Server {
            failure,
            text: format!("{text} {WHERE}"),
            sent: true,
            stale,
        };
        let read_timeout = self.scope.values.proxy_read_timeout;
        let mut buffer = Buffer::default();
        let mut head = self.asked.worker.take_response_head();
        let mut watching = true;
        let mut uploading = upload.is_some();
        self.line.slot.arm(read_timeout);
        loop {
            let n = Self::wait(self.line, |cx, line| {
                if let (true, Some(upload)) = (uploading, upload.as_mut()) {
                    match upload.poll(cx, line, stream) {
                        Poll::Ready(Ok(())) => {
                            uploading = false;
                            line.slot.arm(read_timeout);
                        }
                        Poll::Ready(Err(failed)) => return Poll::Ready(Ok(Err(failed))),
                        Poll::Pending => {}
                    }
                }
                if buffer.room().is_empty() {
                    buffer = line.worker.buffers.large();
                }
                match stream.poll_read(cx, buffer.room()) {
                    Poll::Ready(outcome) => Poll::Ready(outcome.map(Ok)),
                    Poll::Pending => {
                        if buffer.is_empty() {
                            line.worker.buffers.put(std::mem::take(&mut buffer));
                        }
                        match !uploading && client_left(cx, &line.stream, &mut watching) {
                            true => Poll::Ready(Ok(Err(UploadFailed::Client(499, CLIENT_LEFT)))),
                            false => Poll::Pending,
                        }
                    }
                }
            })
            .await;
            let n = match n {
                Ok(Ok(n)) => n,
                Ok(Err(UploadFailed::Client(status, text))) => return Err(Failed::Client { status, text }),
                Err(error) if error.kind() == io::ErrorKind::TimedOut => {
                    let upload_waits = upload.as_ref().filter(|_| uploading).map(|upload| upload.pump.timed_out());
                    if matches!(upload_waits, Some(PumpError::ReadTimeout)) {
                        return Err(Failed::Client { status: 408, text: "client timed out" });
                    }
                    let text = "upstream timed out (110: Connection timed out)".to_owned();
                    return Err(server_failed(Failure::Timeout, text, false));
                }
                Err(error) => {
                    let text = format!("recv() failed ({})", error_text(&error));
                    return Err(server_failed(Failure::Error, text, reused && buffer.is_empty()));
                }
            };
            if n == 0 {
                let text = "upstream prematurely closed connection".to_owned();
                return Err(server_failed(Failure::Error, text, reused && buffer.is_empty()));
            }
            buffer.fill(n);
            // 1xx heads other than 101 are of no concern to the client (nginx passes none on).
            loop {
                match parse_response(buffer.filled(), &mut head) {
                    Ok(true) if head.status < 200 && head.status != 101 => buffer.consume(head.len),
                    Ok(true) => {
                        let since = self.since();
                        if let Some(attempt) = self.record.attempts.last_mut() {
                            attempt.header = Some(since);
                            attempt.status = Some(head.status);
                        }
                        return Ok((head, buffer));
                    }
                    Ok(false) if buffer.is_empty() => break,
                    Ok(false) if buffer.make_room(MAX_RESPONSE_HEAD) => break,
                    Ok(false) => {
                        let text = "upstream sent too big header".to_owned();
                        return Err(server_failed(Failure::InvalidHeader, text, false));
                    }
                    Err(error) => return Err(server_failed(Failure::InvalidHeader, error.to_string(), false)),
                }
            }
        }
    }

    /// Waits for the deadline that was set, with the client's connection at hand.
    async fn wait<T>(
        line: &mut Line,
        mut step: impl FnMut(&mut Context<'_>, &mut Line) -> Poll<io::Result<T>>,
    ) -> io::Result<T> {
        std::future::poll_fn(|cx| {
            let outcome = step(cx, line);
            if outcome.is_ready() {
                return outcome;
            }
            line.slot.check(cx)
        })
        .await
    }

    /// Sends the answer on.
    async fn respond(&mut self, answer: Response, body: &mut RequestBody) -> After {
        let Response { mut connection, head, mut buffer, mut upload } = answer;
        let values = &self.scope.values;
        let worker = self.asked.worker;
        if values.proxy_intercept_errors && self.asked.plan.is_some_and(|plan| plan.lists_page(head.status)) {
            worker.buffers.put(buffer);
            let keep = self.keep && !matches!(body, RequestBody::Stream { .. });
            return reply::page(self.line, self.asked, head.status, keep, self.record).await;
        }
        if head.status == 101 {
            return self.upgrade(connection, &head, buffer, upload, body).await;
        }
        let framing = if self.asked.is_head() { Framing::None } else { head.framing };
        let source = Source::of(framing, Strictness::Upstream);
        let unknown_length = matches!(framing, Framing::Chunked | Framing::Close);
        let (answer_body, sink) = match unknown_length && self.asked.head.minor == 1 {
            true => (AnswerBody::Chunked, Sink::Chunked),
            false => (AnswerBody::AsFramed, Sink::Plain),
        };
        let keep = self.keep && !(unknown_length && sink == Sink::Plain);
        let mut out = worker.buffers.text();
        let connection_header = if keep { "keep-alive" } else { "close" };
        let bytes = buffer.filled();
        if self.asked.is_logged() {
            self.record.upstream_head.extend_from_slice(&bytes[..head.len]);
        }
        self.record.status = self.asked.status(head.status);
        let record = &*self.record;
        response_head(self.asked, values, self.pass, &head, bytes, answer_body, connection_header, record, &mut out);
        self.record.head_sent = out.len() as u64;
        if self.asked.is_logged() {
            self.record.sent_head.clone_from(&out);
        }
        buffer.consume(head.len);

        let mut pump = Pump::new(out, buffer, source, sink, (values.proxy_read_timeout, values.send_timeout));
        let mut uploading = upload.is_some();
        let mut watching = true;
        let outcome = Self::wait(self.line, |cx, line| {
            if let (true, Some(upload)) = (uploading, upload.as_mut()) {
                match upload.poll(cx, line, &mut connection.stream) {
                    Poll::Ready(Ok(())) => {
                        uploading = false;
                        // The deadline was the upload's; the answer has waited in its shadow.
                        line.slot.arm(values.proxy_read_timeout);
                    }
                    Poll::Ready(Err(_)) => return Poll::Ready(Ok(Err(PumpError::Ended))),
                    Poll::Pending => {}
                }
            }
            let Line { worker, stream, slot, .. } = &mut *line;
            match pump.poll(cx, &mut connection.stream, stream, slot, &worker.buffers) {
                Poll::Ready(outcome) => Poll::Ready(Ok(outcome)),
                Poll::Pending if !uploading && client_left(cx, stream, &mut watching) => {
                    Poll::Ready(Ok(Err(PumpError::Write(io::ErrorKind::BrokenPipe.into()))))
                }
                Poll::Pending => Poll::Pending,
            }
        })
        .await;
        let outcome = outcome.unwrap_or_else(|_| Err(pump.timed_out()));
        self.record.body_sent = pump.n_written + pump.n_framing;
        let since = self.since();
        if let Some(attempt) = self.record.attempts.last_mut() {
            attempt.response = Some(since);
            attempt.length = pump.n_written;
        }
        let rest = pump.into_buffer(&worker.buffers);
        let n_rest = rest.len();
        worker.buffers.put(rest);
        if let Err(error) = outcome {
            self.log_broken(&error, connection.server);
            return After::Close;
        }
        let uploaded = match upload {
            None => true,
            Some(upload) => {
                let done = upload.done;
                if let RequestBody::Stream { buffer, complete, .. } = body {
                    *buffer = upload.pump.into_buffer(&worker.buffers);
                    *complete = done;
                }
                done
            }
        };
        // Bytes after the answer are nobody's; a connection that carried them is not used again.
        if n_rest == 0 && uploaded && !head.ends_connection() && !worker.draining.get() {
            self.upstream.put(connection, worker.clock.now());
        }
        worker.put_response_head(head);
        match (uploaded, keep) {
            (false, _) => After::Linger,
            (true, true) => After::KeepAlive,
            (true, false) if self.asked.head.keep_alive => After::Linger,
            (true, false) => After::Close,
        }
    }

    /// Both sides speak something else from now on.
    async fn upgrade(
        &mut self,
        mut connection: Connection,
        head: &ResponseHead,
        mut buffer: Buffer,
        upload: Option<Box<Upload>>,
        body: &RequestBody,
    ) -> After {
        let asked_for = self.scope.values.proxy_http_version == HttpVersion::Http11
            && self.asked.head.upgrade.is_some()
            && sends_header(self.scope, self.asked, "upgrade");
        // The other protocol begins after the request's body, which has to be over (RFC 9110, section 7.8).
        if !asked_for || upload.as_ref().is_some_and(|upload| !upload.done) {
            let text = "upstream sent 101 response without being asked while reading response header from upstream";
            self.asked.error(LogLevel::Error, text, Some(&self.url(connection.server)));
            let keep = self.keep && upload.is_none();
            return reply::page(self.line, self.asked, 502, keep, self.record).await;
        }
        let values = &self.scope.values;
        let worker = self.asked.worker;
        let mut out = worker.buffers.text();
        let bytes = buffer.filled();
        self.record.status = 101;
        let record = &*self.record;
        response_head(self.asked, values, self.pass, head, bytes, AnswerBody::AsFramed, "upgrade", record, &mut out);
        self.record.head_sent = out.len() as u64;
        buffer.consume(head.len);
        let early = match upload {
            Some(upload) => upload.pump.into_buffer(&worker.buffers),
            None => {
                let mut early = worker.buffers.large();
                early.append(&self.asked.bytes[self.asked.head.len + body.used()..]);
                early
            }
        };
        let mut down =
            Pump::new(out, buffer, Source::Close, Sink::Plain, (values.proxy_read_timeout, values.send_timeout));
        let mut up = Pump::new(
            Vec::new(),
            early,
            Source::Close,
            Sink::Plain,
            (values.proxy_read_timeout, values.proxy_send_timeout),
        );
        let outcome = Self::wait(self.line, |cx, line| {
            let Line { worker, stream, slot, .. } = &mut *line;
            let upward = up.poll(cx, stream, &mut connection.stream, slot, &worker.buffers);
            let downward = down.poll(cx, &mut connection.stream, stream, slot, &worker.buffers);
            match (upward, downward) {
                (Poll::Pending, Poll::Pending) => Poll::Pending,
                // As nginx does it: when one side has closed, the connection is over.
                _ => Poll::Ready(Ok(())),
            }
        })
        .await;
        if outcome.is_err() {
            let text = "upstream timed out (110: Connection timed out) while proxying upgraded connection";
            self.asked.error(LogLevel::Info, text, Some(&self.url(connection.server)));
        }
        self.record.body_sent = down.n_written;
        worker.buffers.put(down.into_buffer(&worker.buffers));
        worker.buffers.put(up.into_buffer(&worker.buffers));
        After::Close
    }

    async fn blame_client(&mut self, status: u16, text: &str) -> After {
        self.asked.error(LogLevel::Info, text, None);
        if matches!(status, 408 | 499) {
            self.record.status = status;
            return After::Close;
        }
        reply::page(self.line, self.asked, status, false, self.record).await
    }

    fn log_broken(&self, error: &PumpError, server: usize) {
        let (level, text) = match error {
            PumpError::Ended => {
                (LogLevel::Error, "upstream prematurely closed connection while reading upstream".to_owned())
            }
            PumpError::Read(error) => {
                (LogLevel::Error, format!("recv() failed ({}) while reading upstream", error_text(error)))
            }
            PumpError::Chunk(error) => (LogLevel::Error, format!("upstream sent invalid chunked response: {error}")),
            PumpError::ReadTimeout => {
                (LogLevel::Error, "upstream timed out (110: Connection timed out) while reading upstream".to_owned())
            }
            PumpError::Write(error) => {
                (LogLevel::Info, format!("send() failed ({}) while sending to client", error_text(error)))
            }
            PumpError::WriteTimeout => (LogLevel::Info, "client timed out while sending to client".to_owned()),
            PumpError::TooLong => (LogLevel::Error, "upstream sent too long a response".to_owned()),
        };
        self.asked.error(level, &text, Some(&self.url(server)));
    }

    fn note_failure(&mut self, server: usize, failure: Failure, text: &str) {
        // nginx logs what it would have answered, had this been the last.
        if let Some(attempt) = self.record.attempts.last_mut() {
            attempt.status.get_or_insert(failure.status());
        }
        self.asked.error(LogLevel::Error, text, Some(&self.url(server)));
        self.report(server, Outcome::Failure(failure));
        if failure.counts() {
            self.upstream.servers[server].note_failure(self.asked.worker.clock.now(), text);
        }
    }

    fn report(&self, server: usize, outcome: Outcome) {
        self.upstream.balancer.borrow_mut().report(self.now(), server, outcome);
    }

    fn url(&self, server: usize) -> String {
        format!("http://{}{}", self.upstream.servers[server].text, self.target)
    }

    fn note_attempt(&mut self, address: String, status: Option<u16>) {
        if self.asked.is_logged() {
            let is_elsewhere = self.record.attempts.len() == self.n_before;
            self.record.attempts.push(Attempt { address, status, is_elsewhere, ..Attempt::default() });
        }
    }

    fn now(&self) -> Instant {
        Instant::from_origin(self.asked.worker.clock.now())
    }

    /// Time since the request began; only asked for when somebody logs it.
    fn since(&self) -> std::time::Duration {
        match self.asked.is_logged() {
            true => self.asked.worker.clock.precise().saturating_sub(self.record.started_at),
            false => std::time::Duration::ZERO,
        }
    }
}

/// ENOMEM, ENFILE, EMFILE and ENOBUFS: nginx answers 500 and holds nothing against the server.
fn is_about_us(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(12 | 23 | 24 | 105))
}

const CLIENT_LEFT: &str =
    "client prematurely closed connection, so upstream connection is closed too while sending request to upstream";

/// Whether the client has closed its side. One that has sent its next request already is watched no longer.
fn client_left(cx: &mut Context<'_>, stream: &Stream, watching: &mut bool) -> bool {
    if !*watching || stream.poll_readable(cx).is_pending() {
        return false;
    }
    *watching = false;
    stream.is_closed_by_peer()
}
