//! Numbers as people write them: groups of digits with single separators, read once, judged by shape.

use crate::{
    detect::{Hit, contact, national, network, payment},
    probe::Probe,
};

const DIGITS_MAX: usize = 24;
const GROUPS_MAX: usize = 8;

/// A run of digits within a number.
#[derive(Debug, Clone, Copy, Default)]
struct Group {
    /// What stands before it: `b' '`, `b'-'`, `b'.'`, or 0 for the first group.
    separator: u8,
    len: usize,
    /// How many digits there are up to its end.
    digits: usize,
    /// The offset after it.
    end: usize,
}

/// The groups that begin at a probe's position, at most 24 digits in 8 groups.
pub(super) struct Digits {
    values: [u8; DIGITS_MAX],
    groups: [Group; GROUPS_MAX],
    group_count: usize,
}

impl Digits {
    /// Reads as far as whole groups fit.
    pub(super) fn read(probe: &Probe<'_>) -> Digits {
        let mut digits =
            Digits { values: [0; DIGITS_MAX], groups: [Group::default(); GROUPS_MAX], group_count: 0 };
        let (mut offset, mut total, mut separator) = (0, 0, 0);
        while let Some(group) = digits.groups.get_mut(digits.group_count) {
            let first = total;
            while let (byte @ b'0'..=b'9', Some(slot)) = (probe.byte(offset), digits.values.get_mut(total)) {
                *slot = byte - b'0';
                total += 1;
                offset += 1;
            }
            if probe.byte(offset).is_ascii_digit() {
                break; // too long a number: this group does not count
            }
            *group = Group { separator, len: total - first, digits: total, end: offset };
            digits.group_count += 1;
            let Some((sign, len)) = separator_at(probe, offset) else { break };
            if !probe.byte(offset + len).is_ascii_digit() {
                break;
            }
            separator = sign;
            offset += len;
        }
        digits
    }

    fn groups(&self) -> &[Group] {
        self.groups.get(..self.group_count).unwrap_or_default()
    }

    fn values(&self, count: usize) -> &[u8] {
        self.values.get(..count).unwrap_or_default()
    }

    /// The digits and the end, if the number begins with groups of these lengths, all separated by the
    /// same one of `separators`.
    pub(super) fn shaped(&self, shape: &[usize], separators: &[u8]) -> Option<(&[u8], usize)> {
        let groups = self.groups().get(..shape.len())?;
        let first = groups.get(1).map_or(0, |group| group.separator);
        let fits = groups.iter().zip(shape).all(|(group, len)| group.len == *len)
            && groups.iter().skip(1).all(|group| group.separator == first)
            && (shape.len() == 1 || separators.contains(&first));
        let last = groups.last().filter(|_| fits)?;
        Some((self.values(last.digits), last.end))
    }

    /// The digits and the end, if the first group has exactly `len` of them.
    pub(super) fn bare(&self, len: usize) -> Option<(&[u8], usize)> {
        self.shaped(&[len], &[])
    }

    /// The length of the first group, 0 if it is too long a number.
    pub(super) fn first_len(&self) -> usize {
        self.groups().first().map_or(0, |group| group.len)
    }

    /// All digits that were read.
    pub(super) fn total(&self) -> usize {
        self.groups().last().map_or(0, |group| group.digits)
    }

    /// The byte after the last group that was read.
    fn sign_after(&self, probe: &Probe<'_>) -> u8 {
        self.groups().last().map_or(0, |group| probe.byte(group.end))
    }

    /// Whether this can be an IPv4 address: four groups with points between.
    fn is_dotted_quad(&self) -> bool {
        self.groups().get(1..4).is_some_and(|rest| rest.iter().all(|group| group.separator == b'.'))
    }
}

/// A separator and its length: no-break spaces count as spaces, no-break hyphens and dashes as hyphens.
pub(super) fn separator_at(probe: &Probe<'_>, offset: usize) -> Option<(u8, usize)> {
    match probe.byte(offset) {
        sign @ (b' ' | b'-' | b'.') => Some((sign, 1)),
        0xC2 | 0xE2 => match probe.char(offset)? {
            ('\u{A0}', len) | ('\u{202F}' | '\u{2009}', len) => Some((b' ', len)),
            ('\u{2010}' | '\u{2011}' | '\u{2013}', len) => Some((b'-', len)),
            _ => None,
        },
        _ => None,
    }
}

/// Asks every detector whose values begin with a digit.
pub(super) fn detect(probe: &Probe<'_>, hits: &mut Vec<Hit>) {
    let digits = Digits::read(probe);
    if digits.is_dotted_quad() {
        hits.extend(network::ipv4(probe));
    }
    // German numbers have a slash after the area code; the digits behind it are not read here.
    if digits.total() < 7 && !matches!(digits.sign_after(probe), b'/' | b'(') {
        return;
    }
    if probe.starts_clean() {
        hits.extend(payment::card(probe, &digits));
        national::numbers(probe, &digits, hits);
        hits.extend(contact::national_phone(probe));
    }
}
