use std::{fmt, io};

/// An operation that the kernel refused, and on what: `add 10.0.0.100/32 to eth0: permission denied`.
#[derive(Debug)]
pub struct Error {
    operation: String,
    cause: io::Error,
}

impl Error {
    /// `operation` (with its object) failed because of `cause`.
    pub fn new(operation: impl Into<String>, cause: impl Into<io::Error>) -> Self {
        Error { operation: operation.into(), cause: cause.into() }
    }

    /// What was tried, with its object: `add 10.0.0.100/32 to eth0`.
    pub fn operation(&self) -> &str {
        &self.operation
    }

    /// Why it failed.
    pub fn cause(&self) -> &io::Error {
        &self.cause
    }

    /// Why it failed, as the standard library classifies it.
    pub fn kind(&self) -> io::ErrorKind {
        self.cause.kind()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The library writes `Permission denied (os error 13)`; within a sentence neither the capital nor the number helps.
        let cause = self.cause.to_string();
        let cause = cause.split(" (os error").next().unwrap_or(&cause);
        let mut letters = cause.chars();
        let first = letters.next().map(|letter| letter.to_ascii_lowercase());
        write!(f, "{}: {}{}", self.operation, first.into_iter().collect::<String>(), letters.as_str())
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        // The cause is part of the text above; a chain printer would say it twice.
        self.cause.get_ref()?.source()
    }
}

impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        io::Error::new(error.cause.kind(), error)
    }
}

/// Adds the operation to a failed call. The text is built only on failure.
pub(crate) trait During<T> {
    fn during<S: Into<String>>(self, operation: impl FnOnce() -> S) -> Result<T, Error>;
}

impl<T, E: Into<io::Error>> During<T> for Result<T, E> {
    fn during<S: Into<String>>(self, operation: impl FnOnce() -> S) -> Result<T, Error> {
        self.map_err(|cause| Error::new(operation(), cause))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::io::Errno;

    #[test]
    fn the_text_names_operation_object_and_reason() {
        let error = Error::new("add 10.0.0.100/32 to eth0", Errno::PERM);
        assert_eq!(error.to_string(), "add 10.0.0.100/32 to eth0: operation not permitted");
        assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
    }

    #[test]
    fn a_chain_of_causes_says_each_once() {
        let error = Error::new("open IPVS", io::Error::new(io::ErrorKind::NotFound, "this kernel has no IPVS"));
        assert_eq!(error.to_string(), "open IPVS: this kernel has no IPVS");
        assert!(std::error::Error::source(&error).is_none());
    }
}
