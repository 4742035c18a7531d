//! Every directive of open-source nginx that a web proxy's configuration may hold.
//!
//! The parser, the checks and `docs/nginx-directives.md` all come from these rows.

use super::row::context::{EVENTS, HTTP, LIMIT_EXCEPT, LOCATION, LOCATION_IF, MAIN, REWRITE, SERVER, UPSTREAM, WEB};
use super::row::{Arity, MANY, Row, Support};
use Arity::{Block, Flag, Words};
use Support::{Degraded, Harmless, Rejected, Supported};

const PROCESS: Support = Harmless("the service manager and the supervisor look after the process");
const KERNEL: Support = Harmless("how bytes reach the kernel does not change them");
const TABLES: Support = Harmless("our tables grow as needed");
const MEMORY: Support = Harmless("memory is taken as needed");
const STREAMED: Support = Harmless("bodies are streamed, in bounded memory");
const NO_TLS: Support =
    Harmless("there is no listener with TLS: `listen ... ssl` is an error of its own until it is supported");
const CACHE: Support = Degraded("answers are not cached yet: each one comes from an upstream");
const CACHE_TUNING: Support = Harmless("answers are not cached yet; `proxy_cache` says so");
const FILES: Support = Harmless("files are opened for each request");

/// The row of a name in a context, or any row of that name.
pub fn find(name: &str, context: u16) -> Option<&'static Row> {
    let mut rows = all().filter(|row| row.name == name);
    let first = rows.next()?;
    if first.contexts & context != 0 {
        return Some(first);
    }
    Some(rows.find(|row| row.contexts & context != 0).unwrap_or(first))
}

/// All rows.
pub fn all() -> impl Iterator<Item = &'static Row> {
    [MAIN_ROWS, CORE_ROWS, UPSTREAM_ROWS, PROXY_ROWS, LOG_ROWS, super::rows_other::OTHER_ROWS].into_iter().flatten()
}

pub(super) const fn row(name: &'static str, contexts: u16, arity: Arity, support: Support, doc: &'static str) -> Row {
    Row { name, contexts, arity, support, doc }
}

const MAIN_ROWS: &[Row] = &[
    row("daemon", MAIN, Flag, Supported, "whether the program leaves the terminal"),
    row("debug_points", MAIN, Words(1, 1), PROCESS, "what to do at an internal error"),
    row("env", MAIN, Words(1, 1), PROCESS, "a variable to keep in the environment"),
    row("events", MAIN, Block(0, 0), Supported, "the block for connections"),
    row("http", MAIN, Block(0, 0), Supported, "the block for HTTP"),
    row("include", u16::MAX, Words(1, 1), Supported, "reads files here"),
    row(
        "load_module",
        MAIN,
        Words(1, 1),
        Degraded("no module is loaded: directives that it brings are unknown"),
        "loads a dynamic module",
    ),
    row("lock_file", MAIN, Words(1, 1), PROCESS, "a lock between workers"),
    row("master_process", MAIN, Flag, PROCESS, "whether workers are processes"),
    row("pcre_jit", MAIN, Flag, Harmless("regular expressions are compiled always"), "compiles regular expressions"),
    row("pid", MAIN, Words(1, 1), Supported, "where the process id is written"),
    row("ssl_engine", MAIN, Words(1, 1), NO_TLS, "a device for TLS"),
    row("ssl_object_cache_inheritable", MAIN, Flag, NO_TLS, "keeps certificates over a reload"),
    row("thread_pool", MAIN, Words(2, 3), PROCESS, "threads for reading files"),
    row("timer_resolution", MAIN, Words(1, 1), PROCESS, "how often the clock is read"),
    row("user", MAIN, Words(1, 2), Supported, "user and group of the workers"),
    row("worker_cpu_affinity", MAIN, Words(1, MANY), PROCESS, "cores for the workers"),
    row("worker_priority", MAIN, Words(1, 1), PROCESS, "nice value of the workers"),
    row("worker_processes", MAIN, Words(1, 1), Supported, "how many workers; `auto` is one for each core"),
    row("worker_rlimit_core", MAIN, Words(1, 1), PROCESS, "limit of a core file"),
    row("worker_rlimit_nofile", MAIN, Words(1, 1), PROCESS, "limit of open files"),
    row("worker_shutdown_timeout", MAIN, Words(1, 1), Supported, "how long a drain may take"),
    row("working_directory", MAIN, Words(1, 1), PROCESS, "where core files go"),
    row("mail", MAIN, Block(0, 0), Rejected("proxying mail"), "the block for mail"),
    row("stream", MAIN, Block(0, 0), Rejected("proxying TCP and UDP"), "the block for TCP and UDP"),
    row("accept_mutex", EVENTS, Flag, KERNEL, "workers accept in turn"),
    row("accept_mutex_delay", EVENTS, Words(1, 1), KERNEL, "how long a worker waits for its turn"),
    row("debug_connection", EVENTS, Words(1, 1), Harmless("logs only"), "debug messages for some clients"),
    row("multi_accept", EVENTS, Flag, KERNEL, "accepts all waiting connections at once"),
    row("use", EVENTS, Words(1, 1), KERNEL, "how to wait for events"),
    row("worker_aio_requests", EVENTS, Words(1, 1), KERNEL, "limit of asynchronous file operations"),
    row("worker_connections", EVENTS, Words(1, 1), Supported, "connections of one worker"),
];

const CORE_ROWS: &[Row] = &[
    row("absolute_redirect", WEB, Flag, Supported, "redirects carry scheme and host"),
    row("aio", WEB, Words(1, 1), KERNEL, "asynchronous file reads"),
    row("aio_write", WEB, Flag, KERNEL, "asynchronous file writes"),
    row("alias", LOCATION, Words(1, 1), Supported, "replaces the location's path"),
    row("auth_delay", WEB, Words(1, 1), Harmless("nothing asks for a password yet"), "delays a refusal"),
    row("chunked_transfer_encoding", WEB, Flag, Rejected("answers to HTTP/1.1 without chunks"), "chunks in HTTP/1.1"),
    row("client_body_buffer_size", WEB, Words(1, 1), STREAMED, "memory for a request's body"),
    row("client_body_in_file_only", WEB, Words(1, 1), Degraded("bodies are never kept in files"), "bodies in files"),
    row("client_body_in_single_buffer", WEB, Flag, STREAMED, "a body in one buffer"),
    row("client_body_temp_path", WEB, Words(1, 4), STREAMED, "where bodies go"),
    row("client_body_timeout", WEB, Words(1, 1), Supported, "wait between two reads of a request's body"),
    row("client_header_buffer_size", HTTP | SERVER, Words(1, 1), MEMORY, "memory for a request's head"),
    row("client_header_timeout", HTTP | SERVER, Words(1, 1), Supported, "time for a request's head"),
    row("client_max_body_size", WEB, Words(1, 1), Supported, "the largest request body; 0 is any"),
    row("connection_pool_size", HTTP | SERVER, Words(1, 1), MEMORY, "memory of a connection"),
    row("default_type", WEB, Words(1, 1), Supported, "media type of files that `types` does not name"),
    row("directio", WEB, Words(1, 1), KERNEL, "reads large files past the cache"),
    row("directio_alignment", WEB, Words(1, 1), KERNEL, "alignment of such reads"),
    row("disable_symlinks", WEB, Words(1, 2), Rejected("refusing symbolic links"), "refuses symbolic links"),
    row("early_hints", WEB, Words(1, MANY), Rejected("passing 103 answers on"), "passes 103 answers on"),
    row("error_page", WEB | LOCATION_IF, Words(2, MANY), Supported, "a page of one's own for a status"),
    row("etag", WEB, Flag, Harmless("files are sent with their date, which is validator enough"), "ETag for files"),
    row(
        "if_modified_since",
        WEB,
        Words(1, 1),
        Harmless("clients may always be sent the whole file"),
        "conditional requests",
    ),
    row("ignore_invalid_headers", HTTP | SERVER, Flag, Harmless("invalid names are refused"), "drops invalid headers"),
    row("internal", LOCATION, Words(0, 0), Supported, "no client may ask"),
    row("keepalive_disable", WEB, Words(1, MANY), KERNEL, "no keep-alive for old browsers"),
    row("keepalive_requests", WEB | UPSTREAM, Words(1, 1), Supported, "requests on one connection"),
    row(
        "keepalive_time",
        WEB | UPSTREAM,
        Words(1, 1),
        Harmless("the other limits bound a connection"),
        "age of a connection",
    ),
    row("keepalive_timeout", WEB | UPSTREAM, Words(1, 2), Supported, "how long an idle connection stays"),
    row("large_client_header_buffers", HTTP | SERVER, Words(2, 2), Supported, "the largest request head"),
    row("limit_except", LOCATION, Block(1, MANY), Rejected("access by method"), "access by method"),
    row(
        "limit_rate",
        WEB | LOCATION_IF,
        Words(1, 1),
        Degraded("answers are sent as fast as they can be"),
        "bytes in a second",
    ),
    row(
        "limit_rate_after",
        WEB | LOCATION_IF,
        Words(1, 1),
        Degraded("answers are sent as fast as they can be"),
        "bytes before a limit",
    ),
    row("lingering_close", WEB, Words(1, 1), KERNEL, "how a connection is closed"),
    row("lingering_time", WEB, Words(1, 1), KERNEL, "how long at most"),
    row("lingering_timeout", WEB, Words(1, 1), KERNEL, "how long without data"),
    row("listen", SERVER, Words(1, MANY), Supported, "an address and port, or a `unix:` socket"),
    row("location", SERVER | LOCATION, Block(1, 2), Supported, "values and a handler for some paths"),
    row("log_not_found", WEB, Flag, Harmless("logs only"), "logs missing files"),
    row("log_subrequest", WEB, Flag, Harmless("there are no subrequests"), "logs subrequests"),
    row(
        "max_headers",
        HTTP | SERVER,
        Words(1, 1),
        Harmless("the number of headers is bounded always"),
        "headers of a request",
    ),
    row("max_ranges", WEB, Words(1, 1), Harmless("clients may always be sent the whole file"), "ranges in a request"),
    row("merge_slashes", HTTP | SERVER, Flag, Supported, "`//` in a path counts as `/`"),
    row("msie_padding", WEB, Flag, KERNEL, "for a browser of 2003"),
    row("msie_refresh", WEB, Flag, KERNEL, "for a browser of 2003"),
    row("open_file_cache", WEB, Words(1, 2), FILES, "keeps files open"),
    row("open_file_cache_errors", WEB, Flag, FILES, "remembers missing files"),
    row("open_file_cache_min_uses", WEB, Words(1, 1), FILES, "uses before a file is kept"),
    row("open_file_cache_valid", WEB, Words(1, 1), FILES, "how long it is believed"),
    row("output_buffers", WEB, Words(2, 2), STREAMED, "memory for reading files"),
    row("port_in_redirect", WEB, Flag, Supported, "redirects carry the port"),
    row("postpone_output", WEB, Words(1, 1), KERNEL, "the smallest write"),
    row("read_ahead", WEB, Words(1, 1), KERNEL, "read-ahead of files"),
    row("recursive_error_pages", WEB, Flag, Supported, "error pages for error pages"),
    row("request_pool_size", HTTP | SERVER, Words(1, 1), MEMORY, "memory of a request"),
    row("reset_timedout_connection", WEB, Flag, KERNEL, "resets what timed out"),
    row(
        "resolver",
        WEB | UPSTREAM,
        Words(1, MANY),
        Degraded("names are resolved when the configuration is loaded"),
        "name servers",
    ),
    row("resolver_timeout", WEB | UPSTREAM, Words(1, 1), Harmless("see `resolver`"), "time for a name"),
    row("root", WEB | LOCATION_IF, Words(1, 1), Supported, "the directory of files"),
    row("satisfy", WEB, Words(1, 1), Harmless("what it combines is rejected on its own"), "all checks or any"),
    row("send_lowat", WEB, Words(1, 1), KERNEL, "low-water mark of a socket"),
    row("send_timeout", WEB, Words(1, 1), Supported, "wait between two writes of an answer"),
    row("sendfile", WEB | LOCATION_IF, Flag, KERNEL, "sends files without copying"),
    row("sendfile_max_chunk", WEB, Words(1, 1), KERNEL, "the largest such write"),
    row("server", HTTP, Block(0, 0), Supported, "a site"),
    row("server_name", SERVER, Words(1, MANY), Supported, "names of a site: exact, `*.x`, `x.*`, `.x`, `~regex`"),
    row("server_name_in_redirect", WEB, Flag, Supported, "redirects carry the first server name"),
    row("server_names_hash_bucket_size", HTTP, Words(1, 1), TABLES, "size of a table"),
    row("server_names_hash_max_size", HTTP, Words(1, 1), TABLES, "size of a table"),
    row("server_tokens", WEB, Words(1, 1), Supported, "whether the version is told"),
    row("subrequest_output_buffer_size", WEB, Words(1, 1), MEMORY, "memory of a subrequest"),
    row("tcp_nodelay", WEB, Flag, KERNEL, "sends small packets at once"),
    row("tcp_nopush", WEB, Flag, KERNEL, "fills packets"),
    row("try_files", SERVER | LOCATION, Words(2, MANY), Supported, "looks for files"),
    row("types", WEB, Block(0, 0), Supported, "media types by extension"),
    row("types_hash_bucket_size", WEB, Words(1, 1), TABLES, "size of a table"),
    row("types_hash_max_size", WEB, Words(1, 1), TABLES, "size of a table"),
    row(
        "underscores_in_headers",
        HTTP | SERVER,
        Flag,
        Degraded("headers with `_` are passed on"),
        "`_` in header names",
    ),
    row("variables_hash_bucket_size", HTTP, Words(1, 1), TABLES, "size of a table"),
    row("variables_hash_max_size", HTTP, Words(1, 1), TABLES, "size of a table"),
    row("index", WEB, Words(1, MANY), Supported, "files that stand for a directory"),
    row("return", REWRITE, Words(1, 2), Supported, "answers at once"),
    row("break", REWRITE, Words(0, 0), Supported, "ends rewriting"),
    row("if", SERVER | LOCATION, Block(1, MANY), Supported, "values and rewriting on a condition"),
    row("rewrite", REWRITE, Words(2, 3), Supported, "changes the path"),
    row("rewrite_log", WEB | REWRITE, Flag, Harmless("logs only"), "logs rewriting"),
    row("set", REWRITE, Words(2, 2), Supported, "sets a variable"),
    row("uninitialized_variable_warn", WEB | REWRITE, Flag, Harmless("logs only"), "logs unset variables"),
];

const UPSTREAM_ROWS: &[Row] = &[
    row("upstream", HTTP, Block(1, 1), Supported, "servers that share requests"),
    row(
        "server",
        UPSTREAM,
        Words(1, MANY),
        Supported,
        "one server: `weight`, `max_fails`, `fail_timeout`, `max_conns`, `backup`, `down`",
    ),
    row("keepalive", UPSTREAM, Words(1, 2), Supported, "idle connections kept by a worker"),
    row("hash", UPSTREAM, Words(1, 2), Supported, "the server by a key"),
    row("ip_hash", UPSTREAM, Words(0, 0), Supported, "the server by client address"),
    row("least_conn", UPSTREAM, Words(0, 0), Supported, "the least busy server"),
    row("least_time", UPSTREAM, Words(1, 2), Rejected("choosing the fastest server"), "the fastest server"),
    row("random", UPSTREAM, Words(0, 2), Rejected("choosing a server at random"), "a server at random"),
    row("sticky", UPSTREAM, Words(1, MANY), Rejected("sessions that stay with a server"), "sessions that stay"),
    row("zone", UPSTREAM, Words(1, 2), Harmless("each worker counts for itself"), "memory shared by workers"),
];

const PROXY_ROWS: &[Row] = &[
    row("proxy_pass", LOCATION | LOCATION_IF | LIMIT_EXCEPT, Words(1, 1), Supported, "the upstream of a location"),
    row("proxy_bind", WEB, Words(1, 2), Rejected("a source address for upstreams"), "the source address"),
    row("proxy_buffer_size", WEB, Words(1, 1), STREAMED, "memory for the head of an answer"),
    row("proxy_buffering", WEB, Flag, STREAMED, "reads answers ahead of the client"),
    row("proxy_buffers", WEB, Words(2, 2), STREAMED, "memory for an answer"),
    row("proxy_busy_buffers_size", WEB, Words(1, 1), STREAMED, "memory on its way to the client"),
    row("proxy_cache", WEB, Words(1, 1), CACHE, "the zone of cached answers"),
    row("proxy_cache_background_update", WEB, Flag, CACHE_TUNING, "updates in the background"),
    row("proxy_cache_bypass", WEB, Words(1, MANY), CACHE_TUNING, "when not to use the cache"),
    row("proxy_cache_convert_head", WEB, Flag, CACHE_TUNING, "HEAD as GET"),
    row("proxy_cache_key", WEB, Words(1, 1), CACHE_TUNING, "the key of an answer"),
    row("proxy_cache_lock", WEB, Flag, CACHE_TUNING, "one request fills an entry"),
    row("proxy_cache_lock_age", WEB, Words(1, 1), CACHE_TUNING, "how long it may take"),
    row("proxy_cache_lock_timeout", WEB, Words(1, 1), CACHE_TUNING, "how long others wait"),
    row("proxy_cache_max_range_offset", WEB, Words(1, 1), CACHE_TUNING, "ranges that are not cached"),
    row("proxy_cache_methods", WEB, Words(1, MANY), CACHE_TUNING, "methods that are cached"),
    row("proxy_cache_min_uses", WEB, Words(1, 1), CACHE_TUNING, "requests before an answer is kept"),
    row("proxy_cache_path", HTTP, Words(2, MANY), CACHE, "where cached answers are kept"),
    row("proxy_cache_purge", WEB, Words(1, MANY), CACHE_TUNING, "requests that empty the cache"),
    row("proxy_cache_revalidate", WEB, Flag, CACHE_TUNING, "asks whether an answer changed"),
    row("proxy_cache_use_stale", WEB, Words(1, MANY), CACHE_TUNING, "when an old answer will do"),
    row("proxy_cache_valid", WEB, Words(1, MANY), CACHE_TUNING, "how long an answer is kept"),
    row("proxy_connect_timeout", WEB, Words(1, 1), Supported, "time for connecting to a server"),
    row("proxy_cookie_domain", WEB, Words(1, 2), Rejected("changing cookies"), "changes the domain of cookies"),
    row("proxy_cookie_flags", WEB, Words(1, MANY), Rejected("changing cookies"), "changes the flags of cookies"),
    row("proxy_cookie_path", WEB, Words(1, 2), Rejected("changing cookies"), "changes the path of cookies"),
    row(
        "proxy_force_ranges",
        WEB,
        Flag,
        Harmless("clients may always be sent the whole answer"),
        "ranges of any answer",
    ),
    row("proxy_headers_hash_bucket_size", WEB, Words(1, 1), TABLES, "size of a table"),
    row("proxy_headers_hash_max_size", WEB, Words(1, 1), TABLES, "size of a table"),
    row("proxy_hide_header", WEB, Words(1, 1), Supported, "drops a header of the answer"),
    row("proxy_http_version", WEB, Words(1, 1), Supported, "1.0 or 1.1 to upstreams"),
    row("proxy_ignore_client_abort", WEB, Flag, Degraded("a request ends with its client"), "goes on without a client"),
    row("proxy_ignore_headers", WEB, Words(1, MANY), CACHE_TUNING, "headers that do not steer"),
    row("proxy_intercept_errors", WEB, Flag, Supported, "error pages for an upstream's errors"),
    row("proxy_limit_rate", WEB, Words(1, 1), Degraded("answers are read as fast as they come"), "bytes in a second"),
    row("proxy_max_temp_file_size", WEB, Words(1, 1), STREAMED, "the largest temporary file"),
    row("proxy_method", WEB, Words(1, 1), Rejected("another method to upstreams"), "another method"),
    row("proxy_next_upstream", WEB, Words(1, MANY), Supported, "after what another server is tried"),
    row("proxy_next_upstream_timeout", WEB, Words(1, 1), Supported, "for how long"),
    row("proxy_next_upstream_tries", WEB, Words(1, 1), Supported, "how often"),
    row("proxy_no_cache", WEB, Words(1, MANY), CACHE_TUNING, "what is not cached"),
    row("proxy_pass_header", WEB, Words(1, 1), Supported, "passes a hidden header on"),
    row("proxy_pass_request_body", WEB, Flag, Rejected("requests without their body"), "whether the body is sent"),
    row(
        "proxy_pass_request_headers",
        WEB,
        Flag,
        Rejected("requests without their headers"),
        "whether headers are sent",
    ),
    row("proxy_pass_trailers", WEB, Flag, Rejected("trailers"), "whether trailers are sent on"),
    row("proxy_read_timeout", WEB, Words(1, 1), Supported, "wait between two reads of an answer"),
    row(
        "proxy_redirect",
        WEB,
        Words(1, 2),
        Supported,
        "redirects of upstreams in our terms; only `default` and `off` yet",
    ),
    row("proxy_request_buffering", WEB, Flag, STREAMED, "reads requests before sending them"),
    row("proxy_send_lowat", WEB, Words(1, 1), KERNEL, "low-water mark of a socket"),
    row("proxy_send_timeout", WEB, Words(1, 1), Supported, "wait between two writes of a request"),
    row("proxy_set_body", WEB, Words(1, 1), Rejected("another body to upstreams"), "another body"),
    row("proxy_set_header", WEB, Words(2, 2), Supported, "a header of the request to upstreams"),
    row("proxy_socket_keepalive", WEB, Flag, KERNEL, "TCP keep-alive to upstreams"),
    row("proxy_ssl_certificate", WEB, Words(1, 1), NO_TLS, "our certificate for upstreams"),
    row("proxy_ssl_certificate_key", WEB, Words(1, 1), NO_TLS, "and its key"),
    row("proxy_ssl_ciphers", WEB, Words(1, 1), NO_TLS, "ciphers to upstreams"),
    row("proxy_ssl_name", WEB, Words(1, 1), NO_TLS, "the name that a certificate must have"),
    row("proxy_ssl_protocols", WEB, Words(1, MANY), NO_TLS, "versions of TLS to upstreams"),
    row("proxy_ssl_server_name", WEB, Flag, NO_TLS, "tells upstreams the name"),
    row("proxy_ssl_session_reuse", WEB, Flag, NO_TLS, "resumes sessions"),
    row("proxy_ssl_trusted_certificate", WEB, Words(1, 1), NO_TLS, "whom to trust"),
    row("proxy_ssl_verify", WEB, Flag, NO_TLS, "checks certificates"),
    row("proxy_ssl_verify_depth", WEB, Words(1, 1), NO_TLS, "length of a chain"),
    row("proxy_store", WEB, Words(1, 1), Degraded("answers are not stored"), "keeps copies of answers"),
    row("proxy_store_access", WEB, Words(1, 3), Harmless("answers are not stored"), "permissions of copies"),
    row("proxy_temp_file_write_size", WEB, Words(1, 1), STREAMED, "the largest write to a file"),
    row("proxy_temp_path", WEB, Words(1, 4), STREAMED, "where answers wait for slow clients"),
];

const LOG_ROWS: &[Row] = &[
    row(
        "access_log",
        WEB | LOCATION_IF,
        Words(1, MANY),
        Supported,
        "a file for requests, and its format; `off` for none",
    ),
    row("error_log", MAIN | WEB, Words(1, 2), Supported, "a file or `stderr` for messages, and the least level"),
    row("log_format", HTTP, Words(2, MANY), Supported, "the form of a line for each request"),
    row("open_log_file_cache", WEB, Words(1, MANY), Harmless("logs are kept open always"), "keeps logs open"),
];
