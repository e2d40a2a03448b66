//! Lists the files of a recipe's sources, in an order that does not depend on the file system.
//!
//! Symbolic links are not followed, since they may lead anywhere, in circles too; a source that is itself a
//! link was named by a person and is. Names that begin with a dot are passed over.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
};

use super::{
    error::CorpusError,
    format::Format,
    recipe::CorpusRecipe,
    report::{Left, Reason},
    text::count,
};

/// A file, or what is in its place.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) path: PathBuf,
    /// The path as reports write it, before masking.
    pub(super) shown: String,
    pub(super) content: Result<Listed, Left>,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Listed {
    pub(super) format: Format,
    pub(super) bytes: u64,
}

/// What lies in the sources.
#[derive(Debug, Default)]
pub(super) struct Listing {
    pub(super) entries: Vec<Entry>,
    pub(super) hidden: u64,
    pub(super) excluded: u64,
    /// Bytes of the files that are to be read.
    pub(super) bytes: u64,
}

/// Lists all sources.
pub(super) fn list(recipe: &CorpusRecipe, stop: &AtomicBool) -> Result<Listing, CorpusError> {
    let mut walk = Walk { recipe, stop, seen: 0, listing: Listing::default() };
    for source in &recipe.sources {
        let failed = |error: io::Error| CorpusError::Source {
            path: source.display().to_string(),
            problem: error.kind().to_string(),
        };
        let path = recipe.folder.join(source);
        let metadata = fs::metadata(&path).map_err(failed)?;
        let shown = shown(source);
        if metadata.is_dir() {
            fs::read_dir(&path).map_err(failed)?;
            walk.folder(&path, shown.trim_end_matches('/'), "", 0)?;
        } else {
            walk.count_one()?;
            walk.file(path, shown, metadata.is_file(), metadata.len());
        }
    }
    if walk.listing.bytes > recipe.limits.total_bytes {
        return Err(CorpusError::TooMuch {
            what: format!("the sources' files hold {} bytes", walk.listing.bytes),
            limit: "total_bytes",
            most: recipe.limits.total_bytes,
        });
    }
    Ok(walk.listing)
}

struct Walk<'a> {
    recipe: &'a CorpusRecipe,
    stop: &'a AtomicBool,
    /// Names met, of whatever kind.
    seen: u64,
    listing: Listing,
}

impl Walk<'_> {
    /// Adds what lies in a folder. `below` is the way to it from its source, `depth` how many folders that is.
    fn folder(&mut self, path: &Path, shown: &str, below: &str, depth: u32) -> Result<(), CorpusError> {
        let mut names = Vec::new();
        let read = fs::read_dir(path).and_then(|entries| {
            for entry in entries {
                names.push(entry?.file_name());
                if count(names.len()) > self.recipe.limits.files {
                    break;
                }
            }
            Ok(())
        });
        if let Err(error) = read {
            let left = Left::new(Reason::Unreadable, format!("cannot be read: {}", error.kind()));
            self.add(path.to_path_buf(), shown.to_owned(), Err(left));
            return Ok(());
        }
        names.sort_unstable();
        for name in names {
            self.count_one()?;
            let (path, name) = (path.join(&name), name.to_string_lossy());
            if name.starts_with('.') {
                self.listing.hidden += 1;
                continue;
            }
            let shown = format!("{shown}/{name}");
            let below = if below.is_empty() { name.into_owned() } else { format!("{below}/{name}") };
            let metadata = match fs::symlink_metadata(&path) {
                Ok(metadata) => metadata,
                Err(error) => {
                    let left = Left::new(Reason::Unreadable, format!("cannot be read: {}", error.kind()));
                    self.add(path, shown, Err(left));
                    continue;
                }
            };
            if metadata.is_symlink() {
                let left = Left::new(Reason::NoFile, "is a symbolic link, which is not followed");
                self.add(path, shown, Err(left));
            } else if !metadata.is_dir() {
                if self.is_wanted(&below) {
                    self.file(path, shown, metadata.is_file(), metadata.len());
                } else {
                    self.listing.excluded += 1;
                }
            } else if depth >= self.recipe.limits.depth {
                let most = self.recipe.limits.depth;
                let because = format!("is a folder below {most} others (`limits.depth`)");
                self.add(path, shown, Err(Left::new(Reason::TooDeep, because)));
            } else {
                self.folder(&path, &shown, &below, depth + 1)?;
            }
        }
        Ok(())
    }

    fn file(&mut self, path: PathBuf, shown: String, is_file: bool, bytes: u64) {
        let most = self.recipe.limits.file_bytes;
        let content = if !is_file {
            Err(Left::new(Reason::NoFile, "is neither a file nor a folder"))
        } else if let Some(format) = Format::of(&path) {
            if bytes > most {
                let because = format!("has {bytes} bytes, more than {most} (`limits.file_bytes`)");
                Err(Left::new(Reason::TooLarge, because))
            } else {
                self.listing.bytes = self.listing.bytes.saturating_add(bytes);
                Ok(Listed { format, bytes })
            }
        } else {
            Err(Left::new(Reason::Format, format!("is in no format that is read ({})", Format::NAMES)))
        };
        self.add(path, shown, content);
    }

    fn add(&mut self, path: PathBuf, shown: String, content: Result<Listed, Left>) {
        self.listing.entries.push(Entry { path, shown, content });
    }

    fn is_wanted(&self, below: &str) -> bool {
        let recipe = self.recipe;
        (recipe.include.is_empty() || recipe.include.iter().any(|pattern| pattern.matches(below)))
            && !recipe.exclude.iter().any(|pattern| pattern.matches(below))
    }

    fn count_one(&mut self) -> Result<(), CorpusError> {
        if self.stop.load(Ordering::Relaxed) {
            return Err(CorpusError::Stopped);
        }
        self.seen += 1;
        let most = self.recipe.limits.files;
        if self.seen > most {
            let what = format!("the sources hold at least {} files and folders", self.seen);
            return Err(CorpusError::TooMuch { what, limit: "files", most });
        }
        Ok(())
    }
}

/// The path with `/` between its parts.
fn shown(path: &Path) -> String {
    path.to_string_lossy().replace(std::path::MAIN_SEPARATOR, "/")
}
