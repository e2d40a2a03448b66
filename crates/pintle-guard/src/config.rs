//! What a guard is made from, and why it can refuse to be made.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use pintle_core::{DataClass, Name};

/// Entries in all dictionaries together.
const ENTRIES_MAX: usize = 200_000;
/// The longest entry. Together with the character after it, it fits what a detector may read ahead.
const ENTRY_BYTES_MAX: usize = 120;
const ENTRY_CHARS_MIN: usize = 3;

/// What an organisation sets: its own dictionaries, other classes for detectors, detectors to leave out.
#[derive(Debug, Clone, Default)]
pub struct GuardConfig {
    /// Code names, client names and the like, whose findings have the kind `dictionary:NAME`.
    pub dictionaries: Vec<Dictionary>,
    /// Another class for the findings of a kind.
    pub classes: BTreeMap<String, DataClass>,
    /// Kinds that are not looked for.
    pub disabled: BTreeSet<String>,
}

/// A list of the organisation's own words. Each entry is found as whole words, in any case, with any white
/// space between its words.
#[derive(Clone)]
pub struct Dictionary {
    /// Names the kind: `dictionary:NAME`.
    pub name: Name,
    /// The class of its findings.
    pub class: DataClass,
    /// The entries, 3 characters to 120 bytes each.
    pub entries: Vec<String>,
}

/// Shows how many entries there are, not which: a list of clients is itself confidential.
impl fmt::Debug for Dictionary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dictionary")
            .field("name", &self.name)
            .field("class", &self.class)
            .field("entries", &self.entries.len())
            .finish()
    }
}

impl Dictionary {
    /// Reads a text file's content: an entry a line, `#` begins a comment line, blank lines are skipped.
    ///
    /// # Errors
    /// When an entry is shorter than 3 characters or longer than 120 bytes, or there are too many.
    pub fn parse(name: Name, class: DataClass, text: &str) -> Result<Dictionary, GuardError> {
        let mut entries = Vec::new();
        for (index, line) in text.trim_start_matches('\u{FEFF}').lines().enumerate() {
            let entry = line.trim();
            if entry.is_empty() || entry.starts_with('#') {
                continue;
            }
            check_entry(&name, index + 1, entry)?;
            if entries.len() == ENTRIES_MAX {
                return Err(GuardError::TooManyEntries { most: ENTRIES_MAX });
            }
            entries.push(entry.to_owned());
        }
        Ok(Dictionary { name, class, entries })
    }

    /// The kind of its findings.
    #[must_use]
    pub fn kind(&self) -> String {
        format!("dictionary:{}", self.name)
    }
}

impl GuardConfig {
    /// Checks what does not need the detectors: sizes and names of dictionaries.
    pub(crate) fn check_dictionaries(&self) -> Result<(), GuardError> {
        let mut names = BTreeSet::new();
        let mut count = 0_usize;
        for dictionary in &self.dictionaries {
            if !names.insert(&dictionary.name) {
                return Err(GuardError::SameName { dictionary: dictionary.name.clone() });
            }
            count += dictionary.entries.len();
            for (index, entry) in dictionary.entries.iter().enumerate() {
                check_entry(&dictionary.name, index + 1, entry)?;
            }
        }
        if count > ENTRIES_MAX {
            return Err(GuardError::TooManyEntries { most: ENTRIES_MAX });
        }
        Ok(())
    }
}

/// An entry's first words must be letters or digits, since that is where the scanner looks.
pub(crate) fn entry_core(entry: &str) -> &str {
    entry.trim().trim_start_matches(|c: char| !c.is_alphanumeric())
}

fn check_entry(dictionary: &Name, line: usize, entry: &str) -> Result<(), GuardError> {
    let dictionary = || dictionary.clone();
    if entry_core(entry).chars().count() < ENTRY_CHARS_MIN {
        return Err(GuardError::ShortEntry { dictionary: dictionary(), line, least: ENTRY_CHARS_MIN });
    }
    if entry.len() > ENTRY_BYTES_MAX {
        return Err(GuardError::LongEntry { dictionary: dictionary(), line, most: ENTRY_BYTES_MAX });
    }
    Ok(())
}

/// Why a guard cannot be made. Entries are named by line, never by text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GuardError {
    /// An entry that would be found in every other sentence.
    #[error("entry {line} of dictionary `{dictionary}` is too short; use at least {least} letters or digits")]
    ShortEntry {
        /// Whose entry.
        dictionary: Name,
        /// The line in the file, or the entry's place in the list, from 1.
        line: usize,
        /// The least number of characters.
        least: usize,
    },
    /// An entry longer than the scanner reads ahead.
    #[error("entry {line} of dictionary `{dictionary}` is too long; use at most {most} bytes")]
    LongEntry {
        /// Whose entry.
        dictionary: Name,
        /// The line in the file, or the entry's place in the list, from 1.
        line: usize,
        /// The most bytes.
        most: usize,
    },
    /// More entries than the guard holds.
    #[error("the dictionaries have more than {most} entries together; leave out the ones that matter least")]
    TooManyEntries {
        /// The most entries.
        most: usize,
    },
    /// Two dictionaries share a name.
    #[error("two dictionaries are called `{dictionary}`; rename one")]
    SameName {
        /// The name.
        dictionary: Name,
    },
    /// A class or a switch for a detector that does not exist.
    #[error("`{kind}` is not a detector; hint: {hint}")]
    UnknownKind {
        /// What the configuration says, cut to 64 characters.
        kind: String,
        /// What it could have meant.
        hint: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Dictionary, GuardError> {
        Dictionary::parse("clients".parse().unwrap(), DataClass::Confidential, text)
    }

    #[test]
    fn a_file_has_comments_and_blank_lines() {
        let dictionary = parse("\u{FEFF}# our clients\n\nHarbour Gold\r\n  Nordwind AG  \n").unwrap();
        assert_eq!(dictionary.entries, ["Harbour Gold", "Nordwind AG"]);
        assert!(!format!("{dictionary:?}").contains("Harbour"));
    }

    #[test]
    fn errors_name_the_line_and_not_the_entry() {
        let short = parse("Harbour\nab\n").unwrap_err().to_string();
        assert_eq!(short, "entry 2 of dictionary `clients` is too short; use at least 3 letters or digits");
        let long = parse(&"x".repeat(121)).unwrap_err().to_string();
        assert!(long.contains("entry 1") && !long.contains("xx"), "{long}");
        assert!(parse("@x!").is_err());
    }
}
