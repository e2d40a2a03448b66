//! From files to a corpus: read, guard, sort out, split, report.
