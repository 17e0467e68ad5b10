//! Shared ground of the benches.
