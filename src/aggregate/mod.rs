//! Accumulators: what a group of a window remembers of its events.
