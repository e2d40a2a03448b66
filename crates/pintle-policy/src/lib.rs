//! Cedar schema, compile, decide.
