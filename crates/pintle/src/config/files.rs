//! Reading the files that a configuration names: bounded, and with the reason in plain words when it
//! does not work.

use std::{
    fs::File,
    io::{self, Read},
    os::unix::fs::PermissionsExt,
    path::Path,
};

const MIB: u64 = 1024 * 1024;

/// Why a file's text is not there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ReadError {
    /// It is not there.
    Missing,
    /// It cannot be read: why.
    Unreadable(String),
    /// It is larger than so many MiB.
    TooLarge(u64),
}

impl std::fmt::Display for ReadError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            ReadError::Missing => f.write_str("there is no such file"),
            ReadError::Unreadable(reason) => f.write_str(reason),
            ReadError::TooLarge(most_mib) => write!(f, "it is larger than {most_mib} MiB"),
        }
    }
}

/// The file's text, of at most so many MiB.
pub(crate) fn read_text(path: &Path, most_mib: u64) -> Result<String, ReadError> {
    let unreadable = |error: &io::Error| match error.kind() {
        io::ErrorKind::NotFound => ReadError::Missing,
        _ => ReadError::Unreadable(plain_reason(error)),
    };
    let file = File::open(path).map_err(|error| unreadable(&error))?;
    let mut bytes = Vec::new();
    // Not the size that the file system reports: pipes and special files have none.
    file.take(most_mib * MIB + 1).read_to_end(&mut bytes).map_err(|error| unreadable(&error))?;
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > most_mib * MIB {
        return Err(ReadError::TooLarge(most_mib));
    }
    String::from_utf8(bytes).map_err(|_| ReadError::Unreadable("it is not UTF-8 text".to_owned()))
}

/// Whether users other than the owner may read the file.
pub(crate) fn is_open_to_others(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|metadata| metadata.permissions().mode() & 0o077 != 0)
}

/// The operating system's reason, without its error number.
pub(crate) fn plain_reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "there is no such file".to_owned(),
        io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        io::ErrorKind::IsADirectory => "it is a folder".to_owned(),
        io::ErrorKind::NotADirectory => "it is not a folder".to_owned(),
        _ => {
            let text = error.to_string();
            text.split(" (os error").next().unwrap_or_default().to_lowercase()
        }
    }
}
