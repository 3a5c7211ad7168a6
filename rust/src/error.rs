//! The one error type of the crate. Every message says what is wrong, where, and what to do.

use std::io;
use std::path::{Path, PathBuf};

/// What can go wrong; the Python boundary maps each variant to an exception class of `genet5.errors`.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The operating system refused; becomes `OSError` with its errno and file name.
    #[error("{}: {source}", path.display())]
    Io { path: PathBuf, source: io::Error },
    /// A file's content is wrong; becomes `FormatError` with `file` and `line` (1-based).
    #[error("{}{}: {message}", path.display(), line.map(|l| format!(", line {l}")).unwrap_or_default())]
    Format { path: PathBuf, line: Option<u64>, message: String },
    /// Values given by the caller do not fit together; becomes `InputError`.
    #[error("{0}")]
    Input(String),
}

pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// A fault in a file's content at a 1-based line; `line` 1 where it concerns the whole file.
    pub fn format(path: impl AsRef<Path>, line: u64, message: impl Into<String>) -> Self {
        Error::Format { path: path.as_ref().to_path_buf(), line: Some(line), message: message.into() }
    }

    /// A fault in a binary file, where lines mean nothing.
    pub fn binary(path: impl AsRef<Path>, message: impl Into<String>) -> Self {
        Error::Format { path: path.as_ref().to_path_buf(), line: None, message: message.into() }
    }

    pub fn io(path: impl AsRef<Path>, source: io::Error) -> Self {
        Error::Io { path: path.as_ref().to_path_buf(), source: numbered(source) }
    }

    pub fn input(message: impl Into<String>) -> Self {
        Error::Input(message.into())
    }
}

/// The system's error with its number, from which Python chooses the exception: temporary files wrap errors and keep only
/// their kind.
fn numbered(error: io::Error) -> io::Error {
    use io::ErrorKind as Kind;
    if error.raw_os_error().is_some() {
        return error;
    }
    // Numbers of Linux.
    let number = match error.kind() {
        Kind::NotFound => 2,
        Kind::PermissionDenied => 13,
        Kind::AlreadyExists => 17,
        Kind::NotADirectory => 20,
        Kind::IsADirectory => 21,
        Kind::FileTooLarge => 27,
        Kind::StorageFull => 28,
        Kind::ReadOnlyFilesystem => 30,
        Kind::QuotaExceeded => 122,
        _ => return error,
    };
    io::Error::from_raw_os_error(number)
}
