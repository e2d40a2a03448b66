//! E-mail addresses and phone numbers.

use crate::{
    context::{self, Words},
    detect::{Detector, Hit, Word, digits::separator_at},
    probe::{LOOK_BACK, Probe, is_word_byte},
};

const LOCAL_LEN_MAX: usize = 64;

/// An e-mail address, which begins at the first word of its local part.
pub(super) fn email(probe: &Probe<'_>, word: &Word) -> Option<Hit> {
    // A later word of a longer local part begins no address of its own.
    let before = probe.back(1);
    if is_local_sign(before) && is_word_byte(probe.back(2)) {
        return None;
    }
    let mut at = word.len;
    while at <= LOCAL_LEN_MAX && probe.byte(at) != b'@' {
        let sign = is_local_sign(probe.byte(at));
        if sign && is_local_sign(probe.byte(at + 1)) && probe.byte(at) == b'.' {
            return None;
        }
        match probe.char(at) {
            Some((_, len)) if sign || probe.is_word(at) => at += len,
            _ => return None,
        }
    }
    if at > LOCAL_LEN_MAX || probe.byte(at - 1) == b'.' {
        return None;
    }
    if ends_user_info(probe) {
        return None;
    }
    let end = domain_end(probe, at + 1)?;
    Some(Hit::new(Detector::Email, 95, end))
}

/// Whether the position is in the password of `scheme://user:password@host`, which is no address.
fn ends_user_info(probe: &Probe<'_>) -> bool {
    let mut has_colon = false;
    for count in 1..LOOK_BACK {
        match probe.back(count) {
            b'/' => return has_colon && probe.back(count + 1) == b'/' && probe.back(count + 2) == b':',
            b':' => has_colon = true,
            byte if byte <= b' ' || matches!(byte, b'@' | b'"' | b'<' | b'>') => return false,
            _ => {}
        }
    }
    false
}

const fn is_local_sign(byte: u8) -> bool {
    matches!(byte, b'.' | b'+' | b'-' | b'%' | b'\'')
}

/// Endings of files whose names contain an `@`: `logo@2x.png`.
const FILE_ENDINGS: &[&str] = &[
    "png", "jpg", "jpeg", "gif", "svg", "webp", "avif", "ico", "css", "js", "json", "html", "txt", "md",
    "pdf",
];

/// Where the domain that begins at `from` ends: labels of letters, digits and hyphens, the last of letters.
fn domain_end(probe: &Probe<'_>, from: usize) -> Option<usize> {
    let (mut offset, mut labels, mut end) = (from, 0, None);
    loop {
        let start = offset;
        let mut letters_only = true;
        // Three hyphens in a row draw a line.
        while probe.byte(offset) != b'_'
            && (probe.is_word(offset) || (probe.byte(offset) == b'-' && !probe.literal(offset, "---")))
        {
            letters_only &= !matches!(probe.byte(offset), b'-' | b'0'..=b'9');
            let Some((_, len)) = probe.char(offset) else { break };
            offset += len;
        }
        let label = probe.bytes(start, offset - start);
        if label.is_empty() || label.len() > 63 || label.first() == Some(&b'-') {
            break;
        }
        labels += 1;
        let is_top = (2..=24).contains(&label.len()) && letters_only
            || label.len() > 4 && label.get(..4).is_some_and(|start| start.eq_ignore_ascii_case(b"xn--"));
        // `a@b.com_x`: no address goes on like that.
        if labels > 1 && is_top && probe.byte(offset) != b'_' {
            end = Some((offset, start));
        }
        if probe.byte(offset) != b'.' {
            break;
        }
        offset += 1;
    }
    let (end, top) = end?;
    let is_file =
        FILE_ENDINGS.iter().any(|ending| probe.bytes(top, end - top).eq_ignore_ascii_case(ending.as_bytes()));
    (!is_file).then_some(end)
}

const PHONE_WORDS: Words = Words::new(&[
    "phone",
    "phones",
    "phonenumber",
    "phone number",
    "telephone",
    "tel",
    "tel no",
    "mobile",
    "mobile number",
    "mob",
    "cell",
    "cellphone",
    "fax",
    "telefax",
    "hotline",
    "landline",
    "whatsapp",
    "sms",
    "contact number",
    "callback",
    "direct line",
    "switchboard",
    "telefon",
    "telefonnummer",
    "handy",
    "handynummer",
    "mobil",
    "mobilnummer",
    "mobiltelefon",
    "rufnummer",
    "durchwahl",
    "téléphone",
    "portable",
    "teléfono",
    "telefono",
    "móvil",
    "cellulare",
    "telefoon",
    "telefone",
]);
/// These go with other numbers too, so the number has to look more like a phone's.
const CALL_WORDS: Words = Words::new(&[
    "call",
    "called",
    "calling",
    "call me",
    "dial",
    "ring",
    "text me",
    "texted",
    "reach me",
    "reach us",
    "reached",
    "contact",
    "contact me",
    "messages to",
    "answering at",
    "anrufen",
    "erreichbar",
    "appeler",
    "llamar",
    "my number",
]);

const SPAN_GROUPS_MAX: usize = 8;
const SPAN_DIGITS_MAX: usize = 18;

/// A run of digits in a phone number.
#[derive(Clone, Copy, Default)]
struct Group {
    /// How many digits there are up to its end.
    digits: usize,
    /// The offset after it, and after its closing bracket.
    end: usize,
    len: usize,
    /// What stands before it; 0 for nothing.
    separator: u8,
}

/// A phone number as it stands in the text: groups, some of them in brackets.
struct Span {
    digits: [u8; SPAN_DIGITS_MAX],
    groups: [Group; SPAN_GROUPS_MAX],
    count: usize,
    in_brackets: bool,
}

impl Span {
    fn read(probe: &Probe<'_>, from: usize) -> Span {
        let mut span = Span {
            digits: [0; SPAN_DIGITS_MAX],
            groups: [Group::default(); SPAN_GROUPS_MAX],
            count: 0,
            in_brackets: false,
        };
        let (mut offset, mut total, mut separator) = (from, 0, 0);
        while let Some(group) = span.groups.get_mut(span.count) {
            let opens = probe.byte(offset) == b'(';
            offset += usize::from(opens);
            let len = probe.run(offset, SPAN_DIGITS_MAX + 1, |byte| byte.is_ascii_digit());
            // "(0)" is dialled only inside the country; it is no part of the international number.
            let is_trunk = opens && len == 1 && probe.byte(offset) == b'0' && span.count > 0;
            if len == 0 || (opens && probe.byte(offset + len) != b')') || total + len > SPAN_DIGITS_MAX {
                break;
            }
            if !is_trunk {
                for (slot, byte) in span.digits.iter_mut().skip(total).zip(probe.bytes(offset, len)) {
                    *slot = byte - b'0';
                }
                total += len;
            }
            span.in_brackets |= opens && !is_trunk;
            offset += len + usize::from(opens);
            *group = Group { digits: total, end: offset, len, separator };
            span.count += 1;
            let (sign, len) = match separator_at(probe, offset) {
                Some(found) => found,
                None if probe.byte(offset) == b'/' => (b'/', 1),
                None => (0, 0),
            };
            let next = probe.byte(offset + len);
            if !(next == b'(' || (next.is_ascii_digit() && (sign != 0 || opens))) {
                break;
            }
            separator = sign;
            offset += len;
        }
        span
    }

    fn groups(&self) -> &[Group] {
        self.groups.get(..self.count).unwrap_or_default()
    }

    /// The most groups that hold between `least` and `most` digits and end well: their number, digits and end.
    fn fit(&self, probe: &Probe<'_>, least: usize, most: usize) -> Option<(usize, &[u8], usize)> {
        let fits = |(index, group): (usize, &Group)| {
            let end = end_with_extension(probe, group.end);
            let fits = (least..=most).contains(&group.digits) && probe.ends_clean(end);
            fits.then_some((index + 1, group.digits, end))
        };
        // A single digit after a space is the next number's ("… 4 people"), except right after the first group.
        let lone = self
            .groups()
            .iter()
            .enumerate()
            .skip(2)
            .position(|(_, group)| group.len == 1 && group.separator == b' ');
        let usable = lone.map_or(self.count, |index| index + 2);
        let (count, digits, end) = self.groups().iter().enumerate().take(usable).filter_map(fits).last()?;
        Some((count, self.digits.get(..digits)?, end))
    }
}

/// "x12" and "ext. 12" belong to the number.
fn end_with_extension(probe: &Probe<'_>, end: usize) -> usize {
    let blank = usize::from(probe.byte(end) == b' ');
    let mut offset = end + blank;
    if probe.byte(offset) == b'x' {
        offset += 1;
    } else if blank == 1 && probe.literal(offset, "ext") {
        offset += 3;
        offset += usize::from(probe.byte(offset) == b'.');
    } else {
        return end;
    }
    offset += usize::from(probe.byte(offset) == b' ');
    let len = probe.run(offset, 7, |byte| byte.is_ascii_digit());
    if (1..=6).contains(&len) { offset + len } else { end }
}

/// Country codes of one and two digits; every other valid code has three.
const SHORT_CODES: &[u8] = &[
    20, 27, 30, 31, 32, 33, 34, 36, 39, 40, 41, 43, 44, 45, 46, 47, 48, 49, 51, 52, 53, 54, 55, 56, 57, 58,
    60, 61, 62, 63, 64, 65, 66, 81, 82, 84, 86, 90, 91, 92, 93, 94, 95, 98,
];

/// How many digits a number with this country code has, the code included (E.164 allows at most 15). `None` if
/// no country has the code.
fn length_range(digits: &[u8]) -> Option<(usize, usize)> {
    let [first, second, third, ..] = digits else { return None };
    let two = first * 10 + second;
    Some(match (first, two) {
        (0, _) => return None,
        (1, _) => (11, 11),
        (7, _) => (11, 11),
        (_, 44) => (11, 12),
        (_, 33 | 34 | 31 | 41 | 61) => (11, 11),
        (_, 32 | 45 | 47) => (10, 11),
        (_, 49 | 43 | 39) => (9, 14),
        (_, 91) => (12, 12),
        (_, 86) => (11, 13),
        (_, two) if SHORT_CODES.contains(&two) => (9, 14),
        (
            _,
            21 | 22 | 23 | 24 | 25 | 26 | 29 | 35 | 37 | 38 | 42 | 50 | 59 | 67 | 68 | 69 | 80 | 85 | 87 | 88
            | 96 | 97 | 99,
        ) if !(two == 99 && matches!(third, 0 | 1 | 9)) => (9, 15),
        _ => return None,
    })
}

/// A number with `+` and a country code, as long as the country's numbers are.
pub(super) fn international_phone(probe: &Probe<'_>) -> Option<Hit> {
    if probe.follows_word() || probe.back(1) == b'+' {
        return None;
    }
    let span = Span::read(probe, 1);
    let (least, most) = length_range(&span.digits).filter(|_| span.count > 0)?;
    let (_, digits, end) = span.fit(probe, least, most)?;
    if is_repeated(digits) {
        return None;
    }
    let named = context::supports(probe, Detector::Phone, &PHONE_WORDS);
    Some(Hit::new(Detector::Phone, if named { 95 } else { 85 }, end))
}

/// A number in national form: only next to a word for it, or in the full American forms `(212) 555-0123` and
/// `212-555-0123`.
/// Also `00` and a country code. Dates, amounts, addresses in networks and parts of URLs are none.
pub(super) fn national_phone(probe: &Probe<'_>) -> Option<Hit> {
    if !probe.starts_clean() || probe.follows_word() || follows_other_number(probe) {
        return None;
    }
    let span = Span::read(probe, 0);
    let found = named_phone(probe, &span);
    if found.is_some() {
        return found;
    }
    let end = north_american(&span).filter(|end| probe.ends_clean(*end))?;
    Some(Hit::new(Detector::Phone, 65, end_with_extension(probe, end)))
}

/// A national number next to a word for it, or with `00` and a country code.
fn named_phone(probe: &Probe<'_>, span: &Span) -> Option<Hit> {
    let long = span.digits.starts_with(&[0, 0]);
    let abroad = span.digits.get(2..).and_then(length_range).filter(|_| long);
    let (count, digits, end) = span.fit(probe, 7, abroad.map_or(12, |(_, most)| most + 2))?;
    let groups = span.groups().get(..count)?;
    if is_repeated(digits) || is_date(groups, digits) || is_other_dotted(groups) {
        return None;
    }
    if context::supports(probe, Detector::Phone, &PHONE_WORDS) {
        return Some(Hit::new(Detector::Phone, 80, end));
    }
    let local = matches!(groups, [Group { len: 3, .. }, Group { len: 4, .. }])
        && digits.first().is_some_and(|digit| *digit > 1);
    let national = digits.first() == Some(&0) && digits.len() >= 9;
    let well_formed = local || national || (count > 1 && digits.len() >= 8) || digits.len() == 10;
    if well_formed && context::stands_within(probe, 32, &CALL_WORDS) {
        return Some(Hit::new(Detector::Phone, 70, end));
    }
    // Not in the middle of a longer number, such as an account's.
    let goes_on = probe.back(1) == b' ' && probe.back(2).is_ascii_digit();
    let fits = abroad.is_some_and(|(least, _)| digits.len() >= least + 2);
    (fits && count > 1 && !goes_on).then(|| Hit::new(Detector::Phone, 75, end))
}

/// Signs before amounts, order numbers and URL parts; a point or comma between digits.
fn follows_other_number(probe: &Probe<'_>) -> bool {
    let before = probe.back(1);
    let is_amount =
        matches!(before, b'$' | b'#' | b'/' | b'=' | b'&' | b'%') || probe.follows("€") || probe.follows("£");
    let is_tied = probe.back(2).is_ascii_digit();
    is_amount || (matches!(before, b'.' | b',') && is_tied)
}

fn is_repeated(digits: &[u8]) -> bool {
    digits.iter().all(|digit| Some(digit) == digits.first())
}

/// Where a number in the American form ends: area and exchange begin with 2 to 9 and do not end in 11.
fn north_american(span: &Span) -> Option<usize> {
    let groups = span.groups().get(..3)?;
    let code =
        |from: usize| matches!(span.digits.get(from..from + 3), Some([2..=9, b, c]) if (*b, *c) != (1, 1));
    let typical = span.in_brackets || groups.iter().skip(1).all(|group| group.separator == b'-');
    match groups {
        [Group { len: 3, .. }, Group { len: 3, .. }, Group { len: 4, end, .. }]
            if typical && code(0) && code(3) =>
        {
            Some(*end)
        }
        _ => None,
    }
}

/// Dates in digits, and ranges of years.
fn is_date(groups: &[Group], digits: &[u8]) -> bool {
    let number = |from: usize, len: usize| {
        digits
            .get(from..from + len)
            .unwrap_or_default()
            .iter()
            .fold(0_u32, |n, digit| n * 10 + u32::from(*digit))
    };
    let is_year = |from: usize| (1900..2100).contains(&number(from, 4));
    let separators_alike = groups.iter().skip(1).all(|group| group.separator != b' ');
    match groups {
        [Group { len: 8, .. }] => is_year(0) && (1..=12).contains(&number(4, 2)),
        [Group { len: 4, .. }, Group { len: 4, .. }] => is_year(0) && is_year(4),
        [Group { len: 4, .. }, Group { len: 1 | 2, .. }, Group { len: 1 | 2, .. }, ..] => {
            separators_alike && is_year(0)
        }
        [Group { len: a @ (1 | 2), .. }, Group { len: b @ (1 | 2), .. }, Group { len: 4, .. }, ..] => {
            separators_alike && is_year(a + b)
        }
        _ => false,
    }
}

/// Dotted numbers are addresses, versions and decimals, unless their groups are a phone's.
fn is_other_dotted(groups: &[Group]) -> bool {
    let dotted = groups.iter().filter(|group| group.separator == b'.').count();
    let is_address = dotted == 3 && groups.iter().all(|group| group.len <= 3);
    let is_decimal =
        dotted == 1 && groups.len() == 2 && !matches!(groups, [Group { len: 3, .. }, Group { len: 4, .. }]);
    is_address || is_decimal
}
