//! Uploaded files: `DATA/tuning/files/ID/content`, with what is known of it in `file.json` beside it. A file is there once
//! `file.json` is; what an upload that broke off leaves is removed at the next start.

use std::{
    fs::{File, OpenOptions},
    io::{Read, Write},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use pintle_core::{DataClass, FileId, Name, Timestamp};
use pintle_gateway::tuning::{DeskError, FileContent, FilePurpose, FileView, Piece, Upload};
use pintle_guard::Guard;
use pintle_model::pipeline::{ChatFault, check_chat};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use super::{
    broken,
    job::{private, read_json, write_json},
};

/// One file, at the most.
pub(super) const FILE_MIB_MAX: u64 = 512;
/// All files of one use case.
pub(super) const TOTAL_BYTES_MAX: u64 = 4 << 30;
/// Their number.
pub(super) const FILES_MAX: usize = 1_000;
const LINE_BYTES_MAX: usize = 4 << 20;
const LINES_MAX: u64 = 2_000_000;
const PIECE_BYTES: usize = 64 * 1024;
const PIECES_MAX: usize = 4;

const META: &str = "file.json";
const CONTENT: &str = "content";

/// What is known of a file.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Meta {
    pub(super) id: FileId,
    pub(super) use_case: Name,
    pub(super) filename: String,
    pub(super) purpose: FilePurpose,
    pub(super) bytes: u64,
    pub(super) created_at: Timestamp,
    pub(super) expires_at: Option<Timestamp>,
    pub(super) conversations: u64,
    /// More tokens than the longest conversation has.
    pub(super) longest_tokens: u64,
    pub(super) class: DataClass,
}

impl Meta {
    pub(super) fn view(&self) -> FileView {
        FileView {
            id: self.id,
            bytes: self.bytes,
            created_at: self.created_at,
            expires_at: self.expires_at,
            filename: self.filename.clone(),
            purpose: self.purpose,
        }
    }

    pub(super) fn is_expired(&self, now: Timestamp) -> bool {
        self.expires_at.is_some_and(|at| at <= now)
    }
}

/// The folder of all files.
#[derive(Debug, Clone)]
pub(super) struct Cabinet {
    folder: PathBuf,
}

/// What an upload needs beside its bytes.
pub(super) struct Incoming<'a> {
    pub(super) id: FileId,
    pub(super) upload: Upload,
    pub(super) guard: Arc<Guard>,
    pub(super) now: Timestamp,
    /// Asks for room for so many more bytes.
    pub(super) room: &'a mut dyn FnMut(u64) -> Result<(), DeskError>,
}

impl Cabinet {
    /// Opens the folder; what broke off is removed.
    pub(super) fn open(folder: PathBuf) -> std::io::Result<(Self, Vec<Meta>)> {
        pintle_db::make_private_folder(&folder)?;
        let mut files = Vec::new();
        for entry in std::fs::read_dir(&folder)? {
            let path = entry?.path();
            match read_json::<Meta>(&path.join(META)) {
                Ok(Some(meta)) => files.push(meta),
                Ok(None) => remove(&path)?,
                Err(error) => {
                    tracing::error!(%error, path = %path.display(), "an uploaded file cannot be read")
                }
            }
        }
        Ok((Cabinet { folder }, files))
    }

    pub(super) fn content_path(&self, id: FileId) -> PathBuf {
        self.folder.join(id.to_string()).join(CONTENT)
    }

    /// Takes a file in. Nothing is left of one that is refused or breaks off.
    pub(super) fn take_in(
        &self,
        incoming: Incoming<'_>,
        pieces: mpsc::Receiver<Piece>,
    ) -> Result<Meta, DeskError> {
        let folder = self.folder.join(incoming.id.to_string());
        let taken = self.receive(&folder, incoming, pieces);
        if taken.is_err()
            && let Err(error) = remove(&folder)
        {
            tracing::error!(%error, "what is left of a refused file cannot be removed");
        }
        taken
    }

    fn receive(
        &self,
        folder: &Path,
        incoming: Incoming<'_>,
        mut pieces: mpsc::Receiver<Piece>,
    ) -> Result<Meta, DeskError> {
        let Incoming { id, upload, guard, now, room } = incoming;
        pintle_db::make_private_folder(folder).map_err(broken)?;
        let path = folder.join(CONTENT);
        let mut file =
            private(OpenOptions::new().create_new(true).write(true)).open(&path).map_err(broken)?;
        let mut lines = Lines::new(guard, upload.accepts);
        let mut bytes = 0_u64;
        let expires_after = loop {
            match pieces.blocking_recv() {
                None => return Err(broken(std::io::Error::from(std::io::ErrorKind::UnexpectedEof))),
                Some(Piece::End { expires_after }) => break expires_after,
                Some(Piece::Data(data)) => {
                    bytes += data.len() as u64;
                    if bytes > FILE_MIB_MAX << 20 {
                        return Err(DeskError::TooLarge { most_mib: FILE_MIB_MAX });
                    }
                    room(data.len() as u64)?;
                    lines.push(&data)?;
                    file.write_all(&data).map_err(broken)?;
                }
            }
        };
        let lines = lines.finish()?;
        file.sync_all().map_err(broken)?;
        let meta = Meta {
            id,
            use_case: upload.use_case,
            filename: upload.filename,
            purpose: FilePurpose::FineTune,
            bytes,
            created_at: now,
            expires_at: expires_after.and_then(|after| later(now, after)),
            conversations: lines.conversations,
            longest_tokens: lines.longest_tokens,
            class: lines.class,
        };
        write_json(&folder.join(META), &meta).map_err(broken)?;
        Ok(meta)
    }

    /// Keeps a file of Pintle's own making.
    pub(super) fn keep(&self, meta: &Meta, content: &Path) -> std::io::Result<()> {
        let folder = self.folder.join(meta.id.to_string());
        pintle_db::make_private_folder(&folder)?;
        let mut file =
            private(OpenOptions::new().create(true).truncate(true).write(true)).open(folder.join(CONTENT))?;
        std::io::copy(&mut File::open(content)?, &mut file)?;
        file.sync_all()?;
        write_json(&folder.join(META), meta)
    }

    /// Reads a file, piece by piece, on a thread that may wait for the disk.
    pub(super) fn content(&self, meta: &Meta) -> std::io::Result<FileContent> {
        let mut file = File::open(self.content_path(meta.id))?;
        let (outlet, pieces) = mpsc::channel(PIECES_MAX);
        tokio::task::spawn_blocking(move || {
            loop {
                let mut piece = vec![0; PIECE_BYTES];
                let read = file.read(&mut piece).map(|read| {
                    piece.truncate(read);
                    Bytes::from(piece)
                });
                let is_over = read.as_ref().map_or(true, Bytes::is_empty);
                let is_end = read.as_ref().is_ok_and(Bytes::is_empty);
                if is_end || outlet.blocking_send(read).is_err() || is_over {
                    return;
                }
            }
        });
        Ok(FileContent { bytes: meta.bytes, pieces })
    }

    /// Removes a file: after a kill in between it is gone as well.
    pub(super) fn remove(&self, id: FileId) -> std::io::Result<()> {
        let folder = self.folder.join(id.to_string());
        match std::fs::remove_file(folder.join(META)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        remove(&folder)?;
        File::open(&self.folder)?.sync_all()
    }
}

fn remove(folder: &Path) -> std::io::Result<()> {
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn later(now: Timestamp, after: Duration) -> Option<Timestamp> {
    now.checked_add(jiff::SignedDuration::try_from(after).ok()?).ok()
}

/// Checks a file line by line as it comes: one line of it is in memory.
struct Lines {
    guard: Arc<Guard>,
    accepts: DataClass,
    line: Vec<u8>,
    number: u64,
    conversations: u64,
    longest_tokens: u64,
    class: DataClass,
}

impl Lines {
    fn new(guard: Arc<Guard>, accepts: DataClass) -> Self {
        Lines {
            guard,
            accepts,
            line: Vec::new(),
            number: 0,
            conversations: 0,
            longest_tokens: 0,
            class: DataClass::default(),
        }
    }

    fn push(&mut self, data: &[u8]) -> Result<(), DeskError> {
        for part in data.split_inclusive(|byte| *byte == b'\n') {
            if self.line.len() + part.len() > LINE_BYTES_MAX {
                self.number += 1;
                return Err(self.wrong(&format!("it is longer than {LINE_BYTES_MAX} bytes")));
            }
            self.line.extend_from_slice(part);
            if part.ends_with(b"\n") {
                self.end_of_line()?;
            }
        }
        Ok(())
    }

    fn end_of_line(&mut self) -> Result<(), DeskError> {
        self.number += 1;
        let line = std::mem::take(&mut self.line);
        let text = std::str::from_utf8(&line).map_err(|_| self.wrong("it is not UTF-8"))?;
        if text.trim().is_empty() {
            return Ok(());
        }
        if self.number > LINES_MAX {
            return Err(self.wrong("the file goes on for too long"));
        }
        let checked = check_chat(text, &self.guard, self.accepts).map_err(|fault| match fault {
            ChatFault::Shape(why) => self.wrong(&why),
            ChatFault::AboveClass { kind, class } => DeskError::AboveClass { line: self.number, kind, class },
        })?;
        self.conversations += 1;
        self.longest_tokens = self.longest_tokens.max(checked.tokens_max);
        self.class = self.class.max(checked.class);
        self.line = line;
        self.line.clear();
        Ok(())
    }

    fn finish(mut self) -> Result<Self, DeskError> {
        if !self.line.is_empty() {
            self.end_of_line()?;
        }
        if self.conversations == 0 {
            return Err(DeskError::Invalid {
                param: "file",
                code: "invalid_training_file",
                message:
                    "The file holds no conversations: write one JSON document with `messages` on each line."
                        .to_owned(),
            });
        }
        Ok(self)
    }

    fn wrong(&self, why: &str) -> DeskError {
        DeskError::Invalid {
            param: "file",
            code: "invalid_training_file",
            message: format!("Line {} of the file is no conversation to learn from: {why}.", self.number),
        }
    }
}

#[cfg(test)]
mod tests {
    use pintle_guard::GuardConfig;

    use super::*;

    fn check(pieces: &[&[u8]]) -> Result<(u64, DataClass), String> {
        let guard = Arc::new(Guard::new(&GuardConfig::default()).unwrap());
        let mut lines = Lines::new(guard, DataClass::Internal);
        for piece in pieces {
            lines.push(piece).map_err(|error| error.to_string())?;
        }
        lines.finish().map(|lines| (lines.conversations, lines.class)).map_err(|error| error.to_string())
    }

    #[test]
    fn lines_are_checked_however_they_are_cut() {
        let line = br#"{"messages":[{"role":"user","content":"Hi"},{"role":"assistant","content":"Hello"}]}"#;
        let whole = [&line[..], b"\n\n", &line[..]].concat();
        for at in 0..whole.len() {
            let (one, other) = whole.split_at(at);
            assert_eq!(check(&[one, other]), Ok((2, DataClass::Internal)));
        }
        assert!(check(&[&line[..], b"\n{}\n"]).unwrap_err().starts_with("Line 2 of the file"));
        assert!(check(&[&line[..], b"\n\xff\n"]).unwrap_err().contains("not UTF-8"));
        assert!(check(&[b"\n"]).unwrap_err().contains("no conversations"));
        assert!(check(&[&vec![b' '; LINE_BYTES_MAX + 1]]).unwrap_err().contains("longer than"));
    }
}
