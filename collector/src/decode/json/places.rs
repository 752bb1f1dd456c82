//! Where the values of a product's objects belong: one table per product, from its dotted names to ours.
//!
//! What no row names is kept under the product's own name for it, `<vendor>.<path>`, so that nothing is
//! lost; names of strangers are bounded as those of any JSON line are.

use std::collections::HashMap;

use foldhash::fast::FixedState;

use super::Scalar;
use crate::decode::network;
use crate::decode::out::Out;
use crate::event::{FieldId, names};

/// What becomes of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// It is that field.
    To(FieldId),
    /// It is that field, in lower case.
    Lower(FieldId),
    /// It is that field, and stays under the product's own name, which public rules ask for.
    Both(FieldId),
    /// The protocol of the connection, or the one above it.
    Protocol,
    /// It stays under the product's own name.
    Own,
    /// The decoder does something with it itself.
    Special,
    /// It says nothing, or what nobody should read in a field.
    Nothing,
}

/// A product's table.
#[derive(Debug)]
pub(crate) struct Places {
    /// What its own names are kept below.
    vendor: &'static str,
    rows: HashMap<&'static str, Place, FixedState>,
}

impl Places {
    pub(crate) fn new(vendor: &'static str, rows: &[(&'static str, Place)]) -> Places {
        Places { vendor, rows: rows.iter().copied().collect() }
    }

    /// What becomes of the value of a path.
    pub(crate) fn of(&self, path: &str) -> Place {
        self.rows.get(path).copied().unwrap_or(Place::Own)
    }

    /// Stores a value where it belongs. False when its own name has no room.
    pub(crate) fn put(&self, path: &str, scalar: Scalar<'_>, out: &mut Out) -> bool {
        if matches!(scalar, Scalar::Text("")) {
            return true;
        }
        match self.of(path) {
            Place::To(id @ (names::SOURCE_PORT | names::DESTINATION_PORT)) => {
                match scalar.integer().and_then(|port| u16::try_from(port).ok()) {
                    Some(port) => out.integer(id, port.into()),
                    None => return self.keep(path, scalar, out),
                }
            }
            Place::To(id) => place(id, scalar, out),
            Place::Lower(id) => match scalar {
                Scalar::Text(text) => network::lower(id, text, out),
                _ => scalar.put(id, out),
            },
            Place::Both(id) => {
                place(id, scalar, out);
                return self.keep(path, scalar, out);
            }
            Place::Protocol => {
                if let Scalar::Text(text) = scalar {
                    network::protocol(text, out);
                }
            }
            Place::Own => return self.keep(path, scalar, out),
            Place::Special | Place::Nothing => {}
        }
        true
    }

    /// Stores a value under the product's own name.
    pub(crate) fn keep(&self, path: &str, scalar: Scalar<'_>, out: &mut Out) -> bool {
        match out.vendor_name(self.vendor, path) {
            Some(id) => {
                scalar.put(id, out);
                true
            }
            None => false,
        }
    }
}

/// Stores a value; numbers written as text where sizes belong become numbers.
fn place(id: FieldId, scalar: Scalar<'_>, out: &mut Out) {
    match scalar.integer() {
        Some(integer) if id == names::FILE_SIZE => out.integer(id, integer),
        _ => scalar.put(id, out),
    }
}
