/// The `Server` header with `server_tokens off`.
pub const SERVER: &str = "evenkeel";

/// The `Server` header otherwise.
pub const SERVER_WITH_VERSION: &str = concat!("evenkeel/", env!("CARGO_PKG_VERSION"));

/// Body of an answer that has only a status, in nginx's own form; media type `text/html`. Redirects have one as well.
/// Empty for a status that has no page (204, 304, 444, or one that nobody has named).
pub fn error_page(status: u16, server_tokens: bool) -> Vec<u8> {
    let Some(title) = page_title(status) else { return Vec::new() };
    let server = if server_tokens { SERVER_WITH_VERSION } else { SERVER };
    let detail = match status {
        494 => "<center>Request Header Or Cookie Too Large</center>\r\n",
        497 => "<center>The plain HTTP request was sent to HTTPS port</center>\r\n",
        _ => "",
    };
    format!(
        "<html>\r\n<head><title>{title}</title></head>\r\n<body>\r\n<center><h1>{title}</h1></center>\r\n{detail}<hr><center>{server}</center>\r\n</body>\r\n</html>\r\n"
    )
    .into_bytes()
}

fn page_title(status: u16) -> Option<String> {
    // nginx answers 400 to the client for its own codes 494 to 497, but 400's page carries the detail.
    let shown = if (494..=497).contains(&status) { 400 } else { status };
    (shown >= 300 && shown != 304 && shown != 444).then_some(())?;
    // The page names two of them otherwise than the status line.
    let title = match shown {
        302 => "Found",
        401 => "Authorization Required",
        shown => reason(shown)?,
    };
    Some(format!("{shown} {title}"))
}

/// The words after a status code.
pub fn reason(status: u16) -> Option<&'static str> {
    Some(match status {
        100 => "Continue",
        101 => "Switching Protocols",
        103 => "Early Hints",
        200 => "OK",
        201 => "Created",
        202 => "Accepted",
        204 => "No Content",
        206 => "Partial Content",
        301 => "Moved Permanently",
        302 => "Moved Temporarily",
        303 => "See Other",
        304 => "Not Modified",
        307 => "Temporary Redirect",
        308 => "Permanent Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        402 => "Payment Required",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Not Allowed",
        406 => "Not Acceptable",
        408 => "Request Time-out",
        409 => "Conflict",
        410 => "Gone",
        411 => "Length Required",
        412 => "Precondition Failed",
        413 => "Request Entity Too Large",
        414 => "Request-URI Too Large",
        415 => "Unsupported Media Type",
        416 => "Requested Range Not Satisfiable",
        421 => "Misdirected Request",
        429 => "Too Many Requests",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Temporarily Unavailable",
        504 => "Gateway Time-out",
        505 => "HTTP Version Not Supported",
        507 => "Insufficient Storage",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_has_the_form_of_nginx() {
        let page = String::from_utf8(error_page(502, false)).expect("ASCII");
        assert_eq!(
            page,
            "<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>\r\n<center><h1>502 Bad Gateway</h1></center>\r\n<hr><center>evenkeel</center>\r\n</body>\r\n</html>\r\n"
        );
        assert!(error_page(204, true).is_empty());
        assert!(error_page(777, true).is_empty());
        assert!(String::from_utf8_lossy(&error_page(404, true)).contains("<hr><center>evenkeel/"));
    }
}
