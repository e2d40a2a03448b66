//! Detectors, validators, redaction, stream window; no I/O.
