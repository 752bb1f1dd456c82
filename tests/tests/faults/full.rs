//! Somebody else fills the collector's disk.
