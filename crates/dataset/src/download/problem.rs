//! What can be wrong with a server and with what it sends.

/// Why an address did not give the cells.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DownloadProblem {
    /// The server refused the request.
    #[error("the server answered with status {status}")]
    Status {
        /// The HTTP status.
        status: u16,
    },
    /// The connection could not be made, or broke off.
    #[error("the connection failed: {reason}")]
    Connection {
        /// What the network layer says.
        reason: String,
    },
    /// The server stopped sending.
    #[error("the server sent nothing for {} seconds", waited.as_secs_f64())]
    Stalled {
        /// How long it was waited for.
        waited: std::time::Duration,
    },
    /// The server answered a request for the rest of the file with something else.
    #[error("the server sent another part of the file than was asked for")]
    WrongRange,
    /// The server sent something else, such as the page of a Wi-Fi portal.
    #[error("what came is not a zip archive: it begins with `{begins}`")]
    NotAZip {
        /// Its first bytes.
        begins: String,
    },
    /// The archive has another size.
    #[error("the archive has {found} bytes; expected {expected}")]
    WrongSize {
        /// Size expected, in bytes.
        expected: u64,
        /// Size as sent or announced, in bytes.
        found: u64,
    },
    /// The archive has other contents.
    #[error("the archive has the SHA-256 {found}; expected {expected}")]
    WrongHash {
        /// Hash expected, in hexadecimal digits.
        expected: String,
        /// Hash found.
        found: String,
    },
    /// The archive, or what it holds, is larger than allowed.
    #[error("{what} is more than the {most} allowed")]
    TooMuch {
        /// What there is too much of.
        what: &'static str,
        /// How much there may be.
        most: u64,
    },
    /// The archive is damaged.
    #[error("the archive is damaged: {reason}")]
    Damaged {
        /// Where and how.
        reason: String,
    },
    /// The archive holds something that could write elsewhere.
    #[error("the archive holds `{name}`, {reason}; nothing of it was unpacked")]
    UnsafeEntry {
        /// Name of the entry.
        name: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The archive holds an image in another place than the two class folders, or one that is no PNG.
    #[error("the archive holds `{name}`, {reason}; expected PNG images in Parasitized and Uninfected")]
    Unexpected {
        /// Name of the entry.
        name: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The archive holds another number of images.
    #[error("the archive holds {found} images in {class}; expected {expected}")]
    WrongCount {
        /// The class folder.
        class: &'static str,
        /// Number of images expected.
        expected: usize,
        /// Number of images found.
        found: usize,
    },
}

impl DownloadProblem {
    /// Whether the same request would meet it again.
    pub(super) fn is_lasting(&self) -> bool {
        match self {
            // Overload, and what servers say of themselves, may pass; 408 and 429 ask for patience.
            Self::Status { status } => !matches!(status, 408 | 429 | 500..=599),
            Self::Connection { .. } | Self::Stalled { .. } | Self::WrongRange => false,
            _ => true,
        }
    }
}
