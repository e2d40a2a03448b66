//! "Did you mean …": the known word nearest to an unknown one.

/// The number of single-letter edits between two words, neighbouring letters that changed places
/// counting as one.
fn distance(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut before_last: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=to.len()).collect();
    let mut previous = None;
    for (row, letter) in from.chars().enumerate() {
        let mut current = vec![row + 1];
        let mut left = None;
        for (column, other) in to.iter().enumerate() {
            let at = |row: &[usize], column: usize| row.get(column).copied().unwrap_or(usize::MAX / 2);
            let mut best = (at(&last, column) + usize::from(letter != *other))
                .min(at(&last, column + 1) + 1)
                .min(at(&current, column) + 1);
            if column > 0 && previous == Some(*other) && left == Some(letter) {
                best = best.min(at(&before_last, column - 1) + 1);
            }
            current.push(best);
            left = Some(*other);
        }
        before_last = std::mem::replace(&mut last, current);
        previous = Some(letter);
    }
    last.last().copied().unwrap_or(0)
}

/// The known word that the unknown one most likely stands for, if one is near enough: a third of its
/// letters may differ.
pub(crate) fn nearest<'a>(unknown: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if unknown.chars().count() > 64 {
        return None;
    }
    let most = (unknown.chars().count() / 3).max(1);
    known
        .into_iter()
        .map(|word| (distance(unknown, word), word))
        .filter(|(edits, _)| *edits <= most)
        .min_by_key(|(edits, _)| *edits)
        .map(|(_, word)| word)
}

/// A hint for an unknown word: the nearest known one, or all of them.
pub(crate) fn hint<'a>(unknown: &str, known: impl Iterator<Item = &'a str> + Clone) -> String {
    match nearest(unknown, known.clone()) {
        Some(word) => format!("did you mean `{word}`?"),
        None => {
            let words: Vec<String> = known.map(|word| format!("`{word}`")).collect();
            format!("known are {}", words.join(", "))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_words_are_suggested_and_far_ones_are_not() {
        let known = ["currency", "name", "time_zone", "monthly_budget"];
        assert_eq!(nearest("currenzy", known), Some("currency"));
        assert_eq!(nearest("nmae", known), Some("name"));
        assert_eq!(nearest("timezone", known), Some("time_zone"));
        assert_eq!(nearest("colour", known), None);
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("kitten", "sitting"), 3);
    }
}
