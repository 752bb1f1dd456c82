//! Why something is missing: the closed list of causes a [`crate::wire::Gap`] may name.

macro_rules! causes {
    ($($(#[$doc:meta])* $variant:ident = $name:literal,)*) => {
        /// The cause of a gap.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Cause { $($(#[$doc])* $variant,)* }

        impl Cause {
            /// Every cause.
            pub const ALL: &[Cause] = &[$(Cause::$variant,)*];

            /// The name on the wire and in the ledger.
            pub const fn as_str(self) -> &'static str {
                match self { $(Cause::$variant => $name,)* }
            }

            /// The cause of that name.
            pub fn parse(name: &str) -> Option<Cause> {
                match name { $($name => Some(Cause::$variant),)* _ => None }
            }
        }
    };
}

causes! {
    /// The spool was full and whole files of it went.
    SpoolFull = "spool-full",
    /// A frame of the spool could not be read back.
    SpoolDamaged = "spool-damaged",
    /// The spool is older than what was acknowledged: a restored snapshot, a cloned machine.
    RolledBack = "rolled-back",
    /// The collector has less than it acknowledged: it was restored from a backup.
    CollectorRolledBack = "collector-rolled-back",
    /// A file was rotated away, or truncated, before it was read to its end.
    RotatedAway = "rotated-away",
    /// A line was longer than is kept; its head, length and digest are.
    LineCut = "line-cut",
    /// The journal was vacuumed past the cursor.
    JournalLost = "journal-lost",
    /// The source could not read what it should: permissions, an I/O error, a queue of the kernel.
    Unreadable = "unreadable",
    /// The agent could not keep up and the source cannot wait.
    Overrun = "overrun",
}
