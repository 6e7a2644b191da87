//! Between bytes and the words of the core: the only place that knows both.

pub mod encode;
