//! Checksums. Each takes digit values (0 to 9, not ASCII) unless it says otherwise.

/// The check of payment cards: every second digit from the right counts double, with its digits added.
pub(crate) fn luhn(digits: &[u8]) -> bool {
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(index, digit)| {
            let value = u32::from(*digit) << (index & 1);
            if value > 9 { value - 9 } else { value }
        })
        .sum();
    sum.is_multiple_of(10)
}

/// The check of IBANs (ISO 7064 mod 97-10) over the compact ASCII form: the first four characters count last,
/// letters count as 10 to 35.
pub(crate) fn iban(compact: &[u8]) -> bool {
    let Some((head, tail)) = compact.split_at_checked(4) else { return false };
    let mut remainder = 0_u32;
    for byte in tail.iter().chain(head) {
        remainder = match byte {
            b'0'..=b'9' => remainder * 10 + u32::from(byte - b'0'),
            b'A'..=b'Z' => remainder * 100 + u32::from(byte - b'A') + 10,
            b'a'..=b'z' => remainder * 100 + u32::from(byte - b'a') + 10,
            _ => return false,
        } % 97;
    }
    remainder == 1
}

fn weighted(digits: &[u8], weights: &[u32]) -> u32 {
    digits.iter().zip(weights).map(|(digit, weight)| u32::from(*digit) * weight).sum()
}

/// The check of NHS numbers: ten digits, weights 10 to 2, modulus 11.
pub(crate) fn nhs(digits: &[u8]) -> bool {
    let Some((check, body)) = digits.split_last() else { return false };
    let expected = 11 - weighted(body, &[10, 9, 8, 7, 6, 5, 4, 3, 2]) % 11;
    digits.len() == 10 && expected != 10 && u32::from(*check) == expected % 11
}

/// The check of Australian tax file numbers: nine digits, or eight in older ones, modulus 11.
pub(crate) fn tfn(digits: &[u8]) -> bool {
    let weights: &[u32] = match digits.len() {
        9 => &[1, 4, 3, 7, 5, 8, 6, 9, 10],
        8 => &[10, 7, 8, 4, 6, 3, 5, 1],
        _ => return false,
    };
    weighted(digits, weights).is_multiple_of(11)
}

/// The check of Australian business numbers: eleven digits, the first less one, modulus 89.
pub(crate) fn abn(digits: &[u8]) -> bool {
    let weights = [10, 1, 3, 5, 7, 9, 11, 13, 15, 17, 19];
    // The first digit counts one less; it is not 0, so the sum is at least its weight.
    digits.len() == 11
        && digits.first().is_some_and(|first| *first > 0)
        && (weighted(digits, &weights) - 10).is_multiple_of(89)
}

/// The check of Australian Medicare cards: eight digits from 2 to 6, a check digit, an issue number.
pub(crate) fn medicare(digits: &[u8]) -> bool {
    let sum = weighted(digits, &[1, 3, 7, 9, 1, 3, 7, 9]);
    matches!(digits.len(), 10 | 11)
        && digits.first().is_some_and(|first| (2..=6).contains(first))
        && digits.get(8).is_some_and(|check| u32::from(*check) == sum % 10)
        && digits.get(9).is_some_and(|issue| *issue > 0)
}

/// The check of German tax ids: ISO 7064 mod 11,10; and of the first ten digits exactly one occurs twice or
/// three times.
pub(crate) fn german_tax_id(digits: &[u8]) -> bool {
    let Some((check, body)) = digits.split_last() else { return false };
    if digits.len() != 11 || digits.first() == Some(&0) {
        return false;
    }
    let mut counts = [0_u8; 10];
    for digit in body {
        if let Some(count) = counts.get_mut(usize::from(*digit)) {
            *count += 1;
        }
    }
    let repeated = counts.iter().filter(|count| **count > 1).count();
    if repeated != 1 || counts.iter().any(|count| *count > 3) {
        return false;
    }
    let product = body.iter().fold(10_u32, |product, digit| {
        let sum = (u32::from(*digit) + product) % 10;
        (if sum == 0 { 10 } else { sum }) * 2 % 11
    });
    u32::from(*check) == (11 - product) % 10
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digits(text: &str) -> Vec<u8> {
        text.bytes().filter(u8::is_ascii_digit).map(|byte| byte - b'0').collect()
    }

    /// Every single wrong digit must be caught, or the check is not the check.
    fn catches_each_wrong_digit(valid: &str, check: fn(&[u8]) -> bool) {
        let valid = digits(valid);
        assert!(check(&valid), "{valid:?}");
        for place in 0..valid.len() {
            for digit in 0..10 {
                if digit != valid[place] {
                    let mut wrong = valid.clone();
                    wrong[place] = digit;
                    assert!(!check(&wrong), "{wrong:?}");
                }
            }
        }
    }

    #[test]
    fn published_examples_pass_and_each_wrong_digit_fails() {
        catches_each_wrong_digit("4111 1111 1111 1111", luhn);
        catches_each_wrong_digit("943 476 5919", nhs);
        catches_each_wrong_digit("123 456 782", tfn);
        catches_each_wrong_digit("51 824 753 556", abn);
        catches_each_wrong_digit("86 095 742 719", german_tax_id);
        assert!(medicare(&digits("2123 45670 1")));
        assert!(!medicare(&digits("2123 45671 1")));
        assert!(!medicare(&digits("1123 45670 1")));
    }

    #[test]
    fn iban_check_matches_the_standard() {
        assert!(iban(b"DE89370400440532013000"));
        assert!(iban(b"GB82WEST12345698765432"));
        assert!(iban(b"gb82west12345698765432"));
        assert!(!iban(b"DE89370400440532013001"));
        assert!(!iban(b"DE8"));
    }
}
