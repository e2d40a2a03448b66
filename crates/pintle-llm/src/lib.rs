//! Wire types and conversion, SSE codec, usage extraction; no I/O.
