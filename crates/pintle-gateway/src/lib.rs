//! Data plane: phases, router, upstream connectors.
