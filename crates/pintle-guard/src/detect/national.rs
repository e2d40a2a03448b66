//! National identifiers: USA, United Kingdom, Australia, Germany.
//!
//! A check digit of modulus 11 lets one number in eleven through. Where the shape does not make up for that,
//! the identifier's name has to stand near.

use crate::{
    checks,
    context::{self, Words},
    detect::{Detector, Hit, Word, digits::Digits, digits::separator_at},
    probe::Probe,
};

const SSN_WORDS: Words = Words::new(&[
    "ssn",
    "ssns",
    "social security",
    "social security number",
    "social",
    "soc sec",
    "itin",
    "taxpayer id",
]);
const NINO_WORDS: Words =
    Words::new(&["nino", "national insurance", "ni number", "ni no", "insurance number", "nat ins", "ni"]);
const NHS_WORDS: Words =
    Words::new(&["nhs", "nhs number", "nhs no", "patient", "patient number", "national health service"]);
const TFN_WORDS: Words = Words::new(&["tfn", "tfns", "tax file", "tax file number", "tax file no"]);
const ABN_WORDS: Words = Words::new(&["abn", "abns", "australian business", "business number"]);
const MEDICARE_WORDS: Words = Words::new(&["medicare", "medicare number", "medicare card"]);
const TAX_ID_WORDS: Words = Words::new(&[
    "steuer id",
    "steuerid",
    "steuer identifikationsnummer",
    "steueridentifikationsnummer",
    "steueridentnummer",
    "steuerliche identifikationsnummer",
    "identifikationsnummer",
    "idnr",
    "id nr",
    "steuer idnr",
    "tin",
    "tax id",
    "tax identification",
    "taxid",
    "steuernummer",
    "steuer nr",
]);

/// A number in one of its shapes: how sure each shape makes, alone and next to the number's name.
struct Shape {
    groups: &'static [usize],
    separators: &'static [u8],
    alone: u8,
    named: u8,
}

const fn shape(groups: &'static [usize], separators: &'static [u8], alone: u8, named: u8) -> Shape {
    Shape { groups, separators, alone, named }
}

/// Every national number that begins with a digit.
pub(super) fn numbers(probe: &Probe<'_>, digits: &Digits, hits: &mut Vec<Hit>) {
    let mut judge = |detector: Detector, words: &Words, check: fn(&[u8]) -> bool, shapes: &[Shape]| {
        for shape in shapes {
            let Some((values, end)) = digits.shaped(shape.groups, shape.separators) else { continue };
            if !check(values) || is_repetition(values) || !probe.ends_clean(end) {
                continue;
            }
            let named = context::supports(probe, detector, words);
            let confidence = if named { shape.named } else { shape.alone };
            hits.extend((confidence > 0).then(|| Hit::new(detector, confidence, end)));
            return;
        }
    };
    judge(
        Detector::UsSsn,
        &SSN_WORDS,
        is_ssn,
        &[shape(&[3, 2, 4], b"-", 75, 95), shape(&[3, 2, 4], b" .", 0, 90), shape(&[9], b"", 0, 80)],
    );
    judge(
        Detector::UkNhs,
        &NHS_WORDS,
        checks::nhs,
        &[shape(&[3, 3, 4], b" ", 65, 95), shape(&[3, 3, 4], b"-", 0, 90), shape(&[10], b"", 0, 85)],
    );
    judge(
        Detector::AuTfn,
        &TFN_WORDS,
        checks::tfn,
        &[
            shape(&[3, 3, 3], b" -", 0, 95),
            shape(&[9], b"", 0, 90),
            shape(&[8], b"", 0, 80),
            shape(&[2, 3, 3], b" -", 0, 80),
        ],
    );
    judge(
        Detector::AuAbn,
        &ABN_WORDS,
        checks::abn,
        &[shape(&[2, 3, 3, 3], b" ", 75, 95), shape(&[2, 3, 3, 3], b"-.", 0, 95), shape(&[11], b"", 0, 90)],
    );
    judge(
        Detector::AuMedicare,
        &MEDICARE_WORDS,
        checks::medicare,
        &[
            shape(&[4, 5, 1, 1], b" -", 65, 95),
            shape(&[4, 5, 1], b" ", 65, 95),
            shape(&[4, 5, 1], b"-", 65, 95),
            shape(&[10], b"", 0, 90),
            shape(&[11], b"", 0, 85),
        ],
    );
    judge(
        Detector::DeTaxId,
        &TAX_ID_WORDS,
        checks::german_tax_id,
        &[shape(&[2, 3, 3, 3], b" -.", 0, 95), shape(&[11], b"", 0, 90)],
    );
}

/// Area, group and serial are never all zeros; areas 666 and 900 upwards were never issued (the latter are
/// tax numbers); two numbers from advertisements are nobody's.
fn is_ssn(values: &[u8]) -> bool {
    let number = values.iter().fold(0_u32, |number, digit| number * 10 + u32::from(*digit));
    let (area, group, serial) = (number / 1_000_000, number / 10_000 % 100, number % 10_000);
    let issued = area != 0 && area != 666 && area < 900 && group != 0 && serial != 0;
    issued && !matches!(number, 78_051_120 | 219_099_999)
}

fn is_repetition(values: &[u8]) -> bool {
    values.iter().all(|value| Some(value) == values.first())
}

/// A UK national insurance number: two letters, six digits, and a letter from A to D, which may be missing
/// where the number's name stands near. HMRC never issues some letters and prefixes.
pub(super) fn nino(probe: &Probe<'_>, word: &Word) -> Option<Hit> {
    let (first, second) = (word.first.to_ascii_uppercase(), probe.byte(1).to_ascii_uppercase());
    let never = |letter: u8| !letter.is_ascii_uppercase() || b"DFIQUV".contains(&letter);
    if never(first) || never(second) || second == b'O' {
        return None;
    }
    if [b"BG", b"GB", b"NK", b"KN", b"TN", b"NT", b"ZZ"].contains(&&[first, second]) {
        return None;
    }
    let mut offset = 2;
    for _ in 0..3 {
        offset = skip_separator(probe, offset);
        if !probe.byte(offset).is_ascii_digit() || !probe.byte(offset + 1).is_ascii_digit() {
            return None;
        }
        offset += 2;
    }
    let suffix_at = skip_separator(probe, offset);
    let has_suffix = matches!(probe.byte(suffix_at).to_ascii_uppercase(), b'A'..=b'D')
        && probe.ends_clean(suffix_at + 1)
        && (suffix_at == offset || !probe.byte(suffix_at).is_ascii_lowercase());
    let end = if has_suffix { suffix_at + 1 } else { offset };
    if !probe.starts_clean() || !probe.ends_clean(end) {
        return None;
    }
    if context::supports(probe, Detector::UkNino, &NINO_WORDS) {
        return Some(Hit::new(Detector::UkNino, 95, end));
    }
    (has_suffix && word.has_upper && !word.has_lower).then(|| Hit::new(Detector::UkNino, 80, end))
}

fn skip_separator(probe: &Probe<'_>, offset: usize) -> usize {
    match separator_at(probe, offset) {
        Some((b' ' | b'-', len)) => offset + len,
        _ => offset,
    }
}
