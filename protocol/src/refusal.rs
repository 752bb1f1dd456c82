//! Why an end hangs up: the closed list of reasons a [`crate::wire::Refusal`] may name, which are
//! also the `reason` labels of `hengwei_refused_total` and the names in the log.

macro_rules! reasons {
    ($($(#[$doc:meta])* $variant:ident = $name:literal,)*) => {
        /// The reason of a refusal.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Reason { $($(#[$doc])* $variant,)* }

        impl Reason {
            /// Every reason.
            pub const ALL: &[Reason] = &[$(Reason::$variant,)*];

            /// The name on the wire, in logs and in metrics.
            pub const fn as_str(self) -> &'static str {
                match self { $(Reason::$variant => $name,)* }
            }

            /// The reason of that name.
            pub fn parse(name: &str) -> Option<Reason> {
                match name { $($name => Some(Reason::$variant),)* _ => None }
            }
        }
    };
}

reasons! {
    /// No client certificate was presented.
    NoCertificate = "no-certificate",
    /// The certificate does not lead to a root we trust.
    UnknownRoot = "unknown-root",
    /// The certificate is past its end or before its beginning.
    Expired = "expired",
    /// The certificate was revoked.
    Revoked = "revoked",
    /// The certificate is ours but names no agent of the registry.
    UnknownAgent = "unknown-agent",
    /// The other end speaks no protocol of ours.
    NoProtocol = "no-protocol",
    /// TLS failed otherwise.
    Tls = "tls",
    /// A length beyond the limit.
    TooLong = "too-long",
    /// Bytes that are no message.
    Malformed = "malformed",
    /// A message that does not belong here.
    Unexpected = "unexpected",
    /// A block that unpacks to more than it said, or than is allowed.
    Bomb = "bomb",
    /// A batch that leaves numbers out.
    Hole = "hole",
    /// Nothing was said for too long.
    Silent = "silent",
    /// The enrolment token is unknown, used or past its time.
    BadToken = "bad-token",
    /// Too many attempts.
    RateLimited = "rate-limited",
    /// The same identity connected again; the older connection ends.
    Replaced = "replaced",
    /// The collector is stopping or short of space: come back later.
    Busy = "busy",
    /// The agent stops in good order: its silence from now on is no alarm.
    Stopping = "stopping",
}
