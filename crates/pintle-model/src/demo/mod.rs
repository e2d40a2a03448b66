//! What the demo trains on: the handbook of its sample organisation, and questions about it.
