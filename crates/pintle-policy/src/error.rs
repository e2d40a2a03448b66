//! What can be wrong with policies and with the tables that test them. Every problem has its place in a
//! file, and all problems are collected, so that one run shows everything there is to mend.

use std::fmt;

/// One mistake in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The file's name as it was given in [`crate::PolicySource`] or to [`crate::run_tests`].
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
    /// What is wrong: a lowercase fragment.
    pub message: String,
    /// What to do about it.
    pub hint: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}: {}", self.file, self.line, self.column, self.message)?;
        if self.hint.is_empty() { Ok(()) } else { write!(f, "\n  hint: {}", self.hint) }
    }
}

/// Why policies or their test tables cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// The policies do not compile. No engine exists until they do.
    #[error("the policies do not compile\n{}", Lines(.0))]
    Policies(Vec<Problem>),
    /// The table of test cases cannot be read.
    #[error("the policy tests cannot be read\n{}", Lines(.0))]
    Tests(Vec<Problem>),
    /// The schema that is built into this program is broken: a mistake of ours, not of the policies' authors.
    #[error("the built-in policy schema is broken: {0}")]
    Schema(String),
}

impl PolicyError {
    /// The mistakes, in the order of the files and their lines.
    #[must_use]
    pub fn problems(&self) -> &[Problem] {
        match self {
            PolicyError::Policies(problems) | PolicyError::Tests(problems) => problems,
            PolicyError::Schema(_) => &[],
        }
    }
}

struct Lines<'a>(&'a [Problem]);

impl fmt::Display for Lines<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{problem}")?;
        }
        Ok(())
    }
}
