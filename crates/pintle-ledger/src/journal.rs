//! The journal: an append-only log of intents and records, in segments.
//!
//! A line is a kind (`I` intent, `R` record), a CRC-32 of the JSON in hex, and the JSON of a
//! [`RequestRecord`]. An intent *is* the record that is posted if nothing follows: in doubt, at its
//! hold. `write(2)` puts a line into the kernel's memory, which outlives the process (`kill -9`); the
//! flusher asks for the disk once a second, so a power cut may lose the lines of about a second. A
//! segment is deleted once everything it holds is in the database.

use std::{
    collections::{HashMap, VecDeque},
    fs::{File, OpenOptions},
    io::{BufRead, BufReader, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use pintle_core::RequestId;

use crate::RequestRecord;

/// A segment is closed once it is longer than this.
const SEGMENT_BYTES: u64 = 8 << 20;
/// A line longer than this was not written by us.
const MOST_LINE_BYTES: u64 = 4 << 20;

/// Why the journal could not take a line.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The file system refused.
    #[error("the journal in `{folder}` cannot be written: {source}")]
    Io {
        /// The journal's folder.
        folder: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// A record did not serialise, or a thread died while it wrote.
    #[error("the journal is not to be trusted")]
    Broken,
}

/// What a line says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LineKind {
    Intent,
    Record,
}

/// The number of a segment.
pub(crate) type SegmentId = u64;

#[derive(Debug)]
struct Segment {
    id: SegmentId,
    /// Lines whose request is not in the database yet.
    outstanding: u64,
}

#[derive(Debug)]
struct Active {
    file: File,
    bytes: u64,
    /// Closed segments that the disk was not asked for since.
    unsynced: Vec<File>,
    segments: VecDeque<Segment>,
}

#[derive(Debug)]
pub(crate) struct Journal {
    folder: PathBuf,
    active: Mutex<Active>,
}

/// What the last process left behind.
#[derive(Debug, Default)]
pub(crate) struct Leftovers {
    /// The last word on each request: its record, or else its newest intent.
    pub(crate) records: Vec<RequestRecord>,
    /// How many of them are intents: nobody knows what became of them.
    pub(crate) in_doubt: usize,
    /// Lines that do not check out, other than a torn last one.
    pub(crate) damaged_lines: usize,
    /// The segments that were read.
    paths: Vec<PathBuf>,
}

impl Journal {
    /// Reads what the last process left behind, and begins a new segment after it.
    pub(crate) fn open(folder: &Path) -> Result<(Self, Leftovers), JournalError> {
        let fail = |source| JournalError::Io { folder: folder.to_path_buf(), source };
        pintle_db::make_private_folder(folder).map_err(fail)?;
        let mut segments = list_segments(folder).map_err(fail)?;
        segments.sort_unstable();
        let mut leftovers = Leftovers::default();
        let mut finals: HashMap<RequestId, (LineKind, RequestRecord)> = HashMap::new();
        for id in &segments {
            let path = segment_path(folder, *id);
            read_segment(&path, &mut finals, &mut leftovers.damaged_lines).map_err(fail)?;
            leftovers.paths.push(path);
        }
        leftovers.in_doubt = finals.values().filter(|(kind, _)| *kind == LineKind::Intent).count();
        leftovers.records = finals.into_values().map(|(_, record)| record).collect();
        leftovers.records.sort_by_key(|record| record.id);
        let next = segments.last().map_or(1, |last| last.saturating_add(1));
        let file = create_segment(folder, next).map_err(fail)?;
        let segments = VecDeque::from([Segment { id: next, outstanding: 0 }]);
        let active = Mutex::new(Active { file, bytes: 0, unsynced: Vec::new(), segments });
        Ok((Journal { folder: folder.to_path_buf(), active }, leftovers))
    }

    /// Deletes what [`Journal::open`] read, once it is in the database. Segments with damaged lines are
    /// kept beside, renamed, for a person to look at.
    pub(crate) fn forget(leftovers: &Leftovers) {
        for path in &leftovers.paths {
            let done = if leftovers.damaged_lines > 0 {
                std::fs::rename(path, path.with_extension("damaged"))
            } else {
                std::fs::remove_file(path)
            };
            if let Err(error) = done {
                tracing::warn!(%error, path = %path.display(), "a journal segment could not be put away");
            }
        }
    }

    /// Appends a line. Gives the segment, for [`Journal::release`].
    pub(crate) fn append(&self, kind: LineKind, json: &[u8]) -> Result<SegmentId, JournalError> {
        let line = make_line(kind, json);
        let mut active = self.active.lock().map_err(|_| JournalError::Broken)?;
        if active.bytes >= SEGMENT_BYTES {
            self.roll(&mut active)?;
        }
        if let Err(source) = active.file.write_all(&line) {
            // A torn line would swallow the next one: cut it off again.
            let bytes = active.bytes;
            let cut = active.file.set_len(bytes).and_then(|()| active.file.seek(SeekFrom::Start(bytes)));
            if cut.is_err() {
                self.roll(&mut active)?;
            }
            return Err(self.io(source));
        }
        active.bytes += u64::try_from(line.len()).unwrap_or(u64::MAX);
        let segment = active.segments.back_mut().ok_or(JournalError::Broken)?;
        segment.outstanding += 1;
        Ok(segment.id)
    }

    fn roll(&self, active: &mut Active) -> Result<(), JournalError> {
        let next = active.segments.back().map_or(1, |last| last.id.saturating_add(1));
        let file = create_segment(&self.folder, next).map_err(|source| self.io(source))?;
        active.unsynced.push(std::mem::replace(&mut active.file, file));
        active.bytes = 0;
        active.segments.push_back(Segment { id: next, outstanding: 0 });
        Ok(())
    }

    /// Says that these lines' requests are in the database; segments without others are deleted.
    pub(crate) fn release(&self, lines: impl IntoIterator<Item = SegmentId>) {
        let Ok(mut active) = self.active.lock() else { return };
        for id in lines {
            if let Some(segment) = active.segments.iter_mut().find(|segment| segment.id == id) {
                segment.outstanding = segment.outstanding.saturating_sub(1);
            }
        }
        let newest = active.segments.back().map(|segment| segment.id);
        let (done, kept): (VecDeque<_>, VecDeque<_>) = active
            .segments
            .drain(..)
            .partition(|segment| segment.outstanding == 0 && Some(segment.id) != newest);
        active.segments = kept;
        // An active segment that nothing waits for is cut back, so that a quiet server starts quickly.
        let is_idle = active.segments.iter().all(|segment| segment.outstanding == 0);
        if is_idle && active.bytes > 0 && active.file.set_len(0).is_ok() {
            active.bytes = 0;
            let _ = active.file.seek(SeekFrom::Start(0));
        }
        drop(active);
        for segment in done {
            let _ = std::fs::remove_file(segment_path(&self.folder, segment.id));
        }
    }

    /// Handles with which the flusher asks for the disk, outside of the lock: of the segments that were closed
    /// since, of the one that is written, and of the folder, which holds their names.
    pub(crate) fn files_to_sync(&self) -> Vec<File> {
        let Ok(mut active) = self.active.lock() else { return Vec::new() };
        let mut files = std::mem::take(&mut active.unsynced);
        if !files.is_empty() {
            files.extend(File::open(&self.folder));
        }
        if active.bytes > 0 {
            files.extend(active.file.try_clone());
        }
        files
    }

    fn io(&self, source: std::io::Error) -> JournalError {
        JournalError::Io { folder: self.folder.clone(), source }
    }
}

fn make_line(kind: LineKind, json: &[u8]) -> Vec<u8> {
    let mut line = Vec::with_capacity(json.len() + 12);
    line.extend_from_slice(if kind == LineKind::Intent { b"I " } else { b"R " });
    let _ = write!(line, "{:08x} ", crc32fast::hash(json));
    line.extend_from_slice(json);
    line.push(b'\n');
    line
}

fn parse_line(line: &[u8]) -> Option<(LineKind, RequestRecord)> {
    let line = line.strip_suffix(b"\n")?;
    let kind = match line.get(..2)? {
        b"I " => LineKind::Intent,
        b"R " => LineKind::Record,
        _ => return None,
    };
    let crc = u32::from_str_radix(std::str::from_utf8(line.get(2..10)?).ok()?, 16).ok()?;
    let json = line.get(11..)?;
    if crc32fast::hash(json) != crc {
        return None;
    }
    Some((kind, serde_json::from_slice(json).ok()?))
}

fn read_segment(
    path: &Path,
    finals: &mut HashMap<RequestId, (LineKind, RequestRecord)>,
    damaged_lines: &mut usize,
) -> std::io::Result<()> {
    let mut reader = BufReader::new(File::open(path)?);
    let mut line = Vec::new();
    loop {
        line.clear();
        let read = std::io::Read::take(&mut reader, MOST_LINE_BYTES).read_until(b'\n', &mut line)?;
        if read == 0 {
            return Ok(());
        }
        match parse_line(&line) {
            Some((LineKind::Intent, record)) => {
                let known = finals.get(&record.id).is_some_and(|(kind, _)| *kind == LineKind::Record);
                if !known {
                    finals.insert(record.id, (LineKind::Intent, record));
                }
            }
            Some((LineKind::Record, record)) => {
                finals.insert(record.id, (LineKind::Record, record));
            }
            // The process died within this write: what it announced was never done.
            None if !line.ends_with(b"\n") && line.len() < 4 << 20 => {}
            None => *damaged_lines += 1,
        }
    }
}

fn list_segments(folder: &Path) -> std::io::Result<Vec<SegmentId>> {
    let mut ids = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let name = entry?.file_name();
        let id: Option<SegmentId> =
            name.to_str().and_then(|name| name.strip_suffix(".journal")).and_then(|id| id.parse().ok());
        ids.extend(id);
    }
    Ok(ids)
}

fn segment_path(folder: &Path, id: SegmentId) -> PathBuf {
    folder.join(format!("{id:020}.journal"))
}

fn create_segment(folder: &Path, id: SegmentId) -> std::io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(segment_path(folder, id))
}

/// Shared with the flusher.
pub(crate) type SharedJournal = Arc<Journal>;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Dialect, Outcome};

    fn record(ms: i64) -> RequestRecord {
        let at = pintle_core::Timestamp::from_millisecond(ms).unwrap();
        RequestRecord::new(RequestId::new(at).unwrap(), ms, "replies".parse().unwrap(), Dialect::OpenAiChat)
    }

    fn append(journal: &Journal, kind: LineKind, record: &RequestRecord) -> SegmentId {
        journal.append(kind, &serde_json::to_vec(record).unwrap()).unwrap()
    }

    #[test]
    fn i3_the_last_word_on_a_request_wins() {
        let folder = tempfile::tempdir().unwrap();
        let (journal, empty) = Journal::open(folder.path()).unwrap();
        assert!(empty.records.is_empty());
        let (mut done, lost) = (record(1), record(2));
        append(&journal, LineKind::Intent, &done);
        append(&journal, LineKind::Intent, &lost);
        done.outcome = Outcome::Answered;
        append(&journal, LineKind::Record, &done);
        drop(journal);
        let (_, left) = Journal::open(folder.path()).unwrap();
        assert_eq!((left.records.len(), left.in_doubt, left.damaged_lines), (2, 1, 0));
        assert_eq!(left.records[0], done);
        assert_eq!(left.records[1], lost);
    }

    #[test]
    fn i3_a_torn_last_line_is_no_damage_and_a_changed_one_is() {
        let folder = tempfile::tempdir().unwrap();
        let (journal, _) = Journal::open(folder.path()).unwrap();
        append(&journal, LineKind::Intent, &record(1));
        append(&journal, LineKind::Intent, &record(2));
        drop(journal);
        let path = segment_path(folder.path(), 1);
        let whole = std::fs::read(&path).unwrap();
        for cut in [whole.len() - 1, whole.len() - 20, whole.len() / 2 + 3] {
            std::fs::write(&path, &whole[..cut]).unwrap();
            let (_, left) = Journal::open(folder.path()).unwrap();
            assert_eq!((left.records.len(), left.damaged_lines), (1, 0), "cut at {cut}");
        }
        let mut changed = whole;
        changed[40] ^= 1;
        std::fs::write(&path, &changed).unwrap();
        let (_, left) = Journal::open(folder.path()).unwrap();
        assert_eq!((left.records.len(), left.damaged_lines), (1, 1));
        Journal::forget(&left);
        assert!(path.with_extension("damaged").exists(), "nothing is lost");
    }

    #[test]
    fn segments_go_when_all_they_hold_is_in_the_database() {
        let folder = tempfile::tempdir().unwrap();
        let (journal, _) = Journal::open(folder.path()).unwrap();
        let first = append(&journal, LineKind::Intent, &record(1));
        journal.active.lock().unwrap().bytes = SEGMENT_BYTES;
        let second = append(&journal, LineKind::Record, &record(1));
        assert_ne!(first, second);
        assert_eq!(list_segments(folder.path()).unwrap().len(), 2);
        journal.release([first, second]);
        assert_eq!(list_segments(folder.path()).unwrap(), [second]);
        assert_eq!(std::fs::metadata(segment_path(folder.path(), second)).unwrap().len(), 0);
    }
}
