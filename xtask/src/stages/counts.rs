//! How many tests passed and failed, read from what test programs print.

use std::fmt;

/// Tests that passed and tests that failed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) passed: u64,
    pub(super) failed: u64,
}

impl Counts {
    pub(super) fn add(&mut self, more: Counts) {
        self.passed += more.passed;
        self.failed += more.failed;
    }

    /// The counts that a summary line states: `test result: ok. 3 passed; 0 failed; …` as Rust's test
    /// programs print it, `3 passed, 0 failed` as ours do. Zero for any other line.
    pub(super) fn of_line(line: &str) -> Counts {
        let summary = match line.strip_prefix("test result: ") {
            // The verdict, `ok.` or `FAILED.`, comes first.
            Some(rest) => rest.split_once(". ").map(|(_, counts)| counts),
            None => Some(line),
        };
        let mut parts = summary.unwrap_or_default().split([';', ',']).map(str::trim);
        let number = |part: Option<&str>, word: &str| part?.strip_suffix(word)?.trim_end().parse().ok();
        match (number(parts.next(), "passed"), number(parts.next(), "failed")) {
            (Some(passed), Some(failed)) => Counts { passed, failed },
            _ => Counts::default(),
        }
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed", self.passed, self.failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn summary_lines_are_read() {
        let read = |line| {
            let Counts { passed, failed } = Counts::of_line(line);
            (passed, failed)
        };
        assert_eq!(
            read(
                "test result: ok. 24 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.04s"
            ),
            (24, 0)
        );
        assert_eq!(read("test result: FAILED. 7 passed; 2 failed; 0 ignored"), (7, 2));
        assert_eq!(read("12 passed, 1 failed"), (12, 1));
        assert_eq!(read("test upstream::ports ... ok"), (0, 0));
        assert_eq!(read("many passed, few failed"), (0, 0));
        assert_eq!(read(""), (0, 0));
    }
}
