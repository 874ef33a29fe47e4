//! Why a document was refused, and where.

/// Why a document was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum JsonErrorKind {
    /// The grammar asks for something else here, or for more.
    #[error("expected {0}")]
    Expected(&'static str),
    /// A string has no closing quote.
    #[error("unterminated string")]
    UnterminatedString,
    /// A byte below 0x20 stands in a string.
    #[error("control character in a string")]
    ControlCharacter,
    /// A backslash is followed by something that is not an escape.
    #[error("invalid escape")]
    InvalidEscape,
    /// An escaped half of a surrogate pair stands without the other half.
    #[error("lone surrogate")]
    LoneSurrogate,
    /// The bytes are not UTF-8.
    #[error("invalid UTF-8")]
    InvalidUtf8,
    /// A number is not written as JSON wants it.
    #[error("invalid number")]
    InvalidNumber,
    /// [`Limits::depth`](super::Limits::depth).
    #[error("nesting reaches the limit of {0}")]
    TooDeep(u32),
    /// [`Limits::fields`](super::Limits::fields).
    #[error("more than {0} fields")]
    TooManyFields(u32),
    /// The document does not fit 30-bit positions.
    #[error("document of 1 GiB or more")]
    TooLong,
}

/// Why a document was refused, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{kind} at byte {at}")]
pub struct JsonError {
    /// What is wrong.
    pub kind: JsonErrorKind,
    /// The offset from the document's first byte.
    pub at: u32,
}
