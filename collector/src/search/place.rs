//! Where an event stands among all events, and the same as text: the cursor of a search.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use hengwei_protocol::{Kind, identity};

/// An event's place: later is greater. The rows of a search are in descending order of it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// `@timestamp`, Unix nanoseconds.
    pub time: i64,
    agent: Arc<str>,
    queue: Kind,
    epoch: [u8; 16],
    number: u64,
}

impl Place {
    pub(super) fn new(
        time: i64,
        agent: &Arc<str>,
        queue: Kind,
        epoch: [u8; 16],
        number: u64,
    ) -> Place {
        Place { time, agent: Arc::clone(agent), queue, epoch, number }
    }
}

/// `time/agent/queue/epoch/number`, behind the time as in an alert's evidence. Whoever is given one
/// hands it back as it is.
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Place { time, agent, queue, epoch, number } = self;
        write!(f, "{time}/{agent}/{queue}/{}/{number}", identity::hex(epoch))
    }
}

impl FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> Result<Place, String> {
        let read = || {
            let (time, rest) = text.split_once('/')?;
            let (rest, number) = rest.rsplit_once('/')?;
            let (rest, epoch) = rest.rsplit_once('/')?;
            let (agent, queue) = rest.rsplit_once('/')?;
            Some(Place {
                time: time.parse().ok()?,
                agent: Arc::from(agent),
                queue: queue.parse().ok()?,
                epoch: identity::unhex(epoch)?.try_into().ok()?,
                number: number.parse().ok()?,
            })
        };
        read().ok_or_else(|| format!("`{text}` is no place of a row: take its `{}`", super::CURSOR))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_reads_back() {
        for (agent, time) in [("his-01", 1_700_000_000_000_000_000), ("a/b c", -5), ("", i64::MAX)]
        {
            let place = Place::new(time, &Arc::from(agent), Kind::Security, [7; 16], 42);
            assert_eq!(place.to_string().parse(), Ok(place));
        }
        for text in ["", "1", "1/a/log/00/1", "x/a/log/00000000000000000000000000000000/1"] {
            assert!(text.parse::<Place>().is_err(), "{text}");
        }
    }
}
