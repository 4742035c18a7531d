use crate::variables::Variables;

/// A text with variables, compiled: `Host $proxy_host`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Template {
    pub(crate) parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Text(String),
    Variable(Variable),
}

/// Where the values of variables come from.
pub trait Values {
    /// Appends the value, and says whether there is one: a log writes `-` for what is absent, and for an empty value nothing.
    fn write(&self, variable: &Variable, out: &mut Vec<u8>) -> bool;
}

/// Why a text is no template.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say it, in nginx's words")]
pub enum TemplateError {
    #[error("unknown \"{0}\" variable")]
    Unknown(String),
    #[error("the closing bracket in \"{0}\" variable is missing")]
    Unclosed(String),
    #[error("invalid variable name")]
    NoName,
}

impl Template {
    /// Compiles a text.
    pub fn parse(text: &str, own: &Variables) -> Result<Template, TemplateError> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some(dollar) = rest.find('$') {
            push_text(&mut parts, &rest[..dollar]);
            let (name, after) = variable_name(&rest[dollar + 1..])?;
            parts.push(Part::Variable(Variable::parse(name, own)?));
            rest = after;
        }
        push_text(&mut parts, rest);
        Ok(Template { parts })
    }

    /// Appends the text with every variable replaced; an absent one by nothing.
    pub fn render(&self, values: &dyn Values, out: &mut Vec<u8>) {
        // As nginx does it, which finds out all lengths first: a `map` changes `$1` for what stands before it, too.
        if self.parts.iter().any(|part| matches!(part, Part::Variable(Variable::Computed(_)))) {
            let start = out.len();
            self.write(values, out);
            out.truncate(start);
        }
        self.write(values, out);
    }

    fn write(&self, values: &dyn Values, out: &mut Vec<u8>) {
        for part in &self.parts {
            match part {
                Part::Text(text) => out.extend_from_slice(text.as_bytes()),
                Part::Variable(variable) => {
                    values.write(variable, out);
                }
            }
        }
    }

    /// The text, when it holds no variable.
    pub fn literal(&self) -> Option<&str> {
        match self.parts.as_slice() {
            [] => Some(""),
            [Part::Text(text)] => Some(text),
            _ => None,
        }
    }

    /// Its variables in order.
    pub fn variables(&self) -> impl Iterator<Item = &Variable> {
        self.parts.iter().filter_map(|part| match part {
            Part::Text(_) => None,
            Part::Variable(variable) => Some(variable),
        })
    }
}

fn push_text(parts: &mut Vec<Part>, text: &str) {
    if !text.is_empty() {
        parts.push(Part::Text(text.to_owned()));
    }
}

/// The name after a dollar sign, and what follows it.
fn variable_name(text: &str) -> Result<(&str, &str), TemplateError> {
    if let Some(braced) = text.strip_prefix('{') {
        let end = name_length(braced);
        return match braced[end..].strip_prefix('}') {
            Some(_) if end == 0 => Err(TemplateError::NoName),
            Some(after) => Ok((&braced[..end], after)),
            None => Err(TemplateError::Unclosed(braced[..end].to_owned())),
        };
    }
    // `$1` ends after its digit: `$10` is `$1` followed by `0`.
    let end = if text.starts_with(|c: char| ('1'..='9').contains(&c)) { 1 } else { name_length(text) };
    if end == 0 {
        return Err(TemplateError::NoName);
    }
    Ok(text.split_at(end))
}

fn name_length(text: &str) -> usize {
    text.bytes().take_while(|b| b.is_ascii_alphanumeric() || *b == b'_').count()
}

/// A variable. Names of headers are kept as header names: lower case, with `-` for `_`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "each variant is nginx's variable of that name, unless it says otherwise")]
pub enum Variable {
    /// `$1` to `$9`.
    Capture(u8),
    /// By number: what `set` or `(?<name>...)` of a regular expression gives a value.
    Slot(usize),
    /// Index in `Config::computed`: what follows from other variables.
    Computed(usize),
    /// `$http_NAME`: header of the request.
    Http(String),
    /// `$sent_http_NAME`: header of the answer.
    SentHttp(String),
    /// `$upstream_http_NAME`: header of the upstream's answer.
    UpstreamHttp(String),
    /// `$arg_NAME`; the name as written.
    Arg(String),
    /// `$cookie_NAME`; the name as written.
    Cookie(String),
    Args,
    BinaryRemoteAddr,
    BodyBytesSent,
    BytesSent,
    Connection,
    ConnectionRequests,
    ConnectionTime,
    ContentLength,
    ContentType,
    DocumentRoot,
    /// Also `$uri`.
    DocumentUri,
    Host,
    Hostname,
    Https,
    IsArgs,
    Msec,
    NginxVersion,
    Pid,
    ProxyAddXForwardedFor,
    ProxyHost,
    ProxyPort,
    QueryString,
    RemoteAddr,
    RemotePort,
    RemoteUser,
    Request,
    RequestCompletion,
    RequestFilename,
    RequestId,
    RequestLength,
    RequestMethod,
    RequestTime,
    RequestUri,
    Scheme,
    ServerAddr,
    ServerName,
    ServerPort,
    ServerProtocol,
    Status,
    TimeIso8601,
    TimeLocal,
    UpstreamAddr,
    UpstreamBytesReceived,
    UpstreamBytesSent,
    UpstreamConnectTime,
    UpstreamHeaderTime,
    UpstreamResponseLength,
    UpstreamResponseTime,
    UpstreamStatus,
}

impl Variable {
    /// The variable of that name, without its dollar sign.
    pub fn parse(name: &str, own: &Variables) -> Result<Variable, TemplateError> {
        if let [digit @ b'1'..=b'9'] = name.as_bytes() {
            return Ok(Variable::Capture(digit - b'0'));
        }
        // Names are case-insensitive, and so are those of headers; arguments are looked up without regard to case too.
        let lower = name.to_ascii_lowercase();
        if let Some(variable) = own.get(&lower) {
            return Ok(variable.clone());
        }
        let header = |name: &str| name.replace('_', "-");
        if let Some(name) = lower.strip_prefix("http_") {
            return Ok(Variable::Http(header(name)));
        }
        if let Some(name) = lower.strip_prefix("sent_http_") {
            return Ok(Variable::SentHttp(header(name)));
        }
        if let Some(name) = lower.strip_prefix("upstream_http_") {
            return Ok(Variable::UpstreamHttp(header(name)));
        }
        if let Some(argument) = lower.strip_prefix("arg_") {
            return Ok(Variable::Arg(argument.to_owned()));
        }
        if let Some(cookie) = lower.strip_prefix("cookie_") {
            return Ok(Variable::Cookie(cookie.to_owned()));
        }
        Self::fixed(&lower).ok_or_else(|| TemplateError::Unknown(name.to_owned()))
    }

    /// Whether a name is nginx's own, and cannot be given another value.
    pub fn is_fixed(name: &str) -> bool {
        Self::fixed(&name.to_ascii_lowercase()).is_some_and(|variable| variable != Variable::Args)
    }

    fn fixed(name: &str) -> Option<Variable> {
        Some(match name {
            "args" => Variable::Args,
            "binary_remote_addr" => Variable::BinaryRemoteAddr,
            "body_bytes_sent" => Variable::BodyBytesSent,
            "bytes_sent" => Variable::BytesSent,
            "connection" => Variable::Connection,
            "connection_requests" => Variable::ConnectionRequests,
            "connection_time" => Variable::ConnectionTime,
            "content_length" => Variable::ContentLength,
            "content_type" => Variable::ContentType,
            "document_root" => Variable::DocumentRoot,
            "document_uri" | "uri" => Variable::DocumentUri,
            "host" => Variable::Host,
            "hostname" => Variable::Hostname,
            "https" => Variable::Https,
            "is_args" => Variable::IsArgs,
            "msec" => Variable::Msec,
            "nginx_version" => Variable::NginxVersion,
            "pid" => Variable::Pid,
            "proxy_add_x_forwarded_for" => Variable::ProxyAddXForwardedFor,
            "proxy_host" => Variable::ProxyHost,
            "proxy_port" => Variable::ProxyPort,
            "query_string" => Variable::QueryString,
            "remote_addr" => Variable::RemoteAddr,
            "remote_port" => Variable::RemotePort,
            "remote_user" => Variable::RemoteUser,
            "request" => Variable::Request,
            "request_completion" => Variable::RequestCompletion,
            "request_filename" => Variable::RequestFilename,
            "request_id" => Variable::RequestId,
            "request_length" => Variable::RequestLength,
            "request_method" => Variable::RequestMethod,
            "request_time" => Variable::RequestTime,
            "request_uri" => Variable::RequestUri,
            "scheme" => Variable::Scheme,
            "server_addr" => Variable::ServerAddr,
            "server_name" => Variable::ServerName,
            "server_port" => Variable::ServerPort,
            "server_protocol" => Variable::ServerProtocol,
            "status" => Variable::Status,
            "time_iso8601" => Variable::TimeIso8601,
            "time_local" => Variable::TimeLocal,
            "upstream_addr" => Variable::UpstreamAddr,
            "upstream_bytes_received" => Variable::UpstreamBytesReceived,
            "upstream_bytes_sent" => Variable::UpstreamBytesSent,
            "upstream_connect_time" => Variable::UpstreamConnectTime,
            "upstream_header_time" => Variable::UpstreamHeaderTime,
            "upstream_response_length" => Variable::UpstreamResponseLength,
            "upstream_response_time" => Variable::UpstreamResponseTime,
            "upstream_status" => Variable::UpstreamStatus,
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Fake;

    impl Values for Fake {
        fn write(&self, variable: &Variable, out: &mut Vec<u8>) -> bool {
            match variable {
                Variable::Host => out.extend_from_slice(b"example.com"),
                Variable::Capture(n) => out.extend_from_slice(&[b'c', b'0' + n]),
                Variable::Http(name) => out.extend_from_slice(name.as_bytes()),
                _ => return false,
            }
            true
        }
    }

    fn render(text: &str) -> Result<String, TemplateError> {
        let mut out = Vec::new();
        let mut own = Variables::default();
        own.add_set("sub");
        Template::parse(text, &own)?.render(&Fake, &mut out);
        Ok(String::from_utf8(out).expect("text"))
    }

    #[test]
    fn variables_are_replaced_where_they_stand() {
        for (text, result) in [
            ("plain", "plain"),
            ("", ""),
            ("http://$host/", "http://example.com/"),
            ("${host}name", "example.comname"),
            ("$HOST", "example.com"),
            ("a$10b", "ac10b"),
            ("${2}", "c2"),
            ("$http_x_forwarded_for;", "x-forwarded-for;"),
            ("[$sub]", "[]"),
            ("[$request_id]", "[]"),
        ] {
            assert_eq!(render(text).as_deref(), Ok(result), "{text}");
        }
    }

    #[test]
    fn what_is_no_variable_is_refused_in_the_words_of_nginx() {
        for (text, message) in [
            ("$nonesuch", "unknown \"nonesuch\" variable"),
            ("a $", "invalid variable name"),
            ("$ a", "invalid variable name"),
            ("${host", "the closing bracket in \"host\" variable is missing"),
            ("${}", "invalid variable name"),
        ] {
            assert_eq!(render(text).expect_err(text).to_string(), message);
        }
    }

    #[test]
    fn a_text_without_variables_is_known_in_advance() {
        assert_eq!(Template::parse("close", &Variables::default()).expect("valid").literal(), Some("close"));
        assert_eq!(Template::parse("", &Variables::default()).expect("valid").literal(), Some(""));
        assert_eq!(Template::parse("$host", &Variables::default()).expect("valid").literal(), None);
    }
}
