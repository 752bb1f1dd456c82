//! The disk fails to write or to flush.
