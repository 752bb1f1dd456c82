//! Bits flip in the files of a stopped collector.
