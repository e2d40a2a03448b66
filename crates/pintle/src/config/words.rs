//! What the guard looks for: dictionaries, classes, detectors that are switched off.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use pintle_core::Name;
use pintle_guard::{Dictionary, Guard, GuardConfig, GuardError};

use super::{
    files,
    parse::{Parsed, cut},
    problem::Fault,
    schema::DictionaryConfig,
    source::Place,
    suggest,
};

const DICTIONARY_MIB_MAX: u64 = 32;
const DICTIONARIES_MAX: usize = 100;

/// The guard, and the files that were read for it.
pub(crate) fn check(parsed: &mut Parsed, folder: &Path) -> (Option<Guard>, Vec<PathBuf>) {
    let section = parsed.config.guard.clone();
    let mut files = Vec::new();
    let mut dictionaries = Vec::new();
    let mut is_complete = true;
    if section.dictionaries.len() > DICTIONARIES_MAX {
        let fault = Fault::TooMany { path: "guard.dictionaries", most: DICTIONARIES_MAX };
        parsed.error_at("guard.dictionaries", &fault);
        return (None, files);
    }
    let mut seen: BTreeMap<Name, String> = BTreeMap::new();
    for (index, config) in section.dictionaries.iter().enumerate() {
        let path = format!("guard.dictionaries[{index}]");
        let keys = [
            ("name", config.name.is_some()),
            ("class", config.class.is_some()),
            ("file", config.file.is_some()),
        ];
        parsed.require(&path, "guard.dictionaries", &keys);
        if let Some(name) = &config.name {
            let line = parsed.map.get(&path).map_or(0, |mark| parsed.source.line(mark.key.start));
            let here = format!("{}:{line}", parsed.source.name);
            if let Some(first) = seen.insert(name.clone(), here) {
                let fault = Fault::Duplicate { what: "dictionary", name: name.to_string(), first };
                parsed.error_at(&format!("{path}.name"), &fault);
                continue;
            }
        }
        if let Some(file) = &config.file {
            files.push(folder.join(file));
        }
        match dictionary(parsed, &path, config, folder) {
            Some(dictionary) => dictionaries.push(dictionary),
            None => is_complete = false,
        }
    }
    let config = GuardConfig {
        dictionaries,
        classes: section.classes.into_iter().collect(),
        disabled: section.disabled.into_iter().collect(),
    };
    let made = guard(parsed, config).filter(|_| is_complete);
    (made, files)
}

fn dictionary(
    parsed: &mut Parsed,
    path: &str,
    config: &DictionaryConfig,
    folder: &Path,
) -> Option<Dictionary> {
    let (name, class, file) = (config.name.clone()?, config.class?, config.file.as_ref()?);
    let whole = folder.join(file);
    let key = format!("{path}.file");
    let text = match files::read_text(&whole, DICTIONARY_MIB_MAX) {
        Ok(text) => text,
        Err(error) => {
            let reason = error.to_string();
            parsed.error_at(&key, &Fault::Unreadable { what: "dictionary", path: file.clone(), reason });
            return None;
        }
    };
    match Dictionary::parse(name, class, &text) {
        Ok(dictionary) => Some(dictionary),
        Err(error) => {
            // The line's own text stays out: a list of clients is confidential.
            let place = match &error {
                GuardError::ShortEntry { line, .. } | GuardError::LongEntry { line, .. } => {
                    Place { line: *line, column: 1, ..Place::file(&whole.display().to_string()) }
                }
                _ => Place::file(&whole.display().to_string()),
            };
            let fault = Fault::Dictionary(error.to_string());
            parsed.error_elsewhere(place, &fault);
            None
        }
    }
}

/// Makes the guard, and while a kind is unknown, reports it and tries without.
fn guard(parsed: &mut Parsed, config: GuardConfig) -> Option<Guard> {
    let mut config = config;
    let mut is_sound = true;
    loop {
        match Guard::new(&config) {
            Ok(guard) => return is_sound.then_some(guard),
            Err(GuardError::UnknownKind { kind, hint }) => {
                is_sound = false;
                let known: BTreeSet<String> =
                    config.classes.keys().chain(&config.disabled).cloned().collect();
                // The guard's error may be cut, so the kind is found by its beginning.
                let whole = known.into_iter().find(|whole| whole.starts_with(&kind))?;
                report_kind(parsed, &whole, &hint);
                config.classes.remove(&whole);
                config.disabled.remove(&whole);
            }
            Err(error) => {
                let fault = Fault::BadValue { message: error.to_string(), hint: String::new() };
                parsed.error_at("guard", &fault);
                return None;
            }
        }
    }
}

fn report_kind(parsed: &mut Parsed, kind: &str, hint: &str) {
    let nearest = Guard::new(&GuardConfig::default()).ok().and_then(|guard| {
        suggest::nearest(kind, guard.detectors().map(|detector| &*detector.kind)).map(str::to_owned)
    });
    let hint = nearest.map_or_else(|| hint.to_owned(), |word| format!("did you mean `{word}`?"));
    let fault = Fault::UnknownKind(cut(kind), hint);
    if let Some(mark) = parsed.map.get(&format!("guard.classes.{kind}")) {
        let place = parsed.source.place(&mark.key);
        parsed.error_elsewhere(place, &fault);
    }
    if let Some(index) = parsed.config.guard.disabled.iter().position(|disabled| disabled == kind) {
        parsed.error_at(&format!("guard.disabled[{index}]"), &fault);
    }
}
