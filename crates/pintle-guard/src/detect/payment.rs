//! Payment cards, IBANs and SWIFT/BIC codes.

use crate::{
    checks,
    context::{self, Words},
    detect::{Detector, Hit, Word, digits::Digits, digits::separator_at},
    probe::Probe,
};

const CARD_WORDS: Words = Words::new(&[
    "card",
    "cards",
    "cardnumber",
    "credit",
    "creditcard",
    "debit",
    "visa",
    "mastercard",
    "amex",
    "american express",
    "maestro",
    "discover",
    "diners",
    "jcb",
    "cc",
    "ccn",
    "pan",
    "kreditkarte",
    "kreditkartennummer",
    "karte",
    "kartennummer",
    "carte",
    "carte bancaire",
    "tarjeta",
    "carta di credito",
    "creditkaart",
]);

/// The ways in which cards are embossed and typed.
const CARD_SHAPES: &[&[usize]] =
    &[&[4, 4, 4, 4, 3], &[4, 4, 4, 4], &[4, 6, 5], &[4, 6, 4], &[4, 4, 4, 1], &[4, 5, 6]];

/// A payment card: its issuer's range and length, the Luhn check, and a shape that cards have.
pub(super) fn card(probe: &Probe<'_>, digits: &Digits) -> Option<Hit> {
    let mut grouped = CARD_SHAPES.iter().filter_map(|shape| digits.shaped(shape, b" -."));
    if let Some((_, end)) = grouped.find(|(values, end)| is_card(values) && probe.ends_clean(*end)) {
        return Some(Hit::new(Detector::CreditCard, 90, end));
    }
    let len = digits.first_len();
    let (values, end) = digits.bare(len).filter(|_| (12..=19).contains(&len))?;
    if !checks::luhn(values) || is_repetition(values) || !probe.ends_clean(end) {
        return None;
    }
    let known = issuer_allows(values);
    if (known || banks_allow(values)) && context::supports(probe, Detector::CreditCard, &CARD_WORDS) {
        return Some(Hit::new(Detector::CreditCard, if known { 95 } else { 75 }, end));
    }
    // Of the lengths that barcodes, timestamps and tracking numbers have too, one in ten passes Luhn.
    (known && matches!(len, 15 | 16)).then(|| Hit::new(Detector::CreditCard, 75, end))
}

fn is_card(values: &[u8]) -> bool {
    !is_repetition(values) && issuer_allows(values) && checks::luhn(values)
}

fn is_repetition(values: &[u8]) -> bool {
    values.iter().all(|value| Some(value) == values.first())
}

/// Numbers that ISO/IEC 7812 sets aside for travel and banking, and Maestro's short ones: a card where the text
/// says so, though its issuer's range is not in the table.
fn banks_allow(values: &[u8]) -> bool {
    let short_maestro = matches!(values, [5, 0 | 6..=8, ..] | [6, ..] | [0, 6, 0, 4, ..]);
    match values.len() {
        14..=19 => matches!(values, [3..=6, ..]),
        len => matches!(len, 12 | 13) && short_maestro,
    }
}

/// The issuers' ranges and lengths, after ISO/IEC 7812 and the card schemes' public tables.
fn issuer_allows(values: &[u8]) -> bool {
    let prefix = |len: usize| {
        values
            .get(..len)
            .unwrap_or_default()
            .iter()
            .fold(0_u32, |number, digit| number * 10 + u32::from(*digit))
    };
    let len = values.len();
    let (two, three, four, six) = (prefix(2), prefix(3), prefix(4), prefix(6));
    let visa = prefix(1) == 4 && matches!(len, 13 | 16 | 19);
    let mastercard = len == 16 && ((51..=55).contains(&two) || (2221..=2720).contains(&four));
    let amex = len == 15 && matches!(two, 34 | 37);
    let discover = (16..=19).contains(&len)
        && (four == 6011 || two == 65 || (644..=649).contains(&three) || (622_126..=622_925).contains(&six));
    let diners = (len == 14 || len == 16)
        && ((300..=305).contains(&three) || three == 309 || matches!(two, 36 | 38 | 39));
    let jcb = ((16..=19).contains(&len) && (3528..=3589).contains(&four))
        || (len == 15 && matches!(four, 1800 | 2131));
    let unionpay = (16..=19).contains(&len) && two == 62;
    let maestro = (12..=19).contains(&len)
        && matches!(four, 5018 | 5020 | 5038 | 5893 | 6304 | 6759 | 6761 | 6762 | 6763 | 6390);
    visa || mastercard || amex || discover || diners || jcb || unionpay || maestro
}

/// Countries in the SWIFT IBAN registry and the length of their IBANs.
const IBAN_LENGTHS: &[(&[u8; 2], usize)] = &[
    (b"AD", 24),
    (b"AE", 23),
    (b"AL", 28),
    (b"AT", 20),
    (b"AZ", 28),
    (b"BA", 20),
    (b"BE", 16),
    (b"BG", 22),
    (b"BH", 22),
    (b"BI", 27),
    (b"BR", 29),
    (b"BY", 28),
    (b"CH", 21),
    (b"CR", 22),
    (b"CY", 28),
    (b"CZ", 24),
    (b"DE", 22),
    (b"DJ", 27),
    (b"DK", 18),
    (b"DO", 28),
    (b"EE", 20),
    (b"EG", 29),
    (b"ES", 24),
    (b"FI", 18),
    (b"FK", 18),
    (b"FO", 18),
    (b"FR", 27),
    (b"GB", 22),
    (b"GE", 22),
    (b"GI", 23),
    (b"GL", 18),
    (b"GR", 27),
    (b"GT", 28),
    (b"HN", 28),
    (b"HR", 21),
    (b"HU", 28),
    (b"IE", 22),
    (b"IL", 23),
    (b"IQ", 23),
    (b"IS", 26),
    (b"IT", 27),
    (b"JO", 30),
    (b"KW", 30),
    (b"KZ", 20),
    (b"LB", 28),
    (b"LC", 32),
    (b"LI", 21),
    (b"LT", 20),
    (b"LU", 20),
    (b"LV", 21),
    (b"LY", 25),
    (b"MC", 27),
    (b"MD", 24),
    (b"ME", 22),
    (b"MK", 19),
    (b"MN", 20),
    (b"MR", 27),
    (b"MT", 31),
    (b"MU", 30),
    (b"NI", 28),
    (b"NL", 18),
    (b"NO", 15),
    (b"OM", 23),
    (b"PK", 24),
    (b"PL", 28),
    (b"PS", 29),
    (b"PT", 25),
    (b"QA", 29),
    (b"RO", 24),
    (b"RS", 22),
    (b"RU", 33),
    (b"SA", 24),
    (b"SC", 31),
    (b"SD", 18),
    (b"SE", 24),
    (b"SI", 19),
    (b"SK", 24),
    (b"SM", 27),
    (b"SO", 23),
    (b"ST", 25),
    (b"SV", 28),
    (b"TL", 23),
    (b"TN", 24),
    (b"TR", 26),
    (b"UA", 29),
    (b"VA", 22),
    (b"VG", 24),
    (b"XK", 20),
    (b"YE", 30),
];

/// An IBAN, in one piece or in groups, in either case.
pub(super) fn iban(probe: &Probe<'_>, word: &Word) -> Option<Hit> {
    let country = [word.first.to_ascii_uppercase(), probe.byte(1).to_ascii_uppercase()];
    let (_, length) = IBAN_LENGTHS.iter().find(|(code, _)| **code == country)?;
    let mut compact = [0_u8; 34];
    let (mut offset, mut count) = (0, 0);
    while count < *length {
        // Groups are of four, or as people break them: anywhere after the check digits.
        if matches!(count, 2 | 4..)
            && let Some((b' ' | b'-', len)) = separator_at(probe, offset)
        {
            offset += len;
        }
        let byte = probe.byte(offset);
        let is_check = matches!(count, 2 | 3);
        if !byte.is_ascii_alphanumeric() || (is_check && !byte.is_ascii_digit()) {
            return None;
        }
        *compact.get_mut(count)? = byte;
        count += 1;
        offset += 1;
    }
    let valid = probe.ends_clean(offset) && checks::iban(compact.get(..count)?);
    valid.then(|| Hit::new(Detector::Iban, if word.has_upper { 95 } else { 85 }, offset))
}

const BIC_WORDS: Words =
    Words::new(&["bic", "swift", "bank identifier code", "bank identifier", "swiftcode", "biccode"]);

/// ISO 3166 codes in alphabetical order, and `XK`, which banks use for Kosovo.
const COUNTRIES: &str = "ADAEAFAGAIALAMAOAQARASATAUAWAXAZBABBBDBEBFBGBHBIBJBLBMBNBOBQBRBSBTBVBWBYBZCACCCDCFCG\
CHCICKCLCMCNCOCRCUCVCWCXCYCZDEDJDKDMDODZECEEEGEHERESETFIFJFKFMFOFRGAGBGDGEGFGGGHGIGLGMGNGPGQGRGSGTGUGWGYHKHM\
HNHRHTHUIDIEILIMINIOIQIRISITJEJMJOJPKEKGKHKIKMKNKPKRKWKYKZLALBLCLILKLRLSLTLULVLYMAMCMDMEMFMGMHMKMLMMMNMOMPMQ\
MRMSMTMUMVMWMXMYMZNANCNENFNGNINLNONPNRNUNZOMPAPEPFPGPHPKPLPMPNPRPSPTPWPYQARERORSRURWSASBSCSDSESGSHSISJSKSLSM\
SNSOSRSSSTSVSXSYSZTCTDTFTGTHTJTKTLTMTNTOTRTTTVTWTZUAUGUMUSUYUZVAVCVEVGVIVNVUWFWSXKYEYTZAZMZW";

/// A SWIFT/BIC code. Any eight capitals with a country inside look like one ("ABSOLUTE"), so its name or an
/// IBAN has to stand close by.
pub(super) fn swift_bic(probe: &Probe<'_>, word: &Word) -> Option<Hit> {
    let letters = probe.bytes(0, 6);
    if letters.len() != 6
        || !letters.iter().all(u8::is_ascii_uppercase)
        || word.has_underscore
        || !word.is_ascii
    {
        return None;
    }
    let country = letters.get(4..)?;
    if !COUNTRIES.as_bytes().chunks_exact(2).any(|code| code == country) {
        return None;
    }
    let named = context::stands_within(probe, 32, &BIC_WORDS)
        || matches!(probe.neighbour(), Some(id) if id == Detector::Iban.id() || id == Detector::SwiftBic.id());
    let valid = named && probe.starts_clean() && probe.ends_clean(word.len);
    valid.then(|| Hit::new(Detector::SwiftBic, 85, word.len))
}
