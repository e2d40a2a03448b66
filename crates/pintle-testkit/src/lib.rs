//! Scripted fake providers and fault scripts, for tests only.
