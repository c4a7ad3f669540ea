use std::fmt;

/// What kind of failure it is: the HTTP edge turns it into Docker's status code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// 304
    NotModified,
    /// 400
    InvalidParameter,
    /// 401
    Unauthorized,
    /// 403
    Forbidden,
    /// 404
    NotFound,
    /// 409
    Conflict,
    /// 500
    System,
    /// 501
    NotImplemented,
    /// 503
    Unavailable,
}

/// A failure in Docker's terms. The text is what the user reads: lower case, no full stop, names the object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    pub kind: ErrorKind,
    pub message: String,
}

pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    pub fn new(kind: ErrorKind, message: impl fmt::Display) -> Self {
        Self {
            kind,
            message: message.to_string(),
        }
    }
    pub fn not_modified(message: impl fmt::Display) -> Self {
        Self::new(ErrorKind::NotModified, message)
    }
    pub fn invalid(message: impl fmt::Display) -> Self {
        Self::new(ErrorKind::InvalidParameter, message)
    }
    pub fn unauthorized(message: impl fmt::Display) -> Self {
        Self::new(ErrorKind::Unauthorized, message)
    }
    pub fn forbidden(message: impl fmt::Display) -> Self {
        Self::new(ErrorKind::Forbidden, message)
    }
    pub fn not_found(message: impl fmt::Display) -> Self {
        Self::new(ErrorKind::NotFound, message)
    }
    pub fn conflict(message: impl fmt::Display) -> Self {
        Self::new(ErrorKind::Conflict, message)
    }
    pub fn system(message: impl fmt::Display) -> Self {
        Self::new(ErrorKind::System, message)
    }
    pub fn not_implemented(message: impl fmt::Display) -> Self {
        Self::new(ErrorKind::NotImplemented, message)
    }
    pub fn unavailable(message: impl fmt::Display) -> Self {
        Self::new(ErrorKind::Unavailable, message)
    }

    /// The same kind with `context: ` in front of the text.
    pub fn context(mut self, context: impl fmt::Display) -> Self {
        self.message = format!("{context}: {}", self.message);
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}
